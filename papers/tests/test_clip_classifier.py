"""Clip-level models: training, saving and loading, and dependence on the order of frames."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.transforms import NORMALIZATIONS
from onlooker.models.classifier import clip_scores
from onlooker.models.registry import create_model, resolve
from onlooker.models.video_model import VideoModel, count_parameters
from onlooker.recognizer import Recognizer, load
from onlooker_papers.clip_classifier import C3D, RECIPES, ClipClassifier, TorchvisionNetwork

OWN = ["single-frame", "feature-average", "c3d"]
NETWORKS = [name for name in RECIPES if name.startswith("torchvision:")]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(name: str, classes: int = 4, **changes: object) -> VideoModel:
    torch.manual_seed(0)
    return create_model(name, classes, **{"size": 32, "hidden": 16, "dropout": 0.0, **changes})


def made_video(T: int = 6, B: int = 2, C: int = 3, size: int = 32) -> Tensor:
    return torch.randn(B, T, C, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", OWN)
def test_it_overfits_four_clips(name: str) -> None:
    model, video, targets = made(name).train(), made_video(B=4), torch.arange(4)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(25):
        logits, attention, _ = model(video)
        assert attention is None
        loss = F.cross_entropy(logits.flatten(0, 1), targets.repeat_interleave(6))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    assert (clip_scores(model(video).logits.softmax(-1)).argmax(1) == targets).all()


@pytest.mark.parametrize("name", OWN)
@torch.no_grad()
def test_the_prediction_of_the_clip_is_repeated_at_every_frame(name: str) -> None:
    model, video = made(name).eval(), made_video()
    logits = model(video).logits
    assert logits.shape == (2, 6, 4)
    assert torch.equal(logits, logits[:, :1].expand_as(logits))
    assert torch.allclose(clip_scores(logits.softmax(-1)), logits[:, 0].softmax(-1))
    assert torch.allclose(model(video[1:]).logits, logits[1:], atol=1e-5), "a batch of two is two of one"
    assert model(video[:, :1]).logits.shape == (2, 1, 4), "a clip of one frame"
    assert not model.attends
    assert model.encoder is None


@torch.no_grad()
def test_only_c3d_depends_on_the_order_of_frames() -> None:
    video = made_video()
    turned = video[:, [0, 2, 4, 3, 1, 5]]  # the middle one stays
    change = {}
    for name in OWN:
        model = made(name).eval()
        change[name] = (model(video).logits - model(turned).logits).abs().max() / model(video).logits.std()
    assert change["c3d"] > 1e-3
    assert change["feature-average"] < 1e-5
    assert change["single-frame"] == 0


@torch.no_grad()
def test_single_frame_uses_the_middle_one_and_feature_average_the_mean_of_features() -> None:
    video = made_video(T=5)
    model = made("single-frame", head_units=7).eval()
    assert torch.equal(model(video).logits[:, :1], model(video[:, 2:3]).logits)
    hidden = model.network.encoder(video[:, 2]).mean((2, 3))
    first, last = model.head[0], model.head[-1]
    by_hand = torch.tanh(hidden @ first.weight.T + first.bias) @ last.weight.T + last.bias
    assert torch.allclose(model(video).logits[:, 0], by_hand, atol=1e-5)

    average, frames = made("feature-average").eval(), made("convnet").eval()
    average.network.encoder.load_state_dict(frames.encoder.state_dict())
    average.head.load_state_dict(frames.head.state_dict())
    # A linear head on averaged features gives the average of logits, where `convnet` averages what comes after softmax.
    assert torch.allclose(average(video).logits[:, 0], frames(video).logits.mean(1), atol=1e-5)


def test_number_of_parameters_and_features() -> None:
    # Convolutions without bias, two numbers a channel for each norm.
    convolutions = 27 * (3 * 16 + 16 * 32 + 32 * 64 + 64 * 64) + 2 * (16 + 32 + 64 + 64)
    assert count_parameters(create_model("c3d", 10)) == convolutions + 64 * 10 + 10
    assert {name: made(name).num_features for name in OWN} == {"single-frame": 64, "feature-average": 64, "c3d": 16}
    assert made("lstm").num_features == 16
    assert made("convnet", head_units=5).num_features == 64


def gradients(model: nn.Module, video: Tensor, half: bool) -> list[Tensor]:
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits = model(video).logits
    F.cross_entropy(logits.float().flatten(0, 1), torch.arange(len(video)).repeat_interleave(video.shape[1])).backward()
    return [p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize(("T", "size"), [(1, 16), (2, 16), (8, 32), (5, 40)])
def test_gradients_in_half_precision_are_close_to_those_in_full_precision(T: int, size: int) -> None:
    model, video = made("c3d", size=size).train(), made_video(T=T, B=4, size=size)
    full = gradients(model, video, half=False)
    # What an operation leaves unwritten is what was there before: make it large.
    junk = [torch.full((200_000,), 3e36) for _ in range(4)]
    del junk
    for exact, got in zip(full, gradients(model, video, half=True), strict=True):
        assert got.isfinite().all()
        assert (got - exact).norm() < 0.05 * exact.norm() + 1e-4


@pytest.mark.parametrize("name", OWN)
def test_a_saved_model_is_loaded_bit_for_bit(name: str, tmp_path: Path) -> None:
    model, video = made(name, in_channels=2, head_units=3).eval(), made_video(C=2)
    data = DataConfig(frames=6, size=32, modality="flow", normalization="half")
    Recognizer(model, ("a", "b", "c", "d"), data).save(tmp_path)
    again = load(tmp_path, "cpu").model
    assert isinstance(again, ClipClassifier)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())
    with torch.no_grad():
        assert torch.equal(model(video).logits, again(video).logits)
        assert torch.equal(model(video).logits, ClipClassifier.from_pretrained(tmp_path)(video).logits)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if "mvit" in name else ()) for name in NETWORKS]
)
def test_torchvisions_networks_take_small_clips_and_learn(name: str) -> None:
    model, video = made(name, classes=3, in_channels=2).train(), made_video(T=4, C=2)
    logits = model(video).logits
    assert logits.shape == (2, 4, 3)
    sizes = {"s3d": 1024, "mvit_v2_s": 768, "swin3d_t": 768}
    assert model.head[-1].in_features == model.num_features == sizes.get(name.split(":")[1], 512)
    F.cross_entropy(logits[:, 0], torch.tensor([0, 1])).backward()
    without = [key for key, p in model.named_parameters() if p.grad is None]
    assert without == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_a_network_from_torchvision_is_that_network() -> None:
    from torchvision.models.video import mc3_18

    model, video = made("torchvision:mc3_18", classes=3).eval(), made_video(T=4)
    theirs = mc3_18(num_classes=3).eval()
    head = {f"fc.{key[2:]}": value for key, value in model.head.state_dict().items()}
    theirs.load_state_dict({**model.network.network.state_dict(), **head})
    with torch.no_grad():
        assert torch.allclose(model(video).logits[:, 0], theirs(video.transpose(1, 2)), atol=1e-5)


def test_a_saved_network_is_loaded_without_a_download(tmp_path: Path) -> None:
    model = made("torchvision:mc3_18", classes=2).eval()
    Recognizer(model, ("a", "b"), DataConfig(size=32, normalization="half")).save(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"pretrained": false', '"pretrained": true'))
    again, video = load(tmp_path, "cpu").model, made_video(T=4)
    with torch.no_grad():
        assert torch.equal(model(video).logits, again(video).logits)


def test_learned_first_filters_for_other_channels_are_the_mean_of_the_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    learned = torchvision.models.video.mc3_18()
    colors = learned.stem[0].weight.detach().clone()
    asked = []
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: asked.append(weights) or learned)
    look = TorchvisionNetwork("mc3_18", in_channels=4, pretrained=True)
    assert asked == ["DEFAULT"]
    wider = look.network.stem[0].weight
    assert wider.shape == (64, 4, 3, 7, 7)
    assert torch.allclose(wider, colors.mean(1, keepdim=True).expand(-1, 4, -1, -1, -1), atol=1e-7)


@torch.no_grad()
def test_mvit_gets_sixteen_larger_frames() -> None:
    model = made("torchvision:mvit_v2_s", size=48)
    seen = []
    model.network.network = nn.Module()
    model.network.network.forward = lambda video: seen.append(video) or torch.zeros(len(video), 768)
    video = made_video(T=31, size=48)
    assert model(video).logits.shape == (2, 31, 4)
    assert seen[0].shape == (2, 3, 16, 224, 224)
    # Every second frame of 31, enlarged: seen small again, about what it was.
    small = F.interpolate(seen[0].transpose(1, 2).flatten(0, 1), (48, 48), mode="area").unflatten(0, (2, 16))
    assert F.cosine_similarity(small.flatten(2), video[:, ::2].flatten(2), dim=2).min() > 0.9


@pytest.mark.parametrize("name", ["single-frame", "c3d"])
def test_a_stream_is_an_error_that_says_what_to_do(name: str) -> None:
    model = made(name)
    network = RECIPES[name].settings["network"]
    with pytest.raises(ValueError, match=f"{network} makes one prediction per clip and needs all of its frames; use"):
        model.step(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="or train a model with a state, such as lstm or convlstm"):
        model.initial_state(1)


@pytest.mark.parametrize("name", NETWORKS)
def test_frames_are_normalized_as_the_pretrained_weights_expect(name: str) -> None:
    config = ModelConfig(name, pretrained=True)
    theirs = torchvision.models.get_model_weights(name.split(":")[1]).DEFAULT.transforms()
    normalization = resolve(config, DataConfig(), TrainConfig())[1].normalization
    assert [list(part) for part in NORMALIZATIONS[normalization]] == [theirs.mean, theirs.std]


def test_settings_without_effect_are_known() -> None:
    unused = {name: recipe.ignores for name, recipe in RECIPES.items()}
    assert unused["c3d"] == {"encoder"}
    assert unused["single-frame"] == unused["feature-average"] == {"hidden"}
    assert unused["torchvision:r3d_18"] == {"encoder", "hidden"}


def offline(*_: object, **__: object) -> None:
    raise OSError("no route to host")


def test_settings_that_do_not_fit_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="network is 'glance', expected one of c3d, middle-frame, frame-average"):
        ClipClassifier(3, "glance")
    with pytest.raises(ValueError, match="c3d has no setting 'init'"):
        made("c3d", init="clip-mean")
    with pytest.raises(ValueError, match="c3d has no pretrained weights; leave out pretrained"):
        made("c3d", pretrained=True)
    with pytest.raises(ValueError, match="hidden is 3, expected at least 4 channels"):
        C3D(3, 3)
    with pytest.raises(ValueError, match=r"frames are \(3, 16, 16\), this model was built for \(3, 32, 32\)"):
        made("c3d")(made_video(size=16))
    with pytest.raises(ValueError, match="2 clips of 0 frames"):
        made("c3d")(made_video()[:, :0])
    monkeypatch.setattr("torchvision.models.get_model", offline)
    with pytest.raises(
        RuntimeError, match=r"Kinetics weights of r3d_18 cannot be loaded \(no route to host\); connect"
    ):
        made("torchvision:r3d_18", pretrained=True)
