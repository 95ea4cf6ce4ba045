"""Figures 2 to 5 of Shan & Atanasov 2017 as images."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlooker.base.files import write_bytes
from onlooker.data.transforms import to_video
from onlooker.models.video_model import VideoModel
from onlooker.report.overlay import BOX_COLORS, boxes, enlarge
from onlooker_papers.digits import figures
from onlooker_papers.digits.data.augmented_mnist import VARIANTS, AugmentedDigits
from onlooker_papers.digits.data.moving_mnist import Batch
from onlooker_papers.digits.data.scaled_mnist import ScaledDigits, SingleDigits
from onlooker_papers.digits.data.scenes import elastic_fields
from onlooker_papers.digits.pretraining import DATA
from onlooker_papers.digits.published import FRAMES
from onlooker_papers.mnist import DigitSplit
from onlooker_papers.sheet import sheet, to_png

SHOWN = 8  # frames in a row
FRAMES_PER_SETTING = AugmentedDigits.frames_per_setting


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
            to_png(figures.windows(alone)),
            "Figure 2: single digits, the spatial transformer's window on them, and its output.",
        ),
        "figure-3": (
            sheet([(name, _with_boxes(batch)) for name, batch in batches.items()], columns=10),
            "Figure 3: the variants, a frame of each setting, with the true boxes.",
        ),
        "figure-4": (
            to_png(figures.windows(pairs)),
            "Figure 4: the window of the pre-trained spatial transformer, and its output.",
        ),
        "figure-5": (
            to_png(_deformation(batches["rotation+scale"])),
            "Figure 5: elastic deformation with the parameters of the paper, and with a wider window.",
        ),
    }
    for name, (image, _) in made.items():
        write_bytes(folder / f"{name}.png", image)
    return list(made.values())


def seen(encoder: Any, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Frames `N 1 H W` and their windows, as `figures.windows` takes them."""
    with torch.inference_mode():
        return frames, encoder.windows(frames)


def _windows(model: VideoModel, frames: Tensor) -> tuple[Tensor, Tensor]:
    """`seen` for `N H W 1`, uint8."""
    return seen(model.encoder, to_video(frames, DATA.normalization))


def _with_boxes(batch: Batch) -> NDArray[np.uint8]:
    """A frame of each setting of the first video, with the boxes of its digits."""
    frames = batch.video[0, ::FRAMES_PER_SETTING, 0, :, :, None].expand(-1, -1, -1, 3).numpy()
    corners = batch.boxes[0, ::FRAMES_PER_SETTING].numpy()
    return np.stack(
        [
            boxes(enlarge(frame), of_frame, BOX_COLORS[0], frame.shape[:2])
            for frame, of_frame in zip(frames, corners, strict=True)
        ]
    )


def _deformation(batch: Batch) -> Any:
    image = batch.video[0, 0, 0]
    fields = {
        f"window {window} × {window}\n{words}": elastic_fields(
            1, image.shape[-1], torch.Generator().manual_seed(3), window=window
        )[0]
        for window, words in ((7, "as published"), (61, "smooth"))
    }
    return figures.deformation(image, fields)
