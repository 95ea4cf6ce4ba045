"""A run whose clips differ by motion alone: both eyes are compared, clips are decoded once for both,
and the trained model answers alike everywhere.
"""

import html
import re
import shutil
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from moving_belts import CLASSES, RATE, belt, make_belts
from PIL import Image

import onlooker
from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.base.files import read_json, write_json
from onlooker.data import samples
from onlooker.data.clips import cached_read, read_clips
from onlooker.data.samples import read_sample
from onlooker.data.sets import read_set
from onlooker.models.linear import LinearClassifier
from onlooker.recognizer import Recognizer, load
from onlooker.report.page import percent
from onlooker.run import evaluate as evaluate_module
from onlooker.run.compare import settings_of
from onlooker.run.evaluate import evaluate
from onlooker.run.record import RunRecord
from onlooker.training.fitters import complete
from onlooker.training.forward import forward_samples
from onlooker.video.eyes import describe, eyes_of
from onlooker.video.reader import VideoReader

DATA = DataConfig(frames=4, size=16, eyes="both")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_belts(tmp_path_factory.mktemp("belts"), 8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    folder = tmp_path_factory.mktemp("run")
    onlooker.train(
        clips, folder / "run", encoder="conv4", frames=6, size=32, eyes="auto", quiet=True
    )
    return folder / "run"


def test_motion_is_chosen_where_pictures_do_not_tell_the_class(run: Path) -> None:
    figures = onlooker.TrainedRun.read(run).figures
    assert figures is not None
    assert figures.tried is not None
    eyes = [tried for tried in figures.tried if tried.choice == "eyes"]
    accuracies = {tried.candidate: tried.accuracy for tried in eyes}
    assert accuracies["pictures"] < 0.8
    assert min(accuracies["motion"], accuracies["both"]) == 1
    assert figures.accuracy == 1, "the eyes are chosen again in each fold"
    chosen = RunRecord.read(run).settings.data.eyes
    assert chosen in ("motion", "both")
    assert [tried.candidate for tried in eyes if tried.is_chosen] == [chosen]
    assert f"eyes {chosen} (log loss 0." in str(figures.chosen)
    report = (run / "report.html").read_text(encoding="utf-8")
    assert f"eyes {chosen} (log loss 0." in report
    assert "it may be chance" in report
    assert "correct (inner, optimistic)" in report
    assert "% correct" not in str(figures.chosen), "the accuracy of the best of several"


def test_new_clips_are_answered_by_their_motion_from_files_memory_and_lists(
    run: Path, tmp_path: Path
) -> None:
    recognizer = load(run)
    new = make_belts(tmp_path / "new", 2, first=50)
    predictions = {
        path: recognizer.predict(path) for label in CLASSES for path in (new / label).iterdir()
    }
    assert all(answer.label == path.parent.name for path, answer in predictions.items())
    evaluation = recognizer.evaluate(new)
    scores = [answer.scores for answer in predictions.values()]
    np.testing.assert_allclose(evaluation.scores, scores, atol=1e-5)
    images = belt("left", seed=100)
    assert recognizer.predict(images, rate=RATE).label == "left"
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    assert recognizer.predict(mirrored, rate=RATE).label == "right"


def test_events_of_a_recording_are_named_by_their_motion(run: Path) -> None:
    recognizer = load(run)
    assert recognizer.decision.curve is not None
    assert recognizer.decision.curve.misnamed[-1] == 0, "in streams of other clips"
    labels = ["left", "right", "right", "left", "right", "left"]
    parts = list[np.ndarray]()
    for number, label in enumerate(labels):
        images = belt(label, seed=200 + number)
        parts += [images[:1].repeat(25, 0), images, images[-1:].repeat(25, 0)]
    prediction, live = recognizer.predict_recording(VideoReader(np.concatenate(parts), RATE))
    found = sorted(prediction.segments, key=lambda event: event.start)
    assert [event.label for event in found] == labels
    assert [event.label for event in live] == labels
    np.testing.assert_allclose(
        [event.start for event in found], np.arange(6) * 3.44 + 1, atol=0.6
    )
    recognizer.model.heads["window"].motion_factors[0] = 0  # named by pictures
    by_pictures, _ = recognizer.predict_recording(VideoReader(np.concatenate(parts), RATE))
    named = [
        event.label for event in sorted(by_pictures.segments, key=lambda event: event.start)
    ]
    assert named != labels


def test_just_above_the_longest_clip_the_classes_have_the_probabilities_of_a_clip(
    run: Path,
) -> None:
    recognizer = load(run)
    longest = round(recognizer.longest * RATE)
    for label in CLASSES:
        images = belt(label, seed=400, frames=longest + 2)
        below = recognizer.predict(images[: longest - 1], rate=RATE)
        above = recognizer.predict(images, rate=RATE)
        assert (below.event_scores is None, above.event_scores is None) == (True, False)
        assert below.label == above.label == label
        np.testing.assert_allclose(below.scores, above.scores, atol=0.1)


def test_a_still_clip_has_the_answer_of_its_pictures(run: Path) -> None:
    recognizer = load(run)
    sample = recognizer.read(VideoReader(belt("still", seed=3), RATE))
    assert not sample.eyes["motion"].any()
    pictures = forward_samples(
        recognizer.model, torch.from_numpy(sample.pixels)[None], recognizer.data
    )
    found = recognizer.predict(belt("still", seed=3), rate=RATE)
    scores = recognizer.decision.probabilities(pictures.logits.detach()).numpy()
    expected = recognizer.decision.shrink_to_prior(
        scores, pictures.distance[:, -1].detach().numpy()
    )
    np.testing.assert_allclose(found.scores, expected[0, -1], atol=1e-5)


def test_a_model_without_the_words_of_this_version_or_without_an_eye_is_refused(
    run: Path, tmp_path: Path
) -> None:
    recognizer = load(run)
    with pytest.raises(ValueError, match="the model needs the motion words of clips"):
        recognizer.classify(torch.zeros(1, 6, 32, 32, 3, dtype=torch.uint8))
    words = torch.zeros(1, 6, 1 + recognizer.model.eyes["motion"])
    message = r"others is a Tensor, expected .* by its name; give a mapping, such as {\"motion\": rows}"
    with pytest.raises(TypeError, match=message):
        recognizer.classify(torch.zeros(1, 6, 32, 32, 3, dtype=torch.uint8), words)
    with pytest.raises(ValueError, match=r"eyes is 'pictures' for a model with .* of motion"):
        Recognizer(
            recognizer.model, replace(recognizer.data, eyes="pictures"), recognizer.decision
        )
    saved = recognizer.save(tmp_path / "model")
    values = read_json(saved / "recognizer.json")
    write_json(saved / "recognizer.json", values | {"motion_words": "0123456789abcdef"})
    with pytest.raises(ValueError, match=r"recognizer.json: .*not those of this version"):
        load(saved)


def test_one_pass_gives_the_frames_of_pictures_and_the_words_of_motion(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clips / "left" / "0.mp4"
    images = tmp_path / "images"
    images.mkdir()
    for number, image in enumerate(belt("right", seed=5, frames=20)):
        Image.fromarray(image).save(images / f"{number}.png")
    for part in (path, Path(f"{path}#t=0.2,0.9"), Path(f"{path}#t=0.2,0.25"), images):
        sample = read_sample(part, DATA)
        pictures = read_sample(part, replace(DATA, eyes="pictures"))
        np.testing.assert_array_equal(sample.pixels, pictures.pixels)
        np.testing.assert_array_equal(sample.indices, pictures.indices)
        np.testing.assert_array_equal(sample.times, pictures.times)
        assert (sample.size, sample.end) == (pictures.size, pictures.end)
        frames = [(time, pixels) for _, time, pixels in VideoReader(part)]
        expected = describe(eyes_of("motion"), frames, sample.times.tolist())
        np.testing.assert_array_equal(sample.eyes["motion"], expected["motion"])
    assert read_sample(path, DATA).eyes["motion"][:, 0].sum() > 100

    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))
    read = Mock(wraps=samples.read_all_frames)
    monkeypatch.setattr(samples, "read_all_frames", read)
    listed = read_set(clips).clips
    first, _ = read_clips(listed, CLASSES, DATA)
    again, _ = read_clips(listed, CLASSES, DATA)
    larger, _ = read_clips(listed, CLASSES, replace(DATA, size=24))
    assert Counter(str(call.args[0]) for call in read.call_args_list) == Counter(
        map(str, (clip.path for clip in listed))
    ), "also frames of another size do not need the motion again"
    sample = read_sample(listed[3].path, DATA)
    for stored in (first, again, larger):
        np.testing.assert_array_equal(stored.features("motion", 3), sample.eyes["motion"])
    np.testing.assert_array_equal(first[3][0], sample.pixels)
    cached = cached_read(listed[3].path, DATA)
    np.testing.assert_array_equal(cached.eyes["motion"], sample.eyes["motion"])
    np.testing.assert_array_equal(cached.pixels, sample.pixels)


