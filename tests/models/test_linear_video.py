"""The linear model behind an encoder of video: its windows, streams as clips, and a run from
training to prediction.
"""

import shutil

import pytest
import torch
from commands import call, fails
from moving_squares import make_set
from pooling import make_features

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
        return (
            torch.nn.functional.adaptive_avg_pool2d(
                torch.cat((windows.mean(1), windows[:, -1]), 1), 2
            )
            * self.weight
        )


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
    for t in range(1, 7):
        assert torch.equal(output.logits[:, t], of_windows.logits[:, (t - 1) // 2])
        assert torch.equal(output.attention[:, t], of_windows.attention[:, (t - 1) // 2])


@pytest.mark.parametrize("frames", [1, 2, 5, 16])
@torch.no_grad()
def test_step_equals_forward(model, frames):
    video = torch.rand(3, frames, 3, 8, 8)
    state = None
    logits, attention, _ = model(video)
    for t, frame in enumerate(video.unbind(1)):
        output, state = model.step(frame, state)
        torch.testing.assert_close(output.logits, logits[:, t])
        torch.testing.assert_close(output.attention, attention[:, t])


@torch.no_grad()
def test_streams_that_began_at_different_times_are_processed_together(model):
    video = torch.rand(1, 9, 3, 8, 8)
    other = torch.rand(1, 6, 3, 8, 8)
    state = None
    late = model.initial_state(1)
    for t in range(9):
        if t == 3:
            state = type(state)(*map(torch.cat, zip(state, late, strict=True)))
        frame = video[:, t] if t < 3 else torch.cat((video[:, t], other[:, t - 3]))
        output, state = model.step(frame, state)
    torch.testing.assert_close(
        output.logits, torch.cat((model(video).logits[:, -1], model(other).logits[:, -1]))
    )


@pytest.mark.parametrize("frames", [2, 7])
def test_a_number_of_frames_that_does_not_fit_is_an_error(model, frames):
    with pytest.raises(
        ValueError,
        match=f"{frames} frames, and torchvision:mean reads 4 .*--frames 4, 6, 8 or so on",
    ):
        LinearVideo(3, "torchvision:mean", frames, size=8)
    with pytest.raises(ValueError, match="takes RGB frames, not 5 channels with 2 of flow"):
        LinearVideo(3, "torchvision:mean", 8, in_channels=5, flow_channels=2, size=8)
    assert model.window == 4


def test_the_only_recipe_of_an_encoder_of_video_is_linear():
    assert (
        type(create_model("linear", 2, encoder="torchvision:s3d", size=32, window=16))
        is LinearVideo
    )


def test_features_are_not_stored(tmp_path):
    with pytest.raises(
        ValueError, match="LinearVideo needs frames, not stored features; leave out --features"
    ):
        make_features([tmp_path / "clip.mp4"], "torchvision:s3d", DataConfig(size=32), False)


def check_run(run, clip, again):
    """A run predicts, live as in the clip, the same from a copy of its model."""
    recognizer = onlooker.load(run)
    copy = onlooker.load(again)
    prediction = recognizer.predict(clip)
    assert (prediction.frame_scores == copy.predict(clip).frame_scores).all()
    assert prediction.attention.shape[1:] == recognizer.model.grid
    steps = [*recognizer.watch(clip)]
    assert steps[-1].scores.shape == (len(recognizer.classes),)
    assert set(steps[0].scores.round(5)) == {round(1 / len(recognizer.classes), 5)}


@pytest.mark.slow
def test_a_run_from_training_to_prediction(tmp_path):
    clips = make_set(tmp_path / "clips", clips=2, frames=16)
    run = tmp_path / "run"
    call("train", clips, "--run", run, "--encoder", "torchvision:r3d_18", "--size", 32)
    shutil.copytree(run / "model", tmp_path / "again")
    check_run(run, clips / "up" / "00.mp4", tmp_path / "again")
    assert "no step on single RGB frames to export" in fails("export", run)
