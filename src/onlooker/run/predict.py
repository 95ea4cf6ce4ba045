"""Predict clips with a trained run: a file of JSON lines, and for each clip boxes, times and a
drawn clip.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np

from onlooker.base.files import check_writable, read_json, write_json
from onlooker.base.intervals import as_cut, file_of
from onlooker.base.parallel import map_ahead
from onlooker.base.progress import note, note_clips, tracked
from onlooker.base.records import ClipError, Prediction
from onlooker.base.text import short_name
from onlooker.data.folder import list_files, refuse_run
from onlooker.formats.annotations import Writer, find_writer, of_prediction
from onlooker.models.video_model import choose_device
from onlooker.recognizer import Recognizer, check_threshold, load
from onlooker.report.overlay import write_drawn
from onlooker.run.cluster import map_clips
from onlooker.run.features import weights_digest
from onlooker.run.results import ResultsFile
from onlooker.video.rates import RATE_NOTE
from onlooker.video.reader import is_video

BATCH = 100  # predictions that are reported at once
# times the time between frames in training; above it, short events fall between the frames of a
# clip
_LONG = 4
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
    kill.

    Args:
        clips: each one is predicted once.
        out: a folder that receives, for each clip, NAME.mp4 with attention, boxes, class and a bar
            of time; NAME.json, what happens, where and when, as the API of the page has it; and
            NAME-segments.json, times in ActivityNet's format. NAME is the name of the clip, after
            as many of its folders as are needed to distinguish the clips.
        json: file for all scores and attention, one JSON object per line and clip.
        threshold: the lowest score of an event, in clips and in recordings (`Recognizer.predict`);
            below it, the answer is nothing. None: those of the run.
        ray: the address of a Ray cluster that predicts (`cluster.map_clips`); None: this process
        does.
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
    check_threshold(threshold)
    if times and not out:
        raise ValueError("--times without --out; give --out, the folder for the files")
    writers = dict(find_writer(Path("times"), name) for name in ("activitynet", *times))
    clips = list(dict.fromkeys(clips))
    targets = _targets(clips, out, writers) if out else {}
    recognizer = load(run, "cpu" if ray else "auto")
    errors = list[ClipError]()
    with (
        closing(ResultsFile(json, _digest(recognizer, threshold), clips))
        if json
        else nullcontext() as results
    ):
        done = {clip for clip in clips if results and clip in results}
        done -= {clip for clip, target in targets.items() if not target.exists()}
        todo = [clip for clip in clips if clip not in done]
        if done:
            note(f"{len(done)} of {len(clips)} clips were predicted before")
        work = partial(_predictor, recognizer, threshold)
        with closing(
            map_clips(work, todo, ray) if ray else _predict_here(recognizer, todo, threshold)
        ) as predicted:
            for first in range(0, len(todo), BATCH):
                predictions = list[Prediction]()
                for clip, result in tracked(
                    islice(predicted, BATCH), "predicting clips", len(todo), done=first
                ):
                    if isinstance(result, ClipError):
                        errors.append(ClipError(clip, result.found, result.remedy))
                        continue
                    prediction = replace(result, path=clip)  # absolute from a cluster
                    # maps of a hundred recordings of an hour would fill the memory
                    predictions.append(replace(prediction, attention=None, heat=None))
                    if clip in targets:
                        problem = _attempt(
                            _write_files, clip, targets[clip], prediction, writers=writers
                        )
                        errors += [problem] if problem else []
                    # last: a clip with a result is not drawn again
                    if results and clip not in results:
                        results.add(clip, prediction.to_dict())
                if predictions and on_predictions:
                    on_predictions(predictions)
                _note_times(predictions, recognizer)
    return errors


def _note_times(predictions: Sequence[Prediction], recognizer: Recognizer) -> None:
    """Name the clips whose seconds are assumed, or whose frames are so much farther apart than in
    training that events fall between them.
    """
    if recognizer.frame_rate and not recognizer.model.lengths:
        longest = _LONG / recognizer.frame_rate
        far = [
            prediction.path
            for prediction in predictions
            if np.diff(prediction.times, append=prediction.times[-1]).max() > longest
        ]
        note_clips(far, _RECORDING.format(frames=recognizer.data.frames))
    assumed = [prediction.path for prediction in predictions if prediction.assumes_rate]
    note_clips(assumed, RATE_NOTE)


def find_videos(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The clips among some paths, and those in folders of clips, at any depth; and the other files
    there.

    Paths that are no folders of clips are returned as they are, like links to clips that do not
    exist.
    """
    clips = list[Path]()
    others = list[Path]()
    for path in paths:
        refuse_run(path)
        inside = list_files(path) if os.path.isdir(path) and not is_video(path) else ([], [])
        links = [other for other in inside[1] if other.is_symlink() and not other.exists()]
        clips += [*inside[0], *links] or [path]
        others += [other for other in inside[1] if other not in links]
    return clips, others


