"""Which digit moves? The ablation of VideoLSTM on a set that is generated, with the true boxes known."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onlooker.config import Modality, TrainConfig
from onlooker.ensemble import average_scores
from onlooker.evaluation.pointing import peak_in_box, uniform_in_box
from onlooker.models.registry import create_model
from onlooker.models.video_model import count_parameters
from onlooker.recognizer import Recognizer, load
from onlooker.runs.ensemble import choose_weights
from onlooker.runs.memo import fingerprint, memo
from onlooker.runs.model_spec import ModelSpec
from onlooker.training.fit import fit
from onlooker_papers.memo import memo_of_training
from onlooker_papers.mnist import digest
from onlooker_papers.videolstm.explanation import explained
from onlooker_papers.videolstm.localization import CANDIDATES, localized
from onlooker_papers.videolstm.target_clips import CLASSES, SIZE, ClipsOf, TargetClips, data

TRAINING = TrainConfig(epochs=30, batch=16, lr=3e-3, label_smoothing=0.0, patience=0)


HIDDEN = 32  # channels or units of the recurrent layer
RGB, FLOW, MOTION = ModelSpec("convalstm"), ModelSpec("convlstm", "flow"), ModelSpec("motion")
# With the auxiliary attention loss, which is not published; results keep the name that it had.
GROUNDED = tuple(
    replace(spec, settings={"attention_loss": True}, label=f"{spec.name}-grounded") for spec in (RGB, MOTION)
)
BEST = GROUNDED[1]
LOCATED = (MOTION, *GROUNDED)  # whose localization is scored and explained
# The order of Li et al. 2016 after a single frame; the report's model, models of flow, attention that follows motion,
# and what the auxiliary loss adds.
SPECS = (
    *(ModelSpec(model) for model in ("single-frame", "convnet", "lstm", "alstm", "convlstm")),
    RGB,
    ModelSpec("report"),
    ModelSpec("convnet", "flow"),
    FLOW,
    MOTION,
    *GROUNDED,
)
# VideoLSTM with both streams: attention on RGB that follows the flow, and the flow itself. Results call it `fused`.
ENSEMBLE, MEMBERS = "fused", (MOTION, FLOW)


def modality_of(spec: ModelSpec) -> Modality:
    """What a model sees: `rgb`, `flow` or `both`."""
    return spec.data_config(data("rgb")).modality


def compete(
    run: Path,
    spec: ModelSpec,
    clips: int,
    seed: int,
    clips_of: ClipsOf,
    counts: Mapping[str, int],
    how: TrainConfig = TRAINING,
    bar: bool = True,
) -> dict[str, Any]:
    """Train one model on so many clips, and test it on clips of unseen digits.

    Args:
        run: gets the training's folder with the model, and the cell's file next to it.
        spec: the model.
        clips: that it learns from, in every epoch the same.
        seed: of its weights, and of its clips.
        clips_of: where clips come from.
        counts: `validation` and `test` clips.
        how: the budget of all models.
        bar: show the training's progress.

    Returns:
        `accuracy` of clips; `frame_accuracy`: the share of frames whose own answer is right; `pointing`: the share of
        frames where the map's peak is in the true box; `uniform`: what a map without a peak would have; `validation`,
        `parameters`.
    """
    folder = run / f"{spec.name}-{clips}-seed{seed}"
    settings = settings_of(spec, clips, seed, clips_of, counts, how)

    def compute() -> dict[str, Any]:
        learn = clips_of("training", clips, seed).seen_as(modality_of(spec))
        choose = clips_of("validation", counts["validation"], 0).seen_as(modality_of(spec))
        config = data(modality_of(spec))
        torch.manual_seed(seed)
        of_flow = {"flow_channels": config.flow_channels} if config.modality == "both" else {}
        model = create_model(
            spec.model, len(CLASSES), in_channels=config.in_channels, size=SIZE, hidden=HIDDEN, dropout=0.0,
            **spec.settings, **of_flow,
        )  # fmt: skip
        title = f"{spec.name}, {clips} clips" if bar else None
        curves = fit(model, learn, choose, config, replace(how, seed=seed), folder, title)
        recognizer = Recognizer(model, CLASSES, config)
        recognizer.save(folder / "model")
        losses = curves["validation"]["loss"]
        test = clips_of("test", counts["test"], 0).seen_as(modality_of(spec))
        scores, attention, _ = recognizer.classify(test.frames()).numpy()
        return {
            **_right(scores, test.batch.targets.numpy()),
            **_pointing(attention, test),
            "validation": curves["validation"]["accuracy"][losses.index(min(losses))],
            "parameters": count_parameters(model),
        }

    return memo_of_training(folder, settings, compute)


def settings_of(
    spec: ModelSpec, clips: int, seed: int, clips_of: ClipsOf, counts: Mapping[str, int], how: TrainConfig
) -> dict[str, Any]:
    """What the figures of `compete` depend on."""
    made = {"digits": digest(clips_of.sides), "clips": clips, **counts}
    return {**made, **replace(how, seed=seed).to_dict(), **_described(spec)}


def _described(spec: ModelSpec) -> dict[str, Any]:
    settings = {"hidden": HIDDEN, "attention_loss": False, **spec.settings}
    return {"model": spec.model, "modality": modality_of(spec), **settings}


def ensemble(run: Path, clips: int, seed: int, clips_of: ClipsOf, counts: Mapping[str, int]) -> dict[str, Any]:
    """The models of both streams together, with weights that validation clips choose."""
    names = [spec.name for spec in MEMBERS]
    folders = [run / f"{name}-{clips}-seed{seed}" for name in names]
    of = {name: fingerprint(folder) for name, folder in zip(names, folders, strict=True)}
    settings = {"digits": digest(clips_of.sides), "clips": clips, "seed": seed, **counts, "members": of}

    def compute() -> dict[str, Any]:
        members = [load(folder, device="cpu") for folder in folders]
        scores: dict[str, list[NDArray[np.float32]]] = {"validation": [], "test": []}
        targets = {}
        for side, found in scores.items():
            samples = clips_of(side, counts[side], 0)
            targets[side] = samples.batch.targets.numpy()
            for spec, member in zip(MEMBERS, members, strict=True):
                found.append(member.classify(samples.seen_as(modality_of(spec)).frames()).scores.numpy())
        weights = choose_weights([of.mean(1) for of in scores["validation"]], targets["validation"])
        return {**_right(average_scores(scores["test"], weights), targets["test"]), "weights": list(weights)}

    return memo(run / f"{ENSEMBLE}-{clips}-seed{seed}.json", settings, compute)


def compete_localized(
    run: Path, spec: ModelSpec, clips: int, seed: int, clips_of: ClipsOf, counts: Mapping[str, int]
) -> dict[str, Any]:
    """Where a trained model says that the target is: the figures of `localized`."""
    name = f"{spec.name}-{clips}-seed{seed}"
    among = {"candidates": [asdict(each) for each in CANDIDATES]}
    settings = _settings_of_trained(run / name, spec, clips, seed, clips_of, counts) | among

    def compute() -> dict[str, Any]:
        sides = (clips_of(side, counts[side], 0).seen_as(modality_of(spec)) for side in ("validation", "test"))
        return localized(load(run / name, device="cpu"), *sides)

    return memo(run / f"{name}-localized.json", settings, compute)


def compete_explained(
    run: Path, spec: ModelSpec, clips: int, seed: int, clips_of: ClipsOf, counts: Mapping[str, int]
) -> dict[str, Any]:
    """What the attention of a trained model shows: the figures of `explained`."""
    name = f"{spec.name}-{clips}-seed{seed}"
    settings = _settings_of_trained(run / name, spec, clips, seed, clips_of, counts)

    def compute() -> dict[str, Any]:
        return explained(load(run / name, device="cpu"), clips_of("test", counts["test"], 0).seen_as(modality_of(spec)))

    return memo(run / f"{name}-explained.json", settings, compute)


def _settings_of_trained(
    training: Path, spec: ModelSpec, clips: int, seed: int, clips_of: ClipsOf, counts: Mapping[str, int]
) -> dict[str, Any]:
    made = {"digits": digest(clips_of.sides), "clips": clips, "seed": seed, **counts}
    return {**made, **_described(spec), "weights": fingerprint(training)}


def summary(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds, and the spread of the accuracies; of those that were fused, the weights too."""
    accuracies = [each["accuracy"] for each in found]
    kept = {"accuracy": mean(accuracies), "spread": stdev(accuracies) if len(found) > 1 else None, "each": accuracies}
    for figure in ("frame_accuracy", "pointing", "uniform", "parameters"):
        if all(figure in each for each in found):
            kept[figure] = mean(each[figure] for each in found)
    if all("weights" in each for each in found):
        weights = zip(*(each["weights"] for each in found), strict=True)
        kept["weights"] = {spec.name: mean(of) for spec, of in zip(MEMBERS, weights, strict=True)}
    return kept


def _right(scores: NDArray[np.float32], targets: NDArray[np.int64]) -> dict[str, float]:
    """The shares of clips and of frames that probabilities `B T K` have right; a clip's are the mean of its frames'."""
    return {
        "accuracy": float((scores.mean(1).argmax(1) == targets).mean()),
        "frame_accuracy": float((scores.argmax(2) == targets[:, None]).mean()),
    }


def _pointing(attention: NDArray[np.float32] | None, test: TargetClips) -> dict[str, float]:
    if attention is None:
        return {}
    boxes = test.batch.boxes[:, :, :1].numpy()  # of the digit that moves
    return {
        "pointing": float(np.nanmean(peak_in_box(attention, boxes, (SIZE, SIZE)))),
        "uniform": float(np.nanmean(uniform_in_box(boxes, attention.shape[-2:], (SIZE, SIZE)))),
    }
