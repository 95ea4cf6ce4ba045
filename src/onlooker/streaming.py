"""A model on streams, frame by frame: constant memory, one batch for all streams that have a new frame."""

from collections.abc import Callable, Iterator, Sequence
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
from onlooker.video.flow import flow_ahead
from onlooker.video.motion_crop import Crop, MotionState, next_crop
from onlooker.video.resize import resize, shrink
from onlooker.video.stream import Frame, Source

Named = int | str | Path
Failed = Callable[[ClipError], None]

_SIZES = 4  # of batches for which a copy of the weights is kept


class Seen(NamedTuple):
    """Of one frame: probabilities `K`; attention `h w`; its evidence, and whether the event is going on; None where
    the model does not attend, or weighs no frames."""

    scores: NDArray[np.float32]
    attention: NDArray[np.float32] | None
    evidence: float | None = None
    happening: bool | None = None


class _Look(NamedTuple):
    """Of one frame: the sample `size size C`; the image in which places are reported; the crop of it that is used."""

    sample: NDArray[np.uint8]
    picture: NDArray[np.uint8]
    crop: Crop | None


class Streams:
    """One model on several streams: frames in, steps out; every stream has a state of its own.

    Args:
        model: in evaluation mode, with weights that stay as they are.
        classes: the `K` class names.
        data: how frames are resized and normalized.
        localization: how attention becomes boxes, and evidence times; what looks at later frames is replaced
            (`live.causal`).

    Raises:
        ValueError: a model that cannot go frame by frame.
        RuntimeError: it sees optical flow by a method that is not installed, or whose weights cannot be had.
    """

    def __init__(
        self,
        model: VideoModel,
        classes: Sequence[str],
        data: DataConfig,
        localization: LocalizationParameters | None = None,
    ) -> None:
        self.model, self.classes, self.data = model, tuple(classes), data
        self.localization = make_causal(localization or LocalizationParameters())
        self.ahead = 0 if data.modality == "rgb" else data.flow_length  # frames after it that a frame's flow needs
        # By the streams' names. The first is one that nobody watches: what cannot stream says so here, before anything
        # is opened.
        self.states: dict[str, Any] = {}
        self.places: dict[str, PlaceState] = {}
        self.motion: dict[str, MotionState] = {}
        self.lasting: dict[str, EventState] = {}
        self._loops: dict[int, Loop] = {}
        self.step({"": np.zeros((1 + self.ahead, 32, 32, 3) if self.ahead else (32, 32, 3), np.uint8)})
        self.forget("")

    def forget(self, name: str) -> None:
        """A stream has ended: nothing of it is kept."""
        kept: dict[str, Any]
        for kept in (self.states, self.places, self.motion, self.lasting):
            kept.pop(name, None)

    def box(self, name: str, size: tuple[int, int]) -> tuple[tuple[float, float, float, float], float] | None:
        """Where a stream's last frame was attended to: x1 y1 x2 y2 in a frame of that height and width, and how
        concentrated the attention is there; None if it is even, or the model does not attend."""
        places = self.places.get(name)
        track = places.best if places else None
        if places is None or places.frame is None or track is None:
            return None
        x1, y1, x2, y2 = track.corners.tolist()
        across, down = size[1] / places.frame.shape[1], size[0] / places.frame.shape[0]
        return (x1 * across, y1 * down, x2 * across, y2 * down), track.concentration

    def point(self, name: str, size: tuple[int, int]) -> tuple[float, float] | None:
        """The pixel of a stream's last frame that was attended to most: x and y, or None, as for `box`."""
        places = self.places.get(name)
        if places is None or places.frame is None or np.isnan(places.point[0]):
            return None
        x, y = places.point.tolist()
        return x * size[1] / places.frame.shape[1], y * size[0] / places.frame.shape[0]

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def step(self, frames: dict[str, NDArray[np.uint8]]) -> dict[str, Seen]:
        """One frame of some of the streams, in one batch.

        Args:
            frames: by the streams' names, `H W 3`, RGB, of any size; `1+L H W 3` for a model that sees optical flow
                of L pairs of frames: this frame and those that follow it.

        Returns:
            What is seen in each of them.
        """
        # Those that begin have no state, and a model may learn the first one from their first frame.
        new = [name for name in frames if name not in self.states]
        known = [name for name in frames if name in self.states]
        return {name: seen for names in (new, known) if names for name, seen in self._together(names, frames)}

    def _look(self, name: str, pixels: NDArray[np.uint8]) -> _Look:
        """What the model sees of a frame and those after it, as `read_sample` makes it of clips."""
        data, frames = self.data, pixels if self.ahead else pixels[None]
        if data.motion_crop:
            return self._cropped(name, frames)
        parts = []
        if data.modality != "flow":
            parts.append(resize(frames[:1], data.size, data.channels)[0])
        if self.ahead:
            parts.append(flow_ahead(frames, data.flow, data.flow_limit, data.size))
        sample = np.concatenate(parts, -1)
        return _Look(sample, sample[..., : data.image_channels], None)

    def _cropped(self, name: str, frames: NDArray[np.uint8]) -> _Look:
        data, size = self.data, (frames.shape[1], frames.shape[2])
        scene = shrink(frames[0], scene_side(data))
        crop, self.motion[name] = next_crop(self.motion.get(name), scene, data.motion_crop)
        parts = []
        if data.modality != "flow":
            parts.append(resize(crop.cut(scene[None], data.size), data.size, data.channels)[0])
        if self.ahead:
            flow = flow_ahead(frames, data.flow, scene_limit(size))
            parts.append(crop.cut(flow[None], data.size)[0])
        return _Look(np.concatenate(parts, -1), scene, crop)

    def _loop(self, batch: int) -> Loop:
        """In which the weights are laid out once for batches of this size, as `unroll` does for a clip."""
        if batch not in self._loops and len(self._loops) == _SIZES:
            self._loops.clear()
        return self._loops.setdefault(batch, Loop())

    @torch.inference_mode()
    def _together(self, names: list[str], frames: dict[str, NDArray[np.uint8]]) -> list[tuple[str, Seen]]:
        looks = [self._look(name, frames[name]) for name in names]
        pixels = torch.from_numpy(np.stack([look.sample for look in looks]))
        video = to_video(pixels.to(self._device), self.data.normalization, self.data.flow_channels)
        before = [self.states[name] for name in names if name in self.states]
        state = type(before[0])(*map(torch.cat, zip(*before, strict=True))) if before else None
        with resumed(self._loop(len(names))):
            output, state = self.model.step(video, state)
        for i, name in enumerate(names):
            self.states[name] = type(state)(*(part[i : i + 1] for part in state))
        scores = output.logits.float().softmax(-1).cpu().numpy()
        maps = None if output.attention is None else output.attention.float().cpu().numpy()
        evidence = None if output.evidence is None else output.evidence.float().tolist()
        seen: list[tuple[str, Seen]] = []
        for i, (name, look) in enumerate(zip(names, looks, strict=True)):
            attention = None if maps is None else self._locate(name, look, maps[i])
            when = (None, None) if evidence is None else (evidence[i], self._lasts(name, evidence[i]))
            seen.append((name, Seen(scores[i], attention, *when)))
        return seen

    def _locate(self, name: str, look: _Look, attention: NDArray[np.float32]) -> NDArray[np.float32]:
        """Follow what is attended to in a stream; its map, `h w`, as that of the whole frame."""
        if look.crop is not None:
            attention = look.crop.to_frame(attention[None])[0]
        places = self.places.get(name, PlaceState())
        if places.frame is not None and places.frame.shape != look.picture.shape:
            places = PlaceState()  # the source came back with frames of another size
        self.places[name] = update_place(places, attention, look.picture, self.localization)
        return attention

    def _lasts(self, name: str, evidence: float) -> bool:
        """Whether the event is going on in a stream whose next frame has this evidence."""
        self.lasting[name] = update_event(self.lasting.get(name, EventState()), evidence, self.localization)
        return self.lasting[name].happening


