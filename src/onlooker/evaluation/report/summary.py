"""The report of one trained model: accuracy, what to do next, test clips, mistakes, training curves, settings."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onlooker.config import StreamConfig
from onlooker.drawing.plots import found_by_alarms, loss_and_accuracy, to_svg
from onlooker.evaluation.conclusion import advice, first_line, interval_of, over, share_of
from onlooker.evaluation.events import EventCurve
from onlooker.evaluation.report.page import DrawnClip, Page
from onlooker.evaluation.report.table import Table, percent
from onlooker.structures import Evaluation

Curves = Mapping[str, Mapping[str, list[float]]]

_CLASSES = 60  # of a matrix that can be read


def summary_page(
    title: str,
    subtitle: str,
    evaluation: Evaluation,
    measured: Mapping[str, Any],
    curves: Curves | None,
    clips: Mapping[int, DrawnClip],
    settings: Mapping[str, Mapping[str, Any]],
    attends: bool,
    paths: Sequence[str] = (),
    curve: EventCurve | None = None,
) -> Page:
    """The page of one evaluation.

    Args:
        measured: its metrics (`metrics.measure`), and figures of a cross-validation, if there was one.
        curves: loss and accuracy per epoch of training and validation; None where training is not known.
        clips: test clips as mp4, with caption and tone, by their number in the evaluation.
        attends: whether heat maps are drawn on the clips.
        paths: of the clips; empty: their names.
        curve: what events of streams the model finds; None: unknown.
    """
    page = Page(title, re.sub(r"^(not better.*): accuracy", r"**\1**: accuracy", _escaped(first_line(measured))))
    page.text(_escaped(subtitle))
    page.figures(_key_figures(measured))
    if steps := advice(measured):
        page.heading("What to do next").text("\n".join(f"- {_escaped(step)}" for step in steps))
    if clips:
        page.heading("Test clips")
        tested_by = _CROSS_VALIDATED if measured.get("cross_validated") else _TEST
        colors = " Color shows where something happens that the model looks at; boxes, the actors." if attends else ""
        page.text(tested_by + colors).clips(clips.values())
    if curve is not None:
        expected = curve.sentence(StreamConfig.alarms_per_hour)
        page.heading("Events in recordings and streams").text(_escaped(f"{expected[0].upper()}{expected[1:]}."))
        caption = f"The ring: the default, at most {StreamConfig.alarms_per_hour:g} false alarms an hour."
        page.figure(to_svg(found_by_alarms(curve, StreamConfig.alarms_per_hour)), caption)
    _mistakes(page, evaluation, measured, paths or evaluation.names)
    _training(page, curves, measured.get("chosen", ""))
    if evaluation.skipped:
        page.heading("Clips left out")
        page.table([[str(e.path), e.found, e.remedy] for e in evaluation.skipped], ["clip", "problem", "what to do"])
    page.heading("Settings")
    with page.details("All settings of this run"):
        for group, values in settings.items():
            page.table([[f"{group}.{name}", str(value)] for name, value in values.items()], ["setting", "value"])
    return page


def comparison_table(figures: Mapping[str, Any]) -> Table:
    """The accuracy of each model, from the figures of `runs.compare`, after the majority-class baseline."""
    rows: list[list[str | None]] = [["majority class", percent(figures["majority"]), None, None, None]]
    for name, accuracy in figures["accuracy"].items():
        spread = figures["spread"][name]
        deviation = None if spread is None else f"± {100 * spread:.1f}"
        interval = figures["interval"][name]
        ends = None if interval is None else f"{percent(interval[0])[:-2]} to {percent(interval[1])}"
        rows.append([name, percent(accuracy), ends, deviation, percent(figures["frame_accuracy"][name])])
    note = f"95 % interval: {over(figures['recordings'], figures['test_videos'])}."
    return Table(["model", "videos correct", "95 % interval", "± over seeds", "frames correct"], rows, note)


def comparison_page(title: str, figures: Mapping[str, Any]) -> Page:
    """The page of a comparison, from the figures of `runs.compare`."""
    seeds = len(figures["seeds"])
    page = Page(title, f"{figures['test_videos']} test videos · splits: {figures['splits']} · seeds: {seeds}")
    if chosen := figures.get("chosen"):
        accuracy = percent(figures["accuracy"][chosen])
        page.text(f"`{chosen}` was chosen: with {accuracy}, no other model classifies more of the videos correctly.")
    table = comparison_table(figures)
    note = f"{table.note} The report of each training is in its folder, `MODEL/SPLIT-seedSEED`."
    page.table(table.rows, table.columns, note)
    if figures["skipped"]:
        page.heading("Clips left out").text("\n".join(f"- {_escaped(each)}" for each in figures["skipped"]))
    return page


def _escaped(text: str) -> str:
    """Markdown that shows the text as it is, but for code in backticks."""
    return re.sub(r"([\\*_\[\]<>&])", r"\\\1", text)


def _key_figures(measured: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    total, frames = measured["videos"], measured.get("frames", 0)
    digits = 0 if total < 200 else 1

    def counted(share: float, of: int = total) -> str:
        return f"{round(share * of)} of {of}"

    accuracy, majority = measured["accuracy"], measured["majority_share"]
    expected, most = (percent(value, 0) for value in measured["perfect_calibration_error"])
    values = [
        (percent(accuracy, digits), f"{counted(accuracy)} clips correct", interval_of(measured)),
        (percent(majority, digits), "majority-class baseline", f"{counted(majority)}: always the most frequent class"),
    ]
    if frames:
        of_frames = measured["frame_accuracy"]
        correct = f"{counted(of_frames, frames)} frames correct"
        values.insert(1, (percent(of_frames, digits), correct, "the class at each frame"))
    chance = f"a perfectly calibrated model: about {expected}, up to {most}"
    return [*values, (percent(measured["calibration_error"], 0), "calibration error", chance)]


_TEST = "Random test clips; up to half of them are mistakes. None was used in training."
_CROSS_VALIDATED = (
    "Random clips; up to half of them are mistakes. Predictions are by models that were fitted without the clip and "
    "its recording; attention is by the final model, which was fitted to all clips."
)


def _mistakes(page: Page, evaluation: Evaluation, measured: Mapping[str, Any], paths: Sequence[str]) -> None:
    page.heading("Mistakes")
    predicted, sure, classes = evaluation.answers, evaluation.answer_scores, evaluation.answer_names
    order = np.argsort(-sure, kind="stable").tolist()
    cells: dict[tuple[int, int], list[str]] = {}
    for k in order:
        line = f"{paths[k]} · {percent(sure[k], 0)}"
        cells.setdefault((int(evaluation.targets[k]), int(predicted[k])), []).append(line)
    if len(classes) <= _CLASSES:
        page.confusion(measured["confusion"], classes, cells)
        page.text("Numbers are clips; click on one to list them.")
    counts = zip(classes, measured["confusion"], strict=True)
    of_class = [[name, share_of(row[k], sum(row)) if any(row) else None] for k, (name, row) in enumerate(counts)]
    page.table(of_class, ["class", "classified correctly"])
    mistakes = [
        [paths[k], classes[evaluation.targets[k]], classes[predicted[k]], percent(sure[k], 0)]
        for k in order
        if predicted[k] != evaluation.targets[k]
    ]
    if mistakes:
        page.table(mistakes, ["clip", "true class", "prediction", "confidence"], "Most confident first.")
    listed = {evaluation.names[k] for k in order if predicted[k] != evaluation.targets[k]}
    doubted = [row for row in measured.get("labels_to_check", []) if row["name"] not in listed]
    if doubted:
        page.heading("Labels to check")
        page.text(
            "Of the other clips, each predicted by a model that was not trained on it; the most doubtful label first."
        )
        rows = [[row["name"], row["label"], row["predicted"], percent(row["score"], 0)] for row in doubted]
        page.table(rows, ["clip", "label", "prediction", "confidence"])


def _training(page: Page, curves: Curves | None, chosen: str) -> None:
    if chosen:
        page.heading("What was chosen").text(_escaped(f"{chosen[0].upper()}{chosen[1:]}."))
    if curves and curves["training"]["loss"]:
        page.heading("Training")
        kept = 1 + int(np.nanargmin(curves["validation"]["loss"]))
        for name in ("loss", "accuracy"):
            of_split = {split: {name: values[name]} for split, values in curves.items()}
            caption = f"{name.capitalize()} per epoch, without a threshold."
            page.figure(to_svg(loss_and_accuracy(of_split, kept=kept)), caption)
