"""Time intervals in the formats of other programs: read, written, and refused where they are wrong."""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from clips import Make
from commands import call, fails
from fuzz.mutations import limits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_files import by_video, segments_of, write_labels

from onlooker.base.decision import Decision
from onlooker.base.intervals import file_of, split_interval
from onlooker.base.records import ClipError, Event, Prediction, Recording, Segment
from onlooker.data.recordings import recordings_of, with_labels
from onlooker.data.sets import read_set
from onlooker.formats.annotations import FORMATS, of_prediction, read_labels
from onlooker.formats.labels import Requested
from onlooker.measure.states import UNKNOWN, Tier
from onlooker.measure.timeline import Timeline
from onlooker.video.reader import VideoReader

WRITTEN = [name for name, form in FORMATS.items() if form.write]
INTERVALS = [
    Segment("wave", 0.2, 0.8, 0.5),
    Segment("a <b> & 'c'", 0.4, 1.0, 0.7),
    Segment("jump", 1.0, 2.0, 0.25),
]


def times(intervals: list[Segment]) -> list[tuple[str, float, float]]:
    return [(each.label, round(each.start, 3), round(each.end, 3)) for each in intervals]


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_read_again(name: str, tmp_path: Path, make_clip: Make) -> None:
    clip = make_clip("clips/clip 1.mp4", frames=20, fps=10)
    file = clip.with_name(f"clip 1{FORMATS[name].ending}")
    write_labels(name, file, {clip: INTERVALS}, 10)  # of Label Studio, which counts frames
    ((video, found),) = segments_of(file).items()
    assert video.resolve() == clip.resolve()
    assert times(found) == times(INTERVALS)
    if name not in ("elan", "webvtt"):
        assert [each.score for each in found] == [0.5, 0.7, 0.25]
    write_labels(name, file, {clip: []}, None)
    with pytest.raises(ClipError, match=r"no (time intervals|clips)"):
        segments_of(file)


@pytest.mark.parametrize("name", ["csv", "activitynet", "label-studio"])
def test_a_file_holds_several_videos_in_other_folders(
    name: str, tmp_path: Path, make_clip: Make
) -> None:
    videos = {
        make_clip(f"clips/{k}.mp4", frames=10, fps=5): INTERVALS[k : k + 1] for k in (0, 1)
    }
    file = tmp_path / "clips" / f"x{FORMATS[name].ending}"
    write_labels(name, file, videos, 10)
    assert {path.resolve(): times(of) for path, of in segments_of(file).items()} == {
        path.resolve(): times(of) for path, of in videos.items()
    }
    with pytest.raises(ValueError, match="holds the times of one video, not of 2"):
        write_labels("webvtt", tmp_path / "x.vtt", videos, None)


@pytest.mark.parametrize("name", ["activitynet", "webvtt"])
def test_the_video_is_named_not_a_drawn_clip_of_the_same_name(
    name: str, tmp_path: Path, make_clip: Make
) -> None:
    video = make_clip("clips, 2 --> 3/ä=%20.mp4", frames=10, fps=5)
    drawn = make_clip("predicted/ä=%20.mp4", frames=10, fps=5)
    file = drawn.with_name(f"ä=%20{FORMATS[name].ending}")
    write_labels(name, file, {video: INTERVALS}, None)
    assert [path.resolve() for path in segments_of(file)] == [video.resolve()]


def test_webvtt_of_a_part_counts_from_its_beginning(tmp_path: Path, make_clip: Make) -> None:
    part = Path(f"{make_clip('clip.mp4', frames=20, fps=10)}#t=0.5,1.5")
    write_labels("webvtt", tmp_path / "x.vtt", {part: INTERVALS[:1]}, None)
    assert segments_of(tmp_path / "x.vtt") == {part: [Segment("wave", 0.2, 0.8)]}
    done = call("convert", tmp_path / "x.vtt", tmp_path / "x.csv")
    assert "not there" not in done.stderr
    assert (tmp_path / "x.csv").read_text().splitlines()[1] == "clip.mp4,0.7,1.3,wave"
    (tmp_path / "moved").mkdir()
    write_labels("webvtt", tmp_path / "moved" / "x.vtt", {part: INTERVALS[:1]}, None)
    (tmp_path / "clip.mp4").rename(tmp_path / "moved" / "clip.mp4")
    beside = tmp_path / "moved" / part.name
    assert [*segments_of(tmp_path / "moved" / "x.vtt")] == [beside]


@pytest.mark.parametrize("name", ["csv", "label-studio", "elan", "activitynet"])
def test_a_part_of_a_recording_is_named_by_its_file(
    name: str, tmp_path: Path, make_clip: Make
) -> None:
    clip = make_clip("clip.mp4", frames=20, fps=10)
    file = tmp_path / f"x{FORMATS[name].ending}"
    write_labels(name, file, {Path(f"{clip}#t=0.5,1.5"): INTERVALS[:1]}, 10)
    assert {path: times(of) for path, of in segments_of(file).items()} == {
        clip: [("wave", 0.7, 1.3)]
    }


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
                        "value": {
                            "ranges": [{"start": 3, "end": 6}],
                            "timelinelabels": ["wave"],
                        },
                    },
                    {
                        "type": "labels",
                        "value": {"start": 0.5, "end": 1.25, "labels": ["clap"]},
                    },
                    {"type": "choices", "value": {"choices": ["good"]}},
                ]
            },
        ],
    }
]


