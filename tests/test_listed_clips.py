"""Lists of clips on the command line."""

import json
from pathlib import Path

import clips
from commands import TINY, call, fails, names_in_split

BRIEF = (*TINY, "--epochs", "1", "--model", "alstm")


def write_list(root: Path) -> Path:
    """A list of two classes with six training and two test clips each, and two missing ones."""
    lines = ["path,label,split"]
    for split, numbers in (("train", range(7)), ("val", range(7, 10))):
        for label in ("arm wrestling", "zumba"):
            for number in numbers:
                path = root / label / f"{label[:3]}_{number}.mp4"
                lines.append(f"{path.relative_to(root)},{label},{split}")
                if number not in (0, 7):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    clips.make_clip(path, frames=number + 3 * len(label), size=(40, 32))
    path = root / "list.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_clips_of_a_list_that_are_missing_are_named(tmp_path: Path) -> None:
    listed = write_list(tmp_path / "clips")
    run = tmp_path / "run"
    words = ("train", listed, *BRIEF)
    result = call(*words, "--run", run)
    left_out = [line for line in result.stderr.splitlines() if line.startswith("left out")]
    assert len(left_out) == 4
    assert "arm_0.mp4: not found (line 2 of" in left_out[0]
    assert len(names_in_split(run)["test"]) == 4
    assert "not found (line" in (run / "report.html").read_text(encoding="utf-8")
    assert "not found (line" in fails(*words, "--run", tmp_path / "strict", "--strict")
    # The run goes on, is compared and is evaluated with the list, wherever the commands are run.
    before = (run / "evaluation.json").read_bytes()
    (run / "evaluation.json").unlink()
    call("train", listed, "--run", run, "--resume")
    assert (run / "evaluation.json").read_bytes() == before
    assert "of 4 (" in call("evaluate", run).output
    compared = tmp_path / "compared"
    call(
        "compare",
        listed,
        "--run",
        compared,
        *TINY,
        "--epochs",
        1,
        "--models",
        "convnet",
        "--seeds",
        1,
        "--jobs",
        1,
    )
    assert names_in_split(compared / "convnet" / "split-seed0") == names_in_split(run)
    figures = json.loads((compared / "comparison.json").read_text(encoding="utf-8"))
    assert sum("not found (line" in error for error in figures["skipped"]) == 4


def test_a_list_of_paths_and_labels(squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    paths = sorted(squares.rglob("*.mp4"))
    rows = ["path,label", *(f"{path},{path.parent.name}" for path in paths)]
    (tmp_path / "my.csv").write_text("\n".join(rows))
    call("train", tmp_path / "my.csv", "--run", run, *BRIEF)
    listed = [Path(row.split(",")[0]) for row in rows[1:]]
    split = json.loads((run / "split.json").read_text(encoding="utf-8"))
    assert sorted(entry["label"] for part in split.values() for entry in part) == sorted(
        p.parent.name for p in listed
    )
