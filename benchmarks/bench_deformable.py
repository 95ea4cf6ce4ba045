"""Deformable convolution, forward and backward on the CPU: onlooker, torchvision and a plain
convolution.
"""

from collections.abc import Callable
from functools import partial
from statistics import median

import harness
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from onlooker_papers.digits.sampling.deform_conv import deformable_conv2d

# offsets are normal with that standard deviation, in pixels
SIDE = 64
KERNEL = 5
SPREAD = 1.0
SEED = 0
COUNT = harness.size(50, 1)
LAYERS = {"1→20": (1, 20), "20→50": (20, 50)}


def by_torchvision(input: Tensor, offset: Tensor, weight: Tensor, *, bias: Tensor) -> Tensor:
    return torchvision.ops.deform_conv2d(input, offset, weight, bias, padding=KERNEL // 2)


def by_onlooker(input: Tensor, offset: Tensor, weight: Tensor, *, bias: Tensor) -> Tensor:
    return deformable_conv2d(input, offset, weight, bias=bias, padding=KERNEL // 2)


def plain(input: Tensor, offset: Tensor, weight: Tensor, *, bias: Tensor) -> Tensor:
    """An ordinary convolution without offsets, to show the cost of deformation."""
    return F.conv2d(input, weight, bias, padding=KERNEL // 2)


METHODS = {
    "onlooker": by_onlooker,
    "torchvision": by_torchvision,
    "plain convolution": plain,
}


def tensors(count: int, channels: int, width: int) -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(SEED)
    shapes = (
        (count, channels, SIDE, SIDE),
        (count, 2 * KERNEL**2, SIDE, SIDE),
        (width, channels, KERNEL, KERNEL),
    )
    inputs = [torch.randn(shape) for shape in (*shapes, (width,))]
    inputs[1] *= SPREAD
    return [t.requires_grad_() for t in inputs], torch.randn(count, width, SIDE, SIDE)


def run(
    method: Callable[..., Tensor], inputs: list[Tensor], output_gradient: Tensor
) -> list[Tensor]:
    """The output and the gradients with respect to all inputs; zeros where an input is not used."""
    *maps, bias = inputs
    out = method(*maps, bias=bias)
    gradients = torch.autograd.grad(out, inputs, output_gradient, materialize_grads=True)
    return [out, *gradients]


def differences(inputs: list[Tensor], output_gradient: Tensor) -> dict[str, float]:
    """Differences between torchvision's output and gradients and ours, relative to the largest
    value of each tensor.

    Next to an integer coordinate, rounding decides which interval's slope is used. For the
    gradients of offsets, the result is therefore their mean difference and how many differ by more
    than 1e-5.
    """
    shares = [
        (ours - theirs).abs() / theirs.abs().max()
        for ours, theirs in zip(
            run(by_onlooker, inputs, output_gradient),
            run(by_torchvision, inputs, output_gradient),
            strict=True,
        )
    ]
    offsets = shares.pop(2)
    return {
        "largest": max(share.max().item() for share in shares),
        "offsets, mean": offsets.mean().item(),
        "offsets, beyond 1e-5": int((offsets > 1e-5).sum()),
        "offsets": offsets.numel(),
    }


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("--repetitions", type=int, default=5)
    arguments.add_argument(
        "--count",
        type=int,
        default=COUNT,
        help="number of images (N); results are recorded for 50 only",
    )
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    ratios = dict[str, float]()
    seconds = dict[str, float]()
    rows = []
    deviations = {}
    profiles = {}
    for layer, (channels, width) in LAYERS.items():
        inputs, output_gradient = tensors(options.count, channels, width)
        deviations[layer] = differences(inputs, output_gradient)
        workloads = {
            name: partial(run, method, inputs, output_gradient) for name, method in METHODS.items()
        }
        measured = harness.interleaved(workloads, options.repetitions)
        profiles[layer] = harness.profile(workloads["onlooker"])
        speedups = harness.ratios(measured)
        ratios |= {f"{layer} {name}": ratio for name, ratio in speedups.items()}
        seconds |= {f"{layer} {name}": median(times) for name, times in measured.items()}
        rows.append(
            [layer, median(measured["onlooker"]), *speedups.values(), deviations[layer]["largest"]]
        )
    columns = [
        "channels",
        "seconds",
        *(f"{name} / ours" for name in METHODS if name != "onlooker"),
        "difference",
    ]
    harness.show(f"{options.count} images of 64×64, 5×5 taps, forward and backward", columns, rows)
    if options.count == COUNT:
        figures = {
            "ratios": ratios,
            "seconds": seconds,
            "differences": deviations,
            "threads": options.threads,
        }
        figures["profile"] = profiles
        print(
            harness.record(
                "bench-deformable",
                __doc__,
                figures,
                seeds=[SEED],
                packages=["torch", "torchvision"],
            )
        )


if __name__ == "__main__":
    main()
