"""Undamaged files for attacks: videos in every container, a folder of clips, a trained run, a cache
of features.
"""

import json
import shutil
from pathlib import Path

import clips
import moving_squares

from attacks.case import Material
from attacks.probes import DATA, MODEL, TRAINING, train_on_features
from onlooker import load
from onlooker.base.config import Settings
from onlooker.run.train import train_run

SUFFIXES = (".mp4", ".avi", ".mkv", ".webm", ".mov", ".gif", ".ts")
FRAMES = 24


def make_material(root: Path) -> Material:
    """Fill a folder; a few seconds."""
    material = Material(root)
    (root / "whole").mkdir()
    for suffix in SUFFIXES:
        clips.make_clip(material.whole(suffix), FRAMES, options={"g": "8"})
    moving_squares.make_set(material.squares, 5)
    for way in ("up", "down"):
        shutil.rmtree(material.squares / way)
    figures = train_run(
        material.squares, material.run, Settings(MODEL, DATA, TRAINING), quiet=True
    )
    prediction = load(material.run).predict(material.good[0])
    truth = {
        "figures": figures.to_dict(),
        "on_features": train_on_features(
            material, material.features, root / "on-features"
        ).log_loss,
        "scores": prediction.scores.tolist(),
        "classes": prediction.classes,
    }
    (root / "truth.json").write_text(json.dumps(truth), "utf-8")
    return material
