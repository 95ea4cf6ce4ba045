"""A trained model with everything it needs: how clips become samples, the class names, how to
localize.
"""

import math
import reprlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

import onlooker
from onlooker.base.config import DataConfig, StreamConfig
from onlooker.base.decision import Decision
from onlooker.base.files import (
    RECORD,
    explain_write_errors,
    file_digest,
    model_folder,
    read_json,
    reading,
    write_json,
)
from onlooker.base.intervals import resolved
from onlooker.base.progress import OnProgress, progress_bar, reporting, showing, tracked
from onlooker.base.records import (
    ClipError,
    Evaluation,
    Floats,
    Pixels,
    Prediction,
    Segment,
    Step,
)
from onlooker.base.settings import field_of, typed
from onlooker.base.text import printable
from onlooker.data.array_cache import ArrayCache, open_array
from onlooker.data.clips import ClipFrames, decode_each, read_clips, read_header
from onlooker.data.samples import Sample, read_at
from onlooker.data.sets import read_set
from onlooker.data.split import fingerprint, source_of
from onlooker.formats.publish import Sink, publish
from onlooker.localization import localize
from onlooker.localization.crop import VERSION as CROP_VERSION
from onlooker.localization.crop import in_frame
from onlooker.models.registry import find_class, missing_packages
from onlooker.models.video_model import (
    NO_OTHERS,
    WEIGHTS,
    Others,
    VideoModel,
    choose_device,
)
from onlooker.report.contrast import Contrast, blocks_on_grid, on_all_places, on_grid
from onlooker.report.overlay import write_drawn
from onlooker.storage import local
from onlooker.stream.recordings import Rows, clip_events, collected, recorded
from onlooker.stream.segmenters import segmenter_of
from onlooker.stream.segmenters.segmenter import Segmenter
from onlooker.stream.sources import ON_TIME, State, Status, stream_names
from onlooker.stream.streams import Address, OnError, OnStatus, Streams, watch
from onlooker.training.forward import encode_samples, forward_samples, memory_batches
from onlooker.video.motion_words import WARM_UP, bin_ends, motion_eye
from onlooker.video.rates import RATE, RATE_REMEDY
from onlooker.video.reader import VideoReader, is_video
from onlooker.video.sampling import Timing, equally_spaced

_PIECE = 600.0  # seconds of a recording that are watched, and kept, together
_BOX_FRAMES = 64  # before a piece, after which boxes hardly depend on earlier frames
_HEAT_SECONDS = 3600.0  # longest recording whose heat is kept: 5 KB per frame


class Features(NamedTuple):
    """The features of a clip.

    Args:
        embedding: `M`, the input of the last layer of the model (`head`), for the whole clip.
        maps: `T D h w`, the output of its encoder for each frame.
    """

    embedding: Floats
    maps: Floats


class Classification(NamedTuple):
    """Results for clips: probabilities `B T K`; attention `B T h w`, `Windows.whole` `B T L`, and
    their distances `B` from the training clips (`Output.distance`), or None.
    """

    scores: Floats
    attention: Floats | None = None
    whole: Floats | None = None
    distances: Floats | None = None


