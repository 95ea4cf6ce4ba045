"""The routes of the page's tabs Teach and Correct."""

import logging
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Annotated, Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from onlooker.answer import NOTHING, nothing_class
from onlooker.files import explain_write_errors, printable
from onlooker.serve.background import Background
from onlooker.serve.correct import Guess, guess, inbox, map_points, results
from onlooker.serve.examples import draw_examples
from onlooker.serve.hints import Hints, Measured, measure
from onlooker.serve.jobs import Job
from onlooker.serve.media import file_response, make_playable, receive
from onlooker.serve.previews import Preview, Previews
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project, ProjectClip
from onlooker.serve.service import Service
from onlooker.serve.training import Training, map_file, newest_run, present_names, trained_clips
from onlooker.serve.translation import t
from onlooker.video.reader import SUFFIXES

__all__ = ["Teaching", "routes"]

_SURE = 0.5  # the margin from which on a prediction is a hint that a clip looks like another class
_PREVIEWS = 4  # threads that wait for previews; with many new clips, the other threads serve the rest of the page
_CACHED = {"Cache-Control": "private, max-age=3600"}

Label = Annotated[str, Query(alias="class")]
Batch = Annotated[str, Query(max_length=40)]
Target = Annotated[str, Body(alias="class", embed=True)]
Text = Annotated[str, Body(embed=True)]
Number = Annotated[float, Body(embed=True)]


