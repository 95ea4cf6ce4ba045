"""Features of clips, made once and learned from many times: the encoder beside the store of what it makes."""

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from saccade.config import DataConfig, ModelConfig
from saccade.data import extraction
from saccade.data.extraction import Encode, Extracted, extract
from saccade.data.feature_store import FeatureStore, Origin, load_maps
from saccade.data.folder import find_clips
from saccade.data.frame_cache import ClipFrames, ClipWindows
from saccade.data.transform import to_video
from saccade.encoders.build import build_encoder
from saccade.models.classifier import Classifier
from saccade.recognizer import resolve_normalization
from saccade.structures import Clip, ClipError
from saccade.training.fit import choose_precision
from saccade.video.read import is_video
from saccade.video.sample import equally_spaced

# Frames encoded at once. More are no faster on a processor, and take memory: a map of VGG-16 has 13 MB a frame.
_BATCH, _BATCH_ON_GPU = 8, 64
# Threads that decode ahead. A processor that encodes needs its cores for that; a GPU waits for frames.
_DECODERS, _DECODERS_ON_GPU = 1, 8

_MOVED = ("shift", "zoom", "flip")


def make_features(
    clips: Path,
    folder: Path,
    encoder: str = "vgg16",
    data: DataConfig | None = None,
    pretrained: bool = True,
    every: bool = False,
    precision: str = "auto",
    seed: int = 0,
    shard: str = "1/1",
    quiet: bool = False,
) -> Extracted:
    """Encode the clips of a folder into a feature store; those that it holds already are passed over.

    Args:
        clips: a folder with one class a sub-folder, or a single clip.
        folder: the store, made where there is none.
        encoder: by its name; see `build_encoder`.
        data: how clips are sampled and resized; None: the defaults.
        pretrained: with ImageNet weights.
        every: all frames of each clip.
        precision: `32`, `bf16` or `auto`: that of the store; in a new one, bf16 where the hardware computes in it.
        seed: of the weights, where they are not pretrained.
        shard: `i/n`: only every n-th clip, from the i-th on; 1/n to n/n are all.
        quiet: no progress bar.

    Raises:
        ValueError: the store was made by something else, or a setting that does not fit.
        ClipError: no clips there, or not one of them can be read.
        StoreFullError: the disk is full; what was done stays.
    """
    part = _shard(shard)
    found = [clips] if is_video(clips) else [clip.path for clip in find_clips(clips, classes=1)]
    store, net = make_store(folder, encoder, data, pretrained, every, precision, seed)
    return _extract(store, found[part], net, quiet)


def make_store(
    folder: Path,
    encoder: str = "vgg16",
    data: DataConfig | None = None,
    pretrained: bool = True,
    every: bool = False,
    precision: str = "auto",
    seed: int = 0,
) -> tuple[FeatureStore, nn.Module]:
    """A feature store and its encoder, without clips as yet; the one that is there, if the same made it.

    The arguments are those of `make_features`.

    Raises:
        ValueError: the store was made by something else, or a setting that does not fit.
        RuntimeError: the ImageNet weights cannot be had.
    """
    data = resolve_normalization(data or DataConfig(), pretrained)
    torch.manual_seed(seed)
    net = cast(nn.Module, build_encoder(encoder, data.in_channels, data.size, pretrained))
    if precision == "auto" and (folder / "store.json").exists():
        precision = FeatureStore.open(folder).origin.precision
    elif precision == "auto":
        precision = "bf16" if choose_precision("auto") == "bf16-mixed" else "32"
    elif precision not in ("32", "bf16"):
        raise ValueError(f"precision is {precision!r}, expected auto, 32 or bf16")
    origin = Origin(encoder, pretrained, weights_digest(net), precision, data, every)
    return FeatureStore.make(folder, origin, partial(_save_weights, net)), net


def stored_settings(
    store: FeatureStore, model: ModelConfig, data: DataConfig, typed: Collection[str] = ()
) -> tuple[ModelConfig, DataConfig]:
    """The settings of a training on stored features: encoder and sampling are those of the store.

    Args:
        store: the features.
        model, data: other settings.
        typed: names of settings that were asked for, and may not be other than those of the store.

    Raises:
        ValueError: one of them is.
    """
    origin = store.origin
    if data.windows and not origin.every:
        raise ValueError(
            f"{store.folder}: a store of {origin.data.frames} frames a clip, and windows are of consecutive ones; "
            "make a store of every frame (`saccade features --every`), or leave out --windows"
        )
    sampling: dict[str, Any] = {"frames": data.frames, "windows": data.windows} if origin.every else {}
    found_model = replace(model, encoder=origin.encoder, pretrained=origin.pretrained)
    found_data = replace(origin.data, **sampling, shift=0.0, zoom=0.0, flip=False)
    asked, found = ({**m.to_dict(), **d.to_dict()} for m, d in ((model, data), (found_model, found_data)))
    changed = [name for name in found if name in typed and asked[name] != found[name]]
    if moved := [f"--{name}" for name in changed if name in _MOVED]:
        raise ValueError(
            f"stored features cannot be moved as frames are: leave out {', '.join(moved)}, or train without --features"
        )
    if changed:
        said = ", ".join(f"{name} {found[name]} (asked for: {asked[name]})" for name in changed)
        raise ValueError(f"{store.folder}: a store made with {said}; leave it out, or make another store")
    return found_model, found_data


