"""The page of the HMDB-51 report: the published figure and ours, attention, and what is unknown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onlooker.drawing.plots import loss_and_accuracy, to_svg
from onlooker.evaluation.report import Page, percent
from onlooker_papers.hmdb10.classes import ATTENTION, BASELINE, PUBLISHED_ACCURACY, REPORT_CLIPS
from onlooker_papers.pages import add_left_out, add_settings, interval
from onlooker_papers.tables import add_table, build, code, key, rows, share

_READING = (
    "- The report names two of its ten classes, cartwheel and brush_hair, and 730 + 220 + 78 = 1,028 clips. Any ten "
    "whole classes with these two have more, so that some clips were left out; which ones is not known.\n"
    "- How it shared out its clips is not known. HMDB-51 cuts many clips out of one film: where these are in two "
    "splits, a test is easier than the one here.\n"
    "- It gives no equation for its attention, read here as the average over a cube's channels plus a context of the "
    "state, one number per location, under a softmax; and neither hidden channels nor an optimizer, which are ours.\n"
    "- It names as weak: noisy scenes, several people in motion, fast camera motion."
)


def write_page(
    run: Path, figures: Mapping[str, Any], settings: Mapping[str, Any], published: bool, command: str
) -> Path:
    """Write `report.html` into a run's folder, which has `attention.png`.

    Args:
        run: the folder.
        figures: of the set: its name, its classes, and those of each model.
        settings: that the run was made with.
        published: whether the clips are those of HMDB-51, so that the published figure is shown next to ours.
        command: the command that made the run.
    """
    models = figures["models"]
    looking, single = models[ATTENTION], models[BASELINE]
    page = Page(
        "Attention for HMDB-51" if published else f"The HMDB-51 report's attention on {figures['set']}",
        f"Teja & Akunuri 2020, reproduced · {figures['set']} · {len(figures['classes'])} classes · "
        f"{looking['videos']} test clips",
    )
    if not published:
        page.text(
            f"**These are not clips of HMDB-51**, but of another folder ({figures['set']}): the published "
            f"{percent(PUBLISHED_ACCURACY, 0)} does not apply to them, and is in no table here."
        )
    if not settings["pretrained"]:
        page.text("**The encoder has random weights**, not ImageNet's as published: this only shows that all runs.")
    if few := settings.get("clips_a_class"):
        page.text(f"**A quick run**: at most {few} clips per class, {settings['frames']} frames per clip.")
    note = f"published: {percent(PUBLISHED_ACCURACY, 0)}" if published else "no published figure for these clips"
    page.figures(
        [
            (percent(looking["frame_accuracy"]), "of frames correct, with attention", note),
            (percent(single["frame_accuracy"]), "of frames correct, each for itself", "equal features, equal budget"),
            (percent(looking["accuracy"]), "of videos correct, with attention", interval(looking)),
            (percent(looking["majority_share"]), "majority class", "baseline"),
        ]
    )
    page.heading("Frames and videos")
    given = [["published (Teja & Akunuri 2020)", share(PUBLISHED_ACCURACY), None, None, None]] if published else []
    depth, height, width = looking["grid"]
    add_table(
        page,
        build(
            rows(models, "*"),
            {
                "model": key(0, code),
                "frames correct, %": ("frame_accuracy", share),
                "videos correct, %": ("accuracy", share),
                "log loss": ("log_loss", "{:.3f}".format),
                "trained parameters": "parameters",
            },
            f"`{BASELINE}`: each frame for itself. Both models learn from the same stored features "
            f"({settings['encoder']}, {height}×{width}×{depth}) of {settings['frames']} frames per clip, for "
            f"{settings['epochs']} epochs of batches of {settings['batch']}; the last epoch is tested.",
            given,
        ),
    )
    counts = looking["sides"]
    page.table(
        [["published", *REPORT_CLIPS.values()], ["here", *(counts[side] for side in REPORT_CLIPS)]],
        ["clips", *REPORT_CLIPS],
        "In the report's proportions, as nearly as whole recordings allow.",
    )
    page.heading("Class by class")
    by_class = {
        label: {name: of["frame_accuracy_by_class"][label] for name, of in models.items()}
        for label in figures["classes"]
    }
    columns = {f"frames correct, {name}, %": (name, share) for name in models}
    add_table(page, build(rows(by_class, "*"), {"class": key(0, str), **columns}))
    page.heading("Accuracy over time")
    curves = {name: {"accuracy": of["frame_accuracy_by_index"]} for name, of in models.items()}
    curves["majority class"] = {"accuracy": [looking["majority_share"]] * settings["frames"]}
    caption = f"Test clips correct at each of {settings['frames']} equally spaced frames."
    page.figure(to_svg(loss_and_accuracy(curves, x="frame")), caption, wide=True)
    page.heading("Where it looked")
    caption = "Random test clips, one per class. The bar is the probability of the true class at this frame."
    page.figure((run / "attention.png").read_bytes(), caption, wide=True)
    page.heading("Training curves")
    for name, of in models.items():
        page.figure(to_svg(loss_and_accuracy(of["curves"])), f"{name}: loss and accuracy per epoch.", wide=True)
    skipped = [(Path(error["path"]), error) for error in looking["skipped"]]
    add_left_out(page, [[f"{p.parent.name}/{p.name}", error["found"], error["remedy"]] for p, error in skipped])
    page.heading("How the report was read")
    page.text(_READING)
    add_settings(page, command, {"this run": settings})
    return page.write(run / "report.html")
