"""`onlooker reproduce …`: the command line of the published systems."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import Annotated

import typer

from onlooker.cli.command import command, given_options, refuse_unused, stoppable, writing
from onlooker.cli.options import Mnist, NewClips

group, clips_group = typer.Typer(), typer.Typer()
_command = functools.partial(command, group=group)


def register(reproduce: typer.Typer, generate: typer.Typer) -> None:
    """Add these commands to the library's groups; `onlooker.cli` calls it through the entry point."""
    reproduce.add_typer(group)
    generate.add_typer(clips_group)


Quick = Annotated[bool, typer.Option("--quick", help="Minutes: little of everything, to see that it runs.")]
Reproduced = Annotated[Path | None, typer.Option(help="Where all goes, resumable. [default: runs/NAME-BUDGET]")]
Results = Annotated[Path | None, typer.Option(help="A folder for the JSON files of the figures.")]


@_command
def digits(
    quick: Quick = False,
    full: Annotated[bool, typer.Option("--full", help="As published, and long: for a GPU, or days on a CPU.")] = False,
    protocol: Annotated[str, typer.Option(help="paper, held-out, or all.")] = "all",
    mnist: Mnist = None,
    clips: Annotated[Path | None, typer.Option(help="Hand gestures, one class a sub-folder, to carry over to.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Compute these rows alone, such as 'held-out/gesture/*', without the page. May be repeated."),
    ] = None,
    run: Reproduced = None,
    results: Results = None,
) -> None:
    """Digits in motion (Shan & Atanasov 2017): as published, what that measures, and on digits never seen."""
    budget = _budget(quick, full)
    # Weights of hundreds of megabytes are written anew at every step: in large pages that takes half the time. PyTorch
    # reads this when it is loaded.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from onlooker_papers.digits.reproduce import reproduce as reproduce_digits

    run = run or Path("runs") / f"digits-{budget}"
    with stoppable():
        made = reproduce_digits(run, mnist, clips, budget, protocol, results, only or ())
        typer.echo(f"{'figures' if only else 'report'}: {made}")


