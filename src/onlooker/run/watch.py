"""Watch streams with a trained run, and send their events: the work of `onlooker watch`."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

from onlooker.base.config import StreamConfig
from onlooker.base.progress import note
from onlooker.base.records import ClipError, Step
from onlooker.formats.publish import Publishers, Sink
from onlooker.recognizer import Recognizer, expected_events, load, rate_text
from onlooker.storage import is_stored
from onlooker.stream.streams import OnError, OnStatus
from onlooker.video.reader import VideoReader

_ERRORS = 1000


def watch_run(
    run: Path,
    sources: Sequence[str],
    config: StreamConfig,
    *,
    on_step: Callable[[Step], None],
    on_error: OnError,
    on_status: OnStatus,
    sinks: Sequence[str | Path | Sink] = (),
) -> list[ClipError]:
    """Watch the sources until all have ended; prints notes on the expected events and frame rate, and
    at the end on what `predict` does otherwise with a file.

    Args:
        sources: numbers of cameras, addresses, paths; see `stream.sources.Source`.
        on_step: called with each step.
        on_error, on_status, sinks: as in `Recognizer.watch`.

    Returns:
        An error for each source that could not be read or was lost, and for each event that could
        not be sent; of more than a thousand, the last.

    Raises:
        OSError, RuntimeError, ValueError: from `load` and `Recognizer.watch`.
    """
    # a receiver that is offline for weeks would cause many
    errors = deque[ClipError](maxlen=_ERRORS)

    def report(error: ClipError) -> None:
        errors.append(error)
        on_error(error)

    Publishers(sinks, report)  # an address that is not valid is said before the run is loaded
    recognizer = load(run)
    steps = recognizer.watch(sources, config, sinks=sinks, on_error=report, on_status=on_status)
    if expected := expected_events(recognizer, config.alarms_per_hour):
        note(expected)
    if config.rate is None and (rate := recognizer.decision.frame_rate):
        note(f"{rate:.3g} frames per second, as in training; --rate 0 uses every frame")
    elif config.rate is None:
        note(
            f"frame rate {rate_text(recognizer)}; every frame is used; give --rate N, the frames per second of a "
            "training sample (0: every frame)"
        )
    with closing(steps):
        for step in steps:
            on_step(step)
    if recognizer.model.lengths:
        for file in filter(is_stored, sources):
            if reasons := _unlike_predict(recognizer, config, Path(file)):
                note(f"{file}: `onlooker predict` may differ, as it {'; '.join(reasons)}")
    return [*errors]


def _unlike_predict(recognizer: Recognizer, config: StreamConfig, file: Path) -> list[str]:
    """In words: what `predict` does otherwise; nothing if it has the same events."""
    decision = recognizer.decision
    reasons = list[str]()
    if not recognizer.longest:
        reasons.append("decides on states when it has seen all of a recording")
    else:
        with suppress(ClipError):
            if not recognizer.is_recording(VideoReader(file).timing.length):
                reasons.append(
                    "takes a clip that is no longer than those of training for one event"
                )
    if config.rate not in (None, decision.frame_rate):
        rate = decision.frame_rate
        reasons.append(f"receives {rate:.3g} frames per second" if rate else "receives every frame")
    threshold = decision.event_threshold()
    if decision.event_threshold(config.alarms_per_hour) != threshold:
        reasons.append(f"reports events from a score of {threshold:.2f}")
    return reasons