class Recognizer:
    """A trained model with its preprocessing and postprocessing: what happens in clips and streams,
    where and when.

    Args:
        model: a trained classifier; it is put into evaluation mode.
        data: how clips are sampled, resized and normalized.
        decision: how its scores become an answer.

    Raises:
        ValueError: classes, sizes or channels that do not match the model.
    """

    @typed
    def __init__(self, model: VideoModel, data: DataConfig, decision: Decision) -> None:
        classes = decision.classes
        if len(classes) != model.num_classes:
            raise ValueError(
                f"{len(classes)} class names for a model of {model.num_classes} classes"
            )
        if (data.size, data.in_channels) != (model.size, model.in_channels):
            raise ValueError(
                f"frames of {data.size} pixels and {data.in_channels} channels for a model of {model.size} pixels and "
                f"{model.in_channels} channels"
            )
        outputs = sum(len(chain.classes) for chain in decision.states)
        if outputs != (model_outputs := model.heads.outputs("state")):
            raise ValueError(
                f"chains of {outputs} states for a model with {model_outputs} outputs of states"
            )
        if (data.layer_eyes != "pictures") != bool(model.eyes):
            raise ValueError(
                f"eyes is {data.eyes!r} for a model with {sum(model.eyes.values())} features of "
                f"{' and '.join(model.eyes) or 'other eyes'}"
            )
        self.model = model.eval()
        self.data = data
        self.decision = decision

    @property
    def classes(self) -> Sequence[str]:
        """The `K` class names."""
        return self.decision.classes

    def __repr__(self) -> str:
        return f"Recognizer({type(self.model).__name__}, {reprlib.repr(self.classes)})"

    @property
    def segmenter(self) -> Segmenter[Any] | None:
        """A new segmenter at the frame rate of training; None for a model of clips alone."""
        rate = self.decision.frame_rate or RATE
        return segmenter_of(self.decision, self.model.lengths, rate)

    @property
    def longest(self) -> float:
        """Seconds of the longest clip with one answer. A longer video is a recording, in which
        segments are found. Infinite without a segmenter, and for models of optical flow, which is
        not computed for recordings. Zero for states, which go on in every video.
        """
        segmenter = self.segmenter
        if segmenter is not None and not segmenter.has_pauses:
            return 0.0
        if segmenter is None or self.data.modality != "rgb":
            return math.inf
        windows = self.model.lengths[-1] / (self.decision.frame_rate or RATE)
        return max(self.decision.clip_seconds, windows)

    def is_recording(self, length: float) -> bool:
        """Whether `predict` and `evaluate` find events in a video of this length in seconds
        (`Timing.length`); else it is a clip with one answer, as is a video of unknown length (inf).
        """
        return self.longest < length < math.inf

    def read(self, path: Path | str | VideoReader) -> Sample:
        """The sample of a clip, the input of the model; a ClipError if it cannot be read."""
        return read_at(_opened(path), self.data, partial(equally_spaced, count=self.data.frames))

    def read_ahead(self, path: Path | str | VideoReader) -> Sample | Timing:
        """The data of a clip that `predict` needs: its sample; for a recording, which `predict`
        decodes itself, the times of its frames. A ClipError if it cannot be read.
        """
        reader = _opened(path)
        if self.longest < math.inf and self.is_recording(reader.timing.length):
            return reader.timing
        return self.read(reader)

    @typed
    def predict(
        self,
        clip: Path | str | Pixels,
        sample: Sample | Timing | None = None,
        *,
        rate: float | None = None,
        threshold: float | None = None,
        progress: OnProgress | None = None,
        cache: ArrayCache | None = None,
    ) -> Prediction:
        """What happens in a clip (a video file, or a folder with an image sequence), where and
        when.

        A clip longer than `longest` is a recording: it is processed from beginning to end, at the
        frame rate of training, and all its events are found.

        Args:
            clip: its path; or frames in memory, `T H W 3`, RGB uint8.
            sample: what `read_ahead` or `read` returned for the clip.
            rate: frames per second of frames in memory.
            threshold: the lowest score of an event, in a clip and in a recording; None: as in
                training.
            progress: of a recording, as in `onlooker.train`.
            cache: keeps the results of every ten minutes of a recording, so that a call continues
                where an earlier one was killed; not for models that see a crop.

        Raises:
            ClipError: the clip cannot be read.
            TypeError, ValueError: neither a path nor frames with their rate, or `threshold` is no
                probability.
        """
        self.decision.with_threshold(threshold)  # refuses one that is no probability
        path = (
            clip if not isinstance(clip, np.ndarray) and rate is None else VideoReader(clip, rate)
        )
        if sample is None:
            sample = self.read_ahead(path)
        if isinstance(sample, Sample) and not self.is_recording(sample.length):
            return self.predict_clip(path, sample, threshold=threshold)
        with reporting(progress):
            prediction = self._predict_long(
                _opened(path), threshold=threshold, seconds=sample.end, cache=cache
            )
        return replace(prediction, assumes_rate=sample.assumes_rate, end=sample.end)

    @typed
    def predict_many(
        self,
        paths: Iterable[Path | str],
        *,
        threshold: float | None = None,
        on_error: OnError | None = None,
        quiet: bool = False,
        progress: OnProgress | None = None,
    ) -> list[Prediction]:
        """The predictions of many clips, in their order; threads read the next ones meanwhile.

        All maps stay in memory: for more than thousands of clips, or hours of recordings, use
        `onlooker predict --json`, or a loop over `predict`.

        Args:
            threshold: as in `predict`.
            on_error: called with the error of each clip that cannot be read, which is left out;
                None: the first one is raised.
            quiet: no progress bar.
            progress: as in `onlooker.train`.

        Raises:
            ClipError, ValueError: as `predict`.
        """
        predictions = list[Prediction]()
        files = list(map(Path, paths))
        samples = decode_each(files, self.read_ahead)
        with showing(not quiet), reporting(progress), closing(samples):
            read = zip(files, samples, strict=True)
            for path, sample in tracked(read, "predicting clips", len(files)):
                try:
                    if isinstance(sample, ClipError):
                        raise sample
                    predictions.append(self.predict(path, sample, threshold=threshold))
                except ClipError as error:
                    if on_error is None:
                        raise
                    on_error(error)
        return predictions

    @torch.inference_mode()
    def features(self, path: Path | str) -> Features:
        """The features that the model computes before it classifies a clip, from as many frames as
        in training: for a model or a search of your own. Not while another thread uses the model.

        Raises:
            ClipError: the clip cannot be read.
            ValueError: a model that does not encode single frames.
        """
        maps = encode_samples(self.model, torch.from_numpy(self.read(path).pixels)[None], self.data)
        given = list[Tensor]()
        with self.model.head.register_forward_pre_hook(lambda _, values: given.append(values[0])):
            self.model.forward_features(maps)
        frames = given[0].flatten(0, -2)
        embedding = frames[-1] if self.decision.aggregation == "last" else frames.mean(0)
        return Features(embedding.float().cpu().numpy(), maps[0].float().cpu().numpy())

    @typed
    @torch.inference_mode()
    def contrast(
        self,
        path: Path | str | VideoReader,
        labels: tuple[str, str],
        sample: Sample | None = None,
    ) -> Contrast:
        """Where and when a clip has evidence for one class over another: `contrast(path,
        ("wave", "clap"))`. With its constant, it adds up to the logarithm of their odds.

        Args:
            labels: both classes.
            sample: what `read` returned for the clip.

        Raises:
            ClipError: the clip cannot be read.
            ValueError: a model that is no sum over places, as the default, linear, is; a class that
                it does not know, or twice the same one.
        """
        if labels[0] == labels[1]:
            raise ValueError(f"twice the class {labels[0]!r}, expected two different ones")
        if unknown := [label for label in labels if label not in self.classes]:
            raise ValueError(
                f"{unknown[0]!r} is no class of this model; there are {', '.join(self.classes)}"
            )
        sample = sample or self.read(path)
        maps = encode_samples(self.model, torch.from_numpy(sample.pixels), self.data)
        weights = maps.new_zeros(len(self.classes))
        weights[self.classes.index(labels[0])] += 1 / self.decision.temperature
        weights[self.classes.index(labels[1])] -= 1 / self.decision.temperature
        evidence = self.model.evidence(maps, weights).float().cpu().numpy()
        pictures = on_grid(evidence) if sample.crops is None else self._in_frame(evidence, sample)
        motion = np.zeros_like(pictures)
        others = dict[str, Floats]()
        rows_of_eyes = {name: torch.from_numpy(sample.eyes[name]) for name in self.model.eyes}
        for name, rows in rows_of_eyes.items():
            directions = (weights @ self.model.motion_directions(rows, name)).cpu().numpy()
            if name == "motion":
                frames = ((time, frame) for _, time, frame in _opened(path))
                blocks = motion_eye().shares(frames, directions)
                motion = blocks_on_grid(blocks, sample.times)
            else:
                others[name] = on_all_places(sample.eyes[name][:, 1:] @ directions)
        contrast = Contrast(labels, sample.times, pictures=pictures, motion=motion, others=others)
        seen = {name: rows[None].to(maps.device) for name, rows in rows_of_eyes.items()}
        logits = self.model.forward_features(maps[None], seen).logits[0, -1]
        odds = float(weights @ logits)
        return replace(contrast, constant=odds - float(contrast.evidence.sum(dtype=np.float64)))

    def predict_clip(
        self,
        path: Path | str | VideoReader,
        sample: Sample | None = None,
        *,
        threshold: float | None = None,
    ) -> Prediction:
        """As `predict`, but with one class for the whole video, of any length, from as many frames
        as in training.
        """
        sample = sample or self.read(path)
        others = {name: torch.from_numpy(rows)[None] for name, rows in sample.eyes.items()}
        (frame_scores,), maps, whole, distances = self.classify(
            torch.from_numpy(sample.pixels)[None], others
        )
        unusual = self.decision.is_unusual(distances)
        attention = None if maps is None else maps[0]
        if attention is not None and sample.crops is not None:
            attention = self._in_frame(attention, sample)
        prediction = Prediction(
            Path(path),
            self.decision.with_threshold(threshold),
            frame_scores,
            scores=self.decision.aggregate(frame_scores),
            times=sample.times,
            indices=sample.indices,
            attention=attention,
            size=sample.size,
            assumes_rate=sample.assumes_rate,
            end=sample.end,
            unusual=None if unusual is None else bool(unusual[0]),
        )
        segments = clip_events(prediction, None if whole is None else whole[0], self.model.lengths)
        prediction = replace(prediction, segments=segments)
        return localize(prediction, sample.frames, still="static_scene" in self.model.heads)

    def _in_frame(self, maps: Floats, sample: Sample) -> Floats:
        """Maps of the views of a sample, `T h w` or `T V h w`, in its frames, `T 30 40`."""
        assert sample.crops is not None
        views = self.data.views
        return np.stack(
            [
                in_frame(values, crop, sample.size, views=views)
                for values, crop in zip(maps, sample.crops, strict=True)
            ]
        )

    def predict_recording(
        self,
        path: Path | str | VideoReader,
        alarms_per_hour: float = StreamConfig.alarms_per_hour,
        *,
        threshold: float | None = None,
        seconds: float | None = None,
    ) -> tuple[Prediction, list[Segment]]:
        """The prediction of a recording, and its events as `watch` reports them while it plays.

        Args:
            alarms_per_hour: the rate of false alarms that is allowed.
            threshold: the lowest score of an event, in place of that for `alarms_per_hour`.
            seconds: the length of the recording, if it is known.

        Raises:
            ClipError: the recording cannot be read.
            ValueError: a model without an event layer.
        """
        streams = self.streams(alarms_per_hour)
        if streams.segmenter is None:
            raise ValueError(
                "this model finds no events; train the default model, `onlooker train CLIPS`"
            )
        reader = _opened(path)
        seconds = seconds or reader.seconds
        with _watching(reader, seconds) as update:
            rows, live = _collected(streams, reader, seconds, update=update)
        return self._recorded(reader, streams, rows, end=seconds, threshold=threshold), live

    def _predict_long(
        self,
        reader: VideoReader,
        *,
        threshold: float | None,
        seconds: float,
        cache: ArrayCache | None,
    ) -> Prediction:
        """As `predict_recording`. Pieces of a long recording are watched one after another; pieces
        in the cache are not watched again.
        """
        streams = self.streams()
        # a crop depends on all that happened before
        is_whole = not (streams.rate and reader.has_parts) or "actor" in self.data.views
        if is_whole or seconds <= _PIECE:
            return self.predict_recording(reader, threshold=threshold, seconds=seconds)[0]
        key: dict[str, Any] = {
            "onlooker": onlooker.__version__,
            "model": self.model.digest,
            "data": self.data.to_dict(),
            "decision": self.decision.to_dict(),
        }
        pieces = list[Rows]()
        with _watching(reader, seconds) as update:
            for number in range(math.ceil(seconds / _PIECE)):
                make = partial(_piece, streams, reader, number, update=update)
                if cache is None:
                    pieces.append(make())
                else:
                    key |= {"recording": fingerprint(reader.path), "piece": number}
                    pieces.append(np.array(open_array(cache.get(key, make))))
                update(min((number + 1) * _PIECE, seconds))
        rows = np.concatenate(pieces)
        return self._recorded(reader, streams, rows, end=seconds, threshold=threshold)

    def _recorded(
        self,
        reader: VideoReader,
        streams: Streams,
        rows: Rows,
        *,
        end: float,
        threshold: float | None,
    ) -> Prediction:
        """The prediction of a recording, from what was kept of its frames."""
        assert streams.segmenter is not None
        if threshold is not None:
            streams.segmenter.set_threshold(threshold)
        return recorded(reader.path, rows, streams.segmenter, end=end)

    @torch.inference_mode()
    def classify(self, samples: Tensor, others: Others = NO_OTHERS) -> Classification:
        """Classify clips, in batches that fit in memory.

        Args:
            samples: frames `B T H W C` uint8, already resized, or stored features `B T h w D`
                float16.
            others: what the other eyes of the model see in them, `B T 1+F` each (`Sample.eyes`).

        Raises:
            TypeError: `others` is no mapping, as before a model could have several eyes.
            ValueError: an eye of the model is left out.
        """
        if not isinstance(cast(object, others), Mapping):
            raise TypeError(
                f"others is a {type(others).__name__}, expected what each other eye sees by its name; "
                'give a mapping, such as {"motion": rows}'
            )
        if missing := sorted(self.model.eyes.keys() - others.keys()):
            raise ValueError(
                f"the model needs the {missing[0]} words of clips; give those of their samples (`read`)"
            )
        batches = memory_batches(samples)
        rows = {name: others[name].split(len(batches[0])) for name in self.model.eyes}
        parts = [
            self._probabilities(batch, {name: split[i] for name, split in rows.items()})
            for i, batch in enumerate(batches)
        ]
        joined = (
            None if arrays[0] is None else np.concatenate(arrays)
            for arrays in zip(*parts, strict=True)
        )
        return Classification(*joined)  # type: ignore[arg-type]

    def _probabilities(self, samples: Tensor, others: Others) -> Classification:
        output = forward_samples(self.model, samples, self.data, others=others)
        attention = None if output.attention is None else output.attention.float().cpu().numpy()
        whole = None if output.windows is None else output.windows.whole.float().cpu().numpy()
        distances = None if output.distance is None else output.distance[:, -1].cpu().numpy()
        scores = self.decision.probabilities(output.logits).cpu().numpy()
        return Classification(
            self.decision.shrink_to_prior(scores, distances), attention, whole, distances=distances
        )

    @typed
    def watch(
        self,
        source: Address | Sequence[Address],
        config: StreamConfig | None = None,
        *,
        sinks: Sequence[str | Path | Sink] = (),
        on_error: OnError | None = None,
        on_status: OnStatus | None = None,
    ) -> Generator[Step]:
        """What happens in a camera, an address or a file, live: a `Step` for every frame, in
        constant memory.

        Several sources, given as a list, are processed in batches, each with its own state; one
        that ends or fails does not stop the others. Unless `config.rate` is set, the model receives
        as many frames per second as in training. See `stream.streams.watch` for `on_error`,
        `on_status` and the errors.

        Args:
            sinks: where each event is sent when it begins and when it is final: addresses, as of
                `onlooker watch --events`, or objects with the three methods of `formats.publish.Sink`. When the
                loop over the steps ends, also by Ctrl-C or another exception, it takes up to 9
                seconds to send those that wait; each that cannot be sent is an error for
                `on_error`, and `on_status` is told of a receiver that is out of reach, and when it
                is back. Other threads may call both.

        Raises:
            ValueError: a model that needs whole clips, or finds no events to send; an invalid sink.
        """
        sources = [source] if isinstance(source, int | str | Path | VideoReader) else source
        config = config or StreamConfig()
        streams = self.streams(config.alarms_per_hour, config.rate)
        if (sinks or config.snapshots) and streams.segmenter is None:
            raise ValueError(
                "this model finds no events to send; train the default model, `onlooker train CLIPS`"
            )
        steps = watch(streams, sources, config, on_error=on_error, on_status=on_status)

        def report(receiver: str, problem: str) -> None:
            if on_status is not None:
                state: State = "reconnecting" if problem else "online"
                on_status(Status(receiver, state, time=None, reason=problem))

        nothing = self.decision.nothing_class
        return publish(
            steps,
            sinks,
            stream_names(sources),
            config=config,
            classes=[label for k, label in enumerate(self.classes) if k != nothing],
            on_error=on_error,
            on_reach=report,
        )

    def streams(
        self, alarms_per_hour: float = StreamConfig.alarms_per_hour, rate: float | None = None
    ) -> Streams:
        """The model for streams whose frames the caller reads (`Streams.step`); `watch` reads them
        itself.

        Args:
            alarms_per_hour: the rate of false alarms that is allowed.
            rate: frames per second that the model receives; None: as in training; 0: every frame.

        Raises:
            ValueError: a model that needs whole clips.
        """
        return Streams(
            self.model,
            self.data,
            self.decision,
            alarms_per_hour=alarms_per_hour,
            rate=rate,
        )

    @typed
    def overlay(
        self,
        path: Path | str,
        out: Path | str,
        prediction: Prediction | None = None,
        *,
        replace: bool = False,
    ) -> Path:
        """Write the whole clip to `out` (.mp4), with class, probability, attention and a bar of
        time on every frame.

        Args:
            prediction: of this clip, if it is known.
            replace: whether an existing file is replaced that is no drawn clip.

        Raises:
            ClipError: the clip cannot be read.
            FileExistsError: `out` exists, is no drawn clip, and `replace` is false.
            ValueError: `out` is no .mp4, or it is the clip itself; a prediction of another clip.
        """
        prediction = prediction or self.predict(path)
        if resolved(prediction.path) != resolved(path):
            raise ValueError(
                f"{path}: the prediction is that of {prediction.path}; give that of this clip"
            )
        return write_drawn(path, out, prediction, replace=replace)

    @typed
    def evaluate(
        self,
        samples: ClipFrames | Path | str,
        batch: int = 16,
        skipped: Sequence[ClipError] = (),
    ) -> Evaluation:
        """Predictions for a set of clips, as `predict` answers each, with their true classes.

        Args:
            samples: what `read_clips` returned; or a folder or list of clips (`read_set`): its
                test split, if there is one.
            batch: clips that are read together.
            skipped: clips that are left out, besides unreadable clips of a folder.

        Raises:
            ClipError: none of the clips can be read, or one is of a class that the model does not
                know.
        """
        if not isinstance(samples, ClipFrames):
            clips = read_set(local(samples), classes=1)
            clips.require_classes(self.classes)
            samples, unreadable = read_clips(clips.test, self.classes, self.data)
            skipped = (*skipped, *clips.left_out, *unreadable)
        frame_scores, unusual = self._classified(samples, batch)
        scores = [self.decision.aggregate(clip_scores) for clip_scores in frame_scores]
        decided = [*scores]
        thresholds = [self.decision.threshold] * len(samples)
        has_recordings = False
        for number, prediction in self._recordings_of(samples):
            has_recordings = True
            frame_scores[number] = prediction.frame_scores
            scores[number] = prediction.scores
            decided[number] = prediction.decided
            thresholds[number] = prediction.decision.threshold
            if unusual:
                unusual[number] = bool(prediction.unusual)
        return Evaluation(
            samples.names,
            self.decision,
            np.array(samples.targets, dtype=np.int64),
            scores=np.stack(scores),
            frame_scores=tuple(frame_scores),
            skipped=tuple(skipped),
            recordings=tuple(map(source_of, samples.clips)),
            thresholds=np.array(thresholds, np.float64) if has_recordings else None,
            event_scores=np.stack(decided) if has_recordings else None,
            unusual=np.array(unusual) if unusual else None,
        )

    def _classified(
        self, samples: ClipFrames, batch: int
    ) -> tuple[list[NDArray[np.float32]], list[bool]]:
        """The probabilities at the frames of clips, `T K` each, and whether each clip is unusual;
        none if that is not known.
        """
        frame_scores = list[NDArray[np.float32]]()
        unusual = list[bool]()
        for frames, _, positions in DataLoader(samples, batch):
            others = {
                name: torch.stack([samples.features(name, i) for i in positions.tolist()])
                for name in self.model.eyes
            }
            classified = self.classify(frames, others)
            frame_scores += [*classified.scores]
            are_unusual = self.decision.is_unusual(classified.distances)
            unusual += [] if are_unusual is None else are_unusual.tolist()
        return frame_scores, unusual

    def _recordings_of(self, samples: ClipFrames) -> Iterator[tuple[int, Prediction]]:
        """The predictions of the clips that are recordings, with their positions."""
        for number, clip in enumerate(samples.clips if self.longest < math.inf else ()):
            with suppress(ClipError):  # only its stored frames or features are left
                if self.is_recording(read_header(clip.path).timing.length):
                    yield number, self.predict_recording(clip.path)[0]

    @typed
    def save(self, folder: Path | str) -> Path:
        """Write config.json, model.safetensors and recognizer.json; the folder can be uploaded to a
        model hub as it is.

        Raises:
            FileExistsError: it holds a file of this name that is not of an earlier model.
            DiskFullError: the disk is full.
        """
        folder = Path(folder)
        foreign = [name for name in ("config.json", WEIGHTS) if (folder / name).exists()]
        if foreign and not (folder / RECORD).exists():
            raise FileExistsError(
                f"{folder / foreign[0]}: exists, and is not of an earlier model; choose another folder"
            )
        with explain_write_errors("the model", folder):
            self.model.save_pretrained(folder)
        values = {
            "onlooker": onlooker.__version__,
            "data": self.data.to_dict(),
            "model": type(self.model).__name__,
            "packages": self.model.packages,
            "weights": file_digest(folder / WEIGHTS),
            **({"motion_words": motion_eye().digest} if "motion" in self.model.eyes else {}),
            **({"crop": CROP_VERSION} if "actor" in self.data.views else {}),
            **self.decision.to_dict(),
        }
        write_json(folder / RECORD, values)
        return folder


