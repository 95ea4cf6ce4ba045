"""Generated figures in recordings: the default command is trained on short clips, and finds events of other people."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

import onlooker
from onlooker.data.stick_figures import StickFigures, write_set
from onlooker.evaluation.detection import event_figures, segment_map
from onlooker.recognizer import Recognizer
from onlooker.structures import Segment
from onlooker.video.write import write

__all__ = ["figures_in_recordings"]

OVERLAPS = (0.3, 0.5, 0.7)
_CLIPS = 6  # of each action, by as many people
_PEOPLE = range(6, 10)  # of recordings
_RECORDED = StickFigures(frames=96, event=(0.4, 0.6))  # pauses of about two seconds
_REPEATED, _REPEATING, _TIMES = ("bend", "jumping_jack", "kick", "wave"), (6, 7), 10


def figures_in_recordings() -> dict[str, Any]:
    """Segment-mAP of recordings with pauses, and the error of counting continuous repetitions."""
    with TemporaryDirectory() as folder:
        clips = write_set(Path(folder) / "clips", _CLIPS, figures=StickFigures(event=(1, 1)))
        run = onlooker.train(clips, run=Path(folder) / "run", quiet=True)
        recognizer = onlooker.load(run.path)
        offline, live, true = dict[str, list[Segment]](), dict[str, list[Segment]](), dict[str, list[Segment]]()
        seconds = 0.0
        for person in track(_PEOPLE, "recordings of figures"):
            name = str(person)
            frames, true[name] = _recording(recognizer.classes, person)
            path = write(Path(folder) / f"{name}.mp4", frames, _RECORDED.fps)
            prediction, live[name] = recognizer.predict_recording(path)
            offline[name] = [*prediction.segments]
            seconds += len(frames) / _RECORDED.fps
        counts = [
            _counted(recognizer, action, person, Path(folder))
            for action in track(_REPEATED, "repetitions")
            for person in _REPEATING
        ]
    maps = {
        way: dict(zip(map(str, OVERLAPS), segment_map(found, true, OVERLAPS).tolist(), strict=True))
        for way, found in (("offline", offline), ("live", live))
    }
    reported = event_figures(live, true, seconds)
    error = float(np.mean(np.abs(np.subtract(counts, _TIMES))))
    return {
        "segment_map": maps,
        "named": reported["found"] / reported["events"],
        "events": reported["events"],
        "hours": seconds / 3600,
        "repetitions": {"true": _TIMES, "counted": counts, "error": error},
    }


def _recording(actions: tuple[str, ...], person: int) -> tuple[NDArray[np.uint8], list[Segment]]:
    """All actions of one person once, in random order, and when they are."""
    parts, events, at = list[NDArray[np.uint8]](), list[Segment](), 0
    for action in np.random.default_rng(person).permutation(actions).tolist():
        video = _RECORDED.video(action, person)
        moving = np.flatnonzero(video.moving)
        events.append(Segment(action, (at + moving[0]) / _RECORDED.fps, (at + moving[-1] + 1) / _RECORDED.fps))
        parts.append(video.pixels)
        at += len(video.pixels)
    return np.concatenate(parts), events


def _counted(recognizer: Recognizer, action: str, person: int, folder: Path) -> int:
    """How many events of an action are found where it is repeated without a pause."""
    figures = StickFigures(event=(1, 1))
    frames = np.concatenate([figures.video(action, person).pixels] * _TIMES)
    path = write(folder / f"{action}-{person}.mp4", frames, figures.fps)
    return sum(event.label == action for event in recognizer.predict_recording(path)[0].segments)
