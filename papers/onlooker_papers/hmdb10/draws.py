"""The HMDB-51 report's system on draws of the split: trainings on stored features, figures, a page.

Frames are scored one by one. The report does not say which epoch is tested; here, it is the last.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from pathlib import Path
from statistics import mean
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from onlooker import Clip, Decision, Evaluation, Recognizer, create_model, load
from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.data.clips import ClipFrames
from onlooker.data.split import Split, group_of
from onlooker.measure.metrics import measure
from onlooker.models.registry import find_recipe
from onlooker.models.video_model import VideoModel, count_parameters
from onlooker.report.overlay import caption, enlarge, overlays
from onlooker.report.page import Page, Table
from onlooker.run.features import encoded_clips, weights_digest
from onlooker.training.fit import fit
from onlooker.training.fitters import complete
from onlooker.video.reader import VideoReader
from onlooker.video.sampling import equally_spaced
from onlooker_papers.apportion import apportion
from onlooker_papers.hmdb10.classes import ATTENTION, REPORT_CLIPS
from onlooker_papers.hmdb10.curves import Curves, loss_curves
from onlooker_papers.intervals import over_seeds
from onlooker_papers.memo import memo_of_training
from onlooker_papers.sets import counts_of, digest_of
from onlooker_papers.sheet import sheet
from onlooker_papers.tables import add_table
from onlooker_papers.videolstm.published import Published

TRAINING = TrainConfig(epochs=10, batch=15, lr=5e-3, label_smoothing=0.0)
# Hidden channels or units. The size of the report: five channels, about a hundred thousand
# parameters; the LSTM has about as many. Where the report is silent, the choices are ours: the
# classifier reads the whole map, because the mean over a map of five channels has only five
# numbers, and there is no dropout on so few.
MODELS = {"report": 5, "convlstm": 5, "lstm": 41, "convnet": 1}
RATES = (0.005, 0.02)  # learning rates; each model uses one of them (`chosen_rate`)
_SHOWN = 12  # clips on the sheet, each of a different class
_COLUMNS = 8


@dataclass(frozen=True)
class Draw:
    """One draw of the split and its trainings, whose seed is the number of the draw.

    Args:
        run: the folder of all draws.
        clips: clips of the ten classes.
        number: number of the draw.
        sampling: how clips are sampled; the size of the frames may be that of the encoder.
        training: training settings.
        encoder: name of the frozen encoder.
        pretrained: use its pretrained weights; else random ones.
    """

    run: Path
    clips: Sequence[Clip]
    number: int
    sampling: DataConfig
    training: TrainConfig
    encoder: str
    pretrained: bool = True

    @property
    def split(self) -> Split:
        """Its split."""
        return divide(self.clips, self.number)

    @property
    def classes(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted({clip.label for clip in self.clips}))

    @property
    def data(self) -> DataConfig:
        """How clips are sampled for the encoder."""
        config = ModelConfig(encoder=self.encoder, pretrained=self.pretrained)
        asked = Settings(config, self.sampling, self.training)
        return complete(asked, {"encoder", "eyes", "pretrained"}).data

    def folder(self, name: str, rate: float) -> Path:
        """The folder of the training of a model; its figures are next to it."""
        return self.run / f"draw{self.number}" / f"{name}-{1000 * rate:g}e-3"

    def build(self, name: str) -> VideoModel:
        """A model with the frozen encoder of the features."""
        torch.manual_seed(self.number)
        settings: dict[str, Any] = {
            "encoder": self.encoder,
            "size": self.data.size,
            "pretrained": self.pretrained,
            "hidden": MODELS[name],
            "dropout": 0.0,
        }
        net: VideoModel
        if name in ("report", "convlstm"):
            settings |= {"head_units": 0, "clip_mean": False, "forget_bias": 1.0}
            net = Published(len(self.classes), **{**find_recipe(name).settings, **settings})
        else:
            net = create_model(name, len(self.classes), **settings)
        cast(nn.Module, net.encoder).requires_grad_(False)
        return net

    def figures(self, name: str, rate: float) -> dict[str, Any]:
        """Figures of one model after the last epoch.

        Returns:
            `accuracy` and `frame_accuracy` of the test clips; `training` and `validation`, the
            frame accuracy of these clips; `frames`, the share of correct frames in each validation
            and test clip; `epoch`; `parameters`; `curves`; with attention, its `entropy` on test
            clips, as a share of that of uniform attention.
        """
        net = self.build(name)
        encoder = cast(nn.Module, net.encoder)
        split = self.split
        training = replace(self.training, seed=self.number, lr=rate)
        features = {"weights": weights_digest(encoder), **self.data.to_dict()}
        settings: dict[str, Any] = {**training.to_dict(), "tested": "last epoch"}
        settings |= {"model": name, "hidden": MODELS[name], "features": features}
        settings |= {"clips": counts_of(split), "split": digest_of(split)}

        def compute() -> dict[str, Any]:
            samples = self.samples(net)
            parts = {side: samples.subset(clips) for side, clips in vars(split).items()}
            recognizer, curves = train_all_epochs(
                self.folder(name, rate), net, parts, data=self.data, training=training
            )
            evaluations = {side: recognizer.evaluate(of) for side, of in parts.items()}
            shares = {side: frames_correct(of) for side, of in evaluations.items()}
            figures = {
                "accuracy": measure(evaluations["test"]).accuracy,
                "frame_accuracy": mean(shares["test"]),
                "frames": {side: shares[side] for side in ("validation", "test")},
                "training": mean(shares["training"]),
                "validation": mean(shares["validation"]),
                "epoch": len(curves["validation"]["loss"]),
                "curves": curves,
                "parameters": count_parameters(net) - count_parameters(encoder),
            }
            if net.attends:
                figures["entropy"] = attention_entropy(recognizer, parts["test"])
            return figures

        return memo_of_training(self.folder(name, rate), settings, compute)

    def samples(self, net: VideoModel) -> ClipFrames:
        """The stored features of all clips."""
        return encoded_clips(self.clips, self.classes, net, data=self.data, strict=True)[0]


def divide(clips: Sequence[Clip], seed: int) -> Split:
    """A split in the report's proportions, with each recording in one part."""
    return Split(**apportion(clips, [group_of(clip) for clip in clips], REPORT_CLIPS, seed=seed))


