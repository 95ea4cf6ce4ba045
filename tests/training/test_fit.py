"""Training: learning, recorded curves, resuming with identical results after a kill, checkpoints,
optimizers and losses, and the forward pass of samples.
"""

import csv
import math
import multiprocessing
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.testing import assert_close
from torch.utils.data import DataLoader, Dataset

from onlooker.base.config import DataConfig, TrainConfig
from onlooker.base.files import DiskFullError
from onlooker.base.progress import showing
from onlooker.base.records import Curves
from onlooker.data.transforms import to_video
from onlooker.models.classifier import Classifier
from onlooker.models.registry import create_model
from onlooker.models.video_model import VideoModel
from onlooker.training.checkpoint import PARTS, load_checkpoint, save_checkpoint
from onlooker.training.fit import Fitting, batch_size, fit, frame_cross_entropy
from onlooker.training.forward import encode_samples, forward_samples

DATA = DataConfig(frames=3, size=16, channels=1, normalization="half")
TRAIN = TrainConfig(epochs=4, batch=8, lr=3e-3, patience=0, precision="32", label_smoothing=0.0)


class Brightness(Dataset[tuple[Tensor, int, int]]):
    """Noise, dark in class 0 and bright in class 1; `wrong` swaps the labels, `pause` slows down
    reading.
    """

    def __init__(self, length: int, seed: int, wrong: bool = False, pause: float = 0.0) -> None:
        chance = torch.Generator().manual_seed(seed)
        self.targets = [i % 2 for i in range(length)]
        level = torch.tensor(self.targets).view(-1, 1, 1, 1, 1) * 120
        noise = torch.randint(0, 120, (length, 3, 16, 16, 1), generator=chance)
        self.frames = (level + noise).to(torch.uint8)
        if wrong:
            self.targets = [1 - target for target in self.targets]
        self.pause = pause

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        time.sleep(self.pause)
        return self.frames[index], self.targets[index], index


def train(
    folder: Path,
    settings: TrainConfig = TRAIN,
    wrong: bool = False,
    pause: float = 0.0,
    title: str = "training",
) -> tuple[Classifier, Curves]:
    torch.manual_seed(settings.seed)
    model = create_model("lstm", 2, in_channels=1, size=16, hidden=8)
    sides = Brightness(40, seed=0, pause=pause), Brightness(20, seed=1, wrong=wrong)
    return model, fit(model, *sides, data=DATA, train=settings, folder=folder, title=title)


def loss_of(model: Classifier, samples: Brightness, weights: Tensor | None = None) -> float:
    frames, targets, _ = next(iter(DataLoader(samples, len(samples))))
    with torch.inference_mode():
        logits = model(to_video(frames, "half")).logits
    return frame_cross_entropy(logits, targets, weights=weights).item()


def assert_same(a: Any, b: Any) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.fixture
def steps() -> Iterator[list[dict[str, float]]]:
    """The settings and the norm of the gradients of every step of an optimizer."""
    noted: list[dict[str, float]] = []

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        gradients = [weight.grad.flatten() for weight in weights if weight.grad is not None]
        noted.append({**optimizer.param_groups[0], "norm": torch.cat(gradients).norm().item()})

    hook = register_optimizer_step_pre_hook(note)
    yield noted
    hook.remove()


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "curves.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_an_easy_task_is_learned_and_every_epoch_is_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(TRAIN, epochs=6, lr=1e-2)
    with showing():
        model, curves = train(tmp_path, settings, title="gestures")
    for side in ("training", "validation"):
        lengths = {name: len(values) for name, values in curves[side].items()}
        assert lengths == {"loss": 6, "accuracy": 6}
        assert curves[side]["loss"][-1] < 0.5 * curves[side]["loss"][0]
    assert curves["validation"]["accuracy"][-1] == 1.0
    assert curves["training"]["accuracy"][-1] > 0.9  # with dropout and augmentation
    assert not model.training
    written = rows(tmp_path)
    assert [row["epoch"] for row in written] == [str(epoch) for epoch in range(6)]
    for side in curves:
        for name, values in curves[side].items():
            assert [float(row[f"{side}_{name}"]) for row in written] == values
    files = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert files == ["best.ckpt", "last.ckpt"]
    lines = capsys.readouterr().err.splitlines()
    beginnings = [line.split(" · ")[0] for line in lines]
    assert beginnings == [f"gestures: epoch {epoch}/6" for epoch in range(1, 7)]
    assert re.search(r"training \d.*validation 100.0 %.* 0 s left$", lines[-1])


