"""Tables of the benchmarks for docs/, from the figures in their results files."""

from onlooker.evaluation.report import Table
from onlooker_papers.tables import Results, share

TRAINING = "bench-training"
_DIGITS = ("bench-deformable", "bench-channel-offset", "bench-digits", "bench-rounds")


def training_memory(results: Results) -> Table:
    """Peak memory and time of a step with the batch that must fit into 8 GB."""
    figures = results[TRAINING]
    rows = [
        [f"`{name}`", *(f"{both[precision]['gib']:.2f} · {both[precision]['seconds']:.1f}" for precision in both)]
        for name, both in figures["large"].items()
    ]
    note = (
        f"Peak of the process in GiB (8 GB are 7.45) · seconds, a step of {figures['batch']['large']} videos of 30 "
        f"frames, 7×7×512 features, {figures['hidden']} hidden channels, on {figures['threads']} threads. "
        f"{figures['libraries_gib']:.2f} GiB of each peak are libraries."
    )
    return Table(["model", "fp32", "bf16"], rows, note)


def training_steps(results: Results, key: str = "frames", title: str = "frames, 7×7 grid") -> Table:
    """Time and memory of a step by frames or by grid."""
    figures = results[TRAINING]
    points = {name: of[key] for name, of in figures["step"].items()}
    rows = [
        [f"`{name}`", *(f"{at['seconds']:.2f} · {at['gib']:.2f}" for at in of.values())] for name, of in points.items()
    ]
    note = f"Seconds · GiB of a step of {figures['batch']['step']} videos, {figures['precision']}."
    return Table([title, *next(iter(points.values()))], rows, note)


def training_grid(results: Results) -> Table:
    """Time and memory of a step by grid."""
    return training_steps(results, "grid", "side of the grid, 30 frames")


def training_epochs(results: Results) -> Table:
    """Time of an epoch by clips."""
    figures = results[TRAINING]
    rows = [
        [f"`{name}`", *(f"{at['seconds']:.2f} ({at['reading'] / at['seconds']:.1%})" for at in points.values())]
        for name, points in figures["epoch"].items()
    ]
    note = (
        f"Seconds of an epoch in batches of {figures['batch']['epoch']}, {figures['precision']}; in parentheses the "
        "share of reading from disk."
    )
    return Table(["clips of 30 frames, 7×7 grid", *next(iter(figures["epoch"].values()))], rows, note)


def digit_limits(results: Results) -> Table:
    """Speed of the parts of the digit experiments, the operations that take most of their time, and the limit."""
    conv, offset, digits, rounds = (results[name] for name in _DIGITS)

    def spent(profile: dict[str, float]) -> str:
        largest = list(profile.items())[:3]
        return ", ".join(f"`{name}` {share(part, 0)} %" for name, part in largest if name != "all others")

    rows = [
        [
            f"deformable convolution, {layer}",
            f"{conv['ratios'][f'{layer} torchvision']:.1f} × torchvision",
            spent(profile),
            f"a plain convolution takes {share(conv['ratios'][f'{layer} plain convolution'], 0)} % of our time",
        ]
        for layer, profile in conv["profile"].items()
    ]
    rows += [
        [
            f"channel offsets, {case}",
            f"{offset['ratios'][f'{case} channel by channel']:.1f} × `grid_sample` channel by channel",
            spent(profile),
            f"one `grid_sample` with the channels in the batch takes "
            f"{offset['ratios'][f'{case} channels as pictures']:.1f} times ours",
        ]
        for case, profile in offset["profile"].items()
    ]
    large, every = rounds["of_large_products"], rounds["of_gemm"]
    rows.append(
        [
            "300 rounds of LSTM(8)",
            f"{rounds['ratio']:.0f} × Keras, {rounds['ratios']['torch']:.1f} × torch",
            f"the two large products {share(large, 0)} %, the other products {share(every - large, 0)} %",
            f"{share(every, 0)} % of the speed of its matrix products",
        ]
    )
    rows += [
        [
            f"videos, {variant}",
            f"{digits['ratios'][variant]:.1f} × a loop over frames",
            spent(profile),
            f"{share(digits['of_copy'][variant])} % of a copy's speed",
        ]
        for variant, profile in digits["profile"].items()
    ]
    note = "On two threads, forward and backward; shares of the time on one thread."
    return Table(["what", "speed", "where its time goes", "limit"], rows, note)


def robustness(results: Results) -> Table:
    """Verdicts of the attack corpus by class of attack, before and after the fixes."""
    parts = results["robustness"]
    groups = list(dict.fromkeys(name for figures in parts.values() for name in figures["classes"]))
    of_part = {part: {**figures["classes"], "all": figures["all"]} for part, figures in parts.items()}
    columns = list(next(iter(parts.values()))["all"])
    rows = []
    for group in [*groups, "all"]:
        counts = [of_part[part].get(group, {}) for part in parts]
        rows.append([group, *(" → ".join(f"{each.get(column, '–')}" for each in counts) for column in columns)])
    notes = [
        f"{part} (library of commit {figures['commit']}): {figures['cases']:,} cases; most memory beyond the library "
        f"{figures['most_memory']['mib']} MiB ({figures['most_memory']['case']}); most processor time "
        f"{figures['most_seconds']['seconds']} s ({figures['most_seconds']['case']})"
        for part, figures in parts.items()
    ]
    limits = next(iter(parts.values()))["limits"]
    note = f"{'; '.join(notes)}. Limits of a case: {limits['mib']} MiB, {limits['processor_seconds']:g} s of one core."
    return Table(["class", *columns], rows, note)


