"""The decoder of states is equal to a naive dynamic program, live and afterwards."""

import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import lognorm

from onlooker.base.records import Segment
from onlooker.stream.segmenters.semi_markov import BoutMemory, Decoder

Floats = NDArray[np.float64]

MEDIANS = (0.6, 1.5, 3.0)
SPREADS = (0.5, 0.6, 0.8)


def decoder(weight: float = 1.0, *, lag: float = 2.0, rate: float = 5.0) -> Decoder:
    return Decoder(("a", "b", None), MEDIANS, SPREADS, weight=weight, rate=rate, lag=lag)


def posteriors(seed: int, count: int, K: int = 3) -> Floats:
    rng = np.random.default_rng(seed)
    held = np.repeat(rng.normal(size=(count, K)), 4, 0)[:count]
    logits = 1.5 * held + rng.normal(size=(count, K))
    scores = np.exp(logits)
    return scores / scores.sum(1, keepdims=True)


def priors(decoder: Decoder, count: int) -> tuple[Floats, Floats]:
    """The log probabilities of durations of 1 to `count` frames, and of at least so many, `K
    count`, from scipy's log-normal distribution, and a constant hazard after `decoder.longest`.
    """
    n = np.arange(1, count + 1)
    exact, lasting = np.zeros((2, 3, count))
    for k, (median, spread) in enumerate(zip(MEDIANS, SPREADS, strict=True)):
        duration = lognorm(spread, scale=median * decoder.rate)
        exact[k] = duration.logpdf(n)
        lasting[k] = duration.logsf(n - 0.5)
        D = decoder.longest
        hazard = 1 / (1 + max(1.0, duration.expect(lb=D, conditional=True) - D))
        beyond = n > D
        if beyond.any():
            lasting[k, beyond] = lasting[k, D - 1] + (n[beyond] - D) * np.log1p(-hazard)
            exact[k, beyond] = lasting[k, beyond] + np.log(hazard)
    return exact, lasting


def naive(decoder: Decoder, scores: Floats) -> list[list[tuple[float, list[int]]]]:
    """After each frame, the surviving paths: of each class that may go on there, the best score and
    the classes of the frames, among all begins of its bout and all classes before these.
    """
    T, K = scores.shape
    exact, lasting = priors(decoder, T)
    logs = decoder.weight * np.log(scores)
    best: dict[tuple[int, int], tuple[float, list[int]]] = {}

    def before(begin: int, k: int) -> tuple[float, list[int]]:
        if begin == 0:
            return 0.0, []
        return max(best[begin, j] for j in range(K) if j != k)

    survivors: list[list[tuple[float, list[int]]]] = []
    for end in range(1, T + 1):
        survivors.append([])
        for k in range(K):
            options = []
            ongoing = []
            for begin in range(end):
                score, path = before(begin, k)
                score += logs[begin:end, k].sum()
                new_path = path + [k] * (end - begin)
                options.append((score + exact[k, end - begin - 1], new_path))
                ongoing.append((score + lasting[k, end - begin - 1], new_path))
            best[end, k] = max(options)
            survivors[-1].append(max(ongoing))
    return survivors


def best_path(decoder: Decoder, scores: Floats) -> list[int]:
    return max(naive(decoder, scores)[-1])[1]


def path_of(decoder: Decoder, scores: Floats) -> list[int]:
    """The class of each frame."""
    times = range(len(scores))
    path = [decoder.labels.index(None)] * len(scores)
    for bout in decoder.decode(times, scores, len(scores)):
        begin, end = round(bout.start), round(bout.end)
        path[begin:end] = [decoder.labels.index(bout.label)] * (end - begin)
    return path


def live(decoder: Decoder, times: Sequence[float], scores: Floats) -> list[list[Segment]]:
    """The bouts that become final at each frame, and at the end."""
    memory = BoutMemory()
    result = []
    for time, row in zip(times, scores, strict=True):
        final, _, memory = decoder.step(memory, time, row)
        result.append(final)
    return [*result, decoder.finish(memory)]


