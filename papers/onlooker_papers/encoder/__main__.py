"""`python -m onlooker_papers.encoder IMAGES`: train the encoder `small` or `small-free`, or export
its weights.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer

from onlooker.cli.command import command

app = typer.Typer(add_completion=False)


def encoder(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Tiny ImageNet (has train/ and val/) or Caltech-101 (has 101_ObjectCategories/)."
        ),
    ],
    *,
    run: Annotated[Path, typer.Option(help="Folder of the training, resumable.")] = Path(
        "runs/encoder"
    ),
    export: Annotated[
        Path | None,
        typer.Option(
            help="Write the weights in the form that the package contains, and the results."
        ),
    ] = None,
    results: Annotated[
        Path, typer.Option(help="With --export: folder of the results files.")
    ] = Path("results"),
    figure: Annotated[
        Path | None, typer.Option(help="With --export: PNG of the training curve.")
    ] = None,
) -> None:
    """Train the encoder on a set of images, by its recipe; hours on two cores, minutes on a GPU.

    Resumable after each epoch.
    """
    from onlooker_papers.encoder.export import draw, record
    from onlooker_papers.encoder.export import export as export_weights
    from onlooker_papers.encoder.images import list_images, read_images
    from onlooker_papers.encoder.train import CALTECH_101, TINY_IMAGENET, EncoderTraining

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    files, held_back, classes = list_images(folder)
    free = (folder / "101_ObjectCategories").is_dir()
    recipe = CALTECH_101 if free else TINY_IMAGENET
    validation = read_images(held_back, classes)
    if export is not None:
        figures = export_weights(
            run,
            export,
            name="small-free" if free else "small",
            validation=validation,
            train_images=len(files),
            device=device,
        )
        typer.echo(
            f"{export}: {figures['megabytes']:.2f} MB, validation accuracy {figures['accuracy']:.1%}"
        )
        typer.echo(record("encoder-free" if free else "encoder", figures, results))
        if figure is not None:
            draw(figures, figure)
        return
    training = EncoderTraining(run, recipe, num_classes=len(classes), device=device)
    for line in training.fit(read_images(files, classes, recipe.image_size), validation):
        typer.echo(
            f"epoch {line['epoch']}/{recipe.epochs}: loss {line['loss']:.3f}, "
            f"validation accuracy {line['accuracy']:.1%}, {line['minutes']:.1f} min"
        )


command(encoder, app)

if __name__ == "__main__":
    app()
