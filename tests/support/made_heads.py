"""Heads from a center, a scale, weights and a bias."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike
from torch import Tensor

from onlooker.models.heads import EVENT_HEADS, Head
from onlooker.models.linear import LinearClassifier

Parts = Sequence[ArrayLike | Tensor]


def head(parts: Parts, **options: Any) -> Head:
    center, scale, weight, bias = parts
    return Head(weight, bias, center=center, scale=scale, **options)


def event_heads(
    *parts: Parts, motion: float = 0.0, limit: float | None = None
) -> dict[str, Head]:
    """The heads of events and their classes; and of those for streams that lack frames, if there
    are parts of four.
    """
    heads = {name: head(of_head) for name, of_head in zip(EVENT_HEADS, parts, strict=False)}
    heads["window"] = head(parts[1], factors={"motion": (motion, 0.0)}, limit=limit)
    return heads


def set_motion_distance(
    model: LinearClassifier, center: Tensor, *, clips: float, windows: float
) -> None:
    """Let clips and windows be as far from training as their motion is, by factors of its distance."""
    model.heads["motion"].center.copy_(center)
    model.heads["clip"].motion_factors[1] = clips
    model.heads["window"].motion_factors[1] = windows
