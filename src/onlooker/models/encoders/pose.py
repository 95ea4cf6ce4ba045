"""Body landmarks of MediaPipe's pose models, combined with the features of EfficientNet-Lite0.

The models are two files of MediaPipe (Google, Apache-2.0) that LiteRT runs on the CPU. They are not
in this package: they are read from MediaPipe's wheel, and saved with the weights of each model that
uses them.
"""

import hashlib
import zipfile
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onlooker.base.files import check_regular
from onlooker.models.encoders.backbone import loading
from onlooker.models.encoders.lite0 import Lite0

__all__ = ["POSE"]

POSE = "pose"
# file in MediaPipe's wheel -> its size in bytes and SHA-256; no other files are run
_FILES = {
    "mediapipe/modules/pose_detection/pose_detection.tflite": (
        2_959_046,
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    ),
    "mediapipe/modules/pose_landmark/pose_landmark_full.tflite": (
        6_440_512,
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    ),
}
_EXTRA = 'pip install "onlooker[pose]"'
_INSTALL = "pip install --no-deps mediapipe==0.10.21"
_DOWNLOAD = "pip download --no-deps --only-binary=:all: --python-version 3.12 mediapipe==0.10.21"
_LANDMARKS = 33
_HIPS = [23, 24]
_SHOULDERS = [11, 12]
# Limbs and other lines of the body, from one landmark to another.
_FROM = [11, 13, 15, 12, 14, 16, 23, 25, 27, 24, 26, 28, 11, 12, 0, 0, 11, 23]
_TO = [13, 15, 19, 14, 16, 20, 25, 27, 31, 26, 28, 32, 23, 24, 11, 12, 12, 24]
_CHANNELS = 3 * _LANDMARKS + 3 * len(_FROM) + 4
_DETECTED = 224  # pixels of the square in which a person is detected
_CROPPED = 256  # pixels of the square around the person
_MIN_DETECTION = 0.04  # probability; the landmark model has the last word
_MIN_PRESENCE = 0.5  # probability by the landmark model
_MIN_SIZE = 4.0  # pixels
_FARTHEST = 5.0  # from the hips, in lengths of the trunk
_USUAL_TRUNK = 0.25  # of the height of the frame

_LOCK = Lock()  # an interpreter serves one thread at a time
_interpreters: list[Any] = []  # of this process, for all models, because all have the same files

Floats = NDArray[np.float64]


class Pose(nn.Module):
    """Features of a frame, and the landmarks of the person in it.

    The first channels are those of `Lite0`; the others are the same at all locations: the 33
    landmarks of BlazePose (Bazarevsky et al. 2020, arXiv 2006.10204), x y z relative to the middle
    of the hips in lengths of the trunk; the directions of limbs; the place of the hips in the
    frame; the logarithm of the trunk's length; and 1. If nobody is detected all of these are zero,
    and `LinearClassifier` replaces them by the last ones.

    Args:
        in_channels: 3.
        pretrained: load the weights of `Lite0` from its package, and MediaPipe's where it is
            installed, or from its wheel if this is a path.

    Raises:
        ValueError: frames that are not RGB.
        RuntimeError: LiteRT is not installed, or weights cannot be loaded.
    """

    num_features = Lite0.num_features + _CHANNELS
    parts = (Lite0.num_features, _CHANNELS)
    detector: Tensor  # the bytes of a model, uint8
    landmarker: Tensor

    def __init__(self, in_channels: int = 3, pretrained: bool | str = False) -> None:
        super().__init__()
        if in_channels != 3:
            raise ValueError(
                f"in_channels is {in_channels}, and the encoder {POSE} takes RGB frames; leave it out"
            )
        self.images = Lite0(in_channels, bool(pretrained))
        models = [torch.zeros(size, dtype=torch.uint8) for size, _ in _FILES.values()]
        if pretrained:
            _require_litert()
            models = [
                torch.frombuffer(bytearray(model), dtype=torch.uint8)
                for model in _read_models(pretrained)
            ]
        for name, model in zip(("detector", "landmarker"), models, strict=True):
            self.register_buffer(name, model)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return self.images.grid(height, width)

    def forward(self, frames: Tensor) -> Tensor:
        maps = self.images(frames)
        # before the normalization of Lite0
        pixels = (frames.float() * 128 + 127).round().clamp(0, 255).byte()
        images = pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        with _LOCK:
            detector, landmarker = self._models()
            bodies = [
                _describe(_find_landmarks(detector, landmarker, image), *image.shape[:2])
                for image in images
            ]
        channels = torch.from_numpy(np.stack(bodies)).to(maps)
        return torch.cat((maps, channels[:, :, None, None].expand(-1, -1, *maps.shape[2:])), 1)

    def _models(self) -> list[Any]:
        """The interpreters of both models; a RuntimeError if these are other models than
        MediaPipe's.
        """
        if not _interpreters:
            contents = [
                buffer.cpu().numpy().tobytes() for buffer in (self.detector, self.landmarker)
            ]
            _check(contents, "the weights of this model")
            _require_litert()
            from ai_edge_litert.interpreter import Interpreter

            for content in contents:
                interpreter = Interpreter(
                    model_content=content, num_threads=torch.get_num_threads()
                )
                interpreter.allocate_tensors()
                _interpreters.append(interpreter)
        return _interpreters


