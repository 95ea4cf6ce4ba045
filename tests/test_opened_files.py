"""Opening a file neither hangs nor fills the memory: pipes, devices and very large files are
refused.
"""

import json
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from clips import find_clips

from onlooker.base import files
from onlooker.base.config import DataConfig
from onlooker.base.files import read_json
from onlooker.data.array_cache import open_array
from onlooker.data.lists import read_list
from onlooker.data.split import fingerprint
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer, load
from onlooker.training.checkpoint import load_checkpoint


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """A test that waits for a pipe fails after some seconds."""

    def stop(*_: object) -> None:
        raise TimeoutError("waits for a pipe or reads a device without end")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 10)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def class_folders(folder: Path) -> Path:
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        (folder / name / "clip.mp4").touch()
    return folder


def model_folder(folder: Path) -> Path:
    model = create_model("convnet", 2, size=16, hidden=8)
    return Recognizer(model, ["a", "b"], DataConfig(frames=2, size=16)).save(folder)


# What opens a file: where the file is, and how it is opened.
OPENERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "json": ("a.json", lambda folder: read_json(folder / "a.json")),
    "list": ("a.csv", lambda folder: read_list(folder / "a.csv")),
    "recordings": (
        "clips/recordings.csv",
        lambda folder: find_clips(class_folders(folder / "clips")),
    ),
    "fingerprint": ("a.mp4", lambda folder: fingerprint(folder / "a.mp4")),
    "array": ("a.npy", lambda folder: open_array(folder / "a.npy")),
    "checkpoint": ("last.ckpt", lambda folder: load_checkpoint(folder / "last.ckpt")),
    "recognizer": ("model/recognizer.json", lambda folder: load(model_folder(folder / "model"))),
    "config": ("model/config.json", lambda folder: load(model_folder(folder / "model"))),
    "weights": ("model/model.safetensors", lambda folder: load(model_folder(folder / "model"))),
}


@pytest.mark.parametrize(
    ("kind", "make"), [("pipe", os.mkfifo), ("device", lambda path: path.symlink_to("/dev/zero"))]
)
@pytest.mark.parametrize("opener", OPENERS)
def test_files_that_are_not_regular_are_refused_by_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opener: str,
    kind: str,
    make: Callable[[Path], None],
) -> None:
    name, opens = OPENERS[opener]
    if name.startswith("model/"):
        model_folder(tmp_path / "model")
        (tmp_path / name).unlink()
        monkeypatch.setattr(Recognizer, "save", lambda _, folder: folder)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    make(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name}: not a regular file; replace it, or remove it"):
        opens(tmp_path)


def test_files_that_are_read_whole_have_a_maximum_size(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(files.LIMIT + 1)  # takes no space
    with pytest.raises(
        ValueError, match=r"a.json: more than 268.4 MB are not read; make it smaller"
    ):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[" * 100_000, "not a complete JSON file"),
        ("9" * 5_000, "not a complete JSON file"),
        ("[]", "JSON of a list, expected a dict"),
        ("null", "JSON of a NoneType, expected a dict"),
        ('{"a": ', "not a complete JSON file"),
    ],
)
def test_json_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=f"a.json: {said}.*; restore it, or make it again"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a damaged checkpoint"),
        (b"PK\x03\x04" + bytes(200), "a damaged checkpoint"),
        (pickle.dumps({"a": os.getcwd}), "a damaged checkpoint"),
        ([1, 2], "not the checkpoint of a training, which has state_dict, curves"),
        ({"state_dict": {}}, "not the checkpoint of a training, which has state_dict, curves"),
    ],
)
def test_a_damaged_checkpoint_says_how_to_continue(
    tmp_path: Path, content: object, said: str
) -> None:
    path = tmp_path / "last.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=f"last.ckpt: {said}") as caught:
        load_checkpoint(path)
    assert "--resume to train from the start" in str(caught.value)
    assert "weights_only" not in str(caught.value)


def test_json_keeps_names_that_are_not_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xff.mp4")
    files.write_json(tmp_path / "a.json", {name: "ü"})
    assert "ü" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {name: "ü"}
    assert read_json(tmp_path / "a.json") == {name: "ü"}


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    files.write_json(tmp_path / ("ü" * 125 + ".json"), {})
    assert len(list(tmp_path.iterdir())) == 1


def test_text_for_a_terminal_has_no_control_characters() -> None:
    assert (
        files.printable("a\x1b[31mb\nc\x07 ü \u202e" + os.fsdecode(b"\xff"))
        == r"a\x1b[31mb\nc\x07 ü \u202e\udcff"
    )
