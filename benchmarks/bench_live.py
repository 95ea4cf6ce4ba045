"""The default model live, on one core: CPU time of a frame as `onlooker watch` runs it, next to
MoViNet-A0's stream and TSM; delay from camera to answer.

    python benchmarks/bench_live.py              # 15 minutes; also draws docs/delay.png
    python benchmarks/bench_live.py --minutes 0  # without the camera, whose recorded delay is kept

`onlooker train` makes the models from generated stick figures: `lite0` with pictures alone, and with
both eyes, and `small` with pictures. A frame begins with pixels and ends with scores, boxes and
events (`Streams.step`, which `watch` calls for each frame of a source). Peers have random weights,
and get frames that are resized and normalized already. All run on PyTorch, and on ONNX Runtime: our
encoder (`models.encoders.engine`), and the exported steps of peers. All times are CPU times of one
thread, so that other programs on the machine count less. A spread is the 10th and the 90th
percentile of the ratios of single repetitions on ONNX Runtime.

The camera sends numbered frames by HTTP at 30 frames a second, and the model answers each of them
(`--rate 0`); the delay is from the moment at which the camera has a frame to the moment at which
`onlooker.watch` has the answer. At the limit, the model gets frames of 448×448 pixels, for which it
needs longer than from one frame of the camera to the next. Needs Linux's /proc.
"""

import io
import multiprocessing
import multiprocessing.dummy
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from multiprocessing.sharedctypes import Synchronized, SynchronizedArray
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import harness
import numpy as np
import torch
from movinet import MoViNet
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from tsm import TSM

import onlooker
from onlooker.base.config import StreamConfig
from onlooker.base.files import read_json
from onlooker.data.stick_figures import write_set
from onlooker.data.transforms import to_video
from onlooker.models.linear import LinearClassifier
from onlooker.recognizer import Recognizer
from onlooker.report.plots import COLORS, QUIET, plain
from onlooker.video.reader import VideoReader
from onlooker.video.resize import resize

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# pixels of the frames of MoViNet-A0 as published; of those at the limit
SIDE = 172
LIMIT = harness.size(448, 64)
SMALL = 112  # of our encoder `small`
CLASSES = 10
PEERS: dict[str, type[MoViNet | TSM]] = {"movinet-a0": MoViNet, "tsm-mobilenetv2": TSM}
# by the name of its row; the first one is what most people have
MODELS: dict[str, dict[str, Any]] = {
    "onlooker": {"encoder": "lite0", "eyes": "pictures"},
    "onlooker, both eyes": {"encoder": "lite0", "eyes": "both"},
    "onlooker, small": {"encoder": "small", "eyes": "pictures"},
}
DELAYED = "onlooker, small"  # whose delay from a camera is measured
ACTIONS = ("bend", "jump", "kick", "wave")
CLIPS = 4  # of each action
STEPS = harness.size(4, 1)  # in each measurement
# of the camera; bits of a frame's number, and pixels of the square that shows one
RATE = 30.0
BITS = 20
BLOCK = 24
SIZE = (640, 480)
PICTURE = harness.ROOT / "docs" / "delay.png"
AFTER = 200  # steps after which memory is read

Works = dict[str, Callable[[], object]]


def trained(folder: Path) -> dict[str, Path]:
    """The runs of the models, by their rows, beside the clips that they were trained on."""
    clips = folder / "clips"
    smallest: dict[str, Any] = {}
    if harness.smoke():
        smallest = {"size": 64, "frames": 4}
        harness.write_clips(clips)
    else:
        write_set(clips, CLIPS, actions=ACTIONS)
    runs = {name: folder / f"run-{number}" for number, name in enumerate(MODELS)}
    for name, run in runs.items():
        onlooker.train(clips, run=run, quiet=True, **MODELS[name], **smallest)
    return runs


class Watched:
    """The frames of a video that repeats, as `watch` passes them to the model."""

    def __init__(self, run: Path) -> None:
        self.recognizer = onlooker.load(run, "cpu")
        self.streams = self.recognizer.streams()
        clips = sorted((run.parent / "clips").glob("*/*.mp4"))
        # every third frame, as at the rate of training
        self.frames = [
            frame for clip in clips[::CLIPS] for _, _, frame in list(VideoReader(clip))[::3]
        ]
        self.rate = self.recognizer.decision.frame_rate or RATE
        self.index = 0

    def step(self) -> None:
        self.index += 1
        frame = self.frames[self.index % len(self.frames)]
        self.streams.step({"": (self.index, self.index / self.rate, frame)})

    def encoded(self) -> Callable[[], object]:
        """The encoder alone, on one frame."""
        data = self.recognizer.data
        pixels = torch.from_numpy(resize(self.frames[0][None], data.size, data.channels))
        video = to_video(pixels, data.normalization)
        return lambda: self.streams.model.encode(video)

    @property
    def sizes(self) -> dict[str, float]:
        return sizes(self.recognizer.model, self.streams.memories[""])


