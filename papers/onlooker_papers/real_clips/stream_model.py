"""The linear model of the default command on streams that are stitched from clips, frame by frame."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import nn

from onlooker.answer import NOTHING
from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.split import Split, group_of
from onlooker.data.transforms import to_video
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import create_model, resolve
from onlooker.runs.features import weights_digest
from onlooker.structures import Clip
from onlooker.training.linear import Choice, Clips, choose, fit_layer
from onlooker.video.reader import VideoReader
from onlooker_papers.real_clips.streams import WINDOW, Floats, Part, Stream, training_streams

RUN = Path("runs/nothing")  # folder of the features (4 GB, kept)


class Fitted(NamedTuple):
    """The model of a split, fitted to streams of its training clips.

    Args:
        held_out: the training streams with probabilities `T K`, each by the model fitted without it.
        test: the test clips.
    """

    net: LinearClassifier
    temperature: float
    held_out: list[tuple[Stream, Floats]]
    test: list[Part]


def fitted(
    name: str,
    splits: Sequence[Split],
    rate: float,
    classes: Sequence[str],
    left_out: Collection[str] = (),
    window: int = WINDOW,
) -> Iterator[Fitted]:
    """The model of each split in turn, one and the same module.

    Args:
        rate: frames per second.
        classes: of events, and nothing; clips of all other classes are nothing.
        left_out: classes of clips that are in no training.
        window: number of frames that the model sees.
    """
    data = resolve(ModelConfig(pretrained=True), DataConfig(frames=WINDOW, size=112), TrainConfig())[1]
    torch.manual_seed(0)
    net = create_model("linear", len(classes), encoder="small", pretrained=True, window=window, size=112)
    assert isinstance(net, LinearClassifier)
    folder = RUN / name / weights_digest(cast(nn.Module, net.eval().encoder))[:16]
    parts = {}
    for clip in track(dict.fromkeys(clip for split in splits for clip in split.clips), "encoding clips"):
        label = clip.label if clip.label in classes else NOTHING
        parts[clip.path] = Part(_encode(clip, net, data, rate, folder), label, clip.label, group_of(clip))
    for split in splits:
        training = [parts[clip.path] for clip in (*split.training, *split.validation)]
        streams = training_streams([part for part in training if part.of not in left_out])
        windows = training_windows(streams, net, classes)
        choice = choose(windows)
        held_out = list(held_out_scores(net, streams, windows, choice))
        yield Fitted(net, choice.temperature, held_out, [parts[clip.path] for clip in split.test])


def _encode(clip: Clip, net: LinearClassifier, data: DataConfig, rate: float, folder: Path) -> NDArray[np.float16]:
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
            window = range(max(0, after - net.window), after)
            if label == NOTHING and any(parts[stream.clip[t]].label != NOTHING for t in window):
                continue
            frames = np.stack([parts[stream.clip[t]].features[stream.place[t]] for t in window])
            x.append(net.statistics(torch.from_numpy(frames)[None].float())[0, -1].double().numpy())
            y.append(classes.index(label))
            groups.append(str(number))
    return Clips(np.stack(x), np.array(y), np.array(groups), len(classes), tuple(net.names))


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


def held_out_scores(
    net: LinearClassifier, streams: Sequence[Stream], windows: Clips, choice: Choice
) -> Iterator[tuple[Stream, Floats]]:
    """Training streams with their probabilities `T K`, each by the model fitted without it; at last, fit to all."""
    for number, stream in enumerate(streams):
        fit_layer(net, windows.only(np.flatnonzero(windows.groups != str(number))), choice)
        yield stream, play(net, [stream], choice.temperature)[0]
    fit_layer(net, windows, choice)
