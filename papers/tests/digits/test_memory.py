"""The memory of a training is measured in a separate process."""

import pytest

from onlooker_papers.digits.memory import peak_memory


@pytest.mark.slow
def test_peak_memory_is_that_of_a_separate_process() -> None:
    small, large = peak_memory("conv4", 1, videos=1, frames=1), peak_memory("conv4", 1, videos=64, frames=20)
    assert 0.1 < small < 1.5
    # 1,280 frames of 64×64 in float32 alone are 20 MiB; the first layer's 16 maps of 32×32 are 80.
    assert large > small + 0.1


@pytest.mark.slow
def test_peak_memory_does_not_know_what_its_parent_had() -> None:
    small = peak_memory("conv4", 1, videos=1, frames=1)
    bytearray(1 << 30)[:] = b"\1" * (1 << 30)
    assert peak_memory("conv4", 1, videos=1, frames=1) < small + 0.2
