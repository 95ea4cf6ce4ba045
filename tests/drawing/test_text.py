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


def test_text_over_the_edge_is_cut_off_there():
    whole, part = np.zeros((80, 200, 3), np.uint8), np.zeros((40, 60, 3), np.uint8)
    write(whole, "running", (40, 30), 24)
    write(part, "running", (30, 20), 24)
    np.testing.assert_array_equal(part, whole[10:50, 10:70])
    write(part, "running", (500, 500), 24)  # entirely outside: nothing happens
    np.testing.assert_array_equal(part, whole[10:50, 10:70])
