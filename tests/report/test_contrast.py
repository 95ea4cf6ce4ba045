"""The evidence for one class over another one: nothing is lost between grids, the sentence names the
place and the time, and the picture has the colors of both classes there.
"""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from onlooker.report.contrast import (
    Contrast,
    blocks_on_grid,
    contrast_strip,
    on_all_places,
    on_grid,
)
from onlooker.video.motion_words import BlockShares


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (12, 16), (48, 10)])
def test_values_keep_their_sum_and_place_on_the_grid_of_heat_maps(
    size: tuple[int, int],
) -> None:
    values = np.random.default_rng(0).normal(size=(3, *size)).astype(np.float32)
    found = on_grid(values)
    assert found.shape == (3, 30, 40)
    np.testing.assert_allclose(found.sum((1, 2)), values.sum((1, 2)), atol=1e-3)
    corner = np.zeros(size, np.float32)
    corner[0, 0] = 1
    rows, columns = np.nonzero(on_grid(corner) > 1e-6)
    assert rows.max() <= 30 * 1.5 / size[0]
    assert columns.max() <= 40 * 1.5 / size[1]


def test_shares_of_blocks_are_spread_over_their_frames() -> None:
    times = np.arange(8) / 4
    shares = np.zeros((11, 15), np.float32)
    shares[0, 0] = 6
    short = np.zeros((11, 15), np.float32)
    short[-1, -1] = -2
    maps = blocks_on_grid([BlockShares(0.5, 1.0, shares), BlockShares(1.3, 1.4, short)], times)
    np.testing.assert_allclose(maps.sum((1, 2)), [0, 0, 2, 2, 2, -2, 0, 0], atol=1e-5)
    assert maps[2, :7, :7].sum() == pytest.approx(2, abs=1e-3), "2 × 2 cells at the upper left"
    assert maps[5, -7:, -7:].sum() == pytest.approx(-2, abs=1e-3)


@pytest.fixture
def contrast() -> Contrast:
    """Motion at the upper left of the first half is for wave, a picture at the right for clap."""
    pictures = np.zeros((8, 30, 40), np.float32)
    motion = np.zeros_like(pictures)
    motion[1:4, 2:8, 2:10] = 1
    pictures[5:7, 12:18, 30:38] = -2
    return Contrast(("wave", "clap"), np.arange(8) / 4, pictures=pictures, motion=motion)


def test_the_sentence_names_eye_place_and_time_of_both_classes(contrast: Contrast) -> None:
    assert contrast.sentence == (
        "Most evidence for “wave”: how things move at the upper left, 0.2 to 0.5 s; "
        "for “clap”: what the frames show at the right, 1.2 s."
    )
    none = np.zeros_like(contrast.motion)
    assert Contrast(("a", "b"), contrast.times, pictures=none, motion=none).sentence == (
        "Most evidence for “a”: none; for “b”: none."
    )


def test_what_is_likely_before_anything_is_seen_is_said_and_drawn(contrast: Contrast) -> None:
    slight = replace(contrast, constant=0.05 * float(contrast.evidence.sum()))
    assert slight.sentence == contrast.sentence
    before = replace(contrast, constant=-300.0)
    assert before.sentence.endswith("1.2 s. Before anything is seen, “clap” is more likely.")
    frames = np.zeros((8, 60, 80, 3), np.uint8)
    drawn = [
        np.array(Image.open(io.BytesIO(contrast_strip(frames, shown))).convert("RGB"), int)
        for shown in (contrast, before)
    ]
    bars = [strip[-60:, :200] for strip in drawn]
    orange = [(bar[..., 0] - bar[..., 2] > 60).sum() for bar in bars]
    assert orange[1] > orange[0] + 200


def test_an_eye_without_places_is_named_by_its_time(contrast: Contrast) -> None:
    by_time = np.zeros(8, np.float32)
    by_time[7] = 500
    others = {"sound": on_all_places(by_time)}
    heard = replace(contrast, others=others)
    np.testing.assert_allclose(heard.evidence.sum((1, 2))[7], 500, rtol=1e-5)
    np.testing.assert_allclose(others["sound"][7], 500 / (30 * 40), rtol=1e-4)
    assert heard.sentence.startswith(
        "Most evidence for “wave”: what the eye sound sees, 1.8 s; "
    )


def test_the_strip_is_colored_where_the_evidence_is(contrast: Contrast) -> None:
    frames = np.full((8, 60, 80, 3), 128, np.uint8)
    strip = np.array(Image.open(io.BytesIO(contrast_strip(frames, contrast))).convert("RGB"))
    blue, red = strip[..., 2].astype(int), strip[..., 0].astype(int)
    middle = strip.shape[1] // 2
    frames_part = slice(strip.shape[0] // 2)
    assert (blue - red)[frames_part, :middle].max() > 60
    assert (red - blue)[frames_part, :middle].max() < 30
    assert (red - blue)[frames_part, middle:].max() > 60


def test_a_strip_of_one_frame_without_evidence_has_names_as_they_are(
    contrast: Contrast,
) -> None:
    nothing = np.zeros((1, 30, 40), np.float32)
    labels = ("$a_$", "long" * 30)
    single = Contrast(labels, contrast.times[:1], pictures=nothing, motion=nothing)
    strip = Image.open(io.BytesIO(contrast_strip(np.zeros((1, 60, 80, 3), np.uint8), single)))
    assert strip.format == "JPEG"
