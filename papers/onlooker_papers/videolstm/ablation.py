"""Which digit moves? The ablation of VideoLSTM on a generated data set, whose true boxes are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker import Decision, Recognizer, create_model, load
from onlooker.base.config import TrainConfig
from onlooker.models.registry import find_recipe
from onlooker.models.video_model import count_parameters
from onlooker.training.fit import fit
from onlooker_papers.fusion import average_scores, choose_weights
from onlooker_papers.memo import fingerprint, memo, memo_of_training
from onlooker_papers.mnist import DigitSplit, digest
from onlooker_papers.pointing import peak_in_box
from onlooker_papers.videolstm import Modality
from onlooker_papers.videolstm.localization import localized
from onlooker_papers.videolstm.moving_target import CLASSES, SIZE, TargetClips, clips_of, data

TRAINING = TrainConfig(epochs=30, batch=16, lr=3e-3, label_smoothing=0.0, patience=0)


@dataclass(frozen=True)
class ModelSpec:
    """A model by name, what it sees, and how it differs from the settings of all models.

    Args:
        given: `rgb`, `flow` or `both`; None: that of the model's recipe, else `rgb`.
        settings: arguments of `create_model` that differ from those of the other models.
        label: name of its row and its folder; empty: made of the model and the given modality.
    """

    model: str
    given: Modality | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    label: str = ""

    @property
    def name(self) -> str:
        """The name of its row and its folder."""
        return self.label or "-".join([self.model, *([self.given] if self.given else [])])

    @property
    def modality(self) -> Modality:
        """Its input."""
        return self.given or find_recipe(self.model).modality or "rgb"


HIDDEN = 32  # channels or units of the recurrent layer
RGB = ModelSpec("convalstm")
FLOW = ModelSpec("convlstm", "flow")
MOTION = ModelSpec("motion")
# With the auxiliary attention loss, which is not in the paper; results keep the original name of
# these rows.
WITH_ATTENTION_LOSS = tuple(
    replace(spec, settings={"attention_loss": True}, label=f"{spec.name}-grounded")
    for spec in (RGB, MOTION)
)
BEST = WITH_ATTENTION_LOSS[1]
LOCATED = (MOTION, *WITH_ATTENTION_LOSS)  # models whose localization is scored
# The order of Li et al. 2016; the report's model, models of flow, motion-based
# attention, and models with the auxiliary attention loss.
SPECS = (
    *(ModelSpec(model) for model in ("convnet", "lstm", "alstm", "convlstm")),
    RGB,
    ModelSpec("report"),
    ModelSpec("convnet", "flow"),
    FLOW,
    MOTION,
    *WITH_ATTENTION_LOSS,
)
# VideoLSTM with both streams: flow-guided attention on RGB, and a model of the flow. Results call
# it `fused`.
ENSEMBLE = "fused"
MEMBERS = (MOTION, FLOW)


@dataclass(frozen=True)
class AblationBudget:
    """The size of the experiments.

    Args:
        name: a description for the page.
        clips: number of training clips of every model.
        seeds: seeds of each model.
        counts: number of `validation` and `test` clips.
        training: training settings.
    """

    name: str
    clips: int
    seeds: tuple[int, ...]
    counts: Mapping[str, int]
    training: TrainConfig


BUDGETS = {
    "smoke": AblationBudget(
        "smoke: a training step of every model, in seconds; the figures mean nothing",
        16,
        (0,),
        counts={"validation": 4, "test": 8},
        training=replace(TRAINING, epochs=1),
    ),
    "quick": AblationBudget(
        "quick: minutes, to see that everything runs",
        160,
        (0,),
        counts={"validation": 50, "test": 100},
        training=replace(TRAINING, epochs=3),
    ),
    "standard": AblationBudget(
        "standard: hours on two cores",
        2000,
        (0, 1, 2),
        counts={"validation": 300, "test": 1000},
        training=replace(TRAINING, epochs=12),
    ),
}


@dataclass(frozen=True)
class Trial:
    """One training of one model, tested on clips of unseen digits. All figures are memoized next to
    its folder.

    Args:
        run: the folder of all trials.
        spec: the model.
        clips: number of training clips, the same in every epoch.
        seed: seed of the weights and of the training clips.
        digits: shown in the clips.
        counts: number of `validation` and `test` clips.
        how: training settings.
    """

    run: Path
    spec: ModelSpec
    clips: int
    seed: int
    digits: DigitSplit
    counts: Mapping[str, int]
    how: TrainConfig = TRAINING

    @property
    def folder(self) -> Path:
        """The folder of the training."""
        return self.run / f"{self.spec.name}-{self.clips}-seed{self.seed}"

    def memo_path(self, part: str = "") -> Path:
        """The file of the figures of a part: `""` or `-localized`."""
        return self.run / f"{self.folder.name}{part}.json"

    def train(self) -> dict[str, Any]:
        """The figures of `measure`, and `validation` (accuracy) and `parameters` of the model."""

        def compute() -> dict[str, Any]:
            config = data(self.spec.modality)
            torch.manual_seed(self.seed)
            of_flow = {"flow_channels": config.flow_channels} if config.modality == "both" else {}
            model = create_model(
                self.spec.model,
                len(CLASSES),
                in_channels=config.in_channels,
                size=SIZE,
                hidden=HIDDEN,
                dropout=0.0,
                **self.spec.settings,
                **of_flow,
            )
            title = f"{self.spec.name}, {self.clips} clips"
            samples = self.samples("training"), self.samples("validation")
            curves = fit(
                model,
                *samples,
                data=config,
                train=replace(self.how, seed=self.seed),
                folder=self.folder,
                title=title,
            )
            recognizer = Recognizer(
                model, config, Decision(CLASSES, aggregation=self.how.resolved_aggregation)
            )
            recognizer.save(self.folder / "model")
            losses = curves["validation"]["loss"]
            return {
                **self.measure(recognizer),
                "validation": curves["validation"]["accuracy"][losses.index(min(losses))],
                "parameters": count_parameters(model),
            }

        return memo_of_training(self.folder, self.settings(), compute)

    def measure(self, recognizer: Recognizer) -> dict[str, Any]:
        """Figures of the trained model.

        Returns:
            `accuracy` of clips; `frame_accuracy`; `pointing`: the share of frames where the map's
            peak is in the true box.
        """
        test = self.samples("test")
        scores, attention, *_ = recognizer.classify(test.frames())
        return {**_accuracy(scores, test.batch.targets.numpy()), **_pointing(attention, test)}

    def localized(self) -> dict[str, Any]:
        """How well the trained model localizes the target: the figures of `localized`."""
        of_trained = {"seed": self.seed, "weights": fingerprint(self.folder)}
        return memo(
            self.memo_path("-localized"),
            {**self._data(), **self._model(), **of_trained},
            lambda: localized(load(self.folder, device="cpu"), self.samples("test")),
        )

    def samples(self, split: str) -> TargetClips:
        """The clips of a split, with the model's modality."""
        count, seed = (self.clips, self.seed) if split == "training" else (self.counts[split], 0)
        return clips_of(self.digits, split, count=count, seed=seed).seen_as(self.spec.modality)

    def settings(self) -> dict[str, Any]:
        """The settings on which the figures of `train` depend."""
        return {**self._data(), **replace(self.how, seed=self.seed).to_dict(), **self._model()}

    def _data(self) -> dict[str, Any]:
        return {"digits": digest(self.digits), "clips": self.clips, **self.counts}

    def _model(self) -> dict[str, Any]:
        settings = {"hidden": HIDDEN, "attention_loss": False, **self.spec.settings}
        return {"model": self.spec.model, "modality": self.spec.modality, **settings}


