"""The page of an evaluation on whole recordings: figures, timelines of labels and answers, and clips
of the mistakes.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from onlooker.base.alarm_curve import alarms_text
from onlooker.base.records import ClipError, Segment
from onlooker.base.text import counted, some_of
from onlooker.measure.events import judged, mistakes
from onlooker.measure.recordings import ComparedRecording
from onlooker.report.page import DrawnClip, Page, escaped, percent
from onlooker.report.summary import EVENTS_EXPLAINED, add_left_out, add_timelines

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


def result_lines(figures: Mapping[str, Any]) -> list[str]:
    """What `figures_of_recordings` say: a line for all events, or for each tier of states; these of
    what is reported live, if they differ; and how well two scorers agree.
    """
    lines = _sentences(figures)
    live = _sentences(figures["live"])
    agreements = [
        f"Two scorers agree with a kappa of {agreement['scorers']:.2f} in "
        f"{counted(agreement['recordings'], 'recording')}, the model and the first one with "
        f"{agreement['model']:.2f}"
        for agreement in figures.get("scorers", ())
    ]
    return [
        *(f"In recordings: {line}" for line in lines),
        *(f"Live, as `onlooker watch` reports them: {line}" for line in live if live != lines),
        *agreements,
    ]


def _sentences(figures: Mapping[str, Any]) -> list[str]:
    if "states" not in figures:
        return [events_sentence(figures)]
    tiers = figures["states"]
    names = [f"{some_of(tier['classes'])}: " if len(tiers) > 1 else "" for tier in tiers]
    return [name + _tier_sentence(tier) for name, tier in zip(names, tiers, strict=True)]


def _tier_sentence(tier: Mapping[str, Any]) -> str:
    f1 = "/".join(f"{value:.0f}" for value in tier["segmental_f1"].values())
    bouts = tier["bouts"]
    return (
        f"{100 * tier['accuracy']:.0f} % of the time right, macro F1 {100 * tier['macro_f1']:.0f}, "
        f"F1@10/25/50 {f1}, edit {tier['edit']:.0f}, kappa {tier['kappa']:.2f}; {bouts['found']} of "
        f"{bouts['true']} bouts found, {bouts['missed']} missed, {bouts['split']} split, "
        f"{bouts['merged']} merged, {bouts['inserted']} inserted"
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
        figures: of `figures_of_recordings`.
        clip: an mp4 of an event of a recording; None: it cannot be read any more.
    """
    tiers = figures.get("states") or figures["as_states"]
    minutes = sum(recording.true.seconds for recording in recordings) / 60
    result, *more = result_lines(figures)
    title = f"{name}: {counted(len(recordings), 'recording')}, {minutes:.1f} min"
    page = Page(title, escaped(f"{result}."))
    for line in more:
        page.text(escaped(f"{line}."))
    _add_measures(page, figures)
    page.heading("Time budget")
    columns = ("class", "labeled min", "found min", "bouts", "found", "median s", "found")
    budgets = [entry for tier in tiers for entry in tier["states"].items()]
    page.table([_budget_row(name, budget) for name, budget in budgets], columns)
    page.heading("Timelines")
    captions = dict[str, str]()
    if "states" not in figures:
        captions = {name: f": {events_sentence(of)}" for name, of in figures["recordings"].items()}
    pairs = {
        f"{recording.name}{captions.get(recording.name, '')}": (recording.true, recording.judged)
        for recording in recordings
    }
    add_timelines(page, pairs, [name for tier in tiers for name in tier["classes"]])
    _add_mistakes(page, recordings, [tier["classes"] for tier in tiers], clip=clip)
    add_left_out(page, skipped, unit="recording")
    return page


def _budget_row(name: str, budget: Mapping[str, Any]) -> list[str | float | None]:
    both = (budget["true"], budget["predicted"])
    return [
        name,
        *(round(values["minutes"], 2) for values in both),
        *(values["bouts"] for values in both),
        *(values["median"] and round(values["median"], 1) for values in both),
    ]


def _add_measures(page: Page, figures: Mapping[str, Any]) -> None:
    """What is counted, and figures that need an explanation."""
    with page.details("How this was measured"):
        maps = ", ".join(
            f"{percent(value)} at IoU {iou}"
            for iou, value in figures["segment_map"].items()
            if value is not None
        )
        chance = f"By chance it would find {figures['found_by_chance']:.1f} events."
        page.text(escaped(f"{EVENTS_EXPLAINED} {chance} Segment-mAP: {maps or 'no events'}."))


def _add_mistakes(
    page: Page,
    recordings: Sequence[ComparedRecording],
    tiers: Sequence[Collection[str]],
    *,
    clip: DrawnEvent,
) -> None:
    """The first clips of each kind of mistake; classes of different tiers are not compared."""
    missed = list[_Mistake]()
    wrong = list[_Mistake]()
    false = list[_Mistake]()
    for recording, tier in product(recordings, tiers):
        true = recording.true.only(tier)
        unseen, misnamed, alarms = mistakes(true, judged(true, recording.predicted.only(tier)))
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
