"""A way to fit models that another package adds: one class, registered beside a recipe that names it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import onlooker
from onlooker.base.config import FitConfig, ModelConfig, Settings
from onlooker.base.settings import setting
from onlooker.data.clips import ClipFrames
from onlooker.data.split import Split, group_of
from onlooker.models import registry
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import Recipe, register_model
from onlooker.run.record import RunRecord
from onlooker.training import fitters
from onlooker.training.fitter import FitContext, Fitted, Fitter
from onlooker.training.fitters import complete, register_fitter
from onlooker.training.linear import statistics_of

NAME = "nearest_mean"


@dataclass(frozen=True)
class MeanConfig(FitConfig):
    sharpness: float = setting(10.0, "Factor of the distances from the means.", above=0)


class NearestMean(Fitter):
    """Logits are the distances from the mean statistics of each class."""

    settings = MeanConfig

    def fit(self, samples: ClipFrames, split: Split, context: FitContext) -> Fitted:
        model = context.model
        assert isinstance(model, LinearClassifier)
        assert isinstance(context.settings.training, MeanConfig)
        clips = samples.subset(split.training)
        groups = [group_of(clip) for clip in clips.clips]
        x, y, *_ = statistics_of(model, clips, groups, data=context.settings.data).clips
        center = x.mean(0)
        scale = x.std(0) + 1e-6
        means = np.stack(
            [((x[y == k] - center) / scale).mean(0) for k in range(model.num_classes)]
        )
        factor = context.settings.training.sharpness / x.shape[1]
        with torch.no_grad():
            model.center.copy_(torch.from_numpy(center))
            model.scale.copy_(torch.from_numpy(scale))
            model.head.weight.copy_(torch.from_numpy(2 * factor * means))
            model.head.bias.copy_(torch.from_numpy(-factor * np.square(means).sum(1)))
        return Fitted(model, context.decision, context.settings)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
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


def test_its_settings_are_its_options_and_others_are_refused(squares: Path) -> None:
    with pytest.raises(TypeError, match=r"train has no setting lr; .*sharpness"):
        onlooker.train(squares, model=NAME, lr=0.1)
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
    register_model("unfitted", Recipe("by nothing", fitter="nearest_meen"))
    with pytest.raises(
        ValueError, match="unknown fitter 'nearest_meen'; did you mean nearest_mean"
    ):
        onlooker.train(squares, model="unfitted")
