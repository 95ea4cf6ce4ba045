"""VideoLSTM on the official sets: a tiny run on a tree in exactly the published layout, and what
the page says.
"""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden import check
from published_trees import write_hmdb51, write_ucf101
from safetensors.torch import load_file

from onlooker.base.config import TrainConfig
from onlooker.base.records import ClipError
from onlooker.models.registry import find_recipe
from onlooker.recognizer import load
from onlooker_papers.memo import fingerprint
from onlooker_papers.videolstm import official, on_features
from onlooker_papers.videolstm.official_budget import (
    BOTH,
    BUDGETS,
    FUSED,
    MOTION,
    SETS,
    SINGLE,
    OfficialBudget,
)

TINY = OfficialBudget(
    "tiny",
    TrainConfig(epochs=1, batch=4, label_smoothing=0.0, patience=0, precision="32"),
    encoder="conv4",
    pretrained=False,
    size=32,
    frames=4,
    crops=2,
    hidden=4,
    head_units=4,
    classes=2,
    complete=False,
)
NAMES = {MOTION, *(f"{model}-{streams}" for model in SINGLE for streams in ("rgb", "flow"))}


@pytest.fixture(autouse=True)
def budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUDGETS, "tiny", TINY)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_ucf101(tmp_path_factory.mktemp("sets") / "ucf101")
    listed = root / "ucfTrainTestlist" / "trainlist01.txt"
    listed.write_text(listed.read_text().replace("Archery/v_Archery_g05_c01.avi 1\n", ""))
    return root


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Path:
    folder = tmp_path_factory.mktemp("official")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BUDGETS, "tiny", TINY)
        official.reproduce(
            folder / "run", "ucf101", tree, results=folder / "results", budget="tiny"
        )
    return folder


def test_every_model_and_both_streams_are_in_the_results(done: Path) -> None:
    stored = json.loads((done / "results" / "videolstm-ucf101.json").read_text(encoding="utf-8"))
    figures = stored["figures"]
    assert set(figures["models"]) == NAMES
    assert set(figures["fused"]) == set(FUSED)
    # Of twelve clips of the first two classes, one is not listed.
    assert sum(figures["clips"].values()) == 11
    assert (figures["clips"]["test"], figures["classes"], figures["split"]) == (4, 2, 1)
    assert (
        stored["command"]
        == "onlooker reproduce videolstm --ucf101 UCF101 --split 1 --results results"
    )
    assert all(found["accuracy"] in (0, 0.25, 0.5, 0.75, 1) for found in figures["models"].values())
    assert all(sum(found["weights"]) == pytest.approx(1) for found in figures["fused"].values())


def scores(split: Path) -> dict[str, list[list[float]]]:
    """The probabilities of the test clips of every model and ensemble, `N K`, in the order of the
    clips.
    """
    found = {path.parent.name: np.load(path)["test"] for path in sorted(split.glob("*/scores.npz"))}
    for words, names in FUSED.items():
        weights = json.loads((split / f"{words}.json").read_text(encoding="utf-8"))["figures"][
            "weights"
        ]
        found["+".join(names)] = sum(
            w * found[name] for w, name in zip(weights, names, strict=True)
        )
    return {name: of.astype(float).tolist() for name, of in found.items()}


def test_the_scores_of_a_tiny_ucf101_are_the_stored_ones(done: Path) -> None:
    check("official-ucf101", scores(done / "run" / "split1"), rtol=2e-3, atol=2e-3)


def test_the_scores_of_a_tiny_hmdb51_are_the_stored_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # those that `motion` and the ensembles need
    monkeypatch.setattr(official, "SINGLE", ("convlstm", "convalstm"))
    monkeypatch.setattr(official, "_write_page", lambda *_, **__: tmp_path)
    official.reproduce(tmp_path / "run", "hmdb51", write_hmdb51(tmp_path / "hmdb51"), budget="tiny")
    check("official-hmdb51", scores(tmp_path / "run" / "split1"), rtol=2e-3, atol=2e-3)


def test_the_page_has_the_table_of_the_paper(done: Path) -> None:
    page = (done / "run" / "split1" / "report.html").read_text(encoding="utf-8")
    words = ("as commonly cited", "random weights", BOTH, "Training curves", "--ucf101 UCF101")
    for word in words:
        assert word in page, word
    cited = {
        "rgb": ["77.4", "77.5", "77.0", "77.6", "79.6"],
        "flow": ["75.2", "78.3", "79.5", "79.1", "82.1"],
        "both": ["89.2"],
    }
    for streams, accuracies in cited.items():
        (row,) = (of for of in re.findall(r"<tr>(.*?)</tr>", page) if f">{streams}: cited<" in of)
        assert re.findall(r">(\d\d\.\d)</td>", row) == accuracies
    (row,) = (cells for cells in re.findall(r"<tr>(.*?)</tr>", page) if ">both</td>" in cells)
    figures = json.loads((done / "run" / "split1" / "figures.json").read_text(encoding="utf-8"))
    assert f">{100 * figures['fused'][BOTH]['accuracy']:.1f}</td>" in row


def test_a_model_sees_both_streams(done: Path, tree: Path) -> None:
    recognizer = load(done / "run" / "split1" / MOTION)
    d = recognizer.data
    assert (d.modality, d.frames, d.size) == ("both", 4, 32)
    assert recognizer.classes == ("Archery", "Basketball")
    seen = recognizer.predict(tree / "UCF-101" / "Archery" / "v_Archery_g06_c01.avi")
    np.testing.assert_allclose(seen.scores.sum(), 1, atol=1e-5)


