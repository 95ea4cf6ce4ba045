"""The spatial transformer encoder against its layers written out, its counted parameters, and its
start.
"""

import pytest
import torch
import torch.nn.functional as F

from onlooker.models.video_model import count_parameters
from onlooker_papers.digits.encoders.stn import STN


def test_it_has_the_parameters_that_its_docstring_counts():
    with torch.device("meta"):
        net = STN(in_channels=1, size=64)
    localization = (25 * 20 + 20) + (20 * 25 * 20 + 20) + (20 * 10 * 10 * 50 + 50) + (50 * 6 + 6)
    assert count_parameters(net.localization) + count_parameters(net.theta) == localization
    seen = (25 * 20 + 20) + (20 * 25 * 50 + 50) + (50 * 32 * 32 * 500 + 500)
    assert count_parameters(net) + 500 * 10 + 10 == localization + seen + 5010 == 25_741_976
    assert "25,741,976" in STN.__doc__


@torch.no_grad()
def test_it_starts_with_the_whole_frame_at_half_its_size():
    frames = torch.rand(3, 2, 64, 64)
    net = STN(2, 64)
    assert torch.equal(net.windows(frames), torch.eye(2, 3).expand(3, 2, 3))
    assert torch.allclose(net.transform(frames), F.avg_pool2d(frames, 2), atol=1e-5)


@torch.no_grad()
def test_it_is_its_layers_one_after_the_other():
    net = STN(2, 30).double()
    torch.nn.init.normal_(net.theta.weight, std=0.1)
    frames = torch.randn(3, 2, 30, 30, dtype=torch.double)
    first = net.localization[1]
    second = net.localization[3]
    third = net.localization[5]
    x = F.conv2d(frames.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2)), first.weight, first.bias)
    x = F.conv2d(
        x[..., :10, :10].unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2)), second.weight, second.bias
    )
    theta = (x.flatten(1) @ third.weight.T + third.bias).clamp(
        min=0
    ) @ net.theta.weight.T + net.theta.bias
    line = (torch.arange(32).double() * 2 + 1) / 32 - 1
    points = torch.stack(
        (line.expand(32, 32), line[:, None].expand(32, 32), torch.ones(32, 32).double()), -1
    )
    assert torch.allclose(net.windows(frames), theta.view(3, 2, 3), atol=1e-12)
    window = F.grid_sample(
        frames, torch.einsum("nij,hwj->nhwi", theta.view(3, 2, 3), points), align_corners=False
    )
    assert torch.allclose(net.transform(frames), window, atol=1e-12)
    x = window
    for conv in (net.conv1, net.conv2):
        x = F.conv2d(F.pad(x, (2, 2, 2, 2)), conv.weight, conv.bias).clamp(min=0)
    expected = (x.flatten(1) @ net.fc.weight.T + net.fc.bias).clamp(min=0)
    assert torch.allclose(net(frames)[:, :, 0, 0], expected, atol=1e-10)


def test_frames_too_small_to_look_at_are_an_error():
    with pytest.raises(ValueError, match="size is 27, expected at least 28"):
        STN(1, 27)
