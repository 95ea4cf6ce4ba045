"""When does the digit move? Segments learned from labels alone, on clips that the event fills a part of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.config import TrainConfig
from onlooker.localization.parameters import LocalizationParameters
from onlooker.localization.segments import evidence_scores, find_segments
from onlooker.models.registry import create_model
from onlooker.models.video_model import count_parameters
from onlooker.recognizer import Recognizer, load
from onlooker.runs.memo import fingerprint, memo
from onlooker.runs.tune_localization import ONSETS, choose_times
from onlooker.structures import Segment
from onlooker.training.fit import fit
from onlooker_papers.detection import at_thresholds, segment_iou, segment_map
from onlooker_papers.memo import memo_of_training
from onlooker_papers.mnist import digest
from onlooker_papers.videolstm.ablation import TRAINING
from onlooker_papers.videolstm.target_clips import CLASSES, SIZE, ClipsOf, TargetClips, data

FRAMES = 16
EVENT = (0.3, 0.6)  # shortest and longest part of a clip that the motion fills
MODEL, UNITS = "mil", 32
# Segments that need no evidence of single frames, in words.
GUESSES = {
    "class": "the class, from all frames so far",
    "whole": "the whole clip",
    "motion": "how much moves",
}


@dataclass(frozen=True)
class Timing:
    """How much of it: clips to learn from, `validation` and `test` clips, and the training's epochs."""

    clips: int
    counts: Mapping[str, int]
    training: TrainConfig


def learn(
    run: Path,
    clips: int,
    seed: int,
    clips_of: ClipsOf,
    counts: Mapping[str, int],
    how: TrainConfig = TRAINING,
    bar: bool = True,
) -> dict[str, Any]:
    """Train the model on so many clips; `parameters` and `validation`, its accuracy there.

    Args:
        run: gets the training's folder with the model, and the cell's file next to it.
        clips: that it learns from, in every epoch the same.
        seed: of its weights, and of its clips.
        clips_of: where clips come from.
        counts: `validation` and `test` clips.
        how: its budget.
        bar: show the training's progress.
    """
    folder = run / f"{MODEL}-{clips}-seed{seed}"
    # The clip's label, asked for once all frames have been seen: before, nobody can know it.
    how = replace(how, seed=seed, loss="last")
    settings = {
        "digits": digest(clips_of.sides), "clips": clips, "frames": clips_of.frames, "event": list(clips_of.event),
        "validation": counts["validation"], **how.to_dict(), "model": MODEL, "units": UNITS,
    }  # fmt: skip

    def compute() -> dict[str, Any]:
        config = data("both", clips_of.frames)
        torch.manual_seed(seed)
        model = create_model(
            MODEL, len(CLASSES), in_channels=config.in_channels, flow_channels=config.flow_channels, size=SIZE,
            hidden=UNITS, dropout=0.0,
        )  # fmt: skip
        sides = clips_of("training", clips, seed), clips_of("validation", counts["validation"], 0)
        curves = fit(model, *sides, config, how, folder, f"{MODEL}, {clips} clips" if bar else None)
        Recognizer(model, CLASSES, config, aggregation="last").save(folder / "model")
        losses = curves["validation"]["loss"]
        return {
            "validation": curves["validation"]["accuracy"][losses.index(min(losses))],
            "parameters": count_parameters(model),
        }

    return memo_of_training(folder, settings, compute)


def compete_timed(
    run: Path,
    clips: int,
    seed: int,
    clips_of: ClipsOf,
    counts: Mapping[str, int],
    how: TrainConfig = TRAINING,
    bar: bool = True,
) -> dict[str, Any]:
    """When a trained model says that the target moves: the figures of `timed`; arguments as those of `learn`."""
    name = f"{MODEL}-{clips}-seed{seed}"
    trained = learn(run, clips, seed, clips_of, counts, how, bar)
    settings = {
        "digits": digest(clips_of.sides), "clips": clips, "frames": clips_of.frames, "event": list(clips_of.event),
        **counts, **replace(how, seed=seed).to_dict(), "weights": fingerprint(run / name),
    }  # fmt: skip

    def compute() -> dict[str, Any]:
        sides = (clips_of(side, counts[side], 0) for side in ("validation", "test"))
        return {**timed(load(run / name, device="cpu"), *sides), **trained}

    return memo(run / f"{name}-segments.json", settings, compute)


