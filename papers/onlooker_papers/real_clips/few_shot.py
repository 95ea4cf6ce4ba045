"""Few labeled clips of a class: episodes as in the few-shot literature, and learning curves, on frozen features.

The encoder was not trained on any clip of the evaluation sets, so all classes are new to it. The main figure is that of
the linear head, which was decided before measuring; prototypes and matching are compared with it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from onlooker.drawing.plots import to_png
from onlooker.files import read_json, write_bytes
from onlooker.training.linear import Choice, Clips, Method
from onlooker_papers.real_clips.frozen import DATA, MODEL, Encoded, encode, fitted_logits, splits_of
from onlooker_papers.real_clips.plots import learning_curves
from onlooker_papers.results import About, Row, write_rows

FILE, CURVES = "few-shot", "learning-curves"
COMMAND = "python -m onlooker_papers.real_clips.few_shot"
OF = ("ucf101_18", "jhmdb")
WAYS, SHOTS, QUERIES, EPISODES = 5, (1, 5), 5, 200
PER_CLASS, DRAWS = (1, 2, 5, 10, 20), 10
_DRAWN = 1000  # attempts to draw a class before an error
_METHOD = Method("logistic", 10.0)  # the default of the library if there are too few clips for cross-validation

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def episode(clips: Clips, shots: int, random: np.random.Generator) -> tuple[Ints, Ints]:
    """Support and query clips of random classes: positions `WAYS*shots` and `WAYS*QUERIES`, class after class.

    Each recording is either in support or in query; if the other recordings of a class have too few queries, its
    support clips are drawn again.

    Raises:
        ValueError: a class has too few clips or recordings.
    """
    support: list[Ints] = []
    query: list[Ints] = []
    for k in random.permutation(clips.num_classes)[:WAYS]:
        for _ in range(_DRAWN):
            of = random.permutation(np.flatnonzero(clips.y == k))
            chosen = of[:shots]
            others = of[~np.isin(clips.groups[of], clips.groups[chosen])][:QUERIES]
            if len(chosen) == shots and len(others) == QUERIES:
                break
        else:
            raise ValueError(f"class {k} has {len(of)} clips, too few of other recordings than {shots} random ones")
        support.append(chosen)
        query.append(others)
    return np.concatenate(support), np.concatenate(query)


def linear(encoded: Encoded, support: Ints, query: Ints) -> Floats:
    """The head of the default command: scores `Q WAYS`."""
    names = ",".join(encoded.clips.names)
    clips = encoded.clips.only(support)._replace(y=np.repeat(np.arange(WAYS), len(support) // WAYS), num_classes=WAYS)
    return fitted_logits(clips, Choice(names, _METHOD, np.empty(0), {}, 1.0), encoded.clips.x[query])


def prototypes(encoded: Encoded, support: Ints, query: Ints) -> Floats:
    """The cosine of standardized statistics with the mean of each class (after Snell et al. 2017): scores `Q WAYS`."""
    x = encoded.clips.x
    center, scale = x[support].mean(0), x[support].std(0)
    scale = np.where(
        scale > 1e-6 * np.abs(center), scale, np.inf
    )  # statistics that are constant over the clips are ignored
    shown, asked = (_unit((x[of] - center) / scale) for of in (support, query))
    return asked @ _unit(shown.reshape(WAYS, -1, x.shape[1]).mean(1)).T


def matching(encoded: Encoded, support: Ints, query: Ints) -> Floats:
    """Frames matched in both directions without parameters: scores `Q WAYS`.

    The distance of two clips is the mean, over the frames of both, of the cosine distance to the nearest frame of the
    other clip (bidirectional mean Hausdorff distance, Wang et al. 2022); the distance to a class is the mean over its
    clips.
    """
    center = encoded.frames[support].mean((0, 1))
    shown, asked = (_unit(encoded.frames[of].astype(np.float64) - center) for of in (support, query))
    alike = np.einsum("qtd,sud->qstu", asked, shown, optimize=True)
    return (alike.max(3).mean(2) + alike.max(2).mean(2)).reshape(len(query), WAYS, -1).mean(2)


def _unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


HEADS: dict[str, Callable[[Encoded, Ints, Ints], Floats]] = {
    "linear": linear,
    "prototypes": prototypes,
    "matching": matching,
}


def episodes(encoded: Encoded, shots: int, count: int = EPISODES) -> dict[str, list[float]]:
    """Mean accuracy over episodes and its 95 % interval, for each head; episode i is drawn with seed i."""
    truth = np.repeat(np.arange(WAYS), QUERIES)
    found: dict[str, list[float]] = {name: [] for name in HEADS}
    for seed in range(count):
        support, query = episode(encoded.clips, shots, np.random.default_rng(seed))
        for name, head in HEADS.items():
            found[name].append(float((head(encoded, support, query).argmax(1) == truth).mean()))
    halves = {name: 1.959964 * float(np.std(of)) / len(of) ** 0.5 for name, of in found.items()}
    return {name: [(m := float(np.mean(of))), m - halves[name], m + halves[name]] for name, of in found.items()}


def curve(encoded: Encoded, fit: Ints, test: Ints, draws: int = DRAWS) -> dict[str, dict[str, float]]:
    """Accuracy on test clips by the number of training clips of each class: mean and spread of random draws.

    Statistics and method are chosen by cross-validation on all training clips.
    """
    clips, tested = encoded.clips.only(fit), encoded.clips.only(test)
    choice, points = encoded.choice(fit), {}
    for count in (*PER_CLASS, 0):
        right = []
        for seed in range(draws if count else 1):
            order = np.random.default_rng(seed).permutation(len(clips.y))
            of_class = (order[clips.y[order] == k][: count or None] for k in range(clips.num_classes))
            logits = fitted_logits(clips.only(np.concatenate([*of_class])), choice, tested.x)
            right.append(float((logits.argmax(1) == tested.y).mean()))
        points[str(count or "all")] = {
            "per_class": count or len(clips.y) / clips.num_classes,
            "accuracy": float(np.mean(right)),
            "spread": float(np.std(right)),
        }
    return points


def measure(name: str, run: Path, results: Path) -> dict[str, Any]:
    """Episodes of one set; writes its row of `few-shot.json`."""
    encoded = encode(name, run)
    settings = {"model": MODEL.to_dict(), "data": DATA.to_dict(), "weights": encoded.weights}
    rows = {str(shots): episodes(encoded, shots) for shots in SHOTS}
    figures = {**{shots: of["linear"][0] for shots, of in rows.items()}, "heads": rows, "episodes": EPISODES}
    what = f"{WAYS}-way episodes, {QUERIES} queries a class, by labeled clips a class: the linear head, and all heads"
    write_rows(results, FILE, About(what, COMMAND, range(EPISODES)), {(name,): Row(figures, settings)})
    return figures


def measure_curve(name: str, run: Path, results: Path) -> None:
    """The learning curve of one set on its first split; writes its row of `learning-curves.json`."""
    encoded, first = encode(name, run), next(iter(splits_of(name).values()))
    settings = {"model": MODEL.to_dict(), "data": DATA.to_dict(), "weights": encoded.weights}
    fit, test = encoded.positions((*first.training, *first.validation)), encoded.positions(first.test)
    points = {"curve": curve(encoded, fit, test), "head": "linear", "draws": DRAWS, "test_clips": len(test)}
    what = "test accuracy of the linear head by training clips a class, official split 1"
    write_rows(results, CURVES, About(what, COMMAND, range(DRAWS)), {(name,): Row(points, settings)})


def main(
    sets: Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(OF)}. Default: all.")] = None,
) -> None:
    """Measure few clips per class, and learning curves."""
    run, results = Path("runs/real-clips/features"), Path("results")
    for name in sets or OF:
        found = measure(name, run, results)
        measure_curve(name, run, results)
        print(f"{name}: 5-shot {found['5']:.1%}, 1-shot {found['1']:.1%}")
    curves = read_json(results / f"{CURVES}.json")["figures"]
    write_bytes(Path("docs/learning-curves.png"), to_png(learning_curves(curves)))


if __name__ == "__main__":
    typer.run(main)
