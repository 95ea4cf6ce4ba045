"""Events are announced when they begin; each announcement ends with one id, or is withdrawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from eventful import CLASSES, eventful

from onlooker.base.records import Event, Segment, Step
from onlooker.formats.publish import Publishers
from onlooker.stream.segmenters.segmenter import SegmentStep


def announcements(steps: list[Step]) -> list[tuple[int, Event]]:
    return [(place, event) for place, step in enumerate(steps) for event in step.changes]


@pytest.mark.parametrize("bias", [-4.0, 0.0, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_each_begin_is_followed_by_one_end_or_one_withdrawal(seed: int, bias: float) -> None:
    streams = eventful(bias=bias).streams()
    chance = np.random.default_rng(seed)
    steps = list[Step]()
    time = 0.0
    for number in range(150):
        time += 0.1 if number % 50 else 60.0  # with pauses, after which a stream begins again
        bright = 255 * chance.random() ** 4
        pixels = (chance.random((16, 16, 3)) * bright).astype(np.uint8)
        steps.append(streams.step({"door": (number, time, pixels)})["door"])
    if last := streams.end("door"):
        steps.append(last)
    phases = dict[str, list[str]]()
    labels = dict[str, set[str]]()
    for _, event in announcements(steps):
        phases.setdefault(event.id, []).append(str(event.phase))
        labels.setdefault(event.id, set()).add(event.label)
    assert all(each in (["begin", "end"], ["begin", "withdrawn"]) for each in phases.values())
    assert all(len(names) == 1 for names in labels.values())
    ends = [event.id for step in steps for event in step.events]
    assert len(ends) == len(set(ends)) == sum("end" in each for each in phases.values()) > 0


class Given:
    """A segmenter that finds what is given."""

    delay = 0
    has_pauses = True

    def __init__(self, *results: tuple[list[Segment], list[Segment]]) -> None:
        self.results = results

    def step(self, memory: int, time: float, scores: object, **_: object) -> SegmentStep[int]:
        final, ongoing = self.results[memory]
        probabilities = np.full(len(CLASSES), 1 / 3, np.float32)
        rows = np.zeros((1, 1, 3), np.float32)
        return SegmentStep(
            memory + 1, final, tuple(ongoing), probabilities, rows, begun=tuple(ongoing)
        )

    def recent(self, memory: int, boxes: object, limit: int) -> tuple[()]:
        return ()


def test_an_event_with_better_borders_is_the_same_and_one_of_another_class_is_not() -> None:
    first = Segment("wave", 1.0, 2.0, 0.5)
    better = Segment("wave", 1.4, 2.6, 0.7)
    other = Segment("clap", 1.3, 2.9, 0.8)
    streams = eventful().streams()
    streams.segmenter = Given(([], [first]), ([], [better]), ([], [other]), ([other], []))
    streams._start = replace(streams._start, segments=0)
    pixels = np.zeros((16, 16, 3), np.uint8)
    steps = [streams.step({"door": (n, n / 10, pixels)})["door"] for n in range(4)]
    got = [
        (event.phase, event.label, event.to_dict()["end"]) for _, event in announcements(steps)
    ]
    assert got == [
        ("begin", "wave", None),
        ("begin", "clap", None),
        ("withdrawn", "wave", None),
        ("end", "clap", 2.9),
    ]
    begun, begun_clap, withdrawn, ended = [event for _, event in announcements(steps)]
    assert (withdrawn.id, ended.id) == (begun.id, begun_clap.id)
    assert withdrawn.at > begun.at
    assert [event.phase for step in steps for event in step.events] == [None]
    assert steps[0].to_dict()["announced"] == [begun.to_dict()]


def test_subtitles_hold_only_what_was_an_event(tmp_path: Path) -> None:
    publishers = Publishers([tmp_path / "a.vtt"], print)
    publishers.open(["door"])
    for phase in ("begin", "withdrawn", "end"):
        publishers.add([Event("wave", 0.0, 1.0, 0.5, "door", phase=phase)])
    publishers.close()
    assert (tmp_path / "a.vtt").read_text().count("-->") == 1
