"""How long after their begin and their end events are announced, in the time of the stream.

    python benchmarks/bench_announce.py

The default linear model is fitted to generated clips of stick figures with four actions, as by
`onlooker train`. Then it watches videos of other people, of 12 s each with one action of 1 to 1.6 s.
The time that a computer needs for a frame comes in addition (`bench_live.py`). Begins that are
withdrawn are counted; delays are those of events that are found and named.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

import harness
import numpy as np

import onlooker
from onlooker.data.stick_figures import FigureVideo, StickFigures, write_set
from onlooker.recognizer import Recognizer
from onlooker.video.write import write

ACTIONS = harness.size(("jump", "kick", "walk", "wave"), ("kick", "walk"))
CLIPS = harness.size(12, 3)  # of each action
VIDEOS = harness.size(20, 1)  # of each action
SIDE = harness.size(64, 32)
SECONDS = harness.size(12, 4)
FPS = harness.size(24, 8)
TRAINING = StickFigures(frames=2 * FPS, fps=FPS, people=CLIPS)
STREAM = StickFigures(
    frames=SECONDS * FPS, fps=FPS, event=(1 / SECONDS, 1.6 / SECONDS), people=VIDEOS
)
PERCENTILES = {"median": 50, "90 %": 90}


class Announced(NamedTuple):
    """What was announced in one video, of an action that begins and ends at known times.

    Args:
        begin, end: seconds from the begin and the end of the action to their announcements; None: it
            was not found, or not named.
        begins, withdrawn: how many.
    """

    begin: float | None
    end: float | None
    begins: int
    withdrawn: int


def watched(recognizer: Recognizer, action: str, video: FigureVideo) -> Announced:
    """The announcements in one video."""
    moving = np.flatnonzero(video.moving) / FPS
    start = float(moving[0])
    end = float(moving[-1])
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "stream.mp4", video.pixels, fps=FPS)
        changes = [(step.time, event) for step in recognizer.watch(path) for event in step.changes]
    announced = {event.id: time for time, event in changes if event.phase == "begin"}
    phases = [event.phase for _, event in changes]
    counts = phases.count("begin"), phases.count("withdrawn")
    for time, event in changes:
        is_this = event.label == action and event.start < end and event.end > start
        if event.phase == "end" and is_this:
            return Announced(announced[event.id] - start, time - end, *counts)
    return Announced(None, None, *counts)


def main() -> None:
    harness.parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips = write_set(Path(folder) / "clips", CLIPS, figures=TRAINING, actions=ACTIONS)
        run = onlooker.train(clips, Path(folder) / "run", size=SIDE, encoder="small", quiet=True)
        recognizer = onlooker.load(run.path)
    results = [
        watched(recognizer, action, STREAM.video(action, number, seed=1))
        for action in ACTIONS
        for number in range(VIDEOS)
    ]
    delays = {
        "begin": [result.begin for result in results if result.begin is not None],
        "end": [result.end for result in results if result.end is not None],
    }
    figures = {
        "delay": {
            what: {
                name: round(float(np.percentile(seconds, percentile)), 2)
                for name, percentile in PERCENTILES.items()
            }
            for what, seconds in delays.items()
            if seconds
        },
        "events": len(results),
        "found": len(delays["end"]),
        "begins": sum(result.begins for result in results),
        "withdrawn": sum(result.withdrawn for result in results),
    }
    print(figures)
    what = "seconds from the begin and the end of generated actions to their announcements"
    print(harness.record("bench-announce", what, figures, seeds=[0, 1], packages=()))


if __name__ == "__main__":
    main()
