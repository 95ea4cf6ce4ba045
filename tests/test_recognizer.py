"""Recognizers: saving and loading, safe files, predictions of clips, and drawn clips."""

import json
import math
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clips import Make, all_frames, paint
from eventful import CLASSES, DATA, LENGTHS, eventful, untrained
from PIL import Image

from onlooker.base.alarm_curve import AlarmCurve
from onlooker.base.config import DataConfig, StreamConfig
from onlooker.base.decision import Decision, TierStates
from onlooker.base.files import read_json, write_json
from onlooker.base.progress import reporting
from onlooker.base.records import Clip, ClipError, Prediction
from onlooker.data.clips import read_clips
from onlooker.models.classifier import Classifier
from onlooker.models.registry import create_model
from onlooker.models.video_model import choose_device
from onlooker.recognizer import Recognizer, expected_events, load
from onlooker.run.train import TrainedRun
from onlooker.video.reader import read
from onlooker.video.resize import resize
from onlooker.video.write import write


def test_a_saved_recognizer_gives_the_same_predictions(tmp_path: Path, make_clip: Make) -> None:
    path = make_clip()
    data = DataConfig(frames=5, size=24, channels=1, normalization="imagenet")
    settings = {"aggregation": "last", "frame_rate": 12.5, "temperature": 2.5, "threshold": 0.4}
    saved = untrained(data=data, **settings)
    run = tmp_path / "run"
    saved.save(run / "model")
    for folder in (run, run / "model"):
        loaded = load(folder)
        assert (loaded.decision, loaded.data) == (Decision(CLASSES, **settings), data)
        assert not loaded.model.training
        a = saved.predict(path)
        b = loaded.predict(str(path))
        for name in ("frame_scores", "scores", "times", "indices", "attention"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_a_run_of_an_earlier_version_is_loaded_unless_its_model_is_gone(tmp_path: Path) -> None:
    run = untrained("convnet").save(tmp_path)
    values = read_json(run / "recognizer.json")
    settings = read_json(run / "config.json")
    write_json(
        run / "recognizer.json",
        {**values, "localization": {"onset": 0.4, "level": 0.0, "gap": 5}},
    )
    assert load(run).classes == CLASSES
    write_json(run / "config.json", {**settings, "attention": "mil", "glimpse": "sum"})
    with pytest.raises(
        ValueError,
        match=r"config.json: unknown attention 'mil'; .* use that version, or train again",
    ):
        load(run)


def test_a_run_that_was_saved_before_there_was_a_decision_answers_as_it_did(
    tmp_path: Path,
) -> None:
    """Trained on 12 clips of stick figures by the code of 0.2.0 before it had `Decision`, whose
    answers these are.
    """
    run = Path(__file__).parent / "golden" / "run-0.2.0"
    frames = np.full((20, 48, 64, 3), 128, np.uint8)
    for t in range(20):
        top = 8 + round(6 * math.sin(t / 3))
        frames[t, top : top + 4, 10:24] = 150
        frames[t, 12:40, 30:34] = 150
    recognizer = load(run)
    recognizer.save(tmp_path)
    for saved in (recognizer, load(tmp_path)):
        prediction = saved.predict(frames, rate=12.5)
        assert prediction.times.tolist() == pytest.approx([0.08, 0.4, 0.64, 0.88, 1.2, 1.44])
        np.testing.assert_allclose(prediction.scores, [0.82987, 0.17013], atol=1e-3)
        expected = [0.98973, 0.9231, 0.78575, 0.67688, 0.71139, 0.82987]
        np.testing.assert_allclose(prediction.frame_scores[:, 0], expected, atol=1e-3)
        hottest = [0.2833, 0.0773, 0.0639, 0.014]
        np.testing.assert_allclose(prediction.attention[2, 0], hottest, atol=1e-3)
        assert [(event.label, event.start, event.end) for event in prediction.segments] == [
            ("bend", 0.0, 1.6)
        ]
    decision = recognizer.decision
    assert (decision.classes, decision.aggregation) == (("bend", "wave"), "last")
    assert (decision.frame_rate, decision.clip_seconds) == (pytest.approx(3), 2.0)
    assert decision.temperature == pytest.approx(0.256847, abs=1e-6)
    assert decision.curve.sentence(6.0).startswith("finds 92 % of the events")
    trained = TrainedRun.read(run)
    assert trained.conclusion == "10 of 12 clips right"
    assert "accuracy 83 % (95 % interval 67 to 100 %, over 6 recordings" in trained.details


# As version 0.2.0 writes it, with all values of a decision.
STORED = """{
  "onlooker": "0.2.0",
  "classes": ["clap", "run", "wave"],
  "data": {
    "frames": 6, "size": 16, "modality": "rgb", "channels": 3, "normalization": "half",
    "translate": 0.1, "scale": 0.1, "degrees": 0.0, "hflip": false
  },
  "model": "Classifier",
  "package": "onlooker",
  "weights": null,
  "curve": {
    "thresholds": [0.25, 0.75], "found": [0.9, 0.5], "misnamed": [0.1, 0.0],
    "alarms_per_hour": [5.0, 1.0], "late": 0.25, "hours": 0.5, "confused": ["clap", "run"],
    "by_chance": [0.125, 0.0]
  },
  "aggregation": "product",
  "frame_rate": 12.5,
  "temperature": 2.5,
  "threshold": 0.375,
  "nothing": "run",
  "clip_seconds": 4.5,
  "usual_distance": 3.5,
  "class_shares": [0.5, 0.25, 0.25]
}"""
OF_STORED = Decision(
    CLASSES,
    aggregation="product",
    temperature=2.5,
    threshold=0.375,
    curve=AlarmCurve(
        [0.25, 0.75],
        [0.9, 0.5],
        [0.1, 0.0],
        [5.0, 1.0],
        0.25,
        0.5,
        ["clap", "run"],
        [0.125, 0.0],
    ),
    clip_seconds=4.5,
    nothing="run",
    frame_rate=12.5,
    novelty_limit=3.5,
    class_shares=[0.5, 0.25, 0.25],
)


def test_a_decision_is_saved_as_by_earlier_versions_which_do_not_have_all_of_it(
    tmp_path: Path,
) -> None:
    of = untrained()
    of.decision = OF_STORED
    run = of.save(tmp_path)
    written = read_json(run / "recognizer.json")
    stored = json.loads(STORED) | {"weights": written["weights"]}
    del written["packages"]  # in place of the one package
    del written["states"]
    for name in ("precision", "events", "calibration", "border_error"):
        del written["curve"][name]
    assert {**written, "package": "onlooker"} == stored
    write_json(run / "recognizer.json", stored)
    loaded = load(run)
    assert loaded.decision == OF_STORED
    assert loaded.decision.clip_seconds == OF_STORED.clip_seconds > 0
    for name in ("nothing", "curve", "clip_seconds", "usual_distance", "class_shares"):
        del stored[name]
    write_json(run / "recognizer.json", stored)
    expected = replace(
        OF_STORED,
        nothing=None,
        curve=None,
        clip_seconds=0.0,
        novelty_limit=None,
        class_shares=(),
    )
    assert load(run).decision == expected
    del stored["temperature"]
    write_json(run / "recognizer.json", stored)
    with pytest.raises(ValueError, match=r"recognizer.json: .*temperature"):
        load(run)


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({}, 3.5),
        ({"usual_distance": None, "novelty_limit": 2.0}, 2.0),
        ({"usual_distance": 3.5, "novelty_limit": 2.0}, 2.0),
        ({"usual_distance": 3.5, "novelty_limit": None}, None),
    ],
)
@pytest.mark.parametrize(
    ("curve", "states"),
    [(None, None), ({}, []), ({}, {}), (None, 0), (None, False), (None, "")],
)
def test_a_decision_is_read_with_either_name_of_the_limit_and_without_a_curve_and_states(
    given: dict[str, float | None], limit: float | None, curve: object, states: object
) -> None:
    values = json.loads(STORED) | given | {"curve": curve, "states": states}
    assert Decision.from_dict(values) == replace(OF_STORED, curve=None, novelty_limit=limit)
    del values["usual_distance"]
    own = limit if given else None
    assert Decision.from_dict(values) == replace(OF_STORED, curve=None, novelty_limit=own)


