"""Networks for video of torchvision and transformers: the features of these libraries, weights of
files, errors.
"""

import json
import sys
from unittest.mock import Mock
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torchvision.models import _api

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.models.encoders import build_encoder
from onlooker.models.encoders.video import torchvision_video, transformers_video
from onlooker.models.registry import configured, create_model, resolve

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
OF_VJEPA2 = {"pred_hidden_size": 32, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 2}
FAMILIES = {
    "videomae": {"image_size": 24, "num_frames": 4, "patch_size": 8},
    "vivit": {"image_size": 24, "num_frames": 4, "tubelet_size": [2, 8, 8]},
    "vjepa2": {"crop_size": 24, "frames_per_clip": 4, "patch_size": 8, **OF_VJEPA2},
}
COLORS = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3]}


def windows(size, span=16):
    """Two windows normalized as `half`, and the same with values from 0 to 1."""
    colors = torch.rand(2, span, 3, size, size, generator=torch.Generator().manual_seed(1))
    return (colors - 0.5) / 0.25, colors


def normalized(colors, mean, std):
    """`N L C H W` to the input of torchvision's networks, `N C L H W`."""
    return (
        (colors - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    ).transpose(1, 2)


def whole(name, tmp_path, suffix="pth"):
    """A network of torchvision with its classifier, and a file with its weights."""
    torch.manual_seed(0)
    net = torchvision.models.get_model(name).eval()
    file = tmp_path / f"weights.{suffix}"
    save_file(net.state_dict(), file) if suffix == "safetensors" else torch.save(
        net.state_dict(), file
    )
    return net, file


IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
KINETICS = ([0.43216, 0.394666, 0.37645], [0.22803, 0.22145, 0.216989])


@torch.no_grad()
def test_the_map_of_r3d_is_the_mean_of_its_last_layer_over_time(tmp_path):
    net, file = whole("r3d_18", tmp_path, "safetensors")
    video, pixels = windows(32)
    layers = torch.nn.Sequential(net.stem, net.layer1, net.layer2, net.layer3, net.layer4)
    expected = layers(normalized(pixels, *KINETICS)).mean(2)
    encoder = torchvision_video("r3d_18", 32, str(file)).eval()
    torch.testing.assert_close(encoder(video), expected)
    assert not any("fc" in key for key in encoder.state_dict())


@torch.no_grad()
def test_the_map_of_s3d_is_the_mean_of_its_features_for_any_size(tmp_path):
    net, file = whole("s3d", tmp_path)
    for size, grid in {32: 1, 40: 1, 100: 3}.items():
        encoder = torchvision_video("s3d", size, str(file)).eval()
        (video, pixels) = windows(size)
        torch.testing.assert_close(
            encoder(video), net.features(normalized(pixels, *KINETICS)).mean(2)
        )
        assert encoder(video).shape[2:] == encoder.grid(size, size) == (grid, grid)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "grid", "classifier"),
    [
        ("r3d_18", 40, 3, "fc"),
        ("r2plus1d_18", 32, 2, "fc"),
        ("mc3_18", 32, 2, "fc"),
        ("s3d", 224, 7, "classifier"),  # its classifier needs 224 pixels
    ],
)
@torch.no_grad()
def test_the_classifier_of_a_network_gives_its_logits_from_the_map(
    tmp_path, name, size, grid, classifier
):
    net, file = whole(name, tmp_path)
    encoder = torchvision_video(name, size, str(file)).eval()
    video, pixels = windows(size)
    features = encoder(video)
    assert features.shape == (2, encoder.num_features, grid, grid)
    assert encoder.grid(size, size) == (grid, grid)
    mean = features.mean((2, 3))
    logits = getattr(net, classifier)(
        mean[..., None, None, None] if name == "s3d" else mean
    ).flatten(1)
    torch.testing.assert_close(logits, net(normalized(pixels, *KINETICS)), rtol=1e-3, atol=1e-3)


def test_wrong_names_and_sizes_are_errors_that_say_what_to_use():
    with pytest.raises(ValueError, match=r"no network for video 'r3d_81'; did you mean r3d_18"):
        torchvision_video("r3d_81", 32)
    with pytest.raises(ValueError, match="resnet18"):
        torchvision_video("resnet18", 32)
    for transformer in ("mvit_v2_s", "swin3d_t"):
        with pytest.raises(ValueError, match=f"no network for video '{transformer}'"):
            torchvision_video(transformer, 224)
    with pytest.raises(
        ValueError,
        match=r"torchvison:r3d_18' .*or with model linear torchvision:NAME or transformers:NAME",
    ):
        build_encoder("torchvison:r3d_18", 3, 32)
    with pytest.raises(
        ValueError, match=r"'torchvision:r3d_18' .*, or with model linear torchvision:NAME"
    ):
        create_model("convlstm", 2, encoder="torchvision:r3d_18")


def test_weights_that_cannot_be_loaded_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(_api, "load_state_dict_from_url", Mock(side_effect=URLError("no network")))
    expected = r"s3d: the weights of s3d cannot be loaded \(.*no network.*put https://.*/s3d-.*\.pth into .*checkpoints"
    with pytest.raises(RuntimeError, match=expected):
        torchvision_video("s3d", 32, True)
    for name in ("broken.safetensors", "broken.pth"):
        (tmp_path / name).write_bytes(b"no weights")
        with pytest.raises(RuntimeError, match=f"{name}: the weights of s3d cannot be loaded"):
            torchvision_video("s3d", 32, str(tmp_path / name))
    save_file({"other": torch.rand(3)}, tmp_path / "other.safetensors")
    with pytest.raises(
        RuntimeError, match=r"other.safetensors: the weights of s3d cannot .*Missing.*--weights"
    ):
        torchvision_video("s3d", 32, str(tmp_path / "other.safetensors"))


