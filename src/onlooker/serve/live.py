"""A camera of the browser, live: JPEG frames in, predictions of the model out.

Only the newest frame of a connection is processed, so that the delay does not grow if the model is slower than the
camera.
"""

import asyncio
import io
import math
import struct
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, perf_counter
from typing import Any

import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from PIL import Image
from starlette.websockets import WebSocketState

from onlooker.drawing.overlay import CONTRAST_FLOOR
from onlooker.recognizer import Recognizer
from onlooker.serve.look import to_levels
from onlooker.serve.moments import Arrived, Moment, Moments
from onlooker.serve.problem import Problem, as_problem
from onlooker.serve.service import Service
from onlooker.structures import Step
from onlooker.video.resize import Pixels

__all__ = ["Viewer", "decode_jpeg", "router"]

MAX_CONNECTIONS = 4
MAX_BYTES, MAX_SIDE = 1_000_000, 1280  # of a frame
_SECONDS = 2.0  # length of a moment, for a model without a frame rate
_CLOCK = struct.Struct("<d")  # the browser's clock in ms, before each JPEG
_DECAY = 0.99  # per step, for the highest attention weight, which determines the scale of colors


class Viewer:
    """One camera: the state of the model, and what the page needs to draw the predictions.

    Args:
        keep: called with each moment about which the model is unsure, in the thread of `step`.

    Raises:
        ValueError: a model that needs whole clips.
    """

    def __init__(self, recognizer: Recognizer, keep: Callable[[Moment], object] = lambda _: None) -> None:
        self.streams, self.keep = recognizer.streams(), keep
        self.wait = 1 / recognizer.frame_rate if recognizer.frame_rate else 0.0
        self._moments = Moments(self.wait * recognizer.data.frames or _SECONDS)
        self._index, self._strength = -1, 0.0

    @property
    def needed(self) -> int:
        """How many frames a step needs: a model that receives optical flow also needs the following frames."""
        return 1 + self.streams.lookahead

    def step(self, frames: list[Arrived]) -> dict[str, Any]:
        """The prediction for the first of some frames, as the page gets it.

        Raises:
            Problem: a frame that is not a JPEG or is too large.
        """
        begin = perf_counter()
        images = [decode_jpeg(frame.jpeg) for frame in frames]
        same = [image if image.shape == images[0].shape else images[0] for image in images]
        self._index += 1
        pixels = np.stack(same) if self.streams.lookahead else images[0]
        step = self.streams.step({"": (self._index, frames[0].time, pixels)})[""]
        values = self._describe(step)
        if moment := self._moments.add(frames[0], values["scores"]):
            self.keep(moment)
        times = {"sent": frames[0].sent, "received": frames[-1].sent}
        return {**times, **values, "milliseconds": round(1000 * (perf_counter() - begin), 2)}

    def _describe(self, step: Step) -> dict[str, Any]:
        assert step.pixels is not None
        height, width = step.pixels.shape[:2]
        box = step.box and np.round(np.divide(step.box.corners, (width, height, width, height)), 4).tolist()
        return {
            "time": round(step.time, 3),
            "label": step.label,
            "score": round(step.score, 4),
            "scores": dict(zip(step.classes, np.round(step.scores.astype(float), 4).tolist(), strict=True)),
            "happening": step.happening,
            "threshold": step.threshold,
            "box": box,
            "point": step.point and [round(step.point[0] / width, 4), round(step.point[1] / height, 4)],
            "attention": self._levels(step),
        }

    def _levels(self, step: Step) -> list[Any] | None:
        if step.attention is None:
            return None
        floor = CONTRAST_FLOOR / step.attention.size
        self._strength = max(float(step.attention.max()), _DECAY * self._strength, floor)
        return to_levels(step.attention, self._strength)


