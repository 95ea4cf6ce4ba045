"""Figures 2 to 5 of Shan & Atanasov 2017 as images."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onlooker.base.files import write_bytes
from onlooker.data.transforms import to_video
from onlooker.models.video_model import VideoModel
from onlooker_papers.digits import figures
from onlooker_papers.digits.data.augmented_mnist import VARIANTS, AugmentedDigits
from onlooker_papers.digits.data.moving_mnist import Batch
from onlooker_papers.digits.data.scaled_mnist import ScaledDigits, SingleDigits
from onlooker_papers.digits.data.scenes import elastic_fields
from onlooker_papers.digits.pretraining import DATA
from onlooker_papers.digits.published import FRAMES
from onlooker_papers.mnist import DigitSplit
from onlooker_papers.sheet import to_png

SHOWN = 8  # frames in a row


def write_images(folder: Path, splits: DigitSplit, stn: VideoModel) -> list[tuple[bytes, str]]:
    """Write `figure-2.png` to `figure-5.png`.

    Test digits are shown, by the spatial transformer `stn`. Returns each image with its caption.
    """
    batches = {
        name: AugmentedDigits(splits.test, variant=name).batch(labels=[[3, 7]], seed=4)
        for name in VARIANTS
    }
    single = SingleDigits(ScaledDigits(splits.test), seed=2).__getitems__(list(range(SHOWN)))
    alone = {"Scaled MNIST": _windows(stn, torch.stack([frames[0] for frames, _, _ in single]))}
    pairs = {
        f"{name}:\none window for two": _windows(
            stn, batch.video[0, :: FRAMES // SHOWN][:SHOWN].movedim(1, -1)
        )
        for name, batch in batches.items()
        if name != "gesture"
    }
    made = {
        "figure-2": (
            figures.windows(alone),
            "Figure 2: single digits, the spatial transformer's window on them, and its output.",
        ),
        "figure-3": (
            figures.variants(batches),
            "Figure 3: the variants, a frame of each setting, with the true boxes.",
        ),
        "figure-4": (
            figures.windows(pairs),
            "Figure 4: the window of the pre-trained spatial transformer, and its output.",
        ),
        "figure-5": (
            _deformation(batches["rotation+scale"]),
            "Figure 5: elastic deformation with the parameters of the paper, and with a wider window.",
        ),
    }
    images = {name: to_png(figure, dpi=160) for name, (figure, _) in made.items()}
    for name, image in images.items():
        write_bytes(folder / f"{name}.png", image)
    return [(images[name], caption) for name, (_, caption) in made.items()]


def seen(encoder: Any, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Frames `N 1 H W` and their windows, as `figures.windows` takes them."""
    with torch.inference_mode():
        return frames, encoder.windows(frames)


def _windows(model: VideoModel, frames: Tensor) -> tuple[Tensor, Tensor]:
    """`seen` for `N H W 1`, uint8."""
    return seen(model.encoder, to_video(frames, DATA.normalization))


def _deformation(batch: Batch) -> Any:
    image = batch.video[0, 0, 0]
    fields = {
        f"window {window} × {window}\n{words}": elastic_fields(
            1, image.shape[-1], torch.Generator().manual_seed(3), window=window
        )[0]
        for window, words in ((7, "as published"), (61, "smooth"))
    }
    return figures.deformation(image, fields)
