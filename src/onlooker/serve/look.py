"""The tab Look: predictions of a model for every moment of a clip, and for a camera, live. The last
clips are kept.

A camera of the browser sends JPEG frames at the frame rate that the model was trained with, and at
most two ahead of the answers, so that the delay does not grow if the model is slower than the
camera.
"""

import asyncio
import io
import math
import secrets
import shutil
import struct
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, Literal

import numpy as np
from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from numpy.typing import NDArray
from PIL import Image
from starlette.concurrency import run_in_threadpool

from onlooker import Prediction, Recognizer
from onlooker.base.answer import NOTHING
from onlooker.base.files import file_digest
from onlooker.base.records import Event
from onlooker.formats.annotations import write_segments
from onlooker.formats.publish import Publishers
from onlooker.report.overlay import full_strength, write_drawn
from onlooker.serve.jobs import Job, Jobs
from onlooker.serve.media import convert, receive
from onlooker.serve.models import Models
from onlooker.serve.problem import Problem, as_problem
from onlooker.serve.project import file_name
from onlooker.serve.settings import ServeSettings
from onlooker.video.transcode import VideoFacts

CAMERA = "page"  # the name of all cameras, for receivers of their events
MAX_KEPT = 30  # waiting and recent clips; beyond that, the oldest is deleted
_DRAWN_FRAMES = (
    5_000  # of a recording; in longer ones no heat map is drawn: its values would fill the browser
)
Kind = Literal["vtt", "csv", "mp4"]
_STORED = {"Cache-Control": "private, max-age=1800"}
# of a recording that is shown without a model, to mark its parts
_NO_ANSWER = {
    "label": NOTHING,
    "nothing": NOTHING,
    "score": 1.0,
    "best": {"label": NOTHING, "score": 1.0},
    "threshold": None,
    "unusual": None,
    "border_error": None,
    "heat": None,
    "classes": [],
    "scores": {},
    "segments": [],
    "tubes": [],
    "times": [0.0],
    "indices": [0],
    "frame_scores": [[]],
}

# of a frame
MAX_JPEG_BYTES = 1_000_000
MAX_JPEG_SIDE = 1280
_CLOCK = struct.Struct("<d")  # the browser's clock in ms, before each JPEG
_STRENGTH_DECAY = 0.99  # per step, for the highest heat, which determines the scale of colors


@dataclass(eq=False)
class Look:
    """A clip that is looked at.

    Args:
        model: its id; "": there is none.
        path: the clip as it was received.
        video: the file that the page plays: the clip itself, or a copy.
        prediction: of the model; None until it is made.
    """

    id: str
    name: str
    model: str
    path: Path
    video: Path
    prediction: Prediction | None = None

    @cached_property
    def recording(self) -> str:
        """Its name as a recording that clips are cut from: other clips may have its own."""
        return f"{self.name} {file_digest(self.path)[:8]}"


