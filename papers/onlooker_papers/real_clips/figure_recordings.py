"""Generated figures in recordings: the default command is trained on short clips, and finds events
of other people.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

import onlooker
from onlooker.base.records import Segment
from onlooker.data.stick_figures import StickFigures, write_set
from onlooker.recognizer import Recognizer
from onlooker.report.events import event_figures, segment_map, segment_overlaps
from onlooker.video.write import write

__all__ = ["figures_in_recordings"]

OVERLAPS = (0.3, 0.5, 0.7)
_EVERYBODY = 16  # people
_PEOPLE = range(12, _EVERYBODY)  # of recordings
# pauses of about two seconds
_RECORDED = StickFigures(frames=96, event=(0.4, 0.6), people=_EVERYBODY)
_CLIP = StickFigures(event=(1, 1), people=_EVERYBODY)
_PAUSED = StickFigures(people=_EVERYBODY)  # an event in half of a clip or more
_REPEATED = ("bend", "jumping_jack", "kick", "wave")
_REPEATING = _PEOPLE[:2]
_TIMES = 10


def figures_in_recordings(people: int) -> dict[str, Any]:
    """Segment-mAP of recordings with pauses; in clips, the IoU in time of the event with the true
    one; and the error of counting continuous repetitions.

    `people`: at most 12, whose clips, one of each action, are trained on.
    """
    with TemporaryDirectory() as folder:
        clips = write_set(Path(folder) / "clips", people, figures=_CLIP)
        run = onlooker.train(clips, run=Path(folder) / "run", quiet=True)
        recognizer = onlooker.load(run.path)
        offline = dict[str, list[Segment]]()
        live = dict[str, list[Segment]]()
        true = dict[str, list[Segment]]()
        seconds = dict[str, float]()
        for person in track(_PEOPLE, "recordings of figures"):
            name = str(person)
            frames, true[name] = _recording(recognizer.classes, person)
            path = write(Path(folder) / f"{name}.mp4", frames, _RECORDED.fps)
            prediction, live[name] = recognizer.predict_recording(path)
            offline[name] = [*prediction.segments]
            seconds[name] = len(frames) / _RECORDED.fps
        overlaps = [
            _overlaps(recognizer, action, person, Path(folder))
            for action in track(recognizer.classes, "clips with pauses")
            for person in _PEOPLE
        ]
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
        "by_chance": {"named": reported["found_by_chance"] / reported["events"]},
        "events": reported["events"],
        "hours": reported["hours"],
        "clips": dict(zip(("whole", "found"), np.mean(overlaps, 0).tolist(), strict=True)),
        "repetitions": {"true": _TIMES, "counted": counts, "error": error},
    }


def _recording(actions: tuple[str, ...], person: int) -> tuple[NDArray[np.uint8], list[Segment]]:
    """All actions of one person once, in random order, and when they are."""
    parts = list[NDArray[np.uint8]]()
    events = list[Segment]()
    at = 0
    for action in np.random.default_rng(person).permutation(actions).tolist():
        video = _RECORDED.video(action, person)
        moving = np.flatnonzero(video.moving)
        events.append(
            Segment(action, (at + moving[0]) / _RECORDED.fps, (at + moving[-1] + 1) / _RECORDED.fps)
        )
        parts.append(video.pixels)
        at += len(video.pixels)
    return np.concatenate(parts), events


def _overlaps(
    recognizer: Recognizer, action: str, person: int, folder: Path
) -> tuple[float, float]:
    """The IoU in time of a whole clip, and of the event in it, with the true event."""
    video = _PAUSED.video(action, person)
    path = write(folder / f"{action}-{person}-paused.mp4", video.pixels, _PAUSED.fps)
    moving = np.flatnonzero(video.moving) / _PAUSED.fps
    true = Segment(action, moving[0], moving[-1] + 1 / _PAUSED.fps)
    whole = Segment(action, 0, len(video.pixels) / _PAUSED.fps)
    segments = [whole, *(recognizer.predict(path).segments or (whole,))]
    return tuple(segment_overlaps(segments[:2], [true])[:, 0].tolist())


def _counted(recognizer: Recognizer, action: str, person: int, folder: Path) -> int:
    """How many events of an action are found where it is repeated without a pause."""
    frames = np.concatenate([_CLIP.video(action, person).pixels] * _TIMES)
    path = write(folder / f"{action}-{person}.mp4", frames, _CLIP.fps)
    return sum(event.label == action for event in recognizer.predict_recording(path)[0].segments)
