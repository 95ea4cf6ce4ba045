"""A model on streams, frame by frame: constant memory, one batch for all streams that have a new
frame.

Models count frames as time. So each frame has a slot in the frame rate of training (`slot_of`), and
the slots that were missed before it repeat the last frame, whose features are known. After a pause
that is longer than what the model remembers, a stream begins again: nothing was shown. For events,
the features of a few missed slots are interpolated: between frames that repeat, slow motion looks
like fast motion. While a live stream is too slow, its windows are scored by layers that were fitted
to such frames, if the model has them.
"""

import math
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from threading import Condition
from time import monotonic
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onlooker.base.config import DataConfig, StreamConfig
from onlooker.base.decision import Decision
from onlooker.base.intervals import Times
from onlooker.base.records import Box, ClipError, Event, Floats, Segment, Step
from onlooker.data.samples import views_of
from onlooker.data.transforms import to_video
from onlooker.localization import BoxMemory, find_boxes
from onlooker.localization.boxes import peaks
from onlooker.localization.crop import Crop, CropMemory, in_frame, next_crop
from onlooker.models.video_model import Output, VideoModel
from onlooker.models.windows import interpolated
from onlooker.storage import is_address, local
from onlooker.stream.segmenters import segmenter_of
from onlooker.stream.segmenters.segmenter import TimedBox
from onlooker.stream.sources import (
    EARLY,
    ON_TIME,
    Frame,
    Source,
    Status,
    slot_of,
    stream_names,
)
from onlooker.video.eyes import EYES, EyeRows, added, look
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
_RECENT = 5.0  # seconds over which arriving frames are counted; a live pause is longer


class _EncodedFrame(NamedTuple):
    """A frame of a stream.

    Args:
        number: its index in the video.
        pixels: `H W 3`.
        sample: `size size 3` or `size size 1`, the whole frame resized.
        features: `1 D h w`, of the views of the frame.
        rows: of the eyes, since the slot before (`Eye.step`).
        crop: around what acts; None for a model that does not see it.
    """

    number: int
    time: float
    pixels: Pixels
    sample: Pixels
    features: Tensor
    rows: EyeRows = MappingProxyType({})
    crop: Crop | None = None


@dataclass(frozen=True, eq=False)
class StreamMemory:
    """All that is kept of a stream between two frames, of constant size.

    Args:
        model: the memory of the model, for a batch of one.
        segments: the memory of the segmenter; None for a model without one.
        box_memory: what finding the next boxes needs; None at the first frame, and for a model
            without attention.
        begun: ongoing segments that were announced.
        boxes: the first box of each frame that later segments may contain.
        last: the last step, without pixels.
        frame: the last frame, in slot `slot`.
        since: the time of the first frame, seconds.
        pace: frames per second that arrived in the last seconds, at most the rate of training; in a
            recording, the rate of training.
        eyes: the memories of the eyes, unless the source has them.
        rows: of the eyes, since the last slot.
        crop: what finding the next crop needs; None at the first frame, and for a model without crops.
    """

    model: Any
    segments: Any = None
    box_memory: BoxMemory | None = None
    begun: tuple[Event, ...] = ()
    boxes: tuple[TimedBox, ...] = ()
    last: Step | None = None
    frame: _EncodedFrame | None = None
    slot: int = -1
    since: float = 0.0
    pace: float = 0.0
    eyes: Mapping[str, Any] = field(default_factory=dict)
    rows: EyeRows = field(default_factory=dict)
    crop: CropMemory | None = None


