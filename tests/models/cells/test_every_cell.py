"""What every cell must satisfy, with every attention: steps equal unrolling, and the state is an
explicit value.
"""

import copy
import functools
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onlooker.models.cells import CELLS, CellSpec, build_cell
from onlooker.models.cells.attentive import ATTENTIONS, GLIMPSES
from onlooker.models.cells.cell import State, unroll
from onlooker.models.cells.lstm import ConvLSTM
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


def looks(*arguments):
    """Attention and glimpse as `build_cell` takes them."""
    return dict(zip(("attention", "glimpse"), arguments, strict=False))


def made(setting, B, T, h, w, seed):
    """A cell in double precision, features, and a state that is not the initial one."""
    torch.manual_seed(seed)
    cell = (
        build_cell(setting[0], D, HIDDEN, grid=(h, w), **looks(*(setting[1] or ())))
        .double()
        .eval()
    )
    state = cell.initial_state(B, (h, w), device=torch.device("cpu"), dtype=torch.double)
    state = State(*(torch.randn_like(part) for part in state))
    return cell, torch.randn(B, T, D, h, w, dtype=torch.double), state


close = functools.partial(torch.testing.assert_close, rtol=0, atol=1e-12)


def only(result, n):
    """One video of a result; None stays None."""
    return type(result)(*(None if part is None else part[n : n + 1] for part in result))


@every_setting
@few
@given(**sizes)
@torch.no_grad()
def test_a_batch_of_two_equals_two_of_one(setting, T, h, w, seed):
    cell, features, state = made(setting, 2, T, h, w, seed)
    outputs, last = unroll(cell, features, state)
    for n in range(2):
        close(
            unroll(cell, features[n : n + 1], only(state, n)), (only(outputs, n), only(last, n))
        )


@every_setting
@few
@given(**sizes)
@torch.no_grad()
def test_one_call_per_frame_equals_unrolling_and_changes_nothing(setting, T, h, w, seed):
    cell, features, state = made(setting, 2, T, h, w, seed)
    weights = copy.deepcopy(cell.state_dict())
    outputs, last = unroll(cell, features, state)
    for t in range(T):
        before = copy.deepcopy(state)
        output, after = cell(features[:, t], state)
        close((output, after), cell.recur(cell.project(features[:, t]), state))
        close(state, before, atol=0)
        close(tuple(output), tuple(None if part is None else part[:, t] for part in outputs))
        state = after
    close(state, last)
    close(cell.state_dict(), weights, atol=0)


@every_setting
@torch.no_grad()
def test_shapes_and_attention(setting):
    cell, features, _ = made(setting, 2, 3, 4, 6, 2)
    state = cell.initial_state(2, (4, 6), device=torch.device("cpu"), dtype=torch.double)
    assert not any(part.any() for part in state), "a stream starts from nothing"
    (hidden, attention), last = unroll(cell, features, state)
    assert hidden.shape[:3] == (2, 3, cell.num_hidden)
    assert [part.shape for part in last] == [part.shape for part in state]
    assert all(part.dtype == torch.double for part in (*state, *last, hidden))
    if setting == ("memoryless", None):
        close(hidden, features)
    if setting[1] is None:
        assert attention is None
    else:
        assert attention.shape == (2, 3, 4, 6)
        assert (attention >= 0).all()
        close(attention.sum((2, 3)), torch.ones(2, 3, dtype=torch.double))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gurke"], "unknown cell 'gurke'; there are memoryless, lstm, convlstm, tcn"),
        (["lstm", "hard", "sum"], "unknown attention 'hard'; there are soft, conv, context"),
        (["lstm", "soft", "peek"], "'peek', expected one of sum, product, scaled"),
        (["lstm", "conv", "scaled"], "does not take the state of a lstm cell; use soft"),
        (["lstm", "context", "scaled"], "does not take the state of a lstm cell; use soft"),
        (
            ["convlstm", "soft", "scaled"],
            "does not take the state of a convlstm cell; use conv",
        ),
        (
            ["lstm", "motion", "scaled"],
            "'motion' needs cell convlstm and glimpse product or scaled, not lstm and scaled",
        ),
        (["convlstm", "motion", "sum"], "product or scaled, not convlstm and sum"),
        *(
            (["memoryless", name, "sum"], "has no state to attend with; use")
            for name in ATTENTIONS
        ),
    ],
)
def test_names_that_do_not_fit_are_errors(arguments, message):
    name, *look = arguments
    with pytest.raises(ValueError, match=message):
        build_cell(name, D, HIDDEN, grid=(2, 2), **looks(*look))


@every_setting
def test_gradients_reach_every_weight_and_every_frame(setting):
    cell, features, state = made(setting, 2, 3, 3, 4, 3)
    features.requires_grad_()
    (hidden, _), _ = unroll(cell, features, state)
    (hidden[:, -1] * torch.randn_like(hidden[:, -1])).sum().backward()
    assert [
        key for key, p in cell.named_parameters() if p.grad is None or not p.grad.any()
    ] == []
    reached = features.grad.flatten(2).any(2).all(0)
    assert reached.tolist() == (
        [False, False, True] if setting == ("memoryless", None) else [True] * 3
    )


def test_a_new_cell_gets_the_attention_that_fits_its_state(monkeypatch):
    # Its state is wider than it was asked for: what the attention asks with is the state, not the
    # setting.
    monkeypatch.setitem(
        CELLS, "mine", CellSpec(lambda D, hidden, grid: ConvLSTM(D, 2 * hidden))
    )
    cell, features, state = made(("mine", ("conv", "sum")), 1, 2, 3, 3, 0)
    assert unroll(cell, features, state)[0].attention.shape == (1, 2, 3, 3)
    with pytest.raises(
        ValueError, match="does not take the state of a mine cell; use conv, for"
    ):
        build_cell("mine", D, HIDDEN, grid=(3, 3), attention="soft", glimpse="sum")
