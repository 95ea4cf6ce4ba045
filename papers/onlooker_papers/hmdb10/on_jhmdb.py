"""The HMDB-51 report's system on ten classes of J-HMDB, whose clips come from HMDB-51, with the
shipped encoder.

`python -m onlooker_papers.hmdb10.on_jhmdb` with `ONLOOKER_DATA`: 30 frames per clip, the report's
proportions of training, validation and test clips (each source video in one split), frame accuracy
over five draws of the split. The report names two of its ten classes, brush_hair and cartwheel. The
latter is not in J-HMDB, so the first ten classes in alphabetical order are used. It does not say
which epoch is tested; here, it is the last. The page with curves and heat maps is in the folder of
the run. `explain` measures what other protocols change. `--encoder lite0` adds the rows of an
encoder with ImageNet weights (its extra: `imagenet`), at the size of its frames.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from statistics import mean
from typing import Annotated, Any, cast

import numpy as np
import torch
import typer
from torch import nn

from onlooker.base.config import DataConfig, ModelConfig, TrainConfig
from onlooker.base.files import write_bytes
from onlooker.base.records import Clip, Evaluation
from onlooker.data.clips import ClipFrames
from onlooker.data.split import Split
from onlooker.models.registry import create_model, find_recipe, for_encoder, resolve
from onlooker.models.video_model import VideoModel, count_parameters
from onlooker.recognizer import Recognizer, load
from onlooker.report.metrics import measure
from onlooker.report.page import Page
from onlooker.report.plots import to_svg
from onlooker.run.features import encoded_clips, weights_digest
from onlooker_papers.hmdb10 import tables
from onlooker_papers.hmdb10.classes import ATTENTION, REPORT_CLIPS
from onlooker_papers.hmdb10.curves import loss_curves
from onlooker_papers.hmdb10.protocols import (
    OURS,
    PROTOCOLS,
    Protocol,
    divide,
    known,
    names_of_hmdb51,
)
from onlooker_papers.hmdb10.reproduce import attention_rows, train_all_epochs
from onlooker_papers.intervals import clustered, over_seeds
from onlooker_papers.memo import memo_of_training
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.results import WHOLE, About, Key, Row, write_rows
from onlooker_papers.sets import data_folder
from onlooker_papers.sheet import sheet, to_png
from onlooker_papers.tables import add_table
from onlooker_papers.videolstm.published import Published

FILE = tables.REAL
SET = "jhmdb"
COMMAND = "python -m onlooker_papers.hmdb10.on_jhmdb"
WHAT = "the HMDB-51 report's system on ten classes of J-HMDB: frames classified correctly, five draws of the split"
DRAWS = 5
CLASSES = 10
DATA = DataConfig(frames=30, size=112, translate=0.0, scale=0.0)
TRAINING = TrainConfig(epochs=10, batch=15, lr=5e-3, label_smoothing=0.0)
# The size of the report: five hidden channels, about a hundred thousand parameters; the LSTM has
# about as many. Where the report is silent, the choices are ours: the classifier reads the whole
# map, because the mean over a map of five channels has only five numbers, and there is no dropout
# on so few.
ENCODER = "small"
MODELS = {"report": 5, "convlstm": 5, "lstm": 41, "convnet": 1}
RATES = (0.005, 0.02)  # learning rates; each model uses one of them (`chosen_rate`)
_COLUMNS = 8


def ten_classes(clips: Sequence[Clip]) -> list[Clip]:
    """The clips of the first ten classes in alphabetical order."""
    chosen = sorted({clip.label for clip in clips})[:CLASSES]
    return [clip for clip in clips if clip.label in chosen]


@dataclass(frozen=True)
class Draw:
    """One draw of the split and its trainings, whose seed is the number of the draw.

    Args:
        run: the folder of all draws.
        clips: clips of the ten classes.
        number: number of the draw.
        training: training settings.
        protocol: how clips are divided, and the loss.
        encoder: name of the frozen encoder.
    """

    run: Path
    clips: Sequence[Clip]
    number: int
    training: TrainConfig = TRAINING
    protocol: Protocol = PROTOCOLS[OURS]
    encoder: str = ENCODER

    @property
    def split(self) -> Split:
        """The split in the report's proportions."""
        return divide(self.clips, self.protocol, self.number)

    @property
    def classes(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted({clip.label for clip in self.clips}))

    @property
    def data(self) -> DataConfig:
        """How clips are sampled."""
        data = for_encoder(self.encoder, DATA, ())
        return resolve(ModelConfig(encoder=self.encoder, pretrained=True), data, self.training).data

    def folder(self, name: str, rate: float) -> Path:
        """The folder of the training of a model; its figures are next to it."""
        return self.run / f"draw{self.number}" / f"{name}-{1000 * rate:g}e-3"

    def build(self, name: str) -> VideoModel:
        """A model with the frozen encoder of the features."""
        torch.manual_seed(self.number)
        settings: dict[str, Any] = {
            "encoder": self.encoder,
            "size": self.data.size,
            "pretrained": True,
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
        split = self.split
        data = self.data
        sides = {side: len(getattr(split, side)) for side in REPORT_CLIPS}
        training = replace(self.training, seed=self.number, lr=rate, loss=self.protocol.loss)
        of_features = {"weights": weights_digest(cast(nn.Module, net.encoder)), **data.to_dict()}
        settings = {"model": name, "hidden": MODELS[name], "features": of_features, "clips": sides}
        settings |= {**training.to_dict(), "tested": "last epoch"}
        settings |= {} if self.protocol.whole else {"divided": "clips"}

        def compute() -> dict[str, Any]:
            samples = self.samples(net)
            recognizer, curves = train_all_epochs(
                self.folder(name, rate), net, samples, split, data, training
            )
            parts = {side: samples.only(getattr(split, side)) for side in REPORT_CLIPS}
            evaluations = {side: recognizer.evaluate(of) for side, of in parts.items()}
            shares = {side: frames_correct(of) for side, of in evaluations.items()}
            return {
                "accuracy": measure(evaluations["test"])["accuracy"],
                "frame_accuracy": mean(shares["test"]),
                "frames": {side: shares[side] for side in ("validation", "test")},
                "training": mean(shares["training"]),
                "validation": mean(shares["validation"]),
                "epoch": len(curves["validation"]["loss"]),
                "curves": curves,
                "parameters": count_parameters(net)
                - count_parameters(cast(nn.Module, net.encoder)),
                **(
                    {"entropy": attention_entropy(recognizer, parts["test"])} if net.attends else {}
                ),
            }

        return memo_of_training(self.folder(name, rate), settings, compute)

    def samples(self, net: VideoModel) -> ClipFrames:
        """The stored features of all clips."""
        return encoded_clips(self.clips, self.classes, net, self.data, strict=True, quiet=True)[0]


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


def reproduce(
    run: Path,
    results: Path,
    draws: int = DRAWS,
    training: TrainConfig = TRAINING,
    encoder: str = ENCODER,
) -> dict[str, Any]:
    """Compute what is missing, write the row of an encoder in `hmdb10-real.json` and the page.

    Raises:
        ValueError: ONLOOKER_DATA is not set, or a run made with other settings.
        ClipError: there is no J-HMDB, or a clip cannot be read.
    """
    every = every_draw(run, draws, training, encoder=encoder)
    rates = {name: chosen_rate(every, name) for name in MODELS}
    found = {name: [draw.figures(name, rate) for draw in every] for name, rate in rates.items()}
    each = {name: [of["frame_accuracy"] for of in cells] for name, cells in found.items()}
    figures = {
        "frame_accuracy": mean(each[ATTENTION]),
        "interval": over_seeds(each[ATTENTION], [0.0] * draws)[1:],
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
                "lr": rates[name],
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
        "encoder": encoder,
        "clips": [
            {side: len(getattr(draw.split, side)) for side in REPORT_CLIPS} for draw in every
        ],
        "rates": list(RATES),
        "rate_clips": sum(untested(every)),
    }
    memos = [
        draw.folder(name, rate).with_suffix(".json")
        for name, rate in rates.items()
        for draw in every
    ]
    write_row(
        results,
        WHOLE if encoder == ENCODER else (encoder,),
        Row.of(figures, *memos),
        draws,
        encoder,
    )
    write_page(run, every[0], figures)
    return figures


def write_row(results: Path, key: Key, row: Row, draws: int, encoder: str) -> None:
    """Write a row of `hmdb10-real.json`."""
    only = "" if encoder == ENCODER else f"--encoder {encoder}"
    write_rows(results, FILE, About(WHAT, COMMAND, range(draws)), {key: row}, only)


def every_draw(
    run: Path,
    draws: int = DRAWS,
    training: TrainConfig = TRAINING,
    protocol: str = OURS,
    encoder: str = ENCODER,
) -> list[Draw]:
    """The draws of the split; errors as for `reproduce`."""
    clips = ten_classes(next(iter(splits_of(SET).values())).clips)
    folder = run if protocol == OURS else run / protocol
    return [
        Draw(folder, clips, number, training, PROTOCOLS[protocol], encoder)
        for number in range(draws)
    ]


def explain(
    run: Path,
    results: Path,
    protocol: str,
    draws: int = DRAWS,
    training: TrainConfig = TRAINING,
    encoder: str = ENCODER,
) -> dict[str, Any]:
    """Compute what is missing of one protocol, with the learning rates of ours, and write its row;
    errors as there.
    """
    ours, every = (every_draw(run, draws, training, name, encoder) for name in (OURS, protocol))
    clips = every[0].clips
    splits = [draw.split for draw in every]
    seen = np.concatenate([known(clips, split) for split in splits])
    names = names_of_hmdb51(data_folder() / "annotations" / "hmdb51")
    of_names = np.concatenate(
        [known(names, divide(names, draw.protocol, draw.number)) for draw in every]
    )
    recordings = {clip.path: clip.recording for clip in clips}
    tested = [
        f"{number} {recordings[clip.path]}"
        for number, split in enumerate(splits)
        for clip in split.test
    ]
    models = dict[str, Any]()
    memos = list[Path]()
    for name in PROTOCOLS[protocol].models:
        rate = chosen_rate(ours, name)
        cells = [draw.figures(name, rate) for draw in every]
        memos += [draw.folder(name, rate).with_suffix(".json") for draw in every]
        shares = np.concatenate([cell["frames"]["test"] for cell in cells])
        _, low, high = clustered(shares, tested)
        models[name] = {
            **{
                key: mean(cell[key] for cell in cells)
                for key in ("frame_accuracy", "accuracy", "training")
            },
            "each": [cell["frame_accuracy"] for cell in cells],
            "lr": rate,
            # Of the 95 % interval over recordings, for as many test clips as the report has.
            "half_width": (high - low) / 2 * math.sqrt(len(shares) / REPORT_CLIPS["test"]),
            "all_or_no_frames": float(np.isin(shares, (0, 1)).mean()),
            "known": float(shares[seen].mean()) if seen.any() else None,
            "unknown": float(shares[~seen].mean()),
        }
    counts = {"training_clips": mean(len(split.training) for split in splits), "draws": draws}
    figures = {
        **counts,
        "known": float(seen.mean()),
        "known_in_hmdb51": float(of_names.mean()),
        "models": models,
    }
    # the memos of ours are in the other row
    row = Row(figures, {}) if protocol == OURS else Row.of(figures, *memos)
    name = protocol if encoder == ENCODER else f"{protocol}, {encoder}"
    write_row(results, ("protocol", name), row, draws, encoder)
    return figures


def untested(every: Sequence[Draw]) -> list[bool]:
    """For each validation clip of the first draw: whether it is a test clip of no draw."""
    tested = {clip.path for draw in every for clip in draw.split.test}
    return [clip.path not in tested for clip in every[0].split.validation]


def chosen_rate(every: Sequence[Draw], name: str) -> float:
    """The learning rate with the highest frame accuracy on those clips of `untested`, in the first
    draw.
    """
    clips = untested(every)
    return max(
        RATES,
        key=lambda rate: sum(compress(every[0].figures(name, rate)["frames"]["validation"], clips)),
    )


def write_page(run: Path, draw: Draw, figures: dict[str, Any]) -> Path:
    """The table and the loss curves of all draws, and heat maps of the first."""
    draws = len(figures["clips"])
    page = Page("Attention for HMDB-51 on J-HMDB", f"{draws} draws of the split · {WHAT}")
    add_table(page, tables.on_jhmdb({FILE: figures}))
    page.heading("Training curves")
    page.figure(
        to_svg(loss_curves(figures["models"])),
        f"Thin: a draw; thick: the mean over {draws} draws.",
        wide=True,
    )
    page.heading("Heat maps")
    recognizer = load(draw.folder(ATTENTION, figures["models"][ATTENTION]["lr"]), device="cpu")
    rows = attention_rows(recognizer, draw.samples(recognizer.model).only(draw.split.test))
    page.figure(
        sheet(rows, _COLUMNS), "Test clips, and the probability of the true class.", wide=True
    )
    return page.write(run / "report.html")


def main(
    draws: Annotated[int, typer.Option(help="Draws of the split.", min=2, max=5)] = DRAWS,
    encoder: Annotated[str, typer.Option(help="The frozen encoder, such as lite0.")] = ENCODER,
) -> None:
    """Train the report's model, and the models that it is compared with, on every draw."""
    run = Path("runs/hmdb10-jhmdb")
    results = Path("results")
    if encoder != ENCODER:
        run /= encoder
    figures = reproduce(run, results, draws, encoder=encoder)
    for protocol in PROTOCOLS:
        explain(run, results, protocol, draws, encoder=encoder)
    if encoder == ENCODER:
        write_bytes(Path("docs/hmdb10-curves.png"), to_png(loss_curves(figures["models"])))
    low, high = figures["interval"]
    typer.echo(f"frames correct: {figures['frame_accuracy']:.1%} ({low:.1%} to {high:.1%})")


if __name__ == "__main__":
    typer.run(main)
