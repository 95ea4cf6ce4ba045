"""Hints while clips are collected: classes with few clips, dark or short ones, near-duplicates, doubtful labels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from onlooker.answer import nothing_class
from onlooker.data.clip_facts import ClipFacts, read_facts, resemblances
from onlooker.data.findings import fact_findings
from onlooker.serve.previews import Previews
from onlooker.serve.problem import as_problem
from onlooker.serve.project import ProjectClip
from onlooker.serve.translation import t
from onlooker.structures import Clip
from onlooker.video.transcode import VideoFacts

__all__ = ["Hint", "Hints", "Measured", "measure"]

_FEW = 5  # clips of a class, at least
_IMBALANCE = 3  # ratio of the largest class to the smallest
_SAME_SCENE, _SAME_MOTION = 0.99, 0.97  # correlations of near-duplicates; two recordings of a gesture differ more
_COMPARED = 1000  # clips that are compared with each other, which takes a second
_SLOW = 2  # clips that hints do not wait for: those that take long to measure
FINDINGS = ("two labels", "short", "still", "dark", "blurred")  # of `onlooker check`, about single clips


@dataclass(frozen=True)
class Hint:
    """A hint to the user while clips are collected.

    Args:
        clips: ids, the most important first; empty for a hint about classes.
    """

    code: str
    text: str
    clips: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Measured:
    """The facts of a clip and a few of its frames; or why it cannot be read."""

    video: VideoFacts | None
    facts: ClipFacts | None
    error: str = ""


def measure(previews: Previews, clip: ProjectClip) -> Measured:
    """Decode a clip; for a clip that cannot be read, the result has the error."""
    try:
        return Measured(previews.of(clip.path).facts, read_facts(clip.path))
    except Exception as error:
        return Measured(None, None, as_problem(error).found)


class Hints:
    """The hints of a project; hints about clips are computed again after a clip was added, moved or removed."""

    def __init__(self) -> None:
        self._about: object = None
        self._of_clips: list[Hint] = []

    def of(
        self,
        classes: Mapping[str, Sequence[ProjectClip]],
        measured: Mapping[str, Measured],
        looks_like: Mapping[str, str],
    ) -> list[Hint]:
        """All hints, the most important first; while many clips are measured, those about clips are the previous ones.

        Args:
            measured: the clips measured so far, by their ids.
            looks_like: the class that the newest model predicts for a clip, if it is not its own.
        """
        clips = [clip for of_class in classes.values() for clip in of_class]
        about = [(clip.id, clip.label, id(measured.get(clip.id))) for clip in clips], dict(looks_like)
        if sum(clip.id not in measured for clip in clips) <= _SLOW and about != self._about:
            self._of_clips = [*_unreadable(clips, measured), *_of_frames(clips, measured), *_unlike(clips, looks_like)]
            self._about = about
        there = {clip.id for clip in clips}
        of_clips = [replace(hint, clips=tuple(filter(there.__contains__, hint.clips))) for hint in self._of_clips]
        counts = {label: len(of_class) for label, of_class in classes.items()}
        return [*_of_classes(counts), *(hint for hint in of_clips if hint.clips)]


def _of_classes(counts: Mapping[str, int]) -> Iterator[Hint]:
    if few := {label: count for label, count in counts.items() if count < _FEW}:
        missing = ", ".join(t("hint.missing", label=label, clips=count, few=_FEW) for label, count in few.items())
        yield _hint("few_clips", few=_FEW, missing=missing)
    large, small = max(counts, key=counts.__getitem__, default=""), min(counts, key=counts.__getitem__, default="")
    if not few and counts and counts[large] > _IMBALANCE * counts[small]:
        yield _hint("unbalanced", large=large, many=counts[large], small=small, few=counts[small])
    try:
        if nothing_class([*counts]) is None and len(counts) > 1:
            yield _hint("no_nothing")
    except ValueError as error:  # a folder made by hand
        found = str(error)
        yield _hint("several_nothing", found=found[:1].upper() + found[1:])


def _unreadable(clips: Sequence[ProjectClip], measured: Mapping[str, Measured]) -> Iterator[Hint]:
    errors = {clip.id: measured[clip.id].error for clip in clips if clip.id in measured and measured[clip.id].error}
    if errors:
        yield _hint("unreadable", errors, count=len(errors), reason=next(iter(errors.values())))


def _of_frames(clips: Sequence[ProjectClip], measured: Mapping[str, Measured]) -> Iterator[Hint]:
    """Hints from a few frames of the clips."""
    known = [clip for clip in clips if clip.id in measured and measured[clip.id].facts][:_COMPARED]
    facts = [of for clip in known if (of := measured[clip.id].facts)]
    ids = {clip.path: clip.id for clip in known}
    nothing = {clip.id for clip in known if nothing_class([clip.label]) is not None}
    for finding in fact_findings([Clip(clip.path, clip.label) for clip in known], facts, None):
        about = tuple(dict.fromkeys(ids[path] for paths in finding.clips for path in paths))
        still = finding.name == "still" and nothing.issuperset(about)  # nothing is expected to move there
        if finding.name in FINDINGS and not still:
            yield _hint(finding.name.replace(" ", "_"), about, found=finding.found[:1].upper() + finding.found[1:])
    if len(known) < 2:
        return
    similar = resemblances(facts, _SAME_SCENE)
    moving = np.array([clip.change > 0 for clip in facts])[similar.pairs].all(1)
    twins = similar.pairs[(similar.motion >= _SAME_MOTION) & moving].tolist()
    if same := [(known[i].id, known[j].id) for i, j in twins if known[i].label == known[j].label]:
        yield _hint("duplicate", dict.fromkeys(clip for pair in same for clip in pair), count=len(same))


def _unlike(clips: Sequence[ProjectClip], looks_like: Mapping[str, str]) -> Iterator[Hint]:
    doubtful = {clip.id: looks_like[clip.id] for clip in clips if clip.id in looks_like}
    for label, other in dict.fromkeys((clip.label, doubtful[clip.id]) for clip in clips if clip.id in doubtful):
        about = tuple(clip.id for clip in clips if clip.label == label and doubtful.get(clip.id) == other)
        yield _hint("looks_like", about, count=len(about), label=label, other=other)


def _hint(code: str, clips: Iterable[str] = (), **values: object) -> Hint:
    return Hint(code, t(f"hint.{code}", **values), tuple(clips))
