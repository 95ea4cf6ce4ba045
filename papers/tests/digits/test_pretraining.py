"""Pre-training on single digits survives its death."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from onlooker.files import read_json

_KILLED = """
import sys
from pathlib import Path
from onlooker.data.digits import split_digits
from onlooker_papers.digits.pretraining import pretrain
pretrain(Path(sys.argv[1]), "lenet", "one-cycle", 0.3, split_digits())
"""


@pytest.mark.slow
def test_a_training_killed_midway_continues_to_the_same_figures(tmp_path: Path) -> None:
    def begin(folder: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path / folder)])

    assert begin("whole").wait() == 0
    process = begin("killed")
    folder = tmp_path / "killed" / "lenet-one-cycle"
    curves = folder / "curves.csv"
    while process.poll() is None and not curves.exists():
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it was killed before it was done"
    assert not (tmp_path / "killed" / "lenet-one-cycle.json").exists()
    epochs = len(curves.read_text().splitlines())
    assert begin("killed").wait() == 0
    whole, again = (read_json(tmp_path / name / "lenet-one-cycle.json") for name in ("whole", "killed"))
    for figure in ("accuracy", "loss"):
        assert again["figures"][figure] == whole["figures"][figure]
    assert len(curves.read_text().splitlines()) == 1 + 3 > epochs
    assert not (folder / "checkpoints").exists(), "nobody needs them any more"
