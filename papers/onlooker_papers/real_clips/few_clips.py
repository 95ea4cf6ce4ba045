"""What 24 or 48 clips give: accuracy, how well probabilities hold, and what is called unlike.

    python -m onlooker_papers.real_clips.few_clips                 # writes results/few-clips.json
    python -m onlooker_papers.real_clips.few_clips weizmann        # the rows of one set again

Ten times, recordings are drawn until they have so many clips, of up to four classes of a set in turn;
all clips of these classes in other recordings are tested, at most 500. Pictures alone, with the
encoder `lite0`, without altered copies of clips. *Foreign* are the clips of each other set, at most
300 each, and *broken* what a broken camera shows: noise and one color. Features are kept in
`runs/real-clips/features`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Annotated, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import typer
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from onlooker import Decision, LinearClassifier
from onlooker.measure.metrics import calibration_error, perfect_calibration_error
from onlooker.training.forward import encode_samples
from onlooker.training.linear import ClipStatistics
from onlooker.training.linear_fitter import fit_layers
from onlooker_papers.real_clips.frozen import SETS, encode, input_of, model
from onlooker_papers.results import About, Row, write_rows

FILE = "few-clips"
COMMAND = "python -m onlooker_papers.real_clips.few_clips"
WHAT = "24 and 48 clips: accuracy, calibration, and what is unlike training"
ENCODER = "lite0"
COUNTS = (24, 48)
DRAWS = 10
CLASSES = 4
TESTED = 500
FOREIGN = 300
BROKEN = "broken"
CLOSE = 0.03  # error of calibration above that of a perfectly calibrated model

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


class Draw(NamedTuple):
    """Positions of clips to train with and to test, and the classes `B` of all clips among `K`."""

    train: Ints
    test: Ints
    y: Ints
    num_classes: int

    @classmethod
    def of(cls, clips: ClipStatistics, count: int, random: np.random.Generator) -> "Draw":
        """Draw recordings, each class in turn."""
        classes = np.sort(random.permutation(np.unique(clips.y))[:CLASSES])
        of_classes = np.flatnonzero(np.isin(clips.y, classes))
        y, groups = clips.y[of_classes], clips.groups[of_classes]
        order = random.permutation(np.unique(groups)).tolist()
        drawn = list[str]()
        while np.isin(groups, drawn).sum() < count and len(drawn) < len(order) - 1:
            left = [group for group in order if group not in drawn]
            label = classes[len(drawn) % len(classes)]
            shown = [group for group in left if (y[groups == group] == label).any()]
            drawn.append((shown or left)[0])
        train = of_classes[np.isin(groups, drawn)]
        test = of_classes[~np.isin(groups, drawn)]
        return cls(
            np.sort(random.permutation(train)[:count]),
            np.sort(random.permutation(test)[:TESTED]),
            np.searchsorted(classes, clips.y),
            num_classes=len(classes),
        )


class Answers(NamedTuple):
    """Probabilities `B K` of clips, and their distances from training `B`."""

    scores: Floats
    distances: Floats


@torch.inference_mode()
def answers(net: LinearClassifier, decision: Decision, x: Floats) -> Answers:
    """What a fitted model answers for clips with statistics `B M`."""
    statistics = torch.from_numpy(x).float()
    head = net.head
    standardized = head.standardized(statistics, torch.full((len(x),), net.window - 1))
    by_eyes = dict[str, Tensor]()
    if net.everyday is not None:
        ratios = net.everyday(statistics[:, : len(net.everyday.center)])
        by_eyes["everyday"] = F.pad(ratios[:, None], (net.num_classes, 0))
    logits, distance = head.with_eyes(head(standardized), head.distances(standardized), by_eyes)
    scores = softmax(logits.numpy() / decision.temperature, 1).astype(np.float32)
    distances = distance.double().numpy()
    return Answers(decision.shrink_to_prior(scores[:, None], distances)[:, 0], distances)


def auroc(own: Floats, foreign: Floats) -> float:
    """The share of pairs in which a foreign clip is farther than one of the model's own set."""
    farther = (foreign[:, None] > own).mean() + (foreign[:, None] == own).mean() / 2
    return float(farther)


