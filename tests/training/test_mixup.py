"""Mixup of frames and features compared with its equation; the loss has both classes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from onlooker.config import DataConfig, TrainConfig
from onlooker.data.transforms import to_features, to_video
from onlooker.models.registry import create_model
from onlooker.models.video_model import VideoModel
from onlooker.training import fit as fit_module
from onlooker.training.fit import Fitting
from onlooker.training.forward import forward_samples
from onlooker.training.losses import doubly_stochastic, frame_cross_entropy
from onlooker.training.mixup import Mixup

DATA = DataConfig(frames=4, size=32, channels=1, normalization="half", translate=0.0, scale=0.0)
MIXED = Mixup(0.7, torch.tensor([2, 0, 1]))
TARGETS = torch.tensor([0, 1, 1])
FRAMES = torch.randint(256, (3, 4, 32, 32, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def attending(**settings: Any) -> VideoModel:
    torch.manual_seed(0)
    model = create_model("convalstm", 2, in_channels=1, size=32, hidden=4, dropout=0.0, **settings)
    return model.requires_grad_(False).eval()


def step(
    monkeypatch: pytest.MonkeyPatch, model: VideoModel, samples: Tensor, train: TrainConfig, mixup: Mixup = MIXED
) -> tuple[Tensor, Fitting]:
    """The loss of one training step on a mixed batch, and its module."""
    monkeypatch.setattr(fit_module.Mixup, "draw", lambda *_: mixup)
    fitting = Fitting(model, DATA, replace(train, mixup=0.2))
    return fitting.training_step((samples, TARGETS, TARGETS), 0).detach(), fitting


def naive(clips: Tensor) -> Tensor:
    return torch.stack([0.7 * clips[i] + 0.3 * clips[j] for i, j in enumerate((2, 0, 1))])


def of_both(logits: Tensor, smoothing: float) -> Tensor:
    losses = [
        0.7 * frame_cross_entropy(logits[i : i + 1], TARGETS[i : i + 1], smoothing)
        + 0.3 * frame_cross_entropy(logits[i : i + 1], TARGETS[j : j + 1], smoothing)
        for i, j in enumerate((2, 0, 1))
    ]
    return torch.stack(losses).mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_frames_are_mixed_and_their_loss_is_that_of_both_classes(
    monkeypatch: pytest.MonkeyPatch, smoothing: float
) -> None:
    model = attending()
    loss, _ = step(monkeypatch, model, FRAMES, TrainConfig(label_smoothing=smoothing))
    wanted = of_both(model(naive(to_video(FRAMES, "half"))).logits, smoothing)
    torch.testing.assert_close(loss, wanted)


def test_stored_features_are_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = attending()
    maps = model.encode_video(to_video(FRAMES, "half")).movedim(2, -1).half()
    loss, _ = step(monkeypatch, model, maps, TrainConfig(label_smoothing=0.1))
    wanted = of_both(model.forward_features(naive(to_features(maps))).logits, 0.1)
    torch.testing.assert_close(loss, wanted)


def test_the_attention_loss_and_the_last_frame_have_both_classes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model = attending(attention_loss=True)
    video = naive(to_video(FRAMES, "half"))
    output = model(video)
    attended = model.attended_logits(model.encode_video(video), output.attention)
    train = TrainConfig(loss="last", attention_regularization=0.5, label_smoothing=0.1)
    loss, _ = step(monkeypatch, model, FRAMES, train)
    wanted = of_both(output.logits[:, -1:], 0.1) + of_both(attended[:, -1:], 0.1)
    torch.testing.assert_close(loss, wanted + 0.5 * doubly_stochastic(output.attention))


def test_images_and_flow_are_mixed_together() -> None:
    data = DataConfig(frames=4, size=32, modality="both", normalization="half", translate=0.0, scale=0.0)
    torch.manual_seed(0)
    model = create_model("motion", 2, in_channels=5, size=32, hidden=4, flow_channels=2).eval()
    frames = torch.randint(256, (3, 4, 32, 32, 5), dtype=torch.uint8)
    logits = forward_samples(model, frames, data, augmented=True, mix=MIXED.mix)[0].logits
    torch.testing.assert_close(logits, model(naive(to_video(frames, "half", 2))).logits)


def test_a_share_of_one_is_no_mixup(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Fitting(attending(), DATA, TrainConfig()).training_step((FRAMES, TARGETS, TARGETS), 0)
    assert step(monkeypatch, attending(), FRAMES, TrainConfig(), Mixup(1.0, MIXED.partners))[0] == plain


def test_the_accuracy_counts_a_mixed_clip_as_its_larger_part(monkeypatch: pytest.MonkeyPatch) -> None:
    model = attending()
    loss, fitting = step(monkeypatch, model, FRAMES, TrainConfig())
    hits = model(naive(to_video(FRAMES, "half"))).logits.softmax(-1).mean(1).argmax(1) == TARGETS
    assert fitting._sums["training"][0].tolist() == [3 * loss, hits.sum(), 3]


def test_shares_are_those_of_the_beta_distribution_at_least_a_half() -> None:
    random = np.random.default_rng(0)
    shares = np.array([Mixup.draw(0.2, 2, random).share for _ in range(4000)])
    folded = np.random.default_rng(1).beta(0.2, 0.2, 4000)
    assert shares.min() >= 0.5
    assert shares.mean() == pytest.approx(np.maximum(folded, 1 - folded).mean(), abs=0.01)
    uniform = np.array([Mixup.draw(1.0, 2, random).share for _ in range(4000)])
    assert uniform.mean() == pytest.approx(0.75, abs=0.01)
    assert Mixup.draw(1e-6, 2, random).share == 1.0, "hardly any mixup, where floats would underflow to equal shares"


def test_the_smaller_share_in_the_inverse_order_mixes_the_same_clips() -> None:
    clips, share = torch.rand(3, 5), 0.3
    mixed = share * clips + (1 - share) * clips[MIXED.partners]
    inverse = Mixup(1 - share, MIXED.partners.argsort())
    torch.testing.assert_close(inverse.mix(clips)[MIXED.partners], mixed)


def test_pairs_depend_on_seed_epoch_and_batch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(seed: int, epoch: int, batch: int) -> tuple[Any, ...]:
        monkeypatch.setattr(Fitting, "current_epoch", epoch)
        torch.rand(3)
        mixup = Fitting(attending(), DATA, TrainConfig(seed=seed, mixup=0.4))._draw_mixup(20, batch)
        assert mixup is not None
        assert sorted(mixup.partners.tolist()) == list(range(20))
        return mixup.share, *mixup.partners.tolist()

    assert drawn(0, 1, 2) == drawn(0, 1, 2)
    assert len({drawn(0, 1, 2), drawn(1, 1, 2), drawn(0, 2, 2), drawn(0, 1, 3), drawn(0, 2, 1)}) == 5
    assert Fitting(attending(), DATA, TrainConfig())._draw_mixup(20, 0) is None
