"""Frames classified one by one, whose predictions are then pooled: by aggregation, or by learned weights."""

from typing import cast

import torch
from torch import Tensor, nn

from onlooker.models.cells.cell import Cell, State
from onlooker.models.cells.memoryless import Memoryless
from onlooker.models.cells.unroll import unroll
from onlooker.models.encoders import Encoder, build_encoder
from onlooker.models.video_model import Output, VideoModel, make_head
from onlooker_papers.digits.each_glimpse import HEADS, EachGlimpse
from onlooker_papers.digits.opinions import OpinionPool


class FrameClassifier(VideoModel):
    """An encoder and a head that reads the frame as a whole or each glimpse, and a logarithmic opinion pool.

    Args:
        num_classes: K.
        pooled: pool the predictions of all frames so far by `OpinionPool`; otherwise each frame's is its own.
        encoder: as in `Classifier`.
        head_units: width of a tanh layer before the classes; 0: none.
        head: `joint`: all features make the classes; `each-glimpse`: one small classifier reads each window of an
            encoder that has several (`stn:N`), and a class is an unordered group of what they read (`EachGlimpse`).
        dropout: before the classes.
        in_channels: C of the frames.
        size: height and width of the frames.
        pretrained: start the encoder from ImageNet weights (timm networks).

    Raises:
        ValueError: a setting that is unknown or does not fit the others.
    """

    package = "onlooker-papers"
    encoder: Encoder
    init = "zeros"

    def __init__(
        self,
        num_classes: int,
        pooled: bool = True,
        encoder: str = "conv4",
        head_units: int = 0,
        head: str = "joint",
        dropout: float = 0.5,
        in_channels: int = 3,
        size: int = 64,
        pretrained: bool = False,
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        self.encoder = build_encoder(encoder, in_channels, size, pretrained)
        self.grid = self.encoder.grid(size, size)
        width = self.num_features = self.encoder.num_features
        if head not in HEADS:
            raise ValueError(f"head is {head!r}, expected one of {', '.join(HEADS)}")
        reader: nn.Module
        if head == "joint":
            reader = make_head(width, head_units, dropout, num_classes)
        elif (glimpses := getattr(self.encoder, "glimpses", None)) is None:
            raise ValueError("head 'each-glimpse' reads the windows of an encoder such as stn:2; use encoder stn:N")
        else:
            reader = EachGlimpse(width, glimpses, head_units, dropout, num_classes)
        self.cell: Cell = OpinionPool(reader, width, num_classes) if pooled else Memoryless(width)
        self.head = nn.Identity() if pooled else reader
        self.to(memory_format=torch.channels_last)

    def forward(self, video: Tensor) -> Output:
        """`B T C H W` to class logits at every frame, `B T K`; no attention."""
        return self.forward_features(self.encode_video(video))

    def forward_features(self, features: Tensor) -> Output:
        """The part behind the encoder, on its maps `B T D h w`."""
        output, _ = unroll(self.cell, features, self.initial_state(len(features)))
        return Output(self.classify(output.hidden.flatten(0, 1)).unflatten(0, features.shape[:2]))

    def step(self, frame: Tensor, state: State | None = None) -> tuple[Output, State]:
        """One frame `B C H W` of a stream; begin with `state=None`."""
        output, state = self.cell(self.encode(frame), self.initial_state(len(frame)) if state is None else state)
        return Output(self.classify(output.hidden)), state

    def initial_state(self, batch_size: int) -> State:
        """Zeros: all classes are equally probable."""
        weight = next(self.parameters())
        return self.cell.initial_state(batch_size, self.grid, weight.device, weight.dtype)

    def classify(self, hidden: Tensor) -> Tensor:
        """The outputs of the cell, `N D h w` or pooled logits `N K`, to logits `N K`."""
        return cast(Tensor, self.head(hidden.mean((2, 3)) if hidden.ndim == 4 else hidden))
