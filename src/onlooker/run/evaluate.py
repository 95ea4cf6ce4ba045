"""Evaluate a run on its test clips, on other clips, or on whole recordings that it watches as
streams.
"""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlooker.base.config import StreamConfig
from onlooker.base.decision import PROBABILITIES, Decision
from onlooker.base.files import check_writable, read_json, write_json
from onlooker.base.intervals import Times, file_of, with_interval
from onlooker.base.progress import tracked
from onlooker.base.records import (
    Clip,
    ClipError,
    Curves,
    Evaluation,
    Segment,
    clip_name,
)
from onlooker.base.text import printable
from onlooker.data.clips import ClipFrames, cached_read, read_clips, read_thumbnails
from onlooker.data.recordings import recordings_of, with_labels
from onlooker.data.scenes import MAX_COMPARED, scene_images, seen
from onlooker.data.sets import ClipSet, read_set, root_of, set_name
from onlooker.data.split import Split, copies_of, group_of, require_clips
from onlooker.measure.figures import CrossValidationFigures, Figures
from onlooker.measure.metrics import measure, write_scores
from onlooker.measure.recordings import ComparedRecording, figures_of_recordings
from onlooker.measure.timeline import Timeline
from onlooker.recognizer import Recognizer, length_text, load, rate_text, trained_run
from onlooker.report.contrast import contrast_strip
from onlooker.report.overlay import draw_clip
from onlooker.report.page import DrawnClip, escaped, percent
from onlooker.report.recordings import recordings_page
from onlooker.report.summary import summary_page
from onlooker.run.check import is_clean
from onlooker.run.record import (
    CROSS_VALIDATION,
    FIGURES,
    REPORT,
    SCORES,
    RunRecord,
    read_curves,
    read_figures,
    read_scenes,
)
from onlooker.video.reader import VideoReader
from onlooker.video.resize import Pixels, shrink
from onlooker.video.sampling import equally_spaced
from onlooker.video.write import write

FramesOf = Callable[[Path], Pixels]  # the frames of a clip to be shown, decoded once

# Clips drawn for the report: enough to see what the model does, few enough for a page of some
# megabytes.
_REPORT_CLIPS = 12
_REPORT_SIDE = 320  # pixels of the shorter side of their frames
_CONTRASTS = 4  # clips whose evidence for two classes is shown
_COMPARED = 20  # clips that are compared at most, to find these
_NEAR = 0.5  # probability of a near runner-up, relative to the answer
_CONTRAST_SIDE = 180  # pixels of the shorter side of their frames
# of clips of events in recordings
_MARGIN = 0.5  # seconds before and after the event
_LONGEST_CLIP = 10.0  # seconds
_CLIP_RATE = 8.0  # frames per second
_EVENT_SIDE = 160  # pixels of the shorter side


