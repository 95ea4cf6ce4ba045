"""Networks for video of torchvision: their features and weights, the linear model behind them with its
windows, and a run from training to prediction.
"""

import shutil
from dataclasses import replace
from unittest.mock import Mock
from urllib.error import URLError

import pytest
import torch
import torchvision
from commands import call, fails
from moving_squares import make_set
from pooling import make_features
from safetensors.torch import save_file
from stepping import stepped
from torch.testing import assert_close
from torchvision.models import _api

import onlooker
from onlooker.base.config import DataConfig, ModelConfig, TrainConfig
from onlooker.models.encoders.video import torchvision_video
from onlooker.models.linear import LinearVideo
from onlooker.models.registry import create_model, resolve


class Mean(torch.nn.Module):
    """An encoder of windows of 4 frames: their mean, and the newest one, in four parts of the
    frame.
    """

    span = 4
    num_features = 6
    settings = None

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def grid(self, height, width):
        return 2, 2

    def forward(self, windows):
        frames = torch.cat((windows.mean(1), windows[:, -1]), 1)
        return torch.nn.functional.adaptive_avg_pool2d(frames, 2) * self.weight


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr("onlooker.models.linear.torchvision_video", lambda *_: Mean())
    model = LinearVideo(3, "torchvision:mean", 8, size=8)
    model.center.normal_()
    model.scale.uniform_(0.5, 2)
    return model.eval()


@torch.no_grad()
def test_a_window_ends_at_every_second_frame_and_begins_with_the_first_one(model):
    video = torch.rand(2, 7, 3, 8, 8)
    expected = [[0, 0, 0, 1], [0, 1, 2, 3], [2, 3, 4, 5]]
    maps = torch.stack([Mean()(video[:, frames]) for frames in expected], 1)
    torch.testing.assert_close(model.encode_video(video), maps)
    torch.testing.assert_close(
        model.encode_video(video[:, :1])[:, 0], Mean()(video[:, [0, 0, 0, 0]])
    )


@torch.no_grad()
def test_each_frame_has_the_logits_of_the_last_window(model):
    video = torch.rand(2, 7, 3, 8, 8)
    output = model(video)
    of_windows = model.forward_features(model.encode_video(video))
    assert output.logits.shape == (2, 7, 3)
    assert not output.logits[:, 0].any()
    assert (output.attention[:, 0] == 0.25).all()
    last = [0, 0, 1, 1, 2, 2]
    assert torch.equal(output.logits[:, 1:], of_windows.logits[:, last])
    assert torch.equal(output.attention[:, 1:], of_windows.attention[:, last])


@pytest.mark.parametrize("frames", [1, 2, 5, 16])
@torch.no_grad()
def test_step_equals_forward(model, frames):
    video = torch.rand(3, frames, 3, 8, 8)
    *in_steps, _ = stepped(model.step, None, video)
    assert_close(in_steps, [*model(video)[:2]])


@torch.no_grad()
def test_streams_that_began_at_different_times_are_processed_together(model):
    video = torch.rand(2, 9, 3, 8, 8)
    *_, early = stepped(model.step, None, video[:1, :3])
    state = type(early)(*map(torch.cat, zip(early, model.initial_state(1), strict=True)))
    logits, _, _ = stepped(model.step, state, video[:, 3:])
    expected = torch.cat([model(video[:1]).logits[:, -1], model(video[1:, 3:]).logits[:, -1]])
    assert_close(logits[:, -1], expected)


@pytest.mark.parametrize("frames", [2, 7])
def test_a_number_of_frames_that_does_not_fit_is_an_error(model, frames):
    with pytest.raises(
        ValueError,
        match=f"{frames} frames, and torchvision:mean reads 4 .*--frames 4, 6, 8 or so on",
    ):
        LinearVideo(3, "torchvision:mean", frames, size=8)
    with pytest.raises(ValueError, match="takes RGB frames, not 5 channels with 2 of flow"):
        LinearVideo(3, "torchvision:mean", 8, in_channels=5, flow_channels=2, size=8)


