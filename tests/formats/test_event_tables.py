"""Labels of animals' behavior as other programs write them: tables with a row for each frame, events of
BIDS, packed projects of BORIS and events without a duration.
"""

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from clips import make_clip, touch
from commands import call, fails
from hypothesis import given, settings
from hypothesis import strategies as st
from label_files import segments_of
from numpy.typing import NDArray

from onlooker.base import files
from onlooker.base.decision import Decision
from onlooker.base.records import ClipError, Prediction, Segment
from onlooker.data.lists import read_list
from onlooker.formats import boris, frame_table, videos
from onlooker.formats.labels import Requested
from onlooker.report.overlay import write_drawn
from onlooker.video.sampling import Timing

FRAMES = 24
RATE = 12.5


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("video") / "day 1.mp4", frames=FRAMES, fps=RATE)


def deepethogram(states: dict[str, NDArray[np.int64]]) -> str:
    """As `DataFrame.to_csv` writes labels: numbers of frames in a column without a name."""
    rows = [
        f"{i}," + ",".join(map(str, row))
        for i, row in enumerate(zip(*states.values(), strict=True))
    ]
    return "\n".join([f",{','.join(states)}", *rows]) + "\n"


def simba(states: dict[str, NDArray[np.int64]]) -> str:
    """As SimBA's targets_inserted: positions and features before the behaviors."""
    random = np.random.default_rng(0)
    rows = [
        ",".join(
            [str(i), *(f"{x:.6f}" for x in random.uniform(1, 9, 40)), "0.0", *map(str, row)]
        )
        for i, row in enumerate(zip(*states.values(), strict=True))
    ]
    features = ",".join(f"Nose_{i}_x" for i in range(40))
    return "\n".join([f",{features},Low_prob_detections_0.5,{','.join(states)}", *rows]) + "\n"


STATES = st.lists(st.sampled_from([0, 1, 1, -1]), min_size=FRAMES, max_size=FRAMES)


@settings(max_examples=40, deadline=None)
@given(STATES, STATES, st.booleans(), st.booleans(), st.sampled_from([None, 5.0, 29.97]))
def test_each_frame_of_a_table_has_its_behaviors(
    video: Path,
    groom: list[int],
    dig: list[int],
    is_simba: bool,
    has_video: bool,
    fps: float | None,
) -> None:
    # rows at 5 per second would end after the video, and be left out
    has_video = has_video and fps != 5.0
    states = {"groom": np.array(groom), "dig": np.array(dig)}
    if not is_simba:
        background = (states["groom"] < 1) & (states["dig"] < 1)
        states = {"background": background.astype(int), **states}
    if all((states[name] < 1).all() for name in ("groom", "dig")):
        return
    with TemporaryDirectory() as name:
        folder = Path(name, "project_folder")
        table = folder / "csv" / "targets_inserted" / "day 1.csv"
        beside = folder / "videos"
        if not is_simba:
            table = folder / "DATA" / "day 1" / "day 1_labels.csv"
            beside = table.parent
        table.parent.mkdir(parents=True)
        beside.mkdir(exist_ok=True)
        table.write_text((simba if is_simba else deepethogram)(states))
        if has_video:
            os.link(video, beside / "day 1.mp4")
        elif fps is None:
            with pytest.raises(
                ClipError, match=r"the frames per second of .*day 1.mp4 are not known"
            ):
                segments_of(table)
            return
        ((found, intervals),) = segments_of(table, Requested(fps)).items()
        assert found == (beside if has_video else table.parent) / "day 1.mp4"
    rate = fps or RATE
    for frame in range(FRAMES):
        middle = (frame + 0.5) / rate
        labels = {each.label for each in intervals if each.start <= middle < each.end}
        expected = {label for label in ("groom", "dig") if states[label][frame] == 1}
        if any(column[frame] == -1 for column in states.values()):
            expected.add("")  # that nobody labeled one of them is known
        assert labels == expected, frame
    if has_video and rate > RATE:  # the rest of the video is unknown time
        assert max(each.end for each in intervals) == pytest.approx(FRAMES / RATE, abs=0.002)


