"""Text on frames: it is wrapped or cut to the width and drawn at its position."""

import numpy as np

from onlooker.drawing.text import shortened, text_width, write


def test_text_is_cut_to_the_width_and_no_more():
    text = "a very long name of a class"
    cut = shortened(text, 14, 90)
    assert cut.endswith("…")
    assert text_width(cut, 14) <= 90
    assert text_width(text[: len(cut)] + "…", 14) > 90
    assert shortened(text, 14, 1000) == text


def test_text_is_visible_on_white_and_on_black():
    for ground in (0, 255):
        image = np.full((40, 120, 3), ground, np.uint8)
        write(image, "walk", (10, 10), 18)
        assert image.min() < 60
        assert image.max() > 195


def test_non_ascii_letters_are_drawn():
    images = []
    for text in ("жест", "kéž", "ωμέ"):
        image = np.zeros((40, 120, 3), np.uint8)
        write(image, text, (5, 5), 18)
        images.append(image)
    assert all(image.any() for image in images)
    assert not np.array_equal(images[0], images[1])
