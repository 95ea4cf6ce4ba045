"""Stick figures: limbs of constant length, tight boxes, and files that are read back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onlooker.data import figure_drawing
from onlooker.data.figure_motion import ACTIONS, JOINTS, Body, perform
from onlooker.data.stick_figures import StickFigures, make_person, write_set
from onlooker.video.reader import read

# The start and end joints of each limb, and the name of its length in `Body`.
LIMBS = (
    ("pelvis", "neck", "trunk"),
    ("neck", "head", "nape"),
    *((f"{side} shoulder", f"{side} elbow", "upper_arm") for side in ("near", "far")),
    *((f"{side} elbow", f"{side} hand", "forearm") for side in ("near", "far")),
    *((f"{side} hip", f"{side} knee", "thigh") for side in ("near", "far")),
    *((f"{side} knee", f"{side} ankle", "shin") for side in ("near", "far")),
    *((f"{side} ankle", f"{side} toe", "foot") for side in ("near", "far")),
)
ALONE = StickFigures(frames=12, fps=6, size=(96, 128), bystanders=0, noise=0)
SMALL = StickFigures(frames=8, fps=4, size=(48, 64), people=3)
every_action = pytest.mark.parametrize("action", list(ACTIONS))


def joint(path: Any, name: str) -> Any:
    return path[:, JOINTS.index(name)]


def done(action: str, frames: int = 49, event: tuple[int, int] = (6, 42), **settings: Any) -> Any:
    """Joints `T J 2` of a usual body, at 24 frames a second."""
    return perform(ACTIONS[action], Body(), frames, 24.0, event, **settings)


@every_action
def test_limbs_keep_their_lengths(action: str) -> None:
    person = make_person(3, seed=1)
    path = perform(ACTIONS[action], person.body, 49, 24.0, (6, 42), near_acts=False, vigour=person.vigour)
    for start, end, part in LIMBS:
        lengths = np.linalg.norm(joint(path, start) - joint(path, end), axis=1)
        np.testing.assert_allclose(lengths, getattr(person.body, part), atol=1e-9, err_msg=f"{start} to {end}")


@every_action
def test_feet_are_on_the_ground_and_no_joint_is_below_it(action: str) -> None:
    path = done(action)
    ankles = np.stack([joint(path, "near ankle"), joint(path, "far ankle")], 1)[..., 1]
    height = -Body().ankle_height - ankles.max(1)
    assert path[..., 1].max() <= 1e-9
    if action in ("jump", "jumping_jack", "run"):
        assert 0.03 < height.max() < 0.2
    else:
        assert np.abs(height).max() < 1e-9


@pytest.mark.parametrize("action", ["walk", "walk_backward", "sit_down", "kick", "bend", "throw"])
def test_a_foot_on_the_ground_does_not_slide(action: str) -> None:
    path = done(action)
    feet = np.stack([joint(path, "near ankle"), joint(path, "far ankle")], 1)  # T 2 2
    standing = np.abs(feet[..., 1] - feet[..., 1].max(1, keepdims=True)) < 1e-9
    bears = standing[1:] & standing[:-1]
    slid = np.abs(np.diff(feet[..., 0], axis=0))[bears]
    swung = np.abs(np.diff(feet[..., 0], axis=0))[~bears]
    assert slid.mean() < 0.003
    assert swung.size == 0 or swung.max() > 10 * slid.mean()


@every_action
def test_boxes_contain_every_joint_and_fit_the_drawing(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure_drawing, "draw_room", lambda size, *_: np.full((*size, 3), 128, np.float32))
    monkeypatch.setattr(figure_drawing, "draw_shadow", lambda image, *_: image)
    monkeypatch.setattr(figure_drawing, "draw_stool", lambda *_: np.zeros((1, 1, 4), np.float32))
    for number in (0, 1):
        made = ALONE.video(action, number, seed=5)
        drawn = (made.pixels != 128).any(-1)
        assert made.boxes.shape == (12, 4)
        for t, (x1, y1, x2, y2) in enumerate(made.boxes.tolist()):
            rows, columns = np.flatnonzero(drawn[t].any(1)), np.flatnonzero(drawn[t].any(0))
            tight = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            # A pixel that is covered by less than a level of color belongs to the box, too.
            assert np.abs(np.subtract((x1, y1, x2, y2), tight)).max() <= 1
            inside = (made.joints[t] >= (x1, y1)) & (made.joints[t] <= (x2, y2))
            assert inside.all()
            assert min(x1, y1) >= 0
            assert x2 <= 128
            assert y2 <= 96


@every_action
def test_pixels_change_only_during_the_event(action: str) -> None:
    made = ALONE.video(action, 2, seed=1)
    first, last = np.flatnonzero(made.moving)[[0, -1]]
    assert made.moving[first : last + 1].all()
    changes = (np.diff(made.pixels.astype(int), axis=0) != 0).any((1, 2, 3))
    assert not changes[:first].any()
    assert not changes[last:].any()
    assert changes[first:last].mean() > 0.8
    assert 0.5 - 0.5 / 11 <= (last - first) / 11 <= 0.8 + 0.5 / 11


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "figures"
    return write_set(folder, 4, seed=7, figures=SMALL, actions=("sit_down", "stand_up"))


def test_written_files_can_be_read_back(written: Path) -> None:
    truth = json.loads((written / "truth.json").read_text())
    assert sorted(truth["clips"]) == [f"{a}/{n:03}.mp4" for a in ("sit_down", "stand_up") for n in range(4)]
    for name, facts in truth["clips"].items():
        action, number = name.removesuffix(".mp4").split("/")
        made = SMALL.video(action, int(number), seed=7)
        frames = read(written / name, 8)
        assert frames.indices.tolist() == list(range(8))
        np.testing.assert_allclose(frames.times, np.arange(8) / 4, atol=1e-6)
        # H.264 keeps color at half the size.
        assert np.abs(frames.pixels.astype(int) - made.pixels).mean() < 8
        moving = np.flatnonzero(made.moving)
        assert facts["event"] == [moving[0], moving[-1]]
        np.testing.assert_array_equal(np.array(facts["boxes"], np.float32), made.boxes)
        np.testing.assert_allclose(facts["joints"], made.joints, atol=0.01)
        assert facts["person"] == made.person
    assert truth["joints"] == list(JOINTS)
    assert (truth["fps"], truth["seed"], truth["settings"]["frames"]) == (4, 7, 8)


def test_a_folder_that_is_not_empty_is_not_changed(written: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="figures: not an empty folder; choose a new folder"):
        write_set(written, 1, figures=SMALL)

    def killed(jobs: Any, total: int) -> Any:
        yield next(iter(jobs))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_set(tmp_path / "new", 1, figures=SMALL, progress=killed)
    assert not (tmp_path / "new").exists(), "what is not whole is not there"
    (tmp_path / "new").mkdir()
    write_set(tmp_path / "new", 1, figures=SMALL, actions=("wave",))
    assert (tmp_path / "new" / "wave" / "000.mp4").exists()


def test_invalid_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown action 'fly'; there are bend, clap, jump"):
        SMALL.video("fly")
    with pytest.raises(ValueError, match="clips is 0, expected at least 1 of each action"):
        write_set(tmp_path / "x", 0)
    with pytest.raises(ValueError, match="actions are fly; there are bend, clap"):
        write_set(tmp_path / "x", 1, actions=("fly",))
