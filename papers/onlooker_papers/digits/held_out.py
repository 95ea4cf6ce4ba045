"""The held-out protocol: pairs of moving digits and paths that are not in any training video."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlooker import Decision, Evaluation, Recognizer, load
from onlooker.base.config import DataConfig, TrainConfig
from onlooker.data.transforms import to_video
from onlooker.measure.metrics import measure, wilson_interval
from onlooker.models.video_model import count_parameters
from onlooker.training.fit import fit
from onlooker_papers.digits.data.augmented_mnist import AugmentedDigits
from onlooker_papers.digits.data.moving_mnist import PAIRS, Batch, DigitPairs, pair_label
from onlooker_papers.digits.models import CEILING, TRACKS, DigitModel, prepare, settings_of
from onlooker_papers.digits.pretraining import SIZE, seconds
from onlooker_papers.memo import fingerprint, memo, memo_of_training
from onlooker_papers.mnist import Digits, DigitSplit, digest
from onlooker_papers.pointing import boxes_with_a_window

FRAMES = 50  # of a test video, as in the published protocol
SHORT = 10  # first frames of a test video, which are also evaluated alone
DATA = DataConfig(
    frames=FRAMES, size=SIZE, channels=1, normalization="mnist", translate=0.0, scale=0.0
)
TRAINING = TrainConfig(batch=16, label_smoothing=0.0, patience=0)
EPOCH = 100  # batches; the weights are saved after each epoch
# A classifier of single digits, equal to the best model's classifier of each digit of a pair.
ALONE = DigitModel(
    "stn:1",
    model="convnet",
    head_units=128,
    lr=2e-3,
    aggregation="product",
    batch=32,
    frames=5,
    frames_per_setting=1,
)
# The same for the model that classifies five frames together.
FOLLOWED = DigitModel("tracks:1", model=TRACKS, lr=2e-3, aggregation="last", batch=64, frames=10)
# The ways in which a model of pairs may combine frames: a product, and groups of frames.
CEILINGS = {CEILING: ALONE, f"{CEILING}-{TRACKS}": FOLLOWED}
VALIDATION = 320  # videos of validation digits, in all budgets that are measured


@dataclass(frozen=True)
class Trial:
    """One model trained on one variant, and tested on unseen digits on unseen paths.

    Args:
        run: the folder of all trials; it gets the training's folder and files with the figures.
        encoders: where `pretrain` left its models.
        variant: of the moving digits.
        spec: the model.
        videos: number of training videos, each seen once; in whole batches, above 100 batches in
        steps of 100.
        tests: number of test videos.
        splits: the digits.
        label: name of the folder, if not that of the model.
        validation: number of videos on which an epoch is chosen.
    """

    run: Path
    encoders: Path
    variant: str
    spec: DigitModel
    videos: int
    tests: int
    splits: DigitSplit
    label: str = ""
    validation: int = VALIDATION
    classes: ClassVar = PAIRS
    num_digits: ClassVar = 2

    @property
    def folder(self) -> Path:
        """The folder of the training."""
        return self.run / self.variant / (self.label or self.spec.name)

    def train(self) -> dict[str, Any]:
        """The model is saved to `folder/model`.

        Returns:
            The figures of `measure`; the number of training `videos`, `minutes` on a number of
            `threads`, `parameters` (all), `trained` (those that are trained), `validation`
            (accuracy on short videos).
        """
        how, size = schedule(self.spec, self.videos)
        of_model = settings_of(self.spec, self.folder, self.encoders)

        def compute() -> dict[str, Any]:
            self._validation.unlink(missing_ok=True)  # of an earlier training
            spec = self.spec
            training = self.splits.training
            validation = self.splits.validation
            videos = AugmentedDigits(
                training,
                self.num_digits,
                variant=self.variant,
                frames=spec.frames,
                frames_per_setting=spec.frames_per_setting,
            )
            learn = DigitPairs(videos, size, seed=0)
            choose = DigitPairs(self._drawn(validation, SHORT), self.validation, seed=1)
            model, parameters = prepare(
                spec,
                len(self.classes),
                DATA,
                folder=self.folder,
                encoders=self.encoders,
                seed=how.seed,
            )
            curves = fit(
                model,
                learn,
                choose,
                data=DATA,
                train=how,
                folder=self.folder,
                title=f"{self.variant}, {self.folder.name}",
            )
            validated = curves["validation"]
            recognizer = Recognizer(
                model, DATA, Decision(self.classes, aggregation=spec.aggregation)
            )
            recognizer.save(self.folder / "model")
            return {
                **self.measure(recognizer),
                "videos": how.epochs * len(learn),
                "minutes": round(seconds(self.folder) / 60, 1),
                "threads": torch.get_num_threads(),
                "parameters": parameters,
                "trained": count_parameters(model),
                "validation": validated["accuracy"][
                    validated["loss"].index(min(validated["loss"]))
                ],
            }

        settings = self._settings(**(how.to_dict() | of_model), size=size)
        return memo_of_training(self.folder, settings, compute)

    def measure(self, recognizer: Recognizer) -> dict[str, Any]:
        """The figures of `score`; for a model with windows, also `on_digits`."""
        test = self._drawn(self.splits.test).batch(self.tests, seed=2)
        return {**score(recognizer, test), **_looks(recognizer, test)}

    def validate(self) -> float:
        """The accuracy of the trained model on whole videos of validation digits.

        The videos on which an epoch is chosen are short, so they cannot show which of two models
        makes better use of many frames.
        """

        def compute() -> dict[str, Any]:
            whole = self._drawn(self.splits.validation).batch(
                min(self.tests, self.validation), seed=3
            )
            return {"accuracy": score(load(self.folder / "model"), whole)["accuracy"]}

        settings = self._settings(validation_frames=FRAMES, weights=fingerprint(self.folder))
        return float(memo(self._validation, settings, compute)["accuracy"])

    @property
    def _validation(self) -> Path:
        """The file with the accuracy on validation videos."""
        return self.folder.with_suffix(".validation.json")

    def _drawn(self, digits: Digits, frames: int = FRAMES) -> AugmentedDigits:
        return AugmentedDigits(digits, self.num_digits, variant=self.variant, frames=frames)

    def _settings(self, **others: Any) -> dict[str, Any]:
        of_test = {"digits": digest(self.splits), "tests": self.tests, "test_frames": FRAMES}
        return {"variant": self.variant, **of_test, **others}


class Ceiling(Trial):
    """The accuracy on pairs if each digit is seen alone, clean, under the same transforms.

    A classifier of single digits (one of `CEILINGS`) is trained on videos of one clean digit. Two
    such videos of test digits make a pair, and the most probable pair, given the two predictions,
    is the answer. If a 6 can look like a 9, this stays below 100 %. It is a measurement, not an
    upper bound: two digits that rotate together tell more about the angle than each alone.
    """

    classes: ClassVar = tuple("0123456789")
    num_digits: ClassVar = 1

    def measure(self, recognizer: Recognizer) -> dict[str, Any]:
        """`accuracy` of pairs with its interval, and `digit_accuracy` of single digits."""
        seen = [self._drawn(self.splits.test).batch(self.tests, seed=seed) for seed in (2, 3)]
        scores = [
            torch.from_numpy(recognizer.decision.aggregate(_frame_scores(recognizer, batch.video)))
            for batch in seen
        ]
        targets = torch.cat([batch.labels for batch in seen], 1)
        right = pair_posterior(*scores).argmax(1) == pair_label(targets)
        hits = [p.argmax(1) == batch.labels[:, 0] for p, batch in zip(scores, seen, strict=True)]
        return {
            "accuracy": right.float().mean().item(),
            "accuracy_interval": wilson_interval(right.float().mean().item(), len(right)),
            "digit_accuracy": torch.cat(hits).float().mean().item(),
        }


def score(recognizer: Recognizer, videos: Batch) -> dict[str, Any]:
    """Accuracy on whole videos, each generated on its own, on their first frames and on single
    frames; and log loss.
    """
    scores = _frame_scores(recognizer, videos.video)
    targets = pair_label(videos.labels).numpy()
    names = tuple(f"video {i}" for i in range(len(targets)))
    measured = measure(
        Evaluation(
            names,
            recognizer.decision,
            targets,
            scores=recognizer.decision.aggregate(scores),
            frame_scores=tuple(scores),
        )
    )
    return {
        "accuracy": measured.accuracy,
        "frame_accuracy": measured.frame_accuracy,
        "log_loss": measured.log_loss,
        "accuracy_interval": wilson_interval(measured.accuracy, len(targets)),
        "short_accuracy": float(
            (recognizer.decision.aggregate(scores[:, :SHORT]).argmax(1) == targets).mean()
        ),
    }


def _frame_scores(recognizer: Recognizer, video: Tensor) -> NDArray[np.float32]:
    """Probabilities at every frame, `B T K`, of generated videos `B T 1 H W`."""
    return recognizer.classify(video.movedim(2, -1)).scores


def schedule(spec: DigitModel, videos: int) -> tuple[TrainConfig, int]:
    """Training settings, and the number of videos in an epoch, in whole batches."""
    size = spec.batch * min(EPOCH, max(1, videos // spec.batch))
    epochs = max(1, videos // size)
    aggregation = spec.aggregation
    how = replace(
        TRAINING,
        epochs=epochs,
        batch=spec.batch,
        lr=spec.lr,
        loss=spec.loss,
        aggregation=aggregation,
    )
    return how, size


@torch.inference_mode()
def _looks(recognizer: Recognizer, videos: Batch) -> dict[str, float]:
    """`on_digits`: the share of frames in which the windows of the model are on different digits,
    if it has windows.
    """
    model = recognizer.model
    windows = getattr(model, "windows", getattr(model.encoder, "windows", None))
    if windows is None:
        return {}
    frames = videos.video.movedim(2, -1)
    thetas = torch.cat([windows(to_video(clip, DATA.normalization)) for clip in frames])
    thetas = thetas.view(*videos.video.shape[:2], -1, 2, 3)
    shares = boxes_with_a_window(thetas, videos.boxes, (SIZE, SIZE))
    # A single window can be on only one of two digits: its share is a half.
    wanted = min(1.0, thetas.shape[2] / videos.boxes.shape[2])
    seen = shares[np.isfinite(shares)]
    return {"on_digits": float((seen >= wanted).mean())}


def pair_posterior(first: Tensor, second: Tensor) -> Tensor:
    """Probabilities of the unordered pairs, `B 55`, from those of two digits, each `B 10`, treated
    as independent.
    """
    joint = first[:, :, None] * second[:, None, :]
    joint = joint + joint.mT - torch.diag_embed(joint.diagonal(dim1=1, dim2=2))
    low, high = torch.triu_indices(10, 10)
    return joint[:, low, high]


def best(of_variant: Mapping[str, Mapping[str, Any]]) -> str:
    """The model with the best accuracy on validation digits; test digits are not used."""
    models = {name: found for name, found in of_variant.items() if name not in CEILINGS}
    return max(models, key=lambda name: models[name]["validation"])
