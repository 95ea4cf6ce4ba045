"""Runs every command under a network guard: `python tests/support/network_guard.py --results results`
writes the log.

An audit hook notes every name that Python looks up and every address it connects to. Where the
system allows it (Linux, `unshare`), all runs without a network, and the kernel counts what any
library or child process tried to send.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WHAT = "How often each command tried to reach the network, seen by Python's audit hook and counted by the kernel."
_EVENTS = (
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.sendto",
    "urllib.Request",
)
_TINY = [
    "--encoder",
    "conv4",
    "--frames",
    "4",
    "--size",
    "16",
    "--channels",
    "1",
    "--epochs",
    "1",
    "--batch",
    "8",
    "--precision",
    "32",
]


def guarded(folder: Path) -> list[dict[str, Any]]:
    """Run every command with a temporary home folder; for each, the connections it tried and its
    status.
    """
    unshare = ["unshare", "-rn"] if shutil.which("unshare") else []
    if unshare and subprocess.run([*unshare, "true"], capture_output=True).returncode:
        unshare = []
    own = {
        "HOME": str(folder / "home"),
        "ONLOOKER_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    paths = os.pathsep.join([str(Path(__file__).parent), kept.get("PYTHONPATH", "")])
    (folder / "home").mkdir(parents=True)
    command = [*unshare, sys.executable, __file__, str(folder)]
    subprocess.run(
        command,
        check=True,
        env={**kept, **own, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    log: list[dict[str, Any]] = json.loads(
        (folder / "network.json").read_text(encoding="utf-8")
    )
    return log


def commands(folder: Path) -> list[list[str]]:
    """Every command on a tiny set of clips, ordered so that each finds its input."""
    import moving_squares

    clips = str(moving_squares.make_set(folder / "clips"))
    runs = folder / "runs"
    drawn = str(folder / "drawn")
    clip = str(folder / "clips" / "up" / "00.mp4")
    run = str(runs / "one")
    times = folder / "times.csv"
    times.write_text("path,start,end,label\nclips/up/00.mp4,0,1,up\n")
    return [
        ["generate", "figures", str(folder / "figures"), "--clips", "1"],
        ["models"],
        ["check", clips],
        ["convert", str(times), str(folder / "times.vtt")],
        ["train", clips, "--run", str(runs / "default"), "--frames", "4", "--size", "32"],
        ["train", clips, "--run", run, "--model", "convalstm", "--hidden", "8", *_TINY],
        [
            "train",
            clips,
            "--run",
            str(runs / "two"),
            "--model",
            "lstm",
            "--hidden",
            "8",
            *_TINY,
        ],
        ["evaluate", run],
        ["predict", run, clip, "--out", drawn],
        ["watch", run, clip, "--json"],
        [
            "compare",
            clips,
            "--run",
            str(runs / "compared"),
            "--models",
            "lstm",
            "--seeds",
            "1",
            "--folds",
            "0",
            "--jobs",
            "1",
            *_TINY,
        ],
        ["export", run],
        ["reproduce", "digits", "--smoke", "--run", str(runs / "digits")],
        ["demo", "--run", str(runs / "demo")],
        ["serve", run, "--clips", clips],
    ]


def visit(run: Path, clips: Path) -> None:
    """What `onlooker serve` does while the page looks at a clip, shows the project, and trains."""
    from fastapi.testclient import TestClient
    from serving import wait_for_job

    from onlooker.serve.app import ServeSettings, create_app

    clip = next(clips.rglob("*.mp4")).read_bytes()
    own = {"X-Onlooker": "1", "Origin": "http://localhost"}
    app = create_app(ServeSettings(run, clips, clips.with_name("page-runs")))
    with TestClient(app, base_url="http://localhost", headers=own) as page:
        model = page.get("/api/state").json()["models"][0]["id"]
        jobs = [
            page.post("/api/look", params={"model": model}, content=clip),
            page.post("/api/project/train"),
        ]
        for path in ("/", "/api/project"):
            page.get(path).raise_for_status()
        for job in jobs:
            assert (
                wait_for_job(page, job.raise_for_status().json()["job"], 300)["state"] == "done"
            )


def refused() -> int:
    """How many packets the kernel could not send for lack of a route."""
    count = 0
    for path, name in (
        ("/proc/net/snmp", "OutNoRoutes"),
        ("/proc/net/snmp6", "Ip6OutNoRoutes"),
    ):
        rows = (
            [line.split() for line in Path(path).read_text().splitlines()]
            if Path(path).exists()
            else []
        )
        if name == "OutNoRoutes" and rows:
            count += int(rows[1][rows[0].index(name)])
        count += sum(int(row[1]) for row in rows if row[0] == name)
    return count


def _run_all(folder: Path) -> None:
    reached: list[str] = []

    def note(event: str, details: tuple[Any, ...]) -> None:
        address = str(
            details[1] if event in ("socket.connect", "socket.sendto") else details[:1]
        )
        # A name of the file system is no address.
        if event in _EVENTS and not (
            address.startswith(("/", "b'")) or "127.0.0.1" in address or "localhost" in address
        ):
            reached.append(f"{event} {address}")

    sys.addaudithook(note)
    from commands import call

    log = []
    for words in commands(folder):
        before = refused()
        if words[0] == "serve":
            visit(Path(words[1]), Path(words[3]))
        else:
            call(*words)
        shown = [word.replace(str(folder), "FOLDER") for word in words]
        log.append(
            {
                "command": shown,
                "reached": list(reached),
                "refused_by_the_kernel": refused() - before,
            }
        )
        reached.clear()
    (folder / "network.json").write_text(json.dumps(log, indent=1), encoding="utf-8")


def write_log(results: Path) -> Path:
    """Run every command, and write how often each tried to reach the network as a results file."""
    from onlooker_papers.results import write_whole

    figures: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for entry in guarded(Path(folder, "guarded")):
            counts = figures.setdefault(entry["command"][0], {"runs": 0, "attempts": 0})
            counts["runs"] += 1
            counts["attempts"] += len(entry["reached"]) + entry["refused_by_the_kernel"]
    command = "python tests/support/network_guard.py --results results"
    return write_whole(results, "network-guard", what=WHAT, command=command, figures=figures)


if __name__ == "__main__":
    if sys.argv[1] == "--results":
        print(write_log(Path(sys.argv[2])))
    else:
        _run_all(Path(sys.argv[1]))
