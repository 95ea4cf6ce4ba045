"""A way to fit models that another package adds: one class, registered beside a recipe that names it."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import call, fails

import onlooker
from onlooker.base.config import DataConfig, FitConfig, ModelConfig, Settings, TrainConfig
from onlooker.base.settings import setting
from onlooker.data.clips import ClipFrames
from onlooker.data.split import Split, group_of
from onlooker.models import registry
from onlooker.models.encoders import load_packages
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import Recipe, register_model
from onlooker.run.compare import settings_of
from onlooker.run.record import RunRecord
from onlooker.training import fitters
from onlooker.training.fitter import FitContext, Fitted, Fitter
from onlooker.training.fitters import complete, joined_settings, read_settings, register_fitter
from onlooker.training.linear import statistics_of

NAME = "nearest_mean"


@dataclass(frozen=True)
class MeanConfig(FitConfig):
    sharpness: float = setting(10.0, "Factor of the distances from the means.", above=0)
    epochs: int = setting(5, "As another fitter has, with another default.", maximum=10)


class NearestMean(Fitter):
    """Logits are the distances from the mean statistics of each class."""

    settings = MeanConfig

    def fit(self, samples: ClipFrames, split: Split, context: FitContext) -> Fitted:
        model = context.model
        assert isinstance(model, LinearClassifier)
        assert isinstance(context.settings.training, MeanConfig)
        clips = samples.subset(split.training)
        groups = [group_of(clip) for clip in clips.clips]
        statistics, _ = statistics_of(model, clips, groups, data=context.settings.data)
        x, y, *_ = statistics
        center = x.mean(0)
        scale = x.std(0) + 1e-6
        means = np.stack(
            [((x[y == k] - center) / scale).mean(0) for k in range(model.num_classes)]
        )
        factor = context.settings.training.sharpness / x.shape[1]
        with torch.no_grad():
            model.head.center.copy_(torch.from_numpy(center))
            model.head.scale.copy_(torch.from_numpy(scale))
            model.head.weight.copy_(torch.from_numpy(2 * factor * means))
            model.head.bias.copy_(torch.from_numpy(-factor * np.square(means).sum(1)))
        return Fitted(model, context.decision, context.settings)


@dataclass(frozen=True)
class WideConfig(FitConfig):
    hidden: int = setting(3, "As models have.")


class Wide(NearestMean):
    settings = WideConfig


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    load_packages()  # once in a process: what they register stays after this test
    monkeypatch.setattr(registry, "_registered", {**registry._registered})
    monkeypatch.setattr(fitters, "FITTERS", {**fitters.FITTERS})
    register_fitter(NAME, NearestMean())
    register_model(
        NAME, Recipe("the nearest mean", model=LinearClassifier, loss="last", fitter=NAME)
    )


def test_a_fitter_of_another_package_trains_predicts_and_watches(
    squares: Path, tmp_path: Path
) -> None:
    run = onlooker.train(
        squares, tmp_path / "run", model=NAME, frames=4, size=32, sharpness=20.0, quiet=True
    )
    assert run.figures is not None
    assert run.figures.accuracy >= 0.5, "of four directions"
    assert RunRecord.read(run.path).settings.training == MeanConfig(sharpness=20.0)
    recognizer = onlooker.load(run.path)
    clip = next((squares / "left").iterdir())
    assert recognizer.predict(clip).label in recognizer.classes
    assert len([*recognizer.watch(clip)]) > 1


def test_its_settings_are_options_of_the_command_line(squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train", squares, "--run", run, "--model", NAME, "--size", 32, "--sharpness=20"]
    call(*words, "--epochs", 7, "--frames", 4)
    assert RunRecord.read(run).settings.training == MeanConfig(sharpness=20.0, epochs=7)
    assert "sharpness is 3.0, the run has 20.0" in fails(
        "train", squares, "--run", run, "--resume", "--sharpness", 3
    )
    assert "lr has no effect in nearest_mean; leave it out" in fails(
        *words, "--resume", "--lr", 1
    )
    text = call("train", "--help-all").output
    panel = re.search(rf"─ Fitter {NAME} ─.*?╰", text, re.DOTALL)
    assert panel is not None
    assert "Factor of the distances" in panel[0]
    assert "--epochs" not in panel[0], "it is shown once, where gradient descent has it"
    assert "--sharpness" not in call("train", "--help").output
    assert "--sharpness" in call("compare", "--help-all").output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "--sharpness", 3), "sharpness has no effect in linear; leave it out"),
        (
            ("train", "--model", "lstm", "--sharpness", 3),
            "sharpness has no effect in lstm; leave",
        ),
        (
            ("train", "--model", NAME, "--lr", 1),
            "lr has no effect in nearest_mean; leave it out",
        ),
        (
            ("train", "--model", NAME, "--sharpness", 0),
            "sharpness is 0.0, expected above 0. Fact",
        ),
        (
            ("train", "--model", NAME, "--epochs", 11),
            "epochs is 11, expected at most 10. As ano",
        ),
        (
            ("compare", "--models", "lstm", "--sharpness", 3),
            "sharpness has no effect in lstm; le",
        ),
    ],
)
def test_options_without_effect_are_refused(
    words: tuple[object, ...], message: str, squares: Path, tmp_path: Path
) -> None:
    command, *options = words
    run = ["--run", tmp_path / "run"]
    assert message in fails(command, squares, *run, *options)


def test_its_settings_are_its_options_and_others_are_refused(squares: Path) -> None:
    with pytest.raises(ValueError, match="lr has no effect in nearest_mean; leave it out"):
        onlooker.train(squares, model=NAME, lr=0.1)
    with pytest.raises(
        TypeError, match=r"train has no setting sharpnes; did you mean sharpness"
    ):
        onlooker.train(squares, model=NAME, sharpnes=0.1)
    asked = Settings(ModelConfig(NAME), training=MeanConfig(sharpness=3.0))
    assert complete(asked, {"sharpness"}).training == MeanConfig(sharpness=3.0)
    with pytest.raises(ValueError, match="hflip has no effect in nearest_mean; leave it out"):
        complete(asked, {"hflip"})


def test_a_fitter_has_one_name(squares: Path) -> None:
    register_fitter(NAME, NearestMean())  # as when a package is loaded twice
    with pytest.raises(
        ValueError, match="a fitter 'linear' is registered already; choose another"
    ):
        register_fitter("linear", NearestMean())
    with pytest.raises(
        ValueError, match="hidden of the fitter 'wide' is a setting of the model or"
    ):
        register_fitter("wide", Wide())
    register_model("unfitted", Recipe("by nothing", fitter="nearest_meen"))
    with pytest.raises(
        ValueError, match="unknown fitter 'nearest_meen'; did you mean nearest_mean"
    ):
        onlooker.train(squares, model="unfitted")


def test_settings_of_another_fitter_are_not_those_of_this_one() -> None:
    asked = Settings(ModelConfig(NAME), training=TrainConfig(seed=3, epochs=20))
    assert complete(asked, {"seed"}).training == MeanConfig(seed=3)
    assert settings_of(NAME, asked)[NAME].training == MeanConfig(seed=3)
    given = Settings(ModelConfig(NAME), training=TrainConfig(epochs=7))
    assert complete(given, {"epochs"}).training == MeanConfig(epochs=7)
    joined = Settings(training=joined_settings()(sharpness=2.0, lr=0.5, optimizer="rmsprop"))
    asked = settings_of(f"{NAME},lstm,linear", joined, {"sharpness", "lr", "optimizer"})
    assert [settings.training for settings in asked.values()] == [
        MeanConfig(sharpness=2.0),
        TrainConfig(lr=0.5, optimizer="rmsprop", loss="every"),
        FitConfig(),
    ]
    with pytest.raises(ValueError, match="weight_decay has no effect with optimizer rmsprop"):
        settings_of("lstm", joined, {"optimizer", "weight_decay"})


def test_models_of_a_comparison_have_one_encoder_and_the_size_that_was_asked_for() -> None:
    auto = settings_of("linear,lstm", Settings(ModelConfig(encoder="auto")))
    assert {settings.model.encoder for settings in auto.values()} == {"small"}
    shared = Settings(ModelConfig(encoder="lite0"), DataConfig(size=160))
    assert settings_of("lstm", shared)["lstm"].data.size == 160
    assert settings_of("lstm", shared, {"size"})["lstm"].data.size == 160
    assert settings_of("lstm", shared, {"encoder"})["lstm"].data.size == 224
    bf16 = settings_of("linear,lstm", Settings(training=TrainConfig(precision="bf16")))
    assert [of.training.precision for of in bf16.values()] == ["auto", "bf16"]


def test_a_run_of_a_recipe_that_is_not_known_here_can_be_read() -> None:
    settings = complete(Settings(ModelConfig("lstm"), training=TrainConfig(seed=4)))
    stored = settings.to_dict()
    assert read_settings(stored) == settings
    stored["model"]["name"] = "of_a_program"
    assert read_settings(stored).training == FitConfig(seed=4)
