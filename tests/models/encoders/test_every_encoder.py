"""What every encoder must satisfy: those of the library, of the papers, and timm networks of each
memory layout; clear errors, and a grid computed without side effects.
"""

import copy
import functools
import os
from dataclasses import replace
from functools import cache

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from onlooker.base.config import DataConfig, ModelConfig, Settings
from onlooker.models.classifier import Classifier
from onlooker.models.encoders import build_encoder
from onlooker.models.encoders.backbone import Backbone
from onlooker.models.encoders.small import Residual, Small
from onlooker.models.registry import configured
from onlooker.models.video_model import count_parameters
from onlooker.training.fitters import complete

BackboneVector = functools.partial(Backbone, vector=True)


@pytest.mark.parametrize(
    ("name", "pretrained", "message"),
    [
        (
            "resnet1e6",
            False,
            r"'resnet1e6'; there are conv4.* vgg16 .*close to.*onlooker-papers",
        ),
        ("smal", False, r"^unknown encoder 'smal'; did you mean small\b"),
        ("vgg16:map", False, "encoder 'vgg16:map' ends in 'map', expected NAME or NAME:vector"),
        *(
            (name, True, f"{name} has no pretrained weights; use small, a timm network such as")
            for name in ("conv4", "lenet", "stn", "stn:2", "stn:7", "dcn", "dcn:tap")
        ),
    ],
)
def test_an_unknown_name_a_suffix_or_weights_that_there_are_not_are_errors(
    name, pretrained, message
):
    with pytest.raises(ValueError, match=message):
        build_encoder(name, 3, 32, pretrained=pretrained)


def test_an_unknown_network_is_an_error():
    with pytest.raises(ValueError, match=r"timm has no network 'qqqqqqq'$"):
        Backbone("qqqqqqq")


def test_weights_that_cannot_be_loaded_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        RuntimeError,
        match=(
            r"(?s)the ImageNet weights of test_resnet cannot be loaded \(.*give their file "
            r"\(model.safetensors of timm/test_resnet.r160_in1k\) by --weights"
        ),
    ):
        build_encoder("test_resnet", 3, 64, pretrained=True)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("vector", [False, True])
@torch.no_grad()
def test_weights_are_read_from_a_file(tmp_path, suffix, vector):
    whole = timm.create_model("test_resnet").eval()
    file = tmp_path / f"weights.{suffix}"
    save = save_file if suffix == "safetensors" else torch.save
    save(whole.state_dict(), file)
    encoder = Backbone("test_resnet", pretrained=str(file), size=64, vector=vector).eval()
    frames = torch.rand(2, 3, 64, 64)
    expected = whole.forward_features(frames)
    if vector:
        expected = whole.forward_head(expected, pre_logits=True)[..., None, None]
    torch.testing.assert_close(encoder(frames), expected)


@pytest.mark.parametrize(
    ("name", "write", "problem"),
    [
        ("evil.pth", lambda file: torch.save(os.getcwd, file), "weights_only=True blocked"),
        ("other.safetensors", lambda file: save_file({"other": torch.rand(3)}, file), ""),
        ("broken.safetensors", lambda file: file.write_bytes(b"no weights"), "Safetensor"),
    ],
)
def test_files_without_fitting_weights_are_refused(tmp_path, name, write, problem):
    write(tmp_path / name)
    with pytest.raises(RuntimeError, match=f"{name}: .*weights of test_resnet.*{problem}"):
        Backbone("test_resnet", pretrained=str(tmp_path / name))


def test_files_that_do_not_exist_or_are_for_another_encoder_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        Backbone("test_resnet", pretrained=str(tmp_path / "none.pth"))
    with pytest.raises(
        ValueError, match="small is no timm network, and only these take weights from a file"
    ):
        build_encoder("small", 3, 64, pretrained="weights.safetensors")


def test_a_model_from_a_file_of_weights_is_saved_with_them(tmp_path):
    file = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), file)
    settings = Settings(
        ModelConfig("lstm", "test_resnet", weights=str(file)), DataConfig(size=64)
    )
    model = configured(complete(settings), 2)
    assert not any(weight.requires_grad for weight in model.encoder.parameters()), (
        "frozen, as pretrained ones are"
    )
    model.save_pretrained(tmp_path / "model")
    file.unlink()
    again = Classifier.from_pretrained(tmp_path / "model")
    torch.testing.assert_close(again.state_dict(), model.state_dict())
    with pytest.raises(ValueError, match="weights is a file, and pretrained is false"):
        complete(settings._replace(model=replace(settings.model, pretrained=False)))


