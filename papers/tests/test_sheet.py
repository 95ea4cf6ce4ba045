"""Contact sheets show the right frames of clips of any size and length."""

import numpy as np
import pytest

from onlooker.drawing.text import text_width
from onlooker_papers.sheet import sheet, wrapped


def counted(T, H, W):
    """Frame t has the constant value 10 (t + 1)."""
    return (10 * np.arange(1, T + 1, dtype=np.uint8))[:, None, None, None] * np.ones((1, H, W, 3), np.uint8)


def test_frames_are_in_order_from_left_to_right():
    image = sheet([("", counted(15, 40, 40))], columns=8, height=64)
    middle = image[image.shape[0] // 2, :, 0]
    shades = [int(v) for v in middle[np.r_[True, np.diff(middle) != 0]] if v != 255]
    assert shades == [10 * (t + 1) for t in (0, 2, 4, 6, 8, 10, 12, 14)]


def test_a_clip_with_few_frames_leaves_places_empty():
    image = sheet([("long", counted(8, 40, 40)), ("short", counted(2, 40, 40))], columns=8, height=64)
    half = image.shape[0] // 2
    assert (image[half + 10 : -10, -64 * 4 :] == 255).all()
    assert (image[10 : half - 10, -64 * 4 :] != 255).any()


def test_clips_of_different_shapes_keep_them_and_share_the_columns():
    tall, wide, tiny = counted(2, 120, 40), counted(2, 90, 160), counted(2, 16, 16)
    image = sheet([("", tall), ("", wide), ("", tiny)], columns=2, height=90)
    rows = [image[y, :, 0] for y in (50, 140, 230)]
    widths = [int((row == 10).sum()) for row in rows]
    assert widths == [30, 160, 90]
    centers = [np.nonzero(row == 20)[0].mean() for row in rows]
    assert np.ptp(centers) <= 1


def test_captions_are_left_aligned_and_never_under_the_frames():
    black = np.zeros((4, 64, 64, 3), np.uint8)
    plain, named = sheet([("", black)]), sheet([("walking with a very long name " * 4 + "\n93 %", black)])
    margin = named.shape[1] - plain.shape[1]
    assert margin > 100
    assert (named[:, :margin] < 100).any()
    np.testing.assert_array_equal(named[:, margin + 4 :], plain[:, 4:])


def test_nothing_to_show_is_an_error():
    with pytest.raises(ValueError, match="0 clips in 8 columns"):
        sheet([])
    with pytest.raises(ValueError, match=r"walk: frames are uint8 \(0, 8, 8, 3\)"):
        sheet([("walk", np.zeros((0, 8, 8, 3), np.uint8))])


@pytest.mark.parametrize(("H", "W"), [(7, 8191), (8191, 7), (2, 16384), (16384, 2)])
def test_thin_clips_are_at_least_one_pixel_wide(H, W):
    image = sheet([("", counted(2, H, W)), ("", counted(2, 40, 40))], columns=2, height=64)
    assert image.shape[0] < 200
    assert image.shape[1] < 400
    assert {10, 20} <= set(image[:70].reshape(-1).tolist())


def test_wrapped_lines_keep_every_word_and_the_width():
    text = "throwing a ball at a wall\nby a person"
    lines = wrapped(text, 12, 80)
    assert " ".join(lines).split() == text.split()
    assert all(text_width(line, 12) <= 80 for line in lines)
    assert lines[-1].endswith("person")
    assert len(wrapped("a\nb", 12, 80)) == 2
