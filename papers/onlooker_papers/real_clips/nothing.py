"""False alarms per hour and missed events in ten hours of streams in which mostly nothing happens.

    python -m onlooker_papers.real_clips.nothing       # resumable; writes results/nothing.json

Streams are stitched from clips that are not in training. Their features are computed once, and the linear model
processes them frame by frame, without a reset of its state between clips. It is fitted to windows of streams that are
stitched from the training clips. The threshold is the highest one that finds 90 % of the events in these training
streams, where each stream is predicted by a model that was fitted without it. An event is reported when three
consecutive frames agree.

- `ucf101_18`: the first five classes in alphabetical order are events. The next nine are the class nothing. The last
  four also count as nothing, but are in no training. Official splits 1 to 3, nine hours.
- `surveillance`: fights, and scenes without a fight; three folds, each recording in one fold, one hour. All scenes
  without a fight are only two minutes of footage, so they are repeated many times.

Basketball is left out, because its class `nothing` has only 17 seconds in total.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.progress import track

from onlooker.answer import NOTHING
from onlooker.cli.command import command, stoppable
from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.split import group_of
from onlooker.data.transforms import to_video
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import create_model, resolve
from onlooker.structures import Clip
from onlooker.training.linear import Choice, Clips, choose, fit_layer
from onlooker.video.reader import VideoReader
from onlooker_papers.measurement import write_results
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.real_clips.streams import (
    AGREEMENT,
    WINDOW,
    Counts,
    Part,
    Stream,
    count,
    reported_events,
    test_stream,
    training_streams,
)
from onlooker_papers.results import keep_whole

Floats = NDArray[np.floating]

WHAT = "false alarms an hour and events found in streams stitched from clips that were not trained on"
COMMAND = "python -m onlooker_papers.real_clips.nothing"
THRESHOLDS = [round(float(t), 4) for t in (*np.linspace(0.02, 0.98, 97), 0.985, 0.99, 0.995, 0.998, 0.999)]
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
SETTINGS = {
    "ucf101_18": Setting(9.0, 2.5, _UCF_EVENTS, _UCF_UNSEEN),
    "surveillance": Setting(1.0, 8.0, ("fight",)),
}


def encoded_parts(
    name: str, clips: Iterable[Clip], classes: int, rate: float, label_of: Callable[[str], str], run: Path
) -> tuple[LinearClassifier, dict[Path, Part]]:
    """The linear model of the default command, and the clips of a set as parts of streams, by path.

    Args:
        classes: K, with nothing.
        rate: frames per second.
        label_of: the class in streams, by that of the clip.
        run: folder of the features.
    """
    data = resolve(ModelConfig(pretrained=True), DataConfig(frames=WINDOW, size=112), TrainConfig())[1]
    torch.manual_seed(0)
    net = create_model("linear", classes, encoder="small", pretrained=True, window=WINDOW, size=112)
    assert isinstance(net, LinearClassifier)
    folder = run / name / encoder_digest(net.eval())
    parts = {}
    for clip in track(dict.fromkeys(clips), "encoding clips"):
        features = encode(clip, net, data, rate, folder)
        parts[clip.path] = Part(features, label_of(clip.label), clip.label, group_of(clip))
    return net, parts


def encode(clip: Clip, net: LinearClassifier, data: DataConfig, rate: float, folder: Path) -> NDArray[np.float16]:
    """The features of a clip at a constant frame rate, stored in a folder."""
    file = folder / f"{clip.label}-{clip.path.stem}.npy"
    if not file.exists():
        reader = VideoReader(clip.path)
        wanted = np.arange(0, reader.times[-1] + 0.5 / rate, 1 / rate)
        nearest = np.abs(reader.times[None] - wanted[:, None]).argmin(1)
        frames = torch.from_numpy(reader.get(nearest, size=data.size).pixels)
        with torch.inference_mode():
            features = net.encode(to_video(frames, data.normalization)).half().numpy()
        folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part.npy")
        np.save(part, features)
        part.replace(file)
    return np.load(file)


@torch.inference_mode()
def training_windows(streams: Sequence[Stream], net: LinearClassifier, classes: Sequence[str]) -> Clips:
    """The windows at the end of each clip; the group is the stream.

    Windows of nothing contain no frame of an event.
    """
    x, y, groups = [], [], []
    for number, stream in enumerate(streams):
        parts, starts = stream.parts, np.flatnonzero(stream.place == 0).tolist()
        for first, after in zip(starts, [*starts[1:], len(stream.clip)], strict=True):
            label = parts[stream.clip[first]].label
            window = range(max(0, after - WINDOW), after)
            if label == NOTHING and any(parts[stream.clip[t]].label != NOTHING for t in window):
                continue
            frames = np.stack([parts[stream.clip[t]].features[stream.place[t]] for t in window])
            x.append(net.summarize(torch.from_numpy(frames)[None].float())[0].double().numpy())
            y.append(classes.index(label))
            groups.append(str(number))
    return Clips(np.stack(x), np.array(y), np.array(groups), len(classes), tuple(net.names))


def stream_threshold(
    net: LinearClassifier, streams: Sequence[Stream], windows: Clips, choice: Choice, classes: Sequence[str]
) -> float:
    """The highest threshold that finds 90 % of the events in training streams, each predicted without its windows."""
    found, events = dict.fromkeys(THRESHOLDS, 0), sum(len(stream.events) for stream in streams)
    for number, stream in enumerate(streams):
        fit_layer(net, windows.only(np.flatnonzero(windows.groups != str(number))), choice)
        (scores,) = play(net, [stream], choice.temperature)
        for t in THRESHOLDS:
            found[t] += count(reported_events(scores, classes, t), stream, classes).found
    return max(t for t in THRESHOLDS if found[t] >= 0.9 * events or t == THRESHOLDS[0])


@torch.inference_mode()
def play(net: LinearClassifier, streams: Sequence[Stream], temperature: float) -> list[Floats]:
    """Probabilities `T K` of each stream; all streams are processed side by side."""
    lengths = [len(stream.clip) for stream in streams]
    logits, state = [], net.initial_state(len(streams))
    for t in track(range(max(lengths)), "playing streams"):
        frame = [s.parts[s.clip[t % n]].features[s.place[t % n]] for s, n in zip(streams, lengths, strict=True)]
        output, state = net.step_features(torch.from_numpy(np.stack(frame)).float(), state)
        logits.append(output.logits / temperature)
    scores = torch.stack(logits, 1).softmax(-1).numpy()
    return [each[:n] for each, n in zip(scores, lengths, strict=True)]


def measure(name: str, run: Path) -> dict[str, Any]:
    """The figures of one set."""
    setting = SETTINGS[name]
    classes = tuple(sorted((*setting.events, NOTHING)))
    splits = [*splits_of(name, folds=3).values()]
    clips = (clip for split in splits for clip in split.clips)
    label_of = {event: event for event in setting.events}
    net, parts = encoded_parts(name, clips, len(classes), setting.rate, lambda label: label_of.get(label, NOTHING), run)
    frames = int(setting.hours * 3600 * setting.rate / len(splits) / _STREAMS)
    at, thresholds = dict.fromkeys(THRESHOLDS, Counts()), list[float]()
    total, seconds, unseen = Counts(), 0.0, 0.0
    for number, split in enumerate(splits):
        training = [parts[clip.path] for clip in (*split.training, *split.validation)]
        threshold, temperature = _fit(net, [part for part in training if part.of not in setting.unseen], classes)
        thresholds.append(threshold)
        test = [parts[clip.path] for clip in split.test]
        streams = [test_stream(test, frames, np.random.default_rng((number, i))) for i in range(_STREAMS)]
        for stream, scores in zip(streams, play(net, streams, temperature), strict=True):
            reported = {t: reported_events(scores, classes, t) for t in THRESHOLDS}
            counts = {t: count(of, stream, classes, setting.unseen) for t, of in reported.items()}
            total = total.plus(counts[threshold])
            at = {t: of.plus(counts[t]) for t, of in at.items()}
            seconds += len(stream.clip) / setting.rate
            unseen += sum(stream.parts[i].of in setting.unseen for i in stream.clip) / setting.rate
    tested = {clip.path: parts[clip.path] for split in splits for clip in split.test}.values()
    distinct = sum(len(part.features) for part in tested if part.label == NOTHING) / setting.rate
    return {
        **_shares(total, seconds, unseen),
        "hours": seconds / 3600,
        "hours_unseen": unseen / 3600,
        "minutes_of_nothing": distinct / 60,
        "thresholds": thresholds,
        "counts": total._asdict(),
        "curve": {
            "threshold": THRESHOLDS,
            "false_alarms_per_hour": [_shares(of, seconds, unseen)["false_alarms_per_hour"] for of in at.values()],
            "found": [of.found / of.events for of in at.values()],
        },
    }


def encoder_digest(net: LinearClassifier) -> str:
    """A digest of the encoder, so that its features are not mistaken for those of another."""
    digest = hashlib.sha256()
    for name, tensor in net.state_dict().items():
        if name.startswith("encoder."):
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:16]


def _fit(net: LinearClassifier, parts: Sequence[Part], classes: Sequence[str]) -> tuple[float, float]:
    """Fit the model to training clips; its threshold and temperature."""
    streams = training_streams(parts)
    windows = training_windows(streams, net, classes)
    choice = choose(windows)
    threshold = stream_threshold(net, streams, windows, choice, classes)
    fit_layer(net, windows, choice)
    return threshold, choice.temperature


def _shares(of: Counts, seconds: float, unseen: float) -> dict[str, float]:
    hours, hours_unseen = seconds / 3600, unseen / 3600
    return {
        "false_alarms_per_hour": (of.false_alarms + of.false_alarms_unseen) / hours,
        "found": of.found / of.events,
        "named": of.named / of.events,
        "false_alarms_per_hour_seen": of.false_alarms / (hours - hours_unseen),
        "false_alarms_per_hour_unseen": of.false_alarms_unseen / hours_unseen if hours_unseen else 0.0,
    }


def at_found(curve: Mapping[str, Sequence[float]], share: float = 0.9) -> float:
    """False alarms per hour at the highest threshold of a curve that finds this share of the events."""
    return min(f for f, found in zip(curve["false_alarms_per_hour"], curve["found"], strict=True) if found >= share)


def nothing(
    run: Annotated[Path, typer.Option(help="Folder of the features (4 GB, kept).")] = Path("runs/nothing"),
    results: Annotated[Path, typer.Option(help="Folder of the results file.")] = Path("results"),
) -> None:
    """False alarms per hour and missed events in ten hours of streams; $ONLOOKER_DATA has the clips."""
    with stoppable():
        sets = {name: measure(name, run) for name in SETTINGS}
    hours, counts = sum(of["hours"] for of in sets.values()), Counts()
    for of in sets.values():
        counts = counts.plus(Counts(**of["counts"]))
    alarms, found = (counts.false_alarms + counts.false_alarms_unseen) / hours, counts.found / counts.events
    figures = {"false_alarms_per_hour": alarms, "found": found, "hours": hours, "agreement": AGREEMENT, "sets": sets}
    keep_whole(write_results(results / "nothing.json", WHAT, COMMAND, figures, [0]))
    typer.echo(f"{alarms:.1f} false alarms an hour, {found:.1%} of events found")


app = typer.Typer(add_completion=False)
command(nothing, app)

if __name__ == "__main__":
    app()
