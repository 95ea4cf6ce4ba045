"""Golden values of samples (pixels, flow, times) and of predictions by small models with the random
weights of seed 0: of clips, and of streams.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from golden import check
from numpy.typing import NDArray
from PIL import Image

from onlooker.base.config import DataConfig
from onlooker.base.decision import Decision
from onlooker.base.records import Prediction
from onlooker.data.array_cache import ArrayCache
from onlooker.data.clips import cached_sample
from onlooker.data.samples import read_sample
from onlooker.localization import localize
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer
from onlooker.video.reader import VideoReader, read

CLASSES = ("left", "right", "up")


def recognizer(model: str, data: Mapping[str, Any] = {}, **settings: Any) -> Recognizer:
    given = {"frames": 6, "size": 32, "normalization": "half", "translate": 0.0, "scale": 0.0}
    chosen = DataConfig(**{**given, **data})
    torch.manual_seed(0)
    network = create_model(
        model,
        len(CLASSES),
        in_channels=chosen.in_channels,
        size=chosen.size,
        hidden=8,
        **settings,
    )
    return Recognizer(network, chosen, Decision(CLASSES))


def linear() -> Recognizer:
    """A linear model as after fitting: what is usual in the training clips, and weights that are
    not zero.
    """
    torch.manual_seed(0)
    model = LinearClassifier(len(CLASSES), window=6, size=32)
    for buffer in (model.head.center, model.head.scale):
        buffer.copy_(0.5 + torch.rand(buffer.shape))
    return Recognizer(
        model, DataConfig(frames=6, size=32, normalization="half"), Decision(CLASSES)
    )


def textured() -> NDArray[np.uint8]:
    """12 frames, 64×48, in which a square moves right, stops, and moves right again."""
    background = np.random.default_rng(3).integers(60, 90, (48, 64, 3)).astype(np.uint8)
    video = np.stack([background] * 12)
    for frame, x in zip(video, (2, 6, 10, 14, 14, 14, 18, 22, 26, 30, 34, 38), strict=True):
        frame[18:32, x : x + 14] = (230, 120, 40)
    return video


def write_pictures(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    """A clip of numbered PNGs."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(pixels):
        Image.fromarray(frame).save(folder / f"{number:04}.png", compress_level=1)
    return folder


