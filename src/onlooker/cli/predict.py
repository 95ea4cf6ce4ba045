"""The commands that use a trained run, `convert` and `models`. They check options and print results;
the library does the work.

Names of files and classes are printed as `Text`: rich would read `[final]` in a plain string as a
style.
"""

import functools
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onlooker.base.config import StreamConfig
from onlooker.base.files import read_json
from onlooker.base.intervals import file_of
from onlooker.base.progress import note
from onlooker.base.text import printable
from onlooker.cli.command import Ray, RunArgument, Safe, command, print_error, warn
from onlooker.storage import is_address, path_or_address

if TYPE_CHECKING:
    from onlooker.base.records import Prediction

group = typer.Typer()
_command = functools.partial(command, group=group, panel="Use a run", writes=("out", "json"))

_TIME_FORMATS = "csv, label-studio, elan or webvtt"
_EVENTS_PER_CLIP = 8  # that a terminal lists; of a clip with more, it shows their number


@functools.partial(_command, stopped="stopped; with --json, the same command continues")
def predict(
    run: RunArgument,
    clips: Annotated[
        list[Path], typer.Argument(help="Video files, image sequences, or folders of these.")
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder for boxes (JSON), times (ActivityNet) and a drawn clip of each clip; of states also for "
            "their time budgets, budget.csv."
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write all scores and attention: one JSON object per line and clip; resumable."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Lowest score of an event, in clips and recordings; below it: nothing.",
            show_default="of the run",
        ),
    ] = None,
    times: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT", help=f"Also write times to --out as {_TIME_FORMATS}; repeatable."
        ),
    ] = None,
    ray: Ray = None,
    safe: Safe = False,
) -> Sequence[Exception]:
    """Predict what happens in clips, where and when: one row per clip, with the runner-up class."""
    from onlooker.base.decision import check_threshold
    from onlooker.data.folder import ignored_text
    from onlooker.run.predict import find_videos, predict_clips

    check_threshold(threshold)  # before the names of columns are printed
    videos, ignored = find_videos(clips)
    # standard output as it is now: it is redirected while Ray works
    console = Console(file=sys.stdout)
    show = functools.partial(_print_table, console, out or json)
    if not (sys.stdout.isatty() or "COLUMNS" in os.environ):
        print(*_TABLE_COLUMNS, sep="\t")
        show = functools.partial(_print_rows, console.file)
    failed = predict_clips(
        run,
        videos,
        out=out,
        json=json,
        threshold=threshold,
        ray=ray,
        times=times or (),
        on_predictions=show,
    )
    for error in failed:
        print_error(error)
    if ignored:
        note(ignored_text(Path(), ignored))
    if out is not None:
        typer.echo(f"boxes, times and drawn clips: {out}")
    return failed


_TABLE_COLUMNS = ("clip", "class", "runner-up", "seconds", "box: x1 y1 x2 y2")


def _cells(prediction: "Prediction") -> list[str]:
    """A row of `_TABLE_COLUMNS`: class, runner-up, when and where, separated by line breaks."""
    answers = [prediction.answer, ""]
    if prediction.budget_text:
        answers[0] = prediction.budget_text
    elif prediction.has_several_classes:
        answers[0] = f"{len(prediction.segments)} events"
    elif prediction.runner_up is not None:
        label, score = prediction.runner_up
        answers[1] = f"{label} {100 * score:.0f} %"
    when = "\n".join(map(printable, prediction.when))
    return [*map(printable, [path_or_address(prediction.path), *answers]), when, prediction.where]


def _print_rows(file: IO[str], predictions: "Sequence[Prediction]") -> None:
    """For programs: one line per clip, its cells separated by tabs."""
    for prediction in predictions:
        print(*(cell.replace("\n", ", ") for cell in _cells(prediction)), sep="\t", file=file)
    if text := _events_text(predictions):
        note(text)


