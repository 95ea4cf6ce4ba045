"""Eyes of a model besides pictures: they see all frames of a video, also between two frames that
the model gets.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onlooker.video.motion_words import motion_eye
from onlooker.video.resize import Pixels

Floats = NDArray[np.float32]
EyeRows = Mapping[str, Floats]  # by the names of eyes (`Eye.step`)


class Eye(Protocol):
    """One more input of a model.

    Args:
        num_features: F, of four parts of equal length (`base.fisher.PARTS`).
        digest: of all that its features depend on; part of the key under which they are stored.
    """

    num_features: int
    digest: str

    def step(self, frame: Pixels, time: float, state: Any) -> tuple[Any, Floats]:  # noqa: ANN401 - each eye has its own state
        """The state after a frame; and how many things are seen that end with it, and the sums of
        their features, `1+F`: rows of several frames are added up.

        Args:
            frame: `H W 3`, RGB, or `H W 1`, at the size of the file.
            time: in seconds.
            state: after the frame before; None at the first one.
        """

    def finish(self, state: Any) -> Floats:  # noqa: ANN401 - each eye has its own state
        """The row of a video that ends before anything was seen, from the state after its last
        frame.
        """


EYES: dict[str, Callable[[], Eye]] = {"motion": motion_eye}


def eyes_of(setting: str) -> dict[str, Eye]:
    """The eyes of a model besides pictures, by `DataConfig.layer_eyes`: one, none, or all of them."""
    names = [setting] if setting in EYES else [] if setting == "pictures" else EYES
    return {name: EYES[name]() for name in names}


def look(
    eyes: Mapping[str, Eye], frame: Pixels, time: float, *, states: Mapping[str, Any]
) -> tuple[dict[str, Any], EyeRows]:
    """The states of eyes after a frame, and their rows of it (`Eye.step`)."""
    seen = {name: eye.step(frame, time, states.get(name)) for name, eye in eyes.items()}
    rows = {name: row for name, (_, row) in seen.items()}
    return {name: state for name, (state, _) in seen.items()}, rows


def describe(
    eyes: Mapping[str, Eye], frames: Iterable[tuple[float, Pixels]], times: Sequence[float]
) -> dict[str, Floats]:
    """What eyes see in a video: one row per time, `T 1+F`, with all that ends after the time before
    and not after this one; the last row also has all that ends later.

    Args:
        frames: time in seconds and pixels (`Eye.step`) of all frames.
        times: in seconds, ascending.
    """
    features = {
        name: np.zeros((len(times), 1 + eye.num_features), np.float32) for name, eye in eyes.items()
    }
    ends = np.array(times[:-1])
    states = dict[str, Any]()
    for time, frame in frames:
        for name, eye in eyes.items():
            states[name], row = eye.step(frame, time, states.get(name))
            if row[0]:
                features[name][np.searchsorted(ends, time)] += row
    for name, state in states.items():
        if not features[name][:, 0].any():
            features[name][-1] = eyes[name].finish(state)
    return features


def added(rows: EyeRows, more: EyeRows) -> EyeRows:
    """The sums of rows; an eye that is left out has seen nothing."""
    return {**rows, **{name: rows.get(name, 0) + row for name, row in more.items()}}
