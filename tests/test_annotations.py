"""Time intervals in the formats of other programs: read, written, and refused where they are wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import call

from onlooker.annotations import FORMATS, Interval, read_intervals
from onlooker.structures import ClipError

Make = Callable[..., Path]
NEEDS = {"elan": "pympi", "webvtt": "webvtt"}
INTERVALS = [Interval("wave", 0.2, 0.8, 0.5), Interval("a <b> & 'c'", 0.4, 1.0, 0.7), Interval("jump", 1.0, 2.0, 0.25)]


def times(intervals: list[Interval]) -> list[tuple[str, float, float]]:
    return [(each.label, round(each.start, 3), round(each.end, 3)) for each in intervals]


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read_again(name: str, tmp_path: Path, make_clip: Make) -> None:
    pytest.importorskip(NEEDS.get(name, "numpy"))
    clip = make_clip("clips/clip 1.mp4", frames=20, fps=10)
    file = clip.with_name(f"clip 1{FORMATS[name].ending}")
    FORMATS[name].write(file, {clip: INTERVALS}, None)
    ((video, found),) = read_intervals(file).items()
    assert video.resolve() == clip.resolve()
    assert times(found) == times(INTERVALS)
    if name not in ("elan", "webvtt"):
        assert [each.score for each in found] == [0.5, 0.7, 0.25]


@pytest.mark.parametrize("name", ["csv", "activitynet", "label-studio"])
def test_a_file_holds_several_videos_in_other_folders(name: str, tmp_path: Path, make_clip: Make) -> None:
    videos = {make_clip(f"clips/{k}.mp4", frames=10, fps=5): INTERVALS[k : k + 1] for k in (0, 1)}
    file = tmp_path / "clips" / f"x{FORMATS[name].ending}"
    FORMATS[name].write(file, videos, None)
    assert {path.resolve(): times(of) for path, of in read_intervals(file).items()} == {
        path.resolve(): times(of) for path, of in videos.items()
    }
    with pytest.raises(ValueError, match="holds the times of one video, not of 2"):
        FORMATS["webvtt"].write(tmp_path / "x.vtt", videos, None)


@pytest.mark.parametrize("name", ["csv", "label-studio", "elan"])
def test_a_part_of_a_recording_is_named_by_its_file(name: str, tmp_path: Path, make_clip: Make) -> None:
    pytest.importorskip(NEEDS.get(name, "numpy"))
    clip, file = make_clip("clip.mp4", frames=20, fps=10), tmp_path / f"x{FORMATS[name].ending}"
    FORMATS[name].write(file, {Path(f"{clip}#t=0.5,1.5"): INTERVALS[:1]}, None)
    assert {path: times(of) for path, of in read_intervals(file).items()} == {clip: [("wave", 0.7, 1.3)]}


LABEL_STUDIO: list[dict[str, Any]] = [
    {
        "id": 7,
        "data": {"video": "/data/upload/1/0a1b2c3d-clip.mp4", "fps": 25},
        "annotations": [
            {"was_cancelled": True, "result": []},
            {
                "result": [
                    {
                        "type": "timelinelabels",
                        "value": {"ranges": [{"start": 3, "end": 6}], "timelinelabels": ["wave"]},
                    },
                    {"type": "labels", "value": {"start": 0.5, "end": 1.25, "labels": ["clap"]}},
                    {"type": "choices", "value": {"choices": ["good"]}},
                ]
            },
        ],
    }
]


def test_label_studio_counts_frames_from_1_and_seconds(tmp_path: Path, make_clip: Make) -> None:
    file = tmp_path / "export.json"
    file.write_text(json.dumps(LABEL_STUDIO))
    with pytest.raises(
        ClipError, match=r"clip.mp4: its frames cannot be counted .*put it beside the labels, or give --fps"
    ):
        read_intervals(file)
    clip = make_clip("clip.mp4", frames=20, fps=10)
    assert {path: times(of) for path, of in read_intervals(file).items()} == {
        clip: [("wave", 0.2, 0.6), ("clap", 0.5, 1.25)]
    }
    (found,) = read_intervals(file, fps=20).values()
    assert times(found)[0] == ("wave", 0.1, 0.3)


def test_activitynet_keeps_the_official_split(tmp_path: Path) -> None:
    annotations = [{"label": "wave", "segment": [1, 2.5]}]
    (tmp_path / "a.json").write_text(
        json.dumps({"database": {"abc": {"subset": "testing", "annotations": annotations, "duration": 9}}})
    )
    assert read_intervals(tmp_path / "a.json") == {tmp_path / "abc.mp4": [Interval("wave", 1, 2.5, 1.0, "testing")]}


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><annotations>&b;</annotations>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotations>&a;</annotations>'
NET = '{"results": {"a": [{"label": "x", "segment": %s}]}}'
TASK = '[{"data": {"video": "a.mp4"}, "annotations": [{"result": [{"value": %s}]}]}]'
EAF = """<ANNOTATION_DOCUMENT VERSION="3.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:noNamespaceSchemaLocation="x"><HEADER><MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/a.mp4"/></HEADER><TIME_ORDER>
 <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="{}"/><TIME_SLOT TIME_SLOT_ID="ts2"/></TIME_ORDER>
 <TIER TIER_ID="t"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
 <ANNOTATION_VALUE>x</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""
