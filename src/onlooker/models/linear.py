"""The linear baseline: a linear layer on statistics of the frozen features of some frames, fitted in seconds."""

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.models.classifier import build_encoders
from onlooker.models.encoders import Encoder
from onlooker.models.video_model import Output, VideoModel

__all__ = ["LinearClassifier"]


class LinearState(NamedTuple):
    """`seen`: number of frames so far, at most W, `B 1`; `frames`: features of the last W frames, the newest last,
    `B W D N` (N: h*w)."""

    seen: Tensor
    frames: Tensor


class LinearClassifier(VideoModel):
    """A linear layer on statistics of the last W frames, of frozen features x_t at each location i:

        mean     average of x_τi                       spread   standard deviation of x_τi
        change   average of |x_τi - x_τ-1,i|           largest  max_τ |x_τi - x_τ-1,i|

    Each is averaged over all locations. Then it is standardized by its mean m and spread s over the training clips
    after the same number of frames, because a clip has changed less after two frames than after sixteen. A stream
    forgets what is more than W frames ago; a clip of up to W frames ends with the statistics of all its frames.
    `training.linear` fits the layer.

    Attention is class activation mapping (Zhou et al. 2016) by `mean` and `change`: what a location of this frame adds
    to the highest logit k, with weights w = (w_k - mean of all w) / s,

        a_ti ∝ max(0, w^mean · (x_ti - m^mean) + w^change · (|x_ti - x_t-1,i| - m^change))

    and uniform if nothing is positive.

    Args:
        num_classes, in_channels, size: K, C, and the height and width of the frames.
        encoder: as in `Classifier`; its weights are frozen.
        window: W; the number of frames of a training clip.
        flow_channels: number of optical-flow channels, which come last and have a second encoder; 0: one encoder.
        pretrained: the encoder has pretrained weights, as in `Classifier`.

    Raises:
        ValueError: a window of fewer than 2 frames.
    """

    attends = True
    names = ("mean", "spread", "change", "largest")
    encoder: Encoder
    head: nn.Linear
    center: Tensor  # `W M`, m after 1 to W frames
    scale: Tensor  # `W M`, s

    def __init__(
        self,
        num_classes: int,
        encoder: str = "conv4",
        window: int = 30,
        in_channels: int = 3,
        flow_channels: int = 0,
        size: int = 64,
        pretrained: bool = False,
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        self.encoder = build_encoders(encoder, in_channels, flow_channels, size, pretrained)
        cast(nn.Module, self.encoder).requires_grad_(False).eval()
        self.grid = self.encoder.grid(size, size)
        if window < 2:
            raise ValueError(f"window is {window} frames, expected at least 2")
        self.window, self.lag = window, window // 2
        self.num_features = len(self.names) * self.encoder.num_features
        self.register_buffer("center", torch.zeros(window, self.num_features))
        self.register_buffer("scale", torch.ones(window, self.num_features))
        self.head = nn.Linear(self.num_features, num_classes)
        self.to(memory_format=torch.channels_last)

    def forward(self, video: Tensor) -> Output:
        """A video `B T C H W` to class logits from the frames so far at every frame, and attention."""
        return self.forward_features(self.encode_video(video))

    def forward_features(self, features: Tensor) -> Output:
        """The model after its encoder, on feature maps `B T D h w`; a ValueError for features of another encoder."""
        B, T = features.shape[:2]
        values = self.statistics(features).flatten(0, 1)
        frames = self._flat(features)
        count = torch.arange(T, device=frames.device).clamp_max(self.window - 1).repeat(B)
        logits, attention = self._output(values, count, frames.flatten(0, 1), _changes(frames).flatten(0, 1))
        return Output(logits.unflatten(0, (B, T)), attention.unflatten(0, (B, T)))

    def step(self, frame: Tensor, state: LinearState | None = None) -> tuple[Output, LinearState]:
        """One frame `B C H W` of a stream; the same numbers as `forward`, in constant memory."""
        return self.step_features(self.encode(frame), self.initial_state(len(frame)) if state is None else state)

    def step_features(self, features: Tensor, state: LinearState) -> tuple[Output, LinearState]:
        """`step` after the encoder: features `B D h w`."""
        newest = features.flatten(2)[:, None].to(state.frames.dtype)
        state = LinearState((state.seen + 1).clamp_max(self.window), torch.cat((state.frames[:, 1:], newest), 1))
        changes, there = _window(*state)
        values = _pooled(_of_window(state.frames, changes, there, state.seen[..., None]))
        return Output(*self._output(values, state.seen[:, 0].long() - 1, state.frames[:, -1], changes[:, -1])), state

    def initial_state(self, batch_size: int) -> LinearState:
        """Zeros."""
        D, N = self.encoder.num_features, self.grid[0] * self.grid[1]
        return LinearState(*(self.center.new_zeros(batch_size, *shape) for shape in ((1,), (self.window, D, N))))

    def statistics(self, features: Tensor) -> Tensor:
        """The statistics at each frame of clips, not standardized: features `B T D h w` to `B T M`.

        Of the first W frames in one pass; each later one costs as much as a step.
        """
        self.check_features(features)
        frames, W = self._flat(features), self.window
        values = [_pooled(_of_each_beginning(frames[:, :W]))]
        whole = frames.new_full((len(frames), 1), W)
        for end in range(W + 1, frames.shape[1] + 1):
            last = frames[:, end - W : end]
            values.append(_pooled(_of_window(last, *_window(whole, last), whole[..., None]))[:, None])
        return torch.cat(values, 1)

    def summarize(self, features: Tensor) -> Tensor:
        """The statistics at the last frame of clips, not standardized: features `B T D h w` to `B M`."""
        return self.statistics(features[:, -self.window :])[:, -1]

    def _flat(self, features: Tensor) -> Tensor:
        """Features `B T D h w` to `B T D N`; half precision does not suffice for differences of frames."""
        return features.flatten(3).to(self.center.dtype)

    def _output(self, values: Tensor, count: Tensor, newest: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and attention from statistics `B M`, and from the newest frame and its change, `B D N`.

        Args:
            count: number of frames before it in the window, `B`.
        """
        center, scale = self.center[count], self.scale[count]
        logits = self.head((values - center) / scale)
        weights = (self.head.weight - self.head.weight.mean(0))[logits.argmax(1)] / scale
        of_mean, _, of_change, _ = weights.chunk(4, 1)
        mean, _, mean_change, _ = center.chunk(4, 1)
        added = (of_mean[..., None] * newest + of_change[..., None] * change).sum(1)
        positive = (added - (of_mean * mean + of_change * mean_change).sum(1, keepdim=True)).clamp_min(0)
        total = positive.sum(1, keepdim=True)
        uniform = torch.full_like(positive, 1 / positive.shape[1])
        attention = torch.where(total > 0, positive / total.clamp_min(1e-30), uniform)
        return logits, attention.unflatten(1, self.grid)


def _changes(frames: Tensor) -> Tensor:
    """Absolute differences of frames `B T D N` from the one before; zero for the first one."""
    return F.pad(frames.diff(dim=1).abs(), (0, 0, 0, 0, 1, 0))


def _window(seen: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Of the last frames `B W D N`, of which only the last `seen`, `B 1`, belong to the stream: the absolute difference
    of each from the one before, zero where there is none; and which of them belong to it, `B W 1 1` of 1 and 0."""
    there = (torch.arange(frames.shape[1], 0, -1, device=frames.device) <= seen).to(frames.dtype)[..., None, None]
    before = torch.cat((frames[:, :1], frames[:, :-1]), 1)
    paired = torch.cat((torch.zeros_like(there[:, :1]), there[:, :-1]), 1)
    return (frames - before).abs() * paired, there


def _of_window(frames: Tensor, changes: Tensor, there: Tensor, seen: Tensor) -> Iterable[Tensor]:
    """The statistics at each location of the last frame, `B D N`, from the results of `_window`; `seen`: `B 1 1`."""
    mean = (frames * there).sum(1) / seen
    yield mean
    yield (((frames - mean[:, None]) * there).square().sum(1) / seen).sqrt()
    yield changes.sum(1) / (seen - 1).clamp_min(1)
    yield changes.amax(1)


def _of_each_beginning(frames: Tensor) -> Iterable[Tensor]:
    """The statistics of the frames up to each of `B T D N`, at each location: `B T D N`, in one pass."""
    seen = torch.arange(1, frames.shape[1] + 1, device=frames.device, dtype=frames.dtype)[:, None, None]
    changes, means = _changes(frames), frames.cumsum(1) / seen
    yield means
    # By the sums of squares of Welford (1962), which only grow: no difference of large numbers.
    before = torch.cat((frames[:, :1], means[:, :-1]), 1)
    yield (((frames - before).square() * (1 - 1 / seen)).cumsum(1) / seen).sqrt()
    yield changes.cumsum(1) / (seen - 1).clamp_min(1)
    yield changes.cummax(1).values


def _pooled(statistics: Iterable[Tensor]) -> Tensor:
    """Statistics at each location, `… D N`, averaged over the locations: `… M`, M = 4*D."""
    return torch.cat([each.mean(-1) for each in statistics], -1)
