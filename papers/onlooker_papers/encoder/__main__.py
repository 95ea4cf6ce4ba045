"""`python -m onlooker_papers.encoder TINY_IMAGENET`: train the encoder `small`, or export its weights."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from onlooker.cli.command import command, stoppable

app = typer.Typer(add_completion=False)


def encoder(
    folder: Annotated[Path, typer.Argument(help="Tiny ImageNet, unpacked: has train/ and val/.")],
    run: Annotated[Path, typer.Option(help="Folder of the training, resumable.")] = Path("runs/encoder"),
    export: Annotated[
        Path | None, typer.Option(help="Write the weights in the form that the package contains, and the results.")
    ] = None,
    results: Annotated[Path, typer.Option(help="With --export: folder of the results files.")] = Path("results"),
    figure: Annotated[Path, typer.Option(help="With --export: PNG of the training curve.")] = Path(
        "docs/encoder-training.png"
    ),
) -> None:
    """Train the encoder on Tiny ImageNet; hours on two cores, minutes on a GPU; resumable after each epoch."""
    from onlooker_papers.encoder.export import export as export_weights
    from onlooker_papers.encoder.export import record
    from onlooker_papers.encoder.images import list_tiny_imagenet, read_images
    from onlooker_papers.encoder.train import Recipe, Training

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    files, held_back, classes = list_tiny_imagenet(folder)
    validation = read_images(held_back, classes)
    if export is not None:
        figures = export_weights(run, export, validation, len(files), device)
        typer.echo(f"{export}: {figures['megabytes']:.2f} MB, validation accuracy {figures['accuracy']:.1%}")
        typer.echo(record(figures, results, figure))
        return
    with stoppable():
        training = Training(run, Recipe(), len(classes), device)
        for line in training.fit(read_images(files, classes), validation):
            typer.echo(
                f"epoch {line['epoch']}/{training.recipe.epochs}: loss {line['loss']:.3f}, "
                f"validation accuracy {line['accuracy']:.1%}, {line['minutes']:.1f} min"
            )


command(encoder, app)

if __name__ == "__main__":
    app()
