"""When events happen, in streams that are stitched from clips which are not in training; learned
from labels only.

    python -m onlooker_papers.real_clips.when                 # all rows; writes results/when.json
    python -m onlooker_papers.real_clips.when --sets jhmdb    # one row again

The default linear model with the encoder `lite0` is fitted as `onlooker train` does, with whole
clips, but without copies of few clips, and sees motion, too, if that is clearly better. So is its
event layer, and the threshold for six false alarms an hour; test clips have no influence on either.
Streams have the rate at which the median training clip has 16 frames, and are never reset between
clips, but for the eye of motion, which begins anew at every cut.

- `ucf101_18`, `jhmdb`: all events once, with one to three clips of nothing after each; official
  list 1. The last five classes of UCF101-18 in alphabetical order are nothing, and `sit`, `stand`
  and `walk`.
- `weizmann`: the same with four gestures, while people walk or run between them; three folds of
  people.
- `background_ucf101_18`: three hours in which mostly nothing happens. The first five classes are
  events, and the next nine the class nothing. The last four also count as nothing, but are in no
  training.
- `with_background_ucf101_18`: the same, where an hour of recordings in which none of the five classes
  happens is given to the training, as by `--background`: stitched from training clips of nothing,
  also of the last four classes.
- `weizmann_on_jhmdb`: how many events the model of Weizmann's gestures reports in streams of another
  place, of all clips of J-HMDB's test list but those of `wave`.

An event is `found` if a reported one overlaps it, and `named` if one of its class does. False
alarms overlap none, and are counted per hour outside of events. `by_chance`: what would be found and
named if the same events were reported at random times. `offline`: from all windows of a
stream at once; `live`: as events become final.

`calibration_error` is that of the scores of the events that are found offline, which are the
probabilities that an event of their class overlaps them. `borders` compares each event with the
best one of its class that overlaps it: the median `error` of begin and end, and how late these are
in the median, as shares of the event's length.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple, cast

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.progress import track

from onlooker import Clip, Decision, LinearClassifier, Segment
from onlooker.base.config import FitConfig, StreamConfig
from onlooker.cli.command import command
from onlooker.data.split import group_of
from onlooker.measure.events import alarm_curve, segment_map
from onlooker.measure.metrics import calibration_error
from onlooker.measure.timeline import Timeline
from onlooker.stream.segmenters import WindowSegmenter
from onlooker.training.background import Background
from onlooker.training.eyes import eye_vectors
from onlooker.training.footage import Footage
from onlooker.training.linear import ClipStatistics
from onlooker.training.linear_fitter import fit_layers
from onlooker_papers.real_clips.frozen import input_of, model, splits_of
from onlooker_papers.real_clips.streams import (
    NOTHING,
    Pace,
    Part,
    Stream,
    encoded,
    mostly_nothing,
    stitch,
    with_pauses,
)
from onlooker_papers.results import About, Row, check_command, write_rows

FILE = "when"
COMMAND = "python -m onlooker_papers.real_clips.when"
WHAT = "when events happen in streams stitched from clips that were not trained on: segment-mAP, and false alarms"
OVERLAPS = (0.3, 0.5, 0.7)
ENCODER = "lite0"
FOUND = 0.9  # share of the events at which false alarms are compared
_LEAST = 0.02  # score of an event for segment-mAP
_SAME = 0.25  # seconds by which an event may differ live
_MOST_CLIPS = 100  # that streams of the training are made of, as for `onlooker train`
_FRAMES = 128  # whose windows are computed together
_NEVER = 2.0  # a threshold that no score reaches

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Setting:
    """The streams of one row.

    Args:
        of: the set of clips.
        rate: frames per second of the stored features.
        nothing, unseen: classes of nothing; the latter are in no training.
        events: classes of events; empty: all others.
        splits: official splits, or folds, from the first one.
        streams: of each split.
        hours: of mostly nothing, all streams of a split together; 0: all events once, with pauses.
        background: hours of recordings without events that are given to the training.
        elsewhere: another row, of whose set the streams are; no clip of them is an event.
    """

    of: str
    rate: float
    nothing: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    splits: int = 1
    streams: int = 2
    hours: float = 0
    background: float = 0
    elsewhere: str = ""

    def label(self, clip: Clip) -> str | None:
        """The class of a clip in streams; None if it is in none."""
        if clip.label in self.nothing + self.unseen:
            return NOTHING
        return clip.label if clip.label in self.events or not self.events else None


_UCF_EVENTS = ("ApplyEyeMakeup", "ApplyLipstick", "Archery", "BabyCrawling", "BalanceBeam")
_UCF_OTHERS = (
    "Basketball",
    "BasketballDunk",
    "CricketBowling",
    "CricketShot",
    "HorseRace",
    "JumpingJack",
)
_UCF_CALM = ("PizzaTossing", "PlayingCello", "PlayingPiano")
_UCF_LAST = ("PlayingSitar", "PlayingViolin", "Surfing", "WalkingWithDog")
_WEIZMANN = Setting(
    "weizmann",
    25.0,
    ("walk", "run", "side"),
    unseen=(),
    events=("bend", "jack", "wave1", "wave2"),
    splits=3,
)
_BACKGROUND = Setting(
    "ucf101_18",
    2.5,
    (*_UCF_OTHERS, *_UCF_CALM),
    unseen=_UCF_LAST,
    events=_UCF_EVENTS,
    streams=16,
    hours=3.0,
)
SETTINGS = {
    "ucf101_18": Setting("ucf101_18", 2.5, ("PlayingPiano", *_UCF_LAST)),
    "jhmdb": Setting("jhmdb", 15.0, ("sit", "stand", "walk")),
    "weizmann": _WEIZMANN,
    "background_ucf101_18": _BACKGROUND,
    "with_background_ucf101_18": replace(_BACKGROUND, background=1.0),
    "weizmann_on_jhmdb": replace(_WEIZMANN, streams=1, elsewhere="jhmdb"),
}
_BOTH = ("wave",)  # classes of J-HMDB that are events of Weizmann


class Fitted(NamedTuple):
    """A model with what its streams need."""

    net: LinearClassifier
    threshold: float
    pace: Pace
    decision: Decision


@torch.inference_mode()
def fitted(
    net: LinearClassifier,
    parts: Sequence[Part],
    classes: Sequence[str],
    *,
    rate: float,
    quiet: Sequence[Part] = (),
    hours: float = 0,
) -> Fitted:
    """Fit a model to clips with this rate of stored frames, and to so many hours of background that
    is stitched from quiet clips.
    """
    step = max(1.0, float(np.median([len(part.features) for part in parts])) / net.window)
    pace = Pace(rate / step, step)
    x = [_statistics(net, part) for part in track(parts, "statistics of clips")]
    y = np.array([classes.index(part.label) for part in parts])
    groups = np.array([part.recording for part in parts])
    decision = Decision(classes, frame_rate=pace.rate)
    words = [part.motion for part in parts if part.motion is not None]
    seen = {}
    if len(words) == len(parts):
        seen["motion"] = eye_vectors(
            lambda number: torch.from_numpy(words[number].astype(np.float32)), len(parts)
        )
    clips = ClipStatistics(
        np.stack(x),
        y,
        groups,
        num_classes=len(classes),
        copies=(),
        nothing=decision.nothing_class,
        class_weights=FitConfig().class_weights,
        eyes=seen,
    )
    stream_clips = dict[int, Footage]()
    for number in np.random.default_rng(0).permutation(len(parts))[:_MOST_CLIPS].tolist():
        clip = stitch(parts, [number], pace)
        count = len(clip.clip)
        stream_clips[number] = Footage(clip.features(0, count), clip.eyes(0, count))
    background = _background(quiet, hours, pace) if hours else None
    _, decision = fit_layers(net, clips, decision, stream_clips=stream_clips, background=background)
    threshold = _NEVER
    if decision.curve is not None:
        threshold = decision.curve.threshold(StreamConfig.alarms_per_hour)
    return Fitted(net, threshold, pace, decision=decision)


def _background(quiet: Sequence[Part], hours: float, pace: Pace) -> Background:
    """A recording of clips in random order, in pieces of a minute; every other one is held out."""
    random = np.random.default_rng(0)
    frames = round(3600 * hours * pace.rate)
    order = list[int]()
    total = 0
    while total < frames:
        for number in random.permutation(len(quiet)).tolist():
            order.append(number)
            total += len(pace.frames(len(quiet[number].features)))
    stream = stitch(quiet, order, pace)
    length = round(60 * pace.rate)

    def read(piece: Path) -> Footage:
        first = int(piece.name)
        after = min(first + length, frames)
        return Footage(stream.features(first, after), stream.eyes(first, after))

    pieces = [Path(str(first)) for first in range(0, frames, length)]
    return Background(pieces[::2], pieces[1::2], read)


def _statistics(net: LinearClassifier, part: Part) -> NDArray[np.float64]:
    """Those of equally spaced frames of a clip, as many as the model sees of one."""
    places = np.linspace(0, len(part.features) - 1, net.window).round().astype(int)
    features = torch.from_numpy(part.features[places])[None].float()
    return cast(NDArray[np.float64], net.statistics(features)[0, -1].double().numpy())


@torch.inference_mode()
def play(of: Fitted, stream: Stream) -> Floats:
    """Scores `T L K` of the windows of a stream."""
    net = of.net
    parts = list[Floats]()
    for first in range(0, len(stream.clip), _FRAMES):
        begin = max(0, first - net.lengths[-1] + 1)
        after = first + _FRAMES
        features = stream.features(begin, after)[None].float()
        seen = stream.eyes(begin, after)
        others = {name: seen[name][None] for name in seen.keys() & net.eyes.keys()}
        windows = net.forward_features(features, others).windows
        assert windows is not None
        parts.append(of.decision.calibrated(windows.scores[0, first - begin :]).numpy())
    return np.concatenate(parts)


class Played(NamedTuple):
    """A stream that a model has seen: its times, scores `T L K` and true events; the model's segmenter
    and threshold.
    """

    times: list[float]
    scores: Floats
    true: list[Segment]
    segmenter: WindowSegmenter
    threshold: float

    @classmethod
    def of(cls, by: Fitted, stream: Stream) -> "Played":
        """Play a stream."""
        segmenter = WindowSegmenter(by.decision, by.net.lengths, _LEAST)
        return cls(stream.times, play(by, stream), stream.events, segmenter, by.threshold)

    def at(self, threshold: float) -> WindowSegmenter:
        """The segmenter of events with at least this score."""
        return WindowSegmenter(self.segmenter.decision, self.segmenter.lengths, threshold)

    def live(self, threshold: float) -> Iterator[tuple[Segment, float]]:
        """The events with at least this score, and when they are final."""
        yield from self.at(threshold).played(self.times, self.scores)


def figures_of(streams: Sequence[Played]) -> dict[str, Any]:
    """The figures of a row."""
    true = [stream.true for stream in streams]
    seconds = [stream.times[-1] + stream.times[1] for stream in streams]
    offline = [
        stream.segmenter.find(stream.times, stream.scores)
        for stream in track(streams, "finding events")
    ]
    live = [
        [event for event, _ in stream.live(_LEAST)]
        for stream in track(streams, "finding events live")
    ]
    curve = alarm_curve(_pairs(true, offline, seconds))
    threshold = _LEAST
    if curve is not None:
        threshold = _threshold(zip(curve.thresholds, curve.recall, curve.misnamed, strict=True))
    return {
        "segment_map": {"offline": _map(offline, true, seconds), "live": _map(live, true, seconds)},
        "calibration_error": _calibration_error(offline, true),
        "borders": _borders(offline, true),
        **reported(streams, thresholds=[stream.threshold for stream in streams], seconds=seconds),
        "at_90_found": reported(streams, thresholds=[threshold] * len(streams), seconds=seconds),
        "events": sum(map(len, true)),
        "hours": sum(seconds) / 3600,
    }


def _threshold(points: Iterable[tuple[float, float, float]]) -> float:
    """The highest threshold at which enough events are found, by any name; the lowest one if there
    is none.

    Args:
        points: thresholds, with the shares of events found by their names and by others.
    """
    return max(
        (threshold for threshold, right, wrong in points if right + wrong >= FOUND), default=_LEAST
    )


def reported(
    streams: Sequence[Played],
    *,
    thresholds: Sequence[float],
    seconds: Sequence[float],
) -> dict[str, Any]:
    """What streams report live at a threshold each.

    Returns:
        Shares of the events that are found and named, also `by_chance`; false alarms an hour; `delay`, the median of
        the seconds from the end of an event until one that overlaps it is final; `same`, the share
        of the live events that begin and end as one that is found offline.
    """
    found = list[list[Segment]]()
    delays = list[float]()
    same = list[bool]()
    for stream, threshold in zip(streams, thresholds, strict=True):
        events = [*stream.live(threshold)]
        found.append([event for event, _ in events])
        for true in stream.true:
            delays += [final - true.end for event, final in events if _overlap(event, true)][:1]
        offline = stream.at(threshold).find(stream.times, stream.scores)
        same += [any(_agree(event, other) for other in offline) for event, _ in events]
    events_of = [stream.true for stream in streams]
    curve = alarm_curve(_pairs(events_of, found, seconds))
    any_class = alarm_curve(_pairs(_unnamed(events_of), _unnamed(found), seconds))
    return {
        "found": 0.0 if any_class is None else any_class.recall[0],
        "named": 0.0 if curve is None else curve.recall[0],
        "by_chance": {
            "found": 0.0 if any_class is None else any_class.by_chance[0],
            "named": 0.0 if curve is None else curve.by_chance[0],
        },
        "false_alarms_per_hour": 0.0 if curve is None else curve.alarms_per_hour[0],
        "delay": median(delays) if delays else None,
        "same": float(np.mean(same)) if same else None,
        "thresholds": sorted({*thresholds}),
    }


def _unnamed(streams: Sequence[Sequence[Segment]]) -> list[list[Segment]]:
    """The events of streams, all of one class."""
    return [[replace(event, label="event") for event in stream] for stream in streams]


def _calibration_error(
    found: Sequence[Sequence[Segment]], true: Sequence[Sequence[Segment]]
) -> float | None:
    """None if no event is found."""
    scores = [event.score for events in found for event in events]
    right = [
        any(_of_class(event, other) for other in events)
        for segments, events in zip(found, true, strict=True)
        for event in segments
    ]
    return calibration_error(np.array(scores), np.array(right)) if scores else None


def _borders(
    found: Sequence[Sequence[Segment]], true: Sequence[Sequence[Segment]]
) -> dict[str, float] | None:
    """None if no event is found by its class."""
    late = list[tuple[float, float]]()
    for segments, events in zip(found, true, strict=True):
        for event in events:
            near = [segment for segment in segments if _of_class(segment, event)]
            if near:
                best = max(near, key=lambda segment: segment.score)
                length = event.end - event.start
                late.append(((best.start - event.start) / length, (best.end - event.end) / length))
    if not late:
        return None
    begin, end = np.median(late, axis=0).tolist()
    return {"error": float(np.median(np.abs(late))), "begin": begin, "end": end}


def _pairs(
    true: Sequence[Sequence[Segment]],
    found: Sequence[Sequence[Segment]],
    seconds: Sequence[float],
) -> list[tuple[Timeline, Timeline]]:
    """The true events and the events that are found, of streams with these lengths."""
    return [
        (Timeline(events, length), Timeline(segments, length))
        for events, segments, length in zip(true, found, seconds, strict=True)
    ]


def _map(
    found: Sequence[Sequence[Segment]], true: Sequence[Sequence[Segment]], seconds: Sequence[float]
) -> dict[str, float]:
    values = segment_map(_pairs(true, found, seconds), OVERLAPS)
    return dict(zip(map(str, OVERLAPS), values.tolist(), strict=True))


def _overlap(one: Segment, other: Segment) -> bool:
    return one.start < other.end and other.start < one.end


def _of_class(one: Segment, other: Segment) -> bool:
    """Whether two events overlap and have one class."""
    return one.label == other.label and _overlap(one, other)


def _agree(one: Segment, other: Segment) -> bool:
    return abs(one.start - other.start) <= _SAME and abs(one.end - other.end) <= _SAME


def measure(name: str) -> dict[str, Any]:
    """The figures of one row."""
    setting = SETTINGS[name]
    chosen = [*splits_of(setting.of).values()][: setting.splits]
    labels = {label for split in chosen for clip in split.clips if (label := setting.label(clip))}
    classes = sorted(labels)
    encoder = model(len(classes), True, ENCODER)
    data = replace(input_of(ENCODER).data, eyes="both")

    def part(clip: Clip, label: str, of: Setting) -> Part:
        features, motion = encoded(clip, encoder, data, rate=of.rate, name=of.of)
        return Part(features, label, group_of(clip), motion=motion)

    def parts(clips: Sequence[Clip]) -> list[Part]:
        used = [(clip, label) for clip in clips if (label := setting.label(clip))]
        return [part(clip, label, setting) for clip, label in track(used, "features of clips")]

    played = list[Played]()
    for number, split in enumerate(chosen):
        training = [*split.training, *split.validation]
        quiet = [clip for clip in training if setting.label(clip) == NOTHING]
        fit = fitted(
            model(len(classes), True, ENCODER),
            parts([clip for clip in training if clip.label not in setting.unseen]),
            classes,
            rate=setting.rate,
            quiet=parts(quiet) if setting.background else (),
            hours=setting.background,
        )
        if setting.elsewhere:
            other = SETTINGS[setting.elsewhere]
            clips = next(iter(splits_of(other.of).values())).test
            test = [part(clip, NOTHING, other) for clip in clips if clip.label not in _BOTH]
            pace = Pace(fit.pace.rate, other.rate / fit.pace.rate)
        else:
            test = parts(split.test)
            pace = fit.pace
        for i in track(range(setting.streams), "playing streams"):
            order = _order(setting, test, np.random.default_rng((number, i)))
            played.append(Played.of(fit, stitch(test, order, pace)))
    figures = reported_elsewhere(played) if setting.elsewhere else figures_of(played)
    return {**figures, "classes": len(classes) - 1, "splits": len(chosen)}


def _order(setting: Setting, test: Sequence[Part], random: np.random.Generator) -> list[int]:
    """The order of the clips of a stream."""
    if setting.elsewhere:
        return cast(list[int], random.permutation(len(test)).tolist())
    if setting.hours:
        frames = int(setting.hours * 3600 * setting.rate / setting.streams)
        return mostly_nothing(test, frames, random)
    return with_pauses(test, random)


def reported_elsewhere(streams: Sequence[Played]) -> dict[str, Any]:
    """How many events are reported in streams in which none happens."""
    return {
        "reported": sum(len([*stream.live(stream.threshold)]) for stream in streams),
        "hours": sum(stream.times[-1] + stream.times[1] for stream in streams) / 3600,
        "thresholds": sorted({stream.threshold for stream in streams}),
    }


def when(
    sets: Annotated[
        str, typer.Option(help=f"Some of {', '.join(SETTINGS)}, separated by commas.")
    ] = "",
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
) -> None:
    """When events happen in stitched streams; $ONLOOKER_DATA has the clips."""
    check_command(results, FILE, COMMAND)
    for name in sets.split(",") if sets else SETTINGS:
        row = Row(measure(name), asdict(SETTINGS[name]))
        only = f"--sets {name}" if sets else ""
        write_rows(results, FILE, about=About(WHAT, COMMAND, [0]), rows={(name,): row}, only=only)
        typer.echo(f"{name}: {row.figures}")


app = typer.Typer(add_completion=False)
command(when, app)

if __name__ == "__main__":
    app()
