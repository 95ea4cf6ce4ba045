"""The page of an evaluation and its conclusion: comparison with baselines, few clips, labels to
check.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from onlooker.base.decision import Decision
from onlooker.base.records import ClipError, Evaluation
from onlooker.measure.figures import DoubtfulLabel, Figures, HeldOutStates, Leakage
from onlooker.measure.metrics import labels_to_check, measure
from onlooker.report.summary import (
    advice,
    first_line,
    summary_page,
)


@pytest.fixture
def evaluation() -> Evaluation:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], np.float32)
    return Evaluation(
        names=("a", "b", "c", "d"),
        decision=Decision(("run", "<walk>")),
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
        side: {"loss": [1.0, 0.5], "accuracy": [0.5, 0.75]}
        for side in ("training", "validation")
    }
    settings = {"model": {"name": "alstm"}, "data": {"modality": modality}}
    drawn = [(b"\0\0\0\x18ftypisom", f"clip {evaluation.names[i]}", None) for i in clips]
    figures = replace(measure(evaluation), **{"mean_confidence": None, **more})
    made = summary_page(
        figures,
        evaluation,
        title="my_clips",
        subtitle="s",
        settings=settings,
        clips=drawn,
        contrasts=[(b"\xff\xd8", "**a.mp4**: why")],
        attends=attends,
        curves=curves,
    )
    return made.write(path).read_text(encoding="utf-8")


def words(text: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "|", text)).replace("\u00a0", " ")


def test_the_page_shows_the_measured_figures_and_mistakes(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    text = page(evaluation, tmp_path / "page.html", True, clips=[0, 1, 2])
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
        "|3 of 4 clips right: too few clips to tell whether that is better than guessing|",
        "|How sure this is|",
        "|3 of 4 clips correct|",
        "|75 %|",
        "|95 % interval 28 to 96 %, over 4 clips|",
        "|What to do next|",
        "|c||<walk>||run 60 %|",
        "|Why not the other class|",
        "|a.mp4|: why",
    ):
        assert part in shown
    assert 'src="data:image/jpeg;base64,/9g="' in text
    assert "The evidence is that of the final model" not in shown
    for part in ("Most confused", "What was chosen", "Labels to check"):
        assert part not in shown, "one mistake names no pair"


def test_the_page_shows_the_choice_of_the_model_and_labels_to_check(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    doubtful = DoubtfulLabel(name="x.mp4", label="run", predicted="<walk>", score=0.97)
    mistake = DoubtfulLabel(name="c", label="<walk>", predicted="run", score=0.6)
    chosen = (
        "statistics: changes (log loss 0.31), not all but order (0.42), by cross-validation"
    )
    good = {"accuracy_interval": [0.6, 1.0]}
    more = {"chosen": chosen, "labels_to_check": [doubtful], **good}
    shown = words(page(evaluation, tmp_path / "page.html", attends=True, **more))
    assert "|What was chosen|" in shown
    assert f"S{chosen[1:]}." in shown
    assert "|x.mp4||run||<walk>||97 %|" in shown
    for labels, interval in (
        ([mistake], good),
        ([doubtful], {"accuracy_interval": [0.4, 0.9]}),
    ):
        listed = page(
            evaluation,
            tmp_path / "page.html",
            attends=False,
            labels_to_check=labels,
            **interval,
        )
        assert "Labels to check" not in words(listed), "among the mistakes; of a guess"


def test_a_good_result_is_not_flagged_whatever_the_class_names(tmp_path: Path) -> None:
    scores = np.repeat([[0.9, 0.1], [0.2, 0.8]], 20, 0)
    names = tuple(map(str, range(40)))
    targets = np.repeat([0, 1], 20)
    good = Evaluation(
        names, Decision(("a: b", "c*d*")), targets, scores, tuple(scores[:, None])
    )
    text = page(good, tmp_path / "page.html", attends=False)
    line = (
        "Accuracy 100 % (95 % interval 93 to 100 %, over 40 clips); "
        "always predicting “a: b” gives 50 %. s|"
    )
    assert line in words(text)
    assert "<strong>accuracy" not in text
    assert "<em>" not in text.split("<nav")[0]


def test_a_class_name_is_shown_as_it_is_in_every_sentence(tmp_path: Path) -> None:
    """It is neither a link nor emphasis, nor an image that the page would load."""
    name = "[a](https://example.org) ![b](c.png) *d* _e_ <i>"
    targets = np.repeat([0, 1], 20)
    wrong = np.eye(2)[1 - targets]
    names = tuple(map(str, range(40)))
    hopeless = Evaluation(
        names, Decision((name, "other")), targets, wrong, tuple(wrong[:, None])
    )
    text = page(hopeless, tmp_path / "page.html", attends=False, chosen=f"statistics of {name}")
    shown = words(text)
    assert f"always predicting “{name}”" in shown
    assert f"Most confused: “{name}” and “other”" in shown
    assert f"No clip of “{name}” and “other” is recognized" in shown
    assert f"Statistics of {name}." in shown
    for tag in ('href="https://example.org"', 'src="c.png"', "<em>", "<i>"):
        assert tag not in text, tag


def measured(confusion: list[list[int]], **more: Any) -> Figures:
    """The figures for a given confusion matrix."""
    counts = np.array(confusion)
    targets, predicted = np.repeat(np.argwhere(counts >= 0), counts.ravel(), 0).T
    scores = np.eye(len(confusion))[predicted]
    decision = Decision(("fight", "other", "walk")[: len(confusion)])
    names = tuple(f"{i}.mp4" for i in range(len(targets)))
    evaluation = Evaluation(names, decision, targets, scores, tuple(scores[:, None]))
    return replace(measure(evaluation), **{"mean_confidence": None, **more})


@pytest.mark.parametrize(
    ("confusion", "more", "line", "details"),
    [
        (
            [[16, 2], [3, 15]],
            {},
            "31 of 36 clips right",
            "accuracy 86 % (95 % interval 72 to 94 %, over 36 clips); always predicting “fight” gives 50 %",
        ),
        (
            [[8, 12], [6, 10]],
            {},
            "18 of 36 clips right: not better than guessing",
            "accuracy 50 % (95 % interval 34 to 66 %, over 36 clips); always predicting “fight” gives 56 %",
        ),
        (
            [[6, 3], [3, 6]],
            {},
            "12 of 18 clips right: too few clips to tell whether that is better than guessing",
            "accuracy 67 % (95 % interval 44 to 84 %, over 18 clips); always predicting “fight” gives 50 %",
        ),
        (
            [[160, 10], [10, 120]],
            {},
            "280 of 300 clips right",
            "accuracy 93.3 % (95 % interval 90.0 to 95.7 %, over 300 clips); always predicting “fight” gives 56.7 %",
        ),
        (
            [[16, 2], [3, 15]],
            {"recordings": 12},
            "31 of 36 clips right",
            "accuracy 86 % (95 % interval 72 to 94 %, over 12 recordings); always predicting “fight” gives 50 %",
        ),
        (
            [[3, 1], [0, 0]],
            {},
            "3 of 4 clips right",
            "accuracy 75 % (95 % interval 28 to 96 %, over 4 clips)",
        ),
    ],
)
def test_the_first_line(
    confusion: list[list[int]], more: dict[str, Any], line: str, details: str
) -> None:
    conclusion = first_line(measured(confusion, **more))
    assert (conclusion.text, conclusion.details) == (line, details)


def test_the_mean_confidence_stands_beside_the_accuracy() -> None:
    details = first_line(measured([[10, 2], [3, 9]], mean_confidence=0.96)).details
    assert details.startswith("accuracy 79 % (95 % interval")
    assert "), with a mean confidence of 96 %; always predicting" in details


def test_states_come_first_and_say_all_if_they_overlap() -> None:
    sentence = "95 % of the time right, F1@50 90, on recordings that it was not fitted to (3)"
    states = HeldOutStates(sentence=sentence, classes=["bend", "sit"], recordings=[])
    confusion = [[2, 10], [9, 3]]
    line, details, *_ = first_line(measured(confusion, states=states))
    assert line == sentence
    assert details.startswith(
        "test: 5 of 24 clips right: not better than guessing; accuracy 21 %"
    )
    overlapping = measured(confusion, states=replace(states, overlap=True))
    line, details, _, is_guessing = first_line(overlapping)
    assert line == sentence
    assert not is_guessing
    assert not re.search(r"\d", details)
    assert not advice(overlapping)


def test_the_page_begins_with_two_sentences_and_the_rest_is_behind_a_click(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    expected = (
        "finds 8 of 10 events, at most 6 false alarms an hour (3 in 40 min of quiet footage)"
    )
    text = page(evaluation, tmp_path / "page.html", attends=False, events=expected)
    shown, _, folded = text.split("<main")[-1].partition("<details")
    assert (
        "3 of 4 clips right: too few clips to tell whether that is better than guessing"
        in shown
    )
    assert f"In recordings: {expected}." in shown.replace("\N{NO-BREAK SPACE}", " ")
    assert "interval" not in shown
    assert "interval 28 to 96" in folded


@pytest.mark.parametrize(
    ("unit", "clips"), [("scenes", "clips of one scene"), ("copies", "copies of a clip")]
)
def test_scenes_are_named_only_where_they_inflate(unit: str, clips: str) -> None:
    figures = measured([[16, 2], [3, 15]])
    line = first_line(figures).details
    for mixed in (0.78, figures.accuracy):
        leakage = Leakage(mixed=mixed, unseen=figures.accuracy)
        inflated = replace(figures, **{unit: leakage})
        assert first_line(inflated).details.replace("scenes", "clips") == line
    inflated = replace(figures, **{unit: Leakage(mixed=0.94, unseen=figures.accuracy)})
    assert first_line(inflated).details.endswith(
        f"; if {clips} were both trained on and tested, it would seem to be 94 %"
    )


@pytest.mark.parametrize(("error", "shown"), [(0.11, False), (0.25, True)])
def test_the_calibration_error_is_shown_where_it_is_not_chance(
    evaluation: Evaluation, tmp_path: Path, error: float, shown: bool
) -> None:
    figures = {"calibration_error": error, "perfect_calibration_error": [0.1, 0.2]}
    text = words(page(evaluation, tmp_path / "page.html", attends=False, **figures))
    assert ("|calibration error|" in text) == shown
    assert ("a perfectly calibrated model: about 10 %, up to 20 %" in text) == shown


def test_figures_of_versions_that_knew_no_recordings_are_over_clips() -> None:
    figures = measured([[16, 2], [3, 15]], recordings=None)
    assert "over 36 clips" in first_line(figures).details


def test_one_recording_gives_no_interval() -> None:
    figures = measured([[18, 0], [0, 18]], recordings=1, accuracy_interval=None)
    alone = "no interval can be given: all test clips come from one recording"
    expected = f"accuracy 100 % ({alone}); always predicting “fight” gives 50 %"
    assert first_line(figures).details == expected
    people, more = advice(figures)[-2:]
    assert people.text.startswith("Add clips, of as many people")
    assert more.text.startswith("The test clips come from too few recordings")
    assert str(more).endswith("Run `onlooker train CLIPS --folds 5`.")
    *_, more = advice(replace(figures, other_clips=True))
    assert str(more).startswith(
        "The test clips come from too few recordings: test with more clips"
    )
    assert "Run" not in str(more)
    two = replace(figures, recordings=2, accuracy_interval=(0.6, 1.0))
    assert "over 2 recordings, which say little of others" in first_line(two).details
    divided = (
        "no interval can be given: recordings are divided among training and test); always"
    )
    assert divided in first_line(replace(figures, recordings=4)).details


def test_advice_for_a_hopeless_run_and_none_for_a_perfect_one() -> None:
    check, pair, more, test = advice(measured([[8, 12], [6, 10]]))
    assert check.command == "onlooker check CLIPS"
    (checked, *_) = advice(measured([[8, 12], [6, 10]], checked=True))
    assert "has found no problems" in checked.text
    assert not checked.command
    assert "“fight” and “other” (18 of 36 clips)" in pair.text
    assert "Add clips, of as many people" in more.text
    assert "36 test clips leave an interval of 31 points" in test.text
    assert advice(measured([[200, 0], [0, 200]])) == []
    assert advice(measured([[200, 1], [0, 200]])) == [], "one mistake is no pattern"
    assert "“other” (2 of 402 clips)" in advice(measured([[200, 1], [1, 200]]))[0].text
    lost = [str(step) for step in advice(measured([[100, 0], [8, 0]]))]
    assert any(
        "No clip of “other” is recognized" in text and "balanced" in text for text in lost
    )


def test_the_first_advice_is_the_footage_that_is_missing() -> None:
    steps = advice(
        measured([[8, 12], [6, 10]], missing="Record 30 min in which nothing happens.")
    )
    assert str(steps[0]).startswith("Record 30 min in which nothing happens.")
    assert steps[1].command == "onlooker check CLIPS"


@pytest.mark.parametrize("seed", range(4))
def test_swapped_labels_are_among_the_first_tenth_of_the_list(seed: int) -> None:
    chance = np.random.default_rng(seed)
    truth = np.repeat(np.arange(4), 50)
    features = chance.normal(size=(200, 8)) + 3.2 * np.eye(4, 8)[truth]
    swapped = chance.choice(200, 10, replace=False)
    labels = truth.copy()
    labels[swapped] = (labels[swapped] + chance.integers(1, 4, 10)) % 4
    scores = cross_val_predict(
        LogisticRegression(), features, labels, cv=4, method="predict_proba"
    )
    assert (scores.argmax(1) == truth).mean() > 0.9
    names = tuple(map(str, range(200)))
    rows = labels_to_check(
        Evaluation(names, Decision(tuple("abcd")), labels, scores, tuple(scores[:, None]))
    )
    assert len(rows) <= 30
    assert np.isin([int(row.name) for row in rows[:5]], swapped).all()
    assert np.isin(swapped, [int(row.name) for row in rows]).mean() >= 0.7
    assert all(row.label == "abcd"[labels[int(row.name)]] != row.predicted for row in rows)
