"""Budgets of the digit experiments: seconds, minutes, or a day."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from onlooker_papers.digits.data.augmented_mnist import VARIANTS
from onlooker_papers.digits.held_out import FOLLOWED, VALIDATION
from onlooker_papers.digits.models import SINGLE, DigitModel
from onlooker_papers.digits.published import (
    CODE,
    PUBLISHED_READING,
    READINGS,
    SMOOTH,
    TABLE,
    TEXT,
)


@dataclass(frozen=True)
class Entry:
    """A model in the held-out table.

    Args:
        spec: the model.
        videos: number of training videos, in each variant.
        variants: the variants that it is trained on.
        tests: test videos; None: those of the budget.
    """

    spec: DigitModel
    videos: int
    variants: tuple[str, ...] = VARIANTS
    tests: int | None = None


@dataclass(frozen=True)
class DigitsBudget:
    """Which experiments are computed, and their sizes.

    Args:
        name: a description for the page.
        pretraining: by encoder and recipe, the passes of the pre-training through the training
            digits. The published protocol freezes the weights of the first recipe.
        frames: number of frames of a video in the published protocol; 50 in the paper.
        rounds: by LSTM, the number of rounds in each cell of Table I.
        more_rounds: the same for further LSTMs on `lenet` in the variants `whole`.
        variants: by encoder, the variants of the published protocol; those that are not named have
            all.
        whole: variants in which `lenet` has all readings of the test videos.
        readings: the readings of all other cells.
        entries: the models of the held-out protocol.
        objects: number of videos of `normal` for the comparison of one window with several.
        ceilings: by name in `held_out.CEILINGS` and variant, the training videos of the classifier
        of single digits.
        tests: number of test videos in the held-out protocol.
        validation: the same for the videos on which an epoch is chosen.
        digits: number of digits of each split; None: all.
    """

    name: str
    pretraining: Mapping[str, Mapping[str, float]]
    frames: int
    rounds: Mapping[str, int]
    more_rounds: Mapping[str, int]
    variants: Mapping[str, tuple[str, ...]]
    whole: tuple[str, ...]
    readings: tuple[str, ...]
    entries: tuple[Entry, ...]
    objects: int
    ceilings: Mapping[str, Mapping[str, int]]
    tests: int
    validation: int = VALIDATION
    digits: int | None = None


GLIMPSES = DigitModel(
    "stn:2", model="convnet", head_units=128, lr=2e-3, batch=32, frames=5, frames_per_setting=1
)
# On other variants, training continues from an easier variant, on which the windows have learned to
# find the digits.
FURTHER = {
    "scale": replace(GLIMPSES, after="normal"),
    "rotation": replace(GLIMPSES, after="normal"),
    "rotation+scale": replace(GLIMPSES, after="rotation"),
}
# Torn digits are hard: objects are tracked, and classified from five frames at once, after training
# on single ones.
FOLLOWING = replace(FOLLOWED, encoder="tracks:2", after=SINGLE, lr=1e-3, batch=16, frames=25)
# Compared models: the published encoder, which starts from single digits because it stays at chance
# on two digits when it starts from random weights; and `stn:1`, with one window.
OBJECTS = {
    "single": replace(GLIMPSES, encoder="stn", lr=3e-4, recipe="one-cycle"),
    "one-glimpse": replace(GLIMPSES, encoder="stn:1"),
    "several": GLIMPSES,
}


def _further(videos: Mapping[str, int]) -> tuple[Entry, ...]:
    """`FURTHER`, with a number of videos for each variant."""
    return tuple(Entry(FURTHER[variant], count, (variant,)) for variant, count in videos.items())


def _both(encoder: str, recipe: str = "one-cycle") -> tuple[DigitModel, DigitModel]:
    """The published two-stage model, and the same trained end to end from the pre-trained encoder."""
    return DigitModel(encoder, 2, recipe=recipe), DigitModel(encoder, 1, recipe=recipe, lr=3e-4)


# Not `dcn`: an update of its weights takes seconds, and writing them as well.
SMOKE = DigitsBudget(
    name="smoke: a training step of everything, in seconds; the figures mean nothing",
    pretraining={"lenet": {"published": 0.2, "one-cycle": 0.1}, "stn": {"one-cycle": 0.1}},
    frames=5,
    rounds={CODE: 2},
    more_rounds={TEXT: 2},
    variants={"lenet": ("normal", SMOOTH), "stn": ("normal",)},
    whole=("normal",),
    readings=(PUBLISHED_READING,),
    entries=(
        Entry(GLIMPSES, 1, ("normal",)),
        Entry(FURTHER["scale"], 1, ("scale",)),
        Entry(replace(FOLLOWING, batch=2, frames=10), 1, ("scale",)),
        Entry(DigitModel("lenet", 2, recipe="one-cycle"), 1, ("normal",)),
    ),
    objects=1,
    ceilings={"ceiling-tracks": {"scale": 1}},
    tests=2,
    validation=2,
    digits=100,
)
QUICK = DigitsBudget(
    name="quick: minutes, to see that everything runs",
    pretraining={"lenet": {"one-cycle": 2.0}, "stn": {"one-cycle": 1.0}, "dcn": {"one-cycle": 0.1}},
    frames=10,
    rounds={CODE: 10, TEXT: 10},
    more_rounds={},
    variants={"dcn": ("normal",)},  # its features take about ten times as long
    whole=TABLE,
    readings=tuple(READINGS),
    entries=(Entry(GLIMPSES, 1_600, ("normal",)),),
    objects=1_280,
    ceilings={},
    tests=200,
)
STANDARD = DigitsBudget(
    name="standard: some twenty hours of one core, fewer on two",
    pretraining={
        "lenet": {"published": 5.0, "literal": 5.0, "one-cycle": 2.0, "long": 5.0},
        "stn": {"published": 5.0, "one-cycle": 2.0, "long": 5.0},
        "dcn": {"published": 5.0, "one-cycle": 1.5, "long": 6.0},
        "stn:literal": {"literal": 0.5},
        "dcn:literal": {"published": 0.5},
        "dcn:tap": {"published": 0.5},
    },
    frames=50,
    rounds={CODE: 300},
    more_rounds={TEXT: 300},
    variants={},
    whole=("normal", "rotation"),
    readings=(PUBLISHED_READING,),
    entries=(
        Entry(GLIMPSES, 96_000, ("normal",)),
        *_further({"scale": 96_000, "rotation": 400_000, "rotation+scale": 240_000}),
        Entry(FOLLOWING, 96_000, ("gesture",)),
        # The models of Table I, trained on each variant separately: about five minutes each, 15
        # minutes for `dcn`.
        Entry(_both("lenet")[0], 32_000, ("normal", "rotation")),
        Entry(_both("lenet")[0], 16_000, ("scale", "rotation+scale", "gesture")),
        Entry(_both("stn")[0], 16_000, ("normal", "rotation"), tests=1000),
        Entry(_both("stn")[0], 8_000, ("scale", "rotation+scale", "gesture"), tests=1000),
        Entry(_both("dcn", "long")[0], 8_000, ("normal",), tests=400),
        Entry(_both("dcn", "long")[0], 3_200, VARIANTS[1:], tests=200),
        Entry(_both("lenet")[1], 11_200, ("normal",)),
        Entry(_both("stn")[1], 8_000, ("normal",), tests=1000),
        Entry(_both("dcn", "long")[1], 1_600, ("normal",), tests=200),
    ),
    objects=12_800,
    ceilings={
        "ceiling": dict.fromkeys(("rotation", "rotation+scale"), 200_000),
        "ceiling-tracks": {"gesture": 400_000},
    },
    tests=2000,
)
