"""Where the default command looks, and whether it depends on it: figures of generated clips."""

from pathlib import Path

import numpy as np
import pytest
import torch
from moving_squares import make_set

import onlooker
from onlooker.base.records import Clip, Tube
from onlooker.data.split import Split
from onlooker.models.linear import LinearClassifier
from onlooker.recognizer import Recognizer, load
from onlooker_papers.real_clips import where_own
from onlooker_papers.real_clips.faithfulness import (
    all_frames,
    blurred_like,
    class_activation,
    maps_of,
    marked,
    mean_figures,
    of_training,
    probabilities,
    probabilities_of_all_frames,
)
from onlooker_papers.real_clips.where_own import Places, box_of_thing, by_numbers, measured


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recognizer, Path]:
    folder = tmp_path_factory.mktemp("maps")
    clips = make_set(folder / "clips", clips=6, frames=6)
    run = folder / "run"
    onlooker.train(clips, run=run, frames=6, size=64, encoder="conv4", eyes="pictures", quiet=True)
    return load(folder / "run", "cpu"), clips / "up" / "00.mp4"


def test_figures_of_a_clip_and_of_a_stream(trained: tuple[Recognizer, Path]) -> None:
    recognizer, path = trained
    height, width = recognizer.read(path).size
    whole = Tube("up", np.arange(6), np.tile(np.float32([0, 0, width, height]), (6, 1)))
    found = measured(recognizer, Clip(path, "up"), [whole])
    names = ("peak_in_box", "center_in_box", "shown", "iou", "iou_30", "iou_50")
    assert set(found) == {*names, *(f"{name}_live" for name in names)}
    assert found["shown"].all()
    assert found["center_in_box"].all()
    assert found["shown_live"].tolist() == [0, 1, 1, 1, 1, 1], "one frame does not move"


def test_figures_of_flying_things(
    trained: tuple[Recognizer, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the numbers of each class are tested; frames in which nothing is in view do not count."""
    recognizer, made = trained
    folder = tmp_path / "flying" / "V"
    for label in ("down", "up"):
        for number in range(10):
            (folder / label).mkdir(parents=True, exist_ok=True)
            clip = folder / label / f"V_{label.upper()}_{number:03}.mp4"
            clip.symlink_to(made.parents[1] / label / f"{number % 6:02}.mp4")
            boxes = tmp_path / "flying" / "boxes" / f"{clip.stem}.csv"
            boxes.parent.mkdir(exist_ok=True)
            boxes.write_text("frame,x,y,w,h\n0,,,,\n1,0,0,999,999\n2,0,0,999,999\n")
    split = by_numbers(folder)
    sizes = (len(split.training), len(split.validation), len(split.test))
    assert sizes == (8, 2, 10)
    assert min(clip.path.stem[-3:] for clip in split.test) == "005"
    (tube,) = box_of_thing(split.test[0])
    assert tube.frames.tolist() == [1, 2]
    assert tube.boxes.tolist() == [[0, 0, 999, 999]] * 2
    monkeypatch.setattr(where_own, "fitted", lambda *_, **__: recognizer)
    places = Places(folder, {"numbers": split}, box_of_thing, ("pictures",))
    found = where_own.figures_of(places, tmp_path / "run", "flying")
    assert (found["clips"], found["frames"]) == (10, 20)
    assert found["center_in_box"] == 1
    assert 0 < found["iou"] < 1
    assert set(found["accuracy"]) == {"default", "pictures"}


def test_probabilities_after_blurring(trained: tuple[Recognizer, Path]) -> None:
    recognizer, path = trained
    pixels, maps = maps_of(recognizer, path, np.random.default_rng(0))
    assert set(maps) == {"map", "attention", "cam", "motion", "random"}
    found = probabilities(recognizer, pixels, {"random": maps["random"]})
    assert 0 <= found["random"]["deletion"] <= 1
    assert found["whole"] == pytest.approx(recognizer.predict(path).score, abs=1e-4)


def test_probabilities_after_blurring_all_frames(trained: tuple[Recognizer, Path]) -> None:
    recognizer, path = trained
    found = probabilities_of_all_frames(recognizer, path, np.random.default_rng(0))
    assert found["whole"] == pytest.approx(recognizer.predict(path).score, abs=1e-4)
    figures = mean_figures([found, found])
    names = {"map", "motion", "blocks", "blocks_and_map", "evidence", "random"}
    assert figures["clips"] == 2
    for kind in ("deletion", "insertion"):
        assert set(figures[kind]) == names
        assert all(0 <= share <= 1 for share in figures[kind].values())
    frames, _ = all_frames(path)
    blurred = blurred_like(frames, 64)
    assert blurred.shape == frames.shape
    assert blurred.std() < 0.5 * frames.std()


def test_clips_that_choose_the_map_are_training_clips_of_other_recordings() -> None:
    clips = [Clip(Path(f"{i}.mp4"), "ab"[i % 2], f"{i // 4}") for i in range(120)]
    split = of_training(Split(tuple(clips[:80]), tuple(clips[80:100]), tuple(clips[100:])))
    assert split.test
    assert not {*split.clips} & {*clips[100:]}
    fitted = {clip.recording for clip in (*split.training, *split.validation)}
    assert not fitted & {clip.recording for clip in split.test}


def test_a_tenth_of_the_places_is_marked() -> None:
    maps = np.zeros((2, 4, 4), np.float32)
    maps[:, 0, 0] = 1
    found = marked(maps, (20, 20))
    assert found.mean() == pytest.approx(0.1)
    assert found[0, 0, 0]
    assert not found[:, 10:, 10:].any()


@torch.no_grad()
def test_class_activation_adds_up_to_what_a_location_adds_to_the_class(
    trained: tuple[Recognizer, Path],
) -> None:
    recognizer, path = trained
    net = recognizer.model
    assert isinstance(net, LinearClassifier)
    pixels = recognizer.read(path).pixels
    found = class_activation(net, pixels, recognizer.data)
    assert found.shape == (6, *net.grid)
    assert (found >= 0).all()
    assert found.any()
