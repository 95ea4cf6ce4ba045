"""The report of the digit experiments: the published results, what they measure, and results on
unseen digits.
"""

from pathlib import Path

from onlooker import load
from onlooker.base.files import write_bytes
from onlooker.data.transforms import to_video
from onlooker.report.page import Page
from onlooker_papers.digits import tables
from onlooker_papers.digits.budget import GLIMPSES, DigitsBudget
from onlooker_papers.digits.data.moving_mnist import MovingDigits
from onlooker_papers.digits.figures import SHOWN, seen, windows, write_images
from onlooker_papers.digits.pretraining import DATA, pretrained
from onlooker_papers.mnist import DigitSplit
from onlooker_papers.sheet import to_png
from onlooker_papers.tables import Results, add_table


def write_page(
    run: Path, figures: Results, *, budget: DigitsBudget, splits: DigitSplit, encoders: Path
) -> Path:
    """Write `run/report.html`, the page of everything that `reproduce` computed, and its images
    next to it.

    `figures` are by the name of the results file; `encoders` has the models of `pretrain`.
    """
    digits = f"{len(splits.training):,} training digits"
    page = Page("Digits in motion", f"Shan & Atanasov 2017, reproduced · {digits} · {budget.name}")
    page.text(
        "The paper classifies videos of two moving digits by their ordered pair, and trains on one video for each of "
        "the 100 pairs. This page repeats its tables under every reading of what its test videos were, and then tests "
        "on unseen digits and paths."
    )
    if "digits-paper" in figures:
        _published(page, figures)
    if figures.get("digits-honest", {}).get("models"):
        _held_out(page, figures)
        _objects(page, run, figures, splits=splits)
    page.heading("The encoders (figure 1)")
    add_table(page, tables.layers(figures))
    page.heading("The encoders, pre-trained on single digits")
    add_table(page, tables.pretraining(figures))
    page.heading("Figures 1 to 5")
    for image, caption in write_images(
        run,
        splits,
        stn=pretrained(encoders, "stn", next(iter(budget.pretraining["stn"]))),
        layers=figures["digits-layers"],
    ):
        page.figure(image, caption, wide=True)
    with page.details("Budget"):
        page.table(
            [[name, str(value)] for name, value in vars(budget).items()], ["what", "how much"]
        )
    return page.write(run / "report.html")


def _published(page: Page, results: Results) -> None:
    page.heading("Table I, and what it measures")
    add_table(page, tables.paper(results))
    page.text(
        "The authors' code stores the features of a video under the name of its class alone: training and test load "
        "the same file. So the published figures are those of *same-videos*."
    )
    add_table(page, tables.readings(results))


def _held_out(page: Page, results: Results) -> None:
    page.heading("Unseen digits on unseen paths")
    add_table(page, tables.held_out(results))
    page.text(
        "A *ceiling* is a measurement, not an upper bound: a classifier of one clean digit, under the same transforms, "
        "is applied to each digit of a pair alone. On a rotated canvas, a 6 can look like a 9. *tracks*: five frames "
        "are read at once."
    )


def _objects(page: Page, run: Path, results: Results, *, splits: DigitSplit) -> None:
    page.heading("Two objects in a frame: several glimpses")
    add_table(page, tables.glimpses(results))
    model = load(run / "glimpses" / "normal" / GLIMPSES.name, device="cpu").model
    batch = MovingDigits(splits.test, frames=SHOWN).batch(3, seed=5)
    shown = [to_video(video.movedim(1, -1), DATA.normalization) for video in batch.video]
    rows = {f"video {i}": seen(model.encoder, frames) for i, frames in enumerate(shown, 1)}
    image = to_png(windows(rows), dpi=160)
    write_bytes(run / "glimpses.png", image)
    page.figure(image, "Unseen digits: each window in its color, and its view.", wide=True)
