"""Segment-mAP of a run on THUMOS'14, live and dated back, by the rules of its challenge.

    python -m onlooker_papers.real_clips.thumos RUN VIDEOS ANNOTATIONS

VIDEOS is the folder of the untrimmed test videos, ANNOTATIONS that of the files `CLASS_test.txt` and
`Ambiguous_test.txt`, or `thumos14.json`. The run is trained on clips of the 20 classes and of `nothing` (`onlooker
train --background`). Each true segment, in the order of its file, is matched with the free prediction that overlaps it
most, if the overlap exceeds the threshold. Predictions that overlap an ambiguous segment and no true one are ignored.
The average precision is the mean of the precision at 11 recalls (`TH14evalDet.m`). `segment_map` has the rules of
ActivityNet, which nearly all later papers use.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import track

from onlooker.answer import nothing_class
from onlooker.cli.command import command, stoppable
from onlooker.files import write_json
from onlooker.recognizer import Recognizer, load
from onlooker.structures import ClipError, Segment
from onlooker.video.reader import is_video
from onlooker_papers.detection import average_precision, segment_iou, segment_map
from onlooker_papers.real_clips.stitched import LATE, segments_of
from onlooker_papers.real_clips.thumos_annotations import AMBIGUOUS, read_annotations

__all__ = ["challenge_map"]

OVERLAPS = (0.1, 0.2, 0.3, 0.4, 0.5)
Segments = Mapping[str, Sequence[Segment]]


def challenge_map(found: Segments, annotated: Segments, overlap: float) -> float:
    """The challenge's mean average precision; `annotated` also has the ambiguous segments."""
    labels = sorted({each.label for here in annotated.values() for each in here} - {AMBIGUOUS})
    precisions = []
    for label in labels:
        scores, right, truths = [], [], 0
        for video in {**annotated, **found}:
            true, answers = _of(annotated, video, label), _of(found, video, label)
            truths += len(true)
            answers.sort(key=lambda each: -each.score)
            taken = _taken(answers, true, overlap)
            unclear = _of(annotated, video, AMBIGUOUS)
            for answer, is_right in zip(answers, taken, strict=True):
                if is_right or not any(segment_iou(answer, each) > 0 for each in unclear):
                    scores.append(answer.score)
                    right.append(is_right)
        precisions.append(average_precision(scores, right, truths, recalls=11) if any(right) else 0.0)
    return float(np.mean(precisions))


def _of(segments: Segments, video: str, label: str) -> list[Segment]:
    return [each for each in segments.get(video, ()) if each.label == label]


def _taken(answers: Sequence[Segment], true: Iterable[Segment], overlap: float) -> list[bool]:
    """Which predictions, sorted by score, are matched with a true segment."""
    taken = [False] * len(answers)
    for each in true:
        overlaps = [0.0 if used else segment_iou(answer, each) for answer, used in zip(answers, taken, strict=True)]
        if overlaps and max(overlaps) > overlap:
            taken[int(np.argmax(overlaps))] = True
    return taken


def events_of(recognizer: Recognizer, video: Path) -> dict[str, list[Segment]]:
    """The events that a stream of the video reports: while it reports them (live), and dated back."""
    assert recognizer.threshold is not None
    steps = [(step.time, step.scores) for step in recognizer.watch(str(video))]
    if len(steps) < 2:
        return {way: [] for way in LATE}
    times, scores = zip(*steps, strict=True)
    threshold, classes, rate = recognizer.threshold, recognizer.classes, (len(times) - 1) / (times[-1] - times[0])
    return {way: segments_of(np.stack(scores), classes, threshold, rate, late) for way, late in LATE.items()}


def thumos(
    run: Annotated[Path, typer.Argument(help="A run that was trained on the 20 classes and nothing.")],
    videos: Annotated[Path, typer.Argument(help="The folder of the untrimmed test videos.")],
    annotations: Annotated[Path, typer.Argument(help="The folder of CLASS_test.txt, or thumos14.json.")],
    out: Annotated[Path, typer.Option(help="A file for the segments and the figures.")] = Path("thumos.json"),
) -> None:
    """Segment-mAP of a run on the test videos of THUMOS'14, live and dated back (`stitched`)."""
    recognizer = load(run)
    annotated, doubtful = read_annotations(annotations)
    for error in doubtful:
        typer.echo(f"doubtful: {error}", err=True)
    if recognizer.threshold is None or nothing_class(recognizer.classes) is None:
        raise ValueError(f"{run}: no threshold of events; train with --background, or with a class nothing")
    files = {path.stem: path for path in sorted(videos.iterdir()) if is_video(path)}
    if missing := sorted(set(annotated) - set(files)):
        raise ClipError(videos, f"{len(missing)} of {len(annotated)} videos are missing ({missing[0]})", "add them")
    found: dict[str, dict[str, list[Segment]]] = {way: {} for way in LATE}
    with stoppable():
        for name in track(sorted(annotated), "watching videos"):
            for way, segments in events_of(recognizer, files[name]).items():
                found[way][name] = segments
    true = {name: [each for each in here if each.label != AMBIGUOUS] for name, here in annotated.items()}
    figures = {
        way: {
            "challenge": {str(overlap): challenge_map(here, annotated, overlap) for overlap in OVERLAPS},
            "activitynet": dict(zip(map(str, OVERLAPS), segment_map(here, true, OVERLAPS).tolist(), strict=True)),
        }
        for way, here in found.items()
    }
    for way, of in figures.items():
        typer.echo(f"{way}: {', '.join(f'{100 * value:.1f} at {at}' for at, value in of['challenge'].items())}")
    rows = {
        way: {name: [[s.label, s.start, s.end, s.score] for s in segments] for name, segments in here.items()}
        for way, here in found.items()
    }
    write_json(out, {"segment_map": figures, "segments": rows})


app = typer.Typer(add_completion=False)
command(thumos, app)

if __name__ == "__main__":
    app()
