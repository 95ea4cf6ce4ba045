"""Damaged archives, lists, JSON files, arrays and packet tables are read, or give an error that
names the file.
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import clips
import numpy as np
import pytest

from fuzz.mutations import limits, mutate, mutate_json
from onlooker.base.config import DataConfig, ModelConfig, Settings
from onlooker.base.records import Clip, ClipError
from onlooker.data.array_cache import ArrayCache, is_whole, load_rows
from onlooker.data.lists import read_list
from onlooker.data.split import Split
from onlooker.formats.annotations import read_labels
from onlooker.formats.labels import Requested
from onlooker.run.record import RunRecord, read_curves
from onlooker.video.reader import VideoReader, read

Parse = Callable[[int], object]
DATA = DataConfig(frames=2, size=16, channels=1, normalization="half")
REFUSALS = (ValueError, FileNotFoundError)  # a ClipError is a ValueError
UNDAMAGED = -1
QUICK = 60
LONG = 3000


def damaged(path: Path, how: Callable[[bytes, int], bytes] = mutate) -> Callable[[int], Path]:
    """Writes the file with the damage of a seed."""
    whole = path.read_bytes()

    def write(seed: int) -> Path:
        path.write_bytes(whole if seed == UNDAMAGED else how(whole, seed))
        return path

    return write


def of_list(folder: Path) -> Parse:
    names = [f"{number}.mp4" for number in range(6)]
    for name in names:
        (folder / name).touch()
    rows = [
        f"{name},class {number % 2},train,person {number}" for number, name in enumerate(names)
    ]
    (folder / "list.csv").write_text("\n".join(("path,label,split,recording", *rows)))
    write = damaged(folder / "list.csv")
    return lambda seed: read_list(write(seed))


def of_boris(folder: Path) -> Parse:
    media = {"length": {"a.mp4": 10.0, "b.mp4": 20.0}, "offset": {"1": 0.5}}
    times = ((1, "run"), (2, "bark"), (3, "run"), (12, "run"), (14, "gone"))
    observation = {
        "file": {"1": ["a.mp4", "b.mp4"]},
        "time offset": 0.0,
        "observation time interval": [0.5, 25.0],
        "media_info": media,
        "events": [[float(time), "rex", what, "", ""] for time, what in times],
    }
    kinds = {"run": "State event", "bark": "Point event"}
    behaviors = {
        str(i): {"code": code, "type": kind} for i, (code, kind) in enumerate(kinds.items())
    }
    project = {"behaviors_conf": behaviors, "observations": {"first": observation}}
    (folder / "p.boris").write_text(json.dumps(project))
    write = damaged(folder / "p.boris", mutate_json)
    return lambda seed: read_labels([write(seed)])


def of_npy(folder: Path) -> Parse:
    cache = ArrayCache(folder / "cache")
    rows = np.arange(48, dtype=np.float16).reshape(4, 3, 4)
    file = cache.get({"clip": 1}, lambda: rows)
    write = damaged(file)

    def parse(seed: int) -> None:
        if is_whole(write(seed)):
            load_rows((file,), np.arange)
        assert is_whole(cache.get({"clip": 1}, lambda: rows))

    return parse


def of_packet_index(folder: Path) -> Parse:
    write = damaged(clips.make_clip(folder / "a.mp4", frames=12, options={"g": "4"}))

    def parse(seed: int) -> None:
        VideoReader(write(seed)).get(lambda total: np.array([0, total - 1]))

    return parse


def of_packet_tables(folder: Path) -> Parse:
    """Damage only the tables after the frames: sizes, times, keyframes, chunks."""
    path = clips.make_clip(folder / "b.mp4", frames=12, options={"g": "4"})
    start = path.read_bytes().index(b"stbl")
    write = damaged(path, lambda data, seed: data[:start] + mutate(data[start:], seed))
    return lambda seed: read(write(seed), 4)


def of_run(name: str) -> Callable[[Path], Parse]:
    how = mutate if name.endswith(".csv") else mutate_json

    def make(folder: Path) -> Parse:
        paths = [clips.make_clip(folder / f"{number}.mp4", frames=1) for number in range(6)]
        listed = [Clip(path, "ab"[number % 2]) for number, path in enumerate(paths)]
        split = Split(tuple(listed[:2]), tuple(listed[2:4]), tuple(listed[4:]))
        skipped = (ClipError(folder / "7.mp4", "zero bytes", "remove it"),)
        settings = Settings(ModelConfig("convnet", "conv4"), DATA)
        RunRecord(folder, ("a", "b"), settings, split, skipped).write(folder)
        header = "epoch,training_loss,training_accuracy,validation_loss,validation_accuracy"
        rows = (f"{epoch},1.5,0.5,1.25,0.75" for epoch in range(1, 5))
        (folder / "curves.csv").write_text("\n".join((header, *rows)))
        write = damaged(folder / name, how)

        def parse(seed: int) -> None:
            write(seed)
            RunRecord.read(folder)
            read_curves(folder)

        return parse

    return make


def of_labels(name: str, text: str) -> Callable[[Path], Parse]:
    def make(folder: Path) -> Parse:
        content = text.encode()
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        write = damaged(folder / name)
        return lambda seed: read_labels([write(seed)], Requested(fps=10, point_seconds=1))

    return make


BORIS = """{"behaviors_conf": {"0": {"code": "bark", "type": "Point event"}}, "observations": {"a":
 {"file": {"1": ["a.mp4"]}, "time offset": 0, "events": [[1.5, "rex", "bark", "", ""]]}}}"""
FRAME_TABLE = ",x,run,dig\n" + "".join(f"{i},{i / 3:.2f},{i // 4 % 2},-1\n" for i in range(20))
BORIS_TABLE = (
    "Observation id,Source,Media duration (s),Media file name,Subject,Behavior,Modifier #1,"
    "Behavior type,Start (s),Stop (s)\n"
    "a,player #1:a.mp4;b.mp4,9.0;8.0,a.mp4,rex,run,fast,STATE,1.5,12.25\n"
    "a,player #1:a.mp4;b.mp4,9.0;8.0,b.mp4,rex,bark,,POINT,10,10\n"
)
BINARY_TABLE = "time\trun\tdig\n" + "".join(f"{i / 2}\t{i // 4 % 2}\t0\n" for i in range(20))
TARGETS = {
    "table of events of BORIS": of_labels("a_boris.csv", BORIS_TABLE),
    "binary table of BORIS": of_labels("a_rex.tsv", BINARY_TABLE),
    "table of frames": of_labels("a_labels.csv", FRAME_TABLE),
    "events of BIDS": of_labels(
        "a_events.tsv", "onset\tduration\ttrial_type\n0.5\t1\tgo\n2.5\tn/a\tpress\n"
    ),
    "packed BORIS": of_labels("a.boris.gz", BORIS),
    "list": of_list,
    "boris": of_boris,
    "npy": of_npy,
    "mp4": of_packet_index,
    "mp4 tables": of_packet_tables,
    "run config.json": of_run("config.json"),
    "run split.json": of_run("split.json"),
    "run skipped.json": of_run("skipped.json"),
    "run curves.csv": of_run("curves.csv"),
}


@pytest.mark.parametrize(
    "seeds", [range(QUICK), pytest.param(range(QUICK, QUICK + LONG), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("target", TARGETS)
def test_damaged_input_is_read_or_refused_by_name(
    target: str, seeds: range, tmp_path: Path
) -> None:
    parse = TARGETS[target](tmp_path)
    refused = 0
    parse(UNDAMAGED)
    for seed in seeds:
        try:
            with limits(10, 1):
                parse(seed)
        except Exception as error:
            if not (isinstance(error, REFUSALS) and str(tmp_path) in str(error)):
                raise AssertionError(f"seed {seed}") from error
            refused += 1
    assert refused or target == "npy"  # a damaged array is made again
