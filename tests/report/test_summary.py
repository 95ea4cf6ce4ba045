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


def test_the_page_shows_the_measured_figures(evaluation: Evaluation, tmp_path: Path) -> None:
    text = page(evaluation, tmp_path / "page.html", attends=True)
    assert "&lt;walk&gt;" in text
    assert "<walk>" not in text
    assert all(
        words in text
        for words in ("lost.mp4", "zero bytes", "Loss and accuracy per epoch", "model.name")
    )
    assert "<h1>my_clips</h1>" in text
    found = words(text)
    assert "|not better than always predicting “run” (50 %) as far as 4 clips can tell|:" in found
    for figure in ("3 of 4 clips correct", "75 %", "95 % interval 25 to 100 %, over 4 clips"):
        assert f"|{figure}|" in found
    assert "|What to do next|" in found
    assert "Most confused" not in found, "one mistake names no pair"


def test_the_page_explains_the_choice_of_the_model(evaluation: Evaluation, tmp_path: Path) -> None:
    chosen = "statistics: changes (log loss 0.31), not all but order (log loss 0.42), by cross-validation"
    text = page(evaluation, tmp_path / "page.html", attends=True, chosen=chosen)
    assert "|What was chosen|" in words(text)
    assert (
        "Statistics: changes (log loss 0.31), not all but order (log loss 0.42), by cross-validation."
        in text
    )
    assert "What was chosen" not in page(evaluation, tmp_path / "other.html", attends=True)


def test_a_good_result_is_not_flagged_whatever_the_class_names(tmp_path: Path) -> None:
    scores = np.repeat([[0.9, 0.1], [0.2, 0.8]], 20, 0)
    classes = ("a: b", "c*d*")
    names = tuple(map(str, range(40)))
    good = Evaluation(names, classes, np.repeat([0, 1], 20), scores, tuple(scores[:, None]))
    text = page(good, tmp_path / "page.html", attends=False)
    assert (
        "accuracy 40 of 40 (100 %, 95 % interval 91 to 100 %, over 40 clips); always predicting “a: b” gives 50 %|"
        in words(text)
    )
    assert "<strong>accuracy" not in text
    assert "<em>" not in text.split("<nav")[0]


def test_mistakes_are_listed_with_paths_and_doubtful_labels(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    found = words(page(evaluation, tmp_path / "page.html", attends=False))
    assert "|c||<walk>||run||60 %|" in found
    doubtful = [{"name": "x.mp4", "label": "run", "predicted": "<walk>", "score": 0.97}]
    found = words(page(evaluation, tmp_path / "page.html", False, labels_to_check=doubtful))
    assert "|x.mp4||run||<walk>||97 %|" in found
    listed = {"name": "c", "label": "<walk>", "predicted": "run", "score": 0.6}
    found = words(page(evaluation, tmp_path / "page.html", False, labels_to_check=[listed]))
    assert "Labels to check" not in found, "it is among the mistakes"


def test_clips_are_shown(evaluation: Evaluation, tmp_path: Path) -> None:
    assert page(evaluation, tmp_path / "page.html", True, "rgb", [0, 1, 2]).count("<video") == 3
