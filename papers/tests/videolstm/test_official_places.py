"""Where a model trained on stored features looks, chosen from the files of its clips."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from onlooker import recognizer as recognizing
from onlooker.config import DataConfig
from onlooker.data.clips import prepare
from onlooker.localization.maps import FOREGROUNDS
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer
from onlooker.runs.tune_localization import choose_localization
from onlooker.structures import Clip
from onlooker_papers.videolstm.official_places import choose_from_files

Make = Callable[..., Path]
DATA = DataConfig(frames=4, size=32, channels=3, normalization="half")


def test_what_is_chosen_from_files_is_what_is_chosen_from_samples(
    tmp_path: Path, make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [Clip(make_clip(f"{i}.mp4", frames=4 + i), ("jump", "wave")[i % 2]) for i in range(8)]
    torch.manual_seed(0)
    of = Recognizer(create_model("convalstm", 2, size=32, hidden=4, dropout=0.0), ("jump", "wave"), DATA)
    samples, _ = prepare(clips, of.classes, DATA, tmp_path / "cache")
    chosen, _ = choose_localization(of, samples)
    assert chosen != of.localization
    assert choose_from_files(of, clips, 40) == chosen
    # However few large clips are classified together.
    monkeypatch.setattr(recognizing, "_PIXELS_PER_BATCH", 1)
    assert choose_from_files(of, clips, 40) == chosen
    # Of temporal crops the middle one is used, and on seven clips nothing is chosen.
    cropped = Recognizer(of.model, of.classes, replace(DATA, temporal_crops=3))
    assert choose_from_files(cropped, clips, 40).foreground in FOREGROUNDS
    assert choose_from_files(of, clips[:7], 40) is of.localization
    assert choose_from_files(of, clips, 0) is of.localization