def test_balanced_classes_weigh_equally_in_the_loss(tmp_path: Path) -> None:
    few = Brightness(20, seed=0)
    few.targets = [int(i < 4) for i in range(20)]
    model = create_model("convnet", 2, in_channels=1, size=16)
    settings = replace(TRAIN, epochs=1, batch=20, class_weights="balanced")
    curves = fit(model, few, few, data=DATA, train=settings, folder=tmp_path)
    expected = loss_of(model, few, torch.tensor([20 / (2 * 16), 20 / (2 * 4)]))
    assert curves["validation"]["loss"] == [pytest.approx(expected, rel=1e-4)]


def test_the_best_weights_are_kept_and_early_stopping_also_applies_to_a_resumed_run(
    tmp_path: Path,
) -> None:
    # Validation says the opposite of training: the better it learns, the higher the loss.
    settings = replace(TRAIN, epochs=12, patience=2)
    model, curves = train(tmp_path / "here", settings, wrong=True)
    losses = curves["validation"]["loss"]
    assert len(losses) == losses.index(min(losses)) + 1 + 2 < 12
    hidden = Brightness(20, seed=1, wrong=True)
    assert loss_of(model, hidden) == pytest.approx(min(losses), rel=1e-4)
    # Killed after the last epoch, before whatever comes next, and moved: it had stopped.
    (tmp_path / "here").rename(tmp_path / "there")
    again, curves_again = train(tmp_path / "there", settings, wrong=True)
    assert curves_again == curves
    assert_same(again.state_dict(), model.state_dict())


KILLED = TrainConfig(epochs=4, batch=8, precision="32", seed=3)


def train_and_leave(folder: Path) -> None:
    """Train in a process that may be killed, and write weights and curves."""
    torch.set_num_threads(1)
    model, curves = train(folder, KILLED, pause=0.002)
    torch.save({"weights": model.state_dict(), "curves": curves}, folder / "done.part")
    (folder / "done.part").rename(folder / "done.pt")


def start(folder: Path) -> ForkServerProcess:
    # One server imports PyTorch once, and forks a fresh process for each run.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["onlooker.training.fit"])
    process = context.Process(target=train_and_leave, args=(folder,))
    process.start()
    return process


def wait_for_epochs(folder: Path, count: int, process: ForkServerProcess) -> None:
    until = time.monotonic() + 60
    while not (folder / "curves.csv").exists() or len(rows(folder)) < count:
        assert time.monotonic() < until
        if not process.is_alive():
            return
        time.sleep(0.001)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_killed_repeatedly_resumes_with_identical_results(
    tmp_path: Path, seed: int
) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    chance = random.Random(seed)
    for _ in range(4):
        process = start(killed)
        seen = len(rows(killed)) if (killed / "curves.csv").exists() else 0
        wait_for_epochs(killed, min(seen + 1, 4), process)
        time.sleep(chance.uniform(0, 0.1))  # an epoch takes as long, or longer
        process.kill()
        process.join()
    process = start(killed)
    process.join(180)
    assert process.exitcode == 0
    model, curves = train(tmp_path / "whole", KILLED)
    outcome = torch.load(killed / "done.pt", weights_only=True)
    assert_same(outcome, {"weights": model.state_dict(), "curves": curves})


def test_every_epoch_is_a_different_permutation_of_all_clips(tmp_path: Path) -> None:
    order = list[int]()

    class Noted(Brightness):
        def __getitem__(self, index: int) -> Any:
            order.append(index)
            return super().__getitem__(index)

    model = create_model("lstm", 2, in_channels=1, size=16, hidden=8)
    settings = replace(TRAIN, epochs=2)
    fit(
        model,
        Noted(40, seed=0),
        Brightness(20, seed=1),
        data=DATA,
        train=settings,
        folder=tmp_path,
    )
    first = order[:40]
    second = order[40:]
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second


def test_gradients_are_clipped_only_above_the_norm(
    tmp_path: Path, steps: list[dict[str, float]]
) -> None:
    train(tmp_path / "without", replace(TRAIN, epochs=1, grad_clip=0.0))
    assert min(step["norm"] for step in steps) > 0.1
    steps.clear()
    train(tmp_path / "with", replace(TRAIN, epochs=1, grad_clip=1e-3))
    assert [step["norm"] for step in steps] == pytest.approx([1e-3] * 5, rel=1e-2)


