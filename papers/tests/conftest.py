"""Fixtures for the tests of the papers: digits, and the published lists of data sets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from onlooker_papers.mnist import DigitSplit, split_mnist


@pytest.fixture(scope="session")
def splits() -> DigitSplit:
    """The digits of the package."""
    return split_mnist()


@pytest.fixture(scope="session")
def annotations(real_data: Path) -> Callable[[str], Path]:
    """The folder of the published lists of a data set; skips where it is not there."""

    def folder_of(name: str) -> Path:
        folder = real_data / "annotations" / name
        if not folder.is_dir():
            pytest.skip(f"no lists of {name} here")
        return folder

    return folder_of
