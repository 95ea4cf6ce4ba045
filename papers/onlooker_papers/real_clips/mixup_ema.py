"""Mixup and averaged weights for a model that is trained by gradient descent, on stored features of few clips.

`python -m onlooker_papers.real_clips.mixup_ema` with `ONLOOKER_DATA`: `convalstm` on the frozen encoder `small`, plain,
with mixup, with averaged weights, and with both; three seeds. On Weizmann, each seed uses another one of three folds;
on J-HMDB, all use the first official split. The setting with the lowest log loss on validation clips is chosen; only
this one, the plain one and `linear` are tested. It takes about half an hour of one CPU core. Learning rate and epochs
were chosen for the plain setting on validation clips of a fold of Weizmann.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.clips import ClipFrames
from onlooker.data.split import Split
from onlooker.evaluation.metrics import measure
from onlooker.models.registry import configured, resolve
from onlooker.models.video_model import VideoModel
from onlooker.recognizer import Recognizer, load
from onlooker.runs.cross_validation import fit_linear
from onlooker.runs.features import StoreSettings, make_features, open_stores, stored_clips
from onlooker.runs.memo import fingerprint, memo
from onlooker.training.fit import fit
from onlooker_papers.memo import memo_of_training
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.results import About, Row, write_rows
from onlooker_papers.videolstm.control import gain

FILE = "mixup-ema"
COMMAND = "python -m onlooker_papers.real_clips.mixup_ema"
WHAT = "mixup and averaged weights in training convalstm on stored features: validation, and test of what it chose"
SEEDS = (0, 1, 2)
DATA = DataConfig(frames=8, size=112, translate=0.0, scale=0.0)
TRAINING = TrainConfig(lr=3e-3)
MODEL, LINEAR = ModelConfig("convalstm", "small", hidden=32), ModelConfig("linear", "small")
PLAIN = "plain"
# Mixup: alpha of Zhang et al. on ImageNet; averaged weights: a common decay.
SETTINGS: dict[str, dict[str, Any]] = {
    PLAIN: {}, "mixup": {"mixup": 0.2}, "ema": {"ema": 0.999}, "both": {"mixup": 0.2, "ema": 0.999}
}  # fmt: skip
_SIDES = ("training", "validation", "test")


@dataclass(frozen=True)
class Budget:
    """The number of splits of a set, which the seeds use in turn, and the epochs of a training."""

    splits: int
    epochs: int


BUDGETS = {"weizmann": Budget(3, 60), "jhmdb": Budget(1, 10)}


@dataclass(frozen=True)
class OneSplit:
    """The stored features of a split.

    Args:
        run: the folder of the set, with the features.
        name: name of the split.
        split: which clips are used for what.
    """

    run: Path
    name: str
    split: Split

    @property
    def classes(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted({clip.label for clip in self.split.clips}))

    @property
    def data(self) -> DataConfig:
        """How the stored clips are sampled."""
        return open_stores([self.run / "features"])[0].settings.data

    @cached_property
    def samples(self) -> dict[str, ClipFrames]:
        """Stored features of training, validation and test clips."""
        make_features([clip.path for clip in self.split.clips], self.run / "features", StoreSettings("small", DATA))
        stores, net = open_stores([self.run / "features"]), self.build(MODEL)
        every, _ = stored_clips(self.split.clips, self.classes, stores, net, self.data, strict=True, quiet=True)
        return {side: every.only(getattr(self.split, side)) for side in _SIDES}

    def build(self, model: ModelConfig, seed: int = 0) -> VideoModel:
        """A model with the frozen encoder of the features."""
        torch.manual_seed(seed)
        model, data, _ = resolve(model, DATA, TrainConfig())
        return configured(model, data, len(self.classes))

    def settings(self, model: ModelConfig) -> dict[str, Any]:
        """The settings on which all figures of a model depend."""
        sides = {side: len(getattr(self.split, side)) for side in _SIDES}
        store = open_stores([self.run / "features"])[0].settings.to_dict()
        return {"model": model.to_dict(), "split": self.name, "clips": sides, "features": store}

    def linear(self) -> dict[str, Any]:
        """Validation and test figures of `linear`, fitted to the training clips."""
        samples = self.samples

        def compute() -> dict[str, Any]:
            net = self.build(LINEAR)
            _, choice = fit_linear(net, samples["training"], self.data)
            recognizer = Recognizer(net, self.classes, self.data, "last", temperature=choice.temperature)
            return {side: _figures(recognizer, samples[side]) for side in _SIDES[1:]}

        return memo(self.run / f"linear-{self.name}.json", self.settings(LINEAR), compute)


@dataclass(frozen=True)
class Trial:
    """One training of `convalstm`."""

    of: OneSplit
    setting: str
    seed: int
    epochs: int

    @property
    def folder(self) -> Path:
        """The folder of the training; its figures are next to it."""
        return self.of.run / f"seed{self.seed}" / f"{self.of.name}-{self.setting}"

    @property
    def training(self) -> TrainConfig:
        """The training settings, with the compared one."""
        return replace(TRAINING, epochs=self.epochs, seed=self.seed, **SETTINGS[self.setting])

    def settings(self) -> dict[str, Any]:
        """The settings on which its figures depend."""
        return {**self.of.settings(MODEL), "training": self.training.to_dict()}

    def validation(self) -> dict[str, Any]:
        """Figures of the validation clips with the kept weights."""
        samples = self.of.samples

        def compute() -> dict[str, Any]:
            began, net = time.process_time(), self.of.build(MODEL, self.seed)
            sides = samples["training"], samples["validation"]
            curves = fit(net, *sides, self.of.data, self.training, self.folder, title=None)
            recognizer = Recognizer(net, self.of.classes, self.of.data)
            recognizer.save(self.folder / "model")
            losses = curves["validation"]["loss"]
            minutes = (time.process_time() - began) / 60
            found = {"epoch": losses.index(min(losses)) + 1, "minutes": minutes}
            return _figures(recognizer, samples["validation"]) | found

        return memo_of_training(self.folder, self.settings(), compute)

    def test(self) -> dict[str, Any]:
        """Figures of the test clips with the same weights."""

        def compute() -> dict[str, Any]:
            return _figures(load(self.folder, device="cpu"), self.of.samples["test"])

        settings = self.settings() | {"weights": fingerprint(self.folder)}
        return memo(self.folder.with_name(f"{self.folder.name}-test.json"), settings, compute)


def _figures(recognizer: Recognizer, clips: ClipFrames) -> dict[str, Any]:
    found = measure(recognizer.evaluate(clips))
    return {"accuracy": found["accuracy"], "loss": found["log_loss"], "clips": len(clips)}


def summary(seeds: Sequence[Mapping[str, Any]], plain: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds, each seed, and the difference from plain with its 95 % interval."""
    found: dict[str, Any] = {}
    for key in ("accuracy", "loss"):
        each, others = ([of[key] for of in side] for side in (seeds, plain))
        found |= {key: mean(each), f"each_{key}": each, f"{key}_above_plain": gain(each, others)}
    return found


