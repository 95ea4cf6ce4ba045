"""Speed next to a peer, in one run: no ratio of results/ may have fallen by more than a third."""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
LEFT = 2 / 3  # of a recorded ratio, on other machines too: both sides are measured here


@pytest.mark.slow
@pytest.mark.parametrize("name", ["channel_offset", "deformable", "import"])  # the others take longer, or need peers
def test_no_ratio_falls_by_more_than_a_third(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if (load := os.getloadavg()[0]) > (os.cpu_count() or 1) / 2:
        pytest.skip(f"other programs use the processors (load {load:.1f}): threads that wait for them measure nothing")
    recorded = json.loads((ROOT / "results" / f"bench-{name.replace('_', '-')}.json").read_text("utf-8"))["figures"]
    measured: dict[str, Any] = {}
    benchmark = import_module(f"bench_{name}")
    monkeypatch.setattr(sys, "argv", [f"bench_{name}.py", "--repetitions", "5"])
    monkeypatch.setattr(benchmark.harness, "record", lambda _, __, figures, *___: measured.update(figures))
    before = torch.get_num_threads()
    torch.set_num_threads(recorded.get("threads", before))
    try:
        benchmark.main()
    finally:
        torch.set_num_threads(before)
    fallen = {peer: (was, measured["ratios"][peer]) for peer, was in recorded["ratios"].items()}
    fallen = {peer: pair for peer, pair in fallen.items() if pair[1] < LEFT * pair[0]}
    assert not fallen, f"recorded and measured here: {fallen}"
