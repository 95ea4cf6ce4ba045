"""Stills of the project's clips, made once, and copies of those clips that not every browser plays."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from onlooker.serve.media import clip_digest, convert
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project, ProjectClip
from onlooker.video.transcode import VideoFacts

__all__ = ["Previews"]


class Previews:
    """Files made of clips, named by the ids of the clips; all methods can be called from several threads."""

    def __init__(self, project: Project) -> None:
        self.project, self.folder = project, project.store / "previews"
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)  # of what is being made, or has been

    def make(self, clip_id: str, file: Path, max_seconds: float) -> VideoFacts:
        """What is made of a clip that is to be added, by decoding it once; its facts. Errors as of `convert`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        copy, still = (self.folder / f"{clip_id}{suffix}" for suffix in (".mp4", ".jpg"))
        return convert(file, copy, still, max_seconds, unless_playable=True)

    def still(self, clip_id: str) -> Path:
        """The frame of a clip that differs most from the one before it, a small JPEG.

        Raises:
            Problem: 422, the clip cannot be decoded.
        """
        return self._follow(clip_id, self._make_still)

    def playable(self, clip_id: str) -> Path:
        """The clip in a format that every browser plays: the file itself, or a copy; errors as for `still`."""
        self.still(clip_id)  # which finds out whether a copy is needed
        return self._follow(clip_id, lambda clip: clip.path if clip.playable else self._make_copy(clip))

    def _follow(self, clip_id: str, make: Callable[[ProjectClip], Path]) -> Path:
        """What is made of a clip; made again if its file was moved meanwhile, as when its class is renamed."""
        clip = self.project.clip(clip_id)
        try:
            return make(clip)
        except (Problem, OSError):
            if (moved := self.project.settled(clip_id)).path == clip.path:
                raise
            return make(moved)

    def _make_still(self, clip: ProjectClip) -> Path:
        still = self.folder / f"{clip.id}.jpg"
        with self._locks[still.name]:
            if _is_old(still, clip.path):
                self.folder.mkdir(parents=True, exist_ok=True)
                part = still.with_suffix(".part")
                facts = convert(clip.path, still=part)
                part.replace(still)
                self.project.set_facts(clip.id, facts.seconds, facts.playable, clip_digest(clip.path))
        return still

    def _make_copy(self, clip: ProjectClip) -> Path:
        copy = self.folder / f"{clip.id}.mp4"
        with self._locks[copy.name]:
            if _is_old(copy, clip.path):
                part = copy.with_suffix(".part.mp4")
                part.unlink(missing_ok=True)
                convert(clip.path, part)
                part.replace(copy)
        return copy

    def delete(self, clip_id: str) -> None:
        """Delete what was made of a clip."""
        for file in self.folder.glob(f"{clip_id}.*"):
            file.unlink(missing_ok=True)

    def prune(self) -> None:
        """Delete what was made of clips that are gone."""
        known = {row[0] for row in self.project.database.run("SELECT id FROM clip")}
        for file in self.folder.glob("*"):
            if file.name.partition(".")[0] not in known:
                with suppress(OSError):
                    file.unlink()


def _is_old(made: Path, clip: Path) -> bool:
    return not made.exists() or made.stat().st_mtime < clip.stat().st_mtime
