"""The model that follows things: stretches, short clips, windows, files."""

import subprocess
import sys

import torch

from onlooker.base.config import DataConfig
from onlooker.base.decision import Decision
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer
from onlooker_papers.digits.track_classifier import TrackClassifier


def made(num_classes=4, **settings):
    torch.manual_seed(0)
    model = create_model(
        "tracks", num_classes, **{"in_channels": 1, "hidden": 16, "dropout": 0.0, **settings}
    )
    assert isinstance(model, TrackClassifier)
    return model.eval()


def clips(B, T, seed=0):
    return torch.rand(B, T, 1, 64, 64, generator=torch.Generator().manual_seed(seed)).pow(6)


@torch.no_grad()
def test_a_stretch_is_judged_when_it_ends():
    model = made()
    video = clips(2, 13)
    logits = model(video).logits
    assert logits.shape == (2, 13, 4)
    assert torch.equal(logits[:, :4], torch.zeros(2, 4, 4))
    for first, last in ((4, 9), (9, 13)):
        assert (logits[:, first:last] == logits[:, first : first + 1]).all()
    assert not torch.allclose(logits[:, 4], logits[:, 9])


@torch.no_grad()
def test_judgments_are_multiplied_each_as_far_as_it_can_be_trusted():
    model = made()
    video = clips(2, 10)
    pool = model.pool
    torch.nn.init.normal_(pool.weight.weight)
    expected = torch.zeros(2, 4)
    for stretch in (video[:, :5], video[:, 5:]):
        features = model.tracks(stretch)
        trust = torch.nn.functional.softplus(pool.weight(features))
        expected = expected + trust * pool.judge(features).log_softmax(1)
    assert torch.allclose(model(video).logits[:, -1].softmax(1), expected.softmax(1), atol=1e-5)


@torch.no_grad()
def test_a_clip_shorter_than_a_stretch_repeats_its_last_frame():
    model = made()
    video = clips(2, 3)
    filled = torch.cat((video, video[:, -1:].expand(-1, 2, -1, -1, -1)), 1)
    logits = model(video).logits
    assert logits.shape == (2, 3, 4)
    assert torch.allclose(logits[:, -1], model(filled).logits[:, -1], atol=1e-6)
    assert torch.equal(logits[:, :2], torch.zeros(2, 2, 4))


@torch.no_grad()
def test_windows_are_those_of_the_stretches():
    model = made()
    video = clips(1, 12)[0]
    windows = model.windows(video)
    assert windows.shape == (12, 2, 2, 3)
    assert torch.equal(windows[:5], model.tracks.windows(video[None, :5])[0])
    assert model.windows(video[:2]).shape == (2, 2, 2, 3)
    rest = torch.cat((video[10:], video[11:].expand(3, -1, -1, -1)))
    assert torch.equal(windows[10:], model.tracks.windows(rest[None])[0, :2])


def test_a_saved_run_is_loaded_without_importing_the_papers_first(tmp_path):
    data = DataConfig(frames=5, size=32, channels=1, normalization="half")
    Recognizer(made(size=32, hidden=8), data, Decision(list("abcd"))).save(tmp_path / "run")
    code = "import sys, onlooker; print('onlooker_papers' in sys.modules, onlooker.load(sys.argv[1]).model.__class__)"
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False")
    assert "onlooker_papers.digits.track_classifier.TrackClassifier" in done.stdout
