"""Every benchmark runs: `--smoke` takes its whole path once, with the smallest sizes, and writes
nothing.
"""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = [
    path
    for path in sorted((ROOT / "benchmarks").glob("*.py"))
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    # the first runs in tests/attacks, in a process of its own, since it forks; the second in
    # test_pictures.py
    and path.stem not in ("robustness", "pictures")
]


def written() -> dict[Path, int]:
    """When each file of results and documentation was written."""
    folders = (ROOT / "results", ROOT / "docs")
    return {path: path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*")}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_benchmark_runs(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Before it runs: a program that does not know the option would measure for hours.
    assert "harness.parser(" in program.read_text(encoding="utf-8"), "it has no --smoke"
    monkeypatch.setattr(sys, "argv", [str(program), "--smoke"])
    for name in ("ONLOOKER_DATA", "PEERS"):
        monkeypatch.delenv(name, raising=False)
    before = written()
    status = None
    try:
        runpy.run_path(str(program), run_name="__main__")
    except SystemExit as ended:
        status = ended.code
    assert not status
    assert written() == before
