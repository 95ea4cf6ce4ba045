"""The page of an evaluation shows the measured figures, and mentions attention only for models that
have it.
"""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onlooker.base.records import ClipError, Evaluation
from onlooker.report.metrics import measure
from onlooker.report.summary import summary_page


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


def page(
    evaluation: Evaluation,
    path: Path,
    attends: bool,
    modality: str = "rgb",
    clips: Sequence[int] = (),
    **more: Any,
) -> str:
    curves = {
        side: {"loss": [1.0, 0.5], "accuracy": [0.5, 0.75]} for side in ("training", "validation")
    }
    settings = {"model": {"name": "alstm"}, "data": {"modality": modality}}
    drawn = {i: (b"\0\0\0\x18ftypisom", f"clip {evaluation.names[i]}", None) for i in clips}
    figures = measure(evaluation) | more
    made = summary_page("my_clips", "s", evaluation, figures, curves, drawn, settings, attends)
    return made.write(path).read_text(encoding="utf-8")


def words(text: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "|", text)).replace("\u00a0", " ")


def test_the_page_shows_the_measured_figures_and_mistakes(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    text = page(evaluation, tmp_path / "page.html", attends=True, clips=[0, 1, 2])
    assert text.count("<video") == 3
    assert "&lt;walk&gt;" in text
    assert "<walk>" not in text
    shown = words(text)
    for part in (
        "lost.mp4",
        "zero bytes",
        "Loss and accuracy per epoch",
        "model.name",
        "|my_clips|",
        "|not better than always predicting “run” (50 %) as far as 4 clips can tell|:",
        "|3 of 4 clips correct|",
        "|75 %|",
        "|95 % interval 25 to 100 %, over 4 clips|",
        "|What to do next|",
        "|c||<walk>||run||60 %|",
    ):
        assert part in shown
    for part in ("Most confused", "What was chosen", "Labels to check"):
        assert part not in shown, "one mistake names no pair"


def test_the_page_shows_the_choice_of_the_model_and_labels_to_check(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    doubtful = {"name": "x.mp4", "label": "run", "predicted": "<walk>", "score": 0.97}
    mistake = {"name": "c", "label": "<walk>", "predicted": "run", "score": 0.6}
    chosen = "statistics: changes (log loss 0.31), not all but order (0.42), by cross-validation"
    more = {"chosen": chosen, "labels_to_check": [doubtful]}
    shown = words(page(evaluation, tmp_path / "page.html", attends=True, **more))
    assert "|What was chosen|" in shown
    assert f"S{chosen[1:]}." in shown
    assert "|x.mp4||run||<walk>||97 %|" in shown
    listed = page(evaluation, tmp_path / "page.html", attends=False, labels_to_check=[mistake])
    assert "Labels to check" not in words(listed), "it is among the mistakes"


def test_a_good_result_is_not_flagged_whatever_the_class_names(tmp_path: Path) -> None:
    scores = np.repeat([[0.9, 0.1], [0.2, 0.8]], 20, 0)
    names = tuple(map(str, range(40)))
    targets = np.repeat([0, 1], 20)
    good = Evaluation(names, ("a: b", "c*d*"), targets, scores, tuple(scores[:, None]))
    text = page(good, tmp_path / "page.html", attends=False)
    line = (
        "accuracy 40 of 40 (100 %, 95 % interval 91 to 100 %, over 40 clips); "
        "always predicting “a: b” gives 50 %|"
    )
    assert line in words(text)
    assert "<strong>accuracy" not in text
    assert "<em>" not in text.split("<nav")[0]
