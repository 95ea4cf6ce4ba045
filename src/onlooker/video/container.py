"""Opening a video file that may be damaged, hostile or no video: an open stream, or an error that
says why.
"""

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from onlooker.base.files import is_regular
from onlooker.base.records import ClipError
from onlooker.base.text import without_password

MAX_SIDE = 16384
MAX_PIXELS = 8192 * 8192  # of one frame; a header of a few bytes can claim gigabytes

# Only demuxers of single video files: FFmpeg also reads playlists, which name other files and web
# addresses.
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpeg,mpegts,mpegvideo,m4v,asf,flv,ogg,h264,hevc,ivf,mjpeg"

# Text in a file that is not UTF-8 is replaced: PyAV 18 raises an error unless it is asked to, later
# versions always do.
LENIENT: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)

_DEFAULT_BONUS = 5_000_000  # pixels that are added to the size of the default stream

_AGAIN = "download or copy it again"
# First bytes of files that are often named like videos, what these files are, and what to do.
_OTHER_FILES = {
    rb"version https://git-lfs": ("a pointer of Git LFS to the video", "run `git lfs pull`"),
    rb"/annex/objects/|\.\./.*/annex/": (
        "a pointer of git-annex to the video",
        "run `git annex get`",
    ),
    rb"(?i)\s*(<!doctype|<html|<\?xml|<head|<error|\{)": (
        "a web page or a message",
        f"{_AGAIN}, maybe logged in",
    ),
    rb"\0GITCRYPT": ("a file that git-crypt has encrypted", "run `git-crypt unlock`"),
    rb"Salted__|age-encryption|-----BEGIN PGP": ("an encrypted file", "decrypt it"),
    rb"PK\x03\x04|Rar!|7z\xbc\xaf|\x1f\x8b": ("an archive", "unpack it"),
    rb"\xff\xd8\xff|\x89PNG|BM": (
        "an image",
        "for an image sequence, give the folder of the images",
    ),
    rb"\0{64}": ("zeros, of a download or copy that has not ended", _AGAIN),
}
MAX_SAMPLES = 10_000_000  # of a file: 24 hours at 115 frames per second

_CONTAINERS = frozenset(
    {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mvex", b"edts", b"udta"}
)
_SOUND = int.from_bytes(b"soun", "big")
# of a track in QuickTime, besides the kind of its content
_DATA_HANDLERS = {int.from_bytes(name, "big") for name in (b"url ", b"alis", b"rsrc")}
_ENCRYPTED = {int.from_bytes(name, "big") for name in (b"encv", b"drmi")}  # formats of a track
_MAX_DEPTH = 10  # FFmpeg refuses deeper boxes
REENCODE = "encode it again (ffmpeg -i IN OUT.mp4), or remove it"


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file and its main video stream, ready to decode; a ClipError says why it cannot
    be.

    Errors of FFmpeg, the disk or the memory inside the `with` are ClipErrors of this file too.

    Memory is limited to what frames of MAX_PIXELS need, except that FFmpeg briefly reserves up to 2
    GB where an avi header claims a text of that length.
    """
    check_file(path)
    options = {
        "format_whitelist": _DEMUXERS,
        "protocol_whitelist": "file",
        "max_pixels": str(MAX_PIXELS),
    }
    try:
        # The prefix keeps FFmpeg from reading a name with a colon as a protocol.
        container = av.open(f"file:{path}", options=options, **LENIENT)
    except (av.error.FFmpegError, OSError, ValueError, RuntimeError) as error:
        problem, remedy = _explained(path)
        raise ClipError(
            path, problem or f"not a video file, or a damaged one ({error_text(error)})", remedy
        ) from error
    with container:
        try:
            yield container, video_stream(path, container)
        except (av.error.FFmpegError, OSError, MemoryError, OverflowError) as error:
            raise ClipError(path, f"cannot be decoded ({error_text(error)})", REENCODE) from error


@contextmanager
def accessing(
    path: Path, remedy: str = "check the path, its permissions and the disk"
) -> Iterator[None]:
    """Errors of the disk become ClipErrors of a clip."""
    try:
        yield
    except ClipError:
        raise
    except (OSError, ValueError) as error:
        raise ClipError(path, f"cannot be read ({error_text(error)})", remedy) from error


def check_file(path: Path) -> None:
    """Raise a ClipError unless a path is a readable, non-empty file; also for an mp4 that claims
    too many samples.
    """
    with accessing(path):
        if not path.exists():
            # a path collapses the slashes
            if re.match(r"[a-z][a-z0-9]+:/", str(path), re.IGNORECASE):
                shown = without_password(str(path))
                raise ClipError(
                    shown,
                    "an address, not a file",
                    "download it, or use `onlooker watch` for addresses",
                )
            raise ClipError(path, "no such file", "check the path")
        if not is_regular(path):
            # Reading a pipe would wait for a writer; a device never ends.
            raise ClipError(
                path, "not a regular file", "give a video file or a folder of numbered images"
            )
        with path.open("rb") as content:
            if not content.read(1):
                raise ClipError(path, "zero bytes", "copy or record it again, or remove it")
        check_samples(path)


def _explained(file: Path) -> tuple[str | None, str]:
    """What a file that cannot be opened is, None if its first bytes do not tell; and what to do."""
    with suppress(OSError), file.open("rb") as content:
        start = content.read(64)
        for pattern, (what, remedy) in _OTHER_FILES.items():
            if re.match(pattern, start):
                return f"not a video file but {what}", remedy
        if start[4:8] == b"ftyp":
            return None, f"{_AGAIN}: its end may be missing; or repair it (untrunc)"
    return None, REENCODE


def check_size(path: Path | str, width: int, height: int) -> None:
    """Raise a ClipError if the frames that a file claims are larger than any camera's."""
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        claim = f"frames of {width}x{height} pixels claimed"
        limit = f"at most {MAX_SIDE} per side and {MAX_PIXELS:,} in all are read"
        raise ClipError(
            path, claim, f"{limit}; scale it down, or remove it if the header is damaged"
        )


def video_stream(path: Path | str, container: InputContainer) -> VideoStream:
    """The main video stream, ready to decode, or a ClipError: not cover art, and not a small
    preview.

    As FFmpeg chooses: the largest frames, where being marked as the default counts as 5 million
    pixels.

    One thread decodes: damaged files give the same frames every time, and live frames are not
    delayed.
    """
    cover = av.stream.Disposition.attached_pic  # a video stream of one image
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        kinds = (
            ["cover art"]
            if container.streams.video
            else sorted({stream.type for stream in container.streams})
        )
        what = f"no video stream, only {' and '.join(kinds)}" if kinds else "no video stream"
        raise ClipError(path, what, "give a file with a video stream")
    stream = max(streams, key=_preference)
    if stream.codec_context is None:
        raise ClipError(path, "a video codec that FFmpeg does not know", REENCODE)
    check_size(path, stream.codec_context.width, stream.codec_context.height)
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    stream.codec_context.thread_count = 1
    return stream


def _preference(stream: VideoStream) -> int:
    context = stream.codec_context
    pixels = context.width * context.height if context else 0
    return pixels + _DEFAULT_BONUS * bool(stream.disposition & av.stream.Disposition.default)


def error_text(error: BaseException) -> str:
    """The message of an error of PyAV or of the system, ready for the middle of a sentence."""
    # PyAV's errors carry FFmpeg's sentence where OSError carries the system's.
    text: str = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:].rstrip(".") or type(error).__name__