def live_page(results: Results) -> Table:
    """The camera in the page, and behind pages of other libraries."""
    figures = dict(results["bench-live-page"])
    versions = figures.pop("versions", {})
    rows = [
        [" ".join(filter(None, (name, versions.get(name)))), f"{of['answers_per_second']:.0f}", f"{of['delay_ms']:.0f}"]
        for name, of in figures.items()
    ]
    return Table(
        ["page", "answers per second", "delay in ms"], rows, "`PEERS=python python benchmarks/bench_live_page.py`"
    )


def browser(results: Results) -> Table:
    """The exported step in a browser."""
    figures = results["bench-browser"]
    rows = [
        [f"Chromium, {figures['runtime'].replace('@', ' ')}", figures["milliseconds"]],
        ["onnxruntime in Python", figures["milliseconds_python"]],
    ]
    note = (
        "A frame on one thread, in ms: encoder `small` and `convalstm` with 32 channels, 112×112 pixels. Largest "
        f"difference of a score over {figures['frames']} frames: {figures['largest_difference']:.1e}. "
        "`python benchmarks/bench_browser.py`"
    )
    return Table(["step", "ms"], rows, note)


def live_models(results: Results) -> Table:
    """Our live model and others on one core."""
    figures = results["bench-live"]
    ways = {"torch": "PyTorch", "bf16": "in bfloat16", "onnxruntime": "onnxruntime", "int8": "in 8 bits"}
    rows = []
    for name, of in figures["milliseconds"].items():
        size, times = figures["sizes"][name], [f"{of[way]:.1f}" for way in ways]
        parameters = f"{size['parameters'] / 1e6:.1f} M"
        state = size["state_tensors"], f"{size['state_megabytes']:.2f}"
        rows.append([f"`{name}`", *times, parameters, f"{size['megabytes']:.0f}", *state])
    note = (
        f"A frame of {figures['pixels']} pixels on one core, in ms; *at {figures['own_pixels']}*: of as many pixels as "
        "the encoder was trained on. `onlooker`: encoder `small` and `convalstm` with 32 channels. "
        "`python benchmarks/bench_live.py`"
    )
    return Table(["model", *ways.values(), "parameters", "MB of memory", "tensors of state", "MB of state"], rows, note)


def int8(results: Results) -> Table:
    """What 8 bits gain and cost."""
    figures = results["bench-int8"]
    ways = {"float32": "float32", "bf16": "bfloat16", "int8": "8 bits", "openvino": "8 bits by OpenVINO"}
    ways = {way: name for way, name in ways.items() if way in figures["milliseconds"]["step"]}
    rows = [
        [part, *(f"{of[way]:.1f}" for way in ways), f"{figures['ratios'][part]:.1f}×"]
        for part, of in figures["milliseconds"].items()
    ]
    tested = "; ".join(
        f"{name} {share(of['float32'])} and {share(of['int8'])} ({of['clips']} clips)"
        for name, of in figures["accuracies"].items()
    )
    note = (
        "A frame on one core in ms: the encoder `small`, and the step of `convalstm` on it; float32 and 8 bits by "
        "onnxruntime, bfloat16 by PyTorch. Test clips that the default model classifies correctly, in %, in float32 "
        f"and in 8 bits: {tested}. `python benchmarks/bench_int8.py`"
    )
    return Table(["", *ways.values(), "8 bits over bfloat16"], rows, note)


def plan(results: Results) -> Table:
    """Kinetics-700 and a thousand cameras."""
    figures = results["plan"]
    asked = figures["plan"]
    rows = [
        [what, f"{of['core_hours']:,}", f"{of['terabytes']:.1f}", of["machines"], f"{of['hours']:,}", f"{of['cost']:,}"]
        for what, of in figures["needs"].items()
    ]
    note = (
        f"Clips of {asked['clip_megabytes']:g} MB, and maps of VGG-16 of {asked['frames']} frames of each. Cameras of "
        f"320×240 pixels and {asked['camera_rate']:g} frames a second, of which {asked['rate']:g} are classified, in 8 "
        f"bits. Machines of {asked['cores']} cores, for {asked['days']:g} days; cost at {asked['core_hour']} for an "
        f"hour of a core and {asked['terabyte_month']:g} for a month of a terabyte. `python benchmarks/plan.py`"
    )
    return Table(["what", "core-hours", "TB", "machines", "hours", "cost"], rows, note)


TABLES = {
    "training-memory": training_memory,
    "training-frames": training_steps,
    "training-grid": training_grid,
    "training-epochs": training_epochs,
    "digit-limits": digit_limits,
    "live-page": live_page,
    "browser": browser,
    "live-models": live_models,
    "int8": int8,
    "plan": plan,
    "robustness": robustness,
}
NEEDED = {name: {TRAINING} for name in TABLES} | {
    "digit-limits": set(_DIGITS),
    "live-page": {"bench-live-page"},
    "browser": {"bench-browser"},
    "live-models": {"bench-live"},
    "int8": {"bench-int8"},
    "plan": {"plan"},
    "robustness": {"robustness"},
}
