"""A stream with what a model sees in it, drawn on every frame as it comes."""

import numpy as np
from numpy.typing import NDArray

from saccade.pictures.overlay import CONTRAST_FLOOR, RIMS, boxes, caption, enlarge, overlay, probability_bar, rings
from saccade.structures import Step

Pixels = NDArray[np.uint8]

_FADES = 0.99  # what is left after a frame of the highest weight, by which colours are scaled


class StreamAnnotator:
    """Draws attention, box, point, class, probability and time on the frames of streams, one step after the other.

    Colours are scaled by the highest weight of late, so that they mean nearly the same from frame to frame. While a
    model that weighs frames says that nothing happens, the class is in brackets and has no box. A bar is as long as the
    probability.
    """

    def __init__(self) -> None:
        self._strengths: dict[str | None, float] = {}

    def __call__(self, step: Step) -> Pixels:
        """The step's frame, drawn on: `H W 3`, enlarged where it is small.

        Raises:
            ValueError: a step without its frame.
        """
        if step.pixels is None:
            raise ValueError("the step has no pixels; give one of a stream (`watch`), or draw a clip by `write_drawn`")
        frame, size = step.pixels[None], step.pixels.shape[:2]
        if step.attention is not None:
            frame = overlay(frame, step.attention[None], scale=self._strength(step.source, step.attention))
        frame = enlarge(frame)
        quiet = step.happening is False
        if step.box is not None and not quiet:
            frame = boxes(frame, np.array([step.box.corners]), RIMS[0], (size[0], size[1]))
        if step.point is not None:
            frame = rings(frame, np.array([step.point]), size=(size[0], size[1]))
        label = f"({step.label})" if quiet else step.label
        frame = caption(frame, [[label, f"{100 * step.score:.0f} %  {step.time:.1f} s"]])
        return probability_bar(frame, [step.score])[0]

    def _strength(self, source: str | None, attention: NDArray[np.float32]) -> float:
        """The weight that is drawn at full strength."""
        before = self._strengths.get(source, CONTRAST_FLOOR / attention.size)
        now = max(float(attention.max()), _FADES * before, CONTRAST_FLOOR / attention.size)
        self._strengths[source] = now
        return now
