"""Golden values of generated data sets, splits, augmentation and drawn windows."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden import check
from torch import Tensor

from onlooker.data.clips import ClipCrops
from onlooker.data.figure_animation import ACTIONS
from onlooker.data.split import Split, fold_clips, make_splits, split_clips
from onlooker.data.stick_figures import StickFigures
from onlooker.data.transforms import augment, to_features, to_video
from onlooker.structures import Clip
from onlooker.video.sampling import TemporalCrops
from onlooker_papers.digits.data.augmented_mnist import VARIANTS, AugmentedDigits
from onlooker_papers.digits.data.canvas import ink_boxes, paste
from onlooker_papers.digits.data.moving_mnist import (
    PAIRS,
    DigitPairs,
    MovingDigits,
    bounce,
    pair_label,
    random_stream,
)
from onlooker_papers.digits.data.scaled_mnist import ScaledDigits, SingleDigits
from onlooker_papers.digits.data.scenes import Scenes, draw_scenes, elastic_fields
from onlooker_papers.digits.published import ordered_label
from onlooker_papers.mnist import Digits, DigitSplit, digest, load_digits, split_digits
from onlooker_papers.sets import few_of_each
from onlooker_papers.videolstm.moving_target import MovingTarget


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def sides() -> DigitSplit:
    return split_digits()


@cache
def training() -> Digits:
    return load_digits()[0]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def of_digits(digits: Digits) -> dict[str, Any]:
    return {"images": digits.images, "labels": digits.labels}


def test_digits() -> None:
    learn, test = load_digits()
    check(
        "data_digits",
        {
            "train": of_digits(learn),
            "test": of_digits(test),
            "training": of_digits(sides().training),
            "validation": of_digits(sides().validation),
            "sides_test": of_digits(sides().test),
            "digest": digest(sides()),
            "drawn": learn.draw(torch.arange(10).repeat(3), generator(5)),
        },
    )


def moving_batch(
    variant: str, size: int | None = 4, seed: int = 3, of: dict[str, Any] | None = None, **settings: Any
) -> dict[str, Any]:
    moving = AugmentedDigits(training(), variant=variant, **{"frames": 10, **settings})
    batch = moving.batch(size, seed=seed, **(of or {}))
    return {"video": batch.video, "labels": batch.labels, "boxes": batch.boxes, "indices": batch.indices}


@pytest.mark.parametrize("variant", VARIANTS)
def test_moving_digits(variant: str) -> None:
    name = variant.replace("+", "_")
    check(
        f"data_moving_mnist_{name}",
        {
            "two": moving_batch(variant),
            "one": moving_batch(variant, seed=4, num_digits=1),
            "three": moving_batch(variant, seed=5, num_digits=3, canvas=80, size=2),
            "slower": moving_batch(variant, seed=6, speed=(1.0, 2.0), scale=(0.8, 1.2), frames_per_setting=2, size=2),
            "digits_seed": moving_batch(variant, of={"digits_seed": 11}, size=2),
            "paths_seed": moving_batch(variant, of={"paths_seed": 11}, size=2),
            "labels": moving_batch(variant, None, of={"labels": [[1, 7], [7, 1], [4, 4]]}),
        },
    )


def test_names_of_pairs_and_paths() -> None:
    labels = torch.cartesian_prod(torch.arange(10), torch.arange(10))
    start, velocity = torch.tensor([[3.0, 30.0]]), torch.tensor([[5.5, -9.25]])
    check(
        "data_moving_mnist_names",
        {
            "pairs": list(PAIRS),
            "pair_label": pair_label(labels),
            "ordered_label": ordered_label(labels),
            "bounce": bounce(start, velocity, 12, 36.0),
            "stream_digits": torch.rand(8, generator=random_stream(2, "digits")),
            "stream_paths": torch.rand(8, generator=random_stream(2, "paths")),
        },
    )


def of_samples(samples: list[tuple[Tensor, int, int]]) -> dict[str, Any]:
    frames, targets, indices = zip(*samples, strict=True)
    return {"frames": torch.stack(frames), "targets": list(targets), "indices": list(indices)}


def test_generated_sets() -> None:
    pairs = DigitPairs(AugmentedDigits(training(), variant="rotation", frames=5), 100, 9)
    one = DigitPairs(MovingDigits(training(), num_digits=1, frames=5), 100, 9)
    single = SingleDigits(ScaledDigits(training(), size=32), 9)
    check(
        "data_generated",
        {
            "pairs": of_samples(pairs.__getitems__([5, 2, 77])),
            "pairs_in_another_order": of_samples(pairs.__getitems__([2, 5, 77])),
            "one_digit": of_samples(one.__getitems__([5, 2, 77])),
            "single": of_samples(single.__getitems__([0, 9, 1000])),
        },
    )


def scaled_batch(size: int, **settings: Any) -> dict[str, Any]:
    scaled = ScaledDigits(training(), size, **settings)
    pictures, labels = scaled.batch(torch.tensor([0, 17, 999, 3000]), seed=8)
    zooms, shifts = scaled.transforms(3, 8)
    return {"level": scaled.level, "pictures": pictures, "labels": labels, "zooms": zooms, "shifts": shifts}


def test_scaled_digits() -> None:
    check(
        "data_scaled_mnist",
        {
            "usual": scaled_batch(64),
            "small": scaled_batch(32, zoom=(0.8, 1.2), shift=0.1, mean=33.0),
            "still": scaled_batch(28, zoom=(1.0, 1.0), shift=0.0),
        },
    )


def target_batch(size: int | None = 5, seed: int = 2, targets: list[int] | None = None, **settings: Any) -> Any:
    batch = MovingTarget(training(), **settings).batch(size, seed=seed, targets=targets)
    return {
        "video": batch.video,
        "targets": batch.targets,
        "labels": batch.labels,
        "boxes": batch.boxes,
        "moving": batch.moving,
        "indices": batch.indices,
    }


def test_moving_target() -> None:
    check(
        "data_moving_target",
        {
            "usual": target_batch(),
            "whole": target_batch(seed=3, event=(1.0, 1.0), num_digits=2, frames=8),
            "large": target_batch(seed=4, canvas=96, side=28, num_digits=9, size=2),
            "targets": target_batch(None, targets=[0, 5, 9]),
        },
    )


def test_canvas() -> None:
    images = torch.from_numpy(training().images[[3, 400, 800, 1200]]).view(2, 2, 28, 28)
    chance = generator(1)
    positions = torch.randint(0, 36, (3, 2, 4, 2), generator=chance)
    angles, scales = torch.rand(3, generator=chance) * 6, 0.4 + torch.rand(3, generator=chance)
    found: dict[str, Any] = {"ink": ink_boxes(images)}
    for name, fields in (("affine", None), ("deformed", elastic_fields(3, 64, chance))):
        scenes = Scenes(images, ink_boxes(images), torch.tensor([0, 0, 1]), positions, angles, scales, fields)
        video, boxes = torch.empty(3, 4, 64, 64, dtype=torch.uint8), torch.empty(3, 4, 2, 4)
        draw_scenes(scenes, video, boxes)
        found[name] = {"video": video, "boxes": boxes}
    pasted = torch.empty(2, 4, 64, 64, dtype=torch.uint8)
    paste(images[:, :, None], positions[:2], pasted)
    check("data_canvas", {**found, "pasted": pasted})


def test_elastic() -> None:
    check(
        "data_elastic",
        {
            "usual": elastic_fields(3, 64, generator(1)),
            "other": elastic_fields(2, 40, generator(2), alpha=100.0, sigma=4.0, window=11),
        },
    )


def figure_video(action: str, number: int, seed: int, **settings: Any) -> dict[str, Any]:
    video = StickFigures(**{"frames": 8, "fps": 8.0, "size": (48, 64), **settings}).video(action, number, seed=seed)
    return {"pixels": video.pixels, "person": video.person, "boxes": video.boxes, "moving": video.moving}


def test_stick_figures() -> None:
    usual = figure_video("sit_down", 0, 0, size=(144, 192), frames=6)
    whole = figure_video("walk", 3, 2, noise=0.0, event=(1.0, 1.0))
    small = {action: figure_video(action, 1, 6) for action in ACTIONS}
    check("data_stick_figures", {**small, "usual": usual, "whole": whole})


def clips(recordings: bool) -> list[Clip]:
    chance = np.random.default_rng(0)
    return [
        Clip(Path(f"set/{label}/{i:02}.mp4"), label, f"person-{chance.integers(8)}" if recordings else None)
        for label in ("box", "clap", "wave")
        for i in range(14)
    ]


def of_split(split: Split) -> dict[str, Any]:
    return {
        side: " ".join(f"{clip.label}{clip.path.stem}" for clip in getattr(split, side))
        for side in ("training", "validation", "test")
    }


def test_splits() -> None:
    alone, together = clips(False), clips(True)
    check(
        "data_splits",
        {
            "recordings": " ".join(str(clip.recording) for clip in together),
            "split": {seed: of_split(split_clips(alone, seed)) for seed in (0, 1)},
            "split_recordings": {seed: of_split(split_clips(together, seed)) for seed in (0, 1)},
            "folds": [of_split(split) for split in fold_clips(alone, 4, 2)],
            "folds_recordings": [of_split(split) for split in fold_clips(together, 3, 2)],
            "made": {name: of_split(split) for name, split in make_splits(alone).items()},
            "made_folds": {name: of_split(split) for name, split in make_splits(together, folds=3).items()},
            "few": [clip.path.as_posix() for clip in few_of_each(alone, 4)],
        },
    )


def video(channels: int, frames: int = 6) -> Tensor:
    return torch.randn(3, frames, channels, 12, 12, generator=generator(13))


def moved(channels: int = 3, flow_channels: int = 0, seed: int = 21, **settings: Any) -> Tensor:
    usual = {"translate": 0.0, "scale": 0.0, "hflip": False}
    return augment(video(channels), flow_channels=flow_channels, generator=generator(seed), **{**usual, **settings})


def test_augmentation() -> None:
    every = {"translate": 0.1, "scale": 0.2, "hflip": True, "degrees": 15.0, "speed": 0.3}
    check(
        "data_augment",
        {
            "none": moved(),
            "shift": moved(translate=0.2),
            "zoom": moved(scale=0.3),
            "flip": moved(hflip=True),
            "turn": moved(degrees=30.0),
            "pace": moved(speed=0.4),
            "every": moved(**every),
            "every_with_flow": moved(7, 4, **every),
            "flip_with_flow": moved(5, 2, hflip=True),
            "turn_with_flow": moved(5, 2, degrees=45.0),
            "pace_with_flow": moved(5, 2, speed=0.4),
            "flow_alone": moved(2, 2, translate=0.1, scale=0.1),
        },
    )


def test_normalization() -> None:
    frames = torch.randint(256, (2, 3, 5, 6, 5), generator=generator(3)).to(torch.uint8)
    maps = torch.randn(2, 3, 4, 4, 5, generator=generator(4)).half()
    check(
        "data_normalization",
        {
            **{name: to_video(frames[..., :3], name) for name in ("half", "mnist", "imagenet")},
            "grey": to_video(frames[..., :1], "half"),
            "with_flow": to_video(frames, "imagenet", 2),
            "flow_alone": to_video(frames[..., :4], "imagenet", 4),
            "features": to_features(maps).contiguous(),
        },
    )


def windows_of(folder: Path) -> ClipCrops:
    files = []
    for i, frames in enumerate((30, 9, 5, 8)):
        file = folder / f"{i}.npy"
        np.save(file, np.arange(frames, dtype=np.uint8)[:, None, None, None])  # a frame is its number
        files.append((file,))
    of = [Clip(folder / f"{i}.mp4", "ab"[i % 2]) for i in range(4)]
    return ClipCrops(of, files, ("a", "b"), TemporalCrops(8, 3))


def numbers(of: ClipCrops) -> list[list[int]]:
    return [of[i][0].flatten().tolist() for i in range(len(of))]


def test_drawn_windows(tmp_path: Path) -> None:
    middle = windows_of(tmp_path)
    drawn = middle.random(7)
    found: dict[str, Any] = {"middle": numbers(middle), "targets": [middle[i][1] for i in range(4)]}
    for epoch in range(3):
        drawn.set_epoch(epoch)
        found[f"epoch{epoch}"] = numbers(drawn)
    every = [middle.every_crop(i) for i in range(4)]
    found["every"] = [[frames.flatten().tolist(), windows.tolist()] for frames, windows in every]
    check("data_windows", found)
