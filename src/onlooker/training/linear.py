"""Encode clips for the linear model, and fit its layer: statistics of each clip once, then logistic
regression or linear discriminant analysis (`training.regression`).

`training.eyes` chooses the statistics and the method. With few clips, the layer is also fitted to
altered copies of them.
"""

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from onlooker.base.config import ClassWeights, DataConfig, LayerEyes
from onlooker.base.progress import tracked
from onlooker.models.heads import Head
from onlooker.models.linear import ORDERED, UNORDERED, LinearClassifier
from onlooker.models.video_model import VideoModel, choose_device
from onlooker.training.forward import encode_samples
from onlooker.training.regression import (
    MANY,
    Floats,
    Ints,
    LinearLayer,
    Method,
    Statistics,
    mean_and_std,
    regress,
    standard_scale,
)

__all__ = ["ClipStatistics", "altered_copies", "statistics_of"]

FOLDS = 5
_ROWS = 2000  # of a batch
INNER_FOLDS = 3  # inside of a fold, and where a sample of many clips chooses
_CLIP_BATCH = 8  # read together
_FRAME_BATCH = 32  # encoded together
# The matrices are small: threads that wait for each other cost more than they save, most of all on
# a busy machine.
Function = TypeVar("Function", bound=Callable[..., object])
one_thread: Callable[[Function], Function] = threadpool_limits.wrap(limits=1, user_api="blas")


# The sets of statistics to choose from, the default first.
SETS: dict[str, tuple[str, ...]] = {
    "all but order": UNORDERED,
    "changes": UNORDERED[1:],
    "changes and order": (*UNORDERED[1:], *ORDERED),
}
# maximum number of clips that get copies: with more clips, copies gain little, and encoding them
# takes most of the time
FEW = 64
METHOD = Method("logistic", 10.0)  # the default of all eyes
_CROP = 0.84  # of the height and width of the frames


class Candidate(NamedTuple):
    """How the layers of a linear model are fitted: a value for each thing that is chosen.

    Args:
        statistics: names of the statistics that the layer of pictures uses.
        method: of the layer of pictures.
        copies: number of altered copies of each clip that it is fitted to as well.
        balanced: classes weigh equally, in layers, log loss and temperature.
        eyes: which layers count (`DataConfig.layer_eyes`).
        methods: of the layers of other eyes, unless they have the default.
        weights: of the log probabilities of other eyes, beside 1 of pictures, for `both`.
    """

    statistics: tuple[str, ...] = UNORDERED
    method: Method = METHOD
    copies: int = 0
    balanced: bool = False
    eyes: LayerEyes = "pictures"
    methods: Mapping[str, Method] = MappingProxyType({})
    weights: Mapping[str, float] = MappingProxyType({})

    def changed(self, **changes: Any) -> "Candidate":
        """With other values of these fields; mappings keep their other items."""
        for name in {"methods", "weights"} & changes.keys():
            changes[name] = {**getattr(self, name), **changes[name]}
        return self._replace(**changes)

    @property
    def factors(self) -> dict[str, float]:
        """The weights of the eyes that count. The layer of pictures stays where another eye alone
        is better: attention and events are found by it.
        """
        if self.eyes in ("pictures", "both"):
            return {"pictures": 1.0, **(self.weights if self.eyes == "both" else {})}
        return {"pictures": 1e-3, self.eyes: 1.0}


class EyeVectors(NamedTuple):
    """Fisher vectors of clips (`base.fisher`), in an orthonormal basis of a space with most of them.

    Args:
        x: `B R`, coordinates; zero for a clip in which nothing is seen.
        basis: `F R`.
    """

    x: Floats
    basis: Floats


