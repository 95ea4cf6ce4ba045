"""The page of the HMDB-51 report: the published figure and ours, attention, and what is unknown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onlooker.report.page import Page, percent
from onlooker.report.plots import loss_and_accuracy, to_svg
from onlooker_papers.hmdb10.classes import BASELINE, PUBLISHED_ACCURACY
from onlooker_papers.pages import add_left_out, add_settings
from onlooker_papers.tables import Columns, add_table, build, code, key, rows, share

_READING = (
    "The report names two of its ten classes, cartwheel and brush_hair, and 730 + 220 + 78 clips, fewer than any ten "
    "whole classes with these two have. Which clips were left out, and how they were divided, is not known; here each "
    "source video is in one split. It gives no equation for its attention, no hidden channels and no optimizer."
)


def write_page(
    run: Path,
    figures: Mapping[str, Any],
    settings: Mapping[str, Any],
    published: bool,
    command: str,
) -> Path:
    """Write `report.html` into a run's folder, which has `attention.png`.

    The published figure is shown if the clips are those of HMDB-51 (`published`).
    """
    models = figures["models"]
    first = next(iter(models.values()))
    counts = ", ".join(f"{count} {side}" for side, count in first["sides"].items())
    page = Page(
        "Attention for HMDB-51",
        f"Teja & Akunuri 2020, reproduced · {figures['set']} · clips: {counts}",
    )
    if not published:
        page.text(
            f"**These are not clips of HMDB-51**, but of another folder ({figures['set']}): the published "
            f"{percent(PUBLISHED_ACCURACY, 0)} does not apply to them, and is in no table here."
        )
    if not settings["pretrained"]:
        page.text(
            "**The encoder has random weights**, not ImageNet's as published: this only shows that all runs."
        )
    if few := settings.get("clips_a_class"):
        page.text(
            f"**A quick run**: at most {few} clips per class, {settings['frames']} frames per clip."
        )
    page.heading("Frames and videos")
    given = (
        [["published (Teja & Akunuri 2020)", share(PUBLISHED_ACCURACY), None, None, None]]
        if published
        else []
    )
    depth, height, width = first["grid"]
    columns: Columns = {
        "model": key(0, code),
        "frames correct, %": ("frame_accuracy", share),
        "videos correct, %": ("accuracy", share),
        "log loss": ("log_loss", "{:.3f}".format),
        "trained parameters": "parameters",
    }
    note = (
        f"Majority class: {share(first['majority_share'])} %. `{BASELINE}`: each frame for itself. Both models learn "
        f"from the same stored features ({settings['encoder']}, {height}×{width}×{depth}) of {settings['frames']} "
        f"frames per clip, for {settings['epochs']} epochs of batches of {settings['batch']}; the last epoch is "
        f"tested. Classes: {', '.join(figures['classes'])}."
    )
    add_table(page, build(rows(models, "*"), columns, note, given))
    page.text(_READING)
    page.heading("Where it looked")
    caption = "Random test clips, one per class. In each frame, the probability of the true class."
    page.figure((run / "attention.png").read_bytes(), caption, wide=True)
    page.heading("Training curves")
    for name, of in models.items():
        page.figure(
            to_svg(loss_and_accuracy(of["curves"])),
            f"{name}: loss and accuracy per epoch.",
            wide=True,
        )
    skipped = [(Path(error["path"]), error) for error in first["skipped"]]
    add_left_out(
        page,
        [[f"{p.parent.name}/{p.name}", error["found"], error["remedy"]] for p, error in skipped],
    )
    add_settings(page, command, {"this run": settings})
    return page.write(run / "report.html")
