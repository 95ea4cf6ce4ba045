"""The digit experiments: a tiny run of the whole, resumed cell by cell."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from onlooker.base.files import read_json, write_json
from onlooker.models.classifier import Classifier
from onlooker_papers.digits import held_out, pretraining, published, reproduce
from onlooker_papers.digits.budget import FOLLOWING, GLIMPSES, QUICK, Entry
from onlooker_papers.digits.held_out import FOLLOWED
from onlooker_papers.digits.models import DigitModel
from onlooker_papers.mnist import split_mnist

pytestmark = pytest.mark.slow  # a quick run of all tables

FURTHER = replace(GLIMPSES, after="normal")
PAIRS_FOLLOWED = replace(FOLLOWING, batch=2, frames=10)
TINY = replace(
    QUICK,
    name="tiny",
    pretraining={"lenet": {"one-cycle": 0.1}, "stn": {"one-cycle": 0.1}},
    frames=5,
    rounds={"lstm-keras": 2},
    more_rounds={"lstm": 2},
    whole=("normal",),
    readings=(published.PUBLISHED_READING,),
    entries=(
        Entry(GLIMPSES, 1, ("normal",)),
        Entry(FURTHER, 1, ("scale",)),
        Entry(PAIRS_FOLLOWED, 1, ("scale",)),
        Entry(DigitModel("lenet", 2, recipe="one-cycle"), 1, ("normal", "scale")),
    ),
    objects=1,
    ceilings={"ceiling": {"scale": 1}, "ceiling-tracks": {"scale": 1}},
    tests=8,
    validation=32,
)


encode = published.encode


def encode_one_frame(model: Classifier, video: torch.Tensor) -> torch.Tensor:
    """In place of `published.encode`: the first frame's features for all frames, which takes a
    fifth of the time.
    """
    return encode(model, video[:, :1]).expand(-1, video.shape[1], -1).contiguous()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run of everything."""
    folder = tmp_path_factory.mktemp("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(reproduce.BUDGETS, "tiny", TINY)
        patch.setattr(published, "encode", encode_one_frame)
        patch.setattr(held_out, "EPOCH", 2)
        reproduce.reproduce(folder / "run", budget="tiny", results=folder / "results")
    return folder


def test_the_page_has_every_table_and_figure(run: Path) -> None:
    page = (run / "run" / "report.html").read_text(encoding="utf-8")
    assert "3.600 training digits · tiny" in page.replace(",", ".")
    headings = (
        "Table I, and what it measures",
        "Unseen digits on unseen paths",
        "Figures 1 to 5",
        "several glimpses",
    )
    for words in headings:
        assert words in page
    for count in ("6.431.080", "25.741.976"):  # with whatever parts the thousands
        assert re.search(count, page)
    for name in ("figure-2", "figure-3", "figure-4", "figure-5", "glimpses"):
        assert (run / "run" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_results_carry_the_keys_that_tables_read(run: Path) -> None:
    stored = {path.stem: json.loads(path.read_text()) for path in (run / "results").glob("*.json")}
    assert set(stored) == {
        "digits-layers",
        "pretraining",
        "digits-paper",
        "digits-honest",
        "glimpses",
    }
    for values in stored.values():
        assert values["command"].startswith("onlooker reproduce digits")
    assert set(stored["digits-honest"]["figures"]) >= {"normal", "scale"}
    assert 0 <= stored["glimpses"]["figures"]["single"] <= 1
    assert 0 <= stored["glimpses"]["figures"]["several"] <= 1
    cells = stored["digits-paper"]["figures"]["cells"]
    assert set(cells) == set(published.TABLE)
    for variant, row in cells.items():
        of_lenet = published.READINGS if variant == "normal" else [published.PUBLISHED_READING]
        assert set(row["lenet"]["lstm-keras"]) == set(of_lenet)
        assert set(row["stn"]["lstm-keras"]) == {published.PUBLISHED_READING}
        loss, accuracy = published.PUBLISHED[variant.removesuffix("-61")]["stn"]
        here = row["stn"]["lstm-keras"]["same-videos"]
        assert row["stn"]["distance"] == {
            "loss": here["loss"] - loss,
            "accuracy": here["accuracy"] - accuracy,
        }
        assert ("distance_of_slides" in row["stn"]) == (variant in published.SLIDES)
        assert set(row["stn"]["order_holds"]) == {"loss", "accuracy"}
        assert row["lenet"]["encoder"]["recipe"] == "one-cycle"
    assert cells["normal"]["lenet"]["rounds"] == {"lstm-keras": 2, "lstm": 2}
    assert set(cells["normal"]["lenet"]["lstm"]) == set(published.READINGS)


def test_what_a_model_learned_before_counts_as_its_budget(run: Path) -> None:
    held_out_cells = run / "run" / "held-out"
    of_scale = read_json(run / "run" / "figures.json")["figures"]["digits-honest"]["models"][
        "scale"
    ]
    name = FURTHER.name
    before, further = (
        read_json(held_out_cells / of / f"{name}.json")["figures"] for of in ("normal", "scale")
    )
    # a single batch each
    assert of_scale[name]["videos"] == before["videos"] + further["videos"] == 2 * FURTHER.batch
    assert of_scale[name]["minutes"] == pytest.approx(before["minutes"] + further["minutes"])
    whole = read_json(held_out_cells / "scale" / f"{name}.validation.json")
    assert whole["settings"]["validation_frames"] == 50
    assert of_scale[name]["validation"] == whole["figures"]["accuracy"]
    followed = read_json(held_out_cells / "scale" / f"{PAIRS_FOLLOWED.name}.json")["figures"]
    assert PAIRS_FOLLOWED.name == "tracks-2-end-to-end"
    assert of_scale[PAIRS_FOLLOWED.name]["videos"] == FOLLOWED.batch + followed["videos"]
    assert 0 < of_scale[PAIRS_FOLLOWED.name]["on_digits"] <= 1


def test_finished_cells_are_read_and_lost_ones_computed_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reproduce.BUDGETS, "tiny", TINY)
    monkeypatch.setattr(published, "encode", encode_one_frame)
    before = read_json(run / "run" / "figures.json")
    lost = run / "run" / "paper" / "scale-lenet.json"
    kept = lost.read_bytes()
    lost.unlink()
    trained: list[Any] = []
    for module in (pretraining, held_out):
        monkeypatch.setattr(module, "fit", lambda *_, **__: trained.append(1))
    reproduce.reproduce(run / "run", budget="tiny")
    assert not trained
    assert lost.read_bytes() == kept  # the same seeds, the same figures
    assert read_json(run / "run" / "figures.json") == before


def test_some_rows_alone_replace_the_old_ones(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reproduce.BUDGETS, "tiny", TINY)
    monkeypatch.setattr(held_out, "EPOCH", 2)
    results = Path(shutil.copytree(run / "results", tmp_path / "results"))

    def change(row: str, **figures: float) -> None:
        path = results / "cells" / "digits-honest" / "models" / f"{row}.json"
        stored = read_json(path)
        write_json(path, {**stored, "figures": {**stored["figures"], **figures}})

    change(f"normal/{GLIMPSES.name}", accuracy=2.0, validation=2.0)  # as if computed by others
    change(f"scale/{GLIMPSES.name}", minutes=-1.0)
    before = {path.stem: read_json(path) for path in results.glob("*.json")}

    arguments: dict[str, Any] = {"budget": "tiny", "results": results}
    path = reproduce.reproduce(tmp_path / "alone", only=["held-out/scale/stn-2-conv*"], **arguments)
    computed = {
        found.relative_to(tmp_path / "alone").as_posix()
        for found in (tmp_path / "alone").rglob("*.json")
    }
    names = {name for name in computed if name.count("/") == 2}
    trained = {name for name in names if not name.endswith(".validation.json")}
    assert trained == {
        f"held-out/normal/{GLIMPSES.name}.json",
        f"held-out/scale/{GLIMPSES.name}.json",
    }, "it starts from the model of `normal`"
    assert path == tmp_path / "alone" / "figures.json"
    assert not (tmp_path / "alone" / "report.html").exists()

    after = {path.stem: read_json(path) for path in results.glob("*.json")}
    assert all(after[name] == before[name] for name in ("pretraining", "digits-paper", "glimpses"))
    figures = after["digits-honest"]["figures"]
    assert figures["normal"] == 2.0
    assert figures["models"]["scale"][GLIMPSES.name]["minutes"] >= 0
    command = "onlooker reproduce digits --tiny --results results"
    assert after["digits-honest"]["command"] == command, "the command names its budget"
    (younger,) = (
        origin
        for origin in after["digits-honest"]["origin"]
        if "--only 'held-out/scale/stn-2-conv*'" in origin
    )
    assert after["digits-honest"]["origin"][younger] == [f"models/scale/{GLIMPSES.name}"]
    # A row of which this run has an older version stays as others wrote it.
    change(f"scale/{GLIMPSES.name}", minutes=-1.0)
    reproduce.reproduce(tmp_path / "alone", only=["held-out/scale/ceiling"], **arguments)
    figures = read_json(results / "digits-honest.json")["figures"]
    assert figures["models"]["scale"][GLIMPSES.name]["minutes"] == -1.0
    with pytest.raises(
        ValueError,
        match=r"unknown row 'held-out/shape/\*'; there are layers/lenet, ",
    ):
        reproduce.reproduce(tmp_path / "alone", only=["held-out/shape/*"], **arguments)


def test_a_cell_knows_the_weights_that_it_begins_from(run: Path, tmp_path: Path) -> None:
    """Else a table made with the encoders of another budget would be believed."""
    shutil.copytree(run / "run", tmp_path / "run")
    of_encoder = tmp_path / "run" / "pretraining" / "lenet-one-cycle"
    shutil.copy(
        run / "run" / "pretraining" / "stn-one-cycle" / "model" / "model.safetensors",
        of_encoder / "model",
    )
    digits = split_mnist()
    spec = TINY.entries[-1].spec
    encoders = tmp_path / "run" / "pretraining"
    rounds = {**TINY.rounds, **TINY.more_rounds}
    with pytest.raises(
        ValueError, match=r"normal-lenet.json: made with other settings \(weights\)"
    ):
        published.table_cell(
            tmp_path / "run" / "paper",
            encoders,
            variant="normal",
            encoder="lenet",
            recipe="one-cycle",
            rounds=rounds,
            splits=digits,
            frames=TINY.frames,
        )
    with pytest.raises(
        ValueError, match=r"two-stage.json: made with other settings \(begins_with\)"
    ):
        held_out.Trial(
            tmp_path / "run" / "held-out", encoders, "normal", spec, 1, TINY.tests, digits
        ).train()


def test_a_run_of_another_budget_is_reported(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(reproduce.BUDGETS, "tiny", replace(TINY, rounds={"lstm-keras": 3}))
    with pytest.raises(
        ValueError, match=r"made with other settings \(rounds\.lstm-keras\); choose another --run"
    ):
        reproduce.reproduce(run / "run", budget="tiny")


@pytest.mark.slow
def test_the_page_has_the_protocols_that_were_asked_for(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reproduce.BUDGETS, "tiny", TINY)
    shutil.copytree(run / "run", tmp_path / "run")

    def page(protocol: str) -> str:
        found = reproduce.reproduce(tmp_path / "run", budget="tiny", protocol=protocol)
        return found.read_text(encoding="utf-8")

    table = "Table I, and what it measures"
    unseen = "Unseen digits on unseen paths"
    alone = page("paper")
    assert table in alone
    assert unseen not in alone
    both = page("all")
    assert table in both
    assert unseen in both


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"budget": "huge"}, "budget is 'huge', expected one of smoke, quick, standard"),
        (
            {"protocol": "dishonest"},
            "protocol is 'dishonest', expected one of all, paper, held-out",
        ),
        ({"mnist": Path("nowhere")}, "nowhere"),
    ],
)
def test_wrong_arguments_are_reported_before_computing(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        reproduce.reproduce(tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()
