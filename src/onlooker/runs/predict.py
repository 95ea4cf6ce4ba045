"""Predict clips with a trained run: a table, a JSON file, drawn clips.

Names of files and classes are printed as `Text`: rich would read `[final]` in a plain string as a style.
"""

import hashlib
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from onlooker.drawing.plots import timeline as draw_timeline
from onlooker.drawing.plots import to_png, to_svg
from onlooker.ensemble import Ensemble, load_any
from onlooker.files import printable, short_name, write_bytes
from onlooker.models.video_model import choose_device
from onlooker.processes import map_ahead
from onlooker.recognizer import Recognizer
from onlooker.runs.cluster import map_clips
from onlooker.runs.features import weights_digest
from onlooker.runs.results_file import ResultsFile
from onlooker.storage import path_or_address
from onlooker.structures import ClipError, Prediction
from onlooker.video.reader import is_video

_ROWS, _WIDTH = 100, 1000  # of a table: rows at once, columns if the output is no terminal
T = TypeVar("T")


def predict_clips(
    run: Path,
    clips: Sequence[Path],
    overlay: Path | None = None,
    json: Path | None = None,
    timeline: Path | None = None,
    frames: bool = False,
    threshold: float | None = None,
    ray: str | None = None,
) -> list[ClipError]:
    """Predict each clip and print one row per clip; continue after a clip that cannot be read.

    Memory does not depend on the number of clips. With `json`, the same call continues after a kill.

    Args:
        clips: each one is predicted once.
        overlay: file for the drawn clip; for several clips a folder, with one file per clip.
        json: file for all scores and attention (`ResultsFile`): `.jsonl` for one JSON object per line and clip.
        timeline: file for a plot of the probabilities over time, .png or .svg; for one clip.
        threshold: minimum probability of an event; below it, the answer is nothing. None: the threshold of the run.
        ray: the address of a Ray cluster that predicts (`cluster.map_clips`); None: this process does.

    Returns:
        An error for each clip that could not be read, or whose drawing could not be written.

    Raises:
        ValueError: `overlay` names a file but there are several clips, a drawn clip would overwrite a clip, or
            `timeline` is not .png or .svg, or there are several clips, or `threshold` is no probability, or `json` has
            results of another model.
        DiskFullError, NotWritableError: `json` cannot be written.
    """
    if timeline and (len(clips) > 1 or timeline.suffix not in (".png", ".svg")):
        raise ValueError(f"--timeline {timeline}, {len(clips)} clips: expected a .png or .svg file, and one clip")
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}, expected a probability from 0 to 1")
    clips = list(dict.fromkeys(clips))
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH  # in a pipe, a row is one line
    recognizer, console = load_any(run), Console(file=sys.stdout, width=width)  # as it is now: `map_clips` redirects it
    with closing(ResultsFile(json, _digest(recognizer, threshold))) if json else nullcontext() as results:
        output = _Output(recognizer, _targets(clips, overlay) if overlay else {}, timeline, results)
        todo = [clip for clip in clips if not output.has(clip)]
        if len(todo) < len(clips):
            console.print(f"{len(clips) - len(todo)} of {len(clips)} clips were predicted before")
        with closing(_predict_here(recognizer, todo) if ray is None else _predict_on_cluster(run, todo, ray)) as found:
            for first in range(0, len(todo), _ROWS):
                part = with_progress(islice(found, _ROWS), "predicting", len(todo), first)
                predictions = [output.write(each) for each in _readable(part, threshold, output.errors)]
                _print(console, predictions, output.drawn, frames)
                output.drawn.clear()
        print_errors(output.errors)
        if results:
            results.finish(clips, output.errors)
    return output.errors


@dataclass
class _Output:
    """The files that predictions are written to; see `predict_clips`."""

    recognizer: Recognizer | Ensemble
    targets: dict[Path, Path]
    timeline: Path | None
    results: ResultsFile | None
    drawn: list[Path] = field(default_factory=list)
    errors: list[ClipError] = field(default_factory=list)

    def has(self, clip: Path) -> bool:
        """Whether an earlier call has written them."""
        drawn = clip not in self.targets or self.targets[clip].exists()
        plotted = self.timeline is None or self.timeline.exists()
        return self.results is not None and clip in self.results and drawn and plotted

    def write(self, prediction: Prediction) -> Prediction:
        clip, timeline = prediction.path, self.timeline
        with collecting(self.errors, clip):  # the prediction is printed even if it cannot be drawn
            if clip in self.targets:
                self.drawn.append(self.recognizer.overlay(clip, self.targets[clip], prediction))
            if timeline:
                figure = draw_timeline(prediction.times, prediction.frame_scores, prediction.classes)
                write_bytes(timeline, to_png(figure) if timeline.suffix == ".png" else to_svg(figure).encode())
        if self.results and clip not in self.results:  # last: a clip with a result is not drawn again
            self.results.add(clip, to_values(prediction))
        return prediction