def test_seconds_count_on_in_a_resumed_training(tmp_path: Path) -> None:
    def seconds_after(epochs: int) -> list[float]:
        # no schedule of the learning rate, which would end with the first training
        settings = replace(TRAIN, epochs=epochs, optimizer="rmsprop")
        train(tmp_path, settings, pause=0.005)
        return [float(row["seconds"]) for row in rows(tmp_path)]

    first = seconds_after(2)
    assert 0.1 <= first[0] < first[1]
    seconds = seconds_after(4)
    assert seconds[:2] == first
    assert first[1] < seconds[2] < seconds[3]


def test_the_learning_rate_of_adamw_rises_and_falls(
    tmp_path: Path, steps: list[dict[str, float]]
) -> None:
    train(tmp_path, replace(TRAIN, lr=0.01))
    rates = [step["lr"] for step in steps]
    assert len(rates) == 20
    assert rates[2] == max(rates) == pytest.approx(0.01, rel=0.02)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] < 0.0002


def test_rmsprop_has_the_constants_of_keras_and_one_learning_rate(
    tmp_path: Path, steps: list[dict[str, float]]
) -> None:
    train(tmp_path, replace(TRAIN, lr=0.01, optimizer="rmsprop"))
    assert [(step["lr"], step["alpha"], step["eps"]) for step in steps] == [
        (0.01, 0.9, 1e-7)
    ] * 20


@pytest.mark.parametrize(
    ("smoothing", "weights"), [(0.0, None), (0.1, None), (0.9, None), (0.0, [3, 1, 2, 1, 0.5])]
)
def test_the_loss_is_the_mean_over_frames_of_minus_the_log_of_the_softmax(
    smoothing: float, weights: list[float] | None
) -> None:
    B = 3
    T = 4
    K = 5
    logits = torch.randn(B, T, K) * 3
    targets = [4, 0, 2]
    total = 0.0
    for b, t in product(range(B), range(T)):
        scores = [math.exp(v) for v in logits[b, t].tolist()]
        for k in range(K):
            wanted = smoothing / K + (1 - smoothing) * (k == targets[b])
            weight = weights[targets[b]] if weights else 1
            total -= weight * wanted * math.log(scores[k] / sum(scores))
    of_classes = torch.tensor(weights) if weights else None
    loss = frame_cross_entropy(
        logits, torch.tensor(targets), smoothing=smoothing, weights=of_classes
    )
    assert loss.item() == pytest.approx(total / (B * T), rel=1e-5)


def test_half_precision_logits_are_summed_in_single_precision() -> None:
    logits = torch.randn(2, 300, 7).bfloat16()
    targets = torch.tensor([0, 6])
    loss = frame_cross_entropy(logits, targets)
    torch.testing.assert_close(loss, frame_cross_entropy(logits.float(), targets))


def test_a_training_that_diverges_is_an_error_in_its_epoch(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"the \w+ loss became (nan|inf) in epoch 1; lower --lr"
    ):
        train(tmp_path, TrainConfig(epochs=2, batch=8, lr=1e36, patience=0, precision="32"))
    assert not list(tmp_path.glob("checkpoints/*.ckpt")), "no weights that are not numbers"


def first_loss(
    model: VideoModel, frames: Tensor, targets: Tensor, settings: TrainConfig
) -> Tensor:
    """The loss of a batch without augmentation."""
    return Fitting(model, replace(DATA, translate=0.0, scale=0.0), settings)(frames, targets)[0]


def test_the_attention_loss_equals_its_equation() -> None:
    model = create_model(
        "convalstm", 2, in_channels=1, size=32, hidden=4, dropout=0.0, attention_loss=True
    ).eval()
    frames = torch.randint(256, (3, 4, 32, 32, 1), dtype=torch.uint8)
    targets = torch.tensor([0, 1, 1])
    video = to_video(frames, "half")
    logits, attention, _, seen_logits = model(video)[:4]
    maps = model.encoder(video.flatten(0, 1)).unflatten(0, (3, 4))
    attended = torch.einsum("btdhw,bthw->btd", maps, attention)
    seen = attended @ model.attention_head.weight.T + model.attention_head.bias
    torch.testing.assert_close(seen_logits, seen)
    wanted = frame_cross_entropy(logits, targets, smoothing=0.1) + frame_cross_entropy(
        seen, targets, smoothing=0.1
    )
    torch.testing.assert_close(
        first_loss(model, frames, targets, TrainConfig(label_smoothing=0.1)), wanted
    )
    # With the loss of the last frame, the auxiliary loss is that of the last frame, too.
    wanted = frame_cross_entropy(logits[:, -1:], targets, smoothing=0.1) + frame_cross_entropy(
        seen[:, -1:], targets, smoothing=0.1
    )
    last = first_loss(model, frames, targets, TrainConfig(label_smoothing=0.1, loss="last"))
    torch.testing.assert_close(last, wanted)


