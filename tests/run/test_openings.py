"""A training opens and decodes a clip few times, its report included, also where crops are
compared.
"""

import shutil
from pathlib import Path

import pytest
from moving_squares import make_set
from openings import counted_openings
from packaged_weights import put_lite0

import onlooker
from onlooker.run import evaluate
from onlooker.training import encoders, eyes, fitters

SIZE = 128  # pixels, of the frames for Lite0


@pytest.mark.usefixtures("no_event_layer")
@pytest.mark.parametrize(("seen", "opened", "decoded"), [("auto", 6, 4), ("pictures", 3, 3)])
def test_a_training_from_an_empty_cache_opens_and_decodes_few_times(
    seen: str, opened: int, decoded: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "package").mkdir()
    put_lite0(tmp_path / "package", monkeypatch)
    monkeypatch.setattr(eyes, "FOLDS", 2)
    for module in (encoders, fitters):
        monkeypatch.setattr(module, "LITE0_SIZE", SIZE)
    monkeypatch.setattr(encoders, "LEAST_SIDE", 16)
    monkeypatch.setattr(evaluate, "_REPORT_CLIPS", 12)  # all are drawn
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))
    clips = make_set(tmp_path / "clips", clips=3, frames=6)
    for label in ("down", "up"):
        shutil.rmtree(clips / label)
    (clips / "left" / "02.mp4").rename(clips / "right" / "mislabeled.mp4")
    with counted_openings(clips) as (opens, decodes):
        onlooker.train(clips, tmp_path / "run", frames=4, eyes=seen, quiet=True)
    assert len(opens) == len(decodes) == 6
    assert {*opens.values()} == {opened}
    assert {*decodes.values()} == {decoded}, (
        "its first frame for its size; to be encoded, maybe cropped, and drawn in the report"
    )
