"""Localization in a stream: frame by frame, without later frames, in constant memory."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.localization.boxes import Candidates, find_boxes
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.tracking import advance, contrast

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_LATER = ("motion", "background")  # foregrounds that need later frames
_LEAD = 3.0  # of the best path over any other at most: how long a window stays after another place moves more


def make_causal(parameters: LocalizationParameters) -> LocalizationParameters:
    """The same parameters for a stream: causal motion replaces foregrounds that need later frames."""
    return replace(parameters, foreground="causal-motion") if parameters.foreground in _LATER else parameters


def find_box(
    last: Pixels | None,
    attention: ArrayLike,
    frame: Pixels,
    parameters: LocalizationParameters,
    paths: Floats | None = None,
) -> tuple[Candidates, Floats | None]:
    """The box of one frame, in its pixels, if there is one (`find_boxes`); and `paths` for the next frame.

    Args:
        last: the previous frame; None at the first. One of another size is as none.
        attention: `h w`, sums to one.
        frame: `H W C`, uint8.
        parameters: those of `make_causal`.
        paths: of the window, if the parameters have one: how much worse the best path to each place is than the best of
            all; None at the first frame.
    """
    after = paths

    def place(foreground: Floats) -> NDArray[np.int64]:
        nonlocal after
        here = contrast(foreground[-1])
        best = here if paths is None else advance(paths, here)[0]
        after = np.maximum(best - best.max(), -_LEAD).astype(np.float32)
        return np.repeat([np.unravel_index(int(best.argmax()), best.shape)], 2, 0)

    # Motion needs two frames; only the box of the second is used.
    frames = np.stack((frame if last is None or last.shape != frame.shape else last, frame))
    return find_boxes(np.stack((attention, attention)), frames, parameters, place)[-1], after


@dataclass(frozen=True)
class EventState:
    """Whether the event happens in a stream, as of its last frame.

    Args:
        highest: the maximum of the evidence so far; -inf before the first frame.
        happening: whether the event happens now, by its evidence.
        label, frames: the event that reached the threshold in the last frame (None: none did), and in how many
            consecutive frames.
    """

    highest: float = -math.inf
    happening: bool = False
    label: int | None = None
    frames: int = 0


def update_event(state: EventState, evidence: float, parameters: LocalizationParameters) -> EventState:
    """Process one frame: whether its evidence, as a share of the maximum so far, reaches `onset`.

    Args:
        state: of the previous frame; `EventState()` at the first.
        evidence: the log weight of the frame, up to a constant.
        parameters: `onset` and `level` are used.
    """
    highest = max(state.highest, evidence)
    share = math.exp(evidence - max(highest, parameters.level))
    return replace(state, highest=highest, happening=share >= parameters.onset and share > 0)


def update_agreement(state: EventState, label: int | None, likeliest: int | None, agreement: int) -> EventState:
    """Process one frame: count the consecutive frames with the same event.

    Args:
        state: of the previous frame; `EventState()` at the first.
        label: the event that reaches the threshold in this frame (`answer.best_event`); None: none does.
        likeliest: the most probable class, if one of them is that of nothing. While it is the class of an event with
            at least `agreement` frames so far, this event goes on below the threshold.
    """
    if label is None and state.frames >= agreement and likeliest == state.label:
        label = likeliest
    before = state.frames if label == state.label else 0
    return replace(state, label=label, frames=0 if label is None else before + 1)
