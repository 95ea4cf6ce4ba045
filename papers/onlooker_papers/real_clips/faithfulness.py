"""Are the heat maps of `linear` with the encoder `small` faithful: does the class depend on the places
that they mark? And those of `lite0` with both eyes, and the evidence for the class?

    python -m onlooker_papers.real_clips.faithfulness             # half an hour; writes
    results/faithfulness.json
    python -m onlooker_papers.real_clips.faithfulness --both-eyes # a quarter of an hour; the rows `both_eyes`

Of each frame, a tenth of the places is blurred (deletion), or all others are (insertion); the
figures are the mean probabilities of the class that is predicted for the whole clip (Petsiuk, Das,
Saenko, *RISE*, 2018, at one point of its curves). A faithful map lowers it by deletion, and keeps
it by insertion, more than a random one.

With both eyes, all frames of the file are blurred, because motion is that between all of them. Training clips
of the first split alone are used there, some to train and those of other recordings to test, so that the heat
map can be chosen by it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.progress import track

from onlooker import Clip, LinearClassifier, Recognizer, load
from onlooker.base.config import DataConfig, ModelConfig, Settings
from onlooker.data.split import Split, make_splits
from onlooker.localization import localize
from onlooker.run.record import RunRecord
from onlooker.run.train import continue_run
from onlooker.training.fitters import complete
from onlooker.training.forward import encode_samples
from onlooker.video.reader import VideoReader
from onlooker_papers.real_clips.frozen import DATA, SETS, splits_of, trained
from onlooker_papers.results import About, Key, Row, write_rows
from onlooker_papers.sets import data_folder

FILE = "faithfulness"
COMMAND = "python -m onlooker_papers.real_clips.faithfulness"
WHAT = "probability of the predicted class with a tenth of the places blurred, and with all others blurred"
_CLIPS = 60  # of each set
_PART = 0.1  # of the places of a frame
_WAVES = 4  # cosines of the statistics of order
_BLUR = 8.0  # pixels, the standard deviation, of frames of 112
# with both eyes
_BOTH_EYES = ("jhmdb", "hand_gestures")  # sets of which the default command chooses them
_TRAINED = 260  # clips at most
_TESTED = 24

Maps = NDArray[np.float32]


@torch.inference_mode()
def class_activation(net: LinearClassifier, pixels: NDArray[np.uint8], data: DataConfig) -> Maps:
    """The attention of earlier versions: what a location adds to the predicted class by mean,
    change and order, without what lowers it (Zhou et al. 2016).
    """
    features = encode_samples(net, torch.from_numpy(pixels), data)[None]
    frames = features[0].flatten(2)
    changes = torch.cat((torch.zeros_like(frames[:1]), frames.diff(dim=0).abs()))
    found = []
    for t, label in enumerate(net.forward_features(features).logits[0].argmax(-1)):
        count = min(t, net.window - 1)
        weights = (net.head.weight - net.head.weight.mean(0))[label] / net.head.scale[count]
        of, center = (
            each.unflatten(0, (len(net.names), -1)) for each in (weights, net.head.center[count])
        )
        T = torch.tensor(count + 1)
        k = torch.arange(1, _WAVES + 1)
        newest = (k < T) * math.sqrt(2) / T * torch.cos(math.pi / T * k * (T - 0.5))
        waves = torch.einsum("jkd,k->dj", of[-3 * len(newest) :].unflatten(0, (3, -1)), newest)
        added = (of[0][:, None] + waves @ net.positions.T) * (frames[t] - center[0][:, None])
        added = added + of[2][:, None] * (changes[t] - center[2][:, None])
        found.append(added.sum(0).clamp_min(0).unflatten(0, net.grid).numpy())
    return np.stack(found).astype(np.float32)


def maps_of(
    recognizer: Recognizer, path: Path, chance: np.random.Generator
) -> tuple[NDArray[np.uint8], dict[str, Maps]]:
    """The frames of a clip as the model sees them, and the maps that are compared, each at any
    resolution.
    """
    sample = recognizer.read(path)
    looked = recognizer.predict_clip(path, sample)
    attention = looked.attention
    assert attention is not None
    even = replace(looked, attention=np.full_like(attention, 1 / attention[0].size))
    heat, motion = (
        localize(each, sample.frames, still="static_scene" in recognizer.model.heads).heat
        for each in (looked, even)
    )
    assert heat is not None
    assert motion is not None
    net = cast(LinearClassifier, recognizer.model)
    return sample.pixels, {
        "map": heat,
        "attention": attention,
        "cam": class_activation(net, sample.pixels, recognizer.data),
        "motion": motion,
        "random": chance.random(attention.shape, np.float32),
    }


def marked(maps: Maps, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The tenth of the pixels `T H W` with the highest weights of each map; of equal ones, the
    first.
    """
    found = np.zeros((len(maps), size[0] * size[1]), np.bool_)
    for of_frame, weights in zip(found, maps, strict=True):
        large = cv2.resize(weights, size[::-1], interpolation=cv2.INTER_LINEAR)
        of_frame[np.argsort(-large.ravel(), kind="stable")[: round(_PART * large.size)]] = True
    return found.reshape(len(maps), *size)


