"""The tables of docs/digits.md, made from the results of `onlooker reproduce digits`."""

from collections.abc import Callable, Sequence
from typing import Any

from onlooker_papers.digits.held_out import CEILINGS, FRAMES, SHORT, of_encoder
from onlooker_papers.digits.pretraining import PUBLISHED

Results = dict[str, dict[str, Any]]  # figures by the name of their file


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown: the first column to the left, the others to the right."""
    head = f"| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}\n"
    return head + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def percent(share: float, digits: int = 1) -> str:
    """A share as per cent."""
    return f"{100 * share:.{digits}f}"


def with_interval(found: dict[str, Any]) -> str:
    """An accuracy, half the width of its 95 % interval, and that after the first frames alone."""
    low, high = found["accuracy_interval"]
    short = f" ({percent(found['short_accuracy'])})" if "short_accuracy" in found else ""
    return f"{percent(found['accuracy'])} ± {percent((high - low) / 2)}{short}"


def digits_paper(results: Results) -> str:
    """Table I: as published, under four readings of the test videos, and on unseen pairs."""
    figures, honest = results["digits-paper"], results["digits-honest"]["models"]

    def unseen(variant: str, encoder: str) -> str:
        found = of_encoder(honest[variant], encoder)
        return "–" if found is None else percent(found["accuracy"])

    rows = []
    for variant, encoders in figures["cells"].items():
        for encoder, models in encoders.items():
            if encoder not in figures["published"][variant]:
                continue
            loss, accuracy = figures["published"][variant][encoder]
            found = [models["lstm"][reading] for reading in figures["readings"]]
            cells = [f"{f['loss']:.2f} · {percent(f['accuracy'])} ± {percent(f['accuracy_spread'])}" for f in found]
            published = f"{loss:.2f} · {percent(accuracy, 2)}"
            rows.append([variant, encoder, published, *cells, unseen(variant, encoder)])
    frozen = "Frozen encoders: " + ", ".join(
        f"`{encoder}` {of['recipe']}, {of['passes']:g} passes" for encoder, of in figures["frozen"].items()
    )
    words = "; ".join(f"*{name}*: {meaning}" for name, meaning in figures["readings"].items())
    note = (
        f"Loss · accuracy in %, {figures['rounds']['lstm']} rounds, ± their spread; {words}. {frozen}. *held-out*: "
        "unseen digits on unseen paths, 55 unordered pairs, trained in two stages or end to end as validation chose."
    )
    return table(["variant", "encoder", "published", *figures["readings"], "held-out"], rows) + f"\n{note}\n"


def baselines(results: Results) -> str:
    """The paper's other models, next to the LSTM on LeNet's features."""
    figures = results["digits-paper"]
    rounds = {**figures["rounds"], **figures["baselines"]}
    where = {"lstm": "lenet", "gru": "lenet", "mlp": "lenet", "conv3d": "pixels"}
    readings = ("same-videos", "new")

    def shown(variant: str, kind: str) -> str:
        of = figures["cells"][variant].get(where[kind], {}).get(kind)
        return " · ".join(percent(of[reading]["accuracy"]) for reading in readings) if of else "–"

    rows = [[f"`{kind}`", f"{rounds[kind]}", *(shown(v, kind) for v in figures["cells"])] for kind in where]
    words = " · ".join(f"*{reading}*" for reading in readings)
    note = f"Accuracy in %, {words}. `conv3d` sees the pixels, the others LeNet's features."
    return table(["model", "rounds", *figures["cells"]], rows) + f"\n{note}\n"


def digits_honest(results: Results) -> str:
    """Accuracy of every model in every variant, and the ceilings."""
    figures = results["digits-honest"]
    models, chosen = figures["models"], figures["chosen"]
    names = list(dict.fromkeys(name for of_variant in models.values() for name in of_variant if name not in CEILINGS))

    def shown(variant: str, name: str) -> str:
        if name not in models[variant]:
            return "–"
        value = with_interval(models[variant][name])
        return f"**{value}**" if chosen[variant] == name else value

    def budget(name: str) -> str:
        found = [of_variant[name] for of_variant in models.values() if name in of_variant]
        counts = sorted({f["videos"] for f in found})
        videos = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
        return f"{videos} · {max(f['minutes'] for f in found):.0f}"

    rows = [[f"`{name}`", *(shown(variant, name) for variant in models), budget(name)] for name in names]
    for ceiling in CEILINGS:
        tops = [with_interval(models[v][ceiling]) if ceiling in models[v] else "–" for v in models]
        rows += [[f"*{ceiling}*", *tops, ""]] if set(tops) != {"–"} else []
    later = [
        f" `{name}` begins its stretches where digits change their look; two frames later, it is right in "
        f"{percent(found['out_of_phase'])} %."
        for of_variant in models.values()
        for name, found in of_variant.items()
        if "out_of_phase" in found
    ]
    note = (
        f"Accuracy in % of whole videos of {FRAMES} frames ± half of its 95 % interval, in brackets after the first "
        f"{SHORT}; **recorded**. *two-stage*: the encoder stays as "
        "single digits made it; *end-to-end*: everything learns. Videos and minutes (of the longest training) count "
        "what a model had learned from before as a whole, not the encoders' pre-training."
    ) + "".join(later)
    return table(["model", *models, "training videos · minutes"], rows) + f"\n{note}\n"


def glimpses(results: Results) -> str:
    """One window against several."""
    runs = results["glimpses"]["runs"]
    names = {
        "single": "one window (`stn`, pre-trained on single digits)",
        "one-glimpse": "one window (`stn:1`)",
        "several": "two windows (`stn:2`)",
    }
    rows = [
        [words, percent(runs[name]["accuracy"]), percent(runs[name]["on_digits"]), f"{runs[name]['parameters']:,}"]
        for name, words in names.items()
    ]
    note = (
        f"Unseen digits and paths, `normal`, end to end on {runs['single']['videos']:,} videos each, frames averaged, "
        "no LSTM. A window is on a digit if the middle of each lies inside the other; two windows need a digit each."
    )
    columns = ["encoder", "pairs correct, %", "all windows on digits, % of frames", "parameters"]
    return table(columns, rows) + f"\n{note}\n"


def pretraining(results: Results) -> str:
    """The encoders on single digits, next to what was published."""
    rows = [
        [
            f"`{encoder}`",
            f"{found['parameters']:,}",
            "{1:.3f} · {2:.2%}".format(*PUBLISHED[encoder]).rstrip("%"),
            f"{recipe}, {found['passes']:g} passes",
            f"{found['loss']:.3f} · {percent(found['accuracy'], 2)}",
            f"{found['minutes']:.0f}",
        ]
        for encoder, recipes in results["pretraining"].items()
        for recipe, found in recipes.items()
    ]
    note = (
        "Loss · accuracy in % on MNIST's test digits, scaled. *published*: Adadelta at 1.0, batch 32 "
        "(there 5 passes); *one-cycle*: AdamW up to .001 and back to 0 (`dcn` half of it), batch 64; *long*: "
        "likewise up to .0014, batch 128. Parameters with "
        "`Linear(500, 10)`: the counts of `lenet` and `dcn` are the published ones."
    )
    return table(["encoder", "parameters", "published", "here", "loss · accuracy", "minutes"], rows) + f"\n{note}\n"


def memory(results: Results) -> str:
    """Peaks by encoder and way of training."""
    peaks = results["digits-honest"]["memory_gb"]
    ways = {"two_stage": "two-stage", "end_to_end": "end to end", "end_to_end_kept": "nothing computed twice"}
    rows = [[f"`{e}`", *(f"{of[way]:.2f}" if way in of else "–" for way in ways)] for e, of in peaks.items()]
    return table(["encoder, GB", *ways.values()], rows)


def hands(results: Results) -> str:
    """Hand gestures."""
    found = results["digits-honest"]["hands"]
    if not found:
        return "Not computed: `--clips` was not given.\n"
    first = next(iter(found.values()))
    rows = [
        [
            f"`{name}`",
            percent(of["accuracy"]),
            " to ".join(percent(end) for end in of["accuracy_interval"]),
            f"{of['minutes']:.0f}",
        ]
        for name, of in found.items()
    ]
    rows.append(["*majority class*", percent(first["majority_share"]), "", ""])
    counts = f"{first['training']} training and {first['videos']} test clips"
    note = f"{counts}, {first['epochs']} epochs each, five gray frames a clip."
    return table(["model", "clips correct, %", "95 % interval", "minutes"], rows) + f"\n{note}\n"


def limits(results: Results) -> str:
    """How fast the digit experiments' own parts are, what their time goes to, and what they are held against."""
    conv, offset, digits, rounds = (results[name] for name in _BENCHMARKS)

    def spent(profile: dict[str, float]) -> str:
        largest = list(profile.items())[:3]
        return ", ".join(f"`{name}` {percent(share, 0)} %" for name, share in largest if name != "all others")

    rows = [
        [
            f"deformable convolution, {layer}",
            f"{conv['ratios'][f'{layer} torchvision']:.1f} × torchvision",
            spent(conv["profile"][layer]),
            f"a plain convolution takes {percent(conv['ratios'][f'{layer} plain convolution'], 0)} % of our time",
        ]
        for layer in conv["profile"]
    ]
    rows += [
        [
            f"channel offsets, {case}",
            f"{offset['ratios'][f'{case} channel by channel']:.1f} × `grid_sample` channel by channel",
            spent(profile),
            f"one `grid_sample` with channels as images takes "
            f"{offset['ratios'][f'{case} channels as images']:.1f} times ours",
        ]
        for case, profile in offset["profile"].items()
    ]
    large, every = rounds["of_large_products"], rounds["of_gemm"]
    rows.append(
        [
            "300 rounds of LSTM(8)",
            f"{rounds['ratio']:.0f} × Keras, {rounds['ratios']['torch']:.1f} × torch",
            f"the two large products {percent(large, 0)} %, the other products {percent(every - large, 0)} %",
            f"{percent(every, 0)} % of the speed of its own matrix products",
        ]
    )
    rows += [
        [
            f"videos, {variant}",
            f"{digits['ratios'][variant]:.1f} × a loop over frames",
            spent(profile),
            f"{percent(digits['of_copy'][variant])} % of a copy's speed",
        ]
        for variant, profile in digits["profile"].items()
    ]
    note = "On two threads, forward and backward; shares of the time on one thread."
    return table(["what", "speed", "where its time goes", "limit"], rows) + f"\n{note}\n"


TABLES: dict[str, Callable[[Results], str]] = {
    "digits-paper": digits_paper,
    "digits-baselines": baselines,
    "digits-honest": digits_honest,
    "glimpses": glimpses,
    "pretraining": pretraining,
    "memory": memory,
    "hands": hands,
    "digit-limits": limits,
}
_BENCHMARKS = ("bench-deformable", "bench-channel-offset", "bench-digits", "bench-rounds")
# table -> the results it is made from
_FILES = {"memory": "digits-honest", "hands": "digits-honest", "digits-baselines": "digits-paper"}
NEEDED = {name: {_FILES.get(name, name)} for name in TABLES} | {
    "digits-paper": {"digits-paper", "digits-honest"},
    "digit-limits": set(_BENCHMARKS),
}
