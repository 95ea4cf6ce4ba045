"""Looking at a clip: the predictions of models at every moment of it, as the page shows them.

A clip is kept until half an hour after it was received, or until the server ends.
"""

import logging
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from time import monotonic, strftime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.answer import nothing_name
from onlooker.drawing.overlay import full_strength
from onlooker.recognizer import Recognizer
from onlooker.runs.predict import to_values
from onlooker.serve.correct import Guess, is_unsure, read_guess
from onlooker.serve.examples import draw_example, example_label
from onlooker.serve.jobs import MAX_WAITING, Job
from onlooker.serve.media import Upload, convert
from onlooker.serve.models import Models
from onlooker.serve.moments import Moment
from onlooker.serve.problem import Problem
from onlooker.serve.settings import ServeSettings
from onlooker.streaming import join_steps
from onlooker.structures import Prediction, Step
from onlooker.video.transcode import Copy, VideoFacts
from onlooker.video.write import write

__all__ = ["Look", "Looks"]

SECONDS_KEPT = 1800.0
_MAX_KEPT = 2 * MAX_WAITING  # clips; of more, the oldest is deleted, which no longer waits
_MAX_MOMENTS = 6  # moments of cameras that are kept
_MAX_BYTES = 8e9  # of all clips that no longer wait; above it, the oldest is deleted
_LONG = 1.5  # a clip this many times as long as training clips is a recording of several events
_SHOWN_SCORE = 0.3  # minimum for boxes and segments
_PLAYED_SIDE = 1280


@dataclass(eq=False)
class Look:
    """A clip that was looked at.

    Args:
        path: the clip as it was received.
        video: what the page plays: the clip itself, or a copy.
        action: for an example, what is drawn into `path` before it is looked at.
        predictions: by the ids of the models.
        unsure: the prediction of the project's newest model, by its id, if it was unsure; removed when the user has
            labeled the clip.
        camera: whether it is a moment of the live view.
        done: whether all models have answered.
        since: the time at which it was received, on the monotonic clock.
    """

    id: str
    name: str
    path: Path
    video: Path
    action: str | None = None
    facts: VideoFacts | None = None
    predictions: dict[str, Prediction] = field(default_factory=dict)
    unsure: dict[str, Guess] = field(default_factory=dict)
    camera: bool = False
    done: bool = False
    since: float = field(default_factory=monotonic)


