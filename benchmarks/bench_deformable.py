"""Deformable convolution, forward and backward on the CPU: onlooker, torchvision and a plain convolution."""

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median

import harness
import torch
import torch.nn.functional as F
import torchvision
from plain_deform_conv import deformable_conv2d_by_autograd
from torch import Tensor

from onlooker.ops.deform_conv import deformable_conv2d

SIDE, KERNEL, SPREAD, SEED = 64, 5, 1.0, 0  # offsets are normal with that standard deviation, in pixels
LAYERS = {"1→20": (1, 20), "20→50": (20, 50)}


def by_torchvision(input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torchvision.ops.deform_conv2d(input, offset, weight, bias, padding=KERNEL // 2)


def by_onlooker(input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return deformable_conv2d(input, offset, weight, bias, padding=KERNEL // 2)


def by_autograd(input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Gather and interpolate, written down plainly."""
    return deformable_conv2d_by_autograd(input, offset, weight, bias, padding=KERNEL // 2)


def plain(input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """An ordinary convolution, which has no offsets: what deforming costs."""
    return F.conv2d(input, weight, bias, padding=KERNEL // 2)


WAYS = {"onlooker": by_onlooker, "torchvision": by_torchvision, "autograd": by_autograd, "plain convolution": plain}


def tensors(count: int, channels: int, width: int) -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(SEED)
    shapes = ((count, channels, SIDE, SIDE), (count, 2 * KERNEL**2, SIDE, SIDE), (width, channels, KERNEL, KERNEL))
    given = [torch.randn(shape) for shape in (*shapes, (width,))]
    given[1] *= SPREAD
    return [t.requires_grad_() for t in given], torch.randn(count, width, SIDE, SIDE)


def run(way: Callable[..., Tensor], given: list[Tensor], pull: Tensor) -> list[Tensor | None]:
    """The output and all gradients; None for what has no part in it."""
    out = way(*given)
    return [out, *torch.autograd.grad(out, given, pull, allow_unused=True)]


def differences(given: list[Tensor], pull: Tensor) -> dict[str, float]:
    """Those between torchvision's numbers and ours, as shares of the largest number of each tensor.

    A place that is whole but for rounding has the slope of either side, as the last bit falls; so of the gradients of
    offsets it is said how many of them differ by more than 1e-5, and the mean.
    """
    shares = [
        (ours - theirs).abs() / theirs.abs().max()
        for ours, theirs in zip(run(by_onlooker, given, pull), run(by_torchvision, given, pull), strict=True)
    ]
    offsets = shares.pop(2)
    return {
        "largest": max(share.max().item() for share in shares),
        "offsets, mean": offsets.mean().item(),
        "offsets, beyond 1e-5": int((offsets > 1e-5).sum()),
        "offsets": offsets.numel(),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repetitions", type=int, default=5)
    arguments.add_argument("--count", type=int, default=50, help="images (N); nothing is recorded for others than 50")
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    ratios, seconds, rows, apart, profiles = {}, {}, [], {}, {}
    for layer, (channels, width) in LAYERS.items():
        given, pull = tensors(options.count, channels, width)
        apart[layer] = differences(given, pull)
        works = {name: partial(run, way, given, pull) for name, way in WAYS.items()}
        measured = harness.interleaved(works, options.repetitions)
        profiles[layer] = harness.profile(works["onlooker"])
        found = harness.ratios(measured)
        ratios |= {f"{layer} {name}": ratio for name, ratio in found.items()}
        seconds |= {f"{layer} {name}": median(times) for name, times in measured.items()}
        rows.append([layer, median(measured["onlooker"]), *found.values(), apart[layer]["largest"]])
    columns = ["channels", "seconds", *(f"{name} / ours" for name in WAYS if name != "onlooker"), "difference"]
    harness.show(f"{options.count} images of 64×64, 5×5 taps, forward and backward", columns, rows)
    if options.count == 50:
        figures = {"ratios": ratios, "seconds": seconds, "differences": apart, "threads": options.threads}
        figures["profile"] = profiles
        print(harness.record("bench-deformable", __doc__, figures, [SEED], ["torch", "torchvision"]))


if __name__ == "__main__":
    main()
