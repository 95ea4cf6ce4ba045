"""A stand-in of the Hugging Face hub: repositories are made, and files committed, listed and read,
on this machine.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0" * 40
Files = dict[str, bytes]


@contextmanager
def hub() -> Iterator[tuple[str, dict[str, Files], list[tuple[str, str | None]]]]:
    """Its address; the files of each repository; path and token of every request."""
    repositories: dict[str, Files] = {}
    requests: list[tuple[str, str | None]] = []

    class Hub(BaseHTTPRequestHandler):
        def answer(self, values: Any, status: int = 200, **headers: str) -> None:
            body = values if isinstance(values, bytes) else json.dumps(values).encode()
            self.send_response(status)
            for name, value in {
                "Content-Length": str(len(body)),
                "X-Repo-Commit": COMMIT,
                **headers,
            }.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_POST(self) -> None:
            path = urlsplit(self.path).path
            token = self.headers.get("Authorization")
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            requests.append((path, token))
            if token != "Bearer hf_good":
                self.answer({"error": "Invalid username or password."}, 401)
            elif path == "/api/repos/create":
                name = "/".join(
                    filter(
                        None,
                        (json.loads(body).get("organization") or "jane", json.loads(body)["name"]),
                    )
                )
                repositories.setdefault(name, {})
                self.answer({"url": f"{address}/{name}", "name": name, "id": name})
            elif path == "/api/validate-yaml":
                self.answer({"errors": [], "warnings": []})
            elif "/preupload/" in path:
                modes = {"uploadMode": "regular", "shouldIgnore": False}
                self.answer(
                    {
                        "files": [
                            {"path": file["path"], **modes} for file in json.loads(body)["files"]
                        ]
                    }
                )
            elif "/commit/" in path:
                lines = [json.loads(line) for line in body.splitlines()]
                files = [line["value"] for line in lines if line["key"] == "file"]
                name = "/".join(path.split("/")[3:5])
                repositories[name] |= {
                    file["path"]: base64.b64decode(file["content"]) for file in files
                }
                self.answer(
                    {
                        "commitUrl": f"{address}/{name}/commit/{COMMIT}",
                        "commitOid": COMMIT,
                        "success": True,
                    }
                )
            else:
                self.answer({"error": f"no {path}"}, 404)

        def do_GET(self) -> None:
            parts = unquote(urlsplit(self.path).path).strip("/").split("/")
            requests.append((self.path, self.headers.get("Authorization")))
            name = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
            files = repositories.get(name)
            if files is None:
                self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
            elif parts[0] != "api" and parts[2] == "resolve" and parts[4] in files:
                content = files[parts[4]]
                self.answer(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"')
            elif parts[4:5] == ["tree"] and len(parts) < 7:
                oids = {path: hashlib.sha1(content).hexdigest() for path, content in files.items()}
                self.answer(
                    [
                        {"type": "file", "path": p, "size": len(files[p]), "oid": oids[p]}
                        for p in files
                    ]
                )
            elif parts[0] == "api" and parts[4:5] in ([], ["revision"]):
                self.answer(
                    {"id": name, "sha": COMMIT, "siblings": [{"rfilename": path} for path in files]}
                )
            else:
                self.answer({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield address, repositories, requests
    finally:
        server.shutdown()
        server.server_close()
