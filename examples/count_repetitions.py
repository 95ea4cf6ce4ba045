"""Count repetitions live. Train on clips of one repetition each: every event of the class is one."""

import argparse
import sys
from collections.abc import Iterable, Iterator

import onlooker
from onlooker.base.config import StreamConfig


def repetitions(steps: Iterable[onlooker.Step], name: str) -> Iterator[float]:
    """The end of each repetition, seconds."""
    for step in steps:
        yield from (event.end for event in step.events if event.label == name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("RUN", help="a trained run")
    parser.add_argument("SOURCE", help="a video file, an address, or the number of a camera")
    parser.add_argument("CLASS", help="what is counted")
    alarms = "false alarms an hour that you accept; with more of them, fewer repetitions are missed"
    parser.add_argument("ALARMS", nargs="?", type=float, default=6, help=alarms)
    run, source, name, accepted = vars(parser.parse_args()).values()
    recognizer = onlooker.load(run)
    if name not in recognizer.classes:
        sys.exit(f"{name} is no class of {run}; its classes are {', '.join(recognizer.classes)}")
    config = StreamConfig(alarms_per_hour=accepted)
    for number, seconds in enumerate(repetitions(recognizer.watch(source, config), name), 1):
        print(f"{seconds:8.2f} s  {number}", flush=True)
