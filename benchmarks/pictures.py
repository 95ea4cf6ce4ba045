"""Make the pictures of README and docs: `make pictures`, or `python benchmarks/pictures.py [NAME …]`.

demo.png, home.webp and live.png show what a model predicts of clips that it has never seen. It is
trained on the clips and with the settings of `onlooker demo`; shown is, of each class, the first
clip of another person in other places. Nothing is selected by the result.

The page is photographed by `tests/support/screenshots.py`, in a browser. Curves are drawn from results
files. Pictures of experiments that take hours are copied from the runs of `onlooker reproduce`. A
picture that cannot be made here stays as it is, and a line says what is missing.
"""

import contextlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import harness
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import onlooker
from onlooker import Segment
from onlooker.base.files import read_json, write_bytes
from onlooker.cli.train import DEMO_ACTIONS, DEMO_CLIPS
from onlooker.data.stick_figures import StickFigures, write_set
from onlooker.measure.timeline import Timeline
from onlooker.report import plots
from onlooker.report.plots import INK, QUIET
from onlooker.video.reader import VideoReader
from onlooker.video.sampling import equally_spaced
from onlooker_papers.sheet import to_png

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.figure import Figure

Pixels = NDArray[np.uint8]

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
SEED = 1  # of the new clips; those of the demo have 0
FRAMES = 5  # of each clip in demo.png
LIVE_ACTIONS = ("walk", "wave")
GAP = 4  # pixels between frames


class MissingError(Exception):
    """What a picture needs, and is not here."""


class Drawn(NamedTuple):
    """What a model predicts of a clip, in words; and the clip with all of it drawn."""

    prediction: str
    clip: Path


@dataclass
class Demo:
    """The run that the pictures of predictions show.

    Args:
        folder: for clips, run and drawn clips; empty.
        actions: the classes.
        clips: of each class, to train on.
        settings: of the training; empty: the defaults, as `onlooker demo` has them.
        figures: how the new clips are drawn.
    """

    folder: Path
    actions: Sequence[str] = DEMO_ACTIONS
    clips: int = DEMO_CLIPS
    settings: Mapping[str, Any] = field(default_factory=dict)
    figures: StickFigures = StickFigures(size=(288, 384))  # noqa: RUF009 - frozen

    @cached_property
    def recognizer(self) -> onlooker.Recognizer:
        """The model, trained into `runs/mine`, as the docs call it."""
        clips = write_set(self.folder / "clips", self.clips, actions=self.actions)
        run = self.folder / "runs" / "mine"
        onlooker.train(clips, run=run, quiet=True, **self.settings)
        return onlooker.load(run)

    @cached_property
    def new(self) -> dict[str, Path]:
        """By class, its first clip of a person and places that the model has not seen."""
        folder = write_set(
            self.folder / "new", 1, seed=SEED, figures=self.figures, actions=self.actions
        )
        return {action: folder / action / "000.mp4" for action in self.actions}

    @cached_property
    def drawn(self) -> dict[str, Drawn]:
        """The new clips with what the model predicts of them, by class."""
        drawn = {}
        for action, clip in self.new.items():
            prediction = self.recognizer.predict(clip)
            path = self.folder / f"{action}.mp4"
            self.recognizer.overlay(clip, path, prediction)
            drawn[action] = Drawn(f"{prediction.label}, {100 * prediction.score:.0f} %", path)
        return drawn


