"""Faithfulness of attention maps: Grad-CAM for comparison, and accuracy when the attended part is blanked."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from onlooker.localization.boxes import blank_outside
from onlooker.localization.maps import upsample
from onlooker.models.video_model import VideoModel

__all__ = ["SHARES", "blanked_accuracy", "elsewhere", "grad_cam", "heaviest"]

Pixels = NDArray[np.uint8]
SHARES = (0.05, 0.1, 0.2)


def grad_cam(model: VideoModel, features: Tensor, targets: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2) of any model with feature maps.

        α_d = mean_{i,j} ∂y / ∂A_dij,  L = ReLU(Σ_d α_d A_d)

    with y the logit of the class, averaged over frames, and A the encoder's features of a frame. Each map is divided by
    its sum; a map of zeros becomes uniform.

    Args:
        model: in evaluation mode.
        features: `B T D h w`, as `encode_video` makes them.
        targets: `B`, the class to explain.

    Returns:
        `B T h w`, sums to one over `h w`.

    Raises:
        ValueError: features on a 1×1 grid.
    """
    if features.shape[3] * features.shape[4] == 1:
        raise ValueError("the features have a 1×1 grid, on which a map says nothing; use an encoder with a grid")
    with torch.enable_grad(), torch.inference_mode(False):
        maps = features.detach().clone().requires_grad_()
        logits = model.forward_features(maps).logits.mean(1)
        (gradient,) = torch.autograd.grad(logits.gather(1, targets.clone()[:, None]).sum(), maps)
    cam = (gradient.mean((3, 4), keepdim=True) * maps.detach()).sum(2).clamp(min=0)
    total = cam.sum((2, 3), keepdim=True)
    even = torch.full_like(cam, 1 / (cam.shape[2] * cam.shape[3]))
    return torch.where(total > 0, cam / total.clamp(min=torch.finfo(cam.dtype).tiny), even)


def heaviest(attention: ArrayLike, size: tuple[int, int], share: float) -> NDArray[np.bool_]:
    """Mask of the pixels with the highest attention: `T h w` to `T H W`.

    Args:
        attention: `T h w`.
        size: H and W.
        share: of each frame's pixels, above 0 and at most 1; ties are taken from the upper left.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}, expected above 0 and at most 1")
    large = upsample(attention, size).reshape(len(np.asarray(attention)), -1)
    chosen = np.zeros(large.shape, np.bool_)
    order = np.argsort(-large, axis=1, kind="stable")[:, : max(1, round(share * large.shape[1]))]
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen.reshape(-1, *size)


def elsewhere(mask: NDArray[np.bool_], chance: np.random.Generator) -> NDArray[np.bool_]:
    """The same mask at a random place (with wrap-around): `T H W` to `T H W`."""
    down, right = (int(chance.integers(1, side)) for side in mask.shape[1:])
    return np.roll(mask, (down, right), axis=(1, 2))


def blanked_accuracy(
    judge: Callable[[Pixels], NDArray[np.floating]],
    samples: Pixels,
    attention: ArrayLike,
    targets: Sequence[int],
    blank: ArrayLike,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Accuracy with the most attended part blanked, and with a random part of equal area and shape blanked.

    If the map is faithful, the first is lower than the second (deletion, after Petsiuk et al. 2018, with a control).

    Args:
        judge: maps samples `B T H W C` to probabilities of clips `B K`.
        samples: `B T H W C`, uint8.
        attention: `B T h w`.
        targets: the true class of each clip.
        blank: `C`, the value of blanked pixels.
        shares: of each frame's pixels.
        seed: of the random places.

    Returns:
        `whole`: one accuracy, on unchanged clips; `attended` and `random`: one per share.
    """
    maps, truth = np.asarray(attention), np.asarray(targets)
    chance = np.random.default_rng(seed)

    def accuracy(clips: Pixels) -> float:
        return float((judge(clips).argmax(1) == truth).mean())

    def without(masks: Sequence[NDArray[np.bool_]]) -> float:
        return accuracy(
            np.stack([blank_outside(clip, ~mask, blank) for clip, mask in zip(samples, masks, strict=True)])
        )

    found: dict[str, list[float]] = {"whole": [accuracy(samples)], "attended": [], "random": []}
    for share in shares:
        masks = [heaviest(of_clip, (samples.shape[2], samples.shape[3]), share) for of_clip in maps]
        found["attended"].append(without(masks))
        found["random"].append(without([elsewhere(mask, chance) for mask in masks]))
    return found
