"""Frozen encoders on a CPU run on ONNX Runtime, with the features of PyTorch."""

import gc
import logging
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from onlooker.base.config import DataConfig
from onlooker.base.decision import Decision
from onlooker.models.encoders import build_encoder, engine
from onlooker.models.encoders.engine import encode
from onlooker.models.registry import create_model
from onlooker.stream.streams import Streams
from onlooker_papers.encoder.graphs import SIZES, graph_of

pytestmark = pytest.mark.usefixtures("new_graphs")

LOGGER = "onlooker.models.encoders.engine"
Engines = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def engines(caplog: pytest.LogCaptureFixture) -> Engines:
    """Names of the engines that were taken so far."""
    caplog.set_level(logging.DEBUG, LOGGER)

    def names() -> list[str]:
        messages = (record.getMessage() for record in caplog.records if record.name == LOGGER)
        return [message.split(" runs by ")[1] for message in messages if " runs by " in message]

    return names


class Gate(nn.Module):
    """A registered encoder with features that no batch norm follows, and one that it does."""

    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(3, 4, 3, stride=2, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        return self.norm(self.first(frames)) * self.second(frames).sigmoid()


class Twice(Gate):
    """The output of its convolution is needed before and after batch norm."""

    def forward(self, frames: Tensor) -> Tensor:
        features = self.first(frames)
        return self.norm(features) + features


def frozen(name: str, size: int) -> nn.Module:
    """An encoder with random weights and statistics."""
    encoder = cast(nn.Module, build_encoder(name, 3, size))
    return with_random_weights(encoder)


def with_random_weights(encoder: nn.Module) -> nn.Module:
    random = torch.Generator().manual_seed(1)
    for tensor in encoder.state_dict().values():
        if tensor.ndim:
            tensor.copy_(0.1 * torch.randn(tensor.shape, generator=random).abs() + 0.05)
    return encoder.eval().requires_grad_(False)


def frames_of(size: int, count: int = 3) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(2)) * 2 - 1


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("conv4", 32),
        ("conv4", 45),
        ("small", 112),
        ("small", 50),
        ("lite0", 224),
        ("lite0", 64),
    ],
)
def test_packaged_graphs_give_the_features_of_pytorch(
    name: str, size: int, engines: Engines
) -> None:
    encoder = frozen(name, size)
    frames = frames_of(size)
    expected = encoder(frames)
    torch.testing.assert_close(encode(encoder, frames), expected, rtol=1e-4, atol=1e-4)
    assert engines() == ["packaged_graph"]


def test_weights_with_channels_last_in_memory_are_taken_too(engines: Engines) -> None:
    encoder = frozen("small", 64).to(memory_format=torch.channels_last)
    frames = frames_of(64)
    torch.testing.assert_close(encode(encoder, frames), encoder(frames), rtol=1e-4, atol=1e-4)
    assert engines() == ["packaged_graph"]


@pytest.mark.parametrize(
    "name", ["conv4", "small", pytest.param("lite0", marks=pytest.mark.slow)]
)
def test_packaged_graphs_are_those_that_the_program_makes(name: str) -> None:
    assert (engine.PACKAGED / f"{name}.onnx").read_bytes() == graph_of(name)
    assert {file.stem for file in engine.PACKAGED.glob("*.onnx")} == {*SIZES}


def test_features_do_not_depend_on_the_batch_or_the_threads() -> None:
    encoder = frozen("small", 64)
    frames = frames_of(64, 11)
    together = encode(encoder, frames)
    alone = torch.cat([encode(encoder, frame[None]) for frame in frames])
    assert together.equal(alone)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(threads, 2))
        assert encode(encoder, frames).equal(together)
    finally:
        torch.set_num_threads(threads)