class PeerStep(nn.Module):
    """A peer's step with its state as plain tensors, and frames of `size` pixels."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = PEERS[name](CLASSES)
        self.pixels = size
        self.eval()

    def forward(self, frame: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """`1 3 H W` and the state to the logits `1 K` and the next state."""
        logits, after = self.network.step(frame, list(state))
        return logits, *after

    def inputs(self) -> tuple[Tensor, ...]:
        """A frame, and the state after two of them."""
        frame = torch.rand(1, 3, self.pixels, self.pixels)
        return frame, *self(frame, *self(frame)[1:])[1:]


def sizes(model: nn.Module, state: object) -> dict[str, float]:
    """Parameters of a model; bytes of all its tensors, and of those of its state."""
    return {
        "parameters": sum(each.numel() for each in model.parameters()),
        "weights_megabytes": round(
            sum(each.nbytes for each in model.state_dict().values()) / 1e6, 2
        ),
        "state_megabytes": round(bytes_of(state) / 1e6, 3),
    }


def bytes_of(state: object) -> int:
    """Bytes of the tensors and arrays in a state."""
    if isinstance(state, Tensor | np.ndarray):
        return state.nbytes
    if is_dataclass(state):
        return sum(bytes_of(getattr(state, part.name)) for part in fields(state))
    return sum(map(bytes_of, state)) if isinstance(state, tuple | list) else 0


def session(graph: Path) -> "InferenceSession":
    """A graph in onnxruntime, on one thread."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # on by default; read when onnxruntime is imported
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def exported(peers: dict[str, PeerStep], folder: Path) -> Works:
    """A frame of each peer's exported step, always the same one."""
    works: Works = {}
    for name, step in peers.items():
        graph = folder / f"{name}.onnx"
        given = step.inputs()
        torch.onnx.export(step, given, str(graph), dynamo=True, external_data=False, verbose=False)
        works[name] = fed(session(graph), [each.numpy() for each in given])
    return works


def fed(graph: "InferenceSession", inputs: Sequence[NDArray[Any]]) -> Callable[[], object]:
    """A run of a graph."""
    names = [each.name for each in graph.get_inputs()]
    feed = dict(zip(names, inputs, strict=True))
    return lambda: graph.run(None, feed)


def by(engine: str, work: Callable[[], object]) -> Callable[[], None]:
    """The work with our encoder on PyTorch or ONNX Runtime."""

    def run() -> None:
        os.environ["ONLOOKER_ENGINE"] = engine
        work()

    return run


def stepped(step: PeerStep) -> Callable[[], object]:
    """A frame of a peer."""
    given = step.inputs()
    return lambda: step(*given)


def repeated(work: Callable[[], object]) -> Callable[[], None]:
    """The work of some frames."""

    def steps() -> None:
        for _ in range(STEPS):
            work()

    return steps


