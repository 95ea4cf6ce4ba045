"""Long recordings: trained on their intervals and the gaps between them, and evaluated as a whole."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import SAMPLE, TINY, call, fails
from moving_squares import recording

import onlooker
from onlooker.base.decision import Decision, TierStates
from onlooker.base.records import Segment
from onlooker.measure.events import event_figures, judged, mistakes
from onlooker.measure.recordings import ComparedRecording, figures_of_recordings
from onlooker.measure.timeline import Pair, Timeline
from onlooker.report.recordings import events_sentence, recordings_page, result_lines
from onlooker.video.reader import read
from onlooker.video.write import write


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of three recordings in which a square moves to the left or right, and rests in
    between.
    """
    folder = tmp_path_factory.mktemp("days")
    rows = ["path,start,end,label,split"]
    for number, split in enumerate(("train", "val", "test")):
        frames, events = recording(["left", "right"] * 2, 40 + 9 * number, event=30, pause=30)
        write(folder / f"{number}.mp4", frames, fps=10)
        rows += [
            f"{number}.mp4,{event.start},{event.end},{event.label},{split}" for event in events
        ]
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def run(days: Path) -> Path:
    words = "train", days / "list.csv", *TINY, "--model", "alstm", "--hidden", 4
    call(*words, "--fill", "nothing", "--run", days / "run")
    return days / "run"


def test_the_gaps_are_examples_of_nothing_unless_it_is_said_otherwise(
    days: Path, tmp_path: Path
) -> None:
    words = "train", days / "list.csv", *TINY, "--model", "convnet"
    output = call(*words, "--run", tmp_path / "run").output
    assert (
        " clips of nothing are from the gaps between the intervals; --fill '' for none"
        in output
    )
    assert onlooker.load(tmp_path / "run").classes == ("left", "nothing", "right")
    output = call(*words, "--fill", "", "--run", tmp_path / "without").output
    assert "between the intervals" not in output
    assert onlooker.load(tmp_path / "without").classes == ("left", "right")


