"""`onlooker reproduce …`: the command line of the published systems."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import Annotated

import typer

from onlooker.cli.command import command, given_options, refuse_unused, stoppable, writing
from onlooker.cli.options import NewClips

group, clips_group = typer.Typer(), typer.Typer()
_command = functools.partial(command, group=group)


def register(reproduce: typer.Typer, generate: typer.Typer) -> None:
    """Add these commands to the groups of the library; `onlooker.cli` calls this function through the entry point."""
    reproduce.add_typer(group)
    generate.add_typer(clips_group)


Quick = Annotated[bool, typer.Option("--quick", help="A small run of everything, in minutes.")]
Reproduced = Annotated[
    Path | None, typer.Option(help="Folder of the run; an interrupted run is resumed. Default: runs/NAME-BUDGET.")
]
Mnist = Annotated[
    Path | None, typer.Option(help="MNIST's four idx files, or torchvision's folder.", show_default="5,000 digits")
]
Results = Annotated[Path | None, typer.Option(help="Folder of the results files.")]


@_command
def digits(
    quick: Quick = False,
    full: Annotated[bool, typer.Option("--full", help="The published budgets: for a GPU, or days on a CPU.")] = False,
    protocol: Annotated[str, typer.Option(help="paper, held-out, or all.")] = "all",
    mnist: Mnist = None,
    clips: Annotated[
        Path | None, typer.Option(help="Also train on hand gestures in this folder, one sub-folder per class.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Compute only these rows, such as 'held-out/gesture/*', without the page. May be repeated."),
    ] = None,
    run: Reproduced = None,
    results: Results = None,
) -> None:
    """Digits in motion (Shan & Atanasov 2017): the published protocol, what it measures, and unseen digits."""
    budget = _budget(quick, full)
    # Weights of hundreds of megabytes are updated at every step; with large memory pages, this takes half the time.
    # PyTorch reads this variable when it is loaded.
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
    ucf101: Annotated[Path | None, typer.Option(help="Folder of UCF101: train the published models on it.")] = None,
    hmdb51: Annotated[Path | None, typer.Option(help="Folder of HMDB-51, unpacked or not: train on it.")] = None,
    splits: Annotated[
        Path | None, typer.Option(help="Folder of the official split files. Default: the folder of the data set.")
    ] = None,
    split: Annotated[int, typer.Option(help="Official split: 1, 2 or 3.")] = 1,
    clips: Annotated[
        list[Path] | None,
        typer.Option(
            help="Real clips, one sub-folder per class: train the same models on them. Repeatable. Default: all of "
            "$ONLOOKER_DATA."
        ),
    ] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="With --ucf101: finalAnnots.mat of UCF101-24, or its folder, to score boxes.")
    ] = None,
    flow: Annotated[
        str | None,
        typer.Option(help="With --ucf101 or --hmdb51: method of optical flow. Default: dis; with --full, tvl1."),
    ] = None,
    pretrained: Annotated[bool, typer.Option(help="Use ImageNet weights, as published; otherwise random ones.")] = True,
    fine_tuned: Annotated[
        bool,
        typer.Option(
            "--fine-tuned",
            help="With --ucf101 or --hmdb51: train the encoders on the split's images and flow first, as published.",
        ),
    ] = False,
    only: Annotated[
        str | None, typer.Option(help="Compute only `segments`, or only the rows of one model, without the page.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(help="Trainings in parallel; 0: as many as GPUs, or cores and memory (4 GB each), allow.")
    ] = 0,
    run: Reproduced = None,
    results: Results = None,
) -> None:
    """VideoLSTM (Li et al. 2016): the ablation up to motion-based attention, on a moving target and on real clips.

    The real clips are those of --clips, else all sets in $ONLOOKER_DATA (if it is empty, none).

    With --ucf101 or --hmdb51, the ablation runs on this data set instead: features of every frame (about 120 GB per
    stream for UCF101, 25 GB for HMDB-51), five models each on RGB and on flow, motion, and ensembles of two streams.
    """
    budget = _budget(quick, full)
    if ucf101 and hmdb51:
        raise ValueError("--ucf101 and --hmdb51 exclude each other; give one of them")
    if name := "ucf101" if ucf101 else "hmdb51" if hmdb51 else "":
        refuse_unused(context, {"mnist", "only", "clips", "jobs", *([] if ucf101 else ["boxes"])}, "here")
        from onlooker.config import DataConfig
        from onlooker_papers.videolstm.official import reproduce as reproduce_official

        run, root = run or Path("runs") / f"videolstm-{name}-{budget}", ucf101 or hmdb51
        method = DataConfig.from_dict({"flow": flow}).flow if flow else None
        assert root is not None
        with stoppable():
            page = reproduce_official(
                run, name, root, splits, split, budget, results, False, pretrained, boxes, method, fine_tuned
            )
            typer.echo(f"report: {page}")
        return
    refuse_unused(
        context, {"splits", "split", "pretrained", "boxes", "flow", "fine_tuned", *(["clips"] if only else [])}, "here"
    )
    from onlooker_papers.videolstm.reproduce import reproduce as reproduce_videolstm

    clips, run = clips or ([] if only else _clips_of_data_folder()), run or Path("runs") / f"videolstm-{budget}"
    with stoppable():
        made = reproduce_videolstm(run, mnist, budget, results, only, clips, jobs or None)
        typer.echo(f"{'figures' if only else 'report'}: {made}")


def _clips_of_data_folder() -> list[Path]:
    from onlooker_papers.sets import WAY, available_sets, set_name

    clips = available_sets()
    also = (
        f"and the clips in $ONLOOKER_DATA: {', '.join(map(set_name, clips))}" if clips else f"alone; {WAY}, or --clips"
    )
    typer.echo(f"neither UCF101 nor HMDB-51 is given: on the moving target {also}")
    return clips


@_command
def figures(
    quick: Quick = False,
    full: Annotated[bool, typer.Option("--full", help="Five times the clips, twice the epochs.")] = False,
    run: Reproduced = None,
    results: Results = None,
) -> None:
    """Stick figures: what, where and when from labels alone, scored by the ground truth."""
    from onlooker_papers.figures.reproduce import reproduce as reproduce_figures

    budget = _budget(quick, full)
    run = run or Path("runs") / f"figures-{budget}"
    with stoppable():
        typer.echo(f"report: {reproduce_figures(run, budget, results)}")


@_command
def hmdb10(
    context: typer.Context,
    hmdb51: Annotated[
        Path | None, typer.Option(help="Folder of HMDB-51: hmdb51_org.rar, or one folder per class.")
    ] = None,
    clips: Annotated[
        Path | None,
        typer.Option(help="Other clips instead, one sub-folder per class. Default: real clips of $ONLOOKER_DATA."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A small run, in minutes: ten clips per class, 8 frames, random weights.")
    ] = False,
    classes: Annotated[
        str, typer.Option(help="Comma-separated class names. Default: the first ten of HMDB-51, or all of --clips.")
    ] = "",
    epochs: Annotated[int, typer.Option(help="Number of epochs of --quick; otherwise those of the report.")] = 10,
    pretrained: Annotated[
        bool,
        typer.Option(
            help="Use ImageNet weights, as published; otherwise, and with --quick, random weights that stay fixed."
        ),
    ] = True,
    run: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run; an interrupted run is resumed. Default: runs/hmdb10 or runs/hmdb10-CLIPS."
        ),
    ] = None,
    results: Results = None,
) -> None:
    """Attention for HMDB-51 (Teja & Akunuri 2020): ten classes, VGG-16, context attention, ConvLSTM.

    Accuracy is measured on single frames, as published.

    Without --hmdb51 and --clips, the command uses the set in $ONLOOKER_DATA whose number of classes is nearest to ten.
    """
    from onlooker_papers.hmdb10 import reproduce as hmdb10_run
    from onlooker_papers.sets import set_name, set_path

    budget = hmdb10_run.QUICK if quick else hmdb10_run.PUBLISHED
    given = given_options(context)
    published = budget.training.epochs
    if "epochs" not in given:
        epochs = published
    elif not quick and epochs != published:
        how = f"batches of {budget.training.batch} clips, {budget.data.frames} frames per clip"
        raise ValueError(
            f"--epochs {epochs}: the report trains for about {published} epochs ({how}); leave it out, add --quick, or "
            "train with your own settings: `onlooker compare DIR --models report,convnet`"
        )
    if not quick or "pretrained" in given:
        budget = dataclasses.replace(budget, pretrained=pretrained)
    budget = dataclasses.replace(budget, training=dataclasses.replace(budget.training, epochs=epochs))
    if hmdb51 is None and clips is None:
        clips = hmdb10_run.stand_in()
        typer.echo(
            f"HMDB-51 is not given: on the clips of $ONLOOKER_DATA, {set_path(clips)}; "
            "the published figure is not theirs"
        )
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
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    mnist: Mnist = None,
) -> None:
    """Clips of several digits, of which the moving one is the label: video files, and truth.json (boxes, events)."""
    from onlooker_papers.mnist import load_mnist
    from onlooker_papers.videolstm.moving_target import MovingTarget, write_set

    write_set(folder, clips, moving=MovingTarget(load_mnist(mnist)[0]), seed=seed, progress=writing)
    typer.echo(f"clips: {folder}; to train on them: onlooker train {folder}")