def watch(
    streams: Streams, sources: Sequence[Named], config: StreamConfig, failed: Failed | None = None
) -> Iterator[Step]:
    """What happens in the sources, now: a `Step` for every frame that is looked at, until all sources have ended.

    Args:
        streams: the model.
        sources: cameras, addresses, files; see `video.stream.open_source`.
        config: how frames are taken from them.
        failed: is told about a source that fails. Without it, the first error is raised once the others have ended.

    Raises:
        ClipError: while iterating, without `failed`: a source that cannot be read or was lost.
        ValueError: no source, one twice, or one that there cannot be.
    """
    if not sources:
        raise ValueError("no source to watch; give a camera's number, an address, or a path")
    news = Condition()
    opened = [Source(source, config, news, streams.ahead) for source in sources]
    for number, source in enumerate(opened):
        if source.name in [other.name for other in opened[:number]]:
            raise ValueError(f"source {source.name} is given twice; each is watched once")
    return _steps(streams, opened, news, failed)


def _steps(streams: Streams, sources: list[Source], news: Condition, failed: Failed | None) -> Iterator[Step]:
    errors: list[ClipError] = []
    live = list(sources)
    try:
        for source in sources:
            source.start()
        while live:
            with news:
                news.wait_for(lambda: any(source.ready for source in live))
            frames = _polled(live, failed or errors.append)
            seen = streams.step({source.name: pixels for source, (_, _, pixels) in frames})
            for source, (index, time, pixels) in frames:
                scores, attention, evidence, happening = seen[source.name]
                named = source.name, source.dropped, source.reconnections
                best = int(scores.argmax())
                size = pixels.shape[-3], pixels.shape[-2]
                found, point = streams.box(source.name, size), streams.point(source.name, size)
                box = found and Box(streams.classes[best], index, found[0], float(scores[best]) * found[1])
                frame = pixels[0].copy() if streams.ahead else pixels  # a part would keep the frames after it
                says = scores, streams.classes, attention
                yield Step(index, time, *says, *named, box, point, evidence, happening, frame)
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


def _polled(sources: list[Source], failed: Failed) -> list[tuple[Source, Frame]]:
    """The frames that are there."""
    frames = []
    for source in sources:
        try:
            if (frame := source.poll()) is not None:
                frames.append((source, frame))
        except ClipError as error:
            failed(error)
    return frames
