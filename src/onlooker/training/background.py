"""Recordings in which none of the classes happens, in pieces: windows of some pieces are negatives
of the event layer, and held-out pieces give its rate of false alarms.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.base.config import DataConfig
from onlooker.base.intervals import with_interval
from onlooker.base.records import ClipError
from onlooker.data.clips import read_header
from onlooker.data.folder import list_files
from onlooker.data.samples import read_at
from onlooker.models.video_model import VideoModel
from onlooker.training.footage import Footage
from onlooker.training.forward import encode_samples
from onlooker.video.reader import VideoReader, is_video

__all__ = ["Background"]

_PIECE = 60.0  # seconds that are encoded together, at most
_FRAMES = 32  # encoded together
_REMEMBERED = 1 << 30  # bytes of features that stay in memory, at most: 25,000 frames of Lite0


@dataclass(frozen=True)
class Background:
    """Pieces of recordings in which none of the classes happens, as paths with intervals.

    Args:
        fitted: pieces whose windows are negatives.
        held_out: pieces that give the rate of false alarms.
        read: the footage of a piece.
    """

    fitted: Sequence[Path]
    held_out: Sequence[Path]
    read: Callable[[Path], Footage]


def background_files(paths: Sequence[Path]) -> list[Path]:
    """The recordings among some videos and folders of videos.

    Raises:
        ClipError: a path does not exist, or is a folder without videos.
    """
    files = list[Path]()
    for path in paths:
        inside = list_files(path)[0] if os.path.isdir(path) and not is_video(path) else [path]
        if not inside or not path.exists():
            raise ClipError(path, "no video there", "give a video or a folder of videos")
        files += inside
    return files


def background_of(
    files: Sequence[Path], model: VideoModel, data: DataConfig, *, rate: float
) -> Background:
    """The pieces of recordings. Every other recording is held out; in a single recording, every
    other piece.

    Args:
        files: of `background_files`.
        rate: frames per second of streams.
    """
    pieces = [[*_pieces(file)] for file in files]
    if len(pieces) == 1:
        pieces = [[piece] for piece in pieces[0]]
    return Background(
        [piece for part in pieces[::2] for piece in part],
        [piece for part in pieces[1::2] for piece in part],
        partial(_features, model, data, rate=rate),
    )


def _pieces(file: Path) -> Iterator[Path]:
    """Equally long pieces of a recording, two or more."""
    seconds = read_header(file).timing.end
    bounds = np.linspace(0, seconds, max(2, int(np.ceil(seconds / _PIECE))) + 1)
    for start, end in pairwise(bounds.tolist()):
        yield with_interval(file, start, end)


def remembered(
    read: Callable[[Path], Footage], most_bytes: int = _REMEMBERED
) -> Callable[[Path], Footage]:
    """A function that reads pieces and keeps the first ones in memory, up to a number of bytes:
    these are read once.
    """
    stored = dict[Path, Footage]()

    def read_once(path: Path) -> Footage:
        if path in stored:
            return stored[path]
        piece = read(path)
        if sum(footage.features.nbytes for footage in (*stored.values(), piece)) <= most_bytes:
            stored[path] = piece
        return piece

    return read_once


@torch.inference_mode()
def _features(model: VideoModel, data: DataConfig, path: Path, *, rate: float) -> Footage:
    reader = VideoReader(path)
    count = max(2, round(reader.timing.length * rate))

    def sampling(total: int) -> NDArray[np.int64]:
        return np.linspace(0, total - 1, count).round().astype(np.int64)

    sample = read_at(reader, data, sampling)
    frames = torch.from_numpy(sample.pixels)
    features = encode_samples(model, frames, data, at_once=_FRAMES).half().cpu()
    rows = {name: torch.from_numpy(seen) for name, seen in sample.eyes.items()}
    return Footage(features, rows)
