"""Boxes of the default command by one rule for all runs, next to settings that are chosen on each set by blanking.

    ONLOOKER_DATA=folder python benchmarks/bench_boxes.py

Settings are chosen as in `onlooker_papers.videolstm.blanking`, on 8 validation clips and their labels. Scored: the
share of frames in which the box of the predicted class overlaps the true one by half (IoU .5), on stick figures,
Weizmann and hands.
"""

import json
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch

import onlooker
from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.samples import read_sample
from onlooker.data.stick_figures import write_set
from onlooker.run_record import RunRecord
from onlooker.runs.fitting import BOXES
from onlooker.runs.train import train_run
from onlooker.structures import Clip
from onlooker.video.reader import VideoReader
from onlooker.video.sampling import equally_spaced
from onlooker_papers.real_clips.masks import NOT_BLACK, Truth, read_truth, score_places
from onlooker_papers.sets import data_folder
from onlooker_papers.videolstm.blanking import choose_spatial_parameters

SHOWN, CHOSEN, FRAMES = 40, 8, 4
OTHERS = {
    "map alone": replace(BOXES, foreground="none", extent="attention", threshold=0.35),
    "background": replace(BOXES, foreground="background"),
}


def boxes_as_masks(boxes: dict[str, np.ndarray]) -> Truth:
    """True boxes of clips, by the names of their files, `T 4`, as masks of their frames."""

    def read(clip: Clip, indices: Any) -> np.ndarray:
        height, width = VideoReader(clip.path).size
        masks = np.zeros((len(indices), height, width), np.bool_)
        for mask, (x1, y1, x2, y2) in zip(masks, np.rint(boxes[clip.path.name][indices]).astype(int), strict=True):
            mask[max(y1, 0) : y2, max(x1, 0) : x2] = True
        return masks

    return read


def sets(folder: Path) -> dict[str, tuple[Path, Truth]]:
    """The clips of each set, and where its objects are."""
    data = data_folder()
    figures = write_set(folder / "clips", 8, seed=1)
    truth = json.loads((figures / "truth.json").read_text())["clips"]
    for name in truth:  # names of files alone must tell clips apart
        (figures / name).rename((figures / name).with_name(name.replace("/", "-")))
    (figures / "recordings.csv").unlink()
    drawn = {name.replace("/", "-"): np.array(of["boxes"]) for name, of in truth.items()}
    weizmann, hands = data / "clips" / "weizmann" / "frames", data / "clips" / "hand_gestures"
    return {
        "figures": (figures, boxes_as_masks(drawn)),
        "weizmann": (weizmann, read_truth(str(weizmann.with_name("masks")), weizmann)),
        "hand_gestures": (hands, read_truth(NOT_BLACK, hands)),
    }


def choose(recognizer: onlooker.Recognizer, clips: Sequence[Clip]) -> Any:
    """Settings by blanking, from some frames of some clips."""
    chosen = random.Random(0).sample(list(clips), min(CHOSEN, len(clips)))
    samples = [read_sample(clip.path, recognizer.data) for clip in chosen]
    frames = [of.pixels[equally_spaced(len(of.pixels), FRAMES)] for of in samples]
    targets = [recognizer.classes.index(clip.label) for clip in chosen]
    return choose_spatial_parameters(recognizer, torch.from_numpy(np.stack(frames)), frames, targets)


def main() -> None:
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name, (clips, truth) in sets(Path(temporary)).items():
            run = Path(temporary) / "runs" / name
            train_run(clips, run, ModelConfig(), DataConfig(), TrainConfig(), quiet=True)
            recognizer, split = onlooker.load(run, "cpu"), RunRecord.read(run).split
            begin = time.perf_counter()
            blanking = choose(recognizer, split.validation)
            seconds = round(time.perf_counter() - begin, 1)
            shown = random.Random(1).sample(list(split.clips), min(SHOWN, len(split.clips)))
            row: dict[str, Any] = {"clips": len(shown), "seconds_of_blanking": seconds}
            for rule, parameters in {"rule": BOXES, "blanking": blanking, **OTHERS}.items():
                recognizer.localization = parameters
                row[rule] = score_places([(recognizer, shown)], truth)["box_iou_50"]
            row["chosen"] = f"{blanking.foreground} {blanking.extent} {blanking.threshold}"
            figures[name] = row
            print(name, row, flush=True)
    rules = "rule", "blanking", *OTHERS
    rows = [[name, *(row[rule] for rule in rules)] for name, row in figures.items()]
    harness.show("share of frames with a box IoU of .5", ["set", *rules], rows)
    print(harness.record("bench-boxes", __doc__.partition("\n")[0], figures, [0], []))


if __name__ == "__main__":
    main()
