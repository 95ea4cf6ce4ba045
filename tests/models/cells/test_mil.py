"""MIL attention over all frames: compared with its equation, in a stream, and with hidden frames in training."""

import math

import pytest
import torch

from onlooker.models.cells import build_cell
from onlooker.models.cells.cell import State
from onlooker.models.cells.mil import MILCell, pool
from onlooker.models.cells.unroll import unroll
from onlooker.models.classifier import Classifier
from onlooker.models.registry import create_model

D, UNITS, T, GRID = 5, 4, 6, (3, 2)


def made() -> tuple[MILCell, torch.Tensor, State]:
    torch.manual_seed(0)
    cell = MILCell(D, UNITS).double().eval()
    features = torch.randn(2, T, D, *GRID, dtype=torch.double)
    return cell, features, cell.initial_state(2, GRID, torch.device("cpu"), torch.double)


@torch.no_grad()
def test_it_is_one_softmax_over_all_locations_of_all_frames_and_an_empty_one() -> None:
    cell, features, start = made()
    (hidden, attention, _), _ = unroll(cell, features, start)
    assert attention is not None
    V, b, w = cell.from_features.weight[:, :, 0, 0], cell.from_features.bias, cell.score.weight[0, :, 0, 0]
    for clip in range(2):
        weights, places = [1.0], [torch.zeros(D, dtype=torch.double)]
        for t in range(T):
            here = []
            for y in range(GRID[0]):
                for x in range(GRID[1]):
                    seen = features[clip, t, :, y, x]
                    here.append(float(torch.exp(w @ torch.tanh(V @ seen + b))))
                    weights.append(here[-1])
                    places.append(seen)
            wanted = torch.stack([p * weight / sum(weights) for p, weight in zip(places, weights, strict=True)]).sum(0)
            torch.testing.assert_close(hidden[clip, t], wanted)
            torch.testing.assert_close(attention[clip, t].flatten(), torch.tensor(here).double() / sum(here))
            evidence = cell.attend(features[clip, t][None])[0]
            assert evidence.item() == pytest.approx(math.log(sum(here)))


@torch.no_grad()
def test_the_last_state_equals_pooling_all_frames() -> None:
    cell, features, start = made()
    (hidden, *_), _ = unroll(cell, features, start)
    evidence, attended, _ = cell.attend(features.flatten(0, 1))
    evidence, attended = evidence.view(2, T), attended.view(2, T, D)
    torch.testing.assert_close(pool(evidence, attended), hidden[:, -1])
    # What has no evidence might as well not be there.
    left = torch.tensor([True, False, True, True, False, True])
    (less, *_), _ = unroll(cell, features[:, left], start)
    torch.testing.assert_close(pool(evidence.masked_fill(~left, -math.inf), attended), less[:, -1])
    assert not pool(torch.full_like(evidence, -math.inf), attended).any(), "nothing seen is nothing known"


@torch.no_grad()
def test_equal_scores_are_a_mean() -> None:
    cell, features, start = made()
    cell.score.weight.zero_()
    (hidden, attention, _), _ = unroll(cell, features, start)
    assert attention is not None
    count = T * GRID[0] * GRID[1]
    torch.testing.assert_close(hidden[:, -1], features.mean((1, 3, 4)) * count / (count + 1))
    torch.testing.assert_close(attention, torch.full_like(attention, 1 / 6))


def test_random_frames_are_hidden_in_training() -> None:
    cell, features, _ = made()
    many = features[:1].expand(500, -1, -1, -1, -1).flatten(0, 1)
    assert torch.isfinite(cell.project(many)[0]).all(), "all are seen when it has learned"
    evidence = cell.train().project(many)[0]
    assert torch.isneginf(evidence).double().mean() == pytest.approx(0.5, abs=0.03)
    (hidden, *_), _ = unroll(cell, features, cell.initial_state(2, GRID, torch.device("cpu"), torch.double))
    hidden[:, -1].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in cell.parameters() if p.grad is not None)


@torch.no_grad()
def test_a_stream_equals_the_clip() -> None:
    torch.manual_seed(1)
    model = create_model("mil", 3, in_channels=3, flow_channels=2, size=32, hidden=4, dropout=0.0).eval()
    assert isinstance(model, Classifier)
    video, state = torch.randn(2, 5, 3, 32, 32), None
    logits, attention, _ = model(video)
    features = model.encode_video(video)
    evidence, attended = model.frame_evidence(features)
    for t in range(5):
        now, state = model.step(video[:, t], state)
        torch.testing.assert_close(now.logits, logits[:, t])
        torch.testing.assert_close(now.attention, attention[:, t])
        torch.testing.assert_close(model.frame_evidence(features[:, t : t + 1])[0], evidence[:, t : t + 1])
    torch.testing.assert_close(model.pool_evidence(evidence, attended), logits[:, -1])


@torch.no_grad()
def test_evidence_does_not_depend_on_other_frames() -> None:
    torch.manual_seed(2)
    model = create_model("mil", 3, size=32, hidden=4).eval()
    assert isinstance(model, Classifier)
    video = torch.randn(1, 4, 3, 32, 32)
    before, _ = model.frame_evidence(model.encode_video(video))
    video[:, 1] += 1
    after, _ = model.frame_evidence(model.encode_video(video))
    assert (before != after).tolist() == [[False, True, False, False]]


def test_invalid_settings() -> None:
    for cell, glimpse in (("convlstm", "sum"), ("memoryless", "scaled")):
        with pytest.raises(ValueError, match=f"needs cell memoryless and glimpse sum, not {cell} and {glimpse}"):
            build_cell(cell, D, UNITS, GRID, "mil", glimpse)
    model = create_model("convalstm", 3, size=32)
    assert isinstance(model, Classifier)
    assert not model.has_evidence
    with pytest.raises(ValueError, match="no evidence of single frames; use model mil"):
        model.frame_evidence(torch.zeros(1, 2, 64, 4, 4))
