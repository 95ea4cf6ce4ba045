"""The linear model: a linear layer on statistics of the frozen features of frames."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from onlooker.base.fisher import PARTS, fisher_vector
from onlooker.models.encoders import Encoder, build_encoder
from onlooker.models.video_model import NO_EVENT, Output, VideoModel, Windows
from onlooker.models.windows import (
    WAVES,
    cosines,
    newest_windows,
    running,
    spatial_moments,
    windowed,
)

UNORDERED = ("mean", "spread", "change", "largest")
# of the usual deviation of the training clips: where nothing deviates by more, the map is flat
_FLAT = 0.1
_PARTS = ("center", "scale", "weight", "bias")  # of a layer
# whether a window is an event, and of which class; the same in streams that lack frames
_EVENT_LAYERS = ("event", "window", "sparse_event", "sparse_window")
_LONGEST = 8  # windows at most, times W
_LEVELS = 32767  # of a feature in the state of a stream, on either side of zero
_SMALLEST = 1e-30  # unit of levels, and evidence
_MOTION_LEVELS = 127  # of the root of a motion word in the state of a stream, likewise
ORDERED = tuple(
    f"{moment}{k}" for moment in ("wave", "across", "down") for k in range(1, WAVES + 1)
)


class LinearState(NamedTuple):
    """The frames that a stream remembers, the newest last; S is the length of the longest window.

    Args:
        seen: number of frames so far, at most S: `B 1`.
        levels: features of the last S - 1 frames, in multiples of `units`, of 16 bits: `B S-1 D N`
            (N: h*w).
        units: `B S-1 D 1`.
        motion: roots of the motion words of the last frames, of all windows of clips, events
            and states but the newest frame, in multiples of `motion_units`, of 8 bits: `B S-1 F`;
            `B 0 0` for a model without them.
        motion_units: the number of blocks, and the unit of each part of a Fisher vector: `B S-1 5`.
    """

    seen: Tensor
    levels: Tensor
    units: Tensor
    motion: Tensor
    motion_units: Tensor


class LinearClassifier(VideoModel):
    """A linear layer on statistics of the last W frames, of frozen features x_t at each location i:

        mean     average of x_τi                       spread   standard deviation of x_τi
        change   average of |x_τi - x_τ-1,i|           largest  max_τ |x_τi - x_τ-1,i|

    Each is averaged over all locations. None of them depends on the order of the frames.
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

    Where classes differ by what stands in the frame (`set_still_evidence`: a lamp that is red or
    green, seen by a fixed camera), it is what this frame adds to the class scores by its mean
    there, and the first sum is replaced by

        p_i Σ_g (g · (x_ti - c_i))²

    with g of the mean alone, c_i the average of the training clips at location i, and p_i the share
    of the variance of g · x_i over their frames that the classes explain.

    With motion words (`set_motion_layer`), a second linear layer on the Fisher vector of all blocks
    of the last W frames (`base.fisher`) is added; where no block has ended, nothing is added. Of
    which class a window of the event layer is depends on its motion, too, and so does the distance
    of clips and windows from those of training (`set_motion_distance`).

    With an event layer (`set_event_layer`), windows of several lengths end at each frame
    (`models.windows`). A linear layer says whether a window is one whole event, and another one of
    which class. In a stream that lacks frames, windows look unlike those of training: for it, there
    are two more layers.

    With a state layer instead (`set_state_layer`), windows around each frame tell what goes on there, by a
    linear layer on their statistics together. A stream is preceded by copies of its first frame. A
    layer on the motion words of the shortest of these windows may be added (`set_state_motion`).

    Args:
        num_classes, in_channels, size: K, C, and the height and width of the frames.
        encoder: as in `Classifier`; its weights are frozen.
        window: W; the number of frames of a training clip.
        flow_channels: number of optical-flow channels, which come last and have a second encoder;
            0: one encoder.
        pretrained: the encoder has pretrained weights, as in `Classifier`.
        lengths: numbers of frames of the windows of the event layer or the state layer, ascending;
            empty: neither.
        still: whether classes differ by what stands in the frame.
        state_outputs: R, the number of outputs of the state layer; 0: an event layer.
        farthest: the distance from the windows of training above which a window is no event: the
            sum of its squared standardized statistics, of those that its class depends on and
            others that have a center; None: there is no such distance.
        motion_features: F of the motion words; 0: none.
        state_motion: whether states are recognized by motion words, too.
        sparse: whether the event layer has layers for streams that lack frames.

    Raises:
        ValueError: a window of fewer than 2 frames.
    """

    attends = True
    explains = True
    earlier_settings: ClassVar[Mapping[str, Any]] = {
        "still": False,
        "state_outputs": 0,
        "farthest": None,
        "motion_features": 0,
        "state_motion": False,
        "sparse": False,
    }
    names = (*UNORDERED, *ORDERED)
    sparse = False
    encoder: Encoder
    head: nn.Linear
    still_center: Tensor
    still_share: Tensor
    motion_head: nn.Linear
    window_motion: Tensor
    motion_center: Tensor
    motion_factors: Tensor
    state_motion_head: nn.Linear

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
        still: bool = False,
        state_outputs: int = 0,
        farthest: float | None = None,
        motion_features: int = 0,
        state_motion: bool = False,
        sparse: bool = False,
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
        self.farthest = farthest
        if state_outputs:
            self._add_state_layer(lengths, state_outputs)
        elif lengths:
            self._add_event_layer(lengths, sparse=sparse)
        if still:
            self._add_still_evidence()
        if motion_features:
            self._add_motion_layer(motion_features)
        if state_motion:
            self._add_state_motion()
        self.to(memory_format=torch.channels_last)

    def set_motion_layer(self, weight: ArrayLike, bias: ArrayLike) -> None:
        """Set the layer on motion words: weight `K F`, bias `K`."""
        weights = torch.as_tensor(weight)
        self._add_motion_layer(weights.shape[1])
        with torch.no_grad():
            self.motion_head.weight.copy_(weights)
            self.motion_head.bias.copy_(torch.as_tensor(bias))
        cast(dict[str, Any], self._hub_mixin_config)["motion_features"] = self.motion_features

    def _add_motion_layer(self, motion_features: int) -> None:
        self.motion_features = motion_features
        self.motion_head = nn.Linear(motion_features, self.num_classes, device=self.center.device)
        zeros = self.center.new_zeros
        # of the logits of motion, in the classes of windows
        self.register_buffer("window_motion", zeros(()))
        self.register_buffer("motion_center", zeros(motion_features))
        # of distances of motion, for clips and for windows, in those of pictures
        self.register_buffer("motion_factors", zeros(2))

    def set_motion_distance(self, center: ArrayLike, *, clips: float, windows: float) -> None:
        """Let clips and windows be as far from those of training as their motion is, if that is
        farther than their pictures are.

        Args:
            center: the mean of the Fisher vectors of the training clips, `F`.
            clips, windows: by which the squared distance from it is multiplied, for a distance as
                that of pictures; 0: it does not count.
        """
        self.motion_center.copy_(torch.as_tensor(center))
        self.motion_factors.copy_(torch.tensor((clips, windows)))

    def set_event_layer(
        self,
        lengths: Sequence[int],
        event: Sequence[ArrayLike],
        classes: Sequence[ArrayLike],
        *,
        motion: float = 0.0,
        farthest: float | None = None,
        sparse: Sequence[Sequence[ArrayLike]] = (),
    ) -> None:
        """Set the layers that score windows: whether one is one whole event, and of which class.

        Args:
            lengths: numbers of frames, ascending, at least 2.
            event, classes: center and scale `M`, weight `1 M` or `K M` and bias of a layer on
                statistics x: weight · (x - center) / scale + bias. The bias of `event` is one for
                each length, `L`, or one for all; that of `classes` is `K`.
            motion: factor of the logits of motion that are added to those of `classes`.
            farthest: as of the class, by `classes`.
            sparse: as `event` and `classes`, of streams that lack frames; empty: they have none of
                their own.
        """
        self._add_event_layer(lengths, sparse=bool(sparse))
        layers = (event, classes, *sparse)
        for name, values in zip(_EVENT_LAYERS[: len(layers)], layers, strict=True):
            for part, value in zip(_PARTS, values, strict=True):
                getattr(self, f"{name}_{part}").copy_(torch.as_tensor(value))
        if self.motion_features:
            self.window_motion.fill_(motion)
        self.farthest = farthest
        settings = cast(dict[str, Any], self._hub_mixin_config)
        settings["lengths"] = list(self.lengths)
        settings["farthest"] = farthest
        settings["sparse"] = self.sparse

    def set_state_layer(self, lengths: Sequence[int], layer: Sequence[ArrayLike]) -> None:
        """Set the layer that tells states from windows together.

        Args:
            lengths: numbers of frames of the L windows, ascending, at least 2.
            layer: center and scale `L M`, weight `R L M` and bias `R`, of a layer on the statistics
                x of all windows: Σ weight (x - center) / scale + bias.
        """
        outputs = len(np.asarray(layer[-1]))
        self._add_state_layer(lengths, outputs)
        for part, value in zip(_PARTS, layer, strict=True):
            getattr(self, f"state_{part}").copy_(torch.as_tensor(value))
        settings = cast(dict[str, Any], self._hub_mixin_config)
        settings["lengths"] = list(self.lengths)
        settings["state_outputs"] = outputs

    def set_state_motion(self, weight: ArrayLike, bias: ArrayLike) -> None:
        """Set the layer on the motion words of the shortest window of states, whose outputs are added
        to the part of this window: weight `R F`, bias `R`.
        """
        weights = torch.as_tensor(weight)
        if not self.motion_features:  # clips are recognized by pictures alone
            K = self.num_classes
            self.set_motion_layer(torch.zeros(K, weights.shape[1]), torch.zeros(K))
        self._add_state_motion()
        with torch.no_grad():
            self.state_motion_head.weight.copy_(weights)
            self.state_motion_head.bias.copy_(torch.as_tensor(bias))
        cast(dict[str, Any], self._hub_mixin_config)["state_motion"] = True

    def _add_state_motion(self) -> None:
        self.state_motion = True
        self.state_motion_head = nn.Linear(
            self.motion_features, self.state_outputs, device=self.center.device
        )

    def _add_state_layer(self, lengths: Sequence[int], outputs: int) -> None:
        self._set_lengths(lengths)
        self.state_outputs = outputs
        L = len(lengths)
        M = self.num_features
        shapes = ((L, M), (L, M), (outputs, L, M), (outputs,))
        for part, shape in zip(_PARTS, shapes, strict=True):
            values = torch.full(shape, float(part == "scale"), device=self.center.device)
            self.register_buffer(f"state_{part}", values)

    def _set_lengths(self, lengths: Sequence[int]) -> None:
        longest = _LONGEST * self.window
        is_ascending = [*lengths] == sorted({*lengths})
        if not lengths or not is_ascending or lengths[0] < 2 or lengths[-1] > longest:
            raise ValueError(
                f"lengths are {[*lengths]}, expected ascending numbers of frames from 2 to {longest}"
            )
        self.lengths = tuple(lengths)

    def _add_event_layer(self, lengths: Sequence[int], *, sparse: bool) -> None:
        self._set_lengths(lengths)
        self.sparse = sparse
        M = self.num_features
        device = self.center.device
        K = self.num_classes
        sizes = ((1, len(lengths)), (K, K)) * (1 + sparse)
        for name, (outputs, biases) in zip(_EVENT_LAYERS, sizes, strict=False):
            for part, shape in zip(_PARTS, ((M,), (M,), (outputs, M), (biases,)), strict=True):
                values = torch.full(shape, float(part == "scale"), device=device)
                self.register_buffer(f"{name}_{part}", values)

    def set_still_evidence(self, center: Tensor, share: Tensor) -> None:
        """Let attention mark what stands in the frame: `c`, `D N`, and `p`, `N`, from 0 to 1."""
        self._add_still_evidence()
        self.still_center.copy_(center)
        self.still_share.copy_(share)
        cast(dict[str, Any], self._hub_mixin_config)["still"] = True

    def _add_still_evidence(self) -> None:
        N = self.grid[0] * self.grid[1]
        zeros = self.center.new_zeros
        self.still = True
        self.register_buffer("still_center", zeros(self.encoder.num_features, N))
        self.register_buffer("still_share", zeros(N))

    @classmethod
    def rebuild(cls, settings: dict[str, Any]) -> Self:
        # earlier models have another name for the lengths of the windows of states
        state_lengths = settings.get("state_lengths")
        settings = {name: value for name, value in settings.items() if name != "state_lengths"}
        return super().rebuild({**settings, "lengths": state_lengths or settings["lengths"]})

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # models of earlier versions have one bias for all lengths
        name = f"{prefix}event_bias"
        if name in state_dict and state_dict[name].shape == (1,):
            state_dict[name] = state_dict[name].expand(len(self.lengths))
        if self.motion_features:  # in those, events are named by pictures
            state_dict.setdefault(f"{prefix}window_motion", torch.zeros(()))
            state_dict.setdefault(f"{prefix}motion_center", torch.zeros(self.motion_features))
            state_dict.setdefault(f"{prefix}motion_factors", torch.zeros(2))
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def _span(self) -> int:
        """S, the number of frames that a step needs."""
        return max((self.window, *self.lengths))

    @property
    def _motion_lengths(self) -> tuple[int, ...]:
        """Of the windows whose motion counts: that of clips, and those of events."""
        if not self.motion_features:
            return ()
        return (self.window, *(() if self.state_outputs else self.lengths))

    def forward(self, video: Tensor, motion: Tensor | None = None) -> Output:
        return self.forward_features(self.encode_video(video), motion)

    def forward_both(self, features: Tensor, motion: Tensor) -> Output:
        return self.forward_features(features, motion)

    def forward_features(self, features: Tensor, motion: Tensor | None = None) -> Output:
        """As `forward_both`, where `motion` may be None: nothing moves."""
        B, T = features.shape[:2]
        W = self.window
        frames, moments = self._frames(features)
        seen = torch.arange(1, T + 1, device=frames.device)
        count = seen.clamp_max(W)  # of frames in the window
        statistics = self._statistics(frames, moments)
        standardized = self._standardized(statistics, count - 1)
        logits = self.head(standardized.flatten(0, 1)).unflatten(0, (B, T))
        counted = self.head.weight.any(0) | self.center.any(0)
        distance = standardized.square() @ counted.to(standardized.dtype)
        by_window_motion = None
        if motion is not None:
            by_motion = self.motion_outputs(motion, self._motion_lengths)
            logits = logits + by_motion[:, :, 0, :-1]
            distance = distance.maximum(self.motion_factors[0] * by_motion[:, :, 0, -1])
            by_window_motion = by_motion[:, :, 1:]
        sums = F.pad(frames, (0, 0, 0, 0, W - 1, 0)).unfold(1, W, 1).sum(-1)
        differences = frames - sums / count[:, None, None]
        attention = self._attention(frames.flatten(0, 1), differences.flatten(0, 1))
        windows = None
        states = None
        if self.state_outputs:
            by_state_motion = None
            if motion is not None and self.state_motion:
                by_state_motion = self.motion_outputs(
                    motion, self.lengths[:1], self.state_motion_head
                )
            states = self._state_logits(self.state_statistics(features), by_state_motion)
        elif self.lengths:
            by_window = windowed(frames, moments, self.lengths, W=W)
            windows = self.score_windows(by_window, seen, by_window_motion)
        attention = attention.unflatten(0, (B, T))
        return Output(logits, attention, windows, states=states, distance=distance)

    def step(
        self, frame: Tensor, state: LinearState | None = None, motion: Tensor | None = None
    ) -> tuple[Output, LinearState]:
        state = self.initial_state(len(frame)) if state is None else state
        return self.step_features(self.encode(frame), state, motion)

    def step_both(
        self, features: Tensor, state: LinearState, motion: Tensor
    ) -> tuple[Output, LinearState]:
        return self.step_features(features, state, motion)

    def step_features(
        self, features: Tensor, state: LinearState, motion: Tensor | None = None
    ) -> tuple[Output, LinearState]:
        """As `step_both`, where `motion` may be None: nothing has moved since the frame before."""
        level, unit = self._rounded(features[:, None])
        if self.state_outputs:
            state = self._with_past(state, level, unit)
        levels = torch.cat((state.levels, level.to(state.levels.dtype)), 1)
        units = torch.cat((state.units, unit), 1)
        frames = levels.to(units.dtype) * units
        seen = (state.seen + 1).clamp_max(self._span)
        W = self.window
        roots = state.motion
        root_units = state.motion_units
        by_motion = None
        by_state_motion = None
        if self.motion_features:
            if motion is None:
                motion = features.new_zeros(len(features), 1 + self.motion_features)
            root, root_unit = self._motion_roots(motion, features.shape[:1])
            roots = torch.cat((roots, root[:, None].to(roots.dtype)), 1)
            root_units = torch.cat((root_units, root_unit[:, None]), 1)
            rows = _motion_rows(roots, root_units)
            by_motion = torch.stack(
                [self._motion_outputs(rows[:, -n:].sum(1)) for n in self._motion_lengths], 1
            )
            if self.state_motion:
                sums = rows[:, -self.lengths[0] :].sum(1, keepdim=True)
                by_state_motion = self._motion_outputs(sums, self.state_motion_head)
        # views would keep the oldest frame in memory
        state = LinearState(
            seen,
            levels[:, 1:].clone(),
            units[:, 1:].clone(),
            motion=roots[:, 1:].clone(),
            motion_units=root_units[:, 1:].clone(),
        )
        lengths = sorted({*self.lengths, W})
        statistics, differences = newest_windows(frames, seen, self.positions, lengths=lengths, W=W)
        place = lengths.index(W)
        logits = self.head(
            self._standardized(statistics[:, place], seen[:, 0].clamp_max(W).long() - 1)
        )
        by_window_motion = None
        if by_motion is not None:
            logits = logits + by_motion[:, 0, :-1]
            by_window_motion = by_motion[:, 1:]
        windows = None
        sparse = None
        states = None
        places = [lengths.index(n) for n in self.lengths]
        if self.state_outputs:
            states = self._state_logits(statistics[:, places], by_state_motion)
        elif self.lengths:
            score = partial(self.score_windows, statistics[:, places], seen[:, 0], by_window_motion)
            windows = score()
            if self.sparse:
                sparse = score(sparse=True)
        attention = self._attention(frames[:, -1], differences[:, place])
        return Output(logits, attention, windows, states=states, sparse=sparse), state

    def _with_past(self, state: LinearState, level: Tensor, unit: Tensor) -> LinearState:
        """The state, filled with the next frame where it is that of no frame."""
        is_empty = (state.seen == 0)[..., None, None]
        return state._replace(
            seen=state.seen.where(~is_empty[..., 0, 0], float(self._span)),
            levels=state.levels.where(~is_empty, level.to(state.levels.dtype)),
            units=state.units.where(~is_empty, unit),
        )

    def initial_state(self, batch_size: int) -> LinearState:
        D = self.encoder.num_features
        N = self.grid[0] * self.grid[1]
        before = self._span - 1
        state_lengths = self.lengths[:1] if self.state_motion else ()
        motion_before = max((1, *self._motion_lengths, *state_lengths)) - 1
        zeros = self.center.new_zeros
        return LinearState(
            zeros(batch_size, 1),
            zeros(batch_size, before, D, N, dtype=torch.int16),
            zeros(batch_size, before, D, 1),
            motion=zeros(batch_size, motion_before, self.motion_features, dtype=torch.int8),
            motion_units=zeros(batch_size, motion_before, 1 + PARTS),
        )

    def statistics(self, features: Tensor) -> Tensor:
        """The statistics at each frame of clips, not standardized: features `B T D h w` to `B T M`.

        Row t of a clip describes the frames that a stream remembers after its frame t:

            t        1    2      …    W          W+1          …    T
            frames   1    1 2    …    1 2 … W    2 3 … W+1    …    T-W+1 … T
            from     `running`                   `windowed`

        The M columns are D for each of `names`: mean, spread, change, largest, wave1 … down4.
        """
        return self._statistics(*self._frames(features))

    def _statistics(self, frames: Tensor, moments: Tensor) -> Tensor:
        W = self.window
        statistics = running(frames[:, :W], moments[:, :W])
        if frames.shape[1] <= W:
            return statistics
        later = windowed(frames, moments, (W,), W=W)[:, W:, 0]
        return torch.cat((statistics, later), 1)

    def window_statistics(self, features: Tensor, lengths: Sequence[int] = ()) -> Tensor:
        """The statistics of the windows that end at each frame of clips, not standardized: features
        `B T D h w` to `B T L M`, as in `windowed`.

        `lengths`: numbers of frames of the windows, ascending; empty: those of the model.
        """
        return windowed(*self._frames(features), lengths or self.lengths, W=self.window)

    def state_statistics(self, features: Tensor) -> Tensor:
        """As `window_statistics`, of videos that are preceded by copies of their first frames."""
        before = self.lengths[-1] - 1
        past = features[:, :1].expand(-1, before, -1, -1, -1)
        return self.window_statistics(torch.cat((past, features), 1))[:, before:]

    def _state_logits(self, statistics: Tensor, motion: Tensor | None = None) -> Tensor:
        """The parts `… L R` of each window in the logits of states, from statistics `… L M`, and
        what the motion of the shortest one says, `… 1 R`, if there is any.
        """
        center, scale, weight, bias = (getattr(self, f"state_{part}") for part in _PARTS)
        parts = torch.einsum("...lm,rlm->...lr", (statistics - center) / scale, weight)
        parts = parts + bias / len(self.lengths)
        if motion is not None:
            parts = parts + F.pad(motion, (0, 0, 0, len(self.lengths) - 1))
        return cast(Tensor, parts)

    def score_windows(
        self,
        statistics: Tensor,
        seen: Tensor,
        motion: Tensor | None = None,
        *,
        sparse: bool = False,
    ) -> Windows:
        """The scores of windows from their statistics `… L M`, after `seen` frames of the stream,
        `…`, and what their motion says, `… L K+1` (`motion_outputs`), if there is any.

        `sparse`: by the layers for streams that lack frames.
        """
        event, classes = _EVENT_LAYERS[2:] if sparse else _EVENT_LAYERS[:2]
        can_be_event = seen[..., None] >= torch.tensor(self.lengths, device=seen.device)
        whole = F.linear(
            self._window_statistics(event, statistics), self.get_buffer(f"{event}_weight")
        )
        whole = whole[..., 0] + self.get_buffer(f"{event}_bias")
        standardized = self._window_statistics(classes, statistics)
        weight = self.get_buffer(f"{classes}_weight")
        if self.farthest is not None:
            counted = weight.any(0) | self.get_buffer(f"{classes}_center").bool()
            distance = standardized.square() @ counted.to(standardized.dtype)
            if motion is not None:
                distance = distance.maximum(self.motion_factors[1] * motion[..., -1])
            can_be_event = can_be_event & (distance <= self.farthest)
        logits = F.linear(standardized, weight) + self.get_buffer(f"{classes}_bias")
        if motion is not None:
            logits = logits + self.window_motion * motion[..., :-1]
        return Windows(whole.where(can_be_event, NO_EVENT), logits)

    def _window_statistics(self, name: str, statistics: Tensor) -> Tensor:
        """Statistics, standardized for a layer."""
        return (statistics - self.get_buffer(f"{name}_center")) / self.get_buffer(f"{name}_scale")

    def _frames(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features `B T D h w` as frames `B T D N`, rounded as in the state of a stream so that
        files and streams agree, and the moments `B T 3 D` of these frames.
        """
        self.check_features(features)
        levels, units = self._rounded(features)
        frames = levels * units
        return frames, spatial_moments(frames, self.positions)

    def _rounded(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features `B T D h w` as whole numbers `B T D N` and their units `B T D 1`: at most 65,535
        levels for each channel of a frame. Half precision does not suffice for differences of
        frames.
        """
        flat = features.flatten(3).to(self.center.dtype)
        units = (flat.abs().amax(-1, keepdim=True) / _LEVELS).clamp_min(_SMALLEST)
        return (flat / units).round_(), units

    def _standardized(self, statistics: Tensor, before: Tensor) -> Tensor:
        """Standardized statistics `… T M` of windows with this many frames before the last one:
        `T`.
        """
        return (statistics - self.center[before]) / self.scale[before]

    def motion_outputs(
        self,
        motion: Tensor,
        lengths: Sequence[int],
        layer: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """The logits of the motion words of videos, `B T 1+F`, in the windows of L lengths that end
        at each frame, or as much of them as there is, and their squared distances from the center:
        `B T L K+1`.

        `layer`: from Fisher vectors `… F` to these numbers; None: that of the model.
        """
        rows = _motion_rows(*self._motion_roots(motion, motion.shape[:2]))
        # as `windowed`
        exact = torch.float32 if rows.device.type == "mps" else torch.float64
        sums = F.pad(rows.to(exact).cumsum(1), (0, 0, 1, 0))
        ends = torch.arange(1, rows.shape[1] + 1, device=rows.device)
        windows = (sums[:, 1:] - sums[:, (ends - n).clamp_min(0)] for n in lengths)
        return torch.stack(
            [self._motion_outputs(part.to(rows.dtype), layer) for part in windows], 2
        )

    def _motion_outputs(
        self, sums: Tensor, layer: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Logits and distances `… K+1` from the number and the sums of the blocks of windows,
        `… 1+F`; zeros where there are no blocks.
        """
        outputs = (layer or self._motion_layer)(fisher_vector(sums))
        return outputs.where(sums[..., :1] > 0, 0)

    def _motion_layer(self, vectors: Tensor) -> Tensor:
        return motion_layer(vectors, head=self.motion_head, center=self.motion_center)

    def motion_directions(self, motion: Tensor) -> Tensor:
        """The layer on the motion words of a clip, `T 1+F`, linearized there: weights `K F`, whose
        products with the sums of its blocks are the logits of motion without their bias.

        Roots and norms stay those of the clip, so that the products with each block add up.
        """
        sums = motion.to(self.center).sum(0)
        gains = fisher_vector(sums) / sums[1:].where(sums[1:] != 0, 1)
        return self.motion_head.weight * gains

    def _motion_roots(self, motion: Tensor, dimensions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The signed roots of motion words `… 1+F`, as whole numbers `… F`, and the number of
        blocks and the units of the parts, `… 5`: 8 bits suffice for roots, and files and streams
        agree.

        Raises:
            ValueError: motion words that do not have these dimensions, and then 1+F.
        """
        expected = (*dimensions, 1 + self.motion_features)
        if not self.motion_features or tuple(motion.shape) != expected:
            raise ValueError(
                f"motion words are {tuple(motion.shape)}, expected {expected} for a model with "
                f"{self.motion_features} features of motion"
            )
        return _motion_roots(motion.to(self.center.dtype))

    def evidence(self, features: Tensor, weights: Tensor) -> Tensor:
        """What each place of each frame of a clip adds to a weighted sum of the logits of pictures:
        features `T D h w` and weights `K` to `T h w`.

        They add up to it without the bias: every statistic is a sum over frames and places, with
        the root of the spread at the clip. What is usual, m, is subtracted from all alike.
        """
        frames = self._frames(features[None])[0][0]
        T, _, N = frames.shape
        before = min(T, self.window) - 1
        layer = (weights @ self.head.weight) / self.scale[before]
        mean, spread, change, largest, *ordered = layer.unflatten(0, (len(self.names), -1))
        differences = frames - frames.mean(0)
        squares = differences.square()
        deviations = squares.mean(0).sqrt()
        changes = F.pad(frames.diff(dim=0).abs(), (0, 0, 0, 0, 1, 0))
        highest, moments = changes.max(0)
        peaks = torch.zeros_like(changes).scatter_(0, moments[None], highest[None])
        order = torch.stack(ordered).unflatten(0, (self.positions.shape[1], WAVES))
        cosine = cosines(torch.tensor([T]), T)[0].to(frames)
        waves = torch.einsum("tk,nj,jkd->tdn", cosine, self.positions, order)
        added = torch.einsum("d,tdn->tn", mean / T, frames)
        added += torch.einsum("d,tdn->tn", spread / T, squares / deviations.clamp_min(_SMALLEST))
        added += torch.einsum("d,tdn->tn", change / max(1, T - 1), changes)
        added += torch.einsum("d,tdn->tn", largest, peaks)
        added += (waves * differences).sum(1)
        usual = (layer @ self.center[before]) / T
        return ((added - usual) / N).unflatten(1, self.grid)

    def class_directions(self) -> Tensor:
        """The g of each class and of each of `names`, weights that differ between classes per unit
        of a statistic: `K names D`.
        """
        weights = (self.head.weight - self.head.weight.mean(0)) / self.scale[-1]
        return weights.unflatten(1, (len(self.names), -1))

    def _attention(self, frames: Tensor, differences: Tensor) -> Tensor:
        """Attention maps `B h w` of frames `B D N`, which differ from the means of their windows by
        `differences`.
        """
        by_statistic = self.class_directions()
        directions = by_statistic[:, (0, 2)].flatten(0, 1)  # of mean and change
        spread = self.center[-1].unflatten(0, (len(self.names), -1))[1]
        usual = (directions * spread).square().sum()
        if self.still:
            evidence = by_statistic[:, 0] @ (frames - self.still_center)
            size = self.still_share * evidence.square().sum(1)
        else:
            size = (directions @ differences).square().sum(1)
        # for each location: of a graph, the exporter would drop a single number that is so small
        size = size + (_FLAT * usual).clamp_min(_SMALLEST).expand(size.shape[1])
        return (size / size.sum(1, keepdim=True)).unflatten(1, self.grid)


def rounded_motion(motion: Tensor) -> Tensor:
    """Motion words `… 1+F`, rounded as in the state of a stream."""
    return _motion_rows(*_motion_roots(motion))


def _motion_roots(motion: Tensor) -> tuple[Tensor, Tensor]:
    """As `LinearClassifier._motion_roots`."""
    words = motion[..., 1:].unflatten(-1, (PARTS, -1))
    roots = words.sign() * words.abs().sqrt()
    units = (roots.abs().amax(-1, keepdim=True) / _MOTION_LEVELS).clamp_min(_SMALLEST)
    levels = (roots / units).round().flatten(-2)
    return levels, torch.cat((motion[..., :1], units[..., 0]), -1)


def _motion_rows(roots: Tensor, units: Tensor) -> Tensor:
    """Motion words `… 1+F` from their roots and units (`_motion_roots`)."""
    exact = roots.unflatten(-1, (PARTS, -1)) * units[..., 1:, None]
    return torch.cat((units[..., :1], (exact * exact.abs()).flatten(-2)), -1)


def motion_layer(
    vectors: Tensor, *, head: Callable[[Tensor], Tensor], center: Tensor, unit: float = 1.0
) -> Tensor:
    """The logits of Fisher vectors `… F`, and their squared distances from a center, as multiples
    of a unit: `… K+1`.
    """
    distances = (vectors - center).square().sum(-1, keepdim=True) / unit
    return torch.cat((head(vectors), distances), -1)