def evaluate(run: Path, clips: Path | ClipSet | None = None) -> Figures:
    """Evaluate a run on its test clips, or on other clips of the same classes.

    Writes evaluation.json, scores.csv and report.html into the run (for other clips: into its
    `evaluation-NAME`). Other clips that the model was trained on, or copies of them, are left out;
    the training clips themselves are not needed.

    Args:
        clips: a folder, a list, or what `read_set` returns: the test clips if it has splits, else
            all clips. None: the run's own test clips; without any, the figures of its
            cross-validation are returned.

    Raises:
        FileNotFoundError: no trained model there.
        NotWritableError: the run cannot be written to.
        ClipError: all clips are missing, cannot be read, or were used in training.
    """
    run = trained_run(run)
    recognizer = load(run)
    other = clips if clips is None or isinstance(clips, ClipSet) else read_set(clips, classes=1)
    record = RunRecord.read(run, other.path if other else None)
    if recognizer.classes != record.classes:
        file = run / "model" / "recognizer.json"
        problem = f"the classes {', '.join(recognizer.classes)}"
        problem += f", config.json has {', '.join(record.classes)}"
        raise ValueError(f"{file}: {problem}; restore the file that was changed")
    cross_validation = None if other else CrossValidationFigures.read(run / CROSS_VALIDATION)
    if other is not None:
        out = run / f"evaluation-{set_name(other.path)}"
        other.require_classes(recognizer.classes)
        if len(recognizer.decision.states) > 1:
            raise ClipError(
                other.path,
                "clips with one label each, but the model tells several states at a time",
                "give a list of recordings: `onlooker evaluate RUN --recordings LIST`",
            )
        test, trained_on = new_clips(run, other, recognizer.decision)
        skipped = (*other.left_out, *trained_on)
        record = replace(record, notes=tuple(other.notes))
    elif record.split.test:
        out = run
        test = record.split.test
        skipped = record.skipped
        # the remaining clips are tested
        if not any(os.path.exists(file_of(clip.path)) for clip in test):
            require_clips(test)
    elif cross_validation and (figures := read_figures(run)):
        return figures
    else:
        raise ClipError(
            run, "trained without a test split", "name new clips: `onlooker evaluate RUN CLIPS`"
        )
    check_writable(out, "copy the run to a folder that can be written to")
    try:
        samples, unreadable = read_clips(test, recognizer.classes, recognizer.data)
    except ClipError as error:
        if other is None or len(test) == len(other.test):
            raise
        count = len(other.test) - len(test)
        problem = f"the model was trained on {count} of these clips, and the other {len(test)} cannot be read"
        remedy = f"give clips that are new to it ({error.remedy})"
        raise ClipError(other.path, problem, remedy) from error
    return write_report(
        out,
        recognizer,
        samples,
        record=replace(record, skipped=(*skipped, *unreadable)),
        own_clips=out == run,
        curves=read_curves(run),
        scenes=read_scenes(run),
        cross_validation=cross_validation,
    )


def write_report(
    out: Path,
    recognizer: Recognizer,
    samples: ClipFrames,
    *,
    record: RunRecord,
    own_clips: bool,
    curves: Curves | None,
    scenes: NDArray[np.uint8] | None,
    evaluation: Evaluation | None = None,
    cross_validation: CrossValidationFigures | None = None,
) -> Figures:
    """Evaluate on samples and write evaluation.json, scores.csv and report.html.

    Args:
        samples: the test clips.
        record: the settings of the training, the folder of these samples, and the clips that are
            left out.
        own_clips: whether they are the test clips of the run, or all clips of a run that is
            cross-validated.
        curves: of the training.
        scenes: of all clips of the split of the run; None if they are not known.
        evaluation: the predictions of a cross-validation for these samples; None: the recognizer
            predicts them.
        cross_validation: the figures of the cross-validation that chose the model, for the report
            of the run itself.
    """
    curve = recognizer.decision.curve
    known_scenes = _known_scenes(
        scenes, recognizer, record.split, samples=samples, own_clips=own_clips
    )
    evaluation = evaluation or recognizer.evaluate(samples, skipped=record.skipped)
    rate = StreamConfig.alarms_per_hour
    figures = replace(
        measure(evaluation),
        known_scenes=known_scenes,
        balanced=record.settings.training.class_weights == "balanced",
        checked=own_clips and is_clean(record.split.clips),
        other_clips=not own_clips,
        events=curve.sentence(rate) if curve else None,
        missing=curve.missing(rate) or None if curve and own_clips else None,
        **vars(cross_validation or CrossValidationFigures()),
    )
    write_scores(out / SCORES, evaluation)
    frames_of = cache(partial(_frames, recognizer.data.frames))
    model = record.settings.model
    unit, method = (
        ("clips", " · cross-validated") if figures.cross_validated else ("test clips", "")
    )
    page = summary_page(
        figures,
        evaluation,
        title=f"{set_name(record.clips)}: {len(recognizer.classes)} classes, {len(samples)} {unit}",
        subtitle=f"{model.name} · {model.encoder}{method}",
        clips=[
            *_drawn_clips(
                recognizer, samples, evaluation=evaluation, figures=figures, frames_of=frames_of
            )
        ]
        if figures.judges_clips
        else (),
        contrasts=[
            *islice(
                _contrasts(recognizer, samples, evaluation=evaluation, frames_of=frames_of),
                _CONTRASTS,
            )
        ],
        attends=recognizer.model.attends,
        curve=curve,
        curves=curves,
        notes=record.notes,
        settings={
            **record.settings.to_dict(),
            PROBABILITIES: {
                option.name: getattr(recognizer.decision, option.name)
                for option in fields(recognizer.decision)
                if option.metadata.get("group") == PROBABILITIES
            },
            "samples": {"frame_rate": rate_text(recognizer), "clips": length_text(recognizer)},
        },
    )
    page.write(out / REPORT)
    write_json(out / FIGURES, figures.to_dict())
    return figures


