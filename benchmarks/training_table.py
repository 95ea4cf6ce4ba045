"""The tables of what training costs, made from the results of `bench_training.py`."""

from collections.abc import Callable

from digit_tables import Results, table

NAME = "bench-training"


def large_batch(results: Results) -> str:
    """A step of the batch that must fit into 8 GB."""
    figures = results[NAME]
    rows = [
        [f"`{name}`", *(f"{both[precision]['gib']:.2f} · {both[precision]['seconds']:.1f}" for precision in both)]
        for name, both in figures["large"].items()
    ]
    note = (
        f"Peak of the process in GiB (8 GB are 7.45) · seconds, a step of {figures['batch']['large']} videos of 30 "
        f"frames, 7×7×512 features, {figures['hidden']} hidden channels, on {figures['threads']} threads. "
        f"{figures['libraries_gib']:.2f} GiB of each peak are libraries."
    )
    return table(["model", "fp32", "bf16"], rows) + f"\n{note}\n"


def every_point(results: Results) -> str:
    """All points: steps by frames and by grid, epochs by clips."""
    figures, parts = results[NAME], []
    words = {"frames": "frames, 7×7 places", "grid": "places along a side, 30 frames"}
    for key, title in words.items():
        found = {name: points[key] for name, points in figures["step"].items()}
        cells = {
            name: [f"{at['seconds']:.2f} · {at['gib']:.2f}" for at in points.values()] for name, points in found.items()
        }
        along = list(next(iter(found.values())))
        rows = [[f"`{name}`", *row] for name, row in cells.items()]
        note = f"Seconds · GiB of a step of {figures['batch']['step']} videos, {figures['precision']}."
        parts.append(table([title, *along], rows) + f"\n{note}\n")
    rows = [
        [f"`{name}`", *(f"{at['seconds']:.2f} ({at['reading'] / at['seconds']:.1%})" for at in points.values())]
        for name, points in figures["epoch"].items()
    ]
    clips = list(next(iter(figures["epoch"].values())))
    note = (
        f"Seconds of an epoch in batches of {figures['batch']['epoch']}, {figures['precision']}; in brackets the share "
        "that reading from the disk took."
    )
    return "\n".join([*parts, table(["clips of 30 frames, 7×7 places", *clips], rows) + f"\n{note}\n"])


def plots(results: Results) -> str:
    """The image that the benchmark draws next to its results."""
    return "![Seconds and peak memory of a step by frames and by grid, and of an epoch by clips](training-cost.png)\n"


def both(results: Results) -> str:
    """All there is."""
    return f"{large_batch(results)}\n{every_point(results)}"


TABLES: dict[str, Callable[[Results], str]] = {NAME: both, "training-memory": large_batch, "training-plots": plots}
NEEDED = {name: {NAME} for name in TABLES}
