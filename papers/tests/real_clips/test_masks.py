"""Where models looked, scored by masks: figures that can be counted by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch

from onlooker.config import DataConfig
from onlooker.localization.parameters import LocalizationParameters
from onlooker.models.registry import create_model
from onlooker.recognizer import Classification, Recognizer
from onlooker.structures import Clip, ClipError
from onlooker.video.write import write
from onlooker_papers.real_clips.masks import NOT_BLACK, read_truth, score_places
from onlooker_papers.results import means

DATA = DataConfig(frames=4, size=32, normalization="half")


class Looks(Recognizer):
    """Looks at the bright square; in odd frames to the left of it."""

    def classify(self, samples: torch.Tensor) -> Classification:
        bright = (samples[..., 0] > 150).float()
        bright[:, 1::2] = torch.roll(bright[:, 1::2], -16, 3)
        maps = torch.nn.functional.avg_pool2d(bright, 4) + 1e-4
        scores = torch.tensor([0.1, 0.9]).expand(*samples.shape[:2], 2)
        return Classification(scores, maps / maps.sum((2, 3), keepdim=True))


def looks() -> Looks:
    model = create_model("convalstm", 2, size=32, hidden=4)
    parameters = LocalizationParameters(foreground="contrast", threshold=0.35, onset=0.0)
    return Looks(model, ("jump", "wave"), DATA, localization=parameters)


def make_set(folder: Path, clips: int = 1) -> tuple[Path, Path]:
    """Clips with a square that walks, on black, and its masks, whose first frame is empty."""
    for name, rows in (("wave", 20), ("jump", 28)):
        for number in range(clips):
            video, mask = np.zeros((4, 64, 64, 3), np.uint8), np.zeros((4, 64, 64, 3), np.uint8)
            for t in range(4):
                video[t, rows : rows + 16, 20 + 4 * t : 36 + 4 * t] = 255
                mask[t, rows : rows + 16, 20 + 4 * t : 36 + 4 * t] = 255 if t else 0
            write(folder / "clips" / name / f"{number}.mp4", video, fps=4)
            write(folder / "masks" / name / f"{number}.mp4", mask, fps=4)
    return folder / "clips", folder / "masks"


def test_figures_are_those_that_are_counted_by_hand(tmp_path: Path) -> None:
    clips, masks = make_set(tmp_path)
    clip = Clip(clips / "wave" / "0.mp4", "wave")
    figures = score_places([(looks(), [clip])], read_truth(str(masks), clips))
    assert figures["frames"] == 3, "the first mask is empty"
    assert figures["peak_in_silhouette"] == pytest.approx(1 / 3), "frames 1 and 3 are looked at beside it"
    assert figures["peak_in_box"] == pytest.approx(1 / 3)
    assert figures["cell"]["peak_in_silhouette"] == pytest.approx(1 / 3)
    assert figures["cell"]["box_iou"] == figures["box_iou"], "the same boxes"
    assert 1 / 3 <= figures["box_iou_50"] < 1
    center = figures["baselines"]["center"]
    assert center["peak_in_silhouette"] == 1, "the middle, 32, is in 24 to 40, 28 to 44 and 32 to 48"
    # A box of 32 pixels from 16 on around one of 16 by 16, all of it inside: 256 of 1024.
    assert center["box_iou"] == pytest.approx(0.25)
    assert center["box_iou_50"] == 0
    twice = score_places([(looks(), [clip]), (looks(), [clip])], read_truth(str(masks), clips))
    assert twice["frames"] == 6
    assert twice["peak_in_silhouette"] == figures["peak_in_silhouette"]
    assert means([figures, {**twice, "box_iou": figures["box_iou"] + 0.5}])["box_iou"] == pytest.approx(
        figures["box_iou"] + 0.25
    )


def test_what_is_not_black_is_a_mask_too(tmp_path: Path) -> None:
    clips, _ = make_set(tmp_path)
    clip = Clip(clips / "wave" / "0.mp4", "wave")
    figures = score_places([(looks(), [clip])], read_truth(NOT_BLACK, clips))
    assert figures["frames"] == 4


def test_masks_that_do_not_fit_say_so(tmp_path: Path) -> None:
    clips, masks = make_set(tmp_path)
    clip = Clip(clips / "wave" / "0.mp4", "wave")
    write(masks / "wave" / "0.mp4", np.zeros((4, 32, 64, 3), np.uint8), fps=4)
    with pytest.raises(ClipError, match=r"frames of \(64, 64\) and masks of \(32, 64\)"):
        score_places([(looks(), [clip])], read_truth(str(masks), clips))
