"""What each setting of the authors' code changes, alone and all together: ConvALSTM on the flow of J-HMDB, split 1.

`python -m onlooker_papers.videolstm.recipe` with `ONLOOKER_DATA`, after `onlooker_papers.videolstm.real_video jhmdb`,
with which it shares features, budget and seeds.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from onlooker.data.split import group_of
from onlooker.video.flow import flow
from onlooker.video.reader import VideoReader
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
    Variant(
        "together", {"glimpse": "product", "init": "clip-mean", "forget_bias": 0.0, **HEAD}, {**RMSPROP, "batch": 128}
    ),
)


# Setting; in the paper; in the authors' code; in the tables of real video; with `--full`; the variant that measures it.
SETTINGS = (
    ("encoder", "VGG-16, trained on ImageNet, then on images and flow of the set", "the same",
     "`small`, frozen; for flow trained on the split",
     "VGG-16 of ImageNet; trained on the split by `--fine-tuned`", ""),
    ("features", "pool5; fc7 for ConvNet and LSTM", "7×7×512; 4096", "7×7×64, principal components; their mean",
     "as the code", ""),
    ("flow", "TV-L1, clipped to ±20 pixels, 8 bit", "one field per frame", "DIS, one field per frame",
     "TV-L1 (`--flow` for others), one field per frame", "tv-l1"),
    ("recurrent width", None, "512", "32 channels, 128 units", "512", ""),
    ("width of the attention layer", None, "that of the state", "that of the state", "that of the state", ""),
    ("attended features", "attention × features", "the same", "× number of locations, too", "as the code", "product"),
    ("first state", None, "tanh(conv 3×3 (mean of the clip)); LSTM zeros", "zeros", "as the code", "clip-mean"),
    ("before the classes", None, "whole map, 1024 tanh, dropout .7; LSTMs: dropout .5 before and after",
     "mean of the map, dropout .5", "as the code", "head"),
    ("bias of forget gates", None, "0", "1", "as the code", "forget-bias"),
    ("optimizer", None, "RMSprop .001, decay .9, constant, no clipping", "AdamW .002, one cycle, norm clipped to 1",
     "as the code", "rmsprop"),
    ("batch", None, "128", "16", "128", "batch"),
    ("all six together", None, None, None, None, "together"),
    ("epochs", None, "200 (LSTMs), 300, 400 (motion); the best on the test list",
     "12, 6 (UCF101); the best on validation clips", "300; the best on validation clips", ""),
    ("a training sample", None, "30 consecutive frames", "16 frames of the whole clip", "as the code", ""),
    ("a test", None, "25 windows, mean over frames", "16 frames of the whole clip, mean over frames",
     "as the code", ""),
    ("short clips", None, "last frame repeated, and masked", "last frame repeated", "last frame repeated", ""),
    ("recurrent kernels", None, "Xavier", "orthogonal", "orthogonal", ""),
    ("`motion` begins with", "trained ConvLSTM (flow), ConvALSTM (RGB)", "a file that is not in the code",
     "as the paper; 1×1 kernels: the middle of 3×3", "the same", "motion"),
    ("first state of the flow in `motion`", None, "conv 1×1 of the mean of flow", "zeros",
     "conv 3×3 of the mean of both", ""),
    ("smoothing of attention over time", "used; kernel not given", "not in the code",
     "none; measured on several moving digits", "none", ""),
)  # fmt: skip


def compare_flow(clip: Path) -> dict[str, Any]:
    """TV-L1 and DIS on consecutive frames of a clip: seconds per pair, and how far their vectors are apart, in pixels.

    Raises:
        RuntimeError: this build of OpenCV has no TV-L1.
    """
    frames = VideoReader(clip).get(_first_frames).pixels
    found, seconds = {}, {}
    for method in ("tvl1", "dis"):
        began = time.perf_counter()
        found[method] = flow(frames, method)
        seconds[method] = (time.perf_counter() - began) / (len(frames) - 1)
    apart = np.linalg.norm(found["tvl1"] - found["dis"], axis=-1)
    return {
        "seconds": seconds,
        "pairs": len(frames) - 1,
        "size": list(frames.shape[1:3]),
        "difference": float(apart.mean()),
        "median_difference": float(np.median(apart)),
        "length": float(np.linalg.norm(found["tvl1"], axis=-1).mean()),
    }


def _first_frames(total: int) -> NDArray[np.int64]:
    return np.arange(min(total, 9))


def reproduce(run: Path, results: Path, seeds: int) -> dict[str, Any]:
    """Compute what is missing, and write the rows of `videolstm-recipe.json`.

    Raises:
        FileNotFoundError: the features are not there.
        ValueError: ONLOOKER_DATA is not set, or a run made with other settings.
    """
    of = RealSet(run / SET / "split1", SET, splits_of(SET)["split1"])
    recordings = [group_of(clip) for clip in of.split.test]
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
    tvl1: Annotated[bool, typer.Option(help="Compare TV-L1 with DIS alone; OpenCV's contrib build has it.")] = False,
) -> None:
    """Train the variants."""
    if tvl1:
        clip = splits_of(SET)["split1"].test[0]
        figures = compare_flow(clip.path)
        about = About(WHAT, COMMAND)
        write_rows(results, FILE, about, {("tv-l1",): Row({**figures, "clip": clip.path.stem})}, "--tvl1")
        return
    for name, of in reproduce(run, results, seeds).items():
        typer.echo(f"{name}: {of['accuracy']:.1%}, ours {of['ours']:.1%}")


if __name__ == "__main__":
    typer.run(main)
