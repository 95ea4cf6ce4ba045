"""Accuracy, confidence and log loss after the first frames, and their table."""

import math

import torch

from onlooker_papers.real_clips.first_frames import COUNTS, figures_of
from onlooker_papers.real_clips.tables import first_frames


def test_figures_are_those_of_the_frame() -> None:
    logits = torch.zeros(4, 16, 2)
    logits[:, 7:, 1] = 20.0
    figures = figures_of(logits, torch.tensor([1, 1, 1, 0]))
    assert list(figures) == [str(count) for count in COUNTS]
    assert math.isclose(figures["4"]["log_loss"], math.log(2), rel_tol=1e-6)
    assert figures["4"]["confidence"] == 0.5
    assert figures["8"]["accuracy"] == 0.75
    assert figures["8"]["confidence"] > 0.999


def test_the_table_has_a_row_for_each_way() -> None:
    row = figures_of(torch.tensor([[[0.0, 30.0]] * 16]), torch.tensor([1]))
    figures = {"first-frames": {"weizmann": {"clips": 93, "by as many frames": row, "by whole clips": row}}}
    table = first_frames(figures).markdown()
    assert table.count("| weizmann (93 clips) |") == 2
    assert "| by whole clips | 100.0 (100.0) |" in table
