"""The linear model: a linear layer on statistics of the frozen features of frames."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.base.fisher import PARTS, fisher_vector
from onlooker.models import earlier
from onlooker.models.encoders import Encoder, build_encoder
from onlooker.models.everyday import NO_LIMIT, Everyday
from onlooker.models.heads import EVENT_HEADS, FACTORS, OF_PICTURES, STATES_BY, Head
from onlooker.models.motion_memory import (
    motion_layer,
    motion_outputs,
    motion_roots,
    motion_rows,
    newest_sums,
    rounded_motion,
    window_sums,
)
from onlooker.models.video_model import NO_EVENT, NO_OTHERS, Others, Output, VideoModel, Windows
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
# the heads of windows that a model may have, besides states by other eyes
_WINDOW_HEADS = tuple(map(set, ((), EVENT_HEADS[:2], EVENT_HEADS, ("state",))))
_LONGEST = 8  # windows at most, times W
_LEVELS = 32767  # of a feature in the memory of a stream, on either side of zero
_SMALLEST = 1e-30  # unit of levels, and evidence
_EVERYDAY = "everyday"  # beside the names of eyes: distances alone
ORDERED = tuple(
    f"{moment}{k}" for moment in ("wave", "across", "down") for k in range(1, WAVES + 1)
)


class LinearMemory(NamedTuple):
    """The frames that a stream remembers, the newest last; S is the length of the longest window.

    Args:
        seen: number of frames so far, at most S: `B 1`.
        levels: features of the last S - 1 frames, in multiples of `units`, of 16 bits: `B S-1 D N`
            (N: h*w).
        units: `B S-1 D 1`.
        roots: signed roots of the rows (`Eye.step`) of the E other eyes, in multiples of
            `root_units`, of 8 bits: `B P F`, where P is the number of earlier frames that the
            longest window of these eyes has, and F the sum of their features; `B 0 0` without
            other eyes.
        root_units: for each eye, the number of things that a row is of, and then the unit of each
            of its four parts: `B P 5*E`.
    """

    seen: Tensor
    levels: Tensor
    units: Tensor
    roots: Tensor
    root_units: Tensor


# What other eyes add to each head, by their names: to `clip`, logits and a squared distance `… K+1`; to
# `window`, likewise, `… L K+1`; to `state`, logits of the shortest window, `… 1 R`.
_ByHead = dict[str, dict[str, Tensor]]


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
    runs backwards, statistics with odd k have the opposite sign.

    Each statistic is standardized by its mean m and spread s over the training clips after the same
    number of frames, because a clip has changed less after two frames than after sixteen. A stream
    forgets all but its last W frames; a clip of up to W frames ends with the statistics of all its
    frames. `training.linear` fits the layer, and chooses the statistics.

    Attention is how far a location of this frame is from what is usual there, the average x̄_i of
    the window so far, in the directions that the layer uses: with g = (w_k - mean of all w) / s, of
    every class k and of mean and change,

        a_ti ∝ Σ_g (g · (x_ti - x̄_i))² + Σ_g Σ_d (g_d m^spread_d)² / 10

    The second term is a tenth of what is usual in the training clips: where less than that differs,
    the map is flat.

    Heads by name (`models.heads`); each but `clip` is optional:

        clip             class of the last W frames, from their M statistics
        event, window    whether a window that ends at a frame is one whole event, and its class;
                         a bias of `event` for each of L lengths (`models.windows`)
        low_rate_event,  likewise, for streams that lack frames, in which windows look different
        low_rate_window
        state            behavior at a frame, from L windows around it: weight `R L M`. A stream is
                         preceded by copies of its first frame
        motion           class from the motion words of the last W frames, or of a window, as a
                         Fisher vector of F numbers (`base.fisher`): weight `K F`. Its logits are
                         added to those of `clip` and `window`. Its center, `F`, is used for
                         distances alone. Any other eye has such a head of its own name
        state_motion     behavior from the Fisher vector of the shortest window: weight `R F`, for
                         R states. Any other eye has such a head, `state_` and its name
        static_scene     where classes differ by what stands in the frame (a lamp that is red or
                         green, seen by a fixed camera): center c `D N`, weight p `1 N`

    If an eye detected nothing in a window, such as no block that moves, its logits there are zero.
    The distance of a clip or window from the training clips is the largest one of all eyes.

    With `static_scene`, attention is what this frame adds to the class scores by its mean there:
    the first sum is replaced by

        p_i Σ_g (g · (x_ti - c_i))²

    with g of the mean alone, c_i the average of the training clips at location i, and p_i the share
    of the variance of g · x_i over their frames that the classes explain.

    Args:
        num_classes, in_channels, size: K, C, and the height and width of the frames.
        encoder: as in `Classifier`; its weights are frozen.
        window: W; the number of frames of a training clip.
        flow_channels: number of optical-flow channels, which come last and have a second encoder;
            0: one encoder.
        pretrained: the encoder has pretrained weights, as in `Classifier`.
        lengths: numbers of frames of the L windows of events or of states, ascending; empty:
            neither.
        heads: number of outputs of each head but `clip`; None: there are no others.
        motion_features: F of the motion words, 0: none; with other eyes, F of each by its name.
        window_novelty_limit: the distance from training above which a window is no event
            (`Head.distances` of `window`); None: unknown.
        views: how many pictures of each frame the channels show, side by side. The encoder sees each
            alone; the features of a location are those of all views there, one after another.
        everyday: the sizes of what the first view is compared with (`Everyday.sizes`); None: it is
            not compared.

    Raises:
        ValueError: a window of fewer than 2 frames.
    """

    _span: int  # S, the number of frames that a step needs
    attends = True
    explains = True
    names = (*UNORDERED, *ORDERED)
    encoder: Encoder

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
        heads: dict[str, int] | None = None,
        motion_features: int | dict[str, int] = 0,
        window_novelty_limit: float | None = None,
        views: int = 1,
        everyday: dict[str, int] | None = None,
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        if views < 1 or in_channels % views or (views > 1 and flow_channels):
            raise ValueError(
                f"views is {views} for {in_channels} channels, {flow_channels} of them flow; "
                "expected views with the same number of channels, without flow"
            )
        self.views = views
        self.encoder = build_encoder(
            encoder, in_channels // views, size, pretrained=pretrained, flow_channels=flow_channels
        )
        cast(nn.Module, self.encoder).requires_grad_(False).eval()
        self.grid = self.encoder.grid(size, size)
        if window < 2:
            raise ValueError(f"window is {window} frames, expected at least 2; use --frames 2")
        self.window = window
        self.num_features = len(self.names) * self.encoded_features
        # u_i of each of N locations: 1, x and y, where x and y are from -1 to 1; `N 3`
        sides = (torch.linspace(-1, 1, n) if n > 1 else torch.zeros(1) for n in self.grid)
        y, x = torch.meshgrid(*sides, indexing="ij")
        self.positions = nn.Buffer(
            torch.stack((torch.ones_like(x), x, y), 2).flatten(0, 1), persistent=False
        )
        layer = nn.Linear(self.num_features, num_classes)
        zeros = torch.zeros(window, self.num_features)
        clip = Head(layer.weight, layer.bias, center=zeros, scale=zeros + 1)
        if isinstance(motion_features, int):
            motion_features = {"motion": motion_features} if motion_features else {}
        blank = self._blank_heads(heads or {}, len(lengths), motion_features)
        if "window" in blank:
            blank["window"].limit = window_novelty_limit
        self.everyday: Everyday | None = None
        self.set_heads({"clip": clip, **blank}, lengths)
        if everyday:
            self.set_everyday(Everyday(**everyday))
        self.to(memory_format=torch.channels_last)

    @property
    def head(self) -> Head:  # type: ignore[override]
        """The head that classifies clips."""
        return self.heads["clip"]

    def set_heads(self, heads: Mapping[str, Head], lengths: Sequence[int] | None = None) -> None:
        """Add heads, or replace those with the same names.

        Args:
            heads: by name, as listed above.
            lengths: numbers of frames of the windows, ascending, at least 2; earlier heads of
                windows are removed. None: they stay.

        Raises:
            ValueError: lengths that are not ascending, or out of range.
        """
        if lengths is not None:
            longest = _LONGEST * self.window
            if [*lengths] != sorted({*lengths} & {*range(2, longest + 1)}):
                raise ValueError(
                    f"lengths are {[*lengths]}, expected ascending numbers of frames from 2 to {longest}"
                )
            self.lengths = tuple(lengths)
            self._span = max((self.window, *lengths))
            for name in self.heads.keys() - {"clip", "static_scene", *self.eyes}:
                del self.heads[name]
        unused = {  # clips are recognized by pictures alone
            name.removeprefix(STATES_BY): Head(torch.zeros(self.num_classes, head.weight.shape[1]))
            for name, head in heads.items()
            if name.startswith(STATES_BY)
        }
        for name, head in {**unused, **self.heads, **heads}.items():
            self.heads[name] = head.to(self.positions).requires_grad_(name not in OF_PICTURES)
        for eye, name in product(self.eyes, {"clip", "window"} & self.heads.keys()):
            if not hasattr(self.heads[name], eye + FACTORS):
                self.heads[name].set_factors(eye)
        self._compare_windows()
        names = [name for name in self.heads if name != "clip"]
        settings = cast(dict[str, Any], self._hub_mixin_config)
        if self.views == 1:  # earlier versions can read it
            settings.pop("views", None)
        if self.everyday is None:  # likewise
            settings.pop("everyday", None)
        settings.update(
            lengths=[*self.lengths],
            heads={name: self.heads.outputs(name) for name in names},
            motion_features=self.eyes if self.eyes.keys() - {"motion"} else sum(self.eyes.values()),
            window_novelty_limit=self.window_novelty_limit,
        )

    def set_everyday(self, everyday: Everyday, novelty_limit: float = 0.0) -> None:
        """Let the distance from training clips beside everyday pictures count.

        Args:
            everyday: with the training clips.
            novelty_limit: of the distances of clips, at the limit of `everyday`; 0: clips are not
                compared. The limit of windows is that of their head.
        """
        self.everyday = everyday.to(self.positions).requires_grad_(False)
        self.heads["clip"].set_factors(_EVERYDAY, gain=0.0, factor=novelty_limit)
        cast(dict[str, Any], self._hub_mixin_config)["everyday"] = everyday.sizes
        self._compare_windows()

    def _compare_windows(self) -> None:
        if self.everyday is not None and "window" in self.heads:
            window = self.heads["window"]
            if window.limit is None:
                window.limit = NO_LIMIT
            window.set_factors(_EVERYDAY, gain=0.0, factor=window.limit)

    def _blank_heads(
        self, outputs: dict[str, int], L: int, eyes: dict[str, int]
    ) -> dict[str, Head]:
        """Heads whose weights are loaded later.

        Args:
            outputs: their numbers of outputs by name.
            L: number of lengths of windows.
            eyes: F of each eye besides pictures.

        Raises:
            ValueError: heads that do not fit each other or the model.
        """
        K = self.num_classes
        M = self.num_features
        states = outputs.get("state", 0)
        shapes = {
            "event": (1, M),
            "window": (K, M),
            "low_rate_event": (1, M),
            "low_rate_window": (K, M),
            "state": (states, L, M),
            "static_scene": (1, len(self.positions)),
            **{eye: (K, count) for eye, count in eyes.items()},
            **{STATES_BY + eye: (states, count) for eye, count in eyes.items()},
        }
        expected = {name: shape[0] for name, shape in shapes.items()}
        of_windows = {*outputs} & {*EVENT_HEADS, "state"}
        if not (
            all(outputs.values())
            and outputs.items() <= expected.items()
            and of_windows in _WINDOW_HEADS
            and bool(of_windows) == bool(L)
            and eyes.keys() <= outputs.keys()
        ):
            raise ValueError(f"heads are {outputs}, expected some of {expected}")
        heads = {name: Head(torch.zeros(shapes[name])) for name in outputs}
        for name in {"event", "low_rate_event"} & heads.keys():
            heads[name].bias = nn.Parameter(torch.zeros(L))
        if "static_scene" in heads:
            center = torch.zeros(self.encoded_features, len(self.positions))
            heads["static_scene"].center = center
        return heads

    @classmethod
    def current_settings(cls, saved: dict[str, Any]) -> dict[str, Any]:
        return earlier.current_settings(saved)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        earlier.rename_weights(state_dict, prefix, heads=self.heads, lengths=self.lengths)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def _span_of_eyes(self) -> int:
        """The number of frames in the longest window of other eyes, the newest one included."""
        if not self.eyes:
            return 1
        if "state" not in self.heads:
            return self._span
        # of states, the shortest window
        return max(self.window, self.lengths[0] if self.stream_eyes else 0)

    def forward_features(self, features: Tensor, others: Others = NO_OTHERS) -> Output:
        W = self.window
        frames, moments = self._frames(features)
        self.check_others(others, features.shape[:2])
        seen = torch.arange(1, features.shape[1] + 1, device=frames.device)
        rows = {name: rounded_motion(own.to(frames.dtype)) for name, own in others.items()}
        by_eyes = self._by_head(rows, window_sums)
        windows = None
        if "state" in self.heads:
            windows = self.state_statistics(features)
        elif self.lengths:
            windows = windowed(frames, moments, self.lengths, W=W)
        sums = F.pad(frames, (0, 0, 0, 0, W - 1, 0)).unfold(1, W, 1).sum(-1)
        differences = frames - sums / seen.clamp_max(W)[:, None, None]
        statistics = self._statistics(frames, moments)
        self._compare(statistics, windows, by_eyes)
        output = self._output(statistics, windows, by_eyes, seen=seen)
        attention = self._attention(frames.flatten(0, 1), differences.flatten(0, 1))
        return output._replace(attention=attention.unflatten(0, frames.shape[:2]))

    def step_features(
        self, features: Tensor, state: LinearMemory, others: Others = NO_OTHERS
    ) -> tuple[Output, LinearMemory]:
        self.check_others(others, features.shape[:1])
        memory, after = self._remembered(features, state, others)
        frames = memory.levels.to(memory.units.dtype) * memory.units
        roots = memory.roots.split([*self.eyes.values()], -1)
        units = memory.root_units.split([1 + PARTS] * len(self.eyes), -1)
        rows = {name: motion_rows(*of_eye) for name, *of_eye in zip(self.eyes, roots, units)}  # noqa: B905 - without eyes, there may be empty ones
        by_eyes = self._by_head(rows, newest_sums)
        lengths = sorted({*self.lengths, self.window})
        statistics, differences = newest_windows(
            frames, memory.seen, self.positions, lengths=lengths, W=self.window
        )
        place = lengths.index(self.window)
        seen = memory.seen[:, 0]
        windows = statistics[:, [lengths.index(n) for n in self.lengths]]
        self._compare(statistics[:, place], windows, by_eyes)
        output = self._output(statistics[:, place], windows, by_eyes, seen=seen)
        if "low_rate_event" in self.heads:
            low_rate = self.score_windows(windows, seen, by_eyes["window"], low_rate=True)
            output = output._replace(low_rate=low_rate)
        attention = self._attention(frames[:, -1], differences[:, place])
        return output._replace(attention=attention), after

    def _output(
        self,
        statistics: Tensor,
        windows: Tensor | None,
        by_eyes: _ByHead,
        *,
        seen: Tensor,
    ) -> Output:
        """The outputs of the heads at frames of videos or streams.

        Args:
            statistics: of the last W frames, `… M`.
            windows: statistics of the windows, `… L M`; None: there are none.
            by_eyes: what other eyes add.
            seen: number of frames so far, `…`.
        """
        standardized = self.head.standardized(statistics, seen.clamp_max(self.window).long() - 1)
        logits, distance = self.head.with_eyes(
            self.head(standardized), self.head.distances(standardized), by_eyes["clip"]
        )
        output = Output(logits, distance=distance)
        if windows is None or not self.lengths:
            return output
        if "state" in self.heads:
            head = self.heads["state"]
            states = torch.einsum("...lm,rlm->...lr", head.standardized(windows), head.weight)
            states = states + head.bias / len(self.lengths)
            for logits in by_eyes["state"].values():
                states = states + F.pad(logits, (0, 0, 0, len(self.lengths) - 1))
            return output._replace(states=states)
        return output._replace(windows=self.score_windows(windows, seen, by_eyes["window"]))

    def _by_head(
        self,
        rows: Mapping[str, Tensor],
        sums: Callable[[Tensor, Sequence[int]], Iterator[Tensor]],
    ) -> _ByHead:
        """What other eyes add to each head.

        Args:
            rows: of each eye, by its name: of all frames of videos `B T 1+F`, or of the frames that
                a stream remembers (`motion_memory.motion_rows`).
            sums: the row of the window of each length: `window_sums` for videos, `newest_sums` for
                streams.
        """
        by_head: _ByHead = {"clip": {}, "window": {}, "state": {}}
        events = () if "state" in self.heads else self.lengths
        for name, own in rows.items():
            head = self.heads[name]
            layer = partial(motion_layer, head=head, center=head.center)
            outputs = motion_outputs(sums(own, (self.window, *events)), layer)
            by_head["clip"][name] = outputs[..., 0, :]
            by_head["window"][name] = outputs[..., 1:, :]
            if STATES_BY + name in self.heads:
                shortest = sums(own, self.lengths[:1])
                of_states = self.heads[STATES_BY + name]
                by_head["state"][name] = motion_outputs(shortest, of_states)
        return by_head

    def _compare(self, statistics: Tensor, windows: Tensor | None, by_eyes: _ByHead) -> None:
        """Add the comparison with everyday pictures to what other eyes add to heads.

        Args:
            statistics, windows: see `_output`.
        """
        if self.everyday is None:
            return
        D = len(self.everyday.center)  # of the first view; `mean` comes first
        rows = {"clip": statistics}
        if windows is not None and "window" in self.heads:
            rows["window"] = windows
        for name, values in rows.items():
            ratios = self.everyday(values[..., :D])
            by_eyes[name][_EVERYDAY] = F.pad(ratios[..., None], (self.num_classes, 0))

    def _remembered(
        self, features: Tensor, memory: LinearMemory, others: Others
    ) -> tuple[LinearMemory, LinearMemory]:
        """The memory of all frames that the newest one needs; and without the oldest one, for the
        next frame.
        """
        level, unit = self._rounded(features[:, None])
        level = level.to(memory.levels.dtype)
        newest = {"levels": level, "units": unit}
        if "state" in self.heads:  # filled with copies of the first frame
            is_known = memory.seen > 0
            memory = memory._replace(
                seen=memory.seen.where(is_known, float(self._span)),
                levels=memory.levels.where(is_known[..., None, None], level),
                units=memory.units.where(is_known[..., None, None], unit),
            )
        if self.eyes:
            # `len(features)` would fix the number of streams in an exported graph
            count = features.shape[0]
            nothing = {name: unit.new_zeros(count, 1 + width) for name, width in self.eyes.items()}
            rows = [{**nothing, **others}[name].to(unit.dtype)[:, None] for name in nothing]
            roots, units = (
                torch.cat(parts, -1) for parts in zip(*map(motion_roots, rows), strict=True)
            )
            newest |= {"roots": roots.to(memory.roots.dtype), "root_units": units}
        whole = {
            name: torch.cat((getattr(memory, name), values), 1) for name, values in newest.items()
        }
        memory = memory._replace(seen=(memory.seen + 1).clamp_max(self._span), **whole)
        # views would keep the oldest frame in memory
        kept = {name: values[:, 1:].clone() for name, values in whole.items()}
        return memory, memory._replace(**kept)

    def initial_state(self, batch_size: int) -> LinearMemory:
        D = self.encoded_features
        N = len(self.positions)
        before = self._span - 1
        before_of_eyes = self._span_of_eyes - 1
        width = sum(self.eyes.values())
        zeros = self.positions.new_zeros
        return LinearMemory(
            zeros(batch_size, 1),
            zeros(batch_size, before, D, N, dtype=torch.int16),
            zeros(batch_size, before, D, 1),
            roots=zeros(batch_size, before_of_eyes, width, dtype=torch.int8),
            root_units=zeros(batch_size, before_of_eyes, len(self.eyes) * (1 + PARTS)),
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

        `lengths`: numbers of frames of the windows, ascending; empty: `lengths` of the model.
        """
        return windowed(*self._frames(features), lengths or self.lengths, W=self.window)

    def state_statistics(self, features: Tensor) -> Tensor:
        """As `window_statistics`, of videos that are preceded by copies of their first frames."""
        before = self.lengths[-1] - 1
        past = features[:, :1].expand(-1, before, -1, -1, -1)
        return self.window_statistics(torch.cat((past, features), 1))[:, before:]

    def score_windows(
        self,
        statistics: Tensor,
        seen: Tensor,
        by_eyes: Mapping[str, Tensor] = MappingProxyType({}),
        *,
        low_rate: bool = False,
    ) -> Windows:
        """The scores of windows from their statistics `… L M`.

        Args:
            seen: number of frames of the stream so far, `…`.
            by_eyes: logits and distances by other eyes, `… L K+1` (`motion_outputs`).
            low_rate: by the heads for streams that lack frames.
        """
        prefix = "low_rate_" if low_rate else ""
        event = self.heads[f"{prefix}event"]
        classes = self.heads[f"{prefix}window"]
        window = self.heads["window"]  # its limit and its factors of eyes hold for both
        is_possible = seen[..., None] >= torch.tensor(self.lengths, device=seen.device)
        whole = F.linear(event.standardized(statistics), event.weight)[..., 0] + event.bias
        standardized = classes.standardized(statistics)
        logits, distance = window.with_eyes(
            F.linear(standardized, classes.weight) + classes.bias,
            classes.distances(standardized),
            by_eyes,
        )
        if window.limit is not None:
            is_possible = is_possible & (distance <= window.limit)
        return Windows(whole.where(is_possible, NO_EVENT), logits)

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
        flat = features.flatten(3).to(self.positions.dtype)
        units = (flat.abs().amax(-1, keepdim=True) / _LEVELS).clamp_min(_SMALLEST)
        return (flat / units).round_(), units

    def motion_directions(self, motion: Tensor, eye: str = "motion") -> Tensor:
        """The layer on the motion words of a clip, `T 1+F`, linearized there: weights `K F`, whose
        products with the sums of its blocks are the logits of motion without their bias. Likewise
        for the rows of another eye, by its name.

        Roots and norms stay as in the whole clip, so that the products with each block add up.
        """
        sums = motion.to(self.positions).sum(0)
        gains = fisher_vector(sums) / sums[1:].where(sums[1:] != 0, 1)
        return self.heads[eye].weight * gains

    def evidence(self, features: Tensor, weights: Tensor) -> Tensor:
        """What each place of each frame of a clip adds to a weighted sum of the logits of pictures:
        features `T D h w` and weights `K` to `T h w`, or `T V h w` of several views.

        They add up to it without the bias: every statistic is a sum over frames and places, with
        the root of the spread at the clip. What is usual, m, is subtracted from all alike.
        """
        frames = self._frames(features[None])[0][0]
        before = min(len(frames), self.window) - 1
        layer = (weights @ self.head.weight) / self.head.scale[before]
        center = self.head.center[before]
        if self.views == 1:
            return self._evidence(frames, layer, center)
        parts = list[Tensor]()
        for view in range(self.views):
            own = torch.zeros_like(layer).unflatten(0, (len(self.names), self.views, -1))
            own[:, view] = layer.view_as(own)[:, view]
            parts.append(self._evidence(frames, own.flatten(), center))
        return torch.stack(parts, 1)

    def _evidence(self, frames: Tensor, layer: Tensor, center: Tensor) -> Tensor:
        """What each place of the frames `T D N` of a clip adds to the product of a layer `M` with its
        statistics, from which `center`, `M`, is subtracted: `T h w`.
        """
        T = len(frames)
        mean, spread, change, largest, *ordered = layer.unflatten(0, (len(self.names), -1))
        differences = frames - frames.mean(0)
        squares = differences.square()
        changes = F.pad(frames.diff(dim=0).abs(), (0, 0, 0, 0, 1, 0))
        times = changes.argmax(0, keepdim=True)
        peaks = torch.zeros_like(changes).scatter_(0, times, changes.amax(0, keepdim=True))
        order = torch.stack(ordered).unflatten(0, (self.positions.shape[1], WAVES))
        cosine = cosines(torch.tensor([T]), T)[0].to(frames)
        waves = torch.einsum("tk,nj,jkd->tdn", cosine, self.positions, order)
        added = (waves * differences).sum(1) - (layer @ center) / T
        for weight, values in (
            (mean / T, frames),
            (spread / T, squares / squares.mean(0).sqrt().clamp_min(_SMALLEST)),
            (change / max(1, T - 1), changes),
            (largest, peaks),
        ):
            added += torch.einsum("d,tdn->tn", weight, values)
        return (added / len(self.positions)).unflatten(1, self.grid)

    def class_directions(self) -> Tensor:
        """The g of each class and of each of `names`, weights that differ between classes per unit
        of a statistic: `K names D`.
        """
        weights = (self.head.weight - self.head.weight.mean(0)) / self.head.scale[-1]
        return weights.unflatten(1, (len(self.names), -1))

    def _attention(self, frames: Tensor, differences: Tensor) -> Tensor:
        """Attention maps `B h w`, or `B V h w` of V views, of frames `B D N`, which differ from the
        means of their windows by `differences`.
        """
        by_statistic = self.class_directions()
        directions = by_statistic[:, (0, 2)].flatten(0, 1)  # of mean and change
        spread = self.head.center[-1].unflatten(0, (len(self.names), -1))[1]
        if self.views > 1:
            own = directions.unflatten(1, (self.views, -1)).movedim(1, 0)  # V G D
            products = own @ differences.unflatten(1, (self.views, -1))  # B V G N
            usual = (directions * spread).square().sum() / self.views
            sizes = products.square().sum(2).flatten(1)
            sizes = sizes + (_FLAT * usual).clamp_min(_SMALLEST).expand(sizes.shape[1])
            shares = sizes / sizes.sum(1, keepdim=True)
            return shares.unflatten(1, (self.views, *self.grid))
        usual = (directions * spread).square().sum()
        if "static_scene" in self.heads:
            scene = self.heads["static_scene"]
            evidence = by_statistic[:, 0] @ (frames - scene.center)
            size = scene.weight[0] * evidence.square().sum(1)
        else:
            size = (directions @ differences).square().sum(1)
        # for each location: of a graph, the exporter would drop a single number that is so small
        size = size + (_FLAT * usual).clamp_min(_SMALLEST).expand(size.shape[1])
        return (size / size.sum(1, keepdim=True)).unflatten(1, self.grid)
