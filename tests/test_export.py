"""The exported step equals the eager one, is written completely or not at all, and runs without
PyTorch and in a browser.
"""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Condition
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from clips import Make
from made_heads import event_heads
from moving_belts import RATE, belt
from torch import Tensor, nn

import onlooker.export
from onlooker.base.config import DataConfig, Modality, StreamConfig
from onlooker.base.decision import Decision, TierStates
from onlooker.data.transforms import to_video
from onlooker.export import export
from onlooker.models.heads import Head
from onlooker.models.linear import LinearClassifier
from onlooker.models.registry import MODELS, create_model
from onlooker.recognizer import Recognizer
from onlooker.stream.sources import Source
from onlooker.video.motion_words import WORDS, motion_eye
from onlooker.video.reader import VideoReader
from onlooker.video.resize import resize
from onlooker.video.write import write

CLASSES = ("clap", "run", "wave")
EXAMPLE = Path(__file__).parents[1] / "examples" / "live_without_pytorch.py"


FRAME_BY_FRAME = [
    name for name, recipe in MODELS.items() if recipe.model.streams and recipe.modality is None
]


pytestmark = pytest.mark.usefixtures("operators_read_once")


def recognizer(
    name: str = "convlstm", modality: Modality = "rgb", channels: int = 3, **settings: Any
) -> Recognizer:
    """A model with weights so large that its scores depend on the frame and the state."""
    torch.manual_seed(0)
    data = DataConfig(
        frames=5, size=32, channels=channels, modality=modality, normalization="imagenet"
    )
    if name in MODELS:
        settings = {
            **({} if name == "linear" else {"hidden": 4}),
            "flow_channels": data.flow_channels,
            **settings,
        }
    model = create_model(
        name, len(CLASSES), in_channels=data.in_channels, size=data.size, **settings
    )
    with torch.no_grad():
        for values in model.parameters():
            values.mul_(2 if values.ndim > 1 else 1)
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.uniform_(-0.1, 0.1)
    return Recognizer(model, data, Decision(CLASSES))


def pixels(of: Recognizer, frames: int, batch: int, seed: int = 7) -> np.ndarray:
    shape = (frames, batch, of.data.size, of.data.size, of.data.in_channels)
    return np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)


@torch.inference_mode()
def eager(of: Recognizer, frames: np.ndarray) -> list[tuple[Tensor, Tensor | None, Any]]:
    """`scores` `B K`, attention and state at each frame of `T B H W C`."""
    answers = []
    state = None
    for frame in torch.from_numpy(frames):
        output, state = of.model.step(to_video(frame, of.data.normalization), state)
        answers.append((output.logits.softmax(-1), output.attention, state))
    return answers


def run(folder: Path, frames: np.ndarray) -> list[dict[str, np.ndarray]]:
    """The outputs of an exported step by name, at each frame of `T B H W C`."""
    session = onnxruntime.InferenceSession(folder / "step.onnx")
    names = [output.name for output in session.get_outputs()]
    _, *states = session.get_inputs()
    state = {
        each.name: np.zeros((len(frames[0]), *each.shape[1:]), np.float32) for each in states
    }
    answers = []
    for frame in frames:
        values = session.run(None, {"frame": frame, **state})
        answers.append(dict(zip(names, values, strict=True)))
        state = {name: answers[-1][f"next_{name}"] for name in state}
    return answers


def compare(of: Recognizer, folder: Path, frames: np.ndarray, tolerance: float = 1e-4) -> None:
    spread = []
    steps = zip(run(folder, frames), eager(of, frames), strict=True)
    for answer, (scores, attention, eager_state) in steps:
        np.testing.assert_allclose(answer["scores"], scores, atol=tolerance, rtol=0)
        assert (attention is None) == ("attention" not in answer)
        if attention is not None:
            np.testing.assert_allclose(answer["attention"], attention, atol=tolerance, rtol=0)
        carried = [part for part in eager_state if part.numel()]
        for i, ours in enumerate(carried):
            # memories are sums, some of tens; integers are rounded features
            close = tolerance if ours.is_floating_point() else 1
            np.testing.assert_allclose(answer[f"next_state_{i}"], ours, atol=close, rtol=1e-4)
        spread.append(answer["scores"])
    assert np.std(spread, 0).max() > 1e-3  # else anything would be equal to it


