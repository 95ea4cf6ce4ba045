"""Metrics compared with NumPy and published intervals, calibration with naive versions; degenerate
cases.
"""

import csv
from dataclasses import replace

import numpy as np
import pytest

from onlooker.base.decision import Decision
from onlooker.base.records import Evaluation
from onlooker.measure.metrics import (
    accuracy_interval,
    balancing_weights,
    calibration_error,
    confidence_bins,
    fit_temperature,
    labels_to_check,
    measure,
    perfect_calibration_error,
    read_scores,
    wilson_interval,
    write_scores,
)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def made(videos, classes, seed=0, **changes):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, videos)
    helped = 1.5 * np.eye(classes)[targets]
    frames = tuple(
        softmax(rng.normal(size=(rng.integers(1, 6), classes)) + row).astype(np.float32)
        for row in helped
    )
    values = {
        "names": tuple(f"clip{i}.mp4" for i in range(videos)),
        "decision": Decision([f"class {k}" for k in range(classes)]),
        "targets": targets,
        "scores": softmax(rng.normal(size=(videos, classes)) + helped).astype(np.float32),
        "frame_scores": frames,
    }
    return Evaluation(**values | changes)


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)],
)
def test_wilson_interval_equals_newcombes_table(right, total, low, high):
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    assert wilson_interval(right / total, total) == pytest.approx((low, high), abs=5e-5)


def test_an_interval_is_of_recordings():
    rng = np.random.default_rng(3)
    recordings = rng.integers(0, 12, 90)
    correct = rng.random(90) < rng.random(12)[recordings]
    low, high = accuracy_interval(correct, recordings)
    assert low < correct.mean() < high
    # clips of a recording are alike
    assert high - low > 1.5 * np.ptp(wilson_interval(correct.mean(), 90))
    # the order of the clips and the names of recordings do not count
    order = rng.permutation(90)
    names = np.array([f"camera {number}" for number in rng.permutation(12)])[recordings]
    assert accuracy_interval(correct[order], names[order]) == pytest.approx((low, high))
    # the same clips again say little new
    assert accuracy_interval(np.repeat(correct, 5), np.repeat(recordings, 5)) == pytest.approx(
        (low, high), abs=0.03
    )
    # clips of their own are independent trials
    for right, total in (81, 263), (15, 148), (300, 1000):
        alone = accuracy_interval(np.arange(total) < right, np.arange(total))
        assert alone == pytest.approx(wilson_interval(right / total, total), abs=0.01)


def naive_interval(right, wrong):
    """Clips of a recording are drawn from Pólya's urn, one after another."""
    p = (np.arange(400) + 0.5) / 400
    correlations = np.array([0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75])
    posterior = np.zeros(len(p))
    for correlation, width in zip(correlations, np.gradient(correlations), strict=True):
        balls = 1 / correlation - 1
        product = width * (1 - correlation) ** 0.5 * (p * (1 - p)) ** -0.3
        for r, w in zip(right, wrong, strict=True):
            for i in range(r):
                product *= (p * balls + i) / (balls + i)
            for j in range(w):
                product *= ((1 - p) * balls + j) / (balls + r + j)
        posterior += product
    return np.interp((0.025, 0.975), np.cumsum(posterior) / posterior.sum(), p + 1 / 800)


def test_an_interval_is_that_of_polyas_urn():
    right, wrong = [5, 2, 7, 3], [1, 2, 0, 3]
    recordings = np.repeat(np.tile(range(4), 2), [*right, *wrong])
    correct = np.repeat([1, 0], [sum(right), sum(wrong)])
    expected = naive_interval(right, wrong)
    assert accuracy_interval(correct, recordings) == pytest.approx(expected, abs=1e-6)


def test_intervals_of_one_recording_and_of_recordings_that_are_all_alike():
    parts = [f"recording {name}#part=" for name in "abcd"]
    for recordings in (["a"] * 4, parts):  # divided for training and test
        assert accuracy_interval([1, 0, 1, 1], recordings) is None
    assert accuracy_interval([1, 0, 1, 1, 0], [*parts[:2], "x", "y", "z"]) is not None
    low, high = accuracy_interval([1, 0, 1, 1], ["a", "a", "b", "b"])
    assert high - low > 0.6
    assert accuracy_interval([1] * 60, [*range(20)] * 3) == pytest.approx((0.92, 1), abs=0.01)
    low, high = accuracy_interval([1] * 12, ["a"] * 4 + ["b"] * 4 + ["c"] * 4)
    assert low < 0.65
    assert high == 1
    low, high = accuracy_interval([0] * 12, ["a"] * 4 + ["b"] * 4 + ["c"] * 4)
    assert low == 0
    assert high > 0.35
    measured = measure(made(6, 2, recordings=("one",) * 6))
    assert measured.recordings == 1
    assert measured.accuracy_interval is None


