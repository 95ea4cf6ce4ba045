"""The demo: the default training, on generated clips of stick figures."""

from pathlib import Path
from typing import Any

from rich.progress import track

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.stick_figures import write_set
from onlooker.run_record import read_figures
from onlooker.runs.train import train_run

__all__ = ["clips_of", "demo"]

ACTIONS = ("bend", "jump", "jumping_jack", "kick", "walk", "wave")
CLIPS = 12  # of each action


def demo(run: Path, actions: tuple[str, ...] = ACTIONS, clips: int = CLIPS) -> dict[str, Any]:
    """Generate clips, train on them with the default settings, and return the figures of the test.

    The same call again continues after an interruption, and computes nothing that is finished.

    Args:
        clips: of each action.
    """
    if figures := read_figures(run):  # the last file of a training
        return figures
    folder = clips_of(run)
    if not folder.exists():  # a folder that exists is complete
        write_set(folder, clips, actions=actions, progress=lambda jobs, n: track(jobs, "writing clips", n))
    resume = (run / "config.json").exists()
    return train_run(folder, run, ModelConfig(), DataConfig(), TrainConfig(), resume=resume)


def clips_of(run: Path) -> Path:
    """The folder of the clips that a demo in this folder is trained on."""
    return run.with_name(f"{run.name}-clips")
