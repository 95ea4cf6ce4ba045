"""Flow as colors: hue by direction, saturation by speed, one scale for a clip."""

import colorsys

import numpy as np
import pytest

from onlooker.drawing.flow import color_wheel, flow_colors, strongest_motion, with_wheel
from onlooker.video.flow import flow, to_bytes


def at(x: float, y: float, strongest: float = 1) -> list[int]:
    """The color of one displacement."""
    return flow_colors(np.full((1, 1, 2), (x, y), np.float32), strongest)[0, 0].tolist()


def hue(x: float, y: float) -> float:
    """In degrees: red 0, yellow 60, green 120, cyan 180, blue 240, magenta 300."""
    return colorsys.rgb_to_hsv(*at(x, y))[0] * 360


def test_no_motion_is_white() -> None:
    assert at(0, 0) == [255, 255, 255]


@pytest.mark.parametrize(
    ("direction", "color", "within"),
    [((1, 0), 355, 10), ((0, 1), 43, 12), ((-1, 0), 187, 12), ((0, -1), 255, 25)],
)
def test_directions_have_the_hues_of_middlebury(direction: tuple[int, int], color: int, within: int) -> None:
    assert abs((hue(*direction) - color + 180) % 360 - 180) < within


def test_saturation_is_speed_clipped_at_the_maximum() -> None:
    full = np.array(at(0.6, 0.8))
    half = np.array(at(0.3, 0.4))
    assert np.abs((255 - half) * 2 - (255 - full)).max() <= 2
    assert at(6, 8) == full.tolist()
    assert at(6, 8, strongest=10) == full.tolist()


def test_no_two_directions_look_the_same() -> None:
    angles = np.linspace(-np.pi, np.pi, 721)
    colors = flow_colors(np.stack([np.cos(angles), np.sin(angles)], -1)[None], 1)[0].astype(int)
    assert np.abs(np.diff(colors, axis=0)).max() < 50  # torchvision's wheel has a small step at red
    assert np.abs(colors[0] - colors[-1]).max() < 5
    opposite = np.abs(colors[:360] - colors[360:720]).sum(1)
    assert opposite.min() > 150


def test_one_scale_for_all_frames() -> None:
    moved = np.zeros((4, 10, 10, 2), np.float32)
    moved[3] = (8, 0)
    moved[1] = (2, 0)
    assert strongest_motion(moved) == 8
    drawn = flow_colors(moved)
    assert drawn.shape == (4, 10, 10, 3)
    assert drawn.dtype == np.uint8
    assert drawn[0].min() == 255
    np.testing.assert_array_equal(drawn[1], flow_colors(moved[1], 8))
    np.testing.assert_array_equal(drawn[3], flow_colors(moved[3]))


def test_a_few_outliers_do_not_change_the_scale_and_noise_stays_pale() -> None:
    moved = np.full((1, 100, 100, 2), (3, 4), np.float32)
    moved[0, 0, :50] = 400
    assert strongest_motion(moved) == pytest.approx(5)
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (1, 20, 20, 2))
    assert strongest_motion(noise) == 1
    assert flow_colors(noise).min() > 210


def test_moving_objects_are_colored_where_they_are() -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8).repeat(2, 0).repeat(2, 1)
    frames = np.stack([coarse, coarse])
    frames[0, 24:72, 32:80], frames[1, 24:72, 35:83] = coarse[:48, :48], coarse[:48, :48]
    drawn = flow_colors(flow(frames), 3)[0]
    assert abs((colorsys.rgb_to_hsv(*drawn[48, 56].tolist())[0] * 360 + 180) % 360 - 180) < 15
    assert drawn[:, 104:].min() > 240


@pytest.mark.parametrize("size", [16, 64, 129])
def test_the_legend_has_the_colors_of_flow(size: int) -> None:
    wheel = color_wheel(size)
    assert wheel.shape == (size, size, 3)
    assert wheel.dtype == np.uint8
    assert wheel[0, 0].tolist() == wheel[0, -1].tolist() == [255, 255, 255]
    inside = wheel[: size // 2].reshape(-1, 3)
    assert (inside.min(1) < 100).any()
    if size > 16:
        middle = size // 2
        for x, y in ((0.5, 0), (0, 0.5), (-0.5, 0), (0, -0.5), (0.4, -0.4)):
            there = wheel[round(middle + y * middle), round(middle + x * middle)].astype(int)
            assert np.abs(there - at(x, y, strongest=0.96)).max() < 14


@pytest.mark.parametrize(
    ("moved", "message"),
    [
        (np.zeros((4, 4, 3)), r"flow has shape \(4, 4, 3\), expected H W 2 or T H W 2"),
        (np.zeros((4, 2)), r"flow has shape \(4, 2\), expected H W 2"),
        (np.zeros((2, 2, 4, 4, 2)), r"flow has shape \(2, 2, 4, 4, 2\), expected H W 2 or T H W 2"),
        (np.zeros((0, 4, 4, 2)), "not empty"),
        (to_bytes(np.zeros((4, 4, 2), np.float32)), "flow is uint8, expected displacements in pixels; to_pixels makes"),
        (np.full((4, 4, 2), np.nan), "flow has values that are not finite"),
    ],
)
def test_arrays_that_are_not_flow_are_errors(moved: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flow_colors(moved)
    with pytest.raises(ValueError, match=message):
        strongest_motion(moved)


def test_scales_must_be_positive() -> None:
    with pytest.raises(ValueError, match="strongest is 0, expected a positive length"):
        flow_colors(np.zeros((4, 4, 2)), 0)


def test_the_legend_is_in_the_lower_right_corner() -> None:
    drawn = np.zeros((80, 120, 3), np.uint8)
    image = with_wheel(drawn)
    np.testing.assert_array_equal(image[60:, 100:], color_wheel(20))
    assert not image[:60].any()
    assert not image[:, :100].any()
    assert not drawn.any()
    tiny = np.zeros((12, 12, 3), np.uint8)
    np.testing.assert_array_equal(with_wheel(tiny), tiny)
