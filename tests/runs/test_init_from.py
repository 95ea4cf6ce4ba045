"""`train --init-from`: `motion` begins where its two streams have ended, if they have learned from the same clips."""

import json
import shutil
from pathlib import Path
from typing import Any

import moving_squares
import pytest
import torch
from commands import call, fails

from onlooker.runs.memo import fingerprint
from onlooker.recognizer import load

SAMPLE = ["--frames", "3", "--size", "16", "--channels", "1"]
BRIEF = ["--hidden", "6", "--epochs", "1", "--batch", "8", "--precision", "32"]
STILL = [*BRIEF, "--lr", "1e-30"]  # which moves no weight


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moving_squares.make_set(tmp_path_factory.mktemp("data") / "squares", clips=4)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> dict[str, Path]:
    """A run on each stream, from pixels."""
    folder = tmp_path_factory.mktemp("runs")
    for streams, model in {"rgb": "convalstm", "flow": "convlstm"}.items():
        words = ["--model", model, "--modality", streams, "--run", folder / streams]
        call("train", squares, *words, *SAMPLE, *BRIEF)
    return {streams: folder / streams for streams in ("rgb", "flow")}


def motion(squares: Path, run: Path, *begin: Path) -> list[Any]:
    words = ["train", squares, "--model", "motion", "--modality", "both", "--run", run]
    return [*words, *[word for each in begin for word in ("--init-from", each)]]


def parameters(part: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().cpu() for name, parameter in part.named_parameters()}


def check_streams(run: Path, rgb: Path, flow: Path) -> None:
    """The weights of a motion run that did not move are those of its streams."""
    model, picture, moved = (load(each, device="cpu").model for each in (run, rgb, flow))
    pairs: dict[str, tuple[Any, Any]] = {
        "picture": (model.encoder.picture, picture.encoder),  # type: ignore[union-attr]
        "flow": (model.encoder.flow, moved.encoder),  # type: ignore[union-attr]
        "attention": (model.cell.attention, picture.cell.attention),  # type: ignore[union-attr, operator]
        "upper": (model.cell.upper, picture.cell.cell),  # type: ignore[union-attr, operator]
        "head": (model.head, picture.head),
    }
    for name, (mine, source) in pairs.items():
        found, expected = parameters(mine), parameters(source)
        assert found.keys() == expected.keys()
        for key in found:
            torch.testing.assert_close(found[key], expected[key], rtol=0, atol=1e-20, msg=f"{name} {key}")
    lower = model.cell.lower.from_hidden.weight.cpu()  # type: ignore[union-attr, operator]
    middle = moved.cell.from_hidden.weight[:, :, 1:2, 1:2]  # type: ignore[union-attr, operator]
    torch.testing.assert_close(lower, middle, rtol=0, atol=1e-20)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, squares: Path, runs: dict[str, Path]) -> Path:
    """A motion run from pixels; the flow's run is given first."""
    run = tmp_path_factory.mktemp("begun") / "motion"
    call(*motion(squares, run, runs["flow"], runs["rgb"]), *SAMPLE, *STILL)
    return run


def test_motion_begins_with_both_runs_in_any_order(begun: Path, runs: dict[str, Path]) -> None:
    check_streams(begun, **runs)
    config = json.loads((begun / "config.json").read_text(encoding="utf-8"))
    assert config["init_from"] == {str(run.resolve()): fingerprint(run) for run in runs.values()}
    alone = json.loads((runs["rgb"] / "config.json").read_text(encoding="utf-8"))
    assert alone["init_from"] == {}