def test_eyes_are_refused_where_they_have_no_effect() -> None:
    asked = Settings(ModelConfig("lstm"), DataConfig(eyes="both"), TrainConfig())
    with pytest.raises(ValueError, match="eyes has no effect in lstm"):
        complete(asked, {"eyes"})
    linear = replace(asked.model, name="linear")
    flow = Settings(linear, replace(asked.data, modality="flow"), TrainConfig())
    with pytest.raises(ValueError, match="eyes has no effect with modality flow"):
        complete(flow, {"eyes", "modality"})
    stored = Settings(linear, asked.data, TrainConfig(features=True))
    with pytest.raises(ValueError, match="eyes has no effect with features"):
        complete(stored, {"eyes", "features"})
    assert complete(stored).data.eyes == "pictures"
    by_default = replace(asked.data, eyes="pictures")
    for settings in (asked, flow, stored):
        seen = complete(
            settings._replace(data=replace(settings.data, eyes="pictures")), {"modality"}
        )
        assert seen.data.eyes == "pictures", "where it has no effect"
    assert complete(Settings(linear, by_default), set()).data.eyes == "auto"
    assert complete(Settings(linear, by_default), {"eyes"}).data.eyes == "pictures"
    assert complete(Settings(linear, by_default)).data.eyes == "pictures", "of a stored run"
    compared = settings_of("linear,lstm", Settings(linear, by_default), set())
    assert {settings.data.eyes for settings in compared.values()} == {"pictures"}
    assert complete(Settings(linear, asked.data), {"eyes"}).data.eyes == "both"
    auto = Settings(linear, replace(asked.data, eyes="auto"))
    compared = settings_of("linear,lstm", auto)
    assert {name: settings.data.eyes for name, settings in compared.items()} == {
        "linear": "both",
        "lstm": "pictures",
    }, "a comparison that is continued finds the settings of its runs"


