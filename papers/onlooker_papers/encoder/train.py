"""Training of the encoders `small` and `small-free`: an epoch at a time, resumable, with usable
weights after each.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.transforms.functional import normalize

from onlooker.models.encoders import build_encoder
from onlooker.training.forward import uses_bf16
from onlooker_papers.encoder.images import SIZE, Images, random_crops

# Mean and standard deviation of each color: `imagenet`, what the encoder expects.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class EncoderRecipe:
    """How the encoder is trained.

    Attributes:
        image_size: height and width of the images in memory; crops are taken from these.
        epochs: passes through the training images; the learning rate falls along a cosine until the
        last one.
        batch: images in a step.
        lr: highest learning rate (SGD with Nesterov momentum), reached after `warmup` epochs.
        weight_decay: for the convolutions and the classifier, not for batch norm.
        small_size: size of the crops in the first three fifths of the epochs; later ones have 64
            pixels (progressive resizing, which takes half the time; Touvron et al. 2019, arXiv
            1906.06423).
        min_area: smallest part of an image in a crop.
        jitter: strength of the changes of brightness and contrast.
        smoothing: label smoothing.
        gray: share of the crops without colors.
        contrast: weight of the contrastive loss (`contrastive_loss`), for which each image gives
            two crops; 0: one crop, and the labels alone.
        average: decay of the exponential moving average of the weights; the averaged weights are
        kept.
        seed: of weights, order and crops.
    """

    image_size: int = SIZE
    epochs: int = 45
    batch: int = 256
    lr: float = 0.4
    warmup: float = 2.0
    weight_decay: float = 1e-4
    small_size: int = 48
    min_area: float = 0.35
    jitter: float = 0.3
    smoothing: float = 0.1
    gray: float = 0.0
    contrast: float = 0.0
    average: float = 0.999
    seed: int = 0


TINY_IMAGENET = EncoderRecipe()
# A tenth of the images, so stronger changes, more passes, and a task that needs no labels.
CALTECH_101 = EncoderRecipe(
    image_size=80,
    epochs=50,
    lr=0.3,
    warmup=5,
    min_area=0.15,
    jitter=0.4,
    gray=0.2,
    contrast=0.5,
    average=0.998,
)


class ImageClassifier(nn.Module):
    """The encoder, the mean over its map, and a linear layer; for contrastive training, two more
    layers on the mean.
    """

    def __init__(self, num_classes: int, contrastive: bool = False) -> None:
        super().__init__()
        encoder: Any = build_encoder("small", 3, SIZE, pretrained=False)
        self.encoder = encoder
        width = encoder.last_features
        self.head = nn.Linear(width, num_classes)
        if contrastive:
            self.projection = nn.Sequential(
                nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 128)
            )

    def forward(self, images: Tensor) -> Tensor:
        """`N 3 H W -> N K`."""
        return self.head(self.encode(images))

    def encode(self, images: Tensor) -> Tensor:
        """`N 3 H W -> N D`: the mean over the last map."""
        return self.encoder.layers(images).mean((2, 3))


class EncoderTraining:
    """The state of a training: everything that the next epoch needs.

    Args:
        run: folder with `state.pt`, to resume.
        recipe: must be that of the training in the folder, if there is one.
        num_classes: K.
        device: the device for training.

    Raises:
        ValueError: the folder belongs to another recipe.
    """

    def __init__(
        self, run: Path, recipe: EncoderRecipe, *, num_classes: int, device: torch.device
    ) -> None:
        self.run = run
        self.recipe = recipe
        self.device = device
        torch.manual_seed(recipe.seed)
        self.model = (
            ImageClassifier(num_classes, recipe.contrast > 0)
            .to(device)
            .to(memory_format=torch.channels_last)
        )
        average = get_ema_multi_avg_fn(recipe.average)
        self.average = AveragedModel(self.model, multi_avg_fn=average, use_buffers=True)
        decayed = [weight for weight in self.model.parameters() if weight.ndim > 1]
        others = [weight for weight in self.model.parameters() if weight.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.SGD(groups, recipe.lr, momentum=0.9, nesterov=True)
        self.log: list[dict[str, float]] = []
        if (run / "state.pt").exists():
            self._load()

    @property
    def epoch(self) -> int:
        """Epochs that are complete."""
        return len(self.log)

    def fit(self, train: Images, validation: Images) -> Iterator[dict[str, float]]:
        """Train to the end of the recipe.

        Yields:
            After each epoch, its line in the log: `epoch`, `size`, `loss`, `accuracy` on the
            validation images, `minutes`.
        """
        while self.epoch < self.recipe.epochs:
            before = time.monotonic()
            loss = self._train_epoch(train)
            self.average.eval()
            accuracy = evaluate(self.average, validation, self.device)
            line = {
                "epoch": self.epoch + 1,
                "size": self._size(),
                "loss": loss,
                "accuracy": accuracy,
            }
            self.log.append({**line, "minutes": (time.monotonic() - before) / 60})
            self.save()
            yield self.log[-1]

    def _size(self) -> int:
        return self.recipe.small_size if self.epoch < 0.6 * self.recipe.epochs else SIZE

    def _train_epoch(self, images: Images) -> float:
        # Seeded by the epoch, so that a resumed training is the same as an uninterrupted one.
        random = torch.Generator().manual_seed(self.recipe.seed * 10_000 + self.epoch)
        self.model.train()
        batches = torch.randperm(len(images.targets), generator=random).split(self.recipe.batch)
        total = 0.0
        for index, batch in enumerate(batches):
            rate = learning_rate(self.recipe, self.epoch + index / len(batches))
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            views = batch.repeat(2) if self.recipe.contrast else batch
            recipe = self.recipe
            pixels = images.pixels[views].to(self.device)
            crops = random_crops(
                pixels,
                self._size(),
                random,
                min_area=recipe.min_area,
                jitter=recipe.jitter,
                gray=recipe.gray,
            )
            loss = self._step(normalize(crops, *IMAGENET), images.targets[views].to(self.device))
            total += float(loss) / len(batches)
            self.average.update_parameters(self.model)
        return total

    def _step(self, crops: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=uses_bf16()):
            encoded = self.model.encode(crops.to(memory_format=torch.channels_last))
            logits = self.model.head(encoded)
            projected = self.model.projection(encoded) if self.recipe.contrast else None
        loss = F.cross_entropy(logits.float(), targets, label_smoothing=self.recipe.smoothing)
        if projected is not None:
            loss = loss + self.recipe.contrast * contrastive_loss(projected.float())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def save(self) -> None:
        """Write the state, from which a training resumes."""
        state = {
            "recipe": asdict(self.recipe),
            "log": self.log,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        self.run.mkdir(parents=True, exist_ok=True)
        torch.save(state, self.run / "state.part")
        (self.run / "state.part").replace(self.run / "state.pt")

    def _load(self) -> None:
        state = read_state(self.run)
        if state["recipe"] != asdict(self.recipe):
            raise ValueError(
                f"{self.run} holds a training with {state['recipe']}, not {asdict(self.recipe)}"
            )
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.log = state["log"]


def averaged_weights(run: Path) -> dict[str, Tensor]:
    """The averaged weights of a training, for an `ImageClassifier`."""
    return {
        name.removeprefix("module."): value
        for name, value in read_state(run)["average"].items()
        if "." in name
    }


def read_state(run: Path) -> dict[str, Any]:
    """The state of a training: `recipe`, `log`, `model`, `average`, `optimizer`."""
    return torch.load(run / "state.pt", map_location="cpu", weights_only=True)


def contrastive_loss(projected: Tensor, temperature: float = 0.2) -> Tensor:
    """Normalized cross entropy of finding the other crop of an image among all crops (SimCLR, arXiv
    2002.05709, eq. 1).

    Args:
        projected: `2N D`; rows n and N + n are two crops of one image.
        temperature: divides the cosines.
    """
    directions = F.normalize(projected, dim=1)
    count = len(projected)
    similar = directions @ directions.T / temperature
    similar.fill_diagonal_(-torch.inf)
    return F.cross_entropy(similar, torch.arange(count, device=projected.device).roll(count // 2))


def learning_rate(recipe: EncoderRecipe, epoch: float) -> float:
    """Linear warm-up, then a cosine to zero.

    Args:
        epoch: passes through the images so far, including the fraction of the present one.
    """
    if epoch < recipe.warmup:
        return recipe.lr * epoch / recipe.warmup
    return (
        recipe.lr
        * 0.5
        * (1 + math.cos(math.pi * (epoch - recipe.warmup) / (recipe.epochs - recipe.warmup)))
    )


@torch.inference_mode()
def evaluate(model: nn.Module, images: Images, device: torch.device, *, batch: int = 500) -> float:
    """The accuracy of a model in evaluation mode, in float32."""
    correct = 0
    for pixels, targets in zip(
        images.pixels.split(batch), images.targets.split(batch), strict=True
    ):
        logits = model(
            normalize(pixels.to(device).float() / 255, *IMAGENET).to(
                memory_format=torch.channels_last
            )
        )
        correct += int((logits.argmax(1).cpu() == targets).sum())
    return correct / len(images.targets)
