"""Streams in tests: the frames of a video, one step after the other."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def stepped(
    step: Callable[..., Any], state: Any, video: Tensor
) -> tuple[Tensor, Tensor | None, Any]:
    """The logits and the attention of frames, or features, `B T …`, and the last state."""
    outputs = []
    for frame in video.unbind(1):
        output, state = step(frame, state)
        outputs.append(output)
    logits = torch.stack([output.logits for output in outputs], 1)
    if outputs[0].attention is None:
        return logits, None, state
    return logits, torch.stack([output.attention for output in outputs], 1), state
