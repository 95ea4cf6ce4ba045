"""Published networks on the clips of the default command: a tiny run, its resumption, its rows and
its table.
"""

from pathlib import Path

import pytest
import torch
from moving_squares import make_set
from torch import Tensor, nn

from onlooker.base.config import DataConfig, ModelConfig
from onlooker.base.files import read_json
from onlooker_papers.real_clips import frozen, peers, tables
from onlooker_papers.results import About, Row, write_rows


class Tiny(nn.Module):
    """Where things are in the first and last frame."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(2 * 3 * 8 * 8, num_classes)

    def forward(self, video: Tensor) -> Tensor:
        return self.head(
            nn.functional.adaptive_avg_pool2d(video[:, [0, -1]].flatten(1, 2), 8).flatten(1)
        )


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """24 clips as `$ONLOOKER_DATA/clips/basketball`, of which the default command got one test clip
    right.
    """
    monkeypatch.setenv("ONLOOKER_DATA", str(tmp_path))
    monkeypatch.setattr(frozen, "DATA", DataConfig(frames=4, size=32, translate=0.0))
    monkeypatch.setattr(frozen, "MODEL", ModelConfig("linear", "conv4"))
    monkeypatch.setattr(peers, "NETWORKS", {"tiny": Tiny})
    monkeypatch.setattr(peers, "Recipe", lambda: recipe)
    make_set(tmp_path / "clips" / "basketball")
    right = "1" + "0" * (len(frozen.splits_of("basketball")["split"].test) - 1)
    row = Row({"minutes": 0.5}, {}, {"split": {"default": right}})
    write_rows(tmp_path / "results", "own-clips", About("", "own"), {("basketball",): row})
    return tmp_path / "results"


recipe = peers.Recipe(minutes=0.01, lr=0.01, hflip=False)


def test_a_tiny_run_fills_the_table(results: Path, tmp_path: Path) -> None:
    accuracies = peers.measure("basketball", tmp_path / "run", results, ["tiny"])
    assert accuracies["default"] == 0.2
    assert accuracies["tiny"] > 0.4
    rows = read_json(results / "peers.json")["figures"]["basketball"]
    assert rows["tiny"]["minutes"] == pytest.approx(recipe.minutes, rel=0.5)
    assert rows["tiny"]["default_above"][0] == pytest.approx(0.2 - accuracies["tiny"])
    assert rows["tiny"]["epochs"] > 1
    assert "| basketball | `tiny` | " in tables.peers({"peers": {"basketball": rows}}).markdown()
    written = (results / "cells" / "peers" / "basketball" / "tiny.json").read_text(encoding="utf-8")
    # from its memo
    assert peers.measure("basketball", tmp_path / "run", results, ["tiny"]) == accuracies
    again = (results / "cells" / "peers" / "basketball" / "tiny.json").read_text(encoding="utf-8")
    assert written.partition("memos")[2] == again.partition("memos")[2]


def test_clips_that_the_default_was_not_tested_on_are_refused(
    results: Path, tmp_path: Path
) -> None:
    make_set(tmp_path / "clips" / "basketball", clips=20)
    with pytest.raises(
        ValueError, match="has no answers for the 16 test clips of basketball; run "
    ):
        peers.measure("basketball", tmp_path / "run", results, ["tiny"])


def test_a_training_takes_its_minutes_and_keeps_the_best_epoch() -> None:
    clips = [(torch.full((4, 32, 32, 3), 60 * k, dtype=torch.uint8), k, k) for k in range(4)] * 4
    data = torch.utils.data.Subset(clips, range(16))  # type: ignore[arg-type] # a list is enough
    net = Tiny(4)
    log, best = peers.fit_for_minutes(net, data, data, recipe)
    assert log[-1]["seconds"] == pytest.approx(60 * recipe.minutes, rel=0.5)
    net.load_state_dict(best)
    assert peers.answers(net, data, recipe)[0] == pytest.approx(min(line["loss"] for line in log))
