"""Where and when in clips: how to localize, chosen from labels alone, and what is found, in files and drawn."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from onlooker.files import write_bytes, write_json
from onlooker.data.clips import ClipFrames
from onlooker.data.samples import Sample, read_sample
from onlooker.data.transforms import to_video
from onlooker.evaluation.explanation import grad_cam
from onlooker.localization.boxes import blank_outside, box_mask, find_boxes
from onlooker.localization.formats import best_tubes, to_activitynet, to_coco, to_mot
from onlooker.localization.parameters import LocalizationParameters, choose_parameters, explanation_cost
from onlooker.localization.segments import event_frames
from onlooker.drawing.clip import write_located
from onlooker.recognizer import Recognizer, load, mean_over_windows
from onlooker.structures import Clip, ClipError, Prediction, Tube
from onlooker.video.motion_crop import Crop

Pixels = NDArray[np.uint8]
Scores = NDArray[np.float32]

CANDIDATES = tuple(
    LocalizationParameters(foreground=foreground, extent=extent, threshold=threshold)
    for extent in ("attention", "object")
    for foreground in ("none", "motion", "background", "contrast")
    for threshold in (0.05, 0.1, 0.2, 0.35)
    if extent == "attention" or foreground != "none"
)
ONSETS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
_AT_ONCE = 50  # clips that are classified together
_PIXELS_AT_ONCE = 1 << 23  # of such clips, where they are large; of 30 frames of 224 pixels that is five
_A_FEW = 4  # clips that are encoded together, also by large encoders
_CHOOSE_ON = 40  # validation clips at most: each is classified twice for every candidate
_FEWEST = 8  # a choice made on fewer is none
_PIXELS = 1 << 27  # of all these classifications together: less than a minute with a small encoder


def frame_answers(recognizer: Recognizer, samples: torch.Tensor) -> tuple[Scores, Scores | None]:
    """Probabilities of every frame, `B T K`, and attention `B T h w`, of samples `B T H W C`."""
    at_once = min(_AT_ONCE, max(1, _PIXELS_AT_ONCE // samples[0, ..., 0].numel()))
    parts = [recognizer.classify(part) for part in samples.split(at_once)]
    maps = [attention for _, attention in parts if attention is not None]
    return torch.cat([scores for scores, _ in parts]).numpy(), torch.cat(maps).numpy() if maps else None


def frame_grad_cam(recognizer: Recognizer, samples: torch.Tensor, said: NDArray[np.int64]) -> Scores:
    """Grad-CAM for the classes `B` of samples `B T H W C`, as maps `B T h w`; of a model that has maps."""
    model, data, parts = recognizer.model, recognizer.data, []
    for clips, classes in zip(samples.split(_AT_ONCE), torch.from_numpy(said).split(_AT_ONCE), strict=True):
        with torch.inference_mode():
            features = model.encode_video(to_video(clips, data.normalization, data.flow_channels))
            parts.append(grad_cam(model, features, classes).cpu())
    return torch.cat(parts).numpy()


def grad_cam_located(recognizer: Recognizer, seen: Prediction, sample: Sample) -> Prediction:
    """A prediction whose maps, points and tubes are those of Grad-CAM for the class that was said."""
    windows = sample.windows
    said = np.full(len(windows), recognizer.classes.index(seen.label))
    maps = frame_grad_cam(recognizer, torch.from_numpy(sample.pixels[windows]), said)
    of_frames = mean_over_windows(maps, windows, len(sample.pixels))
    if sample.crop is not None:
        of_frames = sample.crop.to_frame(of_frames)
    return recognizer.locate(replace(seen, attention=of_frames), sample)


def choose(
    recognizer: Recognizer,
    samples: torch.Tensor,
    pictures: Sequence[Pixels],
    targets: Sequence[int],
    flow: int,
    candidates: Sequence[LocalizationParameters] = CANDIDATES,
    crops: Sequence[Crop] | None = None,
) -> LocalizationParameters:
    """The parameters whose boxes are the smallest that the label needs, and that it needs all of.

    Everything outside of a clip's boxes is blanked (the picture to the median color of these clips, the flow to
    none), then everything inside, and the model sees both: `explanation_cost` weighs the boxes' area and the label's
    probabilities. No true box is looked at.

    Args:
        recognizer: a trained model that attends.
        samples: `B T H W C`, uint8, clips that it did not learn from, as it sees them.
        pictures: of each clip `T H W C`, in which the foreground is looked for.
        targets: the true class of each clip.
        flow: how many of the C channels, the last, are optical flow.
        candidates: among which it is chosen.
        crops: of each clip, where the samples are cut from `pictures` by a motion crop; boxes are found in the whole
            frames.

    Raises:
        ValueError: a model that does not attend.
    """
    _, attention = frame_answers(recognizer, samples)
    if attention is None:
        raise ValueError("the model does not attend: there is nothing to choose parameters for")
    maps = list(attention)
    of_samples: Sequence[Crop | None] = [None] * len(maps) if crops is None else crops
    if crops is not None:
        maps = [crop.to_frame(of_clip) for crop, of_clip in zip(crops, maps, strict=True)]
    color = [float(np.rint(np.median(samples[..., c].numpy()))) for c in range(samples.shape[-1] - flow)]
    blank = [*color, *[128] * flow]
    count, size = len(samples), (samples.shape[2], samples.shape[3])

    def label_probability(masks: NDArray[np.bool_]) -> Scores:
        left = [blank_outside(clip, mask, blank) for clip, mask in zip(samples.numpy(), masks, strict=True)]
        scores, _ = frame_answers(recognizer, torch.from_numpy(np.stack(left)))
        judged = np.stack([recognizer.judge(of_clip) for of_clip in scores])
        return judged[np.arange(count), list(targets)].clip(0, 1)

    def criterion(parameters: LocalizationParameters) -> float:
        of_clips = zip(maps, pictures, of_samples, strict=True)
        masks = np.stack([_masks(*of_clip, size, parameters) for of_clip in of_clips])
        area = masks.mean(axis=(1, 2, 3))
        return float(explanation_cost(area, label_probability(masks), label_probability(~masks)).mean())

    return choose_parameters(candidates, criterion)


def choose_times(
    recognizer: Recognizer, samples: torch.Tensor, targets: Sequence[int], onsets: Sequence[float] = ONSETS
) -> LocalizationParameters:
    """From which share of the highest evidence on a frame belongs to the event: `explanation_cost` in time.

    The frames above it are to be few and enough for the model to tell the label, and the others are not to tell
    it. No true time is looked at. `level` is the median over clips of the highest evidence, for streams.

    Args:
        recognizer: a trained model that says when; its `localization` has the rest of the parameters.
        samples: clips that it did not learn from, as `Recognizer.answer` takes them.
        targets: the true class of each clip.
        onsets: among which it is chosen.

    Raises:
        ValueError: a model that does not.
    """
    model = recognizer.model
    if not model.has_evidence:
        raise ValueError("the model does not weigh frames: there is no evidence to choose an onset for; use model mil")
    found = [recognizer.frame_evidence(part) for part in samples.split(_A_FEW)]
    evidence, attended = (torch.cat(parts) for parts in zip(*found, strict=True))
    rest = recognizer.localization

    def label_probability(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        with torch.inference_mode():
            left = evidence.masked_fill(~torch.from_numpy(kept).to(evidence.device), -torch.inf)
            scores = model.pool_evidence(left, attended).double().softmax(1).cpu().numpy()
        return scores[np.arange(len(samples)), list(targets)].clip(0, 1)

    def criterion(parameters: LocalizationParameters) -> float:
        kept = np.stack([event_frames(of_clip, parameters) for of_clip in evidence.cpu().numpy()])
        return float(explanation_cost(kept.mean(1), label_probability(kept), label_probability(~kept)).mean())

    chosen = choose_parameters([replace(rest, onset=onset) for onset in onsets], criterion)
    return replace(chosen, level=float(evidence.amax(1).median()))


def choose_localization(recognizer: Recognizer, validation: ClipFrames) -> LocalizationParameters:
    """What `choose` and `choose_times` find on validation clips; the parameters that there are where they cannot."""
    parameters = _choose_places(recognizer, validation)
    count = min(_CHOOSE_ON, len(validation))
    if not recognizer.model.has_evidence or count < _FEWEST:
        return parameters
    chosen = [validation[i] for i in _spread(len(validation), count)]
    samples = torch.stack([frames for frames, _, _ in chosen])
    times = choose_times(recognizer, samples, [target for _, target, _ in chosen])
    return replace(parameters, onset=times.onset, level=times.level)


def _spread(total: int, count: int) -> list[int]:
    """So many of all places, from the first to the last."""
    return np.linspace(0, total - 1, count).astype(int).tolist()


def _choose_places(recognizer: Recognizer, validation: ClipFrames) -> LocalizationParameters:
    """What `choose` finds on validation clips, spread over them; the parameters that there are where it cannot.

    It cannot for a model that does not attend, for stored features, whose pixels nobody can blank, for fewer than 8
    clips, and where 8 would take too long: with a large encoder at full size.
    """
    if not recognizer.model.attends or not len(validation) or validation[0][0].dtype != torch.uint8:
        return recognizer.localization
    a_clip = validation[0][0][..., 0].numel()
    count = min(_CHOOSE_ON, len(validation), _PIXELS // (2 * len(CANDIDATES) * a_clip))
    if count < _FEWEST:
        return recognizer.localization
    if recognizer.data.motion_crop:
        return _choose_followed(recognizer, [validation.clips[i] for i in _spread(len(validation), count)])
    chosen = [validation[i] for i in _spread(len(validation), count)]
    samples = torch.stack([frames for frames, _, _ in chosen])
    pictures = [recognizer.pictures(clip) for clip in samples.numpy()]
    return choose(recognizer, samples, pictures, [target for _, target, _ in chosen], recognizer.data.flow_channels)


def choose_from_files(recognizer: Recognizer, clips: Sequence[Clip], count: int = _CHOOSE_ON) -> LocalizationParameters:
    """What `choose` finds on the middle windows of clips, spread over these, for a model that learned stored features.

    Of large frames and encoders that is many: each of `count` clips goes through the encoder twice for every candidate.
    The parameters that there are where `count` or the clips are fewer than 8.

    Raises:
        ClipError: a clip cannot be read.
    """
    count = min(count, len(clips))
    if count < _FEWEST:
        return recognizer.localization
    chosen = [clips[i] for i in _spread(len(clips), count)]
    data = replace(recognizer.data, windows=min(1, recognizer.data.windows))
    seen = np.stack([sample.pixels[sample.windows[0]] for sample in (read_sample(clip.path, data) for clip in chosen)])
    pictures = [recognizer.pictures(clip) for clip in seen]
    targets = [recognizer.classes.index(clip.label) for clip in chosen]
    return choose(recognizer, torch.from_numpy(seen), pictures, targets, recognizer.data.flow_channels)


def _choose_followed(recognizer: Recognizer, clips: Sequence[Clip]) -> LocalizationParameters:
    """The same for a model with a motion crop: boxes are found in the whole frames, which are not cached.

    The crops follow a moving object in front of a static camera, so only boxes around objects in a foreground that
    shows motion are candidates.
    """
    seen = [read_sample(clip.path, recognizer.data) for clip in clips]
    middle = [sample.windows[len(sample.windows) // 2] for sample in seen]
    samples = torch.from_numpy(np.stack([sample.pixels[at] for sample, at in zip(seen, middle, strict=True)]))
    frames = [sample.frames[at] for sample, at in zip(seen, middle, strict=True)]
    crops = [sample.crop.at(at) for sample, at in zip(seen, middle, strict=True) if sample.crop is not None]
    targets = [recognizer.classes.index(clip.label) for clip in clips]
    things = [each for each in CANDIDATES if each.extent == "object" and each.foreground in ("motion", "background")]
    return choose(recognizer, samples, frames, targets, recognizer.data.flow_channels, things, crops)


def _masks(
    maps: Scores, frames: Pixels, crop: Crop | None, size: tuple[int, int], parameters: LocalizationParameters
) -> NDArray[np.bool_]:
    """The part of a sample that boxes in `frames` cover, `T H W` of this size; `crop`: the sample is cut from them."""
    corners = [frame.corners for frame in find_boxes(maps, frames, parameters)]
    if crop is not None:
        of_frame, of_sample = (np.array([side[1], side[0]] * 2, np.float32) for side in (frames.shape[1:3], size))
        corners = [boxes * of_sample for boxes in crop.boxes_to_crop([boxes / of_frame for boxes in corners])]
    return box_mask(corners, size)


def localize_clips(run: Path, clips: Sequence[Path], out: Path, min_score: float = 0.3) -> list[ClipError]:
    """Say where and when it happens in each clip; go on after a clip that cannot be read.

    Into `out` go, for each clip, NAME.mp4 with boxes, class and a bar of time; NAME.json in COCO's form (boxes),
    NAME.txt in that of MOT Challenge, NAME-segments.json in that of ActivityNet. NAME is that of the clip, with those
    of its folders before it as far as clips of one name need them.

    Args:
        run: a trained run of a model that attends.
        clips: video files, or folders of numbered pictures.
        out: a folder.
        min_score: a class of less probability in the whole clip has no boxes and no segments.

    Returns:
        An error for each clip that could not be read.

    Raises:
        ValueError: a model that does not attend, one clip twice, an `out` that is a file or where a clip itself would
            be replaced, or a share that is none.
    """
    if not 0 <= min_score <= 1:
        raise ValueError(f"min_score is {min_score}, expected a probability from 0 to 1")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: a file; --out is a folder")
    names = _names(clips)
    for clip, name in zip(clips, names, strict=True):
        if (out / f"{name}.mp4").resolve() == clip.resolve():
            raise ValueError(f"{clip}: the drawn clip would replace the clip itself; choose another --out")
    recognizer = load(run)
    if not recognizer.model.attends:
        raise ValueError(
            f"{run}: the model does not attend, so it cannot say where; train one that does, such as convalstm"
        )
    console, errors = Console(), Console(stderr=True)
    table = Table("clip", "class", "probability", "boxes", "seconds")
    failed: list[ClipError] = []
    steps = track(clips, "localizing", console=errors, disable=len(clips) == 1, transient=True)
    for clip, name in zip(steps, names, strict=True):
        try:
            seen = recognizer.predict(clip)
            tubes = best_tubes(seen, min_score)
            _write(out / name, clip, seen, tubes, min_score)
        except ClipError as error:
            failed.append(error)
            continue
        table.add_row(Text(name), Text(seen.label), f"{100 * seen.score:.0f} %", *_where_and_when(seen, tubes, min_score))
    if table.row_count:
        console.print(table)
    for failure in failed:
        errors.print(Text(f"error: {failure}", style="red"), soft_wrap=True)
    return failed


def _names(clips: Sequence[Path]) -> list[str]:
    """What the clips are called, without suffix; those of one name with their folders before it, until they differ."""
    parts = [clip.resolve().with_suffix("").parts[1:] for clip in clips]
    depth = [1] * len(clips)
    while True:
        names = ["-".join(of[-n:]) for of, n in zip(parts, depth, strict=True)]
        double = [i for i, name in enumerate(names) if names.count(name) > 1]
        if not double:
            return names
        if all(depth[i] >= len(parts[i]) for i in double):
            raise ValueError(f"{clips[double[0]]}: given twice; each clip is localized once")
        for i in double:
            depth[i] += 1


def _write(to: Path, clip: Path, seen: Prediction, tubes: Sequence[Tube], min_score: float) -> None:
    """The four files of a clip; `to` is their path without suffix."""
    write_json(to.with_name(f"{to.name}.json"), to_coco(seen, tubes))
    write_json(to.with_name(f"{to.name}-segments.json"), to_activitynet(seen, min_score))
    write_bytes(to.with_name(f"{to.name}.txt"), to_mot(seen, tubes).encode())
    write_located(clip, to.with_name(f"{to.name}.mp4"), seen, tubes, min_score)


def _where_and_when(seen: Prediction, tubes: Sequence[Tube], min_score: float) -> tuple[str, str]:
    if seen.score < min_score:
        return "none: no class is probable enough", ""
    boxes = sum(len(tube.frames) for tube in tubes)
    when = ", ".join(f"{one.start:.1f} to {one.end:.1f}" for one in seen.segments if one.label == seen.label)
    things = "1 thing" if len(tubes) == 1 else f"{len(tubes)} things"
    return f"{boxes} of {things}" if boxes else "none: attention is even", when