@pytest.mark.parametrize(
    "decision",
    [
        OF_STORED,
        Decision(CLASSES),
        replace(OF_STORED, states=(TierStates([0, -1], [1.0, 2.5], [0.5, 0.25], 0.75),)),
    ],
)
def test_a_decision_is_read_as_it_was_written(decision: Decision) -> None:
    values = json.loads(json.dumps(decision.to_dict()))
    assert Decision.from_dict(values) == decision


@pytest.mark.parametrize("names", [["treshold"], ["novelty", "thresholds"]])
def test_an_unknown_value_of_a_decision_is_named(names: list[str], tmp_path: Path) -> None:
    record = untrained().save(tmp_path) / "recognizer.json"
    write_json(record, read_json(record) | dict.fromkeys(names, 0.5))
    message = f"recognizer.json: a decision has no {', '.join(names)}; .*there are"
    with pytest.raises(ValueError, match=f"(?i){message}"):
        load(tmp_path)


def test_the_farther_a_clip_is_from_training_the_less_its_scores_count() -> None:
    decision = Decision(CLASSES, novelty_limit=2.0, class_shares=(0.5, 0.25, 0.25))
    scores = np.tile(np.array([[0.9, 0.1, 0.0]], np.float32), (5, 3, 1))
    distances = np.array([0.5, 2.0, 2.02, 4.0, 1e9])
    assert decision.is_unusual(distances).tolist() == [False, False, True, True, True]
    drawn = decision.shrink_to_prior(scores, distances)
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn[:2], scores[:2])
    np.testing.assert_allclose(drawn[2], scores[2], atol=0.01)
    np.testing.assert_allclose(drawn[3], [[0.7, 0.175, 0.125]] * 3, rtol=1e-6)
    np.testing.assert_allclose(drawn[4], [[0.5, 0.25, 0.25]] * 3, rtol=1e-6)
    equal = replace(decision, class_shares=()).shrink_to_prior(scores, distances)
    np.testing.assert_allclose(equal[4], 1 / 3, rtol=1e-6)
    unlimited = replace(decision, novelty_limit=1e300)
    singles = distances.astype(np.float32)
    assert not unlimited.is_unusual(singles).any()
    np.testing.assert_array_equal(unlimited.shrink_to_prior(scores, singles), scores)
    unknown = replace(decision, novelty_limit=None)
    assert unknown.is_unusual(distances) is None
    assert unknown.shrink_to_prior(scores, distances) is scores
    assert decision.is_unusual(None) is None
    assert decision.shrink_to_prior(scores, None) is scores
    for shares in ((0.5, 0.5), (1.5, -0.5, 0.0), (0.0, 0.0, 0.0)):
        with pytest.raises(ValueError, match=r"class_shares are .* one for each of 3 classes"):
            replace(decision, class_shares=shares)


