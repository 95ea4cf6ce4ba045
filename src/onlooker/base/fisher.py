"""Fisher vectors of arrays and tensors alike, from sums over the blocks of a video."""

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Numbers = TypeVar("Numbers", NDArray[np.float32], "Tensor")

# of the descriptor of a block, with words of their own: directions of the image gradient, of flow,
# and of the gradients of its components x and y
PARTS = 4


def fisher_vector(sums: Numbers) -> Numbers:
    """The improved Fisher vector (Perronnin, Sanchez & Mensink, *Improving the Fisher kernel for
    large-scale image classification*, 2010): the mean over blocks, the signed square root of each
    number, and each part divided by its norm.

    Args:
        sums: `… 1+F`, the number of blocks and the sums of their contributions
            (`onlooker.video.motion_words`); adding rows pools their blocks.

    Returns:
        `… F`; zeros where there are no blocks.
    """
    *leading, width = sums.shape
    count = sums[..., :1]
    means = sums[..., 1:] / (count + (count == 0))
    # small numbers in sums would be zero in an exported model
    roots = means / (abs(means) + (means == 0)) ** 0.5
    parts = roots.reshape((*leading, PARTS, (width - 1) // PARTS))
    norms = (parts * parts).sum(-1)[..., None] ** 0.5
    return (parts / (norms + (norms == 0))).reshape((*leading, width - 1))
