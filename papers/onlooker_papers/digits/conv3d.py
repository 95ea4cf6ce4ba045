"""A small network of 3-D convolutions on the pixels themselves: the baseline of the paper that needs no encoder."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onlooker.data.transforms import to_video
from onlooker.training.fit import PUBLISHED
from onlooker_papers.digits.pretraining import DATA

_WIDTHS = (8, 16, 32)  # channels; the paper does not state its own
_AT_ONCE = 50  # videos


class Conv3dNet(nn.Module):
    """Three 3×3×3 convolutions to 8, 16 and 32 channels ("same", ReLU), each with max-pool 2; dense.

    Frames are averaged down to half their size first. Weights Xavier-uniform, biases 0, like all models of the paper.

    Args:
        frames, size: T, and height and width of a frame.
        num_classes: K.

    Raises:
        ValueError: less than 8 frames or 16 pixels, of which the pooling would leave nothing.
    """

    def __init__(self, frames: int, size: int, num_classes: int = 100) -> None:
        super().__init__()
        if frames < 8 or size < 16:
            raise ValueError(f"videos have {frames} frames of {size} pixels, expected at least 8 of 16")
        layers: list[nn.Module] = [nn.AvgPool3d((1, 2, 2))]
        for given, width in zip((1, *_WIDTHS), _WIDTHS, strict=False):
            layers += [nn.Conv3d(given, width, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2)]
        places = (frames // 8) * (size // 16) ** 2
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(_WIDTHS[-1] * places, num_classes))
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
    """Train `Conv3dNet` once, as the paper trains its models, and measure it on every test set.

    Cross entropy, RMSprop at 1e-3.

    Args:
        videos: `V T 1 H W`, uint8.
        targets: `V`, classes from 0 to 99.
        tests: for each name, videos and targets likewise.
        number: of the round, on which weights and order depend.
        epochs, batch: times that every video is seen, videos in a step.
        seed: of all rounds.

    Returns:
        For each test set `loss` and `accuracy`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    # In float32: under bfloat16 autocast, PyTorch 2.15 made gradients of 1e36 on a processor.
    def logits(model: Conv3dNet, images: Tensor) -> Tensor:
        return model(to_video(images.movedim(2, -1).to(device), DATA.normalization))

    with torch.random.fork_rng():
        torch.manual_seed(seed * 1_000_003 + number)
        model = Conv3dNet(videos.shape[1], videos.shape[-1]).to(device)
        optimizer = PUBLISHED["rmsprop"](list(model.parameters()), 1e-3)
        for _ in range(epochs):
            for chosen in torch.randperm(len(videos)).split(batch):
                loss = F.cross_entropy(logits(model, videos[chosen]), targets[chosen].to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    found = {}
    for name, (given, truth) in tests.items():
        with torch.inference_mode():
            answers = torch.cat([logits(model, part).cpu() for part in given.split(_AT_ONCE)])
        right = (answers.argmax(1) == truth).float().mean()
        found[name] = {"loss": F.cross_entropy(answers, truth).item(), "accuracy": right.item()}
    return found
