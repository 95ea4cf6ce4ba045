"""Losses compared with their equations."""

import math

import pytest
import torch

from onlooker.training.fit import frame_cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_the_loss_is_the_mean_over_frames_of_minus_the_log_of_the_softmax(smoothing: float) -> None:
    B = 3
    T = 4
    K = 5
    torch.manual_seed(0)
    logits = torch.randn(B, T, K) * 3
    targets = torch.tensor([4, 0, 2])
    total = 0.0
    for b in range(B):
        for t in range(T):
            scores = [math.exp(v) for v in logits[b, t].tolist()]
            for k in range(K):
                wanted = smoothing / K + (1 - smoothing) * (k == int(targets[b]))
                total -= wanted * math.log(scores[k] / sum(scores))
    assert frame_cross_entropy(logits, targets, smoothing).item() == pytest.approx(
        total / (B * T), rel=1e-5
    )


def test_weights_of_classes_multiply_the_losses_of_their_clips() -> None:
    logits = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 1])
    each = torch.stack(
        [frame_cross_entropy(logits[i : i + 1], targets[i : i + 1]) for i in range(3)]
    )
    weighted = frame_cross_entropy(logits, targets, weights=torch.tensor([3.0, 0.5]))
    torch.testing.assert_close(weighted, (3.0 * each[0] + 0.5 * each[1] + 0.5 * each[2]) / 3)


def test_equal_logits_have_the_loss_log_k() -> None:
    loss = frame_cross_entropy(torch.zeros(2, 3, 7), torch.tensor([0, 6]), 0.3)
    assert loss.item() == pytest.approx(math.log(7))


def test_half_precision_logits_are_summed_in_single_precision() -> None:
    logits = torch.randn(2, 300, 7)
    loss = frame_cross_entropy(logits.bfloat16(), torch.tensor([0, 6]))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(
        loss, frame_cross_entropy(logits.bfloat16().float(), torch.tensor([0, 6]))
    )