def test_label_studio_counts_frames_from_1_and_seconds(tmp_path: Path, make_clip: Make) -> None:
    file = tmp_path / "export.json"
    file.write_text(json.dumps(LABEL_STUDIO))
    clip = make_clip("clip.mp4", frames=20, fps=10)
    assert {path: times(of) for path, of in segments_of(file).items()} == {
        clip: [("wave", 0.08, 0.24), ("clap", 0.5, 1.25)]
    }
    (found,) = segments_of(file, Requested(fps=20)).values()
    assert times(found)[0] == ("wave", 0.1, 0.3)


def marked_in_label_studio(
    start: float, end: float, rate: float, **data: object
) -> list[dict[str, Any]]:
    """The JSON export of a person who marks what is shown from a time to another: the frame that is
    shown is the time by the rate of the tag, not of the video (`position` of its player).
    """
    value = {
        "ranges": [{"start": math.floor(start * rate) + 1, "end": math.ceil(end * rate)}],
        "timelinelabels": ["fall"],
    }
    names = {"from_name": "timelineLabels", "to_name": "video", "type": "timelinelabels"}
    result = {"value": value, "id": "r1", "origin": "manual", **names}
    answer = {"id": 1, "was_cancelled": False, "result": [result], "lead_time": 3.1}
    return [{"id": 1, "data": {"video": "street.mp4", **data}, "annotations": [answer]}]


RATES = st.one_of(st.just(24.0), st.floats(1, 240, allow_subnormal=False))
KEYS = st.sampled_from(["fps", "frameRate", "frame_rate"])


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 3000), st.floats(0.1, 600), RATES, KEYS)
def test_frames_of_label_studio_are_those_of_its_tag_in_both_directions(
    start: float, length: float, rate: float, key: str
) -> None:
    end = start + length
    with TemporaryDirectory() as folder:
        file = Path(folder, "export.json")
        video = file.with_name("street.mp4")  # whose rate does not matter
        for given, data in ((rate, {}), (None, {key: rate}), (24.0, {}), (None, {key: "n/a"})):
            tag = given or (rate if data == {key: rate} else 24.0)
            file.write_text(json.dumps(marked_in_label_studio(start, end, tag, **data)))
            asked = None if given == 24 else given
            ((found,),) = segments_of(file, Requested(asked)).values()
            assert found.start == pytest.approx(start, abs=1 / tag + 0.002)
            assert found.end == pytest.approx(end, abs=1 / tag + 0.002)
        for given in (None, rate):
            tag = given or 24.0
            write_labels("label-studio", file, {video: [Segment("fall", start, end)]}, given)
            (task,) = json.loads(file.read_bytes())
            (span,) = task["predictions"][0]["result"][0]["value"]["ranges"]
            assert (span["start"] - 1) / tag == pytest.approx(start, abs=0.51 / tag)
            assert span["end"] / tag == pytest.approx(
                max(end, span["start"] / tag), abs=0.51 / tag
            )
            ((again,),) = segments_of(file).values()  # the file says its rate
            assert again.start == pytest.approx(start, abs=0.51 / tag + 0.001)