def test_motion_begins_with_the_models_of_its_split_and_refuses_others(
    done: Path, tree: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(done / "run", tmp_path / "run"))
    split = run / "split1"
    weights = {name: fingerprint(split / name) for name in ("convalstm-rgb", "convlstm-flow")}
    assert (
        json.loads((split / "motion.json").read_text(encoding="utf-8"))["settings"]["init_from"]
        == weights
    )
    flow = split / "convlstm-flow" / "model" / "model.safetensors"
    shutil.copy(split / "convlstm-rgb" / "model" / "model.safetensors", flow)
    with pytest.raises(
        ValueError,
        match=r"motion.json: made with other settings \(init_from\.convlstm-flow\); choose",
    ):
        official.reproduce(run, "ucf101", tree, budget="tiny")


def test_what_is_there_is_not_computed_again_and_the_rest_continues(
    done: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(done / "run", tmp_path / "run"))
    before = (run / "split1" / "figures.json").read_bytes()
    for cut in (BOTH, "lstm-rgb"):
        (run / "split1" / f"{cut}.json").unlink()
    computed: list[str] = []

    learn = on_features.learn

    def noted(folder: Path, *given: Any, **settings: Any) -> Any:
        computed.append(folder.name)
        return learn(folder, *given, **settings)

    monkeypatch.setattr(on_features, "learn", noted)
    official.reproduce(run, "ucf101", tree, budget="tiny")
    assert computed == ["lstm-rgb"]
    assert (run / "split1" / "figures.json").read_bytes() == before


def test_a_clip_that_cannot_be_read_is_an_error(done: Path, tree: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(tree, tmp_path / "damaged"))
    (damaged / "UCF-101" / "Archery" / "v_Archery_g06_c01.avi").write_bytes(b"")
    with pytest.raises(ClipError, match="v_Archery_g06_c01"):
        official.reproduce(tmp_path / "run", "ucf101", damaged, budget="tiny")


def test_other_settings_are_refused(
    done: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(done / "run", tmp_path / "run"))

    def again(**changes: Any) -> None:
        monkeypatch.setitem(BUDGETS, "tiny", replace(TINY, **changes))
        official.reproduce(run, "ucf101", tree, budget="tiny")

    with pytest.raises(
        ValueError, match=r"convnet-rgb.json: made with other settings \(training\.lr\); choose"
    ):
        again(training=replace(TINY.training, lr=1.0))
    with pytest.raises(ValueError, match=r"made with other settings \(data\.frames\)"):
        again(frames=5)
    with pytest.raises(
        ValueError, match=r"made with other settings \(data\.size, features\.flow\.size"
    ):
        again(size=40)


def test_the_published_sizes_are_those_of_the_paper() -> None:
    for budget in (BUDGETS["standard"], BUDGETS["full"]):
        sizes = (budget.frames, budget.crops, budget.hidden, budget.head_units, budget.size)
        assert sizes == (30, 25, 512, 1024, 224)
        assert (budget.encoder, budget.pretrained, budget.dropout, budget.lstm_dropout) == (
            "vgg16",
            True,
            0.7,
            0.5,
        )
        assert (budget.classes, budget.clips, budget.complete) == (0, 0, True)
        assert budget.features("flow").in_channels == 2
    assert SETS["hmdb51"].cited_together == 56.4
    full = BUDGETS["full"]
    how = full.training
    assert (how.optimizer, how.lr, how.batch, how.grad_clip) == ("rmsprop", 1e-3, 128, 0)
    runs = ("lstm-flow", "convlstm-rgb", "convlstm-flow", "convalstm-rgb", MOTION)
    assert [full.training_of(run).epochs for run in runs] == [200, 200, 300, 300, 400]
    for model in SINGLE[1:]:
        recipe = find_recipe(f"published-{model}")
        given = full.model_config(model).settings()
        assert {key: given[key] for key in given.keys() & recipe.settings.keys()} == {
            key: recipe.settings[key] for key in given.keys() & recipe.settings.keys()
        }


@pytest.mark.slow
def test_a_run_with_settings_of_the_authors_code(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = BUDGETS["full"]
    training = replace(full.training, epochs=1, batch=4, precision="32")
    small = replace(TINY, training=training, published=True, size=64)
    monkeypatch.setitem(BUDGETS, "tiny", small)
    official.reproduce(tmp_path / "run", "ucf101", tree, budget="tiny")
    split = tmp_path / "run" / "split1"
    models = [
        load(split / name, device="cpu").model
        for name in ("convnet-rgb", "lstm-rgb", "alstm-flow", MOTION)
    ]
    assert {type(net).__name__ for net in models[1:]} == {"Published"}
    assert [net.clip_mean for net in models[1:]] == [False, True, True]
    motion: Any = models[-1]
    assert motion.cell.glimpse == "product"
    assert motion.head[0].in_features == small.hidden * motion.grid[0] * motion.grid[1]
    assert motion.cell.upper.from_features.bias.chunk(4)[1].shape == (4,)


def test_encoders_learn_from_the_split(
    done: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BUDGETS, "tiny", replace(TINY, fine_tuning=replace(TINY.training, lr=1e-3)))

    def two(models: Any) -> dict[str, Any]:
        return {streams: models._learn("lstm", (streams,)) for streams in ("rgb", "flow")}

    monkeypatch.setattr(official._Models, "figures", two)
    monkeypatch.setattr(official, "_write_page", lambda *_, **__: tmp_path)
    official.reproduce(tmp_path / "run", "ucf101", tree, budget="tiny")
    split = tmp_path / "run" / "split1"
    for streams in ("rgb", "flow"):
        frozen = load(done / "run" / "split1" / f"lstm-{streams}").model.encoder
        trained = load_file(split / f"{streams}-encoder.safetensors")
        assert frozen.state_dict().keys() == trained.keys()
        assert all(
            not torch.equal(weights, trained[name]) for name, weights in frozen.named_parameters()
        )
