"""How a function becomes a command: an option for every setting, errors in one line."""

import signal
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner, Result

from onlooker.cli.command import command, stoppable, typed
from onlooker.config import setting


@dataclass(frozen=True)
class Oven:
    """A few settings."""

    name: str = setting("gas", "Which oven.")
    top_heat: float = setting(180.0, "Degrees.")
    fan: bool = setting(False, "Turn the air.")

    def __post_init__(self) -> None:
        if self.top_heat > 300:
            raise ValueError(f"top_heat is {self.top_heat}, expected at most 300")


def called(*arguments: str, fail: BaseException | None = None) -> tuple[Result, dict[str, Any]]:
    """The result of a command line, and what its function was given."""
    got: dict[str, Any] = {}

    def bake(
        context: typer.Context, bread: Annotated[str, typer.Argument()], oven: Oven = Oven(), count: int = 1
    ) -> None:
        """Bake bread."""
        got.update(bread=bread, oven=oven, count=count, typed=typed(context))
        if fail is not None:
            raise fail

    app = typer.Typer()
    command(bake, app)
    return CliRunner().invoke(app, arguments), got


def test_every_setting_is_an_option() -> None:
    result, got = called("rye", "--oven", "wood", "--top-heat", "220", "--fan", "--count", "3")
    assert result.exit_code == 0
    assert (got["bread"], got["oven"], got["count"]) == ("rye", Oven("wood", 220.0, True), 3)
    assert {"name", "top_heat", "fan", "count"} <= got["typed"]
    result, got = called("rye", "--no-fan")
    assert got["oven"] == Oven()
    assert "fan" in got["typed"]
    assert "top_heat" not in got["typed"]


def test_the_sentence_of_a_setting_is_its_help() -> None:
    result, _ = called("--help")
    for words in ("Bake bread.", "--oven", "Which oven.", "--top-heat", "Degrees.", "--fan", "--no-fan"):
        assert words in result.output


def test_settings_that_make_no_sense_are_one_line() -> None:
    result, got = called("rye", "--top-heat", "400")
    assert result.exit_code == 1
    assert result.output.strip() == "error: top_heat is 400.0, expected at most 300"
    assert not got


@pytest.mark.parametrize("error", [ValueError("burnt"), FileNotFoundError("burnt"), RuntimeError("burnt")])
def test_errors_are_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = called("rye", fail=error)
    assert (result.exit_code, result.output.strip()) == (1, "error: burnt")
    monkeypatch.setenv("ONLOOKER_TRACEBACK", "1")
    result, _ = called("rye", fail=error)
    assert result.exception is error


def test_a_mistake_of_ours_is_no_message() -> None:
    result, _ = called("rye", fail=KeyError("bug"))
    assert isinstance(result.exception, KeyError)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_who_stops_is_told_how_to_go_on(stop: type[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, stoppable("go on by --resume"):
        raise stop
    assert ended.value.exit_code == 130
    assert "stopped; go on by --resume" in capsys.readouterr().err


def test_what_an_interrupt_breaks_on_its_way_out_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    def break_a_lock() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("release unlocked lock") from None

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(typer.Exit) as ended, stoppable("the same command watches on"):
        break_a_lock()
    assert ended.value.exit_code == 130
    assert "stopped; the same command watches on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(RuntimeError, match="of its own"), stoppable("go on"):
        raise RuntimeError("of its own")
