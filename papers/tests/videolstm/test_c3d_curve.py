"""The learning curve of 3-D convolutions and a ConvLSTM: equal sizes, nested clips, order, and a tiny run."""

from pathlib import Path

import numpy as np
import pytest
import torch

from onlooker.files import read_json
from onlooker.models.video_model import count_parameters
from onlooker_papers.results import assembled
from onlooker_papers.videolstm import c3d_curve, tables
from onlooker_papers.videolstm.c3d_curve import CLASSES, CONTROL, DATA, QUICK, FigureClips, build


def test_models_have_equal_sizes() -> None:
    convolutions = 27 * (3 * 16 + 16 * 32 + 32 * 64 + 64 * 64)
    norms, head = 2 * (16 + 32 + 64 + 64), 65 * len(CLASSES)
    assert count_parameters(build("c3d")) == convolutions + norms + head == 181_750
    assert count_parameters(build("convlstm")) == pytest.approx(181_750, rel=1e-3)


@pytest.mark.parametrize("name", c3d_curve.MODELS)
def test_a_clip_has_a_prediction_at_every_frame(name: str) -> None:
    video = torch.zeros(2, DATA.frames, 3, DATA.size, DATA.size)
    assert build(name)(video).logits.shape == (2, DATA.frames, len(CLASSES))


def test_only_the_control_ignores_the_order_of_frames() -> None:
    torch.manual_seed(0)
    video = torch.rand(2, DATA.frames, 3, DATA.size, DATA.size)
    for name in c3d_curve.MODELS:
        model = build(name).eval()
        with torch.inference_mode():
            forward, backward = (model(each).logits[:, -1] for each in (video, video.flip(1)))
        assert torch.allclose(forward, backward, atol=1e-6) == (name == CONTROL)


def test_fewer_clips_are_part_of_more_and_classes_are_balanced() -> None:
    few, many = FigureClips(6, 5), FigureClips(18, 5)
    assert torch.equal(few.frames, many.frames[:6])
    assert np.bincount(many.targets).tolist() == [3] * len(CLASSES)
    assert len(CLASSES) == 6
    assert not torch.equal(few.frames, FigureClips(6, 6).frames)


def test_a_tiny_run_fills_table_and_plot(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    run, results, image = tmp_path / "run", tmp_path / "results", tmp_path / "plot.png"
    c3d_curve.main(run, results, image, quick=True)
    figures = assembled(results, c3d_curve.FILE)["figures"]
    assert list(figures["curve"]["c3d"]) == ["6", "12"]
    assert list(figures["curve"][CONTROL]) == ["12"]
    for name, of in figures["rates"].items():
        assert of["chosen"] == float(min(of["losses"], key=of["losses"].__getitem__)), name
    assert set(figures["curve"]["convlstm"]["6"]["last"]) == {"training", "validation"}
    # The learning rate is chosen by trainings that never see a test clip.
    chosen = [read_json(path)["figures"] for path in run.glob("*-seed100.json")]
    assert len(chosen) == len(c3d_curve.MODELS) * len(QUICK.rates)
    assert all("accuracy" not in of for of in chosen)
    assert "| `c3d` is better by, points | " in tables.c3d_curve({c3d_curve.FILE: figures}).markdown()
    assert image.read_bytes().startswith(b"\x89PNG")
    before = {path: path.stat().st_mtime_ns for path in run.glob("*.json")}
    c3d_curve.main(run, results, image, quick=True)
    assert before == {path: path.stat().st_mtime_ns for path in run.glob("*.json")}
    with pytest.raises(ValueError, match="made with other settings"):
        c3d_curve.reproduce(run, results, c3d_curve.Budget(**{**vars(QUICK), "test": 6}))
