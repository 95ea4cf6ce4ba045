"""Averaged weights compared with a naive loop over the steps; they are validated and kept."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_fit import DATA, TRAIN, Brightness, train
from torch import Tensor, nn

from onlooker.data.transforms import to_video
from onlooker.models.registry import create_model
from onlooker.models.video_model import VideoModel
from onlooker.training.fit import Fitting, fit
from onlooker.training.losses import frame_cross_entropy
from onlooker.training.weight_average import WeightAverage

AVERAGED = replace(TRAIN, ema=0.8)


def small() -> VideoModel:
    torch.manual_seed(0)
    return create_model("lstm", 2, in_channels=1, size=16, hidden=8)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def test_the_average_of_constant_weights_is_those_weights() -> None:
    model = small()
    average = WeightAverage(model, 0.99)
    for step in range(1, 6):
        average.update(model, step)
    torch.testing.assert_close(weights(average.model), weights(model), rtol=0, atol=0)


def averaged(average: dict[str, Tensor], weight: dict[str, Tensor], decay: float) -> dict[str, Tensor]:
    """A step of the average; integer buffers (counts of batches) are copied."""
    floats = {name for name, tensor in weight.items() if tensor.is_floating_point()}
    return {name: decay * average[name] + (1 - decay) * now if name in floats else now for name, now in weight.items()}


def test_weights_and_running_statistics_are_those_of_a_naive_loop_whose_decay_starts_small() -> None:
    model = small()
    average, naive = WeightAverage(model, 0.3), weights(model)
    assert {"encoder.layers.1.running_mean", "encoder.layers.1.num_batches_tracked"} <= set(naive)
    for step in range(1, 8):
        for tensor in model.state_dict().values():
            tensor.add_(torch.randn_like(tensor) if tensor.is_floating_point() else 1)
        average.update(model, step)
        naive = averaged(naive, weights(model), {1: 2 / 11, 2: 3 / 12}.get(step, 0.3))  # 4/13 is more than 0.3
    torch.testing.assert_close(weights(average.model), naive)


def test_frozen_weights_are_shared() -> None:
    model = small()
    model.encoder.requires_grad_(False)  # type: ignore[union-attr]
    average = dict(WeightAverage(model, 0.9).model.named_parameters())
    shared = {name for name, weight in model.named_parameters() if average[name] is weight}
    assert shared == {name for name in average if name.startswith("encoder.")}


def test_training_keeps_the_average_of_its_steps_and_validates_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    update = WeightAverage.update

    def recorded(self: WeightAverage, model: VideoModel, step: int) -> None:
        steps.append(weights(model))
        assert step == len(steps)
        update(self, model, step)

    monkeypatch.setattr(WeightAverage, "update", recorded)
    naive = weights(small())
    model, curves = train(tmp_path, AVERAGED)
    assert len(steps) == 4 * 5
    losses = curves["validation"]["loss"]
    kept = losses.index(min(losses)) + 1
    for step, now in enumerate(steps[: 5 * kept], 1):
        naive = averaged(naive, now, min(0.8, (1 + step) / (10 + step)))
    torch.testing.assert_close(weights(model), naive)
    hidden = Brightness(20, seed=1)
    with torch.inference_mode():
        logits = model(to_video(hidden.frames, "half")).logits
        assert frame_cross_entropy(logits, torch.tensor(hidden.targets)).item() == pytest.approx(min(losses), rel=1e-4)
        hits = logits.softmax(-1).mean(1).argmax(1) == torch.tensor(hidden.targets)
    assert curves["validation"]["accuracy"][kept - 1] == pytest.approx(hits.float().mean().item())


def test_training_is_not_changed_by_the_average(tmp_path: Path) -> None:
    """The average changes neither gradients nor random numbers: the training curves stay the same."""
    two = replace(AVERAGED, epochs=2)
    _, plain = train(tmp_path / "plain", replace(two, ema=0.0))
    _, averaged = train(tmp_path / "averaged", two)
    assert averaged["training"] == plain["training"]
    assert averaged["validation"] != plain["validation"]


def test_frozen_weights_are_in_no_checkpoint_and_averaged_ones_are(tmp_path: Path) -> None:
    model = small()
    model.encoder.requires_grad_(False).eval()  # type: ignore[union-attr]
    before = weights(model.encoder)
    fit(model, Brightness(16, 0), Brightness(8, 1), DATA, AVERAGED, tmp_path, title=None)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert {"model.head.1.weight", "average.model.head.1.weight"} <= set(state)
    assert not [name for name in state if "encoder" in name and name.endswith("weight")]
    torch.testing.assert_close(weights(model.encoder), before, rtol=0, atol=0)


def test_a_checkpoint_without_an_average_is_an_error(tmp_path: Path) -> None:
    short = replace(AVERAGED, epochs=1)
    train(tmp_path / "plain", replace(short, ema=0.0))
    train(tmp_path / "averaged", short)
    for name in ("best", "last"):
        checkpoint = f"checkpoints/{name}.ckpt"
        (tmp_path / "plain" / checkpoint).replace(tmp_path / "averaged" / checkpoint)
        with pytest.raises(ValueError, match=rf"{name}.ckpt: not a checkpoint of this run .*; restore it, or remove"):
            train(tmp_path / "averaged", short)


def test_without_a_decay_there_is_no_average() -> None:
    fitting = Fitting(small(), DATA, TRAIN)
    assert fitting.average is None
    assert fitting.kept is fitting.model
