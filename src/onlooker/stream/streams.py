"""A model on streams, frame by frame: constant memory, one batch for all streams that have a new
frame.

Models count frames as time. So each frame has a slot in the frame rate of training (`slot_of`), and
the slots that were missed before it repeat the last frame, whose features are known. For a model
with an event layer, the features of a few missed slots are interpolated: between frames that
repeat, what is slow moves as in something fast. While a live stream is too slow, its windows are
scored by layers that were fitted to such frames, if the model has them.
"""

import math
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path
from threading import Condition
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from onlooker.base.config import DataConfig, StreamConfig
from onlooker.base.decision import Decision
from onlooker.base.records import Box, ClipError, Event, Floats, Segment, Step
from onlooker.data.transforms import to_video
from onlooker.localization import BoxState, find_boxes
from onlooker.localization.boxes import Rectangles, peaks
from onlooker.models.video_model import VideoModel
from onlooker.models.windows import interpolated
from onlooker.storage import is_address, local
from onlooker.stream.events import EventState, Finder, with_nothing
from onlooker.stream.sources import (
    EARLY,
    ON_TIME,
    Frame,
    Source,
    Status,
    added,
    slot_of,
    stream_names,
)
from onlooker.stream.states import FinderState, StateFinder
from onlooker.video.motion_words import MotionEyeState, motion_eye
from onlooker.video.rates import RATE
from onlooker.video.reader import VideoReader
from onlooker.video.resize import Pixels, resize

Address = int | str | Path | VideoReader
OnError = Callable[[ClipError], None]
OnStatus = Callable[[Status], None]

_POLL = 0.5  # seconds without a frame after which changes of connections are polled
_ENDING = 0.5  # seconds to wait, in the end, for the threads of all sources
_TOO_SLOW = 0.8  # share of the frames of training below which a stream is too slow
_FEW = 4  # missed slots in a row that are interpolated
_RECENT = 5.0  # seconds over which arriving frames are counted


class _EncodedFrame(NamedTuple):
    """A frame of a stream.

    Args:
        number: its index in the video.
        pixels: `H W 3`.
        sample: `size size C`, resized for the model.
        features: `1 D h w`, of the sample.
        motion: `1 1+F`, the motion words since the slot before; None: there are none.
    """

    number: int
    time: float
    pixels: Pixels
    sample: Pixels
    features: Tensor
    motion: Tensor | None = None


@dataclass(frozen=True, eq=False)
class StreamState:
    """The whole state of a stream between two frames, of constant size.

    Args:
        model: the model's own state, for a batch of one.
        box_state: from which boxes are found; None at the first frame, and for a model without
            attention.
        event_state: from which events are found.
        finder_state: from which states are found.
        begun: the bouts of states that have begun, as is final, and go on.
        boxes: times and corners of the boxes during the longest window.
        last: the last step, without pixels.
        frame: the last frame.
        slot: that of the last frame.
        since: the time of the first frame.
        pace: frames per second that arrived in the last seconds, at most those of training; of a
            recording, those of training.
        motion_state: from which motion words are computed, if no source computes them.
        motion: `1+F`, the motion words since the last slot; None: there are none.
    """

    model: Any
    box_state: BoxState | None = None
    event_state: EventState = field(default_factory=EventState)
    finder_state: FinderState = field(default_factory=FinderState)
    begun: tuple[Event, ...] = ()
    boxes: tuple[tuple[float, tuple[float, ...]], ...] = ()
    last: Step | None = None
    frame: _EncodedFrame | None = None
    slot: int = -1
    since: float = 0.0
    pace: float = 0.0
    motion_state: MotionEyeState | None = None
    motion: Floats | None = None

    def moved(self, motion: Floats | None) -> "StreamState":
        """The state after more motion words since the last slot."""
        return replace(self, motion=added(self.motion, motion))


