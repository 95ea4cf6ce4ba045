"""The report page of one trained model: how good, where it errs, how it learned, what it looked at."""

from collections.abc import Iterable, Mapping
from typing import Any

from onlooker.drawing.plots import confusion, loss_and_accuracy, reliability, to_svg
from onlooker.evaluation.report.page import Page, Tone
from onlooker.structures import Evaluation

Curves = Mapping[str, Mapping[str, list[float]]]


def percent(share: float, digits: int = 1) -> str:
    """0.8167 to `81.7 %`."""
    return f"{100 * share:.{digits}f} %"


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
    """A page for one evaluation.

    Args:
        title, subtitle: its head.
        evaluation: the answers.
        measured: what `accuracy.measure` made of them.
        curves: loss and accuracy of each epoch by side, where training is known.
        clips: drawn clips as mp4 bytes, with caption and tone.
        settings: what the run was made with, by group.
        attends: whether the clips show attention.
    """
    low, high = measured["accuracy_interval"]
    page = Page(title, subtitle)
    page.figures(
        [
            (
                percent(measured["accuracy"]),
                "of videos right",
                f"95 % interval {percent(low, 0)} to {percent(high, 0)}",
            ),
            (percent(measured["frame_accuracy"]), "of frames right", "each frame for itself"),
            (percent(measured["majority_share"]), "majority class", "what always saying the commonest class reaches"),
            (percent(measured["calibration_error"]), "calibration error", "distance of confidence from accuracy"),
        ]
    )
    shown = list(clips)
    if shown:
        page.heading("What it saw, and where it looked" if attends else "What it saw")
        color = "Color shows the attention: the warmer, the more weight a place had. " if attends else ""
        if settings.get("data", {}).get("modality", "rgb") != "rgb":
            color += (
                "The small picture is the optical flow: its hue says where to, its strength how far, white is rest. "
            )
        page.text(
            f"{color}Clips of the test side, drawn by lot (half of them wrong ones, where there are so many): the "
            "model has not learned from them."
        )
        page.clips(shown)
    page.heading("Where it errs")
    page.figure(to_svg(confusion(measured["confusion"], evaluation.classes)), "Truth down, prediction across.")
    page.figure(to_svg(reliability(evaluation.scores, evaluation.targets)), "Confidence against accuracy.")
    rows = [[name, None if right is None else percent(right)] for name, right in measured["class_accuracy"].items()]
    page.table(rows, ["class", "videos right"])
    if curves and curves["training"]["loss"]:
        page.heading("How it learned")
        page.figure(to_svg(loss_and_accuracy(curves)), "Each epoch, training beside validation.", wide=True)
    if evaluation.skipped:
        page.heading("Clips left out")
        page.table([[str(e.path), e.found, e.remedy] for e in evaluation.skipped], ["clip", "found", "what to do"])
    page.heading("Settings")
    with page.details("All settings of this run"):
        for group, values in settings.items():
            page.table([[f"{group}.{name}", str(value)] for name, value in values.items()], ["setting", "value"])
    return page
