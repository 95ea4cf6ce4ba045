"""Models with motion words on streams: the words of all frames count, also of those between two that
the model gets, whoever reads the frames.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Condition

import numpy as np
import pytest
import torch
from made_heads import event_heads, head
from moving_belts import RATE, belt
from torch import Tensor

from onlooker.base.config import DataConfig, StreamConfig
from onlooker.base.decision import Decision, TierStates
from onlooker.base.fisher import fisher_vector
from onlooker.base.records import Floats
from onlooker.data.transforms import to_video
from onlooker.models.heads import Head
from onlooker.models.linear import LinearClassifier
from onlooker.recognizer import Recognizer
from onlooker.stream.sources import Source, _Arrival
from onlooker.training.states import _eye_vectors
from onlooker.video.motion_words import motion_eye
from onlooker.video.reader import VideoReader
from onlooker.video.resize import Pixels, resize
from onlooker.video.write import write

SLOTS = 5.0  # frames per second that the model gets


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    torch.manual_seed(0)
    model = LinearClassifier(3, "conv4", window=4, size=32)
    model.set_heads({"motion": Head(torch.randn(3, motion_eye().num_features), torch.randn(3))})
    data = DataConfig(frames=4, size=32, normalization="half", eyes="both")
    return Recognizer(model, data, Decision(("a", "b", "c"), frame_rate=SLOTS))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = np.concatenate([belt("left", 1), belt("right", 2, 20), belt("still", 2, 20)])
    return write(tmp_path_factory.mktemp("clip") / "clip.mp4", images, fps=RATE)


def by_definition(recognizer: Recognizer, clip: Path, taken: Sequence[int]) -> list[Floats]:
    """The scores of the frames that the model gets, which are given by their indices; with an event
    layer, those of the windows that end with them.
    """
    scores = list[Floats]()
    model = recognizer.model
    motion_state = state = None
    row = np.zeros(1 + model.eyes["motion"], np.float32)
    for index, time, pixels, frame in frames_of(recognizer, clip):
        motion_state, frame_row = motion_eye().step(pixels, time, motion_state)
        row += frame_row
        if index in taken:
            output, state = model.step(frame, state, {"motion": torch.from_numpy(row)[None]})
            if output.windows is None:
                scores.append(recognizer.decision.probabilities(output.logits)[0].numpy())
            else:
                scores.append(output.windows.scores[0].numpy())
            row = np.zeros_like(row)
    return scores


def frames_of(
    recognizer: Recognizer, clip: Path
) -> Iterator[tuple[int, float, Pixels, Tensor]]:
    """Index, time and pixels of all frames, and the inputs of the model."""
    for index, time, pixels in VideoReader(clip):
        sample = resize(pixels[None], recognizer.data.size, 3)
        yield index, time, pixels, to_video(torch.from_numpy(sample), "half")


@torch.no_grad()
def test_every_frame_counts_in_a_file_and_in_frames_that_the_caller_reads(
    recognizer: Recognizer, clip: Path
) -> None:
    watched = {step.index: step.scores for step in recognizer.watch(clip)}
    assert [*watched] == [*range(0, 76, 5)]
    expected = by_definition(recognizer, clip, [*watched])
    np.testing.assert_allclose([*watched.values()], expected, atol=1e-5)
    streams = recognizer.streams()
    given = list[Floats]()
    for index, time, pixels, _ in frames_of(recognizer, clip):
        (step,) = streams.step({"": (index, time, pixels)}).values()
        given.append(step.scores)
    early = [0, *range(3, 76, 5)]  # frames of a caller may be early by half a slot
    by_early = by_definition(recognizer, clip, early)
    np.testing.assert_allclose([given[index] for index in early], by_early, atol=1e-5)
    np.testing.assert_array_equal(given[4:8], given[3:4] * 4)
    # without motion, the same frames have other scores
    frames = [frame for index, *_, frame in frames_of(recognizer, clip) if index in watched]
    logits = recognizer.model(torch.stack(frames, 1)).logits
    pictures = recognizer.decision.probabilities(logits)[0].numpy()
    assert np.abs(pictures - np.stack(expected)).max() > 0.05


@torch.no_grad()
def test_windows_of_events_have_their_motion(recognizer: Recognizer, clip: Path) -> None:
    model = deepcopy(recognizer.model)
    M = model.num_features
    event, classes = (
        (torch.zeros(M), torch.ones(M), torch.zeros(outputs, M), torch.zeros(outputs))
        for outputs in (1, 3)
    )
    model.set_heads(event_heads(event, classes, motion=0.5), (3, 6))
    finding = Recognizer(model, recognizer.data, recognizer.decision)
    watched = {
        step.index: step.rows[0] for step in finding.watch(clip) if step.pixels is not None
    }
    expected = np.stack(by_definition(finding, clip, [*watched]))
    np.testing.assert_allclose([*watched.values()], expected, atol=1e-5)
    assert expected[6:].std() > 0.05


@torch.no_grad()
def test_states_are_told_by_the_motion_around_a_frame_as_it_was_in_training(
    recognizer: Recognizer, clip: Path
) -> None:
    model = deepcopy(recognizer.model)
    M = model.num_features
    nothing = torch.zeros(2, M), torch.ones(2, M), torch.zeros(3, 2, M), torch.zeros(3)
    model.set_heads({"state": head(nothing)}, (6, 8))
    chain = TierStates([0, 1, 2], [1.0] * 3, [0.5] * 3, 0.4)
    decision = replace(recognizer.decision, states=(chain,))
    earlier = Recognizer(model, recognizer.data, decision)
    assert not earlier.streams().eyes, "as models of earlier versions, for clips alone"
    weight = torch.randn(3, model.eyes["motion"])
    model.set_heads({"state_motion": Head(weight, torch.tensor([0.5, 0.0, 0.0]))})
    prediction = Recognizer(model, recognizer.data, decision).predict(clip)
    indices = np.arange(0, 76, 5)
    assert prediction.indices.tolist() == indices.tolist()
    eyes = {"motion": motion_eye()}
    vectors = _eye_vectors(
        eyes, VideoReader(clip), indices, times=prediction.times, n=6, offset=3
    )["motion"]
    logits = torch.from_numpy(vectors).float() @ weight.T + torch.tensor([0.5, 0.0, 0.0])
    expected = torch.where(torch.from_numpy(vectors).any(1, keepdim=True), logits, 0).softmax(1)
    np.testing.assert_allclose(prediction.frame_scores, expected, atol=5e-3)
    assert prediction.frame_scores.std(0).max() > 0.1
    # the blocks that end from three frames of the model before a frame until three after it
    motion_state = None
    blocks = np.zeros((19, 1 + model.eyes["motion"]), np.float32)
    for index, time, pixels in VideoReader(clip):
        motion_state, row = motion_eye().step(pixels, time, motion_state)
        blocks[-(-index // 5)] += row
    for t in range(16):
        exact = fisher_vector(blocks[max(0, t - 2) : t + 4].sum(0))
        np.testing.assert_allclose(vectors[t], exact, atol=0.01)


def test_frames_that_a_slow_model_drops_leave_their_motion() -> None:
    images = belt("left", 1)
    eyes = {"motion": motion_eye()}
    source = Source("camera", StreamConfig(rate=SLOTS), Condition(), eyes=eyes)
    state = None
    expected = np.zeros(1 + motion_eye().num_features, np.float32)
    for index in range(36):
        source._put(_Arrival(index / RATE, partial(np.asarray, images[index])))
        state, row = motion_eye().step(images[index], index / RATE, state)
        if index <= 33:  # the last one that is handed out
            expected += row
    frame = source.poll()
    assert frame is not None
    assert (frame[0], source.dropped) == (33, 7)
    np.testing.assert_allclose(source.rows["motion"], expected, rtol=1e-4, atol=1e-3)
    assert source.rows["motion"][0] > 100


def test_missed_slots_have_no_motion_of_their_own(recognizer: Recognizer) -> None:
    images = belt("left", 1, 30)
    streams = recognizer.streams()
    for index in range(20):
        streams.step({"": (index, index / RATE, images[index])})
    before = streams.memories[""].model.root_units[0, :, 0]
    assert before.any()
    # .8 seconds later: 4 slots; across a gap no flow is computed
    streams.step({"": (20, 1.76, images[20])})
    after = streams.memories[""].model.root_units[0, :, 0]
    assert not after[-3:].any()
