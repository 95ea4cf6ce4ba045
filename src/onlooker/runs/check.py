"""Check clips before training: a table of classes, the split, ignored files, and findings, as text or JSON."""

import csv
import io
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.progress import track
from rich.table import Column, Table
from rich.text import Text

from onlooker.config import ModelConfig
from onlooker.data.clip_facts import ClipFacts, read_facts
from onlooker.data.clips import decode_each
from onlooker.data.folder import ignored_files
from onlooker.data.sets import ClipSet, read_set
from onlooker.data.split import SPLITS, Split, split_clips, split_without_test
from onlooker.files import printable, write_bytes
from onlooker.models.registry import find_recipe
from onlooker.runs.findings import Finding, fact_findings, label_findings, unreadable_findings
from onlooker.structures import Clip, ClipError

__all__ = ["Checked", "check"]

_FEW = 300  # clips; a test split of a fifth of fewer clips would be too small
_ROWS, _SHOWN = 20, 5  # classes in the table; clips or groups of clips listed per finding (JSON has all of them)


@dataclass(frozen=True)
class ClassRow:
    """One class: its clips and recordings, its clips by split, and median, lowest and highest of what was measured."""

    label: str
    clips: int
    recordings: int | None
    split: dict[str, int]
    seconds: tuple[float, ...] = ()
    frames: tuple[float, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Checked:
    """The result of checking clips before training.

    Args:
        split: the split that `onlooker train` would use, without unreadable clips; or why no split is possible.
        ignored: files in the folder that are not clips, by reason.
        left_out: clips that are listed but missing, or cannot be read.
        findings: the most important first.
    """

    clips: ClipSet
    rows: tuple[ClassRow, ...]
    split: Split | str
    ignored: Mapping[str, Sequence[Path]]
    left_out: tuple[ClipError, ...]
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "path": str(self.clips.path),
            "classes": [asdict(row) for row in self.rows],
            "no_split": self.split if isinstance(self.split, str) else None,
            "ignored": {reason: list(map(str, paths)) for reason, paths in self.ignored.items()},
            "left_out": [error.to_dict() for error in self.left_out],
            "findings": [
                {**asdict(each), "clips": [[str(path) for path in paths] for paths in each.clips]}
                for each in self.findings
            ],
        }

    def write_recordings(self, file: Path) -> None:
        """Write the recording of each clip; clips that show the same scene are put into one recording.

        For a folder of clips, the file is a `recordings.csv`; for a list, it is a new list with a column recording, and
        the same splits.

        Raises:
            FileExistsError: the file exists; it may have what this folder of clips does not show.
        """
        if file.exists():
            raise FileExistsError(f"{file}: exists; write to another file, compare them, and replace it yourself")
        listed = self.clips.path.is_file()
        root = file.parent if listed else self.clips.root
        paths = {clip.path: Path(os.path.relpath(clip.path, root)).as_posix() for clip in self.clips.clips}
        splits = {clip: split for split, part in self.clips.parts.items() if split for clip in part}
        names = {clip.path: clip.recording or paths[clip.path] for clip in self.clips.clips}
        for group in (group for each in self.findings if each.name == "same scene" for group in each.clips):
            merged = {names[path] for path in group}
            names.update({path: min(merged) for path, name in names.items() if name in merged})
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["path", "label", *["split"] * bool(splits), "recording"] if listed else ["clip", "recording"])
        for clip in self.clips.clips:
            of = [clip.label, *([splits[clip]] if splits else [])] if listed else []
            rows.writerow([paths[clip.path], *of, names[clip.path]])
        write_bytes(file, text.getvalue().encode())


def check(clips: Path | str | ClipSet, quiet: bool = False) -> Checked:
    """Read a few frames of each clip, and find problems that can spoil the training or the test.

    Args:
        clips: a folder, a list, or what `read_set` returns.

    Raises:
        ClipError: there are no clips.
    """
    clip_set = clips if isinstance(clips, ClipSet) else read_set(Path(clips), classes=1)
    paths, console = [clip.path for clip in clip_set.clips], Console(stderr=True)
    decoded = decode_each(paths, read_facts)
    read = track(decoded, "reading clips", len(paths), console=console, disable=quiet, transient=True)
    results = dict(zip(paths, read, strict=True))
    facts = {path: result for path, result in results.items() if isinstance(result, ClipFacts)}
    errors = {path: result for path, result in results.items() if isinstance(result, ClipError)}
    split: Split | str
    try:
        split = plan_split(clip_set.clips, clip_set.split, unreadable=errors)
    except ValueError as error:
        split = str(error)
    readable = [clip for clip in clip_set.clips if clip.path in facts]
    findings = [*unreadable_findings(clip_set.clips, errors, clip_set.left_out)]
    if isinstance(split, str):
        found, _, remedy = split.partition("; ")
        findings.append(Finding("no split", found, "these clips cannot be trained and tested on", remedy))
    findings += fact_findings(readable, list(facts.values()), None if isinstance(split, str) else split)
    findings += label_findings(clip_set.clips)
    rows, ignored = class_rows(clip_set.clips, split, facts), ignored_files(clip_set.path, paths)
    return Checked(clip_set, rows, split, ignored, (*clip_set.left_out, *errors.values()), tuple(findings))