USUAL_RATES = (10, 12.5, 15, 20, 24000 / 1001, 24, 25, 30000 / 1001, 30, 50, 60000 / 1001, 60)


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(st.sampled_from(USUAL_RATES), st.integers(10, 60)),
    st.integers(10, 2000),
    st.integers(0, 2),
    st.sampled_from([(0, 1), (0, 2), (1, 2), (0, 3)]),
)
def test_intervals_that_end_with_their_video_are_read(
    rate: float, frames: int, missing: int, third: tuple[int, int]
) -> None:
    """Whatever the rate and the length of the video, a table of its frames, and an observation that
    ends with it, are read by the video's own clock, and nothing of it is unknown.
    """
    times = np.arange(frames + 1) / rate
    timing = Timing(times[:-1], float(times[-1]))
    bounds = np.floor(1000 * times + 0.001) / 1000
    rows = frames - missing  # another reader counts other frames
    first, last = (rows * part // 3 for part in third)
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        table = Path(name, "a_labels.csv")
        video = touch(table.parent, "a.mp4") / "a.mp4"
        for module in (boris, frame_table, videos):
            patch.setattr(module, "timing_of", lambda _: timing)
        patch.setattr(frame_table, "frame_bounds", lambda _: bounds)
        marks = [int(first <= i < last) for i in range(rows)]
        table.write_text(deepethogram({"dig": np.array(marks)}))
        label, *unknown = sorted(segments_of(table)[video], key=lambda each: not each.label)
        assert (label.start, label.end) == (bounds[first], bounds[last])
        assert [each.label for each in unknown] == ([""] if missing else [])
        end = round(times[-1], 3)
        events = [[at, "", "run", "", ""] for at in (0.0, end)]
        of_all = project(*events)
        of_all["observations"]["first"]["observation time interval"] = [0, end]
        (table.parent / "p.boris").write_text(json.dumps(of_all))
        (label,) = segments_of(table.parent / "p.boris")[video]
        assert (label.start, label.end) == (0, end)
        rows_of_list = [f"a.mp4,0,{end},x", f"a.mp4,{end},{end + 9},y"]  # ends after the video
        (table.parent / "list.csv").write_text(
            "\n".join(["path,start,end,label", *rows_of_list])
        )
        (label,) = segments_of(video.with_name("list.csv"))[video]
        assert (label.start, label.end) == (0, end)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            ",groom\n0,1\n1,0\n",
            "2 frames, and .*a.mp4 has 24; give the rows per second as --fps, or",
        ),
        (",groom\n" + "0,1\n" * 24, "frames of column '' do not ascend from 0"),
        (",groom\n0,1\n9e18,1\n", "frames of column '' do not ascend from 0"),
        (",groom\n0,1,1\n", "row 1 has 3 fields below 2 columns"),
        (",groom\n0,0\n1,0\n", "2 frames, and .*a.mp4 has 24"),
    ],
)
def test_tables_of_frames_that_cannot_be_meant(
    tmp_path: Path, video: Path, text: str, problem: str
) -> None:
    os.link(video, tmp_path / "a.mp4")
    (tmp_path / "a_labels.csv").write_text(text)
    with pytest.raises(ValueError, match=problem):
        segments_of(tmp_path / "a_labels.csv")


def test_frames_without_a_row_are_not_known(tmp_path: Path) -> None:
    """SimBA leaves out frames that nobody labeled, and which columns are behaviors is said."""
    (tmp_path / "a.csv").write_text(",x,attack,rest\n0,1.5,1,0\n1,2.5,1,0\n5,3.5,0,0\n")
    done = call("convert", tmp_path / "a.csv", tmp_path / "out.csv", "--fps", "10")
    assert (tmp_path / "out.csv").read_text().splitlines()[1:] == [
        "a.mp4,0.0,0.2,attack",
        "a.mp4,0.2,0.5,",
    ]
    assert "columns that have 0 and 1 alone are read as behaviors: attack" in done.stderr
    assert "0.3 s of unknown time" in done.stderr
    assert f"run `onlooker convert {tmp_path / 'a.csv'} list.csv`" in fails(
        "check", tmp_path / "a.csv"
    )


