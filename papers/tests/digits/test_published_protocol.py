"""The published protocol of the digits: its videos, the four readings of what was tested, and the
comparison with the paper.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from onlooker.data.transforms import to_video
from onlooker.models.classifier import Classifier
from onlooker_papers.digits import published
from onlooker_papers.digits.budget import STANDARD
from onlooker_papers.digits.rounds import Rounds, TestSets
from onlooker_papers.mnist import Digits, DigitSplit


def squares(level: int) -> Digits:
    """Twenty equal squares of a gray level, two of each class: only where they move differs."""
    images = np.zeros((20, 28, 28), np.uint8)
    images[:, 8:20, 8:20] = level
    return Digits(images, np.arange(20) % 10)


@pytest.mark.parametrize("variant", ["normal", "rotation+scale"])
def test_each_reading_shares_with_the_training_videos_what_its_name_says(variant: str) -> None:
    """Training digits are darker than test digits, so that a video shows where its digits are from."""
    sets = published.videos(squares(100), squares(200), variant, frames=10)
    learn = sets["training"]
    assert list(published.READINGS) == [name for name in sets if name != "training"]
    for batch in sets.values():
        assert batch.video.shape == (100, 10, 1, 64, 64)
        assert published.ordered_label(batch.labels).tolist() == list(range(100))
    assert torch.equal(sets["same-videos"].video, learn.video)
    assert torch.equal(sets["same-digits"].indices, learn.indices)
    levels = {name: sets[name].video.flatten(1).amax(1).unique().tolist() for name in sets}
    apart = {name: (sets[name].boxes - learn.boxes).abs().nanmean() for name in sets}
    # Brighter edges of a rotated square may reach a pixel further.
    assert [(levels[name], apart[name] < 0.5) for name in published.READINGS] == [
        ([100], True),
        ([100], False),
        ([200], True),
        ([200], False),
    ]


def test_digits_move_at_the_published_speeds(splits: DigitSplit) -> None:
    """Shan & Atanasov 2017: 50 frames of 64 × 64, 4 to 12 pixels per frame, for each of 100 pairs."""
    batch = published.videos(splits.training, splits.test, "normal")["training"]
    assert batch.video.shape == (100, 50, 1, 64, 64)
    corners = batch.boxes[..., :2]
    # The longest way along each axis is one without a bounce, rounded to whole pixels.
    speeds = corners.diff(dim=1).abs().amax(1).norm(dim=-1)
    assert 4 - 1 < speeds.min() < 5
    assert 11 < speeds.max() < 12 + 2**0.5
    assert 8 < speeds.mean() < 9


def test_a_cell_tests_each_reading_on_its_videos_with_the_published_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = DigitSplit(squares(100), squares(150), squares(200))
    tested: dict[str, set[float]] = {}

    def note(
        features: Tensor, targets: Tensor, tests: TestSets, *, model: str, rounds: int
    ) -> dict[str, Rounds]:
        assert (features.shape, features.unique().tolist()) == ((100, 50, 1), [100])
        assert targets.tolist() == list(range(100))
        tested.update({name: {*given.unique().tolist()} for name, (given, _) in tests.items()})
        return {name: Rounds(torch.zeros(rounds), torch.ones(rounds)) for name in tests}

    brightest = lambda _, video: video.flatten(2).float().amax(2, keepdim=True)  # noqa: E731
    monkeypatch.setattr(published, "train_rounds", note)
    monkeypatch.setattr(published, "encode", brightest)
    monkeypatch.setattr(published, "pretrained", lambda *_: nn.Identity())
    monkeypatch.setattr(published, "fingerprint", lambda _: "")
    published.table_cell(
        tmp_path,
        tmp_path,
        variant="normal",
        encoder="lenet",
        recipe="published",
        rounds={published.CODE: 2},
        splits=splits,
    )
    assert tested == {
        "same-videos": {100},
        "same-digits": {100},
        "same-paths": {200},
        "new": {200},
    }


def test_encoding_is_what_the_encoder_says_frame_by_frame(splits: DigitSplit) -> None:
    model = Classifier(
        10, "memoryless", attention=None, encoder="lenet", in_channels=1, size=64
    ).eval()
    video = published.videos(splits.training, splits.test, "normal", frames=2)["new"].video[:30]
    features = published.encode(model, video)
    assert features.shape == (30, 2, 500)
    assert not features.requires_grad
    with torch.inference_mode():
        one = model.encode(to_video(video[7, 1].movedim(0, -1)[None], "mnist")).flatten()
    assert features.dtype == torch.float32
    # Within the rounding of bfloat16, which the processor may compute in.
    assert (features[7, 1] - one).abs().max() < 0.02 * one.abs().max()


def test_the_order_of_encoders_is_that_of_the_paper_or_not() -> None:
    def row(**losses: float) -> dict[str, Any]:
        same = {e: {"loss": loss, "accuracy": 1 - loss / 10} for e, loss in losses.items()}
        return {e: {"lstm-keras": {"same-videos": figures}} for e, figures in same.items()}

    cells = {
        "normal": row(lenet=1.4, stn=2.0, dcn=1.5),
        "gesture": row(lenet=1.5, stn=1.4, dcn=1.2),
    }
    found = published.with_distances(cells)
    orders = {
        v: {e: of["order_holds"]["loss"] for e, of in rows.items()} for v, rows in found.items()
    }
    assert orders["normal"] == {"lenet": False, "stn": True, "dcn": False}, (
        "dcn's is the lowest in the paper"
    )
    assert orders["gesture"] == {"lenet": True, "stn": True, "dcn": True}, (
        "the paper has lenet and stn alike"
    )
    assert found["normal"]["lenet"]["distance"]["loss"] == pytest.approx(1.4 - 1.44)
    assert found["normal"]["lenet"]["distance_of_slides"]["loss"] == pytest.approx(1.4 - 1.39)
    assert "distance_of_slides" not in found["gesture"]["lenet"]


def test_every_form_of_an_encoder_in_the_budget_is_compared_with_the_paper() -> None:
    figures = {"lstm-keras": {"same-videos": {"loss": 1.5, "accuracy": 0.9}}}
    row = dict.fromkeys(STANDARD.pretraining, figures)
    found = published.with_distances({"normal": row})["normal"]
    assert {"dcn:tap", "dcn:literal", "stn:literal"} < found.keys()
    for encoder, of in found.items():
        plain = encoder.partition(":")[0]
        assert of["distance"]["loss"] == 1.5 - published.PUBLISHED["normal"][plain][0]


def test_smooth_gestures_differ_from_torn_ones_in_the_window_alone(splits: DigitSplit) -> None:
    torn, smooth = (
        published.videos(splits.training, splits.test, variant, frames=5)["training"]
        for variant in ("gesture", published.SMOOTH)
    )
    assert torch.equal(torn.indices, smooth.indices)
    assert not torch.equal(torn.video, smooth.video)

    def roughness(video: torch.Tensor) -> float:
        return video.float().diff(dim=-1).abs().mean().item()

    assert roughness(smooth.video) < 0.8 * roughness(torn.video), "torn digits have more edges"
