"""The settings and weights of linear models under the names that version 0.2 gave them."""

from typing import Any, cast

import torch
from torch import Tensor

from onlooker.models.linear import LinearClassifier

_PARTS = ("center", "scale", "weight", "bias")


def earlier_settings(model: LinearClassifier) -> dict[str, Any]:
    """The config.json that the development versions after 0.2 wrote."""
    heads = model.heads
    settings = {**cast(dict[str, Any], model._hub_mixin_config)}
    for name in ("heads", "window_novelty_limit"):
        del settings[name]
    return {
        **settings,
        "farthest": model.window_novelty_limit,
        "sparse": "low_rate_event" in heads,
        "state_motion": "state_motion" in heads,
        "state_outputs": heads.outputs("state"),
        "still": "static_scene" in heads,
    }


def earlier_weights(model: LinearClassifier) -> dict[str, Tensor]:
    """All weights and statistics, as version 0.2 and the development versions after it saved them."""
    weights: dict[str, Tensor] = {
        name: values
        for name, values in model.state_dict().items()
        if not name.startswith("heads.")
    }
    heads = model.heads
    weights |= {"center": heads["clip"].center, "scale": heads["clip"].scale}
    weights |= {"head.weight": heads["clip"].weight, "head.bias": heads["clip"].bias}
    for name, before in (
        *(("event", "event"), ("window", "window"), ("state", "state")),
        *(("low_rate_event", "sparse_event"), ("low_rate_window", "sparse_window")),
    ):
        if name in heads:
            weights |= {f"{before}_{part}": getattr(heads[name], part) for part in _PARTS}
    for name in ("motion", "state_motion"):
        if name in heads:
            weights[f"{name}_head.weight"] = heads[name].weight
            weights[f"{name}_head.bias"] = heads[name].bias
    if "motion" in heads:
        window = heads["window"].motion_factors if "window" in heads else torch.zeros(2)
        weights["motion_center"] = heads["motion"].center
        weights["window_motion"] = window[0].clone()
        weights["motion_factors"] = torch.stack((heads["clip"].motion_factors[1], window[1]))
    if "static_scene" in heads:
        weights["still_center"] = heads["static_scene"].center
        weights["still_share"] = heads["static_scene"].weight[0].clone()
    return {name: values.detach().contiguous() for name, values in weights.items()}
