"""The page of an evaluation on whole recordings: timelines of true and found events, and clips of the
mistakes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onlooker.base.records import ClipError, Segment
from onlooker.measure.events import events_sentence, mistakes
from onlooker.report.page import DrawnClip, Page, percent
from onlooker.report.plots import ethogram
from onlooker.report.summary import EVENTS_EXPLAINED, escaped

_MOST_CLIPS = 12  # of each kind of mistake


@dataclass(frozen=True)
class RecordingEvents:
    """The events of a recording of some seconds."""

    name: str
    predicted: Sequence[Segment]
    true: Sequence[Segment]
    seconds: float


def recordings_page(
    title: str,
    figures: Mapping[str, Any],
    recordings: Sequence[RecordingEvents],
    *,
    skipped: Sequence[ClipError],
    clip: Callable[[RecordingEvents, Segment], bytes | None],
) -> Page:
    """The page of an evaluation.

    Args:
        figures: of `run.evaluate.evaluate_recordings`.
        clip: an mp4 of an event of a recording; None: it cannot be read any more.
    """
    page = Page(title, escaped(f"In recordings: {events_sentence(figures)}."))
    live = events_sentence(figures["live"])
    if live != events_sentence(figures):
        page.text(escaped(f"Live, as `onlooker watch` reports them: {live}."))
    with page.details("How this was measured"):
        maps = ", ".join(
            f"{percent(value)} at IoU {iou}"
            for iou, value in figures["segment_map"].items()
            if value is not None
        )
        chance = f"By chance it would find {figures['found_by_chance']:.1f} events."
        page.text(escaped(f"{EVENTS_EXPLAINED} {chance} Segment-mAP: {maps or 'no events'}."))
    page.heading("Timelines")
    for recording in recordings:
        caption = f"{recording.name}: {events_sentence(figures['recordings'][recording.name])}"
        events = {"true": recording.true, "found": recording.predicted}
        labels = {event.label for row in events.values() for event in row}
        plot = ethogram(events, sorted(labels), recording.seconds)
        page.figure(plot, escaped(caption), wide=True)
    missed = list[tuple[RecordingEvents, Segment, str]]()
    wrong = list[tuple[RecordingEvents, Segment, str]]()
    false = list[tuple[RecordingEvents, Segment, str]]()
    for recording in recordings:
        errors = mistakes(recording.predicted, recording.true)
        missed += [(recording, event, event.label) for event in errors.missed]
        wrong += [
            (recording, event, f"{event.label}, named {_scored(other)}")
            for event, other in errors.wrong
        ]
        false += [(recording, event, _scored(event)) for event in errors.false]
    false.sort(key=lambda entry: -entry[1].score)
    for heading, entries in (("Missed", missed), ("Wrong class", wrong), ("False alarms", false)):
        if entries:
            page.heading(f"{heading}: {len(entries)}")
            page.clips(_clips(entries[:_MOST_CLIPS], clip))
            if len(entries) > _MOST_CLIPS:
                page.text(f"The first {_MOST_CLIPS} are shown.")
    if skipped:
        page.heading("Left out")
        rows = [[str(error.path), error.found, error.remedy] for error in skipped]
        page.table(rows, ["recording", "problem", "what to do"])
    return page


def _scored(event: Segment) -> str:
    return f"{event.label} {100 * event.score:.0f} %"


def _clips(
    entries: Sequence[tuple[RecordingEvents, Segment, str]],
    clip: Callable[[RecordingEvents, Segment], bytes | None],
) -> list[DrawnClip]:
    clips = list[DrawnClip]()
    for recording, event, text in entries:
        content = clip(recording, event)
        if content is not None:
            times = f"{recording.name}, {event.start:.1f} to {event.end:.1f} s"
            clips.append((content, f"{text}\n{times}", "wrong"))
    return clips