def find_videos(paths: Sequence[Path]) -> list[Path]:
    """The clips among some paths, and those in folders of clips, at any depth; other paths as they are."""
    clips: list[Path] = []
    for path in paths:
        inside = sorted(filter(is_video, path.rglob("[!.]*"))) if os.path.isdir(path) and not is_video(path) else []
        clips += inside or [path]
    return clips


def _predict_here(recognizer: Recognizer | Ensemble, clips: Sequence[Path]) -> Generator[tuple[Path, Any]]:
    """Each clip and its prediction, or its error, as `map_clips`; threads decode the next clips meanwhile."""

    def read(clip: Path) -> Any:
        try:
            return recognizer.read(clip)
        except (OSError, ValueError) as error:
            return error

    with closing(map_ahead(read, clips)) as samples:
        for clip, read_ahead in zip(clips, samples, strict=True):
            result: Prediction | Exception
            try:
                result = read_ahead if isinstance(read_ahead, Exception) else recognizer.predict(clip, read_ahead)
            except (OSError, ValueError) as error:
                result = error
            yield clip, result


def _predict_on_cluster(run: Path, clips: Sequence[Path], address: str) -> Generator[tuple[Path, Any]]:
    return map_clips(partial(_predictor, load_any(run, "cpu")), clips, address)


def _predictor(recognizer: Recognizer | Ensemble) -> Callable[[Path], Prediction]:
    """In a worker: a function from a clip to its prediction."""
    for member in _members(recognizer):
        member.model.to(choose_device())
    return recognizer.predict


def _readable(
    results: Iterable[tuple[Path, Any]], threshold: float | None, errors: list[ClipError]
) -> Iterator[Prediction]:
    """The predictions among some results; errors of clips are added to `errors`."""
    for clip, result in results:
        if isinstance(result, Prediction):
            # On a cluster, paths are absolute.
            yield replace(result, path=clip, threshold=result.threshold if threshold is None else threshold)
        else:
            with collecting(errors, clip):
                raise result


def _digest(recognizer: Recognizer | Ensemble, threshold: float | None) -> str:
    """A digest of all that changes predictions."""
    weights = recognizer.weights if isinstance(recognizer, Ensemble) else ()
    parts = [
        (weights_digest(m.model), m.classes, m.data, m.aggregation, m.localization, m.temperature, m.threshold)
        for m in _members(recognizer)
    ]
    return hashlib.sha256(repr((parts, weights, threshold)).encode()).hexdigest()


def _members(recognizer: Recognizer | Ensemble) -> Sequence[Recognizer]:
    return recognizer.members if isinstance(recognizer, Ensemble) else [recognizer]


def with_progress(items: Iterable[T], title: str, total: int, done: int = 0) -> Iterable[T]:
    """Items with a progress bar on stderr that begins at `done` of `total`; without one for a single item."""
    console = Console(stderr=True)
    return track(items, title, total, done, console=console, disable=total == 1, transient=True)


@contextmanager
def collecting(errors: list[ClipError], clip: Path) -> Iterator[None]:
    """Add an error about a clip to others in place of raising it: the results of other clips are kept."""
    try:
        yield
    except ClipError as error:
        errors.append(error)
    except (OSError, ValueError) as error:
        errors.append(ClipError(clip, str(error), "the other clips are not affected"))


def print_errors(errors: Sequence[ClipError]) -> None:
    """Print one red line on stderr for each error."""
    for error in errors:
        Console(stderr=True).print(Text(f"error: {error}", style="red"), soft_wrap=True)


def _targets(clips: Sequence[Path], overlay: Path) -> dict[Path, Path]:
    """The file that each clip is drawn to: all different, and none of them a clip."""
    if overlay.suffix and len(clips) > 1:
        raise ValueError(f"--overlay {overlay} is one file for {len(clips)} clips; give a folder")
    if overlay.suffix and overlay.suffix.lower() not in (".mp4", ".gif"):
        raise ValueError(f"--overlay {overlay}: expected a folder, or a file .mp4 or .gif")
    targets = [overlay] if overlay.suffix else [overlay / f"{name}.mp4" for name in distinct_names(clips)]
    # The file itself is compared: a name may be a link, or differ only in case on a file system without cases.
    files = {(stat.st_dev, stat.st_ino) for clip in clips if (stat := _stat(clip))}
    for target in targets:
        if (stat := _stat(target)) and (stat.st_dev, stat.st_ino) in files:
            raise ValueError(f"{target}: the drawn clip would replace a clip; write it elsewhere")
    return dict(zip(clips, targets, strict=True))


