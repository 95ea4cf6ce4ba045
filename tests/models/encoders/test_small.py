"""The encoder `small`: its cost, its map, and blocks that start as the identity."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from onlooker.models.encoders.small import Residual, Small
from onlooker.models.video_model import count_parameters
from onlooker_papers.encoder.export import multiply_adds


def test_it_is_small_enough_for_a_laptop() -> None:
    encoder = Small().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        features = encoder(torch.zeros(1, 3, 112, 112))
    assert features.shape == (1, 256, 7, 7)
    assert counter.get_total_flops() / 2 <= 200e6  # multiply-adds
    assert 2 * count_parameters(encoder) <= 4e6  # bytes in half precision


def test_its_docstring_and_its_card_state_its_cost() -> None:
    assert [round(multiply_adds(size) / 1e6) for size in (64, 112)] == [65, 199]
    assert count_parameters(Small()) == 1_567_920
    assert "65 million multiply-adds" in (Small.__doc__ or "")


def test_a_new_block_is_the_identity_after_relu() -> None:
    features = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(Residual(8)(features), features.relu())
