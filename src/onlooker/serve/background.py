"""Values of clips that are computed in the background, small clips first, and cached."""

from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock, Thread
from typing import Generic, TypeVar

from onlooker.serve.project import ProjectClip

__all__ = ["Background"]

_THREADS = 2  # a slow clip does not hold up the others
Value = TypeVar("Value")
Key = tuple[str, int, str]  # a clip's id and time, and what else the value depends on


class Background(Generic[Value]):
    """Values of clips; those that are not known yet are computed in two threads.

    Args:
        compute: returns the value of a clip; called with the clip and `about`; must not raise.
    """

    def __init__(self, compute: Callable[[ProjectClip, str], Value]) -> None:
        self._compute = compute
        self._known: dict[Key, Value] = {}
        self._waiting: deque[tuple[Key, ProjectClip]] = deque()
        self._computing: set[Key] = set()
        self._lock, self._threads = Lock(), 0

    def of(self, clips: Sequence[ProjectClip], about: str = "") -> dict[str, Value]:
        """The known values of clips, by their ids; the other values are computed next, instead of earlier requests.

        Args:
            about: what the value depends on in addition to the clip.
        """
        about_clips = [(*_time_and_size(clip), clip) for clip in clips]
        with self._lock:
            known, missing = {}, []
            for time, size, clip in about_clips:
                if (key := (clip.id, time, about)) in self._known:
                    known[clip.id] = self._known[key]
                elif key not in self._computing:
                    missing.append((size, key, clip))
            self._waiting = deque((key, clip) for _, key, clip in sorted(missing, key=lambda each: each[0]))
            for _ in range(min(len(missing), _THREADS - self._threads)):
                self._threads += 1
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
                self._computing.discard(key)

    def _next(self) -> tuple[Key, ProjectClip] | None:
        with self._lock:
            if self._waiting:
                key, clip = self._waiting.popleft()
                self._computing.add(key)
                return key, clip
            self._threads -= 1
            return None


def _time_and_size(clip: ProjectClip) -> tuple[int, int]:
    try:
        stat = clip.path.stat()
    except OSError:  # removed meanwhile
        return 0, 0
    return stat.st_mtime_ns, stat.st_size