def test_the_encoder_normalizes_and_its_weights_are_not_downloaded_unless_asked(tmp_path):
    model, data, _ = resolve(ModelConfig(encoder="torchvision:r3d_18"), DataConfig(), TrainConfig())
    assert (model.pretrained, data.normalization) == (False, "half")
    model, data, _ = resolve(
        ModelConfig(encoder="torchvision:r3d_18", weights="file.pth"), DataConfig(), TrainConfig()
    )
    assert (model.pretrained, data.normalization) == (True, "half")
    with pytest.raises(
        ValueError, match="normalization is 'imagenet', and torchvision:r3d_18 has its own"
    ):
        resolve(model, DataConfig(normalization="imagenet"), TrainConfig())
    folder = f"transformers:{tmp_path}"
    assert (
        resolve(ModelConfig(encoder=folder), DataConfig(), TrainConfig()).model.pretrained is False
    )
    (tmp_path / "model.safetensors").touch()
    assert (
        resolve(ModelConfig(encoder=folder), DataConfig(), TrainConfig()).model.pretrained is True
    )


def test_a_missing_transformers_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        RuntimeError,
        match=r'transformers is not installed; pip install "onlooker\[video\]" for MCG',
    ):
        configured(
            ModelConfig(encoder="transformers:MCG-NJU/videomae-base", pretrained=True),
            DataConfig(),
            2,
        )


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip(
        "transformers", reason="networks of transformers need onlooker[video]"
    )


@pytest.fixture(scope="module")
def folders(transformers, tmp_path_factory):
    """A folder with a tiny network of each family, as the hub has it."""
    made = {}
    for family, settings in FAMILIES.items():
        torch.manual_seed(0)
        made[family] = tmp_path_factory.mktemp(family)
        config = transformers.AutoConfig.for_model(family, **TINY, **settings)
        transformers.AutoModel.from_config(config).save_pretrained(made[family])
        (made[family] / "preprocessor_config.json").write_text(json.dumps(COLORS))
    return made


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_the_map_is_the_mean_of_the_last_tokens_over_time(transformers, folders, family):
    net = transformers.AutoModel.from_pretrained(folders[family]).eval()
    encoder = transformers_video(str(folders[family]), 24, True).eval()
    video, pixels = windows(24, 4)
    tokens = net(normalized(pixels, *COLORS.values()).transpose(1, 2)).last_hidden_state
    if family == "vivit":
        tokens = tokens[:, 1:]  # without the class token
    maps = tokens.reshape(2, 2, 3, 3, 32)
    torch.testing.assert_close(
        encoder(video), maps.mean(1).permute(0, 3, 1, 2), rtol=1e-4, atol=1e-5
    )
    assert (encoder.span, encoder.num_features, encoder.grid(24, 24)) == (4, 32, (3, 3))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("place", [(0, 0, 1), (2, 2, 0), (3, 1, 2)])
@torch.no_grad()
def test_a_cell_of_the_maps_responds_to_its_part_of_the_video(folders, family, place):
    encoder = transformers_video(str(folders[family]), 24, True).eval()
    video = windows(24, 4)[0][:1]
    (t, y, x) = place
    before = encoder(video)
    video[:, t, :, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] += 4
    change = (encoder(video) - before)[0].abs().sum(0)
    assert change[y, x] == change.max()


def test_the_normalization_is_that_of_the_image_processor(folders, tmp_path):
    for file in folders["vivit"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    processor = tmp_path / "preprocessor_config.json"
    # As ViViT has it: bytes / 127.5 - 1, then (… - 0.5) / 0.5.
    colors = {
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "rescale_factor": 1 / 127.5,
        "offset": True,
    }
    processor.write_text(json.dumps(colors))
    colors = transformers_video(str(tmp_path), 24).colors.flatten(1)
    torch.testing.assert_close(colors, torch.tensor([[0.75] * 3, [0.25] * 3]))
    processor.unlink()
    torch.testing.assert_close(
        transformers_video(str(tmp_path), 24).colors.flatten(1), torch.tensor(IMAGENET)
    )


def test_what_transformers_cannot_build_is_an_error_that_says_what_to_do(
    transformers, folders, tmp_path, monkeypatch
):
    videomae = str(folders["videomae"])
    with pytest.raises(ValueError, match=r"size is 112, and .* takes 24 pixels; give --size 24"):
        transformers_video(videomae, 112)
    with pytest.raises(
        ValueError, match=r"weights.pth is not enough to build .*transformers:FOLDER"
    ):
        transformers_video(videomae, 24, "weights.pth")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="is of type bert, expected one of videomae, vivit"):
        transformers_video(str(tmp_path), 24)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        RuntimeError,
        match=r"some/network cannot be loaded .*HF_HOME.*model.safetensors into a folder",
    ):
        transformers_video("some/network", 24, True)


def test_weights_of_another_network_are_an_error(folders, tmp_path):
    (tmp_path / "config.json").write_text((folders["videomae"] / "config.json").read_text())
    save_file({"other": torch.rand(3)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(RuntimeError, match=r"has no weights .*; give a complete network"):
        transformers_video(str(tmp_path), 24, True)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_network_is_built_from_its_settings_without_its_folder(folders, family):
    encoder = transformers_video(str(folders[family]), 24, True).eval()
    settings = {
        **json.loads(json.dumps(encoder.settings)),
        "_attn_implementation": "some/code",
        "auto_map": {},
    }
    again = transformers_video("gone", 24, False, settings).eval()
    again.load_state_dict(encoder.state_dict())
    video = windows(24, 4)[0]
    assert torch.equal(again(video), encoder(video))
    assert "code" not in str(again.net.config._attn_implementation)
