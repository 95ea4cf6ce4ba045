"""Whether a clip is unlike the training clips, by comparison with everyday pictures: what is nearer to
these than to any training clip is of another world, also where training clips are from one place.
"""

from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from onlooker.models.encoders.graph import weights_digest

__all__ = ["FOLDER"]

FOLDER = Path(__file__).parent / "encoders" / "everyday"  # a file for each encoder of the package
NEAREST = 10  # everyday pictures whose mean distance counts: a single one may be there by chance
NO_LIMIT = 1e12  # of distances from training, where nothing is known of other recordings
_SMALLEST = 1e-6  # distance from everyday pictures


class Everyday(nn.Module):
    """How far a clip is from the training clips, beside everyday pictures.

    Mean features m are centered and projected to R directions, in which everyday pictures have unit
    variance: z. With the cosine distance d,

        ratio(z) = min_b d(z, training clip b) / mean of the 10 smallest d(z, picture n)

    Above 1, the clip is nearer to everyday pictures than to any training clip. It is unlike these
    above a limit, at most 1, in multiples of which ratios are given.

    Args:
        clips, pictures: the numbers B and N of training clips and of everyday pictures.
        features, directions: D and R.
    """

    def __init__(self, *, clips: int, pictures: int, features: int, directions: int) -> None:
        super().__init__()
        self.center = nn.Buffer(torch.zeros(features))
        self.basis = nn.Buffer(torch.zeros(features, directions))
        self.clips = nn.Buffer(torch.zeros(clips, directions))
        self.pictures = nn.Buffer(torch.zeros(pictures, directions))
        self.limit = nn.Buffer(torch.ones(()))

    @property
    def sizes(self) -> dict[str, int]:
        """The arguments that it was made with."""
        features, directions = self.basis.shape
        return {
            "clips": len(self.clips),
            "pictures": len(self.pictures),
            "features": features,
            "directions": directions,
        }

    @classmethod
    def of(cls, encoder: nn.Module) -> Self | None:
        """The everyday pictures as an encoder of this package sees them, without training clips; None
        for another encoder, or other weights.
        """
        digest = weights_digest(encoder)
        for file in sorted(FOLDER.glob("*.safetensors")):
            with safe_open(file, "pt") as stored:
                if (stored.metadata() or {}).get("weights") != digest:
                    continue
                names = ("center", "basis", "pictures")
                tensors = {name: stored.get_tensor(name).float() for name in names}
            features, directions = tensors["basis"].shape
            pictures = len(tensors["pictures"])
            everyday = cls(clips=0, pictures=pictures, features=features, directions=directions)
            everyday.load_state_dict({**everyday.state_dict(), **tensors})
            return everyday
        return None

    def with_clips(self, means: Tensor, limit: float = 1.0) -> Self:
        """With these training clips, mean features `B D`, and the limit of ratios."""
        everyday = type(self)(**{**self.sizes, "clips": len(means)})
        own = {"clips": self.projected(means), "limit": torch.tensor(limit)}
        everyday.load_state_dict({**self.state_dict(), **own})
        return everyday

    def projected(self, means: Tensor) -> Tensor:
        """Mean features `… D` to directions of unit length, `… R`."""
        return F.normalize((means - self.center) @ self.basis, dim=-1)

    def forward(self, means: Tensor) -> Tensor:
        """Mean features `… D` to ratios `…`, in multiples of the limit."""
        z = self.projected(means)
        nearest_clip = 1 - (z @ self.clips.T).amax(-1)
        nearest_pictures = 1 - (z @ self.pictures.T).topk(NEAREST).values.mean(-1)
        return nearest_clip / nearest_pictures.clamp_min(_SMALLEST) / self.limit