def ensemble(members: Sequence[Trial]) -> dict[str, Any]:
    """The ensemble of the trained models of both streams, with weights chosen on validation clips."""
    first = members[0]
    of = {trial.spec.name: fingerprint(trial.folder) for trial in members}
    settings = {**first._data(), "seed": first.seed, "members": of}

    def compute() -> dict[str, Any]:
        recognizers = [load(trial.folder, device="cpu") for trial in members]
        validation, test = (
            [
                recognizer.classify(trial.samples(split).frames()).scores
                for recognizer, trial in zip(recognizers, members, strict=True)
            ]
            for split in ("validation", "test")
        )
        targets = {
            split: first.samples(split).batch.targets.numpy() for split in ("validation", "test")
        }
        weights = choose_weights([scores.mean(1) for scores in validation], targets["validation"])
        return {
            **_accuracy(average_scores(test, weights), targets["test"]),
            "weights": list(weights),
        }

    return memo(ensemble_path(first), settings, compute)


def ensemble_path(member: Trial) -> Path:
    """The file of the figures of an ensemble, by one of its members."""
    return member.run / f"{ENSEMBLE}-{member.clips}-seed{member.seed}.json"


def summary(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds, and the spread of the accuracies; for an ensemble, also the weights."""
    accuracies = [each["accuracy"] for each in seeds]
    row = {
        "accuracy": mean(accuracies),
        "spread": stdev(accuracies) if len(seeds) > 1 else None,
        "each": accuracies,
    }
    for figure in ("frame_accuracy", "pointing", "parameters"):
        if all(figure in each for each in seeds):
            row[figure] = mean(each[figure] for each in seeds)
    if all("weights" in each for each in seeds):
        weights = zip(*(each["weights"] for each in seeds), strict=True)
        row["weights"] = {spec.name: mean(of) for spec, of in zip(MEMBERS, weights, strict=True)}
    return row


def _accuracy(scores: NDArray[np.float32], targets: NDArray[np.int64]) -> dict[str, float]:
    """The clip accuracy (by the mean over frames) and the frame accuracy of probabilities `B T K`."""
    return {
        "accuracy": float((scores.mean(1).argmax(1) == targets).mean()),
        "frame_accuracy": float((scores.argmax(2) == targets[:, None]).mean()),
    }


def _pointing(attention: NDArray[np.float32] | None, test: TargetClips) -> dict[str, float]:
    if attention is None:
        return {}
    return {"pointing": float(peak_in_box(attention, test.boxes, (SIZE, SIZE)).mean())}
