"""The learned initial state."""

import pytest
import torch
import torch.nn.functional as F

from onlooker.models.registry import create_model


@torch.no_grad()
@pytest.mark.parametrize("name", ["lstm", "alstm", "convlstm", "convalstm", "motion", "report"])
def test_the_state_is_the_tanh_of_the_features(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name, 3, hidden=4, size=32, init="clip-mean").eval()
    features = torch.randn(2, 5, model.encoder.num_features, *model.grid)
    state = model._first_state(features)
    of = features.sum(1) / 5
    for part, layer in zip(state, model.learned_init.parts, strict=True):
        if name in ("lstm", "alstm"):
            expected = torch.tanh(of.flatten(2).sum(2) / of.shape[2:].numel() @ layer.weight.T + layer.bias)
        else:
            expected = torch.tanh(F.conv2d(of, layer.weight, layer.bias, padding=1))
        torch.testing.assert_close(part, expected)
    zeros = create_model(name, 3, hidden=4, size=32).initial_state(2)
    assert [part.shape for part in state] == [part.shape for part in zeros]


def test_invalid_initial_states() -> None:
    video = torch.rand(1, 3, 32, 32)
    with pytest.raises(ValueError, match="'clip-mean', which needs the whole clip; train with zeros"):
        create_model("lstm", 3, size=32, init="clip-mean").step(video)
    with pytest.raises(ValueError, match="no state to learn; use init='zeros'"):
        create_model("convnet", 3, size=32, init="clip-mean")
    with pytest.raises(ValueError, match="init is 'ones', expected one of zeros, clip-mean"):
        create_model("lstm", 3, size=32, init="ones")


def test_a_first_state_is_learned() -> None:
    model = create_model("alstm", 3, hidden=4, size=32, init="clip-mean")
    model(torch.rand(2, 1, 3, 32, 32)).logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.learned_init.parameters())
