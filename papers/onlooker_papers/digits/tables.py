"""The tables of the digit experiments, for the report and for docs/, from the figures of their results files."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from onlooker.evaluation.report import Table
from onlooker.models.encoders import build_encoder
from onlooker_papers.digits.claims import claims
from onlooker_papers.digits.differences import differences
from onlooker_papers.digits.encoders import WINDOWS
from onlooker_papers.digits.encoders.warped import POINTS
from onlooker_papers.digits.held_out import CEILINGS, FRAMES, SHORT, of_encoder
from onlooker_papers.digits.literal import LITERAL
from onlooker_papers.digits.pretraining import PUBLISHED, RECIPES, SIZE
from onlooker_papers.digits.published import CODE, PUBLISHED_READING, TABLE, TEXT
from onlooker_papers.digits.published import PUBLISHED as FIGURES
from onlooker_papers.tables import Results, share


def with_interval(row: Mapping[str, Any]) -> str:
    """An accuracy ± half of its 95 % interval; in parentheses, the accuracy after the first frames."""
    low, high = row["accuracy_interval"]
    short = f" ({share(row['short_accuracy'])})" if "short_accuracy" in row else ""
    return f"{share(row['accuracy'])} ± {share((high - low) / 2)}{short}"


def minutes(row: Mapping[str, Any]) -> str:
    """Minutes of a training, with one decimal if there are few."""
    return f"{row['minutes']:.0f}" if row["minutes"] >= 1 else f"{row['minutes']:.1f}"


def _figures(cell: Mapping[str, float], spread: bool = False) -> str:
    """Loss · accuracy in %."""
    return f"{cell['loss']:.2f} · {share(cell['accuracy'])}" + (
        f" ± {share(cell['accuracy_spread'])}" if spread else ""
    )


def _distance(cell: Mapping[str, float] | None) -> str | None:
    """Ours minus theirs; accuracy in points."""
    return f"{cell['loss']:+.2f} · {100 * cell['accuracy']:+.1f}" if cell else None


def _frozen(cells: Mapping[str, Mapping[str, Any]]) -> str:
    """The encoders of some cells and how they were trained."""
    found = {encoder: of["encoder"] for row in cells.values() for encoder, of in row.items() if "encoder" in of}
    return ", ".join(
        f"`{e}` {of['recipe']}, {of['passes']:g} epochs, {share(of['accuracy'])} % of single digits"
        for e, of in found.items()
    )


def paper(results: Results) -> Table:
    """Table I: as published, by the authors' code and by the text, and the distances in both directions."""
    figures, part = results["digits-paper"], "cells"
    return Table(*_table_one(figures[part], figures["published"], figures.get("slides", {})))


def better(results: Results) -> Table:
    """Table I with encoders that are trained by another recipe than the published one."""
    figures = results["digits-paper"]
    return Table(*_table_one(figures.get("better", {}), figures["published"], {}))


def _table_one(
    cells: Mapping[str, Any], published: Mapping[str, Any], slides: Mapping[str, Any]
) -> tuple[list[str], list[list[Any]], str]:
    rows = []
    for variant in (name for name in TABLE if name in cells):
        base, encoders = variant.removesuffix("-61"), cells[variant]
        for encoder, cell in encoders.items():
            if not {TEXT, CODE} & set(cell) or base not in published:
                continue
            (loss, accuracy), other = published[base][encoder], slides.get(base, {}).get(encoder)
            holds = " · ".join("yes" if held else "no" for held in cell.get("order_holds", {}).values())
            rows.append(
                [
                    variant,
                    encoder,
                    f"{loss:.2f} · {share(accuracy, 2)}",
                    *([f"{other[0]:.2f} · {share(other[1])}" if other else None] if slides else []),
                    _figures(cell[CODE][PUBLISHED_READING], spread=True) if CODE in cell else None,
                    _distance(cell.get("distance")),
                    *([_distance(cell.get("distance_of_slides"))] if slides else []),
                    holds or None,
                    _figures(cell[TEXT][PUBLISHED_READING]) if TEXT in cell else None,
                ]
            )
    frozen = _frozen(cells)
    note = (
        f"Loss · accuracy in % on the training videos, means over rounds ± their standard deviation{_rounds(cells)}; "
        "*distance*: ours minus theirs, accuracy in points; *order*: whether the encoder compares with the others in "
        "the table as published, by loss · by accuracy. *code*: the cell of Keras 2.0 (forget bias 1, hard sigmoid); "
        f"*text*: zero bias and the usual sigmoid.{_near(cells)}{f' Frozen encoders: {frozen}.' if frozen else ''} "
        "`gesture-61`: `gesture` with a smooth deformation, next to the same published figures."
    )
    columns = ["variant", "encoder", "paper", *(["slides"] if slides else []), "code", "distance"]
    columns += [*(["distance of slides"] if slides else []), "order", "text"]
    return columns, rows, note


