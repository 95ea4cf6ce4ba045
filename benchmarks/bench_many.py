"""The linear model fitted to many clips with stored features: CPU seconds and memory by their number.

    python benchmarks/bench_many.py

Generated feature maps as those of `lite0`, 16 frames of each clip, 20 clips of each recording:
classes, recordings and clips have channels of their own. Their statistics are computed, the layers
are chosen and fitted, with events, and all clips are cross-validated with the chosen layers, as in
`onlooker train`. The time to generate the maps is left out. Each number of clips has a process of
its own, on one core.
"""

import json
import resource
import subprocess
import sys
import time
from typing import Any

import harness
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from onlooker.base.config import DataConfig
from onlooker.base.decision import Decision
from onlooker.models.linear import LinearClassifier
from onlooker.training.events import MOST_CLIPS, ClipFeatures
from onlooker.training.eyes import cross_validated
from onlooker.training.linear import statistics_of
from onlooker.training.linear_fitter import fit_layers

NUMBERS = {100: 10, 1_000: 20, 5_000: 100, 20_000: 100}  # of clips: classes
FRAMES = 16
OF_RECORDING = 20  # clips
NOISE = 16  # maps that the clips share, shifted by random times and places


class GeneratedFeatures(Dataset[tuple[Tensor, int, int]]):
    """Stored features `T h w D` float16 of clips, their classes and positions.

    Args:
        count, classes: numbers of clips and classes.
        shape: `T h w D`.
    """

    def __init__(self, count: int, classes: int, shape: tuple[int, int, int, int]) -> None:
        random = np.random.default_rng(0)
        D = shape[-1]
        self.targets = np.arange(count) % classes
        self.recordings = random.permutation(np.arange(count) // OF_RECORDING)
        self.means = random.normal(0, 0.3, (classes, D)).astype(np.float32)
        self.places = random.normal(0, 0.5, (count, D)).astype(np.float32)
        self.noise = random.standard_normal((NOISE, *shape), np.float32).reshape(NOISE, -1, D)
        self.shape = shape
        self.seconds = 0.0  # of CPU, to generate clips

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        begin = time.process_time()
        random = np.random.default_rng(index)
        target = int(self.targets[index])
        noise = np.roll(self.noise[index % NOISE], random.integers(self.noise.shape[1]), axis=0)
        gain, own = random.normal(0, 1, (2, self.shape[-1])).astype(np.float32)
        center = self.means[target] + self.places[self.recordings[index]] + own / 2
        maps = np.maximum(noise * np.exp(gain / 4) + center, 0).astype(np.float16)
        features = torch.from_numpy(maps.reshape(self.shape))
        self.seconds += time.process_time() - begin
        return features, target, index


def measure(count: int, classes: int) -> dict[str, Any]:
    """CPU and wall-clock seconds, and the peak of the memory in GB."""
    torch.set_num_threads(1)
    encoder = harness.size("lite0", "conv4")
    size = harness.size(224, 64)
    net = LinearClassifier(classes, encoder, size=size, window=FRAMES, pretrained=False)
    shape = (FRAMES, *net.grid, net.encoder.num_features)
    features = GeneratedFeatures(count, classes, shape)
    begin = time.perf_counter()
    times = [time.process_time()]
    streamed = range(0, count, max(1, count // MOST_CLIPS))
    encoded = statistics_of(
        net,
        features,
        features.recordings.astype(str).tolist(),
        data=DataConfig(frames=FRAMES, size=size),
        with_features=streamed,
    )
    clips = encoded.clips
    times.append(time.process_time() - features.seconds)
    decision = Decision([f"class {number}" for number in range(classes)], frame_rate=10.0)
    stream_clips = [ClipFeatures(maps, number) for number, maps in encoded.features.items()]
    choice, _ = fit_layers(net, clips, decision, stream_clips=stream_clips, early=encoded.early)
    times.append(time.process_time() - features.seconds)
    scores, _ = cross_validated(clips, choice)
    times.append(time.process_time() - features.seconds)
    parts = dict(zip(("statistics", "fit", "cross-validation"), np.diff(times), strict=True))
    total = times[-1] - times[0]
    return {
        "classes": classes,
        "cpu_seconds": {name: round(float(seconds), 1) for name, seconds in parts.items()},
        "cpu_minutes": round(total / 60, 2),
        "cpu_milliseconds_a_clip": round(1000 * total / count, 1),
        "wall_minutes": round((time.perf_counter() - begin) / 60, 2),
        "memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "accuracy": round(float((scores.argmax(1) == clips.y).mean()), 4),
        "method": str(choice.pictures.method),
    }


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("--clips", type=int, help="measure this number alone, and print it")
    options = arguments.parse_args()
    if options.clips:
        print(json.dumps(measure(options.clips, NUMBERS.get(options.clips, 100))))
        return
    figures = dict[str, Any]()
    if harness.smoke():
        figures["24"] = measure(24, 2)
    for count in harness.size(NUMBERS, {}):
        command = [sys.executable, __file__, "--clips", str(count)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        figures[str(count)] = json.loads(output.splitlines()[-1])
        print(count, figures[str(count)], flush=True)
    what = (
        "the linear model fitted to many clips with stored features, by their number, on one core"
    )
    print(harness.record("bench-many", what, figures, seeds=[0]))


if __name__ == "__main__":
    main()