def new_clips(
    run: Path, clips: ClipSet, decision: Decision
) -> tuple[tuple[Clip, ...], list[ClipError]]:
    """The clips that the model was not trained on, by content, and an error for each of the others.

    Raises:
        ClipError: it was trained on all of them; or it finds events, and different labels overlap.
    """
    if not decision.states:
        clips.require_apart()
    trained_on = {clip.path for clip in copies_of(read_json(run / "split.json"), clips.test)}
    test = tuple(clip for clip in clips.test if clip.path not in trained_on)
    if not test:
        raise ClipError(
            clips.path,
            "the model was trained on all of these clips",
            "give clips that are new to it",
        )
    errors = [
        ClipError(path, "the model was trained on it", "it cannot be used for testing")
        for path in sorted(trained_on)
    ]
    return test, errors


def evaluate_recordings(run: Path, clips: ClipSet) -> dict[str, Any]:
    """Watch each recording of a list from beginning to end, and compare its events or states with
    the intervals of the list.

    Writes evaluation.json and report.html into the run's `recordings-NAME`.
    Recordings that the model was trained on are left out. A recording in which nothing happens may
    be listed as a whole, with the class nothing. Predicted events in unlabeled time that overlap no
    interval do not count.

    Returns:
        The figures of all recordings (`figures_of_recordings`).

    Raises:
        FileNotFoundError, NotWritableError, ClipError: as `evaluate`.
        ValueError: a model that cannot process streams, or finds no events.
    """
    run = trained_run(run)
    recognizer = load(run)
    decision = recognizer.decision
    out = run / f"recordings-{set_name(clips.path)}"
    clips.require_classes(dict.fromkeys((*recognizer.classes, decision.nothing_name)))
    test, trained_on = new_clips(run, clips, decision)
    check_writable(out, "copy the run to a folder that can be written to")
    recordings, errors = _compared(recognizer, test, clips)
    files = {file_of(error.path): error for error in trained_on}
    left_out = {file: ClipError(file, error.found, error.remedy) for file, error in files.items()}
    errors = left_out | errors
    if not recordings:
        raise [*errors.values()][-1]
    skipped = (*clips.left_out, *errors.values())
    values = figures_of_recordings(recordings, decision, skipped)
    write_json(out / FIGURES, values)
    recordings_page(
        set_name(clips.path), values, recordings, skipped=skipped, clip=_event_clip
    ).write(out / REPORT)
    return values


