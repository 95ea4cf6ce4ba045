"""Watch streams with a trained model: a line when something else happens and every second, or every frame as JSON;
and, where asked for, recordings with what is seen drawn on them."""

import json
import re
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from onlooker.config import StreamConfig
from onlooker.ensemble import is_fused
from onlooker.drawing.live import StreamAnnotator
from onlooker.recognizer import load
from onlooker.structures import ClipError, Step
from onlooker.video.write import Recording

_LONGEST = 150  # bytes of a recording's name that are the source's; file systems take 255 in all
_EVERY = 1.0  # seconds of a stream after which a line comes in any case
_MARKS = {(False, False): "", (False, True): "begins", (True, True): "goes on", (True, False): "ends"}  # before, now


def watch_sources(
    run: Path, sources: Sequence[str], config: StreamConfig, every_frame: bool = False, out: Path | None = None
) -> list[ClipError]:
    """Say what happens in the sources until all have ended; what was seen and missed comes last, on stderr.

    Args:
        run: a trained run.
        sources: cameras by their numbers, addresses, paths; see `video.stream.open_source`.
        config: how frames are taken from them.
        every_frame: a JSON object a line, for every frame, instead of words.
        out: a folder for a recording of each source, with what is seen drawn on it.

    Returns:
        An error for each source that could not be read or was lost.

    Raises:
        ValueError: the run cannot be watched with, a source that there cannot be, or `out` that is a file.
    """
    if is_fused(run):
        raise ValueError(f"{run}: several models, fused, which answer whole clips; watch with one: {run / 'member-0'}")
    console, errors, failed = Console(), Console(stderr=True), list[ClipError]()

    def report(error: ClipError) -> None:
        failed.append(error)
        errors.print(Text(f"error: {error}", style="red"), soft_wrap=True)

    said: dict[str | None, Step] = {}
    last: dict[str | None, tuple[int, Step]] = {}
    recorded = _Recordings(out) if out else None
    try:
        for step in load(run).watch(sources, config, report):
            if recorded:
                recorded.add(step)
            last[step.source] = last.get(step.source, (0, step))[0] + 1, step
            before = said.get(step.source)
            if every_frame:
                console.print(Text(json.dumps(to_values(step), ensure_ascii=False)), soft_wrap=True)
            elif before is None or _differs(step, before) or step.time - before.time >= _EVERY:
                said[step.source] = step
                console.print(Text(_line(step, before, len(sources) > 1)), soft_wrap=True)
    finally:
        try:
            if recorded:
                recorded.close()
        finally:
            for source, (frames, step) in last.items():
                words = f"{source}: {frames} frames seen, {step.dropped} dropped, "
                words += f"lost and found {step.reconnections} times"
                if recorded:
                    words += f", drawn in {recorded.path(source)}"
                errors.print(Text(words, style="dim"), soft_wrap=True)
    return failed


class _Recordings:
    """A drawn recording of each stream, named by the stream and the time at which it began."""

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder}: a file; recordings go into a folder, one of each source: name one")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.annotate = folder, StreamAnnotator()
        self.of: dict[str | None, Recording] = {}

    def add(self, step: Step) -> None:
        drawn = self.annotate(step)
        if step.source not in self.of:
            self.of[step.source] = self._begin(str(step.source))
        self.of[step.source].add(drawn, step.time)

    def _begin(self, source: str) -> Recording:
        # What follows a question mark in an address is often a key, which a name is not to show.
        address = f"camera {source}" if source.isdigit() else source.split("?")[0]
        named = re.sub(r"[^\w.-]+", "-", Path(source).stem if Path(source).exists() else address).strip("-.")
        short = named.encode()[:_LONGEST].decode(errors="ignore")
        stem = f"{short} {datetime.now():%Y-%m-%d %H-%M-%S}"
        for number in range(1, 1000):
            try:
                return Recording(self.folder / f"{stem}{f' ({number})' if number > 1 else ''}.mp4")
            except FileExistsError:
                continue
        raise FileExistsError(f"{self.folder}: a thousand recordings of {source} from this second are there already")

    def path(self, source: str | None) -> Path:
        return self.of[source].path

    def close(self) -> None:
        with ExitStack() as stack:
            for recording in self.of.values():
                stack.callback(recording.close)


def _differs(step: Step, before: Step) -> bool:
    return (step.label, step.happening) != (before.label, before.happening)


def _line(step: Step, before: Step | None, named: bool) -> str:
    """What a step says after the one that was said before it, which knew of every event that has begun or ended."""
    words = [f"{step.time:8.2f} s", f"{step.label:<{max(map(len, step.classes))}}", f"{100 * step.score:5.1f} %"]
    if step.happening is not None:
        was = before is not None and bool(before.happening)
        words.append(f"{_MARKS[was, step.happening]:<{max(map(len, _MARKS.values()))}}")
    return "  ".join([*words, *[str(step.source)] * named]).rstrip()


def to_values(step: Step) -> dict[str, Any]:
    """A step as plain builtins."""
    return {
        "source": step.source,
        "index": step.index,
        "time": step.time,
        "label": step.label,
        "score": step.score,
        "scores": dict(zip(step.classes, step.scores.tolist(), strict=True)),
        "attention": None if step.attention is None else step.attention.tolist(),
        "box": None if step.box is None else {"corners": list(step.box.corners), "score": step.box.score},
        "point": None if step.point is None else list(step.point),
        "evidence": step.evidence,
        "happening": step.happening,
        "dropped": step.dropped,
        "reconnections": step.reconnections,
    }
