"""The texts of the page, from texts/*.json, which the browser also has (`t` in dom.js); and its
errors: a code, the problem, what was expected, and the remedy.
"""

import json
import re
from html import escape
from pathlib import Path
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from onlooker import ClipError
from onlooker.base.files import DiskFullError, NotWritableError

API = "/api/v1"
# All texts, by their nested keys.
TEXTS: dict[str, Any] = json.loads((Path(__file__).parent / "texts" / "en.json").read_text("utf-8"))
_TEXT_PARTS = ("found", "expected", "remedy")


def t(key: str, **values: object) -> str:
    """The text of a key such as `hint.no_nothing`, with {names} replaced; `one` or `other` by the
    value `count`.

    Raises:
        KeyError: there is no such text, or it needs another value.
    """
    text: Any = TEXTS
    for word in key.split("."):
        text = text[word]
    if isinstance(text, dict):
        text = text["one" if values["count"] == 1 else "other"]
    return re.sub(r"\{(\w+)\}", lambda name: str(values[name[1]]), text)


class Problem(Exception):  # noqa: N818 - the word that its user reads
    """An error for the user of the page.

    Args:
        status: the HTTP status.
        code: the name of the error in texts/*.json, with its texts: the problem (`found`), what was
            expected, and what to do (`remedy`).
        values: the values in these texts; errors of the library, in English, as `reason`.
    """

    def __init__(self, status: int, code: str, **values: object) -> None:
        self.status = status
        self.code = code
        texts = TEXTS["problem"][code]
        self.found, self.expected, self.remedy = (
            t(f"problem.{code}.{part}", **values) if part in texts else "" for part in _TEXT_PARTS
        )
        super().__init__(": ".join(filter(None, (code, self.found, self.expected, self.remedy))))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: `{"error": {…}}`."""
        return {"error": {name: getattr(self, name) for name in ("code", *_TEXT_PARTS)}}


def refusal(problem: Problem, accept: str) -> Response:
    """The response with an error: as JSON, or as a page if the client accepts HTML."""
    if "text/html" not in accept:
        return JSONResponse(problem.to_dict(), problem.status)
    lines = [t("token")] if problem.code == "token" else [problem.found, problem.remedy]
    text = "".join(f"<p>{escape(line[:1].upper() + line[1:])}" for line in lines if line)
    head = (
        "<meta charset=utf-8><meta name=viewport content=width=device-width><title>onlooker</title>"
    )
    return HTMLResponse(
        f"<!doctype html><html lang={TEXTS['language']}>{head}<h1>onlooker</h1>{text}",
        problem.status,
    )


def as_problem(error: BaseException) -> Problem:
    """Convert an error of the library for the user; unexpected errors have the code `internal` and
    the status 500.
    """
    match error:
        case Problem():
            return error
        case ClipError():
            return Problem(422, "not_decodable", reason=error.found)
        case DiskFullError():
            return Problem(507, "disk_full", reason=error)
        case NotWritableError():
            return Problem(507, "not_writable", reason=error)
        case FileNotFoundError():
            return Problem(404, "no_file", reason=error)
        case RequestValidationError():
            reasons = (
                f"{'.'.join(map(str, detail['loc'][1:]))}: {detail['msg']}"
                for detail in error.errors()[:3]
            )
            return Problem(422, "request", reason="; ".join(reasons))
        case HTTPException():
            return Problem(error.status_code, "http", reason=error.detail)
        case ValueError():
            return Problem(422, "invalid", reason=error)
        case ClientDisconnect():
            return Problem(400, "cut_off")
    return Problem(500, "internal", kind=type(error).__name__, reason=error)
