"""The effect of each setting of the authors' code, alone and all together: ConvALSTM on the flow of J-HMDB, split 1.

`python -m onlooker_papers.videolstm.recipe` with `ONLOOKER_DATA`, after `onlooker_papers.videolstm.real_video jhmdb`,
with which it shares features, budget and seeds.
"""

import time
from collections.abc import Mapping, Sequence
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
RMSPROP: Mapping[str, Any] = {"optimizer": "rmsprop-inside", "lr": 1e-3, "grad_clip": 0.0}
VARIANTS = (
    Variant("product", {"glimpse": "product"}),
    Variant("clip-mean", {"init": "clip-mean"}),
    Variant("head", HEAD),
    Variant("forget-bias", {"forget_bias": 0.0}),
    Variant("initial-weights", {"code_init": True}),
    Variant("rmsprop", {}, RMSPROP),
    Variant("batch", {}, {"batch": 128}),
    Variant(
        "together",
        {"glimpse": "product", "init": "clip-mean", "forget_bias": 0.0, "code_init": True, **HEAD},
        {**RMSPROP, "batch": 128},
    ),
)


# Setting; in the paper; in the authors' code; in the tables of real video; with `--full`; the variant to measure it.
SETTINGS = (
    ("encoder", "VGG-16, trained on ImageNet, then on images and flow of the set", "the same",
     "`small`, frozen; for flow trained on the split",
     "VGG-16 of ImageNet; trained on the split by `--fine-tuned`", ""),
    ("features", "pool5; fc7 for ConvNet and LSTM", "7×7×512; 4096",
     "7×7×64, principal components of variance 1; their mean", "as the code", ""),
    ("flow", "TV-L1, clipped to ±20 pixels, 8 bit", "one field per frame", "DIS, one field per frame",
     "TV-L1 (`--flow` for others), one field per frame", "tv-l1"),
    ("recurrent width", None, "512", "32 channels, 128 units", "512", ""),
    ("width of the attention layer", None,
     "that of the state (ConvALSTM) or of the features (ALSTM, motion); all are 512", "that of the state", "512", ""),
    ("attended features", "attention × features", "the same", "× number of locations, too", "as the code", "product"),
    ("first state", None,
     "ConvALSTM and motion: tanh(conv 3×3 (mean of the clip)); ALSTM: the same with a matrix; LSTM and ConvLSTM: zeros",
     "zeros", "as the code", "clip-mean"),
    ("before the classes", None, "whole map, 1024 tanh, dropout .7; LSTMs: dropout .5 before and after",
     "mean of the map, dropout .5", "as the code", "head"),
    ("bias of forget gates", None, "0", "1", "as the code", "forget-bias"),
    ("initial weights", None,
     "convolutions: U(±1/√input channels); attention and dense layers: U(±1/√outputs); LSTMs: N(0, 0.1)",
     "cells: Glorot, orthogonal from state to state; the rest: PyTorch", "as the code", "initial-weights"),
    ("optimizer", None, "RMSprop .001, decay .9, ε 1e-6 inside the root, constant, no clipping; the loss is a sum over "
     "30 frames", "AdamW .002, one cycle, norm clipped to 1", "as the code; mean over frames, ε / 30²", "rmsprop"),
    ("batch", None, "128", "16", "128", "batch"),
    ("all seven together", None, None, None, None, "together"),
    ("epochs", None, "LSTM, ALSTM 200; ConvLSTM 200 (RGB), 300 (flow); ConvALSTM 300; motion 400; the best on the test "
     "list, every 20 epochs (motion: 10)", "12, 6 (UCF101); the best on validation clips",
     "as the code, ConvNet 200; the best on validation clips", ""),
    ("a training sample", None, "30 consecutive frames; ConvALSTM on RGB: 15", "16 frames of the whole clip",
     "30 consecutive frames for all models", ""),
    ("a test", None, "25 windows, mean over frames", "16 frames of the whole clip, mean over frames",
     "as the code", ""),
    ("short clips", None, "last frame repeated; the mask only excludes empty places of the last batch",
     "last frame repeated", "as the code", ""),
    ("`motion` starts from", "trained ConvLSTM (flow), ConvALSTM (RGB)",
     "these, copied into a motion model that was trained before; 3×3 kernels into 1×1 layers as they are",
     "as the paper; 1×1 kernels: the middle of 3×3", "the same", "motion"),
    ("first state of the flow in `motion`", None, "conv 1×1 of the mean of flow", "zeros", "as the code", ""),
    ("motion ALSTM", None, "ALSTM on RGB, guided by an LSTM on flow fc7", "not available", "not available",
     ""),
    ("smoothing of attention over time", "used; kernel not given", "not in the code",
     "none; its effect is measured on several moving digits and on real boxes", "none", ""),
)  # fmt: skip


def compare_flow(clip: Path) -> dict[str, Any]:
    """TV-L1 and DIS on consecutive frames of a clip: seconds per pair, and the distance of their vectors in pixels.

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


def reproduce(run: Path, results: Path, seeds: int, only: Sequence[str] = ()) -> dict[str, Any]:
    """Compute what is missing, and write the rows of `videolstm-recipe.json`; of all variants, or only some.

    Raises:
        FileNotFoundError: the features do not exist.
        ValueError: an unknown variant, ONLOOKER_DATA is not set, or a run made with other settings.
    """
    if unknown := {*only} - {variant.name for variant in VARIANTS}:
        raise ValueError(f"no variant {', '.join(unknown)}; there are {', '.join(each.name for each in VARIANTS)}")
    of = RealSet(run / SET / "split1", SET, splits_of(SET)["split1"])
    recordings = [group_of(clip) for clip in of.split.test]
    ours = [Cell(of, MODEL, seed).figures() for seed in range(seeds)]
    rows: dict[tuple[str, ...], Row] = {}
    for variant in [each for each in VARIANTS if not only or each.name in only]:
        cells = [Cell(of, MODEL, seed, variant) for seed in range(seeds)]
        found = [cell.figures() for cell in cells]
        figures = {
            "accuracy": mean(each["accuracy"] for each in found),
            "ours": mean(each["accuracy"] for each in ours),
            "difference": difference([e["right"] for e in found], [e["right"] for e in ours], recordings),
            "parameters": found[0]["parameters"],
        }
        rows[(variant.name,)] = Row.of(figures, *(cell.folder.with_suffix(".json") for cell in cells))
    selected = " ".join(f"--only {name}" for name in only)
    write_rows(results, FILE, About(WHAT, COMMAND, range(seeds)), rows, selected)
    return {key[0]: row.figures for key, row in rows.items()}


def main(
    run: Annotated[Path, typer.Option(help="Folder of `real_video`.")] = Path("runs/videolstm-real"),
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 1,
    only: Annotated[list[str] | None, typer.Option(help="Only this variant; repeatable.")] = None,
    tvl1: Annotated[bool, typer.Option(help="Only compare TV-L1 with DIS; needs OpenCV's contrib build.")] = False,
) -> None:
    """Train the variants."""
    if tvl1:
        clip = splits_of(SET)["split1"].test[0]
        figures = compare_flow(clip.path)
        about = About(WHAT, COMMAND)
        write_rows(results, FILE, about, {("tv-l1",): Row({**figures, "clip": clip.path.stem})}, "--tvl1")
        return
    for name, of in reproduce(run, results, seeds, only or ()).items():
        typer.echo(f"{name}: {of['accuracy']:.1%}, ours {of['ours']:.1%}")


if __name__ == "__main__":
    typer.run(main)
