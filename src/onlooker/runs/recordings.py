"""Evaluate a run on whole recordings: it watches them as streams, and its events are compared with listed intervals."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console
from rich.text import Text

from onlooker.answer import nothing_name
from onlooker.data.sets import ClipSet, set_name
from onlooker.evaluation.detection import event_figures
from onlooker.evaluation.report import percent
from onlooker.files import check_writable, printable, write_json
from onlooker.intervals import WHOLE, file_of, split_interval
from onlooker.recognizer import load, trained_run
from onlooker.run_record import FIGURES
from onlooker.runs.evaluate import new_clips
from onlooker.structures import ClipError, Segment, Step
from onlooker.video.reader import VideoReader

__all__ = ["evaluate_recordings"]

_SAID = 10.0  # seconds between two lines about a recording that takes long


def evaluate_recordings(run: Path, clips: ClipSet) -> dict[str, Any]:
    """Watch each recording of a list from begin to end, and compare its events with the intervals of the list.

    Writes evaluation.json into the run's `recordings-NAME`. Recordings that the model was trained on are left out; one
    in which nothing happens may be listed as a whole, with that class.

    Returns:
        The figures of all recordings (`event_figures`); `live`: of the events that `onlooker watch` reports while they
        play; `recordings`: of each; `skipped`: left out, and why.

    Raises:
        FileNotFoundError, NotWritableError, ClipError: as `evaluate`.
        ValueError: a model that cannot process streams, or finds no events.
    """
    run = trained_run(run)
    recognizer, out = load(run), run / f"recordings-{set_name(clips.path)}"
    test, known = new_clips(run, recognizer, clips)
    errors = {file_of(error.path): ClipError(file_of(error.path), error.found, error.remedy) for error in known}
    check_writable(out, "copy the run to a folder that can be written to")
    listed = defaultdict(list)
    for clip in test:
        listed[file_of(clip.path)].append(clip)
    found, live = dict[str, Sequence[Segment]](), dict[str, Sequence[Segment]]()
    true, lengths = dict[str, list[Segment]](), dict[str, float]()
    for file, here in listed.items():
        try:
            seconds = VideoReader(file).seconds
            prediction, seen = recognizer.predict_recording(file, Watched(file.name, seconds))
        except ClipError as error:
            errors[file] = error
            continue
        found[str(file)], live[str(file)] = prediction.segments, seen
        lengths[str(file)], true[str(file)] = seconds, []
        for clip in here:
            start, end = split_interval(clip.path)[1] or WHOLE
            if start >= seconds:
                problem = f"outside the recording, which is {seconds:.2f} s long"
                errors[clip.path] = ClipError(clip.path, problem, "correct the times")
            elif clip.label != nothing_name(recognizer.classes, recognizer.nothing):
                true[str(file)].append(Segment(clip.label, start, min(end, seconds)))
    if not lengths:
        raise [*errors.values()][-1]
    figures = {
        **event_figures(found, true, sum(lengths.values())),
        "live": event_figures(live, true, sum(lengths.values())),
        "recordings": {file: event_figures({file: found[file]}, {file: true[file]}, lengths[file]) for file in lengths},
        "skipped": [error.to_dict() for error in (*clips.left_out, *errors.values())],
    }
    write_json(out / FIGURES, figures)
    return figures


class Watched:
    """Says from time to time how much of a recording has been watched."""

    def __init__(self, name: str, seconds: float) -> None:
        self._name, self._seconds, self._last = name, seconds, monotonic()

    def __call__(self, step: Step) -> None:
        if monotonic() - self._last >= _SAID:
            self._last = monotonic()
            text = f"{self._name}: {step.time:.0f} of {self._seconds:.0f} s watched"
            Console(stderr=True).print(Text(printable(text), "dim"), soft_wrap=True)


def show(figures: Mapping[str, Any]) -> None:
    """Print a line for each recording that is left out, for each other one, and for all."""
    for error in figures["skipped"]:
        Console(stderr=True).print(Text(f"{error['path']}: {error['found']}; {error['remedy']}"), soft_wrap=True)
    for name, of in [*figures["recordings"].items(), ("all", figures)]:
        maps = ", ".join(
            f"{percent(value)} at IoU {iou}" for iou, value in of["segment_map"].items() if value is not None
        )
        text = (
            f"{name}: {of['found']} of {of['events']} events found, {of['false_alarms_per_hour']:.1f} false alarms per "
        )
        text += f"hour ({of['false_alarms']} in {60 * of['hours']:.1f} min)" + (f", segment-mAP {maps}" if maps else "")
        Console().print(Text(printable(text)), soft_wrap=True)
