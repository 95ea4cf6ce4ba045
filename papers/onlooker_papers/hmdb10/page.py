"""The page of the HMDB-51 report: its figure compared with ours, attention, and what is not known."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onlooker.drawing.plots import loss_and_accuracy, to_svg
from onlooker.evaluation.report import Cell, Page, percent
from onlooker_papers.hmdb10.classes import FIRST_TEN, REPORT_CLIPS

ATTENTION, BASELINE = "report", "convnet"
PUBLISHED_ACCURACY = 0.82  # of frames
_WHAT = {ATTENTION: "context attention, ConvLSTM", BASELINE: "each frame for itself"}
_MAJORITY = "majority class"


def write_page(
    run: Path, figures: Mapping[str, Any], settings: Mapping[str, Any], published: bool, command: str
) -> Path:
    """Write `report.html` into a run's folder.

    Args:
        run: the folder, which has `attention.png`.
        figures: of the set: its name, its classes, and those of each model.
        settings: that the run was made with.
        published: whether the clips are HMDB-51's, so that its figure stands next to ours.
        command: what made the run.

    Returns:
        The page's path.
    """
    models = figures["models"]
    looking = models[ATTENTION]
    tested = f"{len(figures['classes'])} classes · {looking['videos']} test clips"
    title = "Attention for HMDB-51" if published else f"The HMDB-51 report's attention on {figures['set']}"
    page = Page(title, f"Teja & Akunuri 2020, made again · {figures['set']} · {tested}")
    _what_it_shows(page, figures, settings, published)
    _tables(page, figures, settings, published)
    page.heading("Does it know more at the end?")
    curves = {name: {"accuracy": found["frame_accuracy_by_index"]} for name, found in models.items()}
    curves[_MAJORITY] = {"accuracy": [looking["majority_share"]] * settings["frames"]}
    page.figure(
        to_svg(loss_and_accuracy(curves, x="frame")),
        f"The share of test clips that are right at each of {settings['frames']} equally spaced frames: "
        + "; ".join(f"{name} {_ends(found)}" for name, found in models.items())
        + ". A clip with fewer frames repeats its last one.",
        wide=True,
    )
    page.heading("Where it looked")
    page.figure(
        (run / "attention.png").read_bytes(),
        "A test clip of each class (twelve at most), drawn at random. Warmer colors have more weight; the bar is "
        "the probability of the true class at this frame.",
        wide=True,
    )
    _how_they_learned(page, models)
    _left_out(page, looking)
    page.heading("How the report was read")
    page.text(_reading(figures, published))
    page.heading("Settings")
    page.text(f"`{command}`")
    with page.details("All settings of this run"):
        page.table(
            [[name, ", ".join(value) if isinstance(value, list) else str(value)] for name, value in settings.items()],
            ["setting", "value"],
        )
    return page.write(run / "report.html")


def _how_they_learned(page: Page, models: Mapping[str, Any]) -> None:
    page.heading("How they learned")
    for name, found in models.items():
        page.figure(
            to_svg(loss_and_accuracy(found["curves"])),
            f"{name}: loss of frames, and accuracy of videos, after each epoch. The epoch with the lowest validation "
            "loss is tested.",
            wide=True,
        )


def _what_it_shows(page: Page, figures: Mapping[str, Any], settings: Mapping[str, Any], published: bool) -> None:
    """What must be known before any figure is read, and then the four that matter."""
    looking, single = figures["models"][ATTENTION], figures["models"][BASELINE]
    if not published:
        page.text(
            f"**These are not clips of HMDB-51**, but of another folder ({figures['set']}): the published "
            f"{percent(PUBLISHED_ACCURACY, 0)} does not apply to them, and stands in no table here."
        )
    if not settings["pretrained"]:
        page.text(
            "**The encoder has random weights**, not ImageNet's as published, and they stay as they are: of every "
            "clip they make nearly the same map, from which little can be learned. The page shows that everything "
            "runs, not how good the system is. `--pretrained` takes ImageNet's weights, and `onlooker compare DIR "
            "--models report,convnet` trains an encoder from pixels, together with the attention."
        )
    if few := settings.get("clips_a_class"):
        page.text(
            f"**A quick run**: at most {few} clips a class and {settings['frames']} frames a clip, where the report "
            "has some hundred clips and 30 frames."
        )
    note = f"published: {percent(PUBLISHED_ACCURACY, 0)}" if published else "no published figure for these clips"
    page.figures(
        [
            (percent(looking["frame_accuracy"]), "of frames correct, with attention", note),
            (percent(single["frame_accuracy"]), "of frames correct, each for itself", "equal features, equal budget"),
            (percent(looking["accuracy"]), "of videos correct, with attention", _interval(looking)),
            (percent(looking["majority_share"]), _MAJORITY, "what always saying it reaches"),
        ]
    )


def _tables(page: Page, figures: Mapping[str, Any], settings: Mapping[str, Any], published: bool) -> None:
    models = figures["models"]
    page.heading("Beside the published figure" if published else "What attention adds")
    rows: list[list[Cell]] = [
        [
            f"`{name}`: {_WHAT[name]}",
            percent(found["frame_accuracy"]),
            percent(found["accuracy"]),
            _interval(found).removeprefix("95 % interval "),
            f"{found['log_loss']:.3f}",
            found["parameters"],
        ]
        for name, found in models.items()
    ]
    if published:
        rows.insert(0, ["published (Teja & Akunuri 2020)", percent(PUBLISHED_ACCURACY, 0), *[None] * 4])
    majority = percent(models[ATTENTION]["majority_share"])
    rows.append([_MAJORITY, majority, majority, *[None] * 3])
    depth, height, width = models[ATTENTION]["grid"]
    page.table(
        rows,
        ["model", "frames correct", "videos correct", "95 % interval", "log loss", "parameters that learn"],
        f"The report counts frames. A video's answer is the mean over its frames; interval and log loss are of videos. "
        f"Both models learn from the same stored features ({settings['encoder']}, "
        f"{'ImageNet' if settings['pretrained'] else 'random'} weights, {height}×{width}×{depth} at "
        f"{settings['size']} pixels) of {settings['frames']} frames a clip, for {settings['epochs']} epochs of batches "
        f"of {settings['batch']}.",
    )
    sides = models[ATTENTION]["sides"]
    page.table(
        [
            ["published", *REPORT_CLIPS.values(), sum(REPORT_CLIPS.values()), 10],
            ["here", *(sides[side] for side in REPORT_CLIPS), sum(sides.values()), len(figures["classes"])],
        ],
        ["clips", *REPORT_CLIPS, "together", "classes"],
        "In the report's proportions, as nearly as whole recordings allow: clips of one recording stay on one side"
        + ("." if published else "; a clip of which none is known is one by itself."),
    )
    page.heading("Class by class")
    confusion = models[ATTENTION]["confusion"]
    page.table(
        [
            [label, sum(confusion[k]), *(_share(found["frame_accuracy_by_class"][label]) for found in models.values())]
            for k, label in enumerate(figures["classes"])
        ],
        ["class", "test clips", *(f"frames correct, {name}" for name in models)],
    )


def _left_out(page: Page, found: Mapping[str, Any]) -> None:
    page.heading("What was left out")
    if not found["skipped"]:
        page.text("No clip: all of them could be read.")
        return
    rows = []
    for error in found["skipped"]:
        path = Path(error["path"])
        rows.append([f"{path.parent.name}/{path.name}", error["found"], error["remedy"]])
    page.table(rows, ["clip", "found", "what to do"])


def _reading(figures: Mapping[str, Any], published: bool) -> str:
    known = (
        "- It names two of its ten classes, cartwheel and brush_hair, and 730 + 220 + 78 = 1,028 clips. Any ten whole "
        "classes with these two have more, so that some clips were left out; which ones is not known."
    )
    if published and figures["classes"] == sorted(FIRST_TEN):
        known += " Here: all clips of the first ten classes in the alphabet."
    unknown = (
        "- How it shared out its clips is not known. HMDB-51 cuts many clips out of one film: where these are on both "
        "sides, a test is easier than the one here."
    )
    ours = (
        "- It gives no equation for its attention, read here as the average over a cube's channels plus a context of "
        "the memory, one number a place, under a softmax; and neither hidden channels nor an optimizer, which are ours "
        "(see the settings)."
    )
    weak = "- What it names as weak: noisy scenes, several people who move, a camera that moves fast."
    return "\n".join([known, unknown, ours, weak])


def _interval(found: Mapping[str, Any]) -> str:
    low, high = found["accuracy_interval"]
    return f"95 % interval {percent(low, 0)} to {percent(high, 0)}"


def _ends(found: Mapping[str, Any]) -> str:
    shares = found["frame_accuracy_by_index"]
    return f"{percent(shares[0])} at the first, {percent(shares[-1])} at the last"


def _share(value: float | None) -> str | None:
    return None if value is None else percent(value)