def _require_litert() -> None:
    """Raise a RuntimeError if LiteRT is not installed."""
    if find_spec("ai_edge_litert") is None:
        raise RuntimeError(f"the encoder {POSE} needs LiteRT, which is not installed: {_EXTRA}")


def _read_models(wheel: bool | str) -> list[bytes]:
    """The two models of an installed MediaPipe, or from its wheel; a RuntimeError if they are not
    there.
    """
    spec = find_spec("mediapipe")
    if not isinstance(wheel, str) and (spec is None or not spec.origin):
        raise RuntimeError(
            f"the encoder {POSE} needs two models of MediaPipe (Google, Apache-2.0, 36 MB): `{_INSTALL}`; "
            f"or, where pip finds none for this Python, `{_DOWNLOAD}` and --weights FILE"
        )
    path = (
        Path(wheel) if isinstance(wheel, str) else Path(cast(ModuleSpec, spec).origin or "").parent
    )
    with loading(str(path), "MediaPipe 0.10.21", f"get its wheel by `{_DOWNLOAD}`"):
        if path.is_dir():
            models = [(path.parent / name).read_bytes() for name in _FILES]
        else:
            check_regular(path)
            with zipfile.ZipFile(path) as archive:
                models = [archive.read(name) for name in _FILES]
    _check(models, str(path))
    return models


def _check(models: list[bytes], where: str) -> None:
    """Raise a RuntimeError unless these are MediaPipe's models."""
    for (name, (_, digest)), model in zip(_FILES.items(), models, strict=True):
        if hashlib.sha256(model).hexdigest() != digest:
            raise RuntimeError(
                f"{where}: not {Path(name).name} of MediaPipe 0.10.21; get its wheel by `{_DOWNLOAD}`"
            )


def _run(interpreter: Any, image: NDArray[Any]) -> list[NDArray[np.float32]]:
    """The outputs of a model for an image."""
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], image[None].astype(np.float32)
    )
    interpreter.invoke()
    return [
        interpreter.get_tensor(output["index"])[0] for output in interpreter.get_output_details()
    ]


@cache
def _anchors() -> Floats:
    """The centers of the detector's anchor boxes, from 0 to 1: `2254 2`."""
    layers = []
    for cells, boxes in ((28, 2), (14, 2), (7, 6)):
        y, x = np.mgrid[:cells, :cells] + 0.5
        layers.append(np.repeat(np.stack((x, y), -1).reshape(-1, 2) / cells, boxes, axis=0))
    return np.concatenate(layers)


def _find_landmarks(detector: Any, landmarker: Any, image: NDArray[np.uint8]) -> Floats | None:
    """The landmarks `33 3`, in pixels of an image `H W 3`, of the person who is detected with the
    highest probability; None if there is none.
    """
    H, W = image.shape[:2]
    square = cv2.resize(image, (_DETECTED, _DETECTED), interpolation=cv2.INTER_AREA)
    boxes, scores = sorted(_run(detector, square / 127.5 - 1), key=lambda output: -output.shape[-1])
    best = int(scores[:, 0].argmax())
    if scores[best, 0] < np.log(_MIN_DETECTION / (1 - _MIN_DETECTION)):
        return None
    # The middle of the hips, and a point on the circle around the whole body, above the head.
    middle, top = (boxes[best, 4:8].reshape(2, 2) / _DETECTED + _anchors()[best]) * (W, H)
    across, down = top - middle
    side = 2.5 * float(np.hypot(across, down))
    if side < _MIN_SIZE:
        return None
    angle = np.pi / 2 + np.arctan2(down, across)
    scale = side / _CROPPED
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corner = middle - turn @ np.full(2, _CROPPED / 2)
    to_image = np.column_stack((turn, corner))
    crop = cv2.warpAffine(
        image, to_image, (_CROPPED, _CROPPED), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    outputs = _run(landmarker, crop / 255)
    presence = next(output.item() for output in outputs if output.size == 1)
    if presence < _MIN_PRESENCE:
        return None
    # Of 39 points, the last 6 are for tracking; of 5 values each, the last 2 are visibility and
    # presence.
    points = (
        next(output for output in outputs if output.size == 39 * 5)
        .reshape(39, 5)[:_LANDMARKS]
        .astype(np.float64)
    )
    return np.column_stack((points[:, :2] @ turn.T + corner, points[:, 2] * scale))


def _describe(landmarks: Floats | None, height: int, width: int) -> Floats:
    """The channels of a frame from its landmarks `33 3` in pixels, or None: `D`."""
    if landmarks is None:
        return np.zeros(_CHANNELS)
    hips = landmarks[_HIPS].mean(0)
    shoulders = landmarks[_SHOULDERS].mean(0)
    trunk = max(float(np.linalg.norm((shoulders - hips)[:2])), _MIN_SIZE)
    relative = ((landmarks - hips) / trunk).clip(-_FARTHEST, _FARTHEST)
    lines = landmarks[_TO] - landmarks[_FROM]
    directions = lines / np.linalg.norm(lines, axis=1, keepdims=True).clip(1.0)
    place = [
        2 * hips[0] / width - 1,
        2 * hips[1] / height - 1,
        np.log(trunk / (_USUAL_TRUNK * height)),
        1.0,
    ]
    return np.concatenate((relative.ravel(), directions.ravel(), place))
