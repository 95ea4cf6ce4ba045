"""Streams that are stitched from clips, whose features are stored at a constant frame rate."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onlooker import Clip, LinearClassifier, Segment
from onlooker.base.config import DataConfig
from onlooker.data.samples import read_at
from onlooker.run.features import weights_digest
from onlooker.training.forward import encode_samples
from onlooker.video.reader import VideoReader

RUN = Path("runs/nothing")  # folder of the features (4 GB, kept)
NOTHING = "nothing"  # the class of clips without an event
_PAUSES = (1, 4)  # clips of nothing after an event, from 1 to 3
_EVENTS = 0.1  # events per clip of nothing, where mostly nothing happens

_FRAMES = 32  # encoded together

Ints = NDArray[np.int64]


class Part(NamedTuple):
    """A clip of streams: stored features `T D h w`, its class, and its recording; and the motion
    words `T 1+F` of the blocks that end with each frame, if they are known.
    """

    features: NDArray[np.float16]
    label: str
    recording: str
    motion: NDArray[np.float16] | None = None


def _since(places: Ints) -> Ints:
    """The first stored frame that follows the one before."""
    return np.insert(places[:-1] + 1, 0, 0)


class Pace(NamedTuple):
    """Frames per second of a stream, and how many stored frames go by in one of its frames."""

    rate: float
    step: float

    def frames(self, count: int) -> Ints:
        """The nearest of this many stored frames, for each frame of a stream."""
        return np.arange(0, count - 0.5, self.step).round().astype(int)


class Stream(NamedTuple):
    """Clips one after another: for each frame, the number of its clip, that of its stored frame,
    and that of the first one after the frame before, `T` each.
    """

    parts: Sequence[Part]
    clip: Ints
    place: Ints
    since: Ints
    events: list[Segment]
    rate: float

    @property
    def times(self) -> list[float]:
        """Seconds, of each frame."""
        return cast(list[float], (np.arange(len(self.clip)) / self.rate).tolist())

    def features(self, first: int, after: int) -> Tensor:
        """Those of some frames, `T D h w`."""
        places = zip(self.clip[first:after], self.place[first:after], strict=True)
        return torch.from_numpy(np.stack([self.parts[i].features[t] for i, t in places]))

    def eyes(self, first: int, after: int) -> dict[str, Tensor]:
        """The motion words of some frames, `T 1+F`, if they are known."""
        shown = slice(first, after)
        rows = list[NDArray[np.float32]]()
        for i, a, b in zip(self.clip[shown], self.since[shown], self.place[shown], strict=True):
            motion = self.parts[i].motion
            if motion is None:
                return {}
            rows.append(motion[a : b + 1].sum(0, np.float32))
        return {"motion": torch.from_numpy(np.stack(rows))}


def stitch(parts: Sequence[Part], order: Sequence[int], pace: Pace) -> Stream:
    """A stream of clips in this order."""
    places = [pace.frames(len(parts[i].features)) for i in order]
    lengths = [len(of_clip) for of_clip in places]
    ends = np.cumsum(lengths).tolist()
    events = [
        Segment(parts[i].label, (end - length) / pace.rate, end / pace.rate)
        for i, length, end in zip(order, lengths, ends, strict=True)
        if parts[i].label != NOTHING
    ]
    return Stream(
        parts,
        np.repeat(np.asarray(order), lengths),
        np.concatenate(places),
        since=np.concatenate([_since(of_clip) for of_clip in places]),
        events=events,
        rate=pace.rate,
    )


def with_pauses(parts: Sequence[Part], random: np.random.Generator) -> list[int]:
    """The order of a stream of all events once, each followed by one to three clips of nothing."""
    events, nothing = _kinds(parts)
    order = [int(random.choice(nothing))]
    for event in random.permutation(events).tolist():
        order += [event, *random.choice(nothing, random.integers(*_PAUSES)).tolist()]
    return order


def mostly_nothing(parts: Sequence[Part], frames: int, random: np.random.Generator) -> list[int]:
    """The order of a stream of this many stored frames: all clips of nothing in random order,
    repeatedly, with an event from time to time.
    """
    events, nothing = _kinds(parts)
    order = list[int]()
    total = 0
    while total < frames:
        for i in random.permutation(nothing).tolist():
            chosen = [i, *([int(random.choice(events))] if random.random() < _EVENTS else [])]
            order += chosen
            total += sum(len(parts[k].features) for k in chosen)
            if total >= frames:
                break
    return order


def _kinds(parts: Sequence[Part]) -> tuple[list[int], list[int]]:
    """The numbers of the events, and of the clips of nothing."""
    events = [i for i, part in enumerate(parts) if part.label != NOTHING]
    nothing = [i for i, part in enumerate(parts) if part.label == NOTHING]
    return events, nothing


def encoded(
    clip: Clip, net: LinearClassifier, data: DataConfig, *, rate: float, name: str
) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """The features of a clip of this set, and its motion words (`Part`), at a constant frame rate;
    computed once.
    """
    folder = RUN / name / weights_digest(cast(nn.Module, net.encoder))[:16]
    files = [folder / f"{clip.label}-{clip.path.stem}{kind}.npy" for kind in ("-motion", "")]
    if not files[-1].exists():
        reader = VideoReader(clip.path)
        moments = reader.timing.moments()[1]
        wanted = np.arange(0, moments[-1] + 0.5 / rate, 1 / rate)
        nearest = np.abs(moments[None] - wanted[:, None]).argmin(1)
        sample = read_at(reader, data, lambda count: nearest)
        with torch.inference_mode():
            frames = torch.from_numpy(sample.pixels)
            features = encode_samples(net, frames, data, at_once=_FRAMES).half().numpy()
        folder.mkdir(parents=True, exist_ok=True)
        for file, values in zip(
            files, (sample.eyes["motion"].astype(np.float16), features), strict=True
        ):
            part = file.with_suffix(".part.npy")
            np.save(part, values)
            part.replace(file)
    motion, features = (np.load(file, mmap_mode="r") for file in files)
    return features, motion
