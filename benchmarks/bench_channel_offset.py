"""Channel offsets: every channel of a map is resampled with its own offsets; compared with
grid_sample.
"""

from collections.abc import Callable
from functools import partial
from statistics import median

import harness
import torch
import torch.nn.functional as F
from torch import Tensor

from onlooker_papers.digits.sampling.channel_offset import channel_offset

SIDE = 64
SEED = 0
CHANNELS = harness.size((20, 50), (2,))
COUNT = harness.size(50, 1)
# standard deviation of the offsets in pixels: at the start of training, and large
SPREADS = {"near": 0.25, "far": 3.0}


def grid(offsets: Tensor) -> Tensor:
    """Offsets `P 2 H W` to the grid of grid_sample `P H W 2`, clipped to the border."""
    H, W = offsets.shape[2:]
    y = (offsets[:, 0] + torch.arange(H)[:, None]).clamp(0, H - 1)
    x = (offsets[:, 1] + torch.arange(W)).clamp(0, W - 1)
    return torch.stack((x * (2 / (W - 1)) - 1, y * (2 / (H - 1)) - 1), -1)


def channel_by_channel(features: Tensor, offsets: Tensor) -> Tensor:
    """One grid_sample for each channel."""
    N, C, H, W = features.shape
    moves = offsets.view(N, C, 2, H, W)
    maps = [
        F.grid_sample(
            features[:, c : c + 1], grid(moves[:, c]), padding_mode="border", align_corners=True
        )
        for c in range(C)
    ]
    return torch.cat(maps, 1)


def channels_as_images(features: Tensor, offsets: Tensor) -> Tensor:
    """One grid_sample, with the channels in the batch dimension."""
    N, C, H, W = features.shape
    images = features.view(N * C, 1, H, W)
    moves = offsets.view(N * C, 2, H, W)
    return F.grid_sample(images, grid(moves), padding_mode="border", align_corners=True).view(
        features.shape
    )


METHODS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "onlooker": channel_offset,
    "channel by channel": channel_by_channel,
    "channels as pictures": channels_as_images,
}


def run(
    method: Callable[[Tensor, Tensor], Tensor], inputs: list[Tensor], output_gradient: Tensor
) -> list[Tensor]:
    """The output and the gradients with respect to the inputs."""
    out = method(*inputs)
    return [out, *torch.autograd.grad(out, inputs, output_gradient)]


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("--repetitions", type=int, default=7)
    arguments.add_argument(
        "--count",
        type=int,
        default=COUNT,
        help="number of maps (N); results are recorded for 50 only",
    )
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    ratios = dict[str, float]()
    seconds = dict[str, float]()
    rows = []
    differences = {}
    profiles = {}
    for channels in CHANNELS:
        for distance, spread in SPREADS.items():
            case = f"{channels} {distance}"
            torch.manual_seed(SEED)
            features = torch.randn(options.count, channels, SIDE, SIDE, requires_grad=True)
            offsets = (
                torch.randn(options.count, 2 * channels, SIDE, SIDE) * spread
            ).requires_grad_()
            inputs = [features, offsets]
            output_gradient = torch.randn_like(features)
            pairs = list(
                zip(
                    run(channel_offset, inputs, output_gradient),
                    run(channels_as_images, inputs, output_gradient),
                    strict=True,
                )
            )
            # grid_sample rounds coordinates: next to an integer, it may take the slope of the
            # neighboring interval. The gradients of offsets are therefore compared by their mean
            # difference.
            exact = max(
                ((ours - theirs).abs().max() / theirs.abs().max()).item()
                for ours, theirs in pairs[:2]
            )
            mean = ((pairs[2][0] - pairs[2][1]).abs().mean() / pairs[2][1].abs().max()).item()
            differences[case] = {"output and maps, largest": exact, "offsets, mean": mean}
            workloads = {
                name: partial(run, method, inputs, output_gradient)
                for name, method in METHODS.items()
            }
            measured = harness.interleaved(workloads, options.repetitions)
            profiles[case] = harness.profile(workloads["onlooker"])
            speedups = harness.ratios(measured)
            ratios |= {f"{case} {method}": ratio for method, ratio in speedups.items()}
            seconds |= {f"{case} {method}": median(times) for method, times in measured.items()}
            rows.append([case, 1e3 * median(measured["onlooker"]), *speedups.values(), exact, mean])
    columns = [
        "channels, offsets",
        "ms",
        *(f"{method} / ours" for method in METHODS if method != "onlooker"),
        "largest",
        "mean",
    ]
    harness.show(f"{options.count} maps of 64×64, forward and backward", columns, rows)
    if options.count == COUNT:
        figures = {
            "ratios": ratios,
            "seconds": seconds,
            "differences": differences,
            "threads": options.threads,
        }
        figures["profile"] = profiles
        print(
            harness.record(
                "bench-channel-offset", __doc__, figures, seeds=[SEED], packages=["torch"]
            )
        )


if __name__ == "__main__":
    main()
