"""The steps of a recording as one prediction, with all of its events."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.stream.events import Finder
from onlooker.structures import ClipError, Prediction, Segment, Step, Tube

__all__ = ["recorded"]


def recorded(path: Path | str, watched: Iterable[Step], finder: Finder) -> tuple[Prediction, list[Segment]]:
    """The steps of one recording as a prediction, and the events as they were final while it was watched.

    The events of the prediction are found by all windows; tubes are the boxes during these events. The probability of a
    class is the highest score of a window, in the whole recording and, of those that contain it, at each frame; that of
    nothing is one minus the highest one of an event.

    Args:
        watched: of a model with an event layer; the pixels are not kept.
        finder: that of the model.

    Raises:
        ClipError: no steps: the recording is too short for the model.
    """
    steps, live, size = list[Step](), list[Segment](), None
    for step in watched:
        live += step.events
        if step.pixels is not None:  # else it is the last step again, with its events
            size = step.pixels.shape[0], step.pixels.shape[1]
            steps.append(replace(step, pixels=None))
    if not steps:
        raise ClipError(path, "too short for this model", "give a longer clip")
    first, times = steps[0], [step.time for step in steps]
    windows = _stacked([step.windows for step in steps])
    assert windows is not None
    events = finder.find(times, windows)
    frame_scores = _with_nothing(highest_around(windows, finder.lengths), finder.nothing)
    scores = _with_nothing(windows.max((0, 1)), finder.nothing)
    prediction = Prediction(
        Path(path),
        first.classes,
        frame_scores,
        scores,
        np.array(times),
        np.array([step.index for step in steps]),
        attention=_stacked([step.attention for step in steps]),
        size=size,
        tubes=tuple(_tubes(steps, events)),
        segments=tuple(sorted(events, key=lambda event: -event.score)),
        points=None if first.attention is None else _stacked([step.point or (np.nan, np.nan) for step in steps]),
        heat=_stacked([step.heat for step in steps]),
        threshold=min(finder.threshold, 1.0),
        nothing=first.nothing,
    )
    return prediction, live


def highest_around(windows: NDArray[np.float32], lengths: Sequence[int]) -> NDArray[np.float32]:
    """The highest score of the windows that contain a frame, `T K`; scores of windows are given by their last frames,
    `T L K`."""
    highest = np.zeros((len(windows), windows.shape[2]), np.float32)
    for place, length in enumerate(lengths):
        for later in range(min(length, len(windows))):
            here = highest[: len(windows) - later]
            np.maximum(here, windows[later:, place], out=here)
    return highest


def _with_nothing(scores: NDArray[np.float32], nothing: int | None) -> NDArray[np.float32]:
    """Scores `… K` of events, with that of nothing."""
    if nothing is not None:
        scores[..., nothing] = 1 - np.delete(scores, nothing, -1).max(-1, initial=0)
    return scores


def _tubes(steps: Sequence[Step], events: Sequence[Segment]) -> Iterable[Tube]:
    """The boxes during each event, if there are any."""
    for event in events:
        boxes = {step.index: step.box.corners for step in steps if step.box and event.start <= step.time < event.end}
        if boxes:
            corners = np.array([*boxes.values()], np.float32)
            yield Tube(event.label, np.array([*boxes]), corners, event.score)


def _stacked(values: Sequence[Any]) -> NDArray[np.float32] | None:
    return None if values[0] is None else np.array(values, np.float32)
