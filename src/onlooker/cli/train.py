"""The commands that learn and measure: each is a few lines around one function of the library."""

import functools
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from onlooker.cli.command import RunArgument, command, given_options, refuse_unused, resume_hint, stoppable
from onlooker.config import DataConfig, ModelConfig, SetConfig, SharedConfig, TrainConfig

if TYPE_CHECKING:
    from onlooker.data.split import Splits
    from onlooker.runs.model_spec import ModelSpec
    from onlooker.structures import ClipError

group = typer.Typer()
_command = functools.partial(command, group=group)

Clips = Annotated[
    Path,
    typer.Argument(help="A folder of clips, one class a sub-folder; or a published set (--set).", show_default=False),
]
Folds = Annotated[
    int, typer.Option(help="Test on each of so many parts in turn, resumable; recordings stay whole. 0: one split.")
]


@_command
def demo(
    run: Annotated[Path, typer.Option(help="Where the demo's run goes.")] = Path("runs/demo"),
    results: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Train on moving digits, compare with and without attention, and write a report with pictures."""
    from onlooker.runs.demo import demo as run_demo

    typer.echo(f"report: {run_demo(run, results=results)}")


@_command
def train(
    context: typer.Context,
    clips: Clips,
    model: ModelConfig,
    data: DataConfig,
    training: TrainConfig,
    published: SetConfig,
    run: Annotated[Path | None, typer.Option(help="A new folder for the run. [default: runs/CLIPS-MODEL]")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was cut off; all settings are those of the run.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first clip that cannot be read.")] = False,
    folds: Folds = 0,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="Test on each recording in turn, resumable (needs recordings.csv).")
    ] = False,
    features: Annotated[
        list[Path] | None,
        typer.Option(
            help="Learn from this feature store: encoder and sampling are its own, nothing is augmented. For motion "
            "give two, of the picture and of the flow."
        ),
    ] = None,
    init_from: Annotated[
        list[Path] | None,
        typer.Option(
            help="Begin with the weights of this run. For motion: give two of the same split, in any order, a "
            "convalstm on the picture and a convlstm on the flow."
        ),
    ] = None,
) -> None:
    """Train on a folder of clips, one class a sub-folder, and evaluate on clips kept apart.

    A clip is a video file, or a folder of numbered pictures. Where a recordings.csv (columns clip, recording) lies
    beside the classes, clips of one recording (a person, a camera) stay on one side of the split. With --set, the clips
    are a published set as its site ships it, and an official split says which of them learn and test.
    """
    from onlooker.data.sets import asked_splits, read_set
    from onlooker.runs.train import train as train_on

    run = run or Path("runs") / f"{_name(clips)}-{model.name}"
    if resume and not (run / "config.json").exists() and not (folds or leave_one_out):
        raise FileNotFoundError(f"{run}: no run to go on with; check --run, or leave out --resume")
    seen = data
    if (folds or leave_one_out) and (features or init_from):
        given = "--features" if features else "--init-from"
        raise ValueError(f"{given} is for one training; leave out --folds and --leave-one-out")
    if features:
        from onlooker.runs.features import open_stores, stored_settings

        _, seen = stored_settings(open_stores(features), model, data, given_options(context))
    if not resume:  # which has the settings of the run, whatever is given
        from onlooker.models.registry import find_recipe

        if model.cell == "auto":  # another may use what the model's own does not
            refuse_unused(context, find_recipe(model.name).ignores, f"in {model.name}")
        _refuse_idle_flow(context, [seen])
    if folds or leave_one_out:
        if strict:
            raise ValueError(
                "--strict is for one training; with --folds or --leave-one-out unreadable clips are listed"
            )
        from onlooker.runs.model_spec import ModelSpec

        splits, _ = asked_splits(clips, published, folds, leave_one_out)
        _compare(clips, run, [ModelSpec(model.name)], [], [training.seed], splits, (), model, data, training, None)
        return
    split, left_out = read_set(clips, published) if published.set and not resume else (None, ())
    with stoppable(resume_hint()):
        measured = train_on(
            clips,
            run,
            model,
            data,
            training,
            split,
            resume,
            strict,
            features=features or (),
            left_out=left_out,
            init_from=init_from or (),
        )
    _say(measured, run)


@_command
def features(
    context: typer.Context,
    clips: Annotated[
        Path,
        typer.Argument(
            help="A folder of clips, one class a sub-folder; a published set (--set); or one clip.", show_default=False
        ),
    ],
    store: Annotated[Path, typer.Option(help="The store's folder, made where there is none.", show_default=False)],
    data: DataConfig,
    published: SetConfig,
    encoder: Annotated[str, typer.Option(help="Any timm network such as vgg16, NAME:vector, conv4, ...")] = "vgg16",
    pretrained: Annotated[bool, typer.Option(help="ImageNet weights (timm networks).")] = True,
    every: Annotated[
        bool, typer.Option("--every", help="All frames of each clip, in place of --frames: windows can share them.")
    ] = False,
    shard: Annotated[str, typer.Option(help="i/n: the i-th of n parts of the clips, for n processes.")] = "1/1",
    precision: Annotated[str, typer.Option(help="32, bf16, or auto: bf16 where the hardware computes in it.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of weights that are not pretrained.")] = 0,
) -> None:
    """Encode clips once: maps in half precision on disk, which `train --features` learns from.

    What is stored already is passed over; killed at any moment, the same command goes on. Several processes may fill
    one store, with --shard or without. With --set, the clips of all official splits.
    """
    from onlooker.data.sets import every_clip
    from onlooker.runs.features import MOVED, make_features

    refuse_unused(context, {*MOVED, "windows", "split", *(["frames"] if every else [])}, "in a feature store")
    _refuse_idle_flow(context, [data])
    with stoppable():
        paths, left_out = every_clip(clips, published) if published.set else (clips, ())
        made = make_features(paths, store, encoder, data, pretrained, every, precision, seed, shard)
    for error in (*left_out, *made.failed):
        typer.secho(f"left out: {error}", fg="yellow", err=True)
    typer.echo(f"features: {made.new} new, {made.there} there already, {len(made.failed)} failed; store: {store}")


@_command
def evaluate(
    run: RunArgument,
    published: SetConfig,
    clips: Annotated[
        Path | None,
        typer.Option(
            help="Another folder of clips, or with --set the test side of a published set; without it, the run's own."
        ),
    ] = None,
) -> None:
    """Accuracy by video and by frame, confusions, calibration, and a report page."""
    from onlooker.data.sets import read_set
    from onlooker.runs.train import evaluate as evaluate_run

    if published.set and clips is None:
        raise ValueError("--set says what --clips holds, and the run knows its own test side; give --clips, or neither")
    split, left_out = read_set(clips, published) if clips and published.set else (None, ())
    measured = evaluate_run(run, clips, split.test if split else (), left_out)
    _say(measured, run if clips is None else run / f"evaluation-{clips.resolve().name}")


@_command
def compare(
    context: typer.Context,
    clips: Clips,
    models: SharedConfig,
    data: DataConfig,
    training: TrainConfig,
    published: SetConfig,
    seeds: Annotated[int, typer.Option(help="How many seeds, counted up from --seed.")] = 3,
    folds: Folds = 0,
    leave_one_out: Annotated[bool, typer.Option("--leave-one-out", help="Test on each recording in turn.")] = False,
    run: Annotated[Path | None, typer.Option(help="Where the runs go. [default: runs/CLIPS-compared]")] = None,
    jobs: Annotated[
        int, typer.Option(help="Trainings in parallel. 0: one per GPU, or as many as cores and memory allow.")
    ] = 0,
    silhouettes: Annotated[
        str | None,
        typer.Option(
            help="Score where models looked: a folder of silhouettes, white on black, laid out as the clips; or "
            "not-black: what is to be found is drawn on black in the clips."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the set is called in --results. [default: its folder]")] = None,
    results: Annotated[Path | None, typer.Option(help="A JSON file of results that this set is added to.")] = None,
    add: Annotated[
        bool, typer.Option("--add", help="The set is in --results already: keep the rows of its other models.")
    ] = False,
) -> None:
    """Train several models on the same clips and splits; a table of their accuracies, over seeds."""
    from onlooker.data.sets import asked_splits
    from onlooker.runs.model_spec import ENSEMBLE, parse_specs
    from onlooker.runs.recorded import add_results, rows_to_add_to

    run = run or Path("runs") / f"{_name(clips)}-compared"
    specs, members = parse_specs(models.name, data)
    _refuse_idle_flow(context, [spec.data_config(data) for spec in specs])
    chosen = list(range(training.seed, training.seed + seeds))
    name, asked = name or _name(clips), shlex.join(["onlooker", *sys.argv[1:]])
    if add:
        if results is None:
            raise ValueError("--add without --results says nothing of where to; give both, or neither")
        rows = [*(spec.name for spec in specs), *([ENSEMBLE] if members else [])]
        for made in rows_to_add_to(results, name, rows, bool(members))[1]:
            _refuse_other_settings(context, made)
    splits, left_out = asked_splits(clips, published, folds, leave_one_out)
    figures = _compare(
        clips, run, specs, members, chosen, splits, left_out, models, data, training, jobs or None, silhouettes
    )
    if results:
        add_results(results, name, figures, data, training, asked, add)


@_command
def fuse(
    runs: Annotated[list[Path], typer.Argument(help="Two or more runs of one split.", show_default=False)],
    run: Annotated[Path, typer.Option(help="A new folder for what they are together.")],
) -> None:
    """Let several runs answer together (late fusion); validation clips choose their weights."""
    from onlooker.runs.ensemble import fuse as fuse_runs

    measured = fuse_runs(runs, run)
    for member, weight, accuracy in zip(runs, measured["weights"], measured["alone"], strict=True):
        typer.echo(f"{member}: weight {weight:.2f}, alone {100 * accuracy:.1f} % of test videos")
    typer.echo(f"together: {100 * measured['accuracy']:.1f} % of {measured['videos']} videos")


def _refuse_other_settings(context: typer.Context, made: str) -> None:
    """Raise a ValueError unless `made`, a command of old, is a comparison with the settings that are asked for now."""
    name, words = str(context.command.name), shlex.split(made)
    try:
        if words[1:2] != [name]:
            raise typer.BadParameter("no comparison")
        with context.command.make_context(name, words[2:]) as of_made:
            there = of_made.params
    except TyperException as error:
        raise ValueError(f"--add: the rows were made by {made!r} ({error}); leave it out") from None
    no_setting = {"models_name", "jobs", "run", "name", "results", "add"}  # they change no figure of a model
    asked = {option: value for option, value in context.params.items() if option not in no_setting}
    if differ := [option for option, value in asked.items() if there[option] != value]:
        flags = ", ".join(flag for each in context.command.params if each.name in differ for flag in each.opts)
        raise ValueError(f"--add: the rows were made by {made!r}, another {flags}; give the same, or leave out --add")


def _refuse_idle_flow(context: typer.Context, seen: Iterable[DataConfig]) -> None:
    if all(data.modality == "rgb" for data in seen):
        refuse_unused(context, {"flow", "flow_length"}, "where only the picture is seen (--modality rgb)")


def _name(clips: Path) -> str:
    return clips.resolve().name


def _say(measured: dict[str, Any], run: Path) -> None:
    for error in measured["skipped"]:
        words = f"left out: {error['path']}: {error['found']}; {error['remedy']}"
        typer.secho(words, fg="yellow", err=True)
    typer.echo(
        f"test: {100 * measured['accuracy']:.1f} % of {measured['videos']} videos, "
        f"{100 * measured['frame_accuracy']:.1f} % of frames (majority class {100 * measured['majority_share']:.1f} %)"
    )
    typer.echo(f"report: {run / 'report.html'}")


def _compare(
    clips: Path,
    run: Path,
    models: list["ModelSpec"],
    members: list["ModelSpec"],
    seeds: list[int],
    splits: "Splits",
    left_out: Sequence["ClipError"],
    model: ModelConfig,
    data: DataConfig,
    training: TrainConfig,
    jobs: int | None,
    silhouettes: str | None = None,
) -> dict[str, Any]:
    from rich.console import Console
    from rich.table import Table

    from onlooker.runs import compare

    with stoppable():
        figures = compare.compare(
            clips,
            run,
            models,
            splits,
            seeds,
            data,
            training,
            jobs,
            members,
            silhouettes,
            left_out=left_out,
            model=model,
        )
    columns, rows = compare.table(figures)
    shown = Table(*columns)
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)
    for error in figures["skipped"]:
        typer.secho(f"left out: {error}", fg="yellow", err=True)
    typer.echo(f"report: {run / 'report.html'}")
    return figures
