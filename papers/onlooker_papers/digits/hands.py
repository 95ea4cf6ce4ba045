"""A test of the paper's last claim: do models of moving digits carry over to articulated objects such as hands?"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from onlooker.config import DataConfig, TrainConfig
from onlooker.data.fingerprint import fingerprint
from onlooker.data.folder import find_clips
from onlooker.data.split import split_clips
from onlooker.evaluation.metrics import measure
from onlooker.runs.evaluate import read_clips
from onlooker.structures import Clip
from onlooker_papers.digits.models import DigitModel, settings_of, train
from onlooker_papers.digits.pretraining import SIZE
from onlooker_papers.memo import memo_of_training

DATA = DataConfig(frames=5, size=SIZE, channels=1, normalization="mnist", translate=0.1, scale=0.1)
TRAINING = TrainConfig(batch=16, patience=0)


def carry_over(
    run: Path, encoders: Path, clips: Path, spec: DigitModel, epochs: int, frames: int = DATA.frames, seed: int = 0
) -> dict[str, Any]:
    """Train one model on a folder of clips (one sub-folder per class), and test it on held-out clips.

    Args:
        run, encoders: folders of the rows, and of the models of `pretrain`.
        clips: the folder of clips.
        spec: the model.
        epochs: passes through the training clips.
        frames: number of frames per clip.
        seed: seed of weights and orders; the split of the clips is always the same.

    Returns:
        `accuracy` with its `accuracy_interval`, `frame_accuracy`, `majority_share`, the counts `training` and `videos`,
        and what `models.train` returns.
    """
    folder = run / (f"{spec.name}-{seed}" if seed else spec.name)
    how, data = replace(TRAINING, epochs=epochs, seed=seed), replace(DATA, frames=frames)

    def compute() -> dict[str, Any]:
        found = find_clips(clips)
        classes = tuple(sorted({clip.label for clip in found}))
        samples, skipped = read_clips(found, classes, data)
        split = split_clips(samples.clips)
        learn, choose = samples.only(split.training), samples.only(split.validation)
        recognizer, figures = train(spec, classes, learn, choose, data, how, folder, encoders, f"hands, {spec.name}")
        measured = measure(recognizer.evaluate(samples.only(split.test), skipped=skipped))
        kept = ("accuracy", "accuracy_interval", "frame_accuracy", "majority_share", "videos")
        return {
            **{name: measured[name] for name in kept},
            "training": len(learn),
            "epochs": epochs,
            "frames": frames,
            **figures,
        }

    settings = {
        "clips": digest(find_clips(clips)),
        "frames_per_clip": frames,
        **how.to_dict(),
        **settings_of(spec, folder, encoders),
    }
    return memo_of_training(folder, settings, compute)


def digest(clips: Sequence[Clip]) -> str:
    """A checksum of the contents and labels of clips, independent of their folder."""
    contents = sorted(f"{clip.label} {fingerprint(clip.path)}" for clip in clips)
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()[:16]
