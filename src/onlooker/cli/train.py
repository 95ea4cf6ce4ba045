"""The commands on clips: generate, demo, check, train, compare and evaluate. They check options and
print results; `onlooker.run` does the work.
"""

import functools
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from onlooker.base.config import (
    CLIPS,
    TRAINING,
    DataConfig,
    FitConfig,
    ModelConfig,
    SetConfig,
    Settings,
    SharedConfig,
)
from onlooker.base.progress import note
from onlooker.base.text import counted, printable
from onlooker.cli.command import (
    Clips,
    Folds,
    RunArgument,
    Safe,
    command,
    explicit_settings,
    refuse_unused,
    warn,
)
from onlooker.storage import path_or_address

if TYPE_CHECKING:
    from onlooker.measure.figures import Figures
    from onlooker.run.check import Checked

group = typer.Typer()
generate = typer.Typer(
    help="Generate folders of clips to try the other commands on.", no_args_is_help=True
)
_command = functools.partial(command, group=group, panel="Train and evaluate")


def _settings_of_fitters() -> type[FitConfig]:
    from onlooker.training.fitters import joined_settings

    return joined_settings()


_command_of_fitters = functools.partial(_command, registered={"training": _settings_of_fitters})
_Distance = Annotated[
    Literal["near", "far"],
    typer.Option(help="near: the figure fills the picture; far: 15 to 35 % of its height."),
]
DEMO_CLIPS = 12  # of each action
DEMO_ACTIONS = ("bend", "jump", "jumping_jack", "kick", "walk", "wave")


@_command
def check(clips: Clips, which: SetConfig, safe: Safe = False) -> None:
    """Check clips before training: classes, split, ignored files, near-duplicates, and what can
    spoil the result.

    A few frames of each clip are read. Each finding states the facts, why they matter and what to
    do.
    """
    from onlooker.data.sets import read_set
    from onlooker.run import check as checking

    checked = checking.check(read_set(clips, requested=which, classes=1, fills=True))
    _print_checked(checked)


