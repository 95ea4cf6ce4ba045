"""Fingerprints of clips: a copy of a training clip is recognized by its content, whatever its path."""

import hashlib
import os
from pathlib import Path

from onlooker.structures import ClipError
from onlooker.video.image_sequence import find_images

__all__ = ["fingerprint"]

_ENDS = 1 << 20  # bytes


def fingerprint(path: Path, whole: bool = False) -> str:
    """A hash of a clip's content: 32 hexadecimal digits.

    Of a video file: its size, and its first and last mebibyte (all of a file of up to 2 MiB). Of an image sequence:
    its images in order. Names do not count.

    Args:
        path: of the clip.
        whole: all bytes of each file count; slower for long videos.

    Raises:
        ClipError: the clip does not exist, or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for file in find_images(path) if path.is_dir() else [path]:
            _add(digest, file, whole)
    except OSError as error:
        raise ClipError(path, f"cannot be read ({error.strerror})", "restore it, or leave it out") from error
    return digest.hexdigest()[:32]


def _add(digest: "hashlib._Hash", file: Path, whole: bool) -> None:
    with file.open("rb") as content:
        if whole:
            digest.update(hashlib.file_digest(content, "sha256").digest())
            return
        size = os.fstat(content.fileno()).st_size
        digest.update(size.to_bytes(8, "little"))
        digest.update(content.read(_ENDS))
        content.seek(max(content.tell(), size - _ENDS))
        digest.update(content.read(_ENDS))
