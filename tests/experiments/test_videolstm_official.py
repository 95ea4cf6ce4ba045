"""VideoLSTM on the official sets: a tiny run on a tree in exactly the published layout, and what the page says."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import clips
import numpy as np
import pytest
import torch

from saccade.config import TrainConfig
from saccade.data.feature_store import FeatureStore
from saccade.experiments.cells import fingerprint
from saccade.experiments.videolstm import official
from saccade.experiments.videolstm.official_budget import BOTH, BUDGETS, FUSED, MOTION, SETS, SINGLE, Budget
from saccade.experiments.videolstm.official_page import write_page
from saccade.recognizer import load

TINY = Budget(
    "tiny",
    TrainConfig(epochs=1, batch=4, smoothing=0.0, patience=0, precision="32"),
    encoder="conv4",
    pretrained=False,
    size=32,
    flow_length=2,
    frames=4,
    windows=2,
    hidden=4,
    head_units=4,
    classes=2,
    complete=False,
)
NAMES = {MOTION, *(f"{model}-{streams}" for model in SINGLE for streams in ("rgb", "flow"))}


def write_tree(root: Path) -> Path:
    """UCF101 in small: three classes of six groups, of which two test; one clip of the training side is empty."""
    lists, labels = root / "ucfTrainTestlist", ("Archery", "Basketball", "YoYo")
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("".join(f"{i} {label}\r\n" for i, label in enumerate(labels, 1)))
    rows = [(i, g, f"{label}/v_{label}_g{g:02}_c01.avi") for i, label in enumerate(labels, 1) for g in range(1, 7)]
    for split in (1, 2, 3):
        learn = "".join(f"{name} {i}\r\n" for i, g, name in rows if g > 2)
        (lists / f"trainlist0{split}.txt").write_text(learn)
        (lists / f"testlist0{split}.txt").write_text("".join(f"{name}\r\n" for _, g, name in rows if g <= 2))
    for number, (_, _, name) in enumerate(rows):
        path = root / "UCF-101" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        clips.make_clip(path, frames=4 + number, size=(40, 32))
    (root / "UCF-101" / "Archery" / "v_Archery_g05_c01.avi").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_tree(tmp_path_factory.mktemp("sets") / "ucf101")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Path:
    folder = tmp_path_factory.mktemp("official")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BUDGETS, "tiny", TINY)
        official.reproduce(folder / "run", "ucf101", tree, budget="tiny", results=folder / "results", quiet=True)
    return folder


def test_every_model_and_both_streams_are_in_the_results(done: Path) -> None:
    stored = json.loads((done / "results" / "videolstm-ucf101.json").read_text(encoding="utf-8"))
    figures = stored["figures"]
    assert set(figures["models"]) == NAMES
    assert set(figures["fused"]) == set(FUSED)
    # Of twelve clips of the first two classes one is empty.
    assert sum(figures["clips"].values()) == 11
    assert (figures["clips"]["test"], figures["classes"], figures["split"]) == (4, 2, 1)
    assert [error["clip"] for error in figures["left_out"]] == ["UCF-101/Archery/v_Archery_g05_c01.avi"]
    assert stored["command"] == "saccade reproduce videolstm --ucf101 UCF101 --split 1 --results results"
    for found in (*figures["models"].values(), *figures["fused"].values()):
        assert found["videos"] == 4
        assert found["accuracy"] in (0, 0.25, 0.5, 0.75, 1)
    for found in figures["fused"].values():
        assert sum(found["weights"]) == pytest.approx(1)


def test_the_page_has_the_table_of_the_paper(done: Path) -> None:
    page = (done / "run" / "split1" / "report.html").read_text(encoding="utf-8")
    words = ["RGB, cited", "77.4", "82.1", "89.2", "as commonly cited", "v_Archery_g05_c01.avi", "TV-L1"]
    for word in (*words, BOTH, "Where they looked", "How they learned", "--ucf101 UCF101", "random weights"):
        assert word in page, word
    assert page.count("data:image/png") == 4
    assert "<li>Flow is DIS instead of TV-L1" in page
    assert "begins with the trained ConvLSTM of the flow and ConvALSTM of the picture, as published" in page


def test_a_run_is_complete_and_sees_windows_of_both_streams(done: Path, tree: Path) -> None:
    recognizer = load(done / "run" / "split1" / MOTION)
    d = recognizer.data
    assert (d.streams, d.flow_length, d.frames, d.windows, d.size) == ("both", 2, 4, 2, 32)
    assert recognizer.classes == ("Archery", "Basketball")
    seen = recognizer.predict(tree / "UCF-101" / "Archery" / "v_Archery_g06_c01.avi")
    np.testing.assert_allclose(seen.scores.sum(), 1, atol=1e-5)
    stores = [FeatureStore.open(done / "run" / "features" / streams).origin for streams in ("rgb", "flow")]
    assert [(origin.every, origin.data.in_channels) for origin in stores] == [(True, 3), (True, 4)]


def test_motion_begins_with_the_runs_of_its_split(done: Path) -> None:
    split = done / "run" / "split1"
    weights = {name: fingerprint(split / name) for name in ("convalstm-rgb", "convlstm-flow")}
    settings = json.loads((split / "motion.json").read_text(encoding="utf-8"))["settings"]
    assert settings["init_from"] == weights
    config = json.loads((split / MOTION / "config.json").read_text(encoding="utf-8"))
    assert config["init_from"] == {str(split / name): found for name, found in weights.items()}
    others = [json.loads((split / f"{name}.json").read_text(encoding="utf-8"))["settings"] for name in NAMES - {MOTION}]
    assert not any("init_from" in each for each in others)


def test_motion_of_other_beginnings_is_refused(
    done: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(done / "run", tmp_path / "run"))
    flow = run / "split1" / "convlstm-flow" / "model" / "model.safetensors"
    shutil.copy(run / "split1" / "convlstm-rgb" / "model" / "model.safetensors", flow)
    monkeypatch.setitem(BUDGETS, "tiny", TINY)
    with pytest.raises(ValueError, match=r"motion.json: made with other settings \(init_from\); choose"):
        official.reproduce(run, "ucf101", tree, budget="tiny", quiet=True)


def test_what_is_there_is_not_computed_again_and_the_rest_goes_on(
    done: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(done / "run", tmp_path / "run"))
    before = (run / "split1" / "figures.json").read_bytes()
    # Killed in the midst of a fusion, and in a training before its settings were written.
    name = "+".join(FUSED[BOTH])
    for cut in (name, "lstm-rgb"):
        (run / "split1" / f"{cut}.json").unlink()
    (run / "split1" / "lstm-rgb" / "config.json").unlink()
    computed: list[str] = []
    train, fuse = official.train, official.fuse

    def noted(function: Any, place: int) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            computed.append(given[place].name)
            return function(*given, **named)

        return call

    monkeypatch.setitem(BUDGETS, "tiny", TINY)
    monkeypatch.setattr(official, "train", noted(train, 1))
    monkeypatch.setattr(official, "fuse", noted(fuse, 1))
    # The fused runs name the stores that they learned from, which are still in their first place.
    official.reproduce(run, "ucf101", tree, budget="tiny", quiet=True)
    assert computed == ["lstm-rgb", name]
    assert (run / "split1" / "figures.json").read_bytes() == before


def test_a_run_made_with_other_settings_is_refused(
    done: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(done / "run", tmp_path / "run"))

    def again(**changes: Any) -> None:
        monkeypatch.setitem(BUDGETS, "tiny", replace(TINY, **changes))
        official.reproduce(run, "ucf101", tree, budget="tiny", quiet=True)

    with pytest.raises(ValueError, match=r"convnet-rgb.json: made with other settings \(training\); choose"):
        again(training=replace(TINY.training, lr=1.0))
    with pytest.raises(ValueError, match=r"made with other settings \(windows\)"):
        again(frames=5)
    with pytest.raises(ValueError, match=r"made with other settings \(model\)"):
        again(hidden=5)
    with pytest.raises(ValueError, match=r"features/flow: a store made with .*flow_length 2 \(asked for: 3\)"):
        again(flow_length=3)


def test_a_page_of_another_set_cites_what_there_is(done: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(done / "run" / "split1", tmp_path / "split1"))
    figures = json.loads((run / "figures.json").read_text(encoding="utf-8"))
    none_left_out = {**figures, "left_out": []}
    page = write_page(run, SETS["hmdb51"], 1, TINY, none_left_out, "saccade").read_text(encoding="utf-8")
    assert "56.4" in page
    assert "VideoLSTM on HMDB-51" in page
    assert "RGB, cited" not in page
    assert "Clips left out" not in page
    other = write_page(run, SETS["ucf101"], 2, TINY, figures, "saccade").read_text(encoding="utf-8")
    assert "RGB, cited" not in other


def test_an_unknown_budget_or_split(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="budget is 'huge', expected one of quick, standard, full"):
        official.reproduce(tmp_path, "ucf101", tree, budget="huge")
    with pytest.raises(ValueError, match="split is 4, UCF101 has 1, 2 and 3"):
        official.reproduce(tmp_path, "ucf101", tree, split=4)


def test_the_published_sizes_are_those_of_the_paper() -> None:
    for budget in (BUDGETS["standard"], BUDGETS["full"]):
        sizes = (budget.frames, budget.windows, budget.hidden, budget.head_units, budget.size, budget.flow_length)
        assert sizes == (30, 25, 512, 1024, 224, 10)
        assert (budget.encoder, budget.pretrained, budget.dropout, budget.lstm_dropout) == ("vgg16", True, 0.7, 0.5)
        assert (budget.classes, budget.clips, budget.complete) == (0, 0, True)
        assert budget.features("flow").in_channels == 20
