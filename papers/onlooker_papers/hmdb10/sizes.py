"""The HMDB-51 report's model by batch size, which the report compares without a table, and by its width.

`python -m onlooker_papers.hmdb10.sizes` with `ONLOOKER_DATA`: `report` on draws of ten classes of J-HMDB. Features,
budget and learning rate are those of `onlooker_papers.hmdb10.on_jhmdb`; all sizes have the same number of epochs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import typer

from onlooker.config import TrainConfig
from onlooker.data.split import group_of
from onlooker_papers.hmdb10 import on_jhmdb
from onlooker_papers.hmdb10.disturbed import chosen_rates
from onlooker_papers.hmdb10.on_jhmdb import ATTENTION, BATCH, MODELS, TRAINING, Draw
from onlooker_papers.results import About, Row, write_rows
from onlooker_papers.videolstm.real_video import over_recordings

FILE = "hmdb10-sizes"
COMMAND = "python -m onlooker_papers.hmdb10.sizes"
WHAT = "the HMDB-51 report's system on ten classes of J-HMDB: sizes of the batch, and number of channels"


@dataclass(frozen=True)
class Size:
    """A variant of `report`: its number of channels and its batch size."""

    channels: int = MODELS[ATTENTION]
    batch: int = BATCH

    def of(self, draw: Draw) -> Draw:
        """A draw with this size."""
        width = self.channels if self.channels != MODELS[ATTENTION] else 0
        return replace(draw, training=replace(draw.training, batch=self.batch), width=width)

    @property
    def name(self) -> str:
        """The name of its row."""
        return f"{self.channels} channels, batch {self.batch}"


REPORT = Size()
SIZES = (Size(batch=60), Size(batch=5), Size(channels=64))
NARROW = tuple(size for size in SIZES if size.channels == REPORT.channels)
DRAWS = 3


def reproduce(
    run: Path,
    results: Path,
    draws: int = DRAWS,
    training: TrainConfig = TRAINING,
    sizes: Sequence[Size] = SIZES,
) -> dict[str, Any]:
    """Compute the missing figures of these sizes and of the report's size, and write the rows of `hmdb10-sizes.json`.

    Raises:
        FileNotFoundError: `on_jhmdb` has not been run.
        ValueError: ONLOOKER_DATA is not set, or a run made with other settings.
        ClipError: there is no J-HMDB, or a clip cannot be read.
    """
    rate = chosen_rates(results)[ATTENTION]
    every = on_jhmdb.every_draw(run, draws, training)
    recordings = [group_of(clip) for draw in every for clip in draw.split.test]
    rows: dict[tuple[str, ...], Row] = {}
    of_report: list[float] = []
    for size in (REPORT, *sizes):
        of_size = [size.of(draw) for draw in every]
        cells = [draw.figures(ATTENTION, rate) for draw in of_size]
        each = [cell["frame_accuracy"] for cell in cells]
        frames = [share for cell in cells for share in cell["frames"]["test"]]
        of_report = of_report or frames
        figures = {
            "frame_accuracy": mean(each),
            "each": each,
            "accuracy": mean(cell["accuracy"] for cell in cells),
            **{side: mean(cell[side] for cell in cells) for side in ("training", "validation")},
            "parameters": cells[0]["parameters"],
            "channels": size.channels,
            "batch": size.batch,
            "lr": rate,
            "epoch": cells[0]["epoch"],
            "over_report": over_recordings(np.subtract(frames, of_report), recordings),
            "test_clips": len(frames),
        }
        rows[(size.name,)] = Row.of(figures, *(d.folder(ATTENTION, rate).with_suffix(".json") for d in of_size))
    options = [
        *([f"--draws {draws}"] if draws != DRAWS else []),
        *(["--no-wide"] if list(sizes) == list(NARROW) else []),
    ]
    made_by = " ".join([COMMAND, *options])
    write_rows(results, FILE, About(WHAT, COMMAND, range(draws)), rows, made_by=made_by)
    return {key[0]: row.figures for key, row in rows.items()}


def main(
    run: Annotated[Path, typer.Option(help="Folder of `on_jhmdb`.")] = Path("runs/hmdb10-jhmdb"),
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
    draws: Annotated[int, typer.Option(help="Draws of the split.", min=1, max=5)] = DRAWS,
    wide: Annotated[bool, typer.Option(help="Also train with 64 channels.")] = True,
) -> None:
    """Train all sizes on every draw."""
    for name, of in reproduce(run, results, draws, sizes=SIZES if wide else NARROW).items():
        typer.echo(f"{name}: {of['frame_accuracy']:.1%}")


if __name__ == "__main__":
    typer.run(main)
