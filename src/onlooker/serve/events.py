"""Events of the cameras and addresses that the server itself watches (`serve --watch`), for its subscribers."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

import onlooker
from onlooker.config import StreamConfig
from onlooker.publish import to_values
from onlooker.serve.models import Models
from onlooker.structures import Event

__all__ = ["Queue", "Watcher"]

_HELD = 1000  # events for a slow subscriber; of more, the oldest are dropped
_CONFIG = StreamConfig(attempts=-1, wait_for_source=True)  # a camera that is off may be switched on later
_log = logging.getLogger("uvicorn.error")

Queue = asyncio.Queue[dict[str, Any]]  # of events as plain values (`publish.to_values`)


class Watcher:
    """Watches sources with the first model, in a thread that ends with the process or `close`.

    Raises:
        FileNotFoundError: there is no model.
        ValueError: a model that is damaged or needs whole clips, or an invalid source.
    """

    def __init__(self, models: Models, sources: Sequence[str]) -> None:
        if not (found := models.find()):
            raise FileNotFoundError("no trained model to watch with; give a run")
        recognizer = onlooker.load(found[0].run)
        self._steps = recognizer.watch(sources, _CONFIG, _log.warning)
        self._subscribers: set[tuple[asyncio.AbstractEventLoop, Queue]] = set()
        self._closed = False
        Thread(target=self._watch, name="watch", daemon=True).start()

    def close(self) -> None:
        """End with the next frame."""
        self._closed = True

    @contextmanager
    def subscribed(self) -> Iterator[Queue]:
        """A queue of the events from now on, for the running event loop."""
        queue = Queue(_HELD)
        subscriber = asyncio.get_running_loop(), queue
        self._subscribers.add(subscriber)
        try:
            yield queue
        finally:
            self._subscribers.discard(subscriber)

    def _watch(self) -> None:
        try:
            for step in self._steps:
                self._send(step.events)
                if self._closed:
                    break
        except Exception:
            _log.exception("the watched sources cannot be watched any more")

    def _send(self, events: Sequence[Event]) -> None:
        for values in map(to_values, events):
            for loop, queue in tuple(self._subscribers):
                with suppress(RuntimeError):  # the server has ended
                    loop.call_soon_threadsafe(_put, queue, values)


def _put(queue: Queue, values: dict[str, Any]) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(values)
