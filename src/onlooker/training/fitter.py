"""What fits a model to clips: the interface of a fitter, what it is given, and what it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from onlooker.base.config import FitConfig, Settings
from onlooker.base.decision import Decision
from onlooker.base.records import Curves, Evaluation
from onlooker.data.clips import ClipFrames
from onlooker.data.split import Split
from onlooker.measure.figures import CrossValidationFigures, HeldOutStates, TriedCandidate
from onlooker.measure.timeline import Pair, Timeline
from onlooker.models.heads import Head
from onlooker.models.video_model import VideoModel
from onlooker.stream.segmenters.segmenter import Floats, Segmenter
from onlooker.training.times import TimesPlan

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["Fitted", "Fitter"]


@dataclass(frozen=True)
class FitContext:
    """What a fitter is given beside the samples and their split.

    Args:
        settings: complete ones; `settings.training` has the settings of the fitter.
        model: the model to fit, with random weights in all that is not pretrained.
        decision: the classes, the class in which nothing happens, the aggregation and the frame
            rate; what calibration sets has its defaults.
        run: the folder for curves and checkpoints; training continues from existing ones.
        cross_validate: whether predictions are wanted for all clips, each by a model that was
            fitted without it and its recording (`Fitted.held_out`).
        times: the recordings that states are fitted to, if the times of the clips give states.
        writer: for TensorBoard; None: none.
        background: recordings in which none of the classes happens.
    """

    settings: Settings
    model: VideoModel
    decision: Decision
    run: Path
    cross_validate: bool
    times: TimesPlan = field(default_factory=TimesPlan)
    writer: "SummaryWriter | None" = None
    background: Sequence[Path] = ()


@dataclass(frozen=True)
class Fitted:
    """A model that was fitted to clips.

    Args:
        model: the fitted model.
        decision: how its scores become an answer.
        settings: from the context, with the encoder that was chosen.
        curves: loss and accuracy of every epoch; None: there are no epochs.
        held_out: predictions for all training and validation clips, each by a model that was
            fitted without it and its recording; None: the model is tested on test clips.
        figures: of the cross-validation that chose the model; None: there was none.
        notes: what a user should know, in words, by subject.
    """

    model: VideoModel
    decision: Decision
    settings: Settings
    curves: Curves | None = None
    held_out: Evaluation | None = None
    figures: CrossValidationFigures | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


class SegmentLayer(NamedTuple):
    """Heads of a model that find segments.

    Args:
        heads: by name, as in `LinearClassifier`.
        lengths: of the windows, in frames, ascending.
        decision: what the segmenter needs: the curve of events, or tiers of states and frame rate.
        table: what was tried.
        held_out: the states of recordings that it was not fitted to; None: of events.
    """

    heads: dict[str, Head]
    lengths: tuple[int, ...]
    decision: Decision
    table: tuple[TriedCandidate, ...]
    held_out: HeldOutStates | None = None


def answered(
    segmenter: Segmenter[Any], true: Timeline, *, times: Sequence[float], rows: Floats
) -> Pair:
    """What is true of footage that a layer was not fitted to, and what the segmenter answers, with
    the arguments of `Segmenter.find`.
    """
    return true, Timeline(segmenter.find(times, rows), true.seconds)


class Fitter(Protocol):
    """How a model is fitted; a recipe names its fitter.

    Args:
        settings: the class of `Settings.training`; its fields are options of `onlooker.train`.
        uses: which of the settings that only some fitters take into account it does: augmentation,
            `frozen` and `precision`.
        cross_validates: whether it chooses by cross-validation: the encoder may be `auto`, and few
            clips are all fitted to, and tested (`Fitted.held_out`), unless there are test clips.
        fits_recordings: whether it can fit states to recordings (`FitContext.times`), and takes
            recordings in which none of the classes happens (`FitContext.background`).
        is_distributed: whether the processes that torchrun started share the work.
    """

    settings: type[FitConfig] = FitConfig
    uses: frozenset[str] = frozenset()
    cross_validates: bool = False
    fits_recordings: bool = False
    is_distributed: bool = False

    def fit(self, samples: ClipFrames, split: Split, context: FitContext) -> Fitted:
        """Fit the model of the context to the training and validation clips of a split.

        Args:
            samples: all clips that could be read.

        Raises:
            ValueError: clips or settings that do not fit.
        """
