"""Several digits move, and one of them determines the label: where motion alone cannot say which.

`python -m onlooker_papers.videolstm.several --mnist MNIST`: of four digits three move, equally fast. The one that moves
horizontally is the label; the other two move vertically. Models that see image and flow, with and without motion
attention, from random weights; three seeds. Every training is memoized; the same command continues.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from onlooker.config import TrainConfig
from onlooker.localization.boxes import cut_boxes, find_boxes
from onlooker.localization.maps import motion
from onlooker.localization.parameters import LocalizationParameters
from onlooker.recognizer import Recognizer
from onlooker_papers.grad_cam import frame_grad_cam
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
    """One training of one model on clips in which several digits move: `measure` says where its maps point."""

    def measure(self, recognizer: Recognizer) -> dict[str, Any]:
        """The figures of `Trial`, and of `pointing` for attention, smoothed over time or not, and for Grad-CAM."""
        test = self.samples("test")
        samples = test.frames()
        scores, attention, _ = recognizer.classify(samples).numpy()
        maps = {"grad_cam": points(frame_grad_cam(recognizer, samples, scores.mean(1).argmax(1)), test)}
        if attention is not None:
            maps |= {"attention": points(attention, test)}
            maps |= {f"attention {frames:g}": points(attention, test, frames) for frames in SMOOTHING}
        return {**super().measure(recognizer), "maps": {name: pointing(of, test) for name, of in maps.items()}}

    def settings(self) -> dict[str, Any]:
        """What the figures depend on, the number of frames and of movers among it."""
        return {**super().settings(), "frames": self.clips_of.frames, "movers": self.clips_of.movers}


def points(maps: NDArray[np.float32], clips: TargetClips, smoothing: float = 0.0) -> NDArray[np.float64]:
    """The pixel with the highest value of each map `B T h w`, upsampled, after smoothing over time: `B T 2`."""
    how = LocalizationParameters(smoothing=smoothing)
    found = [find_boxes(of_clip, images, how) for of_clip, images in zip(maps, clips.images, strict=True)]
    return np.array([[each.point for each in of_clip] for of_clip in found])


def motion_points(clips: TargetClips) -> NDArray[np.float64]:
    """A point in the largest region that moves, without a model: `B T 2`."""
    found = [cut_boxes(motion(images), LocalizationParameters()) for images in clips.images]
    return np.array([[each.point for each in of_clip] for of_clip in found])


def pointing(points: NDArray[np.float64], clips: TargetClips) -> dict[str, float]:
    """The share of frames with their point in the box of the target; and not there, but in that of another mover."""
    boxes = clips.batch.boxes.numpy()[:, :, : clips.movers]
    at = points[:, :, None]
    inside = np.all((boxes[..., :2] <= at) & (at <= boxes[..., 2:]), axis=-1)  # B T m
    target, others = inside[:, :, 0], inside[:, :, 1:].any(-1)
    return {"target": float(target.mean()), "other": float((others & ~target).mean())}


def trials(
    run: Path, mnist: Path | None, how: TrainConfig, seeds: int, clips: int = CLIPS, names: Sequence[str] = ()
) -> list[SeveralTrial]:
    """All trainings of the named models (none: all), and always of `motion`, seed by seed."""
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
    """Train what is missing, and write the rows of `several-movers.json`; `names` as for `trials`.

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
        "motion": pointing(motion_points(test), test), "uniform": uniform, "clips": clips, "epochs": how.epochs,
        "frames": FRAMES, "movers": MOVERS, "test_clips": COUNTS["test"],
    }  # fmt: skip
    options = [f"--seeds {seeds}", *(f"--only {name}" for name in names)]
    write_rows(results, FILE, About(WHAT, COMMAND, range(seeds), shared), rows, " ".join(options))
    return {name: rows[("models", name)].figures for name in cells}


def _row(cells: Sequence[Mapping[str, Any]], motion: Sequence[float]) -> dict[str, Any]:
    """Means over seeds, and how much better motion attention is."""
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
    only: Annotated[list[str] | None, typer.Option(help="A model next to motion. Repeatable. [default: all]")] = None,
) -> None:
    """Train the models."""
    for name, of in reproduce(run, mnist, results, seeds, names=only or ()).items():
        typer.echo(f"{name}: {of['accuracy']:.1%}, {of['maps']}")


if __name__ == "__main__":
    typer.run(main)
