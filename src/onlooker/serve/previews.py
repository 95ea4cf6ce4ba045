"""Small moving previews of the project's clips, made once, and copies of clips in a format that every browser plays."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock, Semaphore
from time import time

from onlooker.data.fingerprint import fingerprint
from onlooker.files import read_json, write_json
from onlooker.serve.media import convert, make_playable
from onlooker.video.transcode import Copy, VideoFacts

__all__ = ["Preview", "Previews"]

_SIDE, _RATE, _CRF = 160, 12.0, 28  # pixels, frames per second, and compression of a preview
_AT_ONCE = 3  # clips that are decoded at the same time: a slow one does not hold up the others
_SECONDS_KEPT = 30 * 24 * 3600.0


@dataclass(frozen=True)
class Preview:
    """A moving preview, a still, and the facts found by decoding the clip."""

    video: Path
    still: Path
    facts: VideoFacts


class Previews:
    """The previews of clips, named by their content; all methods can be called from several threads.

    Args:
        folder: where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._locks: dict[str, Lock] = {}  # of what is being made, or has been
        self._turns = Semaphore(_AT_ONCE)

    def of(self, clip: Path, max_seconds: float = math.inf) -> Preview:
        """The preview of a clip, made now if there is none yet.

        Raises:
            Problem: 422, the clip cannot be decoded, or is longer than `max_seconds`.
            ClipError: the clip was removed.
        """
        name = fingerprint(clip)
        video, still, facts = (self.folder / f"{name}.{suffix}" for suffix in ("mp4", "jpg", "json"))
        if not facts.exists():  # written last
            with self._making(name):
                if not facts.exists():
                    self.folder.mkdir(parents=True, exist_ok=True)
                    video.unlink(missing_ok=True)
                    copy = Copy(video, _SIDE, _RATE, crf=_CRF)
                    write_json(facts, asdict(convert(clip, [copy], still, max_seconds)))
        return Preview(video, still, VideoFacts(**read_json(facts)))

    def full(self, clip: Path) -> Path:
        """The whole clip in a format that every browser plays: the file itself, or a copy; errors as for `of`."""
        if self.of(clip).facts.playable:
            return clip
        target = self.folder / f"{fingerprint(clip)}-full.mp4"
        with self._making(target.name):
            if not target.exists():
                part = target.with_name(f"{target.stem}.part.mp4")
                part.unlink(missing_ok=True)
                make_playable(clip, part)
                part.replace(target)
        return target

    @contextmanager
    def _making(self, name: str) -> Iterator[None]:
        """Wait until nobody else makes this, and few others make something."""
        with self._locks.setdefault(name, Lock()), self._turns:
            yield

    def prune(self) -> None:
        """Delete old previews; they are made again when they are needed."""
        for file in sorted(self.folder.glob("*"), key=lambda file: file.suffix != ".json"):  # facts are read first
            with suppress(FileNotFoundError):  # deleted with its facts
                if time() - file.stat().st_mtime > _SECONDS_KEPT:
                    for each in self.folder.glob(f"{file.stem}.*"):
                        each.unlink(missing_ok=True)