class Teaching:
    """The project and what the page needs to teach it."""

    def __init__(self, project: Project, service: Service) -> None:
        self.project, self.service = project, service
        self.previews = Previews(project.store / "previews")
        self.measurements = Background(lambda clip, _: measure(self.previews, clip))
        self.guesses, self.hints = Background(self._guess), Hints()
        self.training = Training(project, service.settings.runs, self._load)
        self.job: Job | None = None  # of the training
        self._starting = Lock()

    def start(self) -> None:
        """Resume a training that was interrupted by the end of the last server."""
        self.previews.prune()
        if job_id := self.training.interrupted:
            self.job = self.service.jobs.start(self.training.run, job_id)

    def stop(self) -> None:
        """End what runs in the background."""
        self.measurements.stop()
        self.guesses.stop()
        self.training.stop()
        self.project.close()

    def describe(self) -> dict[str, Any]:
        """The whole project as plain values, for JSON."""
        project = self.project
        # The version first: one that is too old is safe, one that is too new is not.
        summary, classes = project.summary(), project.classes()
        measured = self.measurements.of(clips := [clip for of_class in classes.values() for clip in of_class])
        guesses, guessing = self.guess_new([clip for clip in clips if clip.id in measured])
        found = self.hints.of(classes, measured, _unlike(clips, guesses))
        codes = {clip: hint.code for hint in reversed(found) for clip in hint.clips}
        return {
            **summary,
            "classes": [
                {"name": printable(label), "clips": [_describe(clip, measured, codes) for clip in of_class]}
                for label, of_class in classes.items()
            ],
            "nothing": _nothing_name(classes),
            "hints": [asdict(hint) for hint in found],
            "measuring": len(clips) - len(measured),
            "guessing": guessing,
            "undo": project.undo_text and printable(project.undo_text),
            "redo": project.redo_text and printable(project.redo_text),
            "model": self.newest_model(),
            "training": self._describe_training(),
        }

    def newest_run(self) -> Path | None:
        """The newest run of the page."""
        return newest_run(self.project, self.service.settings.runs)

    def newest_model(self) -> str | None:
        """The id of the newest run's model."""
        return self.service.models.id_of(self.newest_run())

    def guess_new(self, clips: list[ProjectClip]) -> tuple[dict[str, Guess | None], int]:
        """The predictions of the newest model for clips that it was not trained with, and how many are missing.

        Classes that were renamed since have their present names.
        """
        run, model = self.newest_run(), self.newest_model()
        if run is None or model is None:
            return {}, 0
        trained = set(trained_clips(self.project, run).values())
        new = [clip for clip in clips if clip.id not in trained] if trained else []
        made, renamed = self.guesses.of(new, model), self._renamed()
        named = {clip: each and replace(each, label=renamed(each.label)) for clip, each in made.items()}
        return named, len(new) - len(made)

    def inbox(self) -> list[dict[str, Any]]:
        """The clips whose labels the user should confirm."""
        clips = [clip for clip in self.project.clips() if clip.id not in self.project.settled]
        run = self.newest_run()
        ids = {} if run is None else trained_clips(self.project, run)
        renamed = self._renamed()
        doubts = [asdict(doubt) for doubt in inbox(clips, run, ids, self.guess_new(clips)[0], renamed)]
        return [*self._unsure_looks(renamed), *doubts]

    def _renamed(self) -> Callable[[str], str]:
        """A function that returns the present name of a class of the newest model."""
        return str if (run := self.newest_run()) is None else present_names(self.project, run)

    def _unsure_looks(self, renamed: Callable[[str], str]) -> Iterator[dict[str, Any]]:
        """Clips and moments of cameras about which the newest model was unsure."""
        model = self.newest_model() or ""
        for look in self.service.looks.unsure(model):
            made = look.unsure[model]
            about = {"suggested": renamed(made.label), "score": made.score, "why": "camera" if look.camera else "look"}
            yield {"clip": None, "label": None, "look": look.id, "name": look.name, **about}

    def keep_look(self, look_id: str, label: str, version: int) -> dict[str, Any]:
        """Add a clip of the tab Look to the class that the user has given it."""
        look = self.service.looks.get(look_id)
        if not look.unsure:
            raise Problem(409, "look_labeled")
        file = self.service.folder / secrets.token_hex(8)
        with explain_write_errors("this clip", file.parent, "free some space, and try again"):
            shutil.copyfile(look.path, file)
        try:
            files, text = [(label, file, _clip_name(look.name))], t("change.add_clip", name=look.name, label=label)
            described = self.change(version, lambda: self.project.add_clips(files, text, settled=True))
        finally:
            file.unlink(missing_ok=True)
        look.unsure.clear()
        return described

    def results(self) -> dict[str, Any]:
        """The results of the newest run; a Problem 404 if there is none."""
        run = self._require_run()
        return results(run, trained_clips(self.project, run))

    def map(self) -> list[dict[str, Any]]:
        """The map of the newest run's clips; a Problem 404 if there is none."""
        run = self._require_run()
        return map_points(map_file(self.project, run), self.project.clips(), trained_clips(self.project, run))

    def _require_run(self) -> Path:
        if (run := self.newest_run()) is None:
            raise Problem(404, "no_results")
        return run

    def _load(self, run: Path) -> str | None:
        """Load the model of a run into memory, so that it can be used at once."""
        if model := self.service.models.id_of(run):
            self.service.models.load(model)
        return model

    def _guess(self, clip: ProjectClip, model: str) -> Guess | None:
        try:
            return guess(self.service.models.load(model), clip, self._renamed())
        except Problem:  # a model that was removed
            return None
        except Exception:  # the other clips are not affected
            logging.getLogger(__name__).exception("%s", clip.path)
            return None

    def change(self, version: int, make: Callable[[], object]) -> dict[str, Any]:
        """Change the project if it still has the version that the page has seen, and describe it."""
        with self.project.at(version):
            make()
        return self.describe()

    def add(self, label: str, file: Path, name: str, version: int | None = None, batch: str = "") -> dict[str, Any]:
        """Add a clip, after decoding all of it; the file is moved or removed.

        Args:
            version, batch: see `Project.add_clip`.
        """
        try:
            self.previews.of(file, self.service.settings.max_seconds)
            clip = self.project.add_clip(label, file, _clip_name(name), version, batch)
        finally:
            file.unlink(missing_ok=True)
        return {"clip": _describe(clip, {}, {})}

    def add_part(
        self, label: str, look_id: str, start: float, end: float, version: int | None = None
    ) -> dict[str, Any]:
        """Add a part of a clip that was looked at."""
        look = self.service.looks.get(look_id)
        if not 0 <= start < end:
            raise Problem(422, "bad_part", start=f"{start:.2f}", end=f"{end:.2f}")
        file = self.service.folder / f"{secrets.token_hex(8)}.mp4"
        make_playable(look.path, file, start=start, end=end)
        stem = Path(look.name).stem or "clip"
        return self.add(label, file, f"{stem}-{start:.1f}-{end:.1f}.mp4", version)

    def add_examples(self) -> dict[str, Any]:
        """Add generated clips of three actions and of the class nothing."""
        with TemporaryDirectory(dir=self.service.folder) as folder:
            drawn = draw_examples(Path(folder), _nothing_name(self.project.classes()))
            self.project.add_clips(drawn, t("change.add_examples"))
        return self.describe()

    def train(self) -> Job:
        """Begin to train; a Problem if a training runs already, or there are too few clips."""
        with self._starting:
            if self.job is not None and not self.job.finished:
                raise Problem(409, "training")
            self.training.check()
            self.project.hold()
            self.job = self.service.jobs.start(self.training.run)
            return self.job

    def _describe_training(self) -> dict[str, Any] | None:
        if self.job is None or self.job.finished:
            return None
        return {**self.service.jobs.describe(self.job), "job": self.job.id}


def _clip_name(name: str) -> str:
    """The name of a file, with the suffix of a video."""
    return name if Path(name).suffix.lower() in SUFFIXES else f"{name or 'clip'}.mp4"