def test_the_rate_of_frames_of_label_studio_is_said(tmp_path: Path, make_clip: Make) -> None:
    make_clip("street.mp4", frames=60, fps=30)
    file = tmp_path / "export.json"
    file.write_text(json.dumps(marked_in_label_studio(0.5, 1.5, 24)))
    done = call("convert", file, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines()[1] == "street.mp4,0.5,1.5,fall"
    counts = (
        "as 24 per second; Label Studio counts by frameRate of its tag Video, 24 unless it is set; "
        "give another as --fps"
    )
    assert f"{file}: frames are read {counts}" in done.stderr
    words = ("convert", tmp_path / "a.csv", tmp_path / "tasks.json", "--to", "label-studio")
    assert f"label-studio: frames are written {counts}" in call(*words).stderr
    file.write_text(json.dumps(marked_in_label_studio(1, 2, 60)))
    with pytest.raises(
        ValueError, match=r"task 1: frame 120 at 24 per second is at 5 s, after"
    ):
        segments_of(file)
    assert times(*segments_of(file, Requested(60)).values()) == [("fall", 1, 2)]


def test_labels_after_the_end_of_a_video_are_left_out_and_counted(
    tmp_path: Path, make_clip: Make
) -> None:
    make_clip("a.mp4", frames=20, fps=10)
    rows = ("a.mp4,0,1,x", "a.mp4,1,2.4,x", "a.mp4,1.5,2.6,y", "a.mp4,30,60,y", "b.mp4,30,60,y")
    (tmp_path / "list.csv").write_text("\n".join(["path,start,end,label", *rows]))
    done = call("convert", tmp_path / "list.csv", tmp_path / "out.csv")
    assert "left out: 2 intervals that end after their video" in done.stderr
    assert (tmp_path / "out.csv").read_text().splitlines()[1:] == [
        "a.mp4,0.0,1.0,x",
        "a.mp4,1.0,2.4,x",
        "a.mp4,1.5,2.0,",  # nobody knows what happens then
        "b.mp4,30.0,60.0,y",
    ]


def test_what_counts_characters_is_no_time(tmp_path: Path) -> None:
    named = {
        "type": "labels",
        "value": {"start": 5, "end": 9, "text": "rex", "labels": ["dog"]},
    }
    spoken = {"type": "labels", "value": {"start": 0.5, "end": 0.75, "labels": ["bark"]}}
    (tmp_path / "a.json").write_text(json.dumps([answers(named, spoken)]))
    left_out = Counter[str]()
    ((found,),) = segments_of(tmp_path / "a.json", left_out=left_out).values()
    assert (found.label, left_out) == ("bark", {"results of kind labels": 1})


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
        ("a.eaf", OUTSIDE, "declarations of entities"),
        ("a.eaf", BOMB, "declarations of entities"),
        ("a.eaf", "<annotations>", "no element found"),
        ("a.eaf", EAF.format(0), "no time intervals; left out: 1 annotations without times of"),
        ("a.eaf", EAF.format(0).replace("_SLOT_REF2", "X"), "annotation a1: no TIME_SLOT_REF2"),
        ("a.eaf", EAF.format("soon"), "invalid literal"),
        (
            "a.eaf",
            EAF.format(0).replace("<HEADER", '<HEADER TIME_UNITS="PAL-frames"'),
            "TIME_UNITS is 'PAL-frames', expected milliseconds",
        ),
        ("a.eaf", EAF.format(0).replace("file:///C:/a.mp4", ""), "no name of a video"),
        ("a.eaf", EAF.format(0).replace("<MEDIA_DESC", "<X"), "no MEDIA_DESCRIPTOR"),
        ("a.json", NET % "[0, 1e300]", r"video a: end is 1e\+300 s, expected at most 1e\+08"),
        ("a.json", NET % f"[0, {HUGE}]", "video a: int too large to convert to float"),
        ("a.json", NET % "[0, NaN]", "video a: x from 0.0 to nan s"),
        ("a.json", NET % "[2, 1]", r"video a: x from 2.0 to 1.0 s.*expected 0 <= start < end"),
        ("a.json", NET % "7", "video a: cannot unpack"),
        ("a.json", '{"results": {"a": [{"segment": [0, 1]}]}}', "video a: no label"),
        ("a.json", "{}", "no results"),
        ("a.json", '{"results": {}}', "no time intervals; label times, and export them again"),
        ("a.json", '[{"video": "a.mp4"}]', "task 1: no data"),
        ("a.json", TASK % '{"timelinelabels": ["x"]}', "left out: 1 results of kind choices"),
        (
            "a.json",
            TASK % '{"timelinelabels": ["x"], "ranges": [{"start": 0, "end": 2}]}',
            "task 1: x from -0.1",
        ),
        (
            "a.json",
            TASK % '{"labels": [" "], "start": 0, "end": 2}',
            "task 1: label is ' ', expected a name",
        ),
        (
            "a.csv",
            "path,start,end,label\na.mp4,0,soon,x\n",
            "line 2: time is 'soon', expected seconds, mm:ss",
        ),
        ("a.csv", "path,start,label\na.mp4,0,x\n", "no column end in the header"),
        ("a.vtt", "hello", "no WEBVTT in the first line"),
        ("a.vtt", "WEBVTT\n\n00:02.000 --> 00:01.000\nx\n", "cue 1: x from 2.0 to 1.0 s"),
        (
            "a.vtt",
            f"WEBVTT\n\n{HUGE}:00:01.000 --> {HUGE}:00:02.000\nx\n",
            "cue 1: end is inf s",
        ),
        (
            "a.vtt",
            "WEBVTT\n\n00:01,000 --> 00:02,000\nx\n",
            "1 cues whose times cannot be read",
        ),
        (
            "a.vtt",
            "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:0,MPEGTS:9\n",
            "times of a stream .X-TIMESTAMP",
        ),
        ("a.txt", "x", "no format is called '.txt'"),
    ],
)
def test_what_is_wrong_is_named_with_its_file_and_place(
    name: str, text: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=problem) as raised:
        segments_of(tmp_path / name, Requested(fps=10))
    assert str(raised.value).startswith(str(tmp_path / name))


def test_files_of_many_opened_marks_are_refused_at_once(tmp_path: Path) -> None:
    marks = "<" * 1_000_000
    texts = {
        "a.eaf": ("<a>" + marks.replace("<", "<!--"), "not well-formed"),
        "a.vtt": (f"WEBVTT\n\n00:02.000 --> 00:01.000\n{marks}\n", "cue 1: <<<"),
    }
    for name, (text, problem) in texts.items():
        (tmp_path / name).write_text(text)
        with limits(5, 4), pytest.raises(ValueError, match=problem):
            segments_of(tmp_path / name)


def test_labels_are_converted_to_a_list_to_train_on(tmp_path: Path, make_clip: Make) -> None:
    make_clip("clip.mp4", frames=20, fps=10)
    (tmp_path / "ls.json").write_text(json.dumps(LABEL_STUDIO))
    (tmp_path / "net.json").write_text(NET % "[1, 2]")
    done = call(
        "convert", tmp_path / "ls.json", tmp_path / "net.json", tmp_path / "lists" / "all.csv"
    )
    assert (tmp_path / "lists" / "all.csv").read_text().splitlines() == [
        "path,start,end,label",
        "../clip.mp4,0.08,0.24,wave",
        "../clip.mp4,0.5,1.25,clap",
        "../a.mp4,1.0,2.0,x",
    ]
    assert "3 intervals of 2 videos" in done.output
    assert "1 of the videos are not there, such as" in done.stderr
    assert (
        "did you mean webvtt"
        in call(
            "convert", tmp_path / "net.json", tmp_path / "x", "--to", "vtt", ok=False
        ).stderr
    )


def answers(*results: dict[str, Any], video: str = "clip.mp4") -> dict[str, Any]:
    return {"data": {"video": video}, "annotations": [{"result": list(results)}]}