def _rounds(cells: Mapping[str, Mapping[str, Any]]) -> str:
    """The numbers of rounds of both LSTMs, as far as the cells tell them."""
    rounds = [of["rounds"] for row in cells.values() for of in row.values() if "rounds" in of]
    counts = {kind: sorted({of[kind] for of in rounds if kind in of}) for kind in (CODE, TEXT)}
    words = {CODE: "code", TEXT: "text"}
    found = [f"*{words[kind]}*: {' or '.join(map(str, of))}" for kind, of in counts.items() if of]
    return f" ({', '.join(found)} rounds)" if found else ""


def _near(cells: Mapping[str, Mapping[str, Any]]) -> str:
    """How many cells of the published table are close to it, one sentence."""
    apart = [of["distance"] for v, row in cells.items() if v in FIGURES for of in row.values() if "distance" in of]
    if not apart:
        return ""
    by_loss, by_accuracy = ([abs(of[name]) <= far for of in apart] for name, far in (("loss", 0.1), ("accuracy", 0.01)))
    both = sum(map(all, zip(by_loss, by_accuracy, strict=True)))
    return (
        f" Of the {len(apart)} published cells, {sum(by_loss)} are within .1 of the paper's loss, {sum(by_accuracy)} "
        f"within 1 point of its accuracy, {both} within both."
    )


def readings(results: Results) -> Table:
    """The readings of the test videos, and held-out pairs."""
    figures, models = results["digits-paper"], results.get("digits-honest", {}).get("models", {})
    rows = []
    for part, kind in (("cells", CODE), ("better", TEXT)):
        for variant, encoders in figures.get(part, {}).items():
            for encoder, cell in encoders.items():
                if len(cell.get(kind, {})) < len(figures["readings"]):
                    continue
                held_out = of_encoder(models.get(variant, {}), encoder)
                cells = [_figures(cell[kind][reading], spread=True) for reading in figures["readings"]]
                rows.append([variant, encoder, f"`{kind}`", *cells, share(held_out["accuracy"]) if held_out else None])
    meanings = "; ".join(f"*{name}*: {meaning}" for name, meaning in figures["readings"].items())
    note = (
        f"Loss · accuracy in %, {figures['frames']} frames; `{CODE}`: the LSTM of the authors' code on encoders "
        f"trained as published; `{TEXT}`: the LSTM of the text on those of the other recipe; test videos: {meanings}. "
        "*held-out*: unseen digits on unseen paths, 55 unordered pairs, an LSTM(128) trained with AdamW, the encoder "
        "frozen or trained end to end, as chosen by validation."
    )
    return Table(["variant", "encoder", "LSTM", *figures["readings"], "held-out"], rows, note)


_INPUTS = {CODE: "lenet", TEXT: "lenet", "lstm-frames": "lenet", "gru": "lenet", "mlp": "lenet", "conv3d": "pixels"}


