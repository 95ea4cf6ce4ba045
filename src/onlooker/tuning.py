"""Choose localization parameters from clips and their labels alone: no true box or time is used."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from onlooker.data.clips import ClipFrames
from onlooker.data.samples import read_sample
from onlooker.localization.boxes import blank_outside, box_mask, find_boxes
from onlooker.localization.parameters import LocalizationParameters, explanation_cost
from onlooker.localization.segments import event_frames
from onlooker.recognizer import Recognizer
from onlooker.video.motion_crop import Crop
from onlooker.video.sampling import equally_spaced

__all__ = ["CANDIDATES", "ONSETS", "choose_localization", "choose_spatial_parameters", "choose_temporal_parameters"]

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

CANDIDATES = tuple(
    LocalizationParameters(foreground=foreground, extent=extent, threshold=threshold)
    for extent in ("attention", "object")
    for foreground in ("none", "motion", "background", "contrast")
    for threshold in (0.05, 0.1, 0.2, 0.35)
    if extent == "attention" or foreground != "none"
)
# A motion crop follows an object in front of a static camera: boxes enclose parts of a foreground that shows motion.
MOTION_CANDIDATES = tuple(
    each for each in CANDIDATES if each.extent == "object" and each.foreground in ("motion", "background")
)
ONSETS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
_CLIPS_ENCODED = 4  # at once; few enough for large encoders
_MAX_CLIPS = 40  # each is classified twice for every candidate
_MIN_CLIPS = 8
_MIN_FRAMES = 4
_FIRST_THRESHOLD = 0.1
_PIXELS = 1 << 25  # budget of all these classifications: seconds with the encoder `small`


def choose_spatial_parameters(
    recognizer: Recognizer,
    samples: torch.Tensor,
    frames: Sequence[Pixels],
    targets: Sequence[int],
    candidates: Iterable[LocalizationParameters] = CANDIDATES,
    crops: Sequence[Crop] | None = None,
) -> LocalizationParameters:
    """Choose the parameters with the smallest boxes that still contain everything that the label needs.

    Everything outside of a clip's boxes is blanked (RGB to the median color of these clips, flow to zero), then
    everything inside; `explanation_cost` combines the area of the boxes and the model's probabilities of the label.

    Args:
        recognizer: a trained model that attends.
        samples: `B T H W C`, uint8, clips that were not used in training.
        frames: of each clip `T H W C`, in which boxes and the foreground are found.
        targets: the true class of each clip.
        crops: of each clip, if the samples are cut from `frames` by a motion crop.

    Raises:
        ValueError: a model that does not attend.
    """
    attention = recognizer.classify(samples).numpy()[1]
    if attention is None:
        raise ValueError("the model does not attend: there is nothing to choose parameters for")
    flow = recognizer.data.flow_channels
    color = [float(np.rint(np.median(samples[..., c].numpy()))) for c in range(samples.shape[-1] - flow)]
    blank = [*color, *[128] * flow]
    count, size = len(samples), (samples.shape[2], samples.shape[3])

    def label_probability(masks: NDArray[np.bool_]) -> Floats:
        blanked = [blank_outside(clip, mask, blank) for clip, mask in zip(samples.numpy(), masks, strict=True)]
        scores = recognizer.classify(torch.from_numpy(np.stack(blanked))).scores.numpy()
        return recognizer.aggregate(scores)[np.arange(count), list(targets)].clip(0, 1)

    def criterion(parameters: LocalizationParameters) -> float:
        of_clips = zip(attention, frames, crops or (None,) * count, strict=True)
        masks = np.stack([_mask(*of_clip, size, parameters) for of_clip in of_clips])
        area = masks.mean(axis=(1, 2, 3))
        return float(explanation_cost(area, label_probability(masks), label_probability(~masks)).mean())

    return min(candidates, key=criterion)


def _mask(
    maps: Floats, frames: Pixels, crop: Crop | None, size: tuple[int, int], parameters: LocalizationParameters
) -> NDArray[np.bool_]:
    """The part of a sample that boxes in `frames` cover, `T H W` of this size; `crop`: the sample is cut from them."""
    whole = maps if crop is None else crop.to_frame(maps)
    corners = [boxes.corners for boxes in find_boxes(whole, frames, parameters)]
    if crop is not None:
        of_frame, of_sample = (np.array([side[1], side[0]] * 2, np.float32) for side in (frames.shape[1:3], size))
        corners = [boxes * of_sample for boxes in crop.boxes_to_crop([boxes / of_frame for boxes in corners])]
    return box_mask(corners, size)


def choose_temporal_parameters(
    recognizer: Recognizer, samples: torch.Tensor, targets: Sequence[int]
) -> LocalizationParameters:
    """Choose `onset`, the share of the maximum evidence from which on a frame belongs to the event.

    `explanation_cost` over time is the criterion: the event should have few frames, which suffice for the label, while
    the other frames do not. For streams, `level` is set to the median over clips of the maximum evidence.

    Args:
        recognizer: a trained model with evidence; its `localization` has the other parameters.
        samples: clips that were not used in training, as for `Recognizer.classify`.
        targets: the true class of each clip.

    Raises:
        ValueError: a model without evidence.
    """
    model = recognizer.model
    if not model.has_evidence:
        raise ValueError("the model does not weigh frames: there is no evidence to choose an onset for; use model mil")
    parts = [recognizer.frame_evidence(part) for part in samples.split(_CLIPS_ENCODED)]
    evidence, attended = (torch.cat(part) for part in zip(*parts, strict=True))

    def label_probability(event: NDArray[np.bool_]) -> NDArray[np.float64]:
        with torch.inference_mode():
            masked = evidence.masked_fill(~torch.from_numpy(event).to(evidence.device), -torch.inf)
            logits = model.pool_evidence(masked, attended).double() / recognizer.temperature
            scores = logits.softmax(1).cpu().numpy()
        return scores[np.arange(len(samples)), list(targets)].clip(0, 1)

    def criterion(parameters: LocalizationParameters) -> float:
        event = np.stack([event_frames(of_clip, parameters) for of_clip in evidence.cpu().numpy()])
        return float(explanation_cost(event.mean(1), label_probability(event), label_probability(~event)).mean())

    chosen = min((replace(recognizer.localization, onset=onset) for onset in ONSETS), key=criterion)
    return replace(chosen, level=float(evidence.amax(1).median()))


def choose_localization(
    recognizer: Recognizer, validation: ClipFrames, title: str | None = None
) -> tuple[LocalizationParameters, str]:
    """Parameters chosen on validation clips: spatial ones for attention, temporal ones for evidence.

    Clips with many pixels are tuned on fewer frames. With a title, a progress bar is shown.

    Returns:
        The parameters, those of the recognizer where nothing can be chosen; and how they were chosen, in words.
    """
    model, parameters = recognizer.model, recognizer.localization
    if not (model.attends or model.has_evidence):
        return parameters, ""
    if len(validation) < _MIN_CLIPS:
        return (
            parameters,
            f"default parameters; {len(validation)} validation clips are too few for tuning (at least {_MIN_CLIPS})",
        )
    first, how = validation[0][0], []
    if model.attends and first.dtype != torch.uint8:
        how.append("where: not tuned, stored features have no pixels")
    elif model.attends:
        clips, T = _affordable(len(validation), *first.shape[:3])
        parameters = _choose_spatial_parameters(recognizer, validation, clips, T, title)
        how.append(f"where: tuned on {clips} validation clips{f', {T} of {len(first)} frames' * (len(first) > T)}")
    if model.has_evidence:
        samples, targets = _stacked(validation, min(_MAX_CLIPS, len(validation)))
        times = choose_temporal_parameters(recognizer, samples, targets)
        parameters = replace(parameters, onset=times.onset, level=times.level)
        how.append(f"when: tuned on {len(targets)} validation clips")
    return parameters, "; ".join(how)


def _affordable(clips: int, T: int, H: int, W: int) -> tuple[int, int]:
    """How many clips, and how many frames of each, fit in the budget of `choose_spatial_parameters`."""
    frames = _PIXELS // (2 * len(CANDIDATES) * H * W)
    count = min(_MAX_CLIPS, clips, max(_MIN_CLIPS, frames // T))
    return count, min(T, max(_MIN_FRAMES, frames // count))


def _choose_spatial_parameters(
    recognizer: Recognizer, validation: ClipFrames, count: int, T: int, title: str | None
) -> LocalizationParameters:
    """The kind of boxes at one threshold, then the threshold: a third of the time that all candidates take."""
    at = equally_spaced(len(validation[0][0]), T)
    candidates = MOTION_CANDIDATES if recognizer.data.motion_crop else CANDIDATES
    samples, targets = _stacked(validation, count)
    if recognizer.data.motion_crop:  # boxes are found in whole frames, which are not cached
        clips = [validation.clips[i] for i in _spread(len(validation), count)]
        whole = [read_sample(clip.path, recognizer.data) for clip in clips]
        read = [sample.at(sample.temporal_crops[len(sample.temporal_crops) // 2][at]) for sample in whole]
        samples = torch.from_numpy(np.stack([sample.pixels for sample in read]))
        frames, crops = [sample.frames for sample in read], [sample.crop for sample in read if sample.crop is not None]
    else:
        samples, crops = samples[:, at], None
        frames = [clip[..., : recognizer.data.image_channels] for clip in samples.numpy()]

    def choose(candidates: list[LocalizationParameters]) -> LocalizationParameters:
        shown = track(candidates, title or "", disable=title is None)
        return choose_spatial_parameters(recognizer, samples, frames, targets, shown, crops)

    kind = choose([each for each in candidates if each.threshold == _FIRST_THRESHOLD])
    return choose([each for each in candidates if replace(each, threshold=kind.threshold) == kind])


def _spread(total: int, count: int) -> list[int]:
    """`count` of `total` positions, from the first to the last."""
    return np.linspace(0, total - 1, count).astype(int).tolist()


def _stacked(validation: ClipFrames, count: int) -> tuple[torch.Tensor, list[int]]:
    chosen = [validation[i] for i in _spread(len(validation), count)]
    return torch.stack([frames for frames, _, _ in chosen]), [target for _, target, _ in chosen]
