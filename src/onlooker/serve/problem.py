"""What the page tells its user when something is wrong: a code, what was found, what was expected, what to do."""

from typing import Any

from onlooker.files import DiskFullError, NotWritableError
from onlooker.structures import ClipError

__all__ = ["Problem", "as_problem"]


class Problem(Exception):  # noqa: N818 - the word that its user reads
    """An error for the user of the page.

    Args:
        status: the HTTP status.
        code: the name of the error in texts/*.json.
        found, expected, remedy: what is wrong, what was expected, and what to do, in English.
    """

    def __init__(self, status: int, code: str, found: str, expected: str = "", remedy: str = "") -> None:
        super().__init__(": ".join(filter(None, (code, found, expected, remedy))))
        self.status, self.code, self.found, self.expected, self.remedy = status, code, found, expected, remedy

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: `{"error": {…}}`."""
        names = ("code", "found", "expected", "remedy")
        return {"error": {name: getattr(self, name) for name in names}}


def as_problem(error: BaseException) -> Problem:
    """Convert an error of the library for the user; unexpected errors have the code `internal` and the status 500."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ClipError):
        return Problem(422, "clip", error.found, "a video that can be decoded", error.remedy)
    if isinstance(error, DiskFullError):
        return Problem(507, "disk_full", str(error), "space on the disk", "free some space and try again")
    if isinstance(error, NotWritableError):
        return Problem(507, "not_writable", str(error), "a folder that can be written to", "allow writing to it")
    if isinstance(error, FileNotFoundError):
        return Problem(404, "gone", str(error), "a file that exists", "reload the page")
    if isinstance(error, ValueError):
        return Problem(422, "invalid", str(error))
    return Problem(
        500, "internal", f"{type(error).__name__}: {error}", "", "the terminal of `onlooker serve` says more"
    )
