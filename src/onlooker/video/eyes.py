"""Eyes of a model besides pictures: they see all frames of a video, also between two frames that
the model gets.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onlooker.video.motion_words import motion_eye
from onlooker.video.resize import Pixels

Floats = NDArray[np.float32]
EyeRows = Mapping[str, Floats]  # by the names of eyes (`Eye.step`)


class Eye(Protocol):
    """One more input of a model."""

    num_features: int

    def step(self, frame: Pixels, time: float, state: Any) -> tuple[Any, Floats]:  # noqa: ANN401 - each eye has its own state
        """The state after a frame; and how many things are seen that end with it, and the sums of
        their features, `1+F`: rows of several frames are added up.

        Args:
            frame: `H W 3`, RGB, or `H W 1`, at the size of the file.
            time: in seconds.
            state: after the frame before; None at the first one.
        """


EYES: dict[str, Callable[[], Eye]] = {"motion": motion_eye}


def look(
    eyes: Mapping[str, Eye], frame: Pixels, time: float, *, states: Mapping[str, Any]
) -> tuple[dict[str, Any], EyeRows]:
    """The states of eyes after a frame, and their rows of it (`Eye.step`)."""
    seen = {name: eye.step(frame, time, states.get(name)) for name, eye in eyes.items()}
    rows = {name: row for name, (_, row) in seen.items()}
    return {name: state for name, (state, _) in seen.items()}, rows


def added(rows: EyeRows, more: EyeRows) -> EyeRows:
    """The sums of rows; an eye that is left out has seen nothing."""
    return {**rows, **{name: rows.get(name, 0) + row for name, row in more.items()}}
