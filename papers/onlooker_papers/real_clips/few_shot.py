"""Few labeled clips of a class: episodes as in the few-shot literature, by the head of the default
command.

The encoder was not trained on any clip of the evaluation sets, so all classes are new to it. Motion
words were learned from generated figures. Which eyes count is chosen in each episode, from its
labeled clips.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from onlooker.training.eyes import choose_eyes
from onlooker.training.linear import ClipStatistics
from onlooker_papers.real_clips.frozen import MODEL, Eyes, encode, input_of
from onlooker_papers.results import About, Row, write_rows

FILE = "few-shot"
COMMAND = "python -m onlooker_papers.real_clips.few_shot"
# sets, and the classes of an episode
OF = {"ucf101_18": 5, "jhmdb": 5, "hand_gestures": 4}
SHOTS = (1, 5)
QUERIES = 5
EPISODES = 200
_DRAWN = 1000  # attempts to draw a class before an error

Ints = NDArray[np.int64]


def episode(
    clips: ClipStatistics, ways: int, shots: int, *, random: np.random.Generator
) -> tuple[Ints, Ints]:
    """Support and query clips of random classes: positions `ways*shots` and `ways*QUERIES`, class
    after class.

    Classes with fewer clips than both need are not drawn. Each recording is either in support or in
    query; if the other recordings of a class have too few queries, its support clips are drawn
    again.

    Raises:
        ValueError: a class has too few recordings.
    """
    support: list[Ints] = []
    query: list[Ints] = []
    large = np.flatnonzero(np.bincount(clips.y) >= shots + QUERIES)
    for k in random.permutation(large)[:ways]:
        for _ in range(_DRAWN):
            of = random.permutation(np.flatnonzero(clips.y == k))
            chosen = of[:shots]
            others = of[~np.isin(clips.groups[of], clips.groups[chosen])][:QUERIES]
            if len(chosen) == shots and len(others) == QUERIES:
                break
        else:
            raise ValueError(
                f"class {k} has {len(of)} clips, too few of other recordings than {shots} random ones"
            )
        support.append(chosen)
        query.append(others)
    return np.concatenate(support), np.concatenate(query)


def episodes(clips: ClipStatistics, ways: int, shots: int, *, count: int = EPISODES) -> list[float]:
    """Mean accuracy over episodes and its 95 % interval; episode i is drawn with seed i."""
    truth = np.repeat(np.arange(ways), QUERIES)
    right = []
    for seed in range(count):
        support, query = episode(clips, ways, shots, random=np.random.default_rng(seed))
        shown = clips.subset(np.concatenate((support, query)))._replace(
            y=np.concatenate((np.repeat(np.arange(ways), shots), truth)), num_classes=ways
        )
        fit, test = np.split(np.arange(len(shown.y)), [len(support)])
        logits = choose_eyes(shown.subset(fit)).held_out_logits(
            shown, train_rows=fit, test_rows=test
        )
        right.append(float((logits.argmax(1) == truth).mean()))
    half = 1.959964 * float(np.std(right)) / count**0.5
    return [float(np.mean(right)), float(np.mean(right)) - half, float(np.mean(right)) + half]


def measure(
    name: str,
    run: Path,
    results: Path,
    *,
    encoder: str = MODEL.encoder,
    copies: bool = True,
    eyes: Eyes = "pictures",
) -> dict[str, Any]:
    """Episodes of one set; writes its row of `few-shot.json`. Without copies, encoding takes a
    quarter of the time.
    """
    encoded = encode(name, run, encoder=encoder, copies=copies, eyes=eyes)
    model, data, _ = input_of(encoder)
    settings = {
        "model": model.to_dict(),
        "data": data.to_dict(),
        "weights": encoded.weights,
        "copies": copies,
        "eyes": eyes,
    }
    rows = {str(shots): {"linear": episodes(encoded.clips, OF[name], shots)} for shots in SHOTS}
    means = {shots: of["linear"][0] for shots, of in rows.items()}
    figures = {**means, "heads": rows, "episodes": EPISODES, "ways": OF[name]}
    what = f"episodes, {QUERIES} queries a class, by labeled clips a class"
    other = {
        "encoder": encoder if encoder != MODEL.encoder else "",
        "eyes": eyes if eyes != "pictures" else "",
    }
    key = ", ".join((name, *filter(None, other.values()), *([] if copies else ["no copies"])))
    only = " ".join(f"--{option} {value}" for option, value in other.items() if value)
    only += " --no-copies" * (not copies)
    write_rows(
        results,
        FILE,
        about=About(what, COMMAND, range(EPISODES)),
        rows={(key,): Row(figures, settings)},
        only=only,
    )
    return figures


def main(
    sets: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(OF)}. Default: all.")
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="Another encoder than that of the default command.")
    ] = MODEL.encoder,
    *,
    copies: Annotated[
        bool, typer.Option(help="Encode copies of the clips, which the layer may be fitted to.")
    ] = True,
    eyes: Annotated[
        Eyes, typer.Option(help="See motion, too: both, or what is better in cross-validation.")
    ] = "pictures",
) -> None:
    """Measure few clips per class."""
    run = Path("runs/real-clips/features")
    results = Path("results")
    for name in sets or OF:
        found = measure(name, run, results, encoder=encoder, copies=copies, eyes=eyes)
        print(f"{name}: 5-shot {found['5']:.1%}, 1-shot {found['1']:.1%}")


if __name__ == "__main__":
    typer.run(main)