def _opened(clip: Path | str | VideoReader) -> VideoReader:
    return clip if isinstance(clip, VideoReader) else VideoReader(clip)


def _watching(
    reader: VideoReader, seconds: float
) -> AbstractContextManager[Callable[[float], None]]:
    return progress_bar("watching", seconds, title=f"watching {reader.path.name}", unit=" s")


def _piece(
    streams: Streams, reader: VideoReader, number: int, *, update: Callable[[float], None]
) -> Rows:
    """What is kept of the frames of a piece of a recording. Decoding begins early enough to fill
    the longest window and the box tracker, and ends when the last windows are complete.
    """
    begin = number * _PIECE - ON_TIME / streams.rate
    end = begin + _PIECE
    before = (streams.hold + _BOX_FRAMES) / streams.rate + WARM_UP
    assert streams.segmenter is not None
    after = (streams.segmenter.delay + 2) / streams.rate
    times = (begin - before, begin, end + after)
    start, own, after_last = np.searchsorted(reader.times, times).tolist()
    start = min(start, max(own - 1, 0))  # a stream repeats the last frame before a gap
    if streams.eyes:  # which frames are compared depends on where it begins
        start = bin_ends(reader.times[: start + 1].tolist())[-1]
    part = reader.part(start, after_last)
    rows, _ = _collected(streams, part, reader.seconds, update=update)
    return rows[(begin <= rows["time"]) & (rows["time"] < end)]


