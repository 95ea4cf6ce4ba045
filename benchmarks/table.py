"""Make results/README.md (the list of results files) and the tables in docs/ from the JSON files in
results/.
"""

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from typing import Any

import harness

from onlooker.report.page import Table
from onlooker_papers.tables import code, fill, read_results

# The modules that declare tables.
_PAPERS = ("digits", "encoder", "hmdb10", "real_clips", "videolstm")
_DECLARING = (
    "onlooker_papers.claims",
    *(f"onlooker_papers.{paper}.tables" for paper in _PAPERS),
    "tables",  # of benchmarks
)

_TITLE = """# Results

One row per file, made by `python benchmarks/table.py`. Each file was written by its command; the rows of a file, with
settings and origin, are in `cells/`. Commands of before 2026-11-23 begin with `saccade`, the former name of `onlooker`.
[Answered questions](answered.md): experiments that were deleted, with their answers. [Goals](goals.md) on real
clips, and what was reached.
"""
# Patterns of a file's headline figures; other files show what matches the first of `_ANY` that
# matches something.
_HEADLINES = {
    "bench-live-page": ("*.delay_ms",),
    "calibration": ("*.error",),
    "digits-honest": ("normal", "rotation", "scale", "rotation+scale", "gesture"),
    "digits-paper": ("cells.normal.*.lstm-keras.same-videos.accuracy",),
    "few-shot": ("*.1", "*.5"),
    "glimpses": ("single", "several"),
    "hmdb10-real": ("models.*.frame_accuracy",),
    "motion-words": ("*.shipped", "*.learned"),
    "moving-target": ("accuracy.motion", "accuracy.convalstm", "video_map_50"),
    "network-guard": ("train.attempts", "predict.attempts", "serve.attempts"),
    "own-clips": ("*.default",),
    "pretraining": ("*.long.accuracy",),
    "real-clips": ("*.accuracy.motion",),
    "robustness": ("after.all.tried", "after.all.crashed", "after.all.hung", "after.all.silent"),
    "states": ("*.states.offline.segmental_f1.50", "*.states.live.segmental_f1.50"),
    "videolstm-real": ("*.rows.convalstm-rgb.accuracy",),
    "when": ("*.segment_map.offline.0.5",),
    "where-own": ("*.center_in_box",),
    "where-real": ("video_map_20", "peak_in_box"),
}
_ANY = ("ratio", "ratios.*", "*.accuracy", "accuracy", "*accuracy*", "seconds", "*")
_SHOWN = 5


def flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of nested figures, by names joined by dots."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            yield prefix + name, value


def headline(name: str, figures: Mapping[str, Any]) -> str:
    """The main figures of a results file."""
    numbers = dict(flat(figures))
    found = [
        key for pattern in _HEADLINES.get(name, ()) for key in numbers if fnmatch(key, pattern)
    ]
    first = next((pattern for pattern in _ANY if any(fnmatch(key, pattern) for key in numbers)), "")
    found = found or [key for key in numbers if fnmatch(key, first)]
    return ", ".join(f"{key} {numbers[key]:.4g}" for key in found[:_SHOWN])


def command(text: str) -> str:
    """The beginning of the first command of a file, which has all of it; and the last commit of a
    command that was deleted.
    """
    run, deleted, commit = text.partition(" (last in commit ")
    begin = code(shorten(re.split(r" && |; then ", run)[0], 90, placeholder=" …"))
    return f"{begin}{deleted}{commit}"


def listed(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row per results file."""
    rows = [
        [
            f"[{name}]({name}.json)",
            re.split(r"[.;]\s", of["what"])[0],
            of["date"],
            command(of["command"]),
            headline(name, of["figures"]),
        ]
        for name, of in results.items()
    ]
    return Table(["file", "what", "date", "command", "headline"], rows)


def ratios(results: Mapping[str, Mapping[str, Any]]) -> list[list[object]]:
    """A row per comparison with a peer in the same run: its file, its name, and the peer's time
    divided by ours.
    """
    return [
        [name.removeprefix("bench-"), *key.split(".", 1)[1:], value]
        for name, of in results.items()
        for key, value in flat(of["figures"])
        if name.startswith("bench-") and key.startswith("ratios.")
    ]


def write_text(path: Path, text: str) -> None:
    """Write a file if its text has changed: a temporary file that is then renamed."""
    if harness.smoke() or (path.exists() and path.read_text("utf-8") == text):
        return
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, "utf-8")
    print(temporary.replace(path))


def main() -> None:
    for module in _DECLARING:
        import_module(module)
    results = {
        path.stem: json.loads(path.read_text("utf-8"))
        for path in sorted(harness.RESULTS.glob("*.json"))
    }
    write_text(harness.RESULTS / "README.md", f"{_TITLE}\n{listed(results).markdown()}")
    harness.show(
        "Times of peers and of other ways, divided by ours",
        ["benchmark", "peer", "ratio"],
        ratios(results),
    )
    figures_of = read_results(harness.RESULTS)
    of_results = (harness.ROOT / "README.md", harness.RESULTS / "goals.md")
    for page in (*of_results, *sorted((harness.ROOT / "docs").glob("*.md"))):
        write_text(page, fill(page.read_text("utf-8"), figures_of))


if __name__ == "__main__":
    harness.parser(__doc__).parse_args()
    main()