@functools.partial(command, group=generate)
def figures(
    folder: Annotated[Path, typer.Argument(help="A new folder for the clips.")],
    *,
    clips: Annotated[int, typer.Option(help="Clips per action.", min=1)] = 20,
    people: Annotated[
        int, typer.Option(help="Number of people; each is in one split only.", min=1)
    ] = 10,
    distance: _Distance = "near",
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Stick figures that wave, jump, walk, kick, ...: video files, and truth.json with boxes and
    events.

    With --distance far, they clap, swipe, throw and wave across a room.
    """
    from onlooker.data.far_figures import GESTURES, FarFigures
    from onlooker.data.stick_figures import StickFigures, write_set

    if distance == "far":
        figures = FarFigures(people=people)
        write_set(folder, clips, seed=seed, figures=figures, actions=tuple(GESTURES))
    else:
        write_set(folder, clips, seed=seed, figures=StickFigures(people=people))
    typer.echo(
        f"clips: {folder}; to train on them: {shlex.join(['onlooker', 'train', str(folder)])}"
    )


@functools.partial(command, group=generate)
def recordings(
    folder: Annotated[Path, typer.Argument(help="A new folder for the recordings.")],
    *,
    count: Annotated[
        int, typer.Option(help="Number of recordings, each of another person.", min=1)
    ] = 6,
    seconds: Annotated[float, typer.Option(help="Length of each, at least.", min=1)] = 120.0,
    distance: _Distance = "near",
    pauses: Annotated[
        bool, typer.Option("--pauses", help="With --distance far: single gestures, with pauses.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Recordings of stick figures that sit, stand, walk, wave, ... without a pause: video files, and
    the lists train.csv and test.csv of what goes on when.

    With --distance far, they repeat gestures across a room, each for 6 to 12 seconds.
    """
    from onlooker.data.far_figures import FarFigures
    from onlooker.data.stick_figures import write_recordings

    if distance == "far":
        figures = FarFigures()
        write_recordings(
            folder,
            count,
            seconds=seconds,
            fps=figures.fps,
            life=functools.partial(figures.life, pauses=pauses, seed=seed),
            compression=figures.compression,
        )
    elif pauses:
        raise ValueError("--pauses is of figures far away; add --distance far")
    else:
        write_recordings(folder, count, seconds=seconds, seed=seed)
    words = ["onlooker", "train", str(folder / "train.csv")]
    typer.echo(f"recordings: {folder}; to train on them: {shlex.join(words)}")


@_command
def demo(
    run: Annotated[Path, typer.Option(help="A folder for the run.")] = Path("runs/demo"),
) -> None:
    """Generate clips of stick figures, and train on them as `onlooker train` does."""
    from onlooker.data.stick_figures import write_set
    from onlooker.run.record import read_figures
    from onlooker.run.train import train_run

    clips = run.with_name(f"{run.name}-clips")
    figures = read_figures(run)  # the last file of a training
    if figures is None:
        if not clips.exists():  # a folder that exists is complete
            write_set(clips, DEMO_CLIPS, actions=DEMO_ACTIONS)
        figures = train_run(clips, run, Settings(), given={}, resume=True)
    _print_metrics(figures, run)
    _print_terms(run)
    example = ["onlooker", "predict", str(run), str(clips / "wave" / "000.mp4")]
    typer.echo(f"clips: {clips}; classify one: {shlex.join(example)}")


def _run_of(clips: Path, run: Path | None, *, model: ModelConfig, folds: int) -> Path:
    """The folder of a run or of a cross-validation."""
    from onlooker.data.sets import default_run

    return run or default_run(clips, f"{model.name}-folds" if folds else model.name)


def _has_begun(run: Path, folds: int) -> bool:
    """Whether there is something to resume."""
    return any(run.glob("*/*/config.json" if folds else "config.json"))


def _how_to_continue(arguments: Mapping[str, Any]) -> str:
    """What to do after a stop: before a run has begun, there is nothing to resume."""
    if arguments:
        names = ("clips", "run", "model", "folds")
        clips, run, model, folds = (arguments[name] for name in names)
        if _has_begun(_run_of(clips, run, model=model, folds=folds), folds):
            return "stopped; run the same command with --resume to continue"
    return "stopped; run the same command again"


@functools.partial(_command_of_fitters, stopped=_how_to_continue)
def train(
    context: typer.Context,
    clips: Clips,
    *,
    model: ModelConfig,
    data: DataConfig,
    training: FitConfig,
    which: SetConfig,
    run: Annotated[
        Path | None, typer.Option(help="A new folder for the run.", show_default="runs/CLIPS-MODEL")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run, with its settings.")
    ] = False,
    folds: Folds = 0,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Stop at the first clip that cannot be read.", rich_help_panel=CLIPS
        ),
    ] = False,
    background: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="VIDEO|FOLDER",
            help="Recordings in which none of the classes happens: fewer false alarms, and a known rate; repeatable.",
        ),
    ] = None,
    safe: Safe = False,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard",
            help="Write curves and figures for TensorBoard, too.",
            rich_help_panel=TRAINING,
        ),
    ] = False,
) -> None:
    """Train on clips with one label each, and evaluate on test clips.

    A clip is a video file, or a folder that holds an image sequence. CLIPS is one of:

    - a folder with one sub-folder per class, or with train/, val/ and test/, each with one
      sub-folder per class;

    - a CSV file with the columns path and label, and optionally start and end (of a part of a long
    recording, in seconds or mm:ss), split (train, val, test) and recording;

    All clips of one recording (a person, a camera) are in the same split; for a folder,
    recordings.csv (columns clip and recording) names them.
    """
    from onlooker.run.train import train_run
    from onlooker.training.processes import launched

    if folds and (strict or tensorboard or background):
        raise ValueError(
            "--strict, --tensorboard and --background cannot be used with --folds; leave them out"
        )
    run = _run_of(clips, run, model=model, folds=folds)
    if resume and not _has_begun(run, folds):
        what = "cross-validation" if folds else "run"
        raise FileNotFoundError(f"{run}: no {what} to resume; check --run, or leave out --resume")
    explicit = explicit_settings(context, model=model, data=data, training=training, which=which)
    requested = Settings(model, data, training)
    if folds:
        _cross_validate(clips, run, requested, explicit=explicit, which=which, folds=folds)
        return
    figures = train_run(
        clips,
        run,
        requested,
        given=explicit,
        which=which,
        resume=resume,
        strict=strict,
        tensorboard=tensorboard,
        background=background or (),
    )
    if not launched().rank:
        _print_metrics(figures, run)
        _print_terms(run)


