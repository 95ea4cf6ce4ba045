"""The digit experiments: what their parts promise, and a tiny run of the whole, resumed cell by cell."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from moving_squares import make_set

from onlooker.data.digits import DigitSplit, split_digits
from onlooker.data.transforms import to_video
from onlooker.files import read_json, write_json
from onlooker.models.classifier import Classifier
from onlooker_papers.digits import deformation, hands, held_out, models, overfitting, pretraining, published, reproduce
from onlooker_papers.digits.augmented_mnist import VARIANTS
from onlooker_papers.digits.budget import FOLLOWING, GLIMPSES, QUICK, Entry
from onlooker_papers.digits.models import JUDGED_TOGETHER, SINGLE, DigitModel
from onlooker_papers.mnist import digest


@pytest.fixture(scope="module")
def splits() -> DigitSplit:
    return split_digits()


# The published protocol.


@pytest.mark.parametrize("variant", ["normal", "rotation+scale"])
def test_each_reading_shares_with_the_training_videos_what_its_name_says(splits: DigitSplit, variant: str) -> None:
    sets = published.videos(splits.training, splits.test, variant, frames=10)
    learn = sets["training"]
    assert list(published.READINGS) == [name for name in sets if name != "training"]
    for batch in sets.values():
        assert batch.video.shape == (100, 10, 1, 64, 64)
        assert published.ordered_label(batch.labels).tolist() == list(range(100))
    assert torch.equal(sets["same-videos"].video, learn.video)
    assert torch.equal(sets["same-digits"].indices, learn.indices)
    assert not torch.equal(sets["same-digits"].video, learn.video)
    for name in ("same-paths", "new"):  # other digits: those of MNIST's test set
        shown = splits.test.images[sets[name].indices.numpy()].reshape(-1, 28 * 28)
        known = {image.tobytes() for image in splits.training.images}
        assert not any(image.tobytes() in known for image in shown)

    def centers(name: str) -> torch.Tensor:
        return (sets[name].boxes[..., :2] + sets[name].boxes[..., 2:]) / 2

    # Digits differ in shape, and so the middles of their boxes by some pixels; paths differ by much more.
    assert (centers("same-paths") - centers("training")).abs().nanmean() < 3
    for name in ("same-digits", "new"):
        assert (centers(name) - centers("training")).abs().nanmean() > 6


def test_encoding_is_what_the_encoder_says_frame_by_frame(splits: DigitSplit) -> None:
    model = Classifier(10, "memoryless", None, encoder="lenet", in_channels=1, size=64).eval()
    video = published.videos(splits.training, splits.test, "normal", frames=2)["new"].video[:30]
    features = published.encode(model, video)
    assert features.shape == (30, 2, 500)
    assert not features.requires_grad
    with torch.inference_mode():
        one = model.encode(to_video(video[7, 1].movedim(0, -1)[None], "mnist")).flatten()
    assert features.dtype == torch.float32
    # Within the rounding of bfloat16, which the processor may compute in.
    assert (features[7, 1] - one).abs().max() < 0.02 * one.abs().max()


def test_the_published_table_is_whole() -> None:
    assert tuple(published.PUBLISHED) == VARIANTS
    for row in published.PUBLISHED.values():
        assert tuple(row) == ("lenet", "stn", "dcn")
        for loss, accuracy in row.values():
            assert 1 < loss < 2
            assert 0.8 < accuracy < 1


def test_slides_are_another_table_without_gestures() -> None:
    assert tuple(published.SLIDES) == VARIANTS[:-1]
    differences = [
        published.SLIDES[variant][encoder][0] - published.PUBLISHED[variant][encoder][0]
        for variant in published.SLIDES
        for encoder in ("lenet", "stn", "dcn")
    ]
    assert max(map(abs, differences)) == pytest.approx(0.14), "rotation, dcn: 1.15 for 1.29"


def test_the_order_of_encoders_is_that_of_the_paper_or_not() -> None:
    def row(**losses: float) -> dict[str, Any]:
        same = {e: {"loss": loss, "accuracy": 1 - loss / 10} for e, loss in losses.items()}
        return {e: {"lstm-keras": {"same-videos": figures}} for e, figures in same.items()}

    cells = {"normal": row(lenet=1.4, stn=2.0, dcn=1.5), "gesture": row(lenet=1.5, stn=1.4, dcn=1.2)}
    found = published.with_distances(cells)
    orders = {v: {e: of["order_holds"]["loss"] for e, of in rows.items()} for v, rows in found.items()}
    assert orders["normal"] == {"lenet": False, "stn": True, "dcn": False}, "dcn's is the lowest in the paper"
    assert orders["gesture"] == {"lenet": True, "stn": True, "dcn": True}, "the paper has lenet and stn alike"
    assert found["normal"]["lenet"]["distance"]["loss"] == pytest.approx(1.4 - 1.44)
    assert found["normal"]["lenet"]["distance_of_slides"]["loss"] == pytest.approx(1.4 - 1.39)
    assert "distance_of_slides" not in found["gesture"]["lenet"]


def test_smooth_gestures_differ_from_torn_ones_in_the_window_alone(splits: DigitSplit) -> None:
    torn, smooth = (
        published.videos(splits.training, splits.test, variant, frames=5)["training"]
        for variant in ("gesture", published.SMOOTH)
    )
    assert torch.equal(torn.indices, smooth.indices)
    assert not torch.equal(torn.video, smooth.video)

    def roughness(video: torch.Tensor) -> float:
        return video.float().diff(dim=-1).abs().mean().item()

    assert roughness(smooth.video) < 0.8 * roughness(torn.video), "torn digits have more edges"


# The held-out protocol.


def test_no_digit_is_in_two_splits(splits: DigitSplit) -> None:
    parts = [{image.tobytes() for image in part.images} for part in (splits.training, splits.validation, splits.test)]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 5000


# The whole.

READER = replace(GLIMPSES, after=SINGLE, head="each-glimpse")
TOGETHER = replace(READER, **{**JUDGED_TOGETHER, "after": "scale", "batch": 2, "frames": 10})
PAIRS_FOLLOWED = replace(FOLLOWING, batch=2, frames=10)
TINY = replace(
    QUICK,
    name="tiny",
    passes={"lenet": {"one-cycle": 0.1}, "stn": {"one-cycle": 0.1}},
    windows={8: 0.1},
    frozen={"lenet": "one-cycle", "stn": "one-cycle"},
    better={"lenet": "one-cycle"},
    frames=5,
    rounds={"lstm-keras": 2, "lstm": 1},
    baselines={"mlp": 1},
    conv3d=0,
    whole=("normal",),
    readings=(published.PUBLISHED_READING,),
    entries=(
        Entry(GLIMPSES, 1, ("normal",)),
        Entry(READER, 1, ("scale",)),
        Entry(TOGETHER, 1, ("scale",)),
        Entry(PAIRS_FOLLOWED, 1, ("scale",)),
        Entry(DigitModel("lenet", 2, recipe="one-cycle"), 1, ("normal", "scale")),
    ),
    literal={"lenet": 4},
    objects=1,
    ceilings={"ceiling": {"scale": 1}, "ceiling-opinions": {"scale": 1}, "ceiling-tracks": {"scale": 1}},
    tests=8,
    few=(DigitModel("lenet", 2, recipe="one-cycle"),),
    repeated=20,
    warps=1,
    warp_seeds=2,
    memory=("lenet",),
    hands=(DigitModel("lenet", recipe="one-cycle"),),
    hand_frames=3,
    hand_seeds=2,
    epochs=1,
)


@pytest.fixture(scope="module", autouse=True)
def little_overfitting() -> Iterator[None]:
    """Two epochs, few unseen videos and digits, and no measurement of memory in every run of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overfitting, "UNSEEN", 8)
        patch.setattr(overfitting, "_EPOCHS", 2)
        patch.setattr(deformation, "_VALIDATION", 8)
        # Measured in processes of their own, for seconds each; test_memory.py does it.
        patch.setattr(
            reproduce, "memory_table", lambda encoders: {e: {"two_stage": 1.0, "end_to_end": 2.0} for e in encoders}
        )
        yield


