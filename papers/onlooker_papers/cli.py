"""`onlooker reproduce …`: the command line of the published systems."""

import functools
import os
from pathlib import Path
from typing import Annotated

import typer

from onlooker.cli.command import command, refuse_unused

group = typer.Typer()
_command = functools.partial(command, group=group)


def register(reproduce: typer.Typer) -> None:
    """Add these commands to those of the library; `onlooker.cli` calls this function through the
    entry point.
    """
    reproduce.add_typer(group)


Quick = Annotated[bool, typer.Option("--quick", help="A small run of everything, in minutes.")]
Smoke = Annotated[
    bool,
    typer.Option("--smoke", help="One training step of everything, in seconds, to try all parts."),
]
Reproduced = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the run; an interrupted run is resumed. Default: runs/NAME-BUDGET."
    ),
]
Mnist = Annotated[
    Path | None,
    typer.Option(
        help="MNIST's four idx files, or torchvision's folder.", show_default="5,000 digits"
    ),
]
Results = Annotated[Path | None, typer.Option(help="Folder of the results files.")]


@_command
def digits(
    quick: Quick = False,
    *,
    smoke: Smoke = False,
    protocol: Annotated[str, typer.Option(help="paper, held-out, or all.")] = "all",
    mnist: Mnist = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Compute only these rows, such as 'held-out/gesture/*', without the page. May be repeated."
        ),
    ] = None,
    run: Reproduced = None,
    results: Results = None,
) -> None:
    """Digits in motion (Shan & Atanasov 2017): the published protocol, what it measures, and unseen
    digits.
    """
    budget = _budget("standard", quick=quick, smoke=smoke)
    # Weights of hundreds of megabytes are updated at every step; with large memory pages, this
    # takes half the time. PyTorch reads this variable when it is loaded.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from onlooker_papers.digits.reproduce import reproduce as reproduce_digits

    run = run or Path("runs") / f"digits-{budget}"
    made = reproduce_digits(
        run, mnist=mnist, budget=budget, protocol=protocol, results=results, only=only or ()
    )
    if only:
        typer.echo(f"figures: {made}")
    else:
        _finished("digits", made)


@_command
def videolstm(
    context: typer.Context,
    *,
    quick: Quick = False,
    smoke: Smoke = False,
    full: Annotated[
        bool, typer.Option("--full", help="With a data set: the settings of the authors' code.")
    ] = False,
    mnist: Mnist = None,
    ucf101: Annotated[
        Path | None, typer.Option(help="Folder of UCF101: train the published models on it.")
    ] = None,
    hmdb51: Annotated[
        Path | None, typer.Option(help="Folder of HMDB-51, unpacked: train on it.")
    ] = None,
    splits: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the official split files. Default: the folder of the data set."
        ),
    ] = None,
    split: Annotated[int, typer.Option(help="Official split: 1, 2 or 3.")] = 1,
    pretrained: Annotated[
        bool, typer.Option(help="Use ImageNet weights, as published; otherwise random ones.")
    ] = True,
    run: Reproduced = None,
    results: Results = None,
) -> None:
    """VideoLSTM (Li et al. 2016): the ablation up to motion-based attention, on a moving target.

    With --ucf101 or --hmdb51, the ablation runs on this data set instead: features of every frame
    (about 120 GB per stream for UCF101, 25 GB for HMDB-51), five models each on RGB and on flow,
    motion, and ensembles of two streams. With --full, the encoders are trained on the split first.
    """
    budget = _budget("standard", quick=quick, smoke=smoke, full=full)
    if ucf101 and hmdb51:
        raise ValueError("--ucf101 and --hmdb51 exclude each other; give one of them")
    if root := ucf101 or hmdb51:
        name = "ucf101" if ucf101 else "hmdb51"
        refuse_unused(context, {"mnist", "smoke"}, "here")
        from onlooker_papers.videolstm.official import reproduce as on_set

        run = run or Path("runs") / f"videolstm-{name}-{budget}"
        _finished(
            "videolstm",
            on_set(
                run,
                name,
                root,
                lists=splits,
                split=split,
                budget=budget,
                results=results,
                pretrained=pretrained,
            ),
        )
        return
    refuse_unused(context, {"splits", "split", "pretrained", "full"}, "here")
    from onlooker_papers.videolstm.reproduce import reproduce as on_target

    run = run or Path("runs") / f"videolstm-{budget}"
    _finished("videolstm", on_target(run, mnist=mnist, budget=budget, results=results))


@_command
def hmdb10(
    hmdb51: Annotated[
        Path | None, typer.Option(help="Folder of HMDB-51, unpacked: one folder per class.")
    ] = None,
    *,
    clips: Annotated[
        Path | None, typer.Option(help="Other clips instead, one sub-folder per class.")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="A small run, in minutes: ten clips per class, 8 frames, random weights.",
        ),
    ] = False,
    smoke: Smoke = False,
    classes: Annotated[
        str,
        typer.Option(
            help="Comma-separated class names. Default: the first ten of HMDB-51, or all of --clips."
        ),
    ] = "",
    run: Reproduced = None,
    results: Results = None,
) -> None:
    """Attention for HMDB-51 (Teja & Akunuri 2020): ten classes, VGG-16, context attention,
    ConvLSTM.

    Accuracy is measured on single frames, as published.
    """
    from onlooker_papers.hmdb10.reproduce import BUDGETS, generated_clips
    from onlooker_papers.hmdb10.reproduce import reproduce as reproduce_hmdb10

    budget = _budget("published", quick=quick, smoke=smoke)
    run = run or Path("runs") / f"hmdb10-{budget}"
    names = [name.strip() for name in classes.split(",") if name.strip()]
    if smoke and not (hmdb51 or clips):
        clips = generated_clips(run)
    made = reproduce_hmdb10(
        run, hmdb51=hmdb51, clips=clips, classes=names, budget=BUDGETS[budget], results=results
    )
    _finished("hmdb10", made)


def _budget(usual: str, **flags: bool) -> str:
    """The budget whose flag is given, else the usual one.

    Raises:
        ValueError: several flags.
    """
    given = [name for name, is_given in flags.items() if is_given]
    if len(given) > 1:
        names = " and ".join(f"--{name}" for name in given)
        raise ValueError(f"{names} exclude each other; give one of them, or none")
    return given[0] if given else usual


def _finished(paper: str, report: Path) -> None:
    """Print the paper's claims, and where the report is."""
    from onlooker_papers.claims import print_claims

    print_claims(paper)
    typer.echo(f"report: {report}")
