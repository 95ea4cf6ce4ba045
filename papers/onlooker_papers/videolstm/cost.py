"""What `onlooker reproduce videolstm --full` costs: CPU seconds of a training step of its models and of its encoders.

`python -m onlooker_papers.videolstm.cost`, a few minutes. Features and frames are random; one thread; the times are
those of the process, not of the clock, so that other programs on the machine hardly change them. The seconds of TV-L1
are in `videolstm-recipe.json`.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from torch import Tensor, nn

from onlooker.models.encoders import ENCODERS, build_encoder
from onlooker.models.registry import create_model
from onlooker.models.video_model import VideoModel
from onlooker.training.losses import frame_cross_entropy
from onlooker.training.optimizers import optimizer_of
from onlooker.training.precision import choose_precision
from onlooker_papers.results import About, Row, write_rows
from onlooker_papers.videolstm.official_budget import BUDGETS, MOTION, SINGLE, VECTORS
from onlooker_papers.videolstm.published import PREFIX

FILE = "videolstm-cost"
COMMAND = "python -m onlooker_papers.videolstm.cost"
WHAT = "CPU seconds of one thread for a training step of the models of `--full`, and for its encoders"
BATCH, STEPS = 16, 2  # a batch of 128 clips takes about eight times the memory, and eight times as long
CLASSES = 101
MAP, VECTOR = (512, 7, 7), (4096, 1, 1)  # pool5 and fc7 of VGG-16
_FRAMES = 8


class _Features(nn.Module):
    """In place of an encoder, for models that are trained on stored features."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.num_features, *self._grid = shape

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """The grid of the features."""
        return cast(tuple[int, int], tuple(self._grid))


ENCODERS["pool5"] = lambda in_channels, size: _Features(MAP)
ENCODERS["fc7"] = lambda in_channels, size: _Features(VECTOR)


def model_of(name: str) -> VideoModel:
    """A model of `--full` on features of VGG-16, with random weights."""
    budget = BUDGETS["full"]
    settings: dict[str, Any] = {"encoder": "fc7" if name in VECTORS else "pool5", "size": budget.size}
    if name == "convnet":
        return create_model(name, CLASSES, dropout=budget.dropout, **settings)
    flow = {"in_channels": 5, "flow_channels": 2} if name == MOTION else {}
    return create_model(f"{PREFIX}{name}", CLASSES, **settings, **flow)


def training_cost(name: str, batch: int = BATCH, steps: int = STEPS) -> dict[str, Any]:
    """CPU seconds per clip of training a model of `--full` on features, without the first step."""
    model, training = model_of(name), BUDGETS["full"].training
    optimizer, half = optimizer_of(model, training), _half()
    channels, *grid = VECTOR if name in VECTORS else MAP
    shape = batch, BUDGETS["full"].frames, channels * (2 if name == MOTION else 1), *grid
    features: Any = torch.randn(shape, generator=torch.Generator().manual_seed(0)).relu()
    targets = torch.arange(batch) % CLASSES

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = frame_cross_entropy(model.forward_features(features).logits, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return {"seconds": _seconds(step, steps) / batch, "batch": batch, "bf16": half}


def encoding_cost(encoder: str, channels: int, frames: int = _FRAMES) -> dict[str, Any]:
    """CPU seconds per frame of an encoder."""
    net, half = (
        cast(nn.Module, build_encoder(encoder, channels, BUDGETS["full"].size, pretrained=False)).eval(),
        _half(),
    )
    images = torch.rand(frames, channels, BUDGETS["full"].size, BUDGETS["full"].size)

    @torch.inference_mode()
    def encode() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return cast(Tensor, net(images))

    return {"seconds": _seconds(encode, STEPS) / frames, "bf16": half}


def _half() -> bool:
    return str(choose_precision("auto")) == "bf16-mixed"


def _seconds(work: Callable[[], Any], times: int) -> float:
    """CPU seconds of a call, without the first one."""
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def main(
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
    only: Annotated[list[str] | None, typer.Option(help="Only this model or feature store; repeatable.")] = None,
) -> None:
    """Measure every model and encoder of `--full`."""
    torch.set_num_threads(1)
    about, stores = About(WHAT, COMMAND, [0], {"frames": BUDGETS["full"].frames}), BUDGETS["full"].stores
    for name in [each for each in (*stores, *SINGLE, MOTION) if not only or each in only]:
        if name in stores:
            encoder, modality = stores[name]
            figures = encoding_cost(encoder, BUDGETS["full"].features(modality).in_channels)
        else:
            figures = training_cost(name)
        key = ("encoding" if name in stores else "training", name)
        write_rows(results, FILE, about, {key: Row(figures)}, f"--only {name}" if only else "")
        typer.echo(f"{name}: {figures['seconds']:.3f} s")


if __name__ == "__main__":
    typer.run(main)
