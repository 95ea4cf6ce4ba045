"""The live networks that the library is compared with: against equations and published sizes; streams
against clips.
"""

from typing import Any

import pytest
import torch
from movinet import Layer, MoViNet, Pool, SqueezeExcitation
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from tsm import TSM, shift


def settle(model: Any, video: Tensor, *state: Any) -> None:
    """Give batch norm the statistics of a video: with those of new networks, the logits of all
    videos are zero.
    """
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
            layer.momentum = 1.0
    with torch.no_grad():
        model.train().frame_logits(video, *state)
    model.eval()


def test_the_shift_is_its_equation() -> None:
    B = 2
    T = 5
    D = 17
    x = torch.randn(B * T, D, 2, 3)
    of_clips = x.view(B, T, D, 2, 3)
    expected = torch.zeros(B, T, D, 2, 3)
    for t in range(T):
        for channel in range(D):
            source = t - 1 if channel < D // 8 else t
            if source >= 0:
                expected[:, t, channel] = of_clips[:, source, channel]
    torch.testing.assert_close(shift(x, T), expected.flatten(0, 1), rtol=0, atol=0)


def test_tsm_is_mobilenet_with_ten_shifted_blocks() -> None:
    model = TSM(1000).eval()
    plain = mobilenet_v2().eval()
    assert len(model.shifted) == 10
    # Sandler et al. 2018, table 4: 3.4 M parameters; the shift has none.
    assert round(sum(weight.numel() for weight in model.parameters()) / 1e5) == 35
    plain.features.load_state_dict(model.layers.state_dict())
    plain.classifier.load_state_dict(model.classifier.state_dict())
    settle(model, torch.randn(2, 3, 3, 32, 32))
    video = torch.randn(1, 3, 3, 32, 32)
    with torch.inference_mode():
        shifted = model.frame_logits(video)
        for layer in model.shifted:  # convolutions that ignore what was shifted
            assert isinstance(layer.conv[0][0], nn.Conv2d)
            layer.conv[0][0].weight[:, : layer.conv[0][0].in_channels // 8] = 0
        plain.features.load_state_dict(model.layers.state_dict())
        torch.testing.assert_close(
            model.frame_logits(video)[0], plain(video[0]), rtol=1e-4, atol=1e-4
        )
    assert (shifted - model.frame_logits(video)).abs().max() > 1e-3


def test_a_stream_of_tsm_is_the_causal_clip() -> None:
    model = TSM(4)
    video = torch.randn(2, 4, 3, 32, 32)
    state = None
    steps = []
    settle(model, video)
    with torch.inference_mode():
        whole = model.frame_logits(video)
        for t in range(4):
            logits, state = model.step(video[:, t], state)
            steps.append(logits)
    torch.testing.assert_close(torch.stack(steps, 1), whole, rtol=1e-4, atol=1e-5)
    assert (whole[:, 0] - whole[:, 1]).abs().max() > 1e-3


def multiply_adds(model: MoViNet, video: Tensor) -> int:
    """Of convolutions and linear layers."""
    counts = []

    def count(layer: Any, given: Any, output: Tensor) -> None:
        counts.append(output.numel() * layer.weight[0].numel())

    for layer in model.modules():
        if isinstance(layer, nn.Conv3d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        model.eval().frame_logits(video, [])
    return sum(counts)


def test_movinet_has_the_published_size() -> None:
    model = MoViNet(600)
    # Kondratyuk et al. 2021: 3.1 M parameters, 2.71 GFLOPs for 50 frames of 172 pixels. Those count
    # more than layers.
    assert round(sum(weight.numel() for weight in model.parameters()) / 1e6, 1) == 3.1
    assert multiply_adds(model, torch.randn(1, 50, 3, 172, 172)) / 2.71e9 == pytest.approx(
        1, abs=0.08
    )


def test_layers_begin_as_their_shortcuts() -> None:
    layer = Layer(8, 8, inner=24, kernel=(3, 3, 3), stride=1, drop=0.0).eval()
    x = torch.randn(1, 8, 4, 6, 6)
    assert torch.equal(layer(x, iter(()), []), x)
    strided = Layer(8, 16, inner=24, kernel=(5, 3, 3), stride=2, drop=0.0).eval()
    assert strided(x, iter(()), []).shape == (1, 16, 4, 3, 3)
    # A quarter of the channels, rounded to a multiple of 8.
    assert [SqueezeExcitation(D).weights[0].weight.shape[0] for D in (24, 80, 184, 280, 384)] == [
        8,
        24,
        48,
        72,
        96,
    ]


def test_the_causal_mean_is_that_of_all_frames_so_far() -> None:
    x = torch.randn(2, 3, 5, 4, 4)
    expected = torch.stack([x[:, :, : t + 1].mean((2, 3, 4)) for t in range(5)], 2)
    torch.testing.assert_close(Pool()(x, iter(()), [])[..., 0, 0], expected)


def test_a_stream_of_movinet_is_the_causal_clip() -> None:
    model = MoViNet(4)
    video = torch.randn(2, 7, 3, 48, 48)
    state = None
    steps = []
    for layer in model.layers:
        assert isinstance(layer, Layer)
        nn.init.ones_(layer.factor)
    settle(model, video, [])
    with torch.inference_mode():
        whole, _ = model.frame_logits(video, [])
        for t in range(7):
            logits, state = model.step(video[:, t], state)
            steps.append(logits)
        torch.testing.assert_close(torch.stack(steps, 1), whole, rtol=1e-4, atol=1e-5)
    assert (whole[:, 0] - whole[:, 1]).abs().max() > 1e-3