@pytest.mark.parametrize("weight", [0.1, 0.4, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_path_is_that_of_a_naive_dynamic_program(seed: int, weight: float) -> None:
    scores = posteriors(seed, 70)
    machine = decoder(weight)
    assert path_of(machine, scores) == best_path(machine, scores)


@pytest.mark.parametrize("seed", range(3))
def test_bouts_longer_than_the_longest_usual_ones_have_a_constant_hazard(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlooker.stream.segmenters.semi_markov._MOST", 7)
    machine = decoder(0.3)
    scores = posteriors(seed, 60)
    scores[20:45] = 0.05, 0.9, 0.05
    assert machine.longest == 7
    path = path_of(machine, scores)
    assert path == best_path(machine, scores)
    assert path[22:43] == [1] * 21


def test_live_with_a_long_lag_is_as_afterwards() -> None:
    scores = posteriors(0, 90)
    times = (np.arange(90) / 5).tolist()
    machine = decoder(0.4, lag=100)
    final = [bout for bouts in live(machine, times, scores) for bout in bouts]
    bouts = machine.decode(times, scores)
    assert len(bouts) >= 3
    assert [(b.label, b.start, b.end) for b in final] == [
        (b.label, b.start, b.end) for b in bouts
    ]
    assert [b.score for b in final] == pytest.approx([b.score for b in bouts])


@pytest.mark.parametrize(("seed", "lag"), [(3, 0.4), (3, 1.0), (4, 1.0), (5, 100)])
def test_the_state_of_a_frame_is_final_when_all_surviving_paths_agree_or_after_the_lag(
    seed: int, lag: float
) -> None:
    scores = posteriors(seed, 70)
    times = (np.arange(70) / 5).tolist()
    machine = decoder(0.4, lag=lag)
    path: list[int] = []  # of the frames that are final
    final = []
    memory = BoutMemory()
    delays = set()
    for t, survivors in enumerate(naive(machine, scores), 1):
        paths = [classes for _, classes in survivors]
        best = max(survivors)[1]
        while len(path) < t - 1 and len({classes[len(path)] for classes in paths}) == 1:
            path.append(best[len(path)])
        path += best[len(path) : max(0, t - machine.lag)]
        bouts, _, memory = machine.step(memory, times[t - 1], scores[t - 1])
        final += bouts
        assert t - len(memory.times) == len(path)
        delays.add(len(memory.times))
    assert len(delays) > 1  # some agree earlier than others
    assert max(delays) == machine.lag or lag == 100
    path += best[len(path) :]
    final += machine.finish(memory)
    expected = []
    for t, k in enumerate(path):
        if not t or k != path[t - 1]:
            expected.append([k, times[t], 0.0])
        expected[-1][2] = times[t] + 0.2
    assert [(b.label, b.start) for b in final] == [
        (machine.labels[int(k)], start) for k, start, _ in expected if machine.labels[int(k)]
    ]
    assert [b.end for b in final] == pytest.approx(
        [end for k, _, end in expected if machine.labels[int(k)]]
    )


def test_the_bout_that_goes_on_has_the_begin_that_it_will_have() -> None:
    scores = np.tile([0.02, 0.96, 0.02], (60, 1))
    scores[:20] = 0.96, 0.02, 0.02
    scores[50:] = 0.02, 0.02, 0.96
    machine = decoder(1.0, lag=1.0)
    memory = BoutMemory()
    going = []
    for t, row in enumerate(scores):
        _, bout, memory = machine.step(memory, t / 5, row)
        going.append(bout)
    assert {(bout.label, bout.start) for bout in going[30:45] if bout} == {("b", 4.0)}
    assert going[45].score == pytest.approx(0.96)
    assert going[-1] is None  # of no state


def test_a_state_has_constant_size_and_an_earlier_one_stays_valid() -> None:
    machine = decoder(0.4, lag=1.0)
    scores = posteriors(5, 700)
    memory = BoutMemory()
    sizes = []
    for t, row in enumerate(scores):
        earlier = memory
        first = machine.step(memory, t / 5, row)
        memory = first[2]
        if t in (100, 699):
            sizes.append(len(pickle.dumps(memory)))
            again = machine.step(earlier, t / 5, row)  # as after an error
            assert again[:2] == first[:2]
            assert machine.finish(again[2]) == machine.finish(memory)
    assert sizes[1] < 1.1 * sizes[0]


def test_noise_of_a_frame_is_no_bout_and_one_of_a_usual_length_is() -> None:
    scores = np.tile([0.05, 0.9, 0.05], (60, 1))
    scores[20] = 0.9, 0.05, 0.05
    scores[40:43] = 0.9, 0.05, 0.05
    times = (np.arange(60) / 5).tolist()
    bouts = decoder(0.7).decode(times, scores)
    assert [(b.label, b.start, round(b.end, 3)) for b in bouts] == [
        ("b", 0.0, 8.0),
        ("a", 8.0, 8.6),
        ("b", 8.6, 12.0),
    ]


def test_bouts_below_the_threshold_are_none_and_one_that_goes_on_waits_until_it_is_sure() -> (
    None
):
    strong = [0.9, 0.02, 0.08]
    weak = [0.75, 0.05, 0.2]
    nothing = [0.05, 0.05, 0.9]
    rows = [*[nothing] * 8, *[weak] * 8, *[nothing] * 8, *[strong] * 8, *[nothing] * 20]
    times = np.arange(len(rows)) / 5
    plain = decoder()
    sure = Decoder(("a", "b", None), MEDIANS, SPREADS, weight=1.0, rate=5.0, threshold=0.8)
    assert [round(bout.score, 1) for bout in plain.decode(times.tolist(), np.array(rows))] == [
        0.8,
        0.9,
    ]
    (expected,) = sure.decode(times.tolist(), np.array(rows))
    assert (expected.start, expected.end) == (pytest.approx(4.8), pytest.approx(6.4))
    memory = BoutMemory()
    final = []
    begun = []
    for time, row in zip(times.tolist(), np.array(rows), strict=True):
        bouts, _, memory = sure.step(memory, time, row)
        final += bouts
        begun += [(time, bout.start) for bout in sure.begun(memory)]
    (bout,) = [*final, *sure.finish(memory)]
    assert (bout.start, bout.end) == (expected.start, expected.end)
    assert {start for _, start in begun} == {expected.start}
    assert begun[0][0] >= expected.start + MEDIANS[0] / 2, "not by its first frame"


def test_no_frames_have_no_bouts() -> None:
    assert decoder().decode([], np.zeros((0, 3))) == []
    assert decoder().finish(BoutMemory()) == []
