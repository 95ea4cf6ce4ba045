"""Check clips before training: a table of classes, the split, ignored files, and findings, as text or JSON."""

import csv
import io
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
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
from onlooker.data.findings import Finding, fact_findings, label_findings, unreadable_findings
from onlooker.data.folder import ignored_files
from onlooker.data.sets import ClipSet, read_set
from onlooker.data.split import SPLITS, Split, split_clips, split_without_test
from onlooker.files import printable, write_bytes
from onlooker.models.registry import find_recipe
from onlooker.structures import Clip, ClipError

__all__ = ["Checked", "check", "plan_split", "show_overview"]

_FEW = 300  # clips; a test split of a fifth of fewer clips would be too small
_ROWS, _SHOWN = 20, 5  # classes in the table; clips or groups of clips listed per finding (JSON has all of them)


@dataclass(frozen=True)
class ClassRow:
    """One class: its clips, recordings and clips by split; the median length and the most frequent size of those read.

    Without facts, `seconds` is None and `size` is empty.
    """

    label: str
    clips: int
    recordings: int | None
    split: dict[str, int]
    seconds: float | None = None
    size: str = ""


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
            "findings": [{**asdict(f), "clips": [[str(path) for path in of] for of in f.clips]} for f in self.findings],
        }

    def write_recordings(self, file: Path) -> None:
        """Write a `recordings.csv` for a folder of clips; clips that show the same scene are put into one recording.

        Raises:
            FileExistsError: the file exists; it may have what this folder of clips does not show.
            ValueError: the clips are those of a list.
        """
        if file.exists():
            raise FileExistsError(f"{file}: exists; write to another file, compare them, and replace it yourself")
        if self.clips.path.is_file():
            raise ValueError(f"{self.clips.path}: a list, whose recordings are in its column recording; edit it")
        paths = {clip.path: Path(os.path.relpath(clip.path, self.clips.root)).as_posix() for clip in self.clips.clips}
        names = {clip.path: clip.recording or paths[clip.path] for clip in self.clips.clips}
        for scene in (scene for each in self.findings if each.name == "same scene" for scene in each.clips):
            merged = {names[path] for path in scene}
            names.update({path: min(merged) for path, name in names.items() if name in merged})
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerows([["clip", "recording"], *([paths[path], name] for path, name in names.items())])
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
        seconds = float(np.median([clip.seconds for clip in known])) if known else None
        sizes = Counter(f"{clip.size[1]}x{clip.size[0]}" for clip in known).most_common()
        size = sizes[0][0] + (f" +{len(sizes) - 1}" if len(sizes) > 1 else "") if sizes else ""
        rows.append(ClassRow(label, len(of), len(recordings) or None, dict(parts), seconds, size))
    return tuple(rows)


def show_classes(
    console: Console, folder: Path, rows: Sequence[ClassRow], ignored: Mapping[str, Sequence[Path]]
) -> None:
    """Print the table of classes, and the ignored files with their paths in `folder`; it fits into 80 columns."""
    columns = ["clips", "train/val/test", "seconds", "size", "recordings"]
    table = Table(Column("class", overflow="fold"), box=box.SIMPLE_HEAD, pad_edge=False)
    total = ClassRow("all", sum(row.clips for row in rows), None, sum((Counter(row.split) for row in rows), Counter()))
    more = [ClassRow(f"and {len(rows) - _ROWS} more", 0, None, {})] if len(rows) > _ROWS else []
    cells = [
        (
            row.label,
            str(row.clips or ""),
            "/".join(str(row.split.get(name, 0)) for name in SPLITS) if row.split else "",
            "" if row.seconds is None else f"{row.seconds:.1f}",
            row.size,
            str(row.recordings or ""),
        )
        for row in (*rows[:_ROWS], *more, total)
    ]
    shown = [0, *(k for k in range(1, 6) if any(row[k] for row in cells))]  # the clips may not have been read
    for k in shown[1:]:
        table.add_column(columns[k - 1], justify="right", no_wrap=True)
    for row in cells:
        table.add_row(*(Text(printable(row[k])) for k in shown))
    console.print(table)
    if total.split and not total.split["test"]:
        console.print("no test split: every clip is tested by cross-validation")
    for reason, paths in ignored.items():
        names = ", ".join(_within(folder, paths[:_SHOWN])) + (", ..." if len(paths) > _SHOWN else "")
        console.print(Text(printable(f"ignored, {reason}: {len(paths)} ({names})")))


def _within(folder: Path, paths: Sequence[Path]) -> list[str]:
    return [Path(os.path.relpath(path, folder)).as_posix() for path in paths]


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
            more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
            names = " = ".join(_within(checked.clips.root, paths[:_SHOWN]))
            console.print(Text(printable(f"   {names}{more}")), soft_wrap=True)
        if len(finding.clips) > _SHOWN:
            console.print(f"   and {len(finding.clips) - _SHOWN} more (--json lists all)")
    if not checked.findings:
        console.print("no problems found")
