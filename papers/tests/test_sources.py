"""Results files name their sources, and those that are older than these state why they are kept."""

from pathlib import Path

import pytest

from onlooker_papers import sources
from onlooker_papers.claims import RESULTS
from onlooker_papers.results import names, write_whole


def test_every_results_file_is_as_new_as_its_sources_or_states_why_not() -> None:
    declared = sources.declared(RESULTS)
    assert set(names(RESULTS)) <= set(declared), "name its sources in results/sources.toml"
    missing = {
        path
        for of in declared.values()
        for path in of["sources"]
        if not (RESULTS.parent / path).is_file()
    }
    assert not missing, "these sources do not exist any more"
    stale = [
        name
        for name in names(RESULTS)
        if sources.changed(RESULTS, name) and "exception" not in declared[name]
    ]
    assert not stale, (
        "run `make stale`; measure again, or state in results/sources.toml why the figures hold"
    )


def test_a_change_of_a_source_is_noticed_and_of_its_comments_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "program.py"
    results = tmp_path / "results"
    results.mkdir()
    (results / "sources.toml").write_text(
        "[groups]\n[speed]\nsources = ['program.py', 'gone.py']\nminutes = 1\n"
    )
    program.write_text("x = 1\n")
    write_whole(
        results, "speed", what="a speed", command="python program.py", figures={"seconds": 1.0}
    )
    assert sources.changed(results, "speed") == []
    program.write_text('"""A program."""\n\nx = 1  # one\n')
    assert sources.changed(results, "speed") == []
    program.write_text("x = 2\n")
    assert sources.changed(results, "speed") == ["program.py"]
    sources.main(results=results)
    assert "speed: program.py; 1 min: python program.py" in capsys.readouterr().out
    sources.main(["speed"], results)
    assert not capsys.readouterr().out
