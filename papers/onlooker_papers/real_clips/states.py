"""States of recordings in which something happens at every moment, compared with other models of
the same recordings.

    python -m onlooker_papers.real_clips.states                    # writes results/states.json
    python -m onlooker_papers.real_clips.states --sets figures     # one row again

The recordings of the test show other people, or other scenes, than those of the training. Lists,
training and evaluation are those of a user: `onlooker train LIST --when states` (or events), and
`onlooker evaluate RUN --recordings LIST`.

- `figures`: stick figures in nine states of half a second to a minute (`onlooker generate
  recordings`), two minutes of each of 6 people, 2 of them in the test.
- `figures_overlapping`: the same, with two labels at once: a posture, and an action or none. Beside
  it, a model of the postures and one of the actions (`apart`).
- `weizmann`: ten actions of nine people, each repeated for 1 to 15 s, one after another at 8 frames
  a second; three folds of people.
- `hands`: six gestures of about 2 s, with pauses of 1 to 5 s; the last third of the clips of each
  gesture is in the test.
- `ucf101_18`: all 18 classes one after another, 2 to 10 s of a clip of each, at 25 frames a second;
  list 1: recordings of 5 groups of its training, and of 3 of its test.
"""

import csv
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from onlooker.base.files import read_json
from onlooker.cli.command import command
from onlooker.video.reader import VideoReader
from onlooker.video.write import write
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.results import About, Row, check_command, write_rows
from onlooker_papers.sets import data_folder

FILE = "states"
COMMAND = "python -m onlooker_papers.real_clips.states"
WHAT = "states of recordings of people and scenes that were not trained on: accuracy, F1 of frames and of bouts"
_FOLDS = 3
_LONGEST = 15.0  # seconds of an action of Weizmann; the shortest lasts one
_HANDS = (
    "01_Horizontal_swiping",
    "03_Swiping_Down",
    "08_Pointing",
    "11_Palm_Shake",
    "12_Peace_Sign",
    "15_CW_Rotation",
)
_HAND_FPS = 7.5  # every second frame of the clips
_ACTS = 8  # gestures in a recording
_PAUSE = (0.5, 2.5)  # seconds, before a gesture and after it
_UCF_FPS = 25.0
_GROUPS = (5, 3)  # of UCF101 in the training and in the test
_BOUT = (2.0, 10.0)  # seconds of a clip of UCF101

Images = NDArray[np.uint8]


class Bout(NamedTuple):
    """What goes on in some frames, `T H W 3`; without a label, a pause."""

    label: str
    images: Images


class Line(NamedTuple):
    """A line of a list; without a tier, that of the only group."""

    path: str
    start: float
    end: float
    label: str
    tier: str = ""


def write_recording(file: Path, bouts: Sequence[Bout], fps: float) -> list[Line]:
    """Write a recording; the lines of its bouts."""
    write(file, np.concatenate([bout.images for bout in bouts]), fps=fps)
    ends = np.cumsum([0, *(len(bout.images) for bout in bouts)]) / fps
    return [
        Line(file.name, start, end, label=bout.label)
        for bout, (start, end) in zip(bouts, pairwise(ends.tolist()), strict=True)
        if bout.label
    ]


def write_list(file: Path, lines: Sequence[Line]) -> None:
    """Write a list."""
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([Line._fields, *lines])


def read_list(file: Path) -> list[Line]:
    """The lines of a list."""
    with file.open(newline="") as stream:
        return [
            Line(row["path"], float(row["start"]), float(row["end"]), label=row["label"])
            for row in csv.DictReader(stream)
        ]


def figures(folder: Path, _: int = 0) -> None:
    """Write generated recordings, and their lists."""
    onlooker("generate", "recordings", folder, "--seconds", 120, "--seed", 100)


def figures_overlapping(folder: Path, _: int = 0) -> None:
    """Write generated recordings with a posture and an action or none at every moment, and a list
    of each and of both.
    """
    figures(folder)
    for name in ("train", "test"):
        actions = list[Line]()
        postures = list[Line]()
        for line in read_list(folder / f"{name}.csv"):
            if line.label not in ("sit", "stand"):
                actions.append(line._replace(tier="action"))
            is_low = line.label in ("sit", "sit_down", "stand_up")
            posture = line._replace(label="low" if is_low else "upright", tier="posture")
            if postures and postures[-1][::3] == posture[::3]:
                posture = posture._replace(start=postures.pop().start)
            postures.append(posture)
        write_list(folder / f"action-{name}.csv", actions)
        write_list(folder / f"posture-{name}.csv", postures)
        write_list(folder / f"{name}.csv", [*actions, *postures])


