"""A thread that finds the disk full says nothing by itself; of other errors nothing is hidden."""

import errno
import threading

import pytest

from onlooker.training.progress import quiet


@pytest.mark.parametrize(("error", "told"), [(OSError(errno.ENOSPC, "full"), 0), (OSError(errno.EIO, "broken"), 1)])
def test_a_thread_that_finds_the_disk_full(error: OSError, told: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    before = threading.excepthook

    def write() -> None:
        raise error

    with quiet():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert len(seen) == told
    assert threading.excepthook is before