@pytest.mark.parametrize(
    ("given", "clips", "size"), [(None, 6, 2), (None, 40, 5), (None, 200, 16), (16, 40, 16)]
)
def test_few_clips_reduce_the_batch_size(given: int | None, clips: int, size: int) -> None:
    assert batch_size(TrainConfig(batch=given), clips) == size


def saved(path: Path, epoch: int) -> None:
    checkpoint = {
        **dict.fromkeys(PARTS),
        "epoch": epoch,
        "weights": torch.full((4,), float(epoch)),
    }
    save_checkpoint(checkpoint, path)


def test_a_flipped_bit_is_detected(tmp_path: Path) -> None:
    saved(tmp_path / "last.ckpt", 3)
    content = bytearray((tmp_path / "last.ckpt").read_bytes())
    content[content.index(torch.full((4,), 3.0).numpy().tobytes())] ^= 1
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(
        ValueError,
        match=r"last.ckpt: a damaged checkpoint \(BadZipFile\); restore it, or remove .*, and",
    ):
        load_checkpoint(tmp_path / "last.ckpt")


def test_a_full_disk_is_reported_and_leaves_the_old_file(
    tmp_path: Path, on_full_disk: Callable[[Path], None]
) -> None:
    saved(tmp_path / "last.ckpt", 1)
    on_full_disk(tmp_path / ".last.ckpt.*.part")
    with pytest.raises(
        DiskFullError,
        match=r"no space left for a checkpoint: .* free; free some space, and run .* again .`onlooker train` with",
    ):
        saved(tmp_path / "last.ckpt", 2)
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 1


def test_bytes_that_cannot_be_flushed_leave_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path / "last.ckpt", 1)
    monkeypatch.setattr("os.fsync", Mock(side_effect=ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        saved(tmp_path / "last.ckpt", 2)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 1


AUGMENTED = DataConfig(size=32, frames=4, normalization="half", hflip=False, translate=0.5)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model("convalstm", 3, encoder="conv4", size=32).eval()


def made_frames(T=4):
    return torch.randint(
        0, 256, (2, T, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@torch.inference_mode()
def test_stored_features_give_the_same_output_as_frames(model):
    output = forward_samples(model, made_frames(), AUGMENTED)
    features = encode_samples(model, made_frames(), AUGMENTED)
    stored = features.half().movedim(-3, -1)
    from_store = forward_samples(model, stored, AUGMENTED)
    assert_close(from_store.logits, output.logits, atol=2e-3, rtol=2e-3)
    assert_close(encode_samples(model, stored[0], AUGMENTED), features[0], atol=2e-3, rtol=2e-3)


@torch.inference_mode()
@pytest.mark.parametrize("at_once", [1, 3, 100, None])
def test_encoding_frames_in_parts_equals_the_whole_video(model, at_once):
    expected = model.encode_video(to_video(made_frames(), "half"))
    assert_close(encode_samples(model, made_frames(), AUGMENTED, at_once=at_once), expected)
    assert_close(
        encode_samples(model, made_frames()[1], AUGMENTED, at_once=at_once), expected[1]
    )


@torch.inference_mode()
def test_only_frames_are_augmented_and_only_if_requested(model):
    plain = forward_samples(model, made_frames(), AUGMENTED).logits
    assert torch.equal(forward_samples(model, made_frames(), AUGMENTED).logits, plain)
    changed = forward_samples(model, made_frames(), AUGMENTED, augmented=True).logits
    assert not torch.allclose(changed, plain)
    stored = encode_samples(model, made_frames(), AUGMENTED).half().movedim(-3, -1)
    assert torch.equal(
        forward_samples(model, stored, AUGMENTED, augmented=True).logits,
        forward_samples(model, stored, AUGMENTED).logits,
    )
