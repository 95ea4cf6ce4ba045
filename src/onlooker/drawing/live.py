"""A stream with what a model sees in it, drawn on every frame as it comes."""

import numpy as np
from numpy.typing import NDArray

from onlooker.drawing.clip import draw_frame
from onlooker.drawing.overlay import CONTRAST_FLOOR
from onlooker.structures import Step

__all__ = ["StreamAnnotator"]

Pixels = NDArray[np.uint8]

_FADES = 0.99  # what is left after a frame of the highest weight, by which colors are scaled


class StreamAnnotator:
    """Draws attention, box, point, class, probability and time on the frames of streams, one step after the other.

    Colors are scaled by the highest weight of late, so that they mean nearly the same from frame to frame. While a
    model that weighs frames says that nothing happens, the class is in brackets and has no box. A bar is as long as the
    probability.

    Args:
        least: a class less probable than this has no box, which would rather be a wrong one.
    """

    def __init__(self, least: float = 0.3) -> None:
        self._least = least
        self._strengths: dict[str | None, float] = {}

    def __call__(self, step: Step) -> Pixels:
        """The step's frame, drawn on: `H W 3`, enlarged where it is small.

        Raises:
            ValueError: a step without its frame.
        """
        if step.pixels is None:
            raise ValueError("the step has no pixels; give one of a stream (`watch`), or draw a clip by `write_drawn`")
        height, width, _ = step.pixels.shape
        quiet = step.happening is False
        words = f"({step.label})" if quiet else step.label, f"{100 * step.score:.0f} %  {step.time:.1f} s"
        return draw_frame(
            step.pixels, words, step.score, (height, width),
            attention=step.attention,
            strength=None if step.attention is None else self._strength(step.source, step.attention),
            box=None if step.box is None or quiet or step.score < self._least else step.box.corners,
            point=step.point,
        )  # fmt: skip

    def _strength(self, source: str | None, attention: NDArray[np.float32]) -> float:
        """The weight that is drawn at full strength."""
        before = self._strengths.get(source, CONTRAST_FLOOR / attention.size)
        now = max(float(attention.max()), _FADES * before, CONTRAST_FLOOR / attention.size)
        self._strengths[source] = now
        return now
