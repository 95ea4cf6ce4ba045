"""Temporal localization in live streams, stitched from clips and pauses; learned from one label per clip.

    python -m onlooker_papers.real_clips.stitched               # writes results/stitched.json
    python -m onlooker_papers.real_clips.stitched --splits 3    # an hour

Test streams are stitched from clips that are not in training: an event, then one to three clips of nothing, and so on.
The linear model processes them frame by frame. Live segments last while an event is reported: from the third of the
consecutive frames that agree to the last one. Dated segments have the times that `onlooker watch --publish` sends when
an event is over (`publish.EventTracker`): earlier by half of the model's window, and the beginning also by the
frames that had to agree. These are the segments of an offline model whose windows are centered on each frame. For each
of the two, the threshold is the one with the highest segment-mAP at .5 on streams that are stitched from the training
clips, where each stream is predicted by a model that was fitted without it.

- `ucf101_18`: the last five classes in alphabetical order are nothing.
- `jhmdb`: `sit`, `stand` and `walk` are nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from onlooker.answer import NOTHING, event_scores
from onlooker.cli.command import command, stoppable
from onlooker.evaluation.detection import segment_map
from onlooker.structures import Segment
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.real_clips.stream_model import fitted, play
from onlooker_papers.real_clips.streams import (
    AGREEMENT,
    WINDOW,
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
LATE = {"live": (0, 0), "dated": (AGREEMENT - 1 + WINDOW // 2, WINDOW // 2)}  # frames by which both ends are dated back
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
    reported, of_events = reported_events(scores, classes, threshold), event_scores(scores, classes)
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


def measure(name: str, count: int) -> dict[str, Any]:
    """Segment-mAP of one set, by overlap, live and dated, on its first `count` official splits."""
    setting, splits = SETTINGS[name], [*splits_of(name).values()][:count]
    labels = {clip.label for split in splits for clip in split.clips}
    classes = tuple(sorted({NOTHING, *labels} - {*setting.nothing}))
    found: dict[str, dict[str, list[Segment]]] = {way: {} for way in LATE}
    true: dict[str, list[Segment]] = {}
    chosen, seconds = list[dict[str, float]](), 0.0
    for number, model in enumerate(fitted(name, splits, setting.rate, classes)):
        thresholds = {way: best_threshold(model.held_out, classes, setting.rate, late) for way, late in LATE.items()}
        chosen.append(thresholds)
        streams = [with_pauses(model.test, np.random.default_rng((number, i))) for i in range(_STREAMS)]
        for i, each in enumerate(play(model.net, streams, model.temperature)):
            key = f"{number}-{i}"
            true[key] = true_segments(streams[i], setting.rate)
            seconds += len(each) / setting.rate
            for way, late in LATE.items():
                found[way][key] = segments_of(each, classes, thresholds[way], setting.rate, late)
    return {
        "segment_map": {way: dict(zip(map(str, OVERLAPS), _map(of, true), strict=True)) for way, of in found.items()},
        "thresholds": chosen,
        "events": sum(map(len, true.values())),
        "hours": seconds / 3600,
        "classes": len(classes) - 1,
        "splits": len(splits),
    }


def best_threshold(
    scored: Sequence[tuple[Stream, Floats]], classes: Sequence[str], rate: float, late: tuple[int, int]
) -> float:
    """The threshold with the highest segment-mAP at .5, on streams whose events may follow each other directly."""
    true = {str(i): true_segments(stream, rate) for i, (stream, _) in enumerate(scored)}

    def quality(threshold: float) -> float:
        found = {str(i): segments_of(each, classes, threshold, rate, late) for i, (_, each) in enumerate(scored)}
        return _map(found, true)[-1]

    return max(_THRESHOLDS, key=quality)


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
