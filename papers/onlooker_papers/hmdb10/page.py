"""The page of the HMDB-51 report: the published figure and ours, attention, and what is unknown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onlooker.drawing.plots import loss_and_accuracy, to_svg
from onlooker.evaluation.report import Cell, Page, percent
from onlooker_papers.hmdb10.classes import FIRST_TEN, REPORT_CLIPS
from onlooker_papers.pages import add_left_out, add_settings, interval

ATTENTION, BASELINE = "report", "convnet"
PUBLISHED_ACCURACY = 0.82  # on single frames
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
        published: whether the clips are those of HMDB-51, so that the published figure is shown next to ours.
        command: the command that made the run.

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
    page.heading("Accuracy over time")
    by_frame = {name: of["frame_accuracy_by_index"] for name, of in models.items()}
    ends = "; ".join(
        f"{name} {percent(shares[0])} at the first, {percent(shares[-1])} at the last"
        for name, shares in by_frame.items()
    )
    curves = {name: {"accuracy": shares} for name, shares in by_frame.items()}
    curves[_MAJORITY] = {"accuracy": [looking["majority_share"]] * settings["frames"]}
    page.figure(
        to_svg(loss_and_accuracy(curves, x="frame")),
        f"The share of test clips classified correctly at each of {settings['frames']} equally spaced frames: {ends}. "
        "A clip with fewer frames repeats its last one.",
        wide=True,
    )
    page.heading("Where it looked")
    page.figure(
        (run / "attention.png").read_bytes(),
        "Random test clips, one per class (twelve at most). Warmer colors have more weight; the bar is the probability "
        "of the true class at this frame.",
        wide=True,
    )
    page.heading("Training curves")
    for name, of in models.items():
        caption = f"{name}: loss of frames, and accuracy of videos, per epoch. The last epoch is tested."
        page.figure(to_svg(loss_and_accuracy(of["curves"])), caption, wide=True)
    skipped = [(Path(error["path"]), error) for error in looking["skipped"]]
    add_left_out(page, [[f"{p.parent.name}/{p.name}", error["found"], error["remedy"]] for p, error in skipped])
    page.heading("How the report was read")
    page.text(_reading(figures, published))
    add_settings(page, command, {"this run": settings})
    return page.write(run / "report.html")


def _what_it_shows(page: Page, figures: Mapping[str, Any], settings: Mapping[str, Any], published: bool) -> None:
    """Warnings to read before the figures, and then the most important figures."""
    looking, single = figures["models"][ATTENTION], figures["models"][BASELINE]
    if not published:
        page.text(
            f"**These are not clips of HMDB-51**, but of another folder ({figures['set']}): the published "
            f"{percent(PUBLISHED_ACCURACY, 0)} does not apply to them, and is in no table here."
        )
    if not settings["pretrained"]:
        page.text(
            "**The encoder has random weights**, not ImageNet's as published, and they stay as they are: of every "
            "clip they make nearly the same map, from which little can be learned. The page shows that everything "
            "runs, not how good the system is. `--pretrained` takes ImageNet's weights, and `onlooker compare DIR "
            "--models report,convnet` trains an encoder from pixels, together with the attention."
        )
    epochs = settings["epochs"]
    if few := settings.get("clips_a_class"):
        page.text(
            f"**A quick run**: at most {few} clips per class, {settings['frames']} frames per clip and "
            f"{epochs} epoch{'s' * (epochs > 1)}, where the report has some hundred clips, 30 frames and about 10 "
            "epochs."
        )
    note = f"published: {percent(PUBLISHED_ACCURACY, 0)}" if published else "no published figure for these clips"
    page.figures(
        [
            (percent(looking["frame_accuracy"]), "of frames correct, with attention", note),
            (percent(single["frame_accuracy"]), "of frames correct, each for itself", "equal features, equal budget"),
            (percent(looking["accuracy"]), "of videos correct, with attention", interval(looking)),
            (percent(looking["majority_share"]), _MAJORITY, "baseline"),
        ]
    )


def _tables(page: Page, figures: Mapping[str, Any], settings: Mapping[str, Any], published: bool) -> None:
    models = figures["models"]
    page.heading("Compared with the published figure" if published else "What attention adds")
    rows: list[list[Cell]] = [
        [
            f"`{name}`: {_WHAT[name]}",
            percent(found["frame_accuracy"]),
            percent(found["accuracy"]),
            interval(found).removeprefix("95 % interval "),
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
        f"{settings['size']} pixels) of {settings['frames']} frames per clip, for {settings['epochs']} epochs of "
        f"batches of {settings['batch']}.",
    )
    counts = models[ATTENTION]["sides"]
    page.table(
        [
            ["published", *REPORT_CLIPS.values(), sum(REPORT_CLIPS.values()), 10],
            ["here", *(counts[split] for split in REPORT_CLIPS), sum(counts.values()), len(figures["classes"])],
        ],
        ["clips", *REPORT_CLIPS, "together", "classes"],
        "In the report's proportions, as nearly as whole recordings allow: clips of one recording stay in one split"
        + ("." if published else "; a clip without a known recording counts as one."),
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


def _reading(figures: Mapping[str, Any], published: bool) -> str:
    known = (
        "- It names two of its ten classes, cartwheel and brush_hair, and 730 + 220 + 78 = 1,028 clips. Any ten whole "
        "classes with these two have more, so that some clips were left out; which ones is not known."
    )
    if published and figures["classes"] == sorted(FIRST_TEN):
        known += " Here: all clips of the first ten classes in the alphabet."
    unknown = (
        "- How it shared out its clips is not known. HMDB-51 cuts many clips out of one film: where these are in two "
        "splits, a test is easier than the one here."
    )
    ours = (
        "- It gives no equation for its attention, read here as the average over a cube's channels plus a context of "
        "the memory, one number per place, under a softmax; and neither hidden channels nor an optimizer, which are "
        "ours (see the settings)."
    )
    weak = "- What it names as weak: noisy scenes, several people in motion, fast camera motion."
    return "\n".join([known, unknown, ours, weak])


def _share(value: float | None) -> str | None:
    return None if value is None else percent(value)
