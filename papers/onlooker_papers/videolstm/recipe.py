"""What each setting of the authors' code changes, alone and all together: ConvALSTM on the flow of J-HMDB, split 1.

`python -m onlooker_papers.videolstm.recipe` with `ONLOOKER_DATA`, after `onlooker_papers.videolstm.real_video jhmdb`,
with which it shares features, budget and seeds.
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import typer

from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.results import About, Row, write_rows
from onlooker_papers.videolstm.on_features import Cell, RealSet, Variant
from onlooker_papers.videolstm.real_video import difference

FILE, SET, MODEL = "videolstm-recipe", "jhmdb", "convalstm-flow"
COMMAND = "python -m onlooker_papers.videolstm.recipe"
WHAT = "settings of the authors' code in place of those of the ablation on real video, one by one"
HEAD: Mapping[str, Any] = {"flatten": True, "head_units": 1024, "dropout": 0.7}
RMSPROP: Mapping[str, Any] = {"optimizer": "rmsprop", "lr": 1e-3, "grad_clip": 0.0}
VARIANTS = (
    Variant("product", {"glimpse": "product"}),
    Variant("clip-mean", {"init": "clip-mean"}),
    Variant("head", HEAD),
    Variant("forget-bias", {"forget_bias": 0.0}),
    Variant("rmsprop", {}, RMSPROP),
    Variant("batch", {}, {"batch": 128}),
    Variant("all", {"glimpse": "product", "init": "clip-mean", "forget_bias": 0.0, **HEAD}, {**RMSPROP, "batch": 128}),
)


def reproduce(run: Path, results: Path, seeds: int) -> dict[str, Any]:
    """Compute what is missing, and write the rows of `videolstm-recipe.json`.

    Raises:
        FileNotFoundError: the features are not there.
        ValueError: ONLOOKER_DATA is not set, or a run made with other settings.
    """
    of = RealSet(run / SET / "split1", SET, splits_of(SET)["split1"])
    recordings = [clip.recording or str(clip.path) for clip in of.split.test]
    ours = [Cell(of, MODEL, seed).figures() for seed in range(seeds)]
    rows: dict[tuple[str, ...], Row] = {}
    for variant in VARIANTS:
        cells = [Cell(of, MODEL, seed, variant) for seed in range(seeds)]
        found = [cell.figures() for cell in cells]
        figures = {
            "accuracy": mean(each["accuracy"] for each in found),
            "ours": mean(each["accuracy"] for each in ours),
            "difference": difference([e["right"] for e in found], [e["right"] for e in ours], recordings),
            "parameters": found[0]["parameters"],
        }
        rows[(variant.name,)] = Row.of(figures, *(cell.folder.with_suffix(".json") for cell in cells))
    write_rows(results, FILE, About(WHAT, COMMAND, range(seeds)), rows)
    return {key[0]: row.figures for key, row in rows.items()}


def main(
    run: Annotated[Path, typer.Option(help="Folder of `real_video`.")] = Path("runs/videolstm-real"),
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 1,
) -> None:
    """Train the variants."""
    for name, of in reproduce(run, results, seeds).items():
        typer.echo(f"{name}: {of['accuracy']:.1%}, ours {of['ours']:.1%}")


if __name__ == "__main__":
    typer.run(main)