def memory_of(name: str, run: Path) -> float:
    """MB that a process grows by when it loads a model and makes some steps."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_grown, (name, run))


@torch.inference_mode()
def _grown(name: str, run: Path) -> float:
    torch.set_num_threads(1)
    before = _resident()
    if name in MODELS:
        watched = Watched(run)
        # the frames of the video are not the model's
        before += sum(frame.nbytes for frame in watched.frames) / 2**20
        for _ in range(AFTER):
            watched.step()
    else:
        step = PeerStep(name, SIDE)
        frame, *state = step.inputs()
        for _ in range(AFTER):
            _, *state = step(frame, *state)
    return round(_resident() - before, 1)


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Delays(NamedTuple):
    """Milliseconds from a frame of the camera to its answer, and frames that were skipped for newer
    ones.
    """

    milliseconds: NDArray[np.float64]
    answered: int
    skipped: int

    def to_dict(self) -> dict[str, float | dict[str, int]]:
        shares = {
            f"p{share}": round(float(np.percentile(self.milliseconds, share)), 1)
            for share in (50, 99, 100)
        }
        counts, edges = np.histogram(self.milliseconds, bins=np.geomspace(1, 10_000, 41))
        histogram = {
            f"{edge:.1f}": int(count) for edge, count in zip(edges, counts, strict=False) if count
        }
        return {
            **shares,
            "answered": self.answered,
            "skipped": self.skipped,
            "histogram": histogram,
        }


def film(rate: float, port: "Synchronized[int]", sent: "SynchronizedArray[float]") -> None:
    """A camera on HTTP: numbered JPEG frames; `sent` gets the time of each."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1] // 8, SIZE[0] // 8, 3), np.uint8)
    scene = np.asarray(Image.fromarray(noise).resize(SIZE, Image.Resampling.BILINEAR))

    class Camera(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            begin = time.monotonic()
            number = 0
            while number < len(sent):
                content = io.BytesIO()
                Image.fromarray(with_number(scene, number)).save(content, "jpeg", quality=80)
                jpeg = content.getvalue()
                if (early := begin + number / rate - time.monotonic()) > 0:
                    time.sleep(early)
                sent[number] = time.monotonic()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                except OSError:  # nobody watches any more
                    return
                number += 1

    with HTTPServer(("127.0.0.1", 0), Camera) as server:
        port.value = server.server_port
        server.handle_request()


def with_number(scene: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """The scene with the bits of a number as white and black squares."""
    frame = scene.copy()
    for bit in range(BITS):
        frame[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)
    return frame


def number_of(frame: NDArray[np.uint8]) -> int:
    middle = BLOCK // 2
    return sum(int(frame[middle, bit * BLOCK + middle, 0] > 127) << bit for bit in range(BITS))


def delays(recognizer: Recognizer, rate: float, seconds: float) -> Delays:
    """Watch a camera for some seconds."""
    # the camera has a process of its own, which takes seconds to start
    context = multiprocessing.dummy if harness.smoke() else multiprocessing.get_context("spawn")
    port = context.Value("i", 0)
    sent = context.Array("d", [0.0] * int(seconds * rate), lock=False)
    camera = context.Process(target=film, args=(rate, port, sent))
    camera.daemon = True
    camera.start()
    while not port.value:
        time.sleep(0.05)
    milliseconds = list[float]()
    begin = time.monotonic()
    last = -1
    skipped = 0
    for step in recognizer.watch(f"http://127.0.0.1:{port.value}/", StreamConfig(rate=0)):
        now = time.monotonic()
        assert step.pixels is not None
        number = number_of(step.pixels)
        milliseconds.append(1e3 * (now - sent[number]))
        skipped = skipped + number - last - 1
        last = number
        if now - begin > seconds or number >= len(sent) - 2:
            break
    camera.join()
    return Delays(np.array(milliseconds), len(milliseconds), skipped)


def draw(figures: dict[str, Any], picture: Path = PICTURE) -> None:
    """Histograms of the delays in `bench-live.json`, on the edges of `Delays.to_dict`."""
    from matplotlib.figure import Figure

    titles = {
        "delay_ms": f"30 frames a second, {figures['own_pixels'][DELAYED]} pixels",
        "delay_ms_at_the_limit": f"At the limit, {LIMIT} pixels",
    }
    figure = Figure(figsize=(8.4, 2.6), layout="constrained", facecolor="white")
    for number, (axes, (name, title)) in enumerate(
        zip(figure.subplots(1, len(titles)), titles.items(), strict=True)
    ):
        of = figures[name]
        edges = np.array([float(edge) for edge in of["histogram"]])
        shares = np.array([*of["histogram"].values()]) / of["answered"]
        axes.bar(edges, shares, width=edges * 0.24, align="edge", color=COLORS[number])
        axes.set_xscale("log")
        axes.set_xlim(8, 2000)
        axes.set_xticks(ticks := [10, 20, 50, 100, 200, 500, 1000], [f"{tick}" for tick in ticks])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.axvline(of["p99"], color=QUIET, linewidth=1, linestyle="--")
        axes.text(
            of["p99"] * 1.06,
            shares.max() * 0.9,
            f"99 %: {of['p99']:.0f} ms",
            color=QUIET,
            fontsize=9,
        )
        plain(axes, "ms from camera to answer", title=title)
    figure.savefig(picture, dpi=130)


def enlarged(recognizer: Recognizer, size: int) -> Recognizer:
    """The same weights for frames of another size: statistics are averages over locations."""
    given = recognizer.model
    assert isinstance(given, LinearClassifier)
    model = LinearClassifier(
        given.num_classes,
        encoder="small",
        window=given.window,
        size=size,
        lengths=given.lengths,
        heads={name: given.heads.outputs(name) for name in given.heads if name != "clip"},
        motion_features=given.eyes.get("motion", 0),
        window_novelty_limit=given.window_novelty_limit,
        everyday=None if given.everyday is None else given.everyday.sizes,
    )
    model.load_state_dict(given.state_dict())
    return Recognizer(model, replace(recognizer.data, size=size), recognizer.decision)


def measure_delay(recognizer: Recognizer, minutes: float) -> dict[str, Any]:
    """The delay at 30 frames a second, and at the limit; with 0 minutes the one that was recorded
    last.
    """
    names = ("delay_ms", "delay_ms_at_the_limit", "minutes")
    if not minutes:
        path = harness.RESULTS / "bench-live.json"
        before = read_json(path)["figures"] if path.exists() else {}
        return {name: before.get(name) for name in names}
    usual = delays(recognizer, RATE, 60 * minutes)
    limit = delays(enlarged(recognizer, LIMIT), RATE, 60 * minutes)
    return dict(zip(names, (usual.to_dict(), limit.to_dict(), minutes), strict=True))


@torch.inference_mode()
def measure_times(watched: dict[str, Watched], folder: Path, repetitions: int) -> dict[str, Any]:
    """Milliseconds of frames, their ratios, and the sizes of all models."""
    first = next(iter(MODELS))
    ways = ("torch", "onnxruntime")
    peers = {name: PeerStep(name, SIDE) for name in PEERS}
    small = {f"{name} at {SMALL}": PeerStep(name, SMALL) for name in PEERS}
    works: Works = {f"{name} torch": stepped(step) for name, step in (peers | small).items()}
    if not harness.smoke():  # the exporter takes seconds
        graphs = exported(peers | small, folder)
        works |= {f"{name} onnxruntime": work for name, work in graphs.items()}
    for name, model in watched.items():
        works |= {f"{name} {way}": by(way, model.step) for way in ways}
        works |= {f"{name} encoder": by("onnxruntime", model.encoded())}
    works = {name: repeated(work) for name, work in works.items()}
    seconds = harness.interleaved(works, repetitions, clock=time.process_time)
    times = {
        name: {
            way: round(1e3 * median(seconds[f"{name} {way}"]) / STEPS, 3)
            for way in (*ways, "encoder")
            if f"{name} {way}" in seconds
        }
        for name in (*watched, *peers, *small)
    }
    figures: dict[str, Any] = {
        f"ratios_{way}": {
            name: {
                peer: round(times[peer][way] / times[name][way], 3)
                for peer in (*peers, *small)
                if way in times[peer]
            }
            for name in watched
        }
        for way in ways
    }
    ours = np.array(seconds[f"{first} onnxruntime"])
    figures["spreads"] = {
        name: np.percentile(np.array(seconds[f"{name} onnxruntime"]) / ours, (10, 90))
        .round(3)
        .tolist()
        for name in peers
        if f"{name} onnxruntime" in seconds
    }
    own_sizes = {name: model.sizes for name, model in watched.items()}
    peer_sizes = {
        name: sizes(step.network, step.inputs()[1:]) for name, step in (peers | small).items()
    }
    return figures | {
        "milliseconds": times,
        "sizes": own_sizes | peer_sizes,
        "pixels": SIDE,
        "own_pixels": {name: model.recognizer.data.size for name, model in watched.items()},
    }


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("--repetitions", type=int, default=50)
    arguments.add_argument(
        "--minutes", type=float, default=3.0, help="of each camera; 0: without them"
    )
    options = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        runs = trained(folder)
        watched = {name: Watched(run) for name, run in runs.items()}
        figures = measure_times(watched, folder, options.repetitions)
        os.environ.pop("ONLOOKER_ENGINE")
        if not harness.smoke():  # each model in a process of its own
            for name in (*MODELS, *PEERS):
                run = runs.get(name, folder)
                figures["sizes"][name]["megabytes"] = memory_of(name, run)
        minutes = harness.size(options.minutes, 0.5 / 60)
        figures |= measure_delay(watched[DELAYED].recognizer, minutes)
    harness.show(
        "A frame, ms of CPU time",
        ["model", "torch", "onnxruntime", "encoder", "MB of state"],
        [
            [
                name,
                *(of.get(way, "–") for way in ("torch", "onnxruntime", "encoder")),
                figures["sizes"][name]["state_megabytes"],
            ]
            for name, of in figures["milliseconds"].items()
        ],
    )
    print({name: figures[name] for name in figures if name.startswith(("ratios", "spreads"))})
    if options.minutes and not harness.smoke():
        draw(figures)
    what = (
        "the default model live, and other models, on one core; and the delay from camera to answer"
    )
    print(harness.record("bench-live", what, figures, seeds=[0], packages=("onnxruntime",)))


if __name__ == "__main__":
    main()