@pytest.mark.parametrize("name", ["test_resnet", "test_mambaout"])  # mambaout gives N h w D
@pytest.mark.parametrize(("row", "column"), [(0, 5), (3, 0)])
@torch.no_grad()
def test_a_cell_of_the_map_responds_to_its_part_of_the_frame(name, row, column):
    encoder = Backbone(name).eval()
    frames = torch.zeros(1, 3, 128, 192)
    before = encoder(frames)
    frames[:, :, 32 * row + 12 : 32 * row + 20, 32 * column + 12 : 32 * column + 20] = 1
    change = (encoder(frames) - before)[0].abs().sum(0)
    assert change.shape == (4, 6)
    y, x = divmod(int(change.argmax()), 6)
    assert abs(y - row) <= 1, "convolutions may smear a spot into the next place"
    assert abs(x - column) <= 1


@pytest.mark.parametrize("training", [True, False])
def test_asking_for_the_grid_changes_nothing(training):
    encoder = Backbone("test_resnet").train(training)
    before = copy.deepcopy(encoder.state_dict())
    random_state = torch.get_rng_state()
    encoder.grid(48, 48)
    assert {module.training for module in encoder.modules()} == {training}
    torch.testing.assert_close(encoder.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("kind", [Backbone, BackboneVector])
def test_a_size_that_a_network_cannot_take_is_an_error_that_names_both(kind):
    encoder = kind("vit_tiny_patch16_224", size=8)
    with pytest.raises(
        ValueError,
        match=r"vit_tiny_patch16_224 cannot take frames of 8x8 pixels \(.*use .*\(--size 224\)",
    ):
        encoder.grid(8, 8)
    assert encoder.training, "as before"


@pytest.mark.parametrize("kind", [Backbone, BackboneVector])
@torch.no_grad()
def test_transformers_accept_only_the_size_that_they_are_built_for(kind):
    encoder = kind("vit_tiny_patch16_224", in_channels=1, size=48).eval()
    features = encoder(torch.rand(2, 1, 48, 48))
    grid = (3, 3) if kind is Backbone else (1, 1)
    assert features.shape == (2, 192, *grid)
    assert encoder.grid(48, 48) == grid


# A network with steps, one with patches, one that gives N h w D; one channel, single pairs and
# stacks of ten.
@pytest.mark.parametrize("channels", [1, 2, 20])
@pytest.mark.parametrize("kind", [Backbone, BackboneVector])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_mambaout"])
def test_pretrained_networks_for_flow_start_from_the_mean_of_the_colors(
    name, kind, channels, tmp_path
):
    file = tmp_path / "weights.safetensors"
    save_file(timm.create_model(name).state_dict(), file)
    color = kind(name, in_channels=3, pretrained=str(file)).state_dict()
    adapted = kind(name, in_channels=channels, pretrained=str(file)).state_dict()
    (first,) = (key for key in color if color[key].shape != adapted[key].shape)
    filters = color.pop(first)
    filters = filters.sum(1, keepdim=True) if channels == 1 else filters.mean(1, keepdim=True)
    torch.testing.assert_close(adapted.pop(first), filters.expand(-1, channels, -1, -1))
    torch.testing.assert_close(adapted, color, rtol=0, atol=0)


def test_networks_whose_first_layer_is_not_a_convolution_of_colors(monkeypatch):
    monkeypatch.setattr(
        timm, "create_model", lambda name, in_chans, **_: nn.Linear(in_chans * 16, 4)
    )
    with pytest.raises(
        RuntimeError,
        match=r"of test_resnet do not begin with filters .*\(weight is \(4, 48\)\): use an",
    ):
        Backbone("test_resnet", in_channels=20, pretrained=True)


DIGITS = ["lenet", "stn", "stn:2", "stn:3", "dcn", "dcn:tap", "dcn:modulated"]
# Timm networks with channels first and with channels last, and vectors.
TIMM = ["vgg16", "test_resnet", "test_mambaout", "test_resnet:vector", "test_convnext:vector"]
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
def built(name, size):
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


@pytest.mark.parametrize(("name", "size"), CASES)
@torch.no_grad()
def test_features_have_the_declared_shape(name, size):
    encoder = built(name, size[0] if name in SIZES else 32)
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
    encoder = built(name, size[0] if name in SIZES else 32)
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
    without = [
        key for key, p in encoder.named_parameters() if p.grad is None or not p.grad.any()
    ]
    assert without == []


@pytest.mark.parametrize(
    ("name", "grid", "features", "parameters"),
    # Simonyan & Zisserman 2014, configuration D: 138,357,544 numbers with the 1000 classes'
    # 4,097,000.
    [
        ("vgg16", (7, 7), 512, 14_714_688),
        ("vgg16:vector", (1, 1), 4096, 138_357_544 - 4_097_000),
    ],
)
@torch.no_grad()
def test_vgg16_has_the_published_size(name, grid, features, parameters):
    encoder = built(name, 32)
    assert encoder.num_features == features
    assert encoder.grid(224, 224) == grid
    assert encoder(torch.rand(1, 3, 224, 224)).shape == (1, features, *grid)
    assert sum(p.numel() for p in encoder.parameters()) == parameters


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
