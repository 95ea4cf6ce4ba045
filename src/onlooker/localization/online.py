"""Localization in a stream: frame by frame, without later frames, in constant memory."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlooker.localization.boxes import find_boxes
from onlooker.localization.maps import smooth_step
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.tubes import OnlineTrack, OnlineTracks, update_tracks

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_LATER = ("motion", "background")  # foregrounds that need later frames


def make_causal(parameters: LocalizationParameters) -> LocalizationParameters:
    """The same parameters for a stream: causal motion replaces foregrounds that need later frames."""
    return replace(parameters, foreground="causal-motion") if parameters.foreground in _LATER else parameters


@dataclass(frozen=True, eq=False)
class PlaceState:
    """Where the event happens in a stream, as of its last frame.

    Args:
        frame: the last frame, `H W C`; None before the first one.
        point: x and y of the pixel of `frame` with the most attention; NaN for uniform attention.
    """

    frame: Pixels | None = None
    tracks: OnlineTracks = field(default_factory=OnlineTracks)
    point: Floats = field(default_factory=lambda: np.full(2, np.nan, np.float32))

    @property
    def best(self) -> OnlineTrack | None:
        """The track with the highest mean concentration, of those with a box in this frame; None if there is none."""
        current = [track for track in self.tracks.active if not track.missed]
        return max(current, key=lambda track: track.mean, default=None)


def update_place(
    state: PlaceState, attention: ArrayLike, frame: Pixels, parameters: LocalizationParameters
) -> PlaceState:
    """Process one frame.

    Args:
        state: of the previous frame; `PlaceState()` at the first.
        attention: `h w`, sums to one.
        frame: `H W C`, uint8; boxes are in its pixels. The state is reset when the frame size changes.
        parameters: those of `make_causal`.
    """
    if state.frame is not None and state.frame.shape != frame.shape:
        state = PlaceState()
    # Causal motion needs two frames; only the boxes of the second are used.
    frames = np.stack((frame if state.frame is None else state.frame, frame))
    boxes = find_boxes(np.stack((attention, attention)), frames, parameters)[-1]
    return PlaceState(frame, update_tracks(state.tracks, boxes, parameters), boxes.point)


@dataclass(frozen=True, eq=False)
class EventState:
    """Whether the event happens in a stream, as of its last frame.

    Args:
        highest: the maximum of the evidence so far; -inf before the first frame.
        share: the smoothed share of the maximum; None before the first frame.
        happening: whether the event happens now, by its evidence.
        label, frames: the event that reached the threshold in the last frame (None: none did), and in how many
            consecutive frames.
    """

    highest: float = -math.inf
    share: Floats | None = None
    happening: bool = False
    label: int | None = None
    frames: int = 0


def update_event(state: EventState, evidence: float, parameters: LocalizationParameters) -> EventState:
    """Process one frame: whether its evidence, as a share of the maximum so far, smoothed, reaches `onset`.

    A share below `onset` counts as 0, because the maximum of the clip may come later. Without `score_smoothing` there
    is no delay. With n frames, an event of the highest evidence so far begins n ln(1 / (1 - onset)) frames late, a
    weaker one later, and it ends at most n ln(1 / onset) frames late.

    Args:
        state: of the previous frame; `EventState()` at the first.
        evidence: the log weight of the frame, up to a constant.
        parameters: `score_smoothing`, `onset` and `level` are used.
    """
    highest = max(state.highest, evidence)
    share = math.exp(evidence - max(highest, parameters.level))
    smoothed = smooth_step(state.share, share if share >= parameters.onset else 0.0, parameters.score_smoothing)
    happening = bool(smoothed >= parameters.onset and smoothed > 0)
    return replace(state, highest=highest, share=smoothed, happening=happening)


def update_agreement(state: EventState, label: int | None) -> EventState:
    """Process one frame: count the consecutive frames in which the same event reached the threshold.

    Args:
        state: of the previous frame; `EventState()` at the first.
        label: the event of this frame (`answer.best_event`); None: nothing.
    """
    before = state.frames if label == state.label else 0
    return replace(state, label=label, frames=0 if label is None else before + 1)
