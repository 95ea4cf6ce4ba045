"""The entry points that get an attack, together with valid input that must still be processed."""

import csv
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from clips import painted_number

from attacks.case import (
    LostError,
    Material,
    SilentError,
    Target,
    UnnamedError,
    has_control,
    require_named,
)
from onlooker import load
from onlooker.base.config import DataConfig, ModelConfig, Settings, StreamConfig, TrainConfig
from onlooker.base.records import ClipError
from onlooker.cli.watch import watch_sources
from onlooker.data.sets import read_set
from onlooker.measure.figures import Figures
from onlooker.run.evaluate import evaluate
from onlooker.run.predict import predict_clips
from onlooker.run.train import train_run
from onlooker.video.reader import VideoReader

DATA = DataConfig(frames=4, size=16, channels=1, normalization="half")
MODEL = ModelConfig("convalstm", "conv4", hidden=8)
TRAINING = TrainConfig(epochs=1, batch=16, precision="32")
STREAM = StreamConfig(rate=0.0, drop="none", timeout=1.0, attempts=2, wait=0.1)
PRINTED = "printed.txt"  # in the folder of a case: what it printed, where a runner keeps that
ERRORS = (ValueError, OSError, RuntimeError)  # what a command turns into one line


def read(material: Material, target: Target, scratch: Path) -> None:
    """Chosen frames, and all of them one by one; of a valid clip exactly those that were put in."""
    reader = VideoReader(target.path)
    count = len(reader)
    frames = reader.get(lambda total: np.linspace(0, total - 1, 6).astype(np.int64), size=32)
    seen = 0
    for seen, (_, _, pixels) in enumerate(islice(reader, 200), 1):
        if target.more == "numbers" and painted_number(pixels) != seen - 1:
            raise SilentError(f"frame {painted_number(pixels)}, expected {seen - 1}")
    if target.refuse:
        raise SilentError(f"{count} frames")
    if not (len(frames) == 6 and seen and np.isfinite(reader.times).all()):
        raise SilentError(f"{len(frames)} of 6 frames, {seen} in all")
    if target.truth is not None and not count == seen == target.truth:
        raise SilentError(f"{count} frames, {seen} in turn, expected {target.truth}")


def predict(material: Material, target: Target, scratch: Path, drawn: bool = False) -> None:
    """`onlooker predict GOOD ATTACK GOOD --json`, and with `--out` where clips are drawn."""
    json_file = scratch / "out.json"
    out = scratch / "predicted" if drawn else None
    clips = [material.good[0], target.path, material.good[1]]
    failed = _going_on(lambda: predict_clips(material.run, clips, out=out, json=json_file))
    answers = [json.loads(line) for line in json_file.read_text("utf-8").splitlines()]
    if len(answers) + len(failed) != len(clips):
        raise LostError(
            f"{len(answers)} answers and {len(failed)} errors for {len(clips)} clips"
        )
    if any(not np.isfinite(list(answer["scores"].values())).all() for answer in answers):
        raise SilentError("scores that are not numbers")
    if out and (count := len(list(out.glob("*.mp4")))) != len(answers):
        raise LostError(f"{count} clips drawn for {len(answers)} answers")
    _check(failed, target, scratch)


locate = partial(predict, drawn=True)