def _collected(
    streams: Streams, reader: VideoReader, seconds: float, *, update: Callable[[float], None]
) -> tuple[Rows, list[Segment]]:
    """What is kept of the frames of a recording, or a part of it, and its events while it plays.

    `seconds`: its length.
    """
    steps = _timed(watch(streams, [reader], StreamConfig()), update)
    return collected(reader.path, steps, keeps_heat=seconds <= _HEAT_SECONDS)


def _timed(steps: Iterable[Step], update: Callable[[float], None]) -> Iterator[Step]:
    """The steps; each reports its time."""
    for step in steps:
        update(step.time)
        yield step


def rate_text(recognizer: Recognizer) -> str:
    """The frame rate of the training samples in words."""
    if rate := recognizer.decision.frame_rate:
        return f"{rate:.3g} frames per second in the samples of training"
    return f"unknown: {RATE_REMEDY}, and train again"


def length_text(recognizer: Recognizer) -> str:
    """The length above which a video is a recording, in words."""
    if not recognizer.longest:
        return "of any length: recordings, with a state at every moment"
    if recognizer.longest == math.inf:
        return "of any length: one answer"
    return f"up to {recognizer.longest:.3g} s: one answer; longer: recordings, in which events are found"


def expected_events(recognizer: Recognizer, alarms_per_hour: float) -> str:
    """The expected events and false alarms in streams, in words; empty for a model that finds none."""
    segmenter = recognizer.segmenter
    if segmenter is None or not segmenter.has_pauses:
        return ""
    decision = recognizer.decision
    if decision.curve is None:
        reason = "is not known, because the clips are of a single recording"
        least = decision.event_threshold()
        return f"events: from a score of {least:g}; how many false alarms that gives {reason}"
    curve = decision.curve
    expected = "; ".join(filter(None, [curve.sentence(alarms_per_hour), curve.times_text]))
    texts = [expected, curve.missing(alarms_per_hour)]
    return f"events: {'. '.join(filter(None, texts))}"