def _cross_validate(
    clips: Path,
    run: Path,
    requested: Settings,
    *,
    explicit: Mapping[str, Any],
    which: SetConfig,
    folds: int,
) -> None:
    from onlooker.data.sets import read_set, requested_splits
    from onlooker.run.compare import compare, settings_of, with_baseline
    from onlooker.run.train import train_final
    from onlooker.training.encoders import with_encoder
    from onlooker.training.fitters import complete

    if (run / "config.json").exists():
        raise FileExistsError(f"{run}: holds a run of one split; choose another folder with --run")
    settings = complete(requested, explicit.keys())
    name = settings.model.name
    clip_set = read_set(clips, requested=which, fills=True)
    splits = requested_splits(clip_set, folds)
    # of the test clips, it knows only how large they are
    encoder = with_encoder(settings, clip_set.clips).model.encoder
    requested = requested._replace(model=replace(requested.model, encoder=encoder))
    models = settings_of(with_baseline(name), requested, explicit)
    figures = compare(clip_set, run, models, splits=splits, seeds=[settings.training.seed])
    final = train_final(clip_set, run, models[name])
    _print_comparison(figures, run)
    _print_terms(final)
    typer.echo(
        f"final model, trained without a test split: {final}; use it with `onlooker predict {run} CLIP`"
    )


@_command_of_fitters
def compare(
    context: typer.Context,
    clips: Clips,
    models: SharedConfig,
    *,
    data: DataConfig,
    training: FitConfig,
    which: SetConfig,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Number of seeds, counting up from --seed.",
            min=1,
            show_default="3; 1 where few clips are cross-validated",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Cross-validation with this number of folds; 0: one split. Recordings are kept whole.",
            show_default="5 with fewer than 300 clips, else 0",
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="A folder for the runs.", show_default="runs/CLIPS-compared")
    ] = None,
    jobs: Annotated[
        int, typer.Option(help="Trainings in parallel; 0: as many as the machine allows.", min=0)
    ] = 0,
    safe: Safe = False,
) -> None:
    """Train several models on the same clips and splits, with several seeds, and print a table of
    their accuracies.

    The linear baseline, with the same encoder, has a row in every table.
    """
    from onlooker.data.sets import default_run, read_set, requested_splits
    from onlooker.data.split import FEW_CLIPS
    from onlooker.run import compare as comparing

    run = run or default_run(clips, "compared")
    explicit = explicit_settings(context, models=models, data=data, training=training)
    names = comparing.with_baseline(models.name)
    requested = comparing.settings_of(names, Settings(models, data, training), explicit)
    clip_set = read_set(clips, requested=which, fills=True)
    few = folds is None and clip_set.split is None and len(clip_set.clips) < FEW_CLIPS
    splits = requested_splits(clip_set, None if few else folds or 0)
    count = seeds or (1 if few else 3)
    figures = comparing.compare(
        clip_set,
        run,
        requested,
        splits=splits,
        seeds=range(training.seed, training.seed + count),
        jobs=jobs or None,
    )
    _print_comparison(figures, run)


@_command
def evaluate(
    context: typer.Context,
    run: RunArgument,
    which: SetConfig,
    *,
    clips: Annotated[
        Path | None,
        typer.Argument(
            help="Evaluate on the test split of other clips (as for `onlooker train`).",
            show_default="those of the run",
        ),
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(
            help="Play whole recordings, and compare events with a list (path,start,end,label)."
        ),
    ] = None,
    safe: Safe = False,
) -> None:
    """Measure accuracy per video and per frame, confusions and calibration, and write a report.

    With --recordings: events found, named wrong and missed, false alarms per hour, and a page; of states accuracy,
    segmental F1, edit score and kappa.
    """
    from onlooker.data.sets import read_set, set_name
    from onlooker.recognizer import trained_run
    from onlooker.run import evaluate as evaluating

    if clips and recordings:
        raise ValueError("CLIPS and --recordings are two evaluations; give one of them")
    refuse_unused(context, {"scenes", "when"}, "in evaluate")
    if not clips:
        where = "on events of recordings" if recordings else "without CLIPS"
        names = {"divide"} if recordings else {"classes", "subject", "tier", "fill", "divide"}
        refuse_unused(context, names, where)
    if recordings:
        figures_of_recordings = evaluating.evaluate_recordings(
            run, read_set(recordings, requested=which, classes=1)
        )
        _print_recordings(
            figures_of_recordings, trained_run(run) / f"recordings-{set_name(recordings)}"
        )
        return
    clip_set = read_set(clips, requested=which, classes=1) if clips else None
    if clip_set:
        for line in clip_set.notes:
            note(line)
    figures = evaluating.evaluate(run, clip_set)
    if clips:
        run = trained_run(run) / f"evaluation-{set_name(clips)}"
    _print_metrics(figures, run)