def train_all_epochs(
    folder: Path,
    net: VideoModel,
    parts: Mapping[str, ClipFrames],
    *,
    data: DataConfig,
    training: TrainConfig,
) -> tuple[Recognizer, Curves]:
    """Train a model, and save it with the weights of its last epoch, not of the best one."""
    fitted = parts["training"]
    curves = fit(
        net,
        fitted,
        parts["validation"],
        data=data,
        train=training,
        folder=folder,
        title=folder.name,
    )
    state = torch.load(folder / "checkpoints" / "last.ckpt", "cpu", weights_only=True)["state_dict"]
    trained = {name.removeprefix("model."): of for name, of in state.items()}
    net.load_state_dict({**net.state_dict(), **trained})
    recognizer = Recognizer(
        net, data, Decision(fitted.classes, aggregation=training.resolved_aggregation)
    )
    recognizer.save(folder / "model")
    return recognizer, curves


def frames_correct(evaluation: Evaluation) -> list[float]:
    """The share of frames that are classified correctly, in each clip."""
    pairs = zip(evaluation.frame_scores, evaluation.targets, strict=True)
    return [float((scores.argmax(1) == target).mean()) for scores, target in pairs]


def attention_entropy(recognizer: Recognizer, samples: ClipFrames) -> float:
    """The mean entropy of the attention maps of all frames, divided by that of a uniform map: 1 is
    uniform.
    """
    maps = [recognizer.classify(samples[number][0][None])[1] for number in range(len(samples))]
    # frames, locations
    weights = torch.cat([torch.from_numpy(of).flatten(2)[0] for of in maps if of is not None])
    return float(torch.special.entr(weights).sum(1).mean()) / math.log(weights.shape[1])


