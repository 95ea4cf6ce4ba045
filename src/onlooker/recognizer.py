"""A trained model with all it needs to be used: how clips become samples, what the classes are called."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

import onlooker
from onlooker.config import DataConfig, StreamConfig
from onlooker.data.clips import ClipCrops, ClipFrames
from onlooker.data.samples import Sample, read_sample
from onlooker.data.transforms import NORMALIZATIONS, to_features, to_video
from onlooker.drawing.clip import write_drawn
from onlooker.files import explain_write_errors, read_json, write_json
from onlooker.localization import localize
from onlooker.localization.parameters import LocalizationParameters
from onlooker.models.classifier import AGGREGATIONS, clip_scores
from onlooker.models.registry import rebuild
from onlooker.models.video_model import Output, VideoModel
from onlooker.ops.spatial_transformer import window_corners
from onlooker.streaming import Failed, Named, Streams, watch
from onlooker.structures import ClipError, Evaluation, FlowStacks, Prediction, Step
from onlooker.video.flow import read_flow
from onlooker.video.sampling import FixedIndices

DEFAULT_LOCALIZATION = LocalizationParameters()
FUSED_FILE = "fused.json"  # of several models that answer together (`onlooker.ensemble`)
_FILE = "recognizer.json"
_AT_ONCE = 32  # frames that are encoded together


class Seen(NamedTuple):
    """Of one clip: probabilities at its frames, `U K`; of the whole, `K`; attention `U h w`, evidence `U`, if any."""

    frame_scores: NDArray[np.float32]
    scores: NDArray[np.float32]
    attention: NDArray[np.float32] | None
    evidence: NDArray[np.float32] | None


class Answer(NamedTuple):
    """Of clips: probabilities `B T K`; attention `B T h w` and evidence `B T` (`Output`), if there are any."""

    scores: Tensor
    attention: Tensor | None
    evidence: Tensor | None


class Recognizer:
    """Pixels in, classes and places out.

    Args:
        model: a trained classifier; it is put into evaluation mode.
        classes: the `K` class names.
        data: how clips are sampled, resized and normalized.
        aggregation: how frame scores become clip scores (`clip_scores`): `mean`, `product` or `last`.
        localization: how attention and scores become tubes and segments; `experiments.localize.choose_localization`
            finds it from clips and their labels.

    Raises:
        ValueError: names, sizes or channels that do not fit the model, or an unknown aggregation.
    """

    def __init__(
        self,
        model: VideoModel,
        classes: Sequence[str],
        data: DataConfig,
        aggregation: str = "mean",
        localization: LocalizationParameters = DEFAULT_LOCALIZATION,
    ) -> None:
        if aggregation not in AGGREGATIONS:
            raise ValueError(f"aggregation is {aggregation!r}, expected one of {', '.join(AGGREGATIONS)}")
        if len(classes) != model.num_classes:
            raise ValueError(f"{len(classes)} class names for a model of {model.num_classes} classes")
        if (data.size, data.in_channels) != (model.size, model.in_channels):
            raise ValueError(
                f"frames of {data.size} pixels and {data.in_channels} channels for a model of {model.size} pixels and "
                f"{model.in_channels} channels"
            )
        self.model, self.classes, self.data = model.eval(), tuple(classes), data
        self.aggregation, self.localization = aggregation, localization

    def judge(self, frame_scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of a clip, `K`, from those at its frames, `T K`; or of several clips, `… T K -> … K`."""
        scores: NDArray[np.float32] = clip_scores(torch.from_numpy(frame_scores), self.aggregation).numpy()
        return scores

    def classify(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        """Probabilities `B T K` and attention `B T h w`, on the CPU: `answer` without the evidence."""
        scores, attention, _ = self.answer(samples)
        return scores, attention

    @torch.inference_mode()
    def answer(self, samples: Tensor) -> Answer:
        """Probabilities `B T K`, attention `B T h w` and evidence `B T`, on the CPU.

        Args:
            samples: frames `B T H W C` uint8, already resized, or stored features `B T h w D` float16.
        """
        samples = samples.to(self._device)
        if samples.dtype == torch.float16:
            return _probabilities(self.model.forward_features(to_features(samples)))
        return _probabilities(self.model(to_video(samples, self.data.normalization, self.data.flow_channels)))

    @torch.inference_mode()
    def classify_windows(self, samples: Tensor, windows: NDArray[np.int64]) -> Seen:
        """What is seen of one clip through windows; frames that they share are encoded once.

        Args:
            samples: its frames `U H W C` uint8, already resized, or stored features `U h w D` float16.
            windows: `W T`, places among the `U`.
        """
        if not self.model.encodes_frames or len(windows) == 1:
            scores, attention, evidence = joined([self.answer(samples[window][None]) for window in windows])
        else:
            features = torch.cat([self._encode(part) for part in samples.split(_AT_ONCE)])
            scores, attention, evidence = _probabilities(self.model.forward_features(features[windows]))
        judged = np.mean([self.judge(of_window) for of_window in scores.numpy()], 0)
        frame_scores, *rest = (
            None if part is None else mean_over_windows(part.numpy(), windows, len(samples))
            for part in (scores, attention, evidence)
        )
        assert frame_scores is not None
        return Seen(frame_scores, judged, *rest)

    @torch.inference_mode()
    def frame_evidence(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Evidence of each frame of such samples, `B T`, and its attended features, `B T D`.

        Raises:
            ValueError: a model that does not weigh frames.
        """
        return self.model.frame_evidence(self._encode(samples.flatten(0, 1)).unflatten(0, samples.shape[:2]))

    def _encode(self, samples: Tensor) -> Tensor:
        """Frames or stored features `N …` to features `N D h w`."""
        samples = samples.to(self._device)
        if samples.dtype == torch.float16:
            return to_features(samples)
        return self.model.encode(to_video(samples, self.data.normalization, self.data.flow_channels))

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def predict(self, path: Path | str) -> Prediction:
        """What happens in a clip, where and when: a video file, or a folder of numbered pictures.

        Raises:
            ClipError: the clip cannot be read.
        """
        return self.locate(*self.look(path))

    def look(self, path: Path | str) -> tuple[Prediction, Sample]:
        """What happens in a clip, without tubes and segments; and the frames that say so.

        Raises:
            ClipError: the clip cannot be read.
        """
        sample = read_sample(Path(path), self.data)
        found = self.classify_windows(torch.from_numpy(sample.pixels), sample.windows)
        attention = found.attention
        if attention is not None and sample.crop is not None:
            attention = sample.crop.to_frame(attention)
        seen = Prediction(
            path=Path(path),
            classes=self.classes,
            frame_scores=found.frame_scores,
            scores=found.scores,
            times=sample.times,
            indices=sample.indices,
            attention=attention,
            windows=self._windows(sample),
            size=sample.size,
            evidence=found.evidence,
        )
        return seen, sample

    def locate(self, seen: Prediction, sample: Sample) -> Prediction:
        """A prediction with its tubes and segments, from the frames that it was made of."""
        return localize(seen, sample.frames, self.localization)

    def pictures(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Of samples `… C` the channels of the picture; those of the flow where there is no picture."""
        return pixels[..., : self.data.image_channels]

    def watch(
        self, source: Named | Sequence[Named], config: StreamConfig | None = None, failed: Failed | None = None
    ) -> Iterator[Step]:
        """What happens in a camera, an address or a file, now: a `Step` for every frame, in constant memory.

        Several sources, in a list, are watched in batches, each with a memory of its own; `Step.source` says whose step
        it is, and one that ends or fails does not stop the others. See `streaming.watch` for `failed` and the errors.

        Raises:
            ValueError: a model that needs whole clips.
        """
        sources = [source] if isinstance(source, int | str | Path) else source
        return watch(
            Streams(self.model, self.classes, self.data, self.localization), sources, config or StreamConfig(), failed
        )

    @torch.inference_mode()
    def _windows(self, sample: Sample) -> NDArray[np.float32] | None:
        """Where the model's windows lie in the video: those of its encoder, or the one that follows what moves."""
        frames = torch.from_numpy(sample.pixels).to(self._device)
        if self.model.has_windows:
            video = to_video(frames, self.data.normalization, self.data.flow_channels)
            # Where a frame's window depends on its neighbors, and it is in several crops, the first crop is shown.
            found = [self.model.windows(video[crop]) for crop in sample.windows]
            theta = torch.zeros(len(frames), *found[0].shape[1:])
            for crop, seen in zip(sample.windows[::-1], found[::-1], strict=True):
                theta[crop] = seen.cpu()
        elif sample.crop is not None:
            theta = torch.eye(2, 3).expand(len(frames), 1, 2, 3)
        else:
            return None
        corners = window_corners(theta.reshape(len(frames), -1, 2, 3), 1, 1).numpy()
        if sample.crop is not None:
            corners = sample.crop.points_to_frame(corners)
        height, width = sample.size
        return corners * np.array([width, height], np.float32)

    def overlay(self, path: Path | str, out: Path | str, prediction: Prediction | None = None) -> Path:
        """Write the whole clip to `out` (.mp4 or .gif), with class, probability and where it looked on every frame.

        Attention is drawn as color, its point as a ring, an encoder's windows as outlines; a model that sees optical
        flow has it in the upper right corner, in colors (`pictures.flow_color`). The model looked at
        `frames` of its frames; between two of them attention is blended, points and windows glide, and the class is
        that of the last one it has seen.

        Raises:
            ClipError: the clip cannot be read.
            ValueError: `out` is neither .mp4 nor .gif, or it is the clip itself.
        """
        seen = prediction or self.predict(path)
        return write_drawn(path, out, seen, self.motion(path, seen.indices))

    def motion(self, path: Path | str, indices: NDArray[np.int64]) -> FlowStacks | None:
        """The optical flow that begins at frames of a clip, a field each, by the method of the model's samples.

        It is that of whole frames in their own proportions, for people to look at; None for a model that sees none.

        Raises:
            ClipError: the clip cannot be read, or has a single frame.
        """
        return read_flow(path, FixedIndices(indices), 1, self.data.flow) if self.data.flow_channels else None

    def evaluate(self, samples: ClipFrames, batch: int = 16, skipped: Sequence[ClipError] = ()) -> Evaluation:
        """Answers on a set of clips, with the truth beside them."""
        frame_scores: list[NDArray[np.float32]] = []
        scores: list[NDArray[np.float32]] = []
        if isinstance(samples, ClipCrops):
            for index in range(len(samples)):
                seen = self.classify_windows(*samples.every_crop(index))
                frame_scores.append(seen.frame_scores)
                scores.append(seen.scores)
        else:
            for frames, _, _ in DataLoader(samples, batch):
                frame_scores += list(self.classify(frames)[0].numpy())
            scores = [self.judge(of_clip) for of_clip in frame_scores]
        return Evaluation(
            names=tuple(f"{clip.label}/{clip.path.name}" for clip in samples.clips),
            classes=self.classes,
            targets=np.array(samples.targets, dtype=np.int64),
            scores=np.stack(scores),
            frame_scores=tuple(frame_scores),
            skipped=tuple(skipped),
        )

    def save(self, folder: Path | str) -> Path:
        """Write config.json, model.safetensors and recognizer.json; the folder can be sent to a model hub as it is.

        Raises:
            DiskFullError: the disk is full.
        """
        folder = Path(folder)
        with explain_write_errors("the model", folder):
            self.model.save_pretrained(folder)
        values = {"onlooker": onlooker.__version__, "classes": list(self.classes), "data": self.data.to_dict()}
        values |= {"model": type(self.model).__name__, "package": self.model.package, "aggregation": self.aggregation}
        values |= {"localization": asdict(self.localization)}
        write_json(folder / _FILE, values)
        return folder


def load(run: Path | str, device: str = "auto") -> Recognizer:
    """A recognizer from a run's folder, or from its `model` folder alone.

    Only JSON and safetensors are read, so a folder from a stranger cannot run code.

    Args:
        run: the folder.
        device: where the model runs, in PyTorch's words; auto: a GPU where there is one.

    Raises:
        FileNotFoundError: no trained model there.
        ValueError: files that do not fit each other.
    """
    folder = Path(run)
    if (folder / FUSED_FILE).exists():
        raise ValueError(f"{run}: several models, fused; load them by Fused.load")
    if not (folder / _FILE).exists():
        folder = folder / "model"
    if not (folder / _FILE).exists():
        is_file, is_folder = Path(run).is_file(), Path(run).is_dir()
        state = (
            "the folder holds no trained model"
            if is_folder
            else "a file, not a folder"
            if is_file
            else "no such folder"
        )
        raise FileNotFoundError(f"{run}: {state}; expected one that `onlooker train` has finished")
    try:
        values, settings = read_json(folder / _FILE), read_json(folder / "config.json")
        # Files from before there was a choice do not say what they are.
        model = rebuild(values.get("model", "Classifier"), settings, values.get("package", "onlooker"))
        data, classes = DataConfig.from_dict(values["data"]), [str(name) for name in values["classes"]]
        localization = LocalizationParameters(**values.get("localization", {}))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder}: its JSON files are not those of this version of onlooker ({error!r}); train again, or use the "
            "version that wrote them"
        ) from error
    _load_weights(model, folder / "model.safetensors")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Recognizer(model.to(device), classes, data, values.get("aggregation", "mean"), localization)


