"""Clips from the browser: received into a file, checked by decoding, copied for browsers that do
not play them; stills.

They are decoded in a separate process with limits of memory and time (`video.safe`): a clip that
attacks or exhausts the decoder is an error of this clip alone.
"""

import asyncio
import math
import os
import re
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import RLock
from typing import Any
from urllib.parse import unquote

from fastapi import Request

from onlooker import ClipError
from onlooker.base.files import explain_write_errors
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project
from onlooker.video.safe import TooLongError
from onlooker.video.transcode import VideoFacts, safe_transcode

_HEAD_BYTES = 1000  # of a body, in which a form would show
OnFacts = Callable[[VideoFacts], object]


@asynccontextmanager
async def receive(request: Request, folder: Path) -> AsyncIterator[tuple[Path, str]]:
    """The body of a request as a new file in the folder, which is removed at the end; and its name
    in the browser.

    Raises:
        Problem: 413 for a body that is too large (`security.Guard`), 422 for an empty one, 415 for
            a form.
        DiskFullError: no space for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{secrets.token_hex(8)}.part"
    try:
        with (
            explain_write_errors(
                "this clip", folder, remedy="free some space, and drop the clip again"
            ),
            path.open("wb") as f,
        ):
            async for content in request.stream():
                f.write(content)
            f.flush()
            await asyncio.to_thread(os.fsync, f.fileno())
        if not path.stat().st_size:
            raise Problem(422, "empty")
        with path.open("rb") as f:
            _refuse_form(request.headers.get("content-type", ""), f.read(_HEAD_BYTES))
        yield path, unquote(request.headers.get("x-filename", ""), errors="replace")
    finally:  # also of a browser that disconnects
        path.unlink(missing_ok=True)


def _refuse_form(kind: str, head: bytes) -> None:
    """Raise a Problem if a body is a form: FFmpeg would decode the text of the form with
    the clip.

    Only after all of it was received, because programs do not read an answer before that.

    Args:
        kind: the media type that was stated; curl states a form for all bodies.
        head: the first bytes. `curl -d` leaves out zeros, which every video has there; a text
            without fields, such as the error page of a download, is only no video.
    """
    field = re.match(rb"--.{1,200}\r?\n.*Content-Disposition:", head, re.IGNORECASE | re.DOTALL)
    is_text = re.fullmatch(rb"(?![\w.%+-]+=)[^\x00-\x08\x0e-\x1f]*", head)
    is_curl = kind.startswith("application/x-www-form-urlencoded") and b"\0" not in head
    if field or (is_curl and not is_text) or kind.startswith(("multipart/", "application/json")):
        raise Problem(415, "form", kind="multipart/form-data" if field else kind.partition(";")[0])


def convert(
    path: Path, max_seconds: float = math.inf, on_facts: OnFacts = lambda _: None, **options: Any
) -> VideoFacts:
    """Decode a clip once, and write the files that are asked for.

    Args:
        on_facts: gets the facts so far, and may raise to end it.
        options: of `transcode`: files for a copy and a still, and when a copy is needed.

    Raises:
        ClipError: not a video, one that cannot be decoded, or a single frame.
        Problem: 422, longer than `max_seconds`.
        DiskFullError: no space for a copy.
    """
    try:
        for facts in safe_transcode(path, max_seconds=max_seconds, **options):
            on_facts(facts)
    except TooLongError as error:
        raise Problem(422, "too_long", most=f"{max_seconds:g}") from error
    return facts


class Previews:
    """Stills and copies of clips, named by the ids of the clips; all methods can be called from
    several threads.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.store / "previews"
        # of the clips whose previews are or were made
        self._locks: defaultdict[str, RLock] = defaultdict(RLock)

    def make(self, clip_id: str, file: Path, max_seconds: float = math.inf) -> None:
        """Decode a clip once for its still and, unless browsers play the file itself, a copy."""
        self.folder.mkdir(parents=True, exist_ok=True)
        copy = self.folder / f"{clip_id}.mp4"
        convert(file, max_seconds, copy=copy, still=copy.with_suffix(".jpg"), unless_playable=True)

    def still(self, clip_id: str) -> Path:
        """The frame of a clip that differs most from the one before it, as a small JPEG; raises the
        errors of `convert`.

        Previews are made again if the file has changed, or was moved meanwhile, as when its class
        is renamed.
        """
        still = self.folder / f"{clip_id}.jpg"
        with self._locks[clip_id]:
            path = self.project.clip(clip_id).path
            try:
                if not still.exists() or still.stat().st_mtime < path.stat().st_mtime:
                    self.make(clip_id, path)
            except (ClipError, OSError):
                if self.project.clip(clip_id).path == path:
                    raise
                return self.still(clip_id)
        return still

    def playable(self, clip_id: str) -> Path:
        """The clip in a format that every browser plays: the file itself, or a copy; raises the
        errors of `convert`.
        """
        copy = self.still(clip_id).with_suffix(".mp4")
        return copy if copy.exists() else self.project.clip(clip_id).path

    def prune(self) -> None:
        """Delete the previews of clips that do not exist any more."""
        ids = {clip.id for clip in self.project.all_clips()}
        for file in self.folder.glob("*"):
            if file.stem not in ids:
                file.unlink(missing_ok=True)
