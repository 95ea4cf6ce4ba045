"""Stills of the project's clips, made once, and copies of those clips that not every browser plays."""

from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from threading import Lock

from onlooker.serve.media import convert
from onlooker.serve.project import Project

__all__ = ["Previews"]


class Previews:
    """Files made of clips, named by the ids of the clips; all methods can be called from several threads."""

    def __init__(self, project: Project) -> None:
        self.project, self.folder = project, project.store / "previews"
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)  # of what is being made, or has been

    def still(self, clip_id: str) -> Path:
        """The first frame of a clip, a small JPEG; a Problem 422 if the clip cannot be decoded."""
        clip, still = self.project.clip(clip_id).path, self.folder / f"{clip_id}.jpg"
        with self._locks[still.name]:
            if _is_old(still, clip):
                self.folder.mkdir(parents=True, exist_ok=True)
                part = still.with_suffix(".part")
                facts = convert(clip, still=part)
                part.replace(still)
                self.project.set_facts(clip_id, facts.seconds, facts.playable)
        return still

    def playable(self, clip_id: str) -> Path:
        """The clip in a format that every browser plays: the file itself, or a copy; errors as for `still`."""
        self.still(clip_id)  # which finds out whether a copy is needed
        clip, copy = self.project.clip(clip_id), self.folder / f"{clip_id}.mp4"
        if clip.playable:
            return clip.path
        with self._locks[copy.name]:
            if _is_old(copy, clip.path):
                part = copy.with_suffix(".part.mp4")
                part.unlink(missing_ok=True)
                convert(clip.path, part)
                part.replace(copy)
        return copy

    def prune(self) -> None:
        """Delete what was made of clips that are gone."""
        known = {row[0] for row in self.project.database.run("SELECT id FROM clip")}
        for file in self.folder.glob("*"):
            if file.name.partition(".")[0] not in known:
                with suppress(OSError):
                    file.unlink()


def _is_old(made: Path, clip: Path) -> bool:
    return not made.exists() or made.stat().st_mtime < clip.stat().st_mtime
