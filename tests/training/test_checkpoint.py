"""A checkpoint is complete, or the previous one is kept."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kills import killed_in

from onlooker.base.files import DiskFullError
from onlooker.training.checkpoint import PARTS, load_checkpoint, save_checkpoint


def saved(path: Path, epoch: int) -> dict[str, Any]:
    checkpoint = {**dict.fromkeys(PARTS), "epoch": epoch, "weights": torch.full((4,), float(epoch))}
    save_checkpoint(checkpoint, path)
    return checkpoint


def test_a_flipped_bit_is_detected(tmp_path: Path) -> None:
    saved(tmp_path / "last.ckpt", 3)
    content = bytearray((tmp_path / "last.ckpt").read_bytes())
    content[content.index(torch.full((4,), 3.0).numpy().tobytes())] ^= 1
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(
        ValueError,
        match=r"last.ckpt: a damaged checkpoint \(BadZipFile\); restore it, or remove .*, and",
    ):
        load_checkpoint(tmp_path / "last.ckpt")


def test_a_kill_between_write_and_rename_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "last.ckpt"
    saved(target, 1)
    before = target.read_bytes()
    with killed_in(os, "replace"):
        saved(target, 2)
    assert target.read_bytes() == before
    saved(target, 3)
    assert torch.load(target, weights_only=True)["epoch"] == 3


def test_a_kill_in_the_middle_of_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "last.ckpt"
    saved(target, 1)

    def killed(checkpoint: Any, file: Any) -> None:
        file.write(b"half")
        file.flush()
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", killed)
        with pytest.raises(SystemExit):
            saved(target, 2)
    assert torch.load(target, weights_only=True)["epoch"] == 1


def test_a_full_disk_is_reported_and_leaves_the_old_file(
    tmp_path: Path, on_full_disk: Callable[[Path], None]
) -> None:
    saved(tmp_path / "last.ckpt", 1)
    on_full_disk(tmp_path / ".last.ckpt.*.part")
    said = r"no space left for a checkpoint: .* free; free some space, and run .* again .`onlooker train` with"
    with pytest.raises(DiskFullError, match=said):
        saved(tmp_path / "last.ckpt", 2)
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 1


def test_the_bytes_are_on_the_disk_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    flush = os.fsync
    rename = os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("flush"), flush(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), rename(a, b)))
    saved(tmp_path / "last.ckpt", 1)
    assert calls == ["flush", "rename"]
