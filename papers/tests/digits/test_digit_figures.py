"""The digit images show the pixels they were given, and windows and displacements where they are."""

import math

import cv2
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

from onlooker.data.digits import load_digits
from onlooker.data.moving_mnist import Batch, random_stream
from onlooker.drawing.plots import to_png, to_svg
from onlooker.ops.spatial_transformer import spatial_transform
from onlooker_papers.digits.augmented_mnist import VARIANTS, AugmentedDigits
from onlooker_papers.digits.encoders.stn import STN
from onlooker_papers.digits.figures import deformation, deformed, variants, windows

IDENTITY = torch.eye(2, 3)


def noise_batch(T=12, boxes=1):
    generator = torch.Generator().manual_seed(0)
    video = torch.randint(0, 256, (2, T, 1, 64, 64), dtype=torch.uint8, generator=generator)
    corners = torch.tensor([8.0, 16, 40, 60]).expand(2, T, boxes, 4).clone()
    return Batch(video, torch.zeros(2, boxes).long(), corners, torch.zeros(2, boxes).long())


def pixels(figure, dpi=160):
    """What a reader sees: `H W 3`, RGB."""
    return cv2.imdecode(np.frombuffer(to_png(figure, dpi), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def place(image, axes, dpi=160):
    """The part of a rendered figure that a cell covers; whole dots are checked, not rounded away."""
    x, y, width, height = axes.get_position().bounds
    H, W = image.shape[:2]
    edges = np.array([x * W, (x + width) * W, (1 - y - height) * H, (1 - y) * H])
    np.testing.assert_allclose(edges, np.rint(edges), atol=1e-6)
    left, right, top, bottom = np.rint(edges).astype(int)
    return image[top:bottom, left:right]


def words(figure):
    return [text.get_text() for text in figure.texts]


def corners(patch):
    return patch.get_xy()[:4].tolist()


def same_color(image, color, tolerance=40):
    return (np.abs(image.astype(int) - np.array(to_rgba(color)[:3]) * 255) < tolerance).all(-1)


# --- figure 3


def test_a_row_shows_the_frames_of_one_video_each_pixel_a_square():
    batch = noise_batch()
    figure = variants({"normal": batch, "scale": batch}, every=5, columns=10, with_boxes=False)
    image = pixels(figure)
    assert len(figure.axes) == 6
    for axes, t in zip(figure.axes, (0, 5, 10, 0, 5, 10), strict=True):
        expected = batch.video[0, t, 0].numpy().repeat(2, 0).repeat(2, 1)
        assert np.abs(place(image, axes)[..., 0].astype(int) - expected).max() <= 1


def test_rows_are_labeled_with_variants_and_columns_with_frames():
    batch = noise_batch()
    figure = variants({"normal": batch, "my own": noise_batch(6)}, every=5)
    assert words(figure) == ["frame 0", "5", "10", "normal", "as they move", "my own"]
    assert len(figure.axes) == 3 + 2
    assert len(variants({"normal": batch}, every=1, columns=4).axes) == 4


def test_labels_stand_beside_the_frames_and_inside_the_image():
    figure = variants(dict.fromkeys(VARIANTS, noise_batch(50)))
    figure.draw_without_rendering()
    left = min(axes.get_window_extent().x0 for axes in figure.axes)
    top = max(axes.get_window_extent().y1 for axes in figure.axes)
    for text in figure.texts:
        extent = text.get_window_extent()
        assert extent.x0 >= 0
        assert extent.y1 <= figure.bbox.y1
        assert extent.x1 < left or extent.y0 > top


def test_true_boxes_are_drawn_where_they_are_and_unseen_digits_have_none():
    batch = noise_batch(1, boxes=2)
    batch.boxes[0, 0, 1] = math.nan
    (axes,) = variants({"normal": batch}).axes
    (box,) = axes.patches
    assert box.get_bbox().extents.tolist() == [8, 16, 40, 60]
    assert not variants({"normal": batch}, with_boxes=False).axes[0].patches


def test_equal_seeds_show_the_same_digits_on_the_same_paths_in_every_row():
    digits, _ = load_digits()
    paths = [AugmentedDigits(digits, variant=name).positions(1, random_stream(3, "paths")) for name in VARIANTS]
    assert all(torch.equal(positions, paths[0]) for positions in paths)


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
    outline = figure.axes[0].patches[-1]
    assert corners(outline) == expected
    drawn = same_color(place(pixels(figure), figure.axes[0]), outline.get_edgecolor())
    # Three dots a pixel; the line has four dots of width, the corner's dot eleven.
    for y in range(y1 + 3, y2 - 1):
        assert set(np.flatnonzero(drawn[3 * y + 1]) // 3) <= {x1 - 1, x1, x1 + 1, x2 - 1, x2}
        assert drawn[3 * y + 1, max(3 * x1, 0)]
        assert drawn[3 * y + 1, 3 * x2 - 1]


def test_what_it_sees_is_the_pixels_in_its_window():
    frames = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    thetas = torch.tensor([[0.5, 0, 0], [0, 0.5, 0]]).expand(2, 2, 3)
    figure = windows({"": (frames, thetas)})
    for n in range(2):
        shown = place(pixels(figure), figure.axes[2 * n + 1])[..., 0].astype(int)
        inner = frames[n, 0, 16:48, 16:48].numpy().repeat(6, 0).repeat(6, 1)
        assert np.abs(shown - inner)[6:-6, 6:-6].max() <= 1  # the rim covers the outer pixels


def test_an_encoders_windows_and_views_are_drawn_as_it_sees_them():
    torch.manual_seed(0)
    net = STN(1, 64)
    torch.nn.init.normal_(net.theta.weight, std=0.1)
    frames = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        figure = windows({"": (frames, net.windows(frames))})
        seen = net.transform(frames)
    for n in range(2):
        np.testing.assert_allclose(figure.axes[2 * n + 1].images[0].get_array(), seen[n, 0], atol=1e-5)
        assert figure.axes[2 * n].images[0].get_clim() == figure.axes[2 * n + 1].images[0].get_clim()


def test_several_windows_have_their_colors_and_a_view_each():
    frames = torch.rand(2, 1, 64, 64)
    thetas = IDENTITY * torch.tensor([0.3, 0.6, 0.9])[:, None, None]
    figure = windows({"three": (frames, thetas.expand(2, 3, 2, 3)), "one": (frames, IDENTITY.expand(2, 2, 3))})
    assert len(figure.axes) == 2 * (1 + 3) + 2 * (1 + 1)
    outlines = [patch for patch in figure.axes[0].patches if not patch.get_fill()]
    rims = [outline.get_edgecolor() for outline in outlines]
    assert len(set(rims)) == 3
    assert [axes.spines["top"].get_edgecolor() for axes in figure.axes[1:4]] == rims
    assert [corners(outline)[0][0] for outline in outlines] == pytest.approx([0.7 * 32, 0.4 * 32, 0.1 * 32], abs=1e-4)
    assert words(figure) == [
        "three", "frame", "and its windows", "what it sees", "32 × 32 each",
        "one", "frame", "and its window", "what it sees", "32 × 32 pixels",
    ]  # fmt: skip


@pytest.mark.parametrize(("zoom", "border"), [(1.0, 0), (1.3, 16), (1.8, 32), (9.0, 32)])
def test_a_window_that_leaves_its_frame_is_shown_beyond_it(zoom, border):
    axes = windows({"": (torch.zeros(1, 1, 64, 64), (zoom * IDENTITY)[None])}).axes[0]
    assert axes.get_xlim() == (-border, 64 + border)
    assert axes.get_ylim() == (64 + border, -border)


def test_what_windows_see_is_averaged_in_a_last_column():
    frames = torch.rand(3, 1, 64, 64)
    thetas = (IDENTITY * torch.tensor([0.3, 0.6])[:, None, None]).expand(3, 2, 2, 3)
    figure = windows({"": (frames, thetas)}, together=True)
    assert len(figure.axes) == 3 * (1 + 2) + 2
    seen = spatial_transform(frames, thetas, (32, 32))[:, :, 0].mean(0)
    for view, expected in zip(figure.axes[-2:], seen, strict=True):
        np.testing.assert_allclose(view.images[0].get_array(), expected, atol=1e-5)
    assert "on average" in words(figure)


def test_cells_do_not_overlap_whatever_the_number_of_windows():
    rows = {str(G): (torch.rand(2, 1, 64, 64), IDENTITY.expand(2, G, 2, 3)) for G in (1, 2, 3, 5)}
    figure = windows(rows)
    figure.draw_without_rendering()
    areas = [axes.get_window_extent() for axes in figure.axes] + [text.get_window_extent() for text in figure.texts]
    assert not [(a, b) for i, a in enumerate(areas) for b in areas[:i] if a.padded(-1).overlaps(b.padded(-1))]
    assert all(a.x0 >= 0 and a.y0 >= 0 and a.x1 <= figure.bbox.x1 and a.y1 <= figure.bbox.y1 for a in areas)


# --- figure 5


def test_deformed_is_the_equation_pixel_by_pixel():
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (9, 12), dtype=torch.uint8, generator=generator)
    field = 6 * torch.rand(2, 9, 12, generator=generator) - 3
    gray = lambda x, y: float(image[y, x]) if 0 <= x < 12 and 0 <= y < 9 else 0.0  # noqa: E731
    for y in range(9):
        for x in range(12):
            at_x, at_y = x + field[0, y, x].item(), y + field[1, y, x].item()
            left, top = math.floor(at_x), math.floor(at_y)
            across, down = at_x - left, at_y - top
            upper = (1 - across) * gray(left, top) + across * gray(left + 1, top)
            lower = (1 - across) * gray(left, top + 1) + across * gray(left + 1, top + 1)
            assert abs(deformed(image, field)[y, x].item() - ((1 - down) * upper + down * lower)) <= 0.51


def test_a_field_of_zeros_changes_nothing_and_a_constant_one_shifts():
    image = torch.randint(0, 256, (64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(deformed(image, torch.zeros(2, 64, 64)), image)
    shift = torch.stack((torch.full((64, 64), 3.0), torch.full((64, 64), -2.0)))
    assert torch.equal(deformed(image, shift)[2:, :-3], image[:-2, 3:])


def test_a_row_shows_picture_arrows_grid_and_result():
    image = torch.randint(0, 256, (64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    field = torch.stack((torch.full((64, 64), 3.0), torch.full((64, 64), -4.0)))
    figure = deformation(image, {"window 7\nas published": field, "none": 0 * field})
    first, arrows, grid, result = figure.axes[:4]
    rendered = pixels(figure)
    for axes, shown in ((first, image), (result, deformed(image, field))):
        expected = shown.numpy().repeat(6, 0).repeat(6, 1)
        assert np.abs(place(rendered, axes)[..., 0].astype(int) - expected).max() <= 1
    (quiver,) = arrows.collections
    assert quiver.get_offsets()[0].tolist() == [2.5, 2.5]
    assert (quiver.U == 3).all()
    assert (quiver.V == -4).all()
    # The grid through pixel centers, moved as a whole.
    np.testing.assert_allclose(grid.lines[0].get_xydata(), np.stack((np.arange(64) + 3.5, np.full(64, -3.5)), 1))
    np.testing.assert_allclose(grid.lines[1].get_xydata(), np.stack((np.full(64, 3.5), np.arange(64) - 3.5), 1))
    said = "\n".join(words(figure))
    assert "window 7\nas published\nmoved by 5.0 pixels" in said
    assert "none\nmoved by 0.0 pixels" in said


def test_arrows_point_where_the_pixels_come_from():
    field = torch.zeros(2, 64, 64)
    field[0, 34, 2] = 40  # in the row below the middle: an arrow to the right, and none elsewhere
    figure = deformation(torch.zeros(64, 64, dtype=torch.uint8), {"": field})
    inked = np.argwhere((place(pixels(figure), figure.axes[1]) < 180).any(-1)) / 6
    long = inked[(inked[:, 1] > 8) & (inked[:, 1] < 40)]
    assert np.abs(long[:, 0] - 34.5).max() > 0
    rows = long[np.abs(long[:, 0] - 34.5) < 0.5]
    assert rows[:, 1].max() - rows[:, 1].min() > 30


# --- all


def test_pictures_are_the_same_every_time():
    batch = noise_batch(6)
    assert to_svg(variants({"normal": batch})) == to_svg(variants({"normal": batch}))
    assert to_png(variants({"normal": batch})) == to_png(variants({"normal": batch}))


def test_what_cannot_be_drawn_is_an_error():
    with pytest.raises(ValueError, match="0 variants, every 5 frames, in 10 columns"):
        variants({})
    with pytest.raises(ValueError, match="1 variants, every 0 frames"):
        variants({"normal": noise_batch()}, every=0)
    with pytest.raises(ValueError, match="0 rows of frames"):
        windows({})
    frames = torch.zeros(2, 1, 64, 64)
    for wrong, thetas in (
        (frames, IDENTITY[None]),
        (frames, torch.eye(3).expand(2, 3, 3)),
        (frames[:, 0], IDENTITY.expand(2, 2, 3)),
        (frames.expand(2, 3, 64, 64), IDENTITY.expand(2, 2, 3)),
        (frames[:0], IDENTITY.expand(0, 2, 3)),
        (frames, IDENTITY.expand(2, 0, 2, 3)),
    ):
        with pytest.raises(ValueError, match=r"two: frames are .* and windows .*, expected N 1 H W and N 2 3, or N G"):
            windows({"two": (wrong, thetas)})
    image = torch.zeros(64, 64, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"w7: the field is \(2, 32, 64\), expected 2 64 64"):
        deformation(image, {"w7": torch.zeros(2, 32, 64)})
    with pytest.raises(ValueError, match=r"0 fields for a image of torch\.uint8"):
        deformation(image, {})
    with pytest.raises(ValueError, match=r"a image of torch\.float32 \(64, 64\)"):
        deformation(image.float(), {"w7": torch.zeros(2, 64, 64)})