def layers(_: Results) -> Table:
    """Figure 1: the layers of each encoder that have parameters."""
    rows: list[list[Any]] = []
    for encoder in PUBLISHED:
        with torch.device("meta"):
            model = cast(nn.Module, build_encoder(encoder, 1, SIZE))
        parts = {name: m for name, m in model.named_modules() if any(True for _ in m.parameters(recurse=False))}
        counts = {name: sum(p.numel() for p in part.parameters(recurse=False)) for name, part in parts.items()}
        for name, part in parts.items():
            rows.append([f"`{encoder}`", f"`{name}`", " × ".join(map(str, part.weight.shape)), counts[name]])
        rows.append([f"`{encoder}`", "classes, in pre-training", "10 × 500", 5010])
        rows.append([f"`{encoder}`", "all", "", sum(counts.values()) + 5010])
    note = (
        "Weights without their biases. The paper gives 6,431,080 and 102,483,280 in all for `lenet` and `dcn`. Kernels "
        "are output × input × height × width."
    )
    return Table(["encoder", "layer", "weights", "parameters"], rows, note)


def baselines(results: Results) -> Table:
    """The other models of the authors' code, compared with the LSTM on LeNet's features."""
    cells = results["digits-paper"]["cells"]

    def of(variant: str, kind: str) -> Mapping[str, Any]:
        cell = cells[variant].get(_INPUTS[kind], {})
        return cell if kind in cell else {}

    def both(variant: str, kind: str) -> str | None:
        found = of(variant, kind).get(kind)
        if not found:
            return None
        new = f" · {share(found['new']['accuracy'])}" if "new" in found else ""
        return _figures(found[PUBLISHED_READING]) + new

    rows = [
        [f"`{kind}`", f"{found[0]['rounds'][kind]}", *(both(v, kind) for v in cells)]
        for kind in _INPUTS
        if (found := [of(variant, kind) for variant in cells if of(variant, kind)])
    ]
    note = (
        "Loss · accuracy in % on the training videos · accuracy on new ones. `lstm-keras`, `gru` (32 units), `mlp` "
        "(one linear layer of 256) and `conv3d` (32, 64, 128 channels, dense 256, 256, on pixels) are those of the "
        "authors' code; the paper has only the LSTM, and 300 rounds. `lstm`: zero bias, as in the text; `lstm-frames`: "
        "the same with a softmax for every frame, loss and accuracy of frames."
    )
    return Table(["model", "rounds", *cells], rows, note)


def held_out(results: Results) -> Table:
    """Accuracy of every model on every variant, and the ceilings."""
    models, chosen = results["digits-honest"]["models"], results["digits-honest"]["chosen"]
    names = list(dict.fromkeys(name for rows in models.values() for name in rows if name not in CEILINGS))

    def accuracy(variant: str, name: str) -> str | None:
        return with_interval(models[variant][name]) if name in models[variant] else None

    def budget(name: str) -> str:
        rows = [rows[name] for rows in models.values() if name in rows]
        counts = sorted({row["videos"] for row in rows})
        videos = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
        return f"{videos} · {minutes(max(rows, key=lambda row: float(row['minutes'])))}"

    rows = [[f"`{name}`", *(accuracy(variant, name) for variant in models), budget(name)] for name in names]
    for ceiling in CEILINGS:
        cells = [accuracy(variant, ceiling) for variant in models]
        rows += [[ceiling, *cells, None]] if any(cells) else []
    picked = ", ".join(f"{variant} `{name}`" for variant, name in chosen.items())
    later = [
        f" `{name}` begins its groups of five frames where settings begin; two frames later, its accuracy "
        f"is {share(row['out_of_phase'])} %."
        for of_variant in models.values()
        for name, row in of_variant.items()
        if "out_of_phase" in row
    ]
    note = (
        f"Accuracy in % on whole videos of {FRAMES} frames ± half of its 95 % interval, in parentheses after the first "
        f"{SHORT}. Chosen by validation: {picked}. *two-stage*: the encoder is pre-trained on single digits and "
        "frozen; *end-to-end*: everything is trained. Training videos and minutes (of the longest training) include "
        "those of the model that a training starts from, not the pre-training of the encoders. The rows with "
        "`lstm` are not the published system: they are an LSTM(128) with AdamW and a prediction at every frame. "
        "*literal* is the system of the authors' code: LSTM(8), one softmax on all 50 × 8 outputs, RMSprop, ten "
        f"epochs, mean of three rounds; it exists for {_literal(models)}. `gesture` has the window of 7 pixels."
    ) + "".join(later)
    return Table(["model", *models, "training videos · minutes"], rows, note)


