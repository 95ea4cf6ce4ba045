"""What every encoder must satisfy: those of the library, of the papers, and timm networks of each
memory layout.
"""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from onlooker.models.encoders import Conv4, build_encoder
from onlooker.models.encoders.small import Residual, Small
from onlooker.models.video_model import count_parameters

DIGITS = ["lenet", "stn", "stn:2", "stn:3", "dcn", "dcn:tap", "dcn:modulated"]
# Timm networks with channels first and with channels last, and vectors.
TIMM = [
    "vgg16",
    "test_resnet",
    "test_mambaout",
    "test_resnet:vector",
    "test_convnext:vector",
]
NAMES = ["conv4", "small", "lite0", *DIGITS, *TIMM]
# The encoders of digits are built for one square size; all others take what they are given.
SIZES = {
    "lenet": [(8, 8), (20, 20)],
    "stn": [(28, 28), (45, 45)],
    "dcn": [(8, 8), (15, 15)],
    "dcn:tap": [(8, 8), (15, 15)],
    "dcn:modulated": [(8, 8), (15, 15)],
}
ANY_SIZE = [(32, 32), (45, 70)]
CASES = [(name, size) for name in NAMES for size in SIZES.get(name, ANY_SIZE)]


@pytest.fixture(scope="module", autouse=True)
def _forget():
    yield
    built.cache_clear()


@cache
def built(name, size=32):
    """A seeded encoder in evaluation mode, with batch-norm statistics that are not the initial
    ones.
    """
    torch.manual_seed(0)
    encoder = build_encoder(name, 3, size).eval()
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return encoder


def encoder_for(name, size):
    return built(name, size[0]) if name in SIZES else built(name)


@pytest.mark.parametrize(("name", "size"), CASES)
@torch.no_grad()
def test_features_have_the_declared_shape(name, size):
    encoder = encoder_for(name, size)
    assert isinstance(encoder.num_features, int)
    frames = torch.rand(2, 3, *size)
    before = frames.clone()
    features = encoder(frames)
    assert features.shape == (2, encoder.num_features, *encoder.grid(*size))
    assert features.isfinite().all()
    assert torch.equal(frames, before), "the frames themselves were changed"


@pytest.mark.parametrize(("name", "size"), [case for case in CASES if case[1][0] != 45])
@torch.no_grad()
def test_a_batch_of_two_equals_two_of_one(name, size):
    encoder = encoder_for(name, size)
    frames = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    together = encoder(frames)
    apart = torch.cat([encoder(frame[None]) for frame in frames])
    assert (together - apart).abs().max() <= 1e-5 * together.abs().max()
    assert not torch.allclose(together[0], together[1], rtol=1e-3), "two frames give one answer"


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("vgg")])
def test_gradients_reach_every_parameter(name):
    encoder = build_encoder(name, 3, 32).train()
    # Some timm blocks start at a scale of zero or close to it, which shuts their branch off; so do
    # layers that begin at zero, with what lies before them.
    for key, parameter in encoder.named_parameters():
        if parameter.ndim == 1 and not key.endswith("bias"):
            torch.nn.init.uniform_(parameter, 0.5, 1)
        elif not parameter.any():
            torch.nn.init.normal_(parameter, std=0.01)
    features = encoder(torch.rand(4, 3, 32, 32))
    (features * torch.randn_like(features)).sum().backward()
    without = [key for key, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize(
    ("name", "grid", "features", "parameters"),
    # Simonyan & Zisserman 2014, configuration D: 138,357,544 numbers with the 1000 classes'
    # 4,097,000.
    [("vgg16", (7, 7), 512, 14_714_688), ("vgg16:vector", (1, 1), 4096, 138_357_544 - 4_097_000)],
)
@torch.no_grad()
def test_vgg16_has_the_published_size(name, grid, features, parameters):
    encoder = built(name)
    assert encoder.num_features == features
    assert encoder.grid(224, 224) == grid
    assert encoder(torch.rand(1, 3, 224, 224)).shape == (1, features, *grid)
    assert sum(p.numel() for p in encoder.parameters()) == parameters


@pytest.mark.parametrize("name", ["conv4", "lenet", "stn", "stn:2", "stn:7", "dcn", "dcn:tap"])
def test_no_pretrained_weights_is_an_error(name):
    message = f"{name} has no pretrained weights; use small, a timm network such as vgg16"
    with pytest.raises(ValueError, match=message):
        build_encoder(name, 3, 32, pretrained=True)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70))
@torch.no_grad()
def test_the_grid_of_conv4_is_an_eighth_rounded_up(height, width):
    net = Conv4(1).eval()
    assert net.grid(height, width) == (-(-height // 8), -(-width // 8))
    assert net(torch.zeros(1, 1, height, width)).shape == (1, 64, *net.grid(height, width))


def test_the_receptive_field_of_conv4_is_as_computed_by_hand():
    # many, because a max pool passes one pixel of each four
    frames = torch.rand(32, 1, 72, 72, requires_grad=True)
    Conv4(1).eval()(frames)[:, :, 4, 4].sum().backward()
    rows = frames.grad.abs().sum((0, 1, 3)).nonzero()[:, 0]
    # 5 pixels; 3×3 at a step of 2: +4, pool: +2; 3×3 at 4: +8, pool: +4; 3×3 at 8: +16.
    assert rows.max() - rows.min() + 1 == 5 + 4 + 2 + 8 + 4 + 16
    assert rows.min() <= 4 * 8 + 4 <= rows.max()


def test_small_is_small_enough_for_a_laptop() -> None:
    encoder = Small().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        features = encoder(torch.zeros(1, 3, 112, 112))
    assert features.shape == (1, 560, 7, 7)
    assert counter.get_total_flops() / 2 <= 200e6  # multiply-adds
    assert 2 * count_parameters(encoder) <= 4e6  # bytes in half precision


@pytest.mark.parametrize("size", [64, 100, 112, 33])
@torch.no_grad()
def test_features_of_four_depths_are_averaged_over_the_cells_of_the_last_map(size: int) -> None:
    encoder = Small().eval()
    frames = torch.rand(2, 3, size, size)
    features = encoder(frames)
    torch.testing.assert_close(features[:, -256:], encoder.layers(frames))
    earlier = encoder.layers[:2](frames)
    torch.testing.assert_close(features[:, :48, 0, 0], earlier[:, :, :4, :4].mean((2, 3)))


def test_a_new_block_of_small_is_the_identity_after_relu() -> None:
    features = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(Residual(8)(features), features.relu())
