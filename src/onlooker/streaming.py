"""A model on streams, frame by frame: constant memory, one batch for all streams that have a new frame."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Condition
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.config import DataConfig, StreamConfig
from onlooker.data.samples import scene_limit, scene_side
from onlooker.data.transforms import to_video
from onlooker.localization.online import EventState, PlaceState, make_causal, update_event, update_place
from onlooker.localization.parameters import LocalizationParameters
from onlooker.models.video_model import VideoModel
from onlooker.ops.repeated_conv import Loop, resumed
from onlooker.structures import Box, ClipError, Step
from onlooker.video.flow import FlowSettings, flow_ahead
from onlooker.video.motion_crop import Crop, MotionState, next_crop
from onlooker.video.resize import resize, shrink
from onlooker.video.stream import Frame, Source

Address = int | str | Path
OnError = Callable[[ClipError], None]
Pixels = NDArray[np.uint8]

_BATCH_SIZES = 4  # for which a copy of the weights is kept


@dataclass(frozen=True, eq=False)
class StreamState:
    """Everything that is kept of a stream from frame to frame; it does not grow.

    Args:
        model: the model's own state, for a batch of one; None before the first frame.
        place: where it happens: smoothed attention, last frame, tracks.
        event: whether it happens, for a model with evidence.
        motion: of the motion crop, if the samples are cut by one.
    """

    model: Any = None
    place: PlaceState = field(default_factory=PlaceState)
    event: EventState = field(default_factory=EventState)
    motion: MotionState | None = None


class StreamOutput(NamedTuple):
    """Results of one frame of a stream; see `Step`.

    Args:
        scores: `K` probabilities.
        attention: `h w`, over the whole frame; None for a model that does not attend.
        evidence, happening: None for a model without evidence.
        corners: x1 y1 x2 y2 of the best track, in pixels of the frame; None for uniform attention, or without any.
        concentration: of the attention in this box.
        point: x and y of the pixel with the most attention; None as for `corners`.
    """

    scores: NDArray[np.float32]
    attention: NDArray[np.float32] | None = None
    evidence: float | None = None
    happening: bool | None = None
    corners: tuple[float, float, float, float] | None = None
    concentration: float = 0.0
    point: tuple[float, float] | None = None


class _FrameSample(NamedTuple):
    """Of one frame: the sample `size size C`, the image in which places are found, and its crop, if there is one."""

    pixels: Pixels
    image: Pixels
    crop: Crop | None


class Streams:
    """One model on several streams: frames in, results out; each stream has its own `StreamState`.

    Args:
        model: in evaluation mode; its weights must not change.
        data: how frames are resized and normalized.
        localization: how attention becomes boxes and evidence becomes events; made causal (`make_causal`).

    Raises:
        ValueError: a model that cannot process single frames.
        RuntimeError: the optical flow method is not installed, or its weights are not available.
    """

    def __init__(self, model: VideoModel, data: DataConfig, localization: LocalizationParameters | None = None) -> None:
        self.model, self.data = model, data
        self.localization = make_causal(localization or LocalizationParameters())
        self.lookahead = 0 if data.modality == "rgb" else data.flow_length  # later frames that a frame's flow needs
        self.states: dict[str, StreamState] = {}
        self._loops: dict[int, Loop] = {}
        # A trial step: a model that cannot stream raises here, before any source is opened.
        self.step({"": np.zeros((1 + self.lookahead, 32, 32, 3) if self.lookahead else (32, 32, 3), np.uint8)})
        self.forget("")

    def forget(self, name: str) -> None:
        """Drop the state of a stream that has ended."""
        self.states.pop(name, None)

    def step(self, frames: dict[str, Pixels]) -> dict[str, StreamOutput]:
        """Process one frame of some of the streams, in one batch.

        Args:
            frames: by the names of the streams, `H W 3`, RGB, of any size; `1+L H W 3` for a model that needs optical
                flow of L pairs of frames: this frame and the L after it.
        """
        # New streams go in a batch of their own: a model may learn its first state from their first frames.
        new = [name for name in frames if name not in self.states]
        known = [name for name in frames if name in self.states]
        return {name: result for names in (new, known) if names for name, result in self._step_batch(names, frames)}

    @torch.inference_mode()
    def _step_batch(self, names: list[str], frames: dict[str, Pixels]) -> list[tuple[str, StreamOutput]]:
        states = [self.states.get(name, StreamState()) for name in names]
        samples, motions = zip(
            *(self._sample(frames[name], of.motion) for name, of in zip(names, states, strict=True)), strict=True
        )
        pixels = torch.from_numpy(np.stack([sample.pixels for sample in samples]))
        device = next(self.model.parameters()).device
        video = to_video(pixels.to(device), self.data.normalization, self.data.flow_channels)
        with resumed(self._loop(len(names))):
            output, after = self.model.step(video, _joined([state.model for state in states]))
        scores = output.logits.float().softmax(-1).cpu().numpy()
        attention = None if output.attention is None else output.attention.float().cpu().numpy()
        evidence = None if output.evidence is None else output.evidence.float().tolist()
        results = []
        for i, name in enumerate(names):
            state = replace(states[i], model=type(after)(*(part[i : i + 1] for part in after)), motion=motions[i])
            result = StreamOutput(scores[i])
            if evidence is not None:
                state = replace(state, event=update_event(state.event, evidence[i], self.localization))
                result = result._replace(evidence=evidence[i], happening=state.event.happening)
            if attention is not None:
                crop, image = samples[i].crop, samples[i].image
                in_frame = attention[i] if crop is None else crop.to_frame(attention[i : i + 1])[0]
                state = replace(state, place=update_place(state.place, in_frame, image, self.localization))
                places = _in_frame(state.place, image, frames[name].shape[-3:-1])
                result = result._replace(attention=in_frame, **places)
            self.states[name] = state
            results.append((name, result))
        return results

    def _sample(self, frames: Pixels, motion: MotionState | None) -> tuple[_FrameSample, MotionState | None]:
        """The sample of a frame and those after it, as `read_sample` makes it of a clip."""
        data, crop = self.data, None
        frames = frames if self.lookahead else frames[None]
        image = frames[0]
        if data.motion_crop:
            image = shrink(image, scene_side(data))
            crop, motion = next_crop(motion, image, data.motion_crop)
        parts = []
        if data.modality != "flow":
            rgb = image[None] if crop is None else crop.cut(image[None], data.size)
            parts.append(resize(rgb, data.size, data.channels)[0])
        if self.lookahead and crop is None:
            parts.append(flow_ahead(frames, FlowSettings(method=data.flow, limit=data.flow_limit, size=data.size)))
        elif self.lookahead and crop is not None:
            limit = scene_limit((frames.shape[1], frames.shape[2]))
            flow = flow_ahead(frames, FlowSettings(method=data.flow, limit=limit))
            parts.append(crop.cut(flow[None], data.size)[0])
        pixels = np.concatenate(parts, -1)
        return _FrameSample(pixels, pixels[..., : data.image_channels] if crop is None else image, crop), motion

    def _loop(self, batch: int) -> Loop:
        """Weights laid out once for batches of this size, as `unroll` does for a clip."""
        if batch not in self._loops and len(self._loops) == _BATCH_SIZES:
            self._loops.clear()
        return self._loops.setdefault(batch, Loop())


def _joined(states: Sequence[Any]) -> Any:
    """States of single streams as the state of their batch; None if they are new."""
    return None if states[0] is None else type(states[0])(*map(torch.cat, zip(*states, strict=True)))


def _in_frame(place: PlaceState, image: Pixels, size: Sequence[int]) -> dict[str, Any]:
    """Box and point found in `image`, in pixels of a frame of this height and width; none for uniform attention."""
    scale = np.array([size[1] / image.shape[1], size[0] / image.shape[0]] * 2)
    found: dict[str, Any] = {}
    if place.best is not None:
        corners = tuple((place.best.corners * scale).tolist())
        found = {"corners": corners, "concentration": place.best.concentration}
    if not np.isnan(place.point[0]):
        found["point"] = tuple((place.point * scale[:2]).tolist())
    return found


def watch(
    streams: Streams,
    classes: Sequence[str],
    sources: Sequence[Address],
    config: StreamConfig,
    on_error: OnError | None = None,
) -> Iterator[Step]:
    """Recognize sources live: a `Step` for every processed frame, until all sources have ended.

    Args:
        streams: the model.
        classes: the `K` class names.
        sources: cameras, addresses, files; see `video.stream.Source`.
        config: how frames are read from them.
        on_error: called with the error of a source that fails. Without it, the first error is raised after the other
            sources have ended.

    Raises:
        ClipError: while iterating, without `on_error`: a source that cannot be read or was lost.
        ValueError: no source, a duplicate, or an invalid one.
    """
    if not sources:
        raise ValueError("no source to watch; give a camera's number, an address, or a path")
    news = Condition()
    opened = [Source(source, config, news, streams.lookahead) for source in sources]
    for number, source in enumerate(opened):
        if source.name in [other.name for other in opened[:number]]:
            raise ValueError(f"source {source.name} is given twice; each is watched once")
    return _steps(streams, tuple(classes), opened, news, on_error)


def _steps(
    streams: Streams, classes: tuple[str, ...], sources: list[Source], news: Condition, on_error: OnError | None
) -> Iterator[Step]:
    errors: list[ClipError] = []
    live = list(sources)
    try:
        for source in sources:
            source.start()
        while live:
            with news:
                news.wait_for(lambda: any(source.ready for source in live))
            frames = _poll(live, on_error or errors.append)
            outputs = streams.step({source.name: pixels for source, (_, _, pixels) in frames})
            for source, frame in frames:
                yield _to_step(source, frame, outputs[source.name], classes)
            for source in [source for source in live if source.finished]:
                live.remove(source)
                streams.forget(source.name)
    finally:
        for source in sources:
            source.stop()
        until = monotonic() + 1
        for source in sources:
            source.close(max(0.0, until - monotonic()))
    if errors:
        raise errors[0]


def _to_step(source: Source, frame: Frame, output: StreamOutput, classes: tuple[str, ...]) -> Step:
    index, time, pixels = frame
    box, best = None, int(output.scores.argmax())
    if output.corners is not None:
        box = Box(classes[best], index, output.corners, float(output.scores[best]) * output.concentration)
    return Step(
        index,
        time,
        output.scores,
        classes,
        output.attention,
        source=source.name,
        dropped=source.dropped,
        reconnections=source.reconnections,
        box=box,
        point=output.point,
        evidence=output.evidence,
        happening=output.happening,
        pixels=pixels[0].copy() if pixels.ndim == 4 else pixels,  # a view would keep the frames after it in memory
    )


def _poll(sources: list[Source], on_error: OnError) -> list[tuple[Source, Frame]]:
    """The frames that are ready."""
    frames = []
    for source in sources:
        try:
            if (frame := source.poll()) is not None:
                frames.append((source, frame))
        except ClipError as error:
            on_error(error)
    return frames
