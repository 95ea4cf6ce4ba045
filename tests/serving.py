"""A page with one small model, for tests: its address, what the page itself sends, and the model."""

import time
from pathlib import Path
from typing import Any

import torch

from onlooker.base.config import DataConfig
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer

ADDRESS = "http://127.0.0.1:8765"
OWN = {"X-Onlooker": "1", "Origin": ADDRESS}  # what the page itself sends


def save_model(runs: Path, name: str = "tiny", model: str = "convalstm") -> Recognizer:
    """A run folder with an untrained model."""
    torch.manual_seed(0)
    data = DataConfig(frames=4, size=16, normalization="half")
    net = create_model(model, 3, size=16, hidden=4)
    recognizer = Recognizer(net, ("clap", "nothing", "wave"), data, frame_rate=10.0, threshold=0.3)
    recognizer.save(runs / name / "model")
    return recognizer


def wait_for_job(page: Any, job: str, seconds: float = 60) -> dict[str, Any]:
    """What the page says of a job when it has ended; `page` is an HTTP client."""
    until = time.monotonic() + seconds
    while (described := page.get(f"/api/jobs/{job}").json())["state"] in ("queued", "running"):
        assert time.monotonic() < until, f"{described} after {seconds} s"
        time.sleep(0.02)
    return dict(described)
