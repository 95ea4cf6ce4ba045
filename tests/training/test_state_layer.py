"""The state layer: which lists give states, how it is fitted, and that streams tell what it was
fitted to.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from eventful import DATA
from made_heads import head
from moving_squares import frames_of

from onlooker.base.config import When
from onlooker.base.decision import Decision, TierStates
from onlooker.base.intervals import with_interval
from onlooker.base.records import Clip, Recording, Segment
from onlooker.data.sets import read_set
from onlooker.data.tiers import tiers_of
from onlooker.measure.states import UNKNOWN, Tier
from onlooker.measure.timeline import Timeline
from onlooker.models.linear import LinearClassifier
from onlooker.recognizer import Recognizer, load
from onlooker.stream.segmenters.semi_markov import window_offsets
from onlooker.training import states
from onlooker.training.forward import encode_samples
from onlooker.training.search import search
from onlooker.training.states import (
    durations,
    slots,
)
from onlooker.training.times import plan_times
from onlooker.video.reader import VideoReader
from onlooker.video.write import write

CLASSES = ("left", "rest", "right")
LENGTHS = (3, 6, 11)


def model(outputs: int = 3) -> LinearClassifier:
    """A model with random weights and a random state layer."""
    torch.manual_seed(0)
    net = LinearClassifier(3, window=6, size=16).eval()
    L, M = len(LENGTHS), net.num_features
    weight = torch.randn(outputs, L, M) / M**0.5
    layer = torch.randn(L, M) / 10, torch.rand(L, M) + 0.5, weight, torch.randn(outputs)
    net.set_heads({"state": head(layer)}, LENGTHS)
    return net


def recording(
    path: Path, plan: list[tuple[str, float]], *, fps: float = 10, gray: int = 40
) -> list[tuple[str, float, float]]:
    """Write a recording of squares; the label, the start and the end of each part but pauses."""
    frames = []
    rows = []
    for action, seconds in plan:
        n = round(seconds * fps)
        if action != "pause":
            rows.append((action, len(frames) / fps, (len(frames) + n) / fps))
        moves = action if action in ("left", "right") else None
        frames += frames_of(moves, n, gray + 90 * (action == "rest"))
    write(path, np.stack(frames), fps=fps)
    return rows


def test_a_step_tells_what_the_whole_video_does() -> None:
    net = model()
    features = net.encode(torch.rand(20, 3, 16, 16))
    whole = net.forward_features(features[None]).states
    assert whole is not None
    state = net.initial_state(1)
    for t in range(20):
        output, state = net.step_features(features[t : t + 1], state)
        assert output.states is not None
        assert (output.states[0] - whole[0, t]).abs().max() < 1e-4
    # of a stream that has not begun, all frames are as the first one
    still = net.forward_features(features[None, :1].expand(1, 3, -1, -1, -1)).states
    assert still is not None
    assert (still[0] - whole[0, :1]).abs().max() < 1e-4


def test_a_saved_model_tells_the_same(tmp_path: Path) -> None:
    chain = TierStates([0, 1, 2], [1.0, 5.0, 1.0], [0.5, 0.6, 0.7], 0.4)
    decision = Decision(CLASSES, states=(chain,), frame_rate=5.0)
    saved = Recognizer(model(), DATA, decision)
    saved.save(tmp_path / "model")
    loaded = load(tmp_path / "model", "cpu")
    assert loaded.decision == decision
    recording(tmp_path / "a.mp4", [("left", 2), ("rest", 3), ("right", 2)])
    one = saved.predict(tmp_path / "a.mp4")
    other = loaded.predict(tmp_path / "a.mp4")
    assert one.segments == other.segments
    assert (one.frame_scores == other.frame_scores).all()
    assert loaded.model.lengths == LENGTHS
    with pytest.raises(ValueError, match="chains of 3 states for a model with 4 outputs"):
        Recognizer(model(4), DATA, decision)


def test_a_stream_tells_the_states_of_the_frames_around_which_windows_are(
    tmp_path: Path,
) -> None:
    recording(tmp_path / "a.mp4", [("left", 2), ("rest", 3), ("right", 2.4)])
    chain = TierStates([0, 1, 2], [1.0, 5.0, 1.0], [0.5, 0.6, 0.7], 0.4)
    recognizer = Recognizer(model(), DATA, Decision(CLASSES, states=(chain,), frame_rate=5.0))
    prediction = recognizer.predict(tmp_path / "a.mp4")
    reader = VideoReader(tmp_path / "a.mp4")
    indices, times = slots(reader.times, 5.0, 100)
    assert prediction.indices.tolist() == indices.tolist()
    assert prediction.times == pytest.approx(times)
    pixels = torch.from_numpy(reader.get(indices, size=16).pixels)
    net = recognizer.model
    with torch.inference_mode():
        features = encode_samples(net, pixels, DATA)
        held = torch.cat((features, features[-1:].expand(5, -1, -1, -1)))
        parts = net.forward_features(held[None]).states
    assert parts is not None
    offsets = window_offsets(LENGTHS, 5.0)
    assert offsets == [1, 3, 5]
    T = len(indices)
    logits = sum(parts[0, offset : offset + T, i] for i, offset in enumerate(offsets))
    assert isinstance(logits, torch.Tensor)
    assert np.abs(prediction.frame_scores - logits.softmax(-1).numpy()).max() < 1e-4
    # pieces that are read one after another have the statistics of the whole
    statistics = states._statistics(net, iter(features.split(7)), LENGTHS, delay=5)  # type: ignore[arg-type]
    expected = net.state_statistics(held[None])[0].numpy()  # type: ignore[attr-defined]
    few = statistics[0].shape[1]
    assert np.allclose(statistics[0], expected[:, 0, :few], atol=2e-3)
    assert np.allclose(statistics[1], expected[:, 1], atol=2e-3)


def test_slots_of_missing_and_of_many_frames() -> None:
    indices, times = slots(np.array([0.0, 0.1, 0.2, 0.9, 1.0]), 5.0, 2)
    # frame 2 stays for two slots of those that are missing
    assert indices.tolist() == [0, 2, 2, 2, 3, 4]
    assert times == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.9, 1.0])


def clips_of(folder: Path, *, share: float, files: int = 3, count: int = 2) -> list[Clip]:
    """Intervals that cover a share of recordings of 10 s."""
    clips = []
    for number in range(files):
        file = folder / f"{number}.mp4"
        if not file.exists():
            write(file, np.zeros((20, 16, 16, 3), np.uint8), fps=2)
        for i in range(count):
            start = 10 * i / count
            end = start + 10 * share / count
            clips.append(Clip(with_interval(file, start, end), CLASSES[i % 3], str(number)))
    return clips


@pytest.mark.parametrize(
    ("when", "share", "files", "count", "states", "why"),
    [
        ("auto", 0.9, 3, 2, True, "states, because intervals cover 90 % of 3 recordings"),
        ("auto", 0.2, 3, 2, False, "events, because intervals cover 20 % of 3 recordings"),
        ("auto", 0.9, 2, 2, False, "events, because intervals cover 90 % of 2 recordings"),
        ("auto", 0.9, 3, 1, False, ""),  # one clip of each file
        ("events", 0.9, 3, 2, False, ""),
        ("states", 0.2, 2, 2, True, "states, as asked for"),
    ],
)
def test_times_of_a_list_give_states_or_events(
    tmp_path: Path,
    when: When,
    share: float,
    files: int,
    *,
    count: int,
    states: bool,
    why: str,
) -> None:
    clips = clips_of(tmp_path, share=share, files=files, count=count)
    plan = plan_times(clips, Decision(CLASSES), when=when, recordings=())
    assert bool(plan.recordings) == states
    assert plan.why.startswith(why)
    assert bool(plan.why) == bool(why)


def test_time_of_which_nothing_is_known_is_not_counted(tmp_path: Path) -> None:
    clips = clips_of(tmp_path, share=0.2)
    files = [(tmp_path / f"{number}.mp4").resolve() for number in range(3)]
    recordings = [Recording(file, (), ((2.0, 5.0), (6.0, 10.0))) for file in files]
    plan = plan_times(clips, Decision(CLASSES), when="auto", recordings=recordings)
    assert "67 % of 3 recordings" in plan.why
    # where something is labeled, it is known
    times = ((0.5, 1.0), (0.0, 5.5), (6.0, 20.0), (30.0, 40.0))
    recordings = [Recording(file, (), times) for file in files]
    plan = plan_times(clips, Decision(CLASSES), when="auto", recordings=recordings)
    assert "100 % of 3 recordings" in plan.why


@pytest.mark.parametrize(("share", "are_states"), [(0.9, True), (0.2, False)])
def test_clips_that_were_cut_from_kept_recordings_give_states(
    tmp_path: Path, share: float, *, are_states: bool
) -> None:
    clips = [
        replace(clip, path=tmp_path / f"{i}.mp4", source=clip.path)
        for i, clip in enumerate(clips_of(tmp_path, share=share))
    ]
    # clips of their own may overlap, and events are learned from them
    clips.append(replace(clips[0], label="right", path=tmp_path / "other.mp4"))
    plan = plan_times(clips, Decision(CLASSES), when="auto", recordings=())
    assert bool(plan.recordings) == are_states
    if are_states:
        assert {part.path for part in plan.recordings} == {
            tmp_path / f"{number}.mp4" for number in range(3)
        }
        # nobody says that what follows was watched
        assert plan.recordings[0].unknown == ((9.5, 10.0),)
        assert [bout.label for bout in plan.recordings[0].labels] == [
            CLASSES[k] for k in (0, 2, 1)
        ]


def test_labeled_time_is_known_in_the_groups_of_its_labels(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.mp4" for number in range(3)]
    rows = ["path,start,end,label,tier"]
    for file in files:
        write(file, np.zeros((20, 16, 16, 3), np.uint8), fps=2)
        rows += [f"{file},0,6,sit,posture", f"{file},6,8,nothing,", f"{file},2,4,nod,head"]
        rows += [f"{file},{time},{time + 1},," for time in range(10)]
    listed = tmp_path / "list.csv"
    listed.write_text("\n".join(rows))
    clips = read_set(listed)
    decision = Decision(("nod", "nothing", "sit"))
    plan = plan_times(clips.clips, decision, when="states", recordings=clips.recordings)
    recording, *_ = plan.recordings
    chains = states._tiers(plan.recordings, decision)
    assert [chain.classes for chain in chains] == [[0, -1], [2, -1]]
    nod, sit = (
        chain.labels(known(recording), np.arange(10.0).tolist()).tolist() for chain in chains
    )
    # no label of the head, then that of the class nothing, then nothing is labeled
    assert nod == [-1, -1, 0, 0, -1, -1, 1, 1, -1, -1]
    assert sit == [0] * 6 + [1, 1] + [-1, -1]


def test_states_of_clips_without_recordings_are_an_error(tmp_path: Path) -> None:
    clips = clips_of(tmp_path, share=0.9, files=1)
    with pytest.raises(ValueError, match="states of 1 recording, expected at least 2"):
        plan_times(clips, Decision(CLASSES), when="states", recordings=())


def labeled(
    decision: Decision, *bouts: tuple[float, float, int], tiers: Iterable[tuple[int, str]] = ()
) -> Recording:
    """A recording with bouts of classes, once for each tier of their class."""
    labels = [
        Segment(decision.classes[label], start, end, tier=tier)
        for start, end, label in sorted(bouts)
        for tier in [name for k, name in sorted(tiers) if k == label] or [""]
    ]
    return Recording(Path("a.mp4"), tuple(labels), group="a", end=20.0, rate=10.0)


def known(recording: Recording) -> Timeline:
    return Timeline(recording.labels, recording.end, recording.unknown)


def test_classes_that_overlap_are_in_different_tiers() -> None:
    decision = Decision(("sit", "stand", "eat", "nothing", "look"))
    apart = labeled(decision, (0, 5, 0), (5, 9, 1), (9, 12, 2), (12, 15, 4))
    assert tiers_of([apart], decision.classes, nothing=3) == [[0, 1, 2, 3, 4]]
    over = labeled(decision, (0, 5, 0), (5, 9, 1), (2, 7, 2), (8.5, 12, 4), (8, 10, 3))
    assert tiers_of([apart, over], decision.classes, nothing=3) == [[0, 1], [2, 4]]
    chains = states._tiers([apart, over], decision)
    assert [chain.classes for chain in chains] == [[0, 1, -1], [2, 4, -1]]
    labels = chains[1].labels(known(over), np.arange(0, 12, 0.5).tolist())
    assert labels.tolist() == [2] * 4 + [0] * 10 + [2] * 3 + [1] * 7


def test_tiers_keep_their_classes_together() -> None:
    decision = Decision(("sit", "eat", "walk", "look", "nothing"))
    bouts = ((0, 5, 0), (1, 3, 1), (4, 9, 3), (10, 12, 2))

    def tiers_with(
        tiers: Iterable[tuple[int, str]], *times: tuple[float, float, int]
    ) -> object:
        recording = labeled(decision, *(times or bouts), tiers=tiers)
        return tiers_of([recording], decision.classes, nothing=4)

    # without tiers, walk is in the group of eat, which it does not overlap
    assert tiers_with(()) == [[0, 2], [1, 3]]
    tiers = {(0, "posture"), (1, "action"), (3, "action"), (2, "action")}
    assert tiers_with(tiers) == [[0], [1, 2, 3]]
    assert tiers_with({(2, "place"), *tiers} - {(2, "action")}) == [[0], [1, 3], [2]]
    # no tier: classes of two, and those of one that overlaps itself
    assert tiers_with({(2, "posture"), *tiers}) == [[0, 2], [1, 3]]
    assert tiers_with({(0, "cat"), (1, "cat"), (2, "cat")}) == [[0, 2], [1, 3]]
    apart = ((0, 5, 0), (5, 6, 1), (6, 9, 3), (10, 12, 2))
    assert tiers_with(tiers, *apart) == [[0, 1, 2, 3, 4]]


def test_gaps_are_a_state_if_there_are_any() -> None:
    decision = Decision(("sit", "stand"))
    full = labeled(decision, (0, 12, 0), (12, 20, 1))
    assert states._tiers([full], decision) == [([0, 1], ["sit", "stand"], UNKNOWN)]
    with_gap = labeled(decision, (0, 12, 0), (14, 20, 1))
    assert states._tiers([with_gap], decision) == [([0, 1, -1], ["sit", "stand", ""], 2)]
    unknown = replace(with_gap, unknown=((12.0, 14.0),))
    (chain,) = states._tiers([full, with_gap], decision)
    assert chain.labels(known(unknown), [11.0, 13.0, 15.0]).tolist() == [0, UNKNOWN, 1]


def cross_validation(
    recordings: list[states._Frames],
    chain: Tier,
    groups: list[str],
    classes: tuple[str, ...] = ("sit",),
) -> states._StateTests:
    decision = Decision(classes)
    return states._StateTests(
        model(), recordings, [chain], groups=groups, decision=decision, lengths=(3,), rate=5.0
    )


def test_the_threshold_of_bouts_is_that_of_events_and_only_where_less_is_lost_by_it() -> None:
    """A state of 3 s after each pause of 7 s, and a false one in each third pause."""
    true = [Segment("sit", 10 * i + 7, 10 * i + 10) for i in range(12)]
    found = [replace(bout, score=0.9) for bout in true]
    found += [Segment("sit", 10 * i + 2, 10 * i + 3, 0.6) for i in range(0, 12, 3)]

    def chosen(bouts: list[Segment], unknown: Sequence[tuple[float, float]] = ()) -> float:
        return states._threshold([(Timeline(true, 120, unknown), Timeline(bouts, 120))] * 2)

    assert 0.6 < chosen(found) <= 0.9
    alike = [replace(bout, score=0.7) for bout in found]
    assert chosen(alike) == 0, "it would leave out all or none"
    assert chosen(found, [bout.span for bout in found[12:]]) == 0, "nobody knows"


def test_durations_have_a_least_spread_and_share_it() -> None:
    outputs = np.repeat([0, 1, 0, 1, 0], [10, 100, 10, 50, 10])
    medians, spreads = durations([outputs], 3, rate=5.0)
    assert medians == pytest.approx([2.0, np.sqrt(200), 2.0])
    assert spreads[0] == 0.5  # all last 2 s
    far = np.repeat([0, 1, 0, 1], [1, 10, 100, 10])
    _, spreads = durations([far], 2, rate=5.0)
    assert spreads[0] > spreads[1] > 0.5  # that of a class without any is that of all


@pytest.mark.parametrize(
    ("own_rate", "seconds", "rate"),
    [(8.0, 1.3, 8.0), (25.0, 2.0, 5.0), (30.0, 0.5, 10.0), (10.0, 4.0, 5.0), (4.0, 3.0, 4.0)],
)
def test_frames_of_states_are_equally_spaced(
    own_rate: float, seconds: float, rate: float
) -> None:
    decision = Decision(CLASSES)
    recording = labeled(decision, (0, seconds, 0), (seconds, 2 * seconds, 1))
    lengths, found = states._lengths(model(), [replace(recording, rate=own_rate)], decision)
    assert found == pytest.approx(rate)
    assert lengths[0] >= 2


def test_motion_is_added_where_something_moves_with_the_weight_of_the_lowest_loss() -> None:
    """Six recordings, of whose frames pictures tell nothing, and motion something."""
    rng = np.random.default_rng(0)
    chain = Tier([0, 1, 2], ["left", "right", "still"], UNKNOWN)
    frames = []
    for _ in range(6):
        labels = np.repeat(rng.integers(0, 3, 20), 5)
        motion = rng.normal(0, 0.02, (100, 40))
        motion[range(100), labels] += 0.2
        motion[labels == 2] = 0  # nothing moves
        frames.append(
            states._Frames(
                np.arange(100) / 5,
                [],
                [labels],
                samples=np.arange(0, 100, 2),
                eyes={"motion": motion.astype(np.float16)},
            )
        )
    groups = [*"aabbcc"]
    tests = cross_validation(frames, chain, groups)
    pictures = [[np.full((100, 3), -np.log(3))] for _ in frames]
    fit = tests.held_out
    tests.held_out = lambda source, C: fit(source, C) if source == "motion" else pictures
    alone = states._Candidate(())
    candidates = tests.with_eye(alone, "motion", is_requested=False)
    assert candidates[0] == alone
    assert tests.with_eye(alone, "motion", is_requested=True) == candidates[1:]
    both = search("eyes", candidates, tests.trial).value
    assert both.eyes["motion"][0] > 0
    trial = tests.trial(both)
    assert trial.loss == min(tests.trial(candidate).loss for candidate in candidates)
    assert trial.loss < 0.5 < tests.trial(alone).loss
    assert trial.groups.tolist() == np.repeat([*"abc"], 100).tolist()
    weight, bias = tests.eye_layer(both, "motion")
    for recording, (logs,) in zip(frames, tests.logits(both), strict=True):
        is_still = recording.labels[0] == 2
        assert np.allclose(logs[is_still], -np.log(3)), "pictures alone"
        assert (logs.argmax(1) == recording.labels[0])[~is_still].mean() > 0.95
        fitted = recording.eyes["motion"] @ weight.T + bias
        assert (fitted.argmax(1) == recording.labels[0])[~is_still].mean() > 0.95
