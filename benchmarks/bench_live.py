"""Live models on one core: milliseconds of a frame next to MoViNet-A0's stream and TSM; delay from
camera to answer.

    python benchmarks/bench_live.py              # more than an hour; also draws docs/delay.png
    python benchmarks/bench_live.py --minutes 0  # without the camera, whose recorded delay is kept

All models have random weights and get frames of 172×172 pixels. PyTorch runs them in float32 and
bfloat16, onnxruntime their exported steps in float32 and in 8 bits; ratios are of the faster one in
float32. The camera sends numbered frames by HTTP at 30 frames a second; the delay is from the
moment at which it has a frame to the moment at which `onlooker.watch` has the answer. At the limit,
the model gets frames of 448×448 pixels, for which it needs longer than from one frame of the camera
to the next. Needs Linux's /proc.
"""

import argparse
import io
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized, SynchronizedArray
from pathlib import Path
from typing import Any, NamedTuple

import harness
import numpy as np
import torch
from movinet import MoViNet
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from tsm import TSM

from onlooker.base.config import DataConfig
from onlooker.base.files import read_json
from onlooker.models.registry import create_model
from onlooker.models.video_model import VideoModel
from onlooker.recognizer import Recognizer
from onlooker.report.plots import COLORS, QUIET, plain

SIDE = 172
CLASSES = 10
# pixels of the frames that our encoder was trained on; of those at the limit
OWN_SIDE = 112
SLOW_SIDE = 448
WAYS = ("torch", "bf16", "onnxruntime", "int8")
# of the camera; bits of a frame's number, and pixels of the square that shows one
RATE = 30.0
BITS = 20
BLOCK = 24
SIZE = (640, 480)
PICTURE = harness.ROOT / "docs" / "delay.png"
AFTER = 200  # steps after which memory is read


