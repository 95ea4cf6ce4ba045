"""Results files are assembled from one committed file per row."""

import json
from pathlib import Path
from typing import Any

import pytest

from onlooker_papers.results import (
    WHOLE,
    About,
    Row,
    assembled,
    main,
    names,
    read_rows,
    write_rows,
    write_whole,
)

RESULTS = Path(__file__).resolve().parents[2] / "results"
COMMAND = "onlooker reproduce something --results results"
ABOUT = About("something", COMMAND, [0], {"frames": 10})


def read(path: Path) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return stored


def test_every_results_file_has_rows() -> None:
    assert names(RESULTS) == sorted(path.stem for path in RESULTS.glob("*.json"))


@pytest.mark.parametrize("name", names(RESULTS))
def test_rows_assemble_to_the_committed_file(name: str) -> None:
    committed = read(RESULTS / f"{name}.json")
    made = assembled(RESULTS, name)
    assert made == committed
    # Tables show rows in the order of the file.
    assert json.dumps(made["figures"]) == json.dumps(committed["figures"])


@pytest.mark.parametrize("name", names(RESULTS))
def test_every_row_says_where_it_comes_from(name: str) -> None:
    for key, cell in read_rows(RESULTS, name).items():
        assert set(cell) <= {"settings", "origin", "figures", "memos", "sources"}
        assert cell["origin"]
        assert cell["settings"] is not None or cell["origin"].startswith("0.1.0"), key
        assert '"/' not in json.dumps(cell), "an absolute path"


def test_rows_are_in_their_place_and_others_stay(tmp_path: Path) -> None:
    first = {
        ("models", "lstm"): Row({"accuracy": 0.5}),
        ("models", "a/b:c"): Row({"accuracy": 0.25}, {"lr": 0.1}),
    }
    path = write_rows(tmp_path, "something", about=ABOUT, rows=first)
    before = read(path)
    assert before["figures"] == {
        "frames": 10,
        "models": {"lstm": {"accuracy": 0.5}, "a/b:c": {"accuracy": 0.25}},
    }
    assert (before["command"], before["seeds"], len(before["origin"])) == (COMMAND, [0], 1)
    write_rows(
        tmp_path,
        "something",
        about=ABOUT,
        rows={("models", "lstm"): Row({"accuracy": 0.75})},
        only="--only lstm",
    )
    after = read(path)
    assert list(after["figures"]["models"].values()) == [{"accuracy": 0.75}, {"accuracy": 0.25}]
    assert after["command"] == COMMAND
    older, younger = sorted(after["origin"], key=len)
    assert younger == f"{older} --only lstm"
    assert after["origin"][younger] == ["models/lstm"]
    assert read_rows(tmp_path, "something")["models", "a/b:c"]["settings"] == {"lr": 0.1}


def test_rows_of_two_commands_are_not_mixed(tmp_path: Path) -> None:
    write_rows(tmp_path, "something", about=ABOUT, rows={("lstm",): Row({"accuracy": 0.5})})
    other = About("something", f"{COMMAND} --quick")
    with pytest.raises(
        ValueError, match=r"something.json was made by .*; choose another --results"
    ):
        write_rows(tmp_path, "something", about=other, rows={("lstm",): Row({"accuracy": 0.5})})


def test_a_row_keeps_the_memos_that_it_is_the_mean_of(tmp_path: Path) -> None:
    paths = [tmp_path / f"lstm-seed{seed}.json" for seed in range(2)]
    for seed, path in enumerate(paths):
        path.write_text(json.dumps({"settings": {"seed": seed}, "figures": {"accuracy": seed / 2}}))
    assert Row.of({"accuracy": 0.5}, paths[1]) == Row({"accuracy": 0.5}, {"seed": 1})
    mean = Row.of({"accuracy": 0.25}, *paths)
    assert mean.settings == {"lstm-seed0": {"seed": 0}, "lstm-seed1": {"seed": 1}}
    assert mean.memos == {"lstm-seed0": {"accuracy": 0.0}, "lstm-seed1": {"accuracy": 0.5}}
    other = tmp_path / "split2" / "lstm-seed0.json"
    other.parent.mkdir()
    other.write_text(paths[0].read_text())
    assert list(Row.of({}, paths[0], other).memos or {}) == [
        f"{tmp_path.name} lstm-seed0",
        "split2 lstm-seed0",
    ]


def test_a_file_that_is_measured_as_a_whole_is_one_row(tmp_path: Path) -> None:
    path = write_whole(
        tmp_path,
        "bench",
        what="a benchmark",
        command="python bench.py",
        figures={"ratio": 2.0},
        seeds=[3],
    )
    written = read(path)
    assert list(written) == ["what", "command", "date", "machine", "seeds", "origin", "figures"]
    assert [written[key] for key in ("what", "command", "seeds")] == [
        "a benchmark",
        "python bench.py",
        [3],
    ]
    assert written["figures"] == {"ratio": 2.0}
    assert list(read_rows(tmp_path, "bench")) == [WHOLE]
    path.unlink()
    main(tmp_path)
    assert read(path) == written
    write_whole(
        tmp_path,
        "bench",
        what="a benchmark",
        command="python bench.py --other",
        figures={"ratio": 3.0},
    )
    assert (read(path)["figures"], read(path)["seeds"]) == ({"ratio": 3.0}, [])
