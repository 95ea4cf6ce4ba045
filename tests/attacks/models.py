"""Hostile or damaged model folders, run folders and stored features; single values of their JSON files
are changed in `test_foreign_folders`.
"""

import json
import pickle
import random
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from attacks import probes
from attacks.case import Kind, Make, Material, Probe, SilentError, Target
from attacks.hostile import place

MODELS = "model folders"
RUNS = "run folders"
FEATURES = "stored features"
WEIGHTS = "model.safetensors"
Change = Callable[[Path, random.Random], None]


def changed(
    part: str, file: str, change: Change, *, refuse: bool = False, names: tuple[str, ...] = ()
) -> Make:
    """A copy of the run, the features or the model with one file changed: any one of those that a
    pattern matches.
    """

    def make(material: Material, scratch: Path, rng: random.Random) -> Target:
        folder = scratch / "attack"
        shutil.copytree(material.root / part, folder)
        change(rng.choice(sorted(folder.glob(file))) if "*" in file else folder / file, rng)
        return Target(folder, ("attack", *names), refuse)

    return make


def _set(keys: Sequence[str], value: Any) -> Change:
    """A value of a JSON file replaced."""

    def change(path: Path, rng: random.Random) -> None:
        values = at = json.loads(path.read_text("utf-8"))
        for key in keys[:-1]:
            at = at[key]
        at[keys[-1]] = value
        path.write_text(json.dumps(values), "utf-8")

    return change


def _edited(edit: Callable[[bytes, random.Random], bytes]) -> Change:
    return lambda path, rng: path.write_bytes(edit(path.read_bytes(), rng)) and None


