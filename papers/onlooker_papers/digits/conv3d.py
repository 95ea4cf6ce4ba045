"""The 3-D convolutional network of the authors' code, on the pixels themselves; the paper does not mention it."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.data.transforms import to_video
from onlooker_papers.digits.pretraining import DATA
from onlooker_papers.optimizers import OPTIMIZERS

_LAYERS = ((1, 32, 7), (32, 64, 3), (64, 128, 2))  # channels in and out, side of the kernel
_DENSE, _DROPOUT = 256, 0.2
_AT_ONCE = 10  # videos


class Conv3dNet(nn.Module):
    """Convolutions 7³→32, 3³→64, 2³→128 ("valid", ReLU), each with max-pool 1×2×2; dense 256, 256 (linear), K.

    Dropout .2 follows both dense layers. Weights Xavier-uniform, biases 0. For 50 frames of 64×64 pixels it has
    48,589,348 parameters.

    Args:
        frames, size: T, and height and width of a frame.
        num_classes: K.

    Raises:
        ValueError: fewer than 10 frames or 26 pixels, for which the output of the convolutions would be empty.
    """

    def __init__(self, frames: int, size: int, num_classes: int = 100) -> None:
        super().__init__()
        if frames < 10 or size < 26:
            raise ValueError(f"videos have {frames} frames of {size} pixels, expected at least 10 of 26")
        layers: list[nn.Module] = []
        for given, width, kernel in _LAYERS:
            layers += [nn.Conv3d(given, width, kernel), nn.ReLU(), nn.MaxPool3d((1, 2, 2))]
            frames, size = frames - kernel + 1, (size - kernel + 1) // 2
        layers += [nn.Flatten()]
        for inputs in (_LAYERS[-1][1] * frames * size**2, _DENSE):
            layers += [nn.Linear(inputs, _DENSE), nn.Dropout(_DROPOUT)]
        self.layers = nn.Sequential(*layers, nn.Linear(_DENSE, num_classes))
        for layer in self.layers:
            if isinstance(layer, nn.Conv3d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, video: Tensor) -> Tensor:
        """`B T 1 H W -> B K`, logits."""
        return self.layers(video.transpose(1, 2))


def train_conv3d(
    videos: Tensor,
    targets: Tensor,
    tests: Mapping[str, tuple[Tensor, Tensor]],
    number: int,
    *,
    epochs: int = 10,
    batch: int = 50,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Train `Conv3dNet` once, as in the authors' code, and measure it on every test set.

    The loss is cross entropy, the optimizer RMSprop with a learning rate of 1e-3.

    Args:
        videos: `V T 1 H W`, uint8.
        targets: `V`, classes from 0 to 99.
        tests: for each name, videos and targets in the same form.
        number: number of the round, which determines weights and order.
        epochs, batch: passes through the videos, videos in a step.
        seed: seed of all rounds.

    Returns:
        For each test set `loss` and `accuracy`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    # In float32, because PyTorch 2.15 made gradients of 1e36 under bfloat16 autocast on a CPU.
    def logits(model: Conv3dNet, images: Tensor) -> Tensor:
        return model(to_video(images.movedim(2, -1).to(device), DATA.normalization))

    with torch.random.fork_rng():
        torch.manual_seed(seed * 1_000_003 + number)
        model = Conv3dNet(videos.shape[1], videos.shape[-1]).to(device)
        optimizer = OPTIMIZERS["rmsprop"](list(model.parameters()), 1e-3)
        for _ in range(epochs):
            for chosen in torch.randperm(len(videos)).split(batch):
                loss = F.cross_entropy(logits(model, videos[chosen]), targets[chosen].to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    model.eval()
    found = {}
    for name, (given, truth) in tests.items():
        with torch.inference_mode():
            answers = torch.cat([logits(model, part).cpu() for part in given.split(_AT_ONCE)])
        right = (answers.argmax(1) == truth).float().mean()
        found[name] = {"loss": F.cross_entropy(answers, truth).item(), "accuracy": right.item()}
    return found
