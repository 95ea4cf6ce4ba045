"""The promised commands run to their page: a training step of everything."""

from pathlib import Path

import pytest
from commands import call, fails


@pytest.mark.parametrize(
    ("paper", "results", "images"),
    [
        (
            "digits",
            {"digits-layers", "pretraining", "digits-paper", "digits-honest", "glimpses"},
            (
                "figure-1.png",
                "figure-2.png",
                "figure-3.png",
                "figure-4.png",
                "figure-5.png",
                "glimpses.png",
            ),
        ),
        ("hmdb10", {"hmdb10"}, ()),
        ("videolstm", {"moving-target"}, ("attention.png",)),
    ],
)
def test_a_reproduction_runs_to_its_page(
    tmp_path: Path, paper: str, results: set[str], images: tuple[str, ...]
) -> None:
    run = tmp_path / "run"
    words = ["reproduce", paper, "--smoke", "--run", run, "--results", tmp_path / "results"]
    output = call(*words).output
    assert f"report: {run / 'report.html'}" in output.replace("\n", "")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<table" in page
    assert "<img" in page or "<svg" in page
    for name in images:
        assert (run / name).read_bytes().startswith(b"\x89PNG")
    assert {path.stem for path in (tmp_path / "results").glob("*.json")} == results


def test_one_budget_is_given_and_clips_can_be_drawn(tmp_path: Path) -> None:
    for paper in ("digits", "hmdb10", "videolstm"):
        message = fails("reproduce", paper, "--quick", "--smoke", "--run", tmp_path / "r")
        assert "--quick and --smoke exclude each other; give one of them, or none" in message
    message = fails("reproduce", "hmdb10", "--quick", "--run", tmp_path / "r")
    assert "`onlooker generate figures clips` draws some for --clips clips" in message