class Looks:
    """The clips that were looked at, in a temporary folder.

    Args:
        newest: returns the id of the project's newest model; the user is asked about clips that leave it unsure.
    """

    def __init__(self, folder: Path, settings: ServeSettings, models: Models, newest: Callable[[], str | None]) -> None:
        self.folder, self.settings, self.models, self.newest = folder / "looks", settings, models, newest
        self._looks: dict[str, Look] = {}
        self._lock, self._drawing = Lock(), Lock()

    def add(self, upload: Upload) -> Look:
        """Keep a clip that was received."""
        look = self._new(upload.name or "clip")
        upload.path.replace(look.path)
        return look

    def keep(self, moment: Moment, model: str) -> None:
        """Keep a moment of a camera about which the newest model was unsure; only the newest moments are kept."""
        if model != self.newest():
            return
        look = self._new(strftime("%H:%M:%S"))
        try:
            write(look.path.with_suffix(".mp4"), moment.pixels(), moment.rate).replace(look.path)
        except Exception:  # a full disk, or the server ends: the live view continues
            logging.getLogger(__name__).warning("a moment of the camera was not kept", exc_info=True)
            self.delete(look.id)
            return
        look.camera, look.done, look.unsure = True, True, {model: moment.guess}
        with self._lock:
            moments = [each.id for each in self._looks.values() if each.camera]
        for late in moments[:-_MAX_MOMENTS]:
            self.delete(late)

    def example(self, name: str) -> Look:
        """A clip that will be drawn when it is looked at; a Problem 404 for an unknown name."""
        look = self._new(example_label(name))
        look.action = name
        return look

    def get(self, look_id: str) -> Look:
        """The clip with this id; a Problem 404 if it was deleted."""
        self.sweep()
        with self._lock:
            if look := self._looks.get(look_id):
                return look
        raise Problem(404, "look_gone")

    def unsure(self, model: str) -> list[Look]:
        """The clips about which a model was unsure, the newest first."""
        self.sweep()
        with self._lock:
            return [look for look in reversed(self._looks.values()) if model in look.unsure]

    def delete(self, look_id: str) -> None:
        """Delete a clip and everything made of it."""
        with self._lock:
            look = self._looks.pop(look_id, None)
        if look:
            shutil.rmtree(look.path.parent, ignore_errors=True)

    def sweep(self) -> None:
        """Delete clips that are too old, or too many, or too large together."""
        with self._lock:
            oldest = sorted(self._looks.values(), key=lambda look: look.since)
        late = [look for look in oldest if monotonic() - look.since > SECONDS_KEPT]
        done = [look for look in oldest if look.done]
        size, many = sum(map(_size, done)), []
        for look in done[:-1]:
            if size > _MAX_BYTES:
                many.append(look)
                size -= _size(look)
        for look in {*late, *many, *oldest[: max(0, len(oldest) - _MAX_KEPT)]}:
            self.delete(look.id)

    def work(self, look: Look, models: Sequence[str]) -> Callable[[Job], dict[str, Any]]:
        """The job that predicts a clip with some models; a clip that fails is deleted."""

        def run(job: Job) -> dict[str, Any]:
            try:
                if look.action:
                    job.report("drawing")
                    draw_example(look.action, look.path)
                job.report("checking")
                look.facts = self._prepare(look, job)
                answers = [self._answer(look, model, job) for model in models]
                look.done = True
                return {**describe(look), "answers": answers}
            except BaseException:
                self.delete(look.id)
                raise

        return run

    def overlay(self, look: Look, model: str) -> Path:
        """The clip with the predictions of a model drawn on it, made on first use; a Problem 404 for another model."""
        if model not in look.predictions:
            raise Problem(404, "not_looked")
        out = look.path.parent / f"{model}-overlay.mp4"
        with self._drawing:
            if not out.exists():
                self.models.load(model).overlay(look.video, out, look.predictions[model])
        return out

    def _new(self, name: str) -> Look:
        self.sweep()
        look_id = secrets.token_hex(8)
        folder = self.folder / look_id
        folder.mkdir(parents=True)
        look = Look(look_id, name, folder / "clip", folder / "clip")
        with self._lock:
            self._looks[look_id] = look
        return look

    def _prepare(self, look: Look, job: Job) -> VideoFacts:
        """Check the clip by decoding all of it, and copy it if browsers do not play it."""
        limit = self.settings.max_seconds
        facts = convert(look.path, max_seconds=limit, on_facts=lambda _: job.check())
        if facts.playable:
            return facts
        copy = look.path.parent / "copy.mp4"
        progress = _progress(job, "preparing", facts.seconds)
        convert(look.path, [Copy(copy, _PLAYED_SIDE)], None, limit, lambda now: progress(now.seconds))
        look.video = copy
        return facts

    def _answer(self, look: Look, model_id: str, job: Job) -> dict[str, Any]:
        assert look.facts
        job.report("looking")
        recognizer = self.models.load(model_id)
        recording = is_recording(recognizer, look.facts.seconds)
        if recording:
            progress = _progress(job, "looking", look.facts.seconds)
            prediction = join_steps(look.video, _reported(recognizer.watch(look.video), progress))
            labels = _labels_of_segments(prediction)
        else:
            prediction = recognizer.predict(look.path)
            labels = [step.label for step in prediction.steps]
        look.predictions[model_id] = prediction
        asked = look.action is None and not recording and model_id == self.newest()
        if asked and is_unsure(prediction):
            look.unsure[model_id] = read_guess(prediction)
        return {"model": model_id, "unsure": model_id in look.unsure, **answer(prediction, labels)}


def _size(look: Look) -> int:
    """Bytes of a clip and of the files made from it."""
    with suppress(OSError):  # deleted meanwhile
        return sum(file.stat().st_size for file in look.path.parent.glob("*"))
    return 0