class Streams:
    """One model on several streams: frames in, a `Step` for each out; each stream has its own
    `StreamMemory`.

    Args:
        model: in evaluation mode; its weights must not change.
        data: how frames are resized and normalized.
        alarms_per_hour: the rate of false alarms that is allowed, for events.
        rate: frames per second that the model gets; None: as in training; 0, or if that is unknown:
            every frame, and no other.

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
        self.segmenter = segmenter_of(
            decision,
            model.lengths,
            self.rate or decision.frame_rate or RATE,
            alarms_per_hour=alarms_per_hour,
        )
        # half a slot more than all that are repeated
        self.longest_pause = (self.hold + 1.5) / self.rate if self.rate else math.inf
        if self.segmenter is not None:
            self.segmenter.longest_pause = self.longest_pause
        self.eyes = {name: EYES[name]() for name in model.stream_eyes}
        self.memories: dict[str, StreamMemory] = {}
        if data.modality != "rgb":
            raise ValueError(
                "the model needs optical flow, which streams do not have; train one with --modality rgb"
            )
        segments = None if self.segmenter is None else self.segmenter.start
        self._start = StreamMemory(model.initial_state(1), segments)
        # A trial step: a model that cannot stream raises here, before any source is opened.
        self.step({"": (0, 0.0, np.zeros((32, 32, 3), np.uint8))})
        self.memories.clear()

    @torch.inference_mode()
    def end(self, name: str, at: float | None = None) -> Step | None:
        """Drop the memory of a stream that has ended. Returns its last step again, with segments
        that its end makes final, and the rows of frames whose windows were not complete.

        Args:
            at: when it has ended, in seconds, if that is known.

        Returns:
            None if that changes nothing.
        """
        memory = self.memories.pop(name, None)
        return None if memory is None else self._last_step(name, memory, at)

    def _last_step(self, name: str, memory: StreamMemory, at: float | None = None) -> Step | None:
        """As `end`, from the memory of the stream."""
        if self.segmenter is None or memory.frame is None or memory.last is None:
            return None
        last = memory.last
        assert last.rows is not None
        model_memory = memory.model
        segments = memory.segments
        final = list[Segment]()
        rows = [last.rows[:0]]
        for _ in range(self.segmenter.delay):  # the last frame stays
            output, model_memory = self.model.step_features(memory.frame.features, model_memory)
            windows, _ = self._window_scores(output)
            assert windows is not None
            result = self.segmenter.step(segments, last.time, windows[0])
            segments = result.memory
            final += result.final
            rows.append(result.rows)
        final += self.segmenter.finish(segments, at)
        if not final and not self.segmenter.delay:
            return None
        memory = replace(memory, boxes=self.segmenter.recent(segments, memory.boxes, self.hold))
        announced, events, _ = self._events(final, (), memory, source=name)
        return replace(
            last,
            scores=self.segmenter.final_scores(segments, final),
            ongoing=(),
            events=events,
            announced=announced,
            rows=np.concatenate(rows),
            boxes=(),
        )

    def step(self, frames: dict[str, Frame]) -> dict[str, Step]:
        """Process one frame of some of the streams; with the arguments and errors of `steps`.

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
                    announced=(*before.announced, *step.announced),
                )
            last[name] = step
        return last

    @torch.inference_mode()
    def steps(
        self,
        frames: dict[str, Frame],
        rows: Mapping[str, EyeRows] | None = None,
        *,
        recorded: Collection[str] = (),
    ) -> list[Step]:
        """Process one frame of some of the streams, in one batch, after the slots that were missed
        before; an error leaves the memories as they were.

        A frame whose slot is taken counts only in what the eyes saw until the next frame: its step
        is the last one, without events. A stream that has shown nothing for more slots than the
        model remembers ends (`end`), and begins again with the frame.

        Args:
            frames: by the names of the streams: index, time, and pixels `H W 3`, RGB, of any size.
            rows: what the eyes saw in each stream since its frame before (`Source.rows`); None:
                they look at these frames.
            recorded: the streams that are never too slow: a recording may leave out unchanged
                frames.
        """
        before = {name: self.memories.get(name, self._start) for name in frames}
        memories = dict(before)
        steps = list[Step]()
        pauses = dict[str, Times]()
        for name, (_, time, pixels) in frames.items():
            memory = memories[name]
            if self._is_pause(memory, time, recorded=name in recorded):
                last_step = self._last_step(name, memory)
                steps += [last_step] if last_step else []
                if memory.frame is not None:
                    pauses[name] = memory.frame.time + 1 / self.rate, time
                memory = self._start
            states = memory.eyes
            if rows is None:
                states, seen = look(self.eyes, pixels, time, states=states)
            else:
                seen = rows[name]
            memories[name] = replace(memory, eyes=states, rows=added(memory.rows, seen))
        slots = {name: self._slots(memories[name], frames[name][1]) for name in frames}
        queues = list[list[tuple[str, _EncodedFrame]]]()
        arrived = {name: frame for name, frame in frames.items() if slots[name]}
        for name, encoded in self._encode(arrived, memories).items():
            memory = memories[name]
            times = [slot / self.rate for slot in slots[name][:-1]]
            missed = [] if memory.frame is None else self._missed(memory.frame, encoded, times)
            encoded = encoded._replace(rows=memory.rows)
            queues.append([(name, frame) for frame in (*missed, encoded)])
            since, pace = self._pace(before[name], encoded.time, recorded=name in recorded)
            memory = replace(memory, frame=encoded, slot=slots[name][-1], rows={})
            memories[name] = replace(memory, since=since, pace=pace)
        for batch in zip_longest(*queues):
            for step in self._step(dict(filter(None, batch)), memories):
                steps.append(replace(step, pause=pauses.get(step.source or "")))
        for name, (index, time, pixels) in frames.items():
            if not slots[name] and (last := memories[name].last):
                again = replace(last, index=index, time=time, pixels=pixels)
                steps.append(replace(again, events=(), announced=(), rows=None))
        self.memories |= memories
        return steps

    def _is_pause(self, memory: StreamMemory, time: float, *, recorded: bool) -> bool:
        """Whether nothing was shown before a frame, rather than frames that a slow reader of a live
        stream has left out.
        """
        passed = time - memory.frame.time if memory.frame else 0.0
        return passed > self.longest_pause and (recorded or passed > _RECENT)

    def _slots(self, memory: StreamMemory, time: float) -> range:
        """Missed slots before a frame, as far as the model remembers them, and the frame's slot;
        empty if that is taken.
        """
        next_slot = memory.slot + 1
        if not self.rate:
            return range(next_slot, next_slot + 1)
        if memory.frame is None or time < memory.frame.time:  # the first frame, or another clock
            next_slot = math.floor(time * self.rate + ON_TIME)
            return range(next_slot, next_slot + 1)
        slot = slot_of(time * self.rate, next_slot, EARLY)
        return range(0) if slot is None else range(max(next_slot, slot - self.hold), slot + 1)

    def _missed(
        self, last: _EncodedFrame, arrived: _EncodedFrame, times: Sequence[float]
    ) -> list[_EncodedFrame]:
        """The frames of the slots that were missed between two frames, at these times."""
        frames = [last._replace(time=time, rows={}) for time in times]
        if self.segmenter is None or not self.segmenter.has_pauses or len(frames) > _FEW:
            return frames
        between = interpolated(last.features, arrived.features, len(frames))
        return [
            frame._replace(features=features)
            for frame, features in zip(frames, between, strict=True)
        ]

    def _pace(self, before: StreamMemory, time: float, *, recorded: bool) -> tuple[float, float]:
        """`since` and `pace` of a stream with a new frame, from its memory before it."""
        passed = time - before.frame.time if before.frame else 0.0
        if passed <= 0 or recorded:
            return time, self.rate
        # all frames count alike at first, and the last seconds later
        weight = max(passed / (time - before.since), 1 - math.exp(-passed / _RECENT))
        pace = (1 - weight) * before.pace + weight / passed
        return before.since, min(self.rate, pace)

    def _too_slow(self, memory: StreamMemory, time: float) -> tuple[float, float] | None:
        is_known = time - memory.since > _RECENT / 2
        return (
            (memory.pace, self.rate) if is_known and memory.pace < _TOO_SLOW * self.rate else None
        )

    def _encode(
        self, frames: dict[str, Frame], memories: dict[str, StreamMemory]
    ) -> dict[str, _EncodedFrame]:
        """The frames with their crops and their features, computed in one batch; replaces the
        memories of their crops.
        """
        if not frames:
            return {}
        data = self.data
        samples = np.concatenate(
            [resize(pixels[None], data.size, data.channels) for _, _, pixels in frames.values()]
        )
        crops = dict[str, Crop]()
        views = samples
        if "actor" in data.views:
            for name, (_, time, pixels) in frames.items():
                memory, crops[name] = next_crop(memories[name].crop, pixels, time)
                memories[name] = replace(memories[name], crop=memory)
            views = np.stack(
                [views_of(pixels, crops[name], data) for name, (_, _, pixels) in frames.items()]
            )
        device = next(self.model.parameters()).device
        video = to_video(torch.from_numpy(views).to(device), data.normalization)
        features = self.model.encode(video).split(1)
        return {
            name: _EncodedFrame(*frame, sample, frame_features, crop=crops.get(name))
            for (name, frame), sample, frame_features in zip(
                frames.items(), samples, features, strict=True
            )
        }

    def _step(
        self, frames: dict[str, _EncodedFrame], memories: dict[str, StreamMemory]
    ) -> list[Step]:
        """The steps of a batch of one slot; replaces the memories of its streams."""
        output, after = self._forward(frames, memories)
        scores = self.decision.probabilities(output.logits).cpu().numpy()
        attention = None if output.attention is None else output.attention.float().cpu().numpy()
        too_slow = [self._too_slow(memories[name], frame.time) for name, frame in frames.items()]
        lacks_frames = [pace is not None for pace in too_slow]
        windows, possible = self._window_scores(output, lacks_frames)
        steps = list[Step]()
        for i, (name, frame) in enumerate(frames.items()):
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
            memory = replace(memories[name], model=own)
            if attention is not None:
                own_attention = attention[i]
                if frame.crop is not None:
                    height, width = frame.pixels.shape[:2]
                    own_attention = in_frame(
                        own_attention, frame.crop, (height, width), views=self.data.views
                    )
                step, memory = self._located(step, memory, own_attention, sample=frame.sample)
            if windows is not None:
                stream_possible = None if possible is None else possible[i]
                step, memory = self._segmented(step, memory, windows[i], possible=stream_possible)
            steps.append(step)
            memories[name] = replace(memory, last=replace(step, pixels=None))
        return steps

    def _forward(
        self, frames: dict[str, _EncodedFrame], memories: dict[str, StreamMemory]
    ) -> tuple[Output, Any]:
        """The output of the model for one frame of each stream, and its new memory."""
        before = [memories[name].model for name in frames]
        joined = type(before[0])(*map(torch.cat, zip(*before, strict=True)))
        features = torch.cat([frame.features for frame in frames.values()])
        others = dict[str, Tensor]()
        for name, eye in self.eyes.items():
            nothing = np.zeros(1 + eye.num_features, np.float32)
            rows = [frame.rows.get(name, nothing) for frame in frames.values()]
            others[name] = torch.from_numpy(np.stack(rows)).to(features.device)
        return self.model.step_features(features, joined, others)

    def _window_scores(
        self, output: Output, lacks_frames: Sequence[bool] = ()
    ) -> tuple[Floats | None, NDArray[np.bool_] | None]:
        """What the segmenter gets from the output of the model for one frame of `B` streams.

        Args:
            lacks_frames: `B`, whether frames are missing in a stream; empty: in none.

        Returns:
            `B L …`, scores of the windows that end at this frame, None without a segmenter; and
            `B L`, whether each window can be an event, None if that is unknown.
        """
        windows = output.windows
        if windows is None:
            return None if output.states is None else output.states.cpu().numpy(), None
        if output.low_rate is not None and any(lacks_frames):
            rows = windows.possible.new_tensor(lacks_frames)
            windows = output.low_rate.where(rows, windows)
        possible = (
            None if self.model.window_novelty_limit is None else windows.possible.cpu().numpy()
        )
        return self.decision.calibrated(windows.scores).cpu().numpy(), possible

    def _located(
        self, step: Step, memory: StreamMemory, attention: Floats, *, sample: Pixels
    ) -> tuple[Step, StreamMemory]:
        """The step with its heat, boxes and point, in pixels of its frame."""
        assert step.pixels is not None
        heat, rectangles, box_memory = find_boxes(
            memory.box_memory, attention, sample, still="static_scene" in self.model.heads
        )
        size = np.array(step.pixels.shape[1::-1])
        (point,) = peaks(heat[None]) * size
        corners = (rectangles.corners * np.tile(size, 2)).tolist()
        weights = rectangles.weights.tolist()
        label = step.label
        score = step.score
        step = replace(
            step,
            attention=attention,
            heat=heat,
            point=tuple(point.tolist()) if weights else None,
            boxes=tuple(
                Box(label, step.index, tuple(box), score=score * max(weight, 0))
                for box, weight in zip(corners, weights, strict=True)
            ),
        )
        return step, replace(memory, box_memory=box_memory)

    def _segmented(
        self,
        step: Step,
        memory: StreamMemory,
        windows: Floats,
        *,
        possible: NDArray[np.bool_] | None,
    ) -> tuple[Step, StreamMemory]:
        """The step with the segments that are found from the scores of its windows, `L …`."""
        assert self.segmenter is not None
        boxes = (*memory.boxes, *([(step.time, step.box.corners)] if step.box else []))
        boxes = self.segmenter.recent(memory.segments, boxes, self.hold)
        result = self.segmenter.step(memory.segments, step.time, windows, possible=possible)
        memory = replace(memory, segments=result.memory, boxes=boxes)
        announced, events, memory = self._events(
            result.final, result.begun, memory, source=step.source
        )
        step = replace(
            step,
            scores=result.scores,
            ongoing=result.ongoing,
            events=events,
            announced=announced,
            rows=result.rows,
            unusual=result.unusual,
        )
        label = step.label
        step = replace(step, boxes=tuple(replace(box, label=label) for box in step.boxes))
        return step, memory

    def _events(
        self,
        final: Sequence[Segment],
        begun: Sequence[Segment],
        memory: StreamMemory,
        *,
        source: str | None,
    ) -> tuple[tuple[Event, ...], tuple[Event, ...], StreamMemory]:
        """What is reported of segments. Those of one class do not overlap: one that overlaps an
        announced one is the same, with better borders.

        Args:
            final: segments that are over.
            begun: ongoing segments whose begin is announced.

        Returns:
            The announcements: begins, and announced segments that are none; the ends, with the ids
            of their begins; and the new memory.
        """
        assert self.segmenter is not None
        before = [*memory.begun]
        events = list[Event]()
        announced = list[Event]()
        for event in self._boxed((*final, *begun), memory, source):
            same = next((other for other in before if _is_same(event, other)), None)
            if same is None:
                announced.append(replace(event, phase="begin"))
            else:
                before.remove(same)
                event = replace(event, id=same.id)
            events.append(event)
        now = datetime.now(UTC)
        withdrawn = [replace(event, phase="withdrawn", at=now) for event in before]
        ends = events[: len(final)]
        if not self.segmenter.has_pauses:
            ends = [replace(event, phase="end") for event in ends]
        memory = replace(memory, begun=tuple(events[len(final) :]))
        return (*withdrawn, *announced), tuple(ends), memory

    def _boxed(
        self, segments: Sequence[Segment], memory: StreamMemory, source: str | None
    ) -> tuple[Event, ...]:
        """Segments as events, each with the mean of the boxes while it lasted."""
        events = list[Event]()
        for segment in segments:
            corners_during = [
                corners for time, corners in memory.boxes if segment.start <= time < segment.end
            ]
            box = tuple(np.mean(corners_during, 0).tolist()) if corners_during else None
            events.append(Event(**vars(segment), source=source, box=box))
        return tuple(events)


def _is_same(event: Event, announced: Event) -> bool:
    overlap = min(event.end, announced.end) - max(event.start, announced.start)
    return event.label == announced.label and (overlap > 0 or event.start == announced.start)


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
        config: how they are read, at the frame rate of `streams`.
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
                eyes=streams.eyes,
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
                # what has pauses ends with its last frame, and no file is opened again for its end
                goes_on = streams.segmenter is not None and not streams.segmenter.has_pauses
                if last := streams.end(source.name, source.seconds if goes_on else None):
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
            {source.name: source.rows for source in frames},
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