def _stat(path: Path) -> os.stat_result | None:
    """None: there is no such file."""
    with suppress(OSError):
        return os.stat(path)
    return None


def distinct_names(clips: Sequence[Path]) -> list[str]:
    """Names of clips without suffix, each with as many of its folders as make all names differ, ignoring case.

    A name that is too long for a file system ends in a digest.

    Raises:
        ValueError: a clip is given twice.
    """
    paths = [Path(os.path.realpath(clip)) for clip in clips]
    stems = Counter(str(path.with_suffix("")).casefold() for path in paths)
    # Two clips in a folder may differ in the suffix alone.
    parts = [
        p.parts[1:] if stems[str(p.with_suffix("")).casefold()] > 1 else p.with_suffix("").parts[1:] for p in paths
    ]
    depth = [1] * len(clips)
    while True:
        names = ["-".join(of_clip[-n:]) for of_clip, n in zip(parts, depth, strict=True)]
        counts = Counter(name.casefold() for name in names)
        duplicates = [i for i, name in enumerate(names) if counts[name.casefold()] > 1]
        if not duplicates:
            return [short_name(name) for name in names]
        if all(depth[i] >= len(parts[i]) for i in duplicates):
            raise ValueError(f"{clips[duplicates[0]]}: given twice; give each clip once")
        for i in duplicates:
            depth[i] += 1


def to_values(prediction: Prediction) -> dict[str, Any]:
    """A prediction as plain values, for JSON."""
    arrays = ("times", "indices", "frame_scores", "attention", "evidence", "glimpses")
    values = {name: getattr(prediction, name) for name in arrays}
    points = None if prediction.points is None else prediction.points.tolist()
    return {
        "path": path_or_address(prediction.path),
        "label": prediction.label,
        "score": prediction.score,
        "scores": dict(zip(prediction.classes, prediction.scores.tolist(), strict=True)),
        "classes": list(prediction.classes),
        **{name: None if array is None else array.tolist() for name, array in values.items()},
        "points": points and [None if math.isnan(x) else [x, y] for x, y in points],  # JSON has no NaN
        "tubes": [
            {"label": tube.label, "score": tube.score, "frames": tube.frames.tolist(), "boxes": tube.boxes.tolist()}
            for tube in prediction.tubes
        ],
        "segments": [vars(segment) for segment in prediction.segments],
    }


def _print(console: Console, predictions: Sequence[Prediction], drawn: Sequence[Path], frames: bool) -> None:
    for path in drawn:
        console.print(Text(printable(f"drawn: {path}")), soft_wrap=True)
    if predictions:
        console.print(_clip_table(predictions))
    for prediction in predictions if frames else ():
        console.print(_frame_table(prediction))


def _clip_table(predictions: Sequence[Prediction]) -> Table:
    """One row per clip: class, runner-up, when and where."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("clip", overflow="fold")  # paths that are cut off look the same
    for column in ("class", "runner-up", "seconds"):
        table.add_column(column)
    if any(prediction.where for prediction in predictions):
        table.add_column("box:\nx1 y1 x2 y2")
    if predictions[0].threshold is not None:
        table.caption = f"an event needs a probability of {100 * predictions[0].threshold:.0f} %, else it is nothing"
        table.caption_justify = "left"
    for prediction in predictions:
        answers = [f"{label} {100 * score:.0f} %" for label, score in prediction.ranking[:2]]
        answers += [""] * (2 - len(answers))
        row = [path_or_address(prediction.path), *answers, prediction.when, prediction.where]
        table.add_row(*map(Text, map(printable, row[: len(table.columns)])))
    return table


def _frame_table(prediction: Prediction) -> Table:
    """One row per frame of the sample."""
    title = Text(printable(prediction.path.name), style="table.title")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("second", "frame"):
        table.add_column(column, justify="right")
    table.add_column("class")
    table.add_column("probability", justify="right")
    for step in prediction.steps:
        table.add_row(f"{step.time:.2f}", str(step.index), Text(printable(step.label)), f"{100 * step.score:.0f} %")
    return table