@_command
def videolstm(
    context: typer.Context,
    quick: Quick = False,
    full: Annotated[bool, typer.Option("--full", help="More clips, seeds or epochs.")] = False,
    mnist: Mnist = None,
    ucf101: Annotated[Path | None, typer.Option(help="UCF101's folder: the published models on it.")] = None,
    hmdb51: Annotated[Path | None, typer.Option(help="HMDB-51's folder, unpacked or not: likewise.")] = None,
    splits: Annotated[Path | None, typer.Option(help="Its split files. [default: in the set's folder]")] = None,
    split: Annotated[int, typer.Option(help="Which official split: 1, 2 or 3.")] = 1,
    clips: Annotated[
        list[Path] | None,
        typer.Option(
            help="Real clips, one class a sub-folder: the same models on them, too. May be repeated. [default: all of "
            "$ONLOOKER_DATA]"
        ),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(help="With --ucf101: finalAnnots.mat of UCF101-24, by which places are scored, or its folder."),
    ] = None,
    pretrained: Annotated[
        bool, typer.Option(help="ImageNet weights, as published; without, the encoder's weights stay random.")
    ] = True,
    only: Annotated[
        str | None, typer.Option(help="segments: when it moves, and nothing else; or a model: its rows anew. No page.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(help="Trainings side by side, a core each; 0: as many as cores and memory (4 GB each) allow.")
    ] = 0,
    run: Reproduced = None,
    results: Results = None,
) -> None:
    """VideoLSTM (Li et al. 2016): the ablation up to motion-based attention, on a target that moves and on real clips.

    The clips are those of --clips, else all sets of $ONLOOKER_DATA (empty: none).

    With --ucf101 or --hmdb51, on the set that you have: features of every frame (about 120 GB a stream for UCF101, 25
    GB for HMDB-51), five models on picture and flow each, motion, and two streams together.
    """
    budget = _budget(quick, full)
    given = {name: folder for name, folder in (("ucf101", ucf101), ("hmdb51", hmdb51)) if folder}
    if len(given) > 1:
        raise ValueError("--ucf101 and --hmdb51 exclude each other; give one of them")
    idle = (
        {"mnist", "only", "clips", "jobs"} if given else {"splits", "split", "pretrained", *(["clips"] if only else [])}
    )
    refuse_unused(context, idle if ucf101 else {*idle, "boxes"}, "here")
    if given:
        from onlooker_papers.videolstm.official import reproduce as reproduce_official

        ((name, root),) = given.items()
        run = run or Path("runs") / f"videolstm-{name}-{budget}"
        with stoppable():
            made = reproduce_official(
                run, name, root, splits, split, budget, results, pretrained=pretrained, boxes=boxes
            )
            typer.echo(f"report: {made}")
        return
    from onlooker_papers.sets import WAY, set_name, sets_at_hand
    from onlooker_papers.videolstm.reproduce import reproduce as reproduce_videolstm

    run = run or Path("runs") / f"videolstm-{budget}"
    if not clips and not only:
        clips = sets_at_hand()
        beside = f"and the clips at hand: {', '.join(map(set_name, clips))}" if clips else f"alone; {WAY}, or --clips"
        typer.echo(f"neither UCF101 nor HMDB-51 is given: on the moving target {beside}")
    with stoppable():
        made = reproduce_videolstm(run, mnist, budget, results, only, clips or (), jobs or None)
        typer.echo(f"{'figures' if only else 'report'}: {made}")


@_command
def figures(
    quick: Quick = False,
    full: Annotated[bool, typer.Option("--full", help="Five times the clips, twice the epochs.")] = False,
    run: Reproduced = None,
    results: Results = None,
) -> None:
    """Stick figures in rooms, drawn as video files: what, where and when from labels, scored by the truth."""
    from onlooker_papers.figures.reproduce import reproduce as reproduce_figures

    budget = _budget(quick, full)
    run = run or Path("runs") / f"figures-{budget}"
    with stoppable():
        typer.echo(f"report: {reproduce_figures(run, budget, results)}")


@_command
def hmdb10(
    context: typer.Context,
    hmdb51: Annotated[
        Path | None, typer.Option(help="The folder of HMDB-51: hmdb51_org.rar, or a folder a class.")
    ] = None,
    clips: Annotated[
        Path | None,
        typer.Option(help="Other clips in its place, one class a sub-folder. [default: real ones of $ONLOOKER_DATA]"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Minutes: ten clips a class, 8 frames, random weights, to see that it runs.")
    ] = False,
    classes: Annotated[
        str, typer.Option(help="Names of classes, with commas. [default: HMDB-51's first ten; all of --clips]")
    ] = "",
    epochs: Annotated[int, typer.Option(help="Passes through the training clips.")] = 10,
    pretrained: Annotated[
        bool, typer.Option(help="ImageNet weights, as published; without, or with --quick, random ones that stay.")
    ] = True,
    run: Annotated[
        Path | None, typer.Option(help="Where all goes, resumable. [default: runs/hmdb10, runs/hmdb10-CLIPS]")
    ] = None,
    results: Results = None,
) -> None:
    """Attention for HMDB-51 (Teja & Akunuri 2020): ten classes, VGG-16, context attention, ConvLSTM; frame by frame.

    Without HMDB-51 and without --clips, on real clips of $ONLOOKER_DATA: the set whose number
    of classes is nearest to ten.
    """
    from onlooker_papers.hmdb10 import reproduce as hmdb10_run
    from onlooker_papers.sets import set_name, set_path

    budget = hmdb10_run.QUICK if quick else hmdb10_run.PUBLISHED
    if not quick or "pretrained" in given_options(context):
        budget = dataclasses.replace(budget, pretrained=pretrained)
    budget = dataclasses.replace(budget, training=dataclasses.replace(budget.training, epochs=epochs))
    if hmdb51 is None and clips is None:
        clips = hmdb10_run.stand_in()
        typer.echo(f"HMDB-51 is not given: on the clips at hand, {set_path(clips)}; the published figure is not theirs")
    named = f"hmdb10-{set_name(clips)}" if clips else "hmdb10"
    run = run or Path("runs") / (f"{named}-quick" if quick else named)
    with stoppable():
        names = [name.strip() for name in classes.split(",") if name.strip()]
        typer.echo(f"report: {hmdb10_run.reproduce(run, hmdb51, clips, names, budget, results)}")


def _budget(quick: bool, full: bool) -> str:
    if quick and full:
        raise ValueError("--quick and --full exclude each other; give one of them, or none")
    return "quick" if quick else "full" if full else "standard"


@functools.partial(command, group=clips_group)
def target(
    folder: NewClips,
    clips: Annotated[int, typer.Option(help="Clips of each digit.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    mnist: Mnist = None,
) -> None:
    """Digits of which one moves, and its class is the label: video files, with truth.json (boxes, events)."""
    from onlooker.data.digits import load_digits
    from onlooker_papers.videolstm.moving_target import MovingTarget, write_set

    write_set(folder, clips, moving=MovingTarget(load_digits(mnist)[0]), seed=seed, progress=writing)
    typer.echo(f"clips: {folder}; to train on them: onlooker train {folder}")
