"""Models in training: stored features, encoding in parts, augmentation."""

import pytest
import torch
from torch.testing import assert_close

from onlooker import create_model
from onlooker.base.config import DataConfig
from onlooker.data.transforms import to_video
from onlooker.training.forward import encode_samples, forward_samples

DATA = DataConfig(size=32, frames=4, normalization="half", hflip=False, translate=0.5)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model("convalstm", 3, encoder="conv4", size=32).eval()


def frames(T=4):
    return torch.randint(
        0, 256, (2, T, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@torch.inference_mode()
def test_stored_features_give_the_same_output_as_frames(model):
    output, features = forward_samples(model, frames(), DATA)
    stored = features.half().movedim(-3, -1)
    from_store, same = forward_samples(model, stored, DATA)
    assert_close(same, features, atol=2e-3, rtol=2e-3)
    assert_close(from_store.logits, output.logits, atol=2e-3, rtol=2e-3)
    assert_close(encode_samples(model, stored[0], DATA), same[0])


@torch.inference_mode()
@pytest.mark.parametrize("at_once", [1, 3, 100, None])
def test_encoding_frames_in_parts_equals_the_whole_video(model, at_once):
    expected = model.encode_video(to_video(frames(), "half"))
    assert_close(encode_samples(model, frames(), DATA, at_once), expected)
    assert_close(encode_samples(model, frames()[1], DATA, at_once), expected[1])


@torch.inference_mode()
def test_only_frames_are_augmented_and_only_if_requested(model):
    plain = forward_samples(model, frames(), DATA)[1]
    assert torch.equal(forward_samples(model, frames(), DATA)[1], plain)
    assert not torch.allclose(forward_samples(model, frames(), DATA, augmented=True)[1], plain)
    stored = plain.half().movedim(-3, -1)
    assert torch.equal(
        forward_samples(model, stored, DATA, augmented=True)[1], stored.movedim(-1, -3).float()
    )