class Streams:
    """One model on several streams: frames in, a `Step` for each out; each stream has its own
    `StreamState`.

    Args:
        model: in evaluation mode; its weights must not change.
        data: how frames are resized and normalized.
        alarms_per_hour: the rate of false alarms that is allowed, for a model with an event layer.
        rate: frames per second that the model gets; None: those of training; 0, or if these are
            unknown: every frame, and no other.

    Raises:
        ValueError: a model that cannot process single frames, or needs optical flow.
    """

    def __init__(
        self,
        model: VideoModel,
        data: DataConfig,
        decision: Decision,
        *,
        alarms_per_hour: float = StreamConfig.alarms_per_hour,
        rate: float | None = None,
    ) -> None:
        self.model = model
        self.data = data
        self.decision = decision
        self.rate = decision.frame_rate or 0.0 if rate is None else rate
        # slots in a row that repeat a frame: after that many, the model knows nothing else
        self.hold = max((data.frames, *model.lengths))
        self.finder: Finder | None = None
        self.state_finder: StateFinder | None = None
        if decision.states:
            rate = self.rate or decision.frame_rate or RATE
            self.state_finder = StateFinder(decision, model.lengths, rate)
        elif model.lengths:
            threshold = decision.event_threshold(alarms_per_hour)
            self.finder = Finder(decision, model.lengths, threshold)
        is_for_clips = self.state_finder is not None and "state_motion" not in model.heads  # alone
        self.sees_motion = model.motion_features > 0 and not is_for_clips
        self.states: dict[str, StreamState] = {}
        if data.modality != "rgb":
            raise ValueError(
                "the model needs optical flow, which streams do not have; train one with --modality rgb"
            )
        # A trial step: a model that cannot stream raises here, before any source is opened.
        self.step({"": (0, 0.0, np.zeros((32, 32, 3), np.uint8))})
        self.states.clear()

    def end(self, name: str, at: float | None = None) -> Step | None:
        """Drop the state of a stream that has ended; its last step again, if events became final by
        its end.

        Args:
            at: the seconds at which it has ended, if they are known.
        """
        state = self.states.pop(name, None)
        if state is None or state.last is None:
            return None
        if self.state_finder is not None:
            return self._end_of_states(self.state_finder, state, state.last, at=at)
        if self.finder is None:
            return None
        events = self._located_events(self.finder.finish(state.event_state), state, name)
        if not events or state.last.windows is None:
            return None
        event_state = state.event_state
        event_state = event_state._replace(events=(*event_state.events, *events))
        scores = self.finder.new_event_scores(event_state, state.last.windows)
        return replace(
            state.last,
            scores=with_nothing(scores.max(0), self.decision.nothing_class),
            happening=False,
            event=None,
            events=events,
            boxes=(),
        )

    def step(self, frames: dict[str, Frame]) -> dict[str, Step]:
        """Process one frame of some of the streams; errors and arguments as for `steps`.

        Returns:
            The step of each frame, with what became final in the slots before it.
        """
        last = dict[str, Step]()
        for step in self.steps(frames):
            name = step.source or ""
            if before := last.get(name):
                step = replace(
                    step,
                    events=(*before.events, *step.events),
                    begun=(*before.begun, *step.begun),
                )
            last[name] = step
        return last

    @torch.inference_mode()
    def steps(
        self,
        frames: dict[str, Frame],
        motion: Mapping[str, Floats | None] | None = None,
        *,
        recorded: Collection[str] = (),
    ) -> list[Step]:
        """Process one frame of some of the streams, in one batch, after the slots that were missed
        before; an error leaves the states as they were.

        A frame whose slot is taken changes nothing but the motion until the next one: its step is
        the last one, without events.

        Args:
            frames: by the names of the streams: index, time, and pixels `H W 3`, RGB, of any size.
            motion: the motion words of each stream since its frame before (`Source.motion`); None:
                they are computed from these frames, if the model needs them.
            recorded: the streams that are never too slow: a recording may leave out frames that are
                like the one before.
        """
        states = {
            name: self.states.get(name) or StreamState(self.model.initial_state(1))
            for name in frames
        }
        if self.sees_motion:
            for name, (_, time, pixels) in frames.items():
                if motion is None:
                    states[name] = _seen(states[name], time, pixels)
                else:
                    states[name] = states[name].moved(motion[name])
        slots = {name: self._slots(states[name], frames[name][1]) for name in frames}
        queues = list[list[tuple[str, _EncodedFrame]]]()
        for name, encoded in self._encode(
            {name: frame for name, frame in frames.items() if slots[name]}
        ).items():
            state = states[name]
            times = [slot / self.rate for slot in slots[name][:-1]]
            missed = [] if state.frame is None else self._missed(state.frame, encoded, times)
            if state.motion is not None:
                moved = torch.from_numpy(state.motion)[None].to(encoded.features.device)
                encoded = encoded._replace(motion=moved)
            queues.append([(name, frame) for frame in (*missed, encoded)])
            states[name] = self._arrived(state, encoded, slots[name][-1], recorded=name in recorded)
        steps = list[Step]()
        for batch in zip_longest(*queues):
            steps += self._step(dict(filter(None, batch)), states)
        for name, (index, time, pixels) in frames.items():
            if not slots[name] and (last := states[name].last):
                again = replace(last, index=index, time=time, pixels=pixels)
                steps.append(replace(again, events=(), begun=(), posteriors=None))
        self.states |= states
        return steps

    def _slots(self, state: StreamState, time: float) -> range:
        """The slots that were missed before a frame, as far as the model remembers them, and that
        of the frame; empty if that is taken.
        """
        next_slot = state.slot + 1
        if not self.rate:
            return range(next_slot, next_slot + 1)
        if state.frame is None or time < state.frame.time:  # the first frame, or another clock
            next_slot = math.floor(time * self.rate + ON_TIME)
            return range(next_slot, next_slot + 1)
        slot = slot_of(time * self.rate, next_slot, EARLY)
        return range(0) if slot is None else range(max(next_slot, slot - self.hold), slot + 1)

    def _missed(
        self, last: _EncodedFrame, arrived: _EncodedFrame, times: Sequence[float]
    ) -> list[_EncodedFrame]:
        """The frames of the slots that were missed between two frames, at these times."""
        frames = [last._replace(time=time, motion=None) for time in times]
        if self.finder is None or len(frames) > _FEW:
            return frames
        between = interpolated(last.features, arrived.features, len(frames))
        return [
            frame._replace(features=features)
            for frame, features in zip(frames, between, strict=True)
        ]

    def _arrived(
        self, state: StreamState, frame: _EncodedFrame, slot: int, *, recorded: bool
    ) -> StreamState:
        """The state of a stream with a new frame, before the model has processed it."""
        passed = frame.time - state.frame.time if state.frame else 0.0
        state = replace(state, frame=frame, slot=slot, motion=None)
        if passed <= 0 or recorded:
            return replace(state, since=frame.time, pace=self.rate)
        # all frames count alike at first, and the last seconds later
        weight = max(passed / (frame.time - state.since), 1 - math.exp(-passed / _RECENT))
        pace = (1 - weight) * state.pace + weight / passed
        return replace(state, pace=min(self.rate, pace))

    def _too_slow(self, state: StreamState, time: float) -> tuple[float, float] | None:
        is_known = time - state.since > _RECENT / 2
        return (state.pace, self.rate) if is_known and state.pace < _TOO_SLOW * self.rate else None

    def _encode(self, frames: dict[str, Frame]) -> dict[str, _EncodedFrame]:
        """The frames with their features, computed in one batch."""
        if not frames:
            return {}
        data = self.data
        samples = np.concatenate(
            [resize(pixels[None], data.size, data.channels) for _, _, pixels in frames.values()]
        )
        device = next(self.model.parameters()).device
        video = to_video(torch.from_numpy(samples).to(device), data.normalization)
        features = self.model.encode(video).split(1)
        return {
            name: _EncodedFrame(*frame, sample, frame_features)
            for (name, frame), sample, frame_features in zip(
                frames.items(), samples, features, strict=True
            )
        }

    def _step(self, frames: dict[str, _EncodedFrame], states: dict[str, StreamState]) -> list[Step]:
        """The steps of a batch of one slot; replaces the states of its streams."""
        given = [states[name].model for name in frames]
        joined = type(given[0])(*map(torch.cat, zip(*given, strict=True)))
        features = torch.cat([frame.features for frame in frames.values()])
        if self.sees_motion:
            nothing = features.new_zeros(1, 1 + self.model.motion_features)
            rows = [nothing if frame.motion is None else frame.motion for frame in frames.values()]
            output, after = self.model.step_both(features, joined, torch.cat(rows))
        else:
            output, after = self.model.step_features(features, joined)
        scores = self.decision.probabilities(output.logits).cpu().numpy()
        attention = None if output.attention is None else output.attention.float().cpu().numpy()
        too_slow = [self._too_slow(states[name], frame.time) for name, frame in frames.items()]
        windows = None
        if output.windows is not None:
            scored = output.windows
            if output.low_rate is not None and any(too_slow):
                lacks_frames = torch.tensor([pace is not None for pace in too_slow])
                scored = output.low_rate.where(lacks_frames.to(scored.whole.device), scored)
            windows = self.decision.calibrated(scored.scores).cpu().numpy()
            possible = scored.possible.cpu().numpy()
        states_logits = None if output.states is None else output.states.cpu().numpy()
        steps = list[Step]()
        for i, (name, frame) in enumerate(frames.items()):
            state = states[name]
            step = Step(
                frame.number,
                frame.time,
                scores[i],
                decision=self.decision,
                source=name,
                pixels=frame.pixels,
                too_slow=too_slow[i],
            )
            own = type(after)(*(part[i : i + 1] for part in after))
            state = replace(state, model=own)
            if attention is not None:
                heat, rectangles, box_state = find_boxes(
                    state.box_state,
                    attention[i],
                    frame.sample,
                    still="static_scene" in self.model.heads,
                )
                state = replace(state, box_state=box_state)
                step = _located(
                    replace(step, attention=attention[i], heat=heat),
                    heat,
                    rectangles=rectangles,
                    shape=frame.pixels.shape,
                )
            if windows is not None:
                step, state = self._with_events(step, state, windows[i])
                complete = np.array(self.model.lengths) <= len(state.event_state.times)
                if self.model.window_novelty_limit is not None and complete.any():
                    step = replace(step, unusual=not possible[i, complete].any())
            if states_logits is not None and self.state_finder is not None:
                logits = states_logits[i]
                step, state = self._with_states(self.state_finder, step, state, windows=logits)
            steps.append(step)
            states[name] = replace(state, last=replace(step, pixels=None))
        return steps

    def _with_events(
        self, step: Step, state: StreamState, windows: Floats
    ) -> tuple[Step, StreamState]:
        """The step with the events that are found from the scores of its windows, `L K`."""
        assert self.finder is not None
        final, going_on, event_state = self.finder.step(state.event_state, step.time, windows)
        boxes = (*state.boxes, *([(step.time, step.box.corners)] if step.box else []))
        events = self._located_events(final, replace(state, boxes=boxes), step.source)
        scores = self.finder.new_event_scores(event_state, windows)
        begin = min([event_state.times[0], *(window.start for window in event_state.pending)])
        boxes = tuple((time, corners) for time, corners in boxes if time >= begin)
        step = replace(
            step,
            scores=with_nothing(scores.max(0), self.decision.nothing_class),
            happening=going_on is not None,
            event=going_on,
            events=events,
            windows=windows,
        )
        label = step.label
        step = replace(step, boxes=tuple(replace(box, label=label) for box in step.boxes))
        return step, replace(state, event_state=event_state, boxes=boxes)

    def _with_states(
        self, finder: StateFinder, step: Step, state: StreamState, *, windows: Floats
    ) -> tuple[Step, StreamState]:
        """The step with the bouts of states that are found from the outputs of its windows, `L R`."""
        result = finder.step(state.finder_state, step.time, windows)
        boxes = (*state.boxes, *([(step.time, step.box.corners)] if step.box else []))
        boxes = boxes[-self.hold :]
        if len(result.posteriors):
            scores = finder.class_scores(result.posteriors[-1])
        elif state.last is not None:
            scores = state.last.scores
        else:
            scores = finder.class_scores(finder.probabilities(0 * windows[0]))
        state = replace(state, boxes=boxes)
        begun, ended, state = self._bouts(result.final, result.begun, state, source=step.source)
        step = replace(
            step,
            scores=scores,
            happening=bool(result.going_on),
            event=max(result.going_on, key=attrgetter("start"), default=None),
            events=ended,
            begun=begun,
            states=result.going_on,
            posteriors=result.posteriors,
        )
        label = step.label
        step = replace(step, boxes=tuple(replace(box, label=label) for box in step.boxes))
        return step, replace(state, finder_state=result.state)

    def _bouts(
        self,
        final: Sequence[Segment],
        going_on: Sequence[Segment],
        state: StreamState,
        *,
        source: str | None,
    ) -> tuple[tuple[Event, ...], tuple[Event, ...], StreamState]:
        """The events of bouts that have begun, as is final now, and of those that are over.

        Args:
            final: the bouts that are over.
            going_on: those that have begun and go on.

        Returns:
            The begins; the ends, with the ids of their begins; and the new state.
        """
        by_start = {(bout.label, bout.start): bout for bout in state.begun}
        new = [bout for bout in (*final, *going_on) if (bout.label, bout.start) not in by_start]
        begun = tuple(
            replace(event, state="begin") for event in self._located_events(new, state, source)
        )
        by_start |= {(bout.label, bout.start): bout for bout in begun}
        ended = tuple(
            replace(event, state="end", id=by_start[event.label, event.start].id)
            for event in self._located_events(final, state, source)
        )
        going = tuple(by_start[bout.label, bout.start] for bout in going_on)
        return begun, ended, replace(state, begun=going)

    @torch.inference_mode()
    def _end_of_states(
        self, finder: StateFinder, state: StreamState, last: Step, *, at: float | None
    ) -> Step:
        """The last step of a stream again, with the bouts and the probabilities of the frames that
        are known by its end: the last frame stays until their surroundings are complete.
        """
        assert state.frame is not None
        assert last.posteriors is not None
        model_state = state.model
        finder_state = state.finder_state
        bouts = list[Segment]()
        posteriors = list[Floats]()
        for _ in range(finder.delay):
            output, model_state = self.model.step_features(state.frame.features, model_state)
            assert output.states is not None
            result = finder.step(finder_state, last.time, output.states[0].cpu().numpy())
            finder_state = result.state
            bouts += result.final
            posteriors.append(result.posteriors)
        bouts += finder.finish(finder_state, at)
        begun, ended, _ = self._bouts(bouts, (), state, source=last.source)
        probabilities = np.concatenate([np.zeros_like(last.posteriors[:0]), *posteriors])
        return replace(
            last,
            scores=finder.class_scores(probabilities[-1]),
            happening=False,
            event=None,
            states=(),
            events=ended,
            begun=begun,
            posteriors=probabilities,
            boxes=(),
        )

    def _located_events(
        self, segments: Sequence[Segment], state: StreamState, source: str | None
    ) -> tuple[Event, ...]:
        events = list[Event]()
        for segment in segments:
            corners_during = [
                corners for time, corners in state.boxes if segment.start <= time < segment.end
            ]
            box = tuple(np.mean(corners_during, 0).tolist()) if corners_during else None
            events.append(
                Event(
                    segment.label,
                    segment.start,
                    segment.end,
                    score=segment.score,
                    source=source,
                    box=box,
                )
            )
        return tuple(events)


