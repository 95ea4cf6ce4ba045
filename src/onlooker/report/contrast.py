"""Why one class and not another one: where and when the evidence is in a clip, as a picture and in
a sentence.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, reduce

import cv2
import numpy as np
from numpy.typing import NDArray

from onlooker.base.records import Floats, Pixels
from onlooker.base.text import printable
from onlooker.localization.boxes import GRID
from onlooker.report.plots import COLORS, INK, plain_text
from onlooker.video.motion_words import BlockShares

# of both classes
_COLORS = COLORS[:2]
_SIGNS = (1, -1)
_FRAMES = 6  # of a strip
_OPACITY = 0.9  # of the strongest evidence
_PALE = 0.1  # of it: what is not drawn
_WIDTH = 10.0  # inches
_BARS = 0.9  # their height
_TIMES = 0.4  # likewise, of the times above the frames: else they would be narrower than the bars
_GAP = 0.02  # between frames, as a share of their width
_NAME = 24  # letters of a class
_HALF = 0.5  # of the evidence for a class, in the interval that is named
_PLACES = (
    ("at the upper left", "at the top", "at the upper right"),
    ("at the left", "in the center", "at the right"),
    ("at the lower left", "at the bottom", "at the lower right"),
)
_DPI = 100
_BEFORE = -1.5  # place of the bar of the constant, left of the frames
_FAINT = 0.5  # its opacity
_MUCH = 0.1  # of the evidence of all frames: a constant that is worth a sentence


@dataclass(frozen=True, eq=False)
class Contrast:
    """The evidence for one class over another one in a clip.

    Args:
        labels: both classes.
        times: `T`, of the frames of its sample, in seconds.
        pictures, motion: `T 30 40`, what each place adds to the logarithm of the odds of the first
            class over the second one, by what the frames show and by how things move between them.
        others: likewise by each further eye, spread evenly over the places of a frame.
        constant: what is added whatever a clip shows, so that all add up to the logarithm of the odds.
    """

    labels: tuple[str, str]
    times: NDArray[np.float64]
    pictures: Floats
    motion: Floats
    others: Mapping[str, Floats] = field(default_factory=dict)
    constant: float = 0.0

    @property
    def evidence(self) -> Floats:
        """`T 30 40`, positive for the first class, negative for the second one."""
        return reduce(np.add, self.others.values(), self.pictures + self.motion)

    @property
    def sentence(self) -> str:
        """Where and when most evidence for each class is, and which eye sees it; and which class has
        more before anything is seen, if that is much.
        """
        texts = (
            f"for “{printable(label)}”: {self._most(sign)}"
            for sign, label in zip(_SIGNS, self.labels, strict=True)
        )
        sentence = f"Most evidence {'; '.join(texts)}."
        if abs(self.constant) <= _MUCH * np.abs(self.evidence.sum((1, 2))).sum():
            return sentence
        likely = self.labels[int(self.constant < 0)]
        return f"{sentence} Before anything is seen, “{printable(likely)}” is more likely."

    def _most(self, sign: int) -> str:
        evidence = np.maximum(sign * self.evidence, 0)
        by_time = evidence.sum((1, 2))
        if not by_time.any():
            return "none"
        begin, end = _shortest(by_time)
        place = evidence[begin : end + 1].sum(0)
        thirds = [np.linspace(0, side, 3, endpoint=False).astype(int) for side in GRID]
        sums = np.add.reduceat(np.add.reduceat(place, thirds[0], 0), thirds[1], 1)
        row, column = divmod(int(sums.argmax()), 3)
        eyes = {
            f"what the frames show {_PLACES[row][column]}": self.pictures,
            f"how things move {_PLACES[row][column]}": self.motion,
            **{f"what the eye {name} sees": others for name, others in self.others.items()},
        }
        most = max(eyes, key=lambda eye: np.maximum(sign * eyes[eye], 0).sum())
        moments = dict.fromkeys(f"{self.times[i]:.1f}" for i in (begin, end))
        return f"{most}, {' to '.join(moments)} s"


def _shortest(values: Floats) -> tuple[int, int]:
    """The first and the last of the fewest neighboring values with half of their sum."""
    sums = np.concatenate(([0], values.cumsum()))
    enough = _HALF * sums[-1]
    spans = [
        (end - begin, begin, end)
        for begin in range(len(values))
        for end in range(begin, len(values))
        if sums[end + 1] - sums[begin] >= enough
    ]
    _, begin, end = min(spans)
    return begin, end


def on_grid(values: Floats) -> Floats:
    """Values of places `… h w`, spread over the places of a heat map, `… 30 40`, with the same sum."""
    h, w = values.shape[-2:]
    return (_spread(h, GRID[0]) @ values @ _spread(w, GRID[1]).T).astype(np.float32)


def on_all_places(by_time: Floats) -> Floats:
    """Values `T` of frames, spread evenly over the places of a heat map, `T 30 40`, with the same
    sum.
    """
    return on_grid(by_time[:, None, None])


@cache
def _spread(count: int, size: int) -> Floats:
    """How linear interpolation spreads `count` values over `size`: `size count`, columns of sum
    one.
    """
    weights = cv2.resize(
        np.eye(count, dtype=np.float32), (count, size), interpolation=cv2.INTER_LINEAR
    )
    return (weights / weights.sum(0)).astype(np.float32)


def blocks_on_grid(blocks: Iterable[BlockShares], times: NDArray[np.float64]) -> Floats:
    """The shares of blocks at the places of a heat map and at some times, `T 30 40`, with the same
    sum: each is spread over the frames while it lasts, or else goes to the nearest one.
    """
    maps = np.zeros((len(times), *GRID), np.float32)
    for start, end, shares in blocks:
        corners = np.pad(shares, 1) / np.float32(4)
        cells = corners[1:, 1:] + corners[1:, :-1] + corners[:-1, 1:] + corners[:-1, :-1]
        frames = np.flatnonzero((times >= start) & (times <= end))
        if not len(frames):
            frames = np.array([np.abs(times - (start + end) / 2).argmin()])
        maps[frames] += on_grid(cells) / len(frames)
    return maps


def contrast_strip(frames: Pixels, contrast: Contrast) -> bytes:
    """A strip of gray frames, colored where the evidence for each class is, above a bar for each
    frame of the sample, as JPEG.

    Args:
        frames: `T H W 3`, the frames of the sample, in any size.
    """
    from matplotlib.figure import Figure  # slow to import
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    T, H, W = frames.shape[:3]
    groups = np.array_split(np.arange(T), min(_FRAMES, T))
    maps = np.stack([contrast.evidence[group].sum(0) for group in groups])
    strongest = max(float(np.quantile(np.abs(maps), 0.995)), 1e-9)
    colors = np.array([tuple(bytes.fromhex(color[1:])) for color in _COLORS]) / 255
    height = _WIDTH / len(groups) * H / W + _TIMES
    figure = Figure(
        figsize=(_WIDTH, height + _BARS),
        layout=ConstrainedLayoutEngine(w_pad=0.02),
        facecolor="white",
    )
    # one system of coordinates for all frames: each further one takes as long as the whole strip
    images, axes = figure.subplots(2, height_ratios=(height, _BARS))
    for column, (group, evidence) in enumerate(zip(groups, maps, strict=True)):
        middle = group[len(group) // 2]
        alpha = _OPACITY * np.clip(np.abs(evidence) / strongest - _PALE, 0, 1 - _PALE)
        layer = np.dstack((colors[(evidence < 0).astype(int)], alpha))
        left = column * (1 + _GAP) * W
        extent = (left, left + W, H, 0)
        images.imshow(frames[middle].mean(-1), "gray", vmin=0, vmax=255, extent=extent)
        images.imshow(layer, extent=extent, interpolation="bilinear")
        images.annotate(
            f"{contrast.times[middle]:.1f} s",
            (left + W / 2, 0),
            (0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=9.5,
            color=INK,
        )
    width = left + W
    margin = (0.5 - _BEFORE) / T * width if contrast.constant else 0  # as below, for its bar
    images.set_xlim(-margin, width)
    images.set_axis_off()
    for sign, color in zip(_SIGNS, _COLORS, strict=True):
        axes.bar(range(T), np.maximum(sign * contrast.evidence, 0).sum((1, 2)) * sign, color=color)
    if contrast.constant:
        axes.bar(
            _BEFORE, contrast.constant, color=_COLORS[int(contrast.constant < 0)], alpha=_FAINT
        )
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.spines[:].set_visible(False)
    axes.margins(x=0)
    names = [
        plain_text(f"{label[:_NAME]}…" if len(label) > _NAME else label)
        for label in contrast.labels
    ]
    ends = [end / 2 for end in reversed(axes.get_ylim())]
    axes.set_yticks(ends, names, fontsize=10, fontweight="bold")
    axes.set_xticks([])
    axes.tick_params(length=0)
    for text, color in zip(axes.get_yticklabels(), _COLORS, strict=True):
        text.set_color(color)
    stream = io.BytesIO()
    figure.savefig(stream, format="jpeg", dpi=_DPI)
    return stream.getvalue()