def test_label_studio_leaves_nothing_out_without_counting_it(
    tmp_path: Path, make_clip: Make
) -> None:
    for name in ("a", "b", "c"):
        make_clip(f"{name}.mp4", frames=20, fps=10)
    timeline = {
        "type": "timelinelabels",
        "value": {"ranges": [{"start": 1, "end": 10}], "timelinelabels": ["wave"]},
    }
    choice = {"type": "choices", "value": {"choices": ["jump"]}}
    boxes = {"type": "videorectangle", "value": {"sequence": [], "labels": ["person"]}}
    tasks = [
        answers(timeline, choice, video="a.mp4"),
        answers(choice, video="b.mp4"),
        answers(boxes, video="c.mp4"),
    ]
    comment = {"type": "textarea", "value": {"start": 0, "end": 1, "text": ["unsure"]}}
    relation = {"type": "relation", "from_id": "1", "to_id": "2", "direction": "right"}
    tasks[0]["annotations"][0]["result"] += [comment, relation]
    (tmp_path / "all.json").write_text(json.dumps([*tasks, answers(video="d.mp4")]))
    done = call("convert", tmp_path / "all.json", tmp_path / "all.csv")
    assert (tmp_path / "all.csv").read_text().splitlines() == [
        "path,start,end,label",
        "a.mp4,0.0,0.416,wave",
        "b.mp4,0.0,2.0,jump",
    ]
    expected = (
        "left out: 1 results of kind choices, 1 results of kind textarea, "
        "1 results of kind relation, 1 results of kind videorectangle, 1 tasks without labels"
    )
    assert expected in done.stderr
    (tmp_path / "boxes.json").write_text(json.dumps(tasks[2:]))
    with pytest.raises(
        ClipError, match="no time intervals; left out: 1 results of kind videorectangle"
    ):
        segments_of(tmp_path / "boxes.json")


def test_frames_of_label_studio_are_equally_spaced_in_time(
    tmp_path: Path, make_clip: Make
) -> None:
    clip = make_clip("clip.mp4", frames=30, fps=30)
    value = {"ranges": [{"start": 3, "end": 6}], "timelinelabels": ["wave"]}
    (tmp_path / "a.json").write_text(json.dumps([answers({"value": value})]))
    (interval,) = segments_of(tmp_path / "a.json", Requested(fps=30))[clip]
    assert len(VideoReader(f"{clip}#t={interval.start},{interval.end}")) == 4


ACTIVITYNET = """{"database": {"abc": {"subset": "testing", "duration": 9, "annotations":
 [{"label": "wave", "segment": [1, 2.5]}]}}}"""
EAF_OF_A_SECOND = EAF.format(500).replace('"ts2"/>', '"ts2" TIME_VALUE="1500"/>')


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.json", ACTIVITYNET, {"abc.mp4": Segment("wave", 1, 2.5)}),
        (
            "a.eaf",
            EAF_OF_A_SECOND.replace('a.mp4"', 'a.mp4" TIME_ORIGIN="2000"'),
            {"a.mp4": Segment("x", 2.5, 3.5, tier="t")},
        ),
        (
            "clip.vtt",
            "WEBVTT\n\n1\n00:00.000 --> 00:01.000 align:start\n<v Tom>wave</v>\n",
            {"clip.mp4": Segment("wave", 0.0, 1.0, subject="Tom")},
        ),
        (
            "a.csv",
            "path,start,end,label\na%20b.mp4,0,1,x\nnew%20.mp4,0,1,x\n",
            {"a%20b.mp4": Segment("x", 0, 1), "new%20.mp4": Segment("x", 0, 1)},
        ),
        (
            "a.eaf",
            EAF_OF_A_SECOND.replace("a.mp4", "a%20b.mp4"),
            {"a%20b.mp4": Segment("x", 0.5, 1.5, tier="t")},
        ),
        (
            "a.eaf",
            EAF_OF_A_SECOND.replace(
                "<MEDIA_DESCRIPTOR", '<MEDIA_DESCRIPTOR MEDIA_URL="a.wav"/><MEDIA_DESCRIPTOR', 1
            ),
            {"a.mp4": Segment("x", 0.5, 1.5, tier="t")},
        ),
        (
            "a.csv",
            "path,start,end,label\n20240101-a.mp4,0,1,x\n20240102-a.mp4,0,1,x\n",
            {"20240101-a.mp4": Segment("x", 0, 1), "20240102-a.mp4": Segment("x", 0, 1)},
        ),
    ],
    ids=[
        "official split",
        "time origin",
        "marks",
        "percent signs",
        "percent signs of a file",
        "sound and video",
        "dates",
    ],
)
def test_what_other_programs_write_is_understood(
    name: str, text: str, expected: dict[str, Segment], tmp_path: Path
) -> None:
    for video in ("a%20b.mp4", "a.mp4"):
        (tmp_path / video).touch()
    (tmp_path / name).write_text(text)
    assert segments_of(tmp_path / name) == {
        tmp_path / video: [interval] for video, interval in expected.items()
    }


def test_what_is_read_in_part_is_counted(tmp_path: Path) -> None:
    """The second video of ELAN, and several voices in a cue of WebVTT; one is who does it."""
    second = '<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/side%20view.mp4"/></HEADER>'
    (tmp_path / "a.eaf").write_text(EAF_OF_A_SECOND.replace("</HEADER>", second))
    said = call("convert", tmp_path / "a.eaf", tmp_path / "a.csv").stderr
    assert "left out: 1 further videos (side view.mp4); labels are of the first one" in said
    cues = ["<v.loud Tom &amp; Ann>wave</v>", "<v Tom>jump</v> <v Ann>jump</v>", "<i>sit</i>"]
    times = "00:01.000 --> 00:02.000"
    (tmp_path / "a.vtt").write_text(
        "\n\n".join(["WEBVTT", *(f"{times}\n{cue}" for cue in cues)])
    )
    left_out = Counter[str]()
    (segments,) = segments_of(tmp_path / "a.vtt", left_out=left_out).values()
    assert {(each.label, each.subject) for each in segments} == {
        ("wave", "Tom & Ann"),
        ("jump jump", ""),
        ("sit", ""),
    }
    assert left_out == {"voices of cues that have several": 2}