@pytest.mark.parametrize("thresholds", [[np.nan], [0.4], [np.nan, 0.3, 0.6]], ids=str)
def test_every_figure_equals_numpy_also_for_answers_by_a_threshold(tmp_path, thresholds):
    plain = made(60, 3, decision=Decision(("walk", "nothing", "fall")))
    minimums = np.resize(thresholds, 60)
    evaluation = replace(plain, thresholds=minimums)

    def answer(scores, minimum):
        if np.isnan(minimum):
            return int(scores.argmax())
        event = 2 * int(scores[2] > scores[0])
        return event if scores[event] >= minimum else 1

    truth = plain.targets
    answers = np.array([*map(answer, plain.scores, minimums)])
    frames = [
        answer(of_frame, minimum) == target
        for scores, minimum, target in zip(plain.frame_scores, minimums, truth, strict=True)
        for of_frame in scores
    ]
    measured = measure(evaluation)
    right = answers == truth
    assert measured.accuracy == right.mean()
    assert (measured.frames, measured.frame_accuracy) == (len(frames), np.mean(frames))
    assert measured.accuracy_interval == accuracy_interval(right, range(60))
    assert measured.majority_share == pytest.approx(np.bincount(truth).max() / 60)
    assert measured.confusion == [
        [int(((truth == i) & (answers == j)).sum()) for j in range(3)] for i in range(3)
    ]
    recalls = [right[truth == k].mean() for k in range(3)]
    assert list(measured.class_accuracy.values()) == recalls
    confidence = plain.scores[np.arange(60), answers]
    bins = np.argsort(confidence).reshape(5, 12)
    error = np.abs(right[bins].mean(1) - confidence[bins].mean(1)).mean()
    assert measured.calibration_error == pytest.approx(error, abs=1e-6)
    log_loss = -np.log(plain.scores[np.arange(60), truth]).mean()
    assert measured.log_loss == pytest.approx(log_loss), "of probabilities alone"
    write_scores(tmp_path / "scores.csv", evaluation)
    assert [clip.correct for clip in read_scores(tmp_path / "scores.csv")] == [*right]
    doubtful = {row.name: row.predicted for row in labels_to_check(evaluation)}
    mistakes = np.flatnonzero(~right)
    assert doubtful == {plain.names[i]: plain.classes[answers[i]] for i in mistakes}


def test_a_mistake_with_probability_one_has_a_finite_loss():
    measured = measure(made(1, 2, targets=np.array([1]), scores=np.array([[1, 0]], np.float32)))
    assert measured.accuracy == 0
    assert measured.calibration_error == pytest.approx(1)
    assert 80 < measured.log_loss < 100


def test_an_answer_of_nothing_that_is_no_class_has_a_column():
    scores = np.array([[0.9, 0.1], [0.55, 0.45], [0.2, 0.8]], np.float32)
    measured = measure(
        made(
            3,
            2,
            scores=scores,
            targets=np.array([0, 0, 1]),
            decision=Decision(("class 0", "class 1"), threshold=0.6),
        )
    )
    assert measured.classes == ["class 0", "class 1", "nothing"]
    assert measured.confusion == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert measured.class_accuracy == {"class 0": 0.5, "class 1": 1.0, "nothing": None}
    assert measured.accuracy == pytest.approx(2 / 3)


def test_written_scores_can_be_read_back(tmp_path):
    evaluation = made(3, 2, names=("a,b.mp4", '=say("hi").mp4', "приём.mp4"))
    path = tmp_path / "new" / "scores.csv"
    write_scores(path, evaluation)
    rows = list(csv.DictReader(path.open(newline="", encoding="utf-8")))
    assert [row["name"].removeprefix("'") for row in rows] == list(evaluation.names)
    read = read_scores(path)
    assert [clip.name for clip in read] == list(evaluation.names)
    assert read[2].scores == {
        name: pytest.approx(score, rel=1e-5)
        for name, score in zip(evaluation.classes, evaluation.scores[2], strict=True)
    }
    for row, scores, target in zip(rows, evaluation.scores, evaluation.targets, strict=True):
        assert row["truth"] == f"class {target}"
        assert row["predicted"] == f"class {scores.argmax()}"
        assert float(row["p(class 1)"]) == pytest.approx(scores[1], rel=1e-5)
    correct = evaluation.scores.argmax(1) == evaluation.targets
    assert [clip.correct for clip in read_scores(path)] == [*correct]
    assert [*path.parent.iterdir()] == [path]


def test_a_prediction_that_is_not_the_most_probable_class_has_its_reason_in_the_table(tmp_path):
    scores = np.array([[0.96, 0.04], [0.995, 0.005]])
    decision = Decision(("train_in_out", "no_action"), threshold=0.99)
    evaluation = Evaluation(("a", "b"), decision, np.array([1, 0]), scores, ())
    write_scores(tmp_path / "scores.csv", evaluation)
    rows = list(csv.DictReader((tmp_path / "scores.csv").open(encoding="utf-8")))
    assert [row["predicted"] for row in rows] == ["no_action", "train_in_out"]
    assert [row["score"] for row in rows] == ["0.04", "0.995"]
    assert {row["threshold"] for row in rows} == {"0.99"}
    assert evaluation.answer_texts == [
        "no_action (best: train_in_out 96 %, needs 99 %)",
        "train_in_out 100 %",
    ]