class Step(nn.Module):
    """A step with its state as plain tensors, for all models alike."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.side = int(name.partition(" at ")[2] or SIDE)
        if name == "movinet-a0":
            self.model: VideoModel | MoViNet | TSM = MoViNet(CLASSES)
        elif name == "tsm-mobilenetv2":
            self.model = TSM(CLASSES)
        else:
            self.model = create_model(
                "convalstm", CLASSES, size=self.side, encoder="small", hidden=32
            )
        self.model.eval()

    def forward(self, frame: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """`1 3 H W` and the state to the logits `1 K` and the next state."""
        if isinstance(self.model, VideoModel):
            kind = type(self.model.initial_state(1))
            output, after = self.model.step(frame, kind(*state) if state else None)
            return output.logits, *after
        logits, after = self.model.step(frame, list(state))
        return logits, *after

    def frame(self) -> Tensor:
        return torch.rand(1, 3, self.side, self.side)


def exported(
    network: nn.Module, inputs: tuple[Tensor, ...], folder: Path
) -> dict[str, Callable[[], object]]:
    """A network in onnxruntime on one thread, in float32 and, by static quantization, in 8 bits."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # on by default; read when onnxruntime is imported
    import onnxruntime
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Inputs(CalibrationDataReader):
        """The same inputs a few times: the ranges of activations do not change the time."""

        def __init__(self, feed: dict[str, NDArray[Any]]) -> None:
            self.feeds = iter([feed] * 4)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self.feeds, None)

    plain, prepared, small = (folder / f"{name}.onnx" for name in ("plain", "prepared", "int8"))
    torch.onnx.export(network, inputs, str(plain), dynamo=True, external_data=False, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3

    def session(path: Path) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    in_float = session(plain)
    names = [each.name for each in in_float.get_inputs()]
    feed = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    kinds = {
        "activation_type": QuantType.QUInt8,
        "weight_type": QuantType.QInt8,
        "quant_format": QuantFormat.QDQ,
    }
    products = ["Conv", "Gemm", "MatMul"]
    quantize_static(str(prepared), str(small), Inputs(feed), op_types_to_quantize=products, **kinds)
    in_bytes = session(small)
    return {
        "onnxruntime": lambda: in_float.run(None, feed),
        "int8": lambda: in_bytes.run(None, feed),
    }


def works_of(
    names: list[str], folder: Path
) -> tuple[dict[str, Callable[[], object]], dict[str, dict[str, float]]]:
    """For each model one step in each way of running it, and its sizes."""
    works: dict[str, Callable[[], object]] = {}
    sizes: dict[str, dict[str, float]] = {}
    for name in names:
        step = Step(name).eval()
        frame = step.frame()
        state = step(frame, *step(frame)[1:])[1:]

        def run(step: Step = step, given: tuple[Tensor, ...] = (frame, *state)) -> object:
            return step(*given)

        def run_bf16(run: Callable[[], object] = run) -> object:
            with torch.autocast("cpu", torch.bfloat16):
                return run()

        works[f"{name} torch"] = run
        works[f"{name} bf16"] = run_bf16
        works |= {
            f"{name} {way}": work for way, work in exported(step, (frame, *state), folder).items()
        }
        sizes[name] = {
            "parameters": sum(each.numel() for each in step.parameters()),
            "state_tensors": len(state),
            "state_megabytes": round(sum(4 * each.numel() for each in state) / 1e6, 3),
            "megabytes": memory_of(name),
        }
    return works, sizes


def memory_of(name: str) -> float:
    """MB that a process grows by when it builds a model and makes some steps."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_grown, (name,))


def _grown(name: str) -> float:
    torch.set_num_threads(1)
    before = _resident()
    step = Step(name)
    frame = step.frame()
    state = ()
    with torch.inference_mode():
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
        counts, edges = np.histogram(self.milliseconds, bins=np.geomspace(1, 1000, 31))
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

    server = HTTPServer(("127.0.0.1", 0), Camera)
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
    context = multiprocessing.get_context("spawn")
    port = context.Value("i", 0)
    sent = context.Array("d", int(seconds * rate), lock=False)
    camera = context.Process(target=film, args=(rate, port, sent), daemon=True)
    camera.start()
    while not port.value:
        time.sleep(0.05)
    found = list[float]()
    begin = time.monotonic()
    last = -1
    skipped = 0
    for step in recognizer.watch(f"http://127.0.0.1:{port.value}/"):
        now = time.monotonic()
        assert step.pixels is not None
        number = number_of(step.pixels)
        found.append(1e3 * (now - sent[number]))
        skipped = skipped + number - last - 1
        last = number
        if now - begin > seconds or number >= len(sent) - 2:
            break
        if len(found) % 9000 == 0:
            print(f"{now - begin:.0f} s: {np.percentile(found, [50, 99])}", flush=True)
    camera.kill()
    return Delays(np.array(found), len(found), skipped)


def draw(figures: dict[str, Any], picture: Path = PICTURE) -> None:
    """Histograms of the delays in `bench-live.json`, on the edges of `Delays.to_dict`."""
    from matplotlib.figure import Figure

    titles = {
        "delay_ms": f"30 frames a second, {OWN_SIDE} pixels",
        "delay_ms_at_the_limit": f"At the limit, {SLOW_SIDE} pixels",
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
        axes.set_xlim(8, 500)
        axes.set_xticks(ticks := [10, 20, 50, 100, 200, 500], [f"{tick}" for tick in ticks])
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


def live_model(side: int) -> Recognizer:
    """Our encoder and cell, untrained."""
    model = Step(f"onlooker at {side}").model
    assert isinstance(model, VideoModel)
    data = DataConfig(frames=16, size=side, normalization="half")
    return Recognizer(model, tuple(f"class {number}" for number in range(CLASSES)), data)


def measure_delay(minutes: float) -> dict[str, Any]:
    """The delay at 30 frames a second, and at the limit; with 0 minutes the one that was recorded
    last.
    """
    names = ("delay_ms", "delay_ms_at_the_limit", "minutes")
    if not minutes:
        path = harness.RESULTS / "bench-live.json"
        before = read_json(path)["figures"] if path.exists() else {}
        return {name: before.get(name) for name in names}
    usual = delays(live_model(OWN_SIDE), RATE, 60 * minutes)
    limit = delays(live_model(SLOW_SIDE), RATE, min(300.0, 60 * minutes))
    print(usual, limit, flush=True)
    return dict(zip(names, (usual.to_dict(), limit.to_dict(), minutes), strict=True))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repetitions", type=int, default=50)
    arguments.add_argument(
        "--minutes", type=float, default=60.0, help="of the camera; 0: without it"
    )
    options = arguments.parse_args()
    torch.set_num_threads(1)
    delay = measure_delay(options.minutes)
    names = ["onlooker", f"onlooker at {OWN_SIDE}", "movinet-a0", "tsm-mobilenetv2"]
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        works, sizes = works_of(names, Path(folder))
        seconds = harness.medians(harness.interleaved(works, options.repetitions))
    times = {
        name: {way: round(1e3 * seconds[f"{name} {way}"], 3) for way in WAYS} for name in names
    }
    fastest = {name: min(of["torch"], of["onnxruntime"]) for name, of in times.items()}
    harness.show(
        "A frame, ms",
        ["model", *times["onlooker"], *sizes["onlooker"]],
        [[name, *of.values(), *sizes[name].values()] for name, of in times.items()],
    )
    peers = names[2:]
    figures = {
        "ratios": {peer: round(fastest[peer] / fastest["onlooker"], 3) for peer in peers},
        "ratios_own_size": {peer: round(fastest[peer] / fastest[names[1]], 3) for peer in peers},
        "ratios_int8": {
            peer: round(times[peer]["int8"] / times["onlooker"]["int8"], 3) for peer in peers
        },
        "milliseconds": times,
        "sizes": sizes,
        "pixels": SIDE,
        "own_pixels": OWN_SIDE,
        **delay,
    }
    print({key: figures[key] for key in ("ratios", "ratios_own_size", "ratios_int8")})
    what = "live models on one core next to each other, and the delay of ours from camera to answer"
    if delay["minutes"]:
        draw(figures)
    print(harness.record("bench-live", what, figures, seeds=[0], packages=("onnxruntime",)))


if __name__ == "__main__":
    main()
