"""The routes of the page's tabs Teach and Correct."""

import secrets
import shutil
from collections.abc import Container
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI, Query, Request
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from onlooker import Clip, TrainedRun
from onlooker.base.answer import (
    nothing_name,
    perhaps_nothing,
    require_one_nothing,
)
from onlooker.base.intervals import Times
from onlooker.base.text import printable
from onlooker.data.findings import FEW, Finding, label_findings
from onlooker.data.folder import RECORDINGS, is_hidden, recordings_of
from onlooker.data.split import divide_recordings
from onlooker.data.stick_figures import write_set
from onlooker.serve.jobs import Job, Jobs
from onlooker.serve.look import Look, Looks
from onlooker.serve.media import Previews, convert, receive
from onlooker.serve.models import find_model
from onlooker.serve.problem import Problem, t
from onlooker.serve.project import (
    MAX_RECORDING,
    TRASH,
    TRASH_DAYS,
    Project,
    clip_id,
    read_recordings,
)
from onlooker.serve.training import Training
from onlooker.video.reader import SUFFIXES

_CLIPS_PER_CLASS = 24  # that are shown until all are asked for
_CLASSES_PER_HINT = 5  # that are named
_DRAWN = ("bend", "jumping_jack", "wave")  # what figures do, for a first try without a camera
_DRAWN_CLIPS = 8  # of each
# A report loads nothing from elsewhere, and cannot send requests to the page, whoever made it.
_REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)
_CACHED = {"Cache-Control": "private, max-age=3600"}

Change = Literal[
    "add_class",
    "rename_class",
    "merge_class",
    "delete_class",
    "set_label",
    "set_recording",
    "delete_clip",
    "empty_trash",
    "undo",
]
Label = Annotated[str, Query(alias="class")]
Recording = Annotated[str, Query(max_length=MAX_RECORDING)]
Batch = Annotated[str, Query(max_length=40)]
Target = Annotated[str, Body(alias="class", embed=True)]
Text = Annotated[str, Body(embed=True)]
Seconds = Annotated[float, Body(embed=True, ge=0, allow_inf_nan=False)]


