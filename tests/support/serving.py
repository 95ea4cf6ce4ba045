"""A page with one small model, for tests: its address, what the page itself sends, and the model."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from eventful import DATA, untrained

from onlooker.recognizer import Recognizer

ADDRESS = "http://127.0.0.1:8765"
OWN = {"X-Onlooker": "1", "Origin": ADDRESS}  # what the page itself sends


def save_model(runs: Path, name: str = "tiny", model: str = "convalstm") -> Recognizer:
    """A run folder with an untrained model."""
    data = replace(DATA, frames=4)
    classes = ("clap", "nothing", "wave")
    recognizer = untrained(model, classes, data, frame_rate=10.0, threshold=0.3)
    recognizer.save(runs / name / "model")
    return recognizer


def wait_for_job(page: Any, job: str, seconds: float = 60) -> dict[str, Any]:
    """What the page says of a job when it has ended; `page` is an HTTP client."""
    until = time.monotonic() + seconds
    while (described := page.get(f"/api/jobs/{job}").json())["state"] in ("queued", "running"):
        assert time.monotonic() < until, f"{described} after {seconds} s"
        time.sleep(0.02)
    return dict(described)
