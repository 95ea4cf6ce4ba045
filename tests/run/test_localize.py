"""`onlooker predict --out`: boxes and times in standard formats, drawn clips."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from onlooker.base.config import DataConfig
from onlooker.base.files import NotWritableError
from onlooker.models.registry import create_model
from onlooker.recognizer import Classification, Recognizer
from onlooker.run.predict import predict_clips
from onlooker.video.reader import read
from onlooker.video.write import write
from onlooker_papers.detection import box_iou

Make = Callable[..., Path]
DATA = DataConfig(frames=4, size=32, channels=3, normalization="half")


def recognizer(name: str = "convalstm") -> Recognizer:
    torch.manual_seed(0)
    model = create_model(name, 2, size=32, hidden=4, dropout=0.0)
    return Recognizer(model, ("jump", "wave"), DATA)


def test_every_clip_gets_boxes_times_and_a_drawn_clip(tmp_path: Path, make_clip: Make) -> None:
    run = recognizer().save(tmp_path / "run")
    clips = [make_clip("a.mp4", frames=8), make_clip("b.mp4", frames=8)]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    failed = predict_clips(run, [*clips, broken], tmp_path / "out")
    assert [error.path for error in failed] == [broken]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"{clip}{end}" for clip in "ab" for end in (".mp4", ".json", "-segments.json")}
    seen = json.loads((tmp_path / "out" / "a.json").read_text())
    video = read(clips[0])
    height, width = video.pixels.shape[1:3]
    corners = [box for tube in seen["tubes"] for box in tube["boxes"]]
    assert corners
    for x1, y1, x2, y2 in corners:
        assert 0 <= x1 <= x2 <= width
        assert 0 <= y1 <= y2 <= height
    assert len(read(tmp_path / "out" / "a.mp4")) == len(video)


def test_a_clip_whose_results_have_no_space_does_not_end_the_others(
    tmp_path: Path, make_clip: Make, on_full_disk: Callable[[Path], None]
) -> None:
    run = recognizer().save(tmp_path / "run")
    out = tmp_path / "out"
    out.mkdir()
    on_full_disk(out / ".a.json.*.part")
    (error,) = predict_clips(run, [make_clip(f"{name}.mp4", frames=8) for name in "ab"], out)
    assert "a.json: no space left for this file" in str(error)
    assert (out / "b.mp4").exists()


def test_an_unsure_answer_has_boxes_and_times_and_one_below_the_threshold_has_none(
    tmp_path: Path, make_clip: Make
) -> None:
    classes = tuple(f"class {k}" for k in range(9))
    unsure = Recognizer(create_model("convalstm", 9, size=32, hidden=4, dropout=0.0), classes, DATA)
    run = unsure.save(tmp_path / "run")
    clip = make_clip("a.mp4", frames=8)
    (expected,) = unsure.predict(clip).segments
    assert (expected.label in classes, expected.start, expected.end) == (
        True,
        0,
        pytest.approx(0.8),
    ), "all of it"
    for threshold, there in ((None, True), (0.3, False)):
        out = tmp_path / str(threshold)
        assert predict_clips(run, [clip], out, threshold=threshold) == []
        seen = json.loads((out / "a.json").read_text())
        assert seen["tubes"]
        assert all(0 < tube["score"] < 0.3 for tube in seen["tubes"])
        assert seen["label"] == (expected.label if there else "nothing")
        of_clip = {
            "label": expected.label,
            "segment": [0.0, 0.8],
            "score": pytest.approx(expected.score),
        }
        results = json.loads((out / "a-segments.json").read_text())["results"]
        assert results == {"a": [of_clip] if there else []}


def test_clips_of_one_name_are_distinguished_by_their_folders(
    tmp_path: Path, make_clip: Make
) -> None:
    run = recognizer().save(tmp_path / "run")
    clips = [
        make_clip(name, frames=4) for name in ("up/a.mp4", "x/down/a.mp4", "y/down/a.mp4", "b.mp4")
    ]
    assert predict_clips(run, clips, tmp_path / "out") == []
    names = {file.stem for file in (tmp_path / "out").glob("*.mp4")}
    assert names == {"up-a", "x-down-a", "y-down-a", "b"}
    drawn = tmp_path / "out" / "b.mp4"
    before = drawn.read_bytes()
    with pytest.raises(
        ValueError, match=r"b.mp4: the drawn clip would replace a clip; choose another --out"
    ):
        predict_clips(run, [clips[0], drawn], tmp_path / "out")
    assert drawn.read_bytes() == before
    with pytest.raises(NotWritableError, match=r"b.mp4: a file is in its place"):
        predict_clips(run, clips, drawn)


def test_a_model_without_attention_writes_files_without_boxes(
    tmp_path: Path, make_clip: Make
) -> None:
    run = recognizer("convnet").save(tmp_path / "run")
    assert predict_clips(run, [make_clip("a.mp4", frames=8)], tmp_path / "out") == []
    found = json.loads((tmp_path / "out" / "a.json").read_text())
    assert found["tubes"] == []
    assert found["label"] in ("jump", "wave")


class Bright(Recognizer):
    """Attends to what is bright."""

    def classify(self, samples: torch.Tensor) -> Classification:
        scores = super().classify(samples).scores
        maps = torch.nn.functional.avg_pool2d((samples[..., 0] > 150).float(), 8) + 1e-4
        return Classification(scores, (maps / maps.sum((2, 3), keepdim=True)).numpy())


def test_a_run_boxes_the_object_that_is_attended_to(tmp_path: Path) -> None:
    video = np.full((8, 96, 128, 3), 60, np.uint8)
    texture = np.random.default_rng(0).integers(160, 256, (5, 5, 1))
    for t in range(8):
        video[t, 34:54, 6 + 10 * t : 26 + 10 * t] = texture.repeat(4, 0).repeat(4, 1)
    clip = write(tmp_path / "moving.mp4", video, fps=5)
    torch.manual_seed(0)
    model = create_model("convalstm", 2, size=32, hidden=4, dropout=0.0)
    knowing = Bright(model, ("jump", "wave"), replace(DATA, frames=8))
    (tube, *_) = knowing.predict(clip).actors
    assert tube.frames.tolist() == list(range(8))
    true = np.array([[6 + 10 * t, 34, 26 + 10 * t, 54] for t in range(8)])
    assert (box_iou(tube.boxes, true) > 0.5).mean() > 0.7
