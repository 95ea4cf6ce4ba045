"""Reading videos: chosen frames, or all of them one by one, from a video file or an image sequence."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from onlooker.structures import ClipError, Frames
from onlooker.video import image_sequence
from onlooker.video.container import REENCODE, open_video
from onlooker.video.decode import RATE, Converter, FrameStore, decode_file
from onlooker.video.index import IndexContradictedError, PacketIndex, decode_indexed, index_packets
from onlooker.video.safe import answers, ask, is_safe
from onlooker.video.sampling import Sampling, equally_spaced

__all__ = ["VideoReader", "is_video", "read"]

SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv", ".gif", ".mpg", ".mpeg", ".m2v", ".ts", ".mts", ".m2ts"}
    | {".wmv", ".asf", ".flv", ".ogv", ".3gp", ".3g2"}
)
MakeStore = Callable[[int], FrameStore]  # for a video of that many frames


class VideoReader:
    """A video file, or a folder of numbered images (an image sequence), opened when it is needed.

    Frames are exactly those of sequential decoding, even if the reader seeks; they are RGB and upright. Indices count
    the frames that can be decoded, in display order. In a damaged file, damage in parts that the chosen frames do not
    depend on is not noticed, and the frames lost there are counted. `len` and `times` of most files need no decoding.

        reader = VideoReader("clip.mp4")
        frames = reader.get([0, 10, 20], size=112)        # 3 112 112 3
        for index, time, pixels in reader: ...            # in constant memory

    Args:
        path: a video file, or a folder of numbered images.
        safe: decode in a worker process with limits of memory and time, see `onlooker.video.safe`; None: as the
            environment variable `ONLOOKER_SAFE` says (1: yes).

    Raises:
        ClipError: in every method: naming the clip, if nothing can be decoded.
    """

    def __init__(self, path: Path | str, safe: bool | None = None) -> None:
        self.path, self._safe = Path(path), is_safe() if safe is None else safe
        self._is_folder = os.path.isdir(path)
        self._index: PacketIndex | None = None
        self._expected: int | None = None  # number of frames, at first the number of packets; None: not counted yet

    def __len__(self) -> int:
        return len(self.times)

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """When each frame is shown, in seconds since the first."""
        if self._safe:
            return ask(self.path, "facts", name="times")[1]
        if self._is_folder:
            return np.arange(len(self._images)) / RATE
        if self._expected is None:
            with open_video(self.path) as opened:
                self._index, self._expected = index_packets(*opened)
        return self._decode_file() if self._index is None else self._index.times

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright frames."""
        if self._safe:
            H, W = ask(self.path, "facts", name="size")[1].tolist()
            return H, W
        _, _, pixels = next(iter(self))
        return pixels.shape[0], pixels.shape[1]

    @cached_property
    def _images(self) -> list[Path]:
        return image_sequence.require_images(self.path)

    @property
    def estimated_length(self) -> int:
        """The number of frames according to the file's header, which may be wrong; 0 where it does not say."""
        if self._safe:
            return int(ask(self.path, "facts", name="estimated_length")[1].item())
        if self._is_folder:
            return len(image_sequence.find_images(self.path))
        with open_video(self.path) as (container, video):
            rate = float(video.average_rate or 0)
            seconds = (container.duration or 0) / 1e6  # FFmpeg's unit for whole files is a microsecond
            return video.frames or max(0, round(seconds * rate))

    def get(
        self,
        which: Sampling | Sequence[int] | NDArray[np.int64],
        *,
        size: int | None = None,
        shorter_side: int | None = None,
    ) -> Frames:
        """Chosen frames, each resized as soon as it is decoded, so that many large frames fit in memory.

        Args:
            which: `T` frame indices, in any order, with any repetition; or a sampling, which gives them for the number
                of frames in the video.
            size: resize frames to a square of this height and width; see `resize`.
            shorter_side: shrink frames whose shorter side is longer than this, keeping the aspect ratio.

        Raises:
            IndexError: an index is negative or not below `len`.
            ValueError: no indices.
        """
        sampling = which if callable(which) else lambda total: np.asarray(which)
        if self._safe:
            return self._from_worker(sampling, size, shorter_side)

        def make_store(total: int) -> FrameStore:
            return FrameStore(self.path, sampling(total), size, shorter_side)

        if self._is_folder:
            store = self._from_images(make_store)
        else:
            store = self._from_index(make_store) or self._from_whole_file(make_store)
        self.size = store.frame_size
        return Frames(store.pixels(), self.times[store.indices], store.indices)

    def __iter__(self) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        """All frames in constant memory: index, seconds since the first frame, `H W 3` pixels."""
        if self._safe:
            for values, pixels in answers(self.path, "frames"):
                yield int(values["index"]), float(values["seconds"]), pixels
            return
        if self._is_folder:
            for index, pixels in enumerate(image_sequence.read_images(self._images)):
                yield index, index / RATE, pixels
            return
        convert = Converter(self.path)
        for index, seconds, frame in decode_file(self.path):
            yield index, seconds, convert(frame)

    def _from_worker(self, sampling: Sampling, size: int | None, shorter_side: int | None) -> Frames:
        for _ in range(3):
            total = len(self.times)
            asked = {"indices": sampling(total).tolist(), "size": size, "shorter_side": shorter_side}
            values, array = ask(self.path, "get", total=total, **asked)
            if "recounted" not in values:
                indices = np.array(asked["indices"], np.int64)
                self.size = values["size"][0], values["size"][1]
                return Frames(array, self.times[indices], indices)
            self.times = array
        raise ClipError(self.path, "another number of frames each time it is decoded", REENCODE)

    def _from_images(self, make_store: MakeStore) -> FrameStore:
        store = make_store(len(self._images))
        store.check(len(self._images))
        images = image_sequence.read_images(self._images[index] for index in store.unique)
        for index, pixels in zip(store.unique.tolist(), images, strict=True):
            store.put(index, pixels)
        return store

    def _from_index(self, make_store: MakeStore) -> FrameStore | None:
        """The frames by seeking; None where the file has to be decoded as a whole."""
        if self._expected is not None and self._index is None:
            return None
        with open_video(self.path) as (container, stream):
            if self._expected is None:
                self._index, self._expected = index_packets(container, stream)
            if self._index is None:
                return None
            store = make_store(len(self._index.shown))
            store.check(len(self._index.shown))
            try:
                decode_indexed(container, stream, self._index, store)
            except (IndexContradictedError, av.error.FFmpegError, ClipError):  # a thread's error is a ClipError
                self._index = None
                return None
        return store

    def _from_whole_file(self, make_store: MakeStore) -> FrameStore:
        """The frames by decoding everything: twice where the number of packets is not that of the frames."""
        for _ in range(2):
            store = make_store(self._expected) if self._expected else FrameStore(self.path, np.zeros(0, np.int64))
            self.times = self._decode_file(store)
            if np.array_equal(store.indices, make_store(len(self.times)).indices):
                store.check(len(self.times))
                return store
        raise ClipError(self.path, "another number of frames each time it is decoded", REENCODE)

    def _decode_file(self, store: FrameStore | None = None) -> NDArray[np.float64]:
        """Decode everything, put the frames that the store asks for, and return the times of all frames."""
        wanted = set() if store is None else set(store.indices.tolist())
        convert, times = Converter(self.path), []
        for index, seconds, frame in decode_file(self.path):
            times.append(seconds)
            if store is not None and index in wanted:
                store.put(index, convert(frame))
        self._expected = len(times)
        return np.array(times)


def is_video(path: Path | str) -> bool:
    """Whether a path looks like a video: a file with one of `SUFFIXES`, or a folder with numbered images."""
    path = Path(path)
    if os.path.isdir(path):
        return bool(image_sequence.find_images(path))
    return path.suffix.lower() in SUFFIXES and os.path.isfile(path)


def read(path: Path | str, count: int = 30, pad: bool = True) -> Frames:
    """`count` equally spaced frames over the whole of a video; see `equally_spaced` and `VideoReader`.

    `pad` repeats the last frame of a video with fewer frames, instead of raising.

    Raises:
        ClipError: naming the clip, if nothing can be decoded, or it has fewer frames than `count` and `pad` is False.
        ValueError: `count` is below 1.
    """
    reader = VideoReader(path)
    frames = reader.get(partial(equally_spaced, count=count))
    if len(reader) < count and not pad:
        remedy = "ask for fewer frames, or repeat the last one (pad)"
        raise ClipError(path, f"{len(reader)} frames decoded, the model needs at least {count}", remedy)
    return frames
