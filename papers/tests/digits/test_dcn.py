"""The deformable encoder: its published size, its layers written out, and checkpointing that
changes nothing.
"""

import pytest
import torch
import torch.nn.functional as F
import torchvision

from onlooker.models.video_model import count_parameters
from onlooker_papers.digits.encoders.dcn import DCN, OFFSETS
from onlooker_papers.digits.sampling.channel_offset import channel_offset


def moved(net):
    """With offsets that are not zero."""
    for name, parameter in net.named_parameters():
        if "offsets" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return net


@pytest.mark.parametrize(
    ("offset", "count"),
    [
        # Shan & Atanasov 2017: 102,483,280 trainable parameters with the ten classes.
        ("channel", 102_483_280),
        ("literal", 102_483_280),
        # Instead of two 3×3 offset layers (20 to 40 and 50 to 100 channels), two 5×5 ones with 50
        # or 75 outputs.
        ("tap", 102_483_280 - 9 * (20 * 40 + 50 * 100) + 50 * (25 * 1 + 1) + 50 * (25 * 20 + 1)),
        (
            "modulated",
            102_483_280 - 9 * (20 * 40 + 50 * 100) + 75 * (25 * 1 + 1) + 75 * (25 * 20 + 1),
        ),
    ],
)
def test_it_has_the_published_number_of_parameters(offset, count):
    with torch.device("meta"):
        assert (
            count_parameters(DCN(1, 64, offset)) + count_parameters(torch.nn.Linear(500, 10))
            == count
        )


@torch.no_grad()
@pytest.mark.parametrize("offset", OFFSETS)
def test_it_is_its_layers_one_after_the_other(offset):
    net = moved(DCN(2, 8, offset)).double()
    x = frames = torch.randn(3, 2, 8, 8, dtype=torch.double)
    weights = dict(net.layers.named_parameters())
    by_channel = offset in ("channel", "literal")
    for place in ("0", "3") if by_channel else ("0", "2"):
        if by_channel:
            x = F.conv2d(x, weights[f"{place}.weight"], weights[f"{place}.bias"], padding=2).clamp(
                min=0
            )
            moves = F.conv2d(x, weights[f"{int(place) + 2}.offsets.weight"], padding=1)
            x = channel_offset(x, moves, literal=offset == "literal")
        else:
            says = F.conv2d(
                x, weights[f"{place}.offsets.weight"], weights[f"{place}.offsets.bias"], padding=2
            )
            conv = weights[f"{place}.conv.weight"], weights[f"{place}.conv.bias"]
            mask = says[:, 50:].sigmoid() if offset == "modulated" else None
            x = torchvision.ops.deform_conv2d(x, says[:, :50], *conv, padding=2, mask=mask).clamp(
                min=0
            )
    expected = (x.flatten(1) @ net.fc.weight.T + net.fc.bias).clamp(min=0)
    assert torch.allclose(net(frames)[:, :, 0, 0], expected, atol=1e-10)


@pytest.mark.parametrize("offset", OFFSETS)
def test_checkpointing_changes_no_number(offset):
    net = moved(DCN(1, 8, offset))
    frames = torch.randn(37, 1, 8, 8)
    pull = torch.randn(37, 500, 1, 1)
    plain = F.relu(net.fc(net.layers(frames).flatten(1)))[:, :, None, None]
    slopes = [
        [out, *torch.autograd.grad(out, list(net.parameters()), pull)]
        for out in (plain, net(frames))
    ]
    for expected, ours in zip(*slopes, strict=True):
        assert torch.allclose(ours, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_weights_are_xavier_uniform_biases_zero_and_offsets_small():
    net = DCN(1, 16)
    for layer, fan in (
        (net.layers[0], 25 * 21),
        (net.layers[3], 25 * 70),
        (net.fc, 50 * 256 + 500),
    ):
        bound = (6 / fan) ** 0.5
        assert not layer.bias.any()
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    for layer in (net.layers[2], net.layers[5]):
        assert layer.offsets.weight.std().item() == pytest.approx(0.01, rel=0.1)
    for layer in (DCN(1, 8, "tap").layers[0], DCN(1, 8, "modulated").layers[2]):
        assert not layer.offsets.weight.any()


def test_an_unknown_form_is_an_error():
    with pytest.raises(
        ValueError, match="offset is 'pixel', expected one of channel, literal, tap, modulated"
    ):
        DCN(1, 8, "pixel")
