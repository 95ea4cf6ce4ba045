"""Projects of BORIS: states that observers have coded."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from onlooker.base.files import read_json, reading
from onlooker.base.intervals import Times, covered, overlapping
from onlooker.base.progress import note
from onlooker.base.records import Segment
from onlooker.formats.labels import (
    EXPORT_AGAIN,
    LONGEST,
    Labels,
    Requested,
    Video,
    count_of,
    make_label,
    unknown_time,
)
from onlooker.formats.videos import find_video, length_of, timing_of

_PLAYER = "1"  # of BORIS, whose videos are read; others show the same time


def read(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
    """The states of a project; categories that overlap others, but not themselves, are tiers."""
    pairs = [*_intervals(path, requested, left_out)]
    by_video = defaultdict[Path, list[tuple[float, float, Segment]]](list)
    for video, segment in pairs:
        by_video[video.path].append((*segment.span, segment))
    apart = set[str]()
    mixed = set[str]()
    for (_, _, one), (_, _, other) in chain.from_iterable(map(overlapping, by_video.values())):
        if one.tier != other.tier:
            apart |= {one.tier, other.tier}
        elif one.label != other.label:
            mixed.add(one.tier)
    for video, segment in pairs:
        is_tier = segment.tier in apart - mixed
        yield video, segment if is_tier else replace(segment, tier="")


def _intervals(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
    """The states of a project, with their categories as tiers. A state that was not stopped ends
    with its observation, as BORIS repairs it. What is left out, and what no observation with events
    covers, is unknown time.
    """
    project = read_json(path)
    behaviors = project["behaviors_conf"].values()
    kinds = {behavior["code"]: behavior["type"].lower() for behavior in behaviors}
    categories = {behavior["code"]: str(behavior.get("category") or "") for behavior in behaviors}
    watched = defaultdict[Video, list[Times]](list)
    lengths = dict[Video, float]()
    unstopped = Counter[str]()
    for name, observation in project["observations"].items():
        with reading(path, f"observation {name}: ", EXPORT_AGAIN):
            players = observation["file"] if isinstance(observation["file"], dict) else {}
            for player, files in players.items():
                if player != _PLAYER and files:
                    left_out[f"videos of player {player}"] += len(files)
            media = _media_of(path.parent, players.get(_PLAYER, []), observation)
            if not media:
                left_out["events without a media file"] += len(observation["events"])
                continue
            lengths |= {file.video: file.length for file in media}
            begin, stop = observation.get("observation time interval") or (0, 0)
            if observation["events"]:
                for video, part in _parts(media, begin, stop or math.inf):
                    watched[video].append(part)
            for label, subject, start, end in _spans(
                observation, kinds, left_out, requested=requested
            ):
                if end == math.inf:
                    unstopped[label] += 1
                    file = media[-1]
                    length = file.length if file.length < math.inf else length_of(file.video.path)
                    end = min(file.begin + length, stop or math.inf)
                for video, part in _parts(media, start, end):
                    interval = unknown_time(*part)
                    if label:
                        interval = make_label(label, *part, subject=subject, tier=categories[label])
                    yield video, interval
    for video, times in watched.items():
        parts = covered(times)
        begins = [0.0, *(end for _, end in parts)]
        for begin, end in zip(begins, [*(start for start, _ in parts), math.inf], strict=True):
            if begin < (end := min(end, lengths[video], LONGEST)):
                yield video, unknown_time(begin, end)
    del unstopped[""]
    if unstopped:
        note(f"{path}: not stopped, so until the observation ends: {count_of(unstopped)}")


class _Media(NamedTuple):
    """A media file of an observation: its start there, and its length; inf: unknown."""

    video: Video
    begin: float
    length: float


def _media_of(folder: Path, files: Sequence[str], observation: dict[str, Any]) -> list[_Media]:
    """The media files of an observation that were watched one after another."""
    lengths = observation.get("media_info", {}).get("length", {})
    media = list[_Media]()
    begin = 0.0
    for file in files:
        video = find_video(folder, file)
        length = lengths[file] if file != files[-1] else lengths.get(file, math.inf)
        media.append(_Media(video, begin, length))
        begin += length
    if media and (timing := timing_of(media[-1].video.path)) and not timing.assumes_rate:
        media[-1] = media[-1]._replace(length=timing.end)
    return media


def _parts(media: Sequence[_Media], start: float, end: float) -> Iterator[tuple[Video, Times]]:
    """An interval of an observation as intervals of its files; the last file may be longer than its
    stated length.
    """
    for file in media:
        limit = math.inf if file is media[-1] else file.length
        part = max(start - file.begin, 0.0), min(end - file.begin, limit)
        if round(part[0], 3) < round(part[1], 3):
            yield file.video, part


def _spans(
    observation: dict[str, Any],
    kinds: Mapping[str, str],
    left_out: Counter[str],
    *,
    requested: Requested,
) -> Iterator[tuple[str, str, float, float]]:
    """The behaviors, subjects, starts and ends of the events of an observation. The behavior "" is
    what is left out; the end of a state that was not stopped is inf.
    """
    offset = observation.get("time offset", 0)
    offset += observation.get("media_info", {}).get("offset", {}).get(_PLAYER, 0)
    begun: dict[tuple[str, str, str], float] = {}  # by subject, behavior and modifiers
    labels = {code: code for code, kind in kinds.items() if kind.startswith("state")}
    for time, subject, behavior, modifiers, *_ in observation["events"]:
        event = subject, behavior, modifiers
        at = time - offset
        if behavior not in kinds:
            left_out[f"events that are no behavior of the project ({behavior})"] += 1
        is_point = behavior in kinds and behavior not in labels
        if is_point or begun.get(event, -math.inf) >= at:
            begun.pop(event, None)
            label, (start, end) = requested.of_point(at, left_out, behavior)
            yield label, subject, start, end
        elif event in begun:
            yield labels.get(behavior, ""), subject, begun.pop(event), at
        else:
            begun[event] = at
    for (subject, behavior, _), start in begun.items():
        yield labels.get(behavior, ""), subject, start, math.inf
