"""The routes of the page's tabs Teach and Correct."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from onlooker.serve.hints import Measured, Measurements, hints
from onlooker.serve.jobs import Job
from onlooker.serve.media import Upload, receive
from onlooker.serve.previews import Previews
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project, ProjectClip
from onlooker.serve.service import Service
from onlooker.serve.training import Training, newest_run
from onlooker.video.reader import SUFFIXES

__all__ = ["Teaching", "router", "start", "stop"]

_CACHED = {"Cache-Control": "private, max-age=3600"}

Label = Annotated[str, Query(alias="class")]


class Named(BaseModel):
    """The name of a class."""

    name: str


class Renamed(BaseModel):
    """A class and its new name."""

    name: str
    to: str


class Teaching:
    """The project and what the page needs to teach it."""

    def __init__(self, project: Project, service: Service) -> None:
        self.project, self.service = project, service
        self.previews = Previews(project.store / "previews")
        self.measurements = Measurements(self.previews)
        self.training = Training(project, service.settings.runs)
        self.job: Job | None = None  # of the training

    def start(self) -> None:
        """Continue a training that the end of the last server has interrupted."""
        if job_id := self.training.interrupted:
            self.job = self.service.jobs.start(self._train, job_id)

    def stop(self) -> None:
        """End what runs in the background."""
        self.measurements.stop()
        self.training.stop()
        self.project.close()

    def describe(self) -> dict[str, Any]:
        """The whole project as plain values, for JSON."""
        project, classes = self.project, self.project.classes()
        measured = self.measurements.of(clips := [clip for of_class in classes.values() for clip in of_class])
        found = hints(classes, measured, {})
        codes = {clip: hint.code for hint in reversed(found) for clip in hint.clips}
        return {
            **project.summary(),
            "classes": [
                {"name": label, "clips": [_describe(clip, measured, codes) for clip in of_class]}
                for label, of_class in classes.items()
            ],
            "hints": [hint.to_dict() for hint in found],
            "measuring": len(clips) - len(measured),
            "undo": project.undo_text,
            "redo": project.redo_text,
            "model": self.newest_model(),
            "training": self._describe_training(),
        }

    def newest_model(self) -> str | None:
        """The id of the newest run's model."""
        run = newest_run(self.service.settings.runs, self.project.folder)
        if run is None:
            return None
        return next((model.id for model in self.service.models.find() if model.run.resolve() == run.resolve()), None)

    def change(self, version: int, make: Callable[[], object]) -> dict[str, Any]:
        """Change the project if it still is at the version that the page has seen, and describe it."""
        with self.project.at(version):
            make()
        return self.describe()

    def add(self, label: str, upload: Upload) -> dict[str, Any]:
        """Add a clip that was received, after decoding all of it."""
        suffix = Path(upload.name).suffix.lower()
        name = upload.name if suffix in SUFFIXES else f"{upload.name or 'clip'}.mp4"
        temporary = secrets.token_hex(8)
        try:
            preview = self.previews.make(upload.path, temporary, self.service.settings.max_seconds)
            clip = self.project.add_clip(label, upload.path, name)
            self.previews.adopt(preview, clip)
        finally:
            upload.path.unlink(missing_ok=True)
            self.previews.discard(temporary)
        return {"clip": _describe(clip, self.measurements.of([clip]), {}), "project": self.describe()}

    def train(self) -> Job:
        """Begin to train; a Problem if a training runs already, or there are too few clips."""
        if self.job is not None and not self.job.finished:
            raise Problem(409, "training", "a training runs already", "one at a time", "wait for it, or cancel it")
        self.training.check()
        self.job = self.service.jobs.start(self._train)
        return self.job

    def _train(self, job: Job) -> dict[str, Any]:
        figures = self.training.run(job)
        model = self.newest_model()
        if model is not None:
            self.service.models.load(model)  # so that it is live at once
        return {**figures, "model": model}

    def _describe_training(self) -> dict[str, Any] | None:
        if self.job is None or self.job.finished:
            return None
        return {**self.service.jobs.describe(self.job), "job": self.job.id}


