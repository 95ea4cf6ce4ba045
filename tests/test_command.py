"""Commands made from functions: an option for every setting, and one-line errors."""

import errno
import os
import signal
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner, Result

from onlooker.base.settings import setting
from onlooker.cli.command import command, given_options, stoppable


@dataclass(frozen=True)
class Oven:
    """A few settings."""

    name: str = setting("gas", "Which oven.")
    top_heat: float = setting(180.0, "Degrees.", "Heat")
    fan: bool = setting(False, "Turn the air.", "Heat")
    rack: Literal["top", "bottom"] = setting("top", "Where the bread is.")

    def __post_init__(self) -> None:
        if self.top_heat > 300:
            raise ValueError(f"top_heat is {self.top_heat}, expected at most 300")


def called(*arguments: str, fail: BaseException | None = None) -> tuple[Result, dict[str, Any]]:
    """The result of a command line, and the arguments of its function."""
    got: dict[str, Any] = {}

    def bake(
        context: typer.Context,
        bread: Annotated[str, typer.Argument()],
        oven: Oven = Oven(),
        count: int = 1,
    ) -> None:
        """Bake bread."""
        got.update(bread=bread, oven=oven, count=count, given=given_options(context))
        if fail is not None:
            raise fail

    app = typer.Typer()
    command(bake, app)
    return CliRunner().invoke(app, arguments), got


def test_every_setting_is_an_option() -> None:
    result, got = called("rye", "--oven", "wood", "--top-heat", "220", "--fan", "--count", "3")
    assert result.exit_code == 0
    assert (got["bread"], got["oven"], got["count"]) == ("rye", Oven("wood", 220.0, True), 3)
    assert {"name", "top_heat", "fan", "count"} <= got["given"]
    result, got = called("rye", "--no-fan", "--rack", "top")
    assert got["oven"] == Oven()
    assert "fan" in got["given"]
    assert "top_heat" not in got["given"]


def test_the_description_of_a_setting_is_its_help() -> None:
    result, _ = called("--help-all")
    for words in (
        "Bake bread.",
        "--oven",
        "Which oven.",
        "--top-heat",
        "Degrees.",
        "--fan",
        "--no-fan",
    ):
        assert words in result.output


def test_settings_under_a_heading_are_left_to_another_help() -> None:
    short = called("--help")[0].output
    assert "--oven" in short
    assert "--help-all" in short
    assert "--top-heat" not in short
    first, heat = called("--help-all")[0].output.split(" Heat ")
    assert "--oven" in first
    assert "--rack" in first
    assert "--top-heat" in heat
    assert "--fan" in heat


def test_choices_of_a_setting_are_those_of_its_type() -> None:
    result, _ = called("rye", "--rack", "middle")
    assert result.exit_code == 2
    assert "Invalid value for '--rack'" in result.output
    assert "'middle' is not one of 'top'" in result.output
    assert "top|bottom" in called("--help")[0].output


def test_errors_of_invalid_settings_are_one_line() -> None:
    result, got = called("rye", "--top-heat", "400")
    assert result.exit_code == 1
    assert result.output.strip() == "error: top_heat is 400.0, expected at most 300"
    assert not got


@pytest.mark.parametrize(
    "error", [ValueError("burnt"), FileNotFoundError("burnt"), RuntimeError("burnt")]
)
def test_errors_are_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = called("rye", fail=error)
    assert (result.exit_code, result.output.strip()) == (1, "error: burnt")
    monkeypatch.setenv("ONLOOKER_TRACEBACK", "1")
    result, _ = called("rye", fail=error)
    assert result.exception is error


def test_an_error_of_the_operating_system_is_more_than_a_number() -> None:
    result, _ = called("rye", fail=OSError(errno.EACCES, os.strerror(errno.EACCES), "a/loaf"))
    message = "error: a/loaf: permission denied; check the path, or choose another"
    assert (result.exit_code, result.output.strip()) == (1, message)


def test_an_internal_error_is_not_turned_into_a_message() -> None:
    result, _ = called("rye", fail=KeyError("bug"))
    assert isinstance(result.exception, KeyError)


def test_an_interrupt_ends_with_how_to_continue(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, stoppable("continue with --resume"):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert "stopped; continue with --resume" in capsys.readouterr().err
    with pytest.raises(typer.Exit), stoppable(lambda: "begin again"):
        raise KeyboardInterrupt
    assert "stopped; begin again" in capsys.readouterr().err


def test_an_error_that_an_interrupt_causes_is_not_reported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def break_a_lock() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("release unlocked lock") from None

    with pytest.raises(typer.Exit) as ended, stoppable():
        break_a_lock()
    assert ended.value.exit_code == 130
    assert "stopped; run the same command to continue" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="another error"), stoppable("go on"):
        raise RuntimeError("another error")