def decode_jpeg(content: bytes) -> Pixels:
    """A frame `H W 3`; only JPEG is read, and its size is checked before the pixels are decoded.

    Raises:
        Problem: 422, not a JPEG, a damaged one, or one of more than 1280 pixels on a side.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            if max(image.size) > MAX_SIDE:
                raise Problem(422, "frame_size", width=image.width, height=image.height, most=MAX_SIDE)
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Problem(422, "frame_format") from error


class _Newest:
    """The newest frames of a connection, and how many were replaced before they were used."""

    def __init__(self, count: int) -> None:
        self._frames: deque[Arrived] = deque(maxlen=count)
        self._new, self.dropped, self._arrived, self._begin = 0, 0, asyncio.Event(), monotonic()

    def put(self, message: bytes) -> None:
        """Keep a frame that the browser has sent; a Problem for too many bytes or too few."""
        if not _CLOCK.size < len(message) <= MAX_BYTES:
            raise Problem(413, "frame_bytes", count=len(message), most=MAX_BYTES)
        (sent,) = _CLOCK.unpack(message[: _CLOCK.size])
        sent = sent if math.isfinite(sent) else 0.0
        self._frames.append(Arrived(sent, monotonic() - self._begin, message[_CLOCK.size :]))
        self._new += 1
        if len(self._frames) == self._frames.maxlen:
            self._arrived.set()

    async def wait(self) -> None:
        """Wait until there is an unused frame."""
        await self._arrived.wait()

    def take(self) -> list[Arrived]:
        """Return the newest frames, and mark them as used."""
        self._arrived.clear()
        self.dropped += max(0, self._new - 1)
        self._new = 0
        return list(self._frames)


def router(service: Service) -> APIRouter:
    """The route of the live view; all cameras share one thread, in turn, and a second thread saves moments."""
    routes, connections = APIRouter(), set[WebSocket]()
    executor = ThreadPoolExecutor(1, thread_name_prefix="live")
    saving = ThreadPoolExecutor(1, thread_name_prefix="moments")

    def viewer(model: str) -> Viewer:
        return _viewer(service, model, lambda moment: saving.submit(service.looks.keep, moment, model))

    @routes.websocket("/api/live")
    async def live(socket: WebSocket, model: str = "") -> None:
        await socket.accept()
        if len(connections) >= MAX_CONNECTIONS:
            await _fail(socket, Problem(503, "full", most=MAX_CONNECTIONS))
            return
        connections.add(socket)
        try:
            await _serve(socket, executor, lambda: viewer(model))
        finally:
            connections.discard(socket)

    return routes


def _viewer(service: Service, model: str, keep: Callable[[Moment], object]) -> Viewer:
    try:
        return Viewer(service.models.load(model), keep)
    except ValueError as error:
        raise Problem(422, "no_stream", reason=error) from error


async def _serve(socket: WebSocket, executor: ThreadPoolExecutor, make: Callable[[], Viewer]) -> None:
    """Answer until the browser disconnects, or an error occurs."""
    loop = asyncio.get_running_loop()
    try:
        viewer = await loop.run_in_executor(executor, make)
        newest = _Newest(viewer.needed)
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(_answer(socket, executor, viewer, newest))
            try:
                while (message := await socket.receive())["type"] != "websocket.disconnect":
                    newest.put(message.get("bytes") or b"")
            finally:
                answering.cancel()
    except* WebSocketDisconnect:
        pass
    except* Exception as group:
        await _fail(socket, as_problem(_first(group)))


async def _answer(socket: WebSocket, executor: ThreadPoolExecutor, viewer: Viewer, newest: _Newest) -> None:
    """Step on the newest frame, at the frame rate that the model was trained with."""
    loop, due = asyncio.get_running_loop(), 0.0
    while True:
        await newest.wait()
        if (early := due - monotonic()) > 0:
            await asyncio.sleep(early)
        due = max(due, monotonic() - viewer.wait / 2) + viewer.wait  # a late frame does not delay all others
        answer = await loop.run_in_executor(executor, viewer.step, newest.take())
        await socket.send_json({**answer, "dropped": newest.dropped})


async def _fail(socket: WebSocket, problem: Problem) -> None:
    """Send the problem, and close the connection."""
    if socket.client_state == WebSocketState.CONNECTED and socket.application_state == WebSocketState.CONNECTED:
        try:
            await socket.send_json(problem.to_dict())
            await socket.close(1011 if problem.status == 500 else 1008)
        except (RuntimeError, WebSocketDisconnect):  # the browser has disconnected in the meantime
            return


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
