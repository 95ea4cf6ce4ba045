"""The live view for two hours: memory of the server, of the browser, and of the page's JavaScript.

    python benchmarks/bench_live_hours.py

The model is trained by the default command on clips that are drawn here, and answers a camera that films a file without
end. Needs playwright and Chromium, and Linux's /proc.
"""

import argparse
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import harness
from bench_live_page import launch, write_film
from playwright.sync_api import Page, sync_playwright

import onlooker
from onlooker.processes import free_port

WARM = 10  # minutes: what comes later is compared with this


class Reading(NamedTuple):
    """MB of server, of browser with its driver, and of JavaScript after garbage collection; DOM nodes; answers."""

    server: float
    browser: float
    javascript: float
    nodes: int
    answers: int


def megabytes(process: int) -> float:
    """Memory of a process and of those that it has started; what several share is divided among them (PSS)."""
    folder = Path(f"/proc/{process}")
    try:
        lines = (folder / "smaps_rollup").read_text().splitlines()
        children = (folder / f"task/{process}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)
    return own + sum(megabytes(int(child)) for child in children)


@contextmanager
def serve(run: Path, folder: Path) -> Iterator[tuple[str, int]]:
    """`onlooker serve` in a separate process: its address, and the number of the process."""
    port = free_port()
    with (folder / "server.log").open("w") as log:
        command = [shutil.which("onlooker") or "onlooker", "serve", str(run), "--port", str(port), "--no-browser"]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)) and process.poll() is None:
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/", process.pid
    finally:
        process.kill()
        process.wait()


def train_on_films(folder: Path) -> Path:
    """A model by the default command, of two classes with eight short films each."""
    for label, seconds in (("long", 2.0), ("short", 0.5)):
        (folder / "clips" / label).mkdir(parents=True)
        for number in range(8):
            write_film(folder / "clips" / label / f"{number}.avi", seconds, number)
    return onlooker.train(folder / "clips", folder / "run", quiet=True).path


def watch(page: Page, server: int, minutes: int) -> Iterator[Reading]:
    """What is in memory, each minute."""
    answers = 0

    def count(_: object) -> None:
        nonlocal answers
        answers += 1

    page.on("websocket", lambda socket: socket.on("framereceived", count))
    page.click("text=Use the camera")
    page.wait_for_selector(".answer .label", timeout=60_000)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    for _ in range(minutes):
        page.wait_for_timeout(60_000)
        session.send("HeapProfiler.collectGarbage")
        found = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        browser = sum(megabytes(int(child)) for child in own if int(child) != server)
        javascript = found["JSHeapUsedSize"] / 2**20
        yield Reading(
            round(megabytes(server), 1), round(browser, 1), round(javascript, 2), int(found["Nodes"]), answers
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=int, default=120)
    options = arguments.parse_args()
    readings = []
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        write_film(folder / "film.mjpeg")
        browser = launch(playwright, folder / "film.mjpeg")
        with serve(train_on_films(folder), folder) as (address, process):
            page = browser.new_page()
            page.goto(address)
            for reading in watch(page, process, options.minutes):
                readings.append(reading)
                print(len(readings), reading, flush=True)
        browser.close()
    if options.minutes <= WARM:
        return
    minutes = {str(minute): readings[minute - 1]._asdict() for minute in range(WARM, options.minutes + 1, WARM)}
    first, last = readings[WARM - 1], readings[-1]
    growth = {name: round(getattr(last, name) / getattr(first, name) - 1, 4) for name in Reading._fields[:4]}
    figures = {"minutes": minutes, "growth": growth}
    what = f"the live view for {options.minutes} minutes: MB of server, browser and JavaScript, by the minute"
    print(harness.record("bench-live-hours", what, figures, [0], ("fastapi", "uvicorn", "playwright")))


if __name__ == "__main__":
    main()
