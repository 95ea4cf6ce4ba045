"""The linear model with a second input, motion words: clips and streams agree, blocks that are not
there change nothing.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F_
from made_heads import event_heads, set_motion_distance
from stepping import stepped
from torch import Tensor, nn
from torch.testing import assert_close

from onlooker.base.fisher import PARTS, fisher_vector
from onlooker.models.heads import Head
from onlooker.models.linear import LinearClassifier

F = 24
# what 8 bits of a root change in the logits below, of which the largest is 1
ROUNDED = 0.01


def made(motion_features: int = F, **settings: Any) -> LinearClassifier:
    torch.manual_seed(0)
    heads = {"motion": 4} if motion_features else {}
    heads |= settings.pop("heads", {})
    model = LinearClassifier(
        4, size=32, window=5, motion_features=motion_features, heads=heads, **settings
    ).eval()
    if motion_features:
        layer = nn.Linear(F, 4)
        model.set_heads({"motion": Head(layer.weight, layer.bias)})
    model.head.center.normal_()
    model.head.scale.uniform_(0.5, 2)
    return model


def rows(T: int = 9, B: int = 2) -> Tensor:
    """Motion words with frames in which no block ends."""
    random = torch.Generator().manual_seed(1)
    counts = torch.randint(0, 3, (B, T, 1), generator=random).float()
    return torch.cat((counts, counts * torch.randn(B, T, F, generator=random)), 2)


@torch.no_grad()
def test_logits_of_motion_are_those_of_all_blocks_of_a_window_and_are_added() -> None:
    model = made()
    video = torch.rand(2, 9, 3, 32, 32)
    motion = rows()
    added = model(video, {"motion": motion}).logits - model(video).logits
    for b in range(2):
        for t in range(9):
            blocks = motion[b, max(0, t - 4) : t + 1].sum(0)
            expected = model.heads["motion"](fisher_vector(blocks)) * (blocks[0] > 0)
            assert_close(added[b, t], expected, atol=ROUNDED, rtol=0)
    assert added.abs().amax() > 0.1
    assert_close(model(video, {"motion": motion}).attention, model(video).attention)


def with_windows() -> LinearClassifier:
    model = made()
    M = model.num_features
    unscaled = torch.zeros(M), torch.ones(M)
    event = (*unscaled, torch.randn(1, M) / M**0.5, torch.zeros(1))
    classes = (*unscaled, torch.randn(4, M) / M**0.5, torch.randn(4))
    model.set_heads(event_heads(event, classes, motion=2.0), (3, 7))
    return model


@torch.no_grad()
def test_classes_of_windows_are_told_by_their_motion_too() -> None:
    model = with_windows()
    video = torch.rand(2, 9, 3, 32, 32)
    motion = rows()
    pictures = model(video).windows
    both = model(video, {"motion": motion}).windows
    assert_close(both.whole, pictures.whole)
    added = both.logits - pictures.logits
    for place, n in enumerate(model.lengths):
        for t in range(n - 1, 9):
            blocks = motion[:, t + 1 - n : t + 1].sum(1)
            expected = 2 * model.heads["motion"](fisher_vector(blocks)) * (blocks[:, :1] > 0)
            assert_close(added[:, t, place], expected, atol=2 * ROUNDED, rtol=0)
    assert added.abs().amax() > 0.2


@torch.no_grad()
def test_clips_and_windows_are_as_far_from_training_as_the_farther_eye_says() -> None:
    model = with_windows()
    video = torch.rand(2, 9, 3, 32, 32)
    motion = rows()
    pictures = model(video, {"motion": motion})
    center = torch.randn(F) / F**0.5

    def distance(blocks: Tensor) -> Tensor:
        return (fisher_vector(blocks) - center).square().sum(-1) * (blocks[..., 0] > 0)

    by_motion = [distance(motion[:, max(0, t - 4) : t + 1].sum(1)) for t in range(9)]
    squares = torch.stack(by_motion, 1)
    factor = float((pictures.distance / squares)[squares > 0].median())
    expected = factor * squares
    is_farther = expected > pictures.distance
    assert is_farther.any()
    assert not is_farther.all()
    set_motion_distance(model, center, clips=factor, windows=3.0)
    both = model(video, {"motion": motion})
    assert_close(both.distance, pictures.distance.maximum(expected), rtol=0.02, atol=0.01)
    assert_close(
        model(video, {"motion": torch.zeros_like(motion)}).distance, model(video).distance
    )
    # a limit between the distances of motion: where a window is farther, there is no event
    by_window = torch.stack(
        [3 * distance(motion[:, t - 2 : t + 1].sum(1)) for t in range(2, 9)], 1
    )
    model.heads["window"].scale.fill_(1e6)  # pictures are all usual
    model.heads["window"].limit = float(by_window[by_window > 0].median()) + 0.05
    possible = model(video, {"motion": motion}).windows.possible[:, 2:, 0]
    assert torch.equal(possible, by_window <= model.window_novelty_limit)
    assert possible.any()
    assert not possible.all()


@torch.no_grad()
def test_step_equals_forward() -> None:
    model = with_windows()
    set_motion_distance(model, torch.randn(F) / F**0.5, clips=1.0, windows=1.0)
    model.heads["window"].scale.fill_(1e6)
    model.heads["window"].limit = 4.5  # of some windows
    video = torch.rand(2, 9, 3, 32, 32)
    motion = rows()
    output = model(video, {"motion": motion})
    possible = output.windows.possible[:, model.lengths[-1] - 1 :]
    assert possible.any()
    assert not possible.all()
    state = model.initial_state(2)
    constant = [(part.shape, part.dtype) for part in state]
    for t in range(9):
        in_step, state = model.step(video[:, t], state, {"motion": motion[:, t]})
        assert_close(in_step.logits, output.logits[:, t], atol=1e-5, rtol=0)
        assert_close(in_step.attention, output.attention[:, t], atol=1e-5, rtol=0)
        scores = output.windows.scores[:, t]
        assert_close(in_step.windows.scores, scores, atol=1e-5, rtol=0)
        assert [(part.shape, part.dtype) for part in state] == constant
    assert output.windows.scores.std() > 0.05
    assert state.roots.nbytes == 2 * 6 * F, "a byte for each word of the longest window"


def with_states() -> LinearClassifier:
    model = made(lengths=(7, 8), heads={"state": 6})
    head = model.heads["state"]
    for part in (head.center, head.weight, head.bias):
        part.data.normal_(0, model.num_features**-0.5)
    model.set_heads({"state_motion": Head(torch.randn(6, F) / 2, torch.randn(6))})
    return model


@torch.no_grad()
def test_the_motion_of_the_shortest_window_is_added_to_its_part_in_states(
    tmp_path: Path,
) -> None:
    model = with_states()
    video = torch.rand(2, 9, 3, 32, 32)
    motion = rows()
    added = model(video, {"motion": motion}).states - model(video).states
    assert not added[:, :, 1].any()
    for t in range(9):
        blocks = motion[:, max(0, t - 6) : t + 1].sum(1)
        expected = model.heads["state_motion"](fisher_vector(blocks)) * (blocks[:, :1] > 0)
        assert_close(added[:, t, 0], expected, atol=2 * ROUNDED, rtol=0)
    assert added.abs().amax() > 0.2
    whole = model(video, {"motion": motion}).states
    state = model.initial_state(2)
    for t in range(9):
        in_step, state = model.step(video[:, t], state, {"motion": motion[:, t]})
        assert_close(in_step.states, whole[:, t], atol=1e-5, rtol=0)
    assert state.roots.nbytes == 2 * 6 * F, "a byte for each word of its window"
    model.save_pretrained(tmp_path)
    loaded = LinearClassifier.from_pretrained(tmp_path)
    assert_close(loaded(video, {"motion": motion}).states, whole)


@torch.no_grad()
def test_clips_of_a_model_whose_states_alone_are_told_by_motion_are_told_by_pictures() -> None:
    model = made(0, lengths=(3, 7), heads={"state": 2})
    video = torch.rand(2, 9, 3, 32, 32)
    before = model(video)
    model.set_heads({"state_motion": Head(torch.randn(2, F), torch.randn(2))})
    after = model(video, {"motion": rows()})
    assert_close(after.logits, before.logits)
    assert_close(after.distance, before.distance)
    assert_close(after.attention, before.attention)
    assert (after.states - before.states).abs().amax() > 0.2


@torch.no_grad()
def test_where_nothing_moves_the_answer_is_that_of_pictures() -> None:
    model = made()
    video = torch.rand(2, 9, 3, 32, 32)
    still = torch.zeros(2, 9, 1 + F)
    assert torch.equal(model(video, {"motion": still}).logits, model(video).logits)
    *in_steps, _ = stepped(model.step, None, video)
    assert_close(in_steps[0], model(video).logits, atol=1e-5, rtol=0)


def test_motion_of_another_shape_or_for_another_model_is_refused() -> None:
    video = torch.rand(1, 3, 3, 32, 32)
    with pytest.raises(
        ValueError, match=r"motion words are \(1, 3, 9\), expected \(1, 3, 25\)"
    ):
        made()(video, {"motion": torch.zeros(1, 3, 9)})
    with pytest.raises(ValueError, match="for a model with 0 features of motion"):
        made(0)(video, {"motion": torch.zeros(1, 3, 1)})


@torch.no_grad()
def test_the_head_is_saved_and_loaded(tmp_path: Path) -> None:
    plain = made(0)
    video = torch.rand(1, 6, 3, 32, 32)
    weight = torch.randn(4, F)
    plain.set_heads({"motion": Head(weight, torch.randn(4))})
    plain.save_pretrained(tmp_path / "both")
    loaded = LinearClassifier.from_pretrained(tmp_path / "both")
    assert loaded.eyes == {"motion": F}
    assert torch.equal(loaded.heads["motion"].weight, weight)
    assert_close(loaded(video, {"motion": rows(6, 1)}), plain(video, {"motion": rows(6, 1)}))


@torch.no_grad()
def test_two_eyes_are_added_alike_in_clips_and_streams_and_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = made(0, lengths=(3, 7), heads={"state": 2})
    widths = {"actor": 8, "motion": F}
    model.set_heads({f"state_{name}": Head(torch.randn(2, n)) for name, n in widths.items()})
    model.set_heads({name: Head(torch.randn(4, n)) for name, n in widths.items()})
    model.head.set_factors("actor", gain=0.5, factor=1e4)
    assert model.eyes == widths
    video = torch.rand(2, 9, 3, 32, 32)
    seen = {"motion": rows(), "actor": rows()[..., :9]}
    added = [model(video, {name: seen[name]}) for name in widths]
    both = model(video, seen)
    pictures = model(video)
    for name in ("logits", "states"):
        one, other = (getattr(output, name) - getattr(pictures, name) for output in added)
        assert_close(getattr(both, name), getattr(pictures, name) + one + other)
        assert min(one.abs().max(), other.abs().max()) > 0.1
    assert_close(both.distance, added[0].distance.maximum(added[1].distance))
    assert (both.distance > pictures.distance).any()
    model.save_pretrained(tmp_path)
    loaded = LinearClassifier.from_pretrained(tmp_path)
    again = loaded(video, seen)
    for name in ("logits", "states", "distance"):
        assert_close(getattr(again, name), getattr(both, name))
    state = loaded.initial_state(2)
    for t in range(9):
        others = {name: words[:, t] for name, words in seen.items()}
        in_step, state = loaded.step(video[:, t], state, others)
        assert_close(in_step.states, both.states[:, t], atol=1e-5, rtol=0)


@torch.no_grad()
def test_shares_of_blocks_in_the_logits_of_motion_add_up() -> None:
    model = made()
    blocks = rows(B=1)[0]
    blocks[:, 1 + 3] = 0  # a word that no block is near
    directions = model.motion_directions(blocks)
    shares = blocks[:, 1:] @ directions.T
    expected = F_.linear(fisher_vector(blocks.sum(0)), model.heads["motion"].weight)
    assert_close(shares.sum(0), expected)
    # without the blocks of a frame, if roots and norms stay as they are
    total = blocks.sum(0)
    vector = fisher_vector(total)
    for frame, share in zip(blocks, shares, strict=True):
        rest = (total - frame)[1:] / total[1:].where(total[1:] != 0, 1)
        assert_close(expected - F_.linear(vector * rest, model.heads["motion"].weight), share)
    assert not model.motion_directions(torch.zeros(3, 1 + F)).any()


@torch.no_grad()
def test_more_of_a_block_changes_the_logits_by_half_of_its_share_beyond_that_in_the_norms() -> (
    None
):
    """By finite differences: a root has half the slope of its secant, and norms grow, too."""
    model = made().double()
    blocks = rows(B=1)[0].double()
    total = blocks.sum(0)
    weight = model.heads["motion"].weight
    shares = blocks[:, 1:] @ model.motion_directions(blocks).T
    by_part = (weight * fisher_vector(total)).unflatten(1, (PARTS, -1)).sum(-1)  # `K 4`
    sums = total[1:].unflatten(0, (PARTS, -1))
    in_norms = (blocks[:, 1:].unflatten(1, (PARTS, -1)) * sums.sign()).sum(-1) / sums.abs().sum(
        -1
    )
    step = 1e-5
    for number, block in enumerate(blocks):
        ends = [
            F_.linear(fisher_vector(total + sign * step * block), weight) for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        expected = (shares[number] - by_part @ in_norms[number]) / 2
        assert_close(slope, expected, atol=1e-6, rtol=1e-5)
    assert_close(in_norms.sum(0), torch.ones(PARTS).double())
