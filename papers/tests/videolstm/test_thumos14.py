"""THUMOS'14: when the actions are, and which annotations cannot be true."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from onlooker.structures import ClipError, Segment
from onlooker_papers.videolstm.thumos14 import COUNTS, AnnotatedVideo, thumos14


def video(*segments: tuple[str, float, float], subset: str = "Test", duration: float = 10.0) -> dict[str, Any]:
    annotations = [
        {"label": label, "segment": [start, end], "segment(frames)": [start * 30, end * 30], "label_id": 0}
        for label, start, end in segments
    ]
    return {"subset": subset, "duration": duration, "fps": 30.0, "annotations": annotations}


def write(path: Path, database: object) -> Path:
    path.write_text(json.dumps({"version": "Thumos14-30fps", "database": database}))
    return path


@pytest.fixture(scope="module")
def official(real_data: Path) -> Path:
    path = real_data / "annotations" / "thumos14" / "thumos14.json"
    if not path.is_file():
        pytest.skip("no annotations of THUMOS'14 here")
    return path


def test_segments_of_a_video(tmp_path: Path) -> None:
    learn = video(("Diving", 0, 1.5), ("CliffDiving", 0, 1.5), subset="Validation")
    path = write(tmp_path / "a.json", {"video_validation_1": learn, "video_test_2": video()})
    videos, doubtful = thumos14(path, complete=False)
    segments = Segment("Diving", 0.0, 1.5), Segment("CliffDiving", 0.0, 1.5)
    assert videos == (
        AnnotatedVideo("video_validation_1", "validation", 10.0, segments),
        AnnotatedVideo("video_test_2", "test", 10.0, ()),
    )
    assert not doubtful


def test_the_published_annotations(official: Path) -> None:
    videos, doubtful = thumos14(official)
    assert Counter(video.subset for video in videos) == {"test": 212, "validation": 200}
    assert sum(len(video.segments) for video in videos) == 3007 + 3358 == sum(count for _, count in COUNTS.values())
    assert len({segment.label for video in videos for segment in video.segments}) == 20
    first = videos[0]
    assert (first.name, first.duration, len(first.segments)) == ("video_test_0000004", 33.83, 7)
    assert first.segments[0] == Segment("CricketBowling", 0.2, 1.1)
    ends = ["test_0000270", "test_0000814", "test_0001081", "validation_0000364", "validation_0000856"]
    assert sorted(error.path.name.removeprefix("video_") for error in doubtful) == ends
    assert sum(s.end > v.duration for v in videos for s in v.segments) == 30
    for video in videos:
        dives = {(s.start, s.end) for s in video.segments if s.label == "Diving"}
        assert all((s.start, s.end) in dives for s in video.segments if s.label == "CliffDiving")


def test_segments_beyond_the_end_are_kept_and_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", {"v": video(("Diving", 1, 2), ("Diving", 9, 12), ("Diving", 20, 21.5))})
    videos, doubtful = thumos14(path, complete=False)
    assert len(videos[0].segments) == 3
    assert [str(error) for error in doubtful] == [
        "v: 2 of 3 segments end after the video (10 s), the last at 21.5 s; leave it out where figures are compared"
    ]


@pytest.mark.parametrize(
    ("database", "message"),
    [
        ({"v": video(("Diving", 2, 1))}, r"a.json: not the .* v: ValueError Diving from 2.0 to 1.0 s, expected 0 <="),
        ({"v": video(("Diving", 1, 1))}, "expected 0 <= start < end"),
        ({"v": video(("Diving", -1, 1))}, "expected 0 <= start < end"),
        (
            {"v": {"subset": "Test", "duration": 1}},
            r"v: KeyError 'annotations'.; expected database, and in it",
        ),
        ({"v": {**video(), "annotations": [{"label": "Diving", "segment": [1]}]}}, "v: TypeError"),
        ([], r"not the annotations of THUMOS'14 \(AttributeError"),
    ],
)
def test_annotations_of_another_form(tmp_path: Path, database: object, message: str) -> None:
    with pytest.raises(ClipError, match=message):
        thumos14(write(tmp_path / "a.json", database), complete=False)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(ClipError, match=r"a.json: no such file; expected thumos14.json, the temporal annotations"):
        thumos14(path)
    path.write_text("<html>")
    with pytest.raises(ClipError, match=r"a.json: cannot be read as JSON \(.+\); take the published file"):
        thumos14(path)
    path.write_text('{"database": {"v": {}, "v": {}}}')
    with pytest.raises(ClipError, match=r"a.json: cannot be read as JSON \(v is there twice\)"):
        thumos14(path)
    path.write_text("{}")
    with pytest.raises(ClipError, match=r"not the annotations of THUMOS'14 \(KeyError: 'database'\)"):
        thumos14(path)


def test_a_cut_down_copy_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", {"v": video(("Diving", 1, 2))})
    expected = r"1 test videos with 1 segments; published are 212 test videos with 3358 segments, 200 validation videos"
    with pytest.raises(ClipError, match=expected):
        thumos14(path)
