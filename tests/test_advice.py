"""What messages advise is done here, each, and works."""

import csv
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clips import make_clip
from commands import TINY, call, fails

from onlooker.formats.annotations import FORMATS
from onlooker.run import preparation
from onlooker.training import gradient


def interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ((preparation, "read_clips"), "stopped; run the same command again"),
        ((gradient, "fit"), "stopped; run the same command with --resume to continue"),
    ],
    ids=["before the run", "in the run"],
)
def test_a_stopped_training_continues_as_it_says(
    place: tuple[Any, str],
    line: str,
    squares: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [
        "train",
        squares,
        "--run",
        tmp_path / "run",
        *TINY,
        "--epochs",
        1,
        "--model",
        "lstm",
    ]
    with monkeypatch.context() as patch:
        patch.setattr(*place, interrupted)
        stopped = call(*words, ok=False)
    assert stopped.exit_code == 130
    assert stopped.stderr.strip().splitlines()[-1] == line
    again = ["--resume"] if "--resume" in line else []
    call(*words, *again)
    assert (tmp_path / "run" / "evaluation.json").exists()


def packed(folder: Path) -> Path:
    for label in ("a", "b"):
        (folder / "clips" / label).mkdir(parents=True)
        for i in range(2):
            make_clip(folder / "clips" / label / f"{i}.mp4", frames=4)
    return Path(shutil.make_archive(str(folder / "packed"), "zip", folder / "clips"))


def unpack(file: Path, _: str) -> Path:
    shutil.unpack_archive(file, file.with_suffix(""))
    return file.with_suffix("")


def project(folder: Path) -> Path:
    """Labels of a video in a project of BORIS."""
    make_clip(folder / "a.mp4", frames=20, fps=10)
    kinds = {str(i): {"code": code, "type": "State event"} for i, code in enumerate("xy")}
    times = ((0.1, "x"), (0.6, "x"), (0.8, "y"), (1.2, "y"), (1.3, "x"), (1.6, "x"))
    events = [[time, "", code, "", ""] for time, code in times]
    observation = {"file": {"1": ["a.mp4"]}, "events": events}
    file = folder / "p.boris"
    file.write_text(json.dumps({"behaviors_conf": kinds, "observations": {"one": observation}}))
    return file


def table(folder: Path) -> Path:
    """The same as a table of events, in a file of a list."""
    project(folder)
    head = ["Observation id", "Media file name", "Subject", "Behavior", "Behavior type"]
    rows = [["one", "a.mp4", "", label, "STATE"] for label in "xyx"]
    file = folder / "aggregated.tsv"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened, delimiter="\t")
        writer.writerow([*head, "Start (s)", "Stop (s)"])
        writer.writerows([*row, i / 2, i / 2 + 0.4] for i, row in enumerate(rows))
    return file


def convert(file: Path, advice: str) -> Path:
    command = re.search("`onlooker (.+)`", advice)
    assert command is not None
    *words, out = shlex.split(command[1])
    call(*words, file.with_name(out))
    return file.with_name(out)


@pytest.mark.parametrize(
    ("make", "advice", "follow"),
    [
        (packed, "a packed file; unpack it, and give the folder", unpack),
        (project, "labels of an annotation program, not a list of clips; run `", convert),
        (table, "labels of an annotation program, not a list of clips; run `", convert),
    ],
)
def test_check_names_what_to_do_with_a_file_that_is_no_list(
    make: Callable[[Path], Path],
    advice: str,
    follow: Callable[[Path, str], Path],
    tmp_path: Path,
) -> None:
    file = make(tmp_path)
    said = fails("check", file)
    assert f"{file}: {advice}" in said
    assert "class" in call("check", follow(file, said)).output


def test_files_that_convert_reads_and_no_others_are_to_be_converted(tmp_path: Path) -> None:
    suffixes = {suffix for form in FORMATS.values() for suffix in form.read_suffixes}
    for suffix in (*sorted(suffixes - {".csv", ".tsv"}), ".boris.gz"):
        (tmp_path / f"a{suffix}").write_text("{}")
        assert "run `onlooker convert" in fails("check", tmp_path / f"a{suffix}")
    for suffix, advice in {
        ".tar.gz": "unpack it, and give the folder",
        ".rar": "unpack it, and give the folder",
        ".xlsx": "save it as CSV in UTF-8, and give that",
        ".docx": "give a folder with one sub-folder per class, or a list of clips (CSV)",
    }.items():
        (tmp_path / f"a{suffix}").write_text("x")
        assert fails("check", tmp_path / f"a{suffix}").endswith(advice)
        if suffix == ".xlsx":
            said = fails("convert", tmp_path / f"a{suffix}", tmp_path / "out.csv")
            assert said.endswith("export tables as .csv or .tsv")
