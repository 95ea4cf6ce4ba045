"""300 rounds of LSTM(8) and a softmax on frozen features: onlooker, Keras and `torch.nn.LSTM` in a
loop.

In a round, a model is built, trained for 20 steps, evaluated on one test set and discarded. One
measurement has a few rounds of a peer and all rounds of onlooker; times are per round. The upper
limit of the speed is the time of a round's matrix products alone, in the sizes that onlooker uses
and on as many threads. A second limit has only the two largest products, those of the features with
the input kernel and with its gradient (no softmax layer, recurrence or test set).
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from statistics import median

import harness
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker_papers.digits.rounds import train_rounds
from onlooker_papers.digits.stacked import behind

VIDEOS = harness.size(100, 4)
FRAMES = harness.size(50, 3)
FEATURES = harness.size(500, 20)
CLASSES = VIDEOS
UNITS = 8
EPOCHS = harness.size(10, 1)
BATCH = harness.size(50, 2)
LR = 1e-3
SEED = 0
ZEROS = 0.75  # share of zeros, as in LeNet features of moving digits
ROUNDS = harness.size(300, 2)
_STACKED = 20  # rounds side by side


def rectified(seed: int, dead: int) -> Tensor:
    """Features `V T D` that are mostly zero, some more often than others, and `dead` of them
    always.
    """
    generator = torch.Generator().manual_seed(seed)
    # chosen so that 75 % are below zero
    level = torch.linspace(-2 * ZEROS + 0.15, -2 * ZEROS + 1.5, FEATURES)
    features = (torch.randn(VIDEOS, FRAMES, FEATURES, generator=generator) + level).relu()
    features[:, :, :dead] = 0
    return features


@cache
def tensors(dead: int) -> tuple[Tensor, Tensor, Tensor]:
    """Training features, the same with noise as a test set, and the classes of both."""
    features = rectified(SEED, dead)
    test = (features + 0.1 * rectified(SEED + 1, dead)).relu()
    return features, test, torch.arange(VIDEOS)


class TorchLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, UNITS, batch_first=True)
        self.head = nn.Linear(FRAMES * UNITS, CLASSES)
        for name, weight in self.named_parameters():
            if "bias" in name:
                nn.init.zeros_(weight)
            elif name == "lstm.weight_hh_l0":
                nn.init.orthogonal_(weight)
            else:
                nn.init.xavier_uniform_(weight)

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.lstm(features)[0].flatten(1))


def by_torch(
    features: Tensor, test: Tensor, targets: Tensor, *, rounds: int, threads: int
) -> list[float]:
    """Train one model after the other; returns the losses on the test set."""
    before = torch.get_num_threads()
    losses = []
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
    """Build, fit, discard. In a separate process: TensorFlow and PyTorch cannot both load their
    compilers.
    """
    settings = {
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    os.environ.update(settings)
    import keras

    losses = []
    x, x_test, y = (tensor.numpy() for tensor in tensors(dead))
    for _ in range(rounds):
        lstm = keras.layers.LSTM(UNITS, return_sequences=True, unit_forget_bias=False)
        head = keras.layers.Dense(CLASSES, activation="softmax")
        model = keras.Sequential(
            [keras.Input((FRAMES, FEATURES)), lstm, keras.layers.Flatten(), head]
        )
        model.compile(
            keras.optimizers.RMSprop(LR), "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
        losses.append(model.evaluate(x_test, y, batch_size=BATCH, verbose=0)[0])
        keras.backend.clear_session()
    return losses


def by_onlooker(
    features: Tensor, test: Tensor, targets: Tensor, *, rounds: int, threads: int
) -> list[float]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    found = train_rounds(
        features,
        targets,
        {"test": (test, targets)},
        rounds=rounds,
        epochs=EPOCHS,
        batch=BATCH,
        lr=LR,
    )
    torch.set_num_threads(before)
    return found["test"].loss.tolist()


def products(features: Tensor, *, rounds: int, threads: int, large_only: bool = False) -> None:
    """Compute only the matrix products of `rounds` rounds, divided among threads.

    Args:
        features: `V T D`.
        rounds: number of rounds.
        threads: number of threads.
        large_only: only the products of the features with the input kernel and with its gradient.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    steps = EPOCHS * VIDEOS // BATCH
    gates = 4 * UNITS
    states = FRAMES * UNITS
    # As in onlooker, with a column of ones for the bias.
    # BT D'
    frames = torch.cat((features[:BATCH], behind(FEATURES).expand(BATCH, FRAMES, -1)), 2).flatten(
        0, 1
    )

    def work(count: int) -> None:
        every = torch.randn(count * gates, frames.shape[1])
        kernels = every.split(gates)
        projected = [torch.empty(len(frames), len(kernel)) for kernel in kernels]
        gradients = [torch.empty_like(kernel) for kernel in kernels]
        head, flat, scores = (
            torch.randn(count, *s) for s in ((CLASSES, states), (states, BATCH), (CLASSES, BATCH))
        )
        recurrent, gate, state = (
            torch.randn(count, *s) for s in ((gates, UNITS), (gates, BATCH), (UNITS, BATCH))
        )
        head_gradient = torch.empty_like(flat)
        state_gradient = torch.empty_like(state)
        gate_gradients = torch.randn(count, gates, FRAMES * BATCH)
        states_before = torch.randn(count, UNITS, FRAMES * BATCH)

        def forward(kernels: Sequence[Tensor], projected: Sequence[Tensor]) -> None:
            for kernel, out in zip(kernels, projected, strict=True):
                torch.mm(frames, kernel.T, out=out)
            if not large_only:
                for _ in range(FRAMES - 1):
                    torch.bmm(recurrent, state, out=gate)
                torch.bmm(head, flat, out=scores)

        def backward() -> None:
            for out, gradient in zip(projected, gradients, strict=True):
                torch.mm(out.T, frames, out=gradient)
            if not large_only:
                torch.bmm(scores, flat.mT)
                torch.bmm(head.mT, scores, out=head_gradient)
                for _ in range(FRAMES - 1):
                    torch.bmm(recurrent.mT, gate, out=state_gradient)
                torch.bmm(states_before, gate_gradients.mT)

        for _ in range(steps):
            forward(kernels, projected)
            backward()
        if not large_only:
            of_test = [torch.empty(len(frames), len(every))]
            for _ in range(VIDEOS // BATCH):  # the test set, in the same order for all
                forward([every], of_test)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, _sizes(rounds, min(_STACKED, -(-rounds // threads)))))
    torch.set_num_threads(before)


def _sizes(count: int, most: int) -> list[int]:
    """Divide `count` into parts of `most` and a remainder."""
    return [min(most, count - first) for first in range(0, count, most)]


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("--repetitions", type=int, default=5)
    arguments.add_argument(
        "--rounds", type=int, default=ROUNDS, help="results are recorded for 300 only"
    )
    arguments.add_argument(
        "--peer-rounds",
        type=int,
        default=harness.size(10, 1),
        help="rounds of torch per repetition; Keras: a fifth, at least one",
    )
    arguments.add_argument(
        "--dead",
        type=int,
        default=0,
        help="number of features that are always zero; results are not recorded",
    )
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    data = tensors(options.dead)
    peer_rounds = options.peer_rounds
    features = data[0]
    keras = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    keras_rounds = max(1, peer_rounds // 5)
    losses: dict[str, list[float]] = {}

    def recorded(name: str, work: Callable[[], list[float]]) -> Callable[[], None]:
        def run() -> None:
            losses.setdefault(name, []).extend(work())

        return run

    counts = {"onlooker": options.rounds, "keras": keras_rounds, "torch": peer_rounds}
    counts |= dict.fromkeys(("products", "large products"), options.rounds)
    works: dict[str, Callable[[], object]] = {
        "onlooker": recorded(
            "onlooker", partial(by_onlooker, *data, rounds=options.rounds, threads=options.threads)
        ),
        "torch": recorded(
            "torch", partial(by_torch, *data, rounds=peer_rounds, threads=options.threads)
        ),
        "products": lambda: products(features, rounds=options.rounds, threads=options.threads),
        "large products": lambda: products(
            features, rounds=options.rounds, threads=options.threads, large_only=True
        ),
    }
    if harness.has_peer("keras"):
        works["keras"] = recorded(
            "keras", lambda: keras.submit(by_keras, options.dead, keras_rounds).result()
        )
    if options.threads > 1:
        # At least as many as are trained together.
        counts |= {
            "onlooker, one thread": min(options.rounds, 50),
            "torch, one thread": peer_rounds,
        }
        works["onlooker, one thread"] = recorded(
            "onlooker",
            partial(by_onlooker, *data, rounds=counts["onlooker, one thread"], threads=1),
        )
        works["torch, one thread"] = recorded(
            "torch", partial(by_torch, *data, rounds=peer_rounds, threads=1)
        )
    with keras:
        measured = harness.interleaved(works, options.repetitions)
    seconds = {name: [time / counts[name] for time in times] for name, times in measured.items()}
    ratios = harness.ratios(seconds)
    limit = ratios.pop("products")
    large = ratios.pop("large products")
    one = ratios.pop("onlooker, one thread", None)
    if one is not None:
        # each on one thread
        ratios["torch, one thread"] = round(ratios["torch, one thread"] / one, 3)
    mean_losses = {name: round(sum(values) / len(values), 4) for name, values in losses.items()}
    zeros = (features == 0).float().mean().item()
    title = f"One of {options.rounds} rounds, {options.threads} threads, {zeros:.0%} of the features zero"
    harness.show(
        title,
        ["", "milliseconds", "this / ours", "test loss"],
        [
            [
                name,
                1e3 * median(times),
                median(times) / median(seconds["onlooker"]),
                mean_losses.get(name, ""),
            ]
            for name, times in seconds.items()
        ],
    )
    print(
        f"share of the speed of the matrix products: {limit:.0%}; of the two large ones: {large:.0%}"
    )
    if options.rounds == ROUNDS and not options.dead:
        figures = {
            "ratio": ratios.get("keras"),
            "ratios": ratios,
            "of_gemm": limit,
            "of_large_products": large,
            "seconds_per_round": harness.medians(seconds),
            "rounds": counts,
            "losses": mean_losses,
            "zeros": round(zeros, 3),
            "threads": options.threads,
        }
        if one is not None:
            figures["threads_gain"] = one
        print(
            harness.record(
                "bench-rounds",
                __doc__,
                figures,
                seeds=[SEED],
                packages=["torch", "keras", "tensorflow-cpu"],
            )
        )


if __name__ == "__main__":
    main()