@torch.inference_mode()
def broken_camera(net: LinearClassifier) -> Floats:
    """Statistics of still clips of noise and of one color, `B M`."""
    data = input_of(ENCODER).data
    random = np.random.default_rng(1)
    levels = np.linspace(0, 255, 8)
    shape = (data.frames, data.size, data.size, 3)
    clips = [np.full(shape, level) for level in levels]
    clips += [random.normal(level, 15 + level / 4, shape) for level in levels]
    frames = torch.from_numpy(np.stack(clips).clip(0, 255).astype(np.uint8))
    rows = [net.statistics(encode_samples(net, clip[None], data, at_once=8)) for clip in frames]
    return torch.cat(rows)[:, -1].double().numpy()


def figures_of(
    clips: ClipStatistics, draw: Draw, foreign: Mapping[str, Floats]
) -> dict[str, float | dict[str, float]]:
    """The figures of one draw.

    Args:
        foreign: statistics of other clips, by what they show.
    """
    net = model(draw.num_classes, True, ENCODER)
    training = clips._replace(y=draw.y, num_classes=draw.num_classes).subset(draw.train)
    decision = Decision(tuple(f"class {k}" for k in range(draw.num_classes)))
    _, decision = fit_layers(net, training, decision, stream_clips={})
    own = answers(net, decision, clips.x[draw.test])
    y = draw.y[draw.test]
    confidence = own.scores.max(1)
    correct = own.scores.argmax(1) == y
    unlike = {name: answers(net, decision, x).distances for name, x in foreign.items()}
    limit = np.inf if decision.novelty_limit is None else decision.novelty_limit
    return {
        "recordings": float(len(np.unique(training.groups))),
        "accuracy": float(correct.mean()),
        "confidence": float(confidence.mean()),
        "log_loss": float(-np.log(own.scores[range(len(y)), y].clip(1e-12)).mean()),
        "error": calibration_error(confidence, correct),
        "perfect": perfect_calibration_error(confidence)[0],
        "own_unlike": float((own.distances > limit).mean()),
        "auroc": {name: auroc(own.distances, distances) for name, distances in unlike.items()},
        "unlike": {name: float((values > limit).mean()) for name, values in unlike.items()},
    }


def averaged(draws: Sequence[Mapping[str, float | Mapping[str, float]]]) -> dict[str, object]:
    """The mean figures of draws, and in how many of them calibration is close to perfect."""
    result = dict[str, object]()
    for name, value in draws[0].items():
        if isinstance(value, Mapping):
            by_name = [draw[name] for draw in draws]
            result[name] = {key: mean(row[key] for row in by_name) for key in value}  # type: ignore[index]
        else:
            result[name] = mean(draw[name] for draw in draws)  # type: ignore[type-var]
    of_sets = {name: value for name, value in result["auroc"].items() if name != BROKEN}  # type: ignore[attr-defined]
    if of_sets:
        result["foreign"] = mean(of_sets.values())
        result["hardest"] = min(of_sets, key=of_sets.__getitem__)
        result["lowest"] = min(of_sets.values())
    result["close"] = sum(draw["error"] - draw["perfect"] <= CLOSE for draw in draws)  # type: ignore[operator]
    result["draws"] = len(draws)
    return result


def main(
    sets: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(SETS)}. Default: all.")
    ] = None,
) -> None:
    """Measure what few clips give."""
    encoded = {
        name: encode(name, Path("runs/real-clips/features"), encoder=ENCODER).clips
        for name in sets or SETS
    }
    random = np.random.default_rng(2)
    foreign = {
        name: clips.x[np.sort(random.permutation(len(clips.y))[:FOREIGN])]
        for name, clips in encoded.items()
    }
    foreign[BROKEN] = broken_camera(model(2, True, ENCODER))
    for name, clips in encoded.items():
        others = {other: x for other, x in foreign.items() if other != name}
        rows = dict[tuple[str, ...], Row]()
        for count in COUNTS:
            draws = [
                figures_of(clips, Draw.of(clips, count, np.random.default_rng(seed)), others)
                for seed in range(DRAWS)
            ]
            row = averaged(draws)
            rows[name, str(count)] = Row(row, {"clips": count, "encoder": ENCODER})
            typer.echo(f"{name}, {count} clips: {row}")
        about = About(WHAT, COMMAND, [*range(DRAWS)])
        write_rows(Path("results"), FILE, about=about, rows=rows, only=name)


if __name__ == "__main__":
    typer.run(main)