def test_a_list_keeps_recordings_that_only_some_rows_have(tmp_path: Path) -> None:
    recordings = [
        Recording(tmp_path / "a.mp4", (Segment("x", 0.0, 1.0),), group="tom"),
        Recording(tmp_path / "b.mp4", (Segment("y", 0.0, 1.0),)),
    ]
    write = FORMATS["csv"].write
    assert write is not None
    write(tmp_path / "all.csv", recordings, None)
    assert (tmp_path / "all.csv").read_text().splitlines()[1:] == [
        "a.mp4,0.0,1.0,x,tom",
        "b.mp4,0.0,1.0,y,",
    ]
    assert read_labels([tmp_path / "all.csv"]) == recordings


BORIS_PROJECT = {
    "behaviors_conf": {
        "0": {"code": "run", "type": "State event"},
        "1": {"code": "bark", "type": "Point event"},
    },
    "observations": {
        "first": {
            "file": {"1": ["C:\\videos\\a.mp4", "b.mp4"], "2": []},
            "time offset": 100.0,
            "media_info": {
                "length": {"C:\\videos\\a.mp4": 10.0, "b.mp4": 20.0},
                "offset": {"1": 0.0},
            },
            "events": [
                [101.0, "rex", "run", "", ""],
                [102.0, "ada", "run", "", ""],
                [103.5, "rex", "run", "", ""],
                [104.0, "rex", "bark", "", ""],
                [112.0, "ada", "run", "", ""],
                [113.0, "", "run", "", ""],
            ],
        },
        "live": {"file": [], "events": [[1.0, "", "run", "", ""], [2.0, "", "run", "", ""]]},
    },
}


def test_a_format_that_is_only_read_is_refused_before_any_work(tmp_path: Path) -> None:
    message = "boris is only read; choose csv, activitynet, label-studio, elan, webvtt"
    assert message in fails("convert", tmp_path / "missing.csv", tmp_path / "a.boris")
    words = ("--out", tmp_path / "out", "--times", "boris")
    assert message in fails("predict", tmp_path / "no-run", tmp_path / "a.mp4", *words)


def test_projects_of_boris(tmp_path: Path) -> None:
    (tmp_path / "p.boris").write_text(json.dumps(BORIS_PROJECT))
    left_out = Counter[str]()
    assert segments_of(tmp_path / "p.boris", left_out=left_out) == {
        tmp_path / "a.mp4": [
            Segment("run", 1, 3.5, subject="rex"),
            Segment("run", 2, 10, subject="ada"),
            Segment("", 3.5, 4.5),  # a bark
        ],
        tmp_path / "b.mp4": [
            Segment("run", 0, 2, subject="ada"),
            Segment("run", 3, 20),  # until the observation ends
        ],
    }
    assert left_out == {
        "events without duration (bark; --point-seconds gives them one)": 1,
        "events without a media file": 2,
    }


def test_categories_of_boris_that_overlap_others_alone_are_tiers(tmp_path: Path) -> None:
    categories = {
        "sit": "posture",
        "run": "posture",
        "eat": "act",
        "fly": "rare",
        "bark": "act",
    }
    behaviors = {
        name: {"code": name, "type": "State event", "category": category}
        for name, category in {**categories, "look": ""}.items()
    }
    spans = {"sit": (0, 5), "run": (5, 9), "eat": (1, 3), "fly": (9, 9.5), "look": (7, 8)}

    def tiers(**more: tuple[float, float]) -> dict[str, str]:
        events = [
            [at, "", name, "", ""] for name, span in (spans | more).items() for at in span
        ]
        observation = {"file": {"1": ["a.mp4"]}, "media_info": {"length": {"a.mp4": 20.0}}}
        project = {
            "behaviors_conf": behaviors,
            "observations": {"one": {**observation, "events": sorted(events)}},
        }
        (tmp_path / "p.boris").write_text(json.dumps(project))
        (intervals,) = segments_of(tmp_path / "p.boris").values()
        return {part.label: part.tier for part in intervals if part.label}

    expected = {"sit": "posture", "run": "posture", "eat": "act", "fly": "", "look": ""}
    assert tiers() == expected
    assert tiers(bark=(2, 4)) == {**expected, "eat": "", "bark": ""}  # overlaps eat


def test_tiers_and_participants_of_elan_are_those_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    slots = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="ts{i}" TIME_VALUE="{1000 * i}" />' for i in range(1, 9)
    )

    def tier(name: str, first: int, *values: str) -> str:
        annotations = "".join(
            f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{first}{i}" '
            f'TIME_SLOT_REF1="ts{first + 2 * i}" TIME_SLOT_REF2="ts{first + 2 * i + 1}">'
            f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
            for i, value in enumerate(values)
        )
        return f'<TIER TIER_ID="{name}" PARTICIPANT="mia">{annotations}</TIER>'

    text = (
        '<A><HEADER TIME_UNITS="milliseconds"><MEDIA_DESCRIPTOR MEDIA_URL="a.mp4" /></HEADER>'
        f"<TIME_ORDER>{slots}</TIME_ORDER>{tier('posture', 1, 'sit', 'walk')}"
        f"{tier('eat', 2, 'eat', '')}</A>"
    )
    (tmp_path / "a.eaf").write_text(text)
    (intervals,) = segments_of(tmp_path / "a.eaf").values()
    assert [(part.label, part.tier, part.subject) for part in intervals] == [
        ("sit", "posture", "mia"),
        ("eat", "", "mia"),
        ("walk", "posture", "mia"),
        ("eat", "", "mia"),
    ]
    call("convert", tmp_path / "a.eaf", tmp_path / "list.csv")
    assert "posture" in (tmp_path / "list.csv").read_text()
    again = read_set(tmp_path / "list.csv", classes=1)
    assert [clip.tier for clip in again.clips] == ["posture", "", "posture", ""]


