"""Predict clips with a trained run, here or on a cluster; `results` writes what is predicted."""

import hashlib
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from onlooker.base.parallel import map_ahead
from onlooker.base.progress import note, note_clips, tracked
from onlooker.base.records import UNUSUAL, ClipError, Prediction
from onlooker.data.array_cache import ArrayCache
from onlooker.data.folder import list_files, refuse_run
from onlooker.data.samples import Sample
from onlooker.formats.annotations import find_writer
from onlooker.models.video_model import choose_device
from onlooker.recognizer import Recognizer, load
from onlooker.run.cluster import map_clips
from onlooker.run.results import (
    BUDGETS,
    ResultsFile,
    add_budgets,
    attempt,
    drawn_files,
    write_files,
)
from onlooker.video.rates import RATE_NOTE
from onlooker.video.reader import is_video
from onlooker.video.sampling import Timing

BATCH = 100  # predictions that are reported at once
# times the time between frames in training; above it, short events fall between the frames of a
# clip
_MAX_FRAME_GAP = 4
_RECORDING = (
    "much longer than the clips of the training; these are classes of the whole, from {frames} frames; the default "
    "model, `onlooker train CLIPS`, finds each event"
)


def predict_clips(
    run: Path,
    clips: Sequence[Path],
    *,
    out: Path | None = None,
    json: Path | None = None,
    threshold: float | None = None,
    ray: str | None = None,
    times: Sequence[str] = (),
    on_predictions: Callable[[Sequence[Prediction]], None] | None = None,
) -> list[ClipError]:
    """Predict each clip; continue after a clip that cannot be read.

    Memory does not depend on the number of clips. With `json`, the same call continues after a
    kill, also within a recording (`Recognizer.predict`).

    Args:
        clips: each one is predicted once.
        out: a folder that receives, for each clip, NAME.mp4 with attention, boxes, class and a bar
            of time; NAME.json, what happens, where and when, as the API of the page has it; and
            NAME-segments.json, times in ActivityNet's format. NAME is the name of the clip, after
            as many of its folders as are needed to distinguish the clips.
        json: file for all scores and attention, one JSON object per line and clip.
        threshold: the lowest score of an event, in clips and in recordings (`Recognizer.predict`);
            below it, the answer is nothing. None: as trained.
        ray: the address of a Ray cluster that predicts (`cluster.map_clips`); None: predict in this
            process.
        times: formats (`annotations.FORMATS`) in which times are also written to `out`.
        on_predictions: called with the predictions of each hundred clips, without their maps,
            between progress bars.

    Returns:
        An error for each clip that could not be read, or whose files could not be written.

    Raises:
        FileExistsError: a file in `out` would be replaced that is not of an earlier prediction.
        ValueError: `threshold` is no probability, or `json` has results of another model.
        DiskFullError, NotWritableError: `out` or `json` cannot be written to.
    """
    if times and not out:
        raise ValueError("--times without --out; give --out, the folder for the files")
    formats = dict(find_writer(Path("times"), name) for name in ("activitynet", *times))
    clips = list(dict.fromkeys(clips))
    recognizer = load(run, "cpu" if ray else "auto")
    cache = ArrayCache.for_user() if json else None
    recognizer.decision.with_threshold(threshold)  # refuses one that is no probability
    drawn = drawn_files(clips, out, formats) if out else {}
    if out:
        add_budgets(out / BUDGETS, recognizer.decision, [])  # refuses another file
    errors = list[ClipError]()
    with (
        closing(ResultsFile(json, _digest(recognizer, threshold), clips))
        if json
        else nullcontext() as results
    ):
        todo = [
            clip
            for clip in clips
            if results is None
            or clip not in results
            or (clip in drawn and not drawn[clip].exists())
        ]
        if len(todo) < len(clips):
            note(f"{len(clips) - len(todo)} of {len(clips)} clips were predicted before")
        with closing(_predict(recognizer, todo, threshold, ray=ray, cache=cache)) as predicted:
            for start in range(0, len(todo), BATCH):
                predictions = list[Prediction]()
                for clip, result in tracked(
                    islice(predicted, BATCH), "predicting clips", len(todo), done=start
                ):
                    if isinstance(result, ClipError):
                        errors.append(result)
                        continue
                    # maps of a hundred recordings of an hour would fill the memory
                    predictions.append(replace(result, attention=None, heat=None))
                    if clip in drawn:
                        error = attempt(write_files, clip, drawn[clip], result, formats=formats)
                        errors += [error] if error else []
                    # last: a clip with a result is not drawn again
                    if results is not None and clip not in results:
                        results.add(clip, result.to_arrays())
                if out:
                    add_budgets(out / BUDGETS, recognizer.decision, predictions)
                if predictions and on_predictions:
                    on_predictions(predictions)
                _note_times(predictions, recognizer)
    return errors


