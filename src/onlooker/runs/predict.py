"""Ask a trained model about clips: a table, a JSON file, drawn clips.

Names of files and classes are printed as `Text`: rich would read `[final]` in a plain string as a style.
"""

import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from onlooker.files import write_bytes, write_json
from onlooker.ensemble import Fused, is_fused
from onlooker.drawing.plots import timeline as draw_timeline
from onlooker.drawing.plots import to_png, to_svg
from onlooker.recognizer import load
from onlooker.structures import ClipError, Prediction


def predict_clips(
    run: Path,
    clips: Sequence[Path],
    overlay: Path | None = None,
    json: Path | None = None,
    timeline: Path | None = None,
) -> list[ClipError]:
    """Predict each clip and say so; go on after a clip that cannot be read.

    Args:
        run: a trained run.
        clips: video files, or folders of numbered pictures.
        overlay: where the drawn clip goes; a folder where there are several clips, each of which is drawn to a file
            of its own.
        json: where all scores and attention go.
        timeline: where the classes' probabilities against time are drawn, .png or .svg; for one clip.

    Returns:
        An error for each clip that could not be read.

    Raises:
        ValueError: `overlay` names a file while there are several clips, a drawn clip would replace one of them, or
            `timeline` is not .png or .svg, or there are several clips.
    """
    if timeline and (len(clips) > 1 or timeline.suffix not in (".png", ".svg")):
        raise ValueError(f"--timeline {timeline} for {len(clips)} clips; give a .png or .svg, and one clip")
    targets = _targets(clips, overlay) if overlay else [None] * len(clips)
    recognizer, console = Fused.load(run) if is_fused(run) else load(run), Console()
    errors = Console(stderr=True)
    seen: list[Prediction] = []
    failed: list[ClipError] = []
    pairs = list(zip(clips, targets, strict=True))
    for clip, target in track(pairs, "predicting", console=errors, disable=len(clips) == 1, transient=True):
        try:
            prediction = recognizer.predict(clip)
            if target:
                console.print(Text(f"drawn: {recognizer.overlay(clip, target, prediction)}"), soft_wrap=True)
            if timeline:
                figure = draw_timeline(prediction.times, prediction.frame_scores, prediction.classes)
                write_bytes(timeline, to_png(figure) if timeline.suffix == ".png" else to_svg(figure).encode())
            seen.append(prediction)
        except ClipError as error:
            failed.append(error)
    if json:
        write_json(json, {"clips": [to_values(p) for p in seen], "failed": [str(error) for error in failed]})
    if seen:
        console.print(_steps(seen[0]) if len(clips) == 1 else _answers(seen))
    for failure in failed:
        errors.print(Text(f"error: {failure}", style="red"), soft_wrap=True)
    return failed


def _targets(clips: Sequence[Path], overlay: Path) -> list[Path]:
    """Where each clip is drawn to: no two to one file, and none onto a clip."""
    if overlay.suffix and len(clips) > 1:
        raise ValueError(f"--overlay {overlay} is one file for {len(clips)} clips; give a folder")
    # By what lies on the disk: a name may be a link, or differ only in case where that makes no difference.
    originals = {_place(clip) for clip in clips if os.path.exists(clip)}
    stems = Counter(clip.stem for clip in clips)
    targets: dict[str, Path] = {}
    for clip in clips:
        # Clips of several folders are often called the same, and so are the folders.
        name = clip.stem if stems[clip.stem] == 1 else f"{clip.resolve().parent.name}-{clip.name}"
        number, target = 1, overlay if overlay.suffix else overlay / f"{name}.mp4"
        while target.name.casefold() in targets:
            number += 1
            target = overlay / f"{name}-{number}.mp4"
        if os.path.exists(target) and _place(target) in originals:
            raise ValueError(f"{target}: the drawn clip would replace a clip; write it elsewhere")
        targets[target.name.casefold()] = target
    return list(targets.values())


def _place(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def to_values(prediction: Prediction) -> dict[str, Any]:
    """A prediction as plain builtins."""
    return {
        "path": str(prediction.path),
        "label": prediction.label,
        "score": prediction.score,
        "scores": dict(zip(prediction.classes, prediction.scores.tolist(), strict=True)),
        "classes": list(prediction.classes),
        "times": prediction.times.tolist(),
        "indices": prediction.indices.tolist(),
        "frame_scores": prediction.frame_scores.tolist(),
        "attention": None if prediction.attention is None else prediction.attention.tolist(),
        "evidence": None if prediction.evidence is None else prediction.evidence.tolist(),
        "points": None if prediction.points is None else [_point(x, y) for x, y in prediction.points.tolist()],
        "windows": None if prediction.windows is None else prediction.windows.tolist(),
        "tubes": [
            {"label": tube.label, "score": tube.score, "frames": tube.frames.tolist(), "boxes": tube.boxes.tolist()}
            for tube in prediction.tubes
        ],
        "segments": [vars(segment) for segment in prediction.segments],
    }


def _point(x: float, y: float) -> list[float] | None:
    """JSON knows no NaN."""
    return None if math.isnan(x) else [x, y]


def _answers(seen: Sequence[Prediction]) -> Table:
    table = Table("clip", "class")
    table.add_column("probability", justify="right")
    for prediction in seen:
        table.add_row(Text(str(prediction.path)), Text(prediction.label), f"{100 * prediction.score:.1f} %")
    return table


def _steps(prediction: Prediction) -> Table:
    title = f"{prediction.path.name}: {prediction.label}, {100 * prediction.score:.1f} %"
    table = Table(title=Text(title, style="table.title"))
    for column in ("second", "frame"):
        table.add_column(column, justify="right")
    table.add_column("class")
    table.add_column("probability", justify="right")
    for step in prediction.steps:
        table.add_row(f"{step.time:.2f}", str(step.index), Text(step.label), f"{100 * step.score:.1f} %")
    return table