def demo(path: Path, run: Demo) -> None:
    """Frames of the drawn clips, with the class and the prediction of each; two clips in a row."""
    from matplotlib.figure import Figure

    strips = {
        action: grid([small(frame, 129) for frame in frames_of(clip, FRAMES)], columns=FRAMES)
        for action, (_, clip) in run.drawn.items()
    }
    height, width, _ = next(iter(strips.values())).shape
    title = 58  # pixels, with the space above it
    gap = 8 * GAP
    W = 2 * width + gap
    H = -(-len(strips) // 2) * (title + height)
    figure = Figure(figsize=(W / 100, H / 100), dpi=100, facecolor="white")
    for number, (action, pixels) in enumerate(strips.items()):
        row, column = divmod(number, 2)
        left = column * (width + gap)
        top = H - row * (title + height) - title  # matplotlib counts from below
        figure.figimage(pixels, left, top - height)
        y = (top + 12) / H
        figure.text(left / W, y, action, color=INK, fontsize=20, fontweight="bold")
        text = f"predicted: {run.drawn[action].prediction}"
        figure.text((left + width) / W, y, text, color=QUIET, fontsize=18, ha="right")
    save(path, pixels_of(figure))


def home(path: Path, run: Demo) -> None:
    """The drawn clips, three in a row, moving; every second frame."""
    clips = [frames_of(clip)[::2] for _, clip in run.drawn.values()]
    images = [
        Image.fromarray(grid([small(frame, 225) for frame in frames], columns=3))
        for frames in zip(*clips, strict=True)
    ]
    images[0].save(
        path,
        save_all=True,
        append_images=images[1:],
        duration=round(2000 / StickFigures.fps),
        loop=0,
        quality=62,
        method=6,
    )


def live(path: Path, run: Demo) -> None:
    """The middle and the last frame of two clips, drawn by the example in docs/live.md."""
    assert run.recognizer  # which the example loads
    text = (ROOT / "docs" / "live.md").read_text("utf-8")
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    frames = list[Pixels]()
    for action in LIVE_ACTIONS:
        shutil.copy(run.new[action], run.folder / "clip.mp4")
        with contextlib.chdir(run.folder), contextlib.redirect_stdout(io.StringIO()):
            exec(compile(example, "docs/live.md", "exec"), {})
        recorded = frames_of(run.folder / "recorded.mp4")
        (run.folder / "recorded.mp4").unlink()  # the example replaces no recording
        frames += [recorded[len(recorded) // 2], recorded[-1]]
    save(path, np.concatenate(frames, 1))


def frames_of(clip: Path, count: int | None = None) -> list[Pixels]:
    """Frames of a clip from equal parts of it; all, if no count is given."""
    reader = VideoReader(clip)
    chosen = range(len(reader)) if count is None else equally_spaced(len(reader), count).tolist()
    return list(reader.get(list(chosen)).pixels)


def small(frame: Pixels, height: int) -> Pixels:
    """A frame shrunk to this height."""
    width = round(frame.shape[1] * height / frame.shape[0])
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS))


def grid(frames: Sequence[Pixels], columns: int) -> Pixels:
    """Frames of one size in rows, with white between them."""
    edges = ((0, GAP), (0, GAP), (0, 0))
    cells = [np.pad(frame, edges, constant_values=255) for frame in frames]
    rows = [cells[first : first + columns] for first in range(0, len(cells), columns)]
    joined = np.concatenate([np.concatenate(row, 1) for row in rows])
    return joined[:-GAP, :-GAP]


def pixels_of(figure: "Figure") -> Pixels:
    """A figure as an image, one pixel per dot."""
    with Image.open(io.BytesIO(to_png(figure, round(figure.dpi)))) as image:
        return np.asarray(image.convert("RGB"))


def save(path: Path, pixels: Pixels) -> None:
    """Write a PNG of 256 colors, a third as large as one of all."""
    Image.fromarray(pixels).quantize(256, kmeans=4).save(path, optimize=True)


def delay(path: Path, run: Demo) -> None:
    """The delay of the camera, from its results file."""
    import bench_live

    bench_live.draw(figures_of("bench-live"), path)


def ethogram(path: Path, run: Demo) -> None:
    """What a person of a test did, and what a model of states found, from the results file."""
    rows = figures_of("states")["figures"]["ethogram"]
    labeled, found = ([Segment(*bout) for bout in rows[name]] for name in ("labeled", "found"))
    labels = [bout.label for bout in labeled]
    ordered = sorted({*labels}, key=lambda label: (labels.index(label), label))
    end = labeled[-1].end
    figure = plots.ethogram((Timeline(labeled, end), Timeline(found, end)), ordered)
    write_bytes(path, to_png(figure))


def encoder_training(path: Path, run: Demo) -> None:
    """The training curve of `small`, from its results file."""
    from onlooker_papers.encoder.export import draw

    draw(figures_of("encoder"), path)


def hmdb10_curves(path: Path, run: Demo) -> None:
    """The loss curves of the HMDB-51 report's system, from its results file."""
    from onlooker_papers.hmdb10.curves import loss_curves
    from onlooker_papers.hmdb10.draws import curves_of

    write_bytes(path, to_png(loss_curves(curves_of(figures_of("hmdb10-real")))))


def digits_layers(path: Path, run: Demo) -> None:
    """Figure 1 of the digits: layers and trainable parameters, from the results file."""
    from onlooker_papers.digits.layers import architectures

    write_bytes(path, to_png(architectures(figures_of("digits-layers"))))


def digits_modules(path: Path, run: Demo) -> None:
    """Figure 2 of the digits: the structure of both modules."""
    from onlooker_papers.digits.layers import modules

    write_bytes(path, to_png(modules()))


def figures_of(name: str) -> dict[str, Any]:
    """The figures of a results file."""
    return read_json(RESULTS / f"{name}.json")["figures"]


def page(path: Path, run: Demo) -> None:
    """The page with a clip that its model has not seen."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "tests" / "support" / "screenshots.py"), folder]
        if subprocess.run(command, capture_output=True).returncode:
            raise MissingError(
                "a browser, or time: run `python tests/support/screenshots.py FOLDER`"
            )
        with Image.open(Path(folder) / "look-result-desktop.png") as image:
            save(path, np.asarray(image.convert("RGB")))


def reproduced(path: Path, run: Demo, *, made: str, command: str) -> None:
    """A picture that a command of the papers, which takes hours, has written into its run."""
    if not (ROOT / made).exists():
        raise MissingError(f"{made}, which `{command}` writes")
    shutil.copy(ROOT / made, path)


_DIGITS = partial(reproduced, command="onlooker reproduce digits --mnist MNIST")
_VIDEOLSTM = partial(reproduced, command="onlooker reproduce videolstm --mnist MNIST")
PICTURES: dict[str, Callable[[Path, Demo], None]] = {
    "demo.png": demo,
    "home.webp": home,
    "live.png": live,
    "page.png": page,
    "delay.png": delay,
    "encoder-training.png": encoder_training,
    "ethogram.png": ethogram,
    "hmdb10-curves.png": hmdb10_curves,
    "videolstm-attention.png": partial(_VIDEOLSTM, made="runs/videolstm-standard/attention.png"),
    "digits-figure-1.png": digits_layers,
    "digits-figure-2.png": digits_modules,
    "digits-glimpses.png": partial(_DIGITS, made="runs/digits-standard/glimpses.png"),
    **{
        f"digits-figure-{number}.png": partial(
            _DIGITS, made=f"runs/digits-standard/figure-{number}.png"
        )
        for number in (3, 4, 5)
    },
}


def make(names: Sequence[str], folder: Path, run: Demo) -> None:
    """Make pictures, and print of each whether it was made."""
    for name in names:
        try:
            PICTURES[name](folder / name, run)
            print(f"{name}: {(folder / name).stat().st_size / 1000:.0f} kB")
        except MissingError as error:
            print(f"{name}: left as it is; missing: {error}")


def smallest(folder: Path) -> Demo:
    """A run of seconds, for `--smoke`."""
    figures = StickFigures(frames=12, size=(96, 128))
    return Demo(folder, LIVE_ACTIONS, 2, settings={"frames": 4, "size": 32}, figures=figures)


def main() -> None:
    """The command line."""
    parser = harness.parser("Make the pictures of README and docs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PICTURES)}")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs", help="where to write them")
    options = parser.parse_args()
    if unknown := set(options.names) - set(PICTURES):
        known = ", ".join(PICTURES)
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected some of {known}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if harness.smoke():
            make([name for name in PICTURES if name != "page.png"], folder, smallest(folder))
        else:
            make(options.names or list(PICTURES), options.folder, Demo(folder))


if __name__ == "__main__":
    main()
