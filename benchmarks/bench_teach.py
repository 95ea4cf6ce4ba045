"""From five clips of each of four classes to a live model, in the page: seconds, and accuracy on
all other clips.

    ONLOOKER_DATA=folder python benchmarks/bench_teach.py      # the first four classes of the hand
    gestures

Each repetition draws other clips. The clips are uploaded, and the training is started and followed,
by the requests that the page sends.
"""

import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple
from urllib.parse import quote

import harness
from starlette.testclient import TestClient

from onlooker import load
from onlooker.base.records import Clip
from onlooker.data.sets import read_set
from onlooker.serve.app import ServeSettings, create_app
from onlooker_papers.real_clips.frozen import splits_of

SET = "hand_gestures"
CLASSES = 4
EACH = harness.size(5, 3)
_HEADERS = {"X-Onlooker": "1", "Origin": "http://localhost"}


class Taught(NamedTuple):
    """Seconds to add the clips, to a live model, and until its report is drawn; accuracy on the
    other clips.
    """

    adding: float
    live: float
    done: float
    accuracy: float


def teach(clips: list[Clip], others: list[Clip], folder: Path) -> Taught:
    """Teach a new project, and test its model on other clips."""
    settings = ServeSettings(clips=folder / "clips", runs=folder / "runs")
    with TestClient(create_app(settings), base_url="http://localhost", headers=_HEADERS) as page:
        begin = time.perf_counter()
        for clip in clips:
            name = {"X-Filename": quote(clip.path.name)}
            added = page.post(
                "/api/project/clips",
                params={"class": clip.label},
                content=clip.path.read_bytes(),
                headers=name,
            )
            added.raise_for_status()
        added_at = time.perf_counter()
        job = page.post("/api/project/train").raise_for_status().json()["job"]
        live = None
        while (state := page.get(f"/api/jobs/{job}").json())["state"] in ("queued", "running"):
            if live is None and (state["result"] or {}).get("model"):
                live = time.perf_counter()
            time.sleep(0.1)
        done = time.perf_counter()
        if state["state"] != "done":
            raise RuntimeError(f"the training {state['state']}: {state['error']}")
    recognizer = load(folder / "runs" / state["result"]["run"])
    right = mean(recognizer.predict(clip.path).label == clip.label for clip in others)
    return Taught(added_at - begin, (live or done) - added_at, done - added_at, accuracy=right)


def draw(clips: list[Clip], seed: int) -> tuple[list[Clip], list[Clip]]:
    """Five clips of each class, and all others."""
    shuffled = random.Random(seed).sample(clips, len(clips))
    labels = {clip.label for clip in clips}
    chosen = [
        clip
        for label in sorted(labels)
        for clip in [c for c in shuffled if c.label == label][:EACH]
    ]
    return chosen, [clip for clip in clips if clip not in chosen]


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("--repetitions", type=int, default=harness.size(harness.MINIMUM, 1))
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(clips_of_set(Path(folder, "clips")), options.repetitions)


def clips_of_set(folder: Path) -> tuple[Clip, ...]:
    """The hand gestures; with `--smoke` generated clips, in a new folder."""
    if harness.smoke():
        return read_set(harness.write_clips(folder, EACH + 1)).clips
    return next(iter(splits_of(SET).values())).clips


def measure(every: Sequence[Clip], repetitions: int) -> None:
    """Teach the classes in the page again and again, and record the times."""
    labels = sorted({clip.label for clip in every})[:CLASSES]
    of_classes = [clip for clip in every if clip.label in labels]
    seeds = range(repetitions)
    taught = list[Taught]()
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            taught.append(teach(*draw(of_classes, seed), Path(folder)))
            print(taught[-1], flush=True)
    tested = len(of_classes) - len(labels) * EACH
    figures: dict[str, Any] = {
        "seconds": round(median(each.live for each in taught), 2),
        "adding": round(median(each.adding for each in taught), 2),
        "report": round(median(each.done for each in taught), 2),
        "accuracy": mean(each.accuracy for each in taught),
        "majority": max(Counter(clip.label for clip in draw(of_classes, 0)[1]).values()) / tested,
        "accuracies": [each.accuracy for each in taught],
        "classes": labels,
        "clips": len(labels) * EACH,
        "tested": tested,
    }
    harness.show("Taught", list(Taught._fields), [list(each) for each in taught])
    what = "five clips of each of four classes, in the page: seconds to a live model, accuracy on the other clips"
    print(
        harness.record(
            "bench-teach", what, figures, seeds=list(seeds), packages=("fastapi", "uvicorn")
        )
    )


if __name__ == "__main__":
    main()
