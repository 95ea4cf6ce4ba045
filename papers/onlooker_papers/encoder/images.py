"""Tiny ImageNet and Caltech-101: their images as one tensor, and random crops of a batch."""

import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 64  # height and width of Tiny ImageNet's images
# every tenth image of a class of Caltech-101 is for validation; the set has no official split
_HELD_BACK = 10

Files = list[tuple[Path, str]]  # each with its class


class Images(NamedTuple):
    """Images and their classes.

    Attributes:
        pixels: `N 3 S S`, uint8.
        targets: `N`, int64.
    """

    pixels: Tensor
    targets: Tensor


def list_images(folder: Path) -> tuple[Files, Files, list[str]]:
    """The files of training images and of validation images, each with its class, and the classes.

    Args:
        folder: Tiny ImageNet (`train/CLASS/images/*.JPEG`, `val/images/`,
            `val/val_annotations.txt`) or Caltech-101 (`101_ObjectCategories/CLASS/*.jpg`).

    Raises:
        FileNotFoundError: one of these is missing.
    """
    if (objects := folder / "101_ObjectCategories").is_dir():
        train = Files()
        validation = Files()
        classes = sorted(path.name for path in objects.iterdir() if path.is_dir())
        for name in classes:
            for number, path in enumerate(sorted((objects / name).glob("*.jpg")), 1):
                (train if number % _HELD_BACK else validation).append((path, name))
        return train, validation, classes
    classes = sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())
    train = [
        (path, name)
        for name in classes
        for path in sorted((folder / "train" / name / "images").glob("*.JPEG"))
    ]
    lines = (folder / "val" / "val_annotations.txt").read_text(encoding="utf-8").splitlines()
    validation = [
        (folder / "val" / "images" / line.split("\t")[0], line.split("\t")[1]) for line in lines
    ]
    return train, validation, classes


def read_images(files: Files, classes: list[str], size: int = SIZE) -> Images:
    """The middle square of each image, resized to `size` × `size`; a ValueError names a file that
    is not an image.
    """
    pixels = np.empty((len(files), 3, size, size), np.uint8)
    for index, (path, _) in enumerate(files):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise ValueError(f"{path}: no image")
        (height, width), side = image.shape[:2], min(image.shape[:2])
        top = (height - side) // 2
        left = (width - side) // 2
        square = image[top : top + side, left : left + side]
        pixels[index] = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA).transpose(
            2, 0, 1
        )
    number = {name: index for index, name in enumerate(classes)}
    return Images(torch.from_numpy(pixels), torch.tensor([number[name] for _, name in files]))


def random_crops(
    pixels: Tensor,
    size: int,
    generator: torch.Generator,
    *,
    min_area: float,
    jitter: float,
    gray: float = 0.0,
) -> Tensor:
    """Random crops of a batch, half of them mirrored, with random brightness and contrast, some of
    them gray.

    Args:
        pixels: `N 3 H W`, uint8.
        size: height and width of the crops in pixels.
        generator: the source of all randomness, on the CPU.
        min_area: smallest area of a crop, as a share of the image; the aspect ratio is between 3/4
        and 4/3.
        jitter: brightness and contrast change by a factor between `1 - jitter` and `1 + jitter`.
        gray: the share of crops that lose their colors.

    Returns:
        `N 3 size size`, floats from 0 to 1, on the device of `pixels`.
    """
    n = len(pixels)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    area = uniform(min_area, 1)
    ratio = torch.exp(uniform(-math.log(4 / 3), math.log(4 / 3)))
    width = (area * ratio).sqrt().clamp(max=1)
    height = (area / ratio).sqrt().clamp(max=1)
    theta = torch.zeros(n, 2, 3)
    # negative: mirrored
    theta[:, 0, 0] = width * (1 - 2 * torch.randint(2, (n,), generator=generator))
    theta[:, 1, 1] = height
    theta[:, 0, 2], theta[:, 1, 2] = uniform(-1, 1) * (1 - width), uniform(-1, 1) * (1 - height)
    grid = F.affine_grid(theta.to(pixels.device), [n, 3, size, size], align_corners=False)
    crops = F.grid_sample(
        pixels.float() / 255, grid, padding_mode="reflection", align_corners=False
    )
    brightness, contrast = (
        uniform(1 - jitter, 1 + jitter).to(pixels.device)[:, None, None, None] for _ in range(2)
    )
    if gray:
        without = (uniform(0, 1).to(pixels.device) < gray)[:, None, None, None]
        crops = torch.where(without, crops.mean(1, keepdim=True), crops)
    mean = crops.mean((1, 2, 3), keepdim=True)
    return (((crops - mean) * contrast + mean) * brightness).clamp(0, 1)
