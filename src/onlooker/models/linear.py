"""The linear baseline: logistic regression on running statistics of frozen features, fitted in seconds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.models.classifier import build_encoders
from onlooker.models.encoders import Encoder
from onlooker.models.video_model import Output, VideoModel

__all__ = ["STATISTICS", "LinearClassifier"]

ALL = "mean,spread,change,largest,end"


class LinearState(NamedTuple):
    """Frames so far, `B 1`; the last frame's features, `B D N`; the maps that statistics keep, `B P D N` (N: h*w)."""

    time: Tensor
    previous: Tensor
    memory: Tensor


class Frame(NamedTuple):
    """Features of a frame, `B D N`; their absolute change since the frame before; frames so far, `B 1 1`."""

    features: Tensor
    change: Tensor
    time: Tensor


@dataclass(frozen=True)
class Statistic:
    """A statistic of the frames so far, at each location, in constant memory.

    Args:
        maps: how many maps `B D N` it keeps; they are zeros before the first frame.
        update: a frame and these maps to the maps after it.
        value: the frame and the updated maps to the statistic; None: the first map.
        mean_of: the part of a frame that it is the mean of, for attention; None for other statistics.
    """

    maps: int
    update: Callable[..., tuple[Tensor, ...]]
    value: Callable[..., Tensor] | None = None
    mean_of: Callable[[Frame], Tensor] | None = None


def _add(mean: Tensor, value: Tensor, count: Tensor) -> Tensor:
    """The mean of `count` values from that of those before."""
    return mean + (value - mean) / count


