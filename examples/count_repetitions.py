"""Count repetitions live: `python count_repetitions.py RUN SOURCE CLASS [THRESHOLD]`.

RUN is a trained run; SOURCE is a video file, an address, or the number of a camera. For jumping jacks, train on two
classes, `open` (arms up) and `closed`, and count `open`. A repetition is counted when the probability of the class
rises above THRESHOLD (0.6), and the next one only after it has fallen below one minus THRESHOLD: a class that flickers
is not counted twice."""

import sys
from collections.abc import Iterable, Iterator

import onlooker


def repetitions(steps: Iterable[onlooker.Step], name: str, threshold: float = 0.6) -> Iterator[float]:
    """The time of each repetition, seconds."""
    active = False
    for step in steps:
        score = step.scores[step.classes.index(name)]
        if not active and score > threshold:
            active = True
            yield step.time
        elif active and score < 1 - threshold:
            active = False


if __name__ == "__main__":
    run, source, name = sys.argv[1:4]
    recognizer = onlooker.load(run)
    if name not in recognizer.classes:
        sys.exit(f"{name} is no class of {run}; its classes are {', '.join(recognizer.classes)}")
    counted = repetitions(recognizer.watch(source), name, float(sys.argv[4]) if len(sys.argv) > 4 else 0.6)
    for number, seconds in enumerate(counted, 1):
        print(f"{seconds:8.2f} s  {number}", flush=True)
