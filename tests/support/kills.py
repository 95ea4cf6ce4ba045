"""What a kill leaves, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

import pytest


@contextmanager
def killed_in(module: Any, function: str) -> Iterator[None]:
    """A block that calls a function of a module, and is killed there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, function, Mock(side_effect=SystemExit(9)))
        with pytest.raises(SystemExit):
            yield