def write_video(
    path: Path, pixels: NDArray[np.uint8], codec: str, pix_fmt: str, rate: int, **options: str
) -> Path:
    """A video file whose bytes do not depend on what ran before, as those of x264 do."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = pix_fmt
        for frame in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


GRAY = {"channels": 1}
FLOW = {"modality": "both"}
PREDICTED: dict[str, Callable[[], Recognizer]] = {
    "convalstm": lambda: recognizer("convalstm"),
    "alstm": lambda: recognizer("alstm"),
    "linear": linear,
    "motion": lambda: recognizer("motion", data=FLOW, flow_channels=2),
    "convlstm": lambda: recognizer("convlstm"),
    "stn": lambda: recognizer("lstm", data=GRAY, encoder="stn"),
    "stn-2": lambda: recognizer("lstm", data=GRAY, encoder="stn:2"),
    "tracks": lambda: recognizer("tracks", data=GRAY, head="each-glimpse", stretch=3),
}


def plainly(seen: Prediction) -> dict[str, Any]:
    names = ("frame_scores", "scores", "times", "indices", "attention", "points", "heat")
    return {
        **{name: getattr(seen, name) for name in names},
        "classes": list(seen.classes),
        "size": None if seen.size is None else list(seen.size),
        "tubes": [{**asdict(tube)} for tube in seen.tubes],
        "segments": [segment.bare_dict() for segment in seen.segments],
    }


@pytest.mark.parametrize("name", PREDICTED)
def test_a_prediction(name: str, tmp_path: Path) -> None:
    check(
        f"predict-{name}",
        plainly(PREDICTED[name]().predict(write_pictures(tmp_path / "clip", textured()))),
        rtol=1e-4,
    )


def looked(frames: int = 16) -> tuple[Prediction, NDArray[np.uint8]]:
    """A confident prediction of a square, attention on it, and the frames; made without a model."""
    chance = np.random.default_rng(4)
    images = chance.integers(60, 80, (frames, 32, 32, 3)).astype(np.uint8)
    images[1:] = images[:1]
    maps = chance.uniform(0.0, 0.3, (frames, 4, 4)).astype(np.float32)
    for t in range(frames):
        x = 2 + t
        y = 12 + t // 3
        images[t, y : y + 9, x : x + 9] = (220, 90, 30)
        images[t, 2:6, 22 - t // 2 : 26 - t // 2] = (30, 200, 220)
        maps[t, (y + 4) // 8, (x + 4) // 8] = 3.0
        maps[t, 0, 2] = 1.5
    maps /= maps.sum((1, 2), keepdims=True)
    sure = np.exp(-(((np.arange(frames) - 9) / 3.0) ** 2))[:, None] * [2.5, 0.4, 1.0]
    scores = np.exp(sure + chance.normal(0, 0.1, sure.shape))
    scores /= scores.sum(1, keepdims=True)
    seen = Prediction(
        path=Path("clip"),
        decision=Decision(CLASSES),
        frame_scores=scores.astype(np.float32),
        scores=scores.mean(0).astype(np.float32),
        times=np.arange(frames) / 8,
        indices=np.arange(frames) * 2,
        attention=maps,
        size=(48, 64),
    )
    return seen, images


def test_places_and_times() -> None:
    check("locate", plainly(localize(*looked())), rtol=1e-4)


@pytest.mark.parametrize("name", ["convalstm", "linear", "lstm"])
def test_a_stream(name: str, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mkv", looked()[1], "ffv1", "bgr0", 8)
    found = []
    names = ("index", "time", "scores", "attention", "heat", "happening")
    for step in (linear() if name == "linear" else recognizer(name)).watch(clip):
        told = {part: getattr(step, part) for part in names}
        boxes = [{"label": box.label, "corners": list(box.corners)} for box in step.boxes]
        found.append(
            {**told, "boxes": boxes, "point": None if step.point is None else list(step.point)}
        )
    check(f"stream-{name}", {"steps": found}, rtol=1e-4)


HEIGHT = 60
WIDTH = 80
FRAMES = 24


def frames(count: int = FRAMES, seed: int = 0) -> NDArray[np.uint8]:
    """A static textured background and two moving textured squares: `T H W 3`."""
    chance = np.random.default_rng(seed)

    def rough(height: int, width: int) -> NDArray[np.int64]:
        coarse = chance.integers(30, 226, (height // 4, width // 4, 3))
        return coarse.repeat(4, 0).repeat(4, 1) + chance.integers(-15, 16, (height, width, 3))

    wall = rough(HEIGHT, WIDTH)
    large = rough(20, 20)
    small = rough(12, 12)
    video = np.empty((count, HEIGHT, WIDTH, 3), np.uint8)
    for t in range(count):
        video[t] = wall
        for square, x, y in ((large, 6 + 2 * t, 8 + t), (small, 60 - t, 40 - t // 2)):
            side = len(square)
            left = min(x, WIDTH - len(square))
            top = min(y, HEIGHT - len(square))
            video[t, top : top + side, left : left + side] = square
    return video


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    lossy = {"threads": "1", "qscale": "2"}
    return {
        "pictures": write_pictures(folder / "a", frames()),
        "short": write_pictures(folder / "b", frames(4, 1)),
        "mp4": write_video(folder / "c.mp4", frames(), "mpeg4", "yuv420p", 10, **lossy),
    }


CONFIGS: dict[str, dict[str, Any]] = {
    "rgb": {},
    "grey": {"channels": 1},
    "large": {"size": 96, "frames": 3},
    "flow": {"modality": "flow"},
    "both": {"modality": "both"},
}


def config(name: str) -> DataConfig:
    return DataConfig(**{"frames": 6, "size": 32, **CONFIGS[name]})


def sample(path: Path, name: str) -> dict[str, Any]:
    seen = read_sample(path, config(name))
    return {
        "pixels": seen.pixels,
        "times": seen.times,
        "indices": seen.indices.tolist(),
        "size": list(seen.size),
    }


def cached(path: Path, name: str, cache: Path) -> list[NDArray[Any]]:
    return [np.load(file) for file in cached_sample(path, config(name), ArrayCache(cache))]


@pytest.mark.parametrize("name", CONFIGS)
def test_samples(name: str, clips: dict[str, Path], tmp_path: Path) -> None:
    check(
        f"samples_{name}",
        {
            of: {"read": sample(path, name), "cached": cached(path, name, tmp_path / of)}
            for of, path in clips.items()
        },
    )


def test_reading(clips: dict[str, Path]) -> None:
    found: dict[str, Any] = {}
    for name, path in clips.items():
        equal = read(path, 7)
        reader = VideoReader(path)
        chosen = reader.get([len(reader) - 1, 2, 2, 0], shorter_side=24)
        together = list(iter(reader))
        found[name] = {
            "read": [equal.pixels, equal.times, equal.indices],
            "picked": [chosen.pixels, chosen.times, chosen.indices],
            "streamed": [np.stack([pixels for _, _, pixels in together])],
            "streamed_times": [seconds for _, seconds, _ in together],
            "streamed_indices": [index for index, _, _ in together],
        }
    check("video_read", found)
