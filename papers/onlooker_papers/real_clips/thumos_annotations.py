"""THUMOS'14: temporal annotations of actions in untrimmed videos of 20 sports.

H. Idrees, A. R. Zamir, Y.-G. Jiang, A. Gorban, I. Laptev, R. Sukthankar, M. Shah, *The THUMOS challenge on action
recognition for videos "in the wild"*, 2017. Its annotations are text files, one for each class and one for ambiguous
segments; `thumos14.json` has the format of ActivityNet, without ambiguous segments.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from onlooker.files import read_json
from onlooker.structures import ClipError, Segment

__all__ = ["AMBIGUOUS", "read_annotations"]

AMBIGUOUS = "Ambiguous"


def read_annotations(path: Path, part: str = "test") -> tuple[dict[str, list[Segment]], tuple[ClipError, ...]]:
    """The segments of each video, and an error for each video with segments that end after the video.

    Args:
        path: a folder of `CLASS_test.txt` and `Ambiguous_test.txt`, or `thumos14.json`.
        part: test, or val (of the validation videos).

    Returns:
        Segments in the order of the files. They may overlap; each CliffDiving is also a Diving at the same time.
        Segments with an error are returned as annotated. For a comparison with published figures, leave out the same
        videos as these (often video_test_0000270 and video_test_0001496).

    Raises:
        ClipError: no such files, or content of another form.
    """
    if path.suffix == ".json":
        return _from_json(path, part)
    return _from_text(path, part), ()


def _from_text(folder: Path, part: str) -> dict[str, list[Segment]]:
    files = sorted(folder.glob(f"*_{part}.txt"))
    if not files:
        raise ClipError(folder, f"no files *_{part}.txt", "give the folder of THUMOS'14's annotations")
    found = defaultdict(list)
    for file in files:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if not line.strip():
                continue
            try:
                video, start, end = line.split()
                found[video].append(Segment(file.name.removesuffix(f"_{part}.txt"), float(start), float(end)))
            except ValueError as error:
                raise ClipError(file, f"line {number}: {line!r}", "expected a video, a start and an end") from error
    return dict(found)


def _from_json(path: Path, part: str) -> tuple[dict[str, list[Segment]], tuple[ClipError, ...]]:
    if not path.is_file():
        raise ClipError(path, "no such file", "expected thumos14.json, the temporal annotations")
    found, errors, name = dict[str, list[Segment]](), [], ""
    try:
        for name, values in read_json(path)["database"].items():
            if values["subset"].lower().startswith(part):
                found[name] = [_segment(each) for each in values["annotations"]]
                if beyond := [each.end for each in found[name] if each.end > values["duration"]]:
                    errors.append(_beyond(name, beyond, len(found[name]), values["duration"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        problem = f"not the annotations of THUMOS'14 ({f'{name} {type(error).__name__}: {error}'.strip()})"
        raise ClipError(path, problem, "expected database, and in it for each video its annotations") from error
    return found, tuple(errors)


def _segment(values: dict[str, Any]) -> Segment:
    start, end = values["segment"]
    return Segment(str(values["label"]), float(start), float(end))


def _beyond(name: str, ends: list[float], count: int, duration: float) -> ClipError:
    problem = f"{len(ends)} of {count} segments end after the video ({duration:g} s), the last at {max(ends):g} s"
    return ClipError(name, problem, "leave it out where figures are compared")
