"""Contact sheets show the right frames of clips of any length."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from onlooker_papers.sheet import sheet


def shades(rows: list[tuple[str, NDArray[np.uint8]]], columns: int) -> list[list[int]]:
    """The gray levels along the middle of each row, without the white background."""
    image = cv2.imdecode(np.frombuffer(sheet(rows, columns), np.uint8), cv2.IMREAD_GRAYSCALE)
    lines = [image[round((row + 0.5) * len(image) / len(rows))] for row in range(len(rows))]
    return [[int(v) for v in line[np.r_[True, np.diff(line) != 0]] if v < 200] for line in lines]


@pytest.mark.parametrize(("count", "shown"), [(15, [0, 2, 4, 6, 8, 10, 12, 14]), (2, [0, 1])])
def test_frames_are_in_order_from_left_to_right(count: int, shown: list[int]) -> None:
    frames = np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None] * 10, (count, 40, 40, 3)
    )
    long = np.broadcast_to(np.arange(15, dtype=np.uint8)[:, None, None, None] * 10, (15, 40, 40, 3))
    first, second = shades([("", long), ("", frames)], 8)
    assert first == [10 * t for t in (0, 2, 4, 6, 8, 10, 12, 14)]
    assert second == [10 * t for t in shown]
