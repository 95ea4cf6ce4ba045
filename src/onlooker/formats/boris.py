"""Projects of BORIS: states that observers have coded."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from onlooker.base.files import read_json
from onlooker.base.intervals import Times, covered, overlapping
from onlooker.base.progress import note
from onlooker.base.records import Segment
from onlooker.base.text import some_of
from onlooker.formats.labels import (
    LONGEST,
    Labels,
    Requested,
    Video,
    count_of,
    entry,
    make_label,
    unknown_time,
)
from onlooker.formats.videos import find_video, length_of, timing_of

_PLAYER = "1"  # of BORIS, whose videos are read; others show the same time


class Media(NamedTuple):
    """A media file of an observation: its start there, and its length; inf: unknown."""

    video: Video
    begin: float
    length: float


class BorisEvent(NamedTuple):
    """An event of an observation: a point event, or the begin or end of a state."""

    time: float
    subject: str
    behavior: str
    modifiers: str


class Behavior(NamedTuple):
    """A behavior of a project, and its category; "": none."""

    is_state: bool
    category: str


class Observation(NamedTuple):
    """What somebody coded.

    Args:
        media: the files that were watched one after another.
        events: by time, in seconds of these files.
        limits: what was watched of them; the end inf: all.
    """

    media: Sequence[Media]
    events: Sequence[BorisEvent]
    limits: Times = (0.0, math.inf)


def read(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
    """The states of a project; see `intervals_of`."""
    project = read_json(path)
    behaviors = {
        behavior["code"]: Behavior(
            behavior["type"].lower().startswith("state"), str(behavior.get("category") or "")
        )
        for behavior in project["behaviors_conf"].values()
    }
    observations = dict[str, Observation]()
    for name, values in project["observations"].items():
        with entry(path, f"observation {name}: ", left_out):
            players = values["file"] if isinstance(values["file"], dict) else {}
            for player, files in players.items():
                if player != _PLAYER and files:
                    left_out[f"videos of player {player}"] += len(files)
            if not players.get(_PLAYER):
                left_out["events without a media file"] += len(values["events"])
                continue
            observations[name] = _observation(path.parent, players[_PLAYER], values)
    yield from intervals_of(path, observations, behaviors, requested=requested, left_out=left_out)


def intervals_of(
    path: Path,
    observations: Mapping[str, Observation],
    behaviors: Mapping[str, Behavior],
    *,
    requested: Requested,
    left_out: Counter[str],
) -> Labels:
    """The states of observations, by their names. Categories that overlap others, but not
    themselves, are tiers. Observations in which one subject does the same at the same time are
    of several scorers.

    A state that was not stopped ends with its observation, as BORIS repairs it. What is left out,
    and what no observation with events covers, is unknown time.
    """
    unstopped = Counter[str]()
    coded = dict[str, list[tuple[Video, Segment]]]()
    for name, observation in observations.items():
        with entry(path, f"observation {name}: ", left_out):
            spans = _spans(observation, behaviors, left_out, requested=requested)
            coded[name] = [*_intervals(observation, spans, behaviors, unstopped=unstopped)]
    scorers = _scorers(coded)
    if scorers:
        names = some_of(sorted(video.path.name for video in scorers))
        note(f"{path}: observations that code the same are of several scorers, apart ({names})")
    pairs = list[tuple[Video, Segment]]()
    watched = defaultdict[Video, list[Times]](list)
    lengths = dict[Path, float]()
    for name, intervals in coded.items():
        observation = observations[name]
        of_scorer = partial(_of_scorer, scorers, name)
        pairs += [(of_scorer(video), interval) for video, interval in intervals]
        lengths |= {file.video.path: file.length for file in observation.media}
        if observation.events:
            for video, part in _parts(observation.media, *observation.limits):
                watched[of_scorer(video)].append(part)
    yield from _in_tiers(pairs)
    yield from _unwatched(watched, lengths)
    if unstopped:
        note(f"{path}: not stopped, so until the observation ends: {count_of(unstopped)}")


def _of_scorer(scorers: Mapping[Video, Mapping[str, str]], name: str, video: Video) -> Video:
    """A video with its scorer in an observation of this name, as `_scorers` has them."""
    groups = scorers.get(video, {})
    return video._replace(scorer=groups.get(name, next(iter(groups.values()), "")))


def _observation(folder: Path, files: Sequence[str], values: Mapping[str, Any]) -> Observation:
    """An observation of a project, with the events in the order in which BORIS sorts them as it
    opens one: by time, subject and behavior.
    """
    info = values.get("media_info", {})
    media = media_of(folder, files, info.get("length", {}))
    offset = values.get("time offset", 0) + info.get("offset", {}).get(_PLAYER, 0)
    events = [BorisEvent(event[0] - offset, *event[1:4]) for event in values["events"]]
    if values.get("media_creation_date_as_offset"):
        created = [info["media_creation_time"][file] for file in files]
        events = [event._replace(time=_shown_at(event.time, media, created)) for event in events]
    begin, stop = values.get("observation time interval") or (0, 0)
    in_order = sorted(events, key=lambda event: event[:3])
    return Observation(media, in_order, (begin, stop or math.inf))


def media_of(folder: Path, files: Sequence[str], lengths: Mapping[str, float]) -> list[Media]:
    """The media files of an observation that were watched one after another.

    Args:
        lengths: seconds of each file; the last one may be unknown.
    """
    media = list[Media]()
    begin = 0.0
    for file in files:
        video = find_video(folder, file)
        length = lengths[file] if file != files[-1] else lengths.get(file, math.inf)
        media.append(Media(video, begin, length))
        begin += length
    if media and (timing := timing_of(media[-1].video.path)) and not timing.assumes_rate:
        media[-1] = media[-1]._replace(length=timing.end)
    return media


def _shown_at(time: float, media: Sequence[Media], created: Sequence[float]) -> float:
    """The time in an observation of an event whose time of day is known.

    Args:
        created: the time of day at which each of the media files begins.
    """
    begun = [i for i, begin in enumerate(created) if begin <= time]
    place = max(begun or range(len(created)), key=lambda i: created[i] if begun else -created[i])
    file = media[place]
    seconds = time - created[place]
    return file.begin + (seconds if file is media[-1] else min(seconds, file.length))


def _scorers(
    coded: Mapping[str, Iterable[tuple[Video, Segment]]],
) -> dict[Video, dict[str, str]]:
    """The scorer of each observation of a video that was coded several times: the first observation
    of those that are together. Two are apart if a subject does the same in both, and the time from
    the first to the last of it overlaps.
    """
    spans = defaultdict[Video, dict[str, dict[tuple[str, str], Times]]](dict)
    for name, pairs in coded.items():
        for video, segment in pairs:
            if segment.label:
                acts = spans[video].setdefault(name, {})
                act = segment.subject, segment.label
                first, last = acts.get(act, segment.span)
                acts[act] = min(first, segment.start), max(last, segment.end)
    scorers = dict[Video, dict[str, str]]()
    for video, observations in spans.items():
        groups = list[list[str]]()
        for name, acts in observations.items():
            for group in groups:
                if not any(_repeats(acts, observations[other]) for other in group):
                    group.append(name)
                    break
            else:
                groups.append([name])
        if len(groups) > 1:
            scorers[video] = {name: group[0] for group in groups for name in group}
    return scorers


def _repeats(
    acts: Mapping[tuple[str, str], Times], others: Mapping[tuple[str, str], Times]
) -> bool:
    """Whether some act is in both, at times that overlap."""
    return any(
        max(acts[act][0], others[act][0]) < min(acts[act][1], others[act][1])
        for act in acts.keys() & others.keys()
    )


def _in_tiers(pairs: Sequence[tuple[Video, Segment]]) -> Labels:
    """Segments whose tiers are categories, with those alone that overlap others, but not themselves."""
    by_video = defaultdict[Video, list[tuple[float, float, Segment]]](list)
    for video, segment in pairs:
        by_video[video].append((*segment.span, segment))
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


def _unwatched(watched: Mapping[Video, Iterable[Times]], lengths: Mapping[Path, float]) -> Labels:
    """The time of videos that no observation covers, as unknown time.

    `lengths`: of the videos, in seconds.
    """
    for video, times in watched.items():
        for begin, end in _gaps(times, min(lengths[video.path], LONGEST)):
            yield video, unknown_time(begin, end)


def _gaps(times: Iterable[Times], length: float) -> Iterator[Times]:
    """The times of a video of some length that are in no interval, in milliseconds."""
    parts = covered(times)
    begins = [0.0, *(end for _, end in parts)]
    for begin, end in zip(begins, [*(start for start, _ in parts), math.inf], strict=True):
        if round(begin, 3) < round(min(end, length), 3):
            yield begin, min(end, length)


def _parts(media: Sequence[Media], start: float, end: float) -> Iterator[tuple[Video, Times]]:
    """An interval of an observation as intervals of its files; the last file may be longer than its
    stated length.
    """
    for file in media:
        limit = math.inf if file is media[-1] else file.length
        part = max(start - file.begin, 0.0), min(end - file.begin, limit)
        if round(part[0], 3) < round(part[1], 3):
            yield file.video, part


def _intervals(
    observation: Observation,
    spans: Iterable[tuple[str, str, float, float]],
    behaviors: Mapping[str, Behavior],
    *,
    unstopped: Counter[str],
) -> Labels:
    """The intervals of the files of an observation.

    Args:
        spans: `_spans`.
        unstopped: counts states that were not stopped.
    """
    for label, subject, start, end in spans:
        if end == math.inf:
            if label:
                unstopped[label] += 1
            file = observation.media[-1]
            length = file.length if file.length < math.inf else length_of(file.video.path)
            end = min(file.begin + length, observation.limits[1])
        for video, part in _parts(observation.media, start, end):
            interval = unknown_time(*part)
            if label:
                category = behaviors[label].category
                interval = make_label(label, *part, subject=subject, tier=category)
            yield video, interval


def _spans(
    observation: Observation,
    behaviors: Mapping[str, Behavior],
    left_out: Counter[str],
    *,
    requested: Requested,
) -> Iterator[tuple[str, str, float, float]]:
    """The behaviors, subjects, starts and ends of the events of an observation. The behavior "" is
    what is left out; the end of a state that was not stopped is inf.
    """
    begun: dict[tuple[str, str, str], float] = {}  # by subject, behavior and modifiers
    labels = {code: code for code, behavior in behaviors.items() if behavior.is_state}
    for at, subject, behavior, modifiers in observation.events:
        event = subject, behavior, modifiers
        if behavior not in behaviors:
            left_out[f"events that are no behavior of the project ({behavior})"] += 1
        is_point = behavior in behaviors and behavior not in labels
        if modifiers.replace("None", "").strip("|") and event not in begun:
            left_out["modifiers of behaviors"] += 1
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
