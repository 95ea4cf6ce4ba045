"""The page of one evaluation shows the figures that were measured, and speaks of attention only where there is one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from onlooker.evaluation.metrics import measure
from onlooker.evaluation.report import percent
from onlooker.evaluation.report.summary import summary_page
from onlooker.structures import ClipError, Evaluation


@pytest.fixture
def evaluation() -> Evaluation:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], np.float32)
    return Evaluation(
        names=("a", "b", "c", "d"),
        classes=("run", "<walk>"),
        targets=np.array([0, 1, 1, 0]),
        scores=scores,
        frame_scores=tuple(score[None] for score in scores),
        skipped=(ClipError("lost.mp4", "zero bytes", "copy it again"),),
    )


def page(evaluation: Evaluation, path: Path, attends: bool, modality: str = "rgb", clips: Sequence[bytes] = ()) -> str:
    curves = {side: {"loss": [1.0, 0.5], "accuracy": [0.5, 0.75]} for side in ("training", "validation")}
    settings = {"model": {"name": "alstm"}, "data": {"modality": modality}}
    drawn = [(clip, "", None) for clip in clips]
    made = summary_page("t", "s", evaluation, measure(evaluation), curves, drawn, settings, attends)
    return made.write(path).read_text(encoding="utf-8")


def test_the_figures_are_those_measured(evaluation: Evaluation, tmp_path: Path) -> None:
    text = page(evaluation, tmp_path / "page.html", attends=True)
    assert "75.0\u00a0%" in text  # three of four
    assert "&lt;walk&gt;" in text
    assert "<walk>" not in text
    assert all(words in text for words in ("lost.mp4", "zero bytes", "Loss and accuracy per epoch", "model.name"))


def test_percent() -> None:
    assert percent(0.81666) == "81.7 %"
    assert percent(1, 0) == "100 %"


def test_flow_is_explained_where_it_is_drawn(evaluation: Evaluation, tmp_path: Path) -> None:
    clips = [b"\0\0\0\x18ftypisom"]
    for modality in ("rgb", "flow", "both"):
        text = page(evaluation, tmp_path / f"{modality}.html", True, modality, clips)
        assert ("hue is direction" in text) == (modality != "rgb")
