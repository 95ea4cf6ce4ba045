"""The tables of the digit experiments, for the report and for docs/, from the figures of their results files."""

from collections.abc import Mapping
from typing import Any

from onlooker.evaluation.report import Table
from onlooker_papers.digits.held_out import CEILINGS, FRAMES, SHORT, of_encoder
from onlooker_papers.digits.pretraining import PUBLISHED, RECIPES

Results = Mapping[str, Mapping[str, Any]]  # figures by the name of the results file


def share(value: float, digits: int = 1) -> str:
    """A share in percent, without the sign."""
    return f"{100 * value:.{digits}f}"


def with_interval(row: Mapping[str, Any]) -> str:
    """An accuracy ± half of its 95 % interval, and in parentheses that after the first frames."""
    low, high = row["accuracy_interval"]
    short = f" ({share(row['short_accuracy'])})" if "short_accuracy" in row else ""
    return f"{share(row['accuracy'])} ± {share((high - low) / 2)}{short}"


def minutes(row: Mapping[str, Any]) -> str:
    """Minutes of a training, with tenths if there are few."""
    return f"{row['minutes']:.0f}" if row["minutes"] >= 1 else f"{row['minutes']:.1f}"


def paper(results: Results) -> Table:
    """Table I: as published, under four readings of the test videos, and on held-out pairs."""
    figures, models = results["digits-paper"], results.get("digits-honest", {}).get("models", {})
    rows = []
    for variant, encoders in figures["cells"].items():
        for encoder in encoders:
            if encoder not in figures["published"][variant]:
                continue
            loss, accuracy = figures["published"][variant][encoder]
            cells = [encoders[encoder]["lstm"][reading] for reading in figures["readings"]]
            held_out = of_encoder(models.get(variant, {}), encoder)
            rows.append(
                [
                    variant,
                    encoder,
                    f"{loss:.2f} · {share(accuracy, 2)}",
                    *(f"{c['loss']:.2f} · {share(c['accuracy'])} ± {share(c['accuracy_spread'])}" for c in cells),
                    None if held_out is None else share(held_out["accuracy"]),
                ]
            )
    readings = "; ".join(f"*{name}*: {meaning}" for name, meaning in figures["readings"].items())
    frozen = ", ".join(f"`{e}` {of['recipe']}, {of['passes']:g} epochs" for e, of in figures["frozen"].items())
    note = (
        f"Loss · accuracy in %, means over {figures['rounds']['lstm']} rounds ± their standard deviation, "
        f"{figures['frames']} frames; test videos: {readings}. Frozen encoders: {frozen}. *held-out*: unseen digits on "
        "unseen paths, 55 unordered pairs, the encoder frozen or trained end to end as validation chose."
    )
    return Table(["variant", "encoder", "published", *figures["readings"], "held-out"], rows, note)


def baselines(results: Results) -> Table:
    """The paper's other models, compared with the LSTM on LeNet's features."""
    figures = results["digits-paper"]
    rounds = {**figures["rounds"], **figures["baselines"]}
    inputs = {"lstm": "lenet", "gru": "lenet", "mlp": "lenet", "conv3d": "pixels"}
    readings = ("same-videos", "new")

    def accuracies(variant: str, kind: str) -> str | None:
        row = figures["cells"][variant].get(inputs[kind], {}).get(kind)
        return " · ".join(share(row[reading]["accuracy"]) for reading in readings) if row else None

    rows = [
        [f"`{kind}`", f"{rounds[kind]}", *(accuracies(v, kind) for v in figures["cells"])]
        for kind in inputs
        if rounds.get(kind)
    ]
    words = " · ".join(f"*{reading}*" for reading in readings)
    note = f"Accuracy in %, {words}. The input of `conv3d` is pixels, that of the others is LeNet's features."
    return Table(["model", "rounds", *figures["cells"]], rows, note)


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
        f" `{name}` starts its groups of five frames where digits change their look; two frames later, its accuracy is "
        f"{share(row['out_of_phase'])} %."
        for of_variant in models.values()
        for name, row in of_variant.items()
        if "out_of_phase" in row
    ]
    note = (
        f"Accuracy in % on whole videos of {FRAMES} frames ± half of its 95 % interval, in parentheses after the first "
        f"{SHORT}. Chosen by validation: {picked}. *two-stage*: the encoder is pre-trained on single digits and "
        "frozen; *end-to-end*: everything is trained. Training videos and minutes (of the longest training) include "
        "those of the model that a training starts from, not the pre-training of the encoders."
    ) + "".join(later)
    return Table(["model", *models, "training videos · minutes"], rows, note)


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
        "over frames, no LSTM. A window is on a digit if the center of each lies inside the other; two windows need a "
        "digit each."
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
        for recipe, row in recipes.items()
    ]
    old, own, long = RECIPES.values()
    note = (
        "Loss · accuracy in % on MNIST's test digits, scaled; parameters with `Linear(500, 10)`. *published*: Adadelta "
        f"at {old.lr:g}, batch {old.batch}, 5 epochs; *one-cycle*: AdamW up to {own.lr:g} and back to 0 (`dcn` half of "
        f"it), batch {own.batch}; *long*: the same up to {long.lr:g}, batch {long.batch}."
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


def memory(results: Results) -> Table:
    """Peak memory by encoder and way of training."""
    ways = {"two_stage": "two-stage", "end_to_end": "end to end", "end_to_end_kept": "without recomputation"}
    peaks = results["digits-honest"]["memory_gb"]
    rows = [[f"`{e}`", *(f"{of[way]:.2f}" if way in of else None for way in ways)] for e, of in peaks.items()]
    note = (
        "Peak memory in GB, libraries included, of a process that trains an LSTM(128) on the encoder: 16 videos of 10 "
        "frames, AdamW. Gradients of `dcn` compute its convolutions a second time. The paper ran out of 12 GB."
    )
    return Table(["encoder", *ways.values()], rows, note)


def hands(results: Results) -> Table:
    """Hand gestures."""
    found = results["digits-honest"]["hands"]
    rows = [
        [f"`{name}`", share(row["accuracy"]), " to ".join(map(share, row["accuracy_interval"])), minutes(row)]
        for name, row in found.items()
    ]
    first = next(iter(found.values()))
    rows.append(["majority class", share(first["majority_share"]), "", ""])
    note = (
        f"{first['training']} training and {first['videos']} test clips, {first['epochs']} epochs each, five gray "
        "frames per clip. *two-stage*: the encoder is pre-trained on digits and frozen."
    )
    return Table(["model", "clips correct, %", "95 % interval", "minutes"], rows, note)


TABLES = {
    "digits-paper": paper,
    "digits-baselines": baselines,
    "digits-honest": held_out,
    "glimpses": glimpses,
    "pretraining": pretraining,
    "memory": memory,
    "hands": hands,
}
# The results that a table needs, where they are not the file of its name.
NEEDED = {
    "digits-paper": {"digits-paper", "digits-honest"},
    "digits-baselines": {"digits-paper"},
    "memory": {"digits-honest"},
    "hands": {"digits-honest"},
}