HUGE = "9" * 400


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.eaf", OUTSIDE, "the file: EntitiesForbidden"),
        ("a.eaf", BOMB, "the file: EntitiesForbidden"),
        ("a.eaf", "<annotations>", "the file: no element found"),
        ("a.eaf", EAF.format(0), "tier t, annotation a1: ts1 or ts2 has no TIME_VALUE"),
        ("a.eaf", EAF.format("soon"), "the file: invalid literal"),
        ("a.eaf", EAF.format(0).replace("<MEDIA_DESC", "<X"), "the file: no MEDIA_DESCRIPTOR"),
        ("a.json", NET % "[0, 1e300]", r"video a: end is 1e\+300 s, expected at most 1e\+08"),
        ("a.json", NET % f"[0, {HUGE}]", "video a: int too large to convert to float"),
        ("a.json", NET % "[0, NaN]", "video a: x from 0.0 to nan s"),
        ("a.json", NET % "[2, 1]", r"video a: x from 2.0 to 1.0 s.*expected 0 <= start < end"),
        ("a.json", NET % "7", "video a: cannot unpack"),
        ("a.json", '{"results": {"a": [{"segment": [0, 1]}]}}', "video a: no label"),
        ("a.json", "{}", "the file: no results"),
        ("a.json", '{"results": {}}', "no time intervals; label times, and export them again"),
        ("a.json", '[{"video": "a.mp4"}]', "task 1: no data"),
        ("a.json", TASK % '{"timelinelabels": ["x"]}', "task 1: no ranges"),
        ("a.json", TASK % '{"timelinelabels": ["x"], "ranges": [{"start": 0, "end": 2}]}', "task 1: x from -0.1"),
        ("a.json", TASK % '{"labels": [" "], "start": 0, "end": 2}', "task 1: label is ' ', expected a name"),
        ("a.csv", "path,start,end,label\na.mp4,0,soon,x\n", "line 2: time is 'soon', expected seconds, mm:ss"),
        ("a.csv", "path,start,label\na.mp4,0,x\n", "no column end in the header"),
        ("a.vtt", "hello", "the file: Invalid format"),
        ("a.vtt", "WEBVTT\n\n00:02.000 --> 00:01.000\nx\n", "cue 1: x from 2.0 to 1.0 s"),
        ("a.vtt", f"WEBVTT\n\n{HUGE}:00:01.000 --> {HUGE}:00:02.000\nx\n", "the file: "),
        ("a.txt", "x", "no format is called '.txt'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_file_and_place(name: str, text: str, problem: str, tmp_path: Path) -> None:
    pytest.importorskip({".eaf": "pympi", ".vtt": "webvtt"}.get(Path(name).suffix, "numpy"))
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=problem) as raised:
        read_intervals(tmp_path / name, fps=10)
    assert str(raised.value).startswith(str(tmp_path / name))


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "webvtt", None)
    (tmp_path / "a.vtt").write_text("WEBVTT\n")
    with pytest.raises(RuntimeError, match=r'webvtt is not installed; pip install "onlooker\[labels\]"'):
        read_intervals(tmp_path / "a.vtt")


def test_labels_are_converted_to_a_list_to_train_on(tmp_path: Path, make_clip: Make) -> None:
    make_clip("clip.mp4", frames=20, fps=10)
    (tmp_path / "ls.json").write_text(json.dumps(LABEL_STUDIO))
    (tmp_path / "net.json").write_text(NET % "[1, 2]")
    done = call("convert", tmp_path / "ls.json", tmp_path / "net.json", tmp_path / "lists" / "all.csv")
    assert (tmp_path / "lists" / "all.csv").read_text().splitlines() == [
        "path,start,end,label",
        "../clip.mp4,0.2,0.6,wave",
        "../clip.mp4,0.5,1.25,clap",
        "../a.mp4,1.0,2.0,x",
    ]
    assert "3 intervals of 2 videos" in done.output
    assert "1 of the videos are not there, such as" in done.stderr
    assert (
        "did you mean webvtt" in call("convert", tmp_path / "net.json", tmp_path / "x", "--to", "vtt", ok=False).stderr
    )
