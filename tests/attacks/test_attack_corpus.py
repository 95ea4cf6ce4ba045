"""The attack corpus is reproducible, and every quick case is processed or gives an error that names
its file.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from attacks.case import Case, Kind, Material, SilentError, Target, is_named
from attacks.corpus import find_cases
from attacks.videos import lossless

ROOT = Path(__file__).resolve().parents[2]


# All quick cases take 40 s, and a loaded machine hangs where the library does not.
@pytest.mark.parametrize("which", ["--smoke", pytest.param("--quick", marks=pytest.mark.slow)])
def test_quick_cases_are_answered_or_named(which: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "robustness.py"), which]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]


def test_an_attack_is_reproducible_from_its_seed(tmp_path: Path) -> None:
    material = Material(tmp_path)
    (tmp_path / "whole").mkdir()
    lossless(material.whole(".mkv"), (32, 32))
    [case] = find_cases("damaged videos/mkv bits flipped, read/3")
    made = []
    for again in (case, case, Case(case.kind, 4), Case(case.kind, 3, seed=1)):
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        made.append(again.kind.make(material, scratch, again.rng).path.read_bytes())
        shutil.rmtree(scratch)
    assert made[0] == made[1]
    assert len(set(made)) == 3


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (None, "named"),
        (ValueError("attack.mp4: zero bytes"), "named"),
        (ValueError("zero bytes"), "unnamed"),
        (ValueError("attack.mp4 \x1b[31m"), "unnamed"),
        (SilentError("accepted"), "silent"),
        (MemoryError(), "memory"),
        (TypeError("attack.mp4"), "crashed"),
    ],
)
def test_verdicts(tmp_path: Path, error: Exception | None, verdict: str) -> None:
    def probe(*_: object) -> None:
        if error:
            raise error

    kind = Kind("group", "kind", lambda _, scratch, __: Target(scratch / "attack.mp4"), probe)
    found, _ = Case(kind).run(Material(tmp_path), tmp_path)
    assert found == verdict


def test_a_name_that_forges_a_second_line_does_not_count_as_named() -> None:
    target = Target(Path("attack\nerror: other.mp4"))
    assert not is_named("attack\nerror: other.mp4: not a video", target)
    assert is_named("attack\\nerror: other.mp4: not a video", target)