@typed
def load(run: Path | str, device: str | torch.device = "auto") -> Recognizer:
    """Load a recognizer from the folder of a run (after cross-validation: its final model), or from
    a `model` folder.

    Only JSON and safetensors are read, so a folder of unknown origin cannot execute code.

    Args:
        run: a folder, or an address (`onlooker.storage`), whose files are downloaded.
        device: a PyTorch device; auto: a GPU (cuda or mps) if there is one.

    Raises:
        FileNotFoundError: no trained model in the folder.
        ValueError: files that are damaged, do not match each other, or are of another version.
        RuntimeError: PyTorch has no such device here.
    """
    run = local(run)
    folder = model_folder(run)
    if folder is None:
        state = "a file, not a folder" if run.exists() else "no such folder"
        state = "the folder holds no trained model" if run.is_dir() else state
        if is_video(run):
            state = "a clip, and the run is given first, before the clips"
        raise FileNotFoundError(f"{run}: {state}; expected one that `onlooker train` has finished")
    stored = folder / RECORD
    with reading(stored):
        values = {"packages": []} | read_json(stored)  # earlier versions have none
        earlier = field_of(values, "package", str) if "package" in values else "onlooker"
        if missing := missing_packages([earlier, *field_of(values, "packages", list[str])]):
            names = printable(" ".join(missing))[:300]
            remedy = f"pip install {names}, if you trust it"
            raise ValueError(
                f"{printable(stored)}: the model needs {names}, not installed; {remedy}"
            )
        kind = find_class(field_of(values, "model", str))
        if (
            "motion_words" in values
            and field_of(values, "motion_words", str) != motion_eye().digest
        ):
            raise ValueError("motion_words are not those of this version; train again")
        if "crop" in values and field_of(values, "crop", int) != CROP_VERSION:
            raise ValueError("crops are not those of this version; train again")
        data = DataConfig.from_field(values, "data")
        decision = Decision.from_dict(values)
    model = kind.from_pretrained(folder).to(choose_device(device))
    with reading(stored):
        if data.normalization == "auto":
            raise ValueError(
                "data.normalization is 'auto', expected that of a trained model: half, imagenet or mnist"
            )
        return Recognizer(model, data, decision)


def trained_run(run: Path) -> Path:
    """The run whose model `load(run)` reads: after cross-validation its final run."""
    return run / "final" if model_folder(run) == run / "final" / "model" else run