def check_samples(path: Path) -> None:
    """Raise a ClipError if a file is an mp4 that claims more samples than it has bytes, or than
    `MAX_SAMPLES`.

    FFmpeg allocates dozens of bytes for each sample that a table (`stsz`) or a fragment (`trun`)
    claims, whether or not the file has any data for it: a few bytes can claim gigabytes of index.
    """
    stat = path.stat()
    claimed = _claimed(path, stat.st_size, stat.st_mtime_ns)
    if claimed > min(stat.st_size, MAX_SAMPLES):
        limit = f"at most one per byte and {MAX_SAMPLES:,} in all are read"
        remedy = f"{limit}; cut it into parts, or remove it if its tables are damaged"
        raise ClipError(path, f"{claimed:,} samples claimed in {stat.st_size:,} bytes", remedy)


@dataclass
class _Track:
    """What the boxes of a track claim.

    Args:
        handlers: the kinds of content that are named.
        unit_durations: of each time table, whether all samples last one unit.
    """

    samples: int = 0
    handlers: set[int] = field(default_factory=set)
    unit_durations: list[bool] = field(default_factory=list)

    @property
    def claimed(self) -> int:
        """Its samples; 0 for uncompressed sound, because FFmpeg indexes it by chunks."""
        by_chunk = any(self.unit_durations) and all(self.unit_durations)
        return 0 if by_chunk and self.handlers == {_SOUND} else self.samples


@lru_cache(maxsize=256)
def _claimed(path: Path, size: int, _changed: int) -> int:
    """The samples of the largest track, or of all fragments."""
    tracks = [_Track()]
    fragments = 0
    with path.open("rb") as file:
        for name, start in _leaves(file, 0, size, depth=0):
            file.seek(start)
            _, one, two, three = struct.unpack(">IIII", file.read(16).ljust(16, b"\0"))
            if name == b"trak":
                tracks.append(_Track())
            elif name == b"hdlr" and two not in _DATA_HANDLERS:
                tracks[-1].handlers.add(two)
            elif name == b"stts":
                tracks[-1].unit_durations.append((one, three) == (1, 1))
            elif name in (b"stsz", b"stz2"):
                tracks[-1].samples = max(tracks[-1].samples, two)
            elif name == b"cmov":
                remedy = "copy it into a new file (ffmpeg -i old.mov -c copy new.mov) if you trust it, or remove it"
                raise ClipError(
                    path, "its index is compressed, and may claim any number of samples", remedy
                )
            elif name == b"stsd" and three in _ENCRYPTED:
                remedy = "only programs that have its key can play it; give a file without copy protection"
                raise ClipError(path, "an encrypted video (DRM)", remedy)
            elif name == b"trun":
                fragments += one
    return max(fragments, *(track.claimed for track in tracks))


def _leaves(file: BinaryIO, start: int, end: int, *, depth: int) -> Iterator[tuple[bytes, int]]:
    """Name and position of the content of every track, and of every box without boxes, as far as
    FFmpeg would read them.
    """
    while end - start >= 8:
        file.seek(start)
        size, name, large = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        head, size = (16, large) if size == 1 else (8, size or end - start)
        if size < head:
            return
        if name not in _CONTAINERS or name == b"trak":
            yield name, start + head
        if name in _CONTAINERS and depth < _MAX_DEPTH:
            yield from _leaves(file, start + head, min(start + size, end), depth=depth + 1)
        start += size