@pytest.fixture(scope="module")
def gestures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squares that move, in place of hands."""
    return make_set(tmp_path_factory.mktemp("gestures") / "hands")


encode = published.encode


def encode_one_frame(model: Classifier, video: torch.Tensor) -> torch.Tensor:
    """In place of `published.encode`: the first frame's features for all frames, which takes a fifth of the time."""
    return encode(model, video[:, :1]).expand(-1, video.shape[1], -1).contiguous()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, gestures: Path) -> Path:
    """A tiny run of everything."""
    folder = tmp_path_factory.mktemp("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(reproduce.BUDGETS, "tiny", TINY)
        patch.setattr(published, "encode", encode_one_frame)
        patch.setattr(held_out, "_EPOCH", 2)
        patch.setattr(held_out, "_VALIDATION", 32)
        reproduce.reproduce(folder / "run", clips=gestures, budget="tiny", results=folder / "results")
    return folder


def test_the_page_has_every_table_and_figure(run: Path) -> None:
    page = (run / "run" / "report.html").read_text(encoding="utf-8")
    assert "3.600 training digits · tiny" in page.replace(",", ".")
    headings = (
        "Table I, and what it measures",
        "an explicit field",
        "Unseen digits on unseen paths",
        "From digits to hands",
    )
    for words in (*headings, "Figures 2 to 5", "several glimpses"):
        assert words in page
    for count in ("6.431.080", "25.741.976"):  # with whatever parts the thousands
        assert re.search(count, page)
    for name in ("figure-2", "figure-3", "figure-4", "figure-5", "glimpses", "field"):
        assert (run / "run" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_results_carry_the_keys_that_tables_read(run: Path) -> None:
    stored = {path.stem: json.loads(path.read_text()) for path in (run / "results").glob("*.json")}
    assert set(stored) == {"pretraining", "digits-paper", "digits-honest", "glimpses", "digits-field"}
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
        assert row["stn"]["distance"] == {"loss": here["loss"] - loss, "accuracy": here["accuracy"] - accuracy}
        assert ("distance_of_slides" in row["stn"]) == (variant in published.SLIDES)
        assert set(row["stn"]["order_holds"]) == {"loss", "accuracy"}
        assert row["lenet"]["encoder"]["recipe"] == "one-cycle"
    assert set(stored["digits-paper"]["figures"]["better"]) == set(published.TABLE)
    other = stored["digits-paper"]["figures"]["better"]["scale"]["lenet"]
    assert other["rounds"] == {"lstm-keras": 2, "lstm": 2}
    assert set(other["lstm"]) == set(other["lstm-keras"]) == set(published.READINGS)


def test_the_published_system_itself_is_among_the_held_out_models(run: Path) -> None:
    literal = read_json(run / "run" / "figures.json")["figures"]["digits-honest"]["models"]["normal"]["lenet-literal"]
    assert (literal["videos"], len(literal["accuracy_interval"])) == (4, 2)
    assert 0 <= literal["accuracy"] <= 1
    page = (run / "run" / "report.html").read_text(encoding="utf-8")
    assert "lenet-literal" in page


def test_models_of_deformed_digits_are_means_over_seeds(run: Path) -> None:
    figures = read_json(run / "run" / "figures.json")["figures"]["digits-field"]
    assert {name: tuple(rows) for name, rows in figures.items()} == deformation.ROWS
    row = figures["smooth"]["field"]
    assert len(row["per_seed"]) == 2
    assert row["accuracy"] == pytest.approx(sum(row["per_seed"]) / 2)
    assert figures["none"]["lenet"]["error"]["raw"] == 0
    lenet = figures["torn"]["lenet"]["error"]
    assert 0 < lenet["affine"] < lenet["shift"] < lenet["raw"]
    cells = [read_json(run / "run" / "field" / "smooth" / f"field-{seed}.json") for seed in range(2)]
    assert [cell["settings"]["seed"] for cell in cells] == [0, 1]
    stored = read_json(run / "results" / "digits-field.json")
    assert stored["seeds"] == [0, 1]


def test_hands_are_a_mean_over_seeds(run: Path) -> None:
    (row,) = read_json(run / "run" / "figures.json")["figures"]["digits-honest"]["hands"].values()
    assert row["accuracy"] == pytest.approx(sum(row["per_seed"]) / 2)
    assert (len(row["per_seed"]), row["frames"]) == (2, 3)
    cells = [read_json(path) for path in sorted((run / "run" / "hands").glob("*.json"))]
    assert sorted(cell["settings"]["seed"] for cell in cells) == [0, 1]


def test_few_videos_are_the_same_in_every_epoch_and_compared_with_unseen_ones(run: Path, splits: DigitSplit) -> None:
    (row,) = read_json(run / "run" / "figures.json")["figures"]["digits-honest"]["overfitting"].values()
    assert (row["videos"], row["epochs"]) == (20, 2)
    assert row["gap"] == row["training"]["accuracy"] - row["unseen"]["accuracy"]
    assert row["lowest"] <= row["unseen"]["loss"]
    first, again = (overfitting._fixed(splits.training, 3, 0) for _ in range(2))
    assert all(torch.equal(a[0], b[0]) and a[1:] == b[1:] for a, b in zip(first, again, strict=True))


def test_what_a_model_learned_before_counts_as_its_budget(run: Path) -> None:
    held_out_cells = run / "run" / "held-out" / "scale"
    of_scale = read_json(run / "run" / "figures.json")["figures"]["digits-honest"]["models"]["scale"]
    chain = ("ceiling", READER.name, TOGETHER.name)
    alone, reader, together = (read_json(held_out_cells / f"{name}.json")["figures"] for name in chain)
    seen = {name: spec.batch for name, spec in held_out.CEILINGS.items()}  # a single batch each
    assert of_scale[READER.name]["videos"] == reader["videos"] + seen["ceiling"]
    assert of_scale[READER.name]["minutes"] == pytest.approx(reader["minutes"] + alone["minutes"])
    assert of_scale[TOGETHER.name]["videos"] == of_scale[READER.name]["videos"] + together["videos"]
    assert of_scale[TOGETHER.name]["minutes"] == pytest.approx(of_scale[READER.name]["minutes"] + together["minutes"])
    whole = read_json(held_out_cells / f"{TOGETHER.name}.validation.json")
    assert whole["settings"]["validation_frames"] == 50
    assert of_scale[TOGETHER.name]["validation"] == whole["figures"]["accuracy"]
    assert of_scale["ceiling-opinions"]["videos"] == seen["ceiling"] + seen["ceiling-opinions"]
    followed = read_json(held_out_cells / f"{PAIRS_FOLLOWED.name}.json")["figures"]
    assert PAIRS_FOLLOWED.name == "tracks-2-end-to-end"
    assert of_scale[PAIRS_FOLLOWED.name]["videos"] == seen["ceiling-tracks"] + followed["videos"]
    assert 0 < of_scale[PAIRS_FOLLOWED.name]["on_digits"] <= 1
    later = read_json(held_out_cells / f"{PAIRS_FOLLOWED.name}.later.json")
    assert later["settings"]["begins_later"] == 2
    assert of_scale[PAIRS_FOLLOWED.name]["out_of_phase"] == later["figures"]["accuracy"]


def test_finished_cells_are_read_and_lost_ones_computed_again(
    run: Path, gestures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reproduce.BUDGETS, "tiny", TINY)
    monkeypatch.setattr(published, "encode", encode_one_frame)
    before = read_json(run / "run" / "figures.json")
    lost = run / "run" / "paper" / "scale-lenet.json"
    kept = lost.read_bytes()
    lost.unlink()
    trained: list[Any] = []
    for module in (pretraining, models, overfitting):
        monkeypatch.setattr(module, "fit", lambda *_: trained.append(1))
    reproduce.reproduce(run / "run", clips=gestures, budget="tiny")
    assert not trained
    assert lost.read_bytes() == kept  # the same seeds, the same figures
    assert read_json(run / "run" / "figures.json") == before


def test_some_rows_alone_replace_the_old_ones(
    run: Path, gestures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reproduce.BUDGETS, "tiny", TINY)
    monkeypatch.setattr(held_out, "_EPOCH", 2)
    monkeypatch.setattr(held_out, "_VALIDATION", 32)
    results = Path(shutil.copytree(run / "results", tmp_path / "results"))

    def change(row: str, **figures: float) -> None:
        path = results / "cells" / "digits-honest" / "models" / f"{row}.json"
        stored = read_json(path)
        write_json(path, {**stored, "figures": {**stored["figures"], **figures}})

    change(f"normal/{GLIMPSES.name}", accuracy=2.0, validation=2.0)  # as if computed by others
    change(f"scale/{GLIMPSES.name}", minutes=-1.0)
    before = {path.stem: read_json(path) for path in results.glob("*.json")}

    arguments = {"clips": gestures, "budget": "tiny", "results": results}
    path = reproduce.reproduce(tmp_path / "alone", only=["held-out/scale/stn-2-conv*"], **arguments)
    computed = {found.relative_to(tmp_path / "alone").as_posix() for found in (tmp_path / "alone").rglob("*.json")}
    names = {name for name in computed if name.count("/") == 2}
    trained = {name for name in names if not name.endswith(".validation.json")}
    assert trained == {
        "held-out/scale/ceiling.json", f"held-out/scale/{GLIMPSES.name}.json"
    }, "it starts from the ceiling"  # fmt: skip
    assert path == tmp_path / "alone" / "figures.json"
    assert not (tmp_path / "alone" / "report.html").exists()

    after = {path.stem: read_json(path) for path in results.glob("*.json")}
    assert all(after[name] == before[name] for name in ("pretraining", "digits-paper", "glimpses"))
    figures = after["digits-honest"]["figures"]
    assert figures["normal"] == 2.0
    assert figures["models"]["scale"][GLIMPSES.name]["minutes"] >= 0
    assert figures["hands"] == before["digits-honest"]["figures"]["hands"]
    assert after["digits-honest"]["command"] == "onlooker reproduce digits --clips HANDS --results results"
    (younger,) = (
        origin for origin in after["digits-honest"]["origin"] if "--only 'held-out/scale/stn-2-conv*'" in origin
    )
    assert after["digits-honest"]["origin"][younger] == [f"models/scale/{GLIMPSES.name}"]
    # A row of which this run has an older version stays as others wrote it.
    change(f"scale/{GLIMPSES.name}", minutes=-1.0)
    reproduce.reproduce(tmp_path / "alone", only=["held-out/scale/ceiling"], **arguments)
    figures = read_json(results / "digits-honest.json")["figures"]
    assert figures["models"]["scale"][GLIMPSES.name]["minutes"] == -1.0
    with pytest.raises(ValueError, match=r"unknown row 'held-out/shape/\*'; there are pretraining/lenet/one-cycle, "):
        reproduce.reproduce(tmp_path / "alone", only=["held-out/shape/*"], **arguments)
    with pytest.raises(
        ValueError, match=r"was made by .*--clips HANDS.*, and this is 'onlooker reproduce digits --res"
    ):
        reproduce.reproduce(tmp_path / "alone", budget="tiny", results=results, only=["memory"])


def test_a_cell_knows_the_weights_that_it_begins_from(run: Path, gestures: Path, tmp_path: Path) -> None:
    """Else a table made with the encoders of another budget would be believed."""
    shutil.copytree(run / "run", tmp_path / "run")
    of_encoder = tmp_path / "run" / "pretraining" / "lenet-one-cycle"
    shutil.copy(run / "run" / "pretraining" / "stn-one-cycle" / "model" / "model.safetensors", of_encoder / "model")
    digits, spec = split_digits(), TINY.entries[-1].spec
    encoders = tmp_path / "run" / "pretraining"
    rounds = {**TINY.rounds, **TINY.baselines}
    with pytest.raises(ValueError, match=r"normal-lenet.json: made with other settings \(weights\)"):
        published.table_cell(
            tmp_path / "run" / "paper", encoders, "normal", "lenet", "one-cycle", rounds, digits, TINY.frames
        )
    with pytest.raises(ValueError, match=r"two-stage.json: made with other settings \(begins_with\)"):
        held_out.Trial(tmp_path / "run" / "held-out", encoders, "normal", spec, 1, TINY.tests, digits).train()
    with pytest.raises(ValueError, match=r"end-to-end.json: made with other settings \(begins_with\)"):
        hands.carry_over(tmp_path / "run" / "hands", encoders, gestures, TINY.hands[0], TINY.epochs, TINY.hand_frames)


def test_a_cell_of_table_one_continues_with_what_it_had(
    run: Path, tmp_path: Path, splits: DigitSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, trained = [], []
    train = published.train_rounds

    def encoding(model: Classifier, video: torch.Tensor) -> torch.Tensor:
        encoded.append(video)
        if len(encoded) == 4:
            raise KeyboardInterrupt
        return encode_one_frame(model, video)

    def training(*of: Any, model: str, **how: Any) -> Any:
        trained.append(model)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(*of, model=model, **how)

    def compute() -> dict[str, Any]:
        return published.table_cell(
            tmp_path,
            run / "run" / "pretraining",
            "normal",
            "lenet",
            "one-cycle",
            {"lstm-keras": 2, "lstm": 1, "mlp": 1},
            splits,
            5,
        )

    monkeypatch.setattr(published, "encode", encoding)
    monkeypatch.setattr(published, "train_rounds", training)
    for _ in range(2):  # cut off at the fourth set of videos, then at the second model
        with pytest.raises(KeyboardInterrupt):
            compute()
    figures = compute()
    assert len(encoded) == 5  # four sets, one of them twice
    assert trained == ["lstm-keras", "lstm", "lstm", "mlp"]
    assert figures == read_json(run / "run" / "paper" / "normal-lenet.json")["figures"]
    assert [path.name for path in tmp_path.iterdir()] == ["normal-lenet.json"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"variant": "zoom"}, "variant is 'zoom'; the paper has normal, rotation, scale, rotation.scale, gesture, and"),
        ({"rounds": {"rnn": 1}}, "no model 'rnn'; the paper has lstm, its code lstm-keras; there are"),
        ({"rounds": {"lstm": 0}}, "rounds of lstm are 0, expected at least 1; the paper has 300"),
        ({"frames": 0}, "frames is 0, expected at least 1; the paper has 50"),
        ({"readings": ["test"]}, "no test videos 'test', expected same-videos, .*; published are same-videos"),
    ],
)
def test_settings_that_the_protocol_does_not_have_are_refused(
    tmp_path: Path, splits: DigitSplit, setting: dict[str, Any], message: str
) -> None:
    known = {"variant": "normal", "rounds": {"lstm": 1}, "frames": 5, "readings": ["new"]}
    with pytest.raises(ValueError, match=message):
        published.table_cell(
            tmp_path, tmp_path, encoder="lenet", recipe="one-cycle", splits=splits, **{**known, **setting}
        )


