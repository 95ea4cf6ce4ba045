"""3-D convolutions compared with a ConvLSTM, by the number of training clips: an argument of VideoLSTM's slides.

`python -m onlooker_papers.videolstm.c3d_curve`: the library's `c3d` (after Tran et al. 2015) and its `convlstm` over
`conv4`, with nearly the same number of parameters, from random weights, on stick figures in pairs of actions that show
the same poses in opposite orders. The number of training steps is the same for every number of clips. Every training is
memoized; run the same command to continue.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
import typer
from torch.utils.data import Dataset, Subset

from onlooker.config import DataConfig, TrainConfig
from onlooker.data.figure_motion import ACTIONS
from onlooker.data.moving_mnist import Sample
from onlooker.data.stick_figures import StickFigures
from onlooker.drawing.plots import COLORS, FAINT, QUIET, to_png
from onlooker.files import read_json, write_bytes
from onlooker.models.registry import create_model
from onlooker.models.video_model import VideoModel, count_parameters
from onlooker.recognizer import Recognizer
from onlooker.runs.folder import read_curves
from onlooker.training.fit import fit
from onlooker_papers.memo import memo_of_training
from onlooker_papers.results import About, Key, Row, means, write_rows
from onlooker_papers.videolstm.control import gain

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.figure import Figure

FILE = "c3d-curve"
COMMAND = "python -m onlooker_papers.videolstm.c3d_curve"
WHAT = "test accuracy of 3-D convolutions and of a ConvLSTM of equal size by the number of training clips"
# Three pairs of actions: a model that ignores the order of frames cannot distinguish the actions of a pair.
CLASSES = tuple(name for name in ACTIONS if name.startswith(("lower", "raise", "sit", "stand", "walk")))
DATA = DataConfig(frames=8, size=32, hflip=True, normalization="half")
TRAINING = TrainConfig(batch=16, label_smoothing=0.0, patience=0, precision="32")
# Widths that give 181,750 and 181,754 parameters.
MODELS: Mapping[str, Mapping[str, Any]] = {
    "c3d": {"hidden": 64},
    "convlstm": {"hidden": 34, "encoder": "conv4"},
    "feature-average": {"encoder": "conv4"},
}
CONTROL = "feature-average"  # ignores the order: accuracy from poses alone; only with the largest number of clips
_VALIDATION, _TEST = 1000, 1001  # seeds of their people; training clips have the seed of the training
_FOR_RATES = 100  # seed of the trainings for the choice of the learning rate


@dataclass(frozen=True)
class Budget:
    """The size of the experiment.

    Args:
        clips: numbers of training clips; the smaller sets are subsets of the larger ones.
        epoch: clips between two validations, some of them repeatedly if there are fewer; one of `clips`.
        epochs: number of epochs.
        seeds: seeds of weights and training clips.
        rates: learning rates; for each model, one is chosen on validation clips, with `epoch` training clips.
        validation, test: numbers of clips.
    """

    clips: tuple[int, ...] = (18, 60, 180, 540)
    epoch: int = 540
    epochs: int = 12
    seeds: tuple[int, ...] = (0, 1, 2)
    rates: tuple[float, ...] = (1e-3, 3e-3)
    validation: int = 240
    test: int = 600


STANDARD = Budget()
QUICK = Budget((6, 12), 12, 1, (0,), (1e-3, 3e-3), 6, 12)


class FigureClips(Dataset[Sample]):
    """Single stick figures in rooms; each group of `len(CLASSES)` clips shows a different person.

    Args:
        count: number of clips; the first ones are the same for every count.
        seed: seed of the people and everything else.
    """

    def __init__(self, count: int, seed: int) -> None:
        figures = StickFigures(
            frames=DATA.frames, fps=6.0, size=(DATA.size, DATA.size), people=count, event=(1.0, 1.0),
            height=(0.6, 0.85), bystanders=0.0,
        )  # fmt: skip
        self.targets = [n % len(CLASSES) for n in range(count)]
        videos = [figures.video(CLASSES[k], n // len(CLASSES), seed=seed).pixels for n, k in enumerate(self.targets)]
        self.frames = torch.from_numpy(np.stack(videos))  # B T H W 3

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Sample:
        return self.frames[index], self.targets[index], index


figure_clips = functools.lru_cache(maxsize=4)(FigureClips)


@dataclass(frozen=True)
class Trial:
    """One training, memoized: a model, its number of clips, the learning rate and the seed."""

    run: Path
    budget: Budget
    model: str
    clips: int
    rate: float
    seed: int

    @property
    def folder(self) -> Path:
        """The folder of the training; without a dot in its name, at which the name of the memo would be cut."""
        return self.run / f"{self.model}-{self.clips}-lr{self.rate:.0e}-seed{self.seed}"

    @property
    def memo(self) -> Path:
        """The file of its figures."""
        return self.folder.with_suffix(".json")

    def figures(self) -> dict[str, Any]:
        """`loss` and `validation` (accuracy) of the best epoch, `accuracy` of the test clips, `parameters`.

        Trainings for the choice of the learning rate have no `accuracy`: they are not tested.
        """
        budget = self.budget
        settings = {
            "model": self.model, **MODELS[self.model], "clips": self.clips, "epoch": budget.epoch,
            "validation": budget.validation, "test": budget.test, "classes": list(CLASSES),
            "data": DATA.to_dict(), **self._training.to_dict(),
        }  # fmt: skip
        return memo_of_training(self.folder, settings, self._train)

    def last(self) -> dict[str, float]:
        """The accuracy of training and validation clips in the last epoch, which may not be the best one."""
        curves = read_curves(self.folder)
        return {} if curves is None else {split: of["accuracy"][-1] for split, of in curves.items()}

    @property
    def _training(self) -> TrainConfig:
        # Only at its last frame has the ConvLSTM seen the whole clip; the other models make one prediction per clip.
        loss: Literal["last", "every"] = "last" if self.model == "convlstm" else "every"
        return replace(TRAINING, epochs=self.budget.epochs, lr=self.rate, seed=self.seed, loss=loss)

    def _train(self) -> dict[str, Any]:
        budget, how = self.budget, self._training
        torch.manual_seed(self.seed)
        model = build(self.model)
        clips = figure_clips(max(budget.clips), self.seed)
        repeated = Subset(clips, [n % self.clips for n in range(max(self.clips, budget.epoch))])
        validation = figure_clips(budget.validation, _VALIDATION)
        parts = max(1, self.clips // budget.epoch)  # epochs in which all clips are seen
        of = fit(model, repeated, validation, DATA, how, self.folder, None, parts)["validation"]
        best = of["loss"].index(min(of["loss"]))
        found = {"loss": of["loss"][best], "validation": of["accuracy"][best], "parameters": count_parameters(model)}
        if self.seed == _FOR_RATES:
            return found
        test = figure_clips(budget.test, _TEST)
        recognizer = Recognizer(model, CLASSES, DATA, aggregation=how.resolved_aggregation)
        scores = torch.from_numpy(recognizer.classify(test.frames).numpy()[0])
        clip_scores = scores[:, -1] if how.loss == "last" else scores.mean(1)
        return {**found, "accuracy": (clip_scores.argmax(1) == torch.tensor(test.targets)).double().mean().item()}


def build(name: str) -> VideoModel:
    """One of `MODELS`, with random weights."""
    return create_model(name, len(CLASSES), size=DATA.size, dropout=0.0, **MODELS[name])


def reproduce(run: Path, results: Path, budget: Budget = STANDARD) -> dict[str, Any]:
    """Choose learning rates, compute the missing trainings, and write the rows of `c3d-curve.json`.

    Returns:
        For each model and number of clips: `accuracy`, `each` (by seed), `parameters`, `last` (accuracy of `training`
        and `validation` clips in the last epoch), and for `convlstm` `c3d_is_better_by`, with its 95 % interval.

    Raises:
        ValueError: the run was made with other settings.
    """
    made: dict[tuple[str, str], list[Trial]] = {}
    rates: dict[str, Any] = {}
    for name in MODELS:
        tried = {rate: Trial(run, budget, name, budget.epoch, rate, _FOR_RATES).figures() for rate in budget.rates}
        rate = min(tried, key=lambda each: tried[each]["loss"])
        rates[name] = {"chosen": rate, "losses": {f"{each:g}": of["loss"] for each, of in tried.items()}}
        for clips in budget.clips if name != CONTROL else budget.clips[-1:]:
            made[name, str(clips)] = [Trial(run, budget, name, clips, rate, seed) for seed in budget.seeds]
    for trial in sorted(
        chain(*made.values()), key=lambda each: each.seed
    ):  # by seed, because only the clips of one seed are in memory
        typer.echo(f"{trial.folder.name}: {trial.figures()['accuracy']:.1%}")
    each = {key: [trial.figures()["accuracy"] for trial in trials] for key, trials in made.items()}
    rows: dict[Key, Row] = {}
    for key, trials in made.items():
        figures = _row(trials, each[key])
        if key[0] == "convlstm":
            figures["c3d_is_better_by"] = gain(each["c3d", key[1]], each[key])
        rows["curve", *key] = Row.of(figures, *(trial.memo for trial in trials))
    steps = budget.epochs * -(-budget.epoch // (TRAINING.batch or 1))
    shared = {"steps": steps, "test_clips": budget.test, "rates": rates}
    write_rows(results, FILE, About(WHAT, COMMAND, budget.seeds, shared), rows)
    return {"/".join(key[1:]): row.figures for key, row in rows.items()}


def _row(trials: Sequence[Trial], each: Sequence[float]) -> dict[str, Any]:
    """Means over seeds."""
    last = means([trial.last() for trial in trials])
    return {"accuracy": mean(each), "each": each, "parameters": trials[0].figures()["parameters"], "last": last}


def plot(figures: Mapping[str, Any]) -> "Figure":
    """Test accuracy by the number of training clips: the mean, and a dot for each seed.

    Args:
        figures: the figures of `c3d-curve.json`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for color, (name, rows) in zip(COLORS, figures["curve"].items(), strict=False):
        clips = [int(count) for count in rows]
        axes.plot(clips, [row["accuracy"] for row in rows.values()], "o-", color=color, label=name)
        for count, row in zip(clips, rows.values(), strict=True):
            axes.scatter([count] * len(row["each"]), row["each"], color=color, s=12, alpha=0.6)
    axes.axhline(1 / len(CLASSES), color=QUIET, linewidth=1, linestyle=(0, (4, 3)), label="chance")
    axes.set_xscale("log")
    axes.set_xticks(clips := [int(count) for count in figures["curve"]["c3d"]], [f"{count:,}" for count in clips])
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("training clips", color=QUIET)
    axes.set_ylabel("test clips correct", color=QUIET)
    axes.legend(frameon=False, fontsize=9)
    return figure


def main(
    run: Annotated[Path, typer.Option(help="Folder of the trainings.")] = Path("runs/c3d-curve"),
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
    image: Annotated[Path, typer.Option(help="The plot.")] = Path("docs/videolstm-c3d.png"),
    quick: Annotated[bool, typer.Option("--quick", help="Seconds, to see that everything runs.")] = False,
) -> None:
    """Train both models on each number of clips."""
    reproduce(run, results, QUICK if quick else STANDARD)
    write_bytes(image, to_png(plot(read_json(results / f"{FILE}.json")["figures"])))


if __name__ == "__main__":
    typer.run(main)
