"""A full disk in a thread is not printed by the thread; other errors are."""

import errno
import threading

import pytest

from onlooker.training.progress import quiet


@pytest.mark.parametrize(("error", "told"), [(OSError(errno.ENOSPC, "full"), 0), (OSError(errno.EIO, "broken"), 1)])
def test_a_full_disk_in_a_thread_is_not_printed_but_other_errors_are(
    error: OSError, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
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
