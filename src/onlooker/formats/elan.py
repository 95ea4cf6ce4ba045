"""ELAN's .eaf files; XML is read without entities."""

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from operator import attrgetter
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from onlooker.base.files import read_bytes, write_bytes
from onlooker.base.intervals import Times
from onlooker.base.records import Recording
from onlooker.formats.labels import LONGEST, Labels, Requested, Video, entry, unknown_time
from onlooker.formats.videos import find_video, in_whole_file, one_video, written_name
from onlooker.video.reader import SUFFIXES

_DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="onlooker" DATE="" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
<MEDIA_DESCRIPTOR MEDIA_URL="file://{address}"
 RELATIVE_MEDIA_URL="./{relative}" MIME_TYPE="video/mp4" /></HEADER>
<TIME_ORDER>{slots}</TIME_ORDER>{tiers}
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"
 GRAPHIC_REFERENCES="false" /></ANNOTATION_DOCUMENT>
"""
_PARTS = "annotations without times of their own"
_SLOT = '<TIME_SLOT TIME_SLOT_ID="ts{}" TIME_VALUE="{}" />'
_TIER = '\n<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="{}">{}</TIER>'
_ANNOTATION = (
    '<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{1}" TIME_SLOT_REF1="ts{0}" TIME_SLOT_REF2="ts{1}">'
    "<ANNOTATION_VALUE>{2}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
)


def read(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
    """The aligned annotations of all tiers; an empty one is labeled by its tier. A tier that is
    named like its only label, as `write` names them, is no tier of a list.
    """
    root = _document(path)
    video, origin = _video_of(root, path, left_out)
    slots = {slot.attrib["TIME_SLOT_ID"]: slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    times = dict[str, float]()
    for slot, time in slots.items():
        if time is not None:
            with entry(path, f"time slot {slot}: ", left_out):
                times[slot] = (origin + int(time)) / 1000
    left_out.update(_PARTS for _ in root.iter("REF_ANNOTATION"))
    for tier in root.iter("TIER"):
        name = tier.get("TIER_ID") or ""
        values = {(text.text or "").strip() for text in tier.iter("ANNOTATION_VALUE")}
        group = "" if values <= {name, ""} else name
        for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
            where = f"tier {name}, annotation {annotation.get('ANNOTATION_ID')}: "
            with entry(path, where, left_out):
                start, end = (annotation.attrib[f"TIME_SLOT_REF{number}"] for number in (1, 2))
                if not {start, end} <= times.keys():  # a part of another annotation
                    left_out[_PARTS] += 1
                    yield video, unknown_time(*_known_around([*slots], times, start=start, end=end))
                    continue
                label = (annotation.findtext("ANNOTATION_VALUE") or "").strip()
                interval = requested.segment(
                    label or name,
                    times[start],
                    times[end],
                    left_out=left_out,
                    subject=tier.get("PARTICIPANT", "").strip(),
                    tier=group,
                )
                yield video, interval


def _document(path: Path) -> ElementTree.Element:
    text = read_bytes(path).decode("utf-8-sig")
    if "<!DOCTYPE" in text:
        raise ValueError("declarations of entities or of a document type")
    root = ElementTree.fromstring(text)
    for header in root.iterfind("HEADER[@TIME_UNITS]"):
        if (unit := header.attrib["TIME_UNITS"]) != "milliseconds":
            raise ValueError(f"TIME_UNITS is {unit!r}, expected milliseconds")
    return root


def _video_of(root: ElementTree.Element, path: Path, left_out: Counter[str]) -> tuple[Video, int]:
    """The first video of a document, and its milliseconds at time 0 of the labels."""
    files = root.findall("HEADER/MEDIA_DESCRIPTOR")
    if not files:
        raise KeyError("MEDIA_DESCRIPTOR")
    # others are sound
    shown = [file for file in files if Path(file.get("MEDIA_URL", "")).suffix.lower() in SUFFIXES]
    media = shown[0] if shown else files[0]
    for further in shown[1:]:
        name = PurePosixPath(further.attrib["MEDIA_URL"]).name
        left_out[f"further videos ({unquote(name)}); labels are of the first one"] += 1
    address = media.get("RELATIVE_MEDIA_URL") or media.attrib["MEDIA_URL"]
    video = find_video(path.parent, address.removeprefix("./"), url=True)
    return video, int(media.get("TIME_ORIGIN", 0))


def _known_around(
    slots: Sequence[str], times: Mapping[str, float], *, start: str, end: str
) -> Times:
    """The known times around an annotation, by its slots, in the order of the document."""
    before = [times.get(slot, 0.0) for slot in slots[: slots.index(start) + 1]]
    after = [times[slot] for slot in slots[slots.index(end) :] if slot in times]
    return max(before), min([*after, LONGEST])


def write(path: Path, recordings: Sequence[Recording], _: float | None) -> None:
    """A tier per class, or several: annotations of one tier must not overlap."""
    video, labels = one_video(path, map(in_whole_file, recordings))
    slots = list[int]()
    tiers: dict[str, list[str]] = {}
    ends: dict[str, int] = {}  # of the last annotation of each tier
    for interval in sorted(labels, key=attrgetter("label", "start")):
        label = html.escape(interval.label)
        start = round(interval.start * 1000)
        end = max(start + 1, round(interval.end * 1000))
        names = (label if number == 1 else f"{label} ({number})" for number in count(1))
        tier = next(name for name in names if ends.get(name, 0) <= start)
        ends[tier] = end
        slots += [start, end]
        tiers.setdefault(tier, []).append(_ANNOTATION.format(len(slots) - 1, len(slots), label))
    order = sorted(enumerate(slots, 1), key=lambda slot: slot[1])
    text = _DOCUMENT.format(
        address=html.escape(quote(str(video.absolute()), errors="replace")),
        relative=html.escape(quote(written_name(video, path.parent), errors="replace")),
        slots="".join(_SLOT.format(*slot) for slot in order),
        tiers="".join(_TIER.format(label, "".join(texts)) for label, texts in tiers.items()),
    )
    write_bytes(path, text.encode(errors="backslashreplace"))
