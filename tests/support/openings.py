"""Counts how often clips are opened and decoded, in all threads."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import av
import pytest

from onlooker.video import decode, video_file


@contextmanager
def counted_openings(folder: Path) -> Iterator[tuple[Counter[str], Counter[str]]]:
    """How often each file in a folder is opened to be read, and in how many passes frames of it are
    decoded, while the block runs.
    """
    opens = Counter[str]()
    decodes = Counter[str]()
    lock = Lock()
    open_file = av.open

    def count(counter: Counter[str], name: str) -> None:
        if name.startswith(str(folder)):
            with lock:
                counter[name] += 1

    def counting_open(file: Any, *args: Any, **options: Any) -> Any:
        if (options.get("mode") or "r") == "r" and args[:1] != ("w",):
            count(opens, str(file).removeprefix("file:"))
        return open_file(file, *args, **options)

    def counting(
        frames_of: Callable[..., Iterator[Any]], name_of: Callable[[Any], str]
    ) -> Callable[..., Iterator[Any]]:
        def frames(source: Any, *args: Any, **options: Any) -> Iterator[Any]:
            for number, frame in enumerate(frames_of(source, *args, **options)):
                if number == 0:
                    count(decodes, name_of(source).removeprefix("file:"))
                yield frame

        return frames

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(av, "open", counting_open)
        patched.setattr(decode, "decode_packets", counting(decode.decode_packets, str))
        by_index = counting(video_file.decode_runs, lambda container: container.name)
        patched.setattr(video_file, "decode_runs", by_index)
        yield opens, decodes
