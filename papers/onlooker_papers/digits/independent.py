"""Digits that are rotated and scaled independently, which Shan & Atanasov 2017 (section IV-C) leave to future work."""

import torch
import torch.nn.functional as F
from torch import Tensor

from onlooker.data.canvas import ink_boxes, paste
from onlooker_papers.digits.augmented_mnist import AugmentedDigits


class IndependentDigits(AugmentedDigits):
    """As `AugmentedDigits`, but each digit is rotated and scaled about its own center, and keeps its path.

    `variant` selects rotation, scale or both. Every `frames_per_setting` frames, a digit gets a new angle and factor.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant not in ("rotation", "scale", "rotation+scale"):
            raise ValueError(f"variant is {self.variant!r}, expected rotation, scale or rotation+scale")

    def draw(self, images: Tensor, by_paths: torch.Generator, video: Tensor, boxes: Tensor, threads: int) -> None:
        """Fill `video` (B T 1 H W) and `boxes` (B T k 4) with digits (B k 28 28, on the CPU) on random paths."""
        B, k, side, _ = images.shape
        positions = self.positions(B, by_paths)
        angles, scales = self.transforms(B * k, by_paths)  # B*k S
        cos, sin = angles.cos() / scales, angles.sin() / scales
        none = torch.zeros_like(cos)
        theta = torch.stack((cos, sin, none, -sin, cos, none), -1).view(-1, 2, 3)
        S = angles.shape[1]
        layers = images.flatten(0, 1)[:, None, None].expand(-1, S, 1, side, side).flatten(0, 1).float()
        grid = F.affine_grid(theta, list(layers.shape), align_corners=False)
        turned = F.grid_sample(layers, grid, align_corners=False).round_().view(B, k, S, side, side)
        patches = turned.repeat_interleave(self.frames_per_setting, 2).to(video.device)  # B k T 28 28
        paste(patches, positions.to(video.device), video[:, :, 0])
        boxes.copy_((ink_boxes(patches) + positions.repeat(1, 1, 1, 2).to(video.device)).transpose(1, 2))
