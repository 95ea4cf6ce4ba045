"""The event layer finds the events of streams that are made of clips, and says how well it does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from onlooker.base.alarm_curve import AlarmCurve
from onlooker.base.decision import Decision
from onlooker.base.fisher import fisher_vector
from onlooker.base.records import Segment
from onlooker.measure.held_out import HeldOut
from onlooker.models.linear import LinearClassifier
from onlooker.stream.segmenters import WindowSegmenter
from onlooker.training import events as event_layer
from onlooker.training.background import Background, remembered
from onlooker.training.events import (
    fit_events,
    window_lengths,
)
from onlooker.training.eyes import LayerChoice, fit_eyes
from onlooker.training.fitter import SegmentLayer
from onlooker.training.footage import Footage, _with_motion, swaying, wandering
from onlooker.training.linear import SETS, Candidate, ClipStatistics, EyeVectors
from onlooker.training.regression import Method
from onlooker.training.unusual import Spread

RATE = 10.0
USUAL = 12
PICTURES = Candidate(("spread", "change", "largest"), Method("logistic", 10.0))
UNTESTED = HeldOut(np.zeros((0, 3)), np.zeros(0, np.int64), np.zeros(0, str))
CHOICE = LayerChoice(PICTURES, UNTESTED)


@given(
    st.lists(st.tuples(st.integers(2, 200), st.integers(0, 2)), min_size=1, max_size=30),
    st.integers(2, 60),
)
def test_lengths_of_windows_ascend_and_suit_the_events(
    events: list[tuple[int, int]], usual: int
) -> None:
    counts, labels = np.array(events).T
    lengths = window_lengths(counts.tolist(), labels.tolist(), usual)
    assert [*lengths] == sorted({*lengths})
    assert 2 <= lengths[0] <= lengths[-1] <= 4 * usual
    assert len(lengths) <= 6 + 3 * 5
    for label in {*labels.tolist()}:
        wanted = min(np.median(counts[labels == label]), 4 * usual)
        nearest = min(lengths, key=lambda n, wanted=wanted: abs(n - wanted))
        assert nearest == pytest.approx(wanted, rel=0.5, abs=1)


def test_a_class_that_lasts_much_longer_has_windows_of_its_own() -> None:
    usual = (10, 14, 17, 20, 23, 26)
    assert window_lengths([20, 20, 20], [0, 0, 1], 12) == usual
    assert window_lengths([20, 20, 21, 25], [0, 0, 0, 1], 12) == (10, 14, 17, 20, 24, 27)
    assert window_lengths([20, 20, 20, 36], [0, 0, 0, 1], 12) == (*usual, 30, 36, 41, 47)
    assert window_lengths([20, 20, 20, 60], [0, 0, 0, 1], 12) == (*usual, 42, 48)


def test_every_usual_length_has_a_window_near_it() -> None:
    """Where no windows of .84 and 1.15 medians end, the best IoU is .84."""
    lengths = window_lengths([200] * 3, [0] * 3, 100)
    for count in range(140, 261):
        overlap = max(min(count, length) / max(count, length) for length in lengths)
        assert overlap > 0.9


def test_people_sway_in_pauses_between_the_pictures_of_the_end_of_a_clip() -> None:
    frames = torch.arange(4.0)[:, None, None, None] + torch.zeros(4, 2, 3, 3)
    frames[:, 1] = torch.arange(9.0).view(3, 3)  # a picture that stands still
    pauses = [swaying(frames, 40, np.random.default_rng(seed)) for seed in range(30)]
    still = [pause for pause in pauses if (pause == frames[0]).all()]
    assert 2 <= len(still) <= 14
    for pause in pauses:
        assert pause.shape == (40, 2, 3, 3)
        if (pause == frames[0]).all():
            continue
        steps = pause[:, 0, 0, 0].diff().abs()
        assert steps.median() < 1.5, "half speed, and noise like changes of neighbors"
        assert pause[:, 0, 0, 0].max() > 2, "all frames of the end"
        moved = (pause[:, 1] - frames[0, 1]).abs().amax((1, 2))
        assert moved[0] == 0
        assert 0 < moved.max() < 0.3 * 4 + 1e-6, "by less than a cell"
    places = wandering(frames, 200, np.random.default_rng(0))[:, 0, 0, 0]
    assert places[0] == 0
    assert places.min() >= 0
    assert 2 < places.max() <= 3
    assert places.diff().abs().median() < 0.3


def test_in_pauses_something_moves_for_a_moment_as_in_another_clip() -> None:
    pause = torch.full((20, 1, 1, 1), 5.0)
    other = torch.linspace(70, 80, 11)[:, None, None, None]
    moved = _with_motion(pause, other, longest=4, random=np.random.default_rng(0))[:, 0, 0, 0]
    changed = np.flatnonzero(moved != 5).tolist()
    assert 1 <= len(changed) <= 3
    assert changed == [*range(changed[0], changed[-1] + 1)]
    assert 5 < moved.max() < 9, "from the first picture of the part, not the other scene"
    for longest, shown in ((1, pause), (4, pause[:1])):
        same = _with_motion(shown, other, longest=longest, random=np.random.default_rng(0))
        assert same is shown


class Made:
    """Clips of recordings with different scenes, each with two events of each class; class 2 is
    noise.

    Features come and go in an event; in one half of them, or in the other.
    """

    def __init__(
        self, recordings: int, classes: tuple[int, ...] = (0, 1), seed: int = 0
    ) -> None:
        torch.manual_seed(0)
        self.net = LinearClassifier(3, window=USUAL, size=16).eval()
        self.random = np.random.default_rng(seed)
        self.features = list[Tensor]()
        labels = list[int]()
        groups = list[str]()
        for recording in range(recordings):
            scene = self.random.normal(0, 1, self.net.encoder.num_features)
            for label in (*classes, *classes):
                self.features.append(self.act(scene, label, int(self.random.integers(14, 24))))
                labels.append(label)
                groups.append(str(recording))
        sampled = [each[np.linspace(0, len(each) - 1, USUAL).round()] for each in self.features]
        with torch.no_grad():
            x = self.net.statistics(torch.stack(sampled))[:, -1].double().numpy()
        nothing = 2 if 2 in classes else None
        self.clips = ClipStatistics(x, np.array(labels), np.array(groups), 3, nothing=nothing)
        self.made_of = {number: Footage(each) for number, each in enumerate(self.features)}
        self.classes = ("clap", "wave", "nothing" if nothing else "other")
        self.decision = Decision(self.classes, frame_rate=RATE)

    def act(self, scene: np.ndarray, label: int, count: int) -> Tensor:
        """Features `T D h w` of a clip."""
        way = np.sin(np.pi * np.linspace(0, 1, count)[:, None]) ** 2 * self.random.uniform(
            1.5, 2.5
        )
        size = len(scene) // 2
        part = np.repeat([float(label == 0), -float(label == 1)], size)
        values = scene + way * part + self.random.normal(0, 0.03, (count, len(scene)))
        return torch.from_numpy(values.astype(np.float32))[..., None, None].expand(
            -1, -1, *self.net.grid
        )

    def fit(self) -> AlarmCurve | None:
        """Fit the event layer, and set it; its curve."""
        layer = self.layer()
        if layer is None:
            return None
        self.net.set_heads(layer.heads, layer.lengths)
        return layer.decision.curve

    def foreign(self, scene: np.ndarray, count: int) -> Tensor:
        """Features of a recording in which other things happen than in the clips."""
        parts = list[Tensor]()
        for _ in range(count):
            clip = self.act(scene, 2, int(self.random.integers(14, 24)))
            bump = np.sin(np.pi * np.linspace(0, 1, len(clip))) ** 2 * self.random.uniform(
                1.5, 2.5
            )
            other = np.resize([1.0, 0.0], len(scene))
            way = torch.from_numpy((bump[:, None] * other).astype(np.float32))[..., None, None]
            parts += [clip[:1].expand(15, -1, -1, -1), clip + way]
        return torch.cat(parts)

    def layer(
        self, background: Background | None = None, choice: LayerChoice = CHOICE
    ) -> SegmentLayer | None:
        return fit_events(
            self.net,
            self.clips,
            choice,
            stream_clips=self.made_of,
            decision=self.decision,
            background=background,
        )


def of_stream(made: Made, labels: tuple[int, ...]) -> tuple[Tensor, list[Segment]]:
    """Clips of a new scene, with pauses, and the true events."""
    scene = made.random.normal(0, 1, made.net.encoder.num_features)
    parts = list[Tensor]()
    true = list[Segment]()
    for label in labels:
        clip = made.act(scene, label, int(made.random.integers(14, 24)))
        at = sum(map(len, parts)) + 15
        true.append(Segment(made.classes[label], at / RATE, (at + len(clip)) / RATE))
        parts += [clip[:1].expand(15, -1, -1, -1), clip, clip[-1:].expand(15, -1, -1, -1)]
    return torch.cat(parts), [each for each in true if each.label != "nothing"]


@pytest.mark.parametrize("classes", [(0, 1), (0, 1, 2)])
def test_nearly_all_events_of_other_recordings_are_found_and_the_curve_says_so(
    classes: tuple[int, ...],
) -> None:
    made = Made(5, classes)
    fit_eyes(made.net, made.clips, CHOICE)
    curve = made.fit()
    place = curve.operating_point(6.0)
    assert curve.recall[place] > 0.9
    assert curve.alarms_per_hour[place] <= 6
    assert curve.misnamed[place] < 0.1
    assert abs(curve.median_delay) < 0.6
    seconds = sum(map(len, made.features)) / RATE
    assert 0.2 * seconds < 3600 * curve.hours < 5 * seconds
    acted = made.clips.y != made.clips.nothing
    counts = [len(clip.features) for number, clip in made.made_of.items() if acted[number]]
    assert made.net.lengths == window_lengths(counts, [0] * len(counts), USUAL)
    # And the model finds the events of another stream.
    features, true = of_stream(made, (*classes, *classes[::-1], *classes))
    with torch.no_grad():
        windows = made.net.forward_features(features[None]).windows
    finder = WindowSegmenter(made.decision, made.net.lengths, curve.threshold(6.0))
    found = finder.find([t / RATE for t in range(len(features))], windows.scores[0].numpy())
    assert [event.label for event in found] == [event.label for event in true]
    for mine, theirs in zip(found, true, strict=True):
        both = min(mine.end, theirs.end) - max(mine.start, theirs.start)
        assert both > 0.5 * (max(mine.end, theirs.end) - min(mine.start, theirs.start))


class Turning(Made):
    """Two classes that differ in order alone: one half of the features comes and goes, then the
    other.
    """

    def act(self, scene: np.ndarray, label: int, count: int) -> Tensor:
        begins = np.array([0, 0.35] if label == 0 else [0.35, 0]).repeat(len(scene) // 2)
        times = np.linspace(0, 1, count)[:, None]
        way = np.sin(np.pi * ((times - begins) / 0.65).clip(0, 1)) ** 2
        values = scene + way * self.random.uniform(1.5, 2.5)
        values += self.random.normal(0, 0.03, values.shape)
        features = torch.from_numpy(values.astype(np.float32))
        return features[..., None, None].expand(-1, -1, *self.net.grid)


@pytest.mark.parametrize("moved", [-0.25, 0.25])
def test_events_are_named_right_by_windows_that_miss_a_quarter(moved: float) -> None:
    made = Turning(5)
    candidate = Candidate(SETS["changes and order"], Method("logistic", 10.0))
    choice = replace(CHOICE, candidate=candidate)
    fit_eyes(made.net, made.clips, choice)
    layer = made.layer(choice=choice)
    assert layer is not None
    made.net.set_heads(layer.heads, layer.lengths)
    right = list[bool]()
    for _ in range(6):
        features, true = of_stream(made, (0, 1))
        with torch.no_grad():
            windows = made.net.forward_features(features[None]).windows
        for event in true:
            begin, end = event.start * RATE, event.end * RATE
            place = int(np.abs(np.array(made.net.lengths) - (end - begin)).argmin())
            middle = (begin + end) / 2 + moved * (end - begin)
            last = round(middle + made.net.lengths[place] / 2) - 1
            scores = windows.scores[0, last, place, :2]
            right.append(made.classes[int(scores.argmax())] == event.label)
    assert np.mean(right) > 0.85  # half or less by whole clips alone


def test_what_cannot_be_divided_has_no_curve() -> None:
    single = Made(1)
    assert single.fit() is None, "a single recording"
    assert single.net.heads["event"].weight.any()
    made = Made(4, (0, 1, 2))
    clips = made.made_of
    nothing = made.clips.y == 2
    made.made_of = {number: clip for number, clip in clips.items() if nothing[number]}
    assert made.fit() is None, "clips of nothing alone"
    assert made.net.lengths == ()
    others = nothing | (made.clips.groups != "3")
    made.made_of = {number: clip for number, clip in clips.items() if others[number]}
    assert made.fit() is not None, "a recording of nothing alone is no error"


def test_events_that_look_like_nothing_are_not_found_and_the_curve_says_so() -> None:
    """Features are noise, whatever the class is."""
    made = Made(5, (0, 1, 2))
    scene = np.zeros(made.net.encoder.num_features)
    made.made_of = {
        number: Footage(made.act(scene, 2, len(clip.features)))
        for number, clip in made.made_of.items()
    }
    curve = made.fit()
    place = None if curve is None else curve.operating_point(6.0)
    assert place is None or curve.recall[place] < 0.5


def test_it_is_the_same_each_time_and_changes_no_model() -> None:
    first = Made(3)
    second = Made(3)
    layer = first.layer()
    assert first.net.lengths == ()
    torch.testing.assert_close(first.net.state_dict(), second.net.state_dict(), rtol=0, atol=0)
    same = second.layer()
    assert (layer.lengths, layer.decision.curve) == (same.lengths, same.decision.curve)
    assert layer.heads.keys() == same.heads.keys()
    for name, head in layer.heads.items():
        theirs = same.heads[name]
        torch.testing.assert_close(head.state_dict(), theirs.state_dict(), rtol=0, atol=0)
        assert head.limit == theirs.limit


def test_what_happens_in_the_background_is_no_event_and_the_rest_of_it_is_quiet_time() -> None:
    made = Made(recordings=8)
    scene = made.random.normal(0, 1, made.net.encoder.num_features)
    pieces = {Path(str(number)): made.foreign(scene, 12) for number in range(4)}
    new = made.foreign(scene, 30)
    read = list[Path]()

    def features(path: Path) -> Footage:
        read.append(path)
        return Footage(pieces[path])

    fitted, held_out = [*pieces][:2], [*pieces][2:]
    without = made.layer()
    with_background = made.layer(Background(fitted, held_out, features))
    assert without is not None
    assert with_background is not None
    assert read == [*fitted, *held_out], "each once, also for two rounds"
    alarms = list[int]()
    for layer in (without, with_background):
        layer.heads["window"].limit = None
        made.net.set_heads(layer.heads, layer.lengths)
        assert layer.decision.curve is not None
        with torch.no_grad():
            windows = made.net.forward_features(new[None].float()).windows
        assert windows is not None
        decision = Decision(made.classes, curve=layer.decision.curve)
        finder = WindowSegmenter(decision, layer.lengths, decision.event_threshold())
        scores = decision.calibrated(windows.scores)[0].numpy()
        alarms.append(len(finder.find((np.arange(len(new)) / RATE).tolist(), scores)))
    assert alarms[0] > 5 > alarms[1]
    quiet = sum(len(pieces[path]) for path in held_out) / RATE / 3600
    assert with_background.decision.curve.hours == pytest.approx(
        without.decision.curve.hours + quiet
    )
    point = with_background.decision.curve.operating_point(6)
    assert with_background.decision.curve.recall[point] > 0.8


def test_features_of_the_background_stay_in_memory_up_to_a_limit() -> None:
    read = list[Path]()

    def features(path: Path) -> Footage:
        read.append(path)
        return Footage(torch.full((3,), float(path.name), dtype=torch.float16))

    paths = [Path(str(number)) for number in range(4)]
    read_once = remembered(features, most_bytes=15)
    for _ in range(3):
        assert [read_once(path)[0][0] for path in paths] == [0, 1, 2, 3]
    assert read == [*paths, *paths[2:], *paths[2:]]


@pytest.mark.parametrize("sees_motion", [False, True])
def test_events_that_look_alike_are_named_by_their_motion(sees_motion: bool) -> None:
    made = Made(5)
    F = 8
    y = made.clips.y
    for number, clip in made.made_of.items():
        # pictures of one class for both: the other half of the features never changes
        scene = clip.features[0, :, 0, 0].double().numpy()
        look_alike = made.act(scene, 0, len(clip.features))
        words = torch.zeros(1 + F)
        words[0] = 3
        words[1 + int(y[number]) :: 2] = 30.0
        motion = torch.zeros(len(look_alike), 1 + F)
        motion[len(look_alike) // 2] = words
        made.made_of[number] = Footage(look_alike, {"motion": motion})
    sampled = [
        clip.features[np.linspace(0, len(clip.features) - 1, USUAL).round()]
        for clip in made.made_of.values()
    ]
    with torch.no_grad():
        x = made.net.statistics(torch.stack(sampled))[:, -1].double().numpy()
    vectors = np.stack(
        [fisher_vector(clip.eyes["motion"].sum(0).numpy()) for clip in made.made_of.values()]
    )
    motion = EyeVectors(vectors.astype(np.float64), np.eye(F))
    made.clips = made.clips._replace(x=x, eyes={"motion": motion}, requested="both")
    choice = CHOICE
    if sees_motion:
        choice = replace(CHOICE, factors={"pictures": 1.0, "motion": 1.0})
    fit_eyes(made.net, made.clips, choice)
    layer = made.layer(choice=choice)
    assert layer is not None
    window = layer.heads["window"]
    if sees_motion:  # two vectors, as far from their mean as the square root of their variance
        gain, factor = window.motion_factors.tolist()
        assert gain == 1
        limit = window.limit / (factor * Spread.of(motion.x).square)
        assert limit == pytest.approx(1, abs=0.3)
    else:
        assert not hasattr(window, "motion_factors")
    assert layer.decision.curve is not None
    curve = layer.decision.curve
    found = curve.recall[curve.operating_point(6)]
    if not sees_motion:
        assert found < 0.6
        assert curve.misnamed[0] > 0.25, "pictures do not tell the classes"
        return
    assert found > 0.8
    assert curve.misnamed[0] < 0.05
    window.limit = None
    made.net.set_heads({name: layer.heads[name] for name in ("event", "window")}, layer.lengths)
    for number in (0, int(np.flatnonzero(y == 1)[0])):
        features, rows, _ = made.made_of[number]
        with torch.no_grad():
            windows = made.net.forward_features(
                features[None], {"motion": rows["motion"][None]}
            ).windows
        assert windows is not None
        complete = sum(length <= len(features) for length in layer.lengths)
        assert (windows.logits[0, -1, :complete].argmax(-1) == y[number]).all()


def test_in_recordings_of_another_place_nothing_is_an_event() -> None:
    """Everything there is larger."""
    made = Made(recordings=8)
    layer = made.layer()
    features, _ = of_stream(made, (0, 1, 1, 0))
    other_place = 20 * made.foreign(made.random.normal(0, 1, made.net.encoder.num_features), 30)
    counts = list[tuple[int, int]]()
    for farthest in (None, layer.heads["window"].limit):
        layer.heads["window"].limit = farthest
        made.net.set_heads(layer.heads, layer.lengths)
        finder = WindowSegmenter(made.decision, layer.lengths, 0.5)
        with torch.no_grad():
            counts.append(
                tuple(
                    len(
                        finder.find(
                            [t / RATE for t in range(len(shown))],
                            made.net.forward_features(shown[None]).windows.scores[0].numpy(),
                        )
                    )
                    for shown in (features, other_place)
                )
            )
    assert counts[0][0] == counts[1][0] == 4
    assert counts[0][1] > 10
    assert counts[1][1] == 0


def test_layers_fitted_to_a_sample_of_many_clips_have_its_temperature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Made(3)
    fitted = list[tuple[int, float]]()
    fit = event_layer._fit_layers

    def noted(event_fit: Any, windows: Any) -> Any:
        fitted.append((len(event_fit.clips.y), event_fit.choice.temperature))
        return fit(event_fit, windows)

    monkeypatch.setattr(event_layer, "_fit_layers", noted)
    made.layer(choice=replace(CHOICE, temperature=0.5, sample_temperature=2.0))
    # three folds and all clips, for complete streams; and again, for those that lack frames
    assert len(fitted) == 8
    assert fitted[0] == (len(made.clips.y), 0.5)
    assert {temperature for _, temperature in fitted[1:]} == {2.0}


class Moving(Made):
    """All features move in an event: to another value in each frame, or in each sixth one, so that
    between frames that are apart, fast looks slow.
    """

    def act(self, scene: np.ndarray, label: int, count: int) -> Tensor:
        every = (1, 6)[label]
        values = self.random.normal(0, 2, (count // every + 2, len(scene)))
        moving = np.stack(
            [
                np.interp(np.arange(count) / every, np.arange(len(values)), column)
                for column in values.T
            ],
            1,
        )
        moving *= np.sin(np.pi * np.linspace(0, 1, count)[:, None])
        values = scene + moving + self.random.normal(0, 0.03, moving.shape)
        return torch.from_numpy(values.astype(np.float32))[..., None, None].expand(
            -1, -1, *self.net.grid
        )


def test_events_of_a_stream_that_lacks_frames_are_found_by_layers_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Moving(4)
    fit_eyes(made.net, made.clips, CHOICE)
    layer = made.layer()
    assert layer is not None
    made.net.set_heads(layer.heads, layer.lengths)
    features, true = of_stream(made, (0, 1, 1, 0, 1, 0, 0, 1))
    shares = dict[tuple[bool, bool], float]()
    for lacks_frames in (False, True):
        shown = lacking(features, phase=1) if lacks_frames else features
        for sparse in (False, True):
            with torch.no_grad():
                windows = made.net.score_windows(
                    made.net.window_statistics(shown[None]),
                    torch.arange(1, len(shown) + 1),
                    low_rate=sparse,
                )
            decision = Decision(made.classes, curve=layer.decision.curve)
            events = WindowSegmenter(decision, made.net.lengths, 0.5).find(
                [t / RATE for t in range(len(shown))],
                decision.calibrated(windows.scores)[0].numpy(),
            )
            right = [
                any(
                    event.label == act.label
                    and min(event.end, act.end) > max(event.start, act.start)
                    for event in events
                )
                for act in true
            ]
            shares[lacks_frames, sparse] = sum(right) / len(true)
    assert shares[False, False] == 1
    assert shares[True, False] < 0.7
    assert shares[True, True] > 0.8
    # the layers for complete streams do not depend on the others
    monkeypatch.setattr(event_layer, "_low_rate_heads", lambda *_, **__: {})
    alone = made.layer()
    assert alone is not None
    assert alone.heads.keys() == {"event", "window"}
    for name, head in alone.heads.items():
        complete = layer.heads[name]
        torch.testing.assert_close(head.state_dict(), complete.state_dict(), rtol=0, atol=0)
        assert head.limit == complete.limit
    assert alone.decision.curve == layer.decision.curve


def test_distances_that_a_model_cannot_hold_are_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of two recordings may have an upper bound of any size."""
    made = Moving(2)
    fit_eyes(made.net, made.clips, CHOICE)
    layer = made.layer()
    assert layer is not None
    assert "low_rate_event" in layer.heads
    monkeypatch.setattr(event_layer, "usual_limit", lambda *_: 1e300)
    without = made.layer()
    assert without is not None
    assert without.heads.keys() == {"event", "window"}


def lacking(features: Tensor, phase: int) -> Tensor:
    """Features `T D h w`, where each third frame arrives, and those between are means."""
    arrived = [0, *range(phase, len(features), 3)]
    places = np.arange(len(features)).clip(max=arrived[-1])
    rows = features.flatten(1).numpy()[arrived]
    columns = [np.interp(places, arrived, column) for column in rows.T]
    return torch.from_numpy(np.stack(columns, 1).astype(np.float32)).reshape(features.shape)
