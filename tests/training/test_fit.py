"""Training: learning, recorded curves, resuming with identical results after a kill, optimizers and
losses.
"""

import csv
import multiprocessing
import random
import time
from dataclasses import replace
from itertools import pairwise
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from onlooker import storage
from onlooker.base.config import DataConfig, TrainConfig
from onlooker.base.records import Curves
from onlooker.data.transforms import to_video
from onlooker.models.classifier import Classifier
from onlooker.models.registry import create_model
from onlooker.models.video_model import VideoModel
from onlooker.storage import uploading
from onlooker.training import fit as fit_module
from onlooker.training.fit import EpochOrder, Fitting, batch_size, fit, frame_cross_entropy

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
    folder: Path, settings: TrainConfig = TRAIN, wrong: bool = False, pause: float = 0.0
) -> tuple[Classifier, Curves]:
    torch.manual_seed(settings.seed)
    model = create_model("lstm", 2, in_channels=1, size=16, hidden=8)
    sides = Brightness(40, seed=0, pause=pause), Brightness(20, seed=1, wrong=wrong)
    return model, fit(model, *sides, DATA, settings, folder, title=None)


def same(a: Classifier, b: Classifier) -> bool:
    return all(
        torch.equal(x, y)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "curves.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_an_easy_task_is_learned_and_every_epoch_is_recorded(tmp_path: Path) -> None:
    model, curves = train(tmp_path, replace(TRAIN, epochs=6, lr=1e-2))
    for side in ("training", "validation"):
        assert {name: len(values) for name, values in curves[side].items()} == {
            "loss": 6,
            "accuracy": 6,
        }
        assert curves[side]["loss"][-1] < 0.5 * curves[side]["loss"][0]
    assert curves["validation"]["accuracy"][-1] == 1.0
    assert curves["training"]["accuracy"][-1] > 0.9  # with dropout and augmentation
    assert not model.training
    written = rows(tmp_path)
    assert [row["epoch"] for row in written] == [str(epoch) for epoch in range(6)]
    for side in curves:
        for name, values in curves[side].items():
            assert [float(row[f"{side}_{name}"]) for row in written] == values
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "best.ckpt",
        "last.ckpt",
    ]


def test_balanced_classes_weigh_equally_in_the_loss(tmp_path: Path) -> None:
    few = Brightness(20, seed=0)
    few.targets = [int(i < 4) for i in range(20)]
    losses = {}
    for name in ("none", "balanced"):
        torch.manual_seed(0)
        model = create_model("convnet", 2, in_channels=1, size=16)
        settings = replace(TRAIN, epochs=1, batch=20)
        curves = fit(
            model,
            few,
            few,
            DATA,
            replace(settings, class_weights=name),
            tmp_path / name,
            title=None,
        )
        frames, targets, _ = next(iter(DataLoader(few, 20)))
        with torch.inference_mode():
            logits = model(to_video(frames, "half")).logits
        weights = torch.tensor([20 / (2 * 16), 20 / (2 * 4)]) if name == "balanced" else None
        expected = frame_cross_entropy(logits, targets, weights=weights).item()
        losses[name] = curves["validation"]["loss"][0]
        assert losses[name] == pytest.approx(expected, rel=1e-4)
    assert losses["none"] != pytest.approx(losses["balanced"], rel=1e-3)


def test_each_epoch_has_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = create_model("convnet", 2, in_channels=1, size=16)
    fit(
        model,
        Brightness(4, 0),
        Brightness(4, 1),
        DATA,
        TrainConfig(epochs=2, batch=4),
        tmp_path,
        title="gestures",
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" · ")[0] for line in lines] == [
        "gestures: epoch 1/2",
        "gestures: epoch 2/2",
    ]
    assert all(
        "training" in line and "validation" in line and line.endswith("s left") for line in lines
    )


