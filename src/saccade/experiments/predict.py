"""Ask a trained model about clips: a table, a JSON file, drawn clips."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from saccade.config import write_json
from saccade.recognizer import load
from saccade.structures import ClipError, Prediction


def predict_clips(run: Path, clips: Sequence[Path], overlay: Path | None, json: Path | None) -> list[ClipError]:
    """Predict each clip and say so; go on after a clip that cannot be read.

    Args:
        run: a trained run.
        clips: video files, or folders of numbered pictures.
        overlay: where the drawn clip goes; a folder where there are several clips.
        json: where all scores and attention go.

    Returns:
        An error for each clip that could not be read.

    Raises:
        ValueError: `overlay` names a file while there are several clips.
    """
    if overlay and overlay.suffix and len(clips) > 1:
        raise ValueError(f"--overlay {overlay} is one file for {len(clips)} clips; give a folder")
    stems = Counter(clip.stem for clip in clips)
    recognizer, console = load(run), Console()
    errors = Console(stderr=True)
    seen: list[Prediction] = []
    failed: list[ClipError] = []
    for clip in track(clips, "predicting", console=errors, disable=len(clips) == 1, transient=True):
        try:
            prediction = recognizer.predict(clip)
            if overlay:
                # Clips of several folders are often called the same.
                name = clip.stem if stems[clip.stem] == 1 else f"{clip.resolve().parent.name}-{clip.name}"
                out = overlay if overlay.suffix else overlay / f"{name}.mp4"
                console.print(f"drawn: {recognizer.overlay(clip, out, prediction)}", highlight=False, markup=False)
            seen.append(prediction)
        except ClipError as error:
            failed.append(error)
    if json:
        write_json(json, {"clips": [to_values(p) for p in seen], "failed": [str(error) for error in failed]})
    if seen:
        console.print(_steps(seen[0]) if len(clips) == 1 else _answers(seen))
    for failure in failed:
        errors.print(f"error: {failure}", style="red", highlight=False, markup=False, soft_wrap=True)
    return failed


def to_values(prediction: Prediction) -> dict[str, Any]:
    """A prediction as plain builtins."""
    attention = prediction.attention
    return {
        "path": str(prediction.path),
        "label": prediction.label,
        "score": prediction.score,
        "scores": dict(zip(prediction.classes, prediction.scores.tolist(), strict=True)),
        "classes": list(prediction.classes),
        "times": prediction.times.tolist(),
        "indices": prediction.indices.tolist(),
        "frame_scores": prediction.frame_scores.tolist(),
        "attention": None if attention is None else attention.tolist(),
    }


def _answers(seen: Sequence[Prediction]) -> Table:
    table = Table("clip", "class")
    table.add_column("probability", justify="right")
    for prediction in seen:
        table.add_row(str(prediction.path), prediction.label, f"{100 * prediction.score:.1f} %")
    return table


def _steps(prediction: Prediction) -> Table:
    title = f"{prediction.path.name}: {prediction.label}, {100 * prediction.score:.1f} %"
    table = Table(title=title)
    for column in ("second", "frame"):
        table.add_column(column, justify="right")
    table.add_column("class")
    table.add_column("probability", justify="right")
    for step in prediction.steps:
        table.add_row(f"{step.time:.2f}", str(step.index), step.label, f"{100 * step.score:.1f} %")
    return table
