"""The report's system on J-HMDB: draws that keep source videos whole, the literal size, and a tiny
run.
"""

from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import Any

import pytest
from moving_squares import make_set

from onlooker.base.config import DataConfig
from onlooker.base.records import Clip, Curves
from onlooker.data.sets import read_set
from onlooker.data.split import make_splits
from onlooker.models.video_model import VideoModel
from onlooker.training.fit import fit
from onlooker_papers.hmdb10 import on_jhmdb, reproduce
from onlooker_papers.hmdb10.classes import FIRST_TEN
from onlooker_papers.hmdb10.curves import loss_curves
from onlooker_papers.hmdb10.protocols import OURS, PROTOCOLS, RANDOM, divide, known
from onlooker_papers.hmdb10.tables import on_jhmdb as table
from onlooker_papers.hmdb10.tables import protocols
from onlooker_papers.results import assembled


def test_ten_classes_are_divided_in_the_reports_proportions() -> None:
    clips = [
        Clip(Path(f"{label}/{n}.mp4"), label, f"{label}-{n // 4}")
        for label in "abcdefghijkl"
        for n in range(40)
    ]
    chosen = on_jhmdb.ten_classes(clips)
    assert {clip.label for clip in chosen} == set("abcdefghij")
    draws = [on_jhmdb.Draw(Path(), chosen, number).split for number in range(2)]
    assert draws[0] != draws[1]
    for split in draws:
        sides = [
            {clip.recording for clip in side}
            for side in (split.training, split.validation, split.test)
        ]
        assert not (sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2])
        assert [
            len(side) for side in (split.training, split.validation, split.test)
        ] == pytest.approx([400 * share / 1028 for share in (730, 220, 78)], abs=20)


def test_the_literal_size_is_about_a_hundred_thousand_parameters() -> None:
    clips = [Clip(Path(f"{label}.mp4"), label) for label in "abcdefghij"]
    draw = on_jhmdb.Draw(Path(), clips, 0)
    for name in ("report", "convlstm", "lstm"):
        net = draw.build(name)
        count = sum(weights.numel() for weights in net.parameters() if weights.requires_grad)
        assert 95_000 < count < 110_000, name


def test_clips_divided_at_random_share_recordings() -> None:
    clips = [
        Clip(Path(f"{label}/{n}.mp4"), label, f"{label}-{n // 4}")
        for label in "abcdefghij"
        for n in range(40)
    ]
    whole, alone, half = (
        divide(clips, PROTOCOLS[name], 0)
        for name in (OURS, RANDOM, f"{RANDOM}, half of the training clips")
    )
    assert not any(known(clips, whole))
    assert sum(known(clips, alone)) > 0.9 * len(alone.test)
    assert {clip.path for clip in alone.clips} == {clip.path for clip in clips}
    assert (half.validation, half.test) == (alone.validation, alone.test)
    assert set(half.training) < set(alone.training)
    assert len(half.training) == pytest.approx(len(alone.training) / 2, abs=5)


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Clip, ...]:
    """The clips of a tiny set in place of J-HMDB, and tiny samples."""
    clips = read_set(make_set(tmp_path / "squares", clips=12)).clips
    monkeypatch.setattr(on_jhmdb, "splits_of", lambda name: make_splits(clips))
    monkeypatch.setattr(on_jhmdb, "DATA", DataConfig(frames=4, size=48, translate=0.0, scale=0.0))
    return clips


def test_a_protocol_adds_its_row(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in FIRST_TEN:
        names = [f"film{n % 4}_{label}_f_cm_np1_fr_bad_{n}.avi 1\n" for n in range(12)]
        (lists := tmp_path / "annotations" / "hmdb51").mkdir(parents=True, exist_ok=True)
        (lists / f"{label}_test_split1.txt").write_text("".join(names))
    (tmp_path / "clips").mkdir()
    monkeypatch.setenv("ONLOOKER_DATA", str(tmp_path))
    paired = [replace(clip, recording=f"{clip.label}{n // 3}") for n, clip in enumerate(clips)]
    monkeypatch.setattr(on_jhmdb, "splits_of", lambda name: make_splits(paired))
    once = replace(on_jhmdb.TRAINING, epochs=1)
    for protocol in (OURS, RANDOM):
        on_jhmdb.explain(tmp_path / "run", tmp_path / "results", protocol, 2, once)
    stored = assembled(tmp_path / "results", on_jhmdb.FILE)["figures"]
    rows = stored["protocol"]
    assert all(rows[OURS][of] == 0 < rows[RANDOM][of] for of in ("known", "known_in_hmdb51"))
    assert rows[OURS]["models"]["convnet"]["known"] is None
    assert f"| {RANDOM} | " in protocols({on_jhmdb.FILE: stored}).markdown()
    # Draws of both kinds have parts of the same sizes: only `divided` tells their memos apart.
    (memo, *_) = (tmp_path / "run" / RANDOM / "draw0").glob("convnet-*.json")
    assert "divided" in memo.read_text()


def test_a_tiny_run_fills_the_table(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    once = replace(on_jhmdb.TRAINING, epochs=1)
    figures = on_jhmdb.reproduce(tmp_path / "run", tmp_path / "results", 2, once)
    assert (tmp_path / "run" / "report.html").exists()
    stored = assembled(tmp_path / "results", on_jhmdb.FILE)["figures"]
    assert stored["frame_accuracy"] == figures["frame_accuracy"]
    assert 0 < stored["rate_clips"] <= stored["clips"][0]["validation"]
    assert "| `lstm` | `small` | " in table({on_jhmdb.FILE: stored}).markdown()
    assert 0.9 < stored["models"]["report"]["entropy"] <= 1  # hardly trained
    assert on_jhmdb.reproduce(tmp_path / "run", tmp_path / "results", 2, once) == figures
    assert len(loss_curves(stored["models"]).axes) == 4
    # Another encoder has its row.
    free = on_jhmdb.reproduce(tmp_path / "free", tmp_path / "results", 2, once, "small-free")
    both = assembled(tmp_path / "results", on_jhmdb.FILE)["figures"]
    assert both["small-free"] == free
    assert {key: both[key] for key in figures} == figures
    assert "| `lstm` | `small-free` | " in table({on_jhmdb.FILE: both}).markdown()


def test_the_last_epoch_is_tested(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_best(net: VideoModel, *given: Any) -> Curves:
        curves = fit(net, *given)
        for weights in net.parameters():
            weights.data.zero_()
        return curves

    training = replace(on_jhmdb.TRAINING, epochs=2)
    draw = on_jhmdb.every_draw(tmp_path / "run", 1, training)[0]
    figures = draw.figures("convnet", 0.02)
    monkeypatch.setattr(reproduce, "fit", without_best)
    (tmp_path / "run" / "draw0").rename(tmp_path / "before")
    assert draw.figures("convnet", 0.02) == figures


def test_clips_that_choose_the_learning_rate_are_test_clips_of_no_draw() -> None:
    clips = [
        Clip(Path(f"{label}/{n}.mp4"), label, f"{label}-{n // 4}")
        for label in "abcdefghij"
        for n in range(40)
    ]
    every = [on_jhmdb.Draw(Path(), clips, number) for number in range(5)]
    validation = every[0].split.validation
    tested = {clip for draw in every for clip in draw.split.test}
    chosen = set(compress(validation, on_jhmdb.untested(every)))
    assert chosen
    assert chosen == set(validation) - tested != set(validation)
