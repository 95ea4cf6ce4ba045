"""Checkpoints that a kill at any moment leaves whole."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from onlooker.files import atomic_file, explain_write_errors


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, flushes to the disk, then renames.

    Lightning's own goes through `$TMPDIR`; where that is another file system the last step is a copy, which a kill
    cuts in half.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to `path`.

        Raises:
            DiskFullError: the disk is full; the checkpoint that was there before stays.
        """
        if storage_options is not None:
            raise TypeError("storage_options are for remote stores; this writes to a local disk")
        target = Path(path)
        part = target.with_name(f".{target.name}.part")  # whatever process: what a kill left is overwritten
        with explain_write_errors("a checkpoint", target.parent), atomic_file(target, part) as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