def _note_times(predictions: Sequence[Prediction], recognizer: Recognizer) -> None:
    """Name the clips whose seconds are assumed, or whose frames are so much farther apart than in
    training that events fall between them.
    """
    rate = recognizer.decision.frame_rate
    if rate and not recognizer.model.lengths:
        longest = _MAX_FRAME_GAP / rate
        far = [
            prediction.path
            for prediction in predictions
            if np.diff(prediction.times, append=prediction.times[-1]).max() > longest
        ]
        note_clips(far, _RECORDING.format(frames=recognizer.data.frames))
    assumed = [prediction.path for prediction in predictions if prediction.assumes_rate]
    note_clips(assumed, RATE_NOTE)
    note_clips([prediction.path for prediction in predictions if prediction.unusual], UNUSUAL)
    for prediction in predictions:
        if prediction.pauses:
            note_clips([prediction.path], prediction.pauses_text)


def find_videos(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The clips among some paths, with the clips in folders at any depth; and the other files in
    these folders.

    Paths that are not folders of clips count as clips, as do links whose targets do not exist.
    """
    clips = list[Path]()
    ignored = list[Path]()
    for path in paths:
        refuse_run(path)
        videos, files = list_files(path) if os.path.isdir(path) and not is_video(path) else ([], [])
        links = [file for file in files if file.is_symlink() and not file.exists()]
        clips += [*videos, *links] or [path]
        ignored += [file for file in files if file not in links]
    return clips, ignored


def _predict(
    recognizer: Recognizer,
    clips: Sequence[Path],
    threshold: float | None,
    *,
    ray: str | None,
    cache: ArrayCache | None,
) -> Generator[tuple[Path, Prediction | ClipError]]:
    """Each clip with its prediction, or its error, in the order in which they are ready."""
    start = partial(_predictor, recognizer, threshold)
    predict = partial(recognizer.predict, threshold=threshold, cache=cache)
    with closing(
        map_clips(start, clips, ray) if ray else _predict_here(recognizer, clips, predict)
    ) as predicted:
        for clip, result in predicted:
            if isinstance(result, ClipError):  # its path may be of a file within the clip
                yield clip, ClipError(clip, result.found, result.remedy)
            else:  # on a cluster, its path is absolute
                yield clip, replace(result, path=clip)


def _predict_here(
    recognizer: Recognizer,
    clips: Sequence[Path],
    predict: Callable[[Path, Sample | Timing], Prediction],
) -> Generator[tuple[Path, Prediction | ClipError]]:
    """As `map_clips`, in this process; threads decode the next clips meanwhile."""
    with closing(map_ahead(partial(attempt, recognizer.read_ahead), clips)) as samples:
        for clip, sample in zip(clips, samples, strict=True):
            if isinstance(sample, ClipError):
                yield clip, sample
            else:
                yield clip, attempt(predict, clip, sample)


def _predictor(
    recognizer: Recognizer, threshold: float | None
) -> Callable[[Path], Prediction | ClipError]:
    """In a worker: a function from a clip to its prediction, or its error."""
    recognizer.model.to(choose_device())
    return partial(attempt, recognizer.predict, threshold=threshold)


def _digest(recognizer: Recognizer, threshold: float | None) -> str:
    """A digest of all that changes predictions."""
    settings = (recognizer.data.to_dict(), recognizer.decision.to_dict(), threshold)
    return hashlib.sha256(repr((recognizer.model.digest, *settings)).encode()).hexdigest()
