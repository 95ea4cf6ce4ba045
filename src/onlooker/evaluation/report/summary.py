"""The report of one trained model: accuracy, test clips, mistakes, training curves, settings."""

from collections.abc import Iterable, Mapping
from typing import Any

from onlooker.drawing.plots import confusion, loss_and_accuracy, reliability, to_svg
from onlooker.evaluation.report.page import Page, Tone
from onlooker.evaluation.report.table import percent
from onlooker.structures import Evaluation

Curves = Mapping[str, Mapping[str, list[float]]]


def summary_page(
    title: str,
    subtitle: str,
    evaluation: Evaluation,
    measured: Mapping[str, Any],
    curves: Curves | None,
    clips: Iterable[tuple[bytes, str, Tone | None]],
    settings: Mapping[str, Mapping[str, Any]],
    attends: bool,
) -> Page:
    """The page of one evaluation.

    Args:
        title, subtitle: the head of the page.
        evaluation: predictions and true classes.
        measured: its metrics (`metrics.measure`).
        curves: loss and accuracy per epoch of training and validation; None where training is not known.
        clips: test clips as mp4, with caption and tone.
        settings: the run's settings by group.
        attends: whether attention is drawn on the clips.
    """
    page = Page(title, subtitle)
    page.figures(_key_figures(measured))
    if shown := list(clips):
        page.heading("Test clips")
        page.text(_about_clips(attends, settings.get("data", {}).get("modality", "rgb")))
        page.clips(shown)
    _mistakes(page, evaluation, measured)
    if curves and curves["training"]["loss"]:
        page.heading("Training")
        page.figure(to_svg(loss_and_accuracy(curves)), "Loss and accuracy per epoch.", wide=True)
    if evaluation.skipped:
        page.heading("Clips left out")
        page.table([[str(e.path), e.found, e.remedy] for e in evaluation.skipped], ["clip", "problem", "what to do"])
    page.heading("Settings")
    with page.details("All settings of this run"):
        for group, values in settings.items():
            page.table([[f"{group}.{name}", str(value)] for name, value in values.items()], ["setting", "value"])
    return page


def _key_figures(measured: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    low, high = measured["accuracy_interval"]
    interval = f"95 % interval {percent(low, 0)} to {percent(high, 0)}"
    return [
        (percent(measured["accuracy"]), "of videos classified correctly", interval),
        (percent(measured["frame_accuracy"]), "of frames classified correctly", "each frame on its own"),
        (percent(measured["majority_share"]), "majority-class baseline", "always predicting the most frequent class"),
        (percent(measured["calibration_error"]), "calibration error", "mean gap between confidence and accuracy"),
    ]


def _about_clips(attends: bool, modality: str) -> str:
    parts = ["Random test clips; up to half of them are mistakes. None was used in training."]
    if attends:
        parts.append("Color shows attention: the warmer, the higher its weight.")
    if modality != "rgb":
        parts.append("The inset is the optical flow: hue is direction, saturation is speed, white is no motion.")
    return " ".join(parts)


def _mistakes(page: Page, evaluation: Evaluation, measured: Mapping[str, Any]) -> None:
    page.heading("Mistakes")
    page.figure(
        to_svg(confusion(measured["confusion"], evaluation.classes)), "Rows: true class. Columns: predicted class."
    )
    page.figure(
        to_svg(reliability(evaluation.scores, evaluation.targets)),
        "Accuracy against confidence. Below the line: overconfident.",
    )
    rows = [[name, None if right is None else percent(right)] for name, right in measured["class_accuracy"].items()]
    page.table(rows, ["class", "classified correctly"])