def reproduce(name: str, run: Path, results: Path, seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """Compute the missing trainings on one set, and write its row of `mixup-ema.json`.

    Raises:
        ValueError: ONLOOKER_DATA is not set, or a run made with other settings.
        ClipError: there are no such clips, or a clip cannot be read.
    """
    budget = BUDGETS[name]
    splits = [OneSplit(run / name, label, split) for label, split in [*splits_of(name).items()][: budget.splits]]
    linear = [of.linear() for of in splits]
    trials = {
        setting: [Trial(splits[i % len(splits)], setting, seed, budget.epochs) for i, seed in enumerate(seeds)]
        for setting in SETTINGS
    }
    cells = {setting: [trial.validation() for trial in every] for setting, every in trials.items()}
    found = {setting: summary(every, cells[PLAIN]) for setting, every in cells.items()}
    chosen = min(found, key=lambda setting: found[setting]["loss"])
    tested = {setting: [trial.test() for trial in trials[setting]] for setting in dict.fromkeys((PLAIN, chosen))}
    figures = {
        "validation": found,
        "chosen": chosen,
        "test": {setting: summary(every, tested[PLAIN]) for setting, every in tested.items()},
        "linear": {
            side: {key: mean(of[side][key] for of in linear) for key in ("accuracy", "loss")} for side in _SIDES[1:]
        },
        "clips": {side: sum(len(getattr(of.split, side)) for of in splits) for side in _SIDES},
        "epochs": budget.epochs,
        "minutes": sum(cell["minutes"] for every in cells.values() for cell in every),
    }
    memos = [trial.folder.with_suffix(".json") for every in trials.values() for trial in every]
    write_rows(results, FILE, About(WHAT, COMMAND, seeds), {(name,): Row.of(figures, *memos)})
    return figures


def main() -> None:
    """Measure both sets."""
    run, results = Path("runs/real-clips/mixup-ema"), Path("results")
    for name in BUDGETS:
        figures = reproduce(name, run, results)
        for setting, of in figures["validation"].items():
            print(f"{name} {setting}: {of['accuracy']:.1%} of validation clips, log loss {of['loss']:.3f}")
        print(f"{name}: {figures['chosen']} by validation, {figures['minutes']:.0f} minutes")


if __name__ == "__main__":
    main()
