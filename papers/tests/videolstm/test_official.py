"""VideoLSTM on the official sets: a tiny run on a tree in exactly the published layout, and what the page says."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from golden import check
from published_trees import annotated_tube, write_annotations, write_hmdb51, write_ucf101
from safetensors.torch import load_file
from torch import nn

from onlooker.config import TrainConfig
from onlooker.data.feature_store import FeatureStore
from onlooker.experiments.memo import fingerprint
from onlooker.models import registry
from onlooker.models.encoders import build_encoder
from onlooker.models.registry import find_recipe
from onlooker.recognizer import load
from onlooker.structures import ClipError
from onlooker.video.reader import VideoReader
from onlooker_papers.videolstm import official, published
from onlooker_papers.videolstm.fine_tune import first_layers
from onlooker_papers.videolstm.official_budget import BOTH, BUDGETS, FUSED, MOTION, SINGLE, Budget

TINY = Budget(
    "tiny",
    TrainConfig(epochs=1, batch=4, label_smoothing=0.0, patience=0, precision="32"),
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


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    root = write_ucf101(tmp_path_factory.mktemp("sets") / "ucf101")
    (root / "UCF-101" / "Archery" / "v_Archery_g05_c01.avi").write_bytes(b"")
    return root


def annotate(tree: Path) -> Path:
    """The folder of the boxes: in the clips of two classes that test, something fills the frame all the time."""
    names = [f"{label}/v_{label}_g{group:02}_c01" for label in ("Archery", "Basketball") for group in (1, 2, 3)]
    clips = []
    for name in names:
        frames = len(VideoReader(tree / "UCF-101" / f"{name}.avi"))
        clips.append((name, frames, [annotated_tube(1, [[1, 1, 40, 32]] * frames)]))
    (tree / "boxes").mkdir()
    write_annotations(tree / "boxes" / "finalAnnots.mat", *clips)
    return tree / "boxes"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Path:
    folder = tmp_path_factory.mktemp("official")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BUDGETS, "tiny", TINY)
        settings = {"budget": "tiny", "quiet": True, "boxes": annotate(tree)}
        official.reproduce(folder / "run", "ucf101", tree, results=folder / "results", **settings)
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
    given = "--split 1 --boxes BOXES --results results"
    assert stored["command"] == f"onlooker reproduce videolstm --ucf101 UCF101 {given}"
    for found in (*figures["models"].values(), *figures["fused"].values()):
        assert found["videos"] == 4
        assert found["accuracy"] in (0, 0.25, 0.5, 0.75, 1)
    for found in figures["fused"].values():
        assert sum(found["weights"]) == pytest.approx(1)


def scores(split: Path) -> dict[str, list[list[float]]]:
    """The probabilities of the test clips of every model and ensemble, `N K`, in the order of the clips."""
    found = {}
    for path in sorted(split.glob("*/scores.csv")):
        rows = sorted(csv.reader(path.read_text(encoding="utf-8").splitlines()[1:]))
        found[path.parent.name] = [[float(value) for value in row[3:]] for row in rows]
    return found


def test_the_scores_of_a_tiny_ucf101_are_the_stored_ones(done: Path) -> None:
    found = scores(done / "run" / "split1")
    assert found.keys() == {*NAMES, *map("+".join, FUSED.values())}
    check("official-ucf101", found, rtol=2e-3, atol=2e-3)


def test_the_scores_of_a_tiny_hmdb51_are_the_stored_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUDGETS, "tiny", TINY)
    monkeypatch.setattr(official, "SINGLE", ("convlstm", "convalstm"))  # those that `motion` and the ensembles need
    monkeypatch.setattr(official, "write_page", lambda *_: tmp_path)
    official.reproduce(tmp_path / "run", "hmdb51", write_hmdb51(tmp_path / "hmdb51"), budget="tiny", quiet=True)
    check("official-hmdb51", scores(tmp_path / "run" / "split1"), rtol=2e-3, atol=2e-3)


def test_the_page_has_the_table_of_the_paper(done: Path) -> None:
    page = (done / "run" / "split1" / "report.html").read_text(encoding="utf-8")
    words = ["RGB, cited", "77.4", "82.1", "89.2", "as commonly cited", "v_Archery_g05_c01.avi", "TV-L1"]
    for word in (*words, BOTH, "Training curves", "--ucf101 UCF101", "random weights"):
        assert word in page, word
    rows = re.findall(r"<tr>(.*?)</tr>", page.replace("\xa0", " "), re.DOTALL)
    figures = json.loads((done / "run" / "split1" / "figures.json").read_text(encoding="utf-8"))
    for name, found in (("flow, frames", figures["models"]["lstm-flow"]), (BOTH, figures["fused"][BOTH])):
        (row,) = (cells for cells in rows if f">{name}</td>" in cells)
        assert f">{100 * found['frame_accuracy']:.1f}</td>" in row
    assert "<li>Flow is dis, 2 fields at once" in page


def test_a_run_is_complete_and_sees_temporal_crops_of_both_streams(done: Path, tree: Path) -> None:
    recognizer = load(done / "run" / "split1" / MOTION)
    d = recognizer.data
    assert (d.modality, d.flow_length, d.frames, d.temporal_crops, d.size) == ("both", 2, 4, 2, 32)
    assert recognizer.classes == ("Archery", "Basketball")
    seen = recognizer.predict(tree / "UCF-101" / "Archery" / "v_Archery_g06_c01.avi")
    np.testing.assert_allclose(seen.scores.sum(), 1, atol=1e-5)
    stores = [FeatureStore.open(done / "run" / "features" / streams).settings for streams in ("rgb", "flow")]
    assert [(origin.every, origin.data.in_channels) for origin in stores] == [(True, 3), (True, 4)]


def test_motion_begins_with_the_runs_of_its_split(done: Path) -> None:
    split = done / "run" / "split1"
    weights = {name: fingerprint(split / name) for name in ("convalstm-rgb", "convlstm-flow")}
    settings = json.loads((split / "motion.json").read_text(encoding="utf-8"))["settings"]
    assert settings["init_from"] == weights
    config = json.loads((split / MOTION / "config.json").read_text(encoding="utf-8"))
    assert config["initialized"] == weights
    others = [json.loads((split / f"{name}.json").read_text(encoding="utf-8"))["settings"] for name in NAMES - {MOTION}]
    assert not any("init_from" in each for each in others)


def test_motion_of_other_beginnings_is_refused(
    done: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(done / "run", tmp_path / "run"))
    flow = run / "split1" / "convlstm-flow" / "model" / "model.safetensors"
    shutil.copy(run / "split1" / "convlstm-rgb" / "model" / "model.safetensors", flow)
    monkeypatch.setitem(BUDGETS, "tiny", TINY)
    with pytest.raises(ValueError, match=r"motion.json: made with other settings \(init_from\.convlstm-flow\); choose"):
        official.reproduce(run, "ucf101", tree, budget="tiny", quiet=True)


def test_what_is_there_is_not_computed_again_and_the_rest_continues(
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
    train, ensemble = official.train_run, official.ensemble

    def noted(function: Any, place: int) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            computed.append(given[place].name)
            return function(*given, **named)

        return call

    monkeypatch.setitem(BUDGETS, "tiny", TINY)
    monkeypatch.setattr(official, "train_run", noted(train, 1))
    monkeypatch.setattr(official, "ensemble", noted(ensemble, 1))
    # The fused runs name the stores that they learned from, which are still in their first place.
    official.reproduce(run, "ucf101", tree, budget="tiny", quiet=True, boxes=tree / "boxes")
    assert computed == ["lstm-rgb", name]
    assert (run / "split1" / "figures.json").read_bytes() == before


def test_places_are_scored_by_the_boxes_of_the_clips_that_test(done: Path) -> None:
    figures = json.loads((done / "run" / "split1" / "figures.json").read_text(encoding="utf-8"))
    places = figures["places"]
    # Of six clips with boxes two learn.
    assert (places["clips"], places["classes"]) == (4, 2)
    # The truth is the frame itself, of which the box in the middle is a quarter; what is left is to tell the classes.
    center = places["baselines"]["center"]
    assert center["point_in_box"] == 1
    assert (center["video_map_50"], center["frame_map_50"]) == (0, 0)
    assert center["video_map_20"] >= 0.5
    assert 0 <= places["video_map_50"] <= places["video_map_20"] <= 1
    page = (done / "run" / "split1" / "report.html").read_text(encoding="utf-8").replace("\xa0", " ")
    assert ">36.9</td>" in page
    assert "the 4 test clips with boxes in UCF101-24, 2 classes" in page


def test_boxes_of_other_clips(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUDGETS, "tiny", TINY)
    other = write_annotations(tmp_path / "b.mat", ("Surfing/v_Surfing_g01_c01", 1, [annotated_tube(1, [[1, 1, 9, 9]])]))
    with pytest.raises(ClipError, match=r"b.mat: no boxes of any of the 4 test clips; UCF101-24 has those of"):
        official.reproduce(tmp_path / "run", "ucf101", tree, budget="tiny", quiet=True, boxes=other)
    with pytest.raises(ClipError, match=r"finalAnnots.mat: no such file; expected finalAnnots.mat, the corrected"):
        official.reproduce(tmp_path / "run", "ucf101", tree, budget="tiny", quiet=True, boxes=tmp_path)


def test_a_run_made_with_other_settings_is_refused(
    done: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(done / "run", tmp_path / "run"))

    def again(**changes: Any) -> None:
        monkeypatch.setitem(BUDGETS, "tiny", replace(TINY, **changes))
        official.reproduce(run, "ucf101", tree, budget="tiny", quiet=True)

    with pytest.raises(ValueError, match=r"convnet-rgb.json: made with other settings \(training\.lr\); choose"):
        again(training=replace(TINY.training, lr=1.0))
    with pytest.raises(ValueError, match=r"made with other settings \(windows\)"):
        again(frames=5)
    with pytest.raises(ValueError, match=r"made with other settings \(model\."):
        again(hidden=5)
    with pytest.raises(ValueError, match=r"features/flow: a store made with .*flow_length 2 \(asked for: 3\)"):
        again(flow_length=3)


def test_the_published_sizes_are_those_of_the_paper() -> None:
    for budget, length in ((BUDGETS["standard"], 10), (BUDGETS["full"], 1)):
        sizes = (budget.frames, budget.windows, budget.hidden, budget.head_units, budget.size, budget.flow_length)
        assert sizes == (30, 25, 512, 1024, 224, length)
        assert (budget.encoder, budget.pretrained, budget.dropout, budget.lstm_dropout) == ("vgg16", True, 0.7, 0.5)
        assert (budget.classes, budget.clips, budget.complete) == (0, 0, True)
        assert budget.features("flow").in_channels == 2 * length
    full = BUDGETS["full"]
    how = full.training
    assert (how.optimizer, how.lr, how.batch, how.grad_clip) == ("rmsprop-inside", 1e-3, 128, 0)
    runs = ("lstm-flow", "convlstm-rgb", "convlstm-flow", "convalstm-rgb", MOTION)
    assert [full.training_of(run).epochs for run in runs] == [200, 200, 300, 300, 400]
    assert BUDGETS["standard"].training_of(MOTION).epochs == 20
    for model in SINGLE[1:]:  # settings that `create_model` does not refuse
        recipe = find_recipe(f"published-{model}")
        given = full.model_config(model).settings()
        assert {key: given[key] for key in given.keys() & recipe.fixed} == {
            key: recipe.settings[key] for key in given.keys() & recipe.fixed
        }
    assert BUDGETS["full"].features("flow").flow == "tvl1"


@pytest.mark.slow
def test_a_run_with_the_settings_of_the_authors_code(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = BUDGETS["full"]
    small = replace(TINY, training=replace(full.training, epochs=1, batch=4, precision="32"), published=True, size=64,
                    encoder="conv4", vector="resnet18:vector", flow_length=1, flow="farneback")  # fmt: skip
    monkeypatch.setitem(BUDGETS, "tiny", small)
    for name in published.NAMES:  # 512 channels take minutes
        recipe = find_recipe(f"published-{name}")
        monkeypatch.setitem(registry._registered, f"published-{name}", replace(recipe, fixed=frozenset()))
    official.reproduce(tmp_path / "run", "ucf101", tree, budget="tiny", quiet=True)
    split = tmp_path / "run" / "split1"
    models = {
        name: load(split / name, device="cpu").model for name in ("convnet-rgb", "lstm-rgb", "alstm-flow", MOTION)
    }
    assert {type(net).__name__ for name, net in models.items() if name != "convnet-rgb"} == {"PublishedInit"}
    features = [net.encoder.num_features for net in models.values()]
    assert features[:2] == [512, 512] != features[2:]  # a vector where the authors' code has fc7
    assert [net.init for net in models.values()] == ["zeros", "zeros", "clip-mean", "clip-mean"]
    motion: Any = models[MOTION]
    assert motion.cell.glimpse == "product"
    assert motion.head[0].in_features == small.hidden * motion.grid[0] * motion.grid[1]
    assert motion.cell.upper.from_features.bias.chunk(4)[1].shape == (4,)
    assert FeatureStore.open(tmp_path / "run" / "features" / "flow-vector").settings.data.flow == "farneback"
    page = (split / "report.html").read_text(encoding="utf-8")
    assert "Flow is farneback" in page
    assert "the averaged map" not in page


def test_encoders_are_trained_on_the_split(
    done: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BUDGETS, "tiny", replace(TINY, fine_tuning=replace(TINY.training, lr=1e-3)))
    monkeypatch.setattr(official, "SINGLE", ("convlstm", "convalstm"))  # those that `motion` and the ensembles need
    monkeypatch.setattr(official, "write_page", lambda *_: tmp_path)
    official.reproduce(tmp_path / "run", "ucf101", tree, budget="tiny", quiet=True)
    split = tmp_path / "run" / "split1"
    for streams in ("rgb", "flow"):
        frozen, trained = (FeatureStore.open(of / "features" / streams) for of in (done / "run", split))
        assert frozen.settings.weights != trained.settings.weights
        assert load_file(split / f"{streams}-encoder.safetensors").keys() == load_file(trained.encoder_file).keys()


@pytest.mark.slow  # VGG-16 has 134 million weights up to fc7
def test_the_map_of_a_fine_tuned_vgg_is_inside_its_vector() -> None:
    whole, part = (cast(nn.Module, build_encoder(name, 3, 64, pretrained=False)) for name in ("vgg16:vector", "vgg16"))
    taken = first_layers(part, whole).eval()
    frames = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        features: Any = whole.net
        assert torch.equal(taken(frames), features.features(frames))
    small = cast(nn.Module, build_encoder("conv4", 3, 64, pretrained=False))
    with pytest.raises(RuntimeError, match="size mismatch"):
        first_layers(part, small)


def test_flow_that_is_not_installed_is_an_error_before_anything_is_read(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="tvl1 is only in the contrib build of OpenCV"):
        official.reproduce(tmp_path / "run", "ucf101", tree, budget="full")
    assert not (tmp_path / "run").exists()
