"""Weights that a model begins with, of models that were trained before: VideoLSTM's, of its two streams."""

from typing import cast

from torch import Tensor, nn

from onlooker.models.attention import SoftAttention
from onlooker.models.cells.attentive import AttentiveCell
from onlooker.models.cells.lstm import ConvLSTM
from onlooker.models.cells.motion import MotionCell
from onlooker.models.classifier import Classifier
from onlooker.models.encoders.paired import Paired
from onlooker.models.video_model import VideoModel


def initialize_motion(model: VideoModel, picture: VideoModel, flow: VideoModel) -> None:
    """Give a `motion` model the weights of its two streams: ConvALSTM of the picture, ConvLSTM of the flow (Li 2016).

    Of the picture's come its encoder, attention, ConvLSTM (the upper one here) and head, and the linear layer of
    the attention loss where both have one; of the flow's its encoder and its ConvLSTM (the lower one). The lower
    one has 1×1 kernels: of the flow's 3×3 kernels it takes the middle, what they make of a place without its
    neighbors. The paper does not say how. What has no counterpart stays as it is: `from_upper`, and a learned first
    state.

    Args:
        model: `motion`, which is changed.
        picture: `convalstm`, trained on channels as the first of `model`, those of the picture.
        flow: `convlstm`, trained on channels as the last, those of the flow.

    Raises:
        ValueError: models of another kind, or of other sizes; nothing was changed.
    """
    net, both, cell = _motion(model)
    seen, looks, upper = _convalstm(picture)
    moved, lower = _convlstm(flow)
    channels = net.in_channels - both.flow_channels, both.flow_channels
    of_picture, of_flow = (_sizes(net, *of, cell.num_hidden) for of in zip(channels, cell.sizes, strict=True))
    found = _sizes(seen, seen.in_channels, seen.encoder.num_features, upper.num_hidden)
    found |= {"classes": seen.num_classes, "glimpse": looks.glimpse}
    _check_sizes("picture", found, {**of_picture, "classes": net.num_classes, "glimpse": cell.glimpse})
    _check_sizes("flow", _sizes(moved, moved.in_channels, moved.encoder.num_features, lower.num_hidden), of_flow)
    given = [
        ("the picture's encoder", both.rgb, _weights(seen.encoder)),
        ("the picture's attention", cell.attention, _weights(looks.attention)),
        ("the picture's ConvLSTM", cell.upper, _weights(upper)),
        ("the picture's head", net.head, _weights(seen.head)),
        ("the flow's encoder", both.flow, _weights(moved.encoder)),
        ("the flow's ConvLSTM", cell.lower, {name: _middle(part) for name, part in _weights(lower).items()}),
    ]
    if net.attention_head is not None and seen.attention_head is not None:
        given.append(("the picture's attention_head", net.attention_head, _weights(seen.attention_head)))
    for name, part, weights in given:
        _check_shapes(name, weights, _weights(part))
    for _, part, weights in given:
        part.load_state_dict(weights)


def _motion(model: VideoModel) -> tuple[Classifier, Paired, MotionCell]:
    if not (isinstance(model, Classifier) and isinstance(model.cell, MotionCell) and isinstance(model.encoder, Paired)):
        raise ValueError("only motion begins from two streams, and this is another model; use motion")
    return model, model.encoder, model.cell


def _convalstm(model: VideoModel) -> tuple[Classifier, AttentiveCell, ConvLSTM]:
    if isinstance(model, Classifier) and isinstance(model.cell, AttentiveCell):
        inner = model.cell.cell
        if isinstance(model.cell.attention, SoftAttention) and isinstance(inner, ConvLSTM) and _is_whole(inner):
            return model, model.cell, inner
    raise ValueError("the picture's model is not convalstm with its own cell; train one as --model convalstm")


def _convlstm(model: VideoModel) -> tuple[Classifier, ConvLSTM]:
    if isinstance(model, Classifier) and isinstance(model.cell, ConvLSTM) and _is_whole(model.cell):
        return model, model.cell
    raise ValueError("the flow's model is not convlstm with its own cell; train one as --model convlstm")


def _is_whole(cell: ConvLSTM) -> bool:
    """Whether its convolutions are one kernel each, not separable."""
    return isinstance(cell.from_features, nn.Conv2d)


def _weights(part: object) -> dict[str, Tensor]:
    return cast(nn.Module, part).state_dict()


def _middle(part: Tensor) -> Tensor:
    """Kernels `O D k k` as those of 1×1 that see the middle place alone; a bias as it is."""
    if part.ndim < 4:
        return part
    y, x = part.shape[2] // 2, part.shape[3] // 2
    return part[:, :, y : y + 1, x : x + 1]


def _sizes(model: Classifier, channels: int, features: int, hidden: int) -> dict[str, object]:
    return {"channels": channels, "size": model.size, "grid": model.grid, "features": features, "hidden": hidden}


def _check_sizes(whose: str, found: dict[str, object], wanted: dict[str, object]) -> None:
    if wrong := [f"{name} {found[name]} (here: {wanted[name]})" for name in wanted if found[name] != wanted[name]]:
        raise ValueError(f"the {whose}'s model has {', '.join(wrong)}; build all three alike")


def _check_shapes(name: str, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Raise a ValueError where the numbers of equal sizes are laid out otherwise: another encoder, another head."""
    shapes, expected = ({key: tuple(part.shape) for key, part in of.items()} for of in (found, wanted))
    if wrong := sorted(key for key in {*shapes, *expected} if shapes.get(key) != expected.get(key)):
        key = wrong[0]
        raise ValueError(
            f"{name} has other weights than this model's: {key} is {shapes.get(key, 'not there')}, here "
            f"{expected.get(key, 'not there')}; build all three with the same encoder and head_units"
        )
