"""Reading videos: chosen frames, or all of them one by one, from a video file or an image sequence."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from onlooker.structures import ClipError, Frames
from onlooker.video import image_sequence
from onlooker.video.container import REENCODE, open_video
from onlooker.video.decode import Converter, FrameClock, FrameStore, decode_file, decode_frames
from onlooker.video.index import IndexContradictedError, PacketIndex, decode_indexed, index_packets
from onlooker.video.sampling import EquallySpaced, FixedIndices, Sampling

__all__ = ["VideoReader", "is_video", "read"]

SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv", ".gif", ".mpg", ".mpeg", ".m2v", ".ts", ".mts", ".m2ts"}
    | {".wmv", ".asf", ".flv", ".ogv", ".3gp", ".3g2"}
)


class VideoReader:
    """A video file, or a folder of numbered images (an image sequence).

    Frames are exactly those of sequential decoding, also where this seeks; they are RGB and upright. Indices count the
    frames that can be decoded, in display order. In a damaged file, damage in parts that the chosen frames do not
    depend on is not noticed, and the frames lost there are counted.

    Nothing is opened before it is needed. `len` and `times` of most files need no decoding.

        reader = VideoReader("clip.mp4")
        frames = reader.get(EquallySpaced(16), size=112)  # 16 112 112 3
        for index, time, pixels in reader: ...            # in constant memory

    Args:
        path: where it is.

    Raises:
        ClipError: in every method: naming the clip, if nothing can be decoded.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._is_folder = self.path.is_dir()
        self._images: list[Path] = []
        self._index: PacketIndex | None = None
        self._packets: int | None = None  # their number; None: not counted yet
        self._times: NDArray[np.float64] | None = None
        self._size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.times)

    @property
    def times(self) -> NDArray[np.float64]:
        """When each frame is shown, in seconds since the first."""
        if self._times is None:
            if self._is_folder:
                self._times = np.arange(len(self._image_paths())) / image_sequence.RATE
            else:
                if self._packets is None:
                    with open_video(self.path) as (container, stream):
                        self._index, self._packets = index_packets(container, stream)
                self._times = self._decode_file() if self._index is None else self._index.times
        return self._times

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright frames."""
        if self._size is None:
            _, _, pixels = next(iter(self))
            self._size = pixels.shape[0], pixels.shape[1]
        return self._size

    @property
    def estimated_length(self) -> int:
        """The number of frames according to the file's header, which may be wrong; 0 where it does not say."""
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

        Returns:
            `T` frames, with their times and indices.

        Raises:
            IndexError: an index is negative or not below `len`.
            ValueError: no indices.
        """
        sampling = FixedIndices(np.asarray(which)) if isinstance(which, Sequence | np.ndarray) else which
        scaling = size, shorter_side
        if self._is_folder:
            store = self._from_images(sampling, scaling)
        else:
            store = self._from_index(sampling, scaling) or self._from_whole_file(sampling, scaling)
        self._size = store.frame_size
        return Frames(store.pixels(), self.times[store.indices], store.indices)

    def __iter__(self) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        """All frames in constant memory: index, seconds since the first frame, `H W 3` pixels."""
        if self._is_folder:
            for index, pixels in enumerate(image_sequence.read_images(self._image_paths())):
                yield index, index / image_sequence.RATE, pixels
            return
        index = -1
        with open_video(self.path) as (container, stream):
            convert, clock = Converter(), FrameClock(container, stream)
            for index, frame in enumerate(decode_frames(self.path, container, stream)):
                yield index, clock(frame.pts), convert(frame)
        if index < 0:
            raise self._no_frames()

    def _image_paths(self) -> list[Path]:
        self._images = self._images or image_sequence.require_images(self.path)
        return self._images

    def _from_images(self, sampling: Sampling, scaling: tuple[int | None, int | None]) -> FrameStore:
        paths = self._image_paths()
        store = FrameStore(self.path, sampling.indices(len(paths)), *scaling)
        self._check_indices(store.indices, len(paths))
        images = image_sequence.read_images(paths[index] for index in store.unique)
        for index, pixels in zip(store.unique.tolist(), images, strict=True):
            store.put(index, pixels)
        return store

    def _from_index(self, sampling: Sampling, scaling: tuple[int | None, int | None]) -> FrameStore | None:
        """The frames by seeking; None where the file has to be decoded as a whole."""
        if self._packets is not None and self._index is None:
            return None
        with open_video(self.path) as (container, stream):
            if self._packets is None:
                self._index, self._packets = index_packets(container, stream)
            if self._index is None:
                return None
            store = FrameStore(self.path, sampling.indices(len(self._index.shown)), *scaling)
            self._check_indices(store.indices, len(self._index.shown))
            try:
                decode_indexed(self.path, stream, self._index, store)
            except (IndexContradictedError, av.error.FFmpegError):
                self._index = self._times = None
                return None
        self._times = self._index.times
        return store

    def _from_whole_file(self, sampling: Sampling, scaling: tuple[int | None, int | None]) -> FrameStore:
        """The frames by decoding everything: twice where the number of packets is not that of the frames."""
        total = self._packets if self._times is None else len(self._times)
        for _ in range(2):
            indices = sampling.indices(total) if total else np.zeros(0, np.int64)
            store = FrameStore(self.path, indices, *scaling)
            self._times = self._decode_file(store)
            total = len(self._times)
            if np.array_equal(indices, sampling.indices(total)):
                self._check_indices(indices, total)
                return store
        raise ClipError(self.path, "another number of frames each time it is decoded", REENCODE)

    def _decode_file(self, store: FrameStore | None = None) -> NDArray[np.float64]:
        times = decode_file(self.path, store)
        if not len(times):
            raise self._no_frames()
        return times

    def _check_indices(self, indices: NDArray[np.int64], total: int) -> None:
        if not len(indices):
            raise ValueError("no frame indices, expected at least one")
        if indices.min() < 0 or indices.max() >= total:
            wrong = indices.min() if indices.min() < 0 else indices.max()
            raise IndexError(f"{self.path}: frame {wrong} asked for, expected 0 to {total - 1}")

    def _no_frames(self) -> ClipError:
        return ClipError(self.path, "no frame could be decoded", REENCODE)


def is_video(path: Path | str) -> bool:
    """Whether a path looks like a video: a file with one of `SUFFIXES`, or a folder with numbered images."""
    path = Path(path)
    if path.is_dir():
        return bool(image_sequence.find_images(path))
    return path.suffix.lower() in SUFFIXES and path.is_file()


def read(path: Path | str, count: int = 30, pad: bool = True) -> Frames:
    """`count` equally spaced frames over the whole of a video; see `equally_spaced` and `VideoReader`.

    Args:
        path: a video file, or a folder of numbered images.
        count: how many frames.
        pad: repeat the last frame of a video with fewer frames, instead of raising.

    Raises:
        ClipError: naming the clip, if nothing can be decoded, or it has fewer frames than `count` and `pad` is False.
        ValueError: `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"count is {count}, expected at least 1")
    reader = VideoReader(path)
    frames = reader.get(EquallySpaced(count))
    if len(reader) < count and not pad:
        remedy = "ask for fewer frames, or repeat the last one (pad)"
        raise ClipError(path, f"{len(reader)} frames decoded, the model needs at least {count}", remedy)
    return frames
