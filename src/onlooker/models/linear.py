"""The linear model: a linear layer on statistics of the frozen features of frames."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from onlooker.models.encoders import Encoder, build_encoder
from onlooker.models.video_model import Output, VideoModel, Windows
from onlooker.models.windows import WAVES, moments_of, newest_windows, waves, windows_of

__all__ = ["UNORDERED", "LinearClassifier"]

UNORDERED = ("mean", "spread", "change", "largest")
# of the usual deviation of the training clips: where nothing deviates by more, the map is flat
_FLAT = 0.1
_PARTS = ("center", "scale", "weight", "bias")  # of a layer
_LONGEST = 8  # windows at most, times W
_LEVELS = 32767  # of a feature in the state of a stream, on either side of zero
_SMALLEST = 1e-30  # unit of levels
_NEVER = -30.0  # score of a window that begins before the stream
ORDERED = tuple(
    f"{moment}{k}" for moment in ("wave", "across", "down") for k in range(1, WAVES + 1)
)


class LinearState(NamedTuple):
    """`seen`: number of frames so far, at most S, `B 1`; `levels`: features of the last S - 1 of
    them, the newest last, `B S-1 D N` (N: h*w), integers of 16 bits in units of `units`, `B S-1 D
    1`; S is the longest window.
    """

    seen: Tensor
    levels: Tensor
    units: Tensor


class LinearClassifier(VideoModel):
    """A linear layer on statistics of the last W frames, of frozen features x_t at each location i:

        mean     average of x_τi                       spread   standard deviation of x_τi
        change   average of |x_τi - x_τ-1,i|           largest  max_τ |x_τi - x_τ-1,i|

    Each is averaged over all locations. None of them knows in which order the frames were.
    Statistics of order do: the cosine coefficients over time (DCT-II) of the average feature, and
    of its moments across and down the frame,

        wave, across, down k    √2/T Σ_τ cos(π k (τ + ½) / T) avg_i u_i x_τi

    with u_i = 1, x or y of location i, from -1 to 1, and k = 1 to 4, less than the number T of
    frames so far: something appears or vanishes, moves to the right, comes and goes. In a clip that
    runs backwards, those with odd k have the opposite sign.

    Each statistic is standardized by its mean m and spread s over the training clips after the same
    number of frames, because a clip has changed less after two frames than after sixteen. A stream
    forgets what is more than W frames ago; a clip of up to W frames ends with the statistics of all
    its frames. `training.linear` fits the layer, and chooses the statistics.

    Attention is how far a location of this frame is from what is usual there, the average x̄_i of
    the window so far, in the directions that the layer uses: with g = (w_k - mean of all w) / s, of
    every class k and of mean and change,

        a_ti ∝ Σ_g (g · (x_ti - x̄_i))² + Σ_g Σ_d (g_d m^spread_d)² / 10

    The second term is a tenth of what is usual in the training clips: where less than that differs,
    the map is flat.

    With an event layer (`set_event_layer`), windows of several lengths end at each frame
    (`models.windows`). A linear layer says whether a window is one whole event, and another one of
    which class.

    Args:
        num_classes, in_channels, size: K, C, and the height and width of the frames.
        encoder: as in `Classifier`; its weights are frozen.
        window: W; the number of frames of a training clip.
        flow_channels: number of optical-flow channels, which come last and have a second encoder;
            0: one encoder.
        pretrained: the encoder has pretrained weights, as in `Classifier`.
        lengths: of the windows of the event layer, in frames, ascending; empty: it has none.

    Raises:
        ValueError: a window of fewer than 2 frames.
    """

    attends = True
    names = (*UNORDERED, *ORDERED)
    encoder: Encoder
    head: nn.Linear

    def __init__(
        self,
        num_classes: int,
        encoder: str = "conv4",
        *,
        window: int = 30,
        in_channels: int = 3,
        flow_channels: int = 0,
        size: int = 64,
        pretrained: bool | str = False,
        lengths: Sequence[int] = (),
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        self.encoder = build_encoder(
            encoder, in_channels, size, pretrained=pretrained, flow_channels=flow_channels
        )
        cast(nn.Module, self.encoder).requires_grad_(False).eval()
        self.grid = self.encoder.grid(size, size)
        if window < 2:
            raise ValueError(f"window is {window} frames, expected at least 2; use --frames 2")
        self.window = window
        self.num_features = len(self.names) * self.encoder.num_features
        # `N 3`, u_i: 1, x and y of each location, from -1 to 1
        sides = (torch.linspace(-1, 1, n) if n > 1 else torch.zeros(1) for n in self.grid)
        y, x = torch.meshgrid(*sides, indexing="ij")
        self.positions = nn.Buffer(
            torch.stack((torch.ones_like(x), x, y), 2).flatten(0, 1), persistent=False
        )
        # `W M`, m after 1 to W frames
        self.center = nn.Buffer(torch.zeros(window, self.num_features))
        self.scale = nn.Buffer(torch.ones(window, self.num_features))  # `W M`, s
        self.head = nn.Linear(self.num_features, num_classes)
        if lengths:
            self._add_event_layer(lengths)
        self.to(memory_format=torch.channels_last)

    def set_event_layer(
        self, lengths: Sequence[int], event: Sequence[ArrayLike], classes: Sequence[ArrayLike]
    ) -> None:
        """Add the layers of windows: whether one is one whole event, and of which class.

        Args:
            lengths: numbers of frames, ascending, at least 2.
            event, classes: center and scale `M`, weight `1 M` or `K M` and bias `1` or `K` of a
                layer on statistics x: weight · (x - center) / scale + bias.
        """
        self._add_event_layer(lengths)
        for name, values in (("event", event), ("window", classes)):
            for part, value in zip(_PARTS, values, strict=True):
                getattr(self, f"{name}_{part}").copy_(torch.as_tensor(value))
        cast(dict[str, Any], self._hub_mixin_config)["lengths"] = list(self.lengths)

    def _add_event_layer(self, lengths: Sequence[int]) -> None:
        most = _LONGEST * self.window
        if [*lengths] != sorted({*lengths}) or lengths[0] < 2 or lengths[-1] > most:
            raise ValueError(
                f"lengths are {[*lengths]}, expected ascending numbers of frames from 2 to {most}"
            )
        self.lengths = tuple(lengths)
        M = self.num_features
        device = self.center.device
        for name, outputs in (("event", 1), ("window", self.num_classes)):
            for part, shape in zip(_PARTS, ((M,), (M,), (outputs, M), (outputs,)), strict=True):
                values = torch.full(shape, float(part == "scale"), device=device)
                self.register_buffer(f"{name}_{part}", values)

    @property
    def _span(self) -> int:
        """S, the number of frames that a step needs."""
        return max(self.window, *self.lengths, 0)

    def forward_features(self, features: Tensor) -> Output:
        B, T = features.shape[:2]
        frames = self._flat(features)
        W = self.window
        seen = torch.arange(1, T + 1, device=frames.device)
        count = seen.clamp_max(W)  # of frames in the window
        logits = self._logits(
            self.statistics(features).flatten(0, 1), (count - 1).repeat(B)
        ).unflatten(0, (B, T))
        sums = F.pad(frames, (0, 0, 0, 0, W - 1, 0)).unfold(1, W, 1).sum(-1)
        moved = (frames - sums / count[:, None, None]).flatten(0, 1)
        windows = None
        if self.lengths:
            windows = self.score_windows(self.window_statistics(features), seen)
        return Output(logits, self._attention(moved).unflatten(0, (B, T)), windows)

    def step_features(self, features: Tensor, state: LinearState) -> tuple[Output, LinearState]:
        level, unit = self._rounded(features[:, None])
        levels = torch.cat((state.levels, level.to(state.levels.dtype)), 1)
        units = torch.cat((state.units, unit), 1)
        frames = levels.to(units.dtype) * units
        seen = (state.seen + 1).clamp_max(self._span)
        # views would keep the oldest frame in memory
        state = LinearState(seen, levels[:, 1:].clone(), units[:, 1:].clone())
        W = self.window
        lengths = sorted({*self.lengths, W})
        usual = lengths.index(W)
        values, moved = newest_windows(frames, seen, self.positions, lengths=lengths, usual=W)
        logits = self._logits(values[:, usual], seen[:, 0].clamp_max(W).long() - 1)
        windows = None
        if self.lengths:
            own = [lengths.index(n) for n in self.lengths]
            windows = self.score_windows(values[:, own], seen[:, 0])
        return Output(logits, self._attention(moved[:, usual]), windows), state

    def initial_state(self, batch_size: int) -> LinearState:
        D = self.encoder.num_features
        N = self.grid[0] * self.grid[1]
        before = self._span - 1
        zeros = self.center.new_zeros
        return LinearState(
            zeros(batch_size, 1),
            zeros(batch_size, before, D, N, dtype=torch.int16),
            zeros(batch_size, before, D, 1),
        )

    def statistics(self, features: Tensor) -> Tensor:
        """The statistics at each frame of clips, not standardized: features `B T D h w` to `B T M`."""
        self.check_features(features)
        frames = self._flat(features)
        moments = moments_of(frames, self.positions)
        W = self.window
        unordered = _pooled(_of_each_beginning(frames[:, :W]))
        beginnings = range(1, unordered.shape[1] + 1)
        ordered = torch.stack([waves(moments[:, :n]) for n in beginnings], 1)
        of_beginnings = torch.cat((unordered, ordered), 2)
        if frames.shape[1] <= W:
            return of_beginnings
        of_windows = windows_of(frames, moments, (W,), usual=W)[:, W:, 0]
        return torch.cat((of_beginnings, of_windows), 1)

    def window_statistics(self, features: Tensor, lengths: Sequence[int] = ()) -> Tensor:
        """The statistics of the windows that end at each frame, not standardized: features `B T D h
        w` to `B T L M`.

        `lengths`: of the windows; empty: those of the event layer.
        """
        frames = self._flat(features)
        return windows_of(
            frames, moments_of(frames, self.positions), lengths or self.lengths, usual=self.window
        )

    def score_windows(self, values: Tensor, seen: Tensor) -> Windows:
        """The scores of windows from their statistics `… L M`, after `seen` frames of the stream,
        `…`.
        """
        complete = seen[..., None] >= torch.tensor(self.lengths, device=seen.device)
        whole = self._window_layer("event", values)[..., 0]
        return Windows(whole.where(complete, _NEVER), self._window_layer("window", values))

    def _window_layer(self, name: str, values: Tensor) -> Tensor:
        center, scale, weight, bias = (getattr(self, f"{name}_{part}") for part in _PARTS)
        return F.linear((values - center) / scale, weight, bias)

    def _flat(self, features: Tensor) -> Tensor:
        """Features `B T D h w` to `B T D N`, rounded as in the state of a stream, so that files and
        streams agree.
        """
        levels, units = self._rounded(features)
        return levels * units

    def _rounded(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features `B T D h w` as whole numbers `B T D N` of units `B T D 1`: 65,535 levels for each
        channel of a frame, at most. Half precision does not suffice for differences of frames.
        """
        flat = features.flatten(3).to(self.center.dtype)
        units = (flat.abs().amax(-1, keepdim=True) / _LEVELS).clamp_min(_SMALLEST)
        return (flat / units).round_(), units

    def _logits(self, values: Tensor, count: Tensor) -> Tensor:
        """Logits from statistics `B M` of a frame with `count`, `B`, frames before it in the
        window.
        """
        return self.head((values - self.center[count]) / self.scale[count])

    def _attention(self, moved: Tensor) -> Tensor:
        """The maps of frames from their differences from the mean of their windows, `B D N`: `B h
        w`.
        """
        weights = (self.head.weight - self.head.weight.mean(0)) / self.scale[-1]
        # of mean and change
        directions = weights.unflatten(1, (len(self.names), -1))[:, (0, 2)].flatten(0, 1)
        spread = self.center[-1].unflatten(0, (len(self.names), -1))[1]
        usual = (directions * spread).square().sum()
        size = (directions @ moved).square().sum(1) + (_FLAT * usual).clamp_min(1e-30)
        return (size / size.sum(1, keepdim=True)).unflatten(1, self.grid)


def _of_each_beginning(frames: Tensor) -> Iterable[Tensor]:
    """The statistics of the frames up to each of `B T D N`, at each location: `B T D N`, in one
    pass.
    """
    seen = torch.arange(1, frames.shape[1] + 1, device=frames.device, dtype=frames.dtype)[
        :, None, None
    ]
    means = frames.cumsum(1) / seen
    changes = F.pad(frames.diff(dim=1).abs(), (0, 0, 0, 0, 1, 0))  # none before the first frame
    yield means
    # By the sums of squares of Welford (1962), which only grow: no difference of large numbers.
    before = torch.cat((frames[:, :1], means[:, :-1]), 1)
    yield (((frames - before).square() * (1 - 1 / seen)).cumsum(1) / seen).sqrt()
    yield changes.cumsum(1) / (seen - 1).clamp_min(1)
    yield changes.cummax(1).values


def _pooled(statistics: Iterable[Tensor]) -> Tensor:
    """Statistics at each location, `… D N`, averaged over the locations: `… 4*D`."""
    return torch.cat([each.mean(-1) for each in statistics], -1)
