"""Conversion of 16-bit pixels to 8 bits by the bit depth of their clip: cameras of 10, 12 or 14
bits store their values in 16 bits, where the brightest of them would be nearly black.

The bit depth is the same for all frames of a clip, so that equal brightness stays equal.
"""

import numpy as np
from numpy.typing import NDArray

from onlooker.base.progress import note
from onlooker.video.resize import Pixels

Values = NDArray[np.uint16]

WIDE = 16
_CAMERAS = (8, 10, 12, 14, WIDE)  # bit depths of cameras
SAMPLED = 16  # equally spaced frames of a clip, which nearly always tell how bright it becomes


def bits_of(values: Values) -> int:
    """The bit depth of a camera that produces these values."""
    highest = int(values.max(initial=0))
    return next(bits for bits in _CAMERAS if highest < 1 << bits)


def to_bytes(values: Values, bits: int) -> Pixels:
    """Pixels `H W` or `H W 3` of a clip with this bit depth as 8-bit pixels `H W 3`; brighter
    values are white.
    """
    white = (1 << bits) - 1
    if bits < WIDE:
        note(
            f"pixels of {WIDE} bits whose clip uses {bits} are read as {bits} bits: {white} is white",
            once=True,
        )
    scaled = np.rint(np.minimum(values, white) * (255 / white)).astype(np.uint8)
    return scaled if values.ndim == 3 else scaled[..., None].repeat(3, -1)
