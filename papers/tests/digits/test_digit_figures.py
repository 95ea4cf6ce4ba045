"""The digit figures show the pixels they were given, and windows and displacements where they are."""

import math

import numpy as np
import pytest
import torch

from onlooker_papers.digits.figures import deformation, deformed, window_corners, windows

IDENTITY = torch.eye(2, 3)


def shown(axes):
    return np.asarray(axes.images[0].get_array())


def corners(patch):
    return patch.get_xy()[:4].tolist()


# --- figure 4


@pytest.mark.parametrize(
    ("theta", "box"),
    [
        ([[1, 0, 0], [0, 1, 0]], (0, 0, 64, 64)),
        ([[0.5, 0, 0], [0, 0.5, 0]], (16, 16, 48, 48)),
        ([[0.25, 0, 0.5], [0, 0.5, -0.25]], (40, 8, 56, 40)),
    ],
)
def test_the_outline_lands_on_the_windows_pixels(theta, box):
    x1, y1, x2, y2 = box
    thetas = torch.tensor(theta).float()[None]
    expected = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
    figure = windows({"": (torch.zeros(1, 1, 64, 64, dtype=torch.uint8), thetas)})
    assert corners(figure.axes[0].patches[-1]) == expected


def test_what_it_sees_is_the_pixels_in_its_window():
    frames = torch.randint(
        0, 256, (2, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    thetas = torch.tensor([[0.5, 0, 0], [0, 0.5, 0]]).expand(2, 2, 3)
    views = windows({"": (frames, thetas)}).axes[2:]
    for view, frame in zip(views, frames, strict=True):
        assert np.abs(shown(view) - frame[0, 16:48, 16:48].numpy()).max() <= 1e-3


def test_several_windows_have_their_colors_and_a_view_each():
    frames = torch.rand(2, 1, 64, 64)
    thetas = IDENTITY * torch.tensor([0.3, 0.6, 0.9])[:, None, None]
    figure = windows(
        {"three": (frames, thetas.expand(2, 3, 2, 3)), "one": (frames, IDENTITY.expand(2, 2, 3))}
    )
    cells = np.array(figure.axes).reshape((1 + 3) + (1 + 1), 2)
    outlines = [patch for patch in cells[0, 0].patches if not patch.get_fill()]
    rims = [outline.get_edgecolor() for outline in outlines]
    assert len(set(rims)) == 3
    assert [axes.spines["top"].get_edgecolor() for axes in cells[1:4, 0]] == rims
    assert [corners(outline)[0][0] for outline in outlines] == pytest.approx(
        [0.7 * 32, 0.4 * 32, 0.1 * 32], abs=1e-4
    )
    sees = "what it sees\n32 × 32 pixels"
    assert [axes.get_ylabel() for axes in cells[:, 0]] == ["three", sees, "", "", "one", sees]


@pytest.mark.parametrize(("zoom", "border"), [(1.0, 0), (1.3, 16), (1.8, 32), (9.0, 32)])
def test_a_window_that_leaves_its_frame_is_shown_beyond_it(zoom, border):
    axes = windows({"": (torch.zeros(1, 1, 64, 64), (zoom * IDENTITY)[None])}).axes[0]
    assert axes.get_xlim() == (-border, 64 + border)
    assert axes.get_ylim() == (64 + border, -border)


# --- figure 5


def test_deformed_is_the_equation_pixel_by_pixel():
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (9, 12), dtype=torch.uint8, generator=generator)
    field = 6 * torch.rand(2, 9, 12, generator=generator) - 3
    gray = lambda x, y: float(image[y, x]) if 0 <= x < 12 and 0 <= y < 9 else 0.0  # noqa: E731
    for y in range(9):
        for x in range(12):
            at_x = x + field[0, y, x].item()
            at_y = y + field[1, y, x].item()
            left = math.floor(at_x)
            top = math.floor(at_y)
            across = at_x - left
            down = at_y - top
            upper = (1 - across) * gray(left, top) + across * gray(left + 1, top)
            lower = (1 - across) * gray(left, top + 1) + across * gray(left + 1, top + 1)
            assert (
                abs(deformed(image, field)[y, x].item() - ((1 - down) * upper + down * lower))
                <= 0.51
            )


def test_a_field_of_zeros_changes_nothing_and_a_constant_one_shifts():
    image = torch.randint(
        0, 256, (64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(deformed(image, torch.zeros(2, 64, 64)), image)
    shift = torch.stack((torch.full((64, 64), 3.0), torch.full((64, 64), -2.0)))
    assert torch.equal(deformed(image, shift)[2:, :-3], image[:-2, 3:])


def test_a_row_shows_image_arrows_and_result():
    image = torch.randint(
        0, 256, (64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    field = torch.stack((torch.full((64, 64), 3.0), torch.full((64, 64), -4.0)))
    figure = deformation(image, {"window 7\nas published": field, "none": 0 * field})
    first, arrows, result = figure.axes[:3]
    assert np.array_equal(shown(first), image)
    assert np.array_equal(shown(result), deformed(image, field))
    (quiver,) = arrows.collections
    assert quiver.get_offsets()[0].tolist() == [2.5, 2.5]
    assert (quiver.U == 3).all()
    assert (quiver.V == -4).all()
    assert first.get_ylabel() == "window 7\nas published\n5.0 pixels on average,\n5.0 at most"
    assert figure.axes[3].get_ylabel().startswith("none\n0.0 pixels on average")


# --- all


def test_corners_of_windows_with_rotation_and_frames_that_are_not_square():
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0]])  # the output's x axis points down the picture
    assert window_corners(quarter, 20, 40).tolist() == [[40, 0], [40, 20], [0, 20], [0, 0]]
    assert window_corners(quarter.expand(3, 2, 2, 3), 20, 40).shape == (3, 2, 4, 2)
