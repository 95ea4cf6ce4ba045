"""False alarms per hour and missed events in ten hours of streams in which mostly nothing happens.

    python -m onlooker_papers.real_clips.nothing       # resumable; writes results/nothing.json

Streams are stitched from clips that are not in training. Their features are computed once, and the linear model
processes them frame by frame, without a reset of its state between clips. It is fitted to windows of streams that are
stitched from the training clips. The threshold, and how many consecutive frames must agree for a report, are those with
the fewest false alarms of all that find 90 % of the events in these training streams, where each stream is predicted by
a model that was fitted without it. Beside it, `usual`: the threshold for the number of frames that agree by default.

- `ucf101_18`: the first five classes in alphabetical order are events. The next nine are the class nothing. The last
  four also count as nothing, but are in no training. Official splits 1 to 3, nine hours.
- `surveillance`: fights, and scenes without a fight; three folds, each recording in one fold, one hour. All scenes
  without a fight are only two minutes of footage, so they are repeated many times.

Basketball is left out, because its class `nothing` has only 17 seconds in total.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer

from onlooker.answer import NOTHING
from onlooker.cli.command import command, stoppable
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.real_clips.stream_model import fitted, play
from onlooker_papers.real_clips.streams import AGREEMENT, Counts, Floats, Stream, count, reported_events, test_stream
from onlooker_papers.results import write_whole

WHAT = "false alarms an hour and events found in streams stitched from clips that were not trained on"
COMMAND = "python -m onlooker_papers.real_clips.nothing"
THRESHOLDS = [round(float(t), 4) for t in (*np.linspace(0.02, 0.98, 97), 0.985, 0.99, 0.995, 0.998, 0.999)]
AGREEMENTS = (AGREEMENT, 4, 6, 8, 10, 12)  # frames
_STREAMS = 16  # per split, processed side by side


@dataclass(frozen=True)
class Setting:
    """One set of clips.

    Args:
        hours: total length of the test streams.
        rate: frames per second at which the median clip has 16 frames.
        events: classes of events; all others are nothing.
        unseen: classes of nothing that are not in training.
    """

    hours: float
    rate: float
    events: tuple[str, ...]
    unseen: tuple[str, ...] = ()


_UCF_EVENTS = ("ApplyEyeMakeup", "ApplyLipstick", "Archery", "BabyCrawling", "BalanceBeam")
_UCF_UNSEEN = ("PlayingSitar", "PlayingViolin", "Surfing", "WalkingWithDog")
SETTINGS = {"ucf101_18": Setting(9.0, 2.5, _UCF_EVENTS, _UCF_UNSEEN), "surveillance": Setting(1.0, 8.0, ("fight",))}


def stream_rule(
    scored: Iterable[tuple[Stream, Floats]], classes: Sequence[str], agreements: Sequence[int] = AGREEMENTS
) -> tuple[float, int]:
    """The threshold and the number of frames that must agree with the fewest false alarms in streams with their
    probabilities, of those that find 90 % of the events; if none does, what finds the most events."""
    rules = [(threshold, agreement) for agreement in agreements for threshold in THRESHOLDS]
    counts = dict.fromkeys(rules, Counts())
    for stream, scores in scored:
        for rule in rules:
            counts[rule] = counts[rule].plus(count(reported_events(scores, classes, *rule), stream, classes))
    enough = [rule for rule in rules if counts[rule].found >= 0.9 * counts[rule].events]
    if not enough:
        return max(rules, key=lambda rule: counts[rule].found)
    return min(enough, key=lambda rule: (counts[rule].false_alarms, -rule[0]))


def measure(name: str) -> dict[str, Any]:
    """The figures of one set."""
    setting = SETTINGS[name]
    classes = tuple(sorted((*setting.events, NOTHING)))
    splits = [*splits_of(name, folds=3).values()]
    frames = int(setting.hours * 3600 * setting.rate / len(splits) / _STREAMS)
    at, thresholds, agreements = dict.fromkeys(THRESHOLDS, Counts()), list[float](), list[int]()
    total, usual, hours = Counts(), Counts(), 0.0
    for number, model in enumerate(fitted(name, splits, setting.rate, classes, setting.unseen)):
        threshold, agreement = stream_rule(model.held_out, classes)
        by_default, _ = stream_rule(model.held_out, classes, [AGREEMENT])
        thresholds.append(threshold)
        agreements.append(agreement)
        streams = [test_stream(model.test, frames, np.random.default_rng((number, i))) for i in range(_STREAMS)]
        for stream, scores in zip(streams, play(model.net, streams, model.temperature), strict=True):
            counts = {t: count(reported_events(scores, classes, t, agreement), stream, classes) for t in THRESHOLDS}
            total = total.plus(counts[threshold])
            usual = usual.plus(count(reported_events(scores, classes, by_default), stream, classes))
            at = {t: of.plus(counts[t]) for t, of in at.items()}
            hours += len(stream.clip) / setting.rate / 3600
    return {
        "false_alarms_per_hour": total.false_alarms / hours,
        "found": total.found / total.events,
        "named": total.named / total.events,
        "hours": hours,
        "thresholds": thresholds,
        "agreements": agreements,
        "usual": {
            "agreement": AGREEMENT,
            "false_alarms_per_hour": usual.false_alarms / hours,
            "found": usual.found / usual.events,
        },
        "counts": total._asdict(),
        "curve": {
            "threshold": THRESHOLDS,
            "false_alarms_per_hour": [of.false_alarms / hours for of in at.values()],
            "found": [of.found / of.events for of in at.values()],
        },
    }


def at_found(curve: Mapping[str, Sequence[float]], share: float = 0.9) -> float:
    """False alarms per hour at the highest threshold of a curve that finds this share of the events."""
    return min(f for f, found in zip(curve["false_alarms_per_hour"], curve["found"], strict=True) if found >= share)


def nothing() -> None:
    """False alarms per hour and missed events in ten hours of streams; $ONLOOKER_DATA has the clips."""
    with stoppable():
        sets = {name: measure(name) for name in SETTINGS}
    hours, counts = sum(of["hours"] for of in sets.values()), Counts()
    for of in sets.values():
        counts = counts.plus(Counts(**of["counts"]))
    alarms, found = counts.false_alarms / hours, counts.found / counts.events
    figures = {"false_alarms_per_hour": alarms, "found": found, "hours": hours, "sets": sets}
    write_whole(Path("results"), "nothing", WHAT, COMMAND, figures, [0])
    typer.echo(f"{alarms:.1f} false alarms an hour, {found:.1%} of events found")


app = typer.Typer(add_completion=False)
command(nothing, app)

if __name__ == "__main__":
    app()
