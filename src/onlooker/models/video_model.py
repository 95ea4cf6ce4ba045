"""What every model promises: a video to class scores at every frame, plain arguments, files without code in them."""

from abc import abstractmethod
from typing import Any, NamedTuple, Self

from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from onlooker.models.encoders.build import Encoder


class Output(NamedTuple):
    """Class scores and where the model looked.

    Of a video: `logits` `B T K`, `attention` `B T h w`. Of one frame: `B K` and `B h w`. `attention` sums to one over
    `h w`, and is None for a model that does not attend.
    """

    logits: Tensor
    attention: Tensor | None


class VideoModel(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="onlooker",
    tags=["video-classification", "visual-attention"],
    license="apache-2.0",
):
    """`forward(video: B T C H W) -> Output`, with logits at every frame.

    All arguments of a model are plain values, so that `save_pretrained` can write them to config.json and
    `from_pretrained` can build the same model from it.

    Args:
        num_classes: K.
        in_channels: C of the frames.
        size: height and width of the frames.
        attends: whether its outputs carry attention.

    Raises:
        ValueError: less than one class.
    """

    encoder: Encoder | None  # that sees every frame, if there is one
    head: nn.Module

    def __init__(self, num_classes: int, in_channels: int, size: int, attends: bool) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}, expected at least 1")
        self.num_classes, self.in_channels, self.size, self.attends = num_classes, in_channels, size, attends
        self.encoder = None

    def forward_features(self, features: Tensor) -> Output:
        """The part behind the encoder, on its maps `B T D h w`.

        Raises:
            ValueError: a model that has no such part.
        """
        raise ValueError("this model sees frames, not stored features; learn from clips, or use one with an encoder")

    @abstractmethod
    def step(self, frame: Tensor, state: Any = None) -> tuple[Output, Any]:
        """One frame `B C H W` of a stream."""

    @abstractmethod
    def initial_state(self, batch_size: int) -> Any:
        """The state before the first frame of `batch_size` videos or streams."""

    @property
    @abstractmethod
    def num_features(self) -> int:
        """How many numbers the head sees (D)."""

    def check_video(self, video: Tensor) -> tuple[int, int]:
        """B and T of a video `B T C H W`.

        Raises:
            ValueError: there are none, or the frames are not what the model was built for.
        """
        B, T = video.shape[:2]
        if not B * T:
            raise ValueError(f"the video has {B} clips of {T} frames, expected at least one of each (B T C H W)")
        self.check_frames(video.shape[2:])
        return B, T

    def check_frames(self, shape: tuple[int, ...]) -> None:
        """Raise a ValueError unless `shape` is the `C H W` that the model was built for."""
        expected = (self.in_channels, self.size, self.size)
        if tuple(shape) != expected:
            raise ValueError(f"frames are {tuple(shape)}, this model was built for {expected} (C H W)")

    @classmethod
    def _from_pretrained(cls, *, strict: bool = True, **arguments: Any) -> Self:
        # The hub's default lets a file with missing weights pass in silence. All weights are in the file: those of
        # ImageNet or Kinetics, which training may have started from, would be downloaded only to be overwritten.
        model: Self = super()._from_pretrained(strict=strict, **{**arguments, "pretrained": False})
        return model

    @classmethod
    def _load_as_pickle(cls, model: Any, model_file: str, *_: Any) -> Any:
        raise ValueError(f"{model_file} is a pickle, which can run code when it is read; expected model.safetensors")


def count_parameters(module: nn.Module) -> int:
    """Trainable numbers of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
