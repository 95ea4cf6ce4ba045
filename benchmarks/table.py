"""Make results/README.md (all results) and the tables in docs/ from the JSON files in results/."""

import json
import re
from pathlib import Path
from typing import Any

import harness
import tables

from onlooker.evaluation.report import Table, percent
from onlooker_papers.digits import tables as digits
from onlooker_papers.encoder import tables as encoder
from onlooker_papers.figures import tables as figures
from onlooker_papers.hmdb10 import tables as hmdb10
from onlooker_papers.real_clips import tables as real_clips
from onlooker_papers.tables import TABLES, Declared, fill, table
from onlooker_papers.videolstm import real_tables as videolstm_real
from onlooker_papers.videolstm import tables as videolstm

_MODULES: tuple[Any, ...] = (digits, encoder, figures, hmdb10, real_clips, tables, videolstm, videolstm_real)
for _module in _MODULES:  # modules that have not adopted `onlooker_papers.tables.table`
    for _name, _make in getattr(_module, "TABLES", {}).items():
        if not isinstance(_make, Declared):
            table(_name, *getattr(_module, "NEEDED", {}).get(_name, ()))(_make)

_TITLE = """# Results

Made by `python benchmarks/table.py` from the JSON files here, which their commands wrote. Commands of before 2026-11-23
begin with `saccade`, the former name of `onlooker`.
"""
_FOLDED = 300  # characters of commands that are shown; more are folded


def flat(figures: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested figures as one level, names joined by dots."""
    rows: dict[str, Any] = {}
    for name, value in figures.items():
        rows |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return rows


def cell(value: Any) -> str:
    """A figure as text."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(cell, value)) or "none"
    return str(value)


def compared(name: str, figures: dict[str, Any]) -> str:
    """Markdown of a comparison of models on one set of clips: one row per model."""
    rows = [["majority class", percent(figures["majority"]), "", ""]]
    for model, accuracy in figures["accuracy"].items():
        spread = figures["spread"][model]
        deviation = "" if spread is None else f"± {100 * spread:.1f}"
        rows.append([model, percent(accuracy), deviation, percent(figures["frame_accuracy"][model])])
    budget = ", ".join(f"{key} {value}" for key, value in figures["budget"].items())
    counts = f"{figures['test_videos']} test videos, splits: {figures['splits']}, weights {figures['weights']}"
    table = Table(["model", "videos correct", "over seeds", "frames correct"], rows)
    return f"### {name}\n\n{counts}; {budget}.\n\n{commands(figures['command'], {})}\n\n{table.markdown()}"


def commands(command: str, origins: dict[str, list[str]]) -> str:
    """Markdown of the commands that made the rows, and the version of each; folded if this is long."""
    versions = {f"version {by.removesuffix(f': {command}')}": rows for by, rows in origins.items()}
    made_by = [f"{by} ({', '.join(rows)})" if len(versions) > 1 else by for by, rows in versions.items()]
    lines = [*(f"`{each}`" for each in re.split(r" && |; then (?:rows anew, )?", command)), *made_by]
    text = f"{', '.join(lines)}."
    if len(text) <= _FOLDED:
        return text
    listed = "\n".join(f"- {line}" for line in lines)
    return f"<details><summary>Commands, and the version that made each row</summary>\n\n{listed}\n\n</details>"


def section(name: str, results: dict[str, dict[str, Any]]) -> str:
    """Markdown of one results file: what was measured, how, and the figures."""
    result = results[name]
    machine, figures = result["machine"], result["figures"]
    seeds = ", ".join(map(str, result["seeds"])) or "none"
    head = f"## {name}\n\n{result['what']}\n\n{result['date']}, {machine['cpu']}, {machine['cores']} cores. "
    head += f"Seeds: {seeds}.\n\n{commands(result['command'], result.get('origin', {}))}\n\n"
    if all(isinstance(value, dict) and {"majority", "spread"} <= set(value) for value in figures.values()):
        return head + "\n".join(compared(key, value) for key, value in figures.items())
    needing = [declared for declared in TABLES.values() if name in declared.files and declared.files <= set(results)]
    if needing and not name.startswith("bench-"):
        return head + "\n".join(declared.make(_figures(results)).markdown() for declared in needing)
    return head + Table(["figure", "value"], [[key, cell(value)] for key, value in flat(figures).items()]).markdown()


def _figures(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: result["figures"] for name, result in results.items()}


def write_text(path: Path, text: str) -> None:
    """Write a file if its text has changed: a temporary file that is then renamed."""
    if path.exists() and path.read_text("utf-8") == text:
        return
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, "utf-8")
    print(temporary.replace(path))


def main() -> None:
    results = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(harness.RESULTS.glob("*.json"))}
    contents = " · ".join(f"[{name}](#{name})" for name in results)
    text = "\n".join([f"{_TITLE}\n{contents}\n", *(section(name, results) for name in results)])
    write_text(harness.RESULTS / "README.md", text)
    figures = _figures(results)
    for page in sorted((harness.ROOT / "docs").glob("*.md")):
        write_text(page, fill(page.read_text("utf-8"), figures))


if __name__ == "__main__":
    main()
