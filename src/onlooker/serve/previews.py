"""Stills of the project's clips, made once, and copies of those clips that not every browser plays."""

from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from threading import RLock

from onlooker.files import file_digest
from onlooker.serve.media import convert
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project
from onlooker.video.transcode import VideoFacts

__all__ = ["Previews"]


class Previews:
    """Files made of clips, named by the ids of the clips; all methods can be called from several threads."""

    def __init__(self, project: Project) -> None:
        self.project, self.folder = project, project.store / "previews"
        self._locks: defaultdict[str, RLock] = defaultdict(RLock)  # of what is being made, or has been

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
        return self._made(clip_id, ".jpg")

    def playable(self, clip_id: str) -> Path:
        """The clip in a format that every browser plays: the file itself, or a copy; errors as for `still`."""
        self.still(clip_id)  # which finds out whether a copy is needed
        clip = self.project.clip(clip_id)
        return clip.path if clip.playable else self._made(clip_id, ".mp4")

    def _made(self, clip_id: str, suffix: str) -> Path:
        """A still or copy of a clip; made again if its file was moved meanwhile, as when its class is renamed."""
        made = self.folder / f"{clip_id}{suffix}"
        part = self.folder / f"{clip_id}.part{suffix}"
        with self._locks[made.name]:
            path = self.project.clip(clip_id).path
            try:
                if not made.exists() or made.stat().st_mtime < path.stat().st_mtime:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    part.unlink(missing_ok=True)
                    is_still = suffix == ".jpg"
                    facts = convert(path, None if is_still else part, part if is_still else None)
                    part.replace(made)
                    if is_still:
                        self.project.set_facts(
                            clip_id, facts.seconds, facts.playable, file_digest(path) if path.is_file() else None
                        )
                return made
            except (Problem, OSError):
                if self.project.settled(clip_id).path == path:
                    raise
                return self._made(clip_id, suffix)

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
