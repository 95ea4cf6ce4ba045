"""A results file is stale when a program that it depends on has changed, unless a dated reason says
why it is kept; the reason holds for one state of the sources.
"""

import re
import subprocess
from pathlib import Path

import grimp
import pytest
import typer

from onlooker.base.files import read_json
from onlooker_papers import sources
from onlooker_papers.claims import RESULTS
from onlooker_papers.results import About, Row, names, write_rows, write_whole

ROOT = RESULTS.parent
PAPERS = "papers/onlooker_papers"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of two modules, and a results file whose program imports one of them."""
    for path, text in {
        "benchmarks/speed.py": "import onlooker\n\ndef main():\n    onlooker.train()\n",
        "src/onlooker/__init__.py": (
            "from typing import TYPE_CHECKING\n\n__version__ = '1'\n\nif TYPE_CHECKING:\n"
            "    from onlooker.run.train import train\n    from onlooker.check import check\n"
        ),
        "src/onlooker/run/__init__.py": "",
        "src/onlooker/run/train.py": "def train():\n    from onlooker.run import encoders\n",
        "src/onlooker/run/encoders.py": "WIDTH = 1\n",
        "src/onlooker/check.py": "def check():\n    return 1\n",
        "results/sources.toml": "[speed]\nprograms = ['benchmarks/speed.py']\nminutes = 1\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def measure(results: Path) -> None:
    write_whole(
        results, "speed", what="a speed", command="python speed.py", figures={"seconds": 1.0}
    )


def listed(results: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, int]:
    """What `make stale` prints, and its exit status."""
    status = 0
    try:
        sources.main(results=results)
    except typer.Exit as exit_:
        status = exit_.exit_code
    return capsys.readouterr().out, status


def test_sources_are_what_a_program_imports_also_in_functions(project: Path) -> None:
    assert sources.sources(project, ["benchmarks/speed.py"]) == [
        "benchmarks/speed.py",
        "src/onlooker/__init__.py",
        "src/onlooker/run/__init__.py",
        "src/onlooker/run/encoders.py",
        "src/onlooker/run/train.py",
    ]


@pytest.mark.parametrize(
    ("old", "new", "stale"),
    [
        (
            "WIDTH = 1",
            '"""Encoders."""\n\nWIDTH = (\n    1  # pixel\n)\n__all__ = ["WIDTH"]',
            False,
        ),
        ("WIDTH = 1", "WIDTH = 2", True),
    ],
)
def test_a_change_of_what_a_source_does_is_noticed(
    project: Path, old: str, new: str, stale: bool
) -> None:
    results = project / "results"
    measure(results)
    assert sources.stale_rows(results, "speed") == []
    source = project / "src/onlooker/run/encoders.py"
    source.write_text(source.read_text().replace(old, new))
    (project / "src/onlooker/check.py").write_text("def check():\n    return 2\n")
    assert sources.stale_rows(results, "speed") == ["all"] * stale


def test_a_reason_is_dated_and_lapses_when_the_sources_change_again(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = project / "results"
    source = project / "src/onlooker/run/encoders.py"
    measure(results)
    with pytest.raises(ValueError, match="speed: as new as its sources"):
        sources.keep(results, "speed", because="2 is as fast", measured="abc1234")
    assert listed(results, capsys) == ("", 0)
    source.write_text("WIDTH = 2\n")
    text, status = listed(results, capsys)
    assert (status, text) == (
        1,
        "speed (1 of 1 rows) NO REASON; changed since it was written: its sources; "
        "1 min: python speed.py\n",
    )
    for because, measured in (("", "abc1234"), ("2 is as fast", "")):
        with pytest.raises(ValueError, match="speed: give --because and --measured"):
            sources.main(["speed"], because=because, measured=measured, results=results)
    sources.main(["speed"], because="2 is as fast", measured="abc1234", results=results)
    text, status = listed(results, capsys)
    assert status == 0
    assert re.fullmatch(
        r"(speed \(1 of 1 rows\) measured at abc1234, kept since \d{4}-\d\d-\d\d: 2 is as fast; "
        r"1 min: python speed.py\n){2}",
        text,
    )
    source.write_text("WIDTH = 3\n")
    assert listed(results, capsys)[1] == 1
    sources.main(because="3, too", results=results)
    assert "measured at abc1234" in capsys.readouterr().out
    measure(results)
    assert listed(results, capsys) == ("", 0)
    assert not sources.exception(results, "speed")


def test_what_changed_since_the_last_statement_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = project / "results"
    measure(results)
    git = ["git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "measured"]):
        subprocess.run([*git, *words], check=True)
    (project / "src/onlooker/run/encoders.py").write_text("WIDTH = 2\n")
    (project / "src/onlooker/run/train.py").write_text(
        '"""Train."""\n\n\ndef train():\n    from onlooker.run import encoders\n'
    )
    assert "since it was written: src/onlooker/run/encoders.py; 1 min" in listed(results, capsys)[0]


def test_rows_that_were_measured_again_are_as_new_as_their_sources(project: Path) -> None:
    results = project / "results"
    about = About("a speed", "python speed.py")
    rows = {(name,): Row({"seconds": 1.0}) for name in ("a", "b")}
    write_rows(results, "speed", about=about, rows=rows)
    (project / "src/onlooker/run/encoders.py").write_text("WIDTH = 2\n")
    write_rows(results, "speed", about=about, rows={("a",): rows["a",]})
    assert sources.stale_rows(results, "speed") == ["b"]


def test_sources_of_the_committed_files_are_complete() -> None:
    """Grimp, which reads the imports of packages independently, finds no module that we miss."""
    declared = sources.declared(RESULTS)
    assert set(names(RESULTS)) == set(declared)
    graph = grimp.build_graph(
        "onlooker", "onlooker_papers", exclude_type_checking_imports=True, cache_dir=None
    )
    for path in sources._NO_SOURCES:
        graph.remove_module(module_of(path))
    for name, of in declared.items():
        ours = {module_of(path) for path in sources.sources(ROOT, of["programs"])}
        for program in of["programs"]:
            if (module := module_of(program)) in graph.modules:
                assert graph.find_upstream_modules(module) <= ours, name


def module_of(path: str) -> str:
    """`onlooker.run` of `src/onlooker/run/__init__.py`."""
    return path.removesuffix(".py").removesuffix("/__init__").split("/", 1)[1].replace("/", ".")


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("digits-paper", ["digits/encoders/__init__.py", "digits/sampling/channel_offset.py"]),
        ("bench-rounds", ["digits/stacked.py"]),
        ("hmdb10-real", ["hmdb10/attention.py"]),
        ("own-clips", ["src/onlooker/training/encoders.py", "src/onlooker/data/scenes.py"]),
    ],
)
def test_sources_that_were_missing_in_hand_written_lists(name: str, paths: list[str]) -> None:
    found = sources.sources(ROOT, sources.declared(RESULTS)[name]["programs"])
    full = [path if path.startswith("src/") else f"{PAPERS}/{path}" for path in paths]
    assert set(full) <= set(found)


def test_every_reason_has_a_date_and_says_when_the_file_was_measured() -> None:
    for name in names(RESULTS):
        folder = RESULTS / "cells" / name
        rows = read_json(folder / "about.json")["rows"]
        reason = sources.exception(RESULTS, name)
        measured = all("sources" in read_json(folder / f"{row}.json") for row in rows)
        assert reason or measured, f"{name}: measured with unknown sources"
        if reason:
            assert re.fullmatch(r"\d{4}-\d\d-\d\d", reason["date"]), name
            assert re.fullmatch(r"[0-9a-f]{7,}", reason["measured"]), name
            assert reason["because"].strip(), name
            assert re.fullmatch(r"[0-9a-f]{12}", reason["sources"]), name
