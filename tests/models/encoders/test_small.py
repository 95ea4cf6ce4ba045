"""The encoder `small`: its cost, its features, and blocks that are initialized as the identity."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from onlooker.models.encoders.small import Residual, Small
from onlooker.models.video_model import count_parameters
from onlooker_papers.encoder.export import multiply_adds


def test_it_is_small_enough_for_a_laptop() -> None:
    encoder = Small().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        features = encoder(torch.zeros(1, 3, 112, 112))
    assert features.shape == (1, 560, 7, 7)
    assert counter.get_total_flops() / 2 <= 200e6  # multiply-adds
    assert 2 * count_parameters(encoder) <= 4e6  # bytes in half precision


def test_its_docstring_and_its_card_state_its_cost() -> None:
    assert [round(multiply_adds(size) / 1e6) for size in (64, 112)] == [65, 199]
    assert count_parameters(Small()) == 1_567_920
    assert "65 million multiply-adds" in " ".join((Small.__doc__ or "").split())


@pytest.mark.parametrize("size", [64, 100, 112, 33])
@torch.no_grad()
def test_features_of_four_depths_are_averaged_over_the_cells_of_the_last_map(size: int) -> None:
    encoder = Small().eval()
    frames = torch.rand(2, 3, size, size)
    features = encoder(frames)
    assert features.shape == (2, encoder.num_features, *encoder.grid(size, size))
    torch.testing.assert_close(features[:, -256:], encoder.layers(frames))
    earlier = encoder.layers[:2](frames)
    torch.testing.assert_close(features[:, :48, 0, 0], earlier[:, :, :4, :4].mean((2, 3)))


def test_a_new_block_is_the_identity_after_relu() -> None:
    features = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(Residual(8)(features), features.relu())
