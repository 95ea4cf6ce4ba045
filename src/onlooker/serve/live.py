"""A camera of the browser, live: JPEG frames in, predictions of the model out.

The page sends frames at the frame rate that the model was trained with, and at most two ahead of the answers, so that
the delay does not grow if the model is slower than the camera.
"""

import asyncio
import io
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic, perf_counter
from typing import Any

import numpy as np
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from numpy.typing import NDArray
from PIL import Image

from onlooker.drawing.overlay import full_strength
from onlooker.recognizer import Recognizer
from onlooker.serve.look import heat_levels
from onlooker.serve.models import Models
from onlooker.serve.problem import Problem, as_problem

__all__ = ["Viewer", "add_routes", "decode_jpeg"]

MAX_BYTES, MAX_SIDE = 1_000_000, 1280  # of a frame
_CLOCK = struct.Struct("<d")  # the browser's clock in ms, before each JPEG
_DECAY = 0.99  # per step, for the highest heat, which determines the scale of colors


class Viewer:
    """One camera: the state of the model, and what the page needs to draw the predictions.

    Raises:
        Problem: 422, a model that needs whole clips.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        try:
            self.streams = recognizer.streams()
        except ValueError as error:
            raise Problem(422, "no_stream", reason=error) from error
        self._index = -1
        self._strength = 0.0

    def step(self, sent: float, time: float, jpeg: bytes) -> dict[str, Any]:
        """The prediction for a frame, as the page gets it.

        Args:
            sent: by the browser's clock.
            time: of its arrival, in seconds.

        Raises:
            Problem: a frame that is not a JPEG or is too large.
        """
        begin = perf_counter()
        pixels = decode_jpeg(jpeg)
        height, width = pixels.shape[:2]
        size = [width, height, width, height]
        self._index += 1
        step = self.streams.step({"": (self._index, time, pixels)})[""]
        heat = None
        if step.heat is not None:
            self._strength = max(full_strength(step.heat[None]), _DECAY * self._strength)
            heat = heat_levels(step.heat, self._strength)
        return {
            "sent": sent,
            "label": step.label,
            "score": round(step.score, 4),
            "scores": dict(zip(step.classes, np.round(step.scores.astype(float), 4).tolist(), strict=True)),
            "boxes": [np.round(np.divide(box.corners, size), 4).tolist() for box in step.boxes],
            "heat": heat,
            "milliseconds": round(1000 * (perf_counter() - begin), 2),
        }


def decode_jpeg(content: bytes) -> NDArray[np.uint8]:
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


def add_routes(app: FastAPI, models: Models) -> None:
    """The route of the live view; all cameras share one thread, in turn."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="live")

    @app.websocket("/api/live")
    async def live(socket: WebSocket, model: str = "") -> None:
        await socket.accept()
        loop = asyncio.get_running_loop()
        try:
            viewer = await loop.run_in_executor(executor, lambda: Viewer(models.load(model)))
            begin = monotonic()
            while True:
                content = await socket.receive_bytes()
                if not _CLOCK.size < len(content) <= MAX_BYTES:
                    raise Problem(413, "frame_bytes", count=len(content), most=MAX_BYTES)
                (sent,) = _CLOCK.unpack(content[: _CLOCK.size])
                time = monotonic() - begin
                jpeg = content[_CLOCK.size :]
                await socket.send_json(await loop.run_in_executor(executor, viewer.step, sent, time, jpeg))
        except WebSocketDisconnect:
            pass
        except Exception as error:
            problem = as_problem(error)
            with suppress(RuntimeError, WebSocketDisconnect):  # the browser has disconnected in the meantime
                await socket.send_json(problem.to_dict())
                await socket.close(1011 if problem.status == 500 else 1008)
