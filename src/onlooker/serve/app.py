"""The server of the page: its routes and middleware, and how it starts and ends."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

import onlooker
from onlooker.serve import live, look_routes, teach
from onlooker.serve.examples import EXAMPLES, example_label
from onlooker.serve.folder import temporary_folder
from onlooker.serve.jobs import Jobs
from onlooker.serve.look import Looks
from onlooker.serve.models import Models
from onlooker.serve.phone import phone_address, phone_code
from onlooker.serve.problem import Problem, as_problem
from onlooker.serve.project import Project
from onlooker.serve.security import Guard
from onlooker.serve.service import Service
from onlooker.serve.settings import ServeSettings
from onlooker.serve.translation import texts

__all__ = ["ServeSettings", "create_app"]

_HERE = Path(__file__).parent
_SWEEP = 60.0  # seconds


def create_app(settings: ServeSettings) -> FastAPI:
    """The page as an ASGI application; its temporary folder is deleted when it ends."""
    folder = temporary_folder()
    models = Models(settings)
    looks = Looks(folder, settings, models, lambda: teaching.newest_model())
    service = Service(settings, folder, Jobs(), models, looks)
    project = Project(settings.clips)
    teaching = teach.Teaching(project, service)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        teaching.start()
        sweeping = asyncio.create_task(_sweep(service))
        Thread(target=_warm_up, args=(service.models,), name="warm up", daemon=True).start()
        try:
            yield
        finally:
            sweeping.cancel()
            teaching.stop()
            service.jobs.stop()
            shutil.rmtree(folder, ignore_errors=True)

    # The generated documentation of FastAPI would load scripts from another server.
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service, app.state.project, app.state.teaching = service, project, teaching
    app.add_middleware(Guard, settings=settings, token_page=_render("token.html"))
    _explain_errors(app)
    _add_page(app)
    _add_state(app, service, project)
    app.include_router(look_routes.router(service))
    app.include_router(live.router(service))
    app.include_router(teach.routes(teaching))
    return app


def _warm_up(models: Models) -> None:
    """Load the first model of the page before it is used, because loading takes seconds."""
    if found := models.find():
        with suppress(Problem):  # the error is reported when the model is used
            models.load(found[0].id)


async def _sweep(service: Service) -> None:
    """Delete old uploads even while nobody uses the page."""
    while True:
        await asyncio.sleep(_SWEEP)
        await asyncio.to_thread(service.looks.sweep)


def _add_page(app: FastAPI) -> None:
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")

    @app.get("/")
    def page() -> Response:
        return Response(_render("page.html"), media_type="text/html")


def _render(template: str) -> str:
    loader = FileSystemLoader(_HERE / "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template(template).render(texts=texts(), version=onlooker.__version__)


def _add_state(app: FastAPI, service: Service, project: Project) -> None:
    settings = service.settings

    @app.get("/api/state")
    def state() -> dict[str, Any]:
        return {
            "models": service.models.describe(),
            "project": project.summary(),
            "limits": {"bytes": settings.max_upload, "seconds": settings.max_seconds},
            "examples": [{"id": name, "label": example_label(name)} for name in EXAMPLES],
            "phone": phone_address(settings),
            "version": onlooker.__version__,
        }

    @app.get("/api/phone.svg")
    def phone() -> Response:
        return Response(phone_code(settings), media_type="image/svg+xml")

    @app.get("/api/jobs/{job_id}")
    def job(job_id: str) -> dict[str, Any]:
        return service.jobs.describe(service.jobs.get(job_id))

    @app.delete("/api/jobs/{job_id}")
    def cancel(job_id: str) -> dict[str, Any]:
        service.jobs.get(job_id).cancel()
        return service.jobs.describe(service.jobs.get(job_id))


def _explain_errors(app: FastAPI) -> None:
    """Send every error as the JSON of a `Problem`."""

    def respond(problem: Problem) -> JSONResponse:
        return JSONResponse(problem.to_dict(), problem.status)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        found = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors()[:3])
        return respond(Problem(422, "request", reason=found))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        status = error.status_code
        code = "not_found" if status == 404 else "method" if status == 405 else "http"
        return respond(Problem(status, code, reason=error.detail))

    @app.exception_handler(Problem)
    @app.exception_handler(ValueError)
    @app.exception_handler(OSError)
    def known(request: Request, error: Exception) -> JSONResponse:
        return respond(as_problem(error))

    @app.exception_handler(Exception)
    def unknown(request: Request, error: Exception) -> JSONResponse:
        return respond(as_problem(error))
