"""States of recordings without pauses, beside events of the same recordings.

    python -m onlooker_papers.real_clips.states                    # writes results/states.json
    python -m onlooker_papers.real_clips.states --sets figures     # one row again

Recordings of other people than those of the training; the lists, the training and the evaluation
are those of a user: `onlooker train LIST --when states` (or events), and `onlooker evaluate RUN
--recordings LIST`.

- `figures`: stick figures in nine states of half a second to a minute (`onlooker generate
  recordings`), two minutes of each of 6 people, 2 of them in the test.
- `weizmann`: ten actions of nine people, each repeated for 1 to 15 s, one after another at 8 frames
  a second; 3 of them in the test.
"""

import csv
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from onlooker.base.files import read_json
from onlooker.cli.command import command
from onlooker.video.reader import VideoReader
from onlooker.video.write import write
from onlooker_papers.results import About, Row, check_command, write_rows
from onlooker_papers.sets import data_folder

FILE = "states"
COMMAND = "python -m onlooker_papers.real_clips.states"
WHAT = "states of recordings without pauses, of people who were not trained on: accuracy, F1 of frames and of bouts"
_PEOPLE = 6  # of Weizmann's nine, in the training
_FPS = 8.0
_LONGEST = 15.0  # seconds of an action; the shortest lasts one


def figures(folder: Path) -> None:
    """Write generated recordings, and their lists."""
    onlooker("generate", "recordings", folder, "--seconds", 120, "--seed", 100)


def weizmann(folder: Path) -> None:
    """Write recordings in which Weizmann's people repeat one action after another, and their lists."""
    clips = data_folder() / "clips" / "weizmann" / "frames"
    with (clips / "recordings.csv").open(newline="") as file:
        people = {row["clip"]: row["recording"] for row in csv.DictReader(file)}
    random = np.random.default_rng(0)
    actions = sorted({clip.split("/")[0] for clip in people})
    lists: dict[str, list[str]] = {
        "train": ["path,start,end,label"],
        "test": ["path,start,end,label"],
    }
    folder.mkdir()
    for number, person in enumerate(sorted({*people.values()})):
        frames = list[np.ndarray]()
        last = ""
        for action in [*random.permutation(actions), *random.permutation(actions)[:2]]:
            if action == last:
                continue
            last = str(action)
            of_action = [clip for clip in people if clip.startswith(f"{action}/")]
            sequences = [clip for clip in of_action if people[clip] == person]
            reader = VideoReader(clips / str(random.choice(sequences)))
            shown = reader.get(range(len(reader))).pixels
            count = round(np.exp(random.uniform(0, np.log(_LONGEST))) * _FPS)
            start = len(frames)
            offset = int(random.integers(len(shown)))
            frames += [shown[(offset + k) % len(shown)] for k in range(count)]
            line = f"{person}.mp4,{start / _FPS:g},{len(frames) / _FPS:g},{action}"
            lists["train" if number < _PEOPLE else "test"].append(line)
        write(folder / f"{person}.mp4", np.stack(frames), fps=_FPS)
    for name, lines in lists.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


SETS: Mapping[str, Callable[[Path], None]] = {"figures": figures, "weizmann": weizmann}


def measure(name: str, folder: Path) -> dict[str, Any]:
    """The figures of one row, by a model of states and one of events, in a folder for both; and the
    bouts of the first recording of the test.
    """
    SETS[name](folder / name)
    row: dict[str, Any] = {}
    for when in ("states", "events"):
        run = folder / f"{name}-{when}"
        onlooker("train", folder / name / "train.csv", "--run", run, "--when", when)
        onlooker("evaluate", run, "--recordings", folder / name / "test.csv")
        figures = read_json(run / "recordings-test" / "evaluation.json")
        key = "states" if when == "states" else "as_states"
        row[when] = {
            "offline": _measures(figures[key][0]),
            "live": _measures(figures["live"][key][0]),
        }
    with (folder / name / "test.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    shown = rows[0]["path"]
    onlooker("predict", folder / f"{name}-states", folder / name / shown, "--out", folder / "shown")
    prediction = read_json(folder / "shown" / f"{Path(shown).stem}.json")
    row["ethogram"] = {
        "labeled": [
            [line["label"], float(line["start"]), float(line["end"])]
            for line in rows
            if line["path"] == shown
        ],
        "found": [[bout["label"], bout["start"], bout["end"]] for bout in prediction["segments"]],
    }
    return row


def _measures(chain: Mapping[str, Any]) -> dict[str, Any]:
    names = ("accuracy", "macro_f1", "segmental_f1", "edit", "kappa", "bouts")
    return {name: chain[name] for name in names}


def onlooker(*words: object) -> None:
    """Run a command."""
    subprocess.run([sys.executable, "-m", "onlooker", *map(str, words)], check=True)


def states(
    sets: Annotated[
        str, typer.Option(help=f"Some of {', '.join(SETS)}, separated by commas.")
    ] = "",
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
) -> None:
    """States of recordings without pauses; $ONLOOKER_DATA has Weizmann's clips."""
    check_command(results, FILE, COMMAND)
    for name in sets.split(",") if sets else SETS:
        with tempfile.TemporaryDirectory() as folder:
            row = Row(measure(name, Path(folder)), {"set": name, "fps": _FPS})
        only = f"--sets {name}" if sets else ""
        write_rows(results, FILE, about=About(WHAT, COMMAND, [0]), rows={(name,): row}, only=only)
        typer.echo(f"{name}: {row.figures}")


app = typer.Typer(add_completion=False)
command(states, app)

if __name__ == "__main__":
    app()
