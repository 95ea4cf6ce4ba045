"""Evaluate a run on whole recordings: it watches them as streams, and its events are compared with listed intervals."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from onlooker.answer import nothing_name
from onlooker.config import StreamConfig
from onlooker.data.sets import ClipSet, set_name
from onlooker.evaluation.detection import event_figures
from onlooker.evaluation.report import percent
from onlooker.files import check_writable, printable, write_json
from onlooker.intervals import WHOLE, file_of, split_interval
from onlooker.publish import Event, EventTracker
from onlooker.recognizer import Recognizer, load, trained_run
from onlooker.run_record import FIGURES
from onlooker.runs.evaluate import new_clips
from onlooker.structures import ClipError, Segment
from onlooker.training.stages import tracked
from onlooker.video.reader import VideoReader

__all__ = ["evaluate_recordings"]


def evaluate_recordings(run: Path, clips: ClipSet) -> dict[str, Any]:
    """Watch each recording of a list from begin to end, and compare its events with the intervals of the list.

    Writes evaluation.json into the run's `recordings-NAME`. Events have the times that `onlooker watch --events`
    sends. Recordings that the model was trained on are left out; one in which nothing happens may be listed as a whole,
    with that class.

    Returns:
        The figures of all recordings (`event_figures`); `recordings`: those of each; `skipped`: left out, and why.

    Raises:
        FileNotFoundError, NotWritableError, ClipError: as `evaluate`.
        ValueError: a model that cannot process streams.
    """
    run = trained_run(run)
    recognizer, out = load(run), run / f"recordings-{set_name(clips.path)}"
    test, known = new_clips(run, recognizer, clips)
    errors = {file_of(error.path): ClipError(file_of(error.path), error.found, error.remedy) for error in known}
    check_writable(out, "copy the run to a folder that can be written to")
    listed = defaultdict(list)
    for clip in test:
        listed[file_of(clip.path)].append(clip)
    found, true, lengths = dict[str, list[Segment]](), dict[str, list[Segment]](), dict[str, float]()
    for file, here in tracked(listed.items(), "watching", len(listed), "watching recordings"):
        try:
            seconds, found[str(file)] = VideoReader(file).seconds, watch_events(recognizer, file)
        except ClipError as error:
            errors[file] = error
            continue
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
        "recordings": {file: event_figures({file: found[file]}, {file: true[file]}, lengths[file]) for file in lengths},
        "skipped": [error.to_dict() for error in (*clips.left_out, *errors.values())],
    }
    write_json(out / FIGURES, figures)
    return figures


def watch_events(recognizer: Recognizer, file: Path) -> list[Segment]:
    """The events of a recording, as they are published when they are over."""
    config, events = StreamConfig(), list[Event]()
    tracker = EventTracker(recognizer.model.lag, config.agreement)
    for step in recognizer.watch(file, config):
        events += tracker.add(step)
    over = [(event, event.ended) for event in [*events, *tracker.end_all()] if event.ended is not None]
    # An event may be dated back to one moment.
    return [Segment(event.label, event.began, max(end, event.began + 1e-3), event.score) for event, end in over]


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
