"""Divide clips into splits of given shares, as the published protocols do: by class, with groups
kept whole.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

from onlooker import Clip

__all__ = ["apportion"]

Counts = Mapping[str, Counter[str]]  # of clips: by split or group, and by class


def apportion(
    clips: Sequence[Clip], groups: Sequence[str], shares: Mapping[str, float], *, seed: int = 0
) -> dict[str, tuple[Clip, ...]]:
    """Divide clips into splits so that each class comes near its shares and groups are kept whole.

    Groups are assigned one by one, the largest first, to the split where Pearson's chi-square
    statistic between the class counts and the expected ones grows the least.

    Args:
        clips, groups: the clips to divide, and what each was cut from.
        shares: the share of each split; they need not sum to one.
        seed: of the order of groups of one size.

    Raises:
        ValueError: a class has too few groups for all splits.
    """
    labels: dict[str, Counter[str]] = defaultdict(Counter)  # of the clips of each group
    for clip, group in zip(clips, groups, strict=True):
        labels[group][clip.label] += 1
    total = Counter(clip.label for clip in clips)
    whole = sum(shares.values())
    expected = {
        name: {label: share / whole * n for label, n in total.items()}
        for name, share in shares.items()
    }
    counts: dict[str, Counter[str]] = {name: Counter() for name in shares}
    split_of: dict[str, str] = {}

    def increase(of_group: Counter[str], name: str) -> float:
        # (c + n - e)² / e - (c - e)² / e, with c counted, n in the group, e expected
        c = counts[name]
        e = expected[name]
        return sum(n * (2 * (c[label] - e[label]) + n) / e[label] for label, n in of_group.items())

    order = sorted(labels)
    random.Random(seed).shuffle(order)
    for group in sorted(order, key=lambda name: -labels[name].total()):
        split_of[group] = min(shares, key=partial(increase, labels[group]))
        counts[split_of[group]].update(labels[group])
    for name in shares:
        for label in sorted(total):
            if not counts[name][label]:
                _fill_empty(name, label, labels=labels, counts=counts, split_of=split_of)
    return {
        name: tuple(
            clip for clip, group in zip(clips, groups, strict=True) if split_of[group] == name
        )
        for name in shares
    }


def _fill_empty(
    name: str, label: str, *, labels: Counts, counts: Counts, split_of: dict[str, str]
) -> None:
    """Move to a split without clips of a class the smallest group that does not leave another split
    without a class.
    """
    within = sorted(group for group, of in labels.items() if of[label])
    spare = [
        g
        for g in within
        if all(counts[split_of[g]][one] > count for one, count in labels[g].items())
    ]
    if not spare:
        raise ValueError(
            f"no clip of class {label} for {name}: its {sum(labels[g][label] for g in within)} clips were cut from "
            f"{len(within)} recordings, which are kept whole; leave the class out, or use other shares"
        )
    group = min(spare, key=lambda each: labels[each].total())
    counts[split_of[group]].subtract(labels[group])
    counts[name].update(labels[group])
    split_of[group] = name
