"""What large sets and many cameras need: time, storage, machines and cost, computed from measured rates.

    python benchmarks/plan.py                                   # Kinetics-700 and a thousand cameras
    python benchmarks/plan.py --clips 20000 --cameras 50 --cores 16 --days 2

Rates are those of `results/bench-features.json`, `bench-training.json`, `bench-live.json` and `bench-read.json`,
divided by their cores and multiplied by those of the machines: it is assumed that machines do not wait for each other
or for their disks, which has to be tried before machines are ordered. Cameras are answered by `convalstm` on the
encoder `small` in 8 bits, whose accuracy is in docs/export.md; the streams have 320×240 pixels. Storage is that of
clips and features. Prices and the size of a clip are arguments.
"""

import argparse
import math
from dataclasses import dataclass, fields

import harness
from bench_live import OWN_SIDE
from bench_read import FPS, LENGTHS

from onlooker.files import read_json

_CELLS, _CHANNELS, _BYTES = 49, 512, 2  # of VGG-16's map of a frame, in half precision
_HOURS_OF_MONTH = 730
_DECODED = FPS * LENGTHS["short"][0]  # frames of the short clips of bench_read.py, all of which are decoded


@dataclass(frozen=True)
class Plan:
    """What is planned, and for which machines.

    Args:
        clips, frames, clip_megabytes: of the set, frames of each clip that are encoded, and the mean size of a clip.
        epochs: of training `convalstm` with 512 channels on the stored features.
        cameras, camera_rate, rate: of live view, frames of each per second, and how many of these are classified.
        cores: of a machine.
        days: in which features and training should be done, each.
        core_hour, terabyte_month: prices.
    """

    clips: int = 650_000
    frames: int = 30
    clip_megabytes: float = 1.0
    epochs: int = 10
    cameras: int = 1000
    camera_rate: float = 25.0
    rate: float = 10.0
    cores: int = 32
    days: float = 7.0
    core_hour: float = 0.04
    terabyte_month: float = 23.0


def core_seconds() -> dict[str, float]:
    """Measured seconds of a core: for a frame encoded by VGG-16, a clip in a step of training, and a frame of a camera
    that is decoded or classified.
    """
    features, training, live, read = (
        read_json(harness.RESULTS / f"bench-{name}.json") for name in ("features", "training", "live", "read")
    )
    large, threads = training["figures"]["large"]["convalstm"]["bf16"], training["figures"]["threads"]
    rates = features["figures"]["frames_per_second"]
    own = next(rate for name, rate in rates.items() if name in ("onlooker", "saccade"))  # the former name
    return {
        "frame": features["machine"]["cores"] / own,
        "clip": threads * large["seconds"] / training["figures"]["batch"]["large"],
        "decoded": read["machine"]["cores"] * read["figures"]["seconds"]["short mp4 onlooker"] / _DECODED,
        "classified": live["figures"]["milliseconds"][f"onlooker at {OWN_SIDE}"]["int8"] / 1000,
    }


def needs(plan: Plan) -> dict[str, dict[str, float]]:
    """Core-hours, terabytes, machines, hours on these and cost of each part; those of cameras for a month."""
    seconds = core_seconds()
    encoded = plan.clips * plan.frames
    terabytes = (encoded * _CELLS * _CHANNELS * _BYTES + plan.clips * plan.clip_megabytes * 1e6) / 1e12
    hours = {
        f"features of {plan.clips:,} clips": encoded * seconds["frame"] / 3600,
        f"{plan.epochs} epochs of convalstm on them": plan.clips * plan.epochs * seconds["clip"] / 3600,
    }
    found = {
        what: {
            "core_hours": round(of),
            "terabytes": round(terabytes, 2),
            "machines": (machines := math.ceil(of / (24 * plan.days * plan.cores))),
            "hours": math.ceil(of / (machines * plan.cores)),
            "cost": round(of * plan.core_hour + terabytes * plan.terabyte_month * plan.days / 30),
        }
        for what, of in hours.items()
    }
    cores = plan.cameras * (plan.camera_rate * seconds["decoded"] + plan.rate * seconds["classified"])
    found[f"{plan.cameras:,} cameras for a month"] = {
        "core_hours": round(cores * _HOURS_OF_MONTH),
        "terabytes": 0.0,
        "machines": math.ceil(cores / plan.cores),
        "hours": _HOURS_OF_MONTH,
        "cost": round(cores * _HOURS_OF_MONTH * plan.core_hour),
    }
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for each in fields(Plan):
        name = "--" + each.name.replace("_", "-")
        arguments.add_argument(name, type=type(each.default), default=each.default)
    plan = Plan(**vars(arguments.parse_args()))
    if min(vars(plan).values()) <= 0:
        arguments.error("all numbers must be positive")
    found = needs(plan)
    rows = [[what, *of.values()] for what, of in found.items()]
    harness.show("Plan", ["what", "core-hours", "TB", f"machines, {plan.cores} cores", "hours", "cost"], rows)
    print(f"features and training within {plan.days:g} days each; assumptions: python benchmarks/plan.py --help")
    if plan == Plan():
        what = "Kinetics-700 and a thousand cameras: time, storage, machines and cost, computed from measured rates"
        figures = {"plan": vars(plan), "core_seconds": core_seconds(), "needs": found}
        print(harness.record("plan", what, figures))


if __name__ == "__main__":
    main()
