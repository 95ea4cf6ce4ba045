"""The interface for programs below /api/v1: stable, typed, described by openapi.json, with the
token of the page.
"""

import asyncio
from typing import Any, Literal

from fastapi import Depends, FastAPI, Request
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from onlooker import Segment
from onlooker.base.records import TimeBudget
from onlooker.serve.jobs import Jobs
from onlooker.serve.look import Looks
from onlooker.serve.media import receive
from onlooker.serve.problem import Problem

_MAX_REQUESTS = 30  # with clips, at a time
_POLL = 0.03  # seconds between two looks at a job
_CLIP = {
    "content": {"video/*": {"schema": {"type": "string", "format": "binary"}}},
    "required": True,
}


class Model(BaseModel):
    """A trained model."""

    id: str
    name: str
    classes: list[str]
    nothing: str = Field(description="The answer that nothing happens.")
    frame_rate: float | None = Field(
        description="Frames per second of training; null: every frame."
    )
    threshold: float | None = Field(
        description="The probability that an event needs; null: the most probable class."
    )


class Tube(BaseModel):
    """Where an event happens: a box in each of some frames."""

    label: str
    score: float
    frames: list[int]
    boxes: list[tuple[float, float, float, float]] = Field(
        description="x1 y1 x2 y2, in pixels of the video."
    )


class Best(BaseModel):
    """The most probable event, whether it reaches the threshold or not."""

    label: str
    score: float


class Prediction(BaseModel):
    """What happens in a clip, where and when."""

    model: str = Field(description="The id of the model.")
    label: str
    score: float = Field(description="The probability of the label.")
    best: Best
    threshold: float | None = Field(
        description="The probability that an event needs, else the label is nothing; null: none."
    )
    unusual: bool | None = Field(
        description="Whether the clip, or most of a recording, is unlike all clips of training, so that little is "
        "known of it; null: unknown."
    )
    border_error: float | None = Field(
        description="The median error of begin and end of the events of a recording, in seconds; null: unknown."
    )
    scores: dict[str, float] = Field(
        description="The probability of each class, which sum to one: of the whole clip; of a recording, in its best "
        "window."
    )
    tubes: list[Tube]
    segments: list[Segment]
    budget: list[TimeBudget] | None = Field(
        default=None, description="How long each state goes on; null: a model of events."
    )
    seconds: float
    frames: int
    width: int
    height: int


class Error(BaseModel):
    """The answer with any status of 400 or more: what was found, what was expected, what to do."""

    error: dict[Literal["code", "found", "expected", "remedy"], str]


def create_api(looks: Looks, jobs: Jobs) -> FastAPI:
    """The interface as an application of its own, so that openapi.json has no other route."""
    api = FastAPI(
        title="onlooker",
        version="1",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(HTTPBearer(auto_error=False))],  # for openapi.json: `Guard` checks it
        responses={"default": {"model": Error, "description": "What is wrong"}},
    )
    places = asyncio.Semaphore(_MAX_REQUESTS)

    @api.get("/models", response_model=list[Model])
    def models() -> list[dict[str, Any]]:
        """All models, newest first; one that was given to the server is the first."""
        return looks.models.describe()

    @api.post("/predict", response_model=Prediction, openapi_extra={"requestBody": _CLIP})
    async def predict(request: Request, model: str | None = None) -> dict[str, Any]:
        """Predict a clip with the model of an id (default: the first model). Requests are answered
        in the order in which they arrive.
        """
        if places.locked():
            raise Problem(503, "busy", most=_MAX_REQUESTS)
        async with places:
            model_id = (await run_in_threadpool(looks.models.get, model)).id
            async with receive(request, looks.folder) as (file, _):
                job = jobs.submit(
                    lambda job: {"model": model_id, **looks.predict(file, model_id, job)}
                )
                while not job.finished:
                    if await request.is_disconnected():
                        job.cancelled = True
                    await asyncio.sleep(_POLL)
            if job.result is None:
                raise job.error or Problem(400, "cut_off")
            return job.result

    return api
