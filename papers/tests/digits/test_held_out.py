"""Unseen pairs: how they are scored, and which model is recorded."""

from pathlib import Path

import numpy as np
import pytest
import torch

from onlooker.base.decision import Decision
from onlooker.models.registry import create_model
from onlooker.recognizer import Classification, Recognizer
from onlooker_papers.digits import held_out
from onlooker_papers.digits.data.moving_mnist import PAIRS, Batch, MovingDigits, pair_label
from onlooker_papers.digits.held_out import pair_posterior
from onlooker_papers.digits.models import DigitModel
from onlooker_papers.mnist import DigitSplit


def test_the_posterior_of_a_pair_is_that_of_its_digits_in_either_order() -> None:
    chance = torch.Generator().manual_seed(0)
    first, second = (torch.rand(5, 10, generator=chance).softmax(1) for _ in range(2))
    pairs = pair_posterior(first, second)
    for b in range(5):
        for index, name in enumerate(PAIRS):
            low, high = map(int, name.split("+"))
            naive = first[b, low] * second[b, high]
            if low != high:
                naive = naive + first[b, high] * second[b, low]
            torch.testing.assert_close(pairs[b, index], naive)
    torch.testing.assert_close(pairs.sum(1), torch.ones(5))


@pytest.mark.parametrize("aggregation", ["mean", "product"])
def test_the_aggregation_scores_videos(
    monkeypatch: pytest.MonkeyPatch, splits: DigitSplit, aggregation: str
) -> None:
    # sure of each frame
    frames = np.random.default_rng(0).dirichlet(np.full(len(PAIRS), 0.02), (40, 12)).clip(1e-6)
    answer = lambda recognizer, samples: Classification(frames.astype(np.float32))  # noqa: E731
    monkeypatch.setattr(Recognizer, "classify", answer)
    videos = MovingDigits(splits.validation, frames=12).batch(40, seed=3)
    right = pair_label(videos.labels).numpy()
    frames[np.arange(40), :, right] += 0.1
    frames /= frames.sum(2, keepdims=True)
    said = {"mean": frames.mean(1).argmax(1), "product": np.log(frames).sum(1).argmax(1)}
    assert (said["mean"] == right).mean() < (said["product"] == right).mean()
    early = {
        "mean": frames[:, :10].mean(1).argmax(1),
        "product": np.log(frames[:, :10]).sum(1).argmax(1),
    }
    model = create_model("convnet", len(PAIRS), encoder="conv4", in_channels=1, size=64)
    figures = held_out.score(
        Recognizer(model, held_out.DATA, Decision(PAIRS, aggregation=aggregation)), videos
    )
    assert figures["accuracy"] == pytest.approx((said[aggregation] == right).mean())
    assert figures["short_accuracy"] == pytest.approx((early[aggregation] == right).mean())


def test_whole_videos_of_validation_digits_judge_the_model_that_is_there_now(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, splits: DigitSplit
) -> None:
    spec = DigitModel("lenet", model="convnet")
    seen = []
    right = {"accuracy": 0.25}

    def score(_: object, videos: Batch) -> dict[str, float]:
        seen.append(videos.video)
        return right

    monkeypatch.setattr(held_out, "score", score)
    monkeypatch.setattr(
        held_out, "fit", lambda *_, **__: {"validation": {"loss": [0.0], "accuracy": [0.0]}}
    )
    monkeypatch.setattr(held_out, "seconds", lambda _: 0.0)
    trial = held_out.Trial(tmp_path, tmp_path, "normal", spec, 1, 3, splits)
    trial.train()
    assert trial.validate() == trial.validate() == 0.25
    assert len(seen) == 2  # the test, and validation once
    expected = MovingDigits(splits.validation, frames=held_out.FRAMES).batch(3, seed=3).video
    assert torch.equal(seen[1], expected)
    # Trained again, it is judged again.
    (tmp_path / "normal" / f"{spec.name}.json").unlink()
    right = {"accuracy": 0.75}
    trial.train()
    assert trial.validate() == 0.75


def test_validation_chooses_the_model_that_is_recorded() -> None:
    models = {
        "a": {"validation": 0.8, "accuracy": 0.7},
        "b": {"validation": 0.7, "accuracy": 0.9},
        "ceiling": {"validation": 1.0, "accuracy": 1.0},
        "ceiling-tracks": {"validation": 1.0, "accuracy": 1.0},
    }
    assert held_out.best(models) == "a"


@pytest.mark.parametrize(
    ("videos", "epochs", "size"), [(1, 1, 32), (100, 1, 96), (1_600, 1, 1_600), (96_000, 30, 3_200)]
)
def test_a_small_budget_is_what_it_says_and_a_large_one_has_many_epochs(
    videos: int, epochs: int, size: int
) -> None:
    how, of_epoch = held_out.schedule(DigitModel("lenet", batch=32), videos)
    assert (how.epochs, of_epoch) == (epochs, size)
