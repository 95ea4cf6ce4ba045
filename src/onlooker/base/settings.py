"""What a setting is: a field's sentence is its documentation and its help text, its type and bounds
its validation.
"""

import dataclasses
import difflib
import inspect
import math
import os
import reprlib
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import MISSING, dataclass, field
from functools import wraps
from numbers import Integral, Real
from operator import ge, gt, le, lt
from pathlib import Path
from types import UnionType
from typing import Any, Literal, ParamSpec, Self, TypeVar, Union, get_args, get_origin

__all__ = ["setting"]

Value = TypeVar("Value")
Given = ParamSpec("Given")

_BOUNDS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "minimum": ("at least", ge),
    "above": ("above", gt),
    "maximum": ("at most", le),
    "below": ("below", lt),
}
_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    type(None): "none",
    dict: "{…}",
    Path: "a path",
    list[str]: "a list of texts",
    Iterable: "a list",
    Sequence: "a list",
    Sequence[str]: "a list of texts",
    list[float]: "a list of numbers",
    list[int]: "a list of whole numbers",
    list[dict[str, Any]]: "a list of {…}",
}


def setting(
    default: Value,
    help: str,
    group: str | None = None,
    *,
    added: bool = False,
    stored: str | None = None,
    **bounds: float,
) -> Value:
    """A dataclass field with the sentence that explains it.

    Args:
        group: its heading in `--help-all`; None: `--help` shows it.
        added: files of earlier versions do not have it: its default is neither written nor shown,
            so that new files stay equal to these.
        stored: its name in files; None: its own.
        bounds: of a number: `minimum` or `above`, and `maximum` or `below`.
    """
    about = {"help": help, "group": group, "bounds": bounds, "added": added, "stored": stored}
    return field(default=default, repr=not added, metadata=about)


def suggestion(name: str, names: Sequence[str]) -> str:
    """For an error about an unknown name: the names there are, after the closest ones."""
    close = difflib.get_close_matches(name, names, 2)
    return (
        f"did you mean {' or '.join(close)}? There are " if close else "there are "
    ) + ", ".join(names)


def register(
    table: MutableMapping[str, Value],
    name: str,
    entry: Value,
    *,
    kind: str,
    owner: Callable[[Value], object] = lambda entry: entry,
) -> None:
    """Add an entry to a table of names.

    Args:
        kind: what the entries are, such as `a cell`.
        owner: whose an entry is, who may replace it; by default, no entry is replaced.

    Raises:
        ValueError: the name is that of an entry of another owner.
    """
    if owner(table.get(name, entry)) != owner(entry):
        raise ValueError(f"{kind} {name!r} is registered already; choose another name")
    table[name] = entry


def refuse(given: Collection[str], reasons: Mapping[str, str]) -> None:
    """Raise a ValueError if settings were given that have no effect.

    Args:
        given: their names.
        reasons: by the name of a setting, where it has no effect, such as `in linear`.
    """
    unused = sorted(name for name in given if name in reasons)
    if unused:
        where = reasons[unused[0]]
        names = [name for name in unused if reasons[name] == where]
        verb, pronoun = ("have", "them") if len(names) > 1 else ("has", "it")
        raise ValueError(f"{' and '.join(names)} {verb} no effect {where}; leave {pronoun} out")


def check_type(name: str, value: object, kind: Any) -> None:  # noqa: ANN401 - a class, `list[str]` or a union
    """Raise a ValueError unless a value that came from a file is of a type, such as `list[str]` or
    a `Literal`.
    """
    if not _has_type(value, kind):
        raise ValueError(f"{name} is {reprlib.repr(value)}, expected {_in_words(kind)}")


