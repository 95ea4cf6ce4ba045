"""Reading 30 equally spaced frames of short and long clips in three containers, next to OpenCV,
decord, torchcodec.

torchcodec needs FFmpeg's libraries (Debian's `ffmpeg`). Results are recorded with all peers only.
"""

import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import av
import cv2
import harness
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from onlooker.video.reader import read
from onlooker.video.sampling import equally_spaced

COUNT = harness.size(30, 5)
FPS = 25
WIDTH = 320
HEIGHT = 240
# Seconds that are encoded, and number of repetitions in the file (encoding ten minutes would take
# longer than the benchmark). The length is prime, so that the sampled frames lie anywhere between
# two keyframes.
LENGTHS = {"short": harness.size((10, 1), (1, 1)), "long": harness.size((47, 13), (1, 2))}
KINDS = {
    # regular keyframes, as cameras write them
    "mp4": (".mp4", "libx264", {"preset": "veryfast", "g": "30"}),
    # x264's own default: a keyframe every 250 frames
    "mp4-gop250": (".mp4", "libx264", {"preset": "veryfast"}),
    "avi": (".avi", "mpeg4", {"b": "600k"}),  # FFmpeg's default: a keyframe every 12 frames
    "webm": (
        ".webm",
        "libvpx-vp9",
        {"deadline": "realtime", "cpu-used": "8", "b": "400k", "g": "128"},
    ),
}
SEED = 0


