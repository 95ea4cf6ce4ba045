"""What every cell must satisfy, with every attention: steps equal unrolling, and the state is an
explicit value.
"""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.models.cells import CELLS, build_cell
from onlooker.models.cells.attentive import ATTENTIONS, GLIMPSES
from onlooker.models.cells.cell import State, unroll
from onlooker.models.cells.lstm import LSTM, ConvLSTM
from onlooker_papers.hmdb10 import attention as context  # noqa: F401  # it registers an attention

# What can ask with which state: `soft` with a vector, `conv` and `context` with a map.
ASKS = {
    "memoryless": (),
    "lstm": ("soft",),
    "convlstm": ("conv", "context", "motion"),
    "tcn": ("soft",),
}
LOOKS = [
    (cell, look)
    for cell in ASKS
    for look in itertools.product(ASKS[cell], GLIMPSES)
    if look != ("motion", "sum")
]
SETTINGS = [(cell, None) for cell in CELLS] + LOOKS
NAMES = ["-".join([cell, *(look or [])]) for cell, look in SETTINGS]
every_setting = pytest.mark.parametrize("setting", SETTINGS, ids=NAMES)
few = settings(max_examples=8, deadline=None)
sizes = {
    "T": st.integers(2, 6),
    "h": st.integers(1, 4),
    "w": st.integers(1, 4),
    "seed": st.integers(0, 99),
}

D = 5
HIDDEN = 4


def test_every_cell_and_attention_is_tested():
    assert list(ASKS) == list(CELLS)
    assert {name for names in ASKS.values() for name in names} == {*ATTENTIONS, "motion"}


def made(setting, B, T, h, w, seed):
    """A cell in double precision, features, and a state that is not the initial one."""
    torch.manual_seed(seed)
    cell = build_cell(setting[0], D, HIDDEN, (h, w), *(setting[1] or ())).double().eval()
    state = cell.initial_state(B, (h, w), torch.device("cpu"), torch.double)
    state = State(*(torch.randn_like(part) for part in state))
    return cell, torch.randn(B, T, D, h, w, dtype=torch.double), state


def same(a, b):
    """Two results: tensors, None, or tuples of them."""
    if a is None or b is None:
        return a is b
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-12)


def join(a, b, dim):
    return None if a is None else torch.cat([a, b], dim)


@every_setting
@few
@given(**sizes, t=st.integers(1, 5))
@torch.no_grad()
def test_unrolling_in_two_parts_equals_unrolling_at_once(setting, T, h, w, seed, t):
    t = min(t, T - 1)
    cell, features, state = made(setting, 2, T, h, w, seed)
    first = unroll(cell, features[:, :t], state)
    second = unroll(cell, features[:, t:], first[1])
    joined = tuple(join(a, b, 1) for a, b in zip(first[0], second[0], strict=True)), second[1]
    assert same(unroll(cell, features, state), joined)


@every_setting
@few
@given(**sizes)
@torch.no_grad()
def test_a_batch_of_two_equals_two_of_one(setting, T, h, w, seed):
    cell, features, state = made(setting, 2, T, h, w, seed)
    apart = [
        unroll(cell, features[n : n + 1], State(*(part[n : n + 1] for part in state)))
        for n in range(2)
    ]
    joined = (
        tuple(join(a, b, 0) for a, b in zip(apart[0][0], apart[1][0], strict=True)),
        tuple(join(a, b, 0) for a, b in zip(apart[0][1], apart[1][1], strict=True)),
    )
    assert same(unroll(cell, features, state), joined)


@every_setting
@few
@given(**sizes)
@torch.no_grad()
def test_one_call_per_frame_equals_unrolling(setting, T, h, w, seed):
    cell, features, state = made(setting, 2, T, h, w, seed)
    outputs, last = unroll(cell, features, state)
    for t in range(T):
        assert same(cell(features[:, t], state), cell.recur(cell.project(features[:, t]), state))
        output, state = cell(features[:, t], state)
        assert same(tuple(output), tuple(None if part is None else part[:, t] for part in outputs))
    assert same(state, last)


@every_setting
@torch.no_grad()
def test_two_streams_through_one_cell_do_not_disturb_each_other(setting):
    cell, features, state = made(setting, 2, 5, 3, 2, 0)
    weights = copy.deepcopy(cell.state_dict())
    alone = [
        unroll(cell, features[n : n + 1], State(*(part[n : n + 1] for part in state)))
        for n in range(2)
    ]
    states = [State(*(part[n : n + 1].clone() for part in state)) for n in range(2)]
    for t in range(5):
        for n in (0, 1):
            kept = copy.deepcopy(states[n])
            output, after = cell(features[n : n + 1, t], states[n])
            assert all(torch.equal(a, b) for a, b in zip(kept, states[n], strict=True)), (
                "the state was changed in place"
            )
            assert same(output.hidden, alone[n][0].hidden[:, t])
            # A copied state is the stream at that moment: stepping it again says the same.
            assert same((output, after), cell(features[n : n + 1, t], kept))
            states[n] = after
    assert all(torch.equal(value, weights[key]) for key, value in cell.state_dict().items())
    assert not list(cell.buffers()), "a cell keeps nothing but weights"
    for module in cell.modules():
        assert not [
            key for key, value in vars(module).items() if isinstance(value, torch.Tensor | State)
        ]


