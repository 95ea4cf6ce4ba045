"""Attention, heat maps and boxes of the default model next to its encoder, per frame on one core,
in clips and streams.

    python benchmarks/bench_boxes.py

Clips of generated figures, 16 frames of 112 pixels, whose camera stands still; and the same with a
camera that pans.
"""

from collections.abc import Callable
from functools import partial

import harness
import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.data.stick_figures import StickFigures
from onlooker.data.transforms import to_video
from onlooker.localization import find_boxes, link
from onlooker.localization.boxes import find_rectangles, heat_maps
from onlooker.localization.motion import moving
from onlooker.models.linear import LinearClassifier

FRAMES = 16
SIDE = 112
CLASSES = 18


def clip(pan: int) -> NDArray[np.uint8]:
    """Frames of a person who walks, seen by a camera that pans by some pixels a frame."""
    figures = StickFigures(frames=FRAMES, fps=8, size=(SIDE, SIDE + FRAMES * pan), people=2)
    frames = figures.video("walk").pixels
    return np.stack([frame[:, t * pan : t * pan + SIDE] for t, frame in enumerate(frames)])


def in_clip(frames: NDArray[np.uint8], attention: NDArray[np.float32]) -> None:
    """Heat maps and linked boxes of a clip."""
    link([find_rectangles(each) for each in heat_maps(attention, moving(frames))])


def in_stream(frames: NDArray[np.uint8], attention: NDArray[np.float32]) -> None:
    """The same of a stream."""
    state = None
    for frame, of_frame in zip(frames, attention, strict=True):
        *_, state = find_boxes(state, of_frame, frame)


@torch.inference_mode()
def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = LinearClassifier(CLASSES, "small", window=FRAMES, size=SIDE, pretrained=True).eval()
    works: dict[str, Callable[[], object]] = {}
    for name, pan in {"still camera": 0, "moving camera": 3}.items():
        frames = clip(pan)
        video = to_video(torch.from_numpy(frames[None]), "imagenet", 0)
        features = model.encode_video(video)
        attention = model.forward_features(features).attention
        assert attention is not None
        maps = attention[0].numpy()
        frame_features = features[0].flatten(2)
        works |= {
            f"{name}: encoder": partial(model.encode_video, video),
            f"{name}: attention": partial(model._attention, frame_features, frame_features),
            f"{name}: clip": partial(in_clip, frames, maps),
            f"{name}: stream": partial(in_stream, frames, maps),
        }
    seconds = harness.medians(harness.interleaved(works, options.repetitions))
    times = {name: round(1e3 * each / FRAMES, 3) for name, each in seconds.items()}
    ratios = {}
    for name in ("still camera", "moving camera"):
        for way in ("clip", "stream"):
            with_attention = seconds[f"{name}: attention"] + seconds[f"{name}: {way}"]
            ratios[f"{name}: {way}"] = round(with_attention / seconds[f"{name}: encoder"], 3)
    harness.show("A frame, ms", ["part", "ms"], [[name, each] for name, each in times.items()])
    print(ratios)
    what = "attention, heat map and boxes per frame, as a share of the encoder's time, on one core"
    print(
        harness.record(
            "bench-boxes", what, {"ratios": ratios, "milliseconds": times}, seeds=[0], packages=()
        )
    )


if __name__ == "__main__":
    main()
