"""The figures of whole recordings: of their events and of their states, in one table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onlooker.base.decision import Decision
from onlooker.base.records import ClipError
from onlooker.measure.events import event_figures, judged
from onlooker.measure.states import RATE, scorer_agreement, tier_figures, tiers_of
from onlooker.measure.timeline import Pair, Timeline


@dataclass(frozen=True)
class ComparedRecording:
    """What people and a model say of a recording.

    Args:
        true: its labels.
        predicted: by `onlooker predict`.
        live: reported by `onlooker watch` while it plays.
        second: by a second scorer; None: there is none.
    """

    name: str
    path: Path
    true: Timeline
    predicted: Timeline
    live: Timeline
    second: Timeline | None = None

    @property
    def judged(self) -> Timeline:
        """The predicted events that can be judged."""
        return judged(self.true, self.predicted)


def figures_of_recordings(
    recordings: Sequence[ComparedRecording], decision: Decision, skipped: Sequence[ClipError]
) -> dict[str, Any]:
    """The figures of recordings, for JSON.

    Args:
        skipped: recordings and labels that are left out.

    Returns:
        The figures of all recordings (`event_figures`); `live`: the figures of the events that
        `onlooker watch` reports while they play; `recordings`: the figures of each recording, by
        its name; `skipped`: what is left out, and why; `states`, also of `live`, the figures of each
        tier of a model of states (`tier_figures`), or `as_states`, of events as states; `scorers`,
        of recordings that two people have labeled (`scorer_agreement`).
    """
    tiers = tiers_of(decision)
    rate = decision.frame_rate or RATE
    key = "states" if decision.states else "as_states"

    def figures(pairs: Sequence[Pair]) -> dict[str, Any]:
        return {**event_figures(pairs), key: tier_figures(tiers, pairs, rate=rate)}

    predicted = [(recording.true, recording.predicted) for recording in recordings]
    twice = [
        (recording.true, recording.predicted, recording.second)
        for recording in recordings
        if recording.second is not None
    ]
    values = {
        **figures(predicted),
        "live": figures([(recording.true, recording.live) for recording in recordings]),
        "recordings": {
            recording.name: event_figures([pair])
            for recording, pair in zip(recordings, predicted, strict=True)
        },
        "skipped": [error.to_dict() for error in skipped],
    }
    if twice:
        values["scorers"] = scorer_agreement(tiers, twice, rate=rate)
    return values
