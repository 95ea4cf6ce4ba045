"""Budgets of the digit experiments: minutes, hours, or as published."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from onlooker_papers.digits.augmented_mnist import VARIANTS
from onlooker_papers.digits.encoders import WINDOWS
from onlooker_papers.digits.held_out import FOLLOWED
from onlooker_papers.digits.models import JUDGED_TOGETHER, SINGLE, DigitModel
from onlooker_papers.digits.published import PUBLISHED_READING, READINGS, TABLE

ENCODERS = ("lenet", "stn", "dcn")


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
class Budget:
    """Which experiments are computed, and their sizes.

    Args:
        name: a description for the page.
        passes: by encoder and recipe, the passes of the pre-training through the training digits.
        windows: by output size of the spatial transformer, the passes of its pre-training by the recipe `one-cycle`.
        frozen: by encoder, the recipe of the weights that the published protocol freezes.
        better: the same for a second table, with encoders that are trained by another recipe.
        frames: number of frames of a video in the published protocol; 50 in the paper.
        rounds: by model of `train_rounds`, the number of rounds in each cell of Table I, on all encoders.
        baselines: the same on LeNet only: the LSTM of the text, and the other models of the authors' code.
        conv3d: number of trainings of the authors' 3-D network on pixels, in each variant; 0: none.
        apart: encoders that are also evaluated on digits that are rotated and scaled independently.
        slow: variants of the published protocol for `dcn`, whose features take about ten times as long.
        whole: variants in which `lenet` has the `baselines` and all readings of the test videos.
        readings: the readings of all other cells.
        entries: the models of the held-out protocol.
        literal: by encoder, the number of videos that the published system itself is trained on there, in each variant.
        objects: number of videos of `normal` for the comparison of one window with several.
        ceilings: by name in `held_out.CEILINGS` and variant, the training videos of the classifier of single digits.
        tests: number of test videos in the held-out protocol.
        few: models that are trained for many epochs on a fixed set of `repeated` videos.
        warps: number of training steps on deformed digits.
        warp_seeds: number of trainings of each model there.
        memory: encoders whose peak memory in training is measured.
        hands: models for the hand gestures.
        hand_frames, hand_seeds: frames per clip of hands, and number of trainings of each model.
        epochs: passes through the hand gestures.
    """

    name: str
    passes: Mapping[str, Mapping[str, float]]
    windows: Mapping[int, float]
    frozen: Mapping[str, str]
    better: Mapping[str, str]
    frames: int
    rounds: Mapping[str, int]
    baselines: Mapping[str, int]
    conv3d: int
    apart: tuple[str, ...]
    slow: tuple[str, ...]
    whole: tuple[str, ...]
    readings: tuple[str, ...]
    entries: tuple[Entry, ...]
    literal: Mapping[str, int]
    objects: int
    ceilings: Mapping[str, Mapping[str, int]]
    tests: int
    few: tuple[DigitModel, ...]
    repeated: int
    warps: int
    warp_seeds: int
    memory: tuple[str, ...]
    hands: tuple[DigitModel, ...]
    hand_frames: int
    hand_seeds: int
    epochs: int

    @property
    def pretraining(self) -> dict[str, Mapping[str, float]]:
        """`passes`, and those of `windows` by the name of the encoder."""
        return {**self.passes, **{f"stn-{window}": {"one-cycle": count} for window, count in self.windows.items()}}


GLIMPSES = DigitModel("stn:2", model="convnet", head_units=128, lr=2e-3, batch=32, frames=5, frames_per_setting=1)
# On other variants, training continues from an easier variant, on which the windows have learned to find the digits.
# Torn digits are so hard that the model is first trained on single ones; each window then uses the same classifier.
FURTHER = {
    "scale": replace(GLIMPSES, after="normal"),
    "rotation": replace(GLIMPSES, after="normal"),
    "rotation+scale": replace(GLIMPSES, after="rotation"),
    "gesture": replace(GLIMPSES, after=SINGLE, head="each-glimpse", lr=1e-3),
}
# Then it is trained on whole videos, in which frames that show little get low weights.
TOGETHER = replace(FURTHER["gesture"], after="gesture", **JUDGED_TOGETHER)
# Soft attention over a map, in place of windows.
ATTENTION = DigitModel("conv4", model="alstm", lr=3e-3)
# Objects can also be tracked, and classified from five frames at once.
FOLLOWING = replace(FOLLOWED, encoder="tracks:2", after=SINGLE, lr=1e-3, batch=16, frames=25)
# Compared models: the published encoder, which starts from single digits because it stays at chance on two digits when
# it starts from random weights; and `stn:1`, with one window.
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


QUICK = Budget(
    name="quick: minutes, to see that everything runs",
    passes={"lenet": {"one-cycle": 2.0}, "stn": {"one-cycle": 1.0}, "dcn": {"one-cycle": 0.1}},
    windows={},
    frozen=dict.fromkeys(ENCODERS, "one-cycle"),
    better={},
    frames=10,
    rounds={"lstm-keras": 10, "lstm": 10},
    baselines={"lstm-frames": 3, "gru": 3, "mlp": 3},
    conv3d=0,
    apart=(),
    slow=("normal",),
    whole=TABLE,
    readings=tuple(READINGS),
    entries=(Entry(GLIMPSES, 1_600, ("normal",)),),
    literal={},
    objects=1_280,
    ceilings={},
    tests=200,
    few=(),
    repeated=0,
    warps=20,
    warp_seeds=1,
    memory=("lenet",),
    hands=(_both("lenet")[0],),
    hand_frames=5,
    hand_seeds=1,
    epochs=1,
)
STANDARD = Budget(
    name="standard: some twenty hours of one core, fewer on two",
    passes={
        "lenet": {"published": 5.0, "one-cycle": 2.0, "long": 5.0},
        "stn": {"published": 0.5, "one-cycle": 2.0, "long": 5.0},
        "dcn": {"published": 0.5, "one-cycle": 1.5, "long": 6.0},
    },
    windows=dict.fromkeys((8, 16, 32), 0.3),
    frozen=dict.fromkeys(ENCODERS, "published"),
    better={"lenet": "one-cycle", "stn": "one-cycle"},
    frames=50,
    rounds={"lstm-keras": 300},
    baselines={"lstm": 100, "lstm-frames": 10, "gru": 3, "mlp": 3},
    conv3d=1,
    apart=("lenet",),
    slow=TABLE,
    whole=("normal", "rotation"),
    readings=(PUBLISHED_READING,),
    entries=(
        Entry(GLIMPSES, 96_000, ("normal",)),
        *_further({"scale": 96_000, "rotation": 400_000, "rotation+scale": 240_000, "gesture": 400_000}),
        Entry(TOGETHER, 60_000, ("gesture",)),
        Entry(FOLLOWING, 96_000, ("gesture",)),
        # The models of Table I, trained on each variant separately: about five minutes each, 15 minutes for `dcn`.
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
    literal={"lenet": 2_000},
    objects=12_800,
    ceilings={
        "ceiling": dict.fromkeys(("rotation", "rotation+scale", "gesture"), 200_000),
        "ceiling-opinions": {"gesture": 40_000},
        "ceiling-tracks": {"gesture": 400_000},
    },
    tests=2000,
    few=_both("lenet"),
    repeated=440,
    warps=500,
    warp_seeds=3,
    memory=ENCODERS,
    # End to end, `dcn` needs seven hours.
    hands=(*_both("lenet"), *_both("stn"), _both("dcn")[0], ATTENTION),
    hand_frames=30,
    hand_seeds=3,
    epochs=20,
)
FULL = Budget(
    name="full: as published, half a week on two cores or an evening on a GPU",
    passes={encoder: {"published": 5.0, "one-cycle": 5.0, "long": 5.0} for encoder in ENCODERS},
    windows=dict.fromkeys(WINDOWS, 1.0),
    frozen=dict.fromkeys(ENCODERS, "published"),
    better=dict.fromkeys(ENCODERS, "long"),
    frames=50,
    rounds={"lstm-keras": 300, "lstm": 300},
    baselines={"lstm-frames": 300, "gru": 300, "mlp": 300},
    conv3d=300,
    apart=ENCODERS,
    slow=TABLE,
    whole=TABLE,
    readings=tuple(READINGS),
    entries=(
        Entry(GLIMPSES, 160_000, ("normal",)),
        *_further(dict.fromkeys(VARIANTS[1:], 480_000)),
        Entry(TOGETHER, 100_000, ("gesture",)),
        Entry(FOLLOWING, 160_000, ("gesture",)),
        Entry(ATTENTION, 160_000),
        *(Entry(spec, 48_000) for encoder in ENCODERS for spec in _both(encoder)),
    ),
    literal=dict.fromkeys(ENCODERS, 10_000),
    objects=160_000,
    ceilings={
        "ceiling": dict.fromkeys(VARIANTS, 480_000),
        "ceiling-opinions": {"gesture": 100_000},
        "ceiling-tracks": {"gesture": 480_000},
    },
    tests=5000,
    few=tuple(spec for encoder in ENCODERS for spec in _both(encoder)),
    repeated=440,
    warps=5_000,
    warp_seeds=3,
    memory=ENCODERS,
    hands=(
        *(spec for encoder in ENCODERS for spec in _both(encoder)),
        ATTENTION,
    ),
    hand_frames=30,
    hand_seeds=3,
    epochs=20,
)
