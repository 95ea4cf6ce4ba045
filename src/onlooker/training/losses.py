"""The loss that a model is trained with."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.config import DataConfig, TrainConfig
from onlooker.models.classifier import clip_scores
from onlooker.models.video_model import VideoModel
from onlooker.training.forward import forward_samples


class Fitting(nn.Module):
    """A model with its loss.

    Args:
        class_weights: `K`; None: classes weigh by their numbers of clips.
    """

    class_weights: Tensor | None

    def __init__(
        self, model: VideoModel, data: DataConfig, train: TrainConfig, class_weights: Tensor | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.data = data
        self.train_config = train
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, samples: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch, in training with augmentation and label smoothing; and three sums over its clips: of the
        loss without that of attention, of those classified correctly, and of all.

        Args:
            samples: frames `B T H W C` uint8, or stored features `B T h w D` float16.
            targets: `B`.
        """
        output, features = forward_samples(self.model, samples, self.data, augmented=self.training)
        loss = self._loss(output.logits, targets)
        frame_scores = self._trained(output.logits).detach().float().softmax(-1)
        scores = clip_scores(frame_scores, self.train_config.resolved_aggregation)
        correct = (scores.argmax(1) == targets).sum()
        sums = torch.stack([loss.detach() * len(targets), correct, correct.new_tensor(len(targets))])
        if self.training and self.model.has_attention_loss and features is not None and output.attention is not None:
            loss = loss + self._loss(self.model.attended_logits(features, output.attention), targets)
        return loss, sums

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = self.train_config.label_smoothing if self.training else 0.0
        return frame_cross_entropy(self._trained(logits), targets, smoothing, self.class_weights)

    def _trained(self, logits: Tensor) -> Tensor:
        """The frames of `B T K` that the loss uses: the last, or all (also for `auto`, which `runs.train` replaces)."""
        return logits[:, -1:] if self.train_config.loss == "last" else logits

    @property
    def frozen(self) -> dict[str, Tensor]:
        """The weights that checkpoints leave out, by name."""
        weights = self.named_parameters(remove_duplicate=False)
        return {name: weight for name, weight in weights if not weight.requires_grad}


def frame_cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Cross entropy of every frame with the video's class, averaged (Li et al. 2016, Sharma et al. 2015).

    Args:
        logits: `B T K`.
        targets: `B`.
        smoothing: share of the target that is spread evenly over all classes.
        weights: `K`, of the classes; the mean is over clips, not over their weights, so that parts of a batch add up.
    """
    T = logits.shape[1]
    frames, truth = logits.float().flatten(0, 1), targets.repeat_interleave(T)
    if weights is None:
        return F.cross_entropy(frames, truth, label_smoothing=smoothing)
    return F.cross_entropy(frames, truth, weights, label_smoothing=smoothing, reduction="none").mean()
