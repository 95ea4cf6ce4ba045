"""Temporal localization in live streams, stitched from clips and pauses; learned from one label per clip.

    python -m onlooker_papers.real_clips.stitched               # writes results/stitched.json
    python -m onlooker_papers.real_clips.stitched --splits 3    # an hour

Test streams are stitched from clips that are not in training: an event, then one to three clips of nothing, and so
on. The linear model processes them frame by frame. Live segments last while an event is reported: from the third of
the consecutive frames that agree until their class is not the most probable one. Dated segments have the times that
`onlooker watch --events` sends when an event is over (`publish.EventTracker`): earlier by half of the model's window,
and the beginning also by the frames that had to agree. These are the segments of an offline model whose windows are
centered on each frame.

Models see 16 frames, the median length of an event, or 8: a window that is half as long sees an event begin and end
sooner. For each of the two ways, window and threshold are those with the highest segment-mAP at .3 on streams that are
stitched from the training clips, where each stream is predicted by a model that was fitted without it.

- `ucf101_18`: the last five classes in alphabetical order are nothing.
- `jhmdb`: `sit`, `stand` and `walk` are nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import typer

from onlooker.answer import NOTHING, event_scores, nothing_class
from onlooker.cli.command import command, stoppable
from onlooker.evaluation.detection import segment_map
from onlooker.structures import Segment
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.real_clips.stream_model import fitted, play
from onlooker_papers.real_clips.streams import (
    AGREEMENT,
    Floats,
    Part,
    Stream,
    reported_events,
    stitch,
)
from onlooker_papers.results import write_whole

WHAT = "segment-mAP of events in stitched streams: while they are reported live, and with the times that are published"
COMMAND = "python -m onlooker_papers.real_clips.stitched"
OVERLAPS = (0.2, 0.3, 0.5)
WAYS, WINDOWS = ("live", "dated"), (16, 8)
_THRESHOLDS = [round(float(t), 2) for t in np.linspace(0.05, 0.95, 19)]
_STREAMS, _PAUSES = 2, (1, 4)  # per split; clips of nothing after an event, from 1 to 3


@dataclass(frozen=True)
class Setting:
    """One set: the frames per second at which the median clip has 16 frames, and the classes that are nothing."""

    rate: float
    nothing: tuple[str, ...]


SETTINGS = {
    "ucf101_18": Setting(2.5, ("PlayingPiano", "PlayingSitar", "PlayingViolin", "Surfing", "WalkingWithDog")),
    "jhmdb": Setting(15.0, ("sit", "stand", "walk")),
}


def with_pauses(parts: Sequence[Part], random: np.random.Generator) -> Stream:
    """All events once, in random order, each followed by some clips of nothing."""
    of_events = [i for i, part in enumerate(parts) if part.label != NOTHING]
    nothing = [i for i, part in enumerate(parts) if part.label == NOTHING]
    order = [int(random.choice(nothing))]
    for event in random.permutation(of_events).tolist():
        order += [event, *random.choice(nothing, random.integers(*_PAUSES)).tolist()]
    return stitch(parts, order)


def segments_of(
    scores: Floats, classes: Sequence[str], threshold: float, rate: float, late: tuple[int, int] = (0, 0)
) -> list[Segment]:
    """The events that are reported at `T` frames with probabilities `T K`, dated back by `late` frames (start, end)."""
    reported, of_events = reported_events(scores, classes, threshold), event_scores(scores, nothing_class(classes))
    edges = np.flatnonzero(np.diff(reported, prepend=-2, append=-2))
    found = []
    for first, after in pairwise(edges.tolist()):
        start, end = max(0, first - late[0]), after - late[1]
        if end > 0 and reported[first] >= 0:
            score = float(of_events[first:after, reported[first]].mean())
            found.append(Segment(classes[reported[first]], start / rate, end / rate, score))
    return found


def true_segments(stream: Stream, rate: float) -> list[Segment]:
    """The events of a stream."""
    return [Segment(label, first / rate, after / rate) for first, after, label in stream.events]


def lateness(way: str, window: int) -> tuple[int, int]:
    """The frames by which the start and the end of a segment are dated back."""
    return (AGREEMENT - 1 + window // 2, window // 2) if way == "dated" else (0, 0)


def measure(name: str, count: int) -> dict[str, Any]:
    """Segment-mAP of one set, by overlap, live and dated, on its first `count` official splits."""
    setting, splits = SETTINGS[name], [*splits_of(name).values()][:count]
    labels = {clip.label for split in splits for clip in split.clips}
    classes = tuple(sorted({NOTHING, *labels} - {*setting.nothing}))
    keys = [(way, window) for way in WAYS for window in WINDOWS]
    found: dict[tuple[str, int], dict[str, list[Segment]]] = {key: {} for key in keys}
    quality: dict[tuple[str, int], list[float]] = {key: [] for key in keys}
    true: dict[str, list[Segment]] = {}
    seconds = 0.0
    for window in WINDOWS:
        for number, model in enumerate(fitted(name, splits, setting.rate, classes, window=window)):
            streams = [with_pauses(model.test, np.random.default_rng((number, i))) for i in range(_STREAMS)]
            played = play(model.net, streams, model.temperature)
            true |= {f"{number}-{i}": true_segments(stream, setting.rate) for i, stream in enumerate(streams)}
            seconds += sum(map(len, played)) / setting.rate / len(WINDOWS)
            for way in WAYS:
                late = lateness(way, window)
                threshold, reached = best_threshold(model.held_out, classes, setting.rate, late)
                quality[way, window].append(reached)
                for i, each in enumerate(played):
                    segments = segments_of(each, classes, threshold, setting.rate, late)
                    found[way, window][f"{number}-{i}"] = segments
    of_windows = {
        way: {
            str(window): dict(zip(map(str, OVERLAPS), _map(found[way, window], true), strict=True))
            for window in WINDOWS
        }
        for way in WAYS
    }
    chosen = {way: max(WINDOWS, key=lambda window: mean(quality[way, window])) for way in WAYS}
    return {
        "segment_map": {way: of_windows[way][str(window)] for way, window in chosen.items()},
        "window": chosen,
        "windows": of_windows,
        "events": sum(map(len, true.values())),
        "hours": seconds / 3600,
        "classes": len(classes) - 1,
        "splits": len(splits),
    }


def best_threshold(
    scored: Sequence[tuple[Stream, Floats]], classes: Sequence[str], rate: float, late: tuple[int, int]
) -> tuple[float, float]:
    """The threshold with the highest segment-mAP at .3, on streams whose events may follow each other directly."""
    true = {str(i): true_segments(stream, rate) for i, (stream, _) in enumerate(scored)}

    def quality(threshold: float) -> float:
        found = {str(i): segments_of(each, classes, threshold, rate, late) for i, (_, each) in enumerate(scored)}
        return _map(found, true)[1]

    reached = {threshold: quality(threshold) for threshold in _THRESHOLDS}
    best = max(reached, key=reached.__getitem__)
    return best, reached[best]


def _map(found: dict[str, list[Segment]], true: dict[str, list[Segment]]) -> list[float]:
    return [float(value) for value in segment_map(found, true, OVERLAPS)]


def stitched(
    splits: Annotated[int, typer.Option(help="Official splits of each set, from the first one.", min=1, max=3)] = 1,
) -> None:
    """Segment-mAP of events in stitched streams, live and dated; $ONLOOKER_DATA has the clips."""
    with stoppable():
        figures = {name: measure(name, splits) for name in SETTINGS}
        for name, of in figures.items():
            typer.echo(f"{name}: {of['segment_map']}")
        made_by = COMMAND if splits == 1 else f"{COMMAND} --splits {splits}"
        write_whole(Path("results"), "stitched", WHAT, made_by, figures, [0])


app = typer.Typer(add_completion=False)
command(stitched, app)

if __name__ == "__main__":
    app()
