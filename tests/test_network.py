"""No network use: telemetry of libraries is off, and no command opens a connection unless
requested.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from network_guard import guarded
from test_cli import COMMANDS

ROOT = Path(__file__).parents[1]
# By FFmpeg, which is C: no hook of Python sees it.
PROBE = """
import av, network_guard
try:
    av.open("tcp://192.0.2.1:80", timeout=2)
except OSError:
    print(network_guard.refused())
"""


def test_the_telemetry_of_libraries_is_off(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    code = "import onlooker, onnxruntime, huggingface_hub.constants as hub; assert hub.HF_HUB_DISABLE_TELEMETRY"
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")
    }
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**kept, "HOME": str(tmp_path), "XDG_CACHE_HOME": ""},
    )
    # What onnxruntime would leave: a number for this device, and a database of what it has to
    # report.
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_no_command_uses_the_network(tmp_path: Path) -> None:
    log = guarded(tmp_path / "guarded")
    assert {entry["command"][0] for entry in log} == {*COMMANDS, "serve"}
    assert [entry for entry in log if entry["reached"] or entry["refused_by_the_kernel"]] == []
    reports = [
        path for path in (tmp_path / "guarded" / "home").rglob("*") if "icrosoft" in str(path)
    ]
    assert reports == []


def test_the_log_of_all_commands_is_in_the_results() -> None:
    figures = json.loads((ROOT / "results" / "network-guard.json").read_text(encoding="utf-8"))[
        "figures"
    ]
    assert set(figures) == {*COMMANDS, "serve"}, (
        "python tests/network_guard.py --results results"
    )
    assert all(counts["runs"] and not counts["attempts"] for counts in figures.values())


def test_the_guard_detects_connections_from_python_and_c() -> None:
    words = [
        *(["unshare", "-rn"] if shutil.which("unshare") else []),
        sys.executable,
        "-c",
        PROBE,
    ]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
    )
    if done.returncode and "unshare" in done.stderr:
        pytest.skip("no separate network for a process here")
    assert int(done.stdout) >= 1, done.stderr
