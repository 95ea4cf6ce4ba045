"""The routes of the tab Look: clips and their predictions, and the facts that the page shows about a model."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from onlooker.serve.examples import example_still
from onlooker.serve.facts import ModelFacts
from onlooker.serve.look import Look, Looks, full_answer
from onlooker.serve.media import file_response, receive
from onlooker.serve.problem import Problem
from onlooker.serve.service import Service

__all__ = ["router"]

_STORED = {"Cache-Control": "private, max-age=1800"}


def router(service: Service) -> APIRouter:
    """The routes of looking at clips, and of models."""
    routes = APIRouter()
    _add_looks(routes, service)
    _add_results(routes, service.looks)
    _add_models(routes, ModelFacts(service))
    return routes


def _add_looks(routes: APIRouter, service: Service) -> None:
    looks, models = service.looks, service.models

    def chosen(model: str, second: str | None) -> list[str]:
        return [models.get(name).id for name in dict.fromkeys(filter(None, (model, second)))]

    def submitted(look: Look, names: list[str]) -> dict[str, str]:
        try:
            job = service.jobs.submit(looks.work(look, names), lambda: looks.delete(look.id))
        except Problem:  # the queue is full
            looks.delete(look.id)
            raise
        return {"job": job.id, "look": look.id}

    @routes.post("/api/look", status_code=202)
    async def upload(request: Request, model: str, second: str | None = None) -> dict[str, str]:
        names = await run_in_threadpool(chosen, model, second)
        received = await receive(request, looks.folder, service.settings.max_upload)
        return submitted(await run_in_threadpool(looks.add, received), names)

    @routes.post("/api/look/example/{example}", status_code=202)
    def draw(example: str, model: str, second: str | None = None) -> dict[str, str]:
        names = chosen(model, second)
        return submitted(looks.example(example), names)

    @routes.delete("/api/look/{look_id}")
    def delete(look_id: str) -> dict[str, bool]:
        looks.get(look_id)
        looks.delete(look_id)
        return {"deleted": True}


def _add_results(routes: APIRouter, looks: Looks) -> None:
    @routes.get("/media/{look_id}.mp4")
    def video(look_id: str) -> FileResponse:
        return file_response(looks.get(look_id).video, media_type="video/mp4", headers=_STORED)

    @routes.get("/media/example/{example}.jpg")
    def still(example: str) -> Response:
        return Response(example_still(example), media_type="image/jpeg", headers=_STORED)

    @routes.get("/api/look/{look_id}/overlay.mp4")
    def overlay(look_id: str, model: str) -> FileResponse:
        look = looks.get(look_id)
        return FileResponse(
            looks.overlay(look, model), media_type="video/mp4", filename=_named(look.name, "-overlay.mp4")
        )

    @routes.get("/api/look/{look_id}/result.json")
    def result(look_id: str) -> Response:
        look = looks.get(look_id)
        return _download(json.dumps(full_answer(look)), _named(look.name, ".json"))


def _add_models(routes: APIRouter, facts: ModelFacts) -> None:
    @routes.get("/api/models/{model_id}/facts")
    def describe(model_id: str) -> dict[str, Any]:
        return facts.describe(model_id)

    @routes.get("/api/models/{model_id}/step.onnx")
    def step(model_id: str) -> FileResponse:
        return FileResponse(facts.export(model_id), media_type="application/octet-stream", filename="step.onnx")


def _named(name: str, suffix: str) -> str:
    return f"{Path(name).stem or 'clip'}{suffix}"


def _download(content: str, name: str) -> Response:
    """A file to save; a name that is not ASCII is percent-encoded (RFC 6266), as `FileResponse` does."""
    headers = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(name)}"}
    return Response(content, media_type="application/json", headers=headers)
