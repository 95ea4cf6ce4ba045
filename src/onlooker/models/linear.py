"""The linear baseline: a linear layer on statistics of the frozen features of some frames, fitted in seconds."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.models.classifier import build_encoders
from onlooker.models.encoders import Encoder
from onlooker.models.video_model import Output, VideoModel

__all__ = ["STATISTICS", "LinearClassifier"]

DEFAULT = "mean,spread,change,largest"


class LinearState(NamedTuple):
    """`seen`: number of frames so far, at most W, `B 1`; `frames`: features of the last W frames, the newest last,
    `B W D N` (N: h*w)."""

    seen: Tensor
    frames: Tensor


class Window(NamedTuple):
    """The last frames of a stream.

    Args:
        frames: features `B W D N`.
        changes: `B W D N`, absolute difference of each frame from the one before; zero where there is none.
        there: `B W 1 1`, one for frames of the stream, zero for places before its first frame.
        seen: `B 1 1`, the sum of `there`.
    """

    frames: Tensor
    changes: Tensor
    there: Tensor
    seen: Tensor


def _mean(of: Window) -> Tensor:
    return (of.frames * of.there).sum(1) / of.seen


def _spread(of: Window) -> Tensor:
    return (((of.frames - _mean(of)[:, None]) * of.there).square().sum(1) / of.seen).sqrt()


def _change(of: Window) -> Tensor:
    return of.changes.sum(1) / (of.seen - 1).clamp_min(1)


def _end(of: Window) -> Tensor:
    first = of.there - F.pad(of.there, (0, 0, 0, 0, 1, 0))[:, :-1]
    return of.frames[:, -1] - (of.frames * first).sum(1)


def _trend(of: Window) -> Tensor:
    """The least-squares line at the last frame, minus the line at the first frame."""
    time = of.there.cumsum(1) - (of.seen[:, None] + 1) / 2
    products = (of.frames * time * of.there).sum(1)
    return 12 * products / (of.seen * (of.seen + 1))


class Beginning(NamedTuple):
    """The frames from the first one of a stream on, up to W of them.

    Args:
        frames: features `B T D N`.
        changes: `B T D N`, absolute difference of each frame from the one before; zero for the first one.
        seen: `T 1 1`, number of frames up to each.
    """

    frames: Tensor
    changes: Tensor
    seen: Tensor

    @property
    def means(self) -> Tensor:
        """The mean of the frames up to each, `B T D N`."""
        return self.frames.cumsum(1) / self.seen


def _running_spread(of: Beginning) -> Tensor:
    """By the sums of squares of Welford (1962), which only grow: no difference of large numbers."""
    before = torch.cat((of.frames[:, :1], of.means[:, :-1]), 1)
    return (((of.frames - before).square() * (1 - 1 / of.seen)).cumsum(1) / of.seen).sqrt()


def _running_trend(of: Beginning) -> Tensor:
    return 6 * (of.seen * (of.frames - of.means)).cumsum(1) / (of.seen * (of.seen + 1))


class Statistic(NamedTuple):
    """A statistic at each location of the last frame of a window, `B D N`, and of each frame so far, `B T D N`.

    The second is that of all windows that begin with the first frame, in one pass over the frames.
    """

    of_window: Callable[[Window], Tensor]
    running: Callable[[Beginning], Tensor]


STATISTICS: dict[str, Statistic] = {
    "mean": Statistic(_mean, lambda of: of.means),
    "spread": Statistic(_spread, _running_spread),
    "change": Statistic(_change, lambda of: of.changes.cumsum(1) / (of.seen - 1).clamp_min(1)),
    "largest": Statistic(lambda of: of.changes.amax(1), lambda of: of.changes.cummax(1).values),
    "end": Statistic(_end, lambda of: of.frames - of.frames[:, :1]),
    "trend": Statistic(_trend, _running_trend),
}


class LinearClassifier(VideoModel):
    """A linear layer on statistics of the last W frames, of frozen features x_t at each location i:

        mean     average of x_τi                       spread   standard deviation of x_τi
        change   average of |x_τi - x_τ-1,i|           largest  max_τ |x_τi - x_τ-1,i|
        end      last minus first x_τi                 trend    rise of the least-squares line over x_τi

    Each is averaged over all locations, or over the locations of each of `regions`×`regions` parts of the map. Then it
    is standardized by its mean m and spread s over the training clips after the same number of frames, because a clip
    has changed less after two frames than after sixteen. A stream forgets what is more than W frames ago; a clip of up
    to W frames ends with the statistics of all its frames. `training.linear` fits the layer.

    Attention is class activation mapping (Zhou et al. 2016) by `mean` and `change`: what a location of this frame adds
    to the highest logit k, with weights w = (w_k - mean of all w) / s,

        a_ti ∝ max(0, w^mean · (x_ti - m^mean) + w^change · (|x_ti - x_t-1,i| - m^change))

    and uniform if nothing is positive.

    Args:
        num_classes, in_channels, size: K, C, and the height and width of the frames.
        encoder: as in `Classifier`; its weights are frozen.
        statistics: names in `STATISTICS`, separated by commas.
        window: W; the number of frames of a training clip.
        regions: parts of the map in each direction, each with its statistics; 1: the whole map.
        flow_channels: number of optical-flow channels, which come last and have a second encoder; 0: one encoder.
        pretrained: the encoder has pretrained weights, as in `Classifier`.

    Raises:
        ValueError: unknown statistics, more regions than locations, or a window of fewer than 2 frames.
    """

    attends = True
    encoder: Encoder
    head: nn.Linear
    center: Tensor  # `W M`, m after 1 to W frames
    scale: Tensor  # `W M`, s
    pooling: Tensor

    def __init__(
        self,
        num_classes: int,
        encoder: str = "conv4",
        statistics: str = DEFAULT,
        window: int = 30,
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
        if window < 2:
            raise ValueError(f"window is {window} frames, expected at least 2")
        self.names, self.window, self.lag = statistics.split(","), window, window // 2
        if not set(self.names) <= STATISTICS.keys() or len(set(self.names)) < len(self.names):
            raise ValueError(f"statistics is {statistics!r}, expected different ones of {', '.join(STATISTICS)}")
        pooling = F.adaptive_avg_pool2d(torch.eye(h * w).view(1, -1, h, w), regions)[0].flatten(1)
        self.register_buffer("pooling", pooling, persistent=False)  # `N R`
        self.num_features = len(self.names) * self.encoder.num_features * regions**2
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
        window = _as_window(*state)
        values, count = self._pooled(STATISTICS[name].of_window(window) for name in self.names), state.seen[:, 0].long()
        return Output(*self._output(values, count - 1, window.frames[:, -1], window.changes[:, -1])), state

    def initial_state(self, batch_size: int) -> LinearState:
        """Zeros."""
        D, N = self.encoder.num_features, len(self.pooling)
        return LinearState(*(self.pooling.new_zeros(batch_size, *shape) for shape in ((1,), (self.window, D, N))))

    def statistics(self, features: Tensor) -> Tensor:
        """The statistics at each frame of clips, not standardized: features `B T D h w` to `B T M`.

        Of the first W frames in one pass; each later one costs as much as a step.
        """
        self.check_features(features)
        frames, W = self._flat(features), self.window
        first = frames[:, :W]
        seen = torch.arange(1, first.shape[1] + 1, device=frames.device, dtype=frames.dtype)[:, None, None]
        beginning = Beginning(first, _changes(first), seen)
        values = [self._pooled(STATISTICS[name].running(beginning) for name in self.names)]
        whole = frames.new_full((len(frames), 1), W)
        for end in range(W + 1, frames.shape[1] + 1):
            window = _as_window(whole, frames[:, end - W : end])
            values.append(self._pooled(STATISTICS[name].of_window(window) for name in self.names)[:, None])
        return torch.cat(values, 1)

    def summarize(self, features: Tensor) -> Tensor:
        """The statistics at the last frame of clips, not standardized: features `B T D h w` to `B M`."""
        return self.statistics(features[:, -self.window :])[:, -1]

    def _flat(self, features: Tensor) -> Tensor:
        """Features `B T D h w` to `B T D N`; half precision does not suffice for differences of frames."""
        return features.flatten(3).to(self.pooling.dtype)

    def _pooled(self, statistics: Iterable[Tensor]) -> Tensor:
        """Statistics at each location, `… D N`, averaged over the locations of each region: `… M`, M = S*D*R."""
        return torch.stack([each @ self.pooling for each in statistics], -3).flatten(-3)

    def _output(self, values: Tensor, count: Tensor, newest: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and attention from statistics `B M`, and from the newest frame and its change, `B D N`.

        Args:
            count: number of frames before it in the window, `B`.
        """
        center, scale = self.center[count], self.scale[count]
        logits = self.head((values - center) / scale)
        weights = (self.head.weight - self.head.weight.mean(0))[logits.argmax(1)] / scale
        return logits, self._attention({"mean": newest, "change": change}, weights, center)

    def _attention(self, newest: dict[str, Tensor], weights: Tensor, center: Tensor) -> Tensor:
        """Class activation mapping `B h w` by weights and means `B M` of the statistics."""
        shape = len(self.names), self.encoder.num_features, self.pooling.shape[1]
        added = torch.zeros_like(newest["mean"][:, 0])
        of_names = (of.unflatten(1, shape).unbind(1) for of in (weights, center))
        for name, w, m in zip(self.names, *of_names, strict=True):
            if name in newest:
                added = added + (w @ self.pooling.T * newest[name]).sum(1) - (w * m).sum(1) @ self.pooling.T
        positive = added.clamp_min(0)
        total = positive.sum(1, keepdim=True)
        uniform = torch.full_like(positive, 1 / len(self.pooling))
        return torch.where(total > 0, positive / total.clamp_min(1e-30), uniform).unflatten(1, self.grid)


def _changes(frames: Tensor) -> Tensor:
    """Absolute differences of frames `B T D N` from the one before; zero for the first one."""
    return F.pad(frames.diff(dim=1).abs(), (0, 0, 0, 0, 1, 0))


def _as_window(seen: Tensor, frames: Tensor) -> Window:
    """The window of the last frames `B W D N`, of which only the last `seen`, `B 1`, belong to the stream."""
    there = (torch.arange(frames.shape[1], 0, -1, device=frames.device) <= seen).to(frames.dtype)[..., None, None]
    before = torch.cat((frames[:, :1], frames[:, :-1]), 1)
    paired = torch.cat((torch.zeros_like(there[:, :1]), there[:, :-1]), 1)
    return Window(frames, (frames - before).abs() * paired, there, seen[..., None])
