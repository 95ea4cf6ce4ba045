"""WebVTT: subtitles with the labels of one video."""

import html
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from onlooker.base.files import read_bytes, write_bytes
from onlooker.base.intervals import parse_time
from onlooker.base.records import Recording, Segment
from onlooker.formats.labels import Labels, Requested, entry
from onlooker.formats.videos import by_path, by_stem, find_video, one_video, written_name

_TIME = r"((?:\d+:)?\d\d:\d\d\.\d{3})"

_CUE = re.compile(rf"(?m)^{_TIME}[ \t]+-->[ \t]+{_TIME}(?:[ \t].*)?\n((?:.+\n?)*)", re.ASCII)

# who speaks, or does it, in a cue
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^<>]+)>")

# of WebVTT
_VIDEO = "NOTE video "
WATCHED_AGAIN = "NOTE watched again"


def read(path: Path, requested: Requested, left_out: Counter[str]) -> Labels:
    """The cues of the video that a note names (`write`), or else of the video beside the file that
    has the same name. The only voice of a cue is its subject.
    """
    text = "\n".join(read_bytes(path).decode("utf-8-sig").splitlines())
    if not text.startswith("WEBVTT"):
        raise ValueError("no WEBVTT in the first line")
    if "X-TIMESTAMP-MAP" in text:
        raise ValueError("times of a stream (X-TIMESTAMP-MAP), not of its file")
    if WATCHED_AGAIN in text:
        raise ValueError("times of a stream that was watched several times, each from 0")
    video = by_stem(path.parent).get(path.stem) or by_path(path.with_suffix(".mp4"))
    if named := re.search(rf"(?m)^{_VIDEO}(.+)$", text):
        video = find_video(path.parent, unquote(named[1]))
    cues = [*_CUE.finditer(text)]
    if (unread := text.count("-->") - len(cues)) > 0:
        left_out["cues whose times cannot be read"] += unread
    for number, cue in enumerate(cues, 1):
        with entry(path, f"cue {number}: ", left_out):
            start, end = map(parse_time, cue.groups()[:2])
            voices = [html.unescape(voice).strip() for voice in _VOICE.findall(cue[3])]
            if len(voices) > 1:
                left_out["voices of cues that have several"] += len(voices)
            label = html.unescape(re.sub("<[^<>]*>", "", cue[3]))
            subject = voices[0] if len(voices) == 1 else ""
            yield (
                video,
                requested.segment(label, start, end, left_out=left_out, subject=subject),
            )


def write(path: Path, recordings: Sequence[Recording], _: float | None) -> None:
    """The cues, after a note with the path of the video: a drawn clip may have the file's name.

    Cues of a part of a video count from its beginning, as in the drawn clip.
    """
    video, labels = one_video(path, recordings)
    name = quote(written_name(video, path.parent), safe="/#=,: ", errors="replace")
    lines = ["WEBVTT\n", f"{_VIDEO}{name}\n", *map(webvtt_cue, labels)]
    write_bytes(path, "\n".join(lines).encode(errors="backslashreplace"))


def webvtt_cue(segment: Segment) -> str:
    """A segment as lines of WebVTT."""
    times = f"{_clock(segment.start)} --> {_clock(max(segment.end, segment.start + 0.001))}"
    return f"{times}\n{html.escape(segment.label, quote=False)}\n"


def _clock(seconds: float) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    return (
        f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
    )
