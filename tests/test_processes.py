"""Worker processes: their share of the cores, and their end with the parent process."""

import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from onlooker.base.parallel import cores, free_cores


def test_a_worker_uses_its_share_of_the_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert (cores(), free_cores()) == (3, 3)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    assert (cores(), free_cores()) == (3, 1)


# A worker that would sleep for a minute; its parent ends without waiting for it.
SCRIPT = """
import os, subprocess, sys, time
from onlooker.base.parallel import end_with_parent

if sys.argv[1:]:
    end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(60)
else:
    subprocess.Popen([sys.executable, __file__, "worker"])
    time.sleep(10)
"""


@pytest.mark.skipif(os.name != "posix", reason="asks whether a process runs by a signal")
def test_a_worker_ends_with_its_parent(tmp_path):
    script = tmp_path / "start.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, timeout=50, check=True)
    worker = int(done.stdout)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("it still runs")