def _literal(models: Mapping[str, Mapping[str, Any]]) -> str:
    """The encoders and variants of the rows with the published system."""
    found = [
        f"`{name.removesuffix(f'-{LITERAL}')}` on `{variant}` alone ({row['videos']:,} videos)"
        for variant, rows in models.items()
        for name, row in rows.items()
        if name.endswith(f"-{LITERAL}")
    ]
    return ", ".join(found) or "no encoder"


def glimpses(results: Results) -> Table:
    """One window compared with several."""
    runs = results["glimpses"]["runs"]
    names = {
        "single": "one window (`stn`, pre-trained on single digits)",
        "one-glimpse": "one window (`stn:1`)",
        "several": "two windows (`stn:2`)",
    }
    rows = [
        [
            words,
            share(runs[name]["accuracy"]),
            share(runs[name]["on_digits"]) if "on_digits" in runs[name] else None,
            runs[name]["parameters"],
            minutes(runs[name]),
        ]
        for name, words in names.items()
    ]
    note = (
        f"Held-out digits and paths, `normal`, trained end to end on {runs['single']['videos']:,} videos each, mean "
        "over frames, no LSTM. A window is on a digit if the center of each lies inside the other; two windows must "
        "be on different digits."
    )
    columns = ["encoder", "pairs correct, %", "all windows on digits, % of frames", "parameters", "minutes"]
    return Table(columns, rows, note)


def pretraining(results: Results) -> Table:
    """The encoders on single digits, compared with the published figures."""
    rows = [
        [
            f"`{encoder}`",
            row["parameters"],
            PUBLISHED[encoder][0],
            "{1:.3f} · {2:.2%}".format(*PUBLISHED[encoder]).rstrip("%"),
            f"{recipe}, {row['passes']:g} epochs",
            f"{row['loss']:.3f} · {share(row['accuracy'], 2)}",
            minutes(row),
        ]
        for encoder, recipes in results["pretraining"].items()
        if encoder in PUBLISHED
        for recipe, row in recipes.items()
    ]
    old, own, long = RECIPES.values()
    note = (
        "Loss · accuracy in % on MNIST's test digits, scaled; parameters with `Linear(500, 10)`. *published*: Adadelta "
        f"at {old.lr:g}, batch {old.batch}, all training digits, the last weights; *one-cycle*: AdamW up to {own.lr:g} "
        f"and back to 0 (`dcn` half of it), batch {own.batch}; *long*: the same up to {long.lr:g}, batch {long.batch}."
    )
    columns = [
        "encoder",
        "parameters",
        "published",
        "published loss · accuracy",
        "recipe",
        "loss · accuracy",
        "minutes",
    ]
    return Table(columns, rows, note)


def window_sizes(results: Results) -> Table:
    """The spatial transformer with outputs of several sizes, on single digits."""
    names = [(window, results["pretraining"].get(f"stn-{window}", {}).get("one-cycle")) for window in WINDOWS]
    found = [(window, row) for window, row in names if row]
    rows = [
        [f"{w} × {w}", row["parameters"], f"{row['loss']:.3f} · {share(row['accuracy'], 2)}", minutes(row)]
        for w, row in found
    ]
    passes = " and ".join(f"{count:g}" for count in sorted({row["passes"] for _, row in found}))
    note = (
        f"Loss · accuracy in % on MNIST's test digits, scaled, after {passes} passes through the training digits by "
        "the recipe *one-cycle*, one seed. The paper's size is 32 × 32; frames are 64 × 64."
    )
    return Table(["output", "parameters", "loss · accuracy", "minutes"], rows, note)