def boris(
    folder: Path,
    *observations: dict[str, Any],
    lengths: Mapping[str, float] = MappingProxyType({"a.mp4": 20.0}),
) -> Path:
    """A project with the state `run` and the point event `bark`, whose observations are of one
    video.
    """
    behaviors = {
        "0": {"code": "run", "type": "State event"},
        "1": {"code": "bark", "type": "Point event"},
    }
    usual = {"file": {"1": [*lengths]}, "time offset": 0, "media_info": {"length": {**lengths}}}
    named = {str(i): {**usual, **given} for i, given in enumerate(observations)}
    file = folder / "p.boris"
    file.write_text(json.dumps({"behaviors_conf": behaviors, "observations": named}))
    return file


BORIS_EVENTS = st.lists(
    st.tuples(
        st.integers(0, 39).map(lambda half: half / 2),
        st.sampled_from(["", "rex"]),
        st.sampled_from(["run", "bark", "a state that was deleted"]),
    ),
    min_size=1,
    max_size=9,
).map(sorted)
BORIS_LIMITS = st.sampled_from([(0, 0), (0, 12), (3, 15), (4, 0)])


def moment(
    at: float, events: Sequence[tuple[float, str, str]], limits: tuple[int, int]
) -> tuple[bool, bool, bool]:
    """At a moment of an observation of 20 s, whether something runs, is doubtful, was watched."""
    first, last = limits
    runs = False
    doubtful = False
    for who, what in {(who, what) for _, who, what in events}:
        times = [time for time, *other in events if other == [who, what]]
        pairs = [times[i : i + 2] for i in range(0, len(times), 2)]
        if what == "bark":
            pairs = [[time, time] for time in times]
        goes_on = any(pair[0] < at < [*pair, last or 20][1] for pair in pairs)
        runs |= goes_on and what == "run"
        doubtful |= goes_on and what != "run"
        doubtful |= any(pair[1:] == pair[:1] and abs(pair[0] - at) < 0.5 for pair in pairs)
    return runs, doubtful, first < at < (last or 20)


@given(st.lists(st.tuples(BORIS_EVENTS, BORIS_LIMITS), min_size=1, max_size=2))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_nothing_is_known_of_what_boris_left_open_left_out_or_did_not_watch(
    tmp_path: Path, observations: list[tuple[list[tuple[float, str, str]], tuple[int, int]]]
) -> None:
    given = [
        {"events": [[*event, "", ""] for event in events], "observation time interval": limits}
        for events, limits in observations
    ]
    try:
        recordings = read_labels([boris(tmp_path, *given)])
    except ClipError as error:
        assert "no time intervals" in str(error)  # noqa: PT017 - or there are some
        return
    for recording in recordings:
        of_scorer = observations
        if recording.scorer:  # of two observations in which one subject runs at the same time
            of_scorer = [observations[int(recording.scorer)]]
        for at in np.arange(0.25, 20, 0.5):
            moments = [moment(at, *observation) for observation in of_scorer]
            runs, doubtful, watched = map(any, zip(*moments, strict=True))
            labels = {each.label for each in recording.segments if each.start < at < each.end}
            assert ("run" in labels) == runs
            assert ("" in labels) == (doubtful or not watched)


def test_videos_of_further_players_of_boris_are_counted(tmp_path: Path) -> None:
    events = [[t, "", "run", "", ""] for t in (2.0, 8.0)]
    players = {"1": ["a.mp4"], "2": ["b.mp4", "c.mp4"], "3": []}
    left_out = Counter[str]()
    segments_of(boris(tmp_path, {"events": events, "file": players}), Requested(), left_out)
    assert left_out == {"videos of player 2": 2}


def test_convert_says_how_much_time_is_unknown_to_a_training(
    tmp_path: Path, make_clip: Make
) -> None:
    make_clip("a.mp4", frames=200, fps=10)
    events = [[t, "", "run", "", ""] for t in (2.0, 8.0)]
    events += [[t, "", "bark", "", ""] for t in (5.0, 8.0, 12.0, 12.5)]
    done = call("convert", boris(tmp_path, {"events": events}), tmp_path / "a.csv")
    assert "2.0 s of unknown time in 1 videos" in done.stderr
    clips = read_set(tmp_path / "a.csv", classes=1)
    ((listed, labeled),) = recordings_of(clips.clips, clips.recordings)
    timing = VideoReader(listed.path).timing
    recording = with_labels(listed, labeled, timing, nothing="nothing")
    timeline = Timeline(recording.labels, recording.end, recording.unknown)
    outputs = Tier([0, -1], ["run", ""], 1).labels(timeline, np.arange(0.05, 20, 0.1).tolist())
    assert (outputs == UNKNOWN).sum() == 20
    assert (outputs == 0).sum() == 60