class Teaching:
    """The project and what the page needs to teach it."""

    def __init__(self, project: Project, looks: Looks, jobs: Jobs) -> None:
        self.project = project
        self.looks = looks
        self.jobs = jobs
        self.settings = looks.settings
        self.previews = Previews(project)
        self.previews.prune()
        self.training = Training(project, self.settings.runs, looks.models)
        self._checked: tuple[int, dict[str, str]] | None = None
        self._findings: list[str] = []

    def describe(self) -> dict[str, Any]:
        """The project with the last clips of each class as plain values, for JSON."""
        project = self.project
        job = self.training.job
        project.refresh()
        # in this order: a version that is too old is safe
        version = project.version
        counts = project.counts()
        model = (run := self.training.newest_run()) and find_model(run)
        files, size = project.trashed()
        return {
            "name": printable(project.folder.name),
            "path": printable(project.folder),
            "version": version,
            "classes": [
                {
                    "name": printable(name),
                    "count": count,
                    "clips": self.clips(name, _CLIPS_PER_CLASS),
                }
                for name, count in counts.items()
            ],
            "nothing": nothing_name([*counts]),
            "hints": [*map(printable, self._hints(counts))],
            "perhaps_nothing": [*map(printable, perhaps_nothing([*counts]))],
            "pace": project.notes.pace or None,
            "colors": [*map(printable, project.colors())],
            "undo": project.change_text(),
            "trash": {
                "folder": f"{printable(project.folder.name)}/{TRASH}",
                "files": files,
                "bytes": size,
                "days": TRASH_DAYS,
            },
            "quiet_seconds": project.quiet_seconds,
            "model": model and model.id,
            "training": job.id if job and self.training.is_running else None,
        }

    def clips(self, label: Label, number: int | None = None) -> list[dict[str, Any]]:
        """The clips of a class, the last ones first; `number` of them, if it is given."""
        return [clip.to_dict() for clip in self.project.clips(label)[:number]]

    def _hints(self, counts: dict[str, int]) -> list[str]:
        """Hints before training, the most important first."""
        hints = []
        deep = [
            label
            for label, count in counts.items()
            if not count
            and any(
                path.is_dir() and not is_hidden(path.name)
                for path in (self.project.folder / label).iterdir()
            )
        ]
        if deep:  # as of people: training reads them, the page does not
            hints.append(t("hint.folders", labels=", ".join(deep)))
        few = {label: FEW - count for label, count in counts.items() if count < FEW}
        more = [
            t("hint.more", count=count, label=label)
            for label, count in few.items()
            if label not in deep
        ]
        if more:
            hints.append(
                t("hint.record", more=", ".join([*more[:_CLASSES_PER_HINT], "…"][: len(more)]))
            )
        try:
            hints += self._label_findings(few)
            require_one_nothing([*counts])
            usual = nothing_name([*counts]) in counts or perhaps_nothing([*counts])
            if not usual and len(counts) > 1:
                hints.append(t("hint.no_nothing"))
        except ValueError as error:  # a folder made by hand
            hints.append(str(error))
        except Problem as problem:
            hints.append(problem.found)
        return hints

    def _label_findings(self, few: Container[str]) -> list[str]:
        """The findings of `check` about labels and recordings, for the clips as training divides
        them; kept until clips or recordings change.

        Args:
            few: classes with few clips: the page asks for more clips of these first, and then for
                other recordings.
        """
        recordings = self.project.recordings()
        present = self.project.version, recordings
        if present != self._checked:
            clips = [
                Clip(clip.path, clip.label, recordings.get(clip.relative))
                for clip in self.project.all_clips()
            ]
            findings = label_findings(divide_recordings(clips)) if clips else ()
            self._findings = [*filter(None, (_hint(finding, few) for finding in findings))]
            self._checked = present
        return self._findings

    def change(
        self, name: Change, version: int, values: Annotated[dict[str, str], Body()]
    ) -> dict[str, Any]:
        """Make a change of a project that still has the version that the page has seen
        (`Project.change`).
        """
        self.training.check_moving()
        self.project.change(name, values, version)
        return self.describe()

    def add(
        self,
        label: str,
        file: Path,
        name: str,
        *,
        batch: str = "",
        recording: str = "",
        cut_from: str = "",
        times: Times | None = None,
    ) -> dict[str, Any]:
        """Add a clip, after decoding all of it; the file, in `Project.incoming()`, is moved."""
        if Path(name).suffix.lower() not in SUFFIXES:
            name = f"{name or 'clip'}.mp4"
        if times is None:
            self.project.check_new(file)
        self.previews.make(clip_id(file.stat()), file, self.settings.max_seconds)
        clip = self.project.add_clip(
            label, file, name, batch=batch, recording=recording, cut_from=cut_from, times=times
        )
        return {"clip": clip.to_dict()}

    def add_quiet(self, file: Path) -> None:
        """Keep a recording in which none of the classes happens, after decoding all of it."""
        self.project.add_quiet(file, convert(file, self.settings.max_seconds).seconds)

    def add_example(
        self, look_id: str, label: Target, *, start: Seconds, end: Seconds
    ) -> dict[str, Any]:
        """Add an interval of a clip that was looked at, in seconds; all examples of one clip are of
        one recording.
        """
        look = self.looks.get(look_id)
        file = self.project.incoming() / f"{secrets.token_hex(8)}.mp4"
        convert(Path(f"{look.video}#t={start:.3f},{end:.3f}"), self.settings.max_seconds, copy=file)
        name = f"{Path(look.name).stem} {start:.1f}-{end:.1f}.mp4"
        self.project.keep_recording(look.video, look.recording)
        return self.add(label, file, name, cut_from=look.recording, times=(start, end))

    def examples(self, look_id: str) -> list[dict[str, Any]]:
        """The examples that were cut from a clip that was looked at, with their times."""
        return self.project.examples_of(self.looks.get(look_id).recording)

    def draw(self, job: Job) -> dict[str, Any]:
        """The work of a job: add clips of stick figures to an empty project; one undo removes all."""
        if counts := self.project.counts():
            raise Problem(409, "in_the_way", name=printable(next(iter(counts))))
        job.report("drawing figures")
        batch = secrets.token_hex(8)
        with TemporaryDirectory(dir=self.project.incoming()) as folder:
            drawn = write_set(Path(folder) / "drawn", _DRAWN_CLIPS, actions=_DRAWN)
            people = recordings_of(read_recordings(drawn / RECORDINGS))
            for clip, person in people.items():
                source = self.project.incoming() / f"{secrets.token_hex(8)}.mp4"
                (drawn / clip).rename(source)
                label, name = clip.split("/")
                self.add(label, source, name, batch=batch, recording=person)
        return {"clips": len(people)}

    def look_at(self, clip_id: str, model: str) -> Look:
        """Add a clip of the project to `Looks`, for a model, as if the browser had sent it."""
        copy = self.project.incoming() / f"{secrets.token_hex(8)}.mp4"
        shutil.copyfile(self.previews.playable(clip_id), copy)
        return self.looks.add(
            copy, self.project.clip(clip_id).name, self.looks.models.get(model).id
        )


def _hint(finding: Finding, few: Container[str]) -> str:
    """A finding in the words of the page; "" if it is about classes with few clips alone."""
    if not finding.counts:
        return f"{finding.found}; {finding.why}"
    labels = ", ".join(label for label in finding.counts if label not in few)
    one = finding.name == "one recording"
    return labels and t("hint.one_recording" if one else "hint.few_recordings", labels=labels)


