"""The server of the page: its routes and middleware, and how it starts and ends."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

import onlooker
from onlooker.serve import live, look, models, teach
from onlooker.serve.jobs import Jobs
from onlooker.serve.problem import Problem, as_problem
from onlooker.serve.project import Project
from onlooker.serve.security import Guard
from onlooker.serve.settings import ServeSettings
from onlooker.serve.translation import texts

__all__ = ["ServeSettings", "create_app"]

_HERE = Path(__file__).parent
_SWEEP = 60.0  # seconds


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
        teaching.start()
        tasks = [asyncio.create_task(_sweep(looks)), asyncio.create_task(asyncio.to_thread(_warm_up, known))]
        try:
            yield
        finally:
            teaching.training.stopping = True
            for task in tasks:
                task.cancel()
            await jobs.stop()
            project.close()
            shutil.rmtree(folder, ignore_errors=True)

    # The generated documentation of FastAPI would load scripts from another server.
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.project, app.state.teaching, app.state.folder = project, teaching, folder
    app.add_middleware(Guard, settings=settings)
    _explain_errors(app)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")

    @app.get("/")
    def page() -> Response:
        environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined
        )
        html = environment.get_template("page.html").render(texts=texts(), version=onlooker.__version__)
        return Response(html, media_type="text/html")

    @app.get("/api/state")
    def state() -> dict[str, Any]:
        limits = {"bytes": settings.max_upload, "seconds": settings.max_seconds}
        return {"models": known.describe(), "limits": limits}

    @app.get("/api/jobs/{job_id}")
    async def job(job_id: str) -> dict[str, Any]:
        return jobs.describe(jobs.get(job_id))

    @app.delete("/api/jobs/{job_id}")
    async def cancel(job_id: str) -> dict[str, Any]:
        jobs.get(job_id).cancel()
        return jobs.describe(jobs.get(job_id))

    app.include_router(look.routes(looks, jobs))
    app.include_router(live.routes(known))
    app.include_router(models.routes(known, folder / "export"))
    app.include_router(teach.routes(teaching))
    return app


def _warm_up(known: models.Models) -> None:
    """Load the first model of the page before it is used, because loading takes seconds."""
    if found := known.find():
        with suppress(Problem):  # the error is reported when the model is used
            known.load(found[0].id)


async def _sweep(looks: look.Looks) -> None:
    """Delete old uploads even while nobody uses the page."""
    while True:
        await asyncio.sleep(_SWEEP)
        await asyncio.to_thread(looks.sweep)


def _explain_errors(app: FastAPI) -> None:
    """Send every error as the JSON of a `Problem`."""

    def respond(request: Request, error: Exception) -> JSONResponse:
        problem = as_problem(error)
        return JSONResponse(problem.to_dict(), problem.status)

    def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        found = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors()[:3])
        return respond(request, Problem(422, "request", reason=found))

    def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = "not_found" if error.status_code == 404 else "http"
        return respond(request, Problem(error.status_code, code, reason=error.detail))

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    for kind in (Problem, ValueError, OSError, Exception):
        app.add_exception_handler(kind, respond)
