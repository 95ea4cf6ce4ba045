"""A training opens and decodes a clip few times, its report included, also where two encoders need
frames of different sizes, and where crops are compared.
"""

import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest
from moving_squares import make_set
from openings import counted_openings
from packaged_weights import put_lite0

import onlooker
from onlooker.data import samples
from onlooker.training import encoders, eyes, fitters

LARGER = 128  # pixels, of the frames for Lite0; the default encoder has 112


@pytest.mark.usefixtures("no_event_layer")
@pytest.mark.parametrize(("seen", "opened", "decoded"), [("auto", 5, 3), ("pictures", 2, 2)])
def test_a_training_from_an_empty_cache_opens_and_decodes_few_times(
    seen: str, opened: int, decoded: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "package").mkdir()
    put_lite0(tmp_path / "package", monkeypatch)
    statistics = Mock(wraps=encoders.statistics_of)
    monkeypatch.setattr(encoders, "statistics_of", statistics)
    monkeypatch.setattr(eyes, "FOLDS", 2)
    for module in (encoders, fitters):
        monkeypatch.setattr(module, "LITE0_SIZE", LARGER)
    for module in (encoders, samples):
        monkeypatch.setattr(module, "LEAST_SIDE", 16)
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))
    clips = make_set(tmp_path / "clips", clips=3, frames=6)
    for label in ("down", "up"):
        shutil.rmtree(clips / label)
    (clips / "left" / "02.mp4").rename(clips / "right" / "mislabeled.mp4")
    with counted_openings(clips) as (opens, decodes):
        onlooker.train(clips, tmp_path / "run", frames=4, eyes=seen, quiet=True)
    sizes = {call.kwargs["data"].size for call in statistics.call_args_list}
    assert sizes == {112, LARGER}, "of both encoders"
    assert len(opens) == len(decodes) == 6
    assert {*opens.values()} == {opened}
    assert {*decodes.values()} == {decoded}, (
        "to be encoded, maybe cropped, and drawn in the report"
    )
