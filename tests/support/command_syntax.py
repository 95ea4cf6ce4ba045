"""Whether a command that a document names exists with its arguments; nothing is carried out."""

import argparse
import re
import runpy
import shlex
import sys
from contextlib import AbstractContextManager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from itertools import groupby
from pathlib import Path
from unittest import mock

import typer
import typer.core
import typer.main

from onlooker.cli import app

ROOT = Path(__file__).resolve().parents[2]
# Stands for a value: FOLDER, N, …
PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_]*|…")
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


class Answered(BaseException):
    """Ends a program when it parses its arguments; `problem` is "" for those that it has."""

    def __init__(self, problem: str) -> None:
        self.problem = problem


def targets() -> set[str]:
    """The targets of the Makefile."""
    lines = re.findall(
        r"^([\w -]+):(?!=)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE
    )
    return {name for line in lines for name in line.split()}


def find_problem(line: str, partial: bool = False) -> str:
    """What does not exist of a line of one or more commands: a program, a sub-command, an option,
    a value of an option; "" for nothing, and for programs of other projects.

    Args:
        line: as it is typed in a shell.
        partial: required arguments may be missing.
    """
    line = line.replace("\\\n", " ").split("  #")[0]
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    lexer.commenters = ""
    for ends, command in groupby(lexer, lambda word: set(word) <= {*";&|"}):
        words = [] if ends else [*command]
        while words and ASSIGNMENT.fullmatch(words[0]):
            del words[0]
        if words and (problem := _problem_of_program(words, partial)):
            return f"{problem} in: {' '.join(words)}"
    return ""


def _problem_of_program(words: list[str], partial: bool) -> str:
    program, *arguments = words
    if program == "torchrun":
        start = arguments.index("-m") + 1
        program, *arguments = (word for word in arguments[start:] if word != "--")
    if program == "onlooker":
        return _problem_of_typer(app, arguments, partial)
    if program == "make":
        named = {word for word in arguments if not ASSIGNMENT.fullmatch(word)}
        return f"no target {named - targets()}" if named - targets() else ""
    if program == "python":
        return _problem_of_python(arguments)
    if program == "pytest":
        files = [word for word in arguments if "/" in word]
        return "".join(f"no file {file}" for file in files if not (ROOT / file).exists())
    return ""


def _problem_of_python(arguments: list[str]) -> str:
    """Of `-m MODULE …` and `FILE …`: both are imported until they parse their arguments."""
    module = ""
    if arguments[0] == "-m":
        _, module, *arguments = arguments
        if module == "onlooker" or not module.startswith("onlooker"):
            return "" if find_spec(module) else f"no module {module}"
        if not _has_module(module):
            return f"no module {module}"
        spec = find_spec(f"{module}.__main__") if _is_package(module) else find_spec(module)
        if spec is None or spec.origin is None:
            return f"{module} cannot be run"
        file = Path(spec.origin)
    else:
        file = ROOT / arguments.pop(0)
        if not file.is_file():
            return f"no file {file.relative_to(ROOT)}"
    text = file.read_text("utf-8")
    if module and '__name__ == "__main__"' not in text:
        return f"{module} cannot be run"
    if not re.search(r"parse_args\(|typer\.run\(|\bapp\(\)", text):
        # It reads sys.argv itself.
        options = [
            word for word in arguments if word.startswith("-") and f'"{word}"' not in text
        ]
        return f"no option {options}" if options else ""
    return _problem_of_file(file, arguments)


def _is_package(module: str) -> bool:
    spec = find_spec(module)
    return spec is not None and spec.submodule_search_locations is not None


def _has_module(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of its package
        return False


def _problem_of_file(file: Path, arguments: list[str]) -> str:
    parse = argparse.ArgumentParser.parse_args

    def parse_only(parser: argparse.ArgumentParser, *_: object) -> None:
        errors = StringIO()
        try:
            with redirect_stderr(errors):
                parse(parser)
        except SystemExit as ended:
            problem = errors.getvalue().strip().rpartition("error: ")[2] if ended.code else ""
            raise Answered(problem) from None
        raise Answered("")

    def parse_by_typer(program: typer.Typer) -> None:
        raise Answered(_problem_of_typer(program, sys.argv[1:], partial=False))

    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", parse_only),
        mock.patch.object(typer.Typer, "__call__", parse_by_typer),
        mock.patch.object(sys, "argv", [str(file), *arguments]),
    ):
        try:
            runpy.run_path(str(file), run_name="__main__")
        except Answered as answer:
            return answer.problem
    return f"{file.name} parses no arguments"


def _problem_of_typer(program: typer.Typer, words: list[str], partial: bool) -> str:
    command = typer.main.get_command(program)
    values = ["1" if PLACEHOLDER.fullmatch(word) else word for word in words]
    try:
        with redirect_stdout(StringIO()), _nothing_carried_out():
            command.main(values, "program", standalone_mode=False)
    except Exception as error:
        if partial and type(error).__name__ in ("MissingParameter", "NoArgsIsHelpError"):
            return ""
        if not hasattr(error, "format_message"):  # of all errors of usage
            raise
        return error.format_message()
    return ""


def _nothing_carried_out() -> AbstractContextManager[object]:
    """The arguments of commands are parsed alone."""
    return mock.patch.object(typer.core.TyperCommand, "invoke", return_value=None)
