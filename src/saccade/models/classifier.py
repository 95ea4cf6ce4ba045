"""The model: an encoder for each frame, a cell over time, a class at every frame."""

from typing import Any, NamedTuple

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from saccade.encoders.build import build_encoder
from saccade.recurrent.build import Look, build_cell
from saccade.recurrent.cell import State
from saccade.recurrent.unroll import unroll


class Output(NamedTuple):
    """Class scores and where the model looked.

    Of a video: `logits` `B T K`, `attention` `B T h w`. Of one frame: `B K` and `B h w`. `attention` sums to one over
    `h w`, and is None for a model that does not attend.
    """

    logits: Tensor
    attention: Tensor | None


class Classifier(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="saccade",
    tags=["video-classification", "visual-attention"],
    license="apache-2.0",
):
    """Encoder, cell and head.

    All arguments are plain values, so that `save_pretrained` can write them to config.json and `from_pretrained` can
    build the same model from it.

    Args:
        num_classes: K.
        cell: `memoryless`, `lstm` or `convlstm`.
        attention: `soft`, `conv`, `context`, or None.
        glimpse: what the cell sees through the attention: `sum`, `product` or `scaled`.
        encoder: `conv4`, `lenet`, any timm network by its name, or `NAME:vector`.
        hidden: units or channels of the cell.
        head_units: width of a tanh layer before the classes (Li et al. 2016 use 1024); 0: none.
        dropout: before the classes.
        in_channels: C of the frames.
        size: height and width of the frames.
        pretrained: start the encoder from ImageNet weights (timm networks).

    Raises:
        ValueError: a setting that is unknown or does not fit the others, such as attention over a single place.
    """

    def __init__(
        self,
        num_classes: int,
        cell: str = "convlstm",
        attention: str | None = "conv",
        glimpse: str = "scaled",
        encoder: str = "conv4",
        hidden: int = 64,
        head_units: int = 0,
        dropout: float = 0.5,
        in_channels: int = 3,
        size: int = 64,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}, expected at least 1")
        self.num_classes, self.in_channels, self.size = num_classes, in_channels, size
        self.encoder = build_encoder(encoder, in_channels, size, pretrained)
        self.grid: tuple[int, int] = self.encoder.grid(size, size)
        if attention and self.grid == (1, 1):
            raise ValueError(
                f"encoder {encoder!r} makes one place of a frame of {size} pixels, where attention {attention!r} could "
                "only ever give it the weight 1; use an encoder with a map (such as conv4 or vgg16), larger frames, "
                "or a model without attention (such as lstm)"
            )
        self.attends = attention is not None
        look = Look(attention, glimpse) if attention else None
        self.cell = build_cell(cell, self.encoder.num_features, hidden, self.grid, look)
        width = self.cell.num_hidden
        layers: list[nn.Module] = [nn.Linear(width, head_units), nn.Tanh()] if head_units else []
        self.head = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(head_units or width, num_classes))
        # Convolutions over few channels are several times faster on a CPU with the channels last in memory.
        self.to(memory_format=torch.channels_last)

    def forward(self, video: Tensor) -> Output:
        """`B T C H W` to class logits at every frame, `B T K`, and where it looked, `B T h w`."""
        B, T = video.shape[:2]
        if not B * T:
            raise ValueError(f"the video has {B} clips of {T} frames, expected at least one of each (B T C H W)")
        features = self.encode(video.flatten(0, 1)).unflatten(0, (B, T))
        hidden, attention, _ = unroll(self.cell, features, self.initial_state(B))
        return Output(self.classify(hidden.flatten(0, 1)).unflatten(0, (B, T)), attention)

    def step(self, frame: Tensor, state: State) -> tuple[Output, State]:
        """One frame `B C H W` of a stream: the same numbers as `forward`, one frame at a time, in constant memory.

        Start from `initial_state(B)` and pass on the state that comes back.
        """
        output, state = self.cell(self.encode(frame), state)
        return Output(self.classify(output.hidden), output.attention), state

    def initial_state(self, batch_size: int) -> State:
        """The state before the first frame of `batch_size` videos or streams."""
        weight = next(self.head.parameters())
        return self.cell.initial_state(batch_size, self.grid, weight.device, weight.dtype)

    def encode(self, frames: Tensor) -> Tensor:
        """`N C H W -> N D h w`.

        Raises:
            ValueError: the frames are not of the size and channels that the model was built for.
        """
        expected = (self.in_channels, self.size, self.size)
        if tuple(frames.shape[1:]) != expected:
            raise ValueError(f"frames are {tuple(frames.shape[1:])}, this model was built for {expected} (C H W)")
        return self.encoder(frames.contiguous(memory_format=torch.channels_last))

    def classify(self, hidden: Tensor) -> Tensor:
        """Hidden states `N D` or `N D h w` (averaged over the places) to logits `N K`."""
        return self.head(hidden.mean((2, 3)) if hidden.ndim == 4 else hidden)

    @classmethod
    def _from_pretrained(cls, *, strict: bool = True, **arguments: Any) -> "Classifier":
        # The hub's default lets a file with missing weights pass in silence. All weights are in the file: those of
        # ImageNet, which training may have started from, would be downloaded only to be overwritten.
        model: Classifier = super()._from_pretrained(strict=strict, **{**arguments, "pretrained": False})
        return model

    @classmethod
    def _load_as_pickle(cls, model: Any, model_file: str, *_: Any) -> Any:
        raise ValueError(f"{model_file} is a pickle, which can run code when it is read; expected model.safetensors")


def count_parameters(module: nn.Module) -> int:
    """Trainable numbers of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def video_scores(logits: Tensor) -> Tensor:
    """Probabilities of whole videos, `B T K -> B K`: the softmax of every step, averaged (Li et al. 2016)."""
    return torch.softmax(logits.float(), -1).mean(1)
