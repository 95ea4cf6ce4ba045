"""People across a room, drawn: clips, states and events of people and rooms that are not in the training.

    python -m onlooker_papers.real_clips.far                    # half an hour; writes results/far.json
    python -m onlooker_papers.real_clips.far --parts clips      # one row again

All is written, trained and evaluated by the commands of a user, `onlooker generate … --distance
far`, `train` and `evaluate`, with their defaults. Five gestures, which differ in the arms only:

- `clips`: 16 of each gesture, of 8 people; tested on 8 of each, of 4 people in two other rooms.
- `states`: gestures that are repeated without pauses, each for 6 to 12 s; a minute of each of 6
  people, and of 2 people in another room in the test.
- `events`: single gestures with pauses, three minutes of each of 6 and of 2 people.
"""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from onlooker.base.files import read_json
from onlooker_papers.real_clips.states import onlooker
from onlooker_papers.results import About, Row, write_rows

FILE = "far"
COMMAND = "python -m onlooker_papers.real_clips.far"
WHAT = "drawn people across a room, other people and rooms than in training: clips, states, events"
_FAR = ("--distance", "far")
_FIGURES = ("accuracy", "accuracy_interval", "recordings", "videos", "chosen")


def once(made: Path, *words: object) -> None:
    """Run a command that makes a folder, unless it is there."""
    if not made.exists():
        onlooker(*words)


def clips(folder: Path) -> dict[str, Any]:
    """Clips classified correctly."""
    rows = [("path", "label", "split", "recording")]
    for split, count, people, seed in (("train", 16, 8, 11), ("test", 8, 4, 12)):
        made = folder / split
        size = ("--clips", count, "--people", people, "--seed", seed)
        once(made, "generate", "figures", made, *_FAR, *size)
        with (made / "recordings.csv").open(newline="") as stream:
            for row in csv.DictReader(stream):
                path = f"{split}/{row['clip']}"
                label = row["clip"].split("/")[0]
                rows.append((path, label, split, f"{split} {row['recording']}"))
    with (folder / "clips.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    evaluation = folder / "run" / "evaluation.json"
    once(evaluation, "train", folder / "clips.csv", "--run", folder / "run")
    figures = read_json(evaluation)
    return {name: figures[name] for name in _FIGURES}


def states(folder: Path) -> dict[str, Any]:
    """Repeated gestures."""
    evaluation = _recordings(folder, "--seconds", 60, "--seed", 13)
    return {
        way: {name: figures["states"][0][name] for name in ("accuracy", "segmental_f1", "edit")}
        for way, figures in (("offline", evaluation), ("live", evaluation["live"]))
    }


def events(folder: Path) -> dict[str, Any]:
    """Single gestures."""
    evaluation = _recordings(folder, "--pauses", "--seconds", 170, "--seed", 14)
    names = ("segment_map", "events", "found", "misnamed", "false_alarms_per_hour")
    return {
        way: {name: figures[name] for name in names}
        for way, figures in (("offline", evaluation), ("live", evaluation["live"]))
    }


def _recordings(folder: Path, *options: object) -> dict[str, Any]:
    """The evaluation of a model of recordings."""
    home = folder / "home"
    run = folder / "run"
    evaluation = run / "recordings-test" / "evaluation.json"
    once(home, "generate", "recordings", home, *_FAR, "--count", 8, *options)
    once(run / "evaluation.json", "train", home / "train.csv", "--run", run)
    once(evaluation, "evaluate", run, "--recordings", home / "test.csv")
    figures: dict[str, Any] = read_json(evaluation)
    return figures


PARTS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "clips": clips,
    "states": states,
    "events": events,
}


def main(
    parts: Annotated[
        str, typer.Option(help=f"Some of {', '.join(PARTS)}, separated by commas.")
    ] = "",
    run: Path = Path("runs/far"),
    results: Path = Path("results"),
) -> None:
    """Measure the default commands on drawn people across a room; what is in the folder `run` is not
    made again.
    """
    for name in parts.split(",") if parts else PARTS:
        (run / name).mkdir(parents=True, exist_ok=True)
        row = Row(PARTS[name](run / name), {})
        only = f"--parts {name}" if parts else ""
        write_rows(results, FILE, about=About(WHAT, COMMAND, [0]), rows={(name,): row}, only=only)
        typer.echo(f"{name}: {row.figures}")


if __name__ == "__main__":
    typer.run(main)
