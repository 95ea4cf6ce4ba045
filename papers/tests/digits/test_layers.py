"""Figure 1: the layers of the encoders, against the counts that the paper prints in it."""

import pytest

from onlooker_papers.digits.layers import layers_of
from onlooker_papers.digits.pretraining import SIZE

FIGURE_1 = {
    "lenet": [520, 25_050, 6_400_500, 5_010],
    "dcn": [520, 7_200, 25_050, 45_000, 102_400_500, 5_010],
}


@pytest.mark.parametrize("encoder", FIGURE_1)
def test_layers_have_the_published_numbers_of_parameters(encoder: str) -> None:
    layers = layers_of(encoder)
    assert [layer["parameters"] for layer in layers.values()] == FIGURE_1[encoder]


def test_outputs_are_those_of_the_layers() -> None:
    outputs = {name: layer["output"] for name, layer in layers_of("lenet").items()}
    assert outputs == {
        "conv 1": f"20×{SIZE}×{SIZE}",
        "conv 2": f"50×{SIZE // 2}×{SIZE // 2}",
        "fc 1": "500",
        "fc 2": "10",
    }
    assert list(layers_of("stn"))[:4] == [
        "localization conv 1",
        "localization conv 2",
        "localization fc 1",
        "localization fc 2",
    ]


def test_the_number_of_offset_weights_does_not_depend_on_the_size_of_the_map() -> None:
    """The paper: "the number of trainable offsets increases linearly"; by count, it does not."""
    from onlooker_papers.digits.encoders.dcn import DCN

    def weights(size: int) -> int:
        return sum(
            weight.numel()
            for name, weight in DCN(size=size).named_parameters()
            if "offsets" in name
        )

    assert weights(16) == weights(32) == 7_200 + 45_000
