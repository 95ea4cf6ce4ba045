"""Rounds: against one `torch.nn` model after the other, with autograd and an RMSprop written down
here.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker_papers.digits.rounds import round_stream, train_rounds
from onlooker_papers.digits.stacked import STACKS, LSTMStack, first_weights

MODELS = list(STACKS)
V = 9
T = 5
D = 12
K = 4
DEAD = (0, 3, 11)  # features that no training frame shows


class KerasCell(nn.Module):
    """An LSTM(8) of Keras 2.0, written down from its documentation: `B T D -> (B T H, None)`."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight_ih_l0 = nn.Parameter(torch.empty(32, features))
        self.weight_hh_l0 = nn.Parameter(torch.empty(32, 8))
        self.bias_ih_l0 = nn.Parameter(torch.empty(32))

    def forward(self, features: Tensor) -> tuple[Tensor, None]:
        def sigmoid(x: Tensor) -> Tensor:
            return (0.2 * x + 0.5).clamp(0, 1)

        h = c = features.new_zeros(len(features), 8)
        states = []
        for x in features.unbind(1):
            i, f, g, o = (
                x @ self.weight_ih_l0.T + self.bias_ih_l0 + h @ self.weight_hh_l0.T
            ).chunk(4, 1)
            c = sigmoid(f) * c + sigmoid(i) * g.tanh()
            h = sigmoid(o) * c.tanh()
            states.append(h)
        return torch.stack(states, 1), None


class Plain(nn.Module):
    """One round of a model as a reader of the paper would build it."""

    def __init__(self, model: str, frames: int, features: int, classes: int) -> None:
        super().__init__()
        self.model = model
        self.body = (
            nn.LSTM(features, 8, batch_first=True) if model == "lstm" else KerasCell(features)
        )
        self.head = nn.Linear(8 * frames, classes)
        # its second bias would only double the steps of the first, as both are always added
        if model == "lstm":
            self.body.bias_hh_l0.requires_grad_(False)

    def begin(self, drawn: dict[str, Tensor]) -> None:
        """Start from the weights that a stack drew; biases are zero, but for Keras' forget gate."""
        named = {"head.weight": drawn["head"], "body.weight_ih_l0": drawn["kernel"]}
        named["body.weight_hh_l0"] = drawn["recurrent"]
        with torch.no_grad():
            for name, weight in self.named_parameters():
                weight.copy_(named[name]) if name in named else weight.zero_()
            if self.model == "lstm-keras":
                self.body.bias_ih_l0[8:16] = 1

    def forward(self, features: Tensor) -> Tensor:
        """`B T D -> B K`."""
        return self.head(self.body(features)[0].flatten(1))


def rmsprop(weights: list[nn.Parameter], squares: list[Tensor], lr: float) -> None:
    for weight, square in zip(weights, squares, strict=True):
        square.copy_(0.9 * square + 0.1 * weight.grad**2)
        weight.data -= lr * weight.grad / (torch.sqrt(square) + 1e-8)


def one_after_the_other(
    features, targets, tests, model, rounds, epochs, batch, lr, seed, classes=K
):
    """The slow way: (loss, accuracy) of every round on every test set, each `R`."""
    found = {name: ([], []) for name in tests}
    for r in range(rounds):
        plain = Plain(model, *features.shape[1:], classes).to(features.dtype)
        T, D = features.shape[1:]
        chance = round_stream("weights", seed, r)
        plain.begin(first_weights(chance, frames=T, num_features=D, num_classes=classes))
        order = round_stream("order", seed, r)
        weights = [w for w in plain.parameters() if w.requires_grad]
        squares = [torch.zeros_like(w) for w in weights]
        for _ in range(epochs):
            for videos in torch.randperm(len(features), generator=order).split(batch):
                plain.zero_grad()
                F.cross_entropy(plain(features[videos]), targets[videos]).backward()
                rmsprop(weights, squares, lr)
        for name, (given, truth) in tests.items():
            with torch.no_grad():
                p = plain(given).double().softmax(1)
            found[name][0].append(-p[torch.arange(len(truth)), truth].log().mean())
            found[name][1].append((p.argmax(1) == truth).double().mean())
    return {name: [torch.stack(numbers) for numbers in both] for name, both in found.items()}


def videos(
    count: int, seed: int, dtype=torch.float64, dead=DEAD, size=(T, D), classes=K
) -> tuple[Tensor, Tensor]:
    """Rectified features, some of them never seen, and their classes."""
    chance = torch.Generator().manual_seed(seed)
    features = torch.randn(count, *size, generator=chance).relu().to(dtype)
    features[:, :, list(dead)] = 0
    return features, torch.arange(count) % classes


