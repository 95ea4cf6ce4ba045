"""Tiny ImageNet: its images as one tensor, and random crops of a batch."""

import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 64  # height and width of the images


class Images(NamedTuple):
    """Images and their classes.

    Attributes:
        pixels: `N 3 64 64`, uint8.
        targets: `N`, int64.
    """

    pixels: Tensor
    targets: Tensor


def list_tiny_imagenet(folder: Path) -> tuple[list[tuple[Path, str]], list[tuple[Path, str]], list[str]]:
    """The files of training images and of validation images, each with its class, and the classes (of WordNet).

    Args:
        folder: has `train/CLASS/images/*.JPEG`, `val/images/` and `val/val_annotations.txt`.

    Raises:
        FileNotFoundError: one of these is missing.
    """
    classes = sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())
    train = [(path, name) for name in classes for path in sorted((folder / "train" / name / "images").glob("*.JPEG"))]
    lines = (folder / "val" / "val_annotations.txt").read_text(encoding="utf-8").splitlines()
    validation = [(folder / "val" / "images" / line.split("\t")[0], line.split("\t")[1]) for line in lines]
    return train, validation, classes


def read_images(files: list[tuple[Path, str]], classes: list[str]) -> Images:
    """Images with their classes; a ValueError names a file that is not an image of 64×64 pixels."""
    pixels = np.empty((len(files), 3, SIZE, SIZE), np.uint8)
    for index, (path, _) in enumerate(files):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if image is None or image.shape[:2] != (SIZE, SIZE):
            given = "no image" if image is None else f"{image.shape[1]}x{image.shape[0]} pixels"
            raise ValueError(f"{path}: {given}, expected an image of {SIZE}x{SIZE} pixels")
        pixels[index] = image.transpose(2, 0, 1)
    number = {name: index for index, name in enumerate(classes)}
    return Images(torch.from_numpy(pixels), torch.tensor([number[name] for _, name in files]))


def random_crops(pixels: Tensor, size: int, generator: torch.Generator, min_area: float, jitter: float) -> Tensor:
    """Random crops of a batch, half of them mirrored, with random brightness and contrast.

    Args:
        pixels: `N 3 H W`, uint8.
        size: height and width of the crops in pixels.
        generator: the source of all randomness, on the CPU.
        min_area: smallest area of a crop, as a share of the image; the aspect ratio is between 3/4 and 4/3.
        jitter: brightness and contrast change by a factor between `1 - jitter` and `1 + jitter`.

    Returns:
        `N 3 size size`, floats from 0 to 1, on the device of `pixels`.
    """
    n = len(pixels)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    area, ratio = uniform(min_area, 1), torch.exp(uniform(-math.log(4 / 3), math.log(4 / 3)))
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = width * (1 - 2 * torch.randint(2, (n,), generator=generator))  # negative: mirrored
    theta[:, 1, 1] = height
    theta[:, 0, 2], theta[:, 1, 2] = uniform(-1, 1) * (1 - width), uniform(-1, 1) * (1 - height)
    grid = F.affine_grid(theta.to(pixels.device), [n, 3, size, size], align_corners=False)
    crops = F.grid_sample(pixels.float() / 255, grid, padding_mode="reflection", align_corners=False)
    brightness, contrast = (uniform(1 - jitter, 1 + jitter).to(pixels.device)[:, None, None, None] for _ in range(2))
    mean = crops.mean((1, 2, 3), keepdim=True)
    return (((crops - mean) * contrast + mean) * brightness).clamp(0, 1)
