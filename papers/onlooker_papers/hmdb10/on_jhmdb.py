"""The HMDB-51 report's system on ten classes of J-HMDB, whose clips come from HMDB-51, with the
shipped encoder.

`python -m onlooker_papers.hmdb10.on_jhmdb` with `ONLOOKER_DATA`: 30 frames per clip, the report's
proportions of training, validation and test clips (each source video in one split), frame accuracy
over five draws of the split. The report names two of its ten classes, brush_hair and cartwheel. The
latter is not in J-HMDB, so the first ten classes in alphabetical order are used. The page with
curves and heat maps is in the folder of the run. `--encoder lite0` adds the row of an encoder with
ImageNet weights, at the size of its frames.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from onlooker import Clip
from onlooker.base.config import DataConfig, TrainConfig
from onlooker.base.files import write_bytes
from onlooker_papers.hmdb10 import tables
from onlooker_papers.hmdb10.curves import loss_curves
from onlooker_papers.hmdb10.draws import TRAINING, Draw, compare, curves_of, write_page
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.results import WHOLE, About, Row, write_rows
from onlooker_papers.sheet import to_png

FILE = tables.REAL
SET = "jhmdb"
COMMAND = "python -m onlooker_papers.hmdb10.on_jhmdb"
WHAT = "the HMDB-51 report's system on ten classes of J-HMDB: frames classified correctly, five draws of the split"
DRAWS = 5
CLASSES = 10
DATA = DataConfig(frames=30, size=112, translate=0.0, scale=0.0)
ENCODER = "small"


def ten_classes(clips: Sequence[Clip]) -> list[Clip]:
    """The clips of the first ten classes in alphabetical order."""
    chosen = sorted({clip.label for clip in clips})[:CLASSES]
    return [clip for clip in clips if clip.label in chosen]


def reproduce(
    run: Path,
    results: Path,
    *,
    draws: int = DRAWS,
    training: TrainConfig = TRAINING,
    encoder: str = ENCODER,
) -> dict[str, Any]:
    """Compute what is missing, write the row of an encoder in `hmdb10-real.json` and the page.

    Raises:
        ValueError: ONLOOKER_DATA is not set, or a run made with other settings.
        ClipError: there is no J-HMDB, or a clip cannot be read.
    """
    clips = ten_classes(next(iter(splits_of(SET).values())).clips)
    every = [
        Draw(run, clips, number, sampling=DATA, training=training, encoder=encoder)
        for number in range(draws)
    ]
    figures, memos = compare(every)
    shipped = encoder == ENCODER
    key = WHOLE if shipped else (encoder,)
    only = "" if shipped else f"--encoder {encoder}"
    about = About(WHAT, COMMAND, range(draws))
    write_rows(results, FILE, about=about, rows={key: Row.of(figures, *memos)}, only=only)
    table = tables.of_draws(figures)
    write_page(every, figures, about=f"{draws} draws of the split", text=f"{WHAT}.", table=table)
    return figures


def main(
    draws: Annotated[int, typer.Option(help="Draws of the split.", min=2, max=5)] = DRAWS,
    encoder: Annotated[str, typer.Option(help="The frozen encoder, such as lite0.")] = ENCODER,
) -> None:
    """Train the report's model, and the models that it is compared with, on every draw."""
    run = Path("runs/hmdb10-jhmdb")
    if encoder != ENCODER:
        run /= encoder
    figures = reproduce(run, Path("results"), draws=draws, encoder=encoder)
    if encoder == ENCODER:
        write_bytes(Path("docs/hmdb10-curves.png"), to_png(loss_curves(curves_of(figures))))
    low, high = figures["interval"]
    typer.echo(f"frames correct: {figures['frame_accuracy']:.1%} ({low:.1%} to {high:.1%})")


if __name__ == "__main__":
    typer.run(main)