def _file(path: Path, media_type: str) -> FileResponse:
    """A file as the response; an OSError, which is a Problem 404, if it was deleted meanwhile."""
    return FileResponse(path, media_type=media_type, headers=_CACHED, stat_result=path.stat())


def add_routes(app: FastAPI, teaching: Teaching) -> None:
    """Everything of the tabs Teach and Correct, and changes of models."""
    project = teaching.project
    training = teaching.training
    app.get("/api/project")(teaching.describe)
    app.post("/api/project/changes/{name}")(teaching.change)

    @app.get("/api/project/clips")
    def clips(label: Label) -> list[dict[str, Any]]:
        return teaching.clips(label)

    app.post("/api/look/{look_id}/examples")(teaching.add_example)
    app.get("/api/look/{look_id}/examples")(teaching.examples)
    app.get("/api/project/results")(training.results)
    app.get("/api/project/results/clips")(training.tested)
    app.get("/api/project/inbox")(training.to_check)
    _add_models(app, teaching)

    @app.get("/media/clip/{clip_id}.jpg")
    def still(clip_id: str) -> FileResponse:
        return _file(teaching.previews.still(clip_id), "image/jpeg")

    @app.get("/media/clip/{clip_id}.mp4")
    def playable(clip_id: str) -> FileResponse:
        return _file(teaching.previews.playable(clip_id), "video/mp4")

    @app.post("/api/project/clips/{clip_id}/look", status_code=202)
    async def look_at(clip_id: str, model: str) -> dict[str, str]:
        look = await run_in_threadpool(teaching.look_at, clip_id, model)
        return {"job": teaching.jobs.submit(partial(teaching.looks.work, look)).id}

    @app.post("/api/project/drawn", status_code=202)
    async def draw() -> dict[str, str]:
        return {"job": teaching.jobs.submit(teaching.draw, at_once=True).id}

    @app.post("/api/project/train", status_code=202)
    async def train() -> dict[str, str]:
        training.check_idle()
        training.job = teaching.jobs.submit(training.run, at_once=True)
        return {"job": training.job.id}

    @app.post("/api/project/clips")
    async def add_clip(
        request: Request,
        label: Label,
        *,
        batch: Batch = "",
        recording: Recording = "",
    ) -> dict[str, Any]:
        folder = await run_in_threadpool(project.incoming)
        async with receive(request, folder) as (file, name):
            return await run_in_threadpool(
                teaching.add, label, file, name, batch=batch, recording=recording
            )

    @app.post("/api/project/quiet")
    async def add_quiet(request: Request) -> dict[str, float]:
        folder = await run_in_threadpool(project.incoming)
        async with receive(request, folder) as (file, _):
            await run_in_threadpool(teaching.add_quiet, file)
        return {"seconds": project.quiet_seconds}

    @app.post("/api/project/recordings")
    async def read_list(request: Request) -> dict[str, str]:
        async with receive(request, teaching.looks.folder) as (file, _):
            return recordings_of(await run_in_threadpool(read_recordings, file))

    @app.get("/api/project/clips/{clip_id}/recording")
    def recording_of(clip_id: str) -> dict[str, Any]:
        clip = project.clip(clip_id)
        recordings = project.recordings()
        return {
            "recording": recordings.get(clip.relative, ""),
            "known": sorted({*recordings.values()}),
        }


def _add_models(app: FastAPI, teaching: Teaching) -> None:
    models = teaching.looks.models
    training = teaching.training

    @app.get("/media/model/{model_id}.html")
    def report(model_id: str) -> FileResponse:
        path = TrainedRun(models.get(model_id).run).report
        return FileResponse(
            path, headers={"Content-Security-Policy": _REPORT_POLICY}, stat_result=path.stat()
        )

    @app.get("/media/model/{model_id}.zip")
    def download(model_id: str) -> FileResponse:
        model = models.get(model_id)
        target = teaching.looks.folder / secrets.token_hex(8)
        # which is, unpacked, a run that every command reads
        file = Path(shutil.make_archive(str(target), "zip", model.folder.parent, model.folder.name))
        return FileResponse(
            file, filename=f"{model.run.name}.zip", background=BackgroundTask(file.unlink)
        )

    @app.patch("/api/models/{model_id}")
    def rename(model_id: str, name: Text) -> dict[str, Any]:
        training.check_idle()
        run, target = models.rename(model_id, name)
        if teaching.project.notes.run == run.name:
            teaching.project.remember(run=target.name)
        return teaching.describe()

    @app.delete("/api/models/{model_id}")
    def delete(model_id: str) -> dict[str, Any]:
        training.check_idle()
        models.delete(model_id)
        return teaching.describe()
