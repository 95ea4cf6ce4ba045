"""The baseline that sees the middle frame of a clip alone."""

import pytest
import torch

from onlooker.models.registry import create_model


@torch.no_grad()
def test_it_sees_the_middle_frame_alone() -> None:
    model = create_model("single-frame", 4, size=32, hidden=16, head_units=7).eval()
    video = torch.randn(2, 5, 3, 32, 32)
    logits = model(video).logits
    assert torch.equal(logits, model(video[:, 2:3]).logits.expand(2, 5, 4))
    hidden = model.of_frame(video[:, 2]).mean((2, 3))
    first = model.head[0]
    last = model.head[-1]
    by_hand = torch.tanh(hidden @ first.weight.T + first.bias) @ last.weight.T + last.bias
    assert torch.allclose(logits[:, 0], by_hand, atol=1e-5)


def test_a_stream_is_an_error() -> None:
    model = create_model("single-frame", 4, size=32)
    with pytest.raises(
        ValueError, match="single-frame needs whole clips; use `onlooker predict`, or a model with"
    ):
        model.initial_state(1)