@pytest.mark.parametrize(
    ("name", "is_probability"),
    [
        *(
            (name, True)
            for name in ("Probability_attack", "attack_prob", "attack_p", "p(attack)")
        ),
        *((name, False) for name in ("attack", "probe", "p", "P", "jump", "improbable step")),
    ],
)
def test_probabilities_are_no_behaviors(
    tmp_path: Path, name: str, is_probability: bool
) -> None:
    """In a short video, a column of probabilities may have 0 and 1 alone."""
    (tmp_path / "a.csv").write_text(f",rest,{name}\n0,1,1.0\n1,0,0.0\n")
    left_out = Counter[str]()
    (segments,) = segments_of(tmp_path / "a.csv", Requested(fps=10), left_out).values()
    assert {each.label for each in segments} == ({"rest"} if is_probability else {"rest", name})
    counts = {f"column {name} (by its name, a probability)": 1}
    assert left_out == (counts if is_probability else {})


def test_a_list_of_numbers_is_no_table_of_frames(tmp_path: Path) -> None:
    touch(tmp_path, "0.mp4", "1.mp4")
    for text in ("path,label\n0.mp4,0\n1.mp4,1\n", "0.mp4,0\n1.mp4,1\n"):
        (tmp_path / "list.csv").write_text(text)
        assert [clip.label for clip in read_list(tmp_path / "list.csv").clips] == ["0", "1"]
    (tmp_path / "list.csv").write_text("clip_id,class\n0,1\n")
    assert "no column path in the header" in fails("check", tmp_path / "list.csv")


EVENTS = """onset\tduration\ttrial_type\tresponse_time
-1.0\t0.5\tgo\tn/a
-0.5\t1.5\tgo\tn/a
1.2\t0.6\tgo\t0.4
2.5\t0.0\tpress\tn/a
3.0\tn/a\tpress\tn/a
4.0\t1.0\tn/a\tn/a
"""


@pytest.mark.parametrize("name", ["sub-01_task-x_video.mp4", "sub-01_task-x.mp4"])
def test_events_of_bids(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name, "sub-01_task-y_video.mp4", "sub-02_task-x_video.mp4")
    file = tmp_path / "sub-01_task-x_events.tsv"
    file.write_text(EVENTS)
    left_out = Counter[str]()
    ((video, intervals),) = segments_of(file, left_out=left_out).items()
    assert video == tmp_path / name
    go = [Segment("go", 0, 1, subject="sub-01"), Segment("go", 1.2, 1.8, subject="sub-01")]
    unknown = [Segment("", 2, 3), Segment("", 2.5, 3.5), Segment("", 4, 5)]
    assert intervals == [*go, *unknown]
    assert left_out == {
        "column response_time": 1,
        "events before the video": 1,
        "events without duration (press; --point-seconds gives them one)": 2,
        "events without trial_type": 1,
    }
    ((_, intervals),) = segments_of(file, Requested(point_seconds=0.4)).items()
    presses = [
        Segment("press", start, round(start + 0.4, 3), subject="sub-01") for start in (2.3, 2.8)
    ]
    assert intervals == [*go, *presses, Segment("", 4, 5)]
    assert "run `onlooker convert" in fails("check", file)


