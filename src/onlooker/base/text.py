"""Text that people see: names, sizes and addresses as they can be shown, compared or stored."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

_MAX_NAMES = 5  # in a sentence

# What may be secret in an address; a path collapses the slashes after the scheme.
_SECRETS = [
    # before the last @: a password may contain slashes and @ itself
    re.compile(r"(?s)^[A-Za-z][\w+.-]+:/{1,2}(?P<secret>.*)@"),
    # the last part of the path: the key of a stream
    re.compile(r"(?is)^rtmp\w*:/{1,2}(?:.*@)?[^/?]+/(?:[^?]*/)?(?P<secret>[^/?].*)"),
    # parameters of cameras: ?usr=admin&pwd=1234, ;pwd=1234, /user=admin_password=1234_channel=1; a
    # value may contain a separator, unless the name of another parameter follows
    re.compile(
        r"(?is)(?:usr|user|login|pass|pwd|psw|token|key|secret|auth|sig)[^=&;/?#]*="
        r"(?P<secret>.*?)(?=[&;_/?#][^=&;_/?#]+=[^=&;_/?#]|\Z)"
    ),
]


def format_bytes(size: int) -> str:
    """A readable number of bytes, in megabytes; in kilobytes if it is small."""
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"


def without_password(address: str) -> str:
    """An address for display: user and password, names and keys among the parameters, and the key
    of an rtmp stream become `***`.
    """
    if not re.match(r"[A-Za-z][\w+.-]+:/", address):
        return address
    shown = ""
    end = 0
    secrets = (secret for pattern in _SECRETS for secret in pattern.finditer(address))
    for begin, after in sorted(secret.span("secret") for secret in secrets):
        if begin >= end:
            shown += f"{address[end:begin]}***"
        end = max(end, after)
    return shown + address[end:]


def printable(text: object) -> str:
    """Text for a terminal: control characters, which may move the cursor, and bytes that are not
    UTF-8, as escapes.
    """
    unsafe = "[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
    return re.sub(
        unsafe, lambda character: character[0].encode("unicode_escape").decode(), str(text)
    )


def composed(name: str) -> str:
    """A name in Unicode's form NFC, for comparisons: archives made on macOS have names in NFD."""
    return unicodedata.normalize("NFC", name)


def relative_name(path: Path, folder: Path) -> str:
    """A path as the files in a folder name it, with slashes: relative to the folder, also if it is
    outside.
    """
    return Path(os.path.relpath(path, folder)).as_posix()


def some_of(names: Sequence[str]) -> str:
    """The first names, for a sentence."""
    return ", ".join(names[:_MAX_NAMES]) + (", ..." if len(names) > _MAX_NAMES else "")


def counted(number: int, thing: str) -> str:
    """A number of things, such as `1 clip` or `2 clips`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def short_name(name: str) -> str:
    """The name of a file; one of more than 200 bytes ends in a digest. File systems allow 255, with
    suffixes.
    """
    content = os.fsencode(name)
    if len(content) <= 200:
        return name
    return f"{content[:183].decode(errors='ignore')}-{hashlib.sha256(content).hexdigest()[:16]}"
