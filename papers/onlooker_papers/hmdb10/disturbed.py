"""The accuracy that the HMDB-51 report's system loses by its named weaknesses: camera motion, noise, more people.

`python -m onlooker_papers.hmdb10.disturbed` with `ONLOOKER_DATA`, after `onlooker_papers.hmdb10.on_jhmdb`, with which
it shares features and trainings. The models are trained on unchanged clips and tested on disturbed ones.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.progress import track

from onlooker.config import DataConfig, TrainConfig
from onlooker.data.split import group_of
from onlooker.experiments.memo import fingerprint, memo
from onlooker.models.video_model import VideoModel
from onlooker.recognizer import Recognizer, load
from onlooker.runs.features import open_stores
from onlooker.training.forward import encode_samples
from onlooker.video.reader import VideoReader
from onlooker.video.sampling import equally_spaced
from onlooker_papers.hmdb10 import on_jhmdb
from onlooker_papers.hmdb10.disturbance import Disturbance
from onlooker_papers.hmdb10.on_jhmdb import TRAINING, Draw
from onlooker_papers.results import WHOLE, About, Row, read_rows, write_rows
from onlooker_papers.videolstm.on_features import as_text
from onlooker_papers.videolstm.real_video import over_recordings

FILE = "hmdb10-disturbed"
COMMAND = "python -m onlooker_papers.hmdb10.disturbed"
WHAT = "the HMDB-51 report's system on ten classes of J-HMDB, tested with camera motion, noise and more people"
DRAWS = 5
STILL = Disturbance("still")
DISTURBANCES = (
    Disturbance("whole"), STILL,
    *(Disturbance("pan", s) for s in (0.1, 0.2)),
    *(Disturbance("zoom", s) for s in (0.25, 0.5)),
    *(Disturbance("shake", s) for s in (0.1, 0.2)),
    Disturbance("noise", 20),
    *(Disturbance("people", s) for s in (1, 3)),
)  # fmt: skip
_ENCODED = 8  # frames at once


def chosen_rates(results: Path) -> dict[str, float]:
    """The learning rate of each model, as `on_jhmdb` chose it on validation clips.

    Raises:
        FileNotFoundError: `on_jhmdb` has not been run.
    """
    rows = read_rows(results, on_jhmdb.FILE)
    if WHOLE not in rows:
        raise FileNotFoundError(f"{results / on_jhmdb.FILE}.json: not there; first run `{on_jhmdb.COMMAND}`")
    return {name: of["lr"] for name, of in rows[WHOLE]["figures"]["models"].items()}


def accuracies(draw: Draw, rates: Mapping[str, float], disturbances: Sequence[Disturbance]) -> dict[str, Any]:
    """For every disturbance and model: the share of frames in each test clip that are classified correctly (`frames`),
    and whether the clip is classified correctly (`right`)."""
    for name, rate in rates.items():
        draw.figures(name, rate)
    folders = {name: draw.folder(name, rate) for name, rate in rates.items()}
    settings = {
        "models": {name: fingerprint(folder) for name, folder in folders.items()},
        "disturbances": [each.name for each in disturbances],
        "clips": len(draw.split.test),
    }

    def compute() -> dict[str, Any]:
        recognizers = {name: load(folder, device="cpu") for name, folder in folders.items()}
        store = open_stores([draw.run / "features"])[0].settings
        data, fast = store.data, store.precision == "bf16"
        found: dict[str, dict[str, list[NDArray[np.bool_]]]] = {
            each.name: {name: [] for name in recognizers} for each in disturbances
        }
        for number, clip in enumerate(track(draw.split.test, f"draw {draw.number}")):
            frames = VideoReader(clip.path).get(partial(equally_spaced, count=data.frames))
            for each in disturbances:
                seen = each(frames.pixels, frames.indices, number)
                target = draw.classes.index(clip.label)
                for name, right in right_frames(recognizers, target, seen, data, fast).items():
                    found[each.name][name].append(right)
        return {of: {name: _each_clip(right) for name, right in by.items()} for of, by in found.items()}

    return memo(draw.run / f"draw{draw.number}" / "disturbed.json", settings, compute)


@torch.inference_mode()
def right_frames(
    recognizers: Mapping[str, Recognizer], target: int, frames: NDArray[np.uint8], data: DataConfig, fast: bool
) -> dict[str, NDArray[np.bool_]]:
    """For each model, whether each frame is classified correctly, and as the last value whether the clip is: `T + 1`.

    All models have the same frozen encoder, so frames `T H W 3` are encoded once; if `fast`, in bf16 like stored ones.
    """
    how = cv2.INTER_AREA if data.size < max(frames.shape[1:3]) else cv2.INTER_LINEAR  # as the library resizes
    small = np.stack([cv2.resize(frame, (data.size, data.size), interpolation=how) for frame in frames])
    net: VideoModel = next(iter(recognizers.values())).model
    with torch.autocast("cpu", torch.bfloat16, enabled=fast):
        maps = encode_samples(net, torch.from_numpy(small), data, _ENCODED).movedim(1, -1).half()
    found = {}
    for name, recognizer in recognizers.items():
        scores = recognizer.classify(maps[None]).scores[0].numpy()
        found[name] = np.append(scores.argmax(1), scores.mean(0).argmax()) == target
    return found


def _each_clip(right: Sequence[NDArray[np.bool_]]) -> dict[str, Any]:
    each = np.stack(right)
    return {"frames": each[:, :-1].mean(1).tolist(), "right": as_text(each[:, -1])}


def reproduce(
    run: Path,
    results: Path,
    draws: int = DRAWS,
    training: TrainConfig = TRAINING,
    disturbances: Sequence[Disturbance] = DISTURBANCES,
) -> dict[str, Any]:
    """Compute what is missing, and write the row of `hmdb10-disturbed.json`.

    Raises:
        FileNotFoundError: `on_jhmdb` has not been run.
        ValueError: ONLOOKER_DATA is not set, or a run made with other settings.
        ClipError: there is no J-HMDB, or a clip cannot be read.
    """
    rates = chosen_rates(results)
    every = on_jhmdb.every_draw(run, draws, training)
    found = [accuracies(draw, rates, disturbances) for draw in every]
    recordings = [group_of(clip) for draw in every for clip in draw.split.test]
    rows = {of.name: {name: _row(found, of.name, name, recordings) for name in rates} for of in disturbances}
    figures = {
        "disturbances": rows,
        "draws": draws,
        "test_clips": [len(draw.split.test) for draw in every],
        "lr": rates,
        "epochs": training.epochs,
    }
    memos = [run / f"draw{draw.number}" / "disturbed.json" for draw in every]
    write_rows(results, FILE, About(WHAT, COMMAND, range(draws)), {WHOLE: Row.of(figures, *memos)})
    return figures


def _row(found: Sequence[Mapping[str, Any]], disturbance: str, name: str, recordings: Sequence[str]) -> dict[str, Any]:
    """Frame accuracy, of all draws and of each; clip accuracy; the difference of the frame accuracy from `still`."""
    cells = [of[disturbance][name] for of in found]
    frames, still = (np.concatenate([of[kind][name]["frames"] for of in found]) for kind in (disturbance, STILL.name))
    right = "".join(cell["right"] for cell in cells)
    return {
        "frame_accuracy": float(frames.mean()),
        "each": [float(np.mean(cell["frames"])) for cell in cells],
        "accuracy": right.count("1") / len(right),
        "over_still": over_recordings(frames - still, recordings),
    }


def main(
    run: Annotated[Path, typer.Option(help="Folder of `on_jhmdb`.")] = Path("runs/hmdb10-jhmdb"),
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
    draws: Annotated[int, typer.Option(help="Draws of the split.", min=1, max=5)] = DRAWS,
) -> None:
    """Test the models of every draw on disturbed clips."""
    for disturbance, models in reproduce(run, results, draws)["disturbances"].items():
        typer.echo(f"{disturbance}: " + ", ".join(f"{name} {of['frame_accuracy']:.1%}" for name, of in models.items()))


if __name__ == "__main__":
    typer.run(main)