def scene(index: int, background: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A moving camera over a textured background, three moving disks, and sensor noise."""
    time = index / FPS
    affine = cv2.getRotationMatrix2D((320, 240), 8 * np.sin(time / 3), 1 + 0.15 * np.sin(time / 5))
    affine[:, 2] += -160 + 90 * np.sin(time / 7), -120 + 60 * np.cos(time / 4)
    frame = cv2.warpAffine(background, affine, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    for disk in range(3):
        x = WIDTH / 2 + (60 + 30 * disk) * np.sin(time * (0.7 + 0.3 * disk) + disk)
        y = HEIGHT / 2 + 80 * np.cos(time * (1.1 - 0.2 * disk))
        cv2.circle(
            frame,
            (round(x), round(y)),
            14 + 6 * disk,
            (60 * disk + 40, 220 - 70 * disk, 90),
            -1,
            cv2.LINE_AA,
        )
    noise = rng.integers(-4, 5, (HEIGHT // 2, WIDTH // 2, 1), np.int16).repeat(2, 0).repeat(2, 1)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def make(path: Path, codec: str, options: dict[str, str], *, seconds: int, times: int) -> Path:
    """Encode the scene and repeat it in one file, unless the file exists."""
    if path.exists():
        return path
    rng = np.random.default_rng(SEED)
    blurred = cv2.GaussianBlur(rng.integers(0, 256, (480, 640, 3), np.uint8), (0, 0), 5)
    background = cv2.normalize(blurred, blurred, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    part = path.with_name(f"part-{path.name}")
    with av.open(str(part), "w") as container:
        stream = container.add_stream(
            codec, rate=Fraction(FPS), options={k: v for k, v in options.items() if k != "b"}
        )
        assert isinstance(stream, VideoStream)
        stream.width = WIDTH
        stream.height = HEIGHT
        stream.pix_fmt = "yuv420p"
        if "b" in options:
            stream.bit_rate = int(options["b"].replace("k", "000"))
        for index in range(seconds * FPS):
            container.mux(
                stream.encode(
                    VideoFrame.from_ndarray(scene(index, background, rng), format="rgb24")
                )
            )
        container.mux(stream.encode(None))
    return repeat(part, path, seconds=seconds, times=times) if times > 1 else part.replace(path)


def repeat(once: Path, path: Path, *, seconds: int, times: int) -> Path:
    """Repeat the packets of a video in one file."""
    part = path.with_name(f"repeat-{path.name}")
    with av.open(str(part), "w") as out:
        stream = None
        for repetition in range(times):
            with av.open(str(once)) as source:
                video = source.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                for packet in source.demux(video):
                    if packet.size:
                        shift = round(seconds * repetition / packet.time_base)
                        packet.pts = None if packet.pts is None else packet.pts + shift
                        packet.dts = None if packet.dts is None else packet.dts + shift
                        packet.stream = stream
                        out.mux(packet)
    once.unlink()
    return part.replace(path)


def by_onlooker(path: Path) -> NDArray[np.uint8]:
    return read(path, COUNT).pixels


def by_opencv(path: Path) -> NDArray[np.uint8]:
    """Grab every frame and convert the sampled ones, which is faster in OpenCV than seeking."""
    video = cv2.VideoCapture(str(path))
    wanted = equally_spaced(int(video.get(cv2.CAP_PROP_FRAME_COUNT)), COUNT).tolist()
    frames = list[NDArray[Any]]()
    for index in range(wanted[-1] + 1):
        video.grab()
        if index == wanted[len(frames)]:
            frames.append(cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB))
    return np.stack(frames)


def by_opencv_seeking(path: Path) -> NDArray[np.uint8]:
    """Set the position before each frame."""
    video = cv2.VideoCapture(str(path))
    frames = []
    for index in equally_spaced(int(video.get(cv2.CAP_PROP_FRAME_COUNT)), COUNT).tolist():
        video.set(cv2.CAP_PROP_POS_FRAMES, index)
        frames.append(cv2.cvtColor(video.read()[1], cv2.COLOR_BGR2RGB))
    return np.stack(frames)


def by_decord(path: Path) -> NDArray[np.uint8]:
    """`get_batch`, which seeks; with one thread where several fail (sometimes with VP9)."""
    from decord import DECORDError, VideoReader

    for threads in (0, 1):
        try:
            video = VideoReader(str(path), num_threads=threads)
            return video.get_batch(equally_spaced(len(video), COUNT).tolist()).asnumpy()
        except DECORDError:
            if threads == 1:
                raise
    raise AssertionError("unreachable")


def by_torchcodec(path: Path) -> NDArray[np.uint8]:
    """`get_frames_at` in its default mode, which indexes the file first and is exact."""
    from torchcodec.decoders import VideoDecoder

    video = VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=0)
    return video.get_frames_at(equally_spaced(len(video), COUNT).tolist()).data.numpy()


def same(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> bool:
    """Whether the frames are the same, except for the conversion to RGB: much closer than adjacent
    frames are.
    """
    return ours.shape == theirs.shape and bool(
        np.abs(ours.astype(np.int16) - theirs).mean((1, 2, 3)).max() < 3
    )


PEERS: dict[str, Callable[[Path], NDArray[np.uint8]]] = {
    "opencv": by_opencv,
    "opencv-seeking": by_opencv_seeking,
    "decord": by_decord,
    "torchcodec": by_torchcodec,
}


def loadable() -> dict[str, Callable[[Path], NDArray[np.uint8]]]:
    """The peers that can be imported here; prints the others, with the reason."""
    peers = dict(PEERS)
    for name, module in {"decord": "decord", "torchcodec": "torchcodec.decoders"}.items():
        try:
            import_module(module)
        except (ImportError, OSError, RuntimeError) as error:
            print(
                f"{name} is left out, because it cannot be imported: {str(error).strip().splitlines()[0]}"
            )
            del peers[name]
    return peers


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("--repetitions", type=int, default=7)
    arguments.add_argument(
        "--only", nargs="*", default=[], help="cases such as 'short mp4'; results are not recorded"
    )
    arguments.add_argument("--folder", type=Path, help="keeps the clips; default: they are removed")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as removed:
        folder = options.folder or Path(removed)
        folder.mkdir(parents=True, exist_ok=True)
        measure(folder, options.repetitions, options.only)


def measure(folder: Path, repetitions: int, only: list[str]) -> None:
    """Read the clips by every reader, and record the times."""
    peers = loadable()
    ratios = dict[str, float]()
    seconds = dict[str, float]()
    differing = []
    rows = []
    for length, (duration, times) in LENGTHS.items():
        for kind, (suffix, codec, settings) in KINDS.items():
            case = f"{length} {kind}"
            if only and case not in only:
                continue
            # The name contains the settings, so that a file with other settings is not reused.
            name = "-".join([length, *(f"{key}_{value}" for key, value in settings.items())])
            path = make(
                folder / f"{name}-{codec}{suffix}", codec, settings, seconds=duration, times=times
            )
            ours = by_onlooker(path)
            works = {}
            for name, peer in peers.items():
                if not same(ours, peer(path)):
                    differing.append(f"{case} {name}")
                works[name] = partial(peer, path)
            measured = harness.interleaved(
                {"onlooker": partial(by_onlooker, path), **works}, repetitions
            )
            found = harness.ratios(measured)
            ratios |= {f"{case} {name}": ratio for name, ratio in found.items()}
            seconds |= {f"{case} {name}": median(times) for name, times in measured.items()}
            rows.append([case, 1e3 * median(measured["onlooker"]), *found.values()])
    harness.show("30 frames of a clip", ["clip", "ms", *(f"{name} / ours" for name in peers)], rows)
    if differing:
        print("Frames that differ from ours:", ", ".join(differing))
    if len(peers) < len(PEERS) and not harness.smoke():
        print("not recorded")
    elif not only:
        figures = {"ratios": ratios, "seconds": seconds, "other_frames": differing}
        print(
            harness.record(
                "bench-read",
                __doc__.partition("\n")[0],
                figures,
                seeds=[SEED],
                packages=["decord", "torchcodec"],
            )
        )


if __name__ == "__main__":
    main()
