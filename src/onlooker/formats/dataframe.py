"""Predictions as a table of pandas."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from onlooker.base.records import Prediction
from onlooker.base.settings import typed
from onlooker.storage import path_or_address

if TYPE_CHECKING:
    from pandas import DataFrame


@typed
def to_frame(predictions: Iterable[Prediction], *, events: bool = False) -> "DataFrame":
    """Predictions as a table of pandas, with one row for each clip: `path`, `label`, `score`,
    `events` (their number), and `p(CLASS)` of every class, as in scores.csv of a run.

    Args:
        events: one row for each event instead: `path`, `label`, `score`, `start` and `end` in
            seconds, in the order of time.

    Raises:
        RuntimeError: pandas is not installed.
        TypeError: a single prediction.
    """
    try:
        from pandas import DataFrame
    except ModuleNotFoundError as error:
        raise RuntimeError("pandas is not installed; pip install pandas") from error
    if events:
        columns = ["path", "label", "score", "start", "end"]
        rows = [
            (path_or_address(prediction.path), event.label, event.score, event.start, event.end)
            for prediction in predictions
            for event in sorted(prediction.segments, key=lambda event: event.start)
        ]
        return DataFrame(rows, columns=columns)
    return DataFrame(
        {
            "path": path_or_address(prediction.path),
            "label": prediction.label,
            "score": prediction.score,
            "events": len(prediction.segments),
            **{
                f"p({name})": score
                for name, score in zip(prediction.classes, prediction.scores.tolist(), strict=True)
            },
        }
        for prediction in predictions
    )
