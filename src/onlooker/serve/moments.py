"""Moments of a camera about which a model is unsure: the page asks for their labels; the next training uses them."""

import io
from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from onlooker.serve.correct import UNSURE, Guess, guess_of
from onlooker.video.resize import Pixels

__all__ = ["Arrived", "Moment", "Moments"]

_PAUSE = 20.0  # seconds between two moments of a camera
_FEWEST = 4  # frames of a moment


class Arrived(NamedTuple):
    """A frame as the browser has sent it: the browser's clock, the time of arrival in seconds, and the JPEG."""

    sent: float
    time: float
    jpeg: bytes


class Moment(NamedTuple):
    """Some seconds of a camera and the prediction of the model for them; `rate`: frames per second."""

    frames: list[bytes]
    rate: float
    guess: Guess

    def pixels(self) -> Iterator[Pixels]:
        """The frames `H W 3`, all of the size of the first."""
        size = None
        for frame in self.frames:
            with Image.open(io.BytesIO(frame), formats=["JPEG"]) as image:
                size = size or image.size
                yield np.asarray(image.convert("RGB").resize(size))


class Moments:
    """The last seconds of a camera.

    Args:
        seconds: length of a moment, equal to that of the clips that the model was trained on.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._answered = deque[tuple[Arrived, Mapping[str, float]]]()
        self._next = seconds

    def add(self, frame: Arrived, scores: Mapping[str, float]) -> Moment | None:
        """Add the scores of a frame; return the last seconds if their mean scores have two close classes."""
        self._answered.append((frame, scores))
        while frame.time - self._answered[0][0].time > self.seconds:
            self._answered.popleft()
        first, count = self._answered[0][0], len(self._answered)
        if frame.time < self._next or count < _FEWEST:
            return None
        made = guess_of(list(scores), np.mean([list(each.values()) for _, each in self._answered], axis=0))
        if made.margin >= UNSURE:
            return None
        self._next = frame.time + _PAUSE
        return Moment([each.jpeg for each, _ in self._answered], (count - 1) / (frame.time - first.time), made)