def _compared(
    recognizer: Recognizer, test: Sequence[Clip], clips: ClipSet
) -> tuple[list[ComparedRecording], dict[Path, ClipError]]:
    """The recordings of some clips, each as its labels and the model have it; and an error for each
    recording and each label that cannot be used: training leaves out labels outside of their
    recording as well.
    """
    nothing = recognizer.decision.nothing_name
    recordings = list[ComparedRecording]()
    errors = dict[Path, ClipError]()
    for recording, labeled in recordings_of(test, clips.recordings):
        try:
            timing = VideoReader(recording.path).timing
            prediction, reported = recognizer.predict_recording(recording.path, seconds=timing.end)
        except ClipError as error:
            errors[recording.path] = error
            continue
        inside = list[tuple[Times, Clip]]()
        for times, clip in labeled:
            try:
                timing.part(times, clip.path)
                inside.append((times, clip))
            except ClipError as error:
                errors[clip.path] = error
        labels = with_labels(recording, inside, timing, nothing=nothing).segments
        recordings.append(
            ComparedRecording(
                clip_name(recording.path, root_of(clips.path)),
                recording.path,
                Timeline.of([label for label in labels if label.label != nothing], timing.end),
                predicted=Timeline(prediction.segments, timing.end, prediction.pauses),
                live=Timeline(reported, timing.end, prediction.pauses),
                second=Timeline.of(recording.second, timing.end) if recording.second else None,
            )
        )
    return recordings, errors


def _event_clip(recording: ComparedRecording, event: Segment) -> bytes | None:
    """An event of a recording as mp4, with a moment before and after it; None if the recording
    cannot be read any more.
    """
    start = max(0.0, event.start - _MARGIN)
    end = min(recording.true.seconds, event.end + _MARGIN, start + _LONGEST_CLIP)
    count = max(2, round((end - start) * _CLIP_RATE))
    with suppress(ClipError):
        clip = with_interval(recording.path, start, end)
        return _mp4(_frames(count, clip, side=_EVENT_SIDE), _CLIP_RATE)
    return None


def _known_scenes(
    images: NDArray[np.uint8] | None,
    recognizer: Recognizer,
    split: Split,
    *,
    samples: ClipFrames,
    own_clips: bool,
) -> int | None:
    """The number of tested clips that show the scene of a clip that the model was fitted to; None
    if the scenes are not known, or are too many to compare.

    Args:
        images: the scenes of all clips of the split, `B 3 16 16`.
        samples: the tested clips.
        own_clips: as in `write_report`.
    """
    if images is None or len(images) + len(samples) * (not own_clips) > MAX_COMPARED:
        return None
    tested = {clip.path for clip in samples.clips}
    fitted = len(split.training) + len(split.validation)
    if not own_clips:
        images = np.concatenate(
            [images[:fitted], scene_images(read_thumbnails(samples, recognizer.data))]
        )
    elif split.test:
        places = [i for i, clip in enumerate(split.clips) if i < fitted or clip.path in tested]
        images = images[places]
    else:
        return int(seen(images, [group_of(clip) for clip in split.clips]).sum())
    return int(seen(images, [i < fitted for i in range(len(images))])[fitted:].sum())


