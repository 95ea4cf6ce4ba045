"""A case of the attack corpus: a damaged or hostile input, the command that gets it, and the
verdict.
"""

import json
import random
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["crashed", "hung", "memory", "silent", "unnamed", "named"]
VERDICTS: tuple[Verdict, ...] = ("crashed", "hung", "memory", "silent", "unnamed", "named")


class SilentError(Exception):
    """Invalid input was accepted, or valid input gave a wrong result."""


class UnnamedError(Exception):
    """An error that does not name its file or source."""


class LostError(Exception):
    """The command ended without the results for its other inputs."""


@dataclass(frozen=True)
class Material:
    """Undamaged files that attacks are made from and compared with, in a folder made by
    `material.make_material`.
    """

    root: Path

    @property
    def squares(self) -> Path:
        """A folder of clips of two classes."""
        return self.root / "squares"

    @property
    def run(self) -> Path:
        """A run trained on them."""
        return self.root / "run"

    @property
    def features(self) -> Path:
        """A cache with their features."""
        return self.root / "features"

    @property
    def good(self) -> list[Path]:
        """Two undamaged clips."""
        return sorted(self.squares.glob("left/*.mp4"))[:2]

    def whole(self, suffix: str) -> Path:
        """An undamaged video in the container of this suffix."""
        return self.root / "whole" / f"clip{suffix}"

    @cached_property
    def truth(self) -> dict[str, Any]:
        """Scores of `good[0]`, figures of the run: what undamaged files give."""
        truth: dict[str, Any] = json.loads((self.root / "truth.json").read_text("utf-8"))
        return truth


@dataclass(frozen=True)
class Target:
    """The input of an attack, and what is expected of the response.

    Args:
        path: the file, folder or address.
        names: what an error must contain.
        refuse: whether it must be refused: a digest shows the damage, or nothing can be used.
        truth: number of frames of a valid clip; None: unknown.
        fatal: whether the command may end with an error that names it, because there is no other
        input.
        more: further values for the probe.
    """

    path: Path
    names: tuple[str, ...] = ("attack",)
    refuse: bool = False
    truth: int | None = None
    fatal: bool = False
    more: Any = None


Make = Callable[[Material, Path, random.Random], Target]
Probe = Callable[[Material, Target, Path], None]


@dataclass(frozen=True)
class Kind:
    """A kind of attack.

    Args:
        group: the class of attacks, a row of the table.
        name: unique in the group.
        make: writes the attack into a folder.
        probe: runs the library on it; see `probes`.
        share: number per 1,000 random cases; 0: the attack does not depend on the seed, one case is
        enough.
        slow: it trains or waits; slow kinds are in the quick set only if `quick` is set.
        quick: overrides whether it is in the quick set.
        patience: seconds without any CPU use after which the case counts as hung.
    """

    group: str
    name: str
    make: Make
    probe: Probe
    share: float = 0
    slow: bool = False
    quick: bool | None = None
    patience: float = 5.0

    @property
    def is_quick(self) -> bool:
        return not self.slow if self.quick is None else self.quick


@dataclass(frozen=True)
class Case:
    """One attack of a kind."""

    kind: Kind
    number: int = 0
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.kind.group}/{self.kind.name}/{self.number}"

    @property
    def rng(self) -> random.Random:
        return random.Random(zlib.crc32(f"{self.seed}/{self.name}".encode()))

    def run(self, material: Material, scratch: Path) -> tuple[Verdict, str]:
        """Make the attack in `scratch`, give it to the library, and judge what comes back.

        `crashed`: an exception that a command would not turn into one line, or a command that ended
        although it had other clips or sources. A kill by a signal, waiting and memory can only be
        seen from another process.
        """
        try:
            target = self.kind.make(material, scratch, self.rng)
        except Exception as error:
            raise AssertionError(f"{self.name} could not be made") from error
        try:
            self.kind.probe(material, target, scratch)
        except SilentError as error:
            return "silent", str(error)
        except UnnamedError as error:
            return "unnamed", str(error)
        except LostError as error:
            return "crashed", str(error)
        except MemoryError as error:
            return "memory", repr(error)
        except (ValueError, OSError, RuntimeError) as error:
            text = f"{type(error).__name__}: {error}"
            return ("named", text) if is_named(str(error), target) else ("unnamed", text)
        except Exception as error:
            return "crashed", f"{type(error).__name__}: {error}"
        return "named", "answered"


def is_named(message: str, target: Target) -> bool:
    """Whether a message contains all names, no control sequences, and no line break inside a name."""
    forged = "\n" in target.path.name and "\n" in message
    return (
        all(name in message for name in target.names)
        and not forged
        and not has_control(message)
    )


def has_control(text: str) -> bool:
    """Whether a text has control characters other than the ends of lines and tabs."""
    return re.search(r"[\x00-\x08\x0b-\x1f\x7f\x9b]", text) is not None


def require_named(message: str, target: Target) -> None:
    if not is_named(message, target):
        raise UnnamedError(message)
