"""A recording has the same events everywhere: Python, command line, interface for programs, and
page.
"""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import call
from fastapi.testclient import TestClient
from moving_squares import frames_of, recording
from serving import ADDRESS, OWN, wait_for_job

import onlooker
from onlooker.serve.app import create_app
from onlooker.serve.settings import ServeSettings
from onlooker.video.write import write

ACTIONS = ("left", "right", "grow")
ORDER = (*ACTIONS, "right", "left")
FPS = 10
EVENT = 16  # frames


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run trained on short clips, and a recording that it has not seen."""
    folder = tmp_path_factory.mktemp("events")
    for action in ACTIONS:
        for number in range(5):
            clip = folder / "clips" / action / f"{number}.mp4"
            write(
                clip,
                np.stack(frames_of(action, EVENT, 40 + 12 * number, 2 + 3 * number)),
                fps=FPS,
            )
    settings = ("--encoder", "conv4", "--size", 32, "--frames", 16)
    call("train", folder / "clips", "--run", folder / "runs" / "own", *settings)
    write(folder / "day.mp4", recording(ORDER, 70)[0], fps=FPS)
    return folder / "runs" / "own", folder / "day.mp4"


def plain(segments: Sequence[Any]) -> list[tuple[str, float, float]]:
    """Class, begin and end of events, in the order of time."""
    given = [each if isinstance(each, dict) else vars(each) for each in segments]
    return sorted(
        ((each["label"], round(each["start"], 2), round(each["end"], 2)) for each in given),
        key=lambda e: e[1],
    )


def test_all_ways_to_ask_give_the_same_events(made: tuple[Path, Path], tmp_path: Path) -> None:
    run, file = made
    recognizer = onlooker.load(run)
    prediction, live = recognizer.predict_recording(file)
    expected = plain(prediction.segments)
    assert plain(recognizer.predict(file).segments) == expected
    call("predict", run, file, "--out", tmp_path / "out", "--times", "csv")
    with (tmp_path / "out" / "day.csv").open(encoding="utf-8") as table:
        rows = [
            {**row, "start": float(row["start"]), "end": float(row["end"])}
            for row in csv.DictReader(table)
        ]
    assert plain(rows) == expected
    figures = call("evaluate", run, "--recordings", _listed(file, tmp_path), ok=True).output
    assert f"{len(ORDER)} of {len(ORDER)} events found" in figures
    assert [label for label, *_ in expected] == [*ORDER]
    settings = replace(ServeSettings(), runs=run.parent, clips=tmp_path / "own")
    with TestClient(create_app(settings), base_url=ADDRESS, headers=OWN) as page:
        answer = (
            page.post("/api/v1/predict", content=file.read_bytes()).raise_for_status().json()
        )
        assert plain(answer["segments"]) == expected
        (model,) = page.get("/api/v1/models").json()
        begun = (
            page.post(f"/api/look?model={model['id']}", content=file.read_bytes())
            .raise_for_status()
            .json()
        )
        looked = wait_for_job(page, begun["job"])["result"]
    assert plain(looked["segments"]) == expected
    assert looked["label"] == prediction.label
    assert plain([event for step in recognizer.watch(file) for event in step.events]) == plain(
        live
    )
    assert [label for label, *_ in plain(live)] == [label for label, *_ in expected]
    ends = np.array(
        [[mine[1:], theirs[1:]] for mine, theirs in zip(plain(live), expected, strict=True)]
    )
    assert (np.abs(ends[:, 0] - ends[:, 1]).max(1) <= 0.25).mean() >= 0.9


def test_what_was_sent_survives_a_kill(made: tuple[Path, Path], tmp_path: Path) -> None:
    run, file = made
    whole = tmp_path / "whole.vtt"
    cut = tmp_path / "cut.vtt"
    call("watch", run, file, "--events", whole)
    cues = _cues(whole)
    assert len(cues) == len(ORDER)
    command = [
        sys.executable,
        "-m",
        "onlooker",
        "watch",
        str(run),
        str(file),
        "--events",
        str(cut),
        "--rate",
        "0",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as watching:
        until = time.monotonic() + 60
        while not (cut.exists() and _cues(cut)):
            assert time.monotonic() < until
            assert watching.poll() is None or _cues(cut)
            time.sleep(0.005)
        os.kill(watching.pid, signal.SIGKILL)
    kept = _cues(cut)
    assert kept
    assert kept == cues[: len(kept)]
    assert cut.read_text("utf-8").startswith("WEBVTT\n")


def _cues(path: Path) -> list[str]:
    """The complete cues of a WebVTT file: times and text."""
    return [block.strip() for block in path.read_text("utf-8").split("\n\n") if "-->" in block]


def _listed(file: Path, folder: Path) -> Path:
    """A list of the recording with its true events."""
    _, events = recording(ORDER, 70)
    rows = "".join(f"{file},{each.start},{each.end},{each.label}\n" for each in events)
    (folder / "days.csv").write_text(f"path,start,end,label\n{rows}")
    return folder / "days.csv"
