"""Separate encoders for RGB and flow."""

import pytest
import torch

from onlooker.models.encoders import Conv4, Paired
from onlooker.models.registry import create_model


@torch.no_grad()
def test_each_encoder_sees_its_own_channels() -> None:
    pair = Paired(Conv4(3), Conv4(20), 20).eval()
    frames = torch.rand(2, 23, 32, 40)
    features = pair(frames)
    assert pair.num_features == 128
    assert features.shape[-2:] == pair.grid(32, 40) == (4, 5)
    torch.testing.assert_close(features[:, :64], pair.rgb(frames[:, :3]))
    torch.testing.assert_close(features[:, 64:], pair.flow(frames[:, 3:]))


def test_a_motion_model_divides_its_channels() -> None:
    model = create_model("motion", 4, hidden=8, size=32).eval()
    video = torch.rand(2, 3, 5, 32, 32)
    with torch.no_grad():
        logits, attention, _ = model(video)
        assert logits.shape == (2, 3, 4)
        assert attention.shape == (2, 3, 4, 4)
        state = model.initial_state(2)
        for t in range(3):
            output, state = model.step(video[:, t], state)
            torch.testing.assert_close(output.logits, logits[:, t], atol=1e-5, rtol=0)
            torch.testing.assert_close(output.attention, attention[:, t], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"flow_channels": 3},
            "flow_channels is 3 of 5 channels, expected an even number, and channels that are not flow",
        ),
        ({"in_channels": 2}, "flow_channels is 2 of 2 channels"),
    ],
)
def test_channels_that_do_not_divide(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_model("motion", 4, size=32, **{"in_channels": 5, "flow_channels": 2, **settings})