def test_a_temperature_divides_the_logits_of_every_frame(make_clip: Make) -> None:
    path = make_clip(frames=14)
    plain = untrained("lstm")
    of = untrained("lstm", temperature=2.5)
    sample = torch.from_numpy(resize(read(path, 6).pixels, 16, 3))[None]
    expected = np.exp(np.log(plain.classify(sample).scores) / 2.5)
    np.testing.assert_allclose(
        of.classify(sample).scores, expected / expected.sum(-1, keepdims=True), rtol=1e-5
    )
    seen = of.predict(path)
    steps = list(of.watch(path, StreamConfig(drop="none")))
    expected = plain.predict(path).frame_scores ** (1 / 2.5)
    np.testing.assert_allclose(
        seen.frame_scores, expected / expected.sum(1, keepdims=True), atol=1e-6
    )
    assert (seen.frame_scores.argmax(1) == plain.predict(path).frame_scores.argmax(1)).all()
    flat = [step.scores ** (1 / 2.5) for step in plain.watch(path, StreamConfig(drop="none"))]
    np.testing.assert_allclose(
        [step.scores for step in steps], [each / each.sum() for each in flat], atol=1e-6
    )


def test_a_prediction_is_that_of_the_frames_that_were_read(make_clip: Make) -> None:
    path = make_clip(frames=20)
    of = untrained()
    seen = of.predict(path)
    frames = read(path, 6)
    assert seen.indices.tolist() == frames.indices.tolist() == [1, 5, 8, 11, 15, 18]
    assert seen.times.tolist() == frames.times.tolist()
    pixels = torch.from_numpy(resize(frames.pixels, 16, 3)).float()
    video = ((pixels / 255 - 0.5) / 0.25).permute(0, 3, 1, 2)[None]
    with torch.no_grad():
        logits, attention, *_ = of.model(video)
    np.testing.assert_allclose(seen.frame_scores, logits[0].softmax(-1).numpy(), atol=1e-6)
    np.testing.assert_allclose(seen.scores, logits[0].softmax(-1).mean(0).numpy(), atol=1e-6)
    np.testing.assert_allclose(seen.attention, attention[0].numpy(), atol=1e-6)


