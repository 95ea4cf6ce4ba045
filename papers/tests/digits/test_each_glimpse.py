"""The head that reads each glimpse."""

import itertools
import math

import pytest
import torch

from onlooker.models.registry import create_model
from onlooker_papers.digits.track_classifier import EachGlimpse


@pytest.mark.parametrize(
    ("symbols", "glimpses", "classes"), [(10, 1, 10), (10, 2, 55), (3, 3, 10), (1, 2, 1)]
)
def test_a_class_is_as_probable_as_all_orders_of_its_symbols(
    symbols: int, glimpses: int, classes: int
) -> None:
    head = EachGlimpse(
        6 * glimpses, glimpses, head_units=5, dropout=0.0, num_classes=classes
    ).eval()
    features = torch.randn(4, 6 * glimpses)
    got = head(features)
    assert got.shape == (4, classes)
    read = torch.stack(
        [head.read(features[:, 6 * g : 6 * g + 6]).softmax(1) for g in range(glimpses)]
    )
    groups = list(itertools.combinations_with_replacement(range(symbols), glimpses))
    expected = torch.zeros(4, classes)
    for order in itertools.product(range(symbols), repeat=glimpses):
        probability = math.prod(read[g, :, symbol] for g, symbol in enumerate(order))
        expected[:, groups.index(tuple(sorted(order)))] += probability
    torch.testing.assert_close(got.exp(), expected)
    torch.testing.assert_close(got.softmax(1), expected)  # its scores are probabilities already


def test_gradients_are_finite_where_a_class_has_one_order_alone() -> None:
    head = EachGlimpse(8, 2, head_units=0, dropout=0.0, num_classes=55)
    features = torch.randn(3, 8, requires_grad=True)
    head(features)[:, 0].sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert features.grad.abs().sum() > 0


def test_an_unknown_head_is_an_error() -> None:
    with pytest.raises(ValueError, match="head is 'two', expected one of joint, each-glimpse"):
        create_model("tracks", 55, in_channels=1, size=64, head="two")


def test_classes_that_are_no_groups_are_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"54 classes are not the unordered groups of 2 .*: 10 symbols make 55"
    ):
        EachGlimpse(8, 2, head_units=0, dropout=0.0, num_classes=54)