@every_setting
@torch.no_grad()
def test_outputs_do_not_depend_on_later_frames(setting):
    cell, features, state = made(setting, 1, 5, 3, 2, 1)
    before, _ = unroll(cell, features, state)
    features[:, 3:] += 1
    after, _ = unroll(cell, features, state)
    assert not same(before.hidden[:, 3:], after.hidden[:, 3:])
    for a, b in zip(before, after, strict=True):
        assert a is None or same(a[:, :3], b[:, :3])


@every_setting
@torch.no_grad()
def test_shapes_and_attention(setting):
    cell, features, _ = made(setting, 2, 3, 4, 6, 2)
    state = cell.initial_state(2, (4, 6), torch.device("cpu"), torch.double)
    assert not any(part.any() for part in state), "a stream starts from nothing"
    (hidden, attention), last = unroll(cell, features, state)
    assert hidden.shape[:3] == (2, 3, cell.num_hidden)
    assert [part.shape for part in last] == [part.shape for part in state]
    assert all(part.dtype == torch.double for part in (*state, *last, hidden))
    if setting[1] is None:
        assert attention is None
    else:
        assert attention.shape == (2, 3, 4, 6)
        assert (attention >= 0).all()
        assert torch.allclose(
            attention.sum((2, 3)), torch.ones(2, 3, dtype=torch.double), atol=1e-12
        )


@every_setting
def test_gradients_reach_every_weight_and_every_frame(setting):
    cell, features, state = made(setting, 2, 3, 3, 4, 3)
    features.requires_grad_()
    (hidden, _), _ = unroll(cell, features, state)
    (hidden[:, -1] * torch.randn_like(hidden[:, -1])).sum().backward()
    assert [key for key, p in cell.named_parameters() if p.grad is None or not p.grad.any()] == []
    reached = features.grad.flatten(2).any(2).all(0)
    assert reached.tolist() == (
        [False, False, True] if setting == ("memoryless", None) else [True] * 3
    )


def test_unknown_names_are_errors():
    with pytest.raises(
        ValueError, match="unknown cell 'gurke'; there are memoryless, lstm, convlstm, tcn"
    ):
        build_cell("gurke", D, HIDDEN, (2, 2))
    with pytest.raises(ValueError, match="unknown attention 'hard'; there are soft, conv, context"):
        build_cell("lstm", D, HIDDEN, (2, 2), "hard", "sum")
    with pytest.raises(ValueError, match="glimpse is 'peek', expected one of sum, product, scaled"):
        build_cell("lstm", D, HIDDEN, (2, 2), "soft", "peek")


@pytest.mark.parametrize(
    ("cell", "attention"), [("lstm", "conv"), ("lstm", "context"), ("convlstm", "soft")]
)
def test_an_attention_that_does_not_fit_the_state_is_an_error_when_built(cell, attention):
    found = f"attention '{attention}' does not take the state of a {cell} cell; use {ASKS[cell][0]}"
    with pytest.raises(ValueError, match=found):
        build_cell(cell, D, HIDDEN, (2, 2), attention, "scaled")


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_cell_without_memory_cannot_attend(attention):
    with pytest.raises(
        ValueError, match="a memoryless cell cannot attend: it has no state to attend with; use"
    ):
        build_cell("memoryless", D, HIDDEN, (2, 2), attention, "sum")


def test_a_new_cell_gets_the_attention_that_fits_its_state(monkeypatch):
    # Its state is wider than it was asked for: what the attention asks with is the state, not the
    # setting.
    monkeypatch.setitem(
        CELLS, "mine", lambda num_features, hidden, grid: ConvLSTM(num_features, 2 * hidden)
    )
    monkeypatch.setitem(
        CELLS, "my vectors", lambda num_features, hidden, grid: LSTM(num_features, hidden)
    )
    cell, features, state = made(("mine", ("conv", "sum")), 1, 2, 3, 3, 0)
    assert unroll(cell, features, state)[0].attention.shape == (1, 2, 3, 3)
    with pytest.raises(
        ValueError, match="attention 'soft' does not take the state of a mine cell; use conv, for"
    ):
        build_cell("mine", D, HIDDEN, (3, 3), "soft", "sum")
    with pytest.raises(
        ValueError, match=r"attention 'conv' does not take the state of a my vectors cell; use soft"
    ):
        build_cell("my vectors", D, HIDDEN, (3, 3), "conv", "sum")
