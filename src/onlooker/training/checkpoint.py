"""Checkpoints that stay complete when the process is killed."""

import errno
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from onlooker.base.files import atomic_file, check_regular, explain_write_errors

# What a checkpoint of a training has.
PARTS = ("state_dict", "curves", "seconds", "optimizer_states", "lr_schedulers")


def save_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a temporary file in the same folder, flush it to the disk, then rename it.

    Raises:
        DiskFullError: the disk is full; the previous checkpoint stays.
    """
    with explain_write_errors("a checkpoint", path.parent), atomic_file(path) as file:
        torch.save(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU; nothing in the file is executed.

    Raises:
        ValueError: no regular file, damaged, or not the checkpoint of a training.
        OSError: the disk cannot be read.
    """
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as records:
            if records.testzip():  # PyTorch writes a checksum of each record, and does not check it
                raise zipfile.BadZipFile
        checkpoint = torch.load(path, "cpu", weights_only=True)
    # of pickle, zipfile or PyTorch, whose message advises unpickling the file
    except Exception as error:
        # Of the disk: the file may be whole. A damaged one is invalid, or has no number.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise ValueError(
            f"{path}: a damaged checkpoint ({type(error).__name__}); {restore(path)}"
        ) from None
    if not isinstance(checkpoint, dict) or not {*PARTS} <= {*checkpoint}:
        raise ValueError(
            f"{path}: not the checkpoint of a training, which has {', '.join(PARTS)}; {restore(path)}"
        )
    return checkpoint


def restore(path: Path) -> str:
    """What to do about a checkpoint that cannot be used."""
    return f"restore it, or remove {path.parent}, and run the same command with --resume to train from the start"
