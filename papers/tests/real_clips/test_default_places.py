"""The default command is trained on a split and scored by true boxes."""

from pathlib import Path

import numpy as np
from numpy.testing import assert_array_equal

from onlooker.data.split import Split
from onlooker.structures import Clip, Tube
from onlooker.video.write import write
from onlooker_papers.real_clips.default_places import BASELINES, WAYS, figures_of, in_boxes, train
from onlooker_papers.real_clips.masks import NOT_BLACK, read_truth
from onlooker_papers.real_clips.tables import default_places
from onlooker_papers.videolstm.ucf101_24 import AnnotatedClip


def walking_squares(folder: Path) -> list[Clip]:
    """Four clips of each of two classes: a square on black that walks to the right or down."""
    clips = []
    for label, (right, down) in (("right", (4, 0)), ("down", (0, 4))):
        for number in range(4):
            video = np.zeros((8, 64, 64, 3), np.uint8)
            for t in range(8):
                x, y = 8 + right * t + number, 8 + down * t + 2 * number
                video[t, y : y + 16, x : x + 16] = 255
            clips.append(Clip(write(folder / label / f"{number}.mp4", video, fps=8), label))
    return clips


def test_boxes_are_masks_at_the_size_of_the_clips(tmp_path: Path) -> None:
    path = write(tmp_path / "Surfing" / "a.mp4", np.zeros((4, 32, 48, 3), np.uint8), fps=4)
    boxes = np.array([[20, 10, 40, 30], [0, 0, 8, 8]], np.float32)
    tube = Tube("Surfing", np.array([1, 2]), boxes, 1.0)
    masks = in_boxes({"Surfing/a": AnnotatedClip("Surfing/a", 4, (tube,))})(Clip(path, "Surfing"), np.array([0, 1, 3]))
    expected = np.zeros((3, 32, 48), bool)
    expected[1, 5:15, 10:20] = True
    assert_array_equal(masks, expected)


def test_a_set_is_trained_scored_and_shown(tmp_path: Path) -> None:
    clips = walking_squares(tmp_path / "clips")
    fitted, (validated, *tested) = clips[:3] + clips[4:6], (clips[6], clips[3], clips[7])
    split = Split(tuple(fitted), (validated,), tuple(tested))
    run = train(split, tmp_path / "runs" / "split1")
    changed = (run / "report.html").stat().st_mtime_ns
    assert (train(split, run) / "report.html").stat().st_mtime_ns == changed, "trained once"
    figures = figures_of([run], read_truth(NOT_BLACK, tmp_path / "clips"), None, boxes=True)
    assert (figures["clips"], figures["frames"]) == (2, 16)
    for way in (*WAYS, *BASELINES):
        assert 0 <= figures[way]["peak_in_silhouette"] <= figures[way]["peak_in_box"] <= 1
    assert figures["moving"]["peak_in_box"] > 0.8, "nothing else moves"
    assert "box_iou" not in figures["cell"], "it is a point"
    only = figures_of([run], read_truth(NOT_BLACK, tmp_path / "clips"), ["down/3"], boxes=False)
    assert (only["clips"], list(only["default"])) == (1, ["peak_in_silhouette"])
    table = default_places({"default-places": {"walking_squares": figures}}).markdown()
    assert f"| walking squares | the default command | {100 * figures['default']['peak_in_silhouette']:.1f} |" in table
    assert "16 frames of 2 test clips" in table