def _describe(clip: ProjectClip, measured: dict[str, Measured], codes: dict[str, str]) -> dict[str, Any]:
    of = measured.get(clip.id)
    video = of.video if of else None
    facts = {"seconds": round(video.seconds, 3) if video else None, "frames": video.frames if video else None}
    return {"id": clip.id, "name": clip.name, **facts, "hint": codes.get(clip.id)}


def _add_classes(routes: APIRouter, teaching: Teaching) -> None:
    project = teaching.project

    @routes.get("/api/project")
    def describe() -> dict[str, Any]:
        return teaching.describe()

    @routes.post("/api/project/classes")
    def add(body: Named, version: int) -> dict[str, Any]:
        return teaching.change(version, lambda: project.add_class(body.name))

    @routes.patch("/api/project/classes")
    def rename(body: Renamed, version: int) -> dict[str, Any]:
        return teaching.change(version, lambda: project.rename_class(body.name, body.to))

    @routes.delete("/api/project/classes")
    def delete(name: str, version: int) -> dict[str, Any]:
        return teaching.change(version, lambda: project.delete_class(name))

    @routes.post("/api/project/undo")
    def undo(version: int) -> dict[str, Any]:
        return teaching.change(version, project.undo)

    @routes.post("/api/project/redo")
    def redo(version: int) -> dict[str, Any]:
        return teaching.change(version, project.redo)


def _add_clips(routes: APIRouter, teaching: Teaching) -> None:
    project, service = teaching.project, teaching.service

    @routes.post("/api/project/clips")
    async def add(request: Request, label: Label) -> dict[str, Any]:
        upload = await receive(request, service.folder, service.settings.max_upload)
        return await run_in_threadpool(teaching.add, label, upload)

    @routes.post("/api/project/clips/{clip_id}/move")
    def move(clip_id: str, body: dict[str, str], version: int) -> dict[str, Any]:
        if "class" not in body:
            raise Problem(422, "request", "no class", "the class to move to", "reload the page")
        return teaching.change(version, lambda: project.move_clip(clip_id, body["class"]))

    @routes.delete("/api/project/clips/{clip_id}")
    def delete(clip_id: str, version: int) -> dict[str, Any]:
        return teaching.change(version, lambda: project.delete_clip(clip_id))

    @routes.get("/media/clip/{clip_id}.mp4")
    def preview(clip_id: str) -> FileResponse:
        return FileResponse(teaching.previews.of(project.clip(clip_id)).video, headers=_CACHED)

    @routes.get("/media/clip/{clip_id}.jpg")
    def still(clip_id: str) -> FileResponse:
        return FileResponse(teaching.previews.of(project.clip(clip_id)).still, headers=_CACHED)

    @routes.get("/media/clip/{clip_id}/full.mp4")
    def full(clip_id: str) -> FileResponse:
        path = teaching.previews.full(project.clip(clip_id))
        return FileResponse(path, media_type="video/mp4", headers=_CACHED)


def _add_training(routes: APIRouter, teaching: Teaching) -> None:
    @routes.post("/api/project/train", status_code=202)
    def train() -> dict[str, str]:
        return {"job": teaching.train().id}


def _routes(teaching: Teaching) -> APIRouter:
    routes = APIRouter()
    _add_classes(routes, teaching)
    _add_clips(routes, teaching)
    _add_training(routes, teaching)
    return routes


_teachings: WeakKeyDictionary[Project, Teaching] = WeakKeyDictionary()


def router(project: Project, service: Service) -> APIRouter:
    """All routes of a project."""
    _teachings[project] = Teaching(project, service)
    return _routes(_teachings[project])


def start(project: Project, service: Service) -> None:
    """When the server starts."""
    _teachings[project].start()


def stop(project: Project, service: Service) -> None:
    """When the server ends."""
    _teachings[project].stop()