def _drawn_clips(
    recognizer: Recognizer,
    samples: ClipFrames,
    *,
    evaluation: Evaluation,
    figures: Figures,
    frames_of: FramesOf,
) -> Iterator[DrawnClip]:
    """Random test clips, the same in every call.

    Up to half are mistakes, which come last. A clip that was removed after it was read is not
    drawn. Events are not drawn if the model was fitted to the clip, or the clip is a recording:
    events of the drawn frames may contradict the caption.
    """
    correct = evaluation.correct
    texts = [printable(text) for text in evaluation.answer_texts]
    order = random.Random(0).sample(range(len(samples)), len(samples))
    mistakes = [i for i in order if not correct[i]][: _REPORT_CLIPS // 2]
    source = "cross-validated" if figures.cross_validated else "prediction"
    drawn = [i for i in order if correct[i]][: _REPORT_CLIPS - len(mistakes)] + mistakes
    for i in tracked(drawn, "drawing clips", len(drawn)):
        with suppress(ClipError):
            clip = samples.clips[i]
            answer = f"{source}: {texts[i]}"
            sample = cached_read(clip.path, recognizer.data)
            prediction = recognizer.predict_clip(clip.path, sample)
            if figures.cross_validated or recognizer.is_recording(sample.length):
                prediction = replace(prediction, segments=())
            caption = f"{printable(f'{clip.label} · {clip.name}')}\n{answer}"
            frames = draw_clip(frames_of(clip.path), prediction)
            seconds = max(float(prediction.times[-1] - prediction.times[0]), 0.1)
            fps = float(np.clip((len(frames) - 1) / seconds, 2, 25))
            yield _mp4(frames, fps), caption, "wrong" if i in mistakes else "right"


def _contrasts(
    recognizer: Recognizer,
    samples: ClipFrames,
    *,
    evaluation: Evaluation,
    frames_of: FramesOf,
) -> Iterator[tuple[bytes, str]]:
    """Strips of the evidence for the predicted and for the true class of clips that are named wrong,
    the most confident first; then for the first two classes of clips where the second one is near.
    Each with its caption.

    Evidence and probabilities are by the recognizer. After a cross-validation, clips are left
    out if it disagrees with the model fitted without them: it cannot show why.
    """
    if not recognizer.model.explains or recognizer.decision.states or len(recognizer.classes) < 2:
        return
    rivals = _rivals(evaluation)
    for i, rival in tracked(rivals.items(), "comparing classes", len(rivals)):
        with suppress(ClipError):
            clip = samples.clips[i]
            sample = cached_read(clip.path, recognizer.data)
            if recognizer.is_recording(sample.length):
                continue
            prediction = recognizer.predict_clip(clip.path, sample)
            if prediction.unusual:  # its scores are not those of the evidence alone
                continue
            scores = prediction.scores
            answer = int(scores.argmax())
            is_near = scores[rival] >= _NEAR * scores[answer]
            is_wrong = answer != evaluation.targets[i]
            if answer != evaluation.scores[i].argmax() or not (is_wrong or is_near):
                continue
            labels = (recognizer.classes[answer], recognizer.classes[rival])
            contrast = recognizer.contrast(clip.path, labels, sample)
            frames = [shrink(frame, _CONTRAST_SIDE) for frame in frames_of(clip.path)]
            answers = ", ".join(
                f"{printable(label)} {percent(float(score), 0)}"
                for label, score in zip(labels, scores[[answer, rival]], strict=True)
            )
            name = printable(f"{clip.label} · {clip.name}")
            caption = f"**{escaped(name)}**: {escaped(f'{answers}. {contrast.sentence}')}"
            yield contrast_strip(np.stack(frames), contrast), caption


def _rivals(evaluation: Evaluation) -> dict[int, int]:
    """The positions of clips whose answer is compared with another class, and this class: the true
    one of clips that are named wrong, the most confident first; then the second one where it is
    near.
    """
    scores = evaluation.scores
    rows = np.arange(len(scores))
    predicted, runner_up = np.argsort(-scores, 1, kind="stable")[:, :2].T
    is_wrong = predicted != evaluation.targets
    rivals = np.where(is_wrong, evaluation.targets, runner_up)
    highest = scores[rows, predicted]
    is_near = scores[rows, rivals] >= _NEAR * highest
    order = np.lexsort((-highest, ~is_wrong))
    compared = order[(is_wrong | is_near)[order]][:_COMPARED]
    return dict(zip(compared.tolist(), rivals[compared].tolist(), strict=True))


def _frames(count: int, path: Path, side: int = _REPORT_SIDE) -> Pixels:
    """Equally spaced frames of a clip to be shown; their shorter side has at most `side` pixels."""
    sampling = partial(equally_spaced, count=count)
    return VideoReader(path).get(sampling, shorter_side=side).pixels


def _mp4(frames: Pixels, fps: float) -> bytes:
    with TemporaryDirectory() as folder:
        return write(Path(folder) / "clip.mp4", frames, fps=fps).read_bytes()