def _print_checked(checked: "Checked") -> None:
    """Print the table of classes, and the findings, each with the first clips that it concerns."""
    from onlooker.base.records import clip_name
    from onlooker.data.sets import root_of
    from onlooker.run.check import CLIPS_PER_FINDING, class_table, hints

    split = None if isinstance(checked.split, str) else checked.split
    console = Console()
    console.print(class_table(checked.clips, split))
    for line in hints(checked.clips, split):
        typer.echo(printable(line))
    root = root_of(checked.clips.path)
    for number, finding in enumerate(checked.findings, 1):
        console.print()
        console.print(Text(printable(f"{number}. {finding.found}"), "bold"))
        for text in (f"Why: {finding.why}.", f"What to do: {finding.remedy}."):
            console.print(Padding(Text(printable(text)), (0, 0, 0, 3)))
        for paths in finding.clips[:CLIPS_PER_FINDING]:
            left = len(paths) - CLIPS_PER_FINDING
            more = f" and {left} more" if left > 0 else ""
            same = " = ".join(clip_name(path, root) for path in paths[:CLIPS_PER_FINDING])
            typer.echo(printable(f"   {same}{more}"))
        if len(finding.clips) > CLIPS_PER_FINDING:
            console.print(f"   and {len(finding.clips) - CLIPS_PER_FINDING} more")
    if not checked.findings:
        console.print("no problems found")


def _print_comparison(figures: dict[str, Any], run: Path) -> None:
    """Print the table of a comparison, the majority-class baseline, the clips that are left out,
    and the path of the report.
    """
    from onlooker.report.summary import comparison_table

    table = comparison_table(figures)
    printed = Table(*table.columns)
    for row in table.texts:
        printed.add_row(*row)
    Console().print(printed)
    typer.echo(table.note)
    warn(figures["skipped"])
    typer.echo(f"report: {run / 'report.html'}")


def _print_recordings(figures: dict[str, Any], out: Path) -> None:
    """Print the recordings that are left out, what the others show, a line for each state, and the
    path of the report.
    """
    from onlooker.report.recordings import result_lines

    warn(f"{error['path']}: {error['found']}; {error['remedy']}" for error in figures["skipped"])
    for line in result_lines(figures):
        typer.echo(line)
    tiers = zip(figures.get("states", ()), figures["live"].get("states", ()), strict=True)
    for tier, live in tiers:
        for name, state in tier["states"].items():
            budgets = (state["predicted"], live["states"][name]["predicted"], state["true"])
            predicted, reported, true = map(_budget_text, budgets)
            typer.echo(printable(f"  {name}: {predicted}; live: {reported}; labeled: {true}"))
    typer.echo(f"report: {path_or_address(out / 'report.html')}")


def _budget_text(budget: Mapping[str, Any]) -> str:
    """`1.20 min in 3 bouts of 2.1 s`."""
    median = f" of {budget['median']:.1f} s" if budget["bouts"] else ""
    return f"{budget['minutes']:.2f} min in {counted(budget['bouts'], 'bout')}{median}"


def _print_metrics(figures: "Figures | None", run: Path) -> None:
    from onlooker.report.summary import advice, first_line

    if not figures:
        typer.echo(f"trained without a test split: {run}")
        return
    warn(figures.skipped)
    conclusion = first_line(figures)
    typer.echo(f"{conclusion.tested_by}: {conclusion.text}")
    typer.echo(f"  {conclusion.details}")
    for step in advice(figures):
        typer.echo(f"  - {step}")
    typer.echo(f"report: {path_or_address(run / 'report.html')}")


def _print_terms(run: Path) -> None:
    """Print the terms of the images that the encoder's pretrained weights were trained on, if these
    weights are in this package.
    """
    from onlooker.models.encoders import encoder_terms
    from onlooker.run.record import RunRecord

    model = RunRecord.read(run).settings.model
    if model.pretrained and not model.weights and (terms := encoder_terms(model.encoder)):
        typer.echo(f"weights of the encoder {model.encoder}: {terms}")