class Looks:
    """The clips that were looked at, in a temporary folder. All methods can be called from several
    threads.
    """

    def __init__(self, folder: Path, settings: ServeSettings, models: Models) -> None:
        self.folder = folder / "looks"
        self.settings = settings
        self.models = models
        self._looks: dict[str, Look] = {}

    def add(self, file: Path, name: str, model: str) -> Look:
        """Keep a clip that was received."""
        look_id = secrets.token_hex(8)
        path = self.folder / look_id / "clip"
        path.parent.mkdir(parents=True)
        file.replace(path)
        look = Look(look_id, file_name(name), model, path=path, video=path)
        self._looks[look_id] = look
        for old in [*self._looks][:-MAX_KEPT]:
            self.delete(old)
        return look

    def get(self, look_id: str) -> Look:
        """The clip with this id; a Problem 404 if it was deleted."""
        if look := self._looks.get(look_id):
            return look
        raise Problem(404, "look_gone")

    def delete(self, look_id: str) -> None:
        """Delete a clip and everything made of it."""
        if look := self._looks.pop(look_id, None):
            shutil.rmtree(look.path.parent, ignore_errors=True)

    def work(self, look: Look, job: Job) -> dict[str, Any]:
        """Predict a clip, if there is a model; one that fails is deleted."""
        try:
            facts = self._prepare(look, job)
            if look.model:
                look.prediction = self._predict(look.path, look.model, job)
        except BaseException:
            self.delete(look.id)
            raise
        return {
            "id": look.id,
            "name": look.name,
            "video": f"media/{look.id}.mp4",
            "model": look.model,
            **vars(facts),
            **(describe_prediction(look.prediction) if look.prediction else _NO_ANSWER),
        }

    def predict(self, file: Path, model: str, job: Job) -> dict[str, Any]:
        """Predict a clip that was received and is not kept; plain values for programs."""
        facts = convert(file, self.settings.max_seconds, lambda _: job.report("checking"))
        return {**self._predict(file, model, job).to_dict(), **vars(facts)}

    def take(self, look_id: str, kind: Kind) -> FileResponse:
        """The prediction for a clip as a file: times as "vtt" or "csv", the drawn clip as "mp4"."""
        look = self.get(look_id)
        if look.prediction is None:
            raise Problem(404, "look_gone")
        file = look.path.with_name(f"taken.{kind}")
        if kind == "mp4":
            write_drawn(look.video, file, look.prediction, replace=True)
        else:
            write_segments(file, replace(look.prediction, path=file.with_name(look.name)))
        return FileResponse(file, filename=f"{Path(look.name).stem}.{kind}")

    def _prepare(self, look: Look, job: Job) -> VideoFacts:
        """Check the clip by decoding all of it, and copy it if browsers do not play it."""
        limit = self.settings.max_seconds
        if not look.model or self.models.load(look.model).longest < limit:
            limit = math.inf  # it is watched as a stream, however long it is
        copy = look.path.with_name("copy.mp4")

        def report(facts: VideoFacts) -> None:
            job.report(
                "checking", facts.frames / facts.claimed if facts.claimed > facts.frames else None
            )

        facts = convert(look.path, limit, report, copy=copy, unless_playable=True)
        if copy.exists():
            look.video = copy
        return facts

    def _predict(self, path: Path, model: str, job: Job) -> Prediction:
        def report(stage: str, done: int, total: int) -> None:
            job.report("looking", min(1, done / max(1, total)))

        job.report("looking")
        return self.models.load(model).predict(path, progress=report)


def describe_prediction(prediction: Prediction) -> dict[str, Any]:
    """A prediction as programs get it, with one tube for each actor, and the heat map in the place
    of the attention.
    """
    heat = prediction.heat if len(prediction.times) <= _DRAWN_FRAMES else None
    shown = replace(prediction, tubes=prediction.actors, attention=None, points=None)
    return {
        **shown.to_dict(),
        "nothing": prediction.nothing_name,
        "heat": None if heat is None else heat_levels(heat, full_strength(heat)),
    }


