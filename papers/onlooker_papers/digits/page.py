"""The report of the digit experiments: what was published, what it measures, and what is true on unseen digits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onlooker.data.digits import Sides
from onlooker.data.elastic import elastic_fields
from onlooker.data.moving_mnist import VARIANTS, Batch, MovingDigits
from onlooker.data.transforms import to_video
from onlooker.drawing.plots import to_png, to_svg
from onlooker.evaluation.report import Cell, Page, percent
from onlooker.files import write_bytes
from onlooker.recognizer import load
from onlooker_papers.digits import figures as digit_figures
from onlooker_papers.digits import pretraining
from onlooker_papers.digits.budget import ENCODERS, GLIMPSES, Budget
from onlooker_papers.digits.held_out import CEILINGS, FRAMES, SHORT, best, of_encoder
from onlooker_papers.digits.pretraining import DATA, RECIPES, pretrained
from onlooker_papers.digits.published import PIXELS, PUBLISHED, READINGS
from onlooker_papers.digits.scaled_mnist import ScaledDigits, SingleDigits
from onlooker_papers.digits.table import accuracies
from onlooker_papers.digits.tracks import Tracks

Figures = Mapping[str, Any]

_WINDOWS = {
    "single": "one window (`stn`, pre-trained)",
    "one-glimpse": "one window (`stn:1`)",
    "several": "two windows (`stn:2`)",
}
_SHOWN = 8  # frames in a row of figure 4


def write_page(run: Path, figures: Figures, budget: Budget, sides: Sides, encoders: Path) -> Path:
    """The page of all that `reproduce` computed, in `run/report.html`; the images lie next to it."""
    digits = f"{len(sides.training):,} training digits"
    page = Page("Digits in motion", f"Shan & Atanasov 2017, reproduced · {digits} · {budget.name}")
    _head(page, figures)
    if "paper" in figures:
        _published(page, figures, budget)
    if "held-out" in figures:
        _held_out(page, figures)
        _objects(page, run, figures, sides)
        _memory(page, figures)
        _hands(page, figures)
    _encoders(page, figures)
    _images(page, run, sides, encoders, budget)
    with page.details("Budget"):
        rows = [[name, str(value)] for name, value in vars(budget).items()]
        page.table(rows, ["what", "how much"])
    return page.write(run / "report.html")


def _head(page: Page, figures: Figures) -> None:
    values = []
    if paper := figures.get("paper"):
        cell, published = paper["normal"]["lenet"]["lstm"], PUBLISHED["normal"]["lenet"][1]
        note = f"published: {percent(published)}"
        values.append((percent(cell["same-videos"]["accuracy"]), "LeNet-LSTM on its own training videos", note))
        values.append((percent(cell["new"]["accuracy"]), "the same, new digits and paths", "chance: 1 %"))
    if held_out := figures.get("held-out"):
        name = best(held_out["normal"])
        note = f"{name}; 55 unordered pairs"
        values.append((percent(held_out["normal"][name]["accuracy"]), "of unseen pairs on unseen paths", note))
    page.figures(values)
    page.text(
        "The paper classifies videos of two moving digits by their ordered pair. It trains on one video for each of "
        "the 100 pairs. This page repeats its tables under every reading of what its test videos were, says which one "
        "gives the published figures, and then asks the question that a reader has in mind: are digits recognized "
        "that no training saw, on paths that no training saw?"
    )


def _published(page: Page, figures: Figures, budget: Budget) -> None:
    paper = figures["paper"]
    page.heading("Table I, and what it measures")
    rows: list[list[Cell]] = []
    for variant in VARIANTS:
        for encoder in ENCODERS:
            if encoder not in paper.get(variant, {}):
                continue
            found = paper[variant][encoder]["lstm"]
            loss, accuracy = PUBLISHED[variant][encoder]
            cells = [_with_spread(found[reading]) for reading in READINGS]
            rows.append(
                [
                    variant,
                    encoder,
                    f"{loss:.2f} · {100 * accuracy:.1f}",
                    *cells,
                    _held_out_cell(figures, variant, encoder),
                ]
            )
    columns = ["variant", "model", "published", *READINGS, "held-out"]
    words = "; ".join(f"*{name}*: {what}" for name, what in READINGS.items())
    frozen = ", ".join(
        f"{name} {recipe}, {budget.passes[name][recipe]:g} passes" for name, recipe in budget.frozen.items()
    )
    page.table(
        rows,
        columns,
        f"Loss · accuracy in %, means over {budget.rounds['lstm']} rounds ± their spread, {budget.frames} frames. "
        f"The test videos are — {words}. *held-out*: another protocol, with 55 unordered pairs (below); the same "
        "encoder, frozen or end to end as validation chose, after the few training videos of its budget. "
        f"Frozen encoders: {frozen}.",
    )
    page.text(_reached(paper))
    page.text(
        "A reader who knew every digit would still be right in 55 of 100 videos on average: “03” and “30” show the "
        "same two digits, and where their order leaves no trace, a classifier of ordered pairs can but guess it."
    )
    page.figure(to_svg(accuracies(_chart(figures))), "Table I as a chart.", wide=True)
    baselines = [
        [variant, kind, *(_with_spread(paper[variant][encoder][kind][reading]) for reading in READINGS)]
        for variant in VARIANTS
        for encoder, kind in [*(("lenet", kind) for kind in budget.baselines), (PIXELS, "conv3d")]
        if kind in paper.get(variant, {}).get(encoder, {})
    ]
    if baselines:
        page.text("The paper's other models: on LeNet's features, and 3-D convolutions on the pixels.")
        counts = ", ".join(
            f"{count} of {kind}" for kind, count in {**budget.baselines, "conv3d": budget.conv3d}.items()
        )
        page.table(baselines, ["variant", "model", *READINGS], f"Loss · accuracy in % ± spread. Rounds: {counts}.")


def _reached(paper: Mapping[str, Mapping[str, Any]]) -> str:
    """How many cells reach the published accuracy and loss, by reading: from the figures, whatever they are."""
    cells = [(variant, encoder) for variant in VARIANTS for encoder in ENCODERS if encoder in paper.get(variant, {})]
    parts = []
    for reading, words in READINGS.items():
        found = [paper[variant][encoder]["lstm"][reading] for variant, encoder in cells]
        published = [PUBLISHED[variant][encoder] for variant, encoder in cells]
        pairs = list(zip(found, published, strict=True))
        right = sum(here["accuracy"] >= accuracy for here, (_, accuracy) in pairs)
        low = sum(here["loss"] <= loss for here, (loss, _) in pairs)
        mean = sum(here["accuracy"] for here in found) / len(found)
        parts.append(
            f"- {words}: {right} of {len(cells)} cells reach the published accuracy, {low} the published loss; "
            f"{percent(mean)} on average"
        )
    return "\n".join(parts)


def _with_spread(found: Mapping[str, float]) -> str:
    return f"{found['loss']:.2f} · {100 * found['accuracy']:.1f} ± {100 * found['accuracy_spread']:.1f}"


def _held_out_cell(figures: Figures, variant: str, encoder: str) -> str | None:
    found = of_encoder(figures.get("held-out", {}).get(variant, {}), encoder)
    return None if found is None else f"{100 * found['accuracy']:.1f}"


def _chart(figures: Figures) -> dict[str, dict[str, dict[str, float | None]]]:
    chart: dict[str, dict[str, dict[str, float | None]]] = {}
    for encoder in ENCODERS:
        for variant in VARIANTS:
            found = figures["paper"].get(variant, {}).get(encoder, {}).get("lstm", {})
            held_out = of_encoder(figures.get("held-out", {}).get(variant, {}), encoder)
            chart.setdefault(f"{encoder}-LSTM", {})[variant] = {
                "published": PUBLISHED[variant][encoder][1],
                **{reading: found[reading]["accuracy"] if found else None for reading in READINGS},
                "held-out": held_out["accuracy"] if held_out else None,
            }
    return chart


def _held_out(page: Page, figures: Figures) -> None:
    held_out = figures["held-out"]
    page.heading("Unseen digits on unseen paths")
    page.text(
        "Training digits come from MNIST's training set alone, test digits from its test set; every video has a path "
        "of its own; training videos are new in every batch; the 55 unordered pairs are the classes. Validation "
        "digits, a tenth of the training set, choose the epoch and the model."
    )
    names = list(dict.fromkeys(name for models in held_out.values() for name in models if name not in CEILINGS))
    rows: list[list[Cell]] = [
        [name, *(_share(held_out[variant].get(name)) for variant in held_out), _videos(held_out, name)]
        for name in names
    ]
    ceilings = [name for name in CEILINGS if any(name in models for models in held_out.values())]
    rows += [[f"*{name}*", *(_share(held_out[variant].get(name)) for variant in held_out), None] for name in ceilings]
    later = {
        name: found["out_of_phase"] for of in held_out.values() for name, found in of.items() if "out_of_phase" in found
    }
    page.table(
        rows,
        ["model", *held_out, "training videos · minutes"],
        f"Accuracy in % on whole videos of {FRAMES} frames, ± half of its 95 % interval; in brackets after the first "
        f"{SHORT}. *two-stage*: the encoder stays as single digits made it; *end-to-end*: everything learns. Training "
        "videos and minutes count what a model had learned from before as a whole (not the encoders' "
        "pre-training); minutes are those of the longest training."
        + "".join(
            f" {name} begins its stretches where digits change their look; two frames later, it is right in "
            f"{percent(share)}."
            for name, share in later.items()
        ),
    )
    if ceilings:
        page.text(
            "The *ceiling* is a measurement, not a bound: a classifier of one clean digit, under the same transforms, "
            "is asked for each digit of a pair by itself. Where canvases turn, a 6 may be a 9, and no classifier can "
            "know more than the shape tells. Two digits that turn together say more about the angle than each alone. "
            "*opinions*: how far each frame is trusted is learned from whole videos; *tracks*: five frames are read at "
            "once."
        )


def _share(found: Mapping[str, Any] | None) -> str | None:
    if found is None:
        return None
    low, high = found["accuracy_interval"]
    short = f" ({100 * found['short_accuracy']:.1f})" if "short_accuracy" in found else ""
    return f"{100 * found['accuracy']:.1f} ± {50 * (high - low):.1f}{short}"


def _videos(held_out: Mapping[str, Any], name: str) -> str:
    trained = [models[name] for models in held_out.values() if name in models]
    counts = sorted({found["videos"] for found in trained})
    videos = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return f"{videos} · {_minutes(max(trained, key=lambda found: found['minutes']))}"


def _minutes(found: Mapping[str, Any]) -> str:
    """The minutes of a training, tenths of them where there are few."""
    return f"{found['minutes']:.0f}" if found["minutes"] >= 1 else f"{found['minutes']:.1f}"


def _objects(page: Page, run: Path, figures: Figures, sides: Sides) -> None:
    found = figures["glimpses"]
    page.heading("Two things in a frame: several glimpses")
    page.text(
        "One transform for a whole frame cannot be right for two things in it: the window grows until it holds both. "
        f"`{GLIMPSES.encoder}` looks twice, and puts each window where the frame stands out and no earlier one was."
    )
    rows = [
        [
            words,
            percent(found[name]["accuracy"]),
            _on_digits(found[name]),
            found[name]["parameters"],
            _minutes(found[name]),
        ]
        for name, words in _WINDOWS.items()
    ]
    page.table(
        rows,
        ["encoder", "pairs correct", "every window on a digit of its own", "parameters", "minutes"],
        f"`normal`, {found['single']['videos']:,} training videos each, end to end, frames averaged. A window is on a "
        "digit if the middle of each lies inside the other; share of frames.",
    )
    model = load(run / "glimpses" / "normal" / GLIMPSES.name, device="cpu").model
    batch = MovingDigits(sides.test, frames=_SHOWN).batch(3, seed=5)
    rows_of = {
        f"video {i + 1}": _seen(model.encoder, to_video(batch.video[i].movedim(1, -1), DATA.normalization))
        for i in range(3)
    }
    image = to_png(digit_figures.windows(rows_of), dpi=160)
    write_bytes(run / "glimpses.png", image)
    page.figure(image, "Unseen digits: each window in its color, and what it shows.", wide=True)
    page.text(
        "`tracks` needs no training to find its windows. What stands out from the background is shared between them, "
        "and each stays on its thing for five frames, which are then read at once."
    )
    torn = MovingDigits(sides.test, "gesture", frames=5).batch(3, seed=6)
    follower = Tracks().eval()
    shown = [to_video(video.movedim(1, -1), DATA.normalization) for video in torn.video]
    rows_of = {f"torn digits, video {i}": (f, follower.windows(f[None])[0]) for i, f in enumerate(shown, 1)}
    image = to_png(digit_figures.windows(rows_of, together=True), dpi=160)
    write_bytes(run / "tracks.png", image)
    page.figure(image, "`gesture`: two windows through one setting, and the average of what each shows.", wide=True)


def _on_digits(found: Mapping[str, Any]) -> str | None:
    return percent(found["on_digits"]) if "on_digits" in found else None


def _seen(encoder: Any, frames: Tensor) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        return frames, encoder.windows(frames)


def _memory(page: Page, figures: Figures) -> None:
    page.heading("End to end within ordinary memory")
    rows = [
        [
            encoder,
            *(
                f"{peaks[name]:.2f}" if name in peaks else None
                for name in ("two_stage", "end_to_end", "end_to_end_kept")
            ),
        ]
        for encoder, peaks in figures["memory"].items()
    ]
    page.table(
        rows,
        ["encoder", "two-stage", "end to end", "end to end, nothing computed twice"],
        "Largest memory of a process that trains an LSTM(128) on the encoder, in GB, libraries included: 16 videos of "
        "10 frames, AdamW. Gradients of `dcn` compute its convolutions a second time. The paper ran out of 12 GB.",
    )


def _hands(page: Page, figures: Figures) -> None:
    if not (hands := figures.get("hands")):
        return
    page.heading("From digits to hands")
    first = next(iter(hands.values()))
    page.text(
        "The paper closes with the claim that its model carries over to articulated objects such as a hand. Here are "
        f"its encoders and LSTM on {first['training']} clips of hand gestures, tested on {first['videos']} others."
    )
    rows = [
        [
            name,
            percent(found["accuracy"]),
            f"{percent(found['accuracy_interval'][0])} to {percent(found['accuracy_interval'][1])}",
            _minutes(found),
        ]
        for name, found in hands.items()
    ]
    rows.append(["*majority class*", percent(first["majority_share"]), "", ""])
    page.table(
        rows,
        ["model", "clips correct", "95 % interval", "minutes"],
        f"Epochs of each: {first['epochs']}. *two-stage*: the encoder knows digits alone; *end-to-end*: it learns on.",
    )


def _encoders(page: Page, figures: Figures) -> None:
    page.heading("The encoders (figure 1), pre-trained on single digits")
    rows: list[list[Cell]] = []
    for encoder, recipes in figures["pretraining"].items():
        published, loss, accuracy = pretraining.PUBLISHED[encoder]
        rows += [
            [
                encoder,
                found["parameters"],
                published,
                f"{loss:.3f} · {percent(accuracy, 2)}",
                f"{recipe}, {found['passes']:g} passes",
                f"{found['loss']:.3f} · {percent(found['accuracy'], 2)}",
                _minutes(found),
            ]
            for recipe, found in recipes.items()
        ]
    old, own, long = RECIPES.values()
    page.table(
        rows,
        ["encoder", "parameters", "as published", "published loss · accuracy", "recipe", "here", "minutes"],
        f"With `Linear(500, 10)` on top. *published*: Adadelta at {old.lr:g}, batch {old.batch}, there 5 passes. "
        f"*one-cycle*: AdamW to {own.lr:g} and back (half of it for dcn), batch {own.batch}. *long*: likewise to "
        f"{long.lr:g}, batch {long.batch}. Tested on unseen digits.",
    )


def _images(page: Page, run: Path, sides: Sides, encoders: Path, budget: Budget) -> None:
    page.heading("Figures 3, 4 and 5")
    batches = {variant: MovingDigits(sides.test, variant).batch(labels=[[3, 7]], seed=4) for variant in VARIANTS}
    stn = pretrained(encoders, "stn", budget.frozen["stn"]).encoder
    scaled = SingleDigits(ScaledDigits(sides.test), seed=2)
    single = torch.stack([frames[0] for frames, _, _ in scaled.__getitems__(list(range(_SHOWN)))])
    moving = MovingDigits(sides.test, frames=_SHOWN).batch(1, seed=5).video[0].movedim(1, -1)
    rows = {
        "one digit (Scaled MNIST)": _seen(stn, to_video(single, DATA.normalization)),
        "two moving digits: one window for both": _seen(stn, to_video(moving, DATA.normalization)),
    }
    made = {
        "figure-3": (
            digit_figures.variants(batches),
            "Figure 3: the variants, a frame of each setting, with the true boxes.",
        ),
        "figure-4": (
            digit_figures.windows(rows),
            "Figure 4: what the pre-trained spatial transformer looks at, and what it sees.",
        ),
        "figure-5": (
            _deformation(batches["rotation+scale"]),
            "Figure 5: elastic deformation, as the paper's numbers have it, and with a wider window.",
        ),
    }
    for name, (figure, caption) in made.items():
        image = to_png(figure, dpi=160)
        write_bytes(run / f"{name}.png", image)
        page.figure(image, caption, wide=True)


def _deformation(batch: Batch) -> Any:
    image = batch.video[0, 0, 0]
    fields = {
        f"window {window} × {window}\n{words}": elastic_fields(
            1, image.shape[-1], torch.Generator().manual_seed(3), window=window
        )[0]
        for window, words in ((7, "as published"), (61, "smooth"))
    }
    return digit_figures.deformation(image, fields)
