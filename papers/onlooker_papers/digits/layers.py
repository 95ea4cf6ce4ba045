"""The layers of the encoders, counted, and drawings of them: figures 1 and 2 of Shan & Atanasov
2017.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from onlooker.models.video_model import count_parameters
from onlooker_papers.digits.pretraining import SIZE, build
from onlooker_papers.digits.sampling.channel_offset import ChannelOffset
from onlooker_papers.digits.sampling.deform_conv import DeformableConv2d
from onlooker_papers.sheet import COLORS, FAINT, INK

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN = ("lenet", "stn", "dcn")
# A layer by its module; the first that fits. A deformable convolution is one layer.
_KINDS: tuple[tuple[type[nn.Module], str], ...] = (
    (ChannelOffset, "offset"),
    (DeformableConv2d, "deformable conv"),
    (nn.Conv2d, "conv"),
    (nn.Linear, "fc"),
)
# of a box, in places of a row
_WIDTH = 0.78
_HEIGHT = 0.62
_COLORS = dict(zip(("conv", "fc", "offset"), COLORS, strict=False))


def layers_of(encoder: str) -> dict[str, dict[str, Any]]:
    """The layers of an encoder with `Linear(500, 10)` on top that have weights, in their order.

    Returns:
        By name, such as `conv 2` or `localization fc 1`: `output`, the shape of the output for one
        frame of 64×64 pixels, such as `50×64×64`; and `parameters`, the number of trainable ones.
    """
    model = build(encoder)
    outputs: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    named = {}
    for path, kind, layer in _layers(model, ""):
        words = f"localization {kind}" if "localization" in path or "theta" in path else kind
        counts[words] = counts.get(words, 0) + 1
        name = f"{words} {counts[words]}"
        named[name] = layer
        layer.register_forward_hook(
            lambda _, __, output, name=name: outputs.setdefault(name, output)
        )
    with torch.inference_mode():
        model.eval()(torch.zeros(1, 1, 1, SIZE, SIZE))
    return {
        name: {
            "output": "×".join(map(str, outputs[name].shape[1:])),
            "parameters": count_parameters(layer),
        }
        for name, layer in named.items()
    }


def _layers(module: nn.Module, path: str) -> Iterator[tuple[str, str, nn.Module]]:
    """The path, kind and module of each layer with weights inside a module."""
    for kind, name in _KINDS:
        if isinstance(module, kind):
            yield path, name, module
            return
    for name, child in module.named_children():
        yield from _layers(child, f"{path}.{name}")


def architectures(encoders: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> "Figure":
    """Figure 1: the layers of each encoder in a row, with outputs and trainable parameters.

    Args:
        encoders: by name, the layers as `layers_of` returns them.
    """
    from matplotlib.figure import Figure

    columns = 1 + max(map(len, encoders.values()))
    figure = Figure(figsize=(1.45 * columns, 1.5 * len(encoders)), layout="constrained")
    rows = figure.subplots(len(encoders), 1, squeeze=False)[:, 0]
    for axes, (encoder, layers) in zip(rows, encoders.items(), strict=True):
        total = sum(layer["parameters"] for layer in layers.values())
        _title(axes, f"{encoder}: {total:,} trainable parameters")
        axes.set(xlim=(-0.45, columns - 0.55), ylim=(-0.5, 0.5))
        _box(axes, 0, f"frame\n1×{SIZE}×{SIZE}")
        for place, (name, layer) in enumerate(layers.items(), 1):
            text = f"{name}\n{layer['output']}\n{layer['parameters']:,}"
            text = text.replace("localization ", "localization\n")
            _box(axes, place, text, color=_COLORS[name.split()[-2]])
            _arrow(axes, place)
    return figure


def modules() -> "Figure":
    """Figure 2: how a spatial transformer and an offset layer resample their input."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1)
    _title(above, "Spatial transformer: an affine window of the frame")
    _module(
        above,
        (
            f"frame\n1×{SIZE}×{SIZE}",
            "localization\nnetwork",
            "θ\n2×3",
            "grid\n32×32 points",
            "bilinear\nsampler",
            "window\n1×32×32",
        ),
    )
    _title(below, "Offset layer: a displacement for each channel and location")
    _module(
        below,
        (
            "features\nC×H×W",
            "conv 3×3\nC → 2C",
            "offsets\n2C×H×W",
            "locations\n+ (Δy, Δx)",
            "bilinear\nsampler",
            "features\nC×H×W",
        ),
    )
    return figure


def _module(axes: "Axes", steps: Sequence[str]) -> None:
    """A row of steps, of which the last but one, the sampler, also reads the first."""
    axes.set(xlim=(-0.45, len(steps) - 0.55), ylim=(-0.8, 0.4))
    for place, text in enumerate(steps):
        computed = 0 < place < len(steps) - 1
        _box(axes, place, text, color=_COLORS["conv"] if computed else None)
        if place:
            _arrow(axes, place)
    sampler = len(steps) - 2
    axes.plot([0, 0, sampler], [-_HEIGHT / 2, -0.65, -0.65], color=INK, linewidth=1.2)
    style = {"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (sampler, -_HEIGHT / 2), (sampler, -0.65), arrowprops=style)
    axes.text(sampler / 2, -0.63, "the map that is sampled", ha="center", va="bottom", color=INK)


def _title(axes: "Axes", text: str) -> None:
    axes.axis("off")
    axes.set_title(text, loc="left", color=INK, fontsize=11, fontweight="bold")


def _box(axes: "Axes", place: int, text: str, *, color: str | None = None) -> None:
    """Text in a rounded rectangle, at a place of the row."""
    from matplotlib.patches import FancyBboxPatch

    corner = (place - _WIDTH / 2, -_HEIGHT / 2)
    shape = "round,pad=0,rounding_size=0.06"
    rectangle = FancyBboxPatch(corner, _WIDTH, _HEIGHT, boxstyle=shape)
    rectangle.set(facecolor=FAINT if color else "white", edgecolor=color or INK)
    axes.add_patch(rectangle)
    axes.text(place, 0, text, ha="center", va="center", color=INK, fontsize=9)


def _arrow(axes: "Axes", place: int) -> None:
    """From the box before to the one at a place."""
    style = {"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 0}
    ends = ((place - _WIDTH / 2, 0), (place - 1 + _WIDTH / 2, 0))
    axes.annotate("", *ends, arrowprops=style)
