"""Figures of places leave out frames in which nothing is to be found."""

import numpy as np

from onlooker.localization.parameters import LocalizationParameters
from onlooker_papers.videolstm import tables
from onlooker_papers.videolstm.places import TrueBoxes, localization_figures


def moving_square() -> tuple[np.ndarray, np.ndarray]:
    """A bright square that walks from the left to the right: `1 6 32 32 3`, and its boxes."""
    images = np.full((1, 6, 32, 32, 3), 60, np.uint8)
    boxes = np.zeros((1, 6, 4), np.float32)
    for t in range(6):
        images[0, t, 12:20, 4 * t : 4 * t + 8] = 240
        boxes[0, t] = (4 * t, 12, 4 * t + 8, 20)
    return images, boxes


def looking() -> np.ndarray:
    """On the four cells that the square covers, of a grid of 8 by 8."""
    maps = np.full((1, 6, 8, 8), 1e-3, np.float32)
    for t in range(6):
        maps[0, t, 3:5, t : t + 2] = 1
    return maps / maps.sum((2, 3), keepdims=True)


def test_tubes_end_where_the_class_does_when_they_are_trimmed() -> None:
    images, boxes = moving_square()
    maps, event = looking(), boxes.copy()
    event[0, :2] = np.nan
    truth = TrueBoxes(images, event, [1], ("rest", "walk"))
    scores = np.array([[[1, 0]] * 2 + [[0, 1]] * 4], np.float32)
    trimmed, whole = (
        localization_figures(
            scores, maps, truth, LocalizationParameters(foreground="contrast", threshold=0.2, onset=onset)
        )
        for onset in (0.5, 0.0)
    )
    assert trimmed["pointing"] == trimmed["cor_loc"] == trimmed["frame_map_50"] == trimmed["video_map_50"] == 1.0
    assert whole["video_map_50"] == 1.0
    assert whole["video_map_50_95"] < trimmed["video_map_50_95"], "a tube of six frames for four"


def test_the_table_has_grad_cam_of_every_model() -> None:
    figures = dict.fromkeys(("point", "cor_loc", "frame_map_50", "video_map_50", "video_map_50_95"), 0.25)
    baselines = {"center": figures, "grad_cam": {**figures, "point": 0.5}}
    row = {**figures, "baselines": baselines}
    table = tables.places({"moving-target": {"localized": {"motion": row, "motion-grounded": row}}})
    assert [cells[0] for cells in table.rows] == [
        "attention of `motion`", "attention of `motion-grounded`", "Grad-CAM of `motion`",
        "Grad-CAM of `motion-grounded`", "a centered box; classes of `motion-grounded`",
    ]  # fmt: skip
    assert [cells[1] for cells in table.rows] == ["25.0", "25.0", "50.0", "50.0", "25.0"]
