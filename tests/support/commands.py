"""Run commands in tests: their result, and the one-line message of those that fail."""

import os
from unittest.mock import patch

from click.testing import Result
from typer.testing import CliRunner

from onlooker.cli import app

SAMPLE = ["--frames", "4", "--size", "16", "--channels", "1"]
TINY = [*SAMPLE, "--encoder", "conv4", "--epochs", "2", "--batch", "8", "--precision", "32"]


def call(*words: object, ok: bool = True) -> Result:
    with patch.dict(
        os.environ
    ):  # which some commands change, for the processes that they start
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert (result.exit_code == 0) == ok, result.output
    return result


def fails(*words: object) -> str:
    """The one-line error message of a command that must fail."""
    result = call(*words, ok=False)
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]
