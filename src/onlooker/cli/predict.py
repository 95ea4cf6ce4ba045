"""The commands that answer with a trained model: each is a few lines around one function of the library."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from onlooker.cli.command import RunArgument, command, stoppable
from onlooker.config import StreamConfig

group = typer.Typer()
_command = functools.partial(command, group=group)


@_command
def predict(
    run: RunArgument,
    clips: Annotated[
        list[Path], typer.Argument(help="Video files, or folders of numbered pictures.", show_default=False)
    ],
    overlay: Annotated[
        Path | None,
        typer.Option(help="Write the clip with what the model saw: .mp4 or .gif; a folder for several clips."),
    ] = None,
    timeline: Annotated[
        Path | None, typer.Option(help="Draw the classes' probabilities against time: .png or .svg, for one clip.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write scores and attention of each frame looked at here.")] = None,
) -> None:
    """What happens in a clip, at each frame looked at; those that cannot be read are named, the others answered."""
    from onlooker.runs.predict import predict_clips

    failed = predict_clips(run, clips, overlay, json, timeline)
    if failed:
        raise typer.Exit(1)


@_command
def localize(
    run: RunArgument,
    clips: Annotated[
        list[Path], typer.Argument(help="Video files, or folders of numbered pictures.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="A folder for what is found.")] = Path("localized"),
    min_score: Annotated[float, typer.Option(help="Minimum probability of a class in the whole clip.")] = 0.3,
) -> None:
    """Where and when it happens: boxes and times in JSON (COCO, ActivityNet) and MOT's form, and a drawn clip."""
    from onlooker.runs.localize import localize_clips

    failed = localize_clips(run, clips, out, min_score)
    if len(failed) < len(clips):
        typer.echo(f"boxes, times and drawn clips: {out}")
    if failed:
        raise typer.Exit(1)


@_command
def watch(
    run: RunArgument,
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Cameras by their numbers (0 is the first), addresses (rtsp, tcp, http, ...), video files; several "
            "are watched at once.",
            show_default=False,
        ),
    ],
    stream: StreamConfig,
    json: Annotated[bool, typer.Option("--json", help="A JSON object a line, for every frame.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Record each source into this folder, with what is seen drawn on it (mp4).")
    ] = None,
) -> None:
    """What happens now: a line when the most probable class changes, an event begins or ends, and every second."""
    from onlooker.runs.watch import watch_sources

    with stoppable():
        failed = watch_sources(run, sources, stream, json, out)
    if failed:
        raise typer.Exit(1)


@_command
def export(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(help="A folder for the files. [default: RUN/export]")] = None,
    quantize: Annotated[bool, typer.Option("--quantize", help="Also write the step in 8 bits.")] = False,
    clips: Annotated[
        Path | None, typer.Option(help="Evaluate what is written on this folder of clips, one class a sub-folder.")
    ] = None,
) -> None:
    """Write the step (frame, state → scores, attention, state) as ONNX, for programs without PyTorch."""
    from onlooker.export import export_run

    folder = out or run / "export"
    written = export_run(run, folder, quantize, clips)
    compared = written["compared"]
    typer.echo(f"differs by {compared['largest_difference']:.1e} at most over {compared['frames']} frames")
    for error in written.get("tested", {}).get("skipped", []):
        typer.secho(f"left out: {error}", fg="yellow", err=True)
    for name, file in written["files"].items():
        accuracy = f", {100 * file['accuracy']:.1f} % of {written['tested']['clips']} clips" if clips else ""
        typer.echo(f"{folder / name}: {file['bytes'] / 1e6:.2f} MB{accuracy}")


@_command
def models() -> None:
    """The models, with their parameters, their features and what they are for."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from onlooker.models.registry import MODELS, create_model
    from onlooker.models.video_model import count_parameters

    table = Table(
        "model",
        "parameters",
        "features",
        "what for",
        caption="encoder conv4, 10 classes; features: numbers that the classes are told from; torchvision:NAME is any "
        "other of its video networks",
    )
    for name, recipe in MODELS.items():
        with torch.device("meta"):  # to count them, weights need no memory
            model = create_model(name, 10)
        table.add_row(name, f"{count_parameters(model):,}", str(model.num_features), recipe.summary)
    Console().print(table)
