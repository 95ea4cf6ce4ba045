"""How an encoder runs: on PyTorch, or, frozen on a CPU, on ONNX Runtime, which is faster.

The package has the graphs of its own encoders, without weights: a session gets them from memory. The
graph of another encoder is made once, where the packages for exporting are installed, and kept in
the cache folder. Without a graph or ONNX Runtime, PyTorch runs the encoder with its batch norm folded
into convolutions.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from threading import RLock
from types import MappingProxyType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from onlooker.base.files import default_cache, file_digest, read_bytes, write_bytes
from onlooker.base.parallel import cores
from onlooker.models.encoders.graph import fold_batch_norm, make_graph, weights_digest

__all__ = ["PACKAGED"]

_log = logging.getLogger(__name__)

PACKAGED = Path(__file__).with_name("graphs")  # one for each class of encoders, by its name
TOLERANCE = 1e-4  # of features, between two engines
_TOGETHER = 8  # frames in one run: with more, it needs more memory and as much time
_SWITCH = "ONLOOKER_ENGINE"
_MAKER = Path(__file__).with_name("graph.py")
_MOST = 4  # sessions of an encoder, for different sizes or numbers of threads

Run = Callable[[Tensor], Tensor]


class _Engine(NamedTuple):
    """What runs an encoder while it has these weights (`_frozen_weights`); None: PyTorch."""

    weights: list[int]
    run: Run | None


# of each encoder, by the shape of frames and the number of threads
_engines: WeakKeyDictionary[nn.Module, dict[tuple[object, ...], _Engine]] = WeakKeyDictionary()
_making = RLock()
# A forked process lacks the threads of its parent's sessions, and would wait for them to free these.
_never_freed = list[object]()


def _after_fork() -> None:
    global _making
    _making = RLock()  # another thread may have held it
    _never_freed.extend(_engines.values())
    _engines.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork)


def encode(encoder: nn.Module, frames: Tensor) -> Tensor:
    """Features of frames, `N C H W -> N D h w`: by ONNX Runtime if the encoder is frozen and on a
    CPU, else by PyTorch.

    An engine is used if its features of a frame of noise are those of PyTorch, by `torch.allclose`
    with 1e-4. Features in the cache may be of either.
    """
    weights = None if _needs_pytorch(frames) else _frozen_weights(encoder)
    if weights is None:
        return _by_pytorch(encoder, frames)
    run = _run_of(encoder, weights, frames.shape[1:])
    if run is None:
        return _by_pytorch(encoder, frames)
    pieces = [*map(run, frames.split(_TOGETHER))]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def _needs_pytorch(frames: Tensor) -> bool:
    return (
        not frames.is_cpu
        or frames.dtype != torch.float32
        or frames.requires_grad
        or torch.compiler.is_compiling()
        or torch.is_autocast_enabled("cpu")
        or os.environ.get(_SWITCH) == "torch"
    )


def _frozen_weights(encoder: nn.Module) -> list[int] | None:
    """The addresses and versions of all weights and statistics, which change with their values
    unless these are changed in `.data`; None if PyTorch has to run the encoder: it is trained,
    hooks watch it, or inference mode has made it, whose tensors have no versions.
    """
    found = list[int]()
    modules = [encoder]
    for module in modules:
        if module.training or module._forward_hooks or module._forward_pre_hooks:
            return None
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is None:
                continue
            if tensor.requires_grad or tensor.is_inference():
                return None
            found += (tensor.data_ptr(), tensor._version)
        modules += [child for child in module._modules.values() if child is not None]
    return found


def _run_of(encoder: nn.Module, weights: list[int], shape: torch.Size) -> Run | None:
    """What runs an encoder on frames `C H W`; made once, by one thread."""
    place = (shape, torch.get_num_threads())
    engine = _engines.get(encoder, {}).get(place)
    if engine is not None and engine.weights == weights:
        return engine.run
    with _making:
        engines = _engines.setdefault(encoder, {})
        engine = engines.get(place)
        if engine is None or engine.weights != weights:
            if len(engines) == _MOST:
                engines.clear()
            engine = _Engine(weights, _first_equal(encoder, shape))
            engines[place] = engine
        return engine.run


def _first_equal(encoder: nn.Module, shape: torch.Size) -> Run | None:
    """The first engine with the features of PyTorch for a frame `C H W`; None: there is none."""
    frame = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    name = type(encoder).__name__
    with torch.inference_mode():
        expected = encoder(frame)
        for make in _ENGINES if _has_onnxruntime() else (folded_pytorch,):
            try:
                run = make(encoder, frame)
                features = run(frame)
            except Exception as error:  # of ONNX Runtime and of exporting: without a common class
                _log.debug("%s does not run by %s: %s", name, make.__name__, error)
                continue
            if features.shape == expected.shape and torch.allclose(
                features, expected, rtol=TOLERANCE, atol=TOLERANCE
            ):
                _log.debug("%s runs by %s", name, make.__name__)
                return run
    return None


def _by_pytorch(encoder: nn.Module, frames: Tensor) -> Tensor:
    """Convolutions are fastest with channels last in memory."""
    features: Tensor = encoder(frames.contiguous(memory_format=torch.channels_last))
    return features


def packaged_graph(encoder: nn.Module, frame: Tensor) -> Run:
    """A graph of this package, which takes its weights from memory."""
    graph = read_bytes(PACKAGED / f"{type(encoder).__name__.lower()}.onnx")
    state = fold_batch_norm(encoder, frame).state_dict()
    return _session(graph, {name: tensor for name, tensor in state.items() if tensor.ndim})


def stored_graph(encoder: nn.Module, frame: Tensor) -> Run:
    return _session(read_bytes(_graph_file(encoder, frame)))


def new_graph(encoder: nn.Module, frame: Tensor) -> Run:
    graph = make_graph(fold_batch_norm(encoder, frame), frame)
    with suppress(OSError):  # a cache that cannot be written to
        write_bytes(_graph_file(encoder, frame), graph)
    return _session(graph)


def folded_pytorch(encoder: nn.Module, frame: Tensor) -> Run:
    return partial(_by_pytorch, fold_batch_norm(encoder, frame))


_ENGINES = (packaged_graph, stored_graph, new_graph, folded_pytorch)  # the fastest to make first


def _graph_file(encoder: nn.Module, frame: Tensor) -> Path:
    """Where the graph of this encoder is stored: by its weights, and whatever makes and runs it."""
    made_by = (file_digest(_MAKER), torch.__version__, import_module("onnxruntime").__version__)
    text = f"{encoder} {weights_digest(encoder)} {frame.shape} {made_by}"
    return default_cache() / "graphs" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.onnx"


def _threads() -> int:
    """PyTorch does not know how much of a processor a container may use."""
    return min(torch.get_num_threads(), cores())


def _session(graph: bytes, weights: Mapping[str, Tensor] = MappingProxyType({})) -> Run:
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.log_severity_level = 3  # errors
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # a session takes only what another owner keeps: with channels last, it would be a copy
    arrays = [weight.contiguous().numpy() for weight in weights.values()]
    values = [*map(runtime.OrtValue.ortvalue_from_numpy, arrays)]
    options.add_external_initializers([*weights], values)
    session = runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return partial(_run, session, arrays)


def _run(session: Any, arrays: object, frames: Tensor) -> Tensor:  # noqa: ANN401 - it has no types
    """`arrays`: the weights of the session, which live as long as it does."""
    return torch.from_numpy(session.run(None, {"frames": frames.contiguous().numpy()})[0])


@cache
def _has_onnxruntime() -> bool:
    """Whether it can be imported, which takes a moment; if not, one line says so."""
    try:
        import_module("onnxruntime")
    except ImportError as error:
        _log.warning("encoders run on PyTorch, which is slower, because of onnxruntime: %s", error)
        return False
    return True