def _print_table(console: Console, file: Path | None, predictions: "Sequence[Prediction]") -> None:
    """A row for each clip, with its events below each other; for a clip with more than
    `_EVENTS_PER_CLIP` events, the row refers to `file`.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    *columns, where = _TABLE_COLUMNS
    if any(prediction.where for prediction in predictions):
        columns.append(where.replace(" ", "\n", 1))
    for column in columns:
        table.add_column(column, overflow="fold")  # paths that are cut off look the same
    table.caption = _events_text(predictions)
    table.caption_justify = "left"
    for prediction in predictions:
        row = _cells(prediction)
        if len(prediction.segments) > _EVENTS_PER_CLIP:
            place = f"see {file}" if file else "--out FOLDER writes them"
            row[3] = f"{len(prediction.segments)} events, {place}"
        table.add_row(*map(Text, row[: len(columns)]))
    console.print(table)


def _events_text(predictions: "Sequence[Prediction]") -> str:
    """The probabilities that events of the clips need, and how exact times of recordings are; "" if
    neither is known.
    """
    thresholds = Counter(prediction.decision.threshold for prediction in predictions)
    needed = [
        f"{100 * threshold:.0f} %" + (f" ({count} of the clips)" if len(thresholds) > 1 else "")
        for threshold, count in thresholds.items()
        if threshold is not None
    ]
    texts = [next((text for prediction in predictions if (text := prediction.times_text)), "")]
    if needed:
        texts.append(f"an event needs a probability of {' or '.join(needed)}, else it is nothing")
    return "; ".join(filter(None, texts))


@functools.partial(_command, stopped="stopped")
def watch(
    run: RunArgument,
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Cameras (0, /dev/video0), addresses (rtsp, tcp, http, ...), video files, - (standard input)."
        ),
    ],
    stream: StreamConfig,
    *,
    json: Annotated[
        bool, typer.Option("--json", help="Print frames and changes as JSON objects.")
    ] = False,
    events: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Send events to https://HOST/PATH, mqtt://HOST/TOPIC (also Home Assistant), "
            "FILE.jsonl or FILE.vtt; repeatable.",
        ),
    ] = None,
    safe: Safe = False,
) -> Sequence[Exception]:
    """Find events or states in live streams: print a line for each that is over, when the class
    changes, and every second.
    """
    from onlooker.cli.watch import watch_sources

    return watch_sources(run, sources, stream, every_frame=json, events=events or ())


@functools.partial(command, group=group, panel="Use a run")
def export(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option(help="A folder for the files.", show_default="RUN/export")
    ] = None,
    *,
    opset: Annotated[
        int,
        typer.Option(help="The version of ONNX's operators; 18 for programs of 2023."),
    ] = 20,
    safe: Safe = False,
) -> None:
    """Write the model's step (frame, state → scores, attention, windows, state) as ONNX, for use
    without PyTorch.
    """
    from onlooker.export import DESCRIPTION, export
    from onlooker.recognizer import load

    folder = export(load(run, "cpu"), out or run / "export", opset=opset)
    written = read_json(folder / DESCRIPTION)
    text = "matches PyTorch to within {largest_difference:.1e} over {frames} frames"
    typer.echo(text.format(**written["compared"]))
    for name, file in written["files"].items():
        typer.echo(f"{folder / name}: {file['bytes'] / 1e6:.2f} MB")


@functools.partial(command, group=group, panel="Models and data")
def convert(
    labels: Annotated[
        list[Path],
        typer.Argument(
            help="Files of ActivityNet, Label Studio (.json), ELAN, BORIS, BIDS (events.tsv), WebVTT, "
            "DeepEthogram, SimBA, or CSV."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The file to write, best a .csv.")],
    *,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help=f"activitynet, {_TIME_FORMATS}.", show_default="by the suffix"
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Frames per second by which the other program counts frames.",
            show_default="Label Studio: 24, rows of frames: of the video",
        ),
    ] = None,
    point_seconds: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Seconds that an event without a duration lasts, around its time (BORIS, BIDS).",
            show_default="left out",
        ),
    ] = None,
) -> None:
    """Convert labels of time intervals, such as those of an annotation program, to a CSV file to
    train on.
    """
    from onlooker.formats.annotations import find_writer, read_labels, unknown_seconds
    from onlooker.formats.labels import Requested, count_of

    ending, write = find_writer(out, to)
    if out.exists():
        raise FileExistsError(f"{out}: exists already; choose another file, or remove it")
    left_out = Counter[str]()
    recordings = read_labels(labels, Requested(fps, point_seconds), left_out)
    is_list = ending == ".csv"
    write(out, recordings, fps)
    count = sum(len(recording.labels) for recording in recordings)
    videos = dict.fromkeys(recording.path for recording in recordings)
    missing = [video for video in videos if not is_address(video) and not file_of(video).exists()]
    typer.echo(f"{count} intervals of {len(videos)} videos: {out}")
    if left_out:
        warn([count_of(left_out)])
    doubts = list[str]()
    if missing:
        doubts.append(f"{len(missing)} of the videos are not there, such as {missing[0]}")
    if unknown := unknown_seconds(recordings):
        where = "rows without a label" if is_list else "only a list, .csv, can say when"
        doubts.append(
            f"{sum(unknown.values()):.1f} s of unknown time in {len(unknown)} videos ({where}), "
            "from which no clips of the class nothing are taken"
        )
    for doubt in doubts:
        typer.secho(printable(doubt), fg="yellow", err=True)


@functools.partial(command, group=group, panel="Models and data")
def models() -> None:
    """List the models and the encoders: what they are for, and their pretrained weights."""
    from onlooker.models.encoders import ENCODERS
    from onlooker.models.registry import MODELS

    table = Table("model", "purpose")
    for name, recipe in MODELS.items():
        table.add_row(name, recipe.summary)
    caption = "Also any timm network (--encoder resnet18 --pretrained; its own terms), and others: docs/models.md."
    encoders = Table("encoder", "pretrained weights", caption=caption)
    for name, spec in ENCODERS.items():
        encoders.add_row(name, spec.terms or "none")
    Console().print(table, encoders)
