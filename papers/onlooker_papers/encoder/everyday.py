"""What the library's encoders see in everyday pictures and in those of broken cameras, as the package
contains it: `python -m onlooker_papers.encoder.everyday CALTECH`, with the folder that has `101_ObjectCategories`.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn

from onlooker.base.files import write_bytes
from onlooker.data.transforms import to_video
from onlooker.models.encoders import build_encoder
from onlooker.models.everyday import FOLDER
from onlooker.run.features import weights_digest
from onlooker.video.resize import resize
from onlooker_papers.encoder.images import list_images
from onlooker_papers.real_clips.frozen import input_of

Pixels = NDArray[np.uint8]

ENCODERS = ("lite0", "small", "small-free")
PER_CLASS = 10  # of 102 classes
BROKEN = 12  # pictures of each kind of broken camera
SIDE = 240  # of their pixels
DIRECTIONS = 32
SOURCE = "Caltech-101 (Li, Andreeto, Ranzato & Perona 2022), CaltechDATA, doi 10.22002/D1.20086, CC BY 4.0"


def pictures(folder: Path) -> list[Path]:
    """The same number of random pictures of each class."""
    train, validation, classes = list_images(folder)
    random = np.random.default_rng(0)
    chosen = list[Path]()
    for name in classes:
        files = sorted(path for path, label in (*train, *validation) if label == name)
        chosen += [files[place] for place in random.permutation(len(files))[:PER_CLASS].tolist()]
    return chosen


def read(files: list[Path]) -> Iterator[Pixels]:
    """The pixels of files, `H W 3`."""
    for file in files:
        with Image.open(file) as image:
            yield np.array(image.convert("RGB"))


def broken_cameras() -> Iterator[Pixels]:
    """Noise, one color, and test pictures, `H W 3`."""
    random = np.random.default_rng(0)
    for number in range(BROKEN):
        noise = random.normal(random.uniform(0, 255), 5 + 10 * number, (SIDE, SIDE, 3))
        yield noise.clip(0, 255).astype(np.uint8)
        gray = np.full(3, 255 * number / (BROKEN - 1))
        color = gray if number % 3 else random.uniform(0, 255, 3)
        yield np.broadcast_to(color.astype(np.uint8), (SIDE, SIDE, 3))
        bars = random.uniform(0, 255, (number + 2, 3)).astype(np.uint8)
        row = bars[np.arange(SIDE) * len(bars) // SIDE]
        yield np.broadcast_to(row, (SIDE, SIDE, 3)).swapaxes(0, number % 2)


@torch.inference_mode()
def mean_features(encoder: nn.Module, name: str, pictures: Iterable[Pixels]) -> Tensor:
    """The features of pictures `H W 3`, averaged over locations, `N D`."""
    data = input_of(name).data
    rows = list[Tensor]()
    for picture in pictures:
        pixels = resize(picture[None], data.size, data.channels)
        frame = to_video(torch.from_numpy(pixels), data.normalization)
        rows.append(encoder(frame).mean((0, 2, 3)))
    return torch.stack(rows)


def compressed(means: Tensor) -> dict[str, Tensor]:
    """Mean features `N D` in the directions in which they differ most, with unit variance there."""
    values = means.double()
    center = values.mean(0)
    variances, directions = torch.linalg.eigh(torch.cov(values.T))
    basis = directions[:, -DIRECTIONS:] / variances[-DIRECTIONS:].sqrt()
    projected = nn.functional.normalize((values - center) @ basis, dim=-1)
    return {"center": center.float(), "basis": basis.float(), "pictures": projected.half()}


def main(folder: Annotated[Path, typer.Argument(help="Folder of Caltech-101.")]) -> None:
    """Write one file for each encoder."""
    files = pictures(folder)
    for name in ENCODERS:
        encoder = cast(nn.Module, build_encoder(name, 3, input_of(name).data.size, pretrained=True))
        shown = chain(read(files), broken_cameras())
        tensors = compressed(mean_features(encoder.eval(), name, shown))
        about = {"weights": weights_digest(encoder), "pictures": SOURCE}
        file = FOLDER / f"{name}.safetensors"
        write_bytes(
            file, save({key: tensor.contiguous() for key, tensor in tensors.items()}, about)
        )
        print(f"{file}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    typer.run(main)
