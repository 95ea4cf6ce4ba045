"""Figures as JSON: what is written is read, in the order of earlier versions; and what is derived."""

import json
from dataclasses import replace
from typing import Any

import pytest

from onlooker.base.records import ClipError
from onlooker.measure.figures import CrossValidationFigures, DoubtfulLabel, Figures, Leakage

# evaluation.json as version 0.2.0 wrote it when figures were a dict
MEASURED = {
    "videos": 4,
    "frames": 12,
    "classes": ["run", "walk"],
    "recordings": 3,
    "accuracy": 0.75,
    "accuracy_interval": [0.25, 1.0],
    "frame_accuracy": 0.5,
    "class_accuracy": {"run": 0.75, "walk": None},
    "log_loss": 0.5,
    "calibration_error": 0.25,
    "perfect_calibration_error": [0.125, 0.5],
    "majority_share": 0.5,
    "confusion": [[3, 1], [0, 0]],
    "skipped": [{"path": "lost.mp4", "found": "zero bytes", "remedy": "copy it again"}],
}
CROSS_VALIDATED: dict[str, Any] = {
    "chosen": "statistics: changes",
    "scenes": {"mixed": 0.9, "unseen": 0.75},
    "cross_validated": True,
    "labels_to_check": [{"name": "a", "label": "run", "predicted": "walk", "score": 0.875}],
}
OWN = {"checked": True, "events": "finds 8 of 10 events", "missing": "Record 30 min."}
WRITTEN = MEASURED | {"known_scenes": 0, "balanced": True} | CROSS_VALIDATED | OWN


@pytest.mark.parametrize("values", [MEASURED, WRITTEN, MEASURED | {"labels_to_check": []}])
def test_figures_are_written_as_they_were_read(values: dict[str, Any]) -> None:
    assert json.dumps(Figures.from_dict(values).to_dict()) == json.dumps(values)


def test_the_figures_of_a_cross_validation_have_their_names_and_order() -> None:
    figures = CrossValidationFigures.from_dict(CROSS_VALIDATED)
    assert json.dumps(figures.to_dict()) == json.dumps(CROSS_VALIDATED)
    assert replace(Figures.from_dict(MEASURED), **vars(figures)) == Figures.from_dict(
        MEASURED | CROSS_VALIDATED
    )


def test_values_are_records() -> None:
    figures = Figures.from_dict(WRITTEN)
    assert figures.scenes == Leakage(mixed=0.9, unseen=0.75)
    (label,) = figures.labels_to_check
    assert label == DoubtfulLabel(name="a", label="run", predicted="walk", score=0.875)
    (error,) = figures.skipped
    assert isinstance(error, ClipError)
    assert figures["skipped"] == MEASURED["skipped"], "as in JSON"
    with pytest.raises(KeyError):
        _ = figures["copies"]


def test_other_versions_have_fewer_and_more_figures() -> None:
    earlier = {
        name: value
        for name, value in MEASURED.items()
        if name not in ("frames", "frame_accuracy", "recordings", "accuracy_interval")
    }
    figures = Figures.from_dict(earlier | {"brier": 0.5})
    assert (figures.frames, figures.recordings, figures.accuracy_interval) == (None, None, None)
    assert figures.to_dict() == earlier


@pytest.mark.parametrize("name", ["videos", "accuracy", "confusion"])
def test_a_figure_that_every_version_writes_must_be_there(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        Figures.from_dict({key: value for key, value in MEASURED.items() if key != name})


def test_a_value_of_another_type() -> None:
    with pytest.raises(ValueError, match=r"videos is 0\.5, expected a whole number"):
        replace(Figures.from_dict(MEASURED), videos=0.5)


def test_what_is_derived() -> None:
    figures = Figures.from_dict(MEASURED)
    assert figures.correct == 3
    assert not figures.beats_majority
    assert not figures.has_several_classes
    several = replace(figures, confusion=[[2, 1], [0, 1]], accuracy_interval=None)
    assert several.beats_majority
    assert several.has_several_classes
