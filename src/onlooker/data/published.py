"""What published data sets have in common: lists with lines, clips that must be there, sides that are not given."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from onlooker.structures import Clip, ClipError

_SHOWN = 5  # names in a message; the rest is in the error's notes


def read_lines(path: Path, remedy: str) -> list[tuple[int, str]]:
    """The lines of a text file that hold anything, stripped, with their numbers from 1.

    Raises:
        ClipError: no such file (`remedy` says what to do), no text, or nothing in it.
    """
    if not path.is_file():
        raise ClipError(path, "no such file", remedy)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ClipError(path, f"not UTF-8 text ({error.reason})", remedy) from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise ClipError(path, "an empty file", remedy)
    return lines


def check_classes(asked: Sequence[str], known: Iterable[str], data_set: str) -> tuple[str, ...]:
    """The classes that were asked for, or all where none was.

    Raises:
        ValueError: a class that the data set does not have, one twice, or fewer than two.
    """
    known = tuple(known)
    for name in asked:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"they begin with {', '.join(known[:3])}"
            raise ValueError(f"{data_set} has no class {name!r} among its {len(known)}; {hint}")
    chosen = tuple(asked) or known
    twice = [name for name, count in Counter(chosen).items() if count > 1]
    if twice or len(chosen) < 2:
        raise ValueError(f"classes are {', '.join(chosen)}; expected at least 2, each once")
    return chosen


def check_share(validation: float) -> None:
    """A share of the training clips that leaves some on both sides.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if not 0 < validation < 1:
        raise ValueError(f"validation is {validation}, expected a share of the training clips between 0 and 1")


def check_present(clips: Sequence[Clip], root: Path, listed_in: Path) -> None:
    """Every clip of a list is on disk.

    Raises:
        ClipError: naming a class without clips, or else the missing clips: some in the message, all in its notes.
    """
    missing = [clip for clip in clips if not clip.path.exists()]
    if not missing:
        return
    counts, lost = Counter(clip.label for clip in clips), Counter(clip.label for clip in missing)
    empty = [label for label in counts if lost[label] == counts[label]]
    if empty:
        folder = next(clip.path.parent for clip in missing if clip.label == empty[0])
        others = f" (nor have {len(empty) - 1} more)" if len(empty) > 1 else ""
        found = f"class {empty[0]} has none of the {counts[empty[0]]} clips that {listed_in} names{others}"
        error = ClipError(folder, found, "unpack its clips there, or leave the class out")
    else:
        names = [clip.path.relative_to(root).as_posix() for clip in missing[:_SHOWN]]
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        found = f"{len(missing)} of the {len(clips)} clips that {listed_in} names are missing: {', '.join(names)}{more}"
        error = ClipError(root, found, "unpack the data set again")
    error.add_note("missing:\n" + "\n".join(str(clip.path) for clip in missing))
    raise error


def apportion(
    clips: Sequence[Clip], groups: Sequence[str], shares: Mapping[str, float], seed: int = 0
) -> dict[str, tuple[Clip, ...]]:
    """Share clips out among sides so that each class comes near its shares and no group is torn apart.

    Groups are placed one by one, the largest first, each where the squared deviations of the class counts from the
    wanted ones, over the wanted ones (Pearson's chi-square), grow the least.

    Args:
        clips: what to share out.
        groups: for each clip what it was cut from.
        shares: for each side what part of the clips it wants; proportions, which need not sum to one.
        seed: which of two groups of one size comes first.

    Returns:
        For each side its clips, in the order in which they came.

    Raises:
        ValueError: a class is so much of one piece that a side has none of its clips.
    """
    labels: dict[str, Counter[str]] = defaultdict(Counter)  # of the clips of each group
    for clip, group in zip(clips, groups, strict=True):
        labels[group][clip.label] += 1
    total = Counter(clip.label for clip in clips)
    parts = sum(shares.values())
    wanted = {side: {label: share / parts * count for label, count in total.items()} for side, share in shares.items()}
    placed: dict[str, Counter[str]] = {side: Counter() for side in shares}
    side_of: dict[str, str] = {}

    def growth(of: Counter[str], side: str) -> float:
        # (p + n - w)² / w - (p - w)² / w, with p placed, n in the group, w wanted
        has, wants = placed[side], wanted[side]
        return sum(n * (2 * (has[label] - wants[label]) + n) / wants[label] for label, n in of.items())

    order = sorted(labels)
    random.Random(seed).shuffle(order)
    for group in sorted(order, key=lambda name: -labels[name].total()):
        side_of[group] = min(shares, key=partial(growth, labels[group]))
        placed[side_of[group]].update(labels[group])
    for side in shares:
        for label in sorted(total):
            if not placed[side][label]:
                _fill_empty(side, label, labels, placed, side_of)
    return {
        side: tuple(clip for clip, group in zip(clips, groups, strict=True) if side_of[group] == side)
        for side in shares
    }


def _fill_empty(
    side: str,
    label: str,
    labels: Mapping[str, Counter[str]],
    placed: Mapping[str, Counter[str]],
    side_of: dict[str, str],
) -> None:
    """A small share of few groups can come out empty: it gets the smallest group that leaves nothing else empty."""
    within = sorted(group for group, of in labels.items() if of[label])
    spare = [g for g in within if all(placed[side_of[g]][one] > count for one, count in labels[g].items())]
    if not spare:
        raise ValueError(
            f"no clip of class {label} for {side}: its {sum(labels[g][label] for g in within)} clips were cut from "
            f"{len(within)} recordings, which stay whole; leave the class out, or ask for other shares"
        )
    group = min(spare, key=lambda name: labels[name].total())
    placed[side_of[group]].subtract(labels[group])
    placed[side].update(labels[group])
    side_of[group] = side
