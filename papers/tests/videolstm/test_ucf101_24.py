"""UCF101-24: the corrected boxes, in our letters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from published_trees import annotated_tube as tube
from published_trees import write_annotations as write
from scipy.io import savemat

from onlooker.base.records import ClipError
from onlooker_papers.videolstm.ucf101_24 import ucf101_24

NAME = "Surfing/v_Surfing_g01_c01"


@pytest.fixture(scope="module")
def official(annotations: Callable[[str], Path]) -> Path:
    return annotations("ucf101-24")


def test_frames_and_pixels_count_from_zero_and_boxes_are_corners(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.mat",
        (NAME, 9, [tube(3, [[1, 1, 319, 239], [10, 20, 30, 40]]), tube(9, [[5, 6, 7, 8]])]),
    )
    first, second = ucf101_24(path)[NAME]
    assert (first.label, first.frames.tolist()) == ("Surfing", [2, 3])
    assert second.frames.tolist() == [8]
    assert first.boxes.dtype == np.float32
    np.testing.assert_array_equal(first.boxes, [[0, 0, 319, 239], [9, 19, 39, 59]])


def test_the_corrected_annotations(official: Path) -> None:
    clips = ucf101_24(official / "finalAnnots.mat")
    tubes = [tube for of_clip in clips.values() for tube in of_clip]
    assert (len(clips), len(tubes), sum(len(tube.boxes) for tube in tubes)) == (3194, 4458, 573_862)
    assert len({tube.label for tube in tubes}) == 24
    boxes = np.concatenate([tube.boxes for tube in tubes])
    # One pixel more at the right or below would be the whole frame; the authors cut it off.
    assert boxes.min(0).tolist() == [0, 0, 15, 18]
    assert boxes.max(0).tolist() == [308, 228, 319, 239]
    dunk, *_ = clips["Basketball/v_Basketball_g01_c01"]
    assert dunk.frames[[0, -1]].tolist() == [8, 51]
    assert dunk.boxes[0].tolist() == [188, 101, 235, 179]


def test_the_test_clips_are_those_of_split_1(
    official: Path, annotations: Callable[[str], Path]
) -> None:
    clips = ucf101_24(official / "finalAnnots.mat")
    lists = annotations("ucf101")
    training, test = (
        {
            line.split()[0].removesuffix(".avi")
            for line in (lists / f"{split}list01.txt").read_text().splitlines()
        }
        for split in ("train", "test")
    )
    assert len(set(clips) & test) == 910
    assert len(set(clips) & training) == 2284


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(
        ClipError, match=r"none.mat: no such file; expected finalAnnots.mat, the corrected"
    ):
        ucf101_24(tmp_path / "none.mat")
    (tmp_path / "text.mat").write_bytes(b"<html>" * 100)
    with pytest.raises(
        ClipError,
        match=r"text.mat: not the annotations of UCF101-24 \(ValueError: .+\); expected final",
    ):
        ucf101_24(tmp_path / "text.mat")
    whole = write(tmp_path / "whole.mat", (NAME, 9, [tube(1, [[1, 1, 2, 2]])])).read_bytes()
    (tmp_path / "part.mat").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ClipError, match=r"part.mat: not the annotations of UCF101-24"):
        ucf101_24(tmp_path / "part.mat")
    savemat(tmp_path / "other.mat", {"x": np.zeros(3)})
    with pytest.raises(
        ClipError, match=r"other.mat: not the annotations of UCF101-24 \(KeyError: 'annot'\)"
    ):
        ucf101_24(tmp_path / "other.mat")


@pytest.mark.parametrize(
    ("frames", "tubes", "message"),
    [
        (3, [tube(3, [[1, 1, 2, 2]] * 2)], f"{NAME}: a tube ends with frame 3, the clip has 3"),
        (
            9,
            [tube(3, [[1, 1, 0, 2]])],
            "a box without width or height; expected x1 < x2 and y1 < y2",
        ),
        (9, [tube(3, [[1, 1, 2, 2]]) | {"ef": 4}], "ValueError: boxes has 1 entries, expected 2"),
        (9, [tube(3, [[1, 1, 2, 2]]) | {"ef": 2}], "not the annotations of UCF101-24"),
    ],
)
def test_tubes_that_do_not_fit(
    tmp_path: Path, frames: int, tubes: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(ClipError, match=message):
        ucf101_24(write(tmp_path / "a.mat", (NAME, frames, tubes)))


def test_a_duplicate_clip(tmp_path: Path) -> None:
    row = NAME, 9, [tube(1, [[1, 1, 2, 2]])]
    with pytest.raises(ClipError, match=rf"a.mat: {NAME} is there twice; take the published file"):
        ucf101_24(write(tmp_path / "a.mat", row, row))
