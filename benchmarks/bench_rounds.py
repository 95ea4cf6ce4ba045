"""300 rounds of LSTM(8) and a softmax on frozen features: onlooker, Keras and `torch.nn.LSTM` in a loop.

A round is built, trained for 20 steps, evaluated on one test set and discarded. The peers do few rounds a repetition,
onlooker all; times are given per round. The limit is the time of a round's matrix products alone, as large as onlooker
does them and on as many threads; next to it is that of the two largest, of features with the input kernel and
with its gradient, which leave out the softmax layer, the recurrence and the test set.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from multiprocessing import get_context
from statistics import median

import harness
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker_papers.digits.rounds import train_rounds
from onlooker_papers.digits.stacked import behind

VIDEOS, FRAMES, FEATURES, CLASSES, UNITS = 100, 50, 500, 100, 8
EPOCHS, BATCH, LR, SEED = 10, 50, 1e-3, 0
ZEROS = 0.75  # share of zeros, as in LeNet features of moving digits
ROUNDS = 300
_STACKED = 20  # rounds side by side


def rectified(seed: int, dead: int) -> Tensor:
    """Features `V T D` that are mostly zero, some of them more often than others, `dead` of them always."""
    chance = torch.Generator().manual_seed(seed)
    level = torch.linspace(-2 * ZEROS + 0.15, -2 * ZEROS + 1.5, FEATURES)  # by hand: 75 % stay below zero
    features = (torch.randn(VIDEOS, FRAMES, FEATURES, generator=chance) + level).relu()
    features[:, :, :dead] = 0
    return features


@cache
def material(dead: int) -> tuple[Tensor, Tensor, Tensor]:
    """Training features, the same a little disturbed as a test set, and the classes of both."""
    features = rectified(SEED, dead)
    test = (features + 0.1 * rectified(SEED + 1, dead)).relu()
    return features, test, torch.arange(VIDEOS)


class TorchLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, UNITS, batch_first=True)
        self.head = nn.Linear(FRAMES * UNITS, CLASSES)
        for weight in (self.lstm.weight_ih_l0, self.head.weight):
            nn.init.xavier_uniform_(weight)
        nn.init.orthogonal_(self.lstm.weight_hh_l0)
        for bias in (self.lstm.bias_ih_l0, self.lstm.bias_hh_l0, self.head.bias):
            nn.init.zeros_(bias)

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.lstm(features)[0].flatten(1))


def by_torch(features: Tensor, test: Tensor, targets: Tensor, rounds: int, threads: int) -> list[float]:
    """One model after the other; losses on the test set."""
    before, losses = torch.get_num_threads(), []
    torch.set_num_threads(threads)
    for _ in range(rounds):
        model = TorchLSTM()
        optimizer = torch.optim.RMSprop(model.parameters(), lr=LR, alpha=0.9)
        for _ in range(EPOCHS):
            for videos in torch.randperm(VIDEOS).split(BATCH):
                optimizer.zero_grad()
                F.cross_entropy(model(features[videos]), targets[videos]).backward()
                optimizer.step()
        with torch.no_grad():
            losses.append(F.cross_entropy(model(test), targets).item())
    torch.set_num_threads(before)
    return losses


def by_keras(dead: int, rounds: int) -> list[float]:
    """Build, fit, discard. In a separate process: TensorFlow and PyTorch cannot both load their compilers."""
    settings = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    os.environ.update(settings)
    import keras

    losses = []
    x, seen, y = (given.numpy() for given in material(dead))
    for _ in range(rounds):
        lstm = keras.layers.LSTM(UNITS, return_sequences=True, unit_forget_bias=False)
        head = keras.layers.Dense(CLASSES, activation="softmax")
        model = keras.Sequential([keras.Input((FRAMES, FEATURES)), lstm, keras.layers.Flatten(), head])
        model.compile(keras.optimizers.RMSprop(LR), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
        losses.append(model.evaluate(seen, y, batch_size=BATCH, verbose=0)[0])
        keras.backend.clear_session()
    return losses


def by_onlooker(features: Tensor, test: Tensor, targets: Tensor, rounds: int, threads: int) -> list[float]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    found = train_rounds(features, targets, {"test": (test, targets)}, rounds=rounds, epochs=EPOCHS, batch=BATCH, lr=LR)
    torch.set_num_threads(before)
    return found["test"].loss.tolist()


def products(features: Tensor, rounds: int, threads: int, large_only: bool = False) -> None:
    """The matrix products of `rounds` rounds and nothing else; each thread does its own.

    Args:
        features: `V T D`.
        rounds: how many.
        threads: how many work at once.
        large_only: only those of features with the input kernel, and with its gradient.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    steps, gates, states = EPOCHS * VIDEOS // BATCH, 4 * UNITS, FRAMES * UNITS
    # As wide as onlooker makes them, with a one for the bias.
    frames = torch.cat((features[:BATCH], behind(FEATURES).expand(BATCH, FRAMES, -1)), 2).flatten(0, 1)  # BT D'

    def work(count: int) -> None:
        every = torch.randn(count * gates, frames.shape[1])
        kernels = every.split(gates)
        brought = [torch.empty(len(frames), len(kernel)) for kernel in kernels]
        gradients = [torch.empty_like(kernel) for kernel in kernels]
        head, flat, scores = (torch.randn(count, *s) for s in ((CLASSES, states), (states, BATCH), (CLASSES, BATCH)))
        recurrent, gate, state = (torch.randn(count, *s) for s in ((gates, UNITS), (gates, BATCH), (UNITS, BATCH)))
        pull, back = torch.empty_like(flat), torch.empty_like(state)
        slopes, earlier = torch.randn(count, gates, FRAMES * BATCH), torch.randn(count, UNITS, FRAMES * BATCH)

        def forward(kernels: Sequence[Tensor], brought: Sequence[Tensor]) -> None:
            for kernel, out in zip(kernels, brought, strict=True):
                torch.mm(frames, kernel.T, out=out)
            if not large_only:
                for _ in range(FRAMES - 1):
                    torch.bmm(recurrent, state, out=gate)
                torch.bmm(head, flat, out=scores)

        def backward() -> None:
            for out, gradient in zip(brought, gradients, strict=True):
                torch.mm(out.T, frames, out=gradient)
            if not large_only:
                torch.bmm(scores, flat.mT)
                torch.bmm(head.mT, scores, out=pull)
                for _ in range(FRAMES - 1):
                    torch.bmm(recurrent.mT, gate, out=back)
                torch.bmm(earlier, slopes.mT)

        for _ in range(steps):
            forward(kernels, brought)
            backward()
        if not large_only:
            of_test = [torch.empty(len(frames), len(every))]
            for _ in range(VIDEOS // BATCH):  # the test set, which all see in one order
                forward([every], of_test)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, _sizes(rounds, min(_STACKED, -(-rounds // threads)))))
    torch.set_num_threads(before)


def _sizes(count: int, most: int) -> list[int]:
    """`count` in parts of `most`, and the rest."""
    return [min(most, count - first) for first in range(0, count, most)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repetitions", type=int, default=5)
    arguments.add_argument("--rounds", type=int, default=ROUNDS, help="nothing is recorded for others than 300")
    arguments.add_argument("--peer-rounds", type=int, default=10, help="of torch; Keras does a fifth, at least one")
    arguments.add_argument("--dead", type=int, default=0, help="features that no video shows; nothing is recorded")
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    given, few = material(options.dead), options.peer_rounds
    features = given[0]
    keras = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    rare = max(1, few // 5)
    losses: dict[str, list[float]] = {}

    def kept(name: str, work: Callable[..., list[float]], *settings: object) -> Callable[[], None]:
        def run() -> None:
            losses.setdefault(name, []).extend(work(*settings))

        return run

    counts = {"onlooker": options.rounds, "keras": rare, "torch": few}
    counts |= dict.fromkeys(("products", "large products"), options.rounds)
    works: dict[str, Callable[[], object]] = {
        "onlooker": kept("onlooker", by_onlooker, *given, options.rounds, options.threads),
        "keras": kept("keras", lambda: keras.submit(by_keras, options.dead, rare).result()),
        "torch": kept("torch", by_torch, *given, few, options.threads),
        "products": lambda: products(features, options.rounds, options.threads),
        "large products": lambda: products(features, options.rounds, options.threads, large_only=True),
    }
    if options.threads > 1:
        # As many side by side as in the whole.
        counts |= {"onlooker, one thread": min(options.rounds, 50), "torch, one thread": few}
        works["onlooker, one thread"] = kept("onlooker", by_onlooker, *given, counts["onlooker, one thread"], 1)
        works["torch, one thread"] = kept("torch", by_torch, *given, few, 1)
    with keras:
        measured = harness.interleaved(works, options.repetitions)
    seconds = {name: [time / counts[name] for time in times] for name, times in measured.items()}
    ratios = harness.ratios(seconds)
    limit, large = ratios.pop("products"), ratios.pop("large products")
    one = ratios.pop("onlooker, one thread", None)
    if one is not None:
        ratios["torch, one thread"] = round(ratios["torch, one thread"] / one, 3)  # each on one thread
    reached = {name: round(sum(values) / len(values), 4) for name, values in losses.items()}
    zeros = (features == 0).float().mean().item()
    title = f"One of {options.rounds} rounds, {options.threads} threads, {zeros:.0%} of the features zero"
    harness.show(
        title,
        ["", "milliseconds", "this / ours", "test loss"],
        [
            [name, 1e3 * median(times), median(times) / median(seconds["onlooker"]), reached.get(name, "")]
            for name, times in seconds.items()
        ],
    )
    print(f"of the products' speed: {limit:.0%}, of the two large ones': {large:.0%}")
    if options.rounds == ROUNDS and not options.dead:
        figures = {
            "ratio": ratios["keras"],
            "ratios": ratios,
            "of_gemm": limit,
            "of_large_products": large,
            "seconds_per_round": harness.medians(seconds),
            "rounds": counts,
            "losses": reached,
            "zeros": round(zeros, 3),
            "threads": options.threads,
        }
        if one is not None:
            figures["threads_gain"] = one
        print(harness.record("bench-rounds", __doc__, figures, [SEED], ["torch", "keras", "tensorflow-cpu"]))


if __name__ == "__main__":
    main()