def compare(
    every: Sequence[Draw], rates: Sequence[float] = RATES
) -> tuple[dict[str, Any], list[Path]]:
    """The figures of all models over the draws, computed where they are missing, and their memos.

    The learning rate of each model is chosen from `rates`.
    """
    chosen = {name: chosen_rate(every, name, rates) for name in MODELS}
    found = {name: [draw.figures(name, rate) for draw in every] for name, rate in chosen.items()}
    each = {name: [of["frame_accuracy"] for of in cells] for name, cells in found.items()}
    figures = {
        "frame_accuracy": mean(each[ATTENTION]),
        "interval": over_seeds(each[ATTENTION], [0.0] * len(every))[1:],
        "models": {
            name: {
                "frame_accuracy": mean(each[name]),
                "each": each[name],
                "parameters": cells[0]["parameters"],
                **{
                    key: mean(cell[key] for cell in cells)
                    for key in ("accuracy", "training", "validation")
                },
                "entropy": mean(cell["entropy"] for cell in cells)
                if "entropy" in cells[0]
                else None,
                "hidden": MODELS[name],
                "lr": chosen[name],
                "epoch": cells[0]["epoch"],
                "report_is_better_by": over_seeds(each[ATTENTION], each[name]),
                "losses": {
                    side: [cell["curves"][side]["loss"] for cell in cells]
                    for side in ("training", "validation")
                },
            }
            for name, cells in found.items()
        },
        "classes": list(every[0].classes),
        "encoder": every[0].encoder,
        "clips": [counts_of(draw.split) for draw in every],
        "rates": list(rates),
        "rate_clips": sum(untested(every)),
    }
    memos = [
        draw.folder(name, rate).with_suffix(".json")
        for name, rate in chosen.items()
        for draw in every
    ]
    return figures, memos


def untested(every: Sequence[Draw]) -> list[bool]:
    """For each validation clip of the first draw: whether it is a test clip of no draw."""
    tested = {clip.path for draw in every for clip in draw.split.test}
    return [clip.path not in tested for clip in every[0].split.validation]


def chosen_rate(every: Sequence[Draw], name: str, rates: Sequence[float]) -> float:
    """The learning rate with the highest frame accuracy on those clips of `untested`, in the first
    draw.
    """
    clips = untested(every)
    return max(
        rates,
        key=lambda rate: sum(compress(every[0].figures(name, rate)["frames"]["validation"], clips)),
    )


def curves_of(figures: Mapping[str, Any]) -> dict[str, list[Curves]]:
    """The curves of every draw, by model."""
    return {
        name: [
            {"training": {"loss": training}, "validation": {"loss": validation}}
            for training, validation in zip(*model["losses"].values(), strict=True)
        ]
        for name, model in figures["models"].items()
    }


def write_page(
    every: Sequence[Draw], figures: Mapping[str, Any], *, about: str, text: str, table: Table
) -> Path:
    """A table of the figures of `compare`, the curves of each model, and heat maps on test clips of
    the first draw, as `report.html` in the folder of the draws.
    """
    first = every[0]
    rate = figures["models"][ATTENTION]["lr"]
    recognizer = load(first.folder(ATTENTION, rate), device="cpu")
    samples = first.samples(recognizer.model).subset(first.split.test)
    page = Page("Attention for HMDB-51", about)
    page.text(text)
    add_table(page, table)
    page.heading("Training curves")
    curves = loss_curves(curves_of(figures))
    page.figure(curves, "Thin: a training; thick: the mean.", wide=True)
    page.heading("Heat maps")
    shown = "Test clips, one per class. In each frame, the probability of the true class."
    page.figure(sheet(attention_rows(recognizer, samples), _COLUMNS), shown, wide=True)
    return page.write(first.run / "report.html")


def attention_rows(recognizer: Recognizer, samples: ClipFrames) -> list[tuple[str, Any]]:
    """A test clip of each class, drawn at random: attention over frames, and the true class's
    probability.
    """
    rows: dict[str, tuple[str, Any]] = {}
    for index in random.Random(0).sample(range(len(samples)), len(samples)):
        clip = samples.clips[index]
        if clip.label in rows or len(rows) == _SHOWN:
            continue
        features, target, _ = samples[index]
        scores, attention, *_ = recognizer.classify(features[None])
        assert attention is not None
        maps = attention[0]
        of_frames = scores[0]
        shown = equally_spaced(len(maps), min(len(maps), _COLUMNS))
        pixels = VideoReader(clip.path).get(partial(equally_spaced, count=len(maps))).pixels
        colored = overlays(map(enlarge, pixels), maps)
        drawn = np.stack(
            [caption(colored[t], [f"{100 * of_frames[t, target]:.0f} %"]) for t in shown]
        )
        of_clip = recognizer.decision.aggregate(of_frames)
        predicted = recognizer.classes[int(of_clip.argmax())]
        rows[clip.label] = (
            f"{clip.label}\npredicted {predicted}, {100 * of_clip.max():.0f} %",
            drawn,
        )
    return [rows[label] for label in sorted(rows)]
