"""The report of the digit experiments: the published results, what they measure, and results on unseen digits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from onlooker.data.digits import DigitSplit
from onlooker.data.moving_mnist import MovingDigits
from onlooker.data.transforms import to_video
from onlooker.drawing.plots import to_png, to_svg
from onlooker.evaluation.report import Page, percent
from onlooker.files import write_bytes
from onlooker.recognizer import load
from onlooker_papers.digits import figures as digit_figures
from onlooker_papers.digits import tables
from onlooker_papers.digits.augmented_mnist import VARIANTS, AugmentedDigits
from onlooker_papers.digits.budget import ENCODERS, GLIMPSES, Budget
from onlooker_papers.digits.claims import claims
from onlooker_papers.digits.differences import differences
from onlooker_papers.digits.held_out import best, of_encoder
from onlooker_papers.digits.images import SHOWN, seen, write_field, write_images
from onlooker_papers.digits.pretraining import DATA, pretrained
from onlooker_papers.digits.published import CODE, PUBLISHED, READINGS
from onlooker_papers.digits.tracks import Tracks
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
        page.heading("End to end within ordinary memory")
        add_table(page, tables.memory(figures))
        _hands(page, figures)
    if "digits-field" in figures:
        page.heading("Deformed digits: an explicit field of displacements")
        add_table(page, tables.deformations(figures))
        caption = "Deformed test digits, warped by an affine transform and by a field."
        page.figure(write_field(run, splits), caption, wide=True)
    if {"digits-paper", "digits-honest", "pretraining"} <= set(figures):
        page.heading("What the paper says, and what is done here")
        add_table(page, differences(figures))
        page.heading("Claims of the paper")
        add_table(page, claims(figures))
    page.heading("The encoders (figure 1), pre-trained on single digits")
    add_table(page, tables.pretraining(figures))
    if budget.windows:
        page.text("Output sizes of the spatial transformer.")
        add_table(page, tables.window_sizes(figures))
    add_table(page, tables.layers(figures))
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
    add_table(page, tables.readings(results))
    page.text(_reached(results["digits-paper"]["cells"]))
    page.text(
        "A classifier that recognizes every digit would still be correct in only 55 of 100 videos on average: “03” and "
        "“30” show the same two digits, and if nothing shows their order, a classifier of ordered pairs has to guess."
    )
    page.figure(to_svg(digit_figures.table_chart(_chart(results))), "Table I as a chart.", wide=True)
    page.text("The other models of the authors' code: on LeNet's features, and 3-D convolutions on the pixels.")
    add_table(page, tables.baselines(results))


def _reached(paper: Mapping[str, Mapping[str, Any]]) -> str:
    """By reading, the number of cells that reach the published accuracy and loss."""
    parts = []
    for reading, words in READINGS.items():
        of = {(v, e): row.get(e, {}).get(CODE, {}) for v, row in paper.items() if v in PUBLISHED for e in ENCODERS}
        pairs = [(cell[reading], PUBLISHED[v][e]) for (v, e), cell in of.items() if reading in cell]
        if not pairs:
            continue
        right = sum(here["accuracy"] >= accuracy for here, (_, accuracy) in pairs)
        low = sum(here["loss"] <= loss for here, (loss, _) in pairs)
        mean = sum(here["accuracy"] for here, _ in pairs) / len(pairs)
        parts.append(
            f"- {words}: {right} of {len(pairs)} cells reach the published accuracy, {low} the published loss; "
            f"{percent(mean)} on average"
        )
    return "\n".join(parts)


def _chart(results: Results) -> dict[str, dict[str, dict[str, float | None]]]:
    chart: dict[str, dict[str, dict[str, float | None]]] = {}
    cells, models = results["digits-paper"]["cells"], results.get("digits-honest", {}).get("models", {})
    for encoder in ENCODERS:
        for variant in VARIANTS:
            found = cells.get(variant, {}).get(encoder, {}).get(CODE, {})
            held_out = of_encoder(models.get(variant, {}), encoder)
            chart.setdefault(f"{encoder}-LSTM", {})[variant] = {
                "published": PUBLISHED[variant][encoder][1],
                **{reading: found.get(reading, {}).get("accuracy") for reading in READINGS},
                "held-out": held_out["accuracy"] if held_out else None,
            }
    return chart


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
    rows = {
        f"video {i + 1}": seen(model.encoder, to_video(batch.video[i].movedim(1, -1), DATA.normalization))
        for i in range(3)
    }
    _windows(page, run / "glimpses.png", rows, "Unseen digits: each window in its color, and its view.")
    page.text(
        "`tracks` needs no training to place its windows. The foreground is divided between them, and each window "
        "follows its object for five frames, which are then read at once."
    )
    torn = AugmentedDigits(splits.test, variant="gesture", frames=5).batch(3, seed=6)
    follower = Tracks().eval()
    shown = [to_video(video.movedim(1, -1), DATA.normalization) for video in torn.video]
    rows = {f"torn digits,\nvideo {i}": (f, follower.windows(f[None])[0]) for i, f in enumerate(shown, 1)}
    caption = "`gesture`: two windows during one setting, and the average view of each."
    _windows(page, run / "tracks.png", rows, caption, together=True)


def _windows(
    page: Page, path: Path, rows: dict[str, tuple[Tensor, Tensor]], caption: str, together: bool = False
) -> None:
    image = to_png(digit_figures.windows(rows, together=together), dpi=160)
    write_bytes(path, image)
    page.figure(image, caption, wide=True)


def _hands(page: Page, results: Results) -> None:
    if not (hands := results["digits-honest"]["hands"]):
        return
    page.heading("From digits to hands")
    first = next(iter(hands.values()))
    page.text(
        "The paper concludes that its model carries over to articulated objects such as a hand. Here its encoders and "
        f"LSTM are trained on {first['training']} clips of hand gestures and tested on {first['videos']} others."
    )
    add_table(page, tables.hands(results))