def test_each_task_of_a_slurm_job_trains_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "NTASKS": "4",
        "JOB_NAME": "train",
        "JOB_ID": "1",
        "PROCID": "1",
        "LOCALID": "1",
    }.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    train(tmp_path)
    assert (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_the_weights_of_the_lowest_validation_loss_are_kept(tmp_path: Path) -> None:
    # Validation says the opposite of training: the better it learns, the higher the loss.
    model, curves = train(tmp_path, wrong=True)
    losses = curves["validation"]["loss"]
    assert losses.index(min(losses)) < len(losses) - 1
    hidden = Brightness(20, seed=1, wrong=True)
    with torch.inference_mode():
        frames, targets, _ = next(iter(DataLoader(hidden, 20)))
        loss = frame_cross_entropy(model(to_video(frames, "half")).logits, targets).item()
    assert loss == pytest.approx(min(losses), rel=1e-4)


def test_early_stopping_also_applies_to_a_resumed_run(tmp_path: Path) -> None:
    settings = TrainConfig(epochs=12, batch=8, lr=3e-3, patience=2, precision="32")
    model, curves = train(tmp_path, settings, wrong=True)
    losses = curves["validation"]["loss"]
    assert len(losses) == losses.index(min(losses)) + 1 + 2 < 12
    # Killed after the last epoch, before whatever comes next: it had stopped, and stays so.
    again, curves_again = train(tmp_path, settings, wrong=True)
    assert curves_again == curves
    assert same(model, again)


def test_a_run_that_was_moved_keeps_its_best_weights(tmp_path: Path) -> None:
    model, curves = train(tmp_path / "here", wrong=True)
    losses = curves["validation"]["loss"]
    assert losses.index(min(losses)) < len(losses) - 1
    (tmp_path / "here").rename(tmp_path / "there")
    again, curves_again = train(tmp_path / "there", wrong=True)
    assert same(model, again)
    assert curves_again == curves


KILLED = TrainConfig(epochs=4, batch=8, precision="32", seed=3)


def train_and_leave(folder: Path, pause: float, settings: TrainConfig) -> None:
    """Train in a process that may be killed, and write weights and curves."""
    torch.set_num_threads(1)
    model, curves = train(folder, settings, pause=pause)
    torch.save({"weights": model.state_dict(), "curves": curves}, folder / "done.part")
    (folder / "done.part").rename(folder / "done.pt")


def start(folder: Path, settings: TrainConfig = KILLED, pause: float = 0.002) -> ForkServerProcess:
    # One server imports PyTorch once, and forks a fresh process for each run.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["onlooker.training.fit"])
    process = context.Process(target=train_and_leave, args=(folder, pause, settings))
    process.start()
    return process


def outcome(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "done.pt", weights_only=True)


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a["curves"] == b["curves"] and all(
        torch.equal(v, b["weights"][k]) for k, v in a["weights"].items()
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], float]:
    """The result without a kill, and its seconds from the first epoch on."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    process = start(folder)
    wait_for_epochs(folder, 1, process)
    began = time.monotonic()
    process.join(100)
    assert process.exitcode == 0
    return outcome(folder), time.monotonic() - began


def wait_for_epochs(folder: Path, count: int, process: ForkServerProcess) -> None:
    until = time.monotonic() + 60
    while not (folder / "curves.csv").exists() or len(rows(folder)) < count:
        assert time.monotonic() < until
        if not process.is_alive():
            return
        time.sleep(0.001)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_killed_repeatedly_resumes_with_identical_results(
    tmp_path: Path, uninterrupted: tuple[dict[str, Any], float], seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(4):
        process = start(tmp_path)
        seen = len(rows(tmp_path)) if (tmp_path / "curves.csv").exists() else 0
        wait_for_epochs(tmp_path, min(seen + 1, 4), process)
        time.sleep(chance.random() * uninterrupted[1] / 4)
        process.kill()
        process.join()
    process = start(tmp_path)
    process.join(100)
    assert process.exitcode == 0
    assert equal(outcome(tmp_path), uninterrupted[0])


def test_every_epoch_is_a_different_permutation_of_all_clips() -> None:
    order = EpochOrder(range(20), seed=1)
    first = list(order)
    assert list(order) == first
    order.set_epoch(1)
    assert list(order) != first
    assert sorted(order) == sorted(first) == list(range(20))
    assert list(EpochOrder(range(20), seed=2)) != first
    assert len(order) == 20


def test_the_parts_of_an_epoch_divide_its_order() -> None:
    parts = EpochOrder(range(23), seed=1, parts=4)
    seen = []
    for epoch in range(4):
        parts.set_epoch(epoch)
        assert len(list(parts)) == len(parts) == 5
        seen += list(parts)
    # the three that are left over come in another order
    assert seen == list(EpochOrder(range(23), seed=1))[:20]
    parts.set_epoch(4)
    assert list(parts) != seen[:5]


def test_gradients_are_clipped_only_above_the_norm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = dict[float, list[float]]()
    step = torch.optim.AdamW.step

    def noted(self: torch.optim.AdamW) -> None:
        gradients = [
            p.grad.flatten()
            for group in self.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        norms[clip].append(torch.cat(gradients).norm().item())
        step(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    for clip in (0.0, 1e-3):
        norms[clip] = []
        train(tmp_path / str(clip), replace(TRAIN, epochs=1, grad_clip=clip))
    assert min(norms[0.0]) > 0.1
    assert norms[1e-3] == pytest.approx([1e-3] * 5, rel=1e-2)


def test_seconds_count_on_in_a_resumed_training(tmp_path: Path) -> None:
    class Stops(Brightness):
        def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
            calls.append(index)
            if len(calls) == 60:
                raise RuntimeError("unplugged")
            return super().__getitem__(index)

    def run() -> None:
        fit(
            create_model("lstm", 2, in_channels=1, size=16),
            learn,
            Brightness(8, 1),
            DATA,
            TRAIN,
            tmp_path,
            title=None,
        )

    calls: list[int] = []
    learn = Stops(24, 0, pause=0.005)
    with pytest.raises(RuntimeError, match="unplugged"):
        run()
    first = [float(row["seconds"]) for row in rows(tmp_path)]
    assert len(first) == 2
    assert 0.1 <= first[0] < first[1]
    run()
    seconds = [float(row["seconds"]) for row in rows(tmp_path)]
    assert len(seconds) == 4
    assert seconds[:2] == first
    assert first[1] < seconds[2] < seconds[3]


def test_a_training_that_diverges_is_an_error_in_its_epoch(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the \w+ loss became (nan|inf) in epoch 1; lower --lr"):
        train(tmp_path, TrainConfig(epochs=2, batch=8, lr=1e36, patience=0, precision="32"))
    assert not list(tmp_path.glob("checkpoints/*.ckpt")), "no weights that are not numbers"


def first_loss(model: VideoModel, frames: Tensor, targets: Tensor, settings: TrainConfig) -> Tensor:
    """The loss of a batch without augmentation."""
    still = replace(DATA, translate=0.0, scale=0.0)
    return Fitting(model, still, settings)(frames, targets)[0]


def test_the_attention_loss_equals_its_equation() -> None:
    model = create_model(
        "convalstm", 2, in_channels=1, size=32, hidden=4, dropout=0.0, attention_loss=True
    ).eval()
    frames = torch.randint(256, (3, 4, 32, 32, 1), dtype=torch.uint8)
    targets = torch.tensor([0, 1, 1])
    video = to_video(frames, "half")
    logits, attention, _ = model(video)
    maps = model.encoder(video.flatten(0, 1)).unflatten(0, (3, 4))
    attended = torch.einsum("btdhw,bthw->btd", maps, attention)
    seen = attended @ model.attention_head.weight.T + model.attention_head.bias
    torch.testing.assert_close(model.attended_logits(maps, attention), seen)
    wanted = frame_cross_entropy(logits, targets, 0.1) + frame_cross_entropy(seen, targets, 0.1)
    torch.testing.assert_close(
        first_loss(model, frames, targets, TrainConfig(label_smoothing=0.1)), wanted
    )
    # With the loss of the last frame, the auxiliary loss is that of the last frame, too.
    wanted = frame_cross_entropy(logits[:, -1:], targets, 0.1) + frame_cross_entropy(
        seen[:, -1:], targets, 0.1
    )
    last = first_loss(model, frames, targets, TrainConfig(label_smoothing=0.1, loss="last"))
    torch.testing.assert_close(last, wanted)


@pytest.mark.parametrize(("optimizer", "course"), [("adamw", "rises first"), ("rmsprop", "stays")])
def test_the_learning_rate_follows_its_schedule(
    optimizer: str, course: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = {"adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}[optimizer]
    rates = list[float]()
    step = kind.step

    def noted(self: torch.optim.Optimizer) -> None:
        rates.append(self.param_groups[0]["lr"])
        step(self)

    monkeypatch.setattr(kind, "step", noted)
    train(tmp_path, replace(TRAIN, lr=0.01, optimizer=optimizer))
    assert len(rates) == 20
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.01, rel=0.02)
    assert top == (2 if course == "rises first" else 0)
    after = rates[top:]
    assert (
        all(a == b for a, b in pairwise(after))
        if course == "stays"
        else all(a > b for a, b in pairwise(after))
    )
    assert rates[-1] == 0.01 if course == "stays" else rates[-1] < 0.0002


def test_the_constants_of_rmsprop_equal_keras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list[dict[str, Any]]()
    step = torch.optim.RMSprop.step

    def noted(self: torch.optim.RMSprop) -> None:
        made.append(self.param_groups[0])
        step(self)

    monkeypatch.setattr(torch.optim.RMSprop, "step", noted)
    train(tmp_path, replace(TRAIN, epochs=1, lr=1e-3, optimizer="rmsprop"))
    assert {name: made[0][name] for name in ("alpha", "eps")} == {"alpha": 0.9, "eps": 1e-7}


def test_the_loss_of_the_last_frame() -> None:
    model = create_model("alstm", 2, in_channels=1, size=16, hidden=4, dropout=0.0).eval()
    frames = torch.randint(256, (3, 4, 16, 16, 1), dtype=torch.uint8)
    targets = torch.tensor([0, 1, 1])
    logits = model(to_video(frames, "half")).logits

    def loss(**settings: Any) -> Tensor:
        return first_loss(model, frames, targets, TrainConfig(label_smoothing=0.0, **settings))

    torch.testing.assert_close(
        last := loss(loss="last"), frame_cross_entropy(logits[:, -1:], targets)
    )
    assert not torch.allclose(last, loss())


@pytest.mark.parametrize(
    ("given", "clips", "size"), [(None, 6, 2), (None, 40, 5), (None, 200, 16), (16, 40, 16)]
)
def test_few_clips_reduce_the_batch_size(given: int | None, clips: int, size: int) -> None:
    assert batch_size(TrainConfig(batch=given), clips) == size


@pytest.mark.parametrize("wrong", [False, True])  # the best epoch is the last one, or the first one
def test_a_run_resumes_from_any_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: bool
) -> None:
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "UPLOAD_EVERY", 0.01)
    address = Path("memory://run")
    files = fsspec.filesystem("memory")
    states = list[dict[str, bytes]]()
    put = type(files).put_file
    save = fit_module.save_checkpoint

    def put_file(self: Any, *arguments: Any, **more: Any) -> None:
        put(self, *arguments, **more)
        states.append(
            {path: files.cat_file(path) for path in files.find("/run") if path.endswith(".ckpt")}
        )

    def save_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
        save(checkpoint, path)
        if path.name == "last.ckpt":
            while not states or states[-1].get("/run/checkpoints/last.ckpt") != path.read_bytes():
                time.sleep(0.01)

    with monkeypatch.context() as patch, uploading([address]) as copies:
        patch.setattr(type(files), "put_file", put_file)
        patch.setattr(fit_module, "save_checkpoint", save_checkpoint)
        model, curves = train(copies[address], wrong=wrong)
    files.rm("/run", recursive=True)
    checkpoints = [state for before, state in pairwise(states) if state != before]
    assert len(checkpoints) >= (8 if not wrong else 5)
    for number, state in enumerate(checkpoints):  # the machine is lost, and another one continues
        for path, content in state.items():
            (copy := tmp_path / str(number) / "checkpoints" / Path(path).name).parent.mkdir(
                parents=True, exist_ok=True
            )
            copy.write_bytes(content)
        again, resumed = train(tmp_path / str(number), wrong=wrong)
        assert same(model, again)
        assert resumed == curves
