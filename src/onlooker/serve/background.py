"""Values of clips that are computed in the background, one clip after the other, and cached."""

from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock, Thread
from typing import Generic, TypeVar

from onlooker.serve.project import ProjectClip

__all__ = ["Background"]

Value = TypeVar("Value")
Key = tuple[str, int, str]  # a clip's id and time, and what else the value depends on


class Background(Generic[Value]):
    """Values of clips; those that are not known yet are computed in a thread.

    Args:
        compute: returns the value of a clip; called with the clip and `about`; must not raise.
    """

    def __init__(self, compute: Callable[[ProjectClip, str], Value]) -> None:
        self._compute = compute
        self._known: dict[Key, Value] = {}
        self._waiting: deque[tuple[Key, ProjectClip]] = deque()
        self._lock, self._busy = Lock(), False

    def of(self, clips: Sequence[ProjectClip], about: str = "") -> dict[str, Value]:
        """The known values of clips, by their ids; the other values are computed next, instead of earlier requests.

        Args:
            about: what the value depends on in addition to the clip.
        """
        keys = {clip.id: _key(clip, about) for clip in clips}
        with self._lock:
            known = {clip.id: self._known[keys[clip.id]] for clip in clips if keys[clip.id] in self._known}
            self._waiting = deque((keys[clip.id], clip) for clip in clips if clip.id not in known)
            if self._waiting and not self._busy:
                self._busy = True
                Thread(target=self._work, daemon=True).start()
        return known

    def stop(self) -> None:
        """Stop computing."""
        with self._lock:
            self._waiting.clear()

    def _work(self) -> None:
        while (item := self._next()) is not None:
            key, clip = item
            value = self._compute(clip, key[2])
            with self._lock:
                self._known[key] = value

    def _next(self) -> tuple[Key, ProjectClip] | None:
        with self._lock:
            while self._waiting:
                key, clip = self._waiting.popleft()
                if key not in self._known:
                    return key, clip
            self._busy = False
            return None


def _key(clip: ProjectClip, about: str) -> Key:
    try:
        return clip.id, clip.path.stat().st_mtime_ns, about
    except OSError:  # removed meanwhile
        return clip.id, 0, about
