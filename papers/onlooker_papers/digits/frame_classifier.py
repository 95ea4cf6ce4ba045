"""Frames are classified independently, as a whole or by their glimpses."""

import torch

from onlooker.models.cells.memoryless import Memoryless
from onlooker.models.classifier import Classifier
from onlooker.models.encoders import build_encoder
from onlooker.models.video_model import VideoModel, make_head
from onlooker_papers.digits.each_glimpse import HEADS, EachGlimpse


class FrameClassifier(Classifier):
    """An encoder, and a head that classifies the frame as a whole or each glimpse.

    Args:
        num_classes: K.
        encoder: as in `Classifier`.
        head_units: width of a tanh layer before the classes; 0: none.
        head: `joint`: classify all features together; `each-glimpse`: one small classifier reads each window of an
            encoder with several windows (`stn:N`), and a class is an unordered group of symbols (`EachGlimpse`).
        dropout: before the classes.
        in_channels: C of the frames.
        size: height and width of the frames.
        pretrained: start the encoder from ImageNet weights (timm networks).

    Raises:
        ValueError: a setting that is unknown or does not fit the others.
    """

    package = "onlooker-papers"
    init = "zeros"
    attention_head = None

    def __init__(
        self,
        num_classes: int,
        encoder: str = "conv4",
        head_units: int = 0,
        head: str = "joint",
        dropout: float = 0.5,
        in_channels: int = 3,
        size: int = 64,
        pretrained: bool = False,
    ) -> None:
        VideoModel.__init__(self, num_classes, in_channels, size)  # its cell and head are not those of Classifier
        self.encoder = build_encoder(encoder, in_channels, size, pretrained)
        self.grid = self.encoder.grid(size, size)
        width = self.num_features = self.encoder.num_features
        if head not in HEADS:
            raise ValueError(f"head is {head!r}, expected one of {', '.join(HEADS)}")
        self.cell = Memoryless(width)
        if head == "joint":
            self.head = make_head(width, head_units, dropout, num_classes)
        elif (glimpses := getattr(self.encoder, "glimpses", None)) is None:
            raise ValueError("head 'each-glimpse' reads the windows of an encoder such as stn:2; use encoder stn:N")
        else:
            self.head = EachGlimpse(width, glimpses, head_units, dropout, num_classes)
        self.to(memory_format=torch.channels_last)
