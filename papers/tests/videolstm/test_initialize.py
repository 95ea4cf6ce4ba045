"""Weights of two trained streams in one model, against the streams run side by side."""

from typing import Any

import pytest
import torch
from torch import Tensor

from onlooker.models.cells.attentive import MotionCell
from onlooker.models.cells.cell import unroll
from onlooker.models.cells.lstm import ConvLSTM
from onlooker.models.registry import create_model
from onlooker_papers.videolstm.published import initialize_motion

CLASSES = 3
HIDDEN = 5
SIZE = 16
FIELDS = 2
FLOW = 2 * FIELDS


def made(name: str, channels: int, seed: int, classes: int = CLASSES, **changes: Any) -> Any:
    """Seeded, with batch norms that have seen something and biases that are not 0."""
    torch.manual_seed(seed)
    model = create_model(
        name, classes, **{"size": SIZE, "hidden": HIDDEN, "in_channels": channels, **changes}
    )
    with torch.no_grad():
        model(torch.rand(2, 3, channels, model.size, model.size))
        for key, parameter in model.named_parameters():
            if key.endswith("bias"):
                parameter.add_(torch.rand_like(parameter))
    return model.eval()


def motion(**changes: Any) -> Any:
    return made("motion", 3 + FLOW, 0, **{"flow_channels": FLOW, **changes})


def rgb(**changes: Any) -> Any:
    return made("convalstm", **{"channels": 3, "seed": 1, **changes})


def flow(**changes: Any) -> Any:
    return made("convlstm", **{"channels": FLOW, "seed": 2, **changes})


def weights(part: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in part.state_dict().items()}


def equal(part: Any, expected: dict[str, Tensor]) -> bool:
    found = weights(part)
    return found.keys() == expected.keys() and all(
        torch.equal(found[key], expected[key]) for key in found
    )


@pytest.mark.parametrize("units", [0, 4])
def test_every_part_has_the_weights_of_its_stream(units: int) -> None:
    changes: dict[str, Any] = {"head_units": units, "attention_loss": True}
    model = motion(**changes)
    seen = rgb(**changes)
    moved = flow(head_units=units)
    from_upper = weights(model.cell.from_upper)
    source = (weights(seen), weights(moved))
    initialize_motion(model, seen, moved)
    assert equal(model.encoder.rgb, weights(seen.encoder))
    assert equal(model.encoder.flow, weights(moved.encoder))
    assert equal(model.cell.attention, weights(seen.cell.attention))
    assert equal(model.cell.upper, weights(seen.cell.cell))
    assert equal(model.head, weights(seen.head))
    assert equal(model.attention_head, weights(seen.attention_head))
    assert equal(model.cell.from_upper, from_upper)
    lower = model.cell.lower
    trained = moved.cell
    for conv in ("from_features", "from_hidden"):
        one = getattr(lower, conv).weight
        nine = getattr(trained, conv).weight
        assert one.shape == (*nine.shape[:2], 1, 1)
        assert torch.equal(one[:, :, 0, 0], nine[:, :, 1, 1])
    assert torch.equal(lower.from_features.bias, trained.from_features.bias)
    # The two models themselves stay as they are, and share no memory with the new one.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert equal(seen, source[0])
    assert equal(moved, source[1])


def test_kernels_of_one_place_are_taken_as_they_are() -> None:
    model = motion()
    moved = flow()
    moved.cell = ConvLSTM(moved.encoder.num_features, HIDDEN, kernel=1)
    initialize_motion(model, rgb(), moved)
    assert equal(model.cell.lower, weights(moved.cell))


@torch.no_grad()
def test_without_neighbors_in_flow_it_is_the_two_streams_one_attending_for_the_other() -> None:
    """The flow's own memory asks the attention of RGB, whose ConvLSTM and head then answer."""
    model = motion()
    seen = rgb()
    moved = flow()
    for conv in (moved.cell.from_features, moved.cell.from_hidden):
        middle = conv.weight[:, :, 1, 1].clone()
        conv.weight.zero_()
        conv.weight[:, :, 1, 1] = middle
    initialize_motion(model, seen, moved)
    model.cell.from_upper.weight.zero_()

    video = torch.rand(2, 4, 3 + FLOW, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    frames = video[:, :, :3]
    fields = video[:, :, 3:]
    (remembered, _), _ = unroll(moved.cell, moved.encode_video(fields), moved.initial_state(2))
    state = seen.initial_state(2)
    logits = []
    maps = []
    for frame, asks in zip(frames.unbind(1), remembered.unbind(1), strict=True):
        features = seen.encode(frame)
        attention = seen.cell.attention(seen.cell.attention.project(features), asks)
        output, state = seen.cell.cell(features * attention[:, None] * attention[0].numel(), state)
        logits.append(seen.classify(output.hidden))
        maps.append(attention)
    found = model(video)
    torch.testing.assert_close(found.logits, torch.stack(logits, 1))
    torch.testing.assert_close(found.attention, torch.stack(maps, 1))
    assert found.attention.std() > 1e-5


def test_models_of_other_sizes_are_refused() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        initialize_motion(motion(), rgb(hidden=6), flow())


def test_a_model_with_an_attention_loss_begins_from_one_without() -> None:
    model = motion(attention_loss=True)
    ground = weights(model.attention_head)
    initialize_motion(model, rgb(), flow())
    assert isinstance(model.cell, MotionCell)
    assert equal(model.attention_head, ground)
