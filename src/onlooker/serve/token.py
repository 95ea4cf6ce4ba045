"""The token of the page, kept between restarts in a file that only its user can read."""

import os
import re
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from onlooker.files import check_regular, explain_write_errors

__all__ = ["stored_token"]

_TOKEN = re.compile(rb"[0-9a-f]{16,64}")
_REMEDY = "delete it; the next start makes a new token"


def stored_token(file: Path, new: bool = False) -> str:
    """The token in a file, which is made if it does not exist.

    Args:
        new: replace the token by a new one.

    Raises:
        ValueError: the file belongs to another user, others can read it, or it has no token.
        DiskFullError, NotWritableError: it cannot be written.
    """
    if not new:
        with suppress(FileNotFoundError):
            return _read(file)
    token = secrets.token_hex(8)
    with explain_write_errors("the token", file.parent, "name another folder in ONLOOKER_CACHE, or give a --token"):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=file.parent, prefix=f"{file.name}.")  # only its user can read and write it
        try:
            with os.fdopen(handle, "w") as f:
                f.write(token)
            os.replace(part, file)
        finally:
            Path(part).unlink(missing_ok=True)
    return token


def _read(file: Path) -> str:
    """The token in a file that only its user can read."""
    check_regular(file)
    with file.open("rb") as f:
        about, content = os.fstat(f.fileno()), f.read(100).strip()
    if hasattr(os, "geteuid") and (about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077):
        mode = f"owner {about.st_uid}, mode {stat.S_IMODE(about.st_mode):o}"
        raise ValueError(f"{file}: {mode}, expected that only its user can read it (mode 600); {_REMEDY}")
    if not _TOKEN.fullmatch(content):
        raise ValueError(f"{file}: {len(content)} bytes that are no token, expected 16 hexadecimal digits; {_REMEDY}")
    return content.decode()
