"""The report's system on J-HMDB: draws that keep source videos whole, the literal size, and a tiny
run.
"""

from collections.abc import Sequence
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
from onlooker_papers.hmdb10 import draws, on_jhmdb
from onlooker_papers.hmdb10.curves import loss_curves
from onlooker_papers.hmdb10.draws import RATES, TRAINING, Draw, chosen_rate, curves_of, untested
from onlooker_papers.hmdb10.tables import on_jhmdb as table
from onlooker_papers.results import assembled


def draw(clips: Sequence[Clip], number: int) -> Draw:
    """A draw of the split for `small`."""
    return Draw(Path(), clips, number, on_jhmdb.DATA, TRAINING, "small")


def test_ten_classes_are_divided_in_the_reports_proportions() -> None:
    clips = [
        Clip(Path(f"{label}/{n}.mp4"), label, f"{label}-{n // 2}")
        for label in "abcdefghijkl"
        for n in range(100)
    ]
    chosen = on_jhmdb.ten_classes(clips)
    assert {clip.label for clip in chosen} == set("abcdefghij")
    assert draw(chosen, 0).data.frames == 30
    splits = [draw(chosen, number).split for number in range(2)]
    assert splits[0] != splits[1]
    for split in splits:
        sides = [
            {clip.recording for clip in side}
            for side in (split.training, split.validation, split.test)
        ]
        assert not (sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2])
        assert [
            len(side) for side in (split.training, split.validation, split.test)
        ] == pytest.approx([1000 * share / 1028 for share in (730, 220, 78)], abs=11)


def test_the_literal_size_is_about_a_hundred_thousand_parameters() -> None:
    clips = [Clip(Path(f"{label}.mp4"), label) for label in "abcdefghij"]
    for name in ("report", "convlstm", "lstm"):
        net = draw(clips, 0).build(name)
        count = sum(weights.numel() for weights in net.parameters() if weights.requires_grad)
        assert 95_000 < count < 110_000, name


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Clip, ...]:
    """The clips of a tiny set in place of J-HMDB, and tiny samples."""
    clips = read_set(make_set(tmp_path / "squares", clips=8)).clips
    monkeypatch.setattr(on_jhmdb, "splits_of", lambda name: make_splits(clips))
    monkeypatch.setattr(on_jhmdb, "DATA", DataConfig(frames=4, size=48, translate=0.0, scale=0.0))
    return clips


def test_a_tiny_run_fills_the_table(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    once = replace(TRAINING, epochs=1)
    figures = on_jhmdb.reproduce(tmp_path / "run", tmp_path / "results", draws=2, training=once)
    assert (tmp_path / "run" / "report.html").exists()
    stored = assembled(tmp_path / "results", on_jhmdb.FILE)["figures"]
    assert stored["frame_accuracy"] == figures["frame_accuracy"]
    assert 0 < stored["rate_clips"] <= stored["clips"][0]["validation"]
    assert "| `lstm` | `small` | " in table({on_jhmdb.FILE: stored}).markdown()
    assert 0.9 < stored["models"]["report"]["entropy"] <= 1  # hardly trained
    assert (
        on_jhmdb.reproduce(tmp_path / "run", tmp_path / "results", draws=2, training=once)
        == figures
    )
    assert len(loss_curves(curves_of(stored)).axes) == 4
    # Another encoder has its row.
    free = on_jhmdb.reproduce(
        tmp_path / "free", tmp_path / "results", draws=2, training=once, encoder="small-free"
    )
    both = assembled(tmp_path / "results", on_jhmdb.FILE)["figures"]
    assert both["small-free"] == free
    assert {key: both[key] for key in figures} == figures
    assert "| `lstm` | `small-free` | " in table({on_jhmdb.FILE: both}).markdown()


def test_the_last_epoch_is_tested(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_best(net: VideoModel, *given: Any, **settings: Any) -> Curves:
        curves = fit(net, *given, **settings)
        for weights in net.parameters():
            weights.data.zero_()
        (settings["folder"] / "checkpoints" / "best.ckpt").unlink()
        return curves

    training = replace(TRAINING, epochs=2)
    one = Draw(tmp_path / "run", clips, 0, on_jhmdb.DATA, training, "small")
    figures = one.figures("convnet", 0.02)
    monkeypatch.setattr(draws, "fit", without_best)
    (tmp_path / "run" / "draw0").rename(tmp_path / "before")
    assert one.figures("convnet", 0.02) == figures


@pytest.fixture
def every() -> list[Draw]:
    """Five draws of ten classes."""
    clips = [
        Clip(Path(f"{label}/{n}.mp4"), label, f"{label}-{n // 4}")
        for label in "abcdefghij"
        for n in range(40)
    ]
    return [draw(clips, number) for number in range(5)]


def test_clips_that_choose_the_learning_rate_are_test_clips_of_no_draw(every: list[Draw]) -> None:
    validation = every[0].split.validation
    tested = {clip for one in every for clip in one.split.test}
    chosen = set(compress(validation, untested(every)))
    assert chosen
    assert chosen == set(validation) - tested != set(validation)


@pytest.mark.parametrize("best", RATES)
def test_the_learning_rate_is_not_chosen_on_test_clips(
    every: list[Draw], best: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one is better on the test clips of the first draw, and of the others."""
    chooses = untested(every)

    def figures(self: Draw, name: str, rate: float) -> dict[str, Any]:
        validation = [0.1 * (rate == best) if alone else float(rate != best) for alone in chooses]
        test = [float(rate != best)] * len(self.split.test)
        return {"frames": {"validation": validation, "test": test}}

    monkeypatch.setattr(Draw, "figures", figures)
    assert chosen_rate(every, "report", RATES) == best