def typed(function: Callable[Given, Value]) -> Callable[Given, Value]:
    """The function, which raises a TypeError in one sentence where an argument is not of the type
    of its annotation.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def checked(*given: Given.args, **named: Given.kwargs) -> Value:
        for name, value in signature.bind_partial(*given, **named).arguments.items():
            kind = signature.parameters[name].annotation
            if not _has_type(value, kind):
                shown = " ".join(reprlib.repr(value).split())
                raise TypeError(f"{name} is {shown}, expected {_in_words(kind)}")
        return function(*given, **named)

    return checked


def field_of(values: dict[str, Any], name: str, kind: Any) -> Any:  # noqa: ANN401 - a class, `list[str]` or a union
    """A value of a file, of a type; a KeyError if there is none, a ValueError for another type."""
    check_type(name, values[name], kind)
    return values[name]


def _has_type(value: object, kind: Any) -> bool:  # noqa: ANN401 - a class, `list[str]` or a union
    origin = get_origin(kind)
    args = get_args(kind)
    if origin is Literal:
        return isinstance(value, str) and value in args
    if origin in (Union, UnionType):
        return any(_has_type(value, alternative) for alternative in args)
    if origin is Iterable:  # whose elements may come only once
        return isinstance(value, Iterable) and not isinstance(value, str | bytes)
    if origin in (list, Sequence):
        if isinstance(value, str | bytes) or not isinstance(value, Collection):
            return False
        is_kind = origin is Sequence or isinstance(value, list)
        return is_kind and all(_has_type(element, args[0]) for element in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _has_type(entry, args[1]) for entry in value.values()
        )
    if isinstance(value, int) and abs(value) > sys.float_info.max:  # as JSON may have them
        return False
    if kind in (int, float):  # a bool is a number in Python
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if kind is Path:
        return isinstance(value, os.PathLike)
    # a string names a class that is not imported here
    is_class = isinstance(origin or kind, type) and kind not in (Any, inspect.Parameter.empty)
    return not is_class or isinstance(value, origin or kind)


def _in_words(kind: Any) -> str:  # noqa: ANN401 - a class, `list[str]` or a union
    origin = get_origin(kind)
    args = get_args(kind)
    if origin is Literal:
        return f"{', '.join(args[:-1])} or {args[-1]}"
    if origin in (Union, UnionType):
        return " or ".join(map(_in_words, args))
    return _WORDS.get(kind) or _WORDS.get(origin or kind, getattr(kind, "__name__", str(kind)))


@dataclass(frozen=True)
class Config:
    """A record that is stored as JSON, such as a group of options: values of other types, or outside
    of their choices or bounds, raise a ValueError.
    """

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            bounds = option.metadata.get("bounds", {})
            if not _has_type(value, option.type):
                expected = _in_words(option.type)
            elif value is not None and not all(
                _BOUNDS[name][1](value, limit) for name, limit in bounds.items()
            ):
                expected = " and ".join(
                    f"{_BOUNDS[name][0]} {limit}" for name, limit in bounds.items()
                )
            elif isinstance(value, float) and not math.isfinite(value):
                expected = "a finite number"
            else:
                continue
            about = f". {option.metadata['help']}" if "help" in option.metadata else ""
            raise ValueError(
                f"{stored_name(option)} is {reprlib.repr(value)}, expected {expected}{about}"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`; names that only other versions have are ignored.

        Raises:
            KeyError: a value without a default is missing.
            ValueError: a value of another type, or out of its range.
        """
        return cls(
            **{
                option.name: _made(values[name], option)
                for option in dataclasses.fields(cls)
                if (name := stored_name(option)) in values
                or option.default is option.default_factory is MISSING
            }
        )

    @classmethod
    def from_field(cls, values: dict[str, Any], name: str) -> Self:
        """A config from a field of a JSON file; a ValueError if a setting is missing, unknown or
        invalid.
        """
        stored = field_of(values, name, dict)
        options = {f.name: f for f in dataclasses.fields(cls)}
        for unknown in sorted(set(stored) - set(options)):
            remedy = suggestion(unknown, sorted(options))
            raise ValueError(f"{cls.__name__} has no setting {unknown}; {remedy}")
        expected = {option for option, f in options.items() if not f.metadata.get("added")}
        if missing := sorted(expected - {*stored}):
            raise ValueError(f"{name} has no {', '.join(missing)}")
        return cls.from_dict(stored)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            stored_name(option): _plain(getattr(self, option.name))
            for option in dataclasses.fields(self)
            if not option.metadata.get("added") or getattr(self, option.name) != option.default
        }


def stored_name(option: "dataclasses.Field[Any]") -> str:
    """The name of a field in files."""
    return option.metadata.get("stored") or option.name


def _plain(value: Any) -> Any:  # noqa: ANN401 - a value of a field
    """A value for JSON: of records, their plain values."""
    if isinstance(value, list | tuple):
        return [_plain(element) for element in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


def _made(value: Any, option: "dataclasses.Field[Any]") -> Any:  # noqa: ANN401 - what a file holds
    """The value of a field from its plain value: records are made of theirs."""
    record = _record_in(option.type)
    if value is None or record is None:
        return value
    check_type(option.name, value, list[dict[str, Any]] | dict)
    return (
        tuple(map(record.from_dict, value)) if isinstance(value, list) else record.from_dict(value)
    )


def _record_in(kind: Any) -> Any:  # noqa: ANN401 - a class, `list[str]` or a union
    """The class with `from_dict` in a type, such as `Sequence[Record] | None`; None: there is none."""
    if hasattr(kind, "from_dict"):
        return kind
    return next(filter(None, map(_record_in, get_args(kind))), None)
