"""What published data sets have in common: lists with lines, clips that must be there, sides that are not given."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from saccade.structures import Clip, ClipError

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
        others = f" (nor have {len(empty) - 1} other classes)" if len(empty) > 1 else ""
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
    labels, label_of = np.unique([clip.label for clip in clips], return_inverse=True)
    names, group_of = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), len(labels)))
    np.add.at(counts, (group_of, label_of), 1)
    parts = np.array(list(shares.values()), dtype=float)
    wanted = np.outer(parts / parts.sum(), counts.sum(0))
    placed = np.zeros_like(wanted)
    side_of = np.zeros(len(names), dtype=int)
    order = np.random.default_rng(seed).permutation(len(names))
    for group in order[np.argsort(-counts[order].sum(1), kind="stable")]:
        grown = (placed + counts[group] - wanted) ** 2 - (placed - wanted) ** 2
        side_of[group] = (grown / wanted).sum(1).argmin()
        placed[side_of[group]] += counts[group]
    for side, name in enumerate(shares):
        if (absent := np.flatnonzero(placed[side] == 0)).size:
            label = absent[0]
            pieces = np.count_nonzero(counts[:, label])
            raise ValueError(
                f"no clip of class {labels[label]} for {name}: its {counts[:, label].sum():.0f} clips were cut from "
                f"{pieces} recordings, which stay whole; leave the class out, or ask for other shares"
            )
    sides = side_of[group_of]
    return {
        name: tuple(clip for clip, at in zip(clips, sides, strict=True) if at == side)
        for side, name in enumerate(shares)
    }
