"""A head that classifies each glimpse of a frame, and predicts the unordered group of their
classes.
"""

import itertools
import math

import torch
from torch import Tensor, nn

from onlooker.models.video_model import make_head

HEADS = ("joint", "each-glimpse")


class EachGlimpse(nn.Module):
    """One small classifier predicts a symbol for every glimpse; a class is an unordered group of
    symbols.

    With S symbols and G glimpses the classes are the multisets of G symbols, in the order of
    `itertools.combinations_with_replacement(range(S), G)`: for two glimpses 0+0, 0+1, …, 1+1, ….
    Glimpses are treated as independent, and their order does not matter:

        p_g = softmax(f(x_g)),  p(class) = Σ_{orders of its symbols} Π_g p_g(symbol_g)

    `forward` returns log p, so that its softmax is p itself. A head with several glimpses has the
    same weights as one with a single glimpse, so it can start from weights that were trained on
    frames with one object.

    Args:
        width: D, the number of features of all glimpses, which are concatenated.
        glimpses: G.
        head_units: width of a tanh layer before the symbols; 0: none.
        dropout: before the symbols.
        num_classes: K, the number of multisets, which determines the number of symbols.

    Raises:
        ValueError: the features cannot be divided among the glimpses, or no number of symbols has
            that many multisets.
    """

    orders: Tensor
    real: Tensor

    def __init__(
        self, width: int, glimpses: int, head_units: int, dropout: float, num_classes: int
    ) -> None:
        super().__init__()
        symbols = next(
            s for s in itertools.count(1) if math.comb(s + glimpses - 1, glimpses) >= num_classes
        )
        if math.comb(symbols + glimpses - 1, glimpses) != num_classes:
            raise ValueError(
                f"{num_classes} classes are not the unordered groups of {glimpses} among any number of symbols: "
                f"{symbols} symbols make {math.comb(symbols + glimpses - 1, glimpses)}"
            )
        self.glimpses = glimpses
        self.read = make_head(width // glimpses, head_units, dropout, symbols)
        groups = itertools.combinations_with_replacement(range(symbols), glimpses)
        orders = [sorted(set(itertools.permutations(group))) for group in groups]
        most = max(map(len, orders))
        # K P G; orders of each class, padded by repetitions of the first one, and the number of
        # distinct orders.
        padded = [found + found[:1] * (most - len(found)) for found in orders]
        self.register_buffer("orders", torch.tensor(padded), persistent=False)
        counts = torch.tensor([len(found) for found in orders])
        self.register_buffer("real", torch.arange(most) < counts[:, None], persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """`N D -> N K`, logarithms of probabilities."""
        each = self.read(features.unflatten(1, (self.glimpses, -1))).float().log_softmax(2)  # N G S
        # N K P
        sums = torch.stack([each[:, g, self.orders[:, :, g]] for g in range(self.glimpses)]).sum(0)
        return sums.masked_fill(~self.real, -math.inf).logsumexp(2)
