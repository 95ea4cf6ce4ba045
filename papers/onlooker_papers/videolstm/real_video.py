"""VideoLSTM's ablation on real video: RGB, flow and both, from the ConvNet to the fused streams, on stored features.

`python -m onlooker_papers.videolstm.real_video jhmdb ucf101_18` with `ONLOOKER_DATA`: all of J-HMDB (HMDB-51's own
footage, 21 classes) and 18 complete classes of UCF101, official split 1, one seed; more with `--seeds 3` and
`--split 2`. Every cell is memoized in the run's folder; run the same command to continue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from onlooker.data.split import group_of
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.results import About, Row, write_rows
from onlooker_papers.videolstm import control
from onlooker_papers.videolstm.fine_tune import RANDOM_FRAMES
from onlooker_papers.videolstm.official_budget import BOTH, FUSED, MOTION, SINGLE, STREAMS
from onlooker_papers.videolstm.on_features import (
    CHANNELS,
    CONTROLS,
    MODELS,
    RANDOM,
    TRAINING,
    UNITS,
    Cell,
    RealSet,
    fuse,
)
from onlooker_papers.videolstm.reduced import FRAMES, WIDTH

FILE = "videolstm-real"
COMMAND = "python -m onlooker_papers.videolstm.real_video"
WHAT = "VideoLSTM's ablation on real video: test clips correct, models on the same stored features"
CONTROL = control.FILE
# Each step of the published order: the later model, the earlier one.
STEPS = [(f"{b}-{of}", f"{a}-{of}") for of in STREAMS for a, b in pairwise(SINGLE)]
STEPS += [(MOTION, "convalstm-rgb"), (BOTH, MOTION)]
EPOCHS = {"ucf101_18": 6}  # of sets with more clips
FINE_TUNED = "-fine-tuned"  # suffix of a set's name in the results
_Z = 1.959964


def difference(later: Sequence[str], earlier: Sequence[str], recordings: Sequence[str]) -> list[float]:
    """The difference of two models' accuracies, means over seeds, and its 95 % interval over recordings.

    Clips of one recording are not independent, so the variance is that of sums over recordings (Liang & Zeger 1986).

    Args:
        later, earlier: for each seed one character per clip, 1 where it is classified correctly.
        recordings: the recording of each clip.
    """
    a, b = (np.mean([np.frombuffer(each.encode(), np.uint8) - 48.0 for each in of], axis=0) for of in (later, earlier))
    return over_recordings(a - b, recordings)


def over_recordings(apart: NDArray[np.float64], recordings: Sequence[str]) -> list[float]:
    """The mean of a value per clip, and its 95 % interval over the recordings of the clips."""
    center = float(apart.mean())
    _, numbers = np.unique(np.asarray(recordings), return_inverse=True)
    sums = np.bincount(numbers, apart - center)
    half = _Z * float(np.sqrt((sums**2).sum())) / len(apart)
    return [center, center - half, center + half]


def measure(
    of: RealSet, seeds: Sequence[int], controls: bool = True
) -> tuple[dict[str, Any], dict[str, Any], list[Path]]:
    """All cells of the seeds: figures of the ablation, figures of the controls, and the memos from which they are made.

    Without `controls`, `motion` from random weights and the controls are left out.
    """
    models = MODELS if controls else MODELS[: MODELS.index(RANDOM)]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*models, *FUSED)}
    memos = []
    for seed in seeds:
        for name in models:
            cell = Cell(of, name, seed)
            found[name].append(cell.figures())
            memos.append(cell.folder.with_suffix(".json"))
        for words in FUSED:
            found[words].append(fuse(of, words, seed))
            memos.append(of.run / f"seed{seed}" / f"{words}.json")
    right = {name: [each["right"] for each in cells] for name, cells in found.items()}
    recordings = [group_of(clip) for clip in of.split.test]
    targets = [clip.label for clip in of.split.test]
    rows = {name: _row(cells) for name, cells in found.items()}
    shared = {
        "classes": len(of.classes),
        "clips": {side: len(getattr(of.split, side)) for side in ("training", "validation", "test")},
        "majority": max(map(targets.count, of.classes)) / len(targets),
        "budget": {
            "epochs": of.training.epochs, "lr": of.training.lr, "width": WIDTH, "units": UNITS, "channels": CHANNELS,
            "frames": FRAMES.frames, "size": FRAMES.size, "seeds": len(seeds),
            "flow_encoder": {"epochs": of.fine_tuning.epochs, "frames": RANDOM_FRAMES},
        },
    }  # fmt: skip
    steps = {f"{b} over {a}": difference(right[b], right[a], recordings) for b, a in STEPS}
    figures = {**{name: row["accuracy"] for name, row in rows.items()}, "rows": rows, "steps": steps, **shared}
    if not controls:
        return figures, {}, memos
    each = {_plain(name): [cell["accuracy"] for cell in found[name]] for name in (RANDOM, *CONTROLS)}
    compared = {
        **{name: mean(accuracies) for name, accuracies in each.items()},
        "each": each,
        "gain": {name: difference(right[RANDOM], right[name], recordings) for name in CONTROLS},
        "interval": "over recordings",
    }
    return figures, {**compared, **shared}, memos


def _plain(name: str) -> str:
    """The name of a control; `motion` starts from random weights there, as the controls do."""
    return MOTION if name == RANDOM else name


def _row(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds, and each accuracy."""
    names = [name for name in ("accuracy", "frame_accuracy", "parameters") if name in cells[0]]
    row: dict[str, Any] = {name: mean(cell[name] for cell in cells) for name in names}
    if "weights" in cells[0]:
        row["weights"] = [mean(of) for of in zip(*(cell["weights"] for cell in cells), strict=True)]
    return {**row, "each": [cell["accuracy"] for cell in cells]}