def train(material: Material, target: Target, scratch: Path) -> None:
    """`onlooker train`, on a folder or list that has the attack in it, to the report."""
    run = scratch / "new-run"
    # On one core, clips are read by this process: workers would first import the library, which
    # takes longer.
    os.sched_setaffinity(
        0, {sorted(cores := os.sched_getaffinity(0))[os.getpid() % len(cores)]}
    )

    def go() -> Figures | None:
        return train_run(
            target.path,
            run,
            Settings(ModelConfig("convnet", "conv4"), DATA, TRAINING),
            quiet=True,
        )

    figures = go() if target.fatal else _going_on(go)
    if target.refuse and not figures.skipped:
        raise SilentError("accepted")
    for skipped in figures.skipped:  # as the command prints them
        require_named(str(skipped), target)
    if target.truth is not None and figures.skipped:
        raise LostError(f"a valid clip was skipped: {figures.skipped[0].found}")
    if not (run / "report.html").stat().st_size:
        raise SilentError("an empty report")
    with (run / "scores.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    formulas = [cell for cell in cells if re.match(r"[=+@\t\r]|-(?![\d.e-]+$)", cell)]
    if formulas:
        raise SilentError(f"a spreadsheet would compute {formulas[0]!r} of scores.csv")
    load(run).predict(material.good[0])
    _check_printed(scratch)


def list_clips(material: Material, target: Target, scratch: Path) -> None:
    """What every command does first with a folder or list."""
    found = read_set(target.path)
    if target.refuse:
        raise SilentError(f"{len(found.clips)} clips, {len(found.left_out)} left out")


def load_model(material: Material, target: Target, scratch: Path) -> None:
    """A model folder that came from elsewhere: load it, predict with it."""
    prediction = load(target.path).predict(material.good[0])
    if target.refuse:
        raise SilentError(f"accepted; answers {prediction.label} with {prediction.score}")
    scores = np.array(material.truth["scores"])
    if list(prediction.classes) != material.truth["classes"] or not np.allclose(
        prediction.scores, scores, atol=1e-5
    ):
        raise SilentError(f"scores {prediction.scores.tolist()}, expected {scores.tolist()}")


def evaluate_run(material: Material, target: Target, scratch: Path) -> None:
    """`onlooker evaluate RUN`."""
    _compare(material, target, evaluate(target.path))


def resume(material: Material, target: Target, scratch: Path) -> None:
    """`onlooker train --resume` of a run whose training is over, but not its report."""
    shutil.rmtree(target.path / "model", ignore_errors=True)
    _compare(
        material,
        target,
        train_run(
            material.squares,
            target.path,
            Settings(MODEL, DATA, TRAINING),
            resume=True,
            quiet=True,
        ),
    )


def train_on_features(material: Material, cache: Path, run: Path) -> Figures | None:
    """`onlooker train --features`, with the features in a cache."""
    with patch.dict(os.environ, ONLOOKER_CACHE=str(cache)):
        return train_run(
            material.squares,
            run,
            Settings(MODEL, DATA, replace(TRAINING, features=True)),
            quiet=True,
        )


def train_on_attack(material: Material, target: Target, scratch: Path) -> None:
    """`onlooker train --features` with a damaged cache, whose entries are made again."""
    figures = train_on_features(material, target.path, scratch / "run")
    expected = material.truth["on_features"]
    if abs(figures.log_loss - expected) > 1e-9:
        raise SilentError(f"log loss {figures.log_loss}, expected {expected}")


def watch(material: Material, target: Target, scratch: Path) -> None:
    """`onlooker watch GOOD ATTACK`: the good one must be watched to its end."""
    more = target.more if isinstance(target.more, dict) else {}
    with more.get("sender", nullcontext)() as sender:
        source = sender.address if sender else str(target.path)
        sources = [str(material.good[0]), source]
        errors = _going_on(
            lambda: watch_sources(
                material.run, sources, STREAM, every_frame=True, events=more.get("out") or ()
            )
        )
        printed = _printed(scratch)
    steps = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    steps = [step for step in steps if "label" in step]  # not what happened to a connection
    whole = len(VideoReader(material.good[0]))
    if (count := sum(step["source"] == sources[0] for step in steps)) != whole:
        raise LostError(f"{count} of {whole} frames of the other source")
    other = sum(step["source"] != sources[0] for step in steps)
    if other < more.get("frames", 0):
        raise LostError(
            f"{other} frames of the source, expected {more['frames']} of them after it recovered"
        )
    if not other and not errors:
        raise SilentError("no frame, and no error")
    for error in errors:
        if not any(name in str(error) for name in (source, *target.names)):
            raise UnnamedError(str(error))


def _going_on(command: Callable[[], Any]) -> Any:
    """A command on several clips or sources must not end because of one of them."""
    try:
        return command()
    except Exception as error:
        raise LostError(f"the command ended: {type(error).__name__}: {error}") from error


def _check(failed: Sequence[ClipError], target: Target, scratch: Path) -> None:
    for error in failed:
        require_named(str(error), target)
    if target.truth is not None and failed:
        raise LostError(f"a valid clip was refused: {failed[0]}")
    if target.refuse and not failed:
        raise SilentError("accepted")
    _check_printed(scratch)


def _check_printed(scratch: Path) -> None:
    if has_control(_printed(scratch)):
        raise UnnamedError("a name was printed with its control characters")


def _printed(scratch: Path) -> str:
    sys.stdout.flush()
    sys.stderr.flush()
    file = scratch / PRINTED
    return file.read_text("utf-8", errors="replace") if file.exists() else ""


def _compare(material: Material, target: Target, figures: Figures | None) -> None:
    if target.refuse:
        raise SilentError("accepted")
    names = ("videos", "accuracy", "log_loss")
    changed = [
        name
        for name in names
        if not np.isclose(figures[name], material.truth["figures"][name], atol=1e-4)
    ]
    if changed:
        raise SilentError(", ".join(f"{name} {figures[name]}" for name in changed))
