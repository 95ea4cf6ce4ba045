"""Overlays color the attended region and keep the image elsewhere; each annotator draws one thing."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

import onlooker
from onlooker.base.decision import Decision
from onlooker.base.records import Prediction, Segment, Tube
from onlooker.report.overlay import (
    BLACK,
    BOX_COLORS,
    RAMP,
    WHITE,
    _drawn,
    _font,
    boxes,
    caption,
    enlarge,
    full_strength,
    overlay,
    ring,
    time_bar,
)


def gray(H=70, W=90, level=128):
    return np.full((H, W, 3), level, np.uint8)


def peaked(h, w, row, column):
    weights = np.full((h, w), 0.01, np.float32)
    weights[row, column] = 1
    return weights / weights.sum()


def colorfulness(frame):
    return np.ptp(frame.astype(int), axis=-1)


@pytest.mark.parametrize(
    ("h", "w", "row", "column"), [(7, 7, 1, 5), (5, 9, 4, 0), (1, 3, 0, 1)]
)
def test_color_is_strongest_at_the_attended_cell(h, w, row, column):
    H = 70
    W = 90
    color = colorfulness(overlay(gray(H, W), peaked(h, w, row, column)))
    y = int((row + 0.5) * H / h)
    x = int((column + 0.5) * W / w)
    assert color[y, x] > 0.8 * color.max()
    ys, xs = np.mgrid[:H, :W]
    # Nothing colored farther away than a cell and a half: cubic enlargement stays local.
    far = (abs(ys - y) > 1.6 * H / h) | (abs(xs - x) > 1.6 * W / w)
    assert color[far].max(initial=0) < 0.15 * color.max()


@pytest.mark.parametrize("size", [(70, 90), (33, 47), (1, 1)])
def test_an_overlay_is_the_frame_with_the_colors_of_the_map_by_its_level(
    size: tuple[int, int],
) -> None:
    random = np.random.default_rng(1)
    frame = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    weights = (
        random.random((5, 9)) ** 8
    )  # with values below the even one, and above full strength
    weights /= weights.sum()
    above = (weights - 1 / 45) / (0.1 - 1 / 45)
    level = cv2.resize(above, size[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 1)[..., None]
    stops, *channels = np.array(RAMP).T
    color = np.concatenate([np.interp(level, stops, channel) for channel in channels], axis=-1)
    expected = (1 - 0.6 * level) * frame + 0.6 * level * color
    assert np.abs(overlay(frame, weights, 0.1) - expected).max() < 3.5


def test_full_strength_follows_the_clip_with_a_minimum():
    assert full_strength(np.full((4, 5, 5), 1 / 25)) == pytest.approx(4 / 25)
    assert full_strength([peaked(5, 5, 0, 0)] * 4) == pytest.approx(1 / 1.24)
    # One sharp frame among many does not dim the rest.
    maps = np.concatenate([np.full((19, 10, 10), 0.01), peaked(10, 10, 0, 0)[None]])
    assert full_strength(maps) == pytest.approx(0.04)


def test_the_input_is_never_written_to():
    frame = np.random.default_rng(2).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    before = frame.copy()
    overlay(frame, peaked(3, 3, 1, 1))
    caption(frame, ["a"])
    boxes(frame, [9.0, 9.0, 9.0, 9.0])
    ring(frame, (9, 9))
    time_bar(frame, 0.5, [(0, 1, BOX_COLORS[0])])
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize("side", [64, 144, 480, 1080])
def test_a_caption_can_be_read_at_every_size(side):
    drawn = caption(gray(side, side * 16 // 9), ["walking", "93 %"])
    changed = (drawn != 128).any(-1)
    ys, xs = np.nonzero(changed)
    assert 18 <= np.ptp(ys) < 0.45 * side
    assert xs.max() < drawn.shape[1] - 1
    assert drawn.max() > 200  # bright letters
    assert drawn.min() < 40  # a dark rim


@pytest.mark.parametrize("size", [(90, 120), (256, 201)])
def test_captions_are_drawn_as_by_a_program_for_images(size: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    lines = ("gjq", "ÅÅ", "Ǻ")  # the outline of a line covers the line before
    height = max(9, round(min(size) / 25 + 4))
    edge = max(1, round(height / 9))
    for frame in random.integers(0, 256, (2, *size, 3), dtype=np.uint8):
        image = Image.fromarray(frame)
        for row, text in enumerate(lines):
            place = height // 2, height // 2 + row * round(1.3 * height)
            ImageDraw.Draw(image).text(
                place,
                text,
                WHITE,
                _font(height, row == 0),
                stroke_width=edge,
                stroke_fill=BLACK,
            )
        drawn = caption(frame, lines)
        assert np.abs(drawn.astype(int) - np.array(image)).max() <= 1
    np.testing.assert_array_equal(caption(gray(1, 1), lines), gray(1, 1))
    np.testing.assert_array_equal(caption(gray(), []), gray())


def test_the_text_of_an_event_is_drawn_once_and_not_on_each_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = list[str]()
    draw_text = ImageDraw.ImageDraw.text

    def counted(
        draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, *rest, **style
    ) -> None:
        texts.append(text)
        draw_text(draw, at, text, *rest, **style)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", counted)
    scores = (np.ones((2, 1), np.float32), np.ones(1, np.float32))
    prediction = Prediction(
        Path("a"),
        Decision(("drawn once",)),
        *scores,
        np.arange(2.0),
        np.arange(2),
        segments=(Segment("drawn once", 0, 1),),
    )
    frames = list(_drawn([(i, i / 20, gray()) for i in range(20)], prediction))
    assert len(frames) == 20
    assert 0 < texts.count("drawn once") <= 2


def test_boxes_are_drawn_where_they_are_also_in_an_enlarged_frame():
    corners = np.array([[10, 20, 40, 60], [np.nan] * 4])
    drawn = boxes(gray(100, 80, 0), corners)
    ys, xs = np.nonzero(drawn.any(-1))
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == (10, 20, 40, 60)
    assert not drawn[30:50, 20:30].any()
    np.testing.assert_array_equal(drawn, boxes(gray(100, 80, 0), corners[0]))
    larger = boxes(gray(200, 160, 0), corners, size=(100, 80))
    ys, xs = np.nonzero((larger == 255).all(-1))
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == pytest.approx((20, 40, 80, 120), abs=1)


def test_a_ring_is_around_its_point_in_frames_of_any_size():
    drawn = ring(gray(100, 80, 0), (20.5, 30.5))
    ys, xs = np.nonzero(drawn.any(-1))
    assert (ys.mean(), xs.mean()) == pytest.approx((30, 20), abs=0.1)
    assert not drawn[30, 20].any(), "what is ringed can be seen"
    assert not ring(gray(100, 80, 0), (np.nan, np.nan)).any()
    ys, xs = np.nonzero(ring(gray(300, 240, 0), (20.5, 30.5), size=(100, 80)).any(-1))
    assert (ys.mean(), xs.mean()) == pytest.approx((91, 61), abs=0.2)


def test_between_two_frames_the_ring_is_at_the_place_of_the_nearer_one():
    points = np.array([[30, 100], [230, 100]], np.float32)
    of = (np.ones((2, 1)), np.ones(1), np.arange(2.0), np.arange(2))
    (drawn,) = _drawn(
        [(0, 0.7, gray(256, 256))], Prediction(Path("a"), Decision(("a",)), *of, points=points)
    )
    assert [(drawn[90:110, x : x + 20] == 255).any() for x in (20, 160, 220)] == [
        False,
        False,
        True,
    ]


def test_enlarging_keeps_large_frames_and_the_shape_of_others():
    large = gray(300, 400)
    assert enlarge(large) is large
    assert enlarge(gray(28, 40)).shape == (256, 366, 3)
    np.testing.assert_array_equal(enlarge(gray(144, 181)), gray(256, 322))


def test_a_caption_that_is_too_long_is_cut_and_letters_of_other_alphabets_are_drawn():
    texts = ("a very long name of a class", "a very long", "жест", "kéž", "ωμέ")
    long, short, *others = (caption(gray(100, 180), [text]) for text in texts)
    assert np.ptp((long != 128).any((0, 2)).nonzero()[0]) > 130
    assert (long[:, -4:] == 128).all()
    np.testing.assert_array_equal(long[:, :50], short[:, :50])
    assert all((image != 128).any() for image in others)
    assert not np.array_equal(others[0], others[1])


def test_invalid_input_is_an_error():
    with pytest.raises(
        ValueError, match=r"image is float64 \(70, 90, 3\), expected uint8 H W 3"
    ):
        overlay(gray() / 255, np.ones((4, 4)))


def test_the_time_bar_shows_the_clip_the_event_and_the_current_time():
    red = BOX_COLORS[0]
    drawn = np.stack(
        [
            time_bar(gray(200, 220), now, [(0.25, 0.75, red), (-1.0, 0.1, red)])
            for now in (0.0, 0.5, 1.0)
        ]
    )
    marked = (drawn == red).all(-1)
    assert 7 < marked[0].any(0).nonzero()[0].min() < 20, (
        "what begins before the clip begins with it"
    )
    assert [marked[0, :, x].any() for x in (110, 40, 190)] == [True, False, False]
    marks = [(frame == 255).all(-1).any(0).nonzero()[0].mean() for frame in drawn]
    assert marks[0] < 20 < marks[1] < 200 < marks[2]


def test_what_a_box_marks_can_be_seen_and_a_class_has_one_color_in_boxes_and_times() -> None:
    heat = np.full((2, 4, 4), 1 / 48, np.float32)
    heat[:, 1:3, 1:3] = 1 / 16 + 1 / 8
    heat /= heat.sum((1, 2), keepdims=True)
    corners = np.array([[64, 64, 192, 192]] * 2, np.float32)
    tubes = tuple(Tube(name, np.arange(2), corners + i, 0.9) for i, name in enumerate("bc"))
    of = (np.ones((2, 3), np.float32), np.array([0.1, 0.8, 0.1]), np.arange(2.0), np.arange(2))
    drawn = [
        _drawn(
            [(0, 0.0, gray(256, 256))],
            Prediction(
                Path("a"),
                Decision(("a", "b", "c")),
                *of,
                attention=heat,
                heat=heat,
                tubes=of_clip,
                segments=(Segment("b", 0.5, 0.9), Segment("c", 0, 0.3)),
            ),
        )
        for of_clip in ((), tubes)
    ]
    (plain,), (boxed,) = (list(frames) for frames in drawn)
    color = [colorfulness(frame[100:156, 100:156]).mean() for frame in (plain, boxed)]
    assert 0.5 * color[0] < color[1] < 0.7 * color[0]
    np.testing.assert_array_equal(plain[10:30, 100:], boxed[10:30, 100:])
    for number in (1, 2):
        is_colored = (boxed == BOX_COLORS[number]).all(-1)
        assert is_colored[50:200, 50:210].any(), "a box"
        assert is_colored[220:].any(), "an event"
    assert not (boxed == BOX_COLORS[0]).all(-1).any()


def test_maps_have_the_colors_of_the_page() -> None:
    script = Path(onlooker.__file__).parent / "serve" / "static" / "overlay.js"
    (ramp,) = re.findall(r"const RAMP = (\[.*?\]);", script.read_text("utf-8"), re.DOTALL)
    assert [tuple(stop) for stop in json.loads(ramp)] == [*RAMP]
