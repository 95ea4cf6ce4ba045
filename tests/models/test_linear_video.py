"""The linear model behind an encoder of video: its windows, streams as clips, and a run from
training to prediction.
"""

import shutil

import pytest
import torch
from commands import call, fails
from moving_squares import make_set
from pooling import make_features
from stepping import stepped
from torch.testing import assert_close

import onlooker
from onlooker.base.config import DataConfig
from onlooker.models.linear import LinearVideo
from onlooker.models.registry import create_model


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
    assert steps[0].scores == pytest.approx([1 / len(recognizer.classes)] * len(steps[-1].scores))
    assert "no step on single RGB frames to export" in fails("export", run)
