"""Export the weights of a training in the form that the package contains, evaluate them, and write
the results file.
"""

import hashlib
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from onlooker.base.files import write_bytes
from onlooker.measure.metrics import wilson_interval
from onlooker.models.encoders import build_encoder, encoder_terms
from onlooker.models.video_model import count_parameters
from onlooker.report.plots import loss_and_accuracy
from onlooker_papers.encoder.images import Images
from onlooker_papers.encoder.train import ImageClassifier, averaged_weights, evaluate, read_state
from onlooker_papers.results import write_whole
from onlooker_papers.sheet import to_png

WHAT = {
    "encoder": "the encoder `small`: its weights in half precision, computed in float32, on Tiny ImageNet's validation "
    "images",
    "encoder-free": "the encoder `small-free`: its weights in half precision, computed in float32, on images of "
    "Caltech-101 that were held back",
}
COMMAND = (
    "python -m onlooker_papers.encoder IMAGES --run RUN && "
    "python -m onlooker_papers.encoder IMAGES --run RUN --export FILE"
)


def export(
    run: Path, file: Path, *, name: str, validation: Images, train_images: int, device: torch.device
) -> dict[str, Any]:
    """Write the averaged weights of a training's encoder as safetensors, in half precision and
    without its classifier.

    `name` is that of the encoder, `small` or `small-free`, whose terms are in the file's metadata.
    The weights are evaluated on the validation images, with the classifier that was trained with
    them. Returns the figures of the results file.
    """
    state = read_state(run)
    trained = averaged_weights(run)
    model = ImageClassifier(len(trained["head.bias"]), state["recipe"]["contrast"] > 0)
    model.load_state_dict(trained)
    shipped = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.encoder.state_dict().items()
    }
    model.encoder.load_state_dict(shipped)
    accuracy = evaluate(model.eval().to(device), validation, device)
    content = packed(shipped, name)
    total = len(validation.targets)
    log = state["log"]
    write_bytes(file, content)
    return {
        "accuracy": accuracy,
        "accuracy_interval": wilson_interval(accuracy, total),
        "classes": model.head.out_features,
        "train_images": train_images,
        "validation_images": total,
        "parameters": count_parameters(model.encoder),
        "megabytes": len(content) / 1e6,
        "sha256": hashlib.sha256(content).hexdigest(),
        **{f"multiply_adds_{size}": multiply_adds(size) for size in (64, 112)},
        "epochs": len(log),
        "hours": sum(line["minutes"] for line in log) / 60,
        "recipe": state["recipe"],
        "curve": {
            name: [line[name] for line in log] for name in ("size", "loss", "accuracy", "minutes")
        },
    }


def packed(weights: dict[str, torch.Tensor], name: str) -> bytes:
    """The safetensors file of the packaged encoder `name`, with its terms in the metadata."""
    # One entry: safetensors writes several in an order that changes from run to run.
    return save(
        weights,
        {
            "terms": f"onlooker's encoder {name}, {encoder_terms(name)}; model card: README.md beside this file"
        },
    )


def record(file: str, figures: dict[str, Any], results: Path) -> Path:
    """Write `encoder.json` or `encoder-free.json` among the results files."""
    return write_whole(
        results,
        file,
        what=WHAT[file],
        command=COMMAND,
        figures=figures,
        seeds=[figures["recipe"]["seed"]],
    )


def draw(figures: dict[str, Any], figure: Path) -> None:
    """Draw the training curve."""
    curve = figures["curve"]
    lines = {"training": {"loss": curve["loss"]}, "validation": {"accuracy": curve["accuracy"]}}
    write_bytes(figure, to_png(loss_and_accuracy(lines)))


def multiply_adds(size: int) -> int:
    """Multiply-adds of the encoder for a frame of `size` × `size` pixels."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        cast(nn.Module, build_encoder("small", 3, size)).eval()(torch.zeros(1, 3, size, size))
    return counter.get_total_flops() // 2
