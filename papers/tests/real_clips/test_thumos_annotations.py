"""THUMOS'14: when the actions are, in both published forms, and which annotations cannot be true."""

import json
from pathlib import Path
from typing import Any

import pytest

from onlooker.structures import ClipError, Segment
from onlooker_papers.real_clips.thumos_annotations import read_annotations


def video(*segments: tuple[str, float, float], subset: str = "Test", duration: float = 10.0) -> dict[str, Any]:
    annotations = [
        {"label": label, "segment": [start, end], "segment(frames)": [start * 30, end * 30], "label_id": 0}
        for label, start, end in segments
    ]
    return {"subset": subset, "duration": duration, "fps": 30.0, "annotations": annotations}


def write(path: Path, database: object) -> Path:
    path.write_text(json.dumps({"version": "Thumos14-30fps", "database": database}))
    return path


def test_text_files(tmp_path: Path) -> None:
    (tmp_path / "Diving_test.txt").write_text("video_1  0.5 3.2\nvideo_2  1.0 2.0\n\n")
    (tmp_path / "Ambiguous_test.txt").write_text("video_1 7.0 9.5\n")
    found, doubtful = read_annotations(tmp_path)
    assert found["video_1"] == [Segment("Ambiguous", 7.0, 9.5), Segment("Diving", 0.5, 3.2)]
    assert found["video_2"] == [Segment("Diving", 1.0, 2.0)]
    assert not doubtful
    with pytest.raises(ClipError, match=r"no files \*_val.txt"):
        read_annotations(tmp_path, "val")
    (tmp_path / "Diving_test.txt").write_text("video_1 0.5\n")
    with pytest.raises(ClipError, match=r"line 1: 'video_1 0.5'; expected a video, a start and an end"):
        read_annotations(tmp_path)


def test_json(tmp_path: Path) -> None:
    learn = video(("Diving", 0, 1.5), ("CliffDiving", 0, 1.5), subset="Validation")
    path = write(tmp_path / "a.json", {"video_validation_1": learn, "video_test_2": video()})
    assert read_annotations(path) == ({"video_test_2": []}, ())
    segments = [Segment("Diving", 0.0, 1.5), Segment("CliffDiving", 0.0, 1.5)]
    assert read_annotations(path, "val") == ({"video_validation_1": segments}, ())


def test_the_published_annotations(real_data: Path) -> None:
    path = real_data / "annotations" / "thumos14" / "thumos14.json"
    if not path.is_file():
        pytest.skip("no annotations of THUMOS'14 here")
    test, doubtful = read_annotations(path)
    validation, _ = read_annotations(path, "val")
    assert (len(test), sum(map(len, test.values()))) == (212, 3358)
    assert (len(validation), sum(map(len, validation.values()))) == (200, 3007)
    assert len({segment.label for segments in test.values() for segment in segments}) == 20
    assert test["video_test_0000004"][0] == Segment("CricketBowling", 0.2, 1.1)
    assert sorted(error.path.name for error in doubtful) == [
        "video_test_0000270", "video_test_0000814", "video_test_0001081"
    ]  # fmt: skip
    for segments in test.values():
        dives = {(s.start, s.end) for s in segments if s.label == "Diving"}
        assert all((s.start, s.end) in dives for s in segments if s.label == "CliffDiving")


def test_segments_beyond_the_end_are_kept_and_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", {"v": video(("Diving", 1, 2), ("Diving", 9, 12), ("Diving", 20, 21.5))})
    found, doubtful = read_annotations(path)
    assert len(found["v"]) == 3
    assert [str(error) for error in doubtful] == [
        "v: 2 of 3 segments end after the video (10 s), the last at 21.5 s; leave it out where figures are compared"
    ]


@pytest.mark.parametrize(
    ("database", "message"),
    [
        ({"v": video(("Diving", 2, 1))}, r"a.json: not the .* \(v ValueError: Diving from 2.0 to 1.0 s, expected 0 <="),
        ({"v": video(("Diving", -1, 1))}, "expected 0 <= start < end"),
        ({"v": {"subset": "Test", "duration": 1}}, r"v KeyError: 'annotations'.; expected database, and in it"),
        ({"v": {**video(), "annotations": [{"label": "Diving", "segment": [1]}]}}, "v ValueError"),
        ([], r"not the annotations of THUMOS'14 \(AttributeError"),
    ],
)
def test_annotations_of_another_form(tmp_path: Path, database: object, message: str) -> None:
    with pytest.raises(ClipError, match=message):
        read_annotations(write(tmp_path / "a.json", database))


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(ClipError, match=r"a.json: no such file; expected thumos14.json, the temporal annotations"):
        read_annotations(path)
    path.write_text("{}")
    with pytest.raises(ClipError, match=r"not the annotations of THUMOS'14 \(KeyError: 'database'\)"):
        read_annotations(path)
