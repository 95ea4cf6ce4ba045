"""The model: an encoder of frames, a cell over time, class logits at every frame."""

import torch
from torch import Tensor, nn

from onlooker.models.cells import build_cell
from onlooker.models.cells.cell import State, unroll
from onlooker.models.encoders import Encoder, build_encoder
from onlooker.models.video_model import NO_OTHERS, Others, Output, VideoModel, make_head


class Classifier(VideoModel):
    """Encoder, cell and head.

    Args:
        num_classes, in_channels, size: K, C, and the height and width of the frames.
        cell: one of `CELLS`, such as `memoryless`, `lstm`, `convlstm`.
        attention: one of `ATTENTIONS`, such as `soft`; `motion`; or None.
        glimpse: the input of a cell with attention: `sum`, `product` or `scaled`, see
            `AttentiveCell`.
        encoder: `conv4`, any timm network by its name, or `NAME:vector`.
        hidden: units or channels of the cell.
        head_units: width of a tanh layer before the classes (Li et al. 2016 use 1024); 0: none.
        dropout: before the classes.
        attention_loss: auxiliary loss: a linear layer classifies the attended features of each
            frame (attention pooling, Ilse et al. 2018), so that the map stays where the class is
            visible.
        flow_channels: number of optical-flow channels, which come last and have a second encoder: 2
            for each displacement field. `motion` needs them; 0: one encoder for all channels.
        pretrained: start the encoder from the weights in this package (`small`), or ImageNet's
            (timm networks); or from the weights in this file (timm networks).

    Raises:
        ValueError: a setting that is unknown or does not fit the others, such as attention over a
            single location.
    """

    encoder: Encoder

    def __init__(
        self,
        num_classes: int,
        cell: str = "convlstm",
        *,
        attention: str | None = "conv",
        glimpse: str = "scaled",
        encoder: str = "conv4",
        hidden: int = 64,
        head_units: int = 0,
        dropout: float = 0.5,
        attention_loss: bool = False,
        in_channels: int = 3,
        flow_channels: int = 0,
        size: int = 64,
        pretrained: bool | str = False,
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        self.encoder = build_encoder(
            encoder, in_channels, size, pretrained=pretrained, flow_channels=flow_channels
        )
        self.grid = self.encoder.grid(size, size)
        if attention and self.grid == (1, 1):
            raise ValueError(
                f"encoder {encoder!r} makes one location of a frame of {size} pixels, where attention {attention!r} "
                "could only ever give it the weight 1; use an encoder with a map (such as conv4 or vgg16), larger "
                "frames, or a model without attention (such as lstm)"
            )
        if attention_loss and not attention:
            raise ValueError(
                "attention_loss classifies what is attended, and this model does not attend"
            )
        self.cell = build_cell(
            cell,
            self.encoder.num_features,
            hidden,
            grid=self.grid,
            attention=attention,
            glimpse=glimpse,
        )
        self.num_features = self.cell.num_hidden
        self.head = make_head(
            self.num_features, head_units=head_units, dropout=dropout, num_classes=num_classes
        )
        attended = self.cell.num_attended or self.encoder.num_features
        self.attention_head = nn.Linear(attended, num_classes) if attention_loss else None
        self.attends = attention is not None
        # Convolutions over few channels are several times faster on a CPU with the channels last in
        # memory.
        self.to(memory_format=torch.channels_last)

    def forward_features(
        self, features: Tensor, others: Others = NO_OTHERS, *, state: State | None = None
    ) -> Output:
        """The model after its encoder, on feature maps `B T D h w`; a ValueError for features of
        another encoder.

        `state` is that before the first frame; None: zeros.
        """
        self.check_features(features)
        self.check_others(others, features.shape[:2])
        output, _ = unroll(
            self.cell, features, self.initial_state(len(features)) if state is None else state
        )
        logits = self.classify(output.hidden.flatten(0, 1)).unflatten(0, features.shape[:2])
        attended = None
        if self.attention_head is not None and output.attention is not None:
            weighted = (
                features[:, :, : self.attention_head.in_features] * output.attention[:, :, None]
            )
            attended = self.attention_head(weighted.sum((3, 4)))
        return Output(logits, output.attention, attended=attended)

    def step_features(
        self, features: Tensor, state: State, others: Others = NO_OTHERS
    ) -> tuple[Output, State]:
        output, state = self.cell(features, state)
        return Output(self.classify(output.hidden), output.attention), state

    def initial_state(self, batch_size: int) -> State:
        weight = next(self.parameters())
        return self.cell.initial_state(
            batch_size, self.grid, device=weight.device, dtype=weight.dtype
        )

    def classify(self, hidden: Tensor) -> Tensor:
        """Hidden states `N D` or `N D h w` (averaged over the locations) to logits `N K`."""
        return self.head(hidden.mean((2, 3)) if hidden.ndim == 4 else hidden)
