"""Published data sets on the command line: official splits of small copies in the published layouts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import TINY, call, fails, names_in_split
from published_trees import HMDB51_TESTS, hmdb51_name, touch_hmdb51, write_hmdb51, write_ucf101

from onlooker.config import SetConfig
from onlooker.data.sets import read_set

HMDB = ("--set", "hmdb51", "--classes", "cartwheel, wave", "--no-complete")
UCF = ("--set", "ucf101", "--no-complete")
BRIEF = (*TINY, "--epochs", "1", "--model", "alstm")


@pytest.fixture(scope="module")
def hmdb51(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hmdb51(tmp_path_factory.mktemp("sets") / "HMDB51")


@pytest.fixture(scope="module")
def ucf101(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ucf101(tmp_path_factory.mktemp("sets") / "UCF101")


def test_training_on_an_official_split_of_hmdb51(hmdb51: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    said = call("train", hmdb51, *HMDB, "--split", 2, "--run", run, *BRIEF).output
    assert "of 4 (" in said
    assert names_in_split(run)["test"] == {
        hmdb51_name(label, film) for label in ("cartwheel", "wave") for film in HMDB51_TESTS[2]
    }
    # The seventh film is in no split; four learn or choose.
    assert len(names_in_split(run)["training"] | names_in_split(run)["validation"]) == 8
    assert not any("Film_6" in name for side in names_in_split(run).values() for name in side)
    # It goes on without a word of the set, as the run knows its split.
    before = (run / "evaluation.json").read_bytes()
    shutil.rmtree(run / "model")
    (run / "evaluation.json").unlink()
    call("train", hmdb51, "--run", run, "--resume")
    assert (run / "evaluation.json").read_bytes() == before


def test_features_of_a_set_serve_every_split(ucf101: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))
    run, seen = tmp_path / "run", ("--encoder", "conv4", "--size", 16, "--frames", 4)
    encode = ("features", ucf101, *UCF, *seen)
    assert "features: 18 new, 0 existed, 0 failed" in call(*encode).output
    call("train", ucf101, *UCF, "--split", 3, "--features", *seen, "--run", run)
    assert names_in_split(run)["test"] == {
        f"v_{label}_g{group:02}_c01.avi" for label in ("Archery", "Basketball", "YoYo") for group in (3, 4)
    }
    assert "18 existed" in call(*encode).output


def test_comparing_on_an_official_split_over_seeds(ucf101: Path, tmp_path: Path) -> None:
    out = tmp_path / "compared"
    brief = (*TINY, "--epochs", "1", "--models", "convnet,alstm", "--seeds", 2, "--jobs", 1)
    call("compare", ucf101, *UCF, "--split", 2, "--run", out, *brief)
    assert {path.name for path in (out / "alstm").iterdir() if path.is_dir()} == {"split2-seed0", "split2-seed1"}
    assert names_in_split(out / "alstm" / "split2-seed0") == names_in_split(out / "convnet" / "split2-seed1")
    assert {name[-11:-8] for name in names_in_split(out / "alstm" / "split2-seed0")["test"]} == {"g02", "g03"}
    figures = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert (figures["test_videos"], figures["splits"], figures["seeds"]) == (6, 1, [0, 1])


def test_a_run_is_evaluated_on_the_test_split_of_a_set(ucf101: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    call("train", ucf101, *UCF, "--run", run, *BRIEF)
    # A copy; the test clips of split 3 are groups 3 and 4, which the run was trained on.
    other = Path(shutil.copytree(ucf101, tmp_path / "other"))
    assert "was trained on all of these clips" in fails("evaluate", run, "--clips", other, *UCF, "--split", 3)
    assert "of 6 (" in call("evaluate", run, "--clips", other, *UCF).output
    scores = (run / "evaluation-other" / "scores.csv").read_text(encoding="utf-8")
    assert "v_YoYo_g02_c01.avi" in scores
    assert "v_YoYo_g04_c01.avi" not in scores
    assert "--set describes the folder given by --clips" in fails("evaluate", run, "--set", "ucf101")


def test_the_official_lists_contain_every_clip_of_hmdb51(annotations: Callable[[str], Path], tmp_path: Path) -> None:
    lists = annotations("hmdb51")
    asked = [SetConfig("hmdb51", split, str(lists)) for split in (1, 2, 3)]
    folder = touch_hmdb51(lists, tmp_path)
    paths = {clip.path for each in asked for clip in read_set(folder, each, classes=1).clips}
    assert 6000 < len(paths) <= 6766, "all of its clips but those which no split uses"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--split", "2"), "split without a published set; give --set, or leave it out"),
        (("--set", "magic"), "set is 'magic', and there are hmdb51, jhmdb, ucf101; hmdb51, jhmdb and ucf101 need"),
        ((*UCF, "--split", "4"), "split is 4, UCF101 has 1, 2 and 3"),
        ((*UCF, "--classes", "YoYo,Archer"), "UCF101 has no class 'Archer'; did you mean Archery?"),
        ((*UCF, "--lists", "{tmp}"), "classInd.txt: no such file; copy the official lists there"),
        ((*UCF, "--folds", "2"), "--set has official splits; leave out --folds"),
    ],
)
def test_errors_are_one_line(ucf101: Path, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    given = [word.format(tmp=tmp_path) for word in words]
    assert message in fails("train", ucf101, "--run", tmp_path / "run", *given)