def plan_split(
    clips: Sequence[Clip],
    given: Split | None = None,
    model: str = ModelConfig.name,
    seed: int = 0,
    unreadable: Collection[Path] = (),
) -> Split:
    """The split that training uses: the given one, or one of all clips that can be read.

    If there are fewer than 300 clips, no given split, and the model is trained in seconds, it is fitted to all clips
    and tested by cross-validation.

    Raises:
        ValueError: a class has too few clips or recordings.
    """
    if given:
        return given.without(unreadable)
    readable = [clip for clip in clips if clip.path not in unreadable]
    few = len(readable) < _FEW and find_recipe(model).solver == "linear"
    return split_without_test(readable, seed) if few else split_clips(readable, seed)


def class_rows(
    clips: Sequence[Clip], split: Split | str, facts: Mapping[Path, ClipFacts] | None = None
) -> tuple[ClassRow, ...]:
    """One row per class, sorted by name; with measurements of the clips if `facts` are given."""
    part_of = {} if isinstance(split, str) else {clip: name for name in SPLITS for clip in getattr(split, name)}
    rows = []
    for label in sorted({clip.label for clip in clips}):
        of = [clip for clip in clips if clip.label == label]
        recordings = {clip.recording for clip in of} - {None}
        parts = Counter(part_of[clip] for clip in of if clip in part_of)
        known = [facts[clip.path] for clip in of if clip.path in facts] if facts else []
        sizes = Counter(f"{clip.size[1]}x{clip.size[0]}" for clip in known)
        spans = _span([clip.seconds for clip in known]), _span([clip.frames for clip in known])
        rows.append(ClassRow(label, len(of), len(recordings) or None, dict(parts), *spans, dict(sizes.most_common())))
    return tuple(rows)


def _span(values: Sequence[float]) -> tuple[float, ...]:
    return (float(np.median(values)), float(min(values)), float(max(values))) if values else ()


def show_classes(
    console: Console, folder: Path, rows: Sequence[ClassRow], ignored: Mapping[str, Sequence[Path]]
) -> None:
    """Print the table of classes, and the ignored files with their paths in `folder`; it fits into 80 columns."""
    columns = ["clips", "train/val/test"]
    if any(row.sizes for row in rows):  # else clips were not read
        columns += ["seconds", "size"]
    if any(row.recordings for row in rows):
        columns.append("recordings")
    numbers = (Column(name, justify="right", no_wrap=True) for name in columns)
    table = Table(Column("class", overflow="fold"), *numbers, box=box.SIMPLE_HEAD, pad_edge=False)
    total = ClassRow("all", sum(row.clips for row in rows), None, sum((Counter(row.split) for row in rows), Counter()))
    more = [ClassRow(f"and {len(rows) - _ROWS} more", 0, None, {})] if len(rows) > _ROWS else []
    for row in [*rows[:_ROWS], *more, total]:
        split = "/".join(str(row.split.get(name, 0)) for name in SPLITS) if row.split else ""
        size = next(iter(row.sizes), "") + (f" +{len(row.sizes) - 1}" if len(row.sizes) > 1 else "")
        cells = {
            "clips": row.clips or "",
            "train/val/test": split,
            "seconds": _in_words(row.seconds),
            "size": size,
            "recordings": row.recordings or "",
        }
        table.add_row(*(Text(printable(cell)) for cell in (row.label, *(cells[name] for name in columns))))
    console.print(table)
    if total.split and not total.split["test"]:
        console.print("no test split: every clip is tested by cross-validation")
    for reason, paths in ignored.items():
        names = ", ".join(_within(folder, paths[:_SHOWN])) + (", ..." if len(paths) > _SHOWN else "")
        console.print(Text(printable(f"ignored, {reason}: {len(paths)} ({names})")))


def _within(folder: Path, paths: Sequence[Path]) -> list[str]:
    return [Path(os.path.relpath(path, folder)).as_posix() for path in paths]


def _in_words(span: tuple[float, ...]) -> str:
    """A median with the lowest and the highest value."""
    text = [f"{round(value, 1):g}" for value in span]
    return f"{text[0]} ({text[1]}-{text[2]})" if len(set(text)) > 1 else "".join(text[:1])


def show_overview(path: Path, clips: Sequence[Clip], split: Split) -> None:
    """Print the table of classes before training, and whether there are findings; nothing is decoded."""
    console = Console()
    show_classes(console, path, class_rows(clips, split), ignored_files(path, [clip.path for clip in clips]))
    if count := len(list(label_findings(clips))):
        text = f"{count} finding{'s'[: count > 1]} about these clips: run `onlooker check {path}`"
        console.print(Text(printable(text)), soft_wrap=True)


def show(checked: Checked) -> None:
    """Print the table of classes and the findings."""
    console = Console()
    show_classes(console, checked.clips.path, checked.rows, checked.ignored)
    for number, finding in enumerate(checked.findings, 1):
        console.print()
        console.print(Text(printable(f"{number}. {finding.found}"), "bold"))
        for text in (f"Why: {finding.why}.", f"What to do: {finding.remedy}."):
            console.print(Padding(Text(printable(text)), (0, 0, 0, 3)))
        for paths in finding.clips[:_SHOWN]:
            names = _within(checked.clips.root, paths)
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            console.print(Text(printable(f"   {' = '.join(names[:_SHOWN])}{more}")), soft_wrap=True)
        if len(finding.clips) > _SHOWN:
            console.print(f"   and {len(finding.clips) - _SHOWN} more (--json lists all)")
    if not checked.findings:
        console.print("no problems found")