def probabilities(
    recognizer: Recognizer, pixels: NDArray[np.uint8], maps: Mapping[str, Maps]
) -> dict[str, Any]:
    """Of the class that is predicted for a clip: unchanged, and by each map with deletion and
    insertion.
    """
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), _BLUR) for frame in pixels])
    places = {
        name: marked(each, (pixels.shape[1], pixels.shape[2]))[..., None]
        for name, each in maps.items()
    }
    clips = [pixels]
    for mask in places.values():
        clips += [np.where(mask, blurred, pixels), np.where(mask, pixels, blurred)]
    scores = recognizer.decision.aggregate(
        recognizer.classify(torch.from_numpy(np.stack(clips))).scores
    )
    whole, *others = scores[:, scores[0].argmax()].tolist()
    pairs = zip(places, others[::2], others[1::2], strict=True)
    return {"whole": whole, **{name: {"deletion": a, "insertion": b} for name, a, b in pairs}}


def of_training(split: Split) -> Split:
    """Training clips of a split, and clips of other recordings of it to test; few of both."""
    chance = np.random.default_rng(0)

    def few(clips: Sequence[Clip], count: int) -> tuple[Clip, ...]:
        return tuple(clips[i] for i in np.sort(chance.permutation(len(clips))[:count]))

    (parts,) = make_splits((*split.training, *split.validation)).values()
    return Split(
        few(parts.training, _TRAINED), few(parts.validation, _TRAINED // 8), few(parts.test, 60)
    )


def with_both_eyes(name: str, run: Path) -> tuple[Recognizer, Split]:
    """`onlooker train --encoder lite0 --eyes both` on `of_training` of the first split of a set, in
    the folder `run`; continued if it is there.
    """
    split = of_training(next(iter(splits_of(name).values())))
    asked = Settings(ModelConfig("linear", "lite0"), DataConfig(eyes="both"))
    settings = complete(asked, {"encoder", "eyes"})
    folder = data_folder() / "clips" / SETS[name].folder
    continue_run(RunRecord(folder, (), settings, split=split), run)
    return load(run, "cpu"), split


def all_frames(path: Path) -> tuple[NDArray[np.uint8], float]:
    """The frames of a clip and their rate."""
    frames = [pixels for _, _, pixels in VideoReader(path)]
    return np.stack(frames), float(1 / np.median(np.diff(VideoReader(path).times)))


def blurred_like(frames: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Frames `T H W 3`, blurred as those of a model of `size` pixels are; in a quarter of the
    resolution, which cannot be told.
    """
    H, W = frames.shape[1:3]
    small = (max(1, W // 4), max(1, H // 4))
    sigmas = [_BLUR / size * side for side in small]
    blurred = [
        cv2.GaussianBlur(
            cv2.resize(frame, small, interpolation=cv2.INTER_AREA),
            (0, 0),
            sigmaX=sigmas[0],
            sigmaY=sigmas[1],
        )
        for frame in frames
    ]
    return np.stack([cv2.resize(frame, (W, H)) for frame in blurred])


def evidence_maps(recognizer: Recognizer, clip: VideoReader) -> dict[str, Maps]:
    """The maps that are compared with both eyes: heat, motion alone, and what speaks for the class
    that is predicted, over the next one: by motion, and by both eyes.
    """
    sample = recognizer.read(clip)
    looked = recognizer.predict_clip(clip, sample)
    assert looked.attention is not None
    assert looked.heat is not None
    even = replace(looked, attention=np.full_like(looked.attention, 1 / looked.attention[0].size))
    motion = localize(even, sample.frames, still="static_scene" in recognizer.model.heads).heat
    assert motion is not None
    order = np.argsort(-looked.scores, kind="stable")
    first, second = (recognizer.classes[k] for k in order[:2])
    contrast = recognizer.contrast(clip, (first, second), sample)
    blocks = np.maximum(contrast.motion, 0)
    return {
        "map": looked.heat,
        "motion": motion,
        "blocks": blocks,
        "blocks_and_map": np.sqrt(blocks * looked.heat),
        "evidence": np.maximum(contrast.evidence, 0),
    }


def probabilities_of_all_frames(
    recognizer: Recognizer, path: Path, chance: np.random.Generator
) -> dict[str, Any]:
    """As `probabilities`, where all frames of the file are blurred."""
    frames, rate = all_frames(path)
    clip = VideoReader(frames, rate)
    maps = evidence_maps(recognizer, clip)
    maps["random"] = chance.random(maps["map"].shape, np.float32)
    whole = recognizer.predict_clip(clip).scores
    label = whole.argmax()
    blurred = blurred_like(frames, DATA.size)
    times = recognizer.read(clip).times
    nearest = np.abs(np.arange(len(frames))[:, None] / rate - times).argmin(1)
    found: dict[str, Any] = {"whole": float(whole[label])}
    for name, weights in maps.items():
        mask = marked(weights, frames.shape[1:3])[nearest][..., None]
        pairs = {"deletion": (blurred, frames), "insertion": (frames, blurred)}
        found[name] = {
            kind: float(
                recognizer.predict_clip(VideoReader(np.where(mask, *pair), rate)).scores[label]
            )
            for kind, pair in pairs.items()
        }
    return found


def mean_figures(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The means over clips."""
    figures: dict[str, Any] = {
        "whole": float(np.mean([clip["whole"] for clip in found])),
        "clips": len(found),
    }
    for kind in ("deletion", "insertion"):
        figures[kind] = {
            name: float(np.mean([clip[name][kind] for clip in found]))
            for name in found[0]
            if name != "whole"
        }
    return figures


def main(
    run: Path = Path("runs/faithfulness"),
    results: Path = Path("results"),
    both_eyes: bool = False,
) -> None:
    """Train `linear` with the encoder `small` on each set, and blur the places that its maps mark; $ONLOOKER_DATA
    has the clips.
    """
    if both_eyes:
        measure_both_eyes(run, results)
        return
    rows: dict[Key, Row] = {}
    chance = np.random.default_rng(0)
    for name in SETS:
        first_split = next(iter(splits_of(name)))
        recognizer, split = trained(name, first_split, run / name)
        clips = chance.permutation(len(split.test))[:_CLIPS]
        found = [
            probabilities(recognizer, *maps_of(recognizer, split.test[clip].path, chance))
            for clip in track(clips, name)
        ]
        figures = mean_figures(found)
        rows[name,] = Row(figures, {})
        typer.echo(f"{name}: {figures}")
    write_rows(results, FILE, about=About(WHAT, COMMAND, [0]), rows=rows)


def measure_both_eyes(run: Path, results: Path) -> None:
    """The rows of `lite0` with both eyes."""
    rows: dict[Key, Row] = {}
    chance = np.random.default_rng(0)
    for name in _BOTH_EYES:
        recognizer, split = with_both_eyes(name, run / "both_eyes" / name)
        found = []
        for i in track(chance.permutation(len(split.test))[:_TESTED].tolist(), name):
            found.append(probabilities_of_all_frames(recognizer, split.test[i].path, chance))
            typer.echo(f"{name}, {len(found)} clips: {mean_figures(found)}")
        rows["both_eyes", name] = Row(mean_figures(found), {})
        about = About(WHAT, COMMAND, [0])
        write_rows(results, FILE, about=about, rows=rows, only="--both-eyes")


if __name__ == "__main__":
    typer.run(main)
