"""The server of the page: its routes and middleware, its start and end, and limits for slow
connections.
"""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import h11
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

import onlooker
from onlooker.data.folder import SYSTEM_FOLDERS
from onlooker.formats.publish import Publishers
from onlooker.serve import look, models, teach
from onlooker.serve.api import create_api
from onlooker.serve.jobs import Jobs
from onlooker.serve.problem import API, TEXTS, Problem, as_problem, refusal
from onlooker.serve.project import Project
from onlooker.serve.security import Guard
from onlooker.serve.settings import ServeSettings
from onlooker.video.reader import SUFFIXES

HEADER_SECONDS = (
    10.0  # for the header of a request, from the connection or the end of the last request
)
MAX_WAITING = 200  # connections without a whole header; beyond that, the oldest is closed
GRACE = 3  # seconds for answers that are being sent when the server ends
_CLOSING = 5.7  # seconds after these for events that wait: `docker stop` kills it after 10
_FOLDER = Path(__file__).parent


def create_app(settings: ServeSettings) -> FastAPI:
    """The page as an ASGI application; its temporary folder is deleted when it ends.

    Raises:
        FileNotFoundError, NotWritableError, ValueError: the run has no model; the folder of clips
            cannot be taught; an invalid address for events.
        RuntimeError: a package that an address for events needs is not installed.
    """
    log = logging.getLogger(__name__)
    publishers = Publishers(
        settings.events or (),
        log.error,
        lambda name, problem: log.warning("%s: %s", name, problem or "online"),
    )
    trained = models.Models(settings)
    project = Project(settings.clips)
    jobs = Jobs()
    folder = Path(tempfile.mkdtemp(prefix="onlooker-page-"))
    looks = look.Looks(folder, settings, trained)
    teaching = teach.Teaching(project, looks, jobs)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        publishers.open([look.CAMERA])
        try:
            yield
        finally:
            publishers.close(_CLOSING)
            jobs.close()
            project.close()
            shutil.rmtree(folder, ignore_errors=True)

    # The generated documentation of FastAPI would load scripts from another server.
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.project = project
    app.state.folder = folder
    app.add_middleware(Guard, settings=settings)
    api = create_api(looks, jobs)
    for kind in (
        RequestValidationError,
        HTTPException,
        ClientDisconnect,
        Problem,
        ValueError,
        OSError,
        Exception,
    ):
        for application in (app, api):
            application.add_exception_handler(kind, _respond)
    app.mount(API, api)
    app.mount("/static", StaticFiles(directory=_FOLDER / "static"), name="static")

    templates = Jinja2Templates(_FOLDER / "templates")

    @app.get("/")
    def page(request: Request) -> Response:
        return templates.TemplateResponse(
            request, "page.html", {"texts": TEXTS, "version": onlooker.__version__}
        )

    @app.get("/api/state")
    def state() -> dict[str, Any]:
        return {
            "models": trained.describe(),
            "limits": {"bytes": settings.max_upload, "seconds": settings.max_seconds},
            "endings": sorted(SUFFIXES),
            "hidden": sorted(SYSTEM_FOLDERS),
        }

    @app.get("/api/jobs/{job_id}")
    async def job(job_id: str) -> dict[str, Any]:
        return jobs.get(job_id).describe()

    @app.delete("/api/jobs/{job_id}")
    async def cancel(job_id: str) -> dict[str, Any]:
        jobs.get(job_id).cancelled = True
        return jobs.get(job_id).describe()

    look.add_routes(app, looks, jobs, publishers=publishers)
    teach.add_routes(app, teaching)
    return app


def _respond(request: Request, error: Exception) -> Response:
    """The response to a request that raised this error, as a `Problem`."""
    return refusal(as_problem(error), request.headers.get("accept", ""))


def make_server(app: ASGIApp, settings: ServeSettings) -> uvicorn.Server:
    """The server of the page; `make_server(…).run([socket])` runs it on a socket that listens."""
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        backlog=2048,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        ws_max_size=2_000_000,
        timeout_graceful_shutdown=GRACE,
    )
    return uvicorn.Server(config)


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP protocol, with limits for connections whose next request header is not
    complete.

    Without them, whoever opens a thousand connections and sends nothing uses up the files that a
    process may open (usually 1,024), and nobody else is served. Somebody who sends the header at
    once is never among the oldest. uvicorn's own limits do not help: `limit_concurrency` refuses
    everybody while such connections are open, and `timeout_keep_alive` begins after a response.
    """

    # the one that has waited longest first
    _waiting: ClassVar[dict["PatientProtocol", asyncio.TimerHandle]] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif data:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self in self._waiting:
            return
        self._waiting[self] = self.loop.call_later(HEADER_SECONDS, self._give_up)
        if len(self._waiting) > MAX_WAITING:
            next(iter(self._waiting))._give_up()

    def _stop_waiting(self) -> None:
        if timer := self._waiting.pop(self, None):
            timer.cancel()

    def _give_up(self, *_: Any) -> None:
        self._stop_waiting()
        self.transport.abort()