def test_evaluate_equals_predicting_each_clip(make_clip: Make, tmp_path: Path) -> None:
    of = untrained(temperature=2.5)
    labels = ("run", "clap", "run", "wave", "run")
    clips = [
        Clip(make_clip(f"{label}/{i}.mp4", frames=5 + i), label, root=tmp_path)
        for i, label in enumerate(labels)
    ]
    samples, _ = read_clips(clips, CLASSES, DATA, cache=tmp_path / "cache")
    error = ClipError("x.mp4", "zero bytes", "remove it")
    evaluation = of.evaluate(samples, batch=2, skipped=[error])
    assert evaluation.names == (
        "run/0.mp4",
        "clap/1.mp4",
        "run/2.mp4",
        "wave/3.mp4",
        "run/4.mp4",
    )
    assert evaluation.targets.tolist() == [1, 0, 1, 2, 1]
    assert evaluation.skipped == (error,)
    for i, clip in enumerate(clips):
        seen = of.predict(clip.path)
        np.testing.assert_allclose(evaluation.scores[i], seen.scores, atol=1e-5)
        np.testing.assert_allclose(evaluation.frame_scores[i], seen.frame_scores, atol=1e-5)


def test_attention_is_interpolated_between_sampled_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "gray.mp4", np.full((5, 256, 256, 3), 128, np.uint8), fps=10)
    # A model that looked at frames 0 and 4 of five, left and then right.
    attention = np.zeros((2, 1, 2), np.float32)
    attention[0, 0, 0] = attention[1, 0, 1] = 1
    scores = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    seen = Prediction(
        path,
        Decision(("a", "b")),
        scores,
        scores.mean(0),
        np.array([0.0, 0.4]),
        np.array([0, 4]),
        attention,
    )
    frames, times = all_frames(untrained().overlay(path, tmp_path / "seen.mp4", seen))
    assert times == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    middle = np.stack(frames)[:, 100:150].astype(int)
    color = middle.max(-1) - middle.min(-1)  # gray where there is no attention
    left = color[:, :, 20:60].mean((1, 2))
    right = color[:, :, 196:236].mean((1, 2))
    assert left[0] > 4 * right[0]
    assert right[4] > 4 * left[4]
    assert left[0] > left[1] > 4 * left[3]
    assert right[4] > right[3] > 4 * right[1]
    assert max(left[2], right[2]) < 0.1 * left[0], "an even map is drawn as nothing"


