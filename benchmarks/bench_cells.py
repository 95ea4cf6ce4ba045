"""ConvLSTM and ConvALSTM over a video, forward and backward on the CPU: onlooker, the common
implementation and Keras.

30 steps, 4 videos, 7×7 feature maps with 512 channels, 512 hidden channels, 3×3 kernels. The first
peer is the common ConvLSTM, which concatenates input and state and convolves both at every step,
with or without the same attention; the second is Keras' ConvLSTM2D. The upper limit of the speed is
given by the matrix products that the convolutions amount to, each as one large product, and nothing
else. Bfloat16 is measured only where the processor supports it: emulated, it is many times slower.
"""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from statistics import median
from typing import Any

import harness
import torch
from torch import Tensor, nn

from onlooker.models.cells import build_cell
from onlooker.models.cells.cell import Cell, State, unroll
from onlooker.training.forward import uses_bf16

STEPS = harness.size(30, 2)
VIDEOS = harness.size(4, 1)
CHANNELS = harness.size(512, 4)
HIDDEN = harness.size(512, 4)
GRID = (7, 7)
SEED = 0
# Keras in single precision (its default); onlooker in single precision and in the one that
# `--precision auto` chooses.
KERAS = {"fp32": "keras", "bf16": "keras bf16"}


class CommonConvLSTM(nn.Module):
    """The common ConvLSTM: at every step, one convolution of input and state, concatenated."""

    def __init__(self, channels: int, hidden: int, attends: bool) -> None:
        super().__init__()
        self.hidden = hidden
        self.attends = attends
        self.conv = nn.Conv2d(channels + hidden, 4 * hidden, 3, padding=1)
        if attends:
            self.from_features = nn.Conv2d(channels, hidden, 1)
            self.from_hidden = nn.Conv2d(hidden, hidden, 1)
            self.score = nn.Conv2d(hidden, 1, 1)

    def forward(self, video: Tensor) -> Tensor:
        """`B T D h w -> B T hidden h w`."""
        B, T, _, height, width = video.shape
        h = c = video.new_zeros(B, self.hidden, height, width)
        outputs = []
        for t in range(T):
            x = video[:, t]
            if self.attends:
                scores = self.score(torch.tanh(self.from_features(x) + self.from_hidden(h)))
                x = x * scores.flatten(1).softmax(1).view(B, 1, height, width)
            i, f, o, g = self.conv(torch.cat([x, h], 1)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.stack(outputs, 1)


@cache
def tensors() -> tuple[Tensor, Tensor]:
    """Features `B T D h w` after a ReLU, and the gradient of the loss with respect to the hidden
    states.
    """
    generator = torch.Generator().manual_seed(SEED)
    video = torch.randn(VIDEOS, STEPS, CHANNELS, *GRID, generator=generator).relu()
    return video, torch.randn(VIDEOS, STEPS, HIDDEN, *GRID, generator=generator)


def by_onlooker(cell: Cell, half: bool) -> list[Tensor]:
    """Hidden states, and the gradients with respect to features and weights."""
    video, output_gradient = tensors()
    video = video.detach().requires_grad_()
    state: State = cell.initial_state(VIDEOS, GRID, device=video.device, dtype=video.dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        hidden = unroll(cell, video, state)[0].hidden
    weights = [*cell.parameters()]
    return [
        hidden.detach(),
        *torch.autograd.grad(hidden.float(), [video, *weights], output_gradient),
    ]


def by_peer(model: CommonConvLSTM) -> list[Tensor]:
    video, output_gradient = tensors()
    video = video.detach().requires_grad_()
    hidden = model(video)
    return [
        hidden.detach(),
        *torch.autograd.grad(hidden, [video, *model.parameters()], output_gradient),
    ]


def by_keras() -> None:
    """In a separate process: TensorFlow and PyTorch cannot both load their compilers."""
    os.environ.update(
        {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    )
    _keras_step()()


@cache
def _keras_step() -> Callable[[], Any]:
    import keras
    import tensorflow as tf

    layer = keras.layers.ConvLSTM2D(HIDDEN, 3, padding="same", return_sequences=True)
    video, output_gradient = (
        tf.constant(x.permute(0, 1, 3, 4, 2).contiguous().numpy()) for x in tensors()
    )
    layer(video)

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def step() -> Any:  # noqa: ANN401 - TensorFlow has no types
        with tf.GradientTape() as tape:
            tape.watch(video)
            hidden = layer(video)
        return tape.gradient(hidden, [video, *layer.trainable_variables], output_gradient)

    return step


def products(half: bool) -> None:
    """Only the matrix products of forward and backward: input-to-state and state-to-state, three
    each.
    """
    dtype = torch.bfloat16 if half else torch.float32
    rows = VIDEOS * STEPS * GRID[0] * GRID[1]
    width = 4 * HIDDEN
    for channels in (CHANNELS, HIDDEN):
        a = torch.ones(rows, 9 * channels, dtype=dtype)
        b = torch.ones(9 * channels, width, dtype=dtype)
        out = a @ b
        out @ b.T
        a.T @ out


def our_cell(attends: bool) -> Cell:
    if attends:
        return build_cell(
            "convlstm", CHANNELS, HIDDEN, grid=GRID, attention="conv", glimpse="product"
        )
    return build_cell("convlstm", CHANNELS, HIDDEN, grid=GRID)


def difference(attends: bool) -> float:
    """The largest difference between the hidden states of the peer and ours, with the same weights."""
    torch.manual_seed(SEED)
    model = CommonConvLSTM(CHANNELS, HIDDEN, attends)
    cell: Any = our_cell(attends)
    inner = cell.cell if attends else cell
    biases = dict(model.named_parameters())
    with torch.no_grad():
        i, f, o, g = model.conv.weight.chunk(4)  # the peer's order; ours is i, f, g, o
        weight = torch.cat((i, f, g, o))
        (bi, bf, bo, bg) = biases["conv.bias"].chunk(4)
        inner.from_features.weight.copy_(weight[:, :CHANNELS])
        inner.from_hidden.weight.copy_(weight[:, CHANNELS:])
        inner.from_features.bias.copy_(torch.cat((bi, bf, bg, bo)))
        if attends:
            for name in ("from_features", "from_hidden", "score"):
                getattr(cell.attention, name).weight.copy_(getattr(model, name).weight)
            cell.attention.from_features.bias.copy_(
                biases["from_features.bias"] + biases["from_hidden.bias"]
            )
        video = tensors()[0]
        state = cell.initial_state(VIDEOS, GRID, device=video.device, dtype=video.dtype)
        return (unroll(cell, video, state)[0].hidden - model(video)).abs().max().item()


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("--repetitions", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments.add_argument(
        "--no-keras", action="store_true", help="leave Keras out; nothing is recorded"
    )
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)

    conv = our_cell(attends=False).to(memory_format=torch.channels_last)
    alstm = our_cell(attends=True).to(memory_format=torch.channels_last)
    precisions = ["fp32", "bf16"] if uses_bf16() else ["fp32"]
    works: dict[str, Callable[[], object]] = {
        "peer": partial(by_peer, CommonConvLSTM(CHANNELS, HIDDEN, False)),
        "convalstm peer": partial(by_peer, CommonConvLSTM(CHANNELS, HIDDEN, True)),
    }
    for name in precisions:
        half = name == "bf16"
        works[name] = partial(by_onlooker, conv, half)
        works[f"convalstm {name}"] = partial(by_onlooker, alstm, half)
        works[f"products {name}"] = partial(products, half)
    keras = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    if not options.no_keras and harness.has_peer("keras"):
        works["keras"] = lambda: keras.submit(by_keras).result()
    with keras:
        seconds = harness.interleaved(works, options.repetitions)
    time = {name: median(times) for name, times in seconds.items()}
    ratios = {name: round(time["peer"] / time[name], 3) for name in precisions}
    ratios |= {
        f"convalstm {name}": round(time["convalstm peer"] / time[f"convalstm {name}"], 3)
        for name in precisions
    }
    if "keras" in time:
        ratios |= {
            label: round(time["keras"] / time[name], 3)
            for name, label in KERAS.items()
            if name in precisions
        }
    of_gemm = {name: round(time[f"products {name}"] / time[name], 3) for name in precisions}
    figures: dict[str, Any] = {
        "ratios": ratios,
        "of_gemm": of_gemm,
        "seconds": harness.medians(seconds),
        "difference_from_peer": {"convlstm": difference(False), "convalstm": difference(True)},
        "threads": options.threads,
    }
    if "bf16" in precisions:
        fp32 = by_onlooker(conv, False)[0]
        bf16 = by_onlooker(conv, True)[0]
        figures["difference_of_bf16"] = (bf16.float() - fp32).abs().max().item()
    rows = [[name, seconds_of, time["peer"] / seconds_of] for name, seconds_of in time.items()]
    title = f"{STEPS} steps, {VIDEOS} videos, {CHANNELS}→{HIDDEN} channels, 7×7, threads: {options.threads}"
    harness.show(title, ["", "seconds", "peer / this"], rows)
    print(figures)
    if not options.no_keras:
        print(
            harness.record(
                "bench-cells",
                __doc__.partition("\n")[0],
                figures,
                seeds=[SEED],
                packages=["torch", "keras"],
            )
        )


if __name__ == "__main__":
    main()