def describe(look: Look) -> dict[str, Any]:
    """A clip for the page, as plain values."""
    if look.facts is None:
        raise Problem(409, "look_waits")
    facts = {name: getattr(look.facts, name) for name in ("seconds", "width", "height", "frames")}
    video = f"/media/{look.id}.mp4"
    return {"id": look.id, "name": look.name, "video": video, "frames_per_second": look.facts.rate, **facts}


def is_recording(recognizer: Recognizer, seconds: float) -> bool:
    """Whether a clip is so much longer than training clips that the model processes it as a stream."""
    if not (recognizer.frame_rate and recognizer.model.streams):
        return False
    return seconds > _LONG * recognizer.data.frames / recognizer.frame_rate


def answer(prediction: Prediction, labels: Sequence[str]) -> dict[str, Any]:
    """A prediction for the page: points and boxes as shares of the frame, attention as shares of its highest weight."""
    attention = prediction.attention
    scale = 1.0 if attention is None else full_strength(attention)
    return {
        "classes": list(prediction.classes),
        "label": prediction.label,
        "nothing": nothing_name(prediction.classes),
        "score": prediction.score,
        "threshold": prediction.threshold,
        "ranking": [[name, round(score, 4)] for name, score in prediction.ranking],
        "times": np.round(prediction.times, 4).tolist(),
        "scores": np.round(prediction.frame_scores.astype(float), 4).tolist(),
        "labels": list(labels),
        "attention": None if attention is None else to_levels(attention, scale),
        "points": _points(prediction),
        "boxes": _boxes(prediction),
        "segments": [vars(each) for each in prediction.segments if _is_shown(prediction, each.label, each.score)],
    }


def to_levels(attention: NDArray[np.float32], scale: float) -> list[Any]:
    """Attention as shares, from 0 to 1, of the weight that is drawn at full strength."""
    levels: list[Any] = np.round(np.clip(attention.astype(float) / scale, 0, 1), 3).tolist()
    return levels


def full_answer(look: Look) -> dict[str, Any]:
    """Everything that is known about a clip, for a file; as `onlooker predict --json`."""
    return {
        **describe(look),
        "predictions": [{**to_values(each), "path": look.name} for each in look.predictions.values()],
    }


def _shares(places: NDArray[np.floating], prediction: Prediction) -> list[list[float]]:
    """Points `T 2` or boxes `T 4` in pixels, as shares of the frame's width and height."""
    height, width = prediction.size or (1, 1)
    shares: list[list[float]] = np.round(places / np.tile([width, height], places.shape[1] // 2), 4).tolist()
    return shares


def _points(prediction: Prediction) -> list[list[float] | None]:
    if prediction.points is None:
        return [None] * len(prediction.times)
    return [None if np.isnan(x) else [x, y] for x, y in _shares(prediction.points, prediction)]


def _boxes(prediction: Prediction) -> list[dict[str, Any]]:
    """The boxes of the tubes that are shown, each at a frame of the prediction."""
    position = {int(index): t for t, index in reversed(list(enumerate(prediction.indices)))}
    return [
        {"t": position[int(index)], "corners": corners, "label": tube.label, "score": round(tube.score, 4)}
        for tube in prediction.tubes
        if _is_shown(prediction, tube.label, tube.score)
        for index, corners in zip(tube.frames, _shares(tube.boxes, prediction), strict=True)
        if int(index) in position
    ]


def _is_shown(prediction: Prediction, label: str, score: float) -> bool:
    if label == nothing_name(prediction.classes):
        return False
    return label == prediction.label or score >= _SHOWN_SCORE


def _labels_of_segments(prediction: Prediction) -> list[str]:
    """The event at each frame of a recording; nothing between the segments."""
    labels = [nothing_name(prediction.classes)] * len(prediction.times)
    for segment in prediction.segments:
        for t in np.flatnonzero((prediction.times >= segment.start) & (prediction.times < segment.end)):
            labels[t] = segment.label
    return labels


def _progress(job: Job, note: str, seconds: float) -> Callable[[float], None]:
    return lambda now: job.report(note, min(1.0, now / seconds) if seconds else None)


def _reported(steps: Iterator[Step], progress: Callable[[float], None]) -> Iterator[Step]:
    for step in steps:
        progress(step.time)
        yield step
