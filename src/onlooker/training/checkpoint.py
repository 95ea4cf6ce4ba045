"""Checkpoints that stay complete when the process is killed, and that can be moved with their run."""

import os
import zipfile
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from onlooker.files import atomic_file, check_regular, explain_write_errors

__all__ = ["PARTS", "AtomicCheckpointIO"]

# What a checkpoint of a training has.
PARTS = ("state_dict", "curves", "epoch", "global_step", "loops", "callbacks", "optimizer_states", "lr_schedulers")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary file in the same folder, flushes it to the disk, then renames it.

    Lightning writes to `$TMPDIR` and copies where that is another file system; a kill then leaves half a file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to `path`.

        Raises:
            DiskFullError: the disk is full; the previous checkpoint stays.
        """
        target = Path(path)
        with explain_write_errors("a checkpoint", target.parent), atomic_file(target) as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """The content of a checkpoint, whatever `weights_only`: nothing in the file is executed.

        Raises:
            ValueError: no regular file, damaged, or not the checkpoint of a training.
        """
        path = Path(path)
        check_regular(path)
        try:
            with zipfile.ZipFile(path) as records:
                if records.testzip():  # PyTorch writes a checksum of each record, and does not check it
                    raise zipfile.BadZipFile
            checkpoint = torch.load(path, map_location, weights_only=True)
        except Exception as error:  # of pickle, zipfile or PyTorch, whose message advises unpickling the file
            raise ValueError(f"{path}: a damaged checkpoint ({type(error).__name__}); {restore(path)}") from None
        if not isinstance(checkpoint, dict) or (missing := [name for name in PARTS if name not in checkpoint]):
            problem = (
                f"no {missing[0]} in it" if isinstance(checkpoint, dict) else f"holds a {type(checkpoint).__name__}"
            )
            raise ValueError(f"{path}: not the checkpoint of a training ({problem}); {restore(path)}")
        return checkpoint


def restore(path: Path) -> str:
    """What to do about a checkpoint that cannot be used."""
    return f"restore it, or remove {path.parent}, and run the same command with --resume to train from the start"


class MovableCheckpoint(ModelCheckpoint):
    """The best or the last epoch. Unlike in Lightning, the best one is still known after the run folder was moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Replace the folder in all paths by the current one."""

        def moved(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        paths = {name: moved(path) for name, path in state_dict.items() if name.endswith("_path")}
        best = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": best, "dirpath": self.dirpath})


class ResumableEarlyStopping(EarlyStopping):
    """Early stopping that does not continue a run which it stopped before."""

    def on_train_start(self, trainer: L.Trainer, fitting: L.LightningModule) -> None:
        """Stop immediately if the run was stopped before."""
        super().on_train_start(trainer, fitting)
        if self.stopped_epoch:
            trainer.should_stop = True
