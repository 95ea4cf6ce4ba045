"""Linear models that earlier versions saved: their settings and weights under today's names."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from onlooker.models.heads import Heads

# earlier names of heads and their parts
_HEADS = {
    "": "clip",
    "event_": "event",
    "window_": "window",
    "sparse_event_": "low_rate_event",
    "sparse_window_": "low_rate_window",
    "state_": "state",
}
_NAMES = {
    **{
        f"{earlier}{part}": f"heads.{name}.{part}"
        for earlier, name in _HEADS.items()
        for part in ("center", "scale", "weight", "bias")
    },
    "head.weight": "heads.clip.weight",
    "head.bias": "heads.clip.bias",
    "motion_head.weight": "heads.motion.weight",
    "motion_head.bias": "heads.motion.bias",
    "motion_center": "heads.motion.center",
    "state_motion_head.weight": "heads.state_motion.weight",
    "state_motion_head.bias": "heads.state_motion.bias",
    "still_center": "heads.static_scene.center",
    "still_share": "heads.static_scene.weight",
}


def current_settings(saved: dict[str, Any]) -> dict[str, Any]:
    """The settings in config.json, converted from earlier versions, where flags described heads."""
    settings = {"views": 1, "everyday": None, **saved}
    if "heads" in saved:
        return settings
    # the windows of states had another name at first
    settings["lengths"] = settings.pop("state_lengths", None) or settings.get("lengths", [])
    settings["motion_features"] = settings.get("motion_features", 0)
    settings["window_novelty_limit"] = settings.pop("farthest", None)
    states = settings.pop("state_outputs", 0)
    low_rate = settings.pop("sparse", False)
    K = settings["num_classes"]
    heads: dict[str, Any] = {}
    if states:
        heads["state"] = states
    elif settings["lengths"]:
        heads |= {"event": 1, "window": K}
        heads |= {"low_rate_event": 1, "low_rate_window": K} if low_rate else {}
    if settings.pop("still", False):
        heads["static_scene"] = 1
    if settings["motion_features"]:
        heads["motion"] = K
    if settings.pop("state_motion", False):
        heads["state_motion"] = states
    settings["heads"] = heads
    return settings


def rename_weights(
    weights: dict[str, Tensor], prefix: str, *, heads: Heads, lengths: Sequence[int]
) -> None:
    """Give the weights of an earlier version today's names and shapes, in place."""
    is_earlier = f"{prefix}center" in weights
    for earlier, name in _NAMES.items() if is_earlier else ():
        if f"{prefix}{earlier}" in weights:
            weights[prefix + name] = weights.pop(prefix + earlier)
    for name in ("event", "low_rate_event"):  # one bias for all lengths
        bias = f"{prefix}heads.{name}.bias"
        if bias in weights and weights[bias].shape == (1,):
            weights[bias] = weights[bias].expand(len(lengths))
    for name in ({*heads} - {"clip", "window"}) if "motion" in heads else heads:
        weights.pop(f"{prefix}heads.{name}.motion_factors", None)  # they had no meaning
    if not is_earlier:
        return
    factors = weights.pop(f"{prefix}motion_factors", torch.zeros(2))
    gain = weights.pop(f"{prefix}window_motion", torch.zeros(()))
    by_head = {"clip": (1.0, factors[0]), "window": (gain, factors[1])}
    for name, head in heads.items():
        if name in by_head and "motion" in heads:
            weights[f"{prefix}heads.{name}.motion_factors"] = torch.tensor(by_head[name])
        if name in ("motion", "state_motion", "static_scene"):
            for part in ("center", "scale", "bias"):
                weights.setdefault(f"{prefix}heads.{name}.{part}", getattr(head, part))
    share = f"{prefix}heads.static_scene.weight"
    if share in weights:
        weights[share] = weights[share][None]