def test_a_drawn_clip_never_replaces_the_clip(make_clip: Make) -> None:
    path = make_clip()
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"would replace the clip itself; give another file"):
        untrained().overlay(path, path.parent / "." / path.name)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("classes", "settings", "message"),
    [
        (("a", "b"), {}, "2 class names for a model of 3 classes"),
        (
            CLASSES,
            {"data": DataConfig(size=32)},
            "frames of 32 pixels and 3 channels for a model of 16 pixels and 3 channels",
        ),
        (("a", "b", "a"), {}, "expected names that differ and are not empty"),
        (("a", "", "b"), {}, "expected names that differ and are not empty"),
        ("abc", {}, "classes is 'abc', expected a list of texts"),
        ((1, 2, 3), {}, r"classes is \(1, 2, 3\), expected a list of texts"),
        (
            CLASSES,
            {"aggregation": "sum"},
            "aggregation is 'sum', expected mean, product or last",
        ),
        (CLASSES, {"frame_rate": 1e308}, r"frame_rate is 1e\+308, expected a"),
        (CLASSES, {"temperature": 1e-320}, "temperature is 1e-320, expected a"),
        (CLASSES, {"temperature": float("nan")}, "temperature is nan, expected a"),
        (CLASSES, {"threshold": 2}, "threshold is 2, expected a"),
    ],
)
def test_inconsistent_parts_are_errors(
    classes: tuple[str, ...], settings: dict[str, Any], message: str
) -> None:
    given = {"data": DATA, **settings}
    data = given.pop("data")
    with pytest.raises(ValueError, match=message):
        Recognizer(create_model("convnet", 3, size=16), data, Decision(classes, **given))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    untrained().save(tmp_path / "run" / "model")
    return tmp_path / "run"


def test_a_flipped_bit_in_the_weights(run: Path) -> None:
    weights = run / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-2] ^= 1  # one weight becomes another finite number
    weights.write_bytes(content)
    message = r"model.safetensors: damaged, or not the file that recognizer.json was"
    for read_model in (load, Classifier.from_pretrained):
        with pytest.raises(ValueError, match=message):
            read_model(run / "model")
    values = read_json(run / "model" / "recognizer.json")
    del values["weights"]  # as an older version wrote it
    write_json(run / "model" / "recognizer.json", values)
    load(run)
    assert not Classifier.from_pretrained(run / "model").training


def test_weights_and_scores_that_are_not_finite(tmp_path: Path, make_clip: Make) -> None:
    broken = untrained()
    with torch.no_grad():
        broken.model.head[-1].bias[1] = torch.nan
    broken.save(tmp_path / "run")
    message = r"model.safetensors: head.1.bias has values that are not finite; copy"
    for read_model in (load, Classifier.from_pretrained):
        with pytest.raises(ValueError, match=message):
            read_model(tmp_path / "run")
    clip = make_clip()
    with pytest.raises(
        ClipError, match=r"clip.mp4: the model's scores are not finite numbers; train it again"
    ):
        broken.predict(clip)
    with pytest.raises(ClipError, match=r"the model's scores are not finite numbers"):
        broken.watch(clip)  # before the source is opened
    samples, _ = read_clips([Clip(clip, "run")], CLASSES, DATA, cache=tmp_path / "cache")
    with pytest.raises(ClipError, match=r"clip.mp4: the model's scores are not finite numbers"):
        broken.evaluate(samples)


class Bomb:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(Path(os.environ["BOMB"])),)