class ClipStatistics(NamedTuple):
    """Statistics, classes and recordings of clips, to which layers are fitted.

    Args:
        x: statistics `B M`, a block of columns for each of `LinearClassifier.names`; in single
            precision if a model computed them.
        y: classes `B`.
        groups: recordings `B`; clips of one are never divided.
        num_classes: K.
        copies: statistics `B M` of altered copies of the clips, in the order of `altered_copies`;
            empty if there are many clips.
        nothing: the class in which nothing happens (`answer.nothing_class`).
        class_weights: as in `FitConfig`.
        eyes: what other eyes see in the clips.
        requested: the layers that count (`DataConfig.layer_eyes`).
        early: mean and standard deviation over clips of the statistics after 1 to W - 1 frames,
            `W-1 M` each; None: the first frames of a stream are standardized like whole clips.
    """

    x: Statistics
    y: Ints
    groups: NDArray[np.str_]
    num_classes: int
    copies: tuple[Floats, ...] = ()
    nothing: int | None = None
    class_weights: ClassWeights = "none"
    eyes: Mapping[str, EyeVectors] = MappingProxyType({})
    requested: LayerEyes = "auto"
    early: tuple[Floats, Floats] | None = None

    def subset(self, rows: Ints) -> "ClipStatistics":
        """The clips at some positions."""
        return self._replace(
            eyes={name: seen._replace(x=seen.x[rows]) for name, seen in self.eyes.items()},
            early=None,
            x=self.x[rows],
            y=self.y[rows],
            groups=self.groups[rows],
            copies=tuple(copy[rows] for copy in self.copies),
        )

    def beside(self, other: "ClipStatistics") -> "ClipStatistics":
        """The same clips by two views: the features of this one, then those of the other one."""
        early = None
        if self.early is not None and other.early is not None:
            early = (_beside(self.early[0], other.early[0]), _beside(self.early[1], other.early[1]))
        copies = zip(self.copies, other.copies, strict=False)
        return self._replace(
            x=_beside(self.x, other.x), copies=tuple(_beside(*pair) for pair in copies), early=early
        )

    def sampled(self) -> Ints:
        """The positions of the clips that layers are chosen with: at most `MANY`, from all classes
        and recordings in proportion.
        """
        count = len(self.y)
        by_recording = np.lexsort((self.groups, self.y))
        places = np.linspace(0, count - 1, min(count, MANY)).round().astype(np.int64)
        return np.sort(by_recording[places])

    def batches(
        self, rows: Ints, columns: Ints, copies: int = 0
    ) -> Iterator[tuple[Statistics, Ints]]:
        """Batches of statistics and classes of clips at some positions, then of this many altered
        copies of each clip.
        """
        block = slice(columns[0], columns[-1] + 1)  # a view, from which only rows are copied
        within = columns - columns[0]
        is_whole = len(columns) == block.stop - block.start
        for x in (self.x, *self.copies[:copies]):
            for start in range(0, len(rows), _ROWS):
                places = rows[start : start + _ROWS]
                values = x[:, block][places]
                yield values if is_whole else values[:, within], self.y[places]

    def columns(self, statistics: Sequence[str]) -> Ints:
        """The columns of some of the statistics, given by their names."""
        blocks = np.arange(self.x.shape[1]).reshape(len(LinearClassifier.names), -1)
        return blocks[[LinearClassifier.names.index(name) for name in statistics]].ravel()

    def folds(self, count: int) -> Iterator[tuple[Ints, Ints]]:
        """Positions of the clips to train with and to test, for each of `count` folds, or as many as
        the clips allow; none if they cannot be divided.
        """
        from sklearn.model_selection import StratifiedGroupKFold

        count = min(count, len(np.unique(self.groups)), int(np.bincount(self.y).max()))
        if count < 2:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a class with fewer clips than folds
            divided = StratifiedGroupKFold(count, shuffle=True, random_state=0)
            folds = [*divided.split(self.y, self.y, self.groups)]
        for train_rows, test_rows in folds:
            if len(np.unique(self.y[train_rows])) > 1 and len(test_rows):
                yield train_rows, test_rows


