"""The default command on real clips: the same figures as the command, honest splits, tables and
figures.
"""

from pathlib import Path

import numpy as np
import pytest
from moving_squares import make_set

from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.base.files import read_json
from onlooker.models.linear import LinearClassifier
from onlooker.run.train import train_run
from onlooker.training.linear import Clips
from onlooker_papers.real_clips import few_shot, frozen, own_clips, tables

WAYS = 5  # classes of an episode


@pytest.fixture
def squares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set of 24 clips as `$ONLOOKER_DATA/clips/basketball`, encoded by random filters."""
    monkeypatch.setenv("ONLOOKER_DATA", str(tmp_path))
    monkeypatch.setattr(frozen, "DATA", DataConfig(frames=4, size=32))
    monkeypatch.setattr(frozen, "MODEL", ModelConfig("linear", "conv4"))
    encode = frozen.encode
    for module in (own_clips, few_shot):
        monkeypatch.setattr(
            module, "encode", lambda name, run, *_, **__: encode(name, run, pretrained=False)
        )
    return make_set(tmp_path / "clips" / "basketball")


def test_it_is_what_the_command_trains_and_its_rows_fill_the_tables(
    squares: Path, tmp_path: Path
) -> None:
    figures = own_clips.measure("basketball", tmp_path / "run", tmp_path / "results")
    split = frozen.splits_of("basketball")["split"]
    trained = train_run(
        squares,
        tmp_path / "trained",
        Settings(frozen.MODEL, frozen.DATA, TrainConfig()),
        split=split,
        quiet=True,
    )
    assert figures["on_split"] == figures["linear"] == trained["accuracy"]
    command = train_run(
        squares,
        tmp_path / "command",
        Settings(frozen.MODEL, frozen.DATA, TrainConfig()),
        quiet=True,
    )
    assert command["cross_validated"]
    assert figures["default"] == figures["printed"]["accuracy"] == command["accuracy"]
    assert figures["printed"]["accuracy_interval"] == command["accuracy_interval"]
    assert (figures["interval"], figures["recordings"]) == (
        trained["accuracy_interval"],
        trained["recordings"],
    )
    assert figures["above_linear"][0] == 0
    with_encoders = own_clips.measure(
        "basketball", tmp_path / "run", tmp_path / "results", encoders=True
    )
    assert with_encoders.items() >= figures.items()
    assert with_encoders["lite0"] == with_encoders["auto"] == figures["on_split"], (
        "all are encoded by the same filters"
    )
    assert (with_encoders["above_default"][0], with_encoders["encoders"]) == (0, {"split": "small"})
    assert (figures["best_row"], figures["test_clips"]) == ("default", len(split.test))
    stored = {
        name: read_json(tmp_path / "results" / f"{name}.json")["figures"]
        for name in ("own-clips", "calibration")
    }
    of = stored["calibration"]["basketball"]
    assert of["clips"] == 24
    assert 0 <= of["perfect"] <= of["perfect_95"]
    assert (
        "| basketball | "
        in tables.own_clips(stored).markdown() + tables.calibration(stored).markdown()
    )
    assert "all, cross-validated" in tables.own_clips(stored).markdown()
    assert "| basketball | " in tables.encoders(stored).markdown()


def test_calibration_of_shuffled_labels_is_that_of_chance() -> None:
    random = np.random.default_rng(0)
    clips = directions()._replace(y=random.integers(0, 7, 112))
    encoded = frozen.Encoded(clips, tuple(map(str, range(112))), (), "")
    measured = own_clips._calibration(encoded, None)  # type: ignore[arg-type]
    assert measured["accuracy"] < 0.3
    assert measured["error"] < measured["perfect_95"] + 0.05


def test_the_best_is_a_row_on_the_same_clips(tmp_path: Path) -> None:
    (tmp_path / "real-clips.json").write_text(
        '{"figures": {"hand_gestures": {"accuracy": {"tcn": 0.7}}, "basketball": {"accuracy": {"tcn": 0.9}}, '
        '"hand_gestures_ablation": {"accuracy": {"lstm": 0.5}}}}'
    )
    assert own_clips.others("hand_gestures", tmp_path) == {
        "tcn": 0.7,
        "lstm (hand_gestures_ablation)": 0.5,
    }
    assert own_clips.others("jhmdb", tmp_path) == {}


def directions(classes: int = 7, clips: int = 16, D: int = 8) -> Clips:
    """Clips of which each class is a direction, in recordings of two."""
    y = np.repeat(np.arange(classes), clips)
    x = np.eye(D)[y] + np.random.default_rng(0).normal(0, 0.1, (len(y), D))
    x = np.tile(x, len(LinearClassifier.names))
    return Clips(x, y, np.array([f"{i // 2}" for i in range(len(y))]), classes)


def test_an_episode_keeps_recordings_apart() -> None:
    clips = directions()
    support, query = few_shot.episode(clips, WAYS, 5, random=np.random.default_rng(1))
    assert not set(clips.groups[support]) & set(clips.groups[query])
    assert [*clips.y[support][::5]] == [*clips.y[query][::5]]
    assert len(set(clips.y[support])) == WAYS
    again, _ = few_shot.episode(clips, WAYS, 5, random=np.random.default_rng(1))
    assert [*again] == [*support]
    with pytest.raises(
        ValueError, match=r"class . has 16 clips, too few of other recordings than 11 random ones"
    ):
        few_shot.episode(clips, WAYS, 11, random=np.random.default_rng(0))


def test_the_head_tells_directions_and_not_noise() -> None:
    clips = directions()
    assert few_shot.episodes(clips, WAYS, 1, count=5)[0] > 0.6
    noise = np.random.default_rng(2).normal(size=clips.x.shape)
    mean, low, high = few_shot.episodes(clips._replace(x=noise), WAYS, 1, count=20)
    assert low < mean < high < 0.5