def test_a_state_that_was_not_stopped_ends_with_its_observation(
    tmp_path: Path, make_clip: Make
) -> None:
    events = [[t, "", "run", "", ""] for t in (1.0, 2.0, 4.0)]
    clip = make_clip("a.mp4", frames=100, fps=10)
    of_video = segments_of(boris(tmp_path, {"events": events}, lengths={"a.mp4": 99.0}))[clip]
    assert times(of_video) == [
        ("run", 1, 2),
        ("run", 4, 10),
    ]  # not when BORIS says that it ends
    limits = {"observation time interval": [0, 6]}
    said = call(
        "convert", boris(tmp_path, {"events": events, **limits}), tmp_path / "a.csv"
    ).stderr
    assert "p.boris: not stopped, so until the observation ends: 1 run" in said
    assert (
        "4.0 s of unknown time in 1 videos (rows without a label), from which no clips of the class "
        "nothing are taken"
    ) in said
    assert (tmp_path / "a.csv").read_text().splitlines()[1:] == [
        "a.mp4,1.0,2.0,run",
        "a.mp4,4.0,6.0,run",
        "a.mp4,6.0,10.0,",
    ]
    again = call("convert", tmp_path / "a.csv", tmp_path / "b.csv")
    assert "4.0 s of unknown time" in again.stderr
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()
    said = call("convert", tmp_path / "a.csv", tmp_path / "a.eaf").stderr
    assert "4.0 s of unknown time in 1 videos (only a list, .csv, can say when)" in said
    assert times(segments_of(tmp_path / "a.eaf")[clip]) == [("run", 1, 2), ("run", 4, 6)]
    project = boris(tmp_path, {"events": events, "media_info": {}}, lengths={"gone.mp4": 0})
    with pytest.raises(
        ValueError, match=r"gone.mp4: its length is not known; put it beside the labels"
    ):
        segments_of(project)


def test_nothing_is_known_of_times_that_other_programs_label_in_a_way_that_is_left_out(
    tmp_path: Path, make_clip: Make
) -> None:
    clip = make_clip("a.mp4", frames=100, fps=10)

    def timeline(start: int, end: int, label: str) -> dict[str, Any]:
        value = {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]}
        return {"type": "timelinelabels", "value": value}

    task = answers(timeline(1, 10, "wave"), video="a.mp4")
    task["annotations"] += [{"result": [timeline(31, 50, "jump")]}]
    for start, end in ((7, 8), (9, 9)):
        value = {"start": start, "end": end, "number": 3}
        task["annotations"][0]["result"].append({"type": "number", "value": value})
    (tmp_path / "a.json").write_text(json.dumps([task]))
    (of_video,) = segments_of(tmp_path / "a.json", Requested(fps=10)).values()
    assert times(of_video) == [("wave", 0, 1), ("", 3, 5), ("", 7, 8), ("", 8.5, 9.5)]

    slots = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="ts{i}"{f" TIME_VALUE={time!r}" if time else ""}/>'
        for i, time in enumerate(("1000", "2000", "", "", "5000"))
    ).replace("'", '"')
    annotations = "".join(
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{i}" TIME_SLOT_REF1="ts{i}" '
        f'TIME_SLOT_REF2="ts{i + 1}"><ANNOTATION_VALUE>x</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>'
        for i in (0, 2)
    )
    (tmp_path / "a.eaf").write_text(
        f'<A><HEADER><MEDIA_DESCRIPTOR MEDIA_URL="a.mp4"/></HEADER><TIME_ORDER>{slots}</TIME_ORDER>'
        f'<TIER TIER_ID="t">{annotations}</TIER></A>'
    )
    assert times(segments_of(tmp_path / "a.eaf")[clip]) == [("x", 1, 2), ("", 2, 5)]

    rows = ["a.mp4,1,2,x", "a.mp4,8,12,x"]  # which ends after the video
    (tmp_path / "a.csv").write_text("\n".join(["path,start,end,label", *rows]))
    assert times(segments_of(tmp_path / "a.csv")[clip]) == [("x", 1, 2), ("", 8, 10)]


SPANS = st.tuples(
    st.sampled_from(["a.mp4", "b.mp4"]),
    st.sampled_from([*"xxxxxxx", "y"]),
    st.integers(0, 4),
    st.integers(1, 2),
    st.sampled_from(["", "rex", "ada"]),
)


def files_with(
    folder: Path, name: str, spans: Sequence[tuple[str, str, int, int, str]]
) -> list[Path]:
    """Files of a format, which may hold one video each."""
    videos = defaultdict[Path, list[Segment]](list)
    for video, label, start, length, who in spans:
        videos[folder / video].append(Segment(label, start, start + length, subject=who))
    if name == "boris":
        named = {video.name: intervals for video, intervals in videos.items()}
        return [
            boris(
                folder,
                *(
                    {
                        "file": {"1": [video]},
                        "media_info": {"length": {video: 30.0}},
                        "events": sorted(
                            [time, each.subject, "run" if each.label == "x" else "bark", "", ""]
                            for each in intervals
                            for time in (each.start, each.end)
                        ),
                    }
                    for video, intervals in named.items()
                ),
            )
        ]
    each = [{video: of_video} for video, of_video in videos.items()]
    files = list[Path]()
    for i, part in enumerate(
        [videos] if FORMATS[name].write and name not in ("elan", "webvtt") else each
    ):
        file = folder / f"labels-{i}{FORMATS[name].ending}"
        if write := FORMATS[name].write:
            recordings = [
                Recording(video, (label,), group=label.subject and f"day {label.subject}")
                for video, labels in part.items()
                for label in labels
            ]
            write(file, recordings, 8)
        else:
            ((video, intervals),) = part.items()
            file = folder / f"{video.stem}{FORMATS[name].ending}"
            rows = ["onset\tduration\ttrial_type"]
            rows += [
                f"{each.start}\t{each.end - each.start}\t{each.label}" for each in intervals
            ]
            if name == "boris-table":
                rows = [
                    "Observation id,Media file name,Subject,Behavior,Behavior type,Start (s),Stop (s)"
                ]
                rows += [
                    f"o,{video.name},{each.subject},{each.label},STATE,{each.start},{each.end}"
                    for each in intervals
                ]
            if name == "frame-table":
                rows = [",x,y"]
                for frame in range(48):
                    now = {
                        each.label for each in intervals if each.start <= frame / 8 < each.end
                    }
                    rows.append(f"{frame},{int('x' in now)},{int('y' in now)}")
            file.write_text("\n".join(rows))
        files.append(file)
    return files


