"""One bad entry costs that entry, whatever the format: it is counted, and named."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from commands import call
from hypothesis import given, settings
from hypothesis import strategies as st
from label_files import segments_of

from onlooker.base.records import Segment
from onlooker.formats.labels import Requested

Entries = Sequence[tuple[Any, Any, str]]  # start, end, label

GOOD: Entries = [(1.0, 2.0, "wash"), (4.0, 5.0, "run")]


def activitynet(entries: Entries) -> str:
    annotations = [{"label": label, "segment": [start, end]} for start, end, label in entries]
    return json.dumps({"database": {"a": {"subset": "", "annotations": annotations}}})


def label_studio(entries: Entries) -> str:
    values = [{"start": start, "end": end, "labels": [label]} for start, end, label in entries]
    results = [{"type": "labels", "value": value} for value in values]
    task = {"data": {"video": "a.mp4"}, "annotations": [{"result": results}]}
    return json.dumps([task])


def elan(entries: Entries) -> str:
    slots = ""
    texts = ""
    for i, (start, end, label) in enumerate(entries):
        for name, time in (("s", start), ("e", end)):
            value = int(1000 * time) if isinstance(time, float) else time
            slots += f'<TIME_SLOT TIME_SLOT_ID="{name}{i}" TIME_VALUE="{value}"/>'
        texts += (
            f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{i}" TIME_SLOT_REF1="s{i}" '
            f'TIME_SLOT_REF2="e{i}"><ANNOTATION_VALUE>{label}</ANNOTATION_VALUE>'
            "</ALIGNABLE_ANNOTATION></ANNOTATION>"
        )
    header = '<HEADER><MEDIA_DESCRIPTOR MEDIA_URL="a.mp4"/></HEADER>'
    return f'<A>{header}<TIME_ORDER>{slots}</TIME_ORDER><TIER TIER_ID="t">{texts}</TIER></A>'


def webvtt(entries: Entries) -> str:
    def clock(time: Any) -> str:
        return f"00:{time:06.3f}" if isinstance(time, float) else str(time)

    cues = [f"{clock(start)} --> {clock(end)}\n{label}\n" for start, end, label in entries]
    return "\n".join(["WEBVTT\n", *cues])


def csv_list(entries: Entries) -> str:
    rows = [f"a.mp4,{start},{end},{label}" for start, end, label in entries]
    return "\n".join(["path,start,end,label", *rows])


def bids(entries: Entries) -> str:
    rows = [
        f"{start}\t{end - start if isinstance(end, float) else end}\t{label}"
        for start, end, label in entries
    ]
    return "\n".join(["onset\tduration\ttrial_type", *rows])


FILES: dict[str, Callable[[Entries], str]] = {
    "a.json": activitynet,
    "a-label-studio.json": label_studio,
    "a.eaf": elan,
    "a.vtt": webvtt,
    "a.csv": csv_list,
    "a_events.tsv": bids,
}
WRONG = st.one_of(
    st.tuples(st.floats(3, 9), st.floats(1, 2.5), st.just("back")),  # ends before it begins
    st.tuples(st.just(2.0), st.sampled_from(["soon", "3 s", "--"]), st.just("text")),
    st.tuples(st.just(2.0), st.just(4e8), st.just("late")),
)


def labels(path: Path, requested: Requested, left_out: Counter[str]) -> list[Segment]:
    ((_, segments),) = segments_of(path, requested, left_out).items()
    return [segment for segment in segments if segment.label]


@pytest.mark.parametrize("name", FILES)
@given(wrong=st.lists(WRONG, min_size=1, max_size=6), place=st.integers(0, 2))
@settings(max_examples=15, deadline=None)
def test_an_entry_that_is_wrong_costs_itself(name: str, wrong: Entries, place: int) -> None:
    entries = [*GOOD[:place], *wrong, *GOOD[place:]]
    left_out = Counter[str]()
    with TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_text(FILES[name](entries))
        found = labels(file, Requested(), left_out)
        assert [(each.start, each.end, each.label) for each in found] == GOOD
        counted = Counter[str]()
        for kind, count in left_out.items():
            counted[kind.partition(" (")[0]] += count
        unread = counted.pop("cues whose times cannot be read", 0)  # without a number
        # what ELAN has no time for is a part of another annotation
        parts = counted.pop("annotations without times of their own", 0)
        assert counted["wrong entries"] + unread == len(wrong)
        assert counted.keys() == {"wrong entries"} or unread
        assert parts == sum(isinstance(end, str) for _, end, _ in wrong) * (name == "a.eaf")
        named = [kind for kind in left_out if kind.startswith("wrong entries (")]
        assert len(named) <= 4, "the first three, and the number of the others"
        file.write_text(FILES[name](wrong))
        with pytest.raises(ValueError, match="no time intervals; left out: "):
            segments_of(file)


@pytest.mark.parametrize("name", FILES)
@given(at=st.integers(0, 9000), shorter=st.floats(0, 0.0004), seconds=st.floats(0.2, 2))
@settings(max_examples=15, deadline=None)
def test_an_event_without_a_duration_is_left_out_or_lasts_as_asked(
    name: str, at: int, shorter: float, seconds: float
) -> None:
    """Also one of less than half a millisecond: times are rounded."""
    length = shorter if name in ("a.json", "a.csv", "a_events.tsv") else 0.0
    entries = [*GOOD, (at / 1000, at / 1000 + length, "blink")]
    left_out = Counter[str]()
    with TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_text(FILES[name](entries))
        assert len(labels(file, Requested(), left_out)) == len(GOOD)
        assert left_out == {
            "events without duration (blink; --point-seconds gives them one)": 1
        }
        left_out.clear()
        found = labels(file, Requested(point_seconds=seconds), left_out)
        assert not left_out
        (blink,) = (segment for segment in found if segment.label == "blink")
        assert blink.start == pytest.approx(max(at / 1000 - seconds / 2, 0), abs=0.002)
        assert blink.end - blink.start == pytest.approx(seconds, abs=0.002)


def test_a_box_that_is_exported_as_a_label_of_the_timeline(tmp_path: Path) -> None:
    """A project with boxes and times exports each box as a result of the timeline, too."""
    box = {"framesCount": 90, "sequence": [{"frame": 30, "x": 1, "y": 1, "time": 1.25}]}
    times = {"ranges": [{"start": 25, "end": 48}], "timelinelabels": ["fall"]}
    results = [
        {"type": "timelinelabels", "value": times},
        {"type": "videorectangle", "value": box},
        {"type": "timelinelabels", "value": {**box, "timelinelabels": ["fall"]}},
        {"type": "timelinelabels", "value": {**times, "ranges": [{"start": 9}]}},
    ]
    task = {"data": {"video": "a.mp4"}, "annotations": [{"result": results}]}
    (tmp_path / "a.json").write_text(json.dumps([task]))
    done = call("convert", tmp_path / "a.json", tmp_path / "list.csv")
    assert (tmp_path / "list.csv").read_text().splitlines()[1:] == ["a.mp4,1.0,2.0,fall"]
    counts = (
        "left out: 1 wrong entries (task 1: no end), 1 results of kind videorectangle, "
        "1 results of kind timelinelabels"
    )
    assert counts in done.stderr


def test_a_row_of_a_list_that_is_not_complete_costs_itself(tmp_path: Path) -> None:
    rows = ["path,start,end,label", "a.mp4,1,,x", "a.mp4,1,2,x", "a.mp4,1,2,3,4,x"]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    done = call("convert", tmp_path / "a.csv", tmp_path / "list.csv")
    assert (tmp_path / "list.csv").read_text().splitlines()[1:] == ["a.mp4,1.0,2.0,x"]
    assert "2 rows that are not complete, or too long (line 2, 4)" in done.stderr