def reproduce(
    name: str, split: int, seeds: int, run: Path, results: Path, controls: bool = True, fine_tuned: bool = False
) -> dict[str, Any]:
    """Compute the missing cells of one split of a set, and write its rows.

    `fine_tuned`: the encoder of RGB is trained on the split, too; the rows belong to a separate set.

    Raises:
        ValueError: an unknown set or split, ONLOOKER_DATA is not set, or a run made with other settings.
        ClipError: there are no such clips, or one cannot be read.
    """
    splits = splits_of(name)
    if f"split{split}" not in splits:
        raise ValueError(f"{name} has no split {split}; it has {', '.join(splits)}")
    training = replace(TRAINING, epochs=EPOCHS.get(name, TRAINING.epochs))
    end = FINE_TUNED if fine_tuned else ""
    of = RealSet(run / f"{name}{end}" / f"split{split}", name, splits[f"split{split}"], training)
    of = replace(of, fine_tuned=STREAMS) if fine_tuned else of
    of.features  # noqa: B018 - stores are made before settings are read from them
    figures, compared, memos = measure(of, range(seeds), controls)
    key = (f"{name}{end}",) if split == 1 else (f"{name}{end}-split{split}",)
    row = Row.of(figures, *memos)
    write_rows(results, FILE, About(WHAT, COMMAND, range(seeds)), {key: row})
    if controls:
        about = About(control.WHAT, control.COMMAND, range(seeds))
        write_rows(results, CONTROL, about, {key: Row(compared, row.settings)}, made_by=COMMAND)
    return figures


def main(
    sets: Annotated[list[str], typer.Argument(help="Sets with official splits: jhmdb, ucf101_18.")],
    split: Annotated[int, typer.Option(help="Official split: 1, 2 or 3.", min=1, max=3)] = 1,
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 1,
    controls: Annotated[
        bool, typer.Option(help="Also train models of image and flow without motion attention.")
    ] = True,
    fine_tuned: Annotated[
        bool, typer.Option("--fine-tuned", help="Train the encoder of RGB on the split, too, not only that of flow.")
    ] = False,
    run: Annotated[Path, typer.Option(help="Folder of features and trainings.")] = Path("runs/videolstm-real"),
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
) -> None:
    """Train the models on each set."""
    for name in sets:
        figures = reproduce(name, split, seeds, run, results, controls, fine_tuned)
        for model, row in figures["rows"].items():
            typer.echo(f"{name} {model}: {row['accuracy']:.1%}")


if __name__ == "__main__":
    typer.run(main)
