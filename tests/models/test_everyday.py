"""Clips are compared with everyday pictures: what is nearer to these is unlike training."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

import onlooker
from onlooker.models.encoders import build_encoder
from onlooker.models.everyday import FOLDER, NEAREST, Everyday
from onlooker.models.linear import LinearClassifier
from onlooker.training.linear import ClipStatistics
from onlooker.training.unusual import everyday_ratio
from onlooker.video import write

NAMES = ("small", "small-free")
D = 560  # of both


def packaged(name: str) -> nn.Module:
    return cast(nn.Module, build_encoder(name, 3, 112, pretrained=True))


def known(means: torch.Tensor) -> Everyday:
    everyday = Everyday.of(packaged("small"))
    assert everyday is not None
    return everyday.with_clips(means)


def test_ratios_are_those_of_the_equation() -> None:
    random = torch.Generator().manual_seed(0)
    everyday = known(torch.randn(5, D, generator=random))
    means = torch.randn(7, D, generator=random)

    def direction(mean: torch.Tensor) -> np.ndarray:
        z = (mean - everyday.center).double().numpy() @ everyday.basis.double().numpy()
        return z / np.linalg.norm(z)

    for mean, ratio in zip(means, everyday(means), strict=True):
        z = direction(mean)
        clips = [1 - z @ clip for clip in everyday.clips.double().numpy()]
        pictures = sorted(1 - z @ picture for picture in everyday.pictures.double().numpy())
        expected = min(clips) / np.mean(pictures[:NEAREST])
        assert ratio.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_pictures_are_those_that_this_encoder_sees(name: str) -> None:
    everyday = Everyday.of(packaged(name))
    assert everyday is not None
    assert len(everyday.pictures) > 1000
    other = Everyday.of(packaged(NAMES[name == NAMES[0]]))
    assert other is not None
    assert not everyday.center.equal(other.center)
    with safe_open(FOLDER / f"{name}.safetensors", "pt") as stored:
        assert "CC BY 4.0" in stored.metadata()["pictures"]


def test_other_weights_have_no_everyday_pictures() -> None:
    random = cast(nn.Module, build_encoder("small", 3, 112))
    assert Everyday.of(random) is None


@pytest.mark.parametrize("recordings", [1, 3])
def test_clips_of_one_place_are_told_from_everything_else(recordings: int) -> None:
    """Also with a single recording, which says nothing of others."""
    random = np.random.default_rng(0)
    everyday = known(torch.zeros(1, D))
    place = everyday.center.numpy() + 3 * everyday.basis[:, 0].numpy()
    x = np.zeros((12, D * len(LinearClassifier.names)), np.float32)
    x[:, :D] = place + 0.05 * random.normal(size=(12, D))
    groups = np.array([str(i % recordings) for i in range(12)])
    clips = ClipStatistics(x, np.arange(12) % 2, groups, num_classes=2)
    limit = everyday_ratio(clips, everyday)
    assert limit == 1 if recordings == 1 else limit < 1
    trained = everyday.with_clips(torch.from_numpy(x[:, :D]))
    new = torch.from_numpy(place + 0.05 * random.normal(size=(20, D))).float()
    assert (trained(new) <= limit).all()
    directions = torch.randn(20, len(everyday.basis.T))
    elsewhere = everyday.center + directions @ torch.linalg.pinv(everyday.basis)
    assert (trained(elsewhere) > limit).float().mean() > 0.9


def test_windows_are_compared_also_without_a_limit_of_their_own() -> None:
    heads = {"event": 1, "window": 2}
    model = LinearClassifier(2, "small", window=4, size=32, lengths=(2, 3), heads=heads)
    assert model.window_novelty_limit is None
    model.set_everyday(known(torch.zeros(3, D)).with_clips(torch.zeros(3, D), 0.5), 7.0)
    assert model.window_novelty_limit == model.heads["window"].everyday_factors[1]
    statistics = torch.zeros(1, 2, model.num_features)
    own = model.everyday.center if model.everyday else torch.zeros(D)
    random = torch.Generator().manual_seed(0)
    for mean, is_possible in (
        (torch.zeros(D), True),
        (own + torch.rand(D, generator=random), False),
    ):
        statistics[..., :D] = mean
        by_eyes = {"clip": {}, "window": {}, "state": {}}
        model._compare(statistics[:, 0], statistics, by_eyes)
        windows = model.score_windows(statistics, torch.tensor([9]), by_eyes["window"])
        assert bool(windows.possible.all()) is is_possible


def test_a_trained_model_calls_noise_and_a_black_clip_unlike(
    squares: Path, tmp_path: Path, no_event_layer: None
) -> None:
    run = tmp_path / "run"
    onlooker.train(squares, run, quiet=True, encoder="small-free", size=64, frames=4)
    recognizer = onlooker.load(run, "cpu")
    assert isinstance(recognizer.model, LinearClassifier)
    assert recognizer.model.everyday is not None
    noise = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), np.uint8)
    for name, frames in {"noise": noise, "black": np.zeros_like(noise)}.items():
        clip = tmp_path / f"{name}.mp4"
        write.write(clip, frames, fps=10)
        assert recognizer.predict_clip(clip).unusual, name
    own = sorted(squares.rglob("*.mp4"))
    assert not any(recognizer.predict_clip(clip).unusual for clip in own)
