"""Drawing the steps of a stream on their frames."""

from dataclasses import replace

import numpy as np

from onlooker.drawing.clip import StreamAnnotator
from onlooker.drawing.overlay import BOX_COLORS
from onlooker.structures import Box, Step

GRAY = np.full((256, 320, 3), 90, np.uint8)
SCORES = np.array([0.8, 0.2], np.float32)
PLAIN = Step(3, 0.5, SCORES, ("wave", "run"), source="0", pixels=GRAY)


def has(image: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((image == color).all(-1).any())


def test_without_attention_text_and_a_bar_are_drawn() -> None:
    drawn = StreamAnnotator()(PLAIN)
    assert drawn.shape == GRAY.shape
    assert (drawn[60:230] == 90).all(), "nothing on the image itself"
    surer = StreamAnnotator()(replace(PLAIN, scores=SCORES[::-1].copy()))
    assert (drawn != surer).any()
    assert (GRAY == 90).all(), "the step's frame stays as it was"


def test_boxes_are_drawn_at_their_position() -> None:
    box = Box("wave", 3, (100.0, 120.0, 180.0, 200.0), 0.5)
    drawn = StreamAnnotator()(replace(PLAIN, box=box, point=(250.0, 150.0)))
    assert (drawn[120, 101:179] == BOX_COLORS[0]).all()
    assert (drawn[140:160, 240:260] == 255).any()
    small = replace(PLAIN, pixels=GRAY[::4, ::4].copy(), box=replace(box, corners=(25.0, 30.0, 45.0, 50.0)))
    enlarged = StreamAnnotator()(small)
    assert enlarged.shape == GRAY.shape
    assert has(enlarged[116:126, 101:179], BOX_COLORS[0])


def test_a_class_that_is_not_probable_has_no_box() -> None:
    box = Box("wave", 3, (100.0, 120.0, 180.0, 200.0), 0.5)
    unsure = replace(PLAIN, scores=np.array([0.25, 0.24], np.float32), box=box)
    assert not has(StreamAnnotator()(unsure), BOX_COLORS[0])


def test_while_nothing_happens_there_is_no_box() -> None:
    box = Box("wave", 3, (100.0, 120.0, 180.0, 200.0), 0.5)
    at = replace(PLAIN, box=box, evidence=0.1)
    assert has(StreamAnnotator()(replace(at, happening=True)), BOX_COLORS[0])
    quiet = StreamAnnotator()(replace(at, happening=False))
    assert not has(quiet, BOX_COLORS[0])
    assert (quiet[:40] != StreamAnnotator()(replace(at, happening=True))[:40]).any(), "brackets around the class"


def test_colors_are_scaled_by_recent_maps_of_the_stream() -> None:
    peak, faint = np.full((8, 8), 0.5 / 63, np.float32), np.full((8, 8), 0.9 / 63, np.float32)
    peak[4, 4], faint[4, 4] = 0.5, 0.1
    annotate = StreamAnnotator()
    alone = annotate(replace(PLAIN, attention=faint, source="other"))
    annotate(replace(PLAIN, attention=peak))
    after = annotate(replace(PLAIN, attention=faint))
    spot = np.s_[140:150, 175:185]
    assert np.abs(alone[spot].astype(int) - 90).mean() > np.abs(after[spot].astype(int) - 90).mean()
    for _ in range(1000):
        after = annotate(replace(PLAIN, attention=faint))
    np.testing.assert_array_equal(after, alone)
