"""Golden values of two trained runs, one of states and one of events, and of a run that version 0.2.0
has written: what a training chooses and writes, its tensors, and the answers of its model for files,
live streams, and as an exported graph.

Videos are lossless. Sentences, paths, versions, digests of floats and times of day are left out.

Trainings on few clips turn the last bits of sums, which differ between kinds of processors, into
other choices. On another kind than `values/run-processor.json` names, trained runs are skipped:
before a change, `GOLDEN_WRITE=1` writes values to compare with there.
"""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnxruntime
import pytest
import torch
from earlier_models import earlier_settings, earlier_weights
from golden import FOLDER, check
from moving_belts import belt
from numpy.typing import NDArray
from senders import Sender
from threadpoolctl import threadpool_info

import onlooker
from onlooker.base.config import StreamConfig
from onlooker.export import export
from onlooker.video.motion_words import motion_eye
from onlooker.video.reader import VideoReader
from onlooker.video.resize import resize

Pixels = NDArray[np.uint8]
pytestmark = pytest.mark.usefixtures("operators_read_once")
exactly = partial(check, rtol=1e-6, atol=1e-6)

RATE = 25
SETTINGS: dict[str, Any] = {"encoder": "conv4", "frames": 6, "size": 32, "eyes": "both"}
# of saved files: sentences, and what hangs on the version or on every bit of a float
LEFT_OUT = {"chosen", "events_text", "missing", "onlooker", "sentence", "weights", "why"}
# of records: what hangs on the time, the path or the pixels alone; and what only labels of people have
NO_ANSWER = {
    *(
        "announced",
        "at",
        "clip",
        "decision",
        "id",
        "path",
        "pixels",
        "snapshot",
        "source",
        "subject",
    ),
    "tier",
}
STORED_NAMES = {"phase": "state"}  # of fields in the stored values


@dataclass(frozen=True)
class Trained:
    """A run, and videos that it has not seen.

    Args:
        live: a stream without an end, with a third of the frames of training.
    """

    name: str
    run: Path
    recording: Path
    clip: Path
    live: bytes

    @property
    def recognizer(self) -> onlooker.Recognizer:
        return onlooker.load(self.run, device="cpu")


