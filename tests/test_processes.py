"""Worker processes: their share of the cores, and their end with the parent process."""

import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from onlooker.processes import cores, free_cores


def test_a_worker_uses_its_share_of_the_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert (cores(), free_cores()) == (3, 3)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    assert (cores(), free_cores()) == (3, 1)


# A worker that would sleep for a minute; its parent ends at once, or closes the connection and waits for it.
SCRIPT = """
import multiprocessing, os, sys, time
from onlooker.processes import end_with_parent

def work(connection):
    end_with_parent(connection)
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    receive, send = multiprocessing.Pipe(duplex=False)
    worker = multiprocessing.get_context("spawn").Process(target=work, args=(receive,))
    worker.start()
    time.sleep(SECONDS)
    if sys.argv[1] == "close":
        send.close()
        worker.join()
    os._exit(0)
"""


@pytest.mark.skipif(os.name != "posix", reason="asks whether a process runs by a signal")
@pytest.mark.parametrize("how", ["close", "die"])
def test_a_worker_ends_with_its_parent_or_its_connection(tmp_path, how):
    script = tmp_path / "start.py"
    script.write_text(SCRIPT.replace("SECONDS", "10"))
    done = subprocess.run([sys.executable, script, how], stdout=subprocess.PIPE, timeout=50, check=True)
    worker, until = int(done.stdout), time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("it still runs")
