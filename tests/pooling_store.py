"""A feature store whose encoder is average pooling, so that its features can be computed by hand."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from onlooker.config import DataConfig
from onlooker.data.feature_store import Encode, Extracted, FeatureStore, StoreSettings, encode_here, maps_of

DATA = DataConfig(frames=4, size=16, normalization="half")
SETTINGS = StoreSettings("pool", DATA, pretrained=False, precision="32", weights="0" * 32)


def pool(frames: Tensor) -> Tensor:
    """Average pooling over 4x4 pixels: frames `N H W C` uint8 to `N C h w`."""
    return torch.nn.functional.avg_pool2d(frames.permute(0, 3, 1, 2).float() / 255, 4)


def pooled(frames: np.ndarray) -> np.ndarray:
    """The same by hand: `T H W C` to `T h w C` in half precision."""
    T, H, W, C = frames.shape
    return (frames / np.float64(255)).reshape(T, H // 4, 4, W // 4, 4, C).mean((2, 4)).astype(np.float16)


def made_store(folder: Path, **changes: Any) -> FeatureStore:
    return FeatureStore.make(folder, replace(SETTINGS, **changes), lambda: b"weights")


def fill(
    store: FeatureStore, clips: list[Path], encode: Encode = pool, batch: int = 16, threads: int = 1, **options: Any
) -> Extracted:
    """Encode clips into a store by pooling, in this process."""
    maps = partial(maps_of, settings=store.settings, encode=encode, batch=batch)
    return store.add(clips, partial(encode_here, encode=maps, threads=threads), **options)


def files_of(store: FeatureStore) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (store.folder / "maps").iterdir()}


def make_folders(folder: Path, clips: int) -> list[Path]:
    """Image sequences of two different random images each."""
    chance = np.random.default_rng(0)
    for clip in range(clips):
        (folder / f"{clip:02}").mkdir(parents=True)
        for number in range(2):
            Image.fromarray(chance.integers(0, 256, (16, 16, 3), np.uint8)).save(
                folder / f"{clip:02}" / f"{number}.png"
            )
    return sorted(folder.iterdir())
