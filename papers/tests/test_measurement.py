"""The machine of a measurement."""

import json
from pathlib import Path

from onlooker import __version__
from onlooker_papers.results import machine


def test_the_machine_is_described_but_not_named() -> None:
    described = machine()
    assert described["cores"] >= 1
    assert machine(["nothing"])["versions"]["nothing"] == "not installed"
    assert described["versions"]["onlooker"] == __version__
    assert str(Path.home()) not in json.dumps(described)