def test_a_run_of_another_budget_is_reported(run: Path, gestures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(reproduce.BUDGETS, "tiny", replace(TINY, rounds={"lstm-keras": 3, "lstm": 1}))
    with pytest.raises(ValueError, match=r"made with other settings \(rounds\.lstm-keras\); choose another --run"):
        reproduce.reproduce(run / "run", clips=gestures, budget="tiny")


@pytest.mark.slow
def test_one_protocol_after_the_other_makes_one_page(
    run: Path, gestures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reproduce.BUDGETS, "tiny", TINY)
    shutil.copytree(run / "run", tmp_path / "run")
    (tmp_path / "run" / "figures.json").unlink()

    def page(protocol: str) -> str:
        found = reproduce.reproduce(tmp_path / "run", budget="tiny", protocol=protocol)
        return found.read_text(encoding="utf-8")

    table, unseen = "Table I, and what it measures", "Unseen digits on unseen paths"
    alone = page("paper")
    assert table in alone
    assert unseen not in alone
    both = page("held-out")
    assert table in both
    assert unseen in both


@pytest.mark.slow
def test_the_baseline_on_pixels_is_a_separate_cell(
    splits: DigitSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, numbers = partial(published.train_conv3d, epochs=1), []

    def training(*of: Any) -> Any:
        numbers.append(of[-1])
        if len(numbers) == 2:
            raise KeyboardInterrupt
        return train(*of)

    monkeypatch.setattr(published, "train_conv3d", training)
    with pytest.raises(KeyboardInterrupt):
        published.conv3d_cell(tmp_path, "normal", 2, splits, frames=10)
    found = published.conv3d_cell(tmp_path, "normal", 2, splits, frames=10)
    assert numbers == [0, 1, 1]  # the first round was kept
    assert set(found["conv3d"]) == set(published.READINGS)
    assert read_json(tmp_path / "normal-conv3d.json")["settings"]["digits"] == digest(splits)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"budget": "huge"}, "budget is 'huge', expected one of quick, standard, full"),
        ({"protocol": "dishonest"}, "protocol is 'dishonest', expected one of all, paper, held-out"),
        ({"mnist": Path("nowhere")}, "nowhere"),
        ({"protocol": "paper", "clips": Path("hands")}, "clips of hands belong to the held-out protocol"),
    ],
)
def test_wrong_arguments_are_reported_before_anything_is_computed(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        reproduce.reproduce(tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()