def _seen(state: StreamState, time: float, pixels: Pixels) -> StreamState:
    """The state of a stream with the motion words that end with a frame."""
    motion_state, sums, count = motion_eye().step(pixels, time, state.motion_state)
    state = replace(state, motion_state=motion_state)
    return state.moved(np.insert(sums, 0, count) if count else None)


def _located(step: Step, heat: Floats, *, rectangles: Rectangles, shape: Sequence[int]) -> Step:
    """The step with its boxes and point, in pixels of its frame `H W 3`."""
    size = np.array(shape[1::-1])
    (point,) = peaks(heat[None]) * size
    corners = (rectangles.corners * np.tile(size, 2)).tolist()
    boxes = zip(corners, rectangles.weights.tolist(), strict=True)
    label = step.label
    score = step.score
    return replace(
        step,
        point=tuple(point.tolist()) if len(rectangles.weights) else None,
        boxes=tuple(Box(label, step.index, tuple(c), score=score * max(w, 0)) for c, w in boxes),
    )


def watch(
    streams: Streams,
    sources: Sequence[Address],
    config: StreamConfig,
    *,
    on_error: OnError | None = None,
    on_status: OnStatus | None = None,
) -> Generator[Step]:
    """Recognize sources live: a `Step` for every processed frame, until all sources have ended.

    A source that ends during an event, or soon after it, gives its last step again, with this event
    and no pixels.

    Args:
        sources: cameras, addresses, files; see `stream.sources.Source`.
        config: how they are read; the frame rate is that of `streams`.
        on_error: called with the error of a source that fails. Without it, the first error is
            raised after the other sources have ended.
        on_status: called with each change of the connection to a source.

    Raises:
        ClipError: while iterating, without `on_error`: a source that cannot be read or was lost.
        StorageError, ValueError: no source, a duplicate, or an invalid one.
    """
    if not sources:
        raise ValueError("no source to watch; give a camera's number, an address, or a path")
    condition = Condition()
    config = replace(config, rate=streams.rate)
    opened = list[Source]()
    for address, name in zip(sources, stream_names(sources), strict=True):
        file = address
        if isinstance(address, str | Path) and is_address(address):
            file = local(address)
        opened.append(
            Source(
                file,
                config,
                condition,
                hold=streams.hold,
                name=name,
                sees_motion=streams.sees_motion,
            )
        )
    return _steps(
        streams, opened, condition, on_error=on_error, on_status=on_status or (lambda _: None)
    )