def test_files_of_earlier_versions_have_no_eyes() -> None:
    assert "eyes" not in DataConfig().to_dict()
    assert "eyes" not in repr(DataConfig())
    assert DataConfig.from_field({"data": DataConfig().to_dict()}, "data") == DataConfig()
    assert DataConfig.from_field({"data": DATA.to_dict()}, "data") == DATA
    assert LinearClassifier.current_settings({"num_classes": 2})["motion_features"] == 0


def test_the_evidence_for_one_class_over_another_is_where_and_when_it_happens(
    run: Path,
) -> None:
    recognizer = load(run)
    halves = np.concatenate((belt("left", seed=5), belt("right", seed=7)))
    reader = VideoReader(halves, RATE)
    contrast = recognizer.contrast(reader, ("left", "right"))
    by_time = contrast.motion.sum((1, 2))
    assert (by_time[:3] > 0).all()
    assert (by_time[3:] < 0).all()
    inside = contrast.motion[:, 9:21, 10:30]  # the window of the belt, a quarter of the frame
    assert np.abs(inside).sum() > 0.5 * np.abs(contrast.motion).sum()
    assert "“left”: how things move in the center, 0." in contrast.sentence
    opposite = recognizer.contrast(reader, ("right", "left"))
    np.testing.assert_allclose(opposite.evidence, -contrast.evidence, atol=1e-5)

    sample = recognizer.read(reader)
    output = forward_samples(
        recognizer.model,
        torch.from_numpy(sample.pixels)[None],
        recognizer.data,
        others={"motion": torch.from_numpy(sample.eyes["motion"])[None]},
    )
    biases = recognizer.model.head.bias + recognizer.model.heads["motion"].bias
    logits = (output.logits[0, -1] - biases).detach() / recognizer.decision.temperature
    # 8 bits of the roots of motion words
    assert contrast.evidence.sum() == pytest.approx(
        float(logits[0] - logits[1]), rel=0.02, abs=0.02
    )
    difference = biases[0] - biases[1]
    assert contrast.constant == pytest.approx(
        float(difference.detach()) / recognizer.decision.temperature, abs=0.02
    )
    with pytest.raises(
        ValueError, match="'up' is no class of this model; there are left, right"
    ):
        recognizer.contrast(reader, ("left", "up"))
    with pytest.raises(ValueError, match="twice the class 'left', expected two different ones"):
        recognizer.contrast(reader, ("left", "left"))


def test_the_report_shows_why_clips_are_named_wrong(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    new = make_belts(tmp_path / "new", 2, first=70)
    (new / "left" / "70.mp4").rename(new / "right" / "mislabeled.mp4")
    figures = evaluate(tmp_path / "run", new)
    assert figures.correct == 3
    report = (tmp_path / "run" / "evaluation-new" / "report.html").read_text(encoding="utf-8")
    (section,) = re.findall(r">Why not the other class</h2>(.*?)<h2", report, re.DOTALL)
    assert section.count("data:image/jpeg") == 1, "the others are sure"
    caption = html.unescape(re.findall(r"<figcaption>(.*?)</figcaption>", section)[0])
    assert caption.startswith("<strong>right · right/mislabeled.mp4</strong>: left ")
    assert "Most evidence for “left”: how things move in the center" in caption


def test_the_report_shows_no_evidence_against_the_model_itself(
    run: Path, tmp_path: Path
) -> None:
    new = make_belts(tmp_path / "new", 2, first=70)
    (new / "left" / "70.mp4").rename(new / "right" / "mislabeled.mp4")
    recognizer = onlooker.load(run)
    clips, _ = read_clips(read_set(new).clips, recognizer.classes, recognizer.data)
    evaluation = recognizer.evaluate(clips)
    # as by a model of a cross-validation, which is less sure
    unsure = replace(evaluation, scores=0.9 * evaluation.scores + 0.05)
    frames_of = partial(evaluate_module._frames, recognizer.data.frames)
    ((_, caption),) = evaluate_module._contrasts(
        recognizer, clips, evaluation=unsure, frames_of=frames_of
    )
    (mistake,) = np.flatnonzero(~evaluation.correct)
    assert f"left {percent(float(evaluation.scores[mistake, 0]), 0)}," in caption
    # the final model gives another answer than the one that is explained
    other = replace(evaluation, scores=evaluation.scores[:, ::-1])
    assert not [
        *evaluate_module._contrasts(recognizer, clips, evaluation=other, frames_of=frames_of)
    ]