def test_pickles_are_not_read(
    run: Path, tmp_path: Path, make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    bomb = pickle.dumps(Bomb())
    (run / "model" / "checkpoints").mkdir()
    checkpoints = ("checkpoints/last.ckpt", "checkpoints/best.ckpt")
    for name in ("model.pkl", "model.pt", "pytorch_model.bin", "model.npy", *checkpoints):
        (run / "model" / name).write_bytes(bomb)
    load(run).predict(make_clip())
    assert not (tmp_path / "exploded").exists()
    pickle.loads(bomb)  # it would have
    assert (tmp_path / "exploded").exists()


@pytest.mark.parametrize(("gpu", "expected"), [(torch.device("mps"), "mps"), (None, "cpu")])
def test_auto_is_a_gpu_if_there_is_one(
    monkeypatch: pytest.MonkeyPatch, gpu: torch.device | None, expected: str
) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: gpu)
    assert choose_device() == torch.device(expected)
    assert choose_device("cpu") == choose_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_an_unknown_device_is_no_error_of_the_files(run: Path, device: str) -> None:
    with pytest.raises((RuntimeError, AssertionError)) as caught:
        load(run, device)
    assert str(run) not in str(caught.value)


def test_what_lasts_longer_than_the_longest_window_is_a_recording(make_clip: Make) -> None:
    of = eventful(frame_rate=10.0)
    assert of.longest == pytest.approx(LENGTHS[-1] / 10)
    assert eventful().longest == LENGTHS[-1] / 25, "at an unknown rate, as for images"
    assert untrained().longest == math.inf, "it finds no events"
    of_flow = eventful()
    of_flow.data = replace(DATA, modality="flow")
    assert of_flow.longest == math.inf, "recordings have no flow"
    long = make_clip("long.mp4", frames=30)
    reported = list[tuple[str, int, int]]()
    with reporting(lambda *stage: reported.append(stage)):
        assert len(of.predict(make_clip(frames=9)).times) == 6
        assert reported == []
        seen = of.predict(long)
    assert {stage for stage, _, _ in reported} == {"watching"}
    assert [seconds for _, seconds, _ in reported] == sorted(
        seconds for _, seconds, _ in reported
    )
    assert reported[-1][1:] == (2, 3)
    expected, live = of.predict_recording(long)
    assert (len(seen.times), seen.segments) == (30, expected.segments)
    assert len(live) > 1
    assert [(e.label, e.start, e.end) for e in live] == [
        (e.label, e.start, e.end) for step in of.watch(long) for e in step.events
    ]
    scores = [each.score for each in seen.segments]
    assert scores == sorted(scores, reverse=True)
    (whole,) = of.predict_clip(long).segments
    assert (whole.start, whole.end) == (
        pytest.approx(0, abs=0.01),
        pytest.approx(3.0, abs=0.3),
    ), "one answer for all"


def test_a_long_image_sequence_says_that_its_times_are_assumed(tmp_path: Path) -> None:
    for number in range(30):
        Image.fromarray(paint(number)).save(tmp_path / f"{number:02}.png")
    prediction = eventful().predict(tmp_path)
    assert len(prediction.times) == 30, "a recording"
    assert prediction.assumes_rate
    assert prediction.end == pytest.approx(30 / 25)


def test_the_events_of_a_recording_are_those_that_the_accepted_false_alarms_allow(
    make_clip: Make,
) -> None:
    of = eventful(frame_rate=10.0)
    path = make_clip(frames=30)
    all_events, all_live = of.predict_recording(path)
    best = max(event.score for event in all_live)
    curve = AlarmCurve([0.0, best], [1.0, 0.5], [0.0, 0.0], [9.0, 3.0], 0.0, 1.0, [])
    of = eventful(frame_rate=10.0, curve=curve)
    assert of.decision.event_threshold(9) == 0
    for allowed, count, live_count in ((9, len(all_events.segments), len(all_live)), (3, 1, 1)):
        prediction, live = of.predict_recording(path, alarms_per_hour=allowed)
        assert (len(prediction.segments), len(live)) == (count, live_count)
    none, live = of.predict_recording(path, alarms_per_hour=1)
    assert (none.segments, none.label, live) == ((), "nothing", [])