def _describe(clip: ProjectClip, measured: dict[str, Measured], codes: dict[str, str]) -> dict[str, Any]:
    of = measured.get(clip.id)
    video = of.video if of else None
    facts = {"seconds": round(video.seconds, 3) if video else None, "frames": video.frames if video else None}
    return {"id": clip.id, "name": printable(clip.name), **facts, "hint": codes.get(clip.id)}


def _add_classes(routes: APIRouter, teaching: Teaching) -> None:
    project = teaching.project

    @routes.get("/api/project")
    def describe() -> dict[str, Any]:
        return teaching.describe()

    @routes.post("/api/project/classes")
    def add(name: Text, version: int) -> dict[str, Any]:
        return teaching.change(version, lambda: project.add_class(name))

    @routes.patch("/api/project/classes")
    def rename(name: Text, to: Text, version: int) -> dict[str, Any]:
        return teaching.change(version, lambda: project.rename_class(name, to))

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
    async def add(request: Request, label: Label, version: int | None = None, batch: Batch = "") -> dict[str, Any]:
        upload = await receive(request, service.folder, service.settings.max_upload)
        return await run_in_threadpool(teaching.add, label, upload.path, upload.name, version, batch)

    @routes.post("/api/project/segment")
    def add_part(label: Label, look: str, start: Number, end: Number, version: int | None = None) -> dict[str, Any]:
        return teaching.add_part(label, look, start, end, version)

    @routes.post("/api/project/examples")
    def add_examples() -> dict[str, Any]:
        return teaching.add_examples()

    @routes.post("/api/project/clips/{clip_id}/move")
    def move(clip_id: str, label: Target, version: int) -> dict[str, Any]:
        return teaching.change(version, lambda: project.move_clip(clip_id, label))

    @routes.delete("/api/project/clips/{clip_id}")
    def delete(clip_id: str, version: int) -> dict[str, Any]:
        return teaching.change(version, lambda: project.delete_clip(clip_id))

    previewing = CapacityLimiter(_PREVIEWS)

    def preview_of(clip_id: str) -> Preview:
        return teaching.previews.of(project.clip(clip_id).path)

    @routes.get("/media/clip/{clip_id}.mp4")
    async def preview(clip_id: str) -> FileResponse:
        made = await run_sync(preview_of, clip_id, limiter=previewing)
        return file_response(made.video, headers=_CACHED)

    @routes.get("/media/clip/{clip_id}.jpg")
    async def still(clip_id: str) -> FileResponse:
        made = await run_sync(preview_of, clip_id, limiter=previewing)
        return file_response(made.still, headers=_CACHED)

    @routes.get("/media/clip/{clip_id}/full.mp4")
    def full(clip_id: str) -> FileResponse:
        path = teaching.previews.full(project.clip(clip_id).path)
        return file_response(path, media_type="video/mp4", headers=_CACHED)


def _add_training(routes: APIRouter, teaching: Teaching) -> None:
    @routes.post("/api/project/train", status_code=202)
    def train() -> dict[str, str]:
        return {"job": teaching.train().id}


def _add_corrections(routes: APIRouter, teaching: Teaching) -> None:
    @routes.get("/api/project/results")
    def of_newest() -> dict[str, Any]:
        return teaching.results()

    @routes.get("/api/project/inbox")
    def doubts() -> dict[str, Any]:
        return {"items": teaching.inbox()}

    @routes.post("/api/project/inbox/{clip_id}")
    def answer(clip_id: str, label: Text, version: int) -> dict[str, Any]:
        return teaching.change(version, lambda: teaching.project.settle(clip_id, label))

    @routes.post("/api/project/inbox/look/{look_id}")
    def keep_look(look_id: str, label: Text, version: int) -> dict[str, Any]:
        return teaching.keep_look(look_id, label, version)

    @routes.get("/api/project/map")
    def places() -> dict[str, Any]:
        return {"points": teaching.map()}


def _nothing_name(classes: Iterable[str]) -> str:
    """The name of the class in which nothing happens; the first of several, which a hint asks to make one."""
    return next((name for name in classes if nothing_class([name]) is not None), NOTHING)


def _unlike(clips: list[ProjectClip], guesses: dict[str, Guess | None]) -> dict[str, str]:
    """For each clip that the newest model confidently assigns to another class than its own: that class."""
    labels = {clip.id: clip.label for clip in clips}
    made = {clip: each for clip, each in guesses.items() if each and each.margin > _SURE}
    return {clip: each.label for clip, each in made.items() if each.label != labels[clip]}


def routes(teaching: Teaching) -> APIRouter:
    """Everything of the tabs Teach and Correct."""
    router = APIRouter()
    for add in (_add_classes, _add_clips, _add_training, _add_corrections):
        add(router, teaching)
    return router
