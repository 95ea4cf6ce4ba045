"""VideoLSTM's ablation on real video: RGB, flow and both, from the ConvNet to the fused streams, on
stored features.

`python -m onlooker_papers.videolstm.real_video jhmdb ucf101_18` with `ONLOOKER_DATA`: all of J-HMDB
(HMDB-51's own footage, 21 classes) and 18 complete classes of UCF101, official split 1, one seed;
more with `--seeds 3` and `--split 2`. Every cell is memoized in the run's folder; run the same
command to continue. `--encoder lite0` adds rows whose RGB is encoded with ImageNet weights, at
the size of its frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import typer

from onlooker.data.split import group_of
from onlooker_papers.intervals import over_recordings
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.results import About, Key, Row, write_rows
from onlooker_papers.sets import counts_of
from onlooker_papers.videolstm.fine_tune import RANDOM_FRAMES
from onlooker_papers.videolstm.official_budget import BOTH, FUSED, MOTION, SINGLE, STREAMS
from onlooker_papers.videolstm.on_features import (
    CHANNELS,
    MODELS,
    TRAINING,
    UNITS,
    Cell,
    RealSet,
    fuse,
)
from onlooker_papers.videolstm.reduced import FRAMES, SMALL, WIDTH

FILE = "videolstm-real"
COMMAND = "python -m onlooker_papers.videolstm.real_video"
WHAT = "VideoLSTM's ablation on real video: test clips correct, models on the same stored features"
# Each step of the published order: the later model, the earlier one.
STEPS = [(f"{b}-{of}", f"{a}-{of}") for of in STREAMS for a, b in pairwise(SINGLE)]
STEPS += [(MOTION, "convalstm-rgb"), (BOTH, MOTION), (BOTH, "convalstm-flow")]
SETS = ("jhmdb", "ucf101_18")  # with official splits
EPOCHS = {"ucf101_18": 6}  # of sets with more clips


def measure(
    of: RealSet, seeds: Sequence[int]
) -> tuple[dict[str, list[dict[str, Any]]], list[Path]]:
    """All cells, by model and seed, and their memos."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*MODELS, *FUSED)}
    memos = []
    for seed in seeds:
        for name in MODELS:
            cell = Cell(of, name, seed)
            found[name].append(cell.figures())
            memos.append(cell.folder.with_suffix(".json"))
        for words in FUSED:
            memos.append(of.run / f"seed{seed}" / f"{words}.json")
            members = [Cell(of, name, seed).folder for name in FUSED[words]]
            found[words].append(
                fuse(members, of.split, file=memos[-1], settings={**of.settings(), "seed": seed})
            )
    return found, memos


def figures_of(of: RealSet, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """The figures of the ablation, from its cells."""
    right = {name: [each["right"] for each in cells] for name, cells in found.items()}
    recordings, targets = zip(
        *((group_of(clip), clip.label) for clip in of.split.test), strict=True
    )
    rows = {name: _row(cells) for name, cells in found.items()}
    steps = {f"{b} over {a}": over_recordings(right[b], right[a], recordings) for b, a in STEPS}
    return {
        **{name: row["accuracy"] for name, row in rows.items()},
        "rows": rows,
        "steps": steps,
        "classes": len(of.classes),
        "clips": counts_of(of.split),
        "majority": max(map(targets.count, of.classes)) / len(targets),
        "budget": {
            "epochs": of.training.epochs,
            "lr": of.training.lr,
            "width": WIDTH,
            "units": UNITS,
            "channels": CHANNELS,
            "frames": FRAMES.frames,
            "size": of.sampling("rgb").size,
            "encoder": of.rgb_encoder,
            "seeds": len(right[MOTION]),
            "flow_encoder": {"epochs": of.fine_tuning.epochs, "frames": RANDOM_FRAMES},
        },
    }


def _row(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds, and each accuracy."""
    names = [name for name in ("accuracy", "frame_accuracy", "parameters") if name in cells[0]]
    row: dict[str, Any] = {name: mean(cell[name] for cell in cells) for name in names}
    if "weights" in cells[0]:
        row["weights"] = [mean(of) for of in zip(*(cell["weights"] for cell in cells), strict=True)]
    return {**row, "each": [cell["accuracy"] for cell in cells]}


def reproduce(
    name: str,
    split: int,
    *,
    seeds: int,
    run: Path,
    results: Path,
    encoder: str = SMALL,
) -> dict[str, Any]:
    """Compute the missing cells of one split of a set, and write its rows.

    Raises:
        ValueError: an unknown set or split, ONLOOKER_DATA is not set, or a run made with other
        settings.
        ClipError: there are no such clips, or one cannot be read.
    """
    splits = splits_of(name)
    if f"split{split}" not in splits:
        raise ValueError(f"{name} has no split {split}; it has {', '.join(splits)}")
    training = replace(TRAINING, epochs=EPOCHS.get(name, TRAINING.epochs))
    folder = run / name / f"split{split}"
    key: Key = (name,) if split == 1 else (f"{name}-split{split}",)
    only = ""
    if encoder != SMALL:
        folder /= encoder
        key = (encoder, *key)
        only = f"--encoder {encoder}"
    of = RealSet(folder, name, splits[f"split{split}"], training=training, rgb_encoder=encoder)
    found, memos = measure(of, range(seeds))
    figures = figures_of(of, found)
    about = About(WHAT, COMMAND, range(seeds))
    write_rows(results, FILE, about=about, rows={key: Row.of(figures, *memos)}, only=only)
    return figures


def main(
    sets: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(SETS)}. Default: all.")
    ] = None,
    *,
    split: Annotated[int, typer.Option(help="Official split: 1, 2 or 3.", min=1, max=3)] = 1,
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 1,
    encoder: Annotated[str, typer.Option(help="The encoder of RGB, such as lite0.")] = SMALL,
) -> None:
    """Train the models on each set."""
    for name in sets or SETS:
        figures = reproduce(
            name,
            split,
            seeds=seeds,
            run=Path("runs/videolstm-real"),
            results=Path("results"),
            encoder=encoder,
        )
        for model, row in figures["rows"].items():
            typer.echo(f"{name} {model}: {row['accuracy']:.1%}")


if __name__ == "__main__":
    typer.run(main)