def test_a_run_on_intervals(run: Path, days: Path, tmp_path: Path) -> None:
    split = json.loads((run / "split.json").read_text())
    assert {
        part: {Path(entry["path"].split("#")[0]).name for entry in of}
        for part, of in split.items()
    } == {"training": {"0.mp4"}, "validation": {"1.mp4"}, "test": {"2.mp4"}}
    assert [entry["label"] for entry in split["test"]].count("nothing") == 4
    assert onlooker.load(run).classes == ("left", "nothing", "right")
    before = (run / "evaluation.json").read_bytes()
    (run / "evaluation.json").unlink()
    call("train", days / "list.csv", "--run", run, "--resume")
    assert (run / "evaluation.json").read_bytes() == before
    part = f"{days / '2.mp4'}#t=3,6"
    write(tmp_path / "cut.mp4", read(part, 30).pixels, fps=10)
    prediction = onlooker.load(run).predict(part)
    assert (
        np.abs(
            prediction.scores - onlooker.load(run).predict(tmp_path / "cut.mp4").scores
        ).max()
        < 0.05
    )
    call("predict", run, part, f"{days / '2.mp4'}#t=9,12", "--out", tmp_path / "out")
    assert {"2-3-6.mp4", "2-9-12.mp4"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert read(tmp_path / "out" / "2-3-6.mp4", 60).indices.max() == 29


@pytest.fixture(scope="module")
def finder(days: Path) -> Path:
    """A run that finds events."""
    words = (
        "train",
        days / "list.csv",
        *SAMPLE,
        "--encoder",
        "conv4",
        "--fill",
        "nothing",
        "--run",
        days / "finder",
    )
    assert "when: events: " in call(*words).stderr
    return days / "finder"


def test_whole_recordings_are_evaluated(run: Path, finder: Path, days: Path) -> None:
    listed = days / "more.csv"
    rows = [
        "2.mp4,3,6,left",
        "2.mp4,9,12,right",
        "2.mp4,50,52,left",
        "2.mp4,25,60,left",  # training leaves it out, too
        "0.mp4,3,6,left",
        "broken.mp4,1,2,left",
        "2.mp4,13,40,",  # nobody knows what happens then
        "2.mp4,20,23,nothing",  # but somebody does
        "2.mp4,4,5,",
    ]
    listed.write_text("\n".join(["path,start,end,label", *rows]) + "\n")
    (days / "broken.mp4").write_bytes((days / "1.mp4").read_bytes()[:500])
    assert "this model finds no events; train the default model" in fails(
        "evaluate", run, "--recordings", listed
    )
    result = call("evaluate", finder, "--recordings", listed)
    report = finder / "recordings-more" / "report.html"
    line, *more = (line for line in result.stdout.splitlines() if line)
    assert re.match(r"In recordings: finds \d of 2 events, .*10 s of quiet footage\)", line)
    assert more[-1] == f"report: {report}"
    assert "0.mp4: the model was trained on it" in result.stderr
    assert (
        "2.mp4#t=50,52: outside the recording, which is 27.00 s long; correct the times"
        in result.stderr
    )
    assert "2.mp4#t=25,60: outside the recording" in result.stderr
    assert "broken.mp4: " in result.stderr
    figures = json.loads((finder / "recordings-more" / "evaluation.json").read_text())
    assert figures["hours"] * 3600 == pytest.approx(10)  # outside of two events
    assert [*figures["recordings"]] == ["2.mp4"]
    assert figures["events"] == figures["live"]["events"] == 2
    assert (
        {*figures["live"]} - {"as_states"}
        == {*next(iter(figures["recordings"].values()))}
        == {*figures} - {"live", "recordings", "skipped", "as_states"}
    )
    assert "give one of them" in fails("evaluate", finder, listed, "--recordings", listed)


def test_the_page_of_recordings_has_timelines_and_clips_of_all_mistakes(tmp_path: Path) -> None:
    true = [Segment("x", 10, 20), Segment("y", 30, 40), Segment("y", 50, 60)]
    found = [
        Segment("x", 11, 19, 0.9),
        Segment("x", 32, 38, 0.8),
        Segment("y", 70, 72, 0.7),
        Segment("y", 80, 84, 0.6),
    ]
    labels = Timeline(true, 100.0)
    answers = Timeline(found, 100.0)
    assert mistakes(labels, answers) == ([true[2]], [(true[1], found[1])], found[2:])
    whole = event_figures([(labels, answers)])
    shown = list[Segment]()

    def clip(recording: ComparedRecording, event: Segment) -> bytes | None:
        shown.append(event)
        return None if event == found[3] else b"mp4"

    compared = ComparedRecording("a", tmp_path, labels, predicted=answers, live=answers)
    same = figures_of_recordings([compared], Decision(("x", "y")), ())
    figures = {**same, "live": {**same["live"], "found": 0}}
    page = recordings_page("days", figures, [compared], skipped=(), clip=clip)
    text = (
        page.write(tmp_path / "page.html").read_text("utf-8").replace("\N{NO-BREAK SPACE}", " ")
    )
    sentence = (
        "finds 1 of 3 events, names 1 wrong, at most 324 false alarms an hour (2 in 70 s of"
    )
    assert events_sentence(whole).startswith(sentence)
    assert f"In recordings: {sentence}" in text
    assert "Live, as" in text
    assert "finds 0 of 3 events" in text
    assert shown == [true[2], true[1], found[2], found[3]]
    for part in ("Missed: 1", "Wrong class: 1", "False alarms: 2", "y, named x 80 %"):
        assert part in text
    assert text.count("<video") == 3, "one cannot be read any more"
    again = recordings_page("days", same, [compared], skipped=(), clip=clip)
    assert "Live, as" not in again.write(tmp_path / "page.html").read_text("utf-8")


def test_the_page_of_states_compares_the_classes_of_each_tier(tmp_path: Path) -> None:
    chains = [TierStates([k, -1], [2.0, 2.0], [1.0, 1.0], weight=1) for k in (0, 1)]
    decision = Decision(("nod", "sit"), states=chains, frame_rate=5.0)
    labels = Timeline([Segment("nod", 10, 20), Segment("sit", 0, 50)], 60)
    answers = Timeline([Segment("nod", 50, 55, 0.9), Segment("sit", 0, 48, 0.8)], 60)
    compared = ComparedRecording("a", tmp_path, labels, predicted=answers, live=answers)
    figures = figures_of_recordings([compared], decision, ())
    assert figures["misnamed"] == 1, "of all classes together"
    page = recordings_page("days", figures, [compared], skipped=(), clip=lambda *_: b"mp4")
    text = page.write(tmp_path / "page.html").read_text("utf-8")
    for heading in ("Time budget", "Timelines", "Missed: 1", "False alarms: 1"):
        assert heading in text
    assert "Wrong class" not in text, "sit goes on while somebody nods"
    assert [line.split(" %")[0] for line in result_lines(figures)] == [
        "In recordings: nod: 75",
        "In recordings: sit: 97",
    ]
    late = replace(compared, live=Timeline([Segment("sit", 30, 48)], 60))
    lines = result_lines(figures_of_recordings([late], decision, ()))
    assert [line.split(": ")[:2] for line in lines[2:]] == [
        ["Live, as `onlooker watch` reports them", "nod"],
        ["Live, as `onlooker watch` reports them", "sit"],
    ]


def test_two_scorers_of_events_are_compared(tmp_path: Path) -> None:
    labels = Timeline([Segment("x", 10, 20)], 40)
    compared = ComparedRecording(
        "a", tmp_path, labels, predicted=labels, live=labels, second=Timeline([], 40)
    )
    figures = figures_of_recordings([compared], Decision(("x", "y")), ())
    assert figures["scorers"][0]["scorers"] == 0
    assert result_lines(figures)[1].endswith(
        "in 1 recording, the model and the first one with 1.00"
    )


def test_what_is_found_where_nothing_is_known_does_not_count() -> None:
    true = [Segment("x", 0, 10), Segment("y", 30, 40)]
    found = [
        Segment(label, start, start + 5)
        for label, start in zip("xyxxyy", (8, 33, 42, 58, 65, 85), strict=True)
    ]
    labels = Timeline(true, 200, unknown=[(35, 60), (80, 200)])
    answers = Timeline(found, 200)
    counted = judged(labels, answers)
    assert [event.start for event in counted.segments] == [8, 33, 65]
    assert judged(Timeline(true, 200), answers) == answers
    assert judged(labels, Timeline([], 200)).segments == []
    figures = event_figures([(labels, counted)])
    assert (figures["found"], figures["false_alarms"]) == (2, 1)
    assert 3600 * figures["hours"] == pytest.approx(20 + 20)  # 10 to 30, and 60 to 80


def pair(true: list[Segment], found: list[Segment], seconds: float) -> Pair:
    return Timeline(true, seconds), Timeline(found, seconds)


def test_figures_of_a_hand_made_example() -> None:
    true = {"a": [Segment("x", 10, 20), Segment("y", 30, 40)], "b": [Segment("x", 0, 4)]}
    found = {
        "a": [Segment("x", 10, 15, 0.9), Segment("y", 10, 20, 0.8), Segment("x", 50, 60, 0.7)],
        "b": [Segment("x", 2, 12, 0.6), Segment("x", 20, 21, 0.5)],
    }
    figures = event_figures([pair(true[name], found[name], 900) for name in "ab"])
    # Of x, the first has an IoU of .5 and the one in b of 1/6; of y, none is found.
    assert figures["segment_map"] == pytest.approx({"0.3": 0.25, "0.5": 0.25})
    assert {
        name: figures[name] for name in ("events", "found", "misnamed", "false_alarms")
    } == {"events": 3, "found": 2, "misnamed": 0, "false_alarms": 2}
    outside = (1800 - 24) / 3600
    assert figures["hours"] == pytest.approx(outside)
    assert figures["false_alarms_per_hour"] == pytest.approx(2 / outside)
    renamed = [Segment("x", 32, 35, 0.5)]
    figures = event_figures([pair(true["a"][1:], renamed, 10)])
    assert figures["misnamed"] == 1
    assert figures["found"] == figures["false_alarms"] == 0
    assert event_figures([pair([Segment("x", 0, 10)], renamed, 10)])["false_alarms"] == 1
    nothing_happens = event_figures([pair([], [], 3600)])
    assert nothing_happens["segment_map"] == {"0.3": None, "0.5": None}