def test_a_run_that_was_cut_off_begins_with_the_same_weights_or_not_at_all(
    begun: Path, squares: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    run, rgb = (Path(shutil.copytree(each, tmp_path / each.name)) for each in (begun, runs["rgb"]))
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    weights = config["init_from"].pop(str(runs["rgb"].resolve()))
    (run / "config.json").write_text(json.dumps({**config, "init_from": {**config["init_from"], str(rgb): weights}}))
    # Before its first checkpoint, when nothing but the runs knows the weights.
    for name in ("model", "checkpoints"):
        shutil.rmtree(run / name)
    call("train", squares, "--run", run, "--resume")
    check_streams(run, **runs)
    assert (run / "evaluation.json").read_bytes() == (begun / "evaluation.json").read_bytes()
    assert json.loads((run / "config.json").read_text(encoding="utf-8"))["init_from"][str(rgb)] == weights
    other = load(rgb, device="cpu").model
    with torch.no_grad():
        next(other.parameters()).add_(1)
    other.save_pretrained(rgb / "model")
    message = fails("train", squares, "--run", run, "--resume")
    assert f"{rgb}: other weights than those that this training began with; restore it, or train anew" in message


def test_motion_begins_with_runs_on_stored_features(squares: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    stores, made = {name: tmp_path / f"store-{name}" for name in runs}, {name: tmp_path / name for name in runs}
    for streams, model in {"rgb": "convalstm", "flow": "convlstm"}.items():
        words = ["--store", stores[streams], "--encoder", "conv4", "--no-pretrained", "--modality", streams]
        call("features", squares, *words, *SAMPLE)
        words = ["--features", stores[streams], "--model", model, "--run", made[streams]]
        call("train", squares, *words, "--frames", 3, *BRIEF)
    given = [word for store in stores.values() for word in ("--features", store)]
    words = ["train", squares, "--model", "motion", *given, "--frames", 3, *STILL]
    begin = [word for run in made.values() for word in ("--init-from", run)]
    call(*words, *begin, "--run", tmp_path / "motion")
    check_streams(tmp_path / "motion", **made)
    # Runs from pixels have changed their encoders: what they learned since is not about these features.
    begin = ["--init-from", runs["rgb"], "--init-from", made["flow"]]
    message = fails(*words, *begin, "--run", tmp_path / "other")
    assert f"rgb: its encoder is not the one that made {stores['rgb']}; begin from a run on that store" in message


def test_runs_of_another_split_or_other_classes_are_refused(
    squares: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    begin, run = list(runs.values()), tmp_path / "motion"
    message = fails(*motion(squares, run, *begin), *SAMPLE, *BRIEF, "--seed", 1)
    assert f"{runs['rgb']}: trained on another split, so it may have learned from clips that choose or test" in message
    assert not run.exists(), "nothing is left that would be in the way of the next attempt"
    other = Path(shutil.copytree(squares, tmp_path / "squares"))
    (other / "up").rename(other / "above")
    message = fails(*motion(other, run, *begin), *SAMPLE, *BRIEF)
    assert "its classes are down, left, right, up, here they are above, down, left, right; begin from runs" in message


def test_runs_that_do_not_fit(squares: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    rgb, flow, run = runs["rgb"], runs["flow"], tmp_path / "motion"

    def refused(*words: Any, begin: tuple[Path, ...] = (rgb, flow)) -> str:
        return fails(*motion(squares, run, *begin), *SAMPLE, *BRIEF, *words)

    words = "expected two, for motion: a convalstm on rgb and a convlstm on flow"
    assert f"runs to begin from: {rgb} sees rgb; {words}" in refused(begin=(rgb,))
    other = Path(shutil.copytree(rgb, tmp_path / "rgb"))
    assert f"{rgb} sees rgb, {other} sees rgb; {words}" in refused(begin=(rgb, other))
    assert f"{other} sees rgb, {flow} sees flow; {words}" in refused(begin=(rgb, other, flow))
    assert "none: no such folder; expected one that `onlooker train` has finished" in refused(
        begin=(rgb, tmp_path / "none")
    )
    assert "model: no split.json; expected a run's folder" in refused(begin=(rgb / "model", flow))
    assert "the picture's model has hidden 6 (here: 7); build all three alike" in refused("--hidden", 7)
    assert "rgb: trained with size 16 (here: 24); begin from runs with the same settings" in refused("--size", 24)
    assert "flow: trained with flow dis (here: farneback), flow_length 1 (here: 2); begin" in refused(
        "--flow", "farneback", "--flow-length", 2
    )
    assert "--init-from cannot be used with --folds or --leave-one-out" in refused("--folds", 2)
    assert "only motion begins from two streams" in refused("--model", "convalstm", begin=(rgb, flow))
