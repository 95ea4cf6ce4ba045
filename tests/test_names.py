"""File names of any kind: not UTF-8, of 255 bytes, with control characters, formulas or
mathematical symbols.
"""

import csv
import json
import os
from pathlib import Path

import moving_squares
import pytest
from commands import call
from pages import self_contained

from onlooker.base.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.split import Split
from onlooker.run.predict import distinct_names
from onlooker.run.train import train_run

CLASSES = ["=cmd|' C calc'!A0", "$\\frac{$", "$a_b$", "esc\x1b[31m\nape"]
STEMS = [
    os.fsdecode(b"caf\xe9"),
    "a\x1b]0;title\x07",
    "new\nline",
    "l" * 250,
    "-+@",
    "[bold]$x$",
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    squares = moving_squares.make_set(
        tmp_path_factory.mktemp("data") / "squares", clips=len(STEMS)
    )
    for name, way in zip(CLASSES, sorted(moving_squares.WAYS), strict=True):
        (squares / way).rename(squares / name)
        for number, stem in enumerate(STEMS):
            (squares / name / f"{number:02}.mp4").rename(squares / name / f"{stem}.mp4")
    return squares


@pytest.fixture(scope="module")
def run(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    model = ModelConfig(name="convalstm", encoder="conv4", hidden=8)
    data = DataConfig(frames=4, size=16, channels=1)
    train_run(
        clips, run, model, data, TrainConfig(epochs=1, batch=8, precision="32"), quiet=True
    )
    return run


def test_any_name_is_trained_on_and_reported(clips: Path, run: Path) -> None:
    split = Split.from_dict(json.loads((run / "split.json").read_text(encoding="utf-8")), clips)
    assert len(split.clips) == len(CLASSES) * len(STEMS)
    assert all(clip.path.exists() for clip in split.clips)
    self_contained(run / "report.html")
    with (run / "scores.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert any(cell.startswith("'=cmd") for cell in cells)
    labels = json.loads((run / "model" / "recognizer.json").read_text(encoding="utf-8"))[
        "classes"
    ]
    assert sorted(labels) == sorted(CLASSES)


def test_predictions_of_clips_with_any_name_are_safe_to_print(
    clips: Path, run: Path, tmp_path: Path
) -> None:
    paths = [clips / CLASSES[3] / f"{stem}.mp4" for stem in STEMS]
    output = call(
        "predict", run, *paths, "--json", tmp_path / "a.json", "--out", tmp_path / "out"
    ).output
    assert not set(output) & {"\x1b", "\x07", *map(chr, range(0x80, 0xA0))}
    assert "[bold]$x$.mp4" in output.replace("\n", "")
    lines = (tmp_path / "a.json").read_text(encoding="utf-8").splitlines()
    assert [Path(json.loads(line)["path"]) for line in lines] == paths
    assert len(list((tmp_path / "out").glob("*.mp4"))) == len(STEMS)


def test_a_clip_that_cannot_be_read_or_written_does_not_affect_others(
    clips: Path, run: Path, tmp_path: Path
) -> None:
    good = clips / CLASSES[0] / "-+@.mp4"
    long = tmp_path / ("l" * 300 + ".mp4")
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    (tmp_path / "drawn" / f"{long.stem}.mp4").parent.mkdir()
    words = ["--json", tmp_path / "a.json", "--out", tmp_path / "drawn"]
    result = call("predict", run, long, loop, good, *words, ok=False)
    assert "-+@.mp4" in result.stdout.replace("\n", "")
    assert result.stderr.count("error: ") == 2
    assert Path(json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["path"]) == good
    assert (tmp_path / "drawn" / "-+@.json").exists()


def test_names_for_results_fit_a_file_system(tmp_path: Path) -> None:
    paths = [
        tmp_path / ("ü" * 120) / f"{'x' * 200}{number}" / "clip.mp4" for number in range(2)
    ]
    paths += [tmp_path / "a" / f"{'y' * 240}{number}.mp4" for number in range(2)]
    names = distinct_names(paths)
    assert len(set(names)) == 4
    assert max(len(os.fsencode(name)) for name in names) <= 200
    assert distinct_names([tmp_path / "a" / "clip.mp4"]) == ["clip"]
