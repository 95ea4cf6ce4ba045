"""Clips whose classes differ by the texture of something small that moves: the crop around it is
chosen, and the trained model answers alike everywhere.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import onlooker
import onlooker.recognizer
from onlooker.base.config import DataConfig, StreamConfig
from onlooker.base.records import Pixels, Segment, Step
from onlooker.data.clips import cached_read, read_clips
from onlooker.data.samples import read_sample
from onlooker.data.sets import read_set
from onlooker.export import export
from onlooker.models.linear import LinearClassifier
from onlooker.recognizer import load
from onlooker.run.record import RunRecord
from onlooker.training import eyes
from onlooker.training.linear import altered_copies, statistics_of
from onlooker.training.states import _features, slots
from onlooker.video.reader import VideoReader
from onlooker.video.write import write

H, W, SIDE, FPS, FRAMES = 240, 320, 32, 10, 14
CLASSES = ("across", "upright")
SETTINGS = {"encoder": "conv4", "frames": 8, "size": 32}


def images(label: str, seed: int, *, still: int = 0) -> Pixels:
    """A small striped square that wobbles; `still`: frames before and after, without motion."""
    random = np.random.default_rng(seed)
    background = np.kron(random.integers(70, 150, (H // 16, W // 16, 3)), np.ones((16, 16, 1)))
    stripes = np.tile(np.repeat([20, 230], 4), SIDE // 8)
    texture = (
        np.tile(stripes, (SIDE, 1)) if label == "upright" else np.tile(stripes, (SIDE, 1)).T
    )
    left, top = random.integers(12, W - SIDE - 12), random.integers(12, H - SIDE - 12)
    frames = list[np.ndarray]()
    for t in range(FRAMES + 2 * still):
        moment = np.clip(t - still, 0, FRAMES)
        x, y = left + round(7 * np.sin(moment)), top + round(7 * np.cos(1.6 * moment))
        frame = background.copy()
        frame[y : y + SIDE, x : x + SIDE] = texture[..., None]
        frames.append(frame + random.normal(0, 2, frame.shape))
    return np.stack(frames).clip(0, 255).astype(np.uint8)


def make(folder: Path, count: int, *, first: int = 0) -> Path:
    for place, label in enumerate(CLASSES):
        for number in range(count):
            path = folder / label / f"{first + number}.mp4"
            write(path, images(label, 1000 * place + first + number), fps=FPS)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("striped"), 6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eyes, "FOLDS", 2)
        patch.setattr(eyes, "INNER_FOLDS", 2)
        onlooker.train(clips, folder, eyes="auto", quiet=True, **SETTINGS)
    return folder


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    folder = tmp_path_factory.mktemp("both") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eyes, "FOLDS", 2)
        patch.setattr(eyes, "INNER_FOLDS", 2)
        onlooker.train(clips, folder, eyes="pictures+actor", quiet=True, **SETTINGS)
    return folder


def test_the_crop_is_chosen_where_the_frame_does_not_show_the_class(run: Path) -> None:
    figures = onlooker.TrainedRun.read(run).figures
    assert figures is not None
    assert figures.tried is not None
    views = {tried.candidate: tried for tried in figures.tried if tried.choice == "views"}
    assert views.keys() == {"pictures", "actor", "pictures+actor"}
    assert views["pictures"].accuracy is not None
    assert views["pictures"].accuracy < 0.9
    assert figures.accuracy > 0.9, "chosen again in each fold"
    assert "actor" in RunRecord.read(run).settings.data.eyes
    assert "views actor" in str(figures.chosen)
    assert "actor" in load(run).data.views


def test_what_acts_in_all_of_the_frame_is_not_cropped(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for label in CLASSES:
        for number in range(3):
            frames = random.integers(0, 256, (8, 32, 32, 3), np.uint8)
            write(tmp_path / "clips" / label / f"{number}.mp4", frames, fps=FPS)
    trained = onlooker.train(
        tmp_path / "clips", tmp_path / "run", encoder="conv4", frames=4, size=16, quiet=True
    )
    assert trained.figures is not None
    assert not [row for row in trained.figures.tried or () if row.choice == "views"]
    assert RunRecord.read(tmp_path / "run").settings.data.views == ("pictures",)


@pytest.mark.parametrize("setting", ["actor", "pictures+actor", "all"])
def test_cached_samples_equal_those_that_are_read(clips: Path, setting: str) -> None:
    path = clips / "across" / "1.mp4"
    config = DataConfig(frames=8, size=32, eyes=setting)  # type: ignore[arg-type]
    sample = read_sample(path, config)
    assert sample.pixels.shape == (8, 32, 32, config.in_channels)
    assert sample.frames.shape == (8, 32, 32, 3)
    assert sample.crops is not None
    assert (sample.crops[:, 2:] - sample.crops[:, :2]).max() < 140
    for _ in range(2):
        cached = cached_read(path, config)
        for name in ("pixels", "frames", "crops", "times"):
            np.testing.assert_array_equal(getattr(cached, name), getattr(sample, name))


def test_copies_have_other_crops_and_stay_in_their_group(clips: Path) -> None:
    listed = read_set(clips).clips[:4]
    config = DataConfig(frames=4, size=32, eyes="actor", normalization="half")
    samples, _ = read_clips(listed, CLASSES, config)
    copies = [samples.copy(config, number) for number in (1, 2)]
    for number in range(4):
        pixels = [some[number][0] for some in (samples, *copies)]
        assert not torch.equal(pixels[0], pixels[1])
        assert not torch.equal(pixels[1], pixels[2])
    net = LinearClassifier(2, "conv4", window=4, size=32)
    groups = ["a", "a", "b", "b"]
    samples.targets = [0, 1, 0, 1]
    encoded, _ = statistics_of(net, samples, groups, data=config, recropped=copies)
    assert len(encoded.copies) == 3
    plain, _ = statistics_of(net, samples, groups, data=config)
    assert not np.allclose(encoded.copies[0], plain.copies[0])
    np.testing.assert_allclose(encoded.copies[2], plain.copies[2], rtol=1e-5)
    assert len([*altered_copies(samples[0][0][None])]) == 3


def test_equal_views_are_encoded_once() -> None:
    torch.manual_seed(0)
    net = LinearClassifier(2, "conv4", window=4, size=32, in_channels=6, views=2).eval()
    frames = torch.rand(5, 6, 32, 32)
    frames[:3, 3:] = frames[:3, :3]
    counts = list[int]()
    encoder = net.encoder
    assert isinstance(encoder, torch.nn.Module)
    encoder.register_forward_hook(lambda *given: counts.append(len(given[2])))
    features = net.encode(frames)
    assert counts == [5 + 2]
    expected = torch.cat([encoder(frames[:, :3]), encoder(frames[:, 3:])], 1)
    torch.testing.assert_close(features, expected)


def test_new_clips_are_answered_alike_from_files_and_lists(both: Path, tmp_path: Path) -> None:
    recognizer = load(both)
    new = make(tmp_path / "new", 2, first=50)
    predictions = [
        recognizer.predict(path)
        for label in CLASSES
        for path in sorted((new / label).iterdir())
    ]
    assert all(answer.label == answer.path.parent.name for answer in predictions)
    evaluation = recognizer.evaluate(new)
    np.testing.assert_allclose(evaluation.scores, [p.scores for p in predictions], atol=1e-5)


def test_boxes_and_attention_are_in_the_frame(run: Path, both: Path) -> None:
    frames = images("upright", 77)
    expected = np.abs(frames.astype(float) - np.median(frames, 0)).mean((0, 3)) > 20
    y, x = (places.mean() for places in np.nonzero(expected))
    for path in (run, both):
        prediction = load(path).predict_clip(VideoReader(frames, FPS))
        assert prediction.attention is not None
        assert prediction.attention.shape[1:] == (30, 40)
        np.testing.assert_allclose(prediction.attention.sum((1, 2)), 1, atol=1e-4)
        x1, y1, x2, y2 = prediction.tubes[0].boxes.mean(0)
        assert x1 < x < x2
        assert y1 < y < y2
        assert x2 - x1 < 100
        contrast = load(path).contrast(VideoReader(frames, FPS), CLASSES)
        row, column = np.unravel_index(np.abs(contrast.pictures).sum(0).argmax(), (30, 40))
        if path == run:
            assert abs(8 * column - x) < 70
            assert abs(8 * row - y) < 70


def plain(segments: Sequence[Segment]) -> list[tuple[str, float, float]]:
    return [(segment.label, segment.start, segment.end) for segment in segments]


def outcome(steps: Sequence[Step]) -> np.ndarray:
    return np.stack([step.scores for step in steps])


def test_a_recording_is_answered_as_the_stream_sees_it(
    both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = load(both)
    parts = [images(CLASSES[number % 2], 300, still=12) for number in range(4)]
    write(tmp_path / "day.mp4", np.concatenate(parts), fps=FPS)
    prediction, live = recognizer.predict_recording(tmp_path / "day.mp4")
    assert live
    steps = [*recognizer.watch(str(tmp_path / "day.mp4"), StreamConfig())]
    assert plain([event for step in steps for event in step.events]) == plain(live)
    shown = [step for step in steps if step.pixels is not None]
    monkeypatch.setattr(onlooker.recognizer, "_PIECE", 3.0)
    again = recognizer.predict(tmp_path / "day.mp4")
    assert plain(again.segments) == plain(prediction.segments)
    # frames that a program hands to a stream
    streams = recognizer.streams()
    indices = [step.index for step in shown]
    own = [
        streams.step({"": (index, time, pixels)})[""]
        for index, time, pixels in VideoReader(tmp_path / "day.mp4")
        if index in indices
    ]
    np.testing.assert_allclose(outcome(shown), outcome(own), atol=1e-6)
    assert [step.boxes for step in own if step.boxes]
    for step, same in zip(shown, own, strict=True):
        assert [b.corners for b in step.boxes] == [b.corners for b in same.boxes]


def test_ten_streams_are_answered_as_one(both: Path) -> None:
    recognizer = load(both)
    videos = {str(seed): images(CLASSES[seed % 2], seed) for seed in range(3)}
    together = recognizer.streams()
    alone = {name: recognizer.streams() for name in videos}
    for t in range(8):
        frames = {name: (t, t / FPS, video[t]) for name, video in videos.items()}
        steps = together.step(frames)
        for name, frame in frames.items():
            step = alone[name].step({name: frame})[name]
            np.testing.assert_allclose(steps[name].scores, step.scores, atol=1e-5)
            assert [b.corners for b in steps[name].boxes] == [b.corners for b in step.boxes]


@pytest.mark.slow
def test_it_is_saved_and_exported(both: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    recognizer = load(both)
    recognizer.save(tmp_path / "model")
    assert load(tmp_path / "model").model.views == 2
    folder = export(recognizer, tmp_path / "export")
    described = (folder / "step.json").read_text()
    assert '"views"' in described


def test_states_are_fitted_to_the_crops_that_streams_show(tmp_path: Path) -> None:
    rows = ["path,start,end,label"]
    for seed in range(4):
        labels = [CLASSES[(number + seed) % 2] for number in range(6)]
        parts = [images(label, 500 + seed) for label in labels]
        write(tmp_path / f"{seed}.mp4", np.concatenate(parts), fps=FPS)
        seconds = FRAMES / FPS
        rows += [
            f"{seed}.mp4,{number * seconds:.1f},{(number + 1) * seconds:.1f},{label}"
            for number, label in enumerate(labels)
        ]
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    trained = onlooker.train(
        tmp_path / "list.csv",
        tmp_path / "run",
        eyes="actor",
        when="states",
        quiet=True,
        **SETTINGS,
    )
    assert trained.figures is not None
    assert trained.figures.states is not None
    recognizer = load(tmp_path / "run")
    prediction = recognizer.predict(tmp_path / "0.mp4")
    middles = [(number + 0.5) * FRAMES / FPS for number in range(6)]
    found = [
        segment.label
        for middle in middles
        for segment in prediction.segments
        if segment.start <= middle < segment.end
    ]
    assert found == [CLASSES[number % 2] for number in range(6)]
    # features of training and of streams
    reader = VideoReader(tmp_path / "0.mp4")
    assert recognizer.decision.frame_rate is not None
    indices, _ = slots(reader.times, recognizer.decision.frame_rate, 8)
    net = recognizer.model
    assert isinstance(net, LinearClassifier)
    features = torch.cat([*_features(net, reader, indices, data=recognizer.data)])
    streams = recognizer.streams()
    shown = list[torch.Tensor]()
    for index, time, pixels in reader:
        if index in indices:
            streams.step({"": (index, time, pixels)})
            frame = streams.memories[""].frame
            assert frame is not None
            shown.append(frame.features)
    torch.testing.assert_close(features, torch.cat(shown), rtol=1e-4, atol=1e-4)
