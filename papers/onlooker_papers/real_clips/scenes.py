"""Clips that the library joins because they show one scene, on sets whose recordings are known.

    python -m onlooker_papers.real_clips.scenes       # minutes; writes results/scenes.json

The recordings are those of recordings.csv (surveillance, Weizmann), the videos that J-HMDB's clips
were cut from, and UCF101's groups; the library does not see them. Two clips of a recording often
show different shots. They show one scene if local features (SIFT) of two of their frames agree on
one homography, which has nothing in common with the method.

`found`: pairs of one recording that show one scene and are joined. `wrong`: joined pairs of
different recordings; `wrong_scene`: those that do not show one scene either. The threshold is the
one with the highest F1 of joined pairs, on average over surveillance and the training clips of
UCF101's first list; the other sets have no influence on it.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from onlooker.base.config import DataConfig
from onlooker.base.records import Clip
from onlooker.cli.command import command, stoppable
from onlooker.data.clips import read_clips, read_thumbnails
from onlooker.data.scenes import SAME_SCENE, join_clips, scene_images, scenes
from onlooker.data.split import group_of
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.results import write_whole

WHAT = "pairs of clips that are joined because they show one scene, and pairs of a known recording that do"
COMMAND = "python -m onlooker_papers.real_clips.scenes"
_CHOSEN_ON = ("surveillance", "ucf101_18_training")
_REPORTED = ("ucf101_18", "jhmdb", "weizmann")
_THRESHOLDS = [round(0.5 + 0.05 * i, 2) for i in range(9)]
# matches that fit a homography; of the distances to the best and to the second best match
_AGREE = 15
_RATIO = 0.75

Matrix = NDArray[np.bool_]
Features = list[tuple[NDArray[np.float32], Any]]


def clips_of(name: str) -> list[Clip]:
    """The clips of a set with their known recordings."""
    split = splits_of(name.removesuffix("_training"))
    first = next(iter(split.values()))
    return [*first.training, *first.validation] if name.endswith("_training") else list(first.clips)


def together(keys: Sequence[object]) -> Matrix:
    """For each pair of clips (upper triangle), whether they have the same key: `P`."""
    codes = np.unique([str(key) for key in keys], return_inverse=True)[1]
    return (codes[:, None] == codes)[np.triu_indices(len(codes), 1)]


def f1(joined: Matrix, same: Matrix) -> float:
    """The harmonic mean of the precision and the recall of joined pairs."""
    return float(2 * (joined & same).sum() / (joined.sum() + same.sum()))


def features_of(frames: NDArray[np.uint8]) -> Features:
    """Places and descriptors of local features of each frame."""
    sift = cv2.SIFT.create(300)
    found = [
        sift.detectAndCompute(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), None) for frame in frames
    ]
    return [
        (np.array([point.pt for point in points], np.float32), descriptors)
        for points, descriptors in found
    ]


def show_one_scene(first: Features, second: Features) -> bool:
    """Whether two frames of two clips have enough local features that agree on a homography."""
    matcher = cv2.BFMatcher()
    for (places, ours), (others, theirs) in product(first, second):
        if ours is None or theirs is None or min(len(ours), len(theirs)) < _AGREE:
            continue
        pairs = [pair for pair in matcher.knnMatch(ours, theirs, 2) if len(pair) == 2]
        matches = [best for best, next_best in pairs if best.distance < _RATIO * next_best.distance]
        if len(matches) < _AGREE:
            continue
        points = places[[m.queryIdx for m in matches]], others[[m.trainIdx for m in matches]]
        _, inliers = cv2.findHomography(*points, cv2.RANSAC, 3.0)
        if inliers is not None and inliers.sum() >= _AGREE:
            return True
    return False


def measure(name: str) -> dict[str, Any]:
    """The figures of one set."""
    clips = clips_of(name)
    data = DataConfig()
    samples, _ = read_clips(clips, sorted({clip.label for clip in clips}), data, quiet=True)
    start = perf_counter()
    images = read_thumbnails(samples, data)
    joined_clips = join_clips([replace(clip, recording=None) for clip in clips], images)
    seconds = perf_counter() - start
    joined = together([group_of(clip) for clip in joined_clips])
    same = together([group_of(clip) for clip in clips])
    confirmed = np.zeros_like(same)
    features = [features_of(samples[i][0].numpy()[[0, 8, 15]]) for i in range(len(samples))]
    rows, columns = np.triu_indices(len(clips), 1)
    for pair in np.flatnonzero(same | joined):
        confirmed[pair] = show_one_scene(features[rows[pair]], features[columns[pair]])
    by_threshold = {at: together(scenes(scene_images(images), at).tolist()) for at in _THRESHOLDS}
    return {
        "clips": len(clips),
        "recordings": len({group_of(clip) for clip in clips}),
        "groups": len({group_of(clip) for clip in joined_clips}),
        "pairs_of_one_recording": int(same.sum()),
        "of_these_one_scene": int((same & confirmed).sum()),
        "found": float((joined & same & confirmed).sum() / max((same & confirmed).sum(), 1)),
        "joined": int(joined.sum()),
        "wrong": int((joined & ~same).sum()),
        "wrong_scene": int((joined & ~same & ~confirmed).sum()),
        "seconds_per_clip": seconds / len(clips),
        "f1": {f"{at:g}": f1(pairs, same) for at, pairs in by_threshold.items()},
    }


def chosen_threshold(sets: dict[str, dict[str, Any]]) -> float:
    """The threshold with the highest mean F1 on the sets that it is chosen on."""
    return max(_THRESHOLDS, key=lambda at: sum(sets[name]["f1"][f"{at:g}"] for name in _CHOSEN_ON))


def main() -> None:
    """Measure how clips are joined by their scenes; $ONLOOKER_DATA has the clips."""
    with stoppable():
        sets = {name: measure(name) for name in (*_CHOSEN_ON, *_REPORTED)}
    figures = {"threshold": chosen_threshold(sets), "used": SAME_SCENE, "sets": sets}
    write_whole(Path("results"), "scenes", WHAT, COMMAND, figures, [0])
    for name, row in sets.items():
        typer.echo(
            f"{name}: {row['found']:.1%} found, {row['wrong']} wrong pairs, {row['groups']} groups"
        )


app = typer.Typer(add_completion=False)
command(main, app)

if __name__ == "__main__":
    app()