def _load_weights(model: VideoModel, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    try:
        load_model(model, path)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path}: these are not the weights of this model ({error}); train again") from error


def joined(parts: Sequence[Answer]) -> Answer:
    """Answers on some clips after those on others."""

    def together(which: Sequence[Tensor | None]) -> Tensor | None:
        found = [part for part in which if part is not None]
        return torch.cat(found) if found else None

    scores, *rest = zip(*parts, strict=True)
    return Answer(torch.cat(scores), *map(together, rest))


def _probabilities(output: Output) -> Answer:
    logits, *rest = output
    return Answer(logits.float().softmax(-1).cpu(), *(None if part is None else part.float().cpu() for part in rest))


def mean_over_windows(values: NDArray[np.float32], windows: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Values of windows, `W T …`, as those of `count` frames: the mean over the windows that a frame is in."""
    summed = np.zeros((count, *values.shape[2:]), np.float32)
    np.add.at(summed, windows, values)
    often = np.bincount(windows.ravel(), minlength=count)
    return np.divide(summed, often.reshape(-1, *[1] * (summed.ndim - 1)), dtype=np.float32)


def resolve_normalization(data: DataConfig, pretrained: bool) -> DataConfig:
    """`auto` replaced by what the encoder was trained on.

    Raises:
        ValueError: no normalization of that name.
    """
    if data.normalization not in ("auto", *NORMALIZATIONS):
        raise ValueError(
            f"no normalization is called {data.normalization!r}; there are auto, {', '.join(NORMALIZATIONS)}"
        )
    if data.normalization != "auto":
        return data
    return replace(data, normalization="imagenet" if pretrained else "half")
