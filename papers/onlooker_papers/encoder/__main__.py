"""`python -m onlooker_papers.encoder TINY_IMAGENET`: train the encoder `small`."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from onlooker.cli.command import command, stoppable

app = typer.Typer(add_completion=False)


def encoder(
    folder: Annotated[Path, typer.Argument(help="Tiny ImageNet, unpacked: has train/ and val/.")],
    run: Annotated[Path, typer.Option(help="Folder of the training, resumable.")] = Path("runs/encoder"),
    minutes: Annotated[float, typer.Option(help="Stop before the epoch that would not end in time.")] = float("inf"),
) -> None:
    """Train the encoder on Tiny ImageNet; hours on two cores, minutes on a GPU; resumable after each epoch."""
    from onlooker_papers.encoder.images import read_tiny_imagenet
    from onlooker_papers.encoder.train import Recipe, Training

    with stoppable():
        train, validation, classes = read_tiny_imagenet(folder)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        training = Training(run, Recipe(), len(classes), device)
        for line in training.fit(train, validation, minutes):
            typer.echo(
                f"epoch {line['epoch']}/{training.recipe.epochs}: loss {line['loss']:.3f}, "
                f"validation accuracy {line['accuracy']:.1%}, {line['minutes']:.1f} min"
            )


command(encoder, app)

if __name__ == "__main__":
    app()
