"""Fingerprints of clips: a copy of a training clip is recognized by its content, whatever its path."""

import hashlib
import os
from pathlib import Path

from onlooker.files import check_regular
from onlooker.intervals import split_interval
from onlooker.structures import ClipError
from onlooker.video.image_sequence import find_images

__all__ = ["fingerprint"]

_ENDS = 1 << 20  # bytes


def fingerprint(path: Path) -> str:
    """A hash of a clip's content, the images of a sequence in order: 32 hexadecimal digits. Names do not count.

    Of each file its size counts, and its first and last mebibyte. That of a part of a recording is the hash of the
    recording, followed by `#` and the times.

    Raises:
        ClipError: the clip does not exist, or cannot be read.
    """
    digest, (whole, times) = hashlib.sha256(), split_interval(path)
    try:
        for file in find_images(whole) if os.path.isdir(whole) else [whole]:
            check_regular(file)
            with file.open("rb") as content:
                size = os.fstat(content.fileno()).st_size
                digest.update(size.to_bytes(8, "little") + content.read(_ENDS))
                content.seek(max(content.tell(), size - _ENDS))
                digest.update(content.read(_ENDS))
    except (OSError, ValueError) as error:
        problem = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise ClipError(path, problem, "restore it, or leave it out") from error
    return digest.hexdigest()[:32] + ("" if times is None else f"#{times}")