def _steps(
    streams: Streams,
    sources: list[Source],
    condition: Condition,
    *,
    on_error: OnError | None,
    on_status: OnStatus,
) -> Generator[Step]:
    live = list(sources)
    errors = list[ClipError]()
    report = on_error or errors.append
    try:
        for source in sources:
            source.start()
        while live:
            with condition:
                condition.wait_for(lambda: any(source.ready for source in live), _POLL)
            for source, step in _step_each(streams, _poll(live, report, on_status), report):
                yield _counted(step, source)
            for source in [source for source in live if source.finished]:
                live.remove(source)
                seconds = source.seconds if streams.state_finder else None
                if last := streams.end(source.name, seconds):
                    yield _counted(last, source)
    finally:
        for source in sources:
            source.stop()
        until = monotonic() + _ENDING
        for source in sources:
            source.close(max(0.0, until - monotonic()))
    if errors:
        raise errors[0]


def _counted(step: Step, source: Source) -> Step:
    """The step with what happened to its source."""
    return replace(step, dropped=source.dropped, reconnections=source.reconnections)


def _step_each(
    streams: Streams, frames: dict[Source, Frame], on_error: OnError
) -> list[tuple[Source, Step]]:
    """The steps of one batch; if it fails, each source is processed alone, and sources that fail
    are left out.
    """
    by_name = {source.name: source for source in frames}
    try:
        steps = streams.steps(
            {source.name: frame for source, frame in frames.items()},
            {source.name: source.motion for source in frames},
            recorded=[source.name for source in frames if source.recorded],
        )
        return [(by_name[step.source or ""], step) for step in steps]
    except (ArithmeticError, RuntimeError, ValueError) as error:
        if len(frames) > 1:
            alone = [
                _step_each(streams, {source: frame}, on_error) for source, frame in frames.items()
            ]
            return [pair for steps in alone for pair in steps]
        (source,) = frames
        failure = source.failure(error)
        source.end(failure.found)
        on_error(failure)
        return []


def _poll(sources: list[Source], on_error: OnError, on_status: OnStatus) -> dict[Source, Frame]:
    """The frames that are ready; reports errors, and the changes of connections before these
    frames.
    """
    frames = dict[Source, Frame]()
    for source in sources:
        try:
            if (frame := source.poll()) is not None:
                frames[source] = frame
        except ClipError as error:
            on_error(error)
        for status in source.changes:
            on_status(status)
    return frames
