"""Golden values of every model: size, outputs, training, and predictions of a clip.

The values were stored before the redesign: the interface of models may change, their outputs may not.
Weights are random, from a seed that is set immediately before each model is created.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from golden import check, measured_as_stored
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from onlooker.config import DataConfig, TrainConfig
from onlooker.data.transforms import to_features, to_video
from onlooker.localization import localize
from onlooker.localization.parameters import LocalizationParameters
from onlooker.models.classifier import AGGREGATIONS, clip_scores
from onlooker.models.registry import MODELS, create_model
from onlooker.models.video_model import VideoModel, count_parameters
from onlooker.recognizer import Recognizer
from onlooker.structures import Evaluation, Prediction
from onlooker.training.fit import Fitting, fit
from onlooker.training.losses import frame_cross_entropy
from onlooker_papers.digits.registry import RECIPES as PAPER_MODELS
from onlooker_papers.digits.rounds import train_rounds
from onlooker_papers.fusion import average_scores, choose_weights
from onlooker_papers.single_frame import RECIPE as SINGLE_FRAME

B, T, K, SIZE, HIDDEN = 2, 6, 3, 32, 8
CLASSES = ("left", "right", "up")
PICTURE = DataConfig(frames=T, size=SIZE, normalization="half", translate=0.0, scale=0.0)
BOTH = replace(PICTURE, modality="both")
STACKED = replace(BOTH, flow_length=3)
GRAY = replace(PICTURE, channels=1)
LARGER = replace(PICTURE, size=64)

# name -> the model, how its samples are made, and its settings other than `hidden`.
Case = tuple[str, DataConfig, dict[str, Any]]
FLOW = {"flow_channels": 2}


def stored(name: str) -> str:
    """The name that a model's values are stored under."""
    return {"mil": "moments"}.get(name, name)


