"""The baseline `single-frame`: the middle frame of a clip alone, as a model for `create_model`."""

from typing import NoReturn

import torch
from torch import Tensor

from onlooker.models.encoders import build_encoder
from onlooker.models.registry import Recipe, register_model
from onlooker.models.video_model import Output, VideoModel, make_head

__all__ = ["SingleFrame", "register"]


class SingleFrame(VideoModel):
    """An encoder of frame T // 2 and a head: one prediction, repeated at each frame, as losses and
    scores expect.

    Args:
        num_classes, in_channels, size: K, C, and the height and width of the frames.
        encoder, pretrained: as in `Classifier`.
        hidden: has no effect.
        head_units: width of a tanh layer before the classes; 0: none.
        dropout: before the classes.
    """

    package = "onlooker-papers"
    streams = False

    def __init__(
        self,
        num_classes: int,
        encoder: str = "conv4",
        hidden: int = 64,
        head_units: int = 0,
        dropout: float = 0.5,
        in_channels: int = 3,
        size: int = 64,
        pretrained: bool = False,
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        self.of_frame = build_encoder(encoder, in_channels, size, pretrained)
        self.num_features = self.of_frame.num_features
        self.head = make_head(self.num_features, head_units, dropout, num_classes)
        self.to(memory_format=torch.channels_last)

    def forward(self, video: Tensor) -> Output:
        """`B T C H W` to class logits `B T K`, equal at all frames of a clip; no attention."""
        _, T = self.check_video(video)
        features = self.of_frame(video[:, T // 2].contiguous(memory_format=torch.channels_last))
        return Output(self.head(features.mean((2, 3)))[:, None].expand(-1, T, -1))

    def initial_state(self, batch_size: int) -> NoReturn:
        """Raise a ValueError: the model needs the whole clip."""
        raise ValueError(
            "single-frame needs whole clips; use `onlooker predict`, or a model with a state, such as lstm"
        )


RECIPE = Recipe(
    "the middle frame alone: what can be predicted without time",
    model=SingleFrame,
    unused=frozenset({"hidden"}),
)


def register() -> None:
    """Register this model for `create_model`, `load` and the commands."""
    register_model("single-frame", RECIPE)
