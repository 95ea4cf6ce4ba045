"""`motion` starts from the weights of its two trained streams (Li et al. 2016)."""

from typing import Any

from torch import Tensor, nn

from onlooker.models.video_model import VideoModel
from onlooker_papers.videolstm.published import MotionInit


def initialize_motion(model: VideoModel, rgb: VideoModel, flow: VideoModel) -> None:
    """Give a `motion` model the weights of its two streams: ConvALSTM on RGB, ConvLSTM on flow (Li
    et al. 2016).

    The encoder, attention, ConvLSTM (here the upper one), head, and the linear layer of the
    attention loss (if both have one) come from RGB; the second encoder and the lower ConvLSTM come
    from flow. The lower ConvLSTM has 1×1 kernels; they get the centers of the 3×3 kernels of flow
    (the paper does not say how; the authors' script copies the 3×3 kernels). With the models of
    `published`, the first state of the upper ConvLSTM comes from RGB, too. `from_upper` is not
    changed.

    Args:
        model: `motion`, which is changed.
        rgb: `convalstm`, trained on the first channels of `model`.
        flow: `convlstm`, trained on the last channels.

    Raises:
        RuntimeError: weights of other shapes.
    """
    net: Any = model
    seen: Any = rgb
    moved: Any = flow
    parts: list[tuple[nn.Module, nn.Module]] = [
        (net.encoder.rgb, seen.encoder),
        (net.encoder.flow, moved.encoder),
        (net.cell.attention, seen.cell.attention),
        (net.cell.upper, seen.cell.cell),
        (net.head, seen.head),
    ]
    if isinstance(getattr(net, "learned_init", None), MotionInit) and hasattr(seen, "learned_init"):
        parts.append((net.learned_init.upper, seen.learned_init))
    if net.attention_head is not None and seen.attention_head is not None:
        parts.append((net.attention_head, seen.attention_head))
    for part, source in parts:
        part.load_state_dict(source.state_dict())
    net.cell.lower.load_state_dict(
        {name: _center(weights) for name, weights in moved.cell.state_dict().items()}
    )


def _center(part: Tensor) -> Tensor:
    """Kernels `O D k k` as 1×1 kernels of their center; a bias as it is."""
    if part.ndim < 4:
        return part
    y = part.shape[2] // 2
    x = part.shape[3] // 2
    return part[:, :, y : y + 1, x : x + 1]
