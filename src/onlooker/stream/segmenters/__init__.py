"""When: scores of windows become segments, by whole windows with pauses between them (events), or
by a semi-Markov model of what goes on at each moment (states).

`segmenter_of` chooses one of the two; all others know the interface alone, `Segmenter`.
"""

from collections.abc import Sequence
from typing import Any

from onlooker.base.config import StreamConfig
from onlooker.base.decision import Decision
from onlooker.stream.segmenters.segmenter import Segmenter
from onlooker.stream.segmenters.semi_markov import SemiMarkovSegmenter
from onlooker.stream.segmenters.windows import WindowSegmenter

__all__ = ["WindowSegmenter"]


def segmenter_of(
    decision: Decision,
    lengths: Sequence[int],
    rate: float,
    *,
    alarms_per_hour: float = StreamConfig.alarms_per_hour,
) -> Segmenter[Any] | None:
    """The segmenter of a model; None if it has none.

    Args:
        lengths: of the model's windows, in frames; empty: it tells only clips.
        rate: frames per second.
        alarms_per_hour: the rate of false alarms that is allowed, for events.
    """
    if not lengths:
        return None
    if decision.states:
        return SemiMarkovSegmenter(decision, lengths, rate)
    return WindowSegmenter(decision, lengths, decision.event_threshold(alarms_per_hour))