def _squares(frame: Frame, mean: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    """Welford's (1962) update of a mean and the sum of squared differences from it."""
    after = _add(mean, frame.features, frame.time)
    return after, squares + (frame.features - mean) * (frame.features - after)


def _products(frame: Frame, mean: Tensor, products: Tensor) -> tuple[Tensor, Tensor]:
    """The same for the product with the time 1, 2, …, t, whose mean before this frame was t/2."""
    after = _add(mean, frame.features, frame.time)
    return after, products + frame.time / 2 * (frame.features - after)


STATISTICS: dict[str, Statistic] = {
    "mean": Statistic(1, lambda now, mean: (_add(mean, now.features, now.time),), mean_of=lambda now: now.features),
    "spread": Statistic(2, _squares, lambda now, _, squares: (squares / now.time).sqrt()),
    "change": Statistic(
        1,
        lambda now, mean: (_add(mean, now.change, (now.time - 1).clamp_min(1)),),
        mean_of=lambda now: now.change,
    ),
    "largest": Statistic(1, lambda now, largest: (torch.maximum(largest, now.change),)),
    "end": Statistic(
        1,
        lambda now, first: (torch.where(now.time == 1, now.features, first),),
        lambda now, first: now.features - first,
    ),
    # The line of least squares at the last frame minus at the first.
    "trend": Statistic(2, _products, lambda now, _, products: 12 * products / (now.time * (now.time + 1))),
}


class LinearClassifier(VideoModel):
    """A linear layer on statistics of the frames so far, of frozen features x_t at each location i:

        mean     1/t Σ_τ x_τi                          spread   standard deviation of x_1i … x_ti
        change   1/(t-1) Σ_τ |x_τi - x_τ-1,i|          largest  max_τ |x_τi - x_τ-1,i|
        end      x_ti - x_1i                           trend    rise of the least-squares line from 1 to t

    Each is averaged over the locations, or over those of `regions`×`regions` parts of the map, and standardized by its
    mean and spread over the training clips. `training.linear` fits the layer; attention is class activation mapping
    (Zhou et al. 2016) by the statistics that are means over time: with weights w_k of class k (per standardized unit,
    minus their mean over classes) and the class k of the highest logit, a_ti ∝ max(0, w_k^mean · x_ti + w_k^change ·
    |x_ti - x_t-1,i|), uniform if nothing is positive.

    Args:
        num_classes: K.
        encoder: as in `Classifier`; its weights are frozen.
        statistics: names in `STATISTICS`, separated by commas.
        regions: parts of the map in each direction that have statistics of their own; 1: the whole map.
        in_channels: C of the frames.
        flow_channels: how many of them, the last ones, are optical flow with a second encoder; 0: one encoder for all.
        size: height and width of the frames.
        pretrained: the encoder has pretrained weights, as in `Classifier`.

    Raises:
        ValueError: unknown statistics, or more regions than locations.
    """

    attends = True
    encoder: Encoder
    head: nn.Linear
    center: Tensor
    scale: Tensor
    pooling: Tensor

    def __init__(
        self,
        num_classes: int,
        encoder: str = "conv4",
        statistics: str = ALL,
        regions: int = 1,
        in_channels: int = 3,
        flow_channels: int = 0,
        size: int = 64,
        pretrained: bool = False,
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        self.encoder = build_encoders(encoder, in_channels, flow_channels, size, pretrained)
        cast(nn.Module, self.encoder).requires_grad_(False).eval()
        h, w = self.grid = self.encoder.grid(size, size)
        if not 1 <= regions <= min(h, w):
            raise ValueError(f"regions is {regions}, expected from 1 to the {min(h, w)} locations of a side of the map")
        self.names = statistics.split(",")
        if not set(self.names) <= STATISTICS.keys() or len(set(self.names)) < len(self.names):
            raise ValueError(f"statistics is {statistics!r}, expected different ones of {', '.join(STATISTICS)}")
        pooling = F.adaptive_avg_pool2d(torch.eye(h * w).view(1, -1, h, w), regions)[0].flatten(1)
        self.register_buffer("pooling", pooling, persistent=False)  # `N R`
        self.num_features = len(self.names) * self.encoder.num_features * regions**2
        self.register_buffer("center", torch.zeros(self.num_features))
        self.register_buffer("scale", torch.ones(self.num_features))
        self.head = nn.Linear(self.num_features, num_classes)
        self.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> "LinearClassifier":
        """The frozen encoder stays in evaluation mode."""
        super().train(mode)
        cast(nn.Module, self.encoder).eval()
        return self

    def forward(self, video: Tensor) -> Output:
        """A video `B T C H W` to class logits from the frames so far at every frame, and attention."""
        return self.forward_features(self.encode_video(video))

    def forward_features(self, features: Tensor) -> Output:
        """The model after its encoder, on feature maps `B T D h w`; a ValueError for those of another encoder."""
        self.check_features(features)
        state, outputs = self.initial_state(len(features)), []
        for each in features.unbind(1):
            output, state = self.step_features(each, state)
            outputs.append(output)
        logits, attention = (torch.stack(part, 1) for part in list(zip(*outputs, strict=True))[:2])
        return Output(logits, attention)

    def step(self, frame: Tensor, state: LinearState | None = None) -> tuple[Output, LinearState]:
        """One frame `B C H W` of a stream; the same numbers as `forward`, in constant memory."""
        return self.step_features(self.encode(frame), self.initial_state(len(frame)) if state is None else state)

    def step_features(self, features: Tensor, state: LinearState) -> tuple[Output, LinearState]:
        """`step` after the encoder: features `B D h w`."""
        frame, state = self._add_frame(features, state)
        logits = self.head((self._values(frame, state) - self.center) / self.scale)
        return Output(logits, self._attention(frame, logits)), state

    def initial_state(self, batch_size: int) -> LinearState:
        """Zeros."""
        D, N, P = self.encoder.num_features, len(self.pooling), sum(STATISTICS[name].maps for name in self.names)
        return LinearState(*(self.pooling.new_zeros(batch_size, *shape) for shape in ((1,), (D, N), (P, D, N))))

    def summarize(self, features: Tensor) -> Tensor:
        """The statistics of whole clips, not standardized: features `B T D h w` to `B M`."""
        self.check_features(features)
        state = self.initial_state(len(features))
        for each in features.unbind(1):
            frame, state = self._add_frame(each, state)
        return self._values(frame, state)

    def _add_frame(self, features: Tensor, state: LinearState) -> tuple[Frame, LinearState]:
        # Half precision does not suffice for differences of frames.
        x, time = features.flatten(2).to(state.previous.dtype), state.time + 1
        change = (x - state.previous).abs() * (time > 1)[..., None]
        frame, maps = Frame(x, change, time[..., None]), iter(state.memory.unbind(1))
        updated = [each for s in self._statistics for each in s.update(frame, *(next(maps) for _ in range(s.maps)))]
        return frame, LinearState(time, x, torch.stack(updated, 1))

    def _values(self, frame: Frame, state: LinearState) -> Tensor:
        """All statistics, averaged over the locations of each region: `B M`, M = S*D*R."""
        maps, values = iter(state.memory.unbind(1)), []
        for statistic in self._statistics:
            own = [next(maps) for _ in range(statistic.maps)]
            value = own[0] if statistic.value is None else statistic.value(frame, *own)
            values.append(value @ self.pooling)
        return torch.stack(values, 1).flatten(1)

    def _attention(self, frame: Frame, logits: Tensor) -> Tensor:
        contrast = (self.head.weight - self.head.weight.mean(0)) / self.scale
        D = self.encoder.num_features
        weights = contrast[logits.argmax(1)].unflatten(1, (len(self.names), D, -1)) @ self.pooling.T  # `B S D N`
        parts = [
            (weights[:, i] * statistic.mean_of(frame)).sum(1)
            for i, statistic in enumerate(self._statistics)
            if statistic.mean_of
        ]
        positive = sum(parts, torch.zeros_like(frame.features[:, 0])).clamp_min(0)
        total = positive.sum(1, keepdim=True)
        uniform = torch.full_like(positive, 1 / len(self.pooling))
        return torch.where(total > 0, positive / total.clamp_min(1e-30), uniform).unflatten(1, self.grid)

    @property
    def _statistics(self) -> list[Statistic]:
        return [STATISTICS[name] for name in self.names]
