"""Hints while clips are collected: each of its own kind of clip, and none about clips that are good."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from onlooker.data.clip_facts import ClipFacts
from onlooker.serve.hints import Hint, Hints, Measured
from onlooker.serve.project import ProjectClip

Classes = dict[str, list[ProjectClip]]


def make_classes(**counts: int) -> Classes:
    return {
        label: [ProjectClip(f"{label}{number}", label, Path(label, f"{number}.mp4")) for number in range(count)]
        for label, count in counts.items()
    }


def facts(seed: int, frames: int = 30, light: float = 1.0, moving: bool = True, sharpness: float = 1.0) -> ClipFacts:
    """A clip with its own random scene, and something in it that moves."""
    random = np.random.default_rng(seed)
    thumbnails = np.repeat(random.uniform(0, 200, (1, 16, 16)), 8, 0)
    if moving:
        thumbnails[:, 4:8, 4:8] = random.uniform(0, 250, (8, 4, 4))
    return ClipFacts(frames, 15.0, (48, 64), (light * thumbnails).astype(np.float32), sharpness)


def measure(classes: Classes, **special: ClipFacts) -> dict[str, Measured]:
    clips = [clip for of_class in classes.values() for clip in of_class]
    return {clip.id: Measured(None, special.get(clip.id, facts(number))) for number, clip in enumerate(clips)}


def codes(found: Sequence[Hint]) -> list[str]:
    return [hint.code for hint in found]


GOOD = make_classes(wave=6, clap=6, nothing=6)


def test_good_clips_need_no_hint() -> None:
    assert Hints().of(GOOD, measure(GOOD), {}) == []


def test_classes_with_few_clips_are_named_with_what_is_missing() -> None:
    few = make_classes(wave=2, clap=5, nothing=0)
    (hint,) = Hints().of(few, measure(few), {})
    assert hint == Hint("few_clips", "Record at least 5 clips of each class: wave 2 of 5, nothing 0 of 5")


def test_the_balance_of_classes_and_the_class_nothing() -> None:
    unbalanced = make_classes(wave=16, nothing=5)
    assert [hint.text for hint in Hints().of(unbalanced, measure(unbalanced), {})] == [
        "wave has 16 clips, nothing only 5: record more of nothing"
    ]
    without = make_classes(wave=5, clap=5)
    assert codes(Hints().of(without, measure(without), {})) == ["no_nothing"]
    several = make_classes(wave=5, none=5, background=5)
    assert [hint.text for hint in Hints().of(several, measure(several), {})] == [
        "Classes none and background mean the same, that nothing happens; make one class of them"
    ]
    assert Hints().of({}, {}, {}) == []


@pytest.mark.parametrize(
    ("code", "special"),
    [
        ("dark", facts(50, light=0.1)),
        ("short", facts(50, frames=5)),
        ("still", facts(50, moving=False)),
        ("blurred", facts(50, sharpness=0.01)),
        ("duplicate", facts(0)),
        ("two_labels", facts(7)),
    ],
)
def test_each_kind_of_clip_has_its_hint(code: str, special: ClipFacts) -> None:
    (hint,) = Hints().of(GOOD, measure(GOOD, wave3=special), {})
    assert hint.code == code
    expected = {"duplicate": {"wave0", "wave3"}, "two_labels": {"wave3", "clap1"}}.get(code, {"wave3"})
    assert set(hint.clips) == expected


def test_clips_in_which_nothing_happens_may_be_still() -> None:
    still = {f"nothing{number}": facts(60 + number, moving=False) for number in range(6)}
    assert Hints().of(GOOD, measure(GOOD, **still), {}) == []


def test_still_clips_are_no_near_duplicates() -> None:
    """Without motion there is nothing to compare but the scene, and clips of one camera share it."""
    still = {f"nothing{number}": facts(60, moving=False) for number in range(6)}
    assert "duplicate" not in codes(Hints().of(GOOD, measure(GOOD, **still), {}))


def test_a_clip_that_looks_like_another_class() -> None:
    (hint,) = Hints().of(GOOD, measure(GOOD), {"wave3": "clap", "wave4": "clap"})
    assert hint == Hint("looks_like", "2 clips of wave look like clap to the newest model", ("wave3", "wave4"))


def test_a_clip_that_cannot_be_read() -> None:
    broken = measure(GOOD) | {"wave3": Measured(None, None, "not a video file")}
    (hint,) = Hints().of(GOOD, broken, {})
    assert hint == Hint("unreadable", "1 clip cannot be read (not a video file): delete or replace it", ("wave3",))


def test_while_new_clips_are_measured_the_hints_about_the_others_stay_but_not_those_about_removed_ones() -> None:
    special = measure(GOOD, wave3=facts(50, light=0.1), clap3=facts(51, light=0.1))
    kept = Hints()
    kept.of(GOOD, special, {})
    names = ("new", "slow", "slower")
    added = [ProjectClip(name, "wave", Path(f"wave/{name}.mp4")) for name in names]
    more = GOOD | {"wave": [*GOOD["wave"][:3], *GOOD["wave"][4:], *added]}
    (hint,) = kept.of(more, special, {"wave5": "clap"})
    assert (hint.code, hint.clips) == ("dark", ("clap3",))
    dark, unlike = kept.of(more, special | {"new": Measured(None, facts(70, light=0.1))}, {"wave5": "clap"})
    assert set(dark.clips) == {"clap3", "new"}, "it does not wait for two that are slow"
    assert unlike.clips == ("wave5",)
