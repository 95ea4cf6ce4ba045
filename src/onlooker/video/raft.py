"""RAFT (Teed & Deng 2020): optical flow by torchvision's trained network. Slow on a CPU, sharp at edges."""

import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# The network works at an eighth of each side, and halves that three times more for its correlation pyramid.
_STEP, _MIN_SIDE = 8, 128
_BATCH = 4  # pairs


def raft(
    weights: Path | Literal["torchvision"] | None = "torchvision", large: bool = False, device: str | None = None
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """RAFT as a method of `flow`, loaded on first use.

    Args:
        weights: a file with torchvision's weights for this network; "torchvision": download them, or use the local
            cache; None: random weights, for tests.
        large: the larger network: five times the weights, more accurate.
        device: where it runs; None: a GPU if there is one.

    Returns:
        A function `T H W 3 -> P H W 2`. It raises RuntimeError if the weights cannot be loaded, and ValueError if the
        file holds other weights.
    """
    network = cache(lambda: _load(weights, "raft_large" if large else "raft_small", device))

    def estimate(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch
        import torch.nn.functional as F

        net = network()
        where = next(net.parameters()).device
        H, W = frames.shape[1:3]
        bottom, right = (max(_MIN_SIDE, -(-side // _STEP) * _STEP) - side for side in (H, W))
        flows = []
        for start in range(0, len(frames) - 1, _BATCH):
            part = torch.from_numpy(np.ascontiguousarray(frames[start : start + _BATCH + 1])).to(where)
            scaled = part.permute(0, 3, 1, 2).float() / 127.5 - 1
            padded = F.pad(scaled, (0, right, 0, bottom), mode="replicate")
            with torch.inference_mode():
                # The network refines its estimate iteratively; the last one is the best.
                moved = net(padded[:-1], padded[1:])[-1]
            flows.append(moved[:, :, :H, :W].permute(0, 2, 3, 1).cpu().numpy())
        return np.ascontiguousarray(np.concatenate(flows))

    return estimate


def _load(weights: Path | Literal["torchvision"] | None, name: str, device: str | None) -> Any:
    # Imported here: it takes seconds, and other methods do not need them.
    import torch
    from torchvision.models import optical_flow

    build = getattr(optical_flow, name)
    try:
        net = build(weights="DEFAULT" if weights == "torchvision" else None, progress=False)
    except OSError as error:  # what urllib raises without a network
        raise RuntimeError(
            f"the weights of {name} cannot be loaded ({error}); connect to the network once, give their file to "
            "raft(weights), or use dis"
        ) from error
    if isinstance(weights, Path):
        try:
            net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        except FileNotFoundError as error:
            raise RuntimeError(f"{weights}: no such file; give the weights of torchvision's {name}") from error
        except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, TypeError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"{weights}: not the weights of torchvision's {name} ({first})") from error
    return net.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
