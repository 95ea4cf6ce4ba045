"""The server of the page: its routes and middleware, and how it starts and ends."""

import logging
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import onlooker
from onlooker.data.folder import SYSTEM_FOLDERS
from onlooker.serve import live, look, models, teach
from onlooker.serve.api import create_api
from onlooker.serve.jobs import Jobs
from onlooker.serve.problem import API, Problem, as_problem
from onlooker.serve.project import Project
from onlooker.serve.security import Guard
from onlooker.serve.settings import ServeSettings
from onlooker.serve.translation import texts
from onlooker.video.reader import SUFFIXES

__all__ = ["ServeSettings", "create_app"]

_HERE = Path(__file__).parent
_log = logging.getLogger("uvicorn.error")


def create_app(settings: ServeSettings) -> FastAPI:
    """The page as an ASGI application; its temporary folder is deleted when it ends.

    Raises:
        FileNotFoundError, NotWritableError, ValueError: the run has no model; the folder of clips cannot be taught.
    """
    known, project, jobs = models.Models(settings), Project(settings.clips), Jobs()
    folder = Path(tempfile.mkdtemp(prefix="onlooker-page-"))
    looks = look.Looks(folder, settings, known)
    teaching = teach.Teaching(project, looks, jobs)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            jobs.close()
            project.close()
            shutil.rmtree(folder, ignore_errors=True)

    # The generated documentation of FastAPI would load scripts from another server.
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.project, app.state.teaching, app.state.folder = project, teaching, folder
    app.add_middleware(Guard, settings=settings)
    api = create_api(looks, jobs)
    for kind in (RequestValidationError, HTTPException, ClientDisconnect, Problem, ValueError, OSError, Exception):
        for each in (app, api):
            each.add_exception_handler(kind, _respond)
    app.mount(API, api)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")

    environment = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined)

    @app.get("/")
    def page() -> HTMLResponse:
        values = {"texts": texts(), "version": onlooker.__version__}
        return HTMLResponse(environment.get_template("page.html").render(values))

    @app.get("/api/state")
    def state() -> dict[str, Any]:
        limits = {"bytes": settings.max_upload, "seconds": settings.max_seconds}
        files = {"endings": sorted(SUFFIXES), "hidden": sorted(SYSTEM_FOLDERS)}
        return {"models": known.describe(), "limits": limits, **files}

    @app.get("/api/jobs/{job_id}")
    async def job(job_id: str) -> dict[str, Any]:
        return jobs.get(job_id).describe()

    @app.delete("/api/jobs/{job_id}")
    async def cancel(job_id: str) -> dict[str, Any]:
        jobs.get(job_id).cancel()
        return jobs.get(job_id).describe()

    app.include_router(look.routes(looks, jobs))
    app.include_router(live.routes(known))
    app.include_router(teach.routes(teaching))
    return app


def _respond(request: Request, error: Exception) -> JSONResponse:
    """An error as the JSON of a `Problem`."""
    if isinstance(error, ClientDisconnect):
        _log.warning("%s %s: cut off by the sender", request.method, request.url.path)
    problem = as_problem(error)
    return JSONResponse(problem.to_dict(request.url.path), problem.status)
