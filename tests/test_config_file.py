"""`onlooker train --config`: the settings of a file, which options win over."""

import json
from pathlib import Path

import pytest
from commands import TINY, call

from onlooker.run_record import RunRecord

RUN = "model: {name: convalstm, hidden: 4, encoder: conv4}\ndata: {frames: 4, size: 16, channels: 1}\n"
RUN += 'training:\n  epochs: 3\n  batch: 8\n  lr: 1e-3\n  precision: "32"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(RUN, encoding="utf-8")
    return path


def test_a_file_sets_options_and_the_command_line_wins(squares: Path, file: Path, tmp_path: Path) -> None:
    call("train", squares, "--config", file, "--epochs", 1, "--run", tmp_path / "run")
    model, data, training = RunRecord.read(tmp_path / "run").settings
    assert (model.name, model.hidden, data.frames, training.lr) == ("convalstm", 4, 4, 0.001)
    assert training.epochs == 1


def test_the_config_of_a_run_repeats_it(squares: Path, trained: tuple[Path, str], tmp_path: Path) -> None:
    before, again = trained[0], tmp_path / "again"
    call("train", squares, "--config", before / "config.json", "--run", again)
    assert RunRecord.read(again).identity == RunRecord.read(before).identity
    for name in ("scores.csv", "config.json"):
        assert (again / name).read_bytes() == (before / name).read_bytes()
    refused = call(
        "train", squares, "--config", before / "config.json", "--run", again, "--resume", "--lr", 1, ok=False
    )
    assert "--lr is 1.0, the run has" in refused.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("modle: {name: lstm}", "no field modle; did you mean model?"),
        ("frames: 4", "no field frames; write it below data:"),
        ("data: {framse: 4}", "DataConfig has no setting framse; did you mean frames or frame_rate?"),
        ("data: {frames: 4.5}", "frames is 4.5, expected a whole number"),
        ("training: {lr: fast}", "lr is 'fast', expected a number"),
        ("data: [4]", "data is [4], expected {…}"),
        ("- 4", "the file is [4], expected {…}"),
        ("data: {", "while parsing a flow node"),
        ("data: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    ],
)
def test_a_wrong_file_is_refused_by_name(squares: Path, file: Path, content: str, words: str) -> None:
    file.write_text(content, encoding="utf-8")
    refused = call("train", squares, "--config", file, *TINY, ok=False)
    shown = " ".join(refused.stderr.replace("│", "").split())
    assert str(file.name) in shown
    assert words in shown


def test_json_is_read_too(squares: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"model": {"name": "lstm"}, "training": {"lr": 1e-5}}), encoding="utf-8")
    call("train", squares, "--config", file, *TINY, "--epochs", 1, "--run", tmp_path / "run")
    settings = RunRecord.read(tmp_path / "run").settings
    assert (settings.model.name, settings.training.lr) == ("lstm", 1e-5)
    assert "not a regular file" in call("train", squares, "--config", tmp_path, ok=False).stderr
