"""Golden values: results that must not change, compared with the files in `values/`.

`GOLDEN_WRITE=1` in the environment writes instead of comparing.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "values"
_SHOWN = 16  # elements of a float array that are stored
# on which the values are the stored ones; others round differently
_PROCESSORS = ("AVX2", "AVX512")


def check(name: str, values: Mapping[str, Any], rtol: float = 1e-5, atol: float = 1e-5) -> None:
    """Compare values with the stored ones, or store them.

    Arrays of whole numbers and truth values are compared exactly, by a checksum; floats by their
    sum, the sum of their absolute values, and some of them. On processors other than x86 with AVX2,
    a difference skips the test.

    Args:
        name: of the file in `values/`, without suffix.
        values: nested dicts and lists of ints, floats, strings, truth values, None, NumPy arrays
        and tensors.
        rtol: how far floats may be apart, relative to the stored.
        atol: how far floats may be apart at least; a sum over an array, as many times as the root
            of its length.
    """
    file = FOLDER / f"{name}.json"
    found = _plain(values)
    if os.environ.get("GOLDEN_WRITE") == "1":
        FOLDER.mkdir(exist_ok=True)
        file.write_text(json.dumps(found, sort_keys=True, indent=1) + "\n")
        return
    assert file.is_file(), f"{file}: no such file; GOLDEN_WRITE=1 writes it"
    differences = _compare(
        "", json.loads(file.read_text()), json.loads(json.dumps(found)), rtol, atol
    )
    if differences and (kind := torch.backends.cpu.get_cpu_capability()) not in _PROCESSORS:
        pytest.skip(
            f"{file.name}: {len(differences)} differ, and this processor ({kind}) rounds differently"
        )
    assert not differences, f"{file.name}: {len(differences)} differ\n" + "\n".join(
        differences[:40]
    )


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return _array(value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy())
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"{type(value).__name__} is nothing that is stored; give numbers, strings, lists, dicts or arrays"
    )


def _array(array: NDArray[Any]) -> dict[str, Any]:
    about: dict[str, Any] = {"dtype": str(array.dtype), "shape": list(array.shape)}
    if not np.issubdtype(array.dtype, np.floating):
        return {
            **about,
            "sha256": hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest(),
        }
    flat = array.astype(np.float64).ravel()
    places = (
        np.unique(np.linspace(0, len(flat) - 1, _SHOWN).round().astype(int))
        if len(flat)
        else []
    )
    finite = flat[np.isfinite(flat)]
    return {
        **about,
        "finite": len(finite),
        "sum": float(finite.sum()),
        "abs_sum": float(np.abs(finite).sum()),
        "elements": [float(flat[place]) for place in places],
    }


def _slack(stored: dict[str, Any], rtol: float, atol: float) -> dict[str, float]:
    """How far the sums of an array may be apart."""
    if "abs_sum" not in stored:
        return {}
    # A sum rounds as often as it has terms.
    loose = atol * math.sqrt(max(math.prod(stored["shape"]), 1))
    # A sum of terms of both signs is as exact as the terms, not as what is left of them.
    return {"abs_sum": loose, "sum": loose + rtol * abs(stored["abs_sum"])}


def _compare(key: str, stored: Any, new: Any, rtol: float, atol: float) -> list[str]:
    if isinstance(stored, dict) and isinstance(new, dict) and stored.keys() == new.keys():
        slack = _slack(stored, rtol, atol)
        return [
            text
            for part in stored
            for text in _compare(
                f"{key}.{part}", stored[part], new[part], rtol, slack.get(part, atol)
            )
        ]
    if isinstance(stored, list) and isinstance(new, list) and len(stored) == len(new):
        pairs = zip(stored, new, strict=True)
        return [
            text
            for i, (a, b) in enumerate(pairs)
            for text in _compare(f"{key}[{i}]", a, b, rtol, atol)
        ]
    if isinstance(stored, float) and isinstance(new, int | float) and not isinstance(new, bool):
        # JSON from Python keeps NaN and infinities; a NaN equals a NaN here.
        if math.isclose(new, stored, rel_tol=rtol, abs_tol=atol) or (
            math.isnan(stored) and math.isnan(new)
        ):
            return []
    elif type(stored) is type(new) and stored == new:
        return []
    return [f"{key}: stored {stored!r}, new {new!r}"]
