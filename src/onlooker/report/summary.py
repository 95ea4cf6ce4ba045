"""The conclusions of an evaluation in sentences, and the report of a trained model or a comparison.

The sentences are its first line, what to do next, and which labels may be wrong; the report adds
test clips, mistakes, training curves and settings.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from onlooker.base.alarm_curve import AlarmCurve
from onlooker.base.config import StreamConfig
from onlooker.base.records import ClipError, Curves, Evaluation
from onlooker.base.text import printable
from onlooker.measure.figures import Figures
from onlooker.measure.metrics import MIN_RECORDINGS
from onlooker.measure.timeline import Pair
from onlooker.report.page import DrawnClip, Page, Table, escaped, percent
from onlooker.report.plots import ethogram, found_by_alarms, loss_and_accuracy

_MAX_MATRIX = 60  # classes of a matrix that can be read
_MIN_FOR_DECIMALS = 200  # clips, below which a percentage has no decimals
_MAX_CLASSES = 3  # in a sentence
_MAX_ETHOGRAMS = 20  # in a report
_NOTES = "How the clips were read"
_ANY = (0.0, 1.0)  # where there is no interval
_NOT_JUDGED = "single clips are not counted as right or wrong: labels of several groups are true at the same time"


def _digits(total: int) -> int:
    """The decimals of a percentage of so many clips."""
    return 0 if total < _MIN_FOR_DECIMALS else 1


def _percent(share: float, total: int) -> str:
    """`39 %`, a share of so many clips."""
    return percent(share, _digits(total))


def _range(ends: Sequence[float], digits: int = 1) -> str:
    """`67 to 97 %`."""
    low, high = ends
    return f"{100 * low:.{digits}f} to {percent(high, digits)}"


def interval_of(figures: Figures) -> str:
    """`95 % interval 67 to 97 %, over 12 recordings`; over clips in figures of versions without
    recordings.
    """
    videos = figures.videos
    recordings = figures.recordings or videos
    basis = over(recordings, videos, "scenes" if figures.scenes else "recordings")
    if figures.accuracy_interval:
        return f"95 % interval {_range(figures.accuracy_interval, _digits(videos))}, {basis}"
    if recordings < MIN_RECORDINGS:
        return basis
    return "no interval can be given: recordings are divided among training and test"


def over(recordings: int, videos: int, unit: str = "recordings") -> str:
    """The units of an interval, such as `over 12 recordings`; or why there is no interval."""
    unit = "clips" if recordings == videos else unit
    if recordings < MIN_RECORDINGS:
        return "no interval can be given: all test clips come from one recording"
    few = ", which say little of others" if recordings == MIN_RECORDINGS else ""
    return f"over {recordings} {unit}{few}"


class Conclusion(NamedTuple):
    """The result in a sentence, such as `12 of 24 clips right: not better than guessing`.

    Args:
        details: what is behind it.
        tested_by: "test" or "cross-validation".
    """

    text: str
    details: str
    tested_by: str
    is_guessing: bool = False


def first_line(figures: Figures) -> Conclusion:
    """How many clips are right, and whether that is better than always predicting the most frequent
    class. Of a model of states: how good these are; then the clips are a detail, or none if states
    overlap.

    The details have the accuracy with its interval, next to that baseline; the accuracy if clips of
    one scene are both trained on and tested, where that inflates it; how many clips show a scene
    that the model was trained on; and how many are unlike all of training.
    """
    sentence = figures.states.sentence if figures.states else ""
    # states always are cross-validated
    tested_by = "cross-validation" if figures.cross_validated or sentence else "test"
    if not figures.judges_clips:
        return Conclusion(sentence, _NOT_JUDGED, tested_by)
    total = figures.videos
    is_guessing = figures.has_several_classes and not figures.beats_majority
    text = f"{figures.correct} of {total} clips right"
    if is_guessing:
        text += f": {_guessing(figures)}"
    details = f"accuracy {accuracy_text(figures)} ({interval_of(figures)})"
    if figures.mean_confidence is not None:
        details += f", with a mean confidence of {_percent(figures.mean_confidence, total)}"
    if figures.has_several_classes:
        most = figures.classes[int(np.sum(figures.confusion, axis=1).argmax())]
        share = _percent(figures.majority_share, total)
        details += f"; always predicting “{printable(most)}” gives {share}"
    for leakage, clips in (
        (figures.scenes, "clips of one scene"),
        (figures.copies, "copies of a clip"),
    ):
        if leakage and leakage.mixed > leakage.unseen:
            mixed = _percent(leakage.mixed, total)
            details += f"; if {clips} were both trained on and tested, it would seem to be {mixed}"
    if figures.known_scenes:
        details += f"; {figures.known_scenes} of {total} clips show a scene that it was trained on"
    if figures.unusual:
        right = f"{figures.unusual_correct} of these right"
        details += f"; {figures.unusual} of {total} clips are unlike all clips of training, {right}"
    if sentence:
        tested = "" if figures.cross_validated else "test: "
        details = f"{tested}{text}; {details}"
        is_guessing = False
    return Conclusion(sentence or text, details, tested_by, is_guessing=is_guessing)


def _guessing(figures: Figures) -> str:
    """What a figure says that may be reached by guessing."""
    (_, high) = figures.accuracy_interval or _ANY
    if high <= (1 + figures.majority_share) / 2:  # at most half of what guessing misses
        return "not better than guessing"
    recordings = figures.recordings or figures.videos
    few = "clips" if recordings == figures.videos else "recordings"
    return f"too few {few} to tell whether that is better than guessing"


def accuracy_text(figures: Figures) -> str:
    """`62 %`, rounded as in `first_line`."""
    return _percent(figures.accuracy, figures.videos)


class Advice(NamedTuple):
    """What to do next, in a sentence; and the command that does it, if there is one."""

    text: str
    command: str = ""

    def __str__(self) -> str:
        return f"{self.text} Run `{self.command}`." if self.command else self.text


def advice(figures: Figures) -> list[Advice]:
    """What to do next, most important first; empty for a perfect result on many clips."""
    total = figures.videos
    (low, high) = figures.accuracy_interval or _ANY
    names = [printable(name) for name in figures.classes]
    steps = list[Advice]()

    def add(text: str, command: str = "") -> None:
        steps.append(Advice(text, command))

    if figures.missing:
        add(figures.missing, "onlooker train CLIPS --background VIDEO")
    if not figures.judges_clips:
        return steps
    if figures.has_several_classes and not figures.beats_majority and figures.accuracy < 1:
        visible = "The label must be visible in the frames that the model receives."
        if figures.checked:
            add(f"{visible} `onlooker check` has found no problems in the clips.")
        else:
            problems = "near-duplicates, unbalanced classes, dark and too short clips are found."
            add(f"Check the clips: {problems} {visible}", "onlooker check CLIPS")
    counts = np.asarray(figures.confusion)
    both = np.triu(counts + counts.T, 1)
    i, j = np.unravel_index(both.argmax(), both.shape)
    if both[i, j] > 1:
        add(
            f"Most confused: “{names[i]}” and “{names[j]}” ({both[i, j]} of {total} clips). Check their labels, add "
            "clips that show the difference, or merge them."
        )
    if lost := [printable(name) for name, share in figures.class_accuracy.items() if share == 0]:
        named = "” and “".join(lost[:_MAX_CLASSES])
        text = f"No clip of “{named}” is recognized: add clips of {'them' if lost[1:] else 'it'}"
        if figures.balanced:
            add(f"{text}.")
        else:
            add(
                f"{text}, or let classes weigh equally.",
                "onlooker train CLIPS --class-weights balanced",
            )
    various = "of as many people, places and cameras as possible"
    if high - low > 0.2 and (figures.accuracy < 1 or (low, high) == _ANY):
        add(f"Add {'clips to the training' if figures.other_clips else 'clips'}, {various}.")
    if high - low > 0.2 and not figures.cross_validated:
        few = f"{total} test clips leave an interval of {100 * (high - low):.0f} points"
        few = "The test clips come from too few recordings" if (low, high) == _ANY else few
        if figures.other_clips:
            add(f"{few}: test with more clips, {various}.")
        else:
            add(f"{few}: test all that is trained on.", "onlooker train CLIPS --folds 5")
    return steps


def summary_page(
    figures: Figures,
    evaluation: Evaluation,
    *,
    title: str,
    subtitle: str,
    settings: Mapping[str, Mapping[str, Any]],
    clips: Sequence[DrawnClip] = (),
    contrasts: Sequence[tuple[bytes, str]] = (),
    attends: bool = False,
    curve: AlarmCurve | None = None,
    curves: Curves | None = None,
    notes: Sequence[str] = (),
) -> Page:
    """The page of one evaluation.

    Args:
        title, subtitle: of the page.
        settings: of the run, by group and name.
        clips: test clips as mp4, with caption and tone.
        contrasts: strips of clips, which show the evidence for two classes, with their captions in
            Markdown.
        attends: whether heat maps are drawn on the clips.
        curve: detection rates of events in streams; None: unknown.
        curves: loss and accuracy per epoch of training and validation; None where training is not
            known.
        notes: how the clips were understood, such as what a recording is, a sentence each.
    """
    conclusion = first_line(figures)
    text = escaped(conclusion.text)
    page = Page(title, f"**{text}**" if conclusion.is_guessing else text)
    if figures.events:
        page.text(escaped(f"In recordings: {figures.events}."))
    with page.details("How sure this is"):
        page.text(escaped(f"{_capital(conclusion.details)}. {subtitle}"))
        if figures.judges_clips:
            page.figures(_key_figures(figures))
    _add_list(page, "What to do next", [str(step) for step in advice(figures)])
    if clips:
        page.heading("Test clips")
        tested_by = _CROSS_VALIDATED if figures.cross_validated else _TEST
        page.text(f"{tested_by} {_COLORS}" if attends else tested_by).clips(clips)
    if contrasts:
        page.heading("Why not the other class")
        page.text(f"{_CONTRASTS} {_FITTED}" if figures.cross_validated else _CONTRASTS)
        for strip, caption in contrasts:
            page.figure(strip, caption, wide=True)
    if curve is not None:
        _add_events(page, curve, StreamConfig.alarms_per_hour)
    if figures.states:
        page.heading("States in recordings that it was not fitted to")
        pairs = [*figures.states.pairs.items()][:_MAX_ETHOGRAMS]
        add_timelines(page, dict(pairs), figures.states.classes)
    if figures.judges_clips:
        _mistakes(page, evaluation, figures)
    _training(page, curves, figures)
    _add_list(page, _NOTES, notes)
    add_left_out(page, evaluation.skipped, unit="clip")
    _add_settings(page, settings)
    return page


def _add_events(page: Page, curve: AlarmCurve, rate: float) -> None:
    """What events are found in streams; `rate`: of false alarms, per hour."""
    page.heading("Events in recordings and streams")
    with page.details("How this was measured"):
        page.text(escaped(f"{_capital(curve.details(rate))}. {EVENTS_EXPLAINED}"))
        page.figure(found_by_alarms(curve, rate), "The ring: the default.")


def _add_settings(page: Page, settings: Mapping[str, Mapping[str, Any]]) -> None:
    page.heading("Settings")
    with page.details("All settings of this run"):
        for group, values in settings.items():
            page.table(
                [[f"{group}.{name}", str(value)] for name, value in values.items()],
                ["setting", "value"],
            )


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def comparison_table(figures: Mapping[str, Any]) -> Table:
    """The accuracy of each model, from the figures of `run.compare`, after the majority-class
    baseline.
    """
    total = figures["test_videos"]

    def counted(share: float) -> str:
        """A mean over seeds may not be whole."""
        return f"{share * total:.4g} of {total} ({_percent(share, total)})"

    rows: list[list[str | None]] = [
        ["majority class", counted(figures["majority"]), None, None, None]
    ]
    for name, accuracy in figures["accuracy"].items():
        spread = figures["spread"][name]
        deviation = None if spread is None else f"± {100 * spread:.1f}"
        interval = figures["interval"][name]
        ends = None if interval is None else _range(interval)
        rows.append(
            [name, counted(accuracy), ends, deviation, percent(figures["frame_accuracy"][name])]
        )
    note = f"95 % interval: {over(figures['recordings'], figures['test_videos'])}."
    return Table(
        ["model", "videos correct", "95 % interval", "± over seeds", "frames correct"], rows, note
    )


def comparison_page(title: str, figures: Mapping[str, Any]) -> Page:
    """The page of a comparison, from the figures of `run.compare`."""
    page = Page(
        title,
        f"{figures['test_videos']} test videos · splits: {figures['splits']} · "
        f"seeds: {len(figures['seeds'])}",
    )
    table = comparison_table(figures)
    note = f"{table.note} The report of each training is in its folder, `MODEL/SPLIT-seedSEED`."
    page.table(table.rows, table.columns, note)
    _add_list(page, _NOTES, figures.get("notes", ()))
    _add_list(page, "Clips left out", figures["skipped"])
    return page


def add_timelines(page: Page, pairs: Mapping[str, Pair], classes: Sequence[str]) -> None:
    """Add the labels and the answers of recordings, by their captions."""
    for caption, pair in pairs.items():
        page.figure(ethogram(pair, classes), escaped(caption), wide=True)


def add_left_out(page: Page, errors: Sequence[ClipError], *, unit: str) -> None:
    """Add a table of what could not be used."""
    if errors:
        page.heading(f"{_capital(unit)}s left out")
        rows = [[str(error.path), error.found, error.remedy] for error in errors]
        page.table(rows, [unit, "problem", "what to do"])


def _add_list(page: Page, heading: str, lines: Sequence[str]) -> None:
    """Add a list under a heading, unless it is empty."""
    if lines:
        page.heading(heading).text("\n".join(f"- {escaped(printable(line))}" for line in lines))


def _key_figures(figures: Figures) -> list[tuple[str, str, str]]:
    total = figures.videos
    majority = figures.majority_share
    values = [
        (
            accuracy_text(figures),
            f"{figures.correct} of {total} clips correct",
            interval_of(figures),
        ),
        (
            _percent(majority, total),
            "majority-class baseline",
            f"{round(majority * total)} of {total}: always the most frequent class",
        ),
    ]
    if figures.frames and figures.frame_accuracy is not None:
        share = figures.frame_accuracy
        correct = f"{round(share * figures.frames)} of {figures.frames} frames correct"
        values.insert(1, (_percent(share, total), correct, "the class at each frame"))
    error = figures.calibration_error
    expected, most = figures.perfect_calibration_error
    if error > most:  # else it is what a perfectly calibrated model has with so few clips
        chance = (
            f"a perfectly calibrated model: about {percent(expected, 0)}, up to {percent(most, 0)}"
        )
        values.append((percent(error, 0), "calibration error", chance))
    return values


EVENTS_EXPLAINED = (
    "An event is found if a reported one of its class overlaps it in time; by chance: if the same events were reported "
    "at random times. A false alarm overlaps no event, and is counted per hour without events; the rate that is "
    "stated is not exceeded with a confidence of 95 %."
)
_TEST = (
    "Random test clips; up to half of them are mistakes. None of these files was used in training."
)
_CROSS_VALIDATED = (
    "Random clips; up to half of them are mistakes. Predictions are by models that were fitted without the clip and "
    "its recording; attention is by the final model, which was fitted to all clips."
)

_COLORS = "Color shows where something happens that the model looks at; boxes, the actors."
_CONTRASTS = (
    "Mistakes, and clips where the second class is near: blue, what speaks for the predicted class; orange, for the "
    "true or the second one. Bars: how much, over time; the pale one is there whatever a clip shows."
)
_FITTED = (
    "Evidence and percentages are those of the final model, which was fitted to all clips; these are clips that it "
    "names like the model that was fitted without them."
)


_RULE = (
    "On recordings that a candidate was not fitted to. The first one is the default; another one is chosen if it is "
    "clearly better over recordings: of equal ones, 16 of 100 seem so by chance. Inner shares are optimistic: "
    "they are those of the best of several. What to expect is at the top."
)


def _mistakes(page: Page, evaluation: Evaluation, figures: Figures) -> None:
    page.heading("Mistakes")
    predicted = evaluation.answers
    sure = evaluation.answer_scores
    texts = evaluation.answer_texts
    classes = evaluation.answer_names
    order = np.argsort(-sure, kind="stable").tolist()
    wrong = [k for k in order if predicted[k] != evaluation.targets[k]]
    cells: dict[tuple[int, int], list[str]] = {}
    for k in order:
        line = f"{evaluation.names[k]} · {texts[k]}"
        cells.setdefault((int(evaluation.targets[k]), int(predicted[k])), []).append(line)
    if len(classes) <= _MAX_MATRIX:
        page.confusion(figures.confusion, classes, cells)
        page.text("Numbers are clips; click on one to list them.")
    class_rows = [
        [name, f"{row[k]} of {sum(row)} ({_percent(row[k] / sum(row), sum(row))})"]
        if any(row)
        else [name, None]
        for k, (name, row) in enumerate(zip(classes, figures.confusion, strict=True))
    ]
    page.table(class_rows, ["class", "classified correctly"])
    if wrong:
        rows = [[evaluation.names[k], classes[evaluation.targets[k]], texts[k]] for k in wrong]
        page.table(rows, ["clip", "true class", "prediction"], "Most confident first.")
    listed = {evaluation.names[k] for k in wrong}
    doubted = [clip for clip in figures.labels_to_check or () if clip.name not in listed]
    if doubted and figures.beats_majority:
        page.heading("Labels to check")
        page.text(
            "Of the other clips, each predicted by a model that was not trained on it; the most doubtful label first."
        )
        rows = [[clip.name, clip.label, clip.predicted, percent(clip.score, 0)] for clip in doubted]
        page.table(rows, ["clip", "label", "prediction", "confidence"])


def _training(page: Page, curves: Curves | None, figures: Figures) -> None:
    if figures.chosen:
        page.heading("What was chosen").text(escaped(f"{_capital(figures.chosen)}."))
    if figures.tried:
        with page.details("All candidates"):
            page.table(
                [
                    [
                        row.choice,
                        row.candidate,
                        None if row.loss is None else f"{row.loss:.3f} {row.measure}",
                        None if row.accuracy is None else percent(row.accuracy),
                        row.outcome,
                    ]
                    for row in figures.tried
                ],
                ["choice", "candidate", "loss", "correct (inner, optimistic)", "outcome"],
                _RULE,
            )
    if curves and curves["training"]["loss"]:
        page.heading("Training")
        best_epoch = 1 + int(np.nanargmin(curves["validation"]["loss"]))
        page.figure(
            loss_and_accuracy(curves, best_epoch=best_epoch),
            "Loss and accuracy per epoch, without a threshold.",
            wide=True,
        )
