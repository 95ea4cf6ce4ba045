"""CPU seconds of whole commands, next to what they cannot do without: imports, decoding, encoding.

    ONLOOKER_DATA=folder python benchmarks/bench_commands.py

`train` on 120 clips of surveillance, with an empty cache, again, and with the encoder `small`;
`predict` on 50 of them, with drawn clips and without (`draw` is the difference); and a request of
the page with 20 and with 20,000 clips. Each command runs once, in a process of its own, whose CPU
seconds of all threads count.
"""

import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import harness
from starlette.testclient import TestClient

from onlooker.cli import app as onlooker
from onlooker.serve.app import ServeSettings, create_app

SET = "surveillance"
PREDICTED = harness.size(50, 2)
SIZES = harness.size((20, 20_000), (2, 20))  # clips of a page
REPETITIONS = harness.size(3, 1)
SMALL: dict[str, int] = harness.size({}, {"frames": 4, "size": 48})  # settings of samples
COMMAND = (sys.executable, "-m", "onlooker")
IMPORTS = "import onlooker; onlooker.train, onlooker.load; import onlooker.run.predict"
# What a model sees of the clips: frames decoded and resized; encoded, and all frames' motion words.
LIMIT = """
import json
import sys
from dataclasses import replace
from pathlib import Path
import torch
from onlooker.base.config import ModelConfig, Settings
from onlooker.data.samples import read_sample
from onlooker.data.transforms import to_video
from onlooker.models.encoders import build_encoder
from onlooker.training.fitters import complete
what, small, *paths = sys.argv[1:]
name = "lite0" if what == "decode" else what
data = complete(Settings(ModelConfig(encoder=name)), {"encoder"}).data
data = replace(data, **json.loads(small))
encoder = None
if what == "decode":
    data = replace(data, eyes="pictures")
else:
    encoder = build_encoder(name, data.channels, data.size, pretrained=True).eval()
with torch.inference_mode():
    for path in paths:
        frames = torch.from_numpy(read_sample(Path(path), data).pixels)
        if encoder is not None:
            encoder(to_video(frames, data.normalization))
"""
# Each whole clip decoded, and encoded with the settings of x264 that all videos of onlooker have
# but drawn ones, which are encoded faster.
COPY = """
import sys
import av
options = {"preset": "veryfast", "crf": "20"}
for path in sys.argv[2:]:
    with av.open(path) as clip, av.open(sys.argv[1], "w") as copy:
        video = clip.streams.video[0]
        stream = copy.add_stream("libx264", rate=video.average_rate, options=options)
        stream.width = video.width
        stream.height = video.height
        stream.pix_fmt = "yuv420p"
        for frame in clip.decode(video):
            frame.pts = None
            frame.pict_type = 0  # chosen anew
            copy.mux(stream.encode(frame.reformat(format="yuv420p")))
        copy.mux(stream.encode(None))
"""


def cpu_seconds(command: Sequence[str], cache: Path) -> float:
    """CPU seconds of a process and its children."""
    if harness.smoke():
        return cpu_seconds_here(command, cache)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"ONLOOKER_CACHE": str(cache)}
    subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def cpu_seconds_here(command: Sequence[str], cache: Path) -> float:
    """The same without a new interpreter, which imports libraries for seconds."""
    _, way, program, *arguments = command
    before = time.process_time()
    with (
        mock.patch.object(sys, "argv", [program, *arguments]),
        mock.patch.dict(os.environ, {"ONLOOKER_CACHE": str(cache)}),
        redirect_stdout(io.StringIO()),
    ):
        if way == "-c":
            exec(program, {})
        else:
            onlooker(arguments, standalone_mode=False)
    return time.process_time() - before


def measure(clips: Path, folder: Path) -> dict[str, float]:
    """CPU seconds of each command, once."""
    files = sorted(clips.glob("*/*.mp4"))
    some = files[:: len(files) // PREDICTED][:PREDICTED]
    cache = folder / "cache"
    run = folder / "run"
    small = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    train = (*COMMAND, "train", str(clips), *small, "--run")
    limit = (sys.executable, "-c", LIMIT)
    sizes = json.dumps(SMALL)
    predict = (*COMMAND, "predict", str(run), *map(str, some))
    work: dict[str, Sequence[str]] = {
        "train": (*train, str(run)),
        "train again": (*train, str(folder / "again")),
        "predict": predict,
        "predict and draw": (*predict, "--out", str(folder / "out")),
        "train small": (*train, str(folder / "small"), "--encoder", "small"),
        "imports": (sys.executable, "-c", IMPORTS),
        "train: decoding": (*limit, "decode", sizes, *map(str, files)),
        "train: decoding and both eyes": (*limit, "lite0", sizes, *map(str, files)),
        "train small: decoding and both eyes": (*limit, "small", sizes, *map(str, files)),
        "predict: decoding": (*limit, "decode", sizes, *map(str, some)),
        "predict: decoding and both eyes": (*limit, "lite0", sizes, *map(str, some)),
        "draw: decoding and encoding": (
            *(sys.executable, "-c", COPY, str(folder / "copy.mp4")),
            *map(str, some),
        ),
    }
    seconds = {name: cpu_seconds(command, cache) for name, command in work.items()}
    return seconds | {"draw": seconds["predict and draw"] - seconds["predict"]}


def page_milliseconds(folder: Path) -> dict[str, float]:
    """Milliseconds of the request that notices changes, by the number of clips of the page."""
    found = dict[str, float]()
    for count in SIZES:
        clips = folder / f"page-{count}"
        for number in range(count):
            path = clips / f"class{number % 10}" / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"%d" % number)
        settings = ServeSettings(clips=clips, runs=folder / "runs")
        headers = {"X-Onlooker": "1", "Origin": "http://localhost"}
        with TestClient(create_app(settings), base_url="http://localhost", headers=headers) as page:
            found[str(count)] = 1000 * median(request_seconds(partial(request, page)))
    return found


def request(page: TestClient) -> None:
    page.get("/api/project").raise_for_status()


def request_seconds(work: Callable[[], Any]) -> list[float]:
    """Of a few repetitions, after one that is not counted."""
    work()
    times = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times


def clips_of_set(folder: Path) -> Path:
    """The folder of the clips; with `--smoke` of generated ones, in a new folder."""
    if harness.smoke():
        return harness.write_clips(folder)
    if "ONLOOKER_DATA" not in os.environ:
        raise SystemExit("set ONLOOKER_DATA to the folder of the real clips")
    return Path(os.environ["ONLOOKER_DATA"]) / "clips" / SET


def main() -> None:
    harness.parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(clips_of_set(Path(folder, "clips")), Path(folder))
    cpu = {name: round(value, 3) for name, value in seconds.items()}
    with tempfile.TemporaryDirectory() as folder:
        page = page_milliseconds(Path(folder))
    limits = {
        "draw": cpu["draw: decoding and encoding"],
        **{
            name: cpu[f"{name}: decoding and both eyes"]
            for name in ("train", "train small", "predict")
        },
    }
    ratios = {name: round(cpu[name] / limit, 3) for name, limit in limits.items()}
    figures = {"cpu_seconds": cpu, "over_limit": ratios, "page_milliseconds": page}
    harness.show("CPU seconds", ["", "seconds"], [[name, value] for name, value in cpu.items()])
    print(ratios, page)
    print(harness.record("bench-commands", __doc__.splitlines()[0], figures))


if __name__ == "__main__":
    main()
