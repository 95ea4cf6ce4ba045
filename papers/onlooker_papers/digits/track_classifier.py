"""The model that tracks objects through groups of frames, and classifies each object from a group
as a whole; its head for single objects, and how its predictions are pooled.
"""

import itertools
import math
from typing import NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.models.video_model import NO_OTHERS, Others, Output, VideoModel, make_head
from onlooker_papers import PACKAGE
from onlooker_papers.digits.tracks import Tracks

HEADS = ("joint", "each-glimpse")
# initial weight of every prediction; below 1, because those of one clip often have the same error
_TRUST = 0.3


class TrackClassifier(VideoModel):
    """Objects are tracked through groups of frames (`Tracks`); each group is classified, and the
    predictions are pooled with learned weights (`OpinionPool`).

    The prediction at a frame is that of all groups that have ended by then; before the first group
    ends, all classes are equal. Frames after the last complete group are ignored. A clip that is
    shorter than a group repeats its last frame to fill one, whose prediction is that of the last
    frame. Train this model with the loss of the last prediction (`--loss last`): frames of the
    first group carry no information, and count as mistakes in the frame accuracy.

    Args:
        num_classes: K.
        things: number of objects that are tracked (G).
        stretch: number of frames in a group (L).
        hidden: number of features of an object.
        head_units: width of a tanh layer before the classes; 0: none.
        head: `joint`: classify all objects together; `each-glimpse`: classify each object
            independently; the class is the unordered group of symbols (`EachGlimpse`). Objects have
            no fixed order, which `joint` must learn.
        dropout: before the classes.
        in_channels: C of the frames.
        size: height and width of the frames.

    Raises:
        ValueError: a setting that is unknown or does not fit the others.
    """

    package = PACKAGE
    streams = False

    def __init__(
        self,
        num_classes: int,
        *,
        things: int = 2,
        stretch: int = 5,
        hidden: int = 128,
        head_units: int = 0,
        head: str = "joint",
        dropout: float = 0.5,
        in_channels: int = 3,
        size: int = 64,
    ) -> None:
        super().__init__(num_classes, in_channels, size)
        if head not in HEADS:
            raise ValueError(f"head is {head!r}, expected one of {', '.join(HEADS)}")
        self.tracks = Tracks(in_channels, things, stretch, width=hidden)
        width = self.num_features = self.tracks.num_features
        judge: nn.Module = make_head(
            width, head_units=head_units, dropout=dropout, num_classes=num_classes
        )
        if head == "each-glimpse":
            judge = EachGlimpse(
                width, things, head_units=head_units, dropout=dropout, num_classes=num_classes
            )
        self.pool = OpinionPool(judge, width)
        self.head = nn.Identity()  # the head is in the pool
        self.to(memory_format=torch.channels_last)

    def forward(self, video: Tensor, others: Others = NO_OTHERS) -> Output:
        """`B T C H W` to class logits at every frame, `B T K`; no attention."""
        B, T = self.check_video(video)
        stretches = self._stretches(video)  # B S L C H W
        S = stretches.shape[1]
        pooled = self.pool(self.tracks(stretches.flatten(0, 1)).unflatten(0, (B, S)))
        answers = torch.cat((torch.zeros_like(pooled[:, :1]), pooled), 1)
        # number of finished groups at each frame
        ended = torch.arange(1, T + 1, device=video.device) // self.tracks.stretch
        ended[-1] = S
        return Output(answers[:, ended])

    def initial_state(self, batch_size: int) -> NoReturn:
        """Raise a ValueError: the model needs groups of frames."""
        raise ValueError(
            "tracks reads groups of frames of whole clips; use `onlooker predict`, or another model"
        )

    def windows(self, frames: Tensor) -> Tensor:
        """The windows in the frames of one clip, `T C H W -> T G 2 3`, see `spatial_transform`.

        A window stays on the same object throughout a group. Frames after the last complete group,
        which `forward` ignores, get the windows of a group that is filled by repeating the last
        frame.
        """
        T = len(frames)
        missing = -T % self.tracks.stretch
        padded = torch.cat((frames, frames[-1:].expand(missing, -1, -1, -1)))
        return self.tracks.windows(padded.unflatten(0, (-1, self.tracks.stretch))).flatten(0, 1)[:T]

    def _stretches(self, video: Tensor) -> Tensor:
        """`B T C H W -> B S L C H W`."""
        L = self.tracks.stretch
        if (missing := L - video.shape[1]) > 0:
            video = torch.cat((video, video[:, -1:].expand(-1, missing, -1, -1, -1)), 1)
        return video[:, : video.shape[1] // L * L].unflatten(1, (-1, L))


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
        self, width: int, glimpses: int, *, head_units: int, dropout: float, num_classes: int
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
        self.read = make_head(
            width // glimpses, head_units=head_units, dropout=dropout, num_classes=symbols
        )
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


class OpinionPool(nn.Module):
    """A logarithmic opinion pool (Genest & Zidek 1986) of the predictions at S times, with learned
    weights:

        log p_s = log softmax f(x_s), w_s = log(1 + exp(u · x_s + c)), H_s = Σ_{s' ≤ s} w_s' log
        p_s'

    softmax(H_s) has the class probabilities so far: a product of experts (Hinton 2002) that share
    one network f, whose weights depend on what they see. Predictions from little evidence get small
    weights, while an average would count them like the others.

    Args:
        judge: f, from features `N D` to `N K`.
        num_features: D.
    """

    def __init__(self, judge: nn.Module, num_features: int) -> None:
        super().__init__()
        self.judge = judge
        self.weight = nn.Linear(num_features, 1)
        nn.init.zeros_(self.weight.weight)
        nn.init.constant_(self.weight.bias, math.log(math.expm1(_TRUST)))

    def forward(self, features: Tensor) -> Tensor:
        """`B S D` to H, normalized, `B S K`."""
        flat = features.flatten(0, 1)
        said = self.judge(flat)
        weight = self.weight(flat)
        # Half precision does not suffice for sums over a whole clip.
        said, weight = (
            part.to(torch.promote_types(part.dtype, torch.float32)) for part in (said, weight)
        )
        summands = (F.softplus(weight) * said.log_softmax(1)).unflatten(0, features.shape[:2])
        pooled = [torch.zeros_like(summands[:, 0])]
        for summand in summands.unbind(1):
            # Normalized, because a growing sum would lose the precision of the differences between
            # classes.
            pooled.append((pooled[-1] + summand).log_softmax(1))
        return torch.stack(pooled[1:], 1)
