"""People across a room: their size, what differs between gestures, files and lists."""

import csv
import json
from functools import partialmethod
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from commands import call, fails

from onlooker.data.far_figures import GESTURES, FarFigures
from onlooker.data.stick_figures import Life, write_recordings, write_set
from onlooker.video.reader import VideoReader

SMALL = FarFigures(frames=12, fps=6, size=(120, 160), people=4)
QUIET = FarFigures(frames=12, fps=6, size=(240, 320), people=4, noise=0)


def test_a_figure_has_15_to_35_percent_of_the_height_and_only_its_box_changes() -> None:
    for person in range(4):
        video = QUIET.video("wave", person)
        boxes = video.boxes
        heights = (boxes[:, 3] - boxes[:, 1])[~video.moving] / 240
        assert (heights > 0.145).all()
        assert (heights < 0.35).all()
        assert boxes.min() >= 0
        assert (boxes.max(0) <= (320, 240, 320, 240)).all()
        t = np.flatnonzero(video.moving)[[0, len(np.flatnonzero(video.moving)) // 2]]
        changed = np.abs(np.diff(video.pixels[t].astype(int), axis=0)[0]).max(-1) > 60
        rows, columns = np.nonzero(changed)
        left, top, right, bottom = (*boxes[t, :2].min(0), *boxes[t, 2:].max(0))
        inside = (
            (rows > top - 2)
            & (rows < bottom + 2)
            & (columns > left - 2)
            & (columns < right + 2)
        )
        assert inside.sum() > 10
        # edges of furnishings move a little where the camera sways
        assert inside.mean() > 0.9


def test_gestures_differ_in_the_arms_only() -> None:
    """Before and after a gesture all look alike, and no gesture moves the feet."""
    for person in range(2):
        videos = [QUIET.video(gesture, person) for gesture in GESTURES]
        for video in videos:
            ground = video.boxes[:, 3]
            assert np.ptp(ground) < 3
    keys = [np.array(keys) for keys in GESTURES.values()]
    for first, *_, last in keys:
        np.testing.assert_array_equal(first, keys[0][0])
        np.testing.assert_array_equal(last, keys[0][0])
    _, *left, _ = GESTURES["swipe_left"]
    _, *right, _ = GESTURES["swipe_right"]
    assert left == right[::-1]


def test_equal_arguments_give_equal_videos_and_people_share_rooms() -> None:
    one, same, roommate, other = (
        SMALL.video("clap", number, seed=seed)
        for number, seed in ((1, 2), (1, 2), (0, 2), (2, 2))
    )
    np.testing.assert_array_equal(one.pixels, same.pixels)
    assert (one.room, roommate.room, other.room) == (0, 0, 1)
    assert one.recording == "person-01-room-00"
    walls = [
        video.pixels[:, :10].astype(float).mean((0, 1, 2)) for video in (one, roommate, other)
    ]
    assert np.abs(walls[0] - walls[1]).max() < 2
    assert np.abs(walls[0] - walls[2]).max() > 5


def test_written_clips_say_person_and_room(tmp_path: Path) -> None:
    write_set(tmp_path / "far", 3, figures=SMALL, actions=("throw", "wave"))
    with (tmp_path / "far" / "recordings.csv").open(newline="") as stream:
        rows = [*csv.DictReader(stream)]
    assert [row["recording"] for row in rows[:3]] == [
        "person-00-room-00",
        "person-01-room-00",
        "person-02-room-01",
    ]
    truth = json.loads((tmp_path / "far" / "truth.json").read_text())
    assert truth["clips"]["wave/002.mp4"]["room"] == 1
    assert VideoReader(tmp_path / "far" / "wave" / "002.mp4").size == (120, 160)


@pytest.mark.parametrize("pauses", [False, True])
def test_recordings_of_gestures(pauses: bool, tmp_path: Path) -> None:
    tiny = FarFigures(fps=4, size=(72, 96))

    def life(person: int, seconds: float) -> Life:
        return tiny.life(person, seconds, pauses=pauses, seed=4)

    write_recordings(tmp_path / "far", 3, seconds=55, fps=tiny.fps, life=life)
    for name, people in (("train", {0, 1}), ("test", {2})):
        with (tmp_path / "far" / f"{name}.csv").open(newline="") as stream:
            rows = [*csv.DictReader(stream)]
        assert {row["path"] for row in rows} == {
            f"person-{n}-room-{n // 2}.mp4" for n in people
        }
        assert {row["label"] for row in rows} == {*GESTURES}
        for file in {row["path"] for row in rows}:
            bouts = [row for row in rows if row["path"] == file]
            times = np.array([(bout["start"], bout["end"]) for bout in bouts], float)
            end = VideoReader(tmp_path / "far" / file).seconds
            lengths = times[:, 1] - times[:, 0]
            gaps = times[1:, 0] - times[:-1, 1]
            assert all(a["label"] != b["label"] for a, b in pairwise(bouts))
            if pauses:
                assert lengths.max() < 3.5
                assert gaps.min() >= 1.9
                assert lengths.min() > 1
                assert times[0, 0] >= 1.9
                assert end > times[-1, 1]
            else:
                assert lengths.min() >= 5.9
                assert lengths.max() < 13
                assert np.allclose(gaps, 0)
                assert end == pytest.approx(times[-1, 1], abs=0.01)


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        FarFigures, "__init__", partialmethod(FarFigures.__init__, frames=3, size=(96, 128))
    )
    call("generate", "figures", tmp_path / "far", "--distance", "far", "--clips", 1)
    assert sorted(path.parent.name for path in (tmp_path / "far").rglob("*.mp4")) == [*GESTURES]
    words = ("generate", "recordings", tmp_path / "home", "--seconds", 1, "--count", 1)
    assert "add --distance far" in fails(*words, "--pauses")
    call(*words, "--distance", "far", "--pauses")
    assert (tmp_path / "home" / "person-0-room-0.mp4").exists()