def test_new_weights_have_a_new_session(engines: Engines) -> None:
    encoder = frozen("conv4", 32)
    frames = frames_of(32)
    encode(encoder, frames)
    encode(encoder, frames)
    assert len(engines()) == 1
    encoder.load_state_dict(frozen("conv4", 32).state_dict())
    with torch.no_grad():
        next(encoder.parameters()).mul_(2)
    torch.testing.assert_close(encode(encoder, frames), encoder(frames), rtol=1e-4, atol=1e-4)
    assert len(engines()) == 2


def scaled_assigned(encoder: nn.Module) -> None:
    state = {name: tensor * 2 for name, tensor in encoder.state_dict().items()}
    encoder.load_state_dict(state, assign=True)
    encoder.requires_grad_(False)


def scaled_replaced(encoder: nn.Module) -> None:
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            module.weight = nn.Parameter(module.weight * 2, requires_grad=False)


def scaled_data(encoder: nn.Module) -> None:
    last = [*encoder.parameters()][-1]
    last.data = last.data + 1


def replaced_module(encoder: nn.Module) -> None:
    layers = encoder.get_submodule("layers")
    layers[0] = nn.Conv2d(3, 16, 5, 2, 2, bias=False).requires_grad_(False)  # type: ignore[operator]


@pytest.mark.parametrize(
    "change", [scaled_assigned, scaled_replaced, scaled_data, replaced_module]
)
def test_whatever_changes_an_encoder_changes_its_features(
    change: Callable[[nn.Module], None],
) -> None:
    encoder = frozen("conv4", 32)
    frames = frames_of(32)
    before = encode(encoder, frames)
    change(encoder)
    after = encode(encoder, frames)
    torch.testing.assert_close(after, encoder(frames), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(after, before, rtol=1e-3, atol=1e-3)


def test_hooks_see_what_they_watch(engines: Engines) -> None:
    encoder = frozen("conv4", 32)
    frames = frames_of(32)
    encode(encoder, frames)
    seen = list[int]()
    inner = [*encoder.modules()][2]
    inner.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    encode(encoder, frames)
    assert seen == [len(frames)]


def test_sizes_and_threads_in_turn_have_a_session_each(engines: Engines) -> None:
    encoder = frozen("conv4", 32)
    threads = torch.get_num_threads()
    try:
        for _ in range(3):
            for size, count in ((32, 1), (48, 1), (32, 2)):
                torch.set_num_threads(count)
                encode(encoder, frames_of(size))
    finally:
        torch.set_num_threads(threads)
    assert len(engines()) == 3


def test_an_encoder_that_no_engine_matches_is_freed() -> None:
    encoder = with_random_weights(Twice())
    frames = frames_of(16)
    encode(encoder, frames)
    reference = weakref.ref(encoder)
    del encoder
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize(
    "why", ["trains", "needs gradients", "bf16", "double", "ONLOOKER_ENGINE"]
)
def test_pytorch_runs_what_is_not_frozen(
    why: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = frozen("conv4", 32)
    frames = frames_of(32)
    if why == "trains":
        encoder.train()
    elif why == "needs gradients":
        encoder.requires_grad_(True)
    elif why == "double":
        encoder, frames = encoder.double(), frames.double()
    elif why == "ONLOOKER_ENGINE":
        monkeypatch.setenv("ONLOOKER_ENGINE", "torch")
    with torch.autocast("cpu", torch.bfloat16, enabled=why == "bf16"):
        features = encode(encoder, frames)
        expected = encoder(frames.contiguous(memory_format=torch.channels_last))
    assert features.equal(expected)
    assert engines() == []


def test_a_graph_is_made_once_and_again_where_it_is_damaged(
    cache: Path, engines: Engines
) -> None:
    frames = frames_of(16)
    for _ in range(2):
        encoder = with_random_weights(Gate())
        torch.testing.assert_close(
            encode(encoder, frames), encoder(frames), rtol=1e-4, atol=1e-4
        )
    (file,) = (cache / "graphs").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    encode(with_random_weights(Gate()), frames)
    assert engines() == ["new_graph", "stored_graph", "new_graph"]
    assert len(file.read_bytes()) == len(whole)


def test_a_graph_with_other_features_is_not_taken(cache: Path, engines: Engines) -> None:
    frames = frames_of(16)
    encode(with_random_weights(Gate()), frames)
    (file,) = (cache / "graphs").iterdir()
    other = Gate().eval().requires_grad_(False)
    encode(other, frames)
    (stored,) = {*(cache / "graphs").iterdir()} - {file}
    file.write_bytes(stored.read_bytes())
    encoder = with_random_weights(Gate())
    torch.testing.assert_close(encode(encoder, frames), encoder(frames), rtol=1e-4, atol=1e-4)
    assert engines()[-1] == "new_graph"


def test_without_onnxruntime_batch_norm_is_folded_and_one_line_says_so(
    engines: Engines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    engine._has_onnxruntime.cache_clear()
    try:
        for size in (32, 40):
            encoder = frozen("small", size)
            frames = frames_of(size)
            features = encode(encoder, frames)
            torch.testing.assert_close(features, encoder(frames), rtol=1e-4, atol=1e-4)
    finally:
        engine._has_onnxruntime.cache_clear()
    assert engines() == ["folded_pytorch"] * 2
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "onnxruntime" in warnings[0].getMessage()


def test_an_output_that_is_also_used_before_batch_norm_is_right(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = with_random_weights(Twice())
    frames = frames_of(16)
    torch.testing.assert_close(encode(encoder, frames), encoder(frames), rtol=1e-5, atol=1e-5)
    assert engines() == []


def test_a_cache_that_cannot_be_written_to_is_no_error(cache: Path, engines: Engines) -> None:
    (cache / "graphs").write_text("a file in the place of the folder")
    encoder = with_random_weights(Gate())
    frames = frames_of(16)
    torch.testing.assert_close(encode(encoder, frames), encoder(frames), rtol=1e-4, atol=1e-4)
    assert engines() == ["new_graph"]


def test_threads_share_one_session(engines: Engines) -> None:
    encoder = frozen("small", 64)
    batches = [frames_of(64, count) for count in (1, 2, 3, 4, 5, 6)]
    with ThreadPoolExecutor(4) as pool:
        results = [*pool.map(lambda frames: encode(encoder, frames), batches)]
    assert engines() == ["packaged_graph"]
    for frames, features in zip(batches, results, strict=True):
        assert features.equal(encode(encoder, frames))


FORKING = """
import os, sys, torch
from onlooker.models.encoders import build_encoder
from onlooker.models.encoders.engine import encode
from onlooker.models.registry import create_model
import onlooker.models.video_model
torch.set_num_threads(2)
encoder = build_encoder("conv4", 3, 64).eval().requires_grad_(False)
frames = torch.rand(9, 3, 64, 64)
expected = encode(encoder, frames)
child = os.fork()
if not child:
    equal = encode(encoder, frames).equal(expected)
    del encoder
    os._exit(0 if equal else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_process_encodes_alike() -> None:
    """Its parent's session has threads that it lacks; to free it, it would wait for them."""
    subprocess.run([sys.executable, "-c", FORKING], check=True, timeout=180)


def test_ten_streams_share_one_session(engines: Engines) -> None:
    """So their memory is that of one, whatever their frames are sized."""
    model = create_model("linear", encoder="conv4", num_classes=2, size=32)
    streams = Streams(
        model.eval(),
        DataConfig(size=32, normalization="imagenet"),
        Decision(("a", "b")),
        rate=8.0,
    )
    random = np.random.default_rng(0)
    for number in range(4):
        frames = {
            f"camera {i}": (
                number,
                number / 8,
                random.integers(0, 255, (40 + i, 60, 3), np.uint8),
            )
            for i in range(10)
        }
        assert len(streams.step(frames)) == len(frames)
    assert len(engines()) == 1