@given(
    st.lists(
        st.tuples(st.sampled_from([*FORMATS]), st.lists(SPANS, min_size=1, max_size=5)),
        min_size=1,
        max_size=3,
        unique_by=lambda part: part[0],
    )
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_converted_can_be_trained_on_or_it_is_said_why_not(
    tmp_path: Path, parts: list[tuple[str, list[tuple[str, str, int, int, str]]]]
) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    files = [file for name, spans in parts for file in files_with(tmp_path, name, spans)]
    labeled = set[tuple[str, str, float, float]]()
    for file in [*files]:
        try:
            for video, intervals in segments_of(file, Requested(fps=8)).items():
                labeled |= {
                    (video.name, *of_time) for of_time in times(intervals) if of_time[0]
                }
        except ClipError:  # a project without a state
            files.remove(file)
    if not files:
        return
    out = tmp_path / "out.csv"
    out.unlink(missing_ok=True)
    call("convert", *files, out, "--fps", 8)
    overlap = any(
        a[0] == b[0] and a[1] != b[1] and max(a[2], b[2]) < min(a[3], b[3])
        for a, b in product(labeled, repeat=2)
    )
    if overlap:
        assert read_set(out, fills=True).overlaps is not None
    else:
        clips = read_set(out).clips
        assert {
            (file_of(clip.path).name, clip.label, *split_interval(clip.path)[1])
            for clip in clips
        } == labeled
        assert len(clips) == len(labeled)
        assert len({clip.recording for clip in clips}) <= len({video for video, *_ in labeled})


NAMES = st.tuples(
    st.lists(st.sampled_from(["day1", "day2", "videos"]), max_size=2),
    st.sampled_from(
        [
            "",
            "C:\\",
            "/mnt/",
            "file:///",
            "/data/upload/1/0a1b2c3d-",
            "/data/upload/2/9f8e7d6c-",
        ]
    ),
).map(lambda name: f"{name[1]}{'' if 'upload' in name[1] else '/'.join([*name[0], ''])}cam.mp4")
PLACES = st.sets(st.sampled_from(["", "day1/", "day2/", "videos/day1/"]))


@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), PLACES, st.booleans())
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_events_of_videos_with_different_names_are_never_written_for_one_file(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], places: set[str], one_file: bool
) -> None:
    folder = tmp_path_factory.mktemp("named")
    for place in places:
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / "cam.mp4").touch()
    value = {"start": 0, "end": 1}
    tasks = [answers({"value": {**value, "labels": [name]}}, video=name) for name in names]
    files = [tasks] if one_file else [[task] for task in tasks]
    paths = list[Path]()
    for i, of_file in enumerate(files):
        paths.append(folder / f"{i}.json")
        paths[i].write_text(json.dumps(of_file))
    labels = defaultdict[Path, set[str]](set)
    try:
        for video, intervals in by_video(read_labels(paths)).items():
            labels[video] |= {interval.label for interval in intervals}
    except ClipError as error:
        assert "are both read as" in str(error)  # noqa: PT017 - or each has its own
        return
    assert all(len(of_video) == 1 for of_video in labels.values())
    for video, (name,) in labels.items():
        last = re.split(r"[\\/]", name)[-2:-1]
        if last in (["day1"], ["day2"]) and (folder / last[0] / "cam.mp4").exists():
            assert video.parent.name == last[0]


def test_two_videos_that_end_at_one_file_are_both_named(tmp_path: Path) -> None:
    (tmp_path / "cam.mp4").touch()
    both = r"{0}1.cam.mp4 and {0}2.cam.mp4 are both read as .*cam.mp4; put each video beside"
    for prefix in ("C:\\videos\\day", "/mnt/videos/day"):
        slash = "/" if "/" in prefix else "\\"
        rows = [f"{prefix}{day}{slash}cam.mp4,{day},{day + 1},x" for day in (1, 2)]
        lists = [tmp_path / "1.csv", tmp_path / "2.csv"]
        for file, row in zip(lists, rows, strict=True):
            file.write_text(f"path,start,end,label\n{row}\n")
        problem = fails("convert", *lists, tmp_path / "out.csv")
        assert re.search(both.format(re.escape(prefix)), problem)
        assert not (tmp_path / "out.csv").exists()
        for day in (1, 2):
            (tmp_path / f"day{day}").mkdir(exist_ok=True)
            (tmp_path / f"day{day}" / "cam.mp4").touch()
        call("convert", *lists, tmp_path / "out.csv")
        assert [
            row.split(",")[0] for row in (tmp_path / "out.csv").read_text().split()[1:]
        ] == [
            "day1/cam.mp4",
            "day2/cam.mp4",
        ]
        (tmp_path / "out.csv").unlink()
        for day in (1, 2):
            (tmp_path / f"day{day}" / "cam.mp4").unlink()
    (tmp_path / "v_abc.mp4").touch()
    net = {name: [{"label": "x", "segment": [0, 1]}] for name in ("abc", "v_abc")}
    (tmp_path / "net.json").write_text(json.dumps({"results": net}))
    with pytest.raises(ClipError, match=r"abc and .*v_abc.mp4 are both read as"):
        segments_of(tmp_path / "net.json")


def test_the_times_of_a_prediction_also_of_events_of_a_stream() -> None:
    scores = np.array([1.0], np.float32)
    prediction = Prediction(
        Path("a.mp4"),
        Decision(("wave",)),
        scores[None],
        scores,
        np.zeros(1),
        np.zeros(1, int),
        segments=(Event("wave", 2, 3, 0.5), Segment("wave", 0, 1)),
    )
    assert by_video(of_prediction(prediction)) == {
        Path("a.mp4"): [Segment("wave", 0, 1), Segment("wave", 2, 3, 0.5)]
    }
