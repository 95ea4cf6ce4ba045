"""Count repetitions live: `python count_repetitions.py RUN SOURCE CLASS [ALARMS]`.

RUN is a trained run; SOURCE is a video file, an address, or the number of a camera. Train on clips
of one repetition
each: every event of CLASS is one. ALARMS is the number of false alarms an hour that you accept (6);
with more of them, fewer repetitions are missed.
"""

import sys
from collections.abc import Iterable, Iterator

import onlooker
from onlooker.base.config import StreamConfig


def repetitions(steps: Iterable[onlooker.Step], name: str) -> Iterator[float]:
    """The end of each repetition, seconds."""
    for step in steps:
        yield from (event.end for event in step.events if event.label == name)


if __name__ == "__main__":
    run, source, name = sys.argv[1:4]
    recognizer = onlooker.load(run)
    if name not in recognizer.classes:
        sys.exit(f"{name} is no class of {run}; its classes are {', '.join(recognizer.classes)}")
    config = StreamConfig(alarms_per_hour=float(sys.argv[4]) if len(sys.argv) > 4 else 6)
    for number, seconds in enumerate(repetitions(recognizer.watch(source, config), name), 1):
        print(f"{seconds:8.2f} s  {number}", flush=True)
