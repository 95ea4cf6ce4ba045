"""Two processes in one folder, and clips that are deleted during use."""

import os
import random
from pathlib import Path

from attacks import probes
from attacks.case import Kind, LostError, Material, Probe, SilentError, Target, UnnamedError, is_named
from attacks.videos import copied
from onlooker.runs.train import train_run

GROUP = "interference"


def _folder(material: Material, scratch: Path, rng: random.Random) -> Target:
    return Target(copied(material, scratch / "attack"))


def _twice(material: Material, target: Target, scratch: Path) -> None:
    """Two trainings in one run folder: the second is refused, and the first goes on."""
    run, results = scratch / "attack-run", []
    for number in range(2):
        if (child := os.fork()) == 0:
            text = "trained"
            try:
                train_run(target.path, run, probes.MODEL, probes.DATA, probes.TRAINING, quiet=True)
            except BaseException as error:
                text = f"{type(error).__name__}: {error}"
            (scratch / f"{number}.txt").write_text(text, "utf-8")
            os._exit(0)
        results.append(child)
    for child in results:
        os.waitpid(child, 0)
    texts = [(scratch / f"{number}.txt").read_text("utf-8") for number in range(2)]
    if texts.count("trained") == 2:
        raise SilentError("both trained in one folder")
    if "trained" not in texts:
        raise LostError(f"neither trained: {texts}")
    message = next(text for text in texts if text != "trained")
    if not is_named(message, target):
        raise UnnamedError(message)


def _deleted(which: str, count: int) -> Probe:
    """Clips of a split are deleted once the clips have been read."""

    def probe(material: Material, target: Target, scratch: Path) -> None:
        run, calls = scratch / "new-run", [0]

        def initialize(model: object, classes: object, data: object, split: object) -> dict[str, object]:
            calls[0] += 1
            for clip in getattr(split, which)[:count]:
                clip.path.unlink(missing_ok=True)
            return {}

        try:
            train_run(target.path, run, probes.MODEL, probes.DATA, probes.TRAINING, quiet=True, initialize=initialize)
        except Exception as error:
            raise LostError(f"the training is lost: {type(error).__name__}: {error}") from error
        if not (run / "report.html").exists():
            raise LostError("no report")

    return probe


def _interrupted(material: Material, target: Target, scratch: Path) -> None:
    """Killed while it trains, then continued."""
    run = scratch / "new-run"
    if (child := os.fork()) == 0:
        import signal
        import threading

        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        train_run(target.path, run, probes.MODEL, probes.DATA, probes.TRAINING, quiet=True)
        os._exit(0)
    os.waitpid(child, 0)
    figures = train_run(target.path, run, probes.MODEL, probes.DATA, probes.TRAINING, resume=True, quiet=True)
    if abs(figures["log_loss"] - material.truth["figures"]["log_loss"]) > 1e-4:
        raise SilentError(f"log loss {figures['log_loss']}, expected {material.truth['figures']['log_loss']}")


def together() -> list[Kind]:
    every = 100
    return [
        Kind(GROUP, "two trainings in one run", _folder, _twice, slow=True, quick=True),
        Kind(GROUP, "one test clip deleted while training", _folder, _deleted("test", 1), slow=True, quick=True),
        Kind(GROUP, "all test clips deleted while training", _folder, _deleted("test", every), slow=True),
        Kind(GROUP, "training clips deleted while training", _folder, _deleted("training", every), slow=True),
        Kind(GROUP, "killed while training", _folder, _interrupted, slow=True),
    ]
