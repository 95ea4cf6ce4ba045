"""Landmarks and images: which models are run, what a frame without a person gives, and how both are
fitted.
"""

import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from stepping import stepped
from torch import Tensor, nn

from onlooker.base.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.samples import read_sample
from onlooker.data.transforms import to_video
from onlooker.models.encoders import ENCODERS, build_encoder, pose
from onlooker.models.encoders.lite0 import Lite0
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import for_model, resolve
from onlooker.training.linear import Clips, choose, fitted_layer

needs_models = pytest.mark.skipif(
    find_spec("ai_edge_litert") is None or find_spec("mediapipe") is None,
    reason="needs LiteRT and MediaPipe's models",
)


class Stub(nn.Module):
    """Two channels of images, the mean of the left and of the right half, and three of landmarks,
    of which the last one is zero where the frame is black.
    """

    num_features = 5
    parts = (2, 3)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return 2, 2

    def forward(self, frames: Tensor) -> Tensor:
        images = nn.functional.adaptive_avg_pool2d(frames[:, :2], 2)
        mean = frames.mean((1, 2, 3))
        seen = (mean > 0).float()
        landmarks = torch.stack((mean * seen, -2 * mean * seen, seen), 1)[
            :, :, None, None
        ].expand(-1, -1, 2, 2)
        return torch.cat((images, landmarks), 1)


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> LinearClassifier:
    monkeypatch.setitem(ENCODERS, "stub", lambda in_channels, size: Stub())
    net = LinearClassifier(3, "stub", window=4, size=8).eval()
    net.center.normal_()
    net.scale.uniform_(0.5, 2)
    return net


def video() -> Tensor:
    """Eight frames, in four of which there is nobody: the first, and three later ones."""
    frames = torch.rand(1, 8, 3, 8, 8)
    frames[:, [0, 3, 4, 7]] = 0
    return frames


def test_landmarks_are_held_where_nobody_is_seen(net: LinearClassifier) -> None:
    with torch.inference_mode():
        flat = net._flat(net.encode_video(video()))[0, :, :, 0]
    assert flat[:, 4].tolist() == [0, 1, 1, 0, 0, 1, 1, 0]
    assert flat[0, 2] == 0
    torch.testing.assert_close(flat[[3, 4, 7], 2:4], flat[[2, 2, 6], 2:4])


def test_steps_equal_the_whole_video_and_attention_is_that_of_the_images(
    net: LinearClassifier,
) -> None:
    frames = video()
    with torch.inference_mode():
        whole = net(frames)
        *in_steps, _ = stepped(net.step, None, frames)
        torch.testing.assert_close(
            in_steps, [whole.logits, whole.attention], atol=1e-5, rtol=1e-4
        )
        net.head.weight.unflatten(1, (len(net.names), -1))[..., 2:] += 1
        torch.testing.assert_close(net(frames).attention, whole.attention)


def test_log_probabilities_are_added() -> None:
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 12)
    x = random.normal(size=(36, len(LinearClassifier.names), 7))
    # images tell the first class from the others, landmarks the last one
    x[:, 0, 0] += 5 * (y == 0)
    x[:, 1, 5] += 5 * (y == 2)
    groups = np.arange(36).astype(str)
    clips = Clips(x.reshape(36, -1), y, groups, 3, parts=(4, 3))
    choice = choose(clips)
    assert 0 < choice.share < 1
    logits = fitted_layer(clips, choice).logits(clips.x)
    of_parts = []
    for (part, _), chosen in zip(clips.by_part(), choice.parts, strict=True):
        scores = fitted_layer(part, chosen).logits(part.x) / chosen.temperature
        of_parts.append(log_softmax(scores, 1))
    expected = (1 - choice.share) * of_parts[0] + choice.share * of_parts[1]
    np.testing.assert_allclose(logits - logits[:, :1], expected - expected[:, :1], atol=1e-9)
    alone = [np.mean(of_part.scores.argmax(1) == y) for of_part in choice.parts]
    assert np.mean(choice.scores.argmax(1) == y) > max(alone)


def test_settings_are_those_of_lite0() -> None:
    model, data = for_model(ModelConfig("linear", "pose"), DataConfig(), {"encoder"})
    model, data, _ = resolve(model, data, TrainConfig())
    assert (model.pretrained, data.size, data.normalization) == (True, 224, "lite0")


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(message: str, pretrained: bool | str = True) -> None:
        with pytest.raises(RuntimeError, match=message):
            build_encoder("pose", 3, 224, pretrained=pretrained)

    installed = dict[str, object]()
    monkeypatch.setattr(pose, "find_spec", installed.get)
    monkeypatch.setattr(pose, "Lite0", lambda *_: nn.Identity())
    fails(r"needs LiteRT.*onlooker\[pose\]")
    installed["ai_edge_litert"] = object()
    fails(r"two models of MediaPipe .*Apache-2\.0.*pip download.*--weights")
    wheel = tmp_path / "mediapipe.whl"
    wheel.write_bytes(b"no archive")
    fails(r"mediapipe\.whl: the weights of MediaPipe 0.10.21 cannot be loaded", str(wheel))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in pose._FILES:
            archive.writestr(name, "another model")
    fails(r"not pose_detection\.tflite of MediaPipe 0\.10\.21", str(wheel))
    with pytest.raises(ValueError, match="in_channels is 5"):
        build_encoder("pose", 5, 224)


def test_models_that_are_not_mediapipes_are_never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights of a run that somebody else made."""
    monkeypatch.setattr(pose, "find_spec", lambda name: object())
    monkeypatch.setattr(pose, "_interpreters", [])
    with pytest.raises(RuntimeError, match=r"not pose_detection\.tflite"):
        pose.Pose()(torch.rand(1, 3, 64, 64))


@needs_models
def test_a_person_who_stands_has_a_head_above_the_hips_and_feet_below(real_data: Path) -> None:
    clips = sorted((real_data / "clips" / "weizmann" / "frames" / "wave2").glob("*"))
    if not clips:
        pytest.skip("needs Weizmann")
    sample = read_sample(clips[0], DataConfig(frames=4, size=224))
    frames = to_video(torch.from_numpy(sample.pixels), "lite0")
    encoder = build_encoder("pose", 3, 224, pretrained=True)
    with torch.inference_mode():
        features = encoder(frames)[:, Lite0.num_features :, 0, 0]
    seen = features[features[:, -1] > 0]
    assert len(seen)
    # y of the nose and of the ankles, from the hips down
    assert (seen[:, 1] < -0.5).all()
    assert (seen[:, [3 * 27 + 1, 3 * 28 + 1]] > 0.5).all()
