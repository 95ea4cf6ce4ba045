"""Temporal crops: consecutive frames, spread over the clip or random in each epoch, and their mean."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onlooker.base.config import DataConfig, Modality
from onlooker.base.decision import Decision
from onlooker.base.records import Clip
from onlooker.data.clips import read_clips
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer
from onlooker_papers.videolstm.crops import ClipCrops, TemporalCrops, evaluate_crops

Make = Callable[..., Path]


@given(st.integers(1, 1000), st.integers(1, 40), st.integers(1, 12))
def test_temporal_crops_are_consecutive_and_spread_from_end_to_end(
    total: int, length: int, count: int
) -> None:
    found = TemporalCrops(length, count).rows(total)
    assert len(found) == count
    starts = [int(window[0]) for window in found]
    for window in found:
        assert window.tolist() == [min(int(window[0]) + i, total - 1) for i in range(length)]
    if count > 1:
        free = max(total - length, 0)
        assert starts[0] == 0
        assert starts[-1] == free
        assert all(abs(start - i * free / (count - 1)) < 1 for i, start in enumerate(starts))


@given(st.integers(1, 10**6), st.integers(1, 40), st.integers(1, 12))
def test_crops_are_in_the_video_and_never_go_back(total: int, length: int, count: int) -> None:
    crops = TemporalCrops(length, count)
    for indices in crops.rows(total):
        assert 0 <= indices[0] <= indices[-1] < total
        assert (np.diff(indices) >= 0).all()


@pytest.mark.parametrize("streams", ["rgb", "flow", "both"])
def test_crops_of_clips_are_consecutive_frames(
    make_clip: Make, tmp_path: Path, streams: Modality
) -> None:
    path = make_clip(frames=12)
    config = DataConfig(frames=12, size=16, modality=streams)
    every, _ = read_clips([Clip(path, "a")] * 40, ["a"], config, cache=tmp_path)
    samples = ClipCrops(every.clips, every.files, ["a"], sampling=TemporalCrops(5, 3))
    whole = every[0][0]
    assert torch.equal(samples[0][0], whole[3:8]), "the central crop"
    expected = torch.stack([whole[start : start + 5] for start in (0, 3, 7)])
    assert torch.equal(samples.every_crop(0), expected)

    drawn = samples.random(seed=1)

    def starts(epoch: int) -> list[int]:
        drawn.set_epoch(epoch)
        found = []
        for i in range(40):
            (start,) = [s for s in range(8) if torch.equal(drawn[i][0], whole[s : s + 5])]
            found.append(start)
        return found

    first = starts(0)
    second = starts(1)
    assert set(first + second) == set(range(8)), "every crop occurs"
    assert first != second
    assert starts(0) == first
    assert torch.equal(samples[0][0], whole[3:8])
    assert drawn.subset(drawn.clips[:2]).random(1)[1][0].shape == whole[:5].shape


@pytest.mark.parametrize("aggregation", ["mean", "product", "last"])
def test_scores_are_averaged_over_crops(make_clip: Make, tmp_path: Path, aggregation: str) -> None:
    path = make_clip(frames=14)
    data = DataConfig(frames=6, size=16, normalization="half")
    torch.manual_seed(0)
    of = Recognizer(
        create_model("convalstm", 2, encoder="conv4", size=16, hidden=4),
        data,
        Decision(("a", "b"), aggregation=aggregation),
    )
    every, _ = read_clips([Clip(path, "a")], ["a", "b"], replace(data, frames=14), cache=tmp_path)
    samples = ClipCrops(every.clips, every.files, ["a", "b"], sampling=TemporalCrops(6, 3))
    seen = evaluate_crops(of, samples)
    starts = (0, 4, 8)
    whole = every[0][0]
    answers = [of.classify(whole[None, start : start + 6]).scores[0] for start in starts]
    np.testing.assert_allclose(
        seen.scores[0], np.mean([of.decision.aggregate(answer) for answer in answers], 0), rtol=1e-5
    )
    np.testing.assert_allclose(seen.frame_scores[0], np.concatenate(answers), rtol=1e-4)