def test_the_curve_of_events_is_saved_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    curve = AlarmCurve(
        [0.5, 0.75], [0.9, 0.5], [0.1, 0.0], [5.0, 1.0], 0.25, 0.5, ["clap", "run"]
    )
    run = eventful(curve=curve).save(tmp_path)
    loaded = load(run)
    assert (loaded.decision.curve, loaded.model.lengths) == (curve, LENGTHS)
    assert expected_events(loaded, 1) == f"events: {curve.sentence(1)}. {curve.missing(1)}"
    assert expected_events(loaded, 60) == f"events: {curve.sentence(60)}"
    exact = eventful(curve=replace(curve, border_error=0.21))
    assert (
        expected_events(exact, 60)
        == f"events: {curve.sentence(60)}; {exact.decision.curve.times_text}"
    )
    assert "how many false alarms that gives is not known" in expected_events(eventful(), 1)
    values = read_json(run / "recognizer.json")
    curves = values.pop("curve")
    for damaged in ({**curves, "found": [0.9]}, {**curves, "late": None}, [], "none"):
        write_json(run / "recognizer.json", {**values, "curve": damaged})
        with pytest.raises(ValueError, match=r"recognizer.json: .*(curve|late)"):
            load(run)
    write_json(run / "recognizer.json", values)
    assert load(run).decision.curve is None, "a run of an earlier version"


def test_files_that_are_not_ours_to_replace_stay(tmp_path: Path, make_clip: Make) -> None:
    of = untrained()
    clip = make_clip("a.mp4", frames=8)
    other = make_clip("b.mp4", frames=9)
    before = other.read_bytes()
    for write_there in (
        lambda: of.overlay(clip, other),
        lambda: write(other, np.zeros((2, 8, 8, 3), np.uint8)),
    ):
        with pytest.raises(FileExistsError, match=r"b.mp4: exists already; give another file"):
            write_there()
    assert other.read_bytes() == before
    of.overlay(clip, other, replace=True)
    assert other.read_bytes() != before
    assert [path.name for path in tmp_path.iterdir() if path.name[0] == "."] == []
    for name in ("config.json", "model.safetensors"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text("{}")
        with pytest.raises(FileExistsError, match=rf"{name}: exists, and is not of an earlier"):
            of.save(folder)
        assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(name, "{}")]
    for _ in range(2):
        of.save(tmp_path / "model-of-ours")


def test_the_prediction_of_another_clip_is_not_drawn(tmp_path: Path, make_clip: Make) -> None:
    of = untrained()
    clip = make_clip("a.mp4", frames=8)
    prediction = of.predict(clip)
    with pytest.raises(
        ValueError, match=r"b.mp4: the prediction is that of .*a.mp4; give that"
    ):
        of.overlay(make_clip("b.mp4", frames=8), tmp_path / "out.mp4", prediction)
    link = tmp_path / "link.mp4"
    link.symlink_to(clip)
    assert of.overlay(link, tmp_path / "out.mp4", prediction).exists()
    assert of.overlay(link, tmp_path / "out.mp4", prediction).exists(), (
        "that of a program run again"
    )


FORKED = """
import multiprocessing, os, sys, torch
from eventful import untrained
torch.set_num_threads(2)
recognizer = untrained()
samples = torch.randint(0, 256, (64, 6, 16, 16, 3), dtype=torch.uint8)
def scores(_=None):
    torch.ones(1_000_000).exp()  # by both threads
    return recognizer.classify(samples).scores.round(5).tolist()
own = scores()
with multiprocessing.get_context("fork").Pool(1) as pool:
    assert pool.map_async(scores, [0]).get(60) == [own]
if not (child := os.fork()):
    os._exit(scores() != own)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no system that forks")
def test_a_forked_process_predicts_as_its_parent_which_has_predicted() -> None:
    command = [sys.executable, "-c", FORKED]
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        command, env={**os.environ, **paths}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
