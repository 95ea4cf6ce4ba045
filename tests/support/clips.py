"""Generated video files for tests. Every frame contains its number, so that tests can check which
frames were read.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image

from onlooker.base.records import Clip
from onlooker.data.folder import read_folder

Make = Callable[..., Path]  # the fixture `make_clip`
BITS = 10
CODECS = {
    ".mp4": "libx264",
    ".mkv": "libx264",
    ".mov": "libx264",
    ".avi": "mpeg4",
    ".webm": "libvpx-vp9",
    ".gif": "gif",
    ".ts": "mpeg2video",
}
FORMATS = {"gif": "bgr8", "mjpeg": "yuvj420p", "ffv1": "yuv420p"}


def paint(number: int, size: tuple[int, int] = (64, 48)) -> NDArray[np.uint8]:
    """A frame `H W 3`: its number in black and white blocks along the top, below them a moving
    gradient.
    """
    width, height = size
    y, x = np.mgrid[:height, :width]
    frame = np.stack(
        [(2 * x + 7 * number) % 256, (2 * y + 3 * number) % 256, (x + y) % 256], -1
    ).astype(np.uint8)
    for bit in range(BITS):
        left = bit * width // BITS
        right = (bit + 1) * width // BITS
        frame[: height // 3, left:right] = 255 if number >> bit & 1 else 0
    return frame


def painted_number(frame: NDArray[np.uint8]) -> int:
    """The number that `paint` wrote, read from the middle of each block."""
    height, width = frame.shape[:2]
    row = frame[height // 6].mean(-1)
    return sum(
        int(row[(2 * bit + 1) * width // (2 * BITS)] > 127) << bit for bit in range(BITS)
    )


def painted_numbers(frames: Iterable[NDArray[np.uint8]]) -> list[int]:
    """The number of each frame."""
    return [painted_number(frame) for frame in frames]


def make_images(folder: Path, names: Iterable[str]) -> Path:
    """Write painted frames as images of these names, numbered from 0, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(paint(number)).save(folder / name)
    return folder


