"""Golden values of generated figures: their pixels and boxes."""

import numpy as np
from golden import check

from onlooker.data.stick_figures import ACTIONS, StickFigures, near_life


def test_figures() -> None:
    figures = StickFigures(frames=4, fps=4, size=(48, 64))
    videos = [figures.video(action, 3, seed=5) for action in ACTIONS]
    check(
        "figures",
        {
            "pixels": np.stack([video.pixels for video in videos]),
            "boxes": np.stack([video.boxes for video in videos]),
            "recordings": [video.recording for video in videos],
            "life": np.stack([*near_life(1, 2, fps=2, seed=5).frames]),
        },
    )