def test_a_table_of_an_earlier_version_can_be_read(tmp_path):
    text = "name,truth,predicted,p(run),p(walk)\na.mp4,run,walk,0.25,0.75\n"
    (tmp_path / "scores.csv").write_text(text, encoding="utf-8")
    assert read_scores(tmp_path / "scores.csv") == [
        ("a.mp4", "run", "walk", {"run": 0.25, "walk": 0.75})
    ]


def calibrated(clips, seed=0):
    """Logits of three classes, and classes sampled from their softmax."""
    random = np.random.default_rng(seed)
    logits = 1.5 * random.normal(size=(clips, 3))
    return logits, (softmax(logits).cumsum(1) < random.random((clips, 1))).sum(1)


def test_bins_hold_equally_many_clips_and_keep_ties_together():
    confidence = np.random.default_rng(0).permutation(np.linspace(0.3, 1, 20))
    bins = confidence_bins(confidence)
    assert np.bincount(bins).tolist() == [4] * 5
    assert (np.diff(bins[np.argsort(confidence)]) >= 0).all()
    tied = np.array([0.5, 0.9, 0.5, 0.5, 0.9, 0.9, 0.9, 0.5, 0.5, 0.5])
    assert confidence_bins(tied).tolist() == [0, 3, 0, 0, 3, 3, 3, 0, 0, 0]
    assert confidence_bins(np.ones(3)).tolist() == [0, 0, 0]


def test_a_calibrated_model_has_the_expected_error():
    errors = []
    expected = []
    for seed in range(30):
        logits, targets = calibrated(36, seed=seed)
        scores = softmax(logits)
        errors.append(calibration_error(scores.max(1), scores.argmax(1) == targets))
        expected.append(perfect_calibration_error(scores.max(1), draws=100))
    means, high = np.array(expected).T
    assert np.mean(errors) == pytest.approx(means.mean(), abs=0.02)
    assert means.mean() > 0.05  # of 36 clips chance alone makes this
    assert 0.8 < np.mean(errors < high) <= 1
    many = softmax(calibrated(10_000)[0]).max(1)
    assert perfect_calibration_error(many, draws=20)[0] < 0.02
    assert perfect_calibration_error(many, draws=20) == perfect_calibration_error(
        many, draws=20
    )
    assert perfect_calibration_error(np.ones(4)) == (0, 0)


@pytest.mark.parametrize("aggregation", ["mean", "product", "last"])
def test_the_temperature_equals_a_grid_search(aggregation):
    random = np.random.default_rng(3)
    targets = random.integers(0, 4, 25)
    frames = [
        softmax(3 * (random.normal(size=(random.integers(1, 6), 4)) + 0.7 * np.eye(4)[target]))
        for target in targets
    ]

    def loss(temperature):
        total = 0.0
        sure = []
        for scores, target in zip(frames, targets, strict=True):
            tempered = scores ** (1 / temperature)
            tempered /= tempered.sum(1, keepdims=True)
            if aggregation == "product":
                clip = softmax(np.log(tempered).sum(0))
            else:
                clip = tempered.mean(0) if aggregation == "mean" else tempered[-1]
            total -= np.log(clip[target])
            sure.append(clip.max())
        return total - np.log(np.mean(sure)) - np.log(1 - np.mean(sure))

    every = np.exp(np.linspace(-np.log(20), np.log(20), 601))
    expected = every[np.argmin([loss(temperature) for temperature in every])]
    assert fit_temperature(frames, targets, aggregation=aggregation) == pytest.approx(
        expected, rel=2e-2
    )


def test_balanced_weights_count_the_clips_of_a_class_together():
    weights = balancing_weights(np.array([0, 2, 2, 2]))
    assert weights.tolist() == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3])
    logits, targets = calibrated(3000)
    # of one class, only a tenth of the clips was found
    rare = (targets != 0) | (np.arange(3000) % 10 == 0)
    scores = softmax(1.5 * logits)[rare, None]
    kept = targets[rare]
    balanced = fit_temperature(scores, kept, weights=balancing_weights(kept))
    assert balanced == pytest.approx(1.5, rel=0.06), "that of all clips"


def test_few_clips_that_are_all_correct_do_not_make_the_model_certain():
    scores = np.tile([[[0.7, 0.3]]], (10, 1, 1))
    temperature = fit_temperature(scores, np.zeros(10, int))
    # Laplace
    assert softmax(np.log(scores[0, 0]) / temperature)[0] == pytest.approx(11 / 12, abs=1e-3)


def test_degenerate_temperatures():
    assert fit_temperature([], np.zeros(0, int)) == 1
    assert fit_temperature(np.ones((3, 2, 1)), np.zeros(3, int)) == 1
    certain = np.tile([[[1.0, 0.0]]], (10, 1, 1))
    assert fit_temperature(certain, np.arange(10) % 2) == pytest.approx(20)
    assert fit_temperature(certain, np.zeros(10, int)) <= 20
