"""Tiers: the labels of recordings divided into groups in which only one goes on at a time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from onlooker.base.intervals import overlapping
from onlooker.base.records import Recording

TOLERANCE = 1e-3  # seconds: times in lists are rounded


def tiers_of(
    recordings: Sequence[Recording], classes: Sequence[str], *, nothing: int | None = None
) -> list[list[int]]:
    """The positions of the classes by tier: bouts of one tier never overlap.

    If some bouts overlap, classes keep the tiers that their labels name, and the others are divided
    by greedy coloring: the class that overlaps most others comes first. The class in which nothing
    happens is in the tier if there is only one, else in none.

    Args:
        nothing: the position of that class; None: there is none.
    """
    named = _named_tiers(recordings)
    overlaps: dict[int, set[int]] = {k: set() for k in range(len(classes)) if k != nothing}
    for recording in recordings:
        bouts = [
            (*bout.span, classes.index(bout.label))
            for bout in recording.labels
            if classes.index(bout.label) != nothing
        ]
        for (_, _, one), (_, _, other) in overlapping(bouts, TOLERANCE):
            if one != other:
                overlaps[one].add(other)
                overlaps[other].add(one)
    tiers = _apart([named.get(name, "") for name in classes], overlaps)
    without_tier = overlaps.keys() - set[int]().union(*tiers)
    for label in sorted(without_tier, key=lambda label: (-len(overlaps[label]), label)):
        tier = next((tier for tier in tiers if not overlaps[label] & tier), None)
        if tier is None:
            tiers.append({label})
        else:
            tier.add(label)
    if len(tiers) == 1 and nothing is not None:
        tiers[0].add(nothing)
    return sorted(sorted(tier) for tier in tiers)


def _named_tiers(recordings: Sequence[Recording]) -> dict[str, str]:
    """The tier of each label that is in a single one."""
    names = defaultdict[str, set[str]](set)
    for recording in recordings:
        for bout in recording.labels:
            names[bout.label].add(bout.tier)
    return {label: "".join(tiers) for label, tiers in names.items() if len(tiers) == 1}


def _apart(named: Sequence[str], overlaps: Mapping[int, set[int]]) -> list[set[int]]:
    """The classes of each named tier without overlaps (behaviors of one subject may overlap); none
    if no classes overlap at all.

    Args:
        named: the tier of each class; "": none.
        overlaps: the classes that each class overlaps.
    """
    if not any(overlaps.values()):
        return []
    tiers = defaultdict[str, set[int]](set)
    for label in overlaps:
        tiers[named[label]].add(label)
    return [
        classes
        for tier, classes in tiers.items()
        if tier and not any(overlaps[label] & classes for label in classes)
    ]
