"""Are the heat maps of `linear` with the encoder `small` faithful: does the class depend on the places
that they mark?

    python -m onlooker_papers.real_clips.faithfulness      # half an hour; writes
    results/faithfulness.json

Of each frame, a tenth of the places is blurred (deletion), or all others are (insertion); the
figures are the mean probabilities of the class that is predicted for the whole clip (Petsiuk, Das,
Saenko, *RISE*, 2018, at one point of its curves). A faithful map lowers it by deletion, and keeps
it by insertion, more than a random one.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.progress import track

from onlooker import LinearClassifier, Recognizer
from onlooker.base.config import DataConfig
from onlooker.localization import localize
from onlooker.training.forward import encode_samples
from onlooker_papers.real_clips.frozen import SETS, splits_of, trained
from onlooker_papers.results import About, Key, Row, write_rows

FILE = "faithfulness"
COMMAND = "python -m onlooker_papers.real_clips.faithfulness"
WHAT = "probability of the predicted class with a tenth of the places blurred, and with all others blurred"
_CLIPS = 60  # of each set
_PART = 0.1  # of the places of a frame
_WAVES = 4  # cosines of the statistics of order
_BLUR = 8.0  # pixels, the standard deviation, of frames of 112

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
        weights = (net.head.weight - net.head.weight.mean(0))[label] / net.scale[count]
        of, center = (
            each.unflatten(0, (len(net.names), -1)) for each in (weights, net.center[count])
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
        localize(each, sample.frames, still=recognizer.model.still).heat for each in (looked, even)
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


def main(run: Path = Path("runs/faithfulness"), results: Path = Path("results")) -> None:
    """Train `linear` with the encoder `small` on each set, and blur the places that its maps mark; $ONLOOKER_DATA
    has the clips.
    """
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
        figures: dict[str, Any] = {
            "whole": float(np.mean([each["whole"] for each in found])),
            "clips": len(found),
        }
        for kind in ("deletion", "insertion"):
            figures[kind] = {
                of: float(np.mean([each[of][kind] for each in found]))
                for of in found[0]
                if of != "whole"
            }
        rows[name,] = Row(figures, {})
        typer.echo(f"{name}: {figures}")
    write_rows(results, FILE, about=About(WHAT, COMMAND, [0]), rows=rows)


if __name__ == "__main__":
    typer.run(main)