def heat_levels(heat: NDArray[np.float32], scale: float) -> list[Any]:
    """Heat maps `… 30 40` with half as many rows and columns, as shares, from 0 for an even map to
    1 for the weight that is drawn at full strength.
    """
    *frames, h, w = heat.shape
    halved = heat.reshape(*frames, h // 2, 2, w // 2, 2).mean((-3, -1), dtype=float)
    even = 1 / (h * w)
    return np.round(np.clip((halved - even) / (scale - even), 0, 1), 2).tolist()


class Viewer:
    """One camera: its stream, and what the page needs to draw the predictions.

    Args:
        publishers: send its events; None: they are not sent.

    Raises:
        Problem: 422, a model that needs whole clips.
    """

    def __init__(self, recognizer: Recognizer, publishers: Publishers | None = None) -> None:
        try:
            self.streams = recognizer.streams()
            # a page sends few frames a second, and motion is that between all frames
            self.streams.eyes = {}
        except ValueError as error:
            raise Problem(422, "no_stream", reason=error) from error
        self._threshold = (self.streams.segmenter or self.streams).decision.threshold
        self._publishers = publishers
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
        self._index += 1
        step = self.streams.step({CAMERA: (self._index, time, pixels)})[CAMERA]
        self._send(step.changes)
        heat = None
        if step.heat is not None:
            self._strength = max(full_strength(step.heat[None]), _STRENGTH_DECAY * self._strength)
            heat = heat_levels(step.heat, self._strength)
        return {
            **step.to_dict(),
            "sent": sent,
            "heat": heat,
            "threshold": self._threshold,
            "milliseconds": round(1000 * (perf_counter() - begin), 2),
        }

    def end(self) -> None:
        """Send the events that are final by the end of the camera."""
        if last := self.streams.end(CAMERA):
            self._send(last.changes)

    def _send(self, events: Sequence[Event]) -> None:
        if self._publishers is not None:
            self._publishers.add(events)


def decode_jpeg(content: bytes) -> NDArray[np.uint8]:
    """A frame `H W 3`; only JPEG is read, and its size is checked before the pixels are decoded.

    Raises:
        Problem: 422, not a JPEG, a damaged one, or one of more than 1280 pixels on a side.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            if max(image.size) > MAX_JPEG_SIDE:
                raise Problem(
                    422, "frame_size", width=image.width, height=image.height, most=MAX_JPEG_SIDE
                )
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Problem(422, "frame_format") from error


async def answer_frames(
    socket: WebSocket, step: Callable[[float, float, bytes], Awaitable[dict[str, Any]]]
) -> None:
    """Answer the frames of a camera with `step` (`Viewer.step`), until the browser disconnects.

    Raises:
        Problem: a frame that is too large, or what `step` raises.
        WebSocketDisconnect: the browser has disconnected.
    """
    begin = monotonic()
    while True:
        content = await socket.receive_bytes()
        if not _CLOCK.size < len(content) <= MAX_JPEG_BYTES:
            raise Problem(413, "frame_bytes", count=len(content), most=MAX_JPEG_BYTES)
        (sent,) = _CLOCK.unpack(content[: _CLOCK.size])
        await socket.send_json(await step(sent, monotonic() - begin, content[_CLOCK.size :]))


def add_routes(app: FastAPI, looks: Looks, jobs: Jobs, *, publishers: Publishers) -> None:
    """The routes of the tab Look; all cameras share one thread, in turn, and `publishers` send
    their events.
    """
    executor = ThreadPoolExecutor(1, thread_name_prefix="live")

    @app.post("/api/look", status_code=202)
    async def upload(request: Request, model: str) -> dict[str, str]:
        model_id = model and (await run_in_threadpool(looks.models.get, model)).id
        async with receive(request, looks.folder) as (file, name):
            look = await run_in_threadpool(looks.add, file, name, model_id)
        return {"job": jobs.submit(partial(looks.work, look)).id, "look": look.id}

    @app.get("/media/{look_id}.mp4")
    def video(look_id: str) -> FileResponse:
        return FileResponse(looks.get(look_id).video, media_type="video/mp4", headers=_STORED)

    app.get("/media/{look_id}/as/{kind}")(looks.take)

    @app.websocket("/api/live")
    async def live(socket: WebSocket, model: str = "") -> None:
        await socket.accept()
        loop = asyncio.get_running_loop()
        try:
            viewer = await loop.run_in_executor(
                executor, lambda: Viewer(looks.models.load(model), publishers)
            )
            try:
                await answer_frames(
                    socket, lambda *frame: loop.run_in_executor(executor, viewer.step, *frame)
                )
            finally:
                viewer.end()
        except WebSocketDisconnect:
            pass
        except Exception as error:
            problem = as_problem(error)
            # the browser has disconnected in the meantime
            with suppress(RuntimeError, WebSocketDisconnect):
                await socket.send_json(problem.to_dict())
                await socket.close(1011 if problem.status == 500 else 1008)
