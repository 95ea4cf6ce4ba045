"""Several digits move, and one of them is the label: motion alone does not tell which one.

`python -m onlooker_papers.videolstm.several --mnist MNIST`: three of four digits move, at speeds from the same range.
The one that moves horizontally is the label; the other two move vertically. The models see image and flow, with and
without motion attention, and start from random weights; three seeds. Every training is memoized; run the same command
to continue.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from onlooker.config import TrainConfig
from onlooker.localization.parameters import LocalizationParameters
from onlooker.recognizer import Recognizer
from onlooker_papers.grad_cam import frame_grad_cam
from onlooker_papers.pointing import map_points, motion_points, pointing
from onlooker_papers.results import About, Row, write_rows
from onlooker_papers.videolstm.ablation import MOTION, TRAINING, Trial
from onlooker_papers.videolstm.control import CONTROLS, gain
from onlooker_papers.videolstm.target_clips import ClipsOf, TargetClips

FILE = "several-movers"
COMMAND = "python -m onlooker_papers.videolstm.several --mnist MNIST"
WHAT = "which of three moving digits moves horizontally: accuracy, and where attention, Grad-CAM and motion point"
MOVERS, FRAMES = 3, 6
CLIPS, COUNTS = 2000, {"validation": 200, "test": 500}
EPOCHS, SEEDS = 6, 3
SPECS = (MOTION, *CONTROLS)
SMOOTHING = (1.0, 2.0)  # standard deviations, in frames


class SeveralTrial(Trial):
    """One training of one model on clips in which several digits move; `measure` includes where its maps point."""

    def measure(self, recognizer: Recognizer) -> dict[str, Any]:
        """The figures of `Trial`; and `pointing` for attention, smoothed over time or not, and for Grad-CAM."""
        test = self.samples("test")
        samples = test.frames()
        scores, attention, _ = recognizer.classify(samples).numpy()
        maps = {"grad_cam": map_points(frame_grad_cam(recognizer, samples, scores.mean(1).argmax(1)), test.images)}
        if attention is not None:
            maps |= {"attention": map_points(attention, test.images)}
            for frames in SMOOTHING:
                how = LocalizationParameters(smoothing=frames)
                maps[f"attention {frames:g}"] = map_points(attention, test.images, how)
        return {**super().measure(recognizer), "maps": {name: pointing(of, movers(test)) for name, of in maps.items()}}

    def settings(self) -> dict[str, Any]:
        """The settings on which the figures depend, including the number of frames and of movers."""
        return {**super().settings(), "frames": self.clips_of.frames, "movers": self.clips_of.movers}


def movers(clips: TargetClips) -> NDArray[np.float32]:
    """The boxes of the digits that move, the target first: `B T m 4`."""
    boxes: NDArray[np.float32] = clips.batch.boxes.numpy()[:, :, : clips.movers]
    return boxes


def trials(
    run: Path, mnist: Path | None, how: TrainConfig, seeds: int, clips: int = CLIPS, names: Sequence[str] = ()
) -> list[SeveralTrial]:
    """All trainings of `motion` and of the named models (empty: all), seed by seed."""
    of = ClipsOf(mnist, FRAMES, movers=MOVERS)
    chosen = [spec for spec in SPECS if not names or spec.name in (MOTION.name, *names)]
    return [SeveralTrial(run, spec, clips, seed, of, COUNTS, how) for seed in range(seeds) for spec in chosen]


def reproduce(
    run: Path,
    mnist: Path | None,
    results: Path,
    seeds: int = SEEDS,
    training: TrainConfig | None = None,
    clips: int = CLIPS,
    names: Sequence[str] = (),
) -> dict[str, Any]:
    """Compute the missing trainings, and write the rows of `several-movers.json`; `names` as for `trials`.

    Raises:
        ValueError: the run was made with other settings, or an unknown model.
    """
    if unknown := set(names) - {spec.name for spec in SPECS}:
        known = ", ".join(spec.name for spec in SPECS)
        raise ValueError(f"no model {', '.join(sorted(unknown))}; expected some of {known}")
    how = training or TrainConfig.from_dict({**TRAINING.to_dict(), "epochs": EPOCHS})
    every = trials(run, mnist, how, seeds, clips, names)
    cells: dict[str, list[dict[str, Any]]] = {trial.spec.name: [] for trial in every}
    for trial in every:
        cells[trial.spec.name].append(trial.train())
    each = {name: [of["accuracy"] for of in found] for name, found in cells.items()}
    rows: dict[tuple[str, ...], Row] = {}
    for name, found in cells.items():
        memos = [trial.memo_path() for trial in every if trial.spec.name == name]
        rows[("models", name)] = Row.of(_row(found, each[MOTION.name]), *memos)
    test = every[0].samples("test")
    uniform = float(np.mean([of["uniform"] for of in cells[MOTION.name]]))
    shared = {
        "motion": pointing(motion_points(test.images), movers(test)), "uniform": uniform, "clips": clips,
        "epochs": how.epochs, "frames": FRAMES, "movers": MOVERS, "test_clips": COUNTS["test"],
    }  # fmt: skip
    options = [f"--seeds {seeds}", *(f"--only {name}" for name in names)]
    write_rows(results, FILE, About(WHAT, COMMAND, range(seeds), shared), rows, " ".join(options))
    return {name: rows[("models", name)].figures for name in cells}


def _row(cells: Sequence[Mapping[str, Any]], motion: Sequence[float]) -> dict[str, Any]:
    """Means over seeds, and the gain of motion attention."""
    each = [of["accuracy"] for of in cells]
    maps = {
        name: {where: mean(of["maps"][name][where] for of in cells) for where in ("target", "other")}
        for name in cells[0]["maps"]
    }
    figures = {"accuracy": mean(each), "each": each, "parameters": cells[0]["parameters"], "maps": maps}
    return {**figures, "motion_is_better_by": gain(motion, each)}


def main(
    mnist: Annotated[Path | None, typer.Option(help="Folder of MNIST's idx files.")] = None,
    run: Annotated[Path, typer.Option(help="Folder of the trainings.")] = Path("runs/several-movers"),
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1, max=5)] = SEEDS,
    only: Annotated[
        list[str] | None, typer.Option(help="A model to train in addition to motion. Repeatable. Default: all.")
    ] = None,
) -> None:
    """Train the models."""
    for name, of in reproduce(run, mnist, results, seeds, names=only or ()).items():
        typer.echo(f"{name}: {of['accuracy']:.1%}, {of['maps']}")


if __name__ == "__main__":
    typer.run(main)
