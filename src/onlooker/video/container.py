"""Opening a video file that may be damaged, hostile, or no video at all: an open stream, or an error that says why."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from onlooker.structures import ClipError

MAX_SIDE = 16384
MAX_PIXELS = 8192 * 8192  # of one frame; a header of a few bytes can ask for gigabytes

# Only demuxers of single video files: FFmpeg also reads playlists that name other files and web addresses.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpeg,mpegts,mpegvideo,m4v,asf,flv,ogg,h264,hevc,ivf"

REENCODE = "encode it again (ffmpeg -i IN OUT.mp4), or remove it"


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file and its first video stream, ready to decode.

    One thread decodes: so damaged files come out the same every time. Memory stays within what frames of MAX_PIXELS
    need, except that FFmpeg reserves up to 2 GB for a moment where an avi header claims a text of that length.

    Raises:
        ClipError: naming the file, what was found there, and what to do.
    """
    check_file(path)
    try:
        # The prefix keeps FFmpeg from taking a name with a colon for a protocol.
        container = av.open(
            f"file:{path}",
            options={"format_whitelist": _FORMATS, "protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)},
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, OSError, ValueError, RuntimeError) as error:
        found = (
            "the file starts like a video but cannot be opened" if _starts_like_a_video(path) else "not a video file"
        )
        raise ClipError(path, f"{found} ({reason(error)})", REENCODE) from error
    with container:
        stream = video_stream(path, container)
        context = stream.codec_context
        context.options = {"max_pixels": str(MAX_PIXELS)}
        context.thread_count = 1
        yield container, stream


def check_file(path: Path) -> None:
    """Raise a ClipError for what is not a readable file with something in it."""
    try:
        if not path.exists():
            raise ClipError(path, "no such file", "check the path")
        if not path.is_file():
            # A pipe would wait for a writer, a device never ends.
            raise ClipError(path, "not a regular file", "give a video file or a folder of numbered pictures")
        with path.open("rb") as file:
            empty = not file.read(1)
    except ClipError:
        raise
    except PermissionError as error:
        raise ClipError(path, "permission denied", "allow reading it (chmod u+r)") from error
    except (OSError, ValueError) as error:
        raise ClipError(path, f"cannot be read ({reason(error)})", "check the path and the disk") from error
    if empty:
        raise ClipError(path, "zero bytes", "copy or record it again, or remove it")


def check_size(path: Path | str, width: int, height: int) -> None:
    """Raise a ClipError for frames of a size that no camera has."""
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        found = f"frames of {width}x{height} pixels claimed"
        limit = f"at most {MAX_SIDE} a side and {MAX_PIXELS:,} in all are read"
        raise ClipError(path, found, f"{limit}; scale it down, or remove it if the header is damaged")


def video_stream(path: Path | str, container: InputContainer) -> VideoStream:
    """The stream that is the film: not sound, not a cover picture.

    Raises:
        ClipError: there is none, or none that can be decoded.
    """
    if not container.streams.video:
        kinds = sorted({stream.type for stream in container.streams})
        found = f"no video stream, only {' and '.join(kinds)}" if kinds else "no video stream"
        raise ClipError(path, found, "give a file with pictures in it")
    # Cover art is a video stream too, of one picture; the film is the one without that mark.
    films = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not films:
        raise ClipError(path, "no video stream, only a cover picture", "give a file with moving pictures in it")
    stream = films[0]
    if stream.codec_context is None:
        raise ClipError(path, "a video codec that FFmpeg does not know", REENCODE)
    check_size(path, stream.codec_context.width, stream.codec_context.height)
    return stream


def _starts_like_a_video(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(12)
    return start[4:8] in (b"ftyp", b"moov", b"mdat") or start.startswith((b"\x1aE\xdf\xa3", b"RIFF", b"GIF8"))


def reason(error: BaseException) -> str:
    """What an error of PyAV or of the system says, to stand in the middle of a sentence."""
    # PyAV's errors carry FFmpeg's sentence where OSError carries the system's.
    text: str = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:].rstrip(".")