def _flipped(data: bytes, rng: random.Random, start: int = 0, stop: int | None = None) -> bytes:
    """A bit flipped between two places."""
    out = bytearray(data)
    out[rng.randrange(start, stop or len(data))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _plain(text: str) -> Change:
    return lambda path, _: path.write_text(text, "utf-8") and None


def _special(name: str) -> Change:
    return lambda path, _: place(path, name)


# What may happen to any file; a file of JSON that is changed so cannot be read.
FILES: dict[str, Change] = {
    "truncated": _edited(lambda data, rng: data[: rng.randrange(len(data) - 1)]),
    "of zeros": _edited(lambda data, _: bytes(len(data))),
    "half zeros": _edited(lambda data, _: data[: len(data) // 2].ljust(len(data), b"\0")),
    "empty": _plain(""),
    "of text": _plain("attack"),
    "missing": lambda path, _: path.unlink(),
    "a pipe": _special("pipe"),
    "a link to /dev/zero": _special("link to /dev/zero"),
    "a link to nothing": _special("link to nothing"),
    "a folder": _special("folder"),
}
JSON: dict[str, Change] = {
    "a list": _plain("[]"),
    "a number": _plain("1"),
    "null": _plain("null"),
    "an empty object": _plain("{}"),
    "200000 deep": _plain("[" * 200_000),
    "of a long number": _plain('{"model": ' + "9" * 5000 + "}"),
}


class _Runs:
    """A pickle that runs code: it creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


def _pickled(path: Path, rng: random.Random) -> None:
    path.write_bytes(pickle.dumps(_Runs(path.with_name("executed"))))


def _pickle_only(path: Path, rng: random.Random) -> None:
    path.unlink()
    torch.save(_Runs(path.with_name("executed")), path.with_name("pytorch_model.bin"))


def not_executing(probe: Probe) -> Probe:
    def run(material: Material, target: Target, scratch: Path) -> None:
        try:
            probe(material, target, scratch)
        finally:
            if list(target.path.rglob("executed")):
                raise SilentError("a pickle was executed")

    return run


def _make_infinite(tensors: dict[str, torch.Tensor], rng: random.Random) -> None:
    floats = [name for name in sorted(tensors) if tensors[name].is_floating_point()]
    tensors[rng.choice(floats)].view(-1)[:1].fill_(np.inf)


def _tensors(change: Callable[[dict[str, torch.Tensor], random.Random], object]) -> Change:
    def written(path: Path, rng: random.Random) -> None:
        tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
        change(tensors, rng)
        save_file(tensors, path)

    return written


def _nan(tensors: dict[str, torch.Tensor], _: random.Random) -> None:
    for tensor in tensors.values():
        if tensor.is_floating_point():
            tensor.fill_(float("nan"))


def _head(data: bytes) -> int:
    """Length of the header of a safetensors file; the numbers follow."""
    return 8 + int(struct.unpack("<Q", data[:8])[0])


_GIANTS: dict[str, tuple[str, Sequence[str], Any]] = {
    "frames of a billion": ("recognizer.json", ("data", "frames"), 10**9),
    "hidden of 100000": ("config.json", ("hidden",), 100_000),
    "classes of a billion": ("config.json", ("num_classes",), 10**9),
    "a giant encoder": ("config.json", ("encoder",), "convnext_xxlarge"),
    "a network of vit": ("config.json", ("encoder",), "vit_giant_patch14_224"),
}


def models() -> Iterator[Kind]:
    load = not_executing(probes.load_model)
    weights: dict[str, tuple[Change, bool, float]] = {
        **{name: (change, True, 0) for name, change in FILES.items()},
        "NaN": (_tensors(_nan), True, 0),
        "one that is infinite": (
            _tensors(_make_infinite),
            True,
            5,
        ),
        "a bit of a number flipped": (
            _edited(lambda data, rng: _flipped(data, rng, _head(data))),
            True,
            25,
        ),
        "a bit of the header flipped": (
            _edited(lambda data, rng: _flipped(data, rng, 0, _head(data))),
            False,
            15,
        ),
        "a header of 2**60 bytes": (
            _edited(lambda data, _: struct.pack("<Q", 1 << 60) + data[8:]),
            True,
            0,
        ),
        "a pickle": (_pickled, True, 0),
        "a pickle instead": (_pickle_only, True, 0),
    }
    for name, (change, refuse, share) in weights.items():
        make = changed("run/model", WEIGHTS, change, refuse=refuse)
        yield Kind(MODELS, f"weights {name}", make, load, share)
    for file in ("recognizer.json", "config.json"):
        for name, change in {**FILES, **JSON}.items():
            gone = name in ("missing", "a link to nothing")  # then it is no model folder
            make = changed(
                "run/model", file, change, refuse=True, names=() if gone else (file,)
            )
            quick = file == "recognizer.json" or name == "200000 deep"
            yield Kind(MODELS, f"{file} {name}", make, load, quick=quick)
        make = changed("run/model", file, _edited(_flipped))
        yield Kind(MODELS, f"{file} with a bit flipped", make, load, 15, quick=False)
    for name, (file, keys, value) in _GIANTS.items():
        make = changed("run/model", file, _set(keys, value), refuse=True)
        yield Kind(MODELS, name, make, load, quick=name != "a network of vit")


_RUN_FILES = ("config.json", "split.json", "skipped.json", "curves.csv")
CURVES: dict[str, Change] = {
    "other columns": _edited(lambda data, _: data.replace(b"loss", b"attack")),
    "a short row": _edited(lambda data, _: data + b"1,2\n"),
}
_CHECKPOINTS = ("checkpoints/last.ckpt", "checkpoints/best.ckpt")


def runs() -> Iterator[Kind]:
    for file in _RUN_FILES:
        needed = file != "curves.csv"
        changes = {**FILES, **JSON} if needed else {**FILES, **CURVES}
        for name, change in changes.items():
            skip = file == "skipped.json" and name == "a list"
            gone = name in ("missing", "a link to nothing")  # then it is no run
            make = changed(
                "run", file, change, refuse=needed and not skip, names=() if gone else (file,)
            )
            quick = file == "split.json" or name == "a pipe"
            yield Kind(
                RUNS, f"{file} {name}, evaluated", make, probes.evaluate_run, quick=quick
            )
            yield Kind(RUNS, f"{file} {name}, resumed", make, probes.resume, slow=True)
        make = changed("run", file, _edited(_flipped), names=())
        yield Kind(RUNS, f"{file} with a bit flipped", make, probes.evaluate_run, 5, slow=True)
    for file in _CHECKPOINTS:
        for name, change in FILES.items():
            make = changed(
                "run",
                file,
                change,
                refuse=name not in ("missing", "a link to nothing"),
                names=(Path(file).name,),
            )
            yield Kind(
                RUNS, f"{file} {name}", make, probes.resume, slow=True, quick=name == "of text"
            )
        make = changed("run", file, _edited(_flipped), refuse=True, names=(Path(file).name,))
        yield Kind(RUNS, f"{file} with a bit flipped", make, probes.resume, 10, slow=True)
        make = changed("run", file, _pickled, refuse=True, names=(Path(file).name,))
        yield Kind(
            RUNS, f"{file} a pickle", make, not_executing(probes.resume), slow=True, quick=True
        )


def _claim_map(data: bytes, _: random.Random) -> bytes:
    at = data.index(b"'shape': (")
    return data[:at] + b"'shape': (999999999999,), }".ljust(128 - at - 1) + b"\n" + data[128:]


def features() -> Iterator[Kind]:
    maps = {
        **FILES,
        # after a header of 128 bytes
        "with zeros": _edited(lambda data, _: data[:128].ljust(len(data), b"\0")),
        "with a bit flipped": _edited(lambda data, rng: _flipped(data, rng, 128)),
        "of 2 TB": _edited(_claim_map),
        "a pickle": _pickled,
    }
    train = not_executing(probes.train_on_attack)
    for name, change in maps.items():
        share = 3 if name == "with a bit flipped" else 0
        make = changed("features", "*.npy", change)
        yield Kind(
            FEATURES, f"maps {name}", make, train, share, slow=True, quick=name == "with zeros"
        )