def weizmann(folder: Path, fold: int = 0) -> None:
    """Write recordings in which Weizmann's people repeat one action after another, and their lists."""
    clips = data_folder() / "clips" / "weizmann" / "frames"
    with (clips / "recordings.csv").open(newline="") as stream:
        people = {row["clip"]: row["recording"] for row in csv.DictReader(stream)}
    random = np.random.default_rng(0)
    actions = sorted({clip.split("/")[0] for clip in people})
    lines: dict[str, list[Line]] = {"train": [], "test": []}
    folder.mkdir()
    names = sorted({*people.values()})
    for number, person in enumerate(names):
        bouts = list[Bout]()
        for action in [*random.permutation(actions), *random.permutation(actions)[:2]]:
            if bouts and action == bouts[-1].label:
                continue
            of_action = [clip for clip in people if clip.startswith(f"{action}/")]
            sequences = [clip for clip in of_action if people[clip] == person]
            shown = _images(clips / str(random.choice(sequences)))
            count = round(np.exp(random.uniform(0, np.log(_LONGEST))) * SETS["weizmann"].fps)
            offset = int(random.integers(len(shown)))
            places = (offset + np.arange(count)) % len(shown)
            bouts.append(Bout(str(action), shown[places]))
        # the last people are in the first test
        is_test = (_FOLDS * number // len(names) + fold) % _FOLDS == _FOLDS - 1
        file = folder / f"{person}.mp4"
        lines["test" if is_test else "train"] += write_recording(file, bouts, SETS["weizmann"].fps)
    for name, rows in lines.items():
        write_list(folder / f"{name}.csv", rows)


def hands(folder: Path, _: int = 0) -> None:
    """Write recordings of hands that move in six ways, and hold still before and after, and their
    lists.
    """
    clips = data_folder() / "clips" / "hand_gestures"
    random = np.random.default_rng(0)
    lines: dict[str, list[Line]] = {"train": [], "test": []}
    folder.mkdir()
    for number in range(9):
        name = "train" if number < 6 else "test"
        bouts = list[Bout]()
        for label in random.permutation([*_HANDS, *random.choice(_HANDS, _ACTS - len(_HANDS))]):
            files = sorted((clips / label).glob("*.mp4"))
            third = 2 * len(files) // 3
            own = files[:third] if name == "train" else files[third + 1 :]
            shown = _images(own[random.integers(len(own))])[::2]
            before, after = (round(random.uniform(*_PAUSE) * _HAND_FPS) for _ in range(2))
            bouts += [
                Bout("", shown[np.arange(before) % 2]),
                Bout(label[3:], shown),
                Bout("", shown[len(shown) - 1 - np.arange(after) % 2]),
            ]
        lines[name] += write_recording(folder / f"{number}.mp4", bouts, _HAND_FPS)
    for name, rows in lines.items():
        write_list(folder / f"{name}.csv", rows)


def ucf101_18(folder: Path, _: int = 0) -> None:
    """Write recordings of one clip of each class after another, each of one group of UCF101, and
    their lists.
    """
    split = next(iter(splits_of("ucf101_18").values()))
    random = np.random.default_rng(0)
    folder.mkdir()
    sides = {"train": (*split.training, *split.validation), "test": split.test}
    for (name, clips), count in zip(sides.items(), _GROUPS, strict=True):
        lines = list[Line]()
        groups = defaultdict[str, dict[str, list[Path]]](partial(defaultdict, list))
        for clip in sorted(clips, key=lambda clip: clip.path):
            groups[clip.path.stem.split("_")[2]][clip.label].append(clip.path)
        for group in sorted(groups)[:count]:
            bouts = list[Bout]()
            for label in random.permutation(sorted(groups[group])).tolist():
                paths = groups[group][label]
                path = paths[random.integers(len(paths))]
                longest = round(random.uniform(*_BOUT) * _UCF_FPS)
                bouts.append(Bout(label, _images(path)[:longest]))
            lines += write_recording(folder / f"{group}.mp4", bouts, _UCF_FPS)
        write_list(folder / f"{name}.csv", lines)


def _images(clip: Path) -> Images:
    reader = VideoReader(clip)
    return reader.get(range(len(reader))).pixels


class Model(NamedTuple):
    """A model of a row: what the names of its lists begin with, and what is fitted."""

    lists: str
    when: str


MODELS = {"states": [Model("", "states")], "events": [Model("", "events")]}


@dataclass(frozen=True)
class Setting:
    """How a row is measured.

    Args:
        write: writes the recordings of a fold, and their lists, to a new folder.
        fps: frames per second of the recordings.
        folds: the figures are means over them.
        models: what is measured, by name; of several models, the means.
    """

    write: Callable[[Path, int], None]
    fps: float
    folds: int = 1
    models: Mapping[str, Sequence[Model]] = field(default_factory=lambda: MODELS)


SETS: Mapping[str, Setting] = {
    "figures": Setting(figures, 8.0),
    "figures_overlapping": Setting(
        figures_overlapping,
        8.0,
        models={
            "states": [Model("", "states")],
            "apart": [Model("posture-", "states"), Model("action-", "states")],
        },
    ),
    "weizmann": Setting(weizmann, 8.0, folds=_FOLDS),
    "hands": Setting(hands, _HAND_FPS),
    "ucf101_18": Setting(ucf101_18, _UCF_FPS),
}


def measure(name: str, folder: Path, encoder: str = "auto") -> dict[str, Any]:
    """The figures of one row, of each kind of model, in a folder for them; and the bouts of the
    first recording of the test.

    `encoder`: as for `onlooker train`.
    """
    setting = SETS[name]
    offline = defaultdict[str, list[Mapping[str, Any]]](list)
    live = defaultdict[str, list[Mapping[str, Any]]](list)
    for fold in range(setting.folds):
        recordings = folder / f"{name}-{fold}"
        setting.write(recordings, fold)
        for kind, models in setting.models.items():
            for lists, when in models:
                run = folder / f"{name}-{fold}-{lists}{when}"
                words = ("--run", run, "--when", when, "--encoder", encoder)
                onlooker("train", recordings / f"{lists}train.csv", *words)
                onlooker("evaluate", run, "--recordings", recordings / f"{lists}test.csv")
                evaluation = read_json(run / f"recordings-{lists}test" / "evaluation.json")
                key = "states" if when == "states" else "as_states"
                offline[kind] += evaluation[key]
                live[kind] += evaluation["live"][key]
    row: dict[str, Any] = {
        kind: {"offline": _measures(offline[kind]), "live": _measures(live[kind])}
        for kind in setting.models
    }
    recordings = folder / f"{name}-0"
    lines = read_list(recordings / "test.csv")
    shown = lines[0].path
    onlooker("predict", folder / f"{name}-0-states", recordings / shown, "--out", folder / "shown")
    prediction = read_json(folder / "shown" / f"{Path(shown).stem}.json")
    row["ethogram"] = {
        "labeled": [[line.label, line.start, line.end] for line in lines if line.path == shown],
        "found": [[bout["label"], bout["start"], bout["end"]] for bout in prediction["segments"]],
    }
    return row


def _measures(chains: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The means of the measures of some chains, and the sums of their bouts."""

    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values))

    row: dict[str, Any] = {
        name: mean([chain[name] for chain in chains])
        for name in ("accuracy", "macro_f1", "edit", "kappa")
    }
    row["segmental_f1"] = {
        overlap: mean([chain["segmental_f1"][overlap] for chain in chains])
        for overlap in chains[0]["segmental_f1"]
    }
    row["bouts"] = {
        name: sum(chain["bouts"][name] for chain in chains) for name in chains[0]["bouts"]
    }
    return row


def onlooker(*words: object) -> None:
    """Run a command."""
    subprocess.run([sys.executable, "-m", "onlooker", *map(str, words)], check=True)


def states(
    sets: Annotated[
        str, typer.Option(help=f"Some of {', '.join(SETS)}, separated by commas.")
    ] = "",
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
    *,
    encoder: Annotated[
        str, typer.Option(help="Another encoder than that of the default command.")
    ] = "auto",
) -> None:
    """States of recordings; $ONLOOKER_DATA has the clips of Weizmann, of hands and of UCF101."""
    check_command(results, FILE, COMMAND)
    for name in sets.split(",") if sets else SETS:
        setting = SETS[name]
        with tempfile.TemporaryDirectory() as folder:
            settings = {
                "set": name,
                "fps": setting.fps,
                "folds": setting.folds,
                "encoder": encoder,
            }
            row = Row(measure(name, Path(folder), encoder), settings)
        only = f"--sets {name}" if sets else ""
        key = name
        if encoder != "auto":
            only = f"{only} --encoder {encoder}".strip()
            key = f"{name}, {encoder}"
        write_rows(results, FILE, about=About(WHAT, COMMAND, [0]), rows={(key,): row}, only=only)
        typer.echo(f"{name}: {row.figures}")


app = typer.Typer(add_completion=False)
command(states, app)

if __name__ == "__main__":
    app()