def touch(root: Path, *names: str) -> Path:
    """Write files of one byte, which look like clips by their names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def make_clip(
    path: Path,
    frames: int = 20,
    size: tuple[int, int] = (64, 48),
    fps: float = 10,
    codec: str | None = None,
    rotation: int = 0,
    pts: Sequence[int] | None = None,
    pix_fmt: str | None = None,
    options: dict[str, str] | None = None,
    audio: int = 0,
    container_options: dict[str, str] | None = None,
    matrix: int | None = None,
    first: int = 0,
) -> Path:
    """Write a video of painted frames.

    Args:
        path: where to; the suffix chooses the container and, unless `codec` is given, the codec.
        frames: how many.
        size: width and height.
        fps: frames a second.
        codec: an FFmpeg encoder.
        rotation: degrees counter-clockwise that the file asks a player to turn it by.
        pts: the time of each frame in milliseconds, for a variable frame rate.
        pix_fmt: FFmpeg's name of the pixel format in the file.
        options: of the encoder, such as {"g": "5"}.
        audio: seconds of silence to add.
        container_options: of the container, such as those that encrypt it.
        matrix: number of the color matrix that the file says it has.
        first: number of the first painted frame.
    """
    codec = codec or CODECS[path.suffix]
    rate = Fraction(fps).limit_denominator(1000)
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt or FORMATS.get(codec, "yuv420p")
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if matrix is not None:
            stream.codec_context.colorspace = matrix
        if rotation:
            stream.set_display_rotation(rotation)
        sound = (
            container.add_stream("aac" if path.suffix != ".webm" else "libopus", rate=48000)
            if audio
            else None
        )
        for number in range(frames):
            frame = VideoFrame.from_ndarray(paint(first + number, size), format="rgb24")
            if matrix is not None:
                frame = frame.reformat(format="yuv420p")
                frame.colorspace = matrix
            if pts is not None:
                frame.pts = pts[number]
                frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _silence(container, sound, audio)
    return path


def remux(
    source: Path,
    target: Path,
    packets: slice = slice(None),
    earlier: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """Copy packets of a video, without decoding them, to times that are some seconds earlier."""
    with av.open(str(source)) as given, av.open(str(target), "w", options=options or {}) as out:
        video = given.streams.video[0]
        copy = out.add_stream_from_template(video)
        for packet in [packet for packet in given.demux(video) if packet.size][packets]:
            shift = round(earlier / packet.time_base)
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = copy
            out.mux(packet)
    return target


def make_sound(path: Path, seconds: int = 1, form: str = "mp4") -> Path:
    """Write a file with some seconds of silence and no video stream."""
    with av.open(str(path), "w", format=form) as container:
        _silence(container, container.add_stream("aac", rate=48000), seconds)
    return path


def _silence(
    container: av.container.OutputContainer, stream: av.AudioStream, seconds: int
) -> None:
    for start in range(0, 48000 * seconds, 960):
        block = av.AudioFrame.from_ndarray(
            np.zeros((2, 960), np.float32), format="fltp", layout="stereo"
        )
        block.sample_rate = 48000
        block.pts = start
        block.time_base = Fraction(1, 48000)
        container.mux(stream.encode(block))
    container.mux(stream.encode(None))


def all_frames(path: Path) -> tuple[list[NDArray[np.uint8]], list[float]]:
    """Every frame and its time by PyAV, as the reference for readers."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = [
            (np.rot90(f.to_ndarray(format="rgb24"), f.rotation // 90), f.pts)
            for f in container.decode(stream)
        ]
        return [pixels for pixels, _ in decoded], [
            float((pts - decoded[0][1]) * stream.time_base) for _, pts in decoded
        ]


def damage(path: Path, kind: str, seed: int) -> Path:
    """Damage a video in place, in one of the ways of DAMAGES; the same seed does the same damage."""
    path.write_bytes(DAMAGES[kind](path.read_bytes(), random.Random(seed), path))
    return path


def _overwritten(whole: bytes, rng: random.Random, path: Path) -> bytes:
    data = bytearray(whole)
    for _ in range(rng.choice((1, 10, 100, 1000))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _zeroed(whole: bytes, rng: random.Random, path: Path) -> bytes:
    """A download that never came to its end."""
    start = rng.randrange(len(whole))
    return whole[:start] + bytes(len(whole) - start)


def _text(whole: bytes, rng: random.Random, path: Path) -> bytes:
    characters = "#EXTM3U file://etc/passwd\nhttp: 0123"
    return "".join(rng.choice(characters) for _ in range(5000)).encode()


def _without_moov(whole: bytes, rng: random.Random, path: Path) -> bytes:
    start = whole.find(b"moov")
    return whole[: start - 4 if start > 4 else len(whole) // 2]


def _shuffled(whole: bytes, rng: random.Random, path: Path) -> bytes:
    """Blocks of a disk in the wrong order."""
    block = max(len(whole) // 16, 1)
    blocks = [whole[i : i + block] for i in range(0, len(whole), block)]
    rng.shuffle(blocks)
    return b"".join(blocks)


def _claim_huge(whole: bytes, rng: random.Random, path: Path) -> bytes:
    """Absurd numbers where the container writes the size of the picture, or anywhere in the tables
    of an mp4.
    """
    data = bytearray(whole)
    boxes = {b"avc1": 28, b"mp4v": 28, b"tkhd": 80, b"stsz": 12, b"stts": 8, b"mdhd": 16}
    places = [data.rfind(name) + offset for name, offset in boxes.items() if name in data]
    if data.startswith(b"GIF8"):
        data[6:10] = b"\xff\xff\xff\xff"
    elif data.startswith(b"RIFF"):
        at = data.find(b"strf") + 12
        data[at : at + 8] = (20000).to_bytes(4, "little") + (64).to_bytes(4, "little")
    elif places:
        for at in places if rng.random() < 0.5 else [rng.choice(places)]:
            data[at : at + 4] = b"\x7f\xff\xff\xff"
    else:
        at = rng.randrange(16, 256)
        data[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(data)


DAMAGES: dict[str, Callable[[bytes, random.Random, Path], bytes]] = {
    "truncated": lambda whole, rng, _: whole[: rng.randrange(1, len(whole))],
    "overwritten": _overwritten,
    "zero bytes": lambda *_: b"",
    "zeroed": _zeroed,
    "text": _text,
    "audio only": lambda _, __, path: make_sound(path).read_bytes(),
    "one frame": lambda _, __, path: make_clip(path, frames=1).read_bytes(),
    "missing moov": _without_moov,
    "huge claim": _claim_huge,
    "shuffled": _shuffled,
}


def scene(
    seed: int, T: int = 24, side: int = 96, mover: int = 20, take: int = 0
) -> NDArray[np.uint8]:
    """A background of random patches with a moving bright square, `T H W 3`; the motion depends on
    the take.
    """
    rough = np.random.default_rng(seed).integers(30, 200, (8, 8, 3)).astype(np.uint8)
    video = np.repeat(
        cv2.resize(rough, (side, side), interpolation=cv2.INTER_CUBIC)[None], T, 0
    )
    chance = np.random.default_rng((seed, take))
    corner = chance.uniform(0, side - mover, 2)
    for frame in video:
        corner = np.clip(corner + chance.uniform(-12, 12, 2), 0, side - mover)
        x, y = corner.astype(int)
        frame[y : y + mover, x : x + mover] = 255
    return video


def find_clips(folder: Path, classes: int = 2) -> list[Clip]:
    """All clips of a folder, sorted, whatever their split."""
    return [*read_folder(folder, classes).clips]
