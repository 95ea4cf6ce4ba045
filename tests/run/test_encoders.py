"""The encoder of a linear model is chosen by cross-validation, if two are installed and the clips
are large enough.
"""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from commands import call
from packaged_weights import put_lite0

import onlooker
from onlooker.base.config import DataConfig, ModelConfig, TrainConfig
from onlooker.base.records import Clip
from onlooker.run import encoders
from onlooker.run.record import RunRecord
from onlooker.run.train import train_run
from onlooker.training.linear import Choice, Clips, clearly_better, cross_validated
from onlooker.training.regression import Method


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_lite0(tmp_path / "packages", monkeypatch)
    for module in (encoders, onlooker.models.registry):
        monkeypatch.setattr(module, "LITE0_SIZE", 32)
    monkeypatch.setattr(encoders, "_LEAST_SIDE", 16)


@pytest.fixture
def preferred(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Whether lite0 is clearly better."""
    answer = {"lite0": True}
    monkeypatch.setattr(encoders, "clearly_better", lambda *_: answer["lite0"])
    return answer


@pytest.fixture
def clips(squares: Path, tmp_path: Path) -> Path:
    for label in ("left", "right"):
        shutil.copytree(squares / label, tmp_path / "clips" / label)
    return tmp_path / "clips"


def trained(clips: Path, run: Path, **settings: Any) -> tuple[RunRecord, Mapping[str, Any]]:
    onlooker.train(clips, run, frames=4, size=32, quiet=True, **settings)
    return read(run)


def read(run: Path) -> tuple[RunRecord, Mapping[str, Any]]:
    return RunRecord.read(run), json.loads(
        (run / "cross_validation.json").read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("better", ["small", "lite0"])
def test_the_better_one_of_a_comparison_of_some_clips_is_trained(
    better: str,
    package: None,
    preferred: dict[str, bool],
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoders, "_COMPARED", 8)
    preferred["lite0"] = better == "lite0"
    output = call("train", clips, "--run", tmp_path / "run", "--frames", 4, "--size", 32).output
    assert ("Apache-2.0" in output) == (better == "lite0")
    record, chosen = read(tmp_path / "run")
    assert (record.settings.model.encoder, record.settings.model.pretrained) == (better, True)
    assert record.settings.data.normalization == {"small": "imagenet", "lite0": "lite0"}[better]
    other = {"small": "lite0", "lite0": "small"}[better]
    assert chosen["chosen"].startswith(f"encoder {better} (log loss ")
    assert f"not {other} (log loss " in chosen["chosen"]
    assert "by cross-validation of 8 clips; statistics: " in chosen["chosen"]
    assert chosen["chosen"].count(" s a clip)") == 2
    prediction = onlooker.load(tmp_path / "run").predict(clips / "left" / "00.mp4")
    assert prediction.label in record.classes


def test_small_clips_given_encoders_and_other_models_are_not_compared(
    package: None, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, chosen = trained(clips, tmp_path / "given", encoder="conv4")
    assert given.settings.model.encoder == "conv4"
    assert chosen["chosen"].startswith("statistics: ")
    monkeypatch.setattr(encoders, "_LEAST_SIDE", 1000)
    record, chosen = trained(clips, tmp_path / "run")
    assert record.settings.model.encoder == "small"
    assert chosen["chosen"].startswith("statistics: ")


@pytest.mark.parametrize(
    "ended", ["onlooker.run.encoders._better", "onlooker.run.train.fit_run"]
)
def test_a_run_that_ended_before_its_model_was_tested_chooses_again(
    ended: str,
    package: None,
    preferred: dict[str, bool],
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    settings = (ModelConfig(encoder="auto"), DataConfig(frames=4, size=32), TrainConfig())
    with monkeypatch.context() as patched:
        patched.setattr(ended, Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train_run(clips, run, *settings, quiet=True)
    assert RunRecord.read(run).settings.model.encoder == "auto"
    train_run(clips, run, *settings, resume=True, quiet=True)
    assert RunRecord.read(run).settings.model.encoder == "lite0"


def test_clips_that_are_compared_are_of_all_classes_or_of_some_with_several_clips() -> None:
    few = [Clip(Path(str(i)), "rare" if i < 5 else "usual") for i in range(2005)]
    labels = [clip.label for clip in encoders.compared(few)]
    assert (labels.count("rare"), labels.count("usual")) == (5, 50)
    many = [Clip(Path(str(i)), str(i % 400)) for i in range(4000)]
    counts = Counter(clip.label for clip in encoders.compared(many))
    assert {*counts.values()} == {5}
    assert len(counts) == 20


def test_events_are_not_crowded_out_of_streams_by_clips_of_nothing() -> None:
    chosen = encoders._of_streams(np.array([0] * 1000 + [1] * 40), 0)
    assert {*range(1000, 1040)} < {*chosen}
    assert len({*chosen}) == len(chosen) == 90


def test_the_encoder_is_chosen_again_for_each_fold() -> None:
    random = np.random.default_rng(0)
    y = np.arange(30) % 2
    noise = random.normal(size=(30, 2))
    signal = noise + 5 * y[:, None]
    weak, strong = (
        Clips(np.tile(x, 16), y, np.arange(30).astype(str), 2) for x in (noise, signal)
    )
    assert np.mean(cross_validated(weak)[0].argmax(1) == y) < 0.8
    assert (cross_validated(weak, rival=strong)[0].argmax(1) == y).all()
    assert (cross_validated(strong, rival=weak)[0].argmax(1) == y).all()
    # equal ones: the other one has to be clearly better
    shifted = weak._replace(x=weak.x + 1)
    for rival_first, expected in ((False, weak), (True, shifted)):
        scores = cross_validated(weak, rival=shifted, rival_first=rival_first)[0]
        np.testing.assert_array_equal(scores, cross_validated(expected)[0])


def test_without_the_package_large_clips_are_noted(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "installed_weights", lambda: None)
    for side, noted in ((16, True), (1000, False)):
        monkeypatch.setattr(encoders, "_LEAST_SIDE", side)
        chosen = trained(clips, tmp_path / str(side), encoder="small")[1]
        assert chosen.get("imagenet", False) == noted


def test_a_difference_that_may_be_chance_does_not_count() -> None:
    y = np.arange(40) % 2
    groups = np.repeat(np.arange(5), 8).astype(str)
    clips = Clips(np.zeros((40, 16)), y, groups, 2)

    def choice(right: np.ndarray) -> Choice:
        scores = np.where(np.arange(2) == y[:, None], right[:, None], 1 - right[:, None])
        return Choice(("mean",), Method("logistic", 1.0), scores, 1.0)

    usual = choice(np.full(40, 0.6))
    assert clearly_better(choice(np.full(40, 0.7)), usual, clips)
    assert not clearly_better(usual, choice(np.full(40, 0.7)), clips)
    assert not clearly_better(usual, usual, clips)
    mixed = choice(np.select([groups == "0", groups == "1"], [0.99, 0.5], 0.6))
    assert not clearly_better(mixed, usual, clips), (
        "the clips of one recording are one observation"
    )
    assert clearly_better(mixed, usual, clips._replace(groups=np.arange(40).astype(str)))
