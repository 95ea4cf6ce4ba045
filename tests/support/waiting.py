"""Wait for what another thread or process does, with patience: tests also run on busy machines."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 180.0) -> None:
    """Return as soon as the condition holds; an AssertionError if it does not within some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"in vain for {seconds:g} s"
        time.sleep(0.02)