RECIPES = {**MODELS, **PAPER_MODELS, "single-frame": SINGLE_FRAME}
# In the order of the stored values, which are from before some models moved to the package of a paper.
NAMES = [*(name for name in MODELS if name != "linear"), "tracks", "single-frame"]
CASES: dict[str, Case] = {
    **{
        stored(name).replace(":", "-"): (
            name,
            BOTH if recipe.modality == "both" else PICTURE,
            FLOW if recipe.modality == "both" else {},
        )
        for name, recipe in ((name, RECIPES[name]) for name in NAMES)
    },
    # Picture and flow: an encoder each, or one that sees all channels.
    "tcn-paired": ("tcn", BOTH, FLOW),
    "atcn-paired": ("atcn", BOTH, FLOW),
    "moments-paired": ("mil", BOTH, FLOW),
    "convlstm-paired": ("convlstm", BOTH, FLOW),
    "convlstm-both": ("convlstm", BOTH, {}),
    "convlstm-flow": ("convlstm", replace(PICTURE, modality="flow"), {}),
    "tcn-paired-stacked": ("tcn", STACKED, {"flow_channels": 6}),
    "motion-stacked": ("motion", STACKED, {"flow_channels": 6}),
    "tracks-grey": ("tracks", GRAY, {"head": "each-glimpse", "stretch": 3}),
    # What is attended must tell the class.
    **{
        f"{stored(name)}-grounded": (name, PICTURE, {"attention_loss": True})
        for name in ("alstm", "convalstm", "mil", "report")
    },
    "motion-grounded": ("motion", BOTH, {**FLOW, "attention_loss": True}),
    # The state before the first frame.
    **{
        f"{name}-{init}": (name, PICTURE, {"init": init})
        for name in ("lstm", "alstm", "convlstm", "convalstm")
        for init in ("clip-mean",)
    },
    # Cells and glimpses of others.
    "convalstm-product": ("convalstm", PICTURE, {"glimpse": "product"}),
    "report-scaled": ("report", PICTURE, {"glimpse": "scaled"}),
    "motion-product": ("motion", BOTH, {**FLOW, "glimpse": "product"}),
    "alstm-scaled": ("alstm", PICTURE, {"glimpse": "scaled"}),
    "alstm-head-units": ("alstm", PICTURE, {"head_units": 5, "dropout": 0.2}),
    # Encoders.
    "lstm-lenet": ("lstm", GRAY, {"encoder": "lenet"}),
    "convnet-lenet": ("convnet", PICTURE, {"encoder": "lenet"}),
    "lstm-stn": ("lstm", GRAY, {"encoder": "stn"}),
    "lstm-stn-2": ("lstm", GRAY, {"encoder": "stn:2"}),
    "convnet-stn-3": ("convnet", GRAY, {"encoder": "stn:3"}),
    "lstm-dcn": ("lstm", GRAY, {"encoder": "dcn"}),
    "convnet-dcn-tap": ("convnet", GRAY, {"encoder": "dcn:tap"}),
    "tcn-dcn-modulated": ("tcn", GRAY, {"encoder": "dcn:modulated"}),
    "convalstm-timm": ("convalstm", LARGER, {"encoder": "test_resnet"}),
    "lstm-timm-vector": ("lstm", PICTURE, {"encoder": "test_resnet:vector"}),
}
# Models that were added after the values of `models` were stored.
LATER: dict[str, Case] = {
    "linear-default": ("linear", PICTURE, {}),
    "linear-default-paired": ("linear", BOTH, FLOW),
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Call sites, one each: these change where the interface does, and nothing below.


def made(case: Case) -> VideoModel:
    """The model with the weights of seed 0."""
    name, data, settings = case
    torch.manual_seed(0)
    hidden = {} if name == "linear" else {"hidden": HIDDEN}
    return create_model(name, K, in_channels=data.in_channels, size=data.size, **hidden, **settings)


def seen_by(samples: Tensor, data: DataConfig) -> Tensor:
    """Samples `B T H W C` uint8 as the input of a model."""
    return to_video(samples, data.normalization, data.flow_channels)


def streamed(model: VideoModel, video: Tensor) -> list[Tensor] | None:
    """Logits and maps of all frames, one at a time; None for a model that needs the whole clip."""
    state, told = None, []
    try:
        for frame in video.unbind(1):
            output, state = model.step(frame, state)
            told.append(output)
    except ValueError:
        return None
    parts = zip(*((output.logits, output.attention) for output in told), strict=True)
    return [torch.stack(part, 1) for part in parts if part[0] is not None]


def further(model: VideoModel, video: Tensor) -> dict[str, Tensor]:
    """Additional outputs of some models: windows, evidence, attended logits."""
    found: dict[str, Tensor] = {}
    if windows := getattr(model, "windows", getattr(model.encoder, "windows", None)):
        found["windows"] = windows(video[0])
    if model.encodes_frames:
        features = found["features"] = model.encode_video(video)
        if model.has_evidence:
            evidence, attended = model.frame_evidence(features)
            found |= {"evidence": evidence, "attended": attended, "told": model.pool_evidence(evidence, attended)}
        if model.has_attention_loss:
            attention = model(video).attention
            assert attention is not None
            found["seen"] = model.attended_logits(features, attention)
    return found


def losses(model: VideoModel, data: DataConfig, train: TrainConfig, samples: Tensor, targets: Tensor) -> list[float]:
    """Training loss before, between and after two plain steps on one batch."""
    fitting = Fitting(model, data, train)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    found = []
    for step in range(3):
        torch.manual_seed(step)  # of dropout
        loss = fitting.training_step((samples, targets, torch.arange(len(targets))), step)
        found.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        if step < 2:
            optimizer.step()
    return found


def trained(
    case: Case, train: TrainConfig, sides: tuple[Dataset[Any], Dataset[Any]], data: DataConfig, folder: Path
) -> tuple[VideoModel, dict[str, dict[str, list[float]]]]:
    """A model after `fit`, and its curves."""
    model = made(case)
    return model, fit(model, *sides, data, train, folder, title=None)


def recognizer(case: Case, aggregation: str = "mean", localization: LocalizationParameters | None = None) -> Recognizer:
    return Recognizer(made(case), CLASSES, case[1], aggregation, localization or LocalizationParameters())


# What they are given.


def samples_of(data: DataConfig, count: int = B, frames: int = T, seed: int = 0) -> Tensor:
    """`B T H W C` uint8: two squares of random shades that move over a dark, slightly noisy background."""
    chance = np.random.default_rng(seed)
    size = data.size
    video = chance.integers(30, 50, (count, frames, size, size, data.in_channels))
    for clip in video:
        for _ in range(2):
            (x, y), (dx, dy) = chance.integers(2, size - 12, 2), chance.integers(-3, 4, 2)
            shade = chance.integers(120, 255, data.in_channels)
            for t in range(frames):
                left, top = np.clip((x + dx * t, y + dy * t), 0, size - 9)
                clip[t, top : top + 9, left : left + 9] = shade
    return torch.from_numpy(video.astype(np.uint8))


class Clips(Dataset[tuple[Tensor, int, int]]):
    """Squares that are brighter from class to class; or random features of that look."""

    def __init__(self, data: DataConfig, length: int, seed: int, features: tuple[int, int] | None = None) -> None:
        self.targets = [number % K for number in range(length)]
        if features is None:
            shades = torch.tensor(self.targets).view(-1, 1, 1, 1, 1) * 25
            self.samples = (samples_of(data, length, data.frames, seed).int() + shades).clamp(0, 255).to(torch.uint8)
        else:
            places, width = features
            chance = np.random.default_rng(seed)
            drawn = chance.standard_normal((length, data.frames, places, places, width)).clip(0)
            drawn += np.reshape(self.targets, (-1, 1, 1, 1, 1)) * 0.3
            self.samples = torch.from_numpy(drawn).half()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self.samples[index], self.targets[index], index


def picture_clip(folder: Path) -> Path:
    """A clip of 12 numbered PNGs, 64×48, in which a square moves right, stops, and moves right again."""
    chance = np.random.default_rng(3)
    folder.mkdir()
    background = chance.integers(60, 90, (48, 64, 3))
    for t, x in enumerate((2, 6, 10, 14, 14, 14, 18, 22, 26, 30, 34, 38)):
        frame = background.copy()
        frame[18:32, x : x + 14] = (230, 120, 40)
        Image.fromarray(frame.astype(np.uint8)).save(folder / f"{t:03}.png")
    return folder


def lossless_clip(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """A video file with exactly these pixels (the output of x264 depends on what ran before)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=8)
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = "bgr0"
        for frame in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def probabilities(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).gamma(0.7, size=shape) + 1e-3
    return (drawn / drawn.sum(-1, keepdims=True)).astype(np.float32)


# One model.


@pytest.mark.parametrize("name", [*CASES, *LATER])
def test_a_model(name: str) -> None:
    case = {**CASES, **LATER}[name]
    data, model = case[1], made(case).eval()
    samples = samples_of(data)
    video = seen_by(samples, data)

    def answers() -> dict[str, Any]:
        with torch.no_grad():
            logits, attention, _ = model.eval()(video)
            return {"logits": logits, "attention": attention}

    values: dict[str, Any] = {
        "parameters": count_parameters(model),
        "weights": sum(part.numel() for part in model.state_dict().values()),
        "features": model.num_features,
        "untrained": answers(),
    }
    with torch.no_grad():
        values["streamed"] = streamed(model, video)
        values["further"] = further(model, video)
    targets = torch.tensor([2, 0])
    base = TrainConfig(batch=B, precision="32")
    values["every"] = losses(model, data, base, samples, targets)
    values["trained"] = answers()
    values["last"] = losses(made(case), data, replace(base, loss="last", label_smoothing=0.0), samples, targets)
    check(f"model-{name}", values, trained=("every", "trained", "last"))


def test_which_models_there_are() -> None:
    about = {stored(name): {"paired": RECIPES[name].paired} for name in NAMES}
    check("models", {"names": list(about), "about": about, "cases": list(CASES)})


# Losses and aggregations.


def test_losses() -> None:
    logits = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 5, K)).astype(np.float32))
    targets = torch.tensor([0, 2, 1, 1])
    check(
        "losses",
        {
            "plain": frame_cross_entropy(logits, targets),
            "smoothed": frame_cross_entropy(logits, targets, 0.1),
        },
    )


def test_aggregations() -> None:
    scores = torch.from_numpy(probabilities(4, 50, K))
    check("verdicts", {aggregation: clip_scores(scores, aggregation).tolist() for aggregation in AGGREGATIONS})


# A short training.

AUGMENTED = {"translate": 0.1, "scale": 0.1}
TRAIN = TrainConfig(epochs=2, batch=4, patience=0, precision="32")
TRAININGS: dict[str, tuple[str, TrainConfig, dict[str, Any]]] = {
    "adamw": ("convalstm", TRAIN, AUGMENTED),
    "rmsprop": ("lstm", replace(TRAIN, optimizer="rmsprop", loss="last", grad_clip=0.0), AUGMENTED),
    "adadelta": ("convnet", replace(TRAIN, optimizer="adadelta", lr=1.0, aggregation="product"), {}),
    "cosine": ("motion-grounded", replace(TRAIN, schedule="cosine"), {**AUGMENTED, "hflip": True}),
    "turned": ("moments", replace(TRAIN, schedule="constant", seed=4), {**AUGMENTED, "degrees": 20.0, "speed": 0.3}),
    "tracks": ("tracks", replace(TRAIN, loss="last"), {}),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_short_training(name: str, tmp_path: Path) -> None:
    of, train, augmentation = TRAININGS[name]
    case = CASES[of]
    data = replace(case[1], **augmentation)
    sides = Clips(data, 14, seed=1), Clips(data, 9, seed=2)
    model, curves = trained(case, train, sides, data, tmp_path)
    with torch.no_grad():
        logits = model(seen_by(samples_of(data, seed=5), data)).logits
    # Eight steps multiply rounding errors, which differ between processors. The first steps of RMSprop and Adadelta
    # divide by the gradient itself, and so have the sign of gradients that are almost zero.
    far = 5e-3 if name in ("rmsprop", "adadelta") else 1e-4
    check(f"fit-{name}", {"curves": curves, "logits": logits}, rtol=far, atol=far)


def test_a_short_training_on_stored_features(tmp_path: Path) -> None:
    case = CASES["convalstm"]
    model = made(case)
    with torch.no_grad():
        maps = further(model, seen_by(samples_of(PICTURE), PICTURE))["features"]
    side, width = maps.shape[-1], maps.shape[2]
    sides = (Clips(PICTURE, 14, 1, features=(side, width)), Clips(PICTURE, 9, 2, features=(side, width)))
    model, curves = trained(case, TRAIN, sides, PICTURE, tmp_path)
    with torch.no_grad():
        logits = model.forward_features(to_features(sides[1].samples)).logits
    check("fit-features", {"curves": curves, "logits": logits}, rtol=1e-4, atol=1e-4)


# A clip: what, where and when.

SHARP = LocalizationParameters(foreground="contrast", threshold=0.2, onset=0.8, score_smoothing=1.0)
MOVING = LocalizationParameters(foreground="motion", extent="object")
PREDICTED: dict[str, tuple[str, dict[str, Any], LocalizationParameters | None]] = {
    "convalstm": ("convalstm", {}, None),
    "convalstm-sharp": ("convalstm", {}, SHARP),
    "alstm-moving-plain": ("alstm", {}, MOVING),
    "moments": ("moments", {}, SHARP),
    "motion": ("motion", {"flow": "farneback"}, None),
    "convlstm": ("convlstm", {}, None),
    "windows": ("convalstm", {"temporal_crops": 3, "frames": 5}, SHARP),
    "stn": ("lstm-stn", {}, None),
    "stn-2": ("lstm-stn-2", {"temporal_crops": 2, "frames": 5}, None),
    "tracks": ("tracks-grey", {}, None),
    "followed": ("convalstm", {"motion_crop": 0.5}, None),
}


def plainly(seen: Prediction) -> dict[str, Any]:
    names = ("frame_scores", "scores", "times", "indices", "attention", "evidence", "points")
    return {
        **{name: getattr(seen, name) for name in names},
        "classes": list(seen.classes),
        "size": None if seen.size is None else list(seen.size),
        "tubes": [{**asdict(tube)} for tube in seen.tubes],
        "segments": [asdict(segment) for segment in seen.segments],
    }


@pytest.mark.parametrize("name", PREDICTED)
def test_a_prediction(name: str, tmp_path: Path) -> None:
    of, changed, localization = PREDICTED[name]
    model, data, settings = CASES[of]
    seer = recognizer((model, replace(data, **changed), settings), localization=localization)
    clip = picture_clip(tmp_path / "clip")
    check(f"predict-{name}", plainly(seer.predict(clip)), rtol=1e-4)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_prediction_by_each_aggregation(aggregation: str, tmp_path: Path) -> None:
    seen = recognizer(CASES["lstm"], aggregation).predict(picture_clip(tmp_path / "clip"))
    check(f"predict-by-{aggregation}", {"scores": seen.scores.tolist(), "frame_scores": seen.frame_scores})


LOCATED = {
    "default": LocalizationParameters(),
    "sharp-plain": SHARP,
    "moving-plain": MOVING,
    "background-one": LocalizationParameters(foreground="background", threshold=0.2, gap=1),
    "thing-plain": LocalizationParameters(foreground="contrast", extent="object", closing=0.1, onset=0.9),
    "whole": LocalizationParameters(foreground="motion", onset=0.0),
}
IN_STREAM = LocalizationParameters(foreground="causal-motion", score_smoothing=2.0)


def looked(frames: int = 16, evidence: bool = False) -> tuple[Prediction, NDArray[np.uint8]]:
    """A confident prediction of a square, attention on it, and the frames; made without a model."""
    chance = np.random.default_rng(4)
    pictures = chance.integers(60, 80, (frames, 32, 32, 3)).astype(np.uint8)
    pictures[1:] = pictures[:1]
    maps = chance.uniform(0.0, 0.3, (frames, 4, 4)).astype(np.float32)
    for t in range(frames):
        x, y = 2 + t, 12 + t // 3
        pictures[t, y : y + 9, x : x + 9] = (220, 90, 30)
        pictures[t, 2:6, 22 - t // 2 : 26 - t // 2] = (30, 200, 220)
        maps[t, (y + 4) // 8, (x + 4) // 8] = 3.0
        maps[t, 0, 2] = 1.5
    maps /= maps.sum((1, 2), keepdims=True)
    sure = np.exp(-(((np.arange(frames) - 9) / 3.0) ** 2))[:, None] * [2.5, 0.4, 1.0]
    scores = np.exp(sure + chance.normal(0, 0.1, sure.shape))
    scores /= scores.sum(1, keepdims=True)
    seen = Prediction(
        path=Path("clip"),
        classes=CLASSES,
        frame_scores=scores.astype(np.float32),
        scores=scores.mean(0).astype(np.float32),
        times=np.arange(frames) / 8,
        indices=np.arange(frames) * 2,
        attention=maps,
        size=(48, 64),
        evidence=(0.8 * sure[:, 0]).astype(np.float32) if evidence else None,
    )
    return seen, pictures


@pytest.mark.parametrize("evidence", [False, True])
@pytest.mark.parametrize("name", LOCATED)
def test_places_and_times(name: str, evidence: bool) -> None:
    seen, pictures = looked(evidence=evidence)
    found = localize(seen, pictures, LOCATED[name])
    check(f"locate-{name}{'-evidence' if evidence else ''}", plainly(found), rtol=1e-4)


@pytest.mark.parametrize("name", ["convalstm", "moments", "lstm"])
def test_a_stream(name: str, tmp_path: Path) -> None:
    clip = lossless_clip(tmp_path / "clip.mkv", looked()[1])
    found = []
    for step in recognizer(CASES[name], localization=IN_STREAM).watch(clip):
        told = {part: getattr(step, part) for part in ("index", "time", "scores", "attention", "evidence", "happening")}
        box = None if step.box is None else {"label": step.box.label, "corners": list(step.box.corners)}
        found.append({**told, "box": box, "point": None if step.point is None else list(step.point)})
    check(f"stream-plain-{name}", {"steps": found}, rtol=1e-4)


# Several models together.


def test_late_fusion() -> None:
    targets = np.array([0, 1, 2, 2, 1, 0, 1, 2], np.int64)
    right = np.eye(K, dtype=np.float32)[targets]
    scores = [0.3 * right + 0.7 * probabilities(8, K, seed=1), 0.4 * right + 0.6 * probabilities(8, K, seed=2)]
    three = [*scores, probabilities(8, K, seed=3)]
    check(
        "fusion",
        {
            "two": list(choose_weights(scores, targets)),
            "three": list(choose_weights(three, targets)),
            "fused": average_scores(scores, choose_weights(scores, targets)),
        },
        rtol=1e-4,
    )


def test_figures_of_answers() -> None:
    targets = np.array([0, 1, 2, 2, 1, 0, 1, 2], np.int64)
    frame_scores = tuple(probabilities(5, K, seed=number) for number in range(len(targets)))
    scores = np.stack([of_clip.mean(0) for of_clip in frame_scores])
    names = tuple(f"clip {number}" for number in range(len(targets)))
    check("measure", measured_as_stored(Evaluation(names, CLASSES, targets, scores, frame_scores)))


# Rounds.


@pytest.mark.parametrize("model", ["lstm", "lstm-keras"])
def test_rounds(model: str) -> None:
    chance = np.random.default_rng(0)
    targets = np.arange(18) % K

    def features(count: int) -> Tensor:
        drawn = (chance.standard_normal((count, 5, 20)) + np.resize(targets, count)[:, None, None] * 0.4).clip(0)
        drawn[:, :, 3] = 0
        return torch.from_numpy(drawn.astype(np.float32))

    training = features(18), torch.from_numpy(targets)
    other = features(9)
    other[:, :, 3] = 1.0  # what no training frame shows
    tests = {"same": training, "new": (other, torch.from_numpy(targets[:9]))}
    found = train_rounds(
        *training, tests, model=model, num_classes=K, rounds=12, epochs=4, batch=5, lr=1e-2, seed=7, stacked=5
    )
    values = {
        name: {"loss": each.loss.tolist(), "accuracy": each.accuracy.tolist(), "mean": each.mean, "spread": each.spread}
        for name, each in found.items()
    }
    check(f"rounds-{model}", values, rtol=1e-4, atol=1e-4)