def timed(recognizer: Recognizer, validation: TargetClips, test: TargetClips) -> dict[str, Any]:
    """Choose the onset on validation clips by their labels, and score segments of test clips by the true times.

    Args:
        recognizer: a trained, timed model.
        validation, test: clips, seen as the model sees them.

    Returns:
        `accuracy`, of whole clips, and the figures of `timing_figures`.
    """
    chosen = choose_times(recognizer, validation.frames(), validation.batch.targets.tolist())
    answer = recognizer.classify(test.frames())
    assert answer.evidence is not None
    frame_scores = answer.scores.numpy()
    scores = recognizer.aggregate(frame_scores)
    return {
        "accuracy": float((scores.argmax(1) == test.batch.targets.numpy()).mean()),
        **timing_figures(scores, answer.evidence.numpy(), frame_scores, test, chosen),
    }


def timing_figures(
    scores: NDArray[np.float32],
    evidence: NDArray[np.float32],
    frame_scores: NDArray[np.float32],
    clips: TargetClips,
    parameters: LocalizationParameters,
) -> dict[str, Any]:
    """How well the time of the event is found, and how well guesses without evidence find it, with the same classes.

    Args:
        scores: `B K`, probabilities of clips.
        evidence: `B T`.
        frame_scores: `B T K`, probabilities at every frame.
        clips: the `B` clips, with their true times.
        parameters: onset and level, chosen without these clips.

    Returns:
        `segment_map_20`, `segment_map_50`, `segment_map_50_95`; `iou`, the mean over clips of that of the surest
        segment, whatever its class; `onset`; under `causal` the same from each frame and those before it; and under
        `baselines` the same of `class` (the probability at each frame), `whole` (all of the clip) and `motion` (how far
        pixels move on average). As no clips choose an onset for these, each has the one of `ONSETS` that is best here,
        in hindsight.
    """
    moved = np.abs(clips.flow.astype(np.float64) - 127.5).mean(axis=(2, 3, 4))  # B T
    moved -= moved.min()
    guesses = {
        "class": frame_scores,
        "whole": np.broadcast_to(scores[:, None], frame_scores.shape),
        "motion": scores[:, None] * (moved / moved.max(1, keepdims=True))[:, :, None],
    }

    def hindsight(guess: NDArray[np.floating]) -> dict[str, float]:
        return max((_figures(guess, clips, each) for each in ONSETS), key=lambda found: found["segment_map_50"])

    def weighed(how: LocalizationParameters) -> dict[str, float]:
        parts = [evidence_scores(*of_clip, how) for of_clip in zip(scores, evidence, strict=True)]
        return _figures(np.stack(parts), clips, how.onset)

    return {
        **weighed(parameters),
        "causal": weighed(replace(parameters, causal=True)),
        "baselines": {name: hindsight(guess) for name, guess in guesses.items()},
    }


def _figures(frame_scores: NDArray[np.floating], clips: TargetClips, onset: float) -> dict[str, float]:
    parameters, times = LocalizationParameters(onset=onset), np.arange(frame_scores.shape[1], dtype=np.float64)
    found: dict[str, Sequence[Segment]] = {}
    true: dict[str, Sequence[Segment]] = {}
    overlaps = []
    for b, of_frames in enumerate(frame_scores):
        event = clips.batch.moving[b].nonzero().flatten()
        label = CLASSES[int(clips.batch.targets[b])]
        # A frame speaks for the time half way to its neighbors, and the first and the last end with the clip.
        end = min(float(event[-1]) + 0.5, times[-1] + 0.5)
        true[str(b)] = [Segment(label, max(0.0, float(event[0]) - 0.5), end)]
        found[str(b)] = find_segments(of_frames, times, CLASSES, parameters)
        overlaps.append(segment_iou(found[str(b)][0], true[str(b)][0]) if found[str(b)] else 0.0)
    return {
        **at_thresholds("segment_map", segment_map(found, true)),
        "iou": float(np.mean(overlaps)),
        "onset": onset,
    }
