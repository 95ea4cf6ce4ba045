"""The ablation on real video: reduced features, and a tiny set through all cells."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from moving_squares import make_set

from onlooker.base.config import DataConfig
from onlooker.base.files import read_json
from onlooker.data.sets import read_set
from onlooker.data.split import make_splits
from onlooker.models.encoders import build_encoder
from onlooker_papers.memo import fingerprint
from onlooker_papers.results import assembled
from onlooker_papers.videolstm import on_features, real_video, reduced, with_words
from onlooker_papers.videolstm.official_budget import BOTH, FUSED, MOTION_BEGINS
from onlooker_papers.videolstm.on_features import MODELS, Cell


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("real")
    clips = read_set(make_set(folder / "squares")).clips
    once = replace(on_features.TRAINING, epochs=1, precision="32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real_video, "splits_of", lambda name: {"split1": make_splits(clips)["split"]})
        patch.setattr(reduced, "FRAMES", DataConfig(frames=4, size=48))
        patch.setattr(real_video, "TRAINING", once)
        patch.setattr(
            real_video,
            "RealSet",
            lambda *of, **more: on_features.RealSet(
                *of, **(more | {"training": once, "fine_tuning": replace(once, lr=1e-3)})
            ),
        )
        yield folder


def reproduce(folder: Path) -> dict[str, Any]:
    return real_video.reproduce(
        "squares", 1, seeds=1, run=folder / "run", results=folder / "results"
    )


def test_a_set_goes_through_all_cells_once(tiny: Path) -> None:
    figures = reproduce(tiny)
    assert {*MODELS, *FUSED} <= {*figures}
    assert len(figures["steps"]) == len(real_video.STEPS) == 11
    assert figures[BOTH] == figures["rows"][BOTH]["each"][0]
    stored = assembled(tiny / "results", "videolstm-real")["figures"]["squares"]
    assert stored == read_json(tiny / "results" / "videolstm-real.json")["figures"]["squares"]
    before = {path: path.stat().st_mtime_ns for path in (tiny / "run").rglob("*.json")}
    assert reproduce(tiny) == figures
    assert {path: path.stat().st_mtime_ns for path in (tiny / "run").rglob("*.json")} == before
    with pytest.raises(ValueError, match="squares has no split 2; it has split1"):
        real_video.reproduce("squares", 2, seeds=1, run=tiny / "run", results=tiny / "results")


def test_features_are_those_of_the_encoders_and_motion_begins_with_the_trained_streams(
    tiny: Path,
) -> None:
    reproduce(tiny)
    of = real_video.RealSet(
        tiny / "run" / "squares" / "split1", "squares", real_video.splits_of("")["split1"]
    )
    kept = of.encoder("rgb").inner.state_dict()
    shipped = build_encoder("small", 3, 48, pretrained=True).state_dict()
    assert all(torch.equal(weight, shipped[name]) for name, weight in kept.items())
    features = {part: of.features(part) for part in ("rgb", "flow", "both")}
    rgb, flow, both = (of_part[0][0] for of_part in features.values())
    # Principal components, each of variance 1 on the training frames.
    rows = (
        torch.stack([features["rgb"][i][0] for i in range(len(features["rgb"]))])
        .flatten(0, -2)
        .double()
    )
    assert 0.7 < rows[:, :10].std(0).mean() < 1.4
    assert rows.T.corrcoef().fill_diagonal_(0).abs().mean() < 0.2
    assert torch.equal(torch.cat((rgb, flow), -1), both)
    assert both.shape == (4, 3, 3, 2 * reduced.WIDTH)
    begun = read_json(Cell(of, "motion", 0).folder.with_suffix(".json"))["settings"]["init_from"]
    streams = {name: Cell(of, name, 0).folder for name in MOTION_BEGINS}
    assert begun == {name: fingerprint(folder) for name, folder in streams.items()}


def test_motion_words_are_fused_with_videolstm_by_its_validation_clips(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"encoder": "conv4", "pretrained": False, "frames": 4, "size": 32}
    monkeypatch.setattr(with_words, "SETTINGS", with_words.SETTINGS | small)
    reproduce(tiny)
    of = real_video.RealSet(
        tiny / "run" / "squares" / "split1", "squares", real_video.splits_of("")["split1"]
    )
    figures = with_words.figures_of(of)
    assert {figures[name] <= 1 for name in (BOTH, with_words.WORDS)} == {True}
    assert sum(figures["weights"]) == pytest.approx(1)
    fused = read_json(of.run / "seed0" / "words.json")["figures"]["fused"]
    assert figures["gain"][0] == pytest.approx(fused.count("1") / len(fused) - figures[BOTH])
    # for validation clips, words are fitted without these
    listed = (of.run / "words" / "validation.csv").read_text("utf-8")
    assert all(str(clip.path.resolve()) not in listed for clip in of.split.test)
    assert all(f"{clip.path.resolve()},{clip.label},test" in listed for clip in of.split.validation)
    assert with_words.figures_of(of) == figures


def test_rgb_of_lite0_is_joined_with_flow_of_small(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduced, "FRAMES", DataConfig(frames=4, size=112))
    of = real_video.RealSet(
        tmp_path, "squares", real_video.splits_of("")["split1"], rgb_encoder="lite0"
    )
    assert (of.sampling("rgb").size, of.sampling("flow").size) == (224, 112)
    features = {part: of.features(part)[0][0] for part in ("rgb", "flow", "both")}
    assert features["both"].shape == (4, 7, 7, 2 * reduced.WIDTH)
    assert torch.equal(torch.cat((features["rgb"], features["flow"]), -1), features["both"])
    assert (
        Cell(of, "convalstm-rgb", 0).build().grid
        == Cell(of, "convlstm-flow", 0).build().grid
        == (7, 7)
    )
