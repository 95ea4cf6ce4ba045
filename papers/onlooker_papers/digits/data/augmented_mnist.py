"""Augmented Moving MNIST: moving digits on a canvas that is rotated, scaled and deformed (Shan &
Atanasov 2017).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from onlooker_papers.digits.data.canvas import ink_boxes
from onlooker_papers.digits.data.moving_mnist import MovingDigits, chunks, share
from onlooker_papers.digits.data.scenes import Scenes, draw_scenes, elastic_noise, smooth

VARIANTS = ("normal", "rotation", "scale", "rotation+scale", "gesture")


@dataclass(frozen=True)
class AugmentedDigits(MovingDigits):
    """Moving digits; all variants but `normal` also transform the canvas about its center, at
    random.

    The transform changes every `frames_per_setting` frames: `rotation` by an angle in [0, 2π),
    `scale` by a factor in `scale`, `rotation+scale` by both, `gesture` by both, followed by an
    elastic deformation (`elastic_fields`). Each digit is a separate layer, which is resampled once
    (bilinear, zero beyond the canvas) and rounded; then the layers are combined. So each box
    belongs to one digit.

    Args:
        digits, num_digits, canvas, frames, speed: as for `MovingDigits`.
        variant: one of `VARIANTS`.
        frames_per_setting: frames that share one transform; ignored by `normal`.
        scale: smallest and largest factor.
        alpha, sigma, window: strength and smoothness of the deformation, see `elastic_fields`.
    """

    variant: str = "normal"
    frames_per_setting: int = 5
    scale: tuple[float, float] = (0.4, 1.0)
    alpha: float = 300.0
    sigma: float = 10.0
    window: int = 7

    def draw(
        self,
        images: Tensor,
        by_paths: torch.Generator,
        *,
        video: Tensor,
        boxes: Tensor,
        threads: int,
    ) -> None:
        """Fill `video` (B T 1 H W) and `boxes` (B T k 4) with digits (B k 28 28, on the CPU) on
        random paths.
        """
        if self.variant == "normal":
            super().draw(images, by_paths, video=video, boxes=boxes, threads=threads)
            return
        S = self.frames // self.frames_per_setting
        side = self.canvas
        deformed = self.variant == "gesture"
        ink = ink_boxes(images)
        # B S k F 2
        positions = self.positions(len(images), by_paths).unflatten(2, (S, -1)).transpose(1, 2)
        angles, scales = self.transforms(len(images), by_paths)

        def work(part: slice, noise: Tensor | None) -> None:
            fields = (
                None
                if noise is None
                else smooth(noise, alpha=self.alpha, sigma=self.sigma, window=self.window)
            )
            places = positions[part].flatten(0, 1)
            n, _, F, _ = places.shape
            of = torch.arange(n) // S
            scenes = Scenes(
                images[part],
                ink[part],
                of,
                positions=places,
                angles=angles[part].flatten(),
                scales=scales[part].flatten(),
                fields=fields,
            )
            draw_scenes(scenes, video[part].view(n, F, side, side), boxes[part].view(n, F, -1, 4))

        parts = chunks(
            len(video), side**2 * (self.frames + 8 * S if deformed else self.frames), threads
        )

        def with_noise() -> Iterator[tuple[slice, Tensor | None]]:
            for part in parts:
                yield (
                    part,
                    elastic_noise(len(video[part]) * S, side, by_paths) if deformed else None,
                )

        share(work, with_noise(), min(threads, len(parts)))

    def transforms(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random angles `B S` (radians, clockwise on the screen; 0 without rotation) and scales `B
        S` (1 without).
        """
        S = self.frames // self.frames_per_setting
        angles = torch.rand(size, S, generator=generator) * (2 * math.pi)
        small, large = self.scale
        scales = small + (large - small) * torch.rand(size, S, generator=generator)
        return (
            torch.zeros(size, S) if self.variant == "scale" else angles,
            torch.ones(size, S) if self.variant == "rotation" else scales,
        )
