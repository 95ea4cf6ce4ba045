"""LeNet against the published count, and against its layers written out."""

import pytest
import torch
import torch.nn.functional as F

from onlooker.models.video_model import count_parameters
from onlooker_papers.digits.encoders.lenet import LeNet


def test_it_has_the_published_number_of_parameters():
    # Shan & Atanasov 2017: 6,431,080 trainable parameters with the ten classes.
    assert (
        count_parameters(LeNet(in_channels=1, size=64)) + count_parameters(torch.nn.Linear(500, 10))
        == 6_431_080
    )


@torch.no_grad()
def test_it_is_its_layers_one_after_the_other():
    net = LeNet(2, 12).double()
    frames = torch.randn(3, 2, 12, 12, dtype=torch.double)
    x = frames
    for conv in (net.conv1, net.conv2):
        x = F.conv2d(F.pad(x, (2, 2, 2, 2)), conv.weight, conv.bias).clamp(min=0)
        # the largest of each 2×2
        x = x.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).amax((-1, -3))
    expected = (
        torch.einsum("nchw,kchw->nk", x, net.fc.weight.unflatten(1, (50, 3, 3))) + net.fc.bias
    )
    assert torch.allclose(net(frames)[:, :, 0, 0], expected.clamp(min=0), atol=1e-12)


def test_weights_are_xavier_uniform_and_biases_zero():
    net = LeNet(1, 64)
    for layer, fan in (
        (net.conv1, 25 + 20 * 25),
        (net.conv2, 20 * 25 + 50 * 25),
        (net.fc, 12_800 + 500),
    ):
        bound = (6 / fan) ** 0.5
        assert not layer.bias.any()
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_a_size_that_cannot_be_pooled_twice_is_an_error():
    with pytest.raises(
        ValueError, match="lenet pools twice by two: size is 30, expected a multiple of 4"
    ):
        LeNet(1, 30)