Given = ParamSpec("Given")
Result = TypeVar("Result")


def _attempt(
    function: Callable[Concatenate[Path, Given], Result],
    clip: Path,
    *given: Given.args,
    **settings: Given.kwargs,
) -> Result | ClipError:
    """What a function returns for a clip, or the error: the results of other clips are kept."""
    try:
        return function(clip, *given, **settings)
    except (OSError, ValueError) as error:
        return (
            error
            if isinstance(error, ClipError)
            else ClipError(clip, str(error), "the others are not affected")
        )


def _predict_here(
    recognizer: Recognizer, clips: Sequence[Path], threshold: float | None
) -> Generator[tuple[Path, Prediction | ClipError]]:
    """Each clip and its prediction, or its error, as `map_clips`; threads decode the next clips
    meanwhile.
    """
    with closing(map_ahead(partial(_attempt, recognizer.read_ahead), clips)) as samples:
        for clip, sample in zip(clips, samples, strict=True):
            yield (
                clip,
                sample
                if isinstance(sample, ClipError)
                else _attempt(recognizer.predict, clip, sample, threshold=threshold),
            )


def _predictor(
    recognizer: Recognizer, threshold: float | None
) -> Callable[[Path], Prediction | ClipError]:
    """In a worker: a function from a clip to its prediction, or its error."""
    recognizer.model.to(choose_device())
    return partial(_attempt, recognizer.predict, threshold=threshold)


def _digest(recognizer: Recognizer, threshold: float | None) -> str:
    """A digest of all that changes predictions."""
    of = recognizer
    # without what is not set, as in earlier versions
    extra = [value for value in (of.nothing, threshold) if value is not None]
    parts = (
        of.classes,
        of.data,
        of.aggregation,
        of.temperature,
        of.threshold,
        of.curve,
        of.clip_seconds,
        *extra,
    )
    return hashlib.sha256(repr((weights_digest(of.model), *parts)).encode()).hexdigest()


def _targets(clips: Sequence[Path], out: Path, endings: Iterable[str]) -> dict[Path, Path]:
    """The file that each clip is drawn to, beside files with these endings. Only files of an
    earlier prediction may be replaced.
    """
    targets = [out / f"{name}.mp4" for name in distinct_names(clips)]
    given = {os.path.realpath(file_of(clip)) for clip in clips}
    for target in targets:
        is_earlier = _holds_boxes(target.with_suffix(".json"))
        names = [f"{target.stem}{ending}" for ending in (".mp4", ".json", *endings)]
        for file in map(target.with_name, names):
            if file.exists() and (os.path.realpath(file) in given or not is_earlier):
                raise FileExistsError(
                    f"{file}: exists, and is not of an earlier prediction; choose another --out"
                )
    check_writable(out)
    return dict(zip(clips, targets, strict=True))


def _holds_boxes(path: Path) -> bool:
    """Whether `_write_files` wrote this file."""
    with suppress(OSError, ValueError):
        return {"tubes", "segments"} <= {*read_json(path)}
    return False


def _write_files(
    clip: Path, target: Path, prediction: Prediction, *, writers: Mapping[str, Writer]
) -> None:
    """Write boxes and times, then the drawn clip: where that exists, the others do too."""
    values = prediction.to_dict()
    boxes = {name: values[name] for name in ("label", "score", "scores", "tubes", "segments")}
    write_json(target.with_name(f"{target.stem}.json"), boxes)
    for ending, write in writers.items():
        write(target.with_name(f"{target.stem}{ending}"), of_prediction(prediction), None)
    write_drawn(clip, target, prediction, replace=True)


def distinct_names(clips: Sequence[Path]) -> list[str]:
    """Names of clips without suffix; those that are equal, ignoring case, are preceded by their
    folders.

    If these are still equal, all are preceded by their numbers. A name that is too long for a file
    system ends in a digest.

    Raises:
        ValueError: a clip is given twice.
    """
    paths = [as_cut(Path(os.path.realpath(clip))) for clip in clips]
    if len(set(paths)) < len(paths):
        raise ValueError(
            f"{next(path for path in paths if paths.count(path) > 1)}: given twice; give each clip once"
        )
    stems = Counter(path.stem.casefold() for path in paths)
    same = {path for path in paths if stems[path.stem.casefold()] > 1}
    root = os.path.commonpath([path.parent for path in same]) if same else ""
    names = [
        "-".join(path.with_suffix("").relative_to(root).parts) if path in same else path.stem
        for path in paths
    ]
    if len({name.casefold() for name in names}) < len(names):
        names = [f"{number}-{name}" for number, name in enumerate(names)]
    return [short_name(name) for name in names]
