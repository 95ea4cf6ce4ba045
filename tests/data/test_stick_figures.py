"""Stick figures: limbs of constant length, feet on the ground, tight boxes, and files that are read
back.
"""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from onlooker.base.progress import reporting
from onlooker.data import stick_figures as figure
from onlooker.data.stick_figures import (
    ACTIONS,
    STATES,
    StickFigures,
    write_recordings,
    write_set,
)
from onlooker.video.reader import VideoReader, read

SMALL = StickFigures(frames=8, fps=4, size=(48, 64), people=3)
every_action = pytest.mark.parametrize("action", list(ACTIONS))


@every_action
def test_limbs_keep_their_lengths_and_feet_stand_on_the_ground_without_sliding(
    action: str,
) -> None:
    joints = figure.place_joints(
        figure.perform(action, 49, 24.0, event=(6, 42), tempo=1.0), True
    )
    for side in ("near ", "far "):
        for start, end in (
            ("shoulder", "elbow"),
            ("elbow", "hand"),
            ("hip", "knee"),
            ("knee", "ankle"),
        ):
            lengths = np.linalg.norm(joints[side + start] - joints[side + end], axis=1)
            np.testing.assert_allclose(lengths, lengths[0], atol=1e-9)
    x, y = np.stack([joints["near ankle"], joints["far ankle"]], 1).transpose(2, 0, 1)
    lower = y.argmax(1)
    lift = -0.03 - y.max(1)
    assert lift.min() > -1e-9
    assert lift.max() == pytest.approx(0.2 if action == "jump" else 0.0, abs=0.01)
    # both feet stand, or the legs are spread: the middle does not move
    if np.ptp(y, 1).max() < 1e-9:
        np.testing.assert_allclose(x.mean(1), x[0].mean(), atol=1e-9)
    else:
        slid = np.abs(np.diff(x, axis=0))[np.arange(48), lower[1:]]
        assert slid[lower[1:] == lower[:-1]].mean() < 0.003


@pytest.mark.parametrize(
    "pair", [("sit_down", "stand_up"), ("walk", "walk_backward"), ("raise_arm", "lower_arm")]
)
def test_opposite_actions_are_the_same_poses_in_another_order(pair: tuple[str, str]) -> None:
    forward, backward = (
        figure.perform(action, 49, 24.0, event=(6, 42), tempo=1.0) for action in pair
    )
    np.testing.assert_allclose(forward, backward[::-1], atol=1e-9)


@every_action
def test_boxes_fit_the_drawing(action: str) -> None:
    poses = figure.perform(action, 9, 24.0, event=(1, 7), tempo=1.0)
    black = np.zeros(3)
    joints = {
        name: path * 100 + (150, 130) for name, path in figure.place_joints(poses, True).items()
    }
    for t, box in enumerate(figure.figure_boxes(joints, 110.0)):
        canvas = np.full((150 * figure.FINER, 300 * figure.FINER, 3), 255, np.uint8)
        colors = dict.fromkeys(("skin", "hair", "shirt", "trousers", "shoes"), black)
        figure.draw_figure(
            canvas,
            {name: path[t] for name, path in joints.items()},
            thickness=110.0,
            colors=colors,
        )
        (top, bottom), (left, right) = (
            np.flatnonzero((canvas < 255).any((axis, 2)))[[0, -1]] for axis in (1, 0)
        )
        np.testing.assert_allclose(
            box * figure.FINER, (left, top, right + 1, bottom + 1), atol=figure.FINER / 2
        )


@every_action
def test_a_video_moves_within_the_frame_and_only_during_the_event(action: str) -> None:
    made = StickFigures(frames=12, fps=6, size=(96, 128), noise=0).video(action, 2, seed=1)
    assert made.boxes.min() >= 1
    assert (made.boxes.max(0) <= (127, 95, 127, 95)).all()
    first, *_, last = np.flatnonzero(made.moving)
    assert made.moving[first : last + 1].all()
    assert 0.5 - 0.5 / 11 <= (last - first) / 11 <= 0.8 + 0.5 / 11
    changes = (np.diff(made.pixels.astype(int), axis=0) != 0).any((1, 2, 3))
    assert not changes[:first].any()
    assert not changes[last:].any()
    assert changes[first:last].mean() > 0.8


def test_written_files_can_be_read_back_and_are_not_changed(tmp_path: Path) -> None:
    written = write_set(
        tmp_path / "figures", 4, seed=7, figures=SMALL, actions=("sit_down", "stand_up")
    )
    truth = json.loads((written / "truth.json").read_text())
    rows = (written / "recordings.csv").read_text().split()
    assert (truth["seed"], truth["settings"]["frames"], truth["settings"]["fps"]) == (7, 8, 4)
    assert sorted(truth["clips"]) == [
        f"{a}/{n:03}.mp4" for a in ("sit_down", "stand_up") for n in range(4)
    ]
    for row, (name, facts) in zip(rows[1:], truth["clips"].items(), strict=True):
        made = SMALL.video(name.split("/")[0], int(name[-7:-4]), seed=7)
        frames = read(written / name, 8)
        np.testing.assert_allclose(frames.times, np.arange(8) / 4, atol=1e-6)
        # H.264 keeps color at half the size
        assert np.abs(frames.pixels.astype(int) - made.pixels).mean() < 8
        np.testing.assert_array_equal(np.array(facts["boxes"], np.float32), made.boxes)
        assert facts["event"] == [*np.flatnonzero(made.moving)[[0, -1]]]
        assert (row, facts["person"]) == (
            f"{name},person-{made.person:02}",
            int(name[-7:-4]) % 3,
        )
    with pytest.raises(
        FileExistsError, match="figures: not an empty folder; choose a new folder"
    ):
        write_set(written, 1, figures=SMALL)


def test_an_interrupted_set_is_not_there(tmp_path: Path) -> None:
    def killed(stage: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with reporting(killed), pytest.raises(KeyboardInterrupt):
        write_set(tmp_path / "new", 1, figures=SMALL)
    assert not (tmp_path / "new").exists()
    (tmp_path / "new").mkdir()
    write_set(tmp_path / "new", 1, figures=SMALL, actions=("wave",))
    assert (tmp_path / "new" / "wave" / "000.mp4").exists()


def test_recordings_are_always_in_a_state_and_their_lists_say_in_which(tmp_path: Path) -> None:
    write_recordings(tmp_path / "home", 3, seconds=12, seed=5)
    lists = [(tmp_path / "home" / f"{name}.csv").read_text() for name in ("train", "test")]
    rows = [row.split(",") for text in lists for row in text.splitlines()[1:]]
    assert [{row[0] for row in rows if row[0] in text} for text in lists] == [
        {"person-0.mp4", "person-1.mp4"},
        {"person-2.mp4"},
    ]
    for number in range(3):
        own = [row for row in rows if row[0] == f"person-{number}.mp4"]
        assert own[0][1] == "0"
        assert all(row[2] == following[1] for row, following in pairwise(own))
        assert all(row[3] != following[3] for row, following in pairwise(own))
        assert {row[3] for row in own} <= {*STATES}
        reader = VideoReader(tmp_path / "home" / own[0][0])
        assert reader.seconds == pytest.approx(float(own[-1][2]), abs=0.01)
        assert reader.seconds >= 12
    write_recordings(tmp_path / "again", 3, seconds=12, seed=5)
    assert (tmp_path / "again" / "test.csv").read_text() == lists[1]
    with pytest.raises(FileExistsError, match="not an empty folder"):
        write_recordings(tmp_path / "home")
