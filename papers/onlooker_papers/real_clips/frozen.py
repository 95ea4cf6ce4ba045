"""The splits for testing a set; features of a frozen encoder for all of its clips, computed once; and
the default command with the encoder `small`, trained on a split.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import nn
from torch.utils.data import DataLoader

from onlooker import Clip, LinearClassifier, Recognizer, TrainedRun, load
from onlooker.base.config import DataConfig, ModelConfig, Settings
from onlooker.base.files import write_bytes
from onlooker.data.clips import read_clips
from onlooker.data.sets import read_set
from onlooker.data.split import Split, group_of, make_splits
from onlooker.models.registry import configured
from onlooker.run.features import weights_digest
from onlooker.run.record import RunRecord
from onlooker.run.train import continue_run
from onlooker.training.eyes import eye_vectors
from onlooker.training.fitters import complete
from onlooker.training.forward import encode_samples
from onlooker.training.linear import ClipStatistics, altered_copies
from onlooker_papers.published_sets.hmdb51 import JHMDB
from onlooker_papers.published_sets.ucf101 import UCF101
from onlooker_papers.sets import data_folder

__all__ = [
    "DATA",
    "MODEL",
    "SETS",
    "EncodedSet",
    "Eyes",
    "encode",
    "fitted",
    "input_of",
    "model",
    "splits_of",
    "trained",
]

Floats = NDArray[np.float64]
Eyes = Literal["pictures", "auto", "both"]

# `onlooker train CLIPS --encoder small`
MODEL = ModelConfig("linear", "small")
DATA = DataConfig(frames=16, size=112)
# clips read at once, frames encoded at once
_CLIPS = 8
_FRAMES = 32
_SEED = 0  # of random weights


@dataclass(frozen=True)
class Source:
    """The source of a set.

    Args:
        folder: its folder in `clips/` of the data folder.
        official: the published set whose three official splits are used, with lists in
        `annotations/`; empty: none.
        folds: without official splits, the number of folds by recording; 0: one split. As in
            `recipes`, so that rows are comparable.
    """

    folder: str
    official: str = ""
    folds: int = 0


SETS = {
    "hand_gestures": Source("hand_gestures"),
    "basketball": Source("basketball"),
    "surveillance": Source("surveillance"),
    "weizmann": Source("weizmann/frames", folds=3),
    "jhmdb": Source("jhmdb", "jhmdb"),
    "ucf101_18": Source("ucf101_18", "ucf101"),
}


def splits_of(name: str) -> dict[str, Split]:
    """The splits of a set, by name; each covers all of its clips.

    Raises:
        ValueError: an unknown set, or ONLOOKER_DATA is not set.
        ClipError: there are no such clips.
    """
    if name not in SETS:
        raise ValueError(f"there is no set {name!r}; there are {', '.join(SETS)}")
    source = SETS[name]
    root = data_folder()
    folder = root / "clips" / source.folder
    if not source.official:
        return make_splits(read_set(folder).clips, folds=source.folds)
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    lists = root / "annotations"
    published = {"jhmdb": JHMDB, "ucf101": UCF101}[source.official]
    return {
        f"split{number}": published.split(
            folder,
            annotations=lists / source.official,
            number=number,
            classes=classes,
            complete=False,
        )
        for number in (1, 2, 3)
    }


@dataclass(frozen=True, eq=False)
class EncodedSet:
    """The clips of a set in the form that the head gets.

    Args:
        clips: statistics over time, classes and recordings.
        weights: digest of the encoder's weights.
    """

    clips: ClipStatistics
    weights: str


def trained(name: str, split: str, run: Path) -> tuple[Recognizer, Split]:
    """The default command with the encoder `small`, trained on a split of a set, in the folder
    `run`; continued if it is there. Errors as for `splits_of`.
    """
    known = splits_of(name)[split]
    return fitted(data_folder() / "clips" / SETS[name].folder, known, run), known


def fitted(folder: Path, split: Split, run: Path, *, eyes: Eyes = "auto") -> Recognizer:
    """As `trained`, on a split of the clips of any folder."""
    if TrainedRun.read(run).figures is None:
        settings = complete(Settings(data=DataConfig(eyes=eyes)))
        continue_run(RunRecord(folder, (), settings, split=split), run)
    return load(run, "cpu")


def model(
    classes: int, pretrained: bool | None = None, encoder: str = MODEL.encoder
) -> LinearClassifier:
    """The linear model of `onlooker train`, with random weights if not `pretrained`, or with
    another encoder.
    """
    torch.manual_seed(_SEED)
    return cast(LinearClassifier, configured(input_of(encoder, pretrained), classes).eval())


def input_of(encoder: str, pretrained: bool | None = True) -> Settings:
    """The settings of `onlooker train` with an encoder, and the size of its frames."""
    config = replace(MODEL, encoder=encoder, pretrained=pretrained)
    given = {"encoder", "eyes"} if encoder == "lite0" else {"encoder", "eyes", "size"}
    return complete(Settings(config, DATA), given)


def encode(
    name: str,
    run: Path,
    *,
    encoder: str = MODEL.encoder,
    copies: bool = False,
    eyes: Eyes = "pictures",
) -> EncodedSet:
    """The features of all clips of a set, and of their copies if asked for; those that are stored
    in the folder `run` are not computed again. Motion words (`eyes`) are cached as for `train`.

    Raises:
        ValueError, ClipError: as for `splits_of`; or a clip cannot be read.
    """
    data = input_of(encoder).data
    clips = next(iter(splits_of(name).values())).clips
    classes = tuple(sorted({clip.label for clip in clips}))
    net = model(len(classes), True, encoder)
    weights = weights_digest(cast(nn.Module, net.encoder))
    path = (
        run
        / f"{name}-{data.frames}x{data.size}-{net.num_features}-{weights[:16]}{'-copies' * copies}.npz"
    )
    if not path.exists():
        stream = io.BytesIO()
        np.savez(stream, x=_computed(net, clips, classes, data=data, title=name, copies=copies))
        write_bytes(path, stream.getvalue())
    with np.load(path) as stored:
        x, *altered = stored["x"]
    y = np.array([classes.index(clip.label) for clip in clips], np.int64)
    groups = np.array([group_of(clip) for clip in clips])
    seen = {}
    if eyes != "pictures":
        samples, _ = read_clips(clips, classes, replace(data, eyes=eyes), strict=True)
        seen = {
            name: eye_vectors(partial(samples.features, name), len(samples))
            for name in samples.eyes
        }
    statistics = ClipStatistics(
        x, y, groups, num_classes=len(classes), copies=tuple(altered), eyes=seen, requested=eyes
    )
    return EncodedSet(statistics, weights)


@torch.inference_mode()
def _computed(
    net: LinearClassifier,
    clips: Sequence[Clip],
    classes: Sequence[str],
    *,
    data: DataConfig,
    title: str,
    copies: bool,
) -> Floats:
    """The statistics of the clips, and of each kind of copies, `V B M`."""
    samples, _ = read_clips(clips, classes, data, strict=True)
    x = []
    for batch, _, _ in track(DataLoader(samples, _CLIPS), title):
        views = (batch, *(altered_copies(batch) if copies else ()))
        x.append(
            torch.stack(
                [
                    net.statistics(encode_samples(net, view, data, at_once=_FRAMES))[:, -1]
                    for view in views
                ]
            )
        )
    return cast(Floats, torch.cat(x, 1).double().numpy())