def memory(results: Results) -> Table:
    """Peak memory by encoder and kind of training."""
    ways = {"two_stage": "two-stage", "end_to_end": "end to end", "end_to_end_kept": "without recomputation"}
    peaks = results["digits-honest"]["memory_gb"]
    rows = [[f"`{e}`", *(f"{of[way]:.2f}" if way in of else None for way in ways)] for e, of in peaks.items()]
    note = (
        "Peak memory in GB, libraries included, of a process that trains an LSTM(128) on the encoder: 16 videos of 10 "
        "frames, AdamW. `dcn` computes its convolutions a second time for the gradients. The paper ran out of 12 GB."
    )
    return Table(["encoder", *ways.values()], rows, note)


def hands(results: Results) -> Table:
    """Hand gestures."""
    found = results["digits-honest"]["hands"]
    rows = [
        [
            f"`{name}`", share(row["accuracy"]), " to ".join(map(share, row["accuracy_interval"])),
            row.get("frames", 5), len(row.get("per_seed", [None])), row["epochs"], minutes(row),
        ]
        for name, row in found.items()
    ]  # fmt: skip
    first = next(iter(found.values()))
    rows.append(["majority class", share(first["majority_share"]), *[""] * 5])
    note = (
        f"{first['training']} training and {first['videos']} test clips of gray frames. *two-stage*: the encoder is "
        "pre-trained on digits and frozen. The interval is over test clips, for one training; minutes: of one training."
    )
    columns = ["model", "clips correct, %", "95 % interval", "frames of a clip", "seeds", "epochs", "minutes"]
    return Table(columns, rows, note)


def deformations(results: Results) -> Table:
    """Single digits under elastic deformations, and the part that models undo."""
    kinds = ("raw", "shift", "affine")
    rows: list[list[Any]] = []
    for name, models in results["digits-field"].items():
        left = models["lenet"]["error"]
        for model, row in models.items():
            error = [f"{row['error'][kind]:.2f}" for kind in kinds] if name != "none" else []
            removed = [1 - (row["error"][kind] / left[kind]) ** 2 for kind in kinds] if error else []
            cells = [with_interval(row), share(row["validation"]), *(error or [""] * 3)]
            rows.append([name, f"`{model}`", *cells, " · ".join(share(part, 0) for part in removed)])
    grids = " and ".join(
        f"{share(1 - (of['lenet']['error']['grid'] / of['lenet']['error']['raw']) ** 2, 0)} % ({name})"
        for name, of in results["digits-field"].items()
        if name != "none"
    )
    some = results["digits-field"]["smooth"]["lenet"]
    note = (
        "Accuracy in % on test digits ± half of its 95 % interval. Seeds, over which figures are means: "
        f"{len(some['per_seed'])} (`none`, `field-supervised`: 1); {some['images']:,} training images each. *left*: "
        "root mean squared displacement, in pixels and on ink, between the image that LeNet gets and the digit before "
        "the deformation; then after subtracting the best shift, and the best affine transform, which a classifier "
        "may tolerate. *removed*: the share of the squared displacement that is removed, for each of the three. "
        f"The best {POINTS} × {POINTS} grid removes {grids} of the first. `field-supervised` is also trained on the "
        "true fields."
    )
    columns = ["deformation", "model", "accuracy", "validation", "left", "less shift", "less affine", "removed, %"]
    return Table(columns, rows, note)


TABLES = {
    "digits-paper": paper,
    "digits-better": better,
    "digits-readings": readings,
    "digits-baselines": baselines,
    "digits-layers": layers,
    "digits-differences": differences,
    "digits-claims": claims,
    "digits-honest": held_out,
    "glimpses": glimpses,
    "pretraining": pretraining,
    "stn-window": window_sizes,
    "memory": memory,
    "hands": hands,
    "digits-field": deformations,
}
# The results files that a table needs, if they are not the file with its name.
NEEDED = {
    "digits-better": {"digits-paper"},
    "digits-readings": {"digits-paper", "digits-honest"},
    "digits-baselines": {"digits-paper"},
    "digits-layers": set(),
    "digits-differences": {"digits-paper", "digits-honest", "pretraining"},
    "digits-claims": {"digits-paper", "digits-honest"},
    "stn-window": {"pretraining"},
    "memory": {"digits-honest"},
    "hands": {"digits-honest"},
}