def use_encoder(net: Classifier, store: FeatureStore) -> None:
    """Give a model the encoder of a store, with its weights, which then stay as they are.

    Raises:
        ValueError: the weights are not those that made the features, or the model has another kind of encoder.
    """
    encoder = cast(nn.Module, net.encoder)
    try:
        encoder.load_state_dict(load_file(store.encoder_file))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"{store.encoder_file}: not the weights of this model's encoder ({error}); choose a model with one encoder"
        ) from error
    if weights_digest(encoder) != store.origin.weights:
        raise ValueError(f"{store.encoder_file}: other weights than those that made the features; make a new store")
    encoder.requires_grad_(False)


def stored_clips(
    clips: Sequence[Clip],
    classes: Sequence[str],
    store: FeatureStore,
    net: Classifier,
    data: DataConfig,
    strict: bool = False,
    quiet: bool = False,
) -> tuple[ClipFrames, tuple[ClipError, ...]]:
    """Clips as samples `(features T h w D float16, target, index)`; what the store lacks is encoded now.

    Args:
        clips: what to learn from.
        classes: the `K` class names.
        store: their features.
        net: a model with the encoder of the store.
        data: how many frames of each clip, equally spaced or in windows.
        strict: stop where a clip cannot be read.
        quiet: no progress bar.

    Raises:
        ClipError: not one clip can be read; with `strict`, the first that cannot.
    """
    made = _extract(store, [clip.path for clip in clips], cast(nn.Module, net.encoder), quiet)
    if strict and made.failed:
        raise made.failed[0]
    good = [(clip, (file,)) for clip, file in zip(clips, made.files, strict=True) if file is not None]
    stored = [clip for clip, _ in good], [files for _, files in good], classes
    if data.windows:
        return ClipWindows(*stored, data.frames, data.windows, load_maps), made.failed
    return ClipFrames(*stored, load_maps, partial(equally_spaced, count=data.frames)), made.failed


def encoding(encoder: nn.Module, data: DataConfig, precision: str) -> Encode:
    """Frames `N H W C` uint8 to maps `N D h w`, by an encoder that does not learn, where it is."""
    encoder.eval()
    device = next(encoder.parameters()).device

    @torch.inference_mode()
    def encode(frames: Tensor) -> Tensor:
        video = to_video(frames.to(device), data.normalization, data.flow_channels)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            features: Tensor = encoder(video.contiguous(memory_format=torch.channels_last))
        return features

    return encode


def weights_digest(module: nn.Module) -> str:
    """A hash of all weights and statistics of a module, with their names, shapes and types."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]


def _extract(store: FeatureStore, clips: Sequence[Path], net: nn.Module, quiet: bool) -> Extracted:
    before = next(net.parameters()).device
    gpu = torch.cuda.is_available()
    net.to("cuda" if gpu else "cpu").to(memory_format=torch.channels_last)  # faster for convolutions
    encode = encoding(net, store.origin.data, store.origin.precision)
    batch, decoders = (_BATCH_ON_GPU, min(_DECODERS_ON_GPU, os.cpu_count() or 1)) if gpu else (_BATCH, _DECODERS)
    with _bar("encoding clips", quiet) as progress:
        made = extract(store, clips, encode, batch, decoders, progress)
    net.to(before)
    if clips and len(made.failed) == len(clips):
        first = made.failed[0]
        found = f"none of {len(clips)} clips can be read"
        raise first if len(clips) == 1 else ClipError(clips[0].parent, found, str(first))
    return made


@contextlib.contextmanager
def _bar(title: str, quiet: bool) -> Iterator[extraction.Progress | None]:
    """A bar over the clips that are still to be encoded, with the time left."""
    if quiet:
        yield None
        return
    # A film gives one step in seconds: the speed is measured over minutes.
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"), TimeRemainingColumn())
    with Progress(*columns, speed_estimate_period=300) as progress:
        task = progress.add_task(title, total=None, count="")

        def show(done: float, total: int) -> None:
            progress.update(task, completed=done, total=total, count=f"{int(done)}/{total}")

        yield show


def _save_weights(net: nn.Module, path: Path) -> None:
    # Through memory: safetensors' own file could be read by its owner alone, and stores are shared.
    path.write_bytes(save({name: tensor.contiguous() for name, tensor in net.state_dict().items()}))


def _shard(shard: str) -> slice:
    number, _, count = shard.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError(f"shard is {shard!r}, expected i/n, such as 1/4, 2/4, 3/4 and 4/4 for four processes")
    return slice(int(number) - 1, None, int(count))