def test_the_only_recipe_of_an_encoder_of_video_is_linear():
    model = create_model("linear", 2, encoder="torchvision:s3d", size=32, window=16)
    assert type(model) is LinearVideo


def test_features_are_not_stored(tmp_path):
    with pytest.raises(
        ValueError, match="LinearVideo needs frames, not stored features; leave out --features"
    ):
        make_features([tmp_path / "clip.mp4"], "torchvision:s3d", DataConfig(size=32), False)


@pytest.mark.slow
def test_a_run_from_training_to_prediction(tmp_path):
    clips = make_set(tmp_path / "clips", clips=2, frames=16)
    run = tmp_path / "run"
    call("train", clips, "--run", run, "--encoder", "torchvision:r3d_18", "--size", 32)
    shutil.copytree(run / "model", tmp_path / "again")
    recognizer = onlooker.load(run)
    clip = clips / "up" / "00.mp4"
    prediction = recognizer.predict(clip)
    again = onlooker.load(tmp_path / "again").predict(clip)
    assert (prediction.frame_scores == again.frame_scores).all()
    assert prediction.attention.shape[1:] == recognizer.model.grid
    steps = [*recognizer.watch(clip)]
    assert steps[0].scores == pytest.approx(
        [1 / len(recognizer.classes)] * len(steps[-1].scores)
    )
    assert "no step on single RGB frames to export" in fails("export", run)


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
    net = torchvision.models.get_model(name).eval()
    file = tmp_path / f"weights.{suffix}"
    save = save_file if suffix == "safetensors" else torch.save
    save(net.state_dict(), file)
    return net, file


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("r3d_81", r"no network for video 'r3d_81'; did you mean r3d_18"),
        ("resnet18", "no network for video 'resnet18'"),
        ("mvit_v2_s", "no network for video 'mvit_v2_s'"),
        ("swin3d_t", "no network for video 'swin3d_t'"),
    ],
)
def test_wrong_names_are_errors_that_say_what_to_use(name, message):
    with pytest.raises(ValueError, match=message):
        torchvision_video(name, 32)
    for encoder in ("torchvison:r3d_18", "torchvision:r3d_18"):
        message = rf"'{encoder}' .*or with model linear torchvision:NAME"
        with pytest.raises(ValueError, match=message):
            create_model("convlstm", 2, encoder=encoder)


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
    for size, grid in {40: 1, 100: 3}.items():
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


def test_weights_that_cannot_be_loaded_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(
        _api, "load_state_dict_from_url", Mock(side_effect=URLError("no network"))
    )
    save_file({"other": torch.rand(3)}, tmp_path / "other.safetensors")
    for name in ("broken.safetensors", "broken.pth"):
        (tmp_path / name).write_bytes(b"no weights")
    for weights, message in {
        True: r"s3d: the weights of s3d .* \(.*no network.*put https://.*/s3d-.*\.pth into .*checkp",
        "broken.safetensors": "broken.safetensors: the weights of s3d cannot be loaded",
        "broken.pth": "broken.pth: the weights of s3d cannot be loaded",
        "other.safetensors": r"other.safetensors: the weights of s3d cannot .*Missing.*--weights",
    }.items():
        source = weights if weights is True else str(tmp_path / weights)
        with pytest.raises(RuntimeError, match=message):
            torchvision_video("s3d", 32, source)


def test_the_encoder_normalizes_and_its_weights_are_not_downloaded_unless_asked():
    r3d = ModelConfig(encoder="torchvision:r3d_18")
    model, data, _ = resolve(r3d, DataConfig(), TrainConfig())
    assert (model.pretrained, data.normalization) == (False, "half")
    model, data, _ = resolve(replace(r3d, weights="file.pth"), DataConfig(), TrainConfig())
    assert (model.pretrained, data.normalization) == (True, "half")
    with pytest.raises(
        ValueError, match="normalization is 'imagenet', and torchvision:r3d_18 has its own"
    ):
        resolve(model, DataConfig(normalization="imagenet"), TrainConfig())
