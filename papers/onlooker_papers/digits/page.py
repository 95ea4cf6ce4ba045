"""The report of the digit experiments: the published results, what they measure, and results on unseen digits."""

from pathlib import Path

from onlooker.data.transforms import to_video
from onlooker.drawing.plots import to_png
from onlooker.evaluation.report import Page, percent
from onlooker.files import write_bytes
from onlooker.recognizer import load
from onlooker_papers.digits import figures as digit_figures
from onlooker_papers.digits import tables
from onlooker_papers.digits.budget import GLIMPSES, Budget
from onlooker_papers.digits.data.moving_mnist import MovingDigits
from onlooker_papers.digits.held_out import best
from onlooker_papers.digits.images import SHOWN, seen, write_images
from onlooker_papers.digits.pretraining import DATA, pretrained
from onlooker_papers.digits.published import CODE, PUBLISHED
from onlooker_papers.mnist import DigitSplit
from onlooker_papers.tables import Results, add_table


def write_page(run: Path, figures: Results, budget: Budget, splits: DigitSplit, encoders: Path) -> Path:
    """Write `run/report.html`, the page of everything that `reproduce` computed, and its images next to it.

    Args:
        run: the folder of the run.
        figures: by the name of the results file.
        budget: what was computed.
        splits: the digits.
        encoders: where `pretrain` left its models.
    """
    digits = f"{len(splits.training):,} training digits"
    page = Page("Digits in motion", f"Shan & Atanasov 2017, reproduced · {digits} · {budget.name}")
    _head(page, figures)
    if "digits-paper" in figures:
        _published(page, figures)
    if figures.get("digits-honest", {}).get("models"):
        _held_out(page, figures)
        _objects(page, run, figures, splits)
    page.heading("The encoders (figure 1), pre-trained on single digits")
    add_table(page, tables.pretraining(figures))
    page.heading("Figures 2 to 5")
    for image, caption in write_images(run, splits, pretrained(encoders, "stn", budget.frozen["stn"])):
        page.figure(image, caption, wide=True)
    with page.details("Budget"):
        page.table([[name, str(value)] for name, value in vars(budget).items()], ["what", "how much"])
    return page.write(run / "report.html")


def _head(page: Page, figures: Results) -> None:
    values = []
    if "digits-paper" in figures:
        cell, published = figures["digits-paper"]["cells"]["normal"]["lenet"][CODE], PUBLISHED["normal"]["lenet"][1]
        note = f"published: {percent(published)}"
        values.append((percent(cell["same-videos"]["accuracy"]), "LeNet-LSTM on its own training videos", note))
        values.append((percent(cell["new"]["accuracy"]), "the same, new digits and paths", "chance: 1 %"))
    if held_out := figures.get("digits-honest", {}).get("models"):
        name = best(held_out["normal"])
        note = f"{name}; 55 unordered pairs"
        values.append((percent(held_out["normal"][name]["accuracy"]), "of unseen pairs on unseen paths", note))
    page.figures(values)
    page.text(
        "The paper classifies videos of two moving digits by their ordered pair. It trains on one video for each of "
        "the 100 pairs. This page repeats its tables under every reading of what its test videos were, says which one "
        "gives the published figures, and then answers the question that matters: are unseen digits recognized "
        "on unseen paths?"
    )


def _published(page: Page, results: Results) -> None:
    page.heading("Table I, and what it measures")
    add_table(page, tables.paper(results))
    if results["digits-paper"].get("better"):
        page.text("The same with encoders that are trained by another recipe.")
        add_table(page, tables.better(results))
    page.text(
        "The authors' code shows which reading was published: it stores the features of a video under the name of its "
        "class alone, so the features of a test video replace those of the training video, and training and test load "
        "the same file."
    )
    add_table(page, tables.all_readings(results))
    page.text(
        "A classifier that recognizes every digit would still be correct in only 55 of 100 videos on average: “03” and "
        "“30” show the same two digits, and if nothing shows their order, a classifier of ordered pairs has to guess."
    )


def _held_out(page: Page, results: Results) -> None:
    page.heading("Unseen digits on unseen paths")
    page.text(
        "Training digits come from MNIST's training set, test digits from its test set; every video has its own path; "
        "training videos are new in every batch; the 55 unordered pairs are the classes. Validation digits, a tenth of "
        "the training set, choose the epoch and the model."
    )
    add_table(page, tables.held_out(results))
    page.text(
        "A *ceiling* is a measurement, not an upper bound: a classifier of one clean digit, under the same transforms, "
        "is applied to each digit of a pair alone. If the canvas is rotated, a 6 can look like a 9, and no classifier "
        "can distinguish them by shape. Two digits that rotate together tell more about the angle than each alone. "
        "*opinions*: the weight of each frame is learned from whole videos; *tracks*: five frames are read at once."
    )


def _objects(page: Page, run: Path, results: Results, splits: DigitSplit) -> None:
    page.heading("Two objects in a frame: several glimpses")
    page.text(
        "One transform for a whole frame cannot fit two objects: the window grows until it contains both. "
        f"`{GLIMPSES.encoder}` has two windows, each in a salient region that no earlier window covers."
    )
    add_table(page, tables.glimpses(results))
    model = load(run / "glimpses" / "normal" / GLIMPSES.name, device="cpu").model
    batch = MovingDigits(splits.test, frames=SHOWN).batch(3, seed=5)
    shown = [to_video(video.movedim(1, -1), DATA.normalization) for video in batch.video]
    rows = {f"video {i}": seen(model.encoder, frames) for i, frames in enumerate(shown, 1)}
    image = to_png(digit_figures.windows(rows), dpi=160)
    write_bytes(run / "glimpses.png", image)
    page.figure(image, "Unseen digits: each window in its color, and its view.", wide=True)
