"""Pixels of 16 bits become 8 by the bits that their clip uses: cameras of 10, 12 or 14 bits write
their values into 16, of which the brightest would be nearly black.

What is decided for a clip holds for all of its frames, so that equal brightness stays equal.
"""

import numpy as np
from numpy.typing import NDArray

from onlooker.base.progress import note
from onlooker.video.resize import Pixels

Values = NDArray[np.uint16]

WIDE = 16
_CAMERAS = (8, 10, 12, 14, WIDE)  # bits of their values
SAMPLED = 16  # equally spaced frames of a clip, which nearly always tell how bright it becomes


def bits_of(values: Values) -> int:
    """The bits of a camera that gives these values."""
    highest = int(values.max(initial=0))
    return next(bits for bits in _CAMERAS if highest < 1 << bits)


def to_bytes(values: Values, bits: int) -> Pixels:
    """Values `H W` or `H W 3` of a clip that uses so many bits as `H W 3`, of 8 bits; brighter ones
    are white.
    """
    white = (1 << bits) - 1
    if bits < WIDE:
        note(
            f"pixels of {WIDE} bits whose clip uses {bits} are read as {bits} bits: {white} is white",
            once=True,
        )
    scaled = np.rint(np.minimum(values, white) * (255 / white)).astype(np.uint8)
    return scaled if values.ndim == 3 else scaled[..., None].repeat(3, -1)
