"""A step of the default model with the event layer next to one without it, of one frame on one
core.

    python benchmarks/bench_events.py

Windows have the lengths that training chooses for clips of equal length: .5, .7, 1 and 1.3 times 16
frames. Encoding, attention and the layer of classes are part of both steps; finding events in the
scores is part of the one with them.
"""

import harness
import numpy as np
import torch

from onlooker.base.decision import Decision
from onlooker.models.linear import LinearClassifier
from onlooker.stream.segmenters import WindowSegmenter
from onlooker.training.events import window_lengths

FRAMES = 16
SIDE = 112
CLASSES = 18


class Stream:
    """A model on a stream of random frames."""

    def __init__(self, lengths: tuple[int, ...]) -> None:
        self.model = LinearClassifier(
            CLASSES,
            "small",
            window=FRAMES,
            size=SIDE,
            pretrained=True,
            lengths=lengths,
            heads={"event": 1, "window": CLASSES} if lengths else {},
        ).eval()
        decision = Decision([str(k) for k in range(CLASSES)])
        self.segmenter = WindowSegmenter(decision, lengths, 0.02) if lengths else None
        self.state = self.model.initial_state(1)
        self.memory = self.segmenter and self.segmenter.start
        self.time = 0.0

    @torch.inference_mode()
    def step(self) -> None:
        """Process one frame."""
        output, self.state = self.model.step(torch.rand(1, 3, SIDE, SIDE), self.state)
        self.time += 0.125
        if self.segmenter and self.memory and output.windows:
            scores = output.windows.scores[0].numpy()
            self.memory = self.segmenter.step(self.memory, self.time, scores).memory


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--repetitions", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lengths = window_lengths([FRAMES], [0], FRAMES)
    streams = {"without events": Stream(()), "with events": Stream(lengths)}
    for stream in streams.values():
        for _ in range(2 * FRAMES):
            stream.step()
    works = {name: stream.step for name, stream in streams.items()}
    seconds = harness.medians(harness.interleaved(works, options.repetitions))
    times = {name: round(1e3 * each, 2) for name, each in seconds.items()}
    ratio = float(np.round(seconds["with events"] / seconds["without events"], 3))
    harness.show("A step, ms", ["step", "ms"], [[name, each] for name, each in times.items()])
    print(ratio)
    what = "a step with the event layer, and events found in its scores, next to one without, on one core"
    print(
        harness.record(
            "bench-events", what, {"ratio": ratio, "milliseconds": times}, seeds=[0], packages=()
        )
    )


if __name__ == "__main__":
    main()
