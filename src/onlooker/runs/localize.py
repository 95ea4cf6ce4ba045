"""Localize clips with a trained run: boxes and times in files that other programs read, and drawn on the clips."""

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from onlooker.drawing.clip import write_located
from onlooker.files import check_writable, printable, write_json
from onlooker.localization.formats import best_tubes, to_activitynet, to_coco
from onlooker.recognizer import load
from onlooker.runs.predict import collecting, distinct_names, print_errors, with_progress
from onlooker.structures import ClipError, Prediction, Tube


def localize_clips(run: Path, clips: Sequence[Path], out: Path, min_score: float = 0.3) -> list[ClipError]:
    """Write where and when the predicted class happens in each clip; continue after a clip that cannot be read.

    For each clip, `out` receives NAME.mp4 with boxes, class and a timeline; NAME.json in COCO's format (boxes)
    and NAME-segments.json in that of ActivityNet. NAME is the name of the clip,
    preceded by as many of its folders as are needed to distinguish the clips.

    Args:
        run: a trained run of a model that attends.
        min_score: minimum probability of a class in the whole clip; below it there are no boxes and no segments.

    Returns:
        An error for each clip that could not be read, or whose files could not be written.

    Raises:
        ValueError: a model that does not attend, a duplicate clip, an `out` where a clip itself would
            be overwritten, or a `min_score` that is no probability.
    """
    if not 0 <= min_score <= 1:
        raise ValueError(f"min_score is {min_score}, expected a probability from 0 to 1")
    names = dict(zip(clips, distinct_names(clips), strict=True))
    for clip, name in names.items():
        if os.path.realpath(out / f"{name}.mp4") == os.path.realpath(clip):
            raise ValueError(f"{clip}: the drawn clip would replace the clip itself; choose another --out")
    recognizer = load(run)
    if not recognizer.model.attends:
        raise ValueError(
            f"{run}: the model does not attend, so it cannot say where; train one that does, such as convalstm"
        )
    check_writable(out)
    table = Table(Column("clip", overflow="fold"), "class", "probability", "boxes", "seconds")

    errors = list[ClipError]()
    for clip, name in with_progress(names.items(), "localizing", len(names)):
        with collecting(errors.append, clip):
            prediction = recognizer.predict(clip)
            tubes = best_tubes(prediction, min_score)
            write_json(out / f"{name}.json", to_coco(prediction, tubes))
            write_json(out / f"{name}-segments.json", to_activitynet(prediction, min_score))
            write_located(clip, out / f"{name}.mp4", prediction, tubes, min_score)
            words = Text(printable(name)), Text(printable(prediction.label)), f"{100 * prediction.score:.0f} %"
            table.add_row(*words, *_summary(prediction, tubes, min_score))
    if table.row_count:
        Console().print(table)
    print_errors(errors)
    return errors


def _summary(prediction: Prediction, tubes: Sequence[Tube], min_score: float) -> tuple[str, str]:
    """Columns `boxes` and `seconds`."""
    if prediction.score < min_score:
        return f"none: no class reaches {100 * min_score:.0f} %", ""
    boxes = sum(len(tube.frames) for tube in tubes)
    objects = "1 object" if len(tubes) == 1 else f"{len(tubes)} objects"
    return f"{boxes} boxes, {objects}" if boxes else "none: attention is uniform", prediction.when