# their parts are in models that are tested in every run
LIKE_OTHERS = {"alstm", "atcn", "convlstm"}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param(name, {}, marks=[pytest.mark.slow] * (name in LIKE_OTHERS))
        for name in FRAME_BY_FRAME
    ]
    + [("alstm", {"channels": 1, "head_units": 5})],
)
def test_exported_steps_equal_eager_ones_over_100_frames(
    name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    of = recognizer(name, **settings)
    folder = export(of, tmp_path / "export")
    assert sorted(path.name for path in folder.iterdir()) == ["step.json", "step.onnx"]
    compare(of, folder, pixels(of, 100, 1))
    compare(of, folder, pixels(of, 3, 3))  # of several streams none hears the others
    about = json.loads((folder / "step.json").read_text())
    assert about["batch"] == "any"
    assert about["classes"] == list(CLASSES)
    assert 0 <= about["compared"]["largest_difference"] <= 1e-4
    graph = onnx.load(folder / "step.onnx", load_external_data=False).graph
    assert not any(weight.external_data for weight in graph.initializer)
    assert [each.name for each in graph.input] == ["frame", *about["state"]]
    shapes = {
        each.name: [d.dim_value for d in each.type.tensor_type.shape.dim][1:]
        for each in graph.input
    }
    assert shapes["frame"] == about["frame"]["shape"][1:]
    assert all(shapes[name] == part["shape"][1:] for name, part in about["state"].items())
    nexts = [part["next"] for part in about["state"].values()]
    assert [each.name for each in graph.output] == [*about["outputs"], *nexts]
    told = {each.name: len(each.type.tensor_type.shape.dim) for each in graph.output}
    assert all(told[name] == len(shape) for name, shape in about["outputs"].items())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tracks", {}),
        ("published-alstm", {"encoder": "conv4", "hidden": 4}),
        ("motion", {"modality": "both"}),
    ],
)
def test_models_without_a_step_are_refused(
    tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    of = recognizer(name, **settings)
    with pytest.raises(
        ValueError, match="no step on single RGB frames to export; train the default model"
    ):
        export(of, tmp_path / "export")


def test_older_programs_read_a_graph_of_an_older_opset(tmp_path: Path) -> None:
    of = recognizer("convnet")
    # of the format of onnxruntime 1.14; its operators have been the same since
    folder = export(of, tmp_path / "export", opset=18)
    graph = onnx.load(folder / "step.onnx")
    assert [(part.domain, part.version) for part in graph.opset_import] == [("", 18)]
    assert graph.ir_version == 8
    assert json.loads((folder / "step.json").read_text())["opset"] == 18
    compare(of, folder, pixels(of, 3, 2))
    with pytest.raises(
        ValueError, match=r"of opset 13 \(PyTorch writes opset 18 instead\); .* with opset 20$"
    ):
        export(of, tmp_path / "older", opset=13)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(
        FileExistsError,
        match=r"holds thesis.tex, which is not of an export; choose another folder",
    ):
        export(recognizer(), tmp_path)


class Bessel(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return torch.special.bessel_j0(features[:, :3])


def test_operations_without_an_onnx_equivalent_are_refused(tmp_path: Path) -> None:
    of = recognizer("convnet")
    of.model.head = Bessel()
    with pytest.raises(
        ValueError,
        match="a model with encoder Conv4 and cell Memoryless cannot be written as ONNX",
    ):
        export(of, tmp_path / "export")
    assert not any(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:# The axis name")
def test_a_failure_leaves_the_previous_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = recognizer("lstm")
    folder = tmp_path / "export"
    trace = onlooker.export._trace
    graphs = []
    monkeypatch.setattr(
        onlooker.export, "_trace", lambda *given: graphs.append(trace(*given)) or graphs[-1]
    )
    before = {path.name: path.read_bytes() for path in export(of, folder).iterdir()}
    other = recognizer("lstm")
    with torch.no_grad():
        next(other.model.head.parameters()).add_(torch.rand(3, 4))
    # the graph of another model, as a step of the exporter might change it
    monkeypatch.setattr(onlooker.export, "_trace", lambda *_: graphs[0])
    with pytest.raises(
        ValueError,
        match=r"differs from the model by .* over 100 frames, expected at most 0.0001; nothing is written",
    ):
        export(other, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_the_exported_step_has_the_temperature_of_the_model(tmp_path: Path) -> None:
    of = recognizer("lstm")
    flat = Recognizer(of.model, of.data, Decision(CLASSES, temperature=3.0))
    folders = [export(one, tmp_path / str(one.decision.temperature)) for one in (of, flat)]
    sure, calibrated = (run(folder, pixels(of, 1, 1))[0]["scores"] for folder in folders)
    expected = sure ** (1 / 3)
    np.testing.assert_allclose(calibrated, expected / expected.sum(), atol=1e-5)
    assert json.loads((tmp_path / "3.0" / "step.json").read_text())["temperature"] == 3


WITHOUT = """
import runpy, sys
for name in ("torch", "onlooker", "onnx"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def without_pytorch(folder: Path, clip: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, str(EXAMPLE), str(folder), str(clip)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    ("size", "settings"),
    [((64, 48), {"channels": 1}), ((24, 20), {}), ((64, 48), {"name": "tcn"})],
    ids=["gray, shrunk", "color, grown", "without attention"],
)
def test_the_example_needs_no_pytorch(
    tmp_path: Path, make_clip: Make, size: tuple[int, int], settings: dict[str, Any]
) -> None:
    of = recognizer(**settings)
    clip = make_clip(frames=8, size=size)
    folder = export(of, tmp_path / "export")
    done = without_pytorch(folder, clip)
    assert done.returncode == 0, done.stderr
    frames = list(VideoReader(clip))
    seen = np.stack(
        [resize(frame[None], of.data.size, of.data.channels) for _, _, frame in frames]
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(frames) == 8
    for line, (_, time, _), (scores, *_) in zip(lines, frames, eager(of, seen), strict=True):
        second, _, label, percent, _ = line.split()
        assert float(second) == pytest.approx(time, abs=0.006)
        assert label == CLASSES[int(scores.argmax())]
        assert float(percent) == pytest.approx(100 * float(scores.max()), abs=0.06)
    missing = without_pytorch(folder, tmp_path / "missing.mp4")
    assert missing.returncode == 1
    assert "missing.mp4: cannot be opened" in missing.stderr
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 95


@pytest.mark.slow
@torch.no_grad()
def test_a_model_with_motion_answers_alike_in_watch_in_its_export_and_without_pytorch(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    model = LinearClassifier(3, "conv4", window=4, size=32)
    model.head.center.normal_()
    model.set_heads(
        {"motion": Head(torch.randn(3, motion_eye().num_features) / 2, torch.randn(3))}
    )
    data = DataConfig(frames=4, size=32, normalization="half", eyes="both")
    decision = Decision(CLASSES, frame_rate=5.0)
    images = np.concatenate([belt("left", 1), belt("right", 2, 20)])
    clip = write(tmp_path / "clip.mp4", images, fps=RATE)
    watched = [*Recognizer(model, data, decision).watch(clip)]
    folder = export(Recognizer(model, data, decision), tmp_path / "export")
    done = without_pytorch(folder, clip)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(watched) == 12
    for line, step in zip(lines, watched, strict=True):
        second, _, label, percent, _ = line.split()
        assert float(second) == pytest.approx(step.time, abs=0.006)
        assert (label, float(percent)) == (
            step.label,
            pytest.approx(100 * step.scores.max(), abs=0.06),
        )
    assert np.std([step.scores for step in watched], 0).max() > 0.05

    M = model.num_features
    event, classes = (
        (torch.zeros(M), torch.ones(M), torch.randn(outputs, M) / M, torch.zeros(outputs))
        for outputs in (1, 3)
    )
    other = (torch.zeros(M), torch.ones(M), torch.randn(3, M) / M, torch.ones(3))
    model.set_heads(event_heads(event, classes, event, other, motion=0.5), (3, 6))
    eventful = Recognizer(model, data, decision)
    folder = export(eventful, tmp_path / "export")
    assert (folder / "motion-words.safetensors").read_bytes() == WORDS.read_bytes()
    about = json.loads((folder / "step.json").read_text())
    session = onnxruntime.InferenceSession(folder / "step.onnx")
    names = [output.name for output in session.get_outputs()]
    state = {
        name: np.zeros([1, *part["shape"][1:]], np.float32)
        for name, part in about["state"].items()
    }
    eyes = {"motion": motion_eye()}
    source = Source(clip, StreamConfig(rate=5.0), Condition(), eyes=eyes)
    source.start()
    windows = list[np.ndarray]()
    while not source.finished:
        with source.condition:
            source.condition.wait_for(lambda: source.ready, 20)
        if (frame := source.poll()) is None:
            continue
        row = source.rows["motion"][None]
        pixels = resize(frame[2][None], 32, 3)
        values = session.run(None, {"frame": pixels, "motion": row, **state})
        outputs = dict(zip(names, values, strict=True))
        state = {name: outputs[part["next"]] for name, part in about["state"].items()}
        windows.append(outputs["windows"][0])
    expected = [step.rows[0] for step in eventful.watch(clip) if step.pixels is not None]
    np.testing.assert_allclose(windows, expected, atol=1e-4)
    assert np.std(expected[6:]) > 0.02


@pytest.mark.parametrize(
    "spread",
    [
        pytest.param(0.0, marks=pytest.mark.slow),
        pytest.param(1e-5, marks=pytest.mark.slow),
        1.0,
    ],
)
def test_states_are_those_of_a_stream(spread: float, tmp_path: Path) -> None:
    """Two chains; what is usual may be so small that the exporter would drop it."""
    torch.manual_seed(0)
    lengths = (3, 6)
    model = LinearClassifier(4, window=4, size=32)
    model.head.center.fill_(spread)
    L, M = len(lengths), model.num_features
    weight = torch.randn(5, L, M) / M**0.5
    model.set_heads({"state": Head(weight, torch.randn(5))}, lengths)
    chains = (
        TierStates([0, 2, -1], [1.0, 5.0, 1.0], [0.5, 0.6, 0.7], weight=0.4),
        TierStates([3, -1], [1.0, 5.0], [0.5, 0.6], weight=0.4),
    )
    decision = Decision(("jump", "nothing", "run", "talk"), states=chains, frame_rate=5.0)
    data = DataConfig(frames=4, size=32, normalization="half", eyes="pictures")
    of = Recognizer(model, data, decision)
    about = json.loads((export(of, tmp_path / "export") / "step.json").read_text())
    assert about["bouts"] == {"delay": 3, "rate": 5.0}
    assert about["events"] is None
    shown = pixels(of, 12, 1)
    shown[:3] = shown[0]  # nothing moves at first
    streams = of.streams()
    for index, answer in enumerate(run(tmp_path / "export", shown)):
        step = streams.step({"a": (index, index / 5, shown[index, 0])})["a"]
        np.testing.assert_allclose(answer["scores"][0], step.scores, atol=1e-5)
        np.testing.assert_allclose(answer["attention"][0], step.attention, atol=1e-4)
        assert step.rows is not None
        if len(step.rows):
            np.testing.assert_allclose(answer["states"], step.rows, atol=1e-5)
    assert np.ptp(step.scores) > 0.01


@pytest.mark.parametrize("example", ["live_without_pytorch.py", "count_repetitions.py"])
@pytest.mark.parametrize(("words", "status"), [(["--help"], 0), ([], 2)])
def test_an_example_says_how_it_is_called(
    example: str, words: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = EXAMPLE.with_name(example)
    with patch.object(sys, "argv", [str(path), *words]), pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code == status
    told = capsys.readouterr()
    assert f"usage: {example} [-h]" in told.out + told.err
    assert " SOURCE" in told.out + told.err


@pytest.mark.slow
@pytest.mark.parametrize(("name", "channels"), [("convalstm", 3), ("lstm", 1)])
def test_a_page_gives_the_scores_of_the_model(name: str, channels: int, tmp_path: Path) -> None:
    pytest.importorskip("playwright", reason="no playwright, which drives a browser")
    if not (
        shutil.which("npm") and (shutil.which("chromium") or shutil.which("google-chrome"))
    ):
        pytest.skip("no npm, which installs onnxruntime-web, or no Chromium")
    import bench_browser

    exported = export(recognizer(name, channels=channels), tmp_path / "export")
    try:
        folder = bench_browser.example_with(exported, tmp_path / "example")
    except subprocess.CalledProcessError:
        pytest.skip("npm cannot install onnxruntime-web here")
    frames = np.random.default_rng(0).integers(0, 256, (20, 32, 32, channels), np.uint8)
    expected = bench_browser.run_here(
        exported, frames
    ).scores  # those of the model: test_export
    found = bench_browser.run_in_browser(folder, frames).scores
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.std(expected, 0).max() > 1e-4  # else anything would be equal to it