def _beside(x: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Statistics `B M` of two views as those of both."""
    blocks = [rows.reshape(len(rows), len(LinearClassifier.names), -1) for rows in (x, other)]
    return np.concatenate(blocks, 2).reshape(len(x), -1)


@one_thread
def fit_layer(
    net: LinearClassifier,
    clips: ClipStatistics,
    candidate: Candidate,
    *,
    factor: float = 1.0,
) -> None:
    """Fit the layer of pictures to all clips, and set it on a model; a ValueError for clips of a
    single class.

    Args:
        factor: of the logits.
    """
    layer = fitted_layer(clips, candidate).scaled(factor)
    center = np.tile(layer.center, (net.window, 1))
    scale = np.tile(layer.scale, (net.window, 1))
    if clips.early is not None:
        count = len(clips.columns(candidate.statistics))
        columns = np.flatnonzero(layer.standardizes)
        mean, deviation = (statistics[:, columns] for statistics in clips.early)
        center[:-1, columns] = mean
        scale[:-1, columns] = standard_scale(mean, deviation, count)
    net.set_heads({"clip": Head(layer.weight, layer.bias, center=center, scale=scale)})


def fitted_layer(
    clips: ClipStatistics,
    candidate: Candidate,
    rows: Ints | None = None,
    *,
    windows: tuple[Floats, Ints] | None = None,
) -> LinearLayer:
    """The layer of pictures, fitted to all clips or to clips at some positions: on all statistics,
    with weights of zero where they are not used. Unused statistics count for distances, unless they
    are of order: the mean differs between places, even where changes do not.

    Args:
        windows: statistics `B M` and classes `B` of windows that it is fitted to as well.
    """
    train_rows = np.arange(len(clips.y)) if rows is None else rows
    columns = clips.columns(candidate.statistics)

    def batches(columns: Ints) -> Iterator[tuple[Statistics, Ints]]:
        yield from clips.batches(train_rows, columns, candidate.copies)
        if windows is not None:
            yield windows[0][:, columns], windows[1]

    (used,) = regress(
        partial(batches, columns),
        clips.num_classes,
        methods=(candidate.method,),
        balanced=candidate.balanced,
    )
    layer = used.embedded_in(columns, clips.x.shape[1])
    unused = np.setdiff1d(clips.columns(UNORDERED), columns)
    if len(unused):
        mean, deviation = mean_and_std(partial(batches, unused))
        layer.center[unused] = mean
        layer.scale[unused] = standard_scale(mean, deviation, len(columns))
    return layer


@torch.inference_mode()
def statistics_of(
    model: VideoModel,
    samples: Dataset[Any],
    groups: Sequence[str],
    *,
    data: DataConfig,
    title: str = "encoding clips",
    with_features: Collection[int] = (),
    copies: bool = True,
    recropped: Sequence[Dataset[Any]] = (),
) -> tuple[ClipStatistics, dict[int, Tensor]]:
    """Encode clips; moves the model to a GPU if there is one.

    Args:
        model: a `LinearClassifier`.
        samples: see `fit`; frames are not augmented.
        groups: the recording of each clip.
        data: normalization.
        title: of the progress bar.
        with_features: positions of the clips whose features are returned.
        copies: make altered copies if there are few clips.
        recropped: the clips with other crops, for the first altered copies.

    Returns:
        The clips; and the features of some by their positions, `T D h w` float16.

    Raises:
        ValueError: clips of a single class, or features that are not finite.
    """
    with torch.inference_mode(False):  # else its layer could not be set afterwards
        net = cast(LinearClassifier, model).to(choose_device()).eval()
    x = np.empty((len(groups), net.num_features), np.float32)
    y = np.empty(len(groups), np.int64)
    altered = list[Tensor]()
    features_by_clip = dict[int, Tensor]()
    # Only sums are kept: statistics after each frame of all clips would take as much memory as the
    # frames.
    sums = torch.zeros(2, net.window - 1, net.num_features, dtype=torch.float64)
    copies = copies and len(groups) <= FEW and not data.flow_channels
    batches = DataLoader(samples, _CLIP_BATCH)
    for frames, targets, positions in tracked(batches, "encoding clips", len(batches), title=title):
        features = encode_samples(net, frames, data, at_once=_FRAME_BATCH)
        features_by_clip |= {
            position: clip_features.half().cpu()
            for position, clip_features in zip(positions.tolist(), features, strict=True)
            if position in with_features
        }
        values = net.statistics(features).cpu()
        x[positions.numpy()] = values[:, -1]
        y[positions.numpy()] = targets
        if copies and frames.dtype == torch.uint8:
            made = _altered(frames, positions, recropped, channels=data.channels)
            altered.append(torch.stack([_at_last(net, copy, data) for copy in made]))
        sums += _early_sums(values, net.window)
    _check_clips(x, y)
    return ClipStatistics(
        x,
        y,
        np.asarray(groups),
        num_classes=net.num_classes,
        copies=tuple(torch.cat(altered, 1).numpy()) if altered else (),
        early=_mean_and_deviation(sums, len(x)),
    ), features_by_clip


def _at_last(net: LinearClassifier, frames: Tensor, data: DataConfig) -> Tensor:
    """The statistics `B M` after the last of some frames `B T H W C`."""
    return net.statistics(encode_samples(net, frames, data, at_once=_FRAME_BATCH))[:, -1].cpu()


def _early_sums(values: Tensor, window: int) -> Tensor:
    """Sums over clips of statistics `B T M` after 1 to W - 1 frames, and of their squares."""
    early = values[:, torch.arange(window - 1).clamp_max(values.shape[1] - 1)].double()
    return torch.stack([early.sum(0), early.square().sum(0)])


def _mean_and_deviation(sums: Tensor, count: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation, from sums of so many values and of their squares, `2 …`."""
    mean, square = sums / count
    return mean.numpy(), (square - mean.square()).clamp_min(0).sqrt().numpy()


def _altered(
    frames: Tensor, positions: Tensor, recropped: Sequence[Dataset[Any]], *, channels: int
) -> Iterator[Tensor]:
    """The altered copies of some clips; crops in the last channels are those of `recropped`."""
    for number, copy in enumerate(altered_copies(frames)):
        if number < len(recropped):
            crops = [recropped[number][place][0] for place in positions.tolist()]
            closeups = torch.stack(crops)[..., -channels:]
            copy = torch.cat((copy[..., :-channels], closeups), -1)
        yield copy


def _check_clips(x: Statistics, y: Ints) -> None:
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"all {len(y)} training clips are of one class, expected two classes or more"
        )
    if not np.isfinite(x).all():
        raise ValueError(
            "features of the training clips are not finite; use another encoder or --normalization"
        )


def altered_copies(frames: Tensor) -> Iterator[Tensor]:
    """Altered frames `B T H W C` uint8, in this order: their upper right part and their
    lower left part, enlarged to their size; and mirrored.
    """
    B, T, H, W, _ = frames.shape
    h = round(_CROP * H)
    w = round(_CROP * W)
    for part in (frames[:, :, :h, W - w :], frames[:, :, H - h :, :w]):
        images = part.flatten(0, 1).permute(0, 3, 1, 2)
        enlarged = F.interpolate(images, size=(H, W), mode="bilinear", antialias=True)
        yield enlarged.permute(0, 2, 3, 1).unflatten(0, (B, T))
    yield frames.flip(3)
