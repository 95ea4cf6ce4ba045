"""Makes results/README.md, the table of all results, and the tables in docs/, from the JSON files in results/."""

import json
import re
from pathlib import Path
from typing import Any

import digit_tables
import figure_tables
import harness
import real_clips_tables
import training_table
import videolstm_tables

_MODULES = (digit_tables, figure_tables, real_clips_tables, training_table, videolstm_tables)
TABLES = {name: make for module in _MODULES for name, make in module.TABLES.items()}
NEEDED = {name: needed for module in _MODULES for name, needed in module.NEEDED.items()}


def flat(figures: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested figures as one level, with the names joined by a dot."""
    rows: dict[str, Any] = {}
    for name, value in figures.items():
        rows |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return rows


def cell(value: Any) -> str:
    """A figure as it stands in the table."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(cell, value)) or "none"
    return str(value).replace("|", "\\|")


def compared(name: str, figures: dict[str, Any]) -> str:
    """One set of clips on which models were compared: a row a model."""
    rows = [f"| majority class | {share(figures['majority'])} | | |"]
    for model, accuracy in figures["accuracy"].items():
        spread = figures["spread"][model]
        deviation = "" if spread is None else f"± {100 * spread:.1f}"
        rows.append(f"| {model} | {share(accuracy)} | {deviation} | {share(figures['frame_accuracy'][model])} |")
    budget = ", ".join(f"{key} {value}" for key, value in figures["budget"].items())
    counts = f"{figures['test_videos']} test videos, splits: {figures['splits']}, weights {figures['weights']}"
    head = f"### {name}\n\n`{figures['command']}`\n\n{counts}; {budget}.\n\n"
    return (
        head
        + "| model | videos correct | over seeds | frames correct |\n|---|---:|---:|---:|\n"
        + "\n".join(rows)
        + "\n"
    )


def share(value: float) -> str:
    """A share as per cent."""
    return f"{100 * value:.1f} %"


def origin(origins: dict[str, list[str]]) -> str:
    """Which version or command made which rows."""
    if len(origins) == 1:
        return next(iter(origins))
    return "; ".join(f"{made_by} ({', '.join(rows)})" for made_by, rows in origins.items())


def section(name: str, results: dict[str, dict[str, Any]]) -> str:
    """One of the results: what was measured, how, and its figures."""
    result = results[name]
    machine, figures = result["machine"], result["figures"]
    seeds = ", ".join(map(str, result["seeds"])) or "none"
    head = f"## {name}\n\n{result['what']}\n\n`{result['command']}`, {result['date']}, {machine['cpu']}, "
    head += f"{machine['cores']} cores. Seeds: {seeds}. Origin: {origin(result['origin'])}.\n\n"
    if all(isinstance(value, dict) and "majority" in value for value in figures.values()):
        return head + "\n".join(compared(key, value) for key, value in figures.items())
    if name in TABLES and NEEDED[name] <= set(results):
        return head + TABLES[name]({needed: results[needed]["figures"] for needed in NEEDED[name]})
    rows = "\n".join(f"| {key} | {cell(value)} |" for key, value in flat(figures).items())
    return f"{head}| figure | value |\n|---|---|\n{rows}\n"


def filled(page: str, figures: dict[str, dict[str, Any]]) -> str:
    """A page with the tables between `<!-- table: NAME -->` and `<!-- end -->` made again."""

    def made(match: re.Match[str]) -> str:
        if not NEEDED[match[2]] <= set(figures):
            print(f"table {match[2]} left as it is: no results of {', '.join(NEEDED[match[2]])}")
            return match[0]
        return f"{match[1]}\n{TABLES[match[2]](figures)}{match[3]}"

    return re.sub(r"(<!-- table: ([\w-]+) -->).*?(<!-- end -->)", made, page, flags=re.DOTALL)


def write_text(path: Path, text: str) -> None:
    """Write to a temporary file, then rename, where something has changed."""
    if path.exists() and path.read_text("utf-8") == text:
        return
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, "utf-8")
    print(temporary.replace(path))


def main() -> None:
    results = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(harness.RESULTS.glob("*.json"))}
    title = "# Results\n\nMade by `python benchmarks/table.py` from the JSON files here, which their commands wrote.\n"
    text = "\n".join([title, *(section(name, results) for name in results)])
    write_text(harness.RESULTS / "README.md", text)
    figures = {name: result["figures"] for name, result in results.items()}
    for page in sorted((harness.ROOT / "docs").glob("*.md")):
        write_text(page, filled(page.read_text("utf-8"), figures))


if __name__ == "__main__":
    main()