@pytest.mark.parametrize("stacked", [1, 2, None])
@pytest.mark.parametrize("model", MODELS)
def test_stacked_equals_one_after_the_other(model, stacked):
    """Thirty steps with a last batch of one; a test set that shows features which training never
    did.
    """
    training = videos(V, 0)
    tests = {"same": training, "new": videos(V + 3, 1, dead=(3,))}
    settings = {"rounds": 3, "epochs": 10, "batch": 4, "lr": 1e-2, "seed": 5}
    slow = one_after_the_other(*training, tests, model, **settings)
    fast = train_rounds(*training, tests, model=model, num_classes=K, stacked=stacked, **settings)
    for name, (loss, accuracy) in slow.items():
        assert torch.allclose(fast[name].loss, loss, rtol=0, atol=1e-9), name
        assert torch.equal(fast[name].accuracy, accuracy), name
    assert slow["same"][0].std() > 1e-3, "rounds differ"
    assert (slow["same"][0] < slow["new"][0]).all(), "something was learned"


@pytest.mark.parametrize("model", MODELS)
def test_a_round_is_the_published_training(model):
    """The defaults are those of Shan & Atanasov 2017: twenty steps on 100 videos of 100 classes, in
    single precision; here with fewer frames and features.
    """
    size = (20, 60)
    training = videos(100, 0, torch.float32, size=size, classes=100)
    tests = {
        "same": training,
        "new": videos(103, 1, torch.float32, dead=(3,), size=size, classes=100),
    }
    fast = train_rounds(*training, tests, model=model, rounds=2, seed=5)
    settings = {"rounds": 2, "epochs": 10, "batch": 50, "lr": 1e-3, "seed": 5}
    slow = one_after_the_other(*training, tests, model, **settings, classes=100)
    for name, (loss, _) in slow.items():
        assert torch.allclose(fast[name].loss.double(), loss, rtol=0, atol=1e-4), name


def test_a_round_does_not_know_its_neighbors():
    training = videos(V, 0)
    tests = {"new": videos(V, 1)}
    count = 13
    settings = {"num_classes": K, "epochs": 2, "batch": 4, "seed": 1}
    one_by_one = train_rounds(*training, tests, rounds=count, stacked=1, **settings)["new"].loss
    for stacked in (4, count):
        assert torch.allclose(
            train_rounds(*training, tests, rounds=count, stacked=stacked, **settings)["new"].loss,
            one_by_one,
            atol=1e-12,
        )
    fewer = train_rounds(*training, tests, rounds=2, **settings)["new"].loss
    assert torch.allclose(fewer, one_by_one[:2], atol=1e-12)
    assert len(one_by_one.unique()) == count
    other = train_rounds(*training, tests, rounds=2, **(settings | {"seed": 2}))["new"].loss
    assert not torch.isclose(other, fewer).any()


def test_every_round_and_epoch_has_its_own_order(monkeypatch):
    seen: list[tuple[int, ...]] = []
    collect = LSTMStack.collect

    def spy(self, number, features, chosen):
        seen.append(tuple(chosen.tolist()))
        return collect(self, number, features, chosen)

    monkeypatch.setattr(LSTMStack, "collect", spy)
    train_rounds(*videos(V, 0), {}, num_classes=K, rounds=11, epochs=2, batch=V, stacked=4)
    assert all(sorted(order) == list(range(V)) for order in seen)
    assert len(set(seen)) == len(seen) == 22


def test_first_weights_are_those_of_the_publication():
    drawn = first_weights(
        torch.Generator().manual_seed(0), frames=50, num_features=500, num_classes=100
    )
    for name in ("kernel", "head"):
        bound = (6 / sum(drawn[name].shape)) ** 0.5
        assert 0.99 * bound < drawn[name].abs().max() <= bound, name
        assert drawn[name].std().item() == pytest.approx(bound / 3**0.5, rel=0.05), name
    assert torch.allclose(drawn["recurrent"].T @ drawn["recurrent"], torch.eye(8), atol=1e-5)
    assert not drawn["head_bias"].any()


def test_without_any_feature_only_the_biases_learn():
    nothing = torch.zeros(V, T, D), torch.arange(V) % K
    found = train_rounds(*nothing, {"same": nothing}, num_classes=K, rounds=2, epochs=30, lr=0.1)[
        "same"
    ]
    shares = torch.bincount(nothing[1]) / V
    assert found.loss == pytest.approx(-(shares * shares.log()).sum().item(), abs=0.05), (
        "entropy of the classes"
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_gives_the_same_numbers(model):
    (features, targets), new = videos(V, 0), videos(V, 1, dead=(3,))
    settings = {"model": model, "num_classes": K, "rounds": 12, "seed": 3}
    here = train_rounds(features, targets, {"new": new}, **settings)["new"]
    there = train_rounds(features.cuda(), targets.cuda(), {"new": new}, **settings)["new"]
    assert there.loss.is_cuda
    assert torch.allclose(there.loss.cpu(), here.loss, atol=1e-9)
