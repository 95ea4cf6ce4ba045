"""Small moving pictures of the project's clips, made once, and whole clips as every browser plays them."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from onlooker.files import read_json, write_json
from onlooker.serve.media import convert, make_playable
from onlooker.serve.project import ProjectClip
from onlooker.video.transcode import Copy, VideoFacts

__all__ = ["Preview", "Previews"]

_SIDE, _RATE, _CRF = 160, 12.0, 28  # pixels, frames per second, and compression of a preview


@dataclass(frozen=True)
class Preview:
    """A moving picture, a still, and what decoding the clip has found."""

    video: Path
    still: Path
    facts: VideoFacts


class Previews:
    """The previews of a project; all methods can be called from several threads.

    Args:
        folder: where they are kept; a clip that was changed gets a new one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = Lock()  # one clip is decoded at a time

    def of(self, clip: ProjectClip) -> Preview:
        """The preview of a clip, made now if there is none yet.

        Raises:
            Problem: 422, the clip cannot be decoded.
            OSError: the clip is gone, or the preview cannot be written.
        """
        name = _key(clip)
        if (preview := self._find(name)) is None:
            with self._lock:
                preview = self._find(name) or self.make(clip.path, name)
        return preview

    def make(self, path: Path, name: str, max_seconds: float = float("inf")) -> Preview:
        """Decode a clip for its preview with this name; errors as for `of`, and for a clip that is too long."""
        self.folder.mkdir(parents=True, exist_ok=True)
        video, still, facts = self._files(name)
        video.unlink(missing_ok=True)
        found = convert(path, [Copy(video, _SIDE, _RATE, crf=_CRF)], still, max_seconds)
        write_json(facts, asdict(found))
        return Preview(video, still, found)

    def adopt(self, preview: Preview, clip: ProjectClip) -> None:
        """Give a preview that was made before the clip was in the project the clip's name."""
        video, still, facts = self._files(_key(clip))
        preview.video.replace(video)
        preview.still.replace(still)
        preview.video.with_suffix(".json").replace(facts)

    def discard(self, name: str) -> None:
        """Delete a preview by its name."""
        for file in self._files(name):
            file.unlink(missing_ok=True)

    def full(self, clip: ProjectClip) -> Path:
        """The whole clip in a form that every browser plays: the file itself, or a copy; errors as for `of`."""
        if self.of(clip).facts.playable:
            return clip.path
        target = self.folder / f"{_key(clip)}-full.mp4"
        with self._lock:
            if not target.exists():
                part = target.with_suffix(".part.mp4")
                part.unlink(missing_ok=True)
                make_playable(clip.path, part)
                part.replace(target)
        return target

    def prune(self, clips: list[ProjectClip]) -> None:
        """Delete the previews of clips that are gone."""
        kept = {clip.id for clip in clips}
        for file in self.folder.glob("*"):
            if file.name[:16] not in kept:
                file.unlink(missing_ok=True)

    def _find(self, name: str) -> Preview | None:
        video, still, facts = self._files(name)
        with suppress(OSError, ValueError, TypeError):
            found = VideoFacts(**read_json(facts))
            if video.exists() and still.exists():
                return Preview(video, still, found)
        return None

    def _files(self, name: str) -> tuple[Path, Path, Path]:
        video, still, facts = (self.folder / f"{name}.{suffix}" for suffix in ("mp4", "jpg", "json"))
        return video, still, facts


def _key(clip: ProjectClip) -> str:
    """The name of a clip's preview: another one when the clip's content changes."""
    return f"{clip.id}-{clip.path.stat().st_mtime_ns:x}"
