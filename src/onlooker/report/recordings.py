"""The page of an evaluation on whole recordings: figures, timelines of labels and answers, and clips
of the mistakes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from onlooker.base.alarm_curve import alarms_text
from onlooker.base.records import ClipError, Segment
from onlooker.base.text import counted
from onlooker.measure.events import mistakes
from onlooker.measure.recordings import ComparedRecording
from onlooker.report.page import DrawnClip, Page, escaped, percent
from onlooker.report.plots import ethogram
from onlooker.report.summary import EVENTS_EXPLAINED, add_ethograms, add_left_out

_MOST_CLIPS = 12  # of each kind of mistake
_Mistake = tuple[ComparedRecording, Segment, str]  # and what it is named
DrawnEvent = Callable[[ComparedRecording, Segment], bytes | None]


def events_sentence(figures: Mapping[str, Any]) -> str:
    """The figures of `event_figures` in a sentence: `finds 8 of 10 events, names 1 wrong, at most 6
    false alarms an hour (3 in 77 min of quiet footage)`.
    """
    wrong = f", names {figures['misnamed']} wrong" if figures["misnamed"] else ""
    alarms = alarms_text(figures["false_alarms"], figures["hours"])
    return f"finds {figures['found']} of {figures['events']} events{wrong}, {alarms}"


def agreement_text(agreement: Mapping[str, Any]) -> str:
    """The figures of `scorer_agreement` in a sentence."""
    where = counted(agreement["recordings"], "recording")
    return (
        f"Two scorers agree with a kappa of {agreement['scorers']:.2f} in {where}, the model and the "
        f"first one with {agreement['model']:.2f}"
    )


def recordings_page(
    name: str,
    figures: Mapping[str, Any],
    recordings: Sequence[ComparedRecording],
    *,
    skipped: Sequence[ClipError],
    clip: DrawnEvent,
) -> Page:
    """The page of an evaluation.

    Args:
        name: of the list of recordings.
        figures: of `figures_of_recordings`; with `states`, the page shows these, else events.
        clip: an mp4 of an event of a recording; None: it cannot be read any more.
    """
    if "states" in figures:
        minutes = sum(recording.true.seconds for recording in recordings) / 60
        subtitle = f"{counted(len(recordings), 'recording')}, {minutes:.1f} min"
        page = Page(f"{name}: states of recordings", subtitle)
        _add_states(page, figures, recordings)
    else:
        counts = counted(len(recordings), "recording"), counted(figures["events"], "event")
        title = f"{name}: {', '.join(counts)}"
        page = Page(title, escaped(f"In recordings: {events_sentence(figures)}."))
        _add_events(page, figures, recordings)
        _add_mistakes(page, recordings, clip)
    add_left_out(page, skipped, unit="recording")
    return page


def _add_states(
    page: Page, figures: Mapping[str, Any], recordings: Sequence[ComparedRecording]
) -> None:
    """Key figures of each tier, the agreement of scorers, time budgets and ethograms."""
    tiers = figures["states"]
    for tier in tiers:
        page.figures(_key_figures(tier))
    for agreement in figures.get("scorers", ()):
        page.text(f"{agreement_text(agreement)}.")
    page.heading("Time budget")
    columns = ("state", "labeled min", "found min", "bouts", "found", "median s", "found")
    budgets = [entry for tier in tiers for entry in tier["states"].items()]
    page.table([_budget_row(name, budget) for name, budget in budgets], columns)
    page.heading("Ethograms")
    pairs = {recording.name: (recording.true, recording.predicted) for recording in recordings}
    add_ethograms(page, pairs, [name for tier in tiers for name in tier["classes"]])


def _key_figures(tier: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    bouts = tier["bouts"]
    errors = f"{bouts['split']} split, {bouts['merged']} merged, {bouts['inserted']} inserted"
    return [
        (percent(tier["accuracy"], 0), "of the time right", f"κ {tier['kappa']:.2f}"),
        (f"{tier['segmental_f1']['50']:.0f}", "F1@50 of bouts", f"edit {tier['edit']:.0f}"),
        (f"{bouts['found']} of {bouts['true']}", "bouts found", errors),
    ]


def _budget_row(name: str, budget: Mapping[str, Any]) -> list[str | float | None]:
    both = (budget["true"], budget["predicted"])
    return [
        name,
        *(round(values["minutes"], 2) for values in both),
        *(values["bouts"] for values in both),
        *(values["median"] and round(values["median"], 1) for values in both),
    ]


def _add_events(
    page: Page, figures: Mapping[str, Any], recordings: Sequence[ComparedRecording]
) -> None:
    """Figures of events, also live, and the timeline of each recording."""
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
        pair = (recording.true, recording.judged)
        labels = {event.label for timeline in pair for event in timeline.segments}
        page.figure(ethogram(pair, sorted(labels)), escaped(caption), wide=True)


def _add_mistakes(page: Page, recordings: Sequence[ComparedRecording], clip: DrawnEvent) -> None:
    """The first clips of each kind of mistake."""
    missed = list[_Mistake]()
    wrong = list[_Mistake]()
    false = list[_Mistake]()
    for recording in recordings:
        unseen, misnamed, alarms = mistakes(recording.true, recording.judged)
        missed += [(recording, event, event.label) for event in unseen]
        wrong += [
            (recording, event, f"{event.label}, named {_scored(other)}")
            for event, other in misnamed
        ]
        false += [(recording, event, _scored(event)) for event in alarms]
    false.sort(key=lambda mistake: -mistake[1].score)
    for heading, entries in (("Missed", missed), ("Wrong class", wrong), ("False alarms", false)):
        if entries:
            page.heading(f"{heading}: {len(entries)}")
            page.clips(_clips(entries[:_MOST_CLIPS], clip))
            if len(entries) > _MOST_CLIPS:
                page.text(f"The first {_MOST_CLIPS} are shown.")


def _scored(event: Segment) -> str:
    return f"{event.label} {100 * event.score:.0f} %"


def _clips(entries: Sequence[_Mistake], clip: DrawnEvent) -> Iterator[DrawnClip]:
    for recording, event, text in entries:
        if content := clip(recording, event):
            times = f"{recording.name}, {event.start:.1f} to {event.end:.1f} s"
            yield content, f"{text}\n{times}", "wrong"