def write_lossless(
    path: Path, pixels: Pixels, rate: Fraction | int = RATE, **options: str
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = "bgr0"
        for frame in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_rows(path: Path, rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def live_stream(path: Path, pixels: Pixels, every: int) -> bytes:
    """A stream with every third frame of those that a model gets, of which `every` is one."""
    stride = 3 * every
    rate = Fraction(RATE, stride)
    return write_lossless(path, pixels[::stride], rate, live="1").read_bytes()


def film_states(number: int, bouts: int = 5) -> tuple[Pixels, list[tuple[object, ...]]]:
    """A belt runs to the left or to the right, or stands still, by day or by night: frames, and
    rows of tier, label, start and end.
    """
    plan = [("left", "right", "still")[(number + i) % 3] for i in range(bouts)]
    belts = [belt(label, 10 * number + i, 38) for i, label in enumerate(plan)]
    pixels = np.concatenate(belts) // 2
    rows: list[tuple[object, ...]] = [
        ("belt", label, 38 * i / RATE, 38 * (i + 1) / RATE)
        for i, label in enumerate(plan)
        if label != "still"
    ]
    for i, start in enumerate(range(0, len(pixels), 57)):
        end = min(start + 57, len(pixels))
        is_day = (i + number) % 2
        pixels[start:end] += np.uint8(120 * is_day)
        rows.append(("light", "day" if is_day else "night", start / RATE, end / RATE))
    return pixels, rows


def train_states(folder: Path) -> Trained:
    rows: list[tuple[object, ...]] = [("path", "tier", "label", "start", "end")]
    for number in range(4):
        pixels, labels = film_states(number)
        write_lossless(folder / f"{number}.mkv", pixels)
        rows += [(f"{number}.mkv", *label) for label in labels]
    new, _ = film_states(4)
    run = folder / "run"
    onlooker.train(write_rows(folder / "list.csv", rows), run, quiet=True, **SETTINGS)
    return Trained(
        "states",
        run,
        write_lossless(folder / "new" / "recording.mkv", new),
        write_lossless(folder / "new" / "clip.mkv", new[114:150]),
        live_stream(folder / "new" / "live.mkv", new, every=3),
    )


def act(label: str, seed: int, frames: int) -> Pixels:
    pixels = belt(label, seed, frames)
    if label == "flash":  # the belt stands still and is inverted for a moment
        quarter = frames // 4
        shown = pixels[quarter : 3 * quarter, 36:84, 30:90]
        shown[:] = 255 - shown
    return pixels


def quiet(seed: int) -> Pixels:
    """A still scene in which, twice, something else happens."""
    still = belt("still", seed, 30)
    upward = belt("left", seed, 12).transpose(0, 2, 1, 3)
    return np.concatenate([still, upward, still, belt("left", seed + 1, 6), still])


def train_events(folder: Path) -> Trained:
    rows: list[tuple[object, ...]] = [("path", "label", "recording")]
    for person in range(4):
        for kind, label in enumerate(("left", "right", "flash")):
            for take in range(2):
                seed = 100 * person + 10 * kind + take
                path = folder / f"{label}-{seed}.mkv"
                write_lossless(path, act(label, seed, 28 + 2 * person + 3 * kind))
                rows.append((path.name, label, f"person {person}"))
    for number in range(2):
        write_lossless(folder / "quiet" / f"{number}.mkv", quiet(900 + 50 * number))
    scenes = list[Pixels]()
    for i, label in enumerate(("left", "flash", "right", "left")):
        shown = act(label, 700 + i, 32 + i)
        scenes += [shown[:1].repeat(20, 0), shown, shown[-1:].repeat(20, 0)]
    new = np.concatenate(scenes)
    run = folder / "run"
    onlooker.train(
        write_rows(folder / "list.csv", rows),
        run,
        background=folder / "quiet",
        quiet=True,
        **SETTINGS,
    )
    return Trained(
        "events",
        run,
        write_lossless(folder / "new" / "recording.mkv", new),
        write_lossless(folder / "new" / "clip.mkv", act("right", 800, 32)),
        live_stream(folder / "new" / "live.mkv", new, every=5),
    )


def require_processor() -> None:
    """Skip on another kind of processor than the values are from; name this one if they are written."""
    kernels = {str(pool.get("architecture")) for pool in threadpool_info()} - {"None"}
    kind = {"torch": torch.backends.cpu.get_cpu_capability(), "blas": sorted(kernels)}
    path = FOLDER / "run-processor.json"
    if os.environ.get("GOLDEN_WRITE") == "1":
        path.write_text(json.dumps(kind, indent=1) + "\n")
    elif (stored := json.loads(path.read_text())) != kind:
        pytest.skip(
            f"values of trained runs are those of {stored}, and this processor is {kind}"
        )


TRAININGS = {"states": train_states, "events": train_events}


@pytest.fixture(scope="module", autouse=True)
def by_pytorch(all_methods: None) -> Iterator[None]:
    """Values are those of PyTorch, whose features differ by up to 1e-4 from ONNX Runtime's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONLOOKER_ENGINE", "torch")
        yield


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow) for name in TRAININGS]
)
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    require_processor()
    return TRAININGS[request.param](tmp_path_factory.mktemp(request.param))


def plain(value: Any) -> Any:
    """Plain values of what was saved or answered, without what is no answer; lists of numbers are
    arrays.
    """
    if is_dataclass(value):
        names = [f.name for f in fields(value) if f.name not in NO_ANSWER]
        if not getattr(value, "pauses", True):  # which answers did not have before
            names.remove("pauses")
        return {STORED_NAMES.get(name, name): plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items() if name not in LEFT_OUT}
    if isinstance(value, list | tuple):
        if len(value) > 4 and all(type(part) is float for part in value):
            return np.array(value)
        return [plain(part) for part in value]
    return value


def read(path: Path) -> Any:
    values = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(values, dict) and isinstance(values.get("events"), str):
        values["events_text"] = values.pop("events")
    return plain(values)


def clips_of_sides(split: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    names = ("path", "label", "recording", "tier", "source")
    return {
        side: [" | ".join(str(clip.get(name, "")) for name in names) for clip in clips]
        for side, clips in split.items()
    }


def test_what_a_training_chooses_and_how_good_it_is(trained: Trained) -> None:
    run = trained.run
    saved = read(run / "model" / "recognizer.json")
    settings = earlier_settings(onlooker.LinearClassifier.from_pretrained(run / "model"))
    assert saved["data"]["eyes"] == "both"
    assert settings["motion_features"]
    if trained.name == "states":
        chains = [
            [*map(saved["classes"].__getitem__, chain["classes"])] for chain in saved["states"]
        ]
        assert len(chains) == 2
        assert settings["state_motion"]
    else:
        assert settings["lengths"]
        assert settings["sparse"]
        assert len(saved["curve"]["thresholds"]) > 5
    with (run / "scores.csv").open(newline="") as file:
        names, *rows = csv.reader(file)
    texts = [names.index(name) for name in ("name", "truth", "predicted")]
    exactly(
        f"run-{trained.name}-training",
        {
            "recognizer": saved,
            "model": settings,
            "evaluation": read(run / "evaluation.json"),
            "cross_validation": read(run / "cross_validation.json"),
            "split": clips_of_sides(json.loads((run / "split.json").read_text())),
            "skipped": read(run / "skipped.json"),
            "clips": [" | ".join(row[place] for place in texts) for row in rows],
            "scores": {
                name: np.array([float(row[place] or "nan") for row in rows])
                for place, name in enumerate(names)
                if place not in texts
            },
        },
    )


def test_the_tensors_of_a_training(trained: Trained) -> None:
    model = onlooker.LinearClassifier.from_pretrained(trained.run / "model")
    tensors = {name: values.numpy() for name, values in earlier_weights(model).items()}
    if trained.name == "states":
        assert np.abs(tensors["state_motion_head.weight"]).max() > 0
    else:
        assert tensors["window_motion"] > 0
        assert np.abs(tensors["sparse_event_weight"]).max() > 0
    exactly(f"run-{trained.name}-tensors", tensors)


def answer(prediction: onlooker.Prediction) -> dict[str, Any]:
    """All fields of a prediction, and what follows from them."""
    return {
        **plain(prediction),
        "classes": list(prediction.classes),
        "label": prediction.label,
        "score": prediction.score,
        "threshold": prediction.decision.threshold,
        "budget": [plain(budget) for budget in prediction.budget()],
    }


def predictions(
    recognizer: onlooker.Recognizer, recording: Path, clip: Path
) -> dict[str, dict[str, Any]]:
    return {
        "recording": answer(recognizer.predict(recording)),
        "clip": answer(recognizer.predict(clip)),
        "one answer for a clip": answer(recognizer.predict_clip(clip)),
    }


def test_predictions(trained: Trained) -> None:
    answers = predictions(trained.recognizer, trained.recording, trained.clip)
    assert len({segment["label"] for segment in answers["recording"]["segments"]}) > 2
    exactly(f"run-{trained.name}-predictions", answers)


def listed(items: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """What is at each step, such as boxes, as one table."""
    rows = [(place, item) for place, at_step in enumerate(items) for item in at_step]
    numbers = [
        np.hstack([value for value in plain(item).values() if not isinstance(value, str)])
        for _, item in rows
    ]
    return {
        "steps": " ".join(str(place) for place, _ in rows),
        "labels": " ".join(item.label for _, item in rows),
        "numbers": np.array(numbers, np.float64),
    }


def answers_of(steps: Sequence[onlooker.Step]) -> dict[str, Any]:
    """All fields of steps, each as one array or table."""
    told: dict[str, Any] = {
        "labels": " ".join(step.label for step in steps),
        "label scores": np.array([step.score for step in steps]),
        "boxes": listed([step.boxes for step in steps]),
        "states": listed([step.states for step in steps]),
        "event": listed([[step.event] if step.event else [] for step in steps]),
        "events": [plain(event) for step in steps for event in step.events],
        "begun": [plain(event) for step in steps for event in step.begun],
        "final at": [place for place, step in enumerate(steps) for _ in step.events],
        "begun at": [place for place, step in enumerate(steps) for _ in step.begun],
        "has pixels": " ".join(str(int(step.pixels is not None)) for step in steps),
    }
    told["happening"] = stacked([step.happening for step in steps])
    rows = [step.rows for step in steps if step.rows is not None]
    has_states = bool(steps[0].decision.states)
    told["posteriors"] = {
        "counts": " ".join(str(len(of_step)) for of_step in rows) if has_states else "",
        "rows": np.concatenate(rows) if has_states else None,
    }
    # the last step again, at the end, has no rows of its own
    last = next(of_step for of_step in reversed(rows) if len(of_step))
    windows = [of_step[0] if len(of_step) else last[0] for of_step in rows]
    told["windows"] = stacked([None] * len(steps) if has_states else windows)
    for name in (
        f.name for f in fields(steps[0]) if f.name not in {*told, *NO_ANSWER, "ongoing", "rows"}
    ):
        values = [getattr(step, name) for step in steps]
        if name != "pause" or any(values):  # which steps did not have before
            told[name] = stacked(values)
    return told


def stacked(values: Sequence[Any]) -> dict[str, Any]:
    """The values of one field at each step: at which steps there is one, and all as an array."""
    there = [value for value in values if value is not None]
    return {
        "steps": " ".join(str(int(value is not None)) for value in values),
        "values": np.stack(there) if there else None,
    }


def test_live_steps(trained: Trained) -> None:
    recognizer = trained.recognizer
    assert recognizer.decision.frame_rate is not None
    third = StreamConfig(rate=recognizer.decision.frame_rate / 3)
    chunks = [trained.live[at : at + 10_000] for at in range(0, len(trained.live), 10_000)]
    with Sender(lambda: chunks) as sender:
        every_frame = StreamConfig(drop="none", attempts=0, timeout=180)
        slow = [*recognizer.watch(sender.address, every_frame)]
    steps = {
        "recording": [*recognizer.watch(trained.recording)],
        "a third of the rate": [*recognizer.watch(trained.recording, third)],
        "a third of the frames": slow,
    }
    assert not any(step.too_slow for step in steps["recording"])
    assert sum(step.too_slow is not None for step in slow) > len(slow) / 2
    assert len({event.label for step in steps["recording"] for event in step.events}) > 2
    exactly(
        f"run-{trained.name}-live",
        {name: answers_of(watched) for name, watched in steps.items()},
    )


def frames_and_motion(path: Path, every: int) -> Iterator[tuple[Pixels, NDArray[np.floating]]]:
    """Each of `every` frames of a video, and the motion words since the one before."""
    memory = None
    words = np.zeros(1 + motion_eye().num_features, np.float32)
    for index, time, pixels in VideoReader(path):
        memory, row = motion_eye().step(pixels, time, memory)
        words += row
        if index % every == 0:
            yield pixels, words.copy()
            words[:] = 0


def test_the_exported_graph(trained: Trained, tmp_path: Path) -> None:
    folder = export(trained.recognizer, tmp_path / "export")
    about = read(folder / "step.json")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "step.onnx", options)
    names = [output.name for output in session.get_outputs()]
    memory = {
        name: np.zeros([1, *part["shape"][1:]], np.float32)
        for name, part in about["state"].items()
    }
    answers = list[dict[str, Any]]()
    for pixels, words in islice(frames_and_motion(trained.recording, every=5), 36):
        frame = resize(pixels[None], about["frame"]["size"], 3)
        values = session.run(None, {"frame": frame, "motion": words[None], **memory})
        answers.append(dict(zip(names, values, strict=True)))
        memory = {name: answers[-1][part["next"]] for name, part in about["state"].items()}
    outputs = {name: np.stack([one[name] for one in answers]) for name in about["outputs"]}
    assert all(np.ptp(values, 0).max() > 0.01 for values in outputs.values())
    description = {name: about[name] for name in about if name not in ("compared", "files")}
    exactly(f"run-{trained.name}-export", {"step": description, "outputs": outputs})


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_answers_of_a_run_of_version_0_2_0(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody waves, as far as a few bars on gray tell."""
    monkeypatch.setenv("ONLOOKER_ENGINE", engine)
    # processors round differently
    compare = check if engine == "torch" else partial(check, rtol=1e-3, atol=1e-4)
    pixels = np.full((72, 48, 64, 3), 128, np.uint8)
    pixels[:, 12:40, 30:34] = 150
    for t, frame in enumerate(pixels):
        top = 8 + round(6 * np.sin(t / 3)) if t % 36 < 24 else 8
        frame[top : top + 4, 10:24] = 150
    recording = write_lossless(tmp_path / "recording.mkv", pixels, 12)
    clip = write_lossless(tmp_path / "clip.mkv", pixels[:20], 12)
    recognizer = onlooker.load(Path(__file__).parent / "run-0.2.0", device="cpu")
    answers = predictions(recognizer, recording, clip)
    assert answers["recording"]["segments"]
    compare("run-0.2.0", {**answers, "live": answers_of([*recognizer.watch(recording)])})