def test_events_of_bids_that_may_be_of_two_videos(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01_video.mp4", "sub-01_run-2_video.mp4")
    (tmp_path / "sub-01_events.tsv").write_text(EVENTS)
    with pytest.raises(
        ClipError, match=r"events of sub-01_run-2_video.mp4 or sub-01_video.mp4;"
    ):
        segments_of(tmp_path / "sub-01_events.tsv")


def project(*events: list[Any]) -> dict[str, Any]:
    kinds = {"bark": "Point event", "run": "State event"}
    observation = {"file": {"1": ["a.mp4"]}, "time offset": 0.0, "events": [*events]}
    return {
        "behaviors_conf": {
            i: {"code": name, "type": kinds[name]} for i, name in enumerate(kinds)
        },
        "observations": {"first": observation},
    }


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 60_000), min_size=1, max_size=5, unique=True),
    st.floats(0.01, 30),
    st.booleans(),
)
def test_events_without_a_duration_last_as_long_as_asked(
    times: list[int], seconds: float, is_packed: bool
) -> None:
    events = [[time / 1000, "rex", "bark", "", ""] for time in times]
    with TemporaryDirectory() as name:
        file = Path(name, "p.boris")
        content = json.dumps(project(*events)).encode()
        if is_packed:
            file = file.with_suffix(".boris.gz")
            content = gzip.compress(content)
        file.write_bytes(content)
        with pytest.raises(ClipError, match=r"events without duration \(bark; --point-seconds"):
            segments_of(file)
        (intervals,) = segments_of(file, Requested(point_seconds=seconds)).values()
    starts = [max(time / 1000 - seconds / 2, 0) for time in times]
    for interval in intervals:
        assert (interval.label, interval.subject) == ("bark", "rex")
        assert interval.end - interval.start == pytest.approx(seconds, abs=0.002)
        assert min(abs(interval.start - start) for start in starts) <= 0.001
    for start in starts:
        assert min(abs(interval.start - start) for interval in intervals) <= 0.001
    assert len({*intervals}) == len(intervals), "equal ones are one event"


def test_a_length_for_events_without_a_duration_is_asked_for(tmp_path: Path) -> None:
    events = [[2.0, "", "bark", "", ""], [3.0, "", "run", "", ""], [9.0, "", "run", "", ""]]
    (tmp_path / "p.boris").write_text(json.dumps(project(*events)))
    done = call("convert", tmp_path / "p.boris", tmp_path / "a.csv")
    assert "1 events without duration (bark; --point-seconds gives them one)" in done.stderr
    words = ("convert", tmp_path / "p.boris", tmp_path / "b.csv", "--point-seconds", "1")
    assert "left out" not in call(*words).stderr
    assert (tmp_path / "b.csv").read_text().splitlines()[1:] == [
        "a.mp4,1.5,2.5,bark",
        "a.mp4,3.0,9.0,run",
    ]


@pytest.mark.parametrize("size", [0, 5, 100])
def test_packed_projects_that_are_cut_off_or_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    text = json.dumps(project([1.0, "", "bark", "", ""])) + 10_000 * " "
    content = gzip.compress(text.encode())
    (tmp_path / "p.boris.gz").write_bytes(content[:size] if size < 100 else content)
    monkeypatch.setattr(files, "LIMIT", 1000)
    problem = "more than .* are not read" if size == 100 else "not a complete (JSON|.gz) file"
    with pytest.raises(ValueError, match=problem):
        segments_of(tmp_path / "p.boris.gz")


def test_a_drawn_clip_is_never_taken_for_its_original(tmp_path: Path, video: Path) -> None:
    """Beside labels that another program wrote, and that name the video alone."""
    scores = np.ones((1, 1), np.float32)
    prediction = Prediction(
        video, Decision(("a",)), scores, scores[0], np.zeros(1), np.zeros(1, int)
    )
    drawn = write_drawn(video, tmp_path / "a.mp4", prediction)
    files = {
        "a.vtt": "WEBVTT\n\n00:00.000 --> 00:01.000\nx\n",
        "net.json": '{"results": {"a": [{"label": "x", "segment": [0, 1]}]}}',
        "elsewhere.csv": "path,start,end,label\nC:\\clips\\a.mp4,0,1,x\n",
        "a_labels.csv": ",x\n0,1\n1,0\n",
        "a_events.tsv": "onset\tduration\ttrial_type\n0\t1\tx\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        words = ("convert", tmp_path / name, tmp_path / f"{name}.list.csv", "--fps", "1")
        message = (
            f"{name}: {drawn} is a clip with a drawn prediction; put the original beside the"
        )
        assert message in call(*words, ok=False).stderr
    original = tmp_path / "a.mov"
    os.link(video, original)
    for name in ("a.vtt", "net.json", "a_labels.csv"):
        assert [*segments_of(tmp_path / name, Requested(fps=1))] == [original]
