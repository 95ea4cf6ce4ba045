"""The learned initial state."""

import pytest
import torch
import torch.nn.functional as F

from onlooker.models.registry import create_model


@torch.no_grad()
@pytest.mark.parametrize("name", ["lstm", "alstm", "convlstm", "convalstm", "motion", "report"])
@pytest.mark.parametrize("init", ["first-frame", "clip-mean"])
def test_the_state_is_the_tanh_of_the_features(name: str, init: str) -> None:
    torch.manual_seed(0)
    model = create_model(name, 3, hidden=4, size=32, init=init).eval()
    features = torch.randn(2, 5, model.encoder.num_features, *model.grid)
    state = model._first_state(features)
    of = features[:, 0] if init == "first-frame" else features.sum(1) / 5
    for part, layer in zip(state, model.learned_init.parts, strict=True):
        if name in ("lstm", "alstm"):
            expected = torch.tanh(of.flatten(2).sum(2) / of.shape[2:].numel() @ layer.weight.T + layer.bias)
        else:
            expected = torch.tanh(F.conv2d(of, layer.weight, layer.bias, padding=1))
        torch.testing.assert_close(part, expected)
    zeros = create_model(name, 3, hidden=4, size=32).initial_state(2)
    assert [part.shape for part in state] == [part.shape for part in zeros]


@torch.no_grad()
def test_a_stream_started_from_its_first_frame_equals_the_clip() -> None:
    torch.manual_seed(1)
    model = create_model("convalstm", 3, hidden=4, size=32, init="first-frame").eval()
    video = torch.rand(2, 4, 3, 32, 32)
    logits, attention, _ = model(video)
    state = None
    for t in range(4):
        output, state = model.step(video[:, t], state)
        torch.testing.assert_close(output.logits, logits[:, t], atol=1e-5, rtol=0)
        torch.testing.assert_close(output.attention, attention[:, t], atol=1e-5, rtol=0)


def test_invalid_initial_states() -> None:
    video = torch.rand(1, 3, 32, 32)
    with pytest.raises(ValueError, match="'clip-mean', which needs the whole clip; train with first-frame or zeros"):
        create_model("lstm", 3, size=32, init="clip-mean").step(video)
    with pytest.raises(ValueError, match="'first-frame': the first state is learned from frames; begin `step` with"):
        create_model("lstm", 3, size=32, init="first-frame").initial_state(1)
    with pytest.raises(ValueError, match="no state to learn; use init='zeros'"):
        create_model("convnet", 3, size=32, init="first-frame")
    with pytest.raises(ValueError, match="init is 'ones', expected one of zeros, first-frame, clip-mean"):
        create_model("lstm", 3, size=32, init="ones")


def test_a_first_state_is_learned() -> None:
    model = create_model("alstm", 3, hidden=4, size=32, init="first-frame")
    model(torch.rand(2, 1, 3, 32, 32)).logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.learned_init.parameters())
