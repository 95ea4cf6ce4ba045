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

from onlooker.config import DataConfig, ModelConfig
from onlooker.data import extract as extraction
from onlooker.data.extract import Encode, Extracted, extract
from onlooker.data.feature_store import FeatureStore, Origin, load_maps
from onlooker.data.folder import find_clips
from onlooker.data.clips import ClipFrames, ClipCrops
from onlooker.data.transforms import to_video
from onlooker.models.encoders.build import build_encoder
from onlooker.models.encoders.paired import Paired
from onlooker.models.video_model import VideoModel
from onlooker.recognizer import resolve_normalization
from onlooker.structures import Clip, ClipError
from onlooker.training.fit import choose_precision
from onlooker.video.reader import is_video
from onlooker.video.sampling import EquallySpaced

# Frames encoded at once. More are no faster on a processor, and take memory: a map of VGG-16 has 13 MB a frame.
_BATCH, _BATCH_ON_GPU = 8, 64
# Threads that decode ahead. A processor that encodes needs its cores for that; a GPU waits for frames.
_DECODERS, _DECODERS_ON_GPU = 1, 8

# What moves frames in training, as it is where features are learned from.
MOVED: dict[str, Any] = {"translate": 0.0, "scale": 0.0, "degrees": 0.0, "speed": 0.0, "hflip": False}


def make_features(
    clips: Path | Sequence[Path],
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
        clips: a folder with one class a sub-folder, a single clip, or several.
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
        DiskFullError: the disk is full; what was done stays.
    """
    part = _shard(shard)
    if not isinstance(clips, Path):
        found = list(clips)
    else:
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
    if data.motion_crop:
        raise ValueError(f"motion_crop is {data.motion_crop}, and features are stored of whole frames; leave it at 0")
    torch.manual_seed(seed)
    net = cast(nn.Module, build_encoder(encoder, data.in_channels, data.size, pretrained))
    if precision == "auto" and (folder / "store.json").exists():
        precision = FeatureStore.open(folder).origin.precision
    elif precision == "auto":
        precision = "bf16" if choose_precision("auto") == "bf16-mixed" else "32"
    elif precision not in ("32", "bf16"):
        raise ValueError(f"precision is {precision!r}, expected auto, 32 or bf16")
    origin = Origin(encoder, pretrained, weights_digest(net), precision, data, every)
    return FeatureStore.make(folder, origin, partial(_weights, net)), net


def open_stores(folders: Sequence[Path]) -> tuple[FeatureStore, ...]:
    """What a training learns from: one store; or those of the picture and of the flow, in this order, for `motion`.

    Raises:
        FileNotFoundError: no store in a folder.
        ValueError: stores that do not fit each other.
    """
    stores = tuple(sorted(map(FeatureStore.open, folders), key=lambda store: store.origin.data.modality == "flow"))
    if len(stores) < 2:
        return stores
    streams = [store.origin.data.modality for store in stores]
    if streams != ["rgb", "flow"]:
        raise ValueError(f"stores of streams {', '.join(streams)}; expected one store, or one of rgb and one of flow")
    picture, flow = (store.origin.to_dict() for store in stores)
    if changed := [name for name in ("encoder", "pretrained", "frames", "size") if picture[name] != flow[name]]:
        said = ", ".join(f"{name} {flow[name]} (the picture's: {picture[name]})" for name in changed)
        raise ValueError(f"{stores[1].folder}: a store made with {said}; make both alike")
    return stores


def stored_settings(
    stores: Sequence[FeatureStore], model: ModelConfig, data: DataConfig, typed: Collection[str] = ()
) -> tuple[ModelConfig, DataConfig]:
    """The settings of a training on stored features: encoder and sampling are those of the stores.

    Args:
        stores: the features, as `open_stores` gives them.
        model, data: other settings.
        typed: names of settings that were asked for, and may not be other than those of the stores.

    Raises:
        ValueError: one of them is.
    """
    folder, origin = stores[0].folder, stores[0].origin
    if data.windows and not origin.every:
        raise ValueError(
            f"{folder}: a store of {origin.data.frames} frames a clip, and windows are of consecutive ones; "
            "make a store of every frame (`onlooker features --every`), or leave out --windows"
        )
    sampling: dict[str, Any] = {"frames": data.frames, "windows": data.windows} if origin.every else {}
    for beside in stores[1:]:
        of_flow = beside.origin.data
        sampling |= {"modality": "both", "flow": of_flow.flow, "flow_length": of_flow.flow_length}
    found_model = replace(model, encoder=origin.encoder, pretrained=origin.pretrained)
    found_data = replace(origin.data, **sampling, **MOVED)
    asked, found = ({**m.to_dict(), **d.to_dict()} for m, d in ((model, data), (found_model, found_data)))
    changed = [name for name in found if name in typed and asked[name] != found[name]]
    if moved := [f"--{name}" for name in changed if name in MOVED]:
        raise ValueError(
            f"stored features cannot be moved as frames are: leave out {', '.join(moved)}, or train without --features"
        )
    if changed:
        said = ", ".join(f"{name} {found[name]} (asked for: {asked[name]})" for name in changed)
        raise ValueError(f"{folder}: a store made with {said}; leave it out, or make another store")
    return found_model, found_data


def use_encoders(net: VideoModel, stores: Sequence[FeatureStore]) -> None:
    """Give a model the encoder of each store, with its weights, which then stay as they are.

    Raises:
        ValueError: the weights are not those that made the features, or the model has other encoders.
    """
    for encoder, store in zip(_encoders(net, stores), stores, strict=True):
        try:
            encoder.load_state_dict(load_file(store.encoder_file))
        except (SafetensorError, RuntimeError) as error:
            raise ValueError(
                f"{store.encoder_file}: not the weights of this model's encoder ({error}); motion has two encoders, "
                "and wants a store of the picture and one of the flow"
            ) from error
        if weights_digest(encoder) != store.origin.weights:
            raise ValueError(f"{store.encoder_file}: other weights than those that made the features; make a new store")
        encoder.requires_grad_(False)


def stored_clips(
    clips: Sequence[Clip],
    classes: Sequence[str],
    stores: Sequence[FeatureStore],
    net: VideoModel,
    data: DataConfig,
    strict: bool = False,
    quiet: bool = False,
) -> tuple[ClipFrames, tuple[ClipError, ...]]:
    """Clips as samples `(features T h w D float16, target, index)`; what a store lacks is encoded now.

    Args:
        clips: what to learn from.
        classes: the `K` class names.
        stores: their features; of two, those of the picture come before those of the flow.
        net: a model with the encoders of the stores.
        data: how many frames of each clip, equally spaced or in windows.
        strict: stop where a clip cannot be read.
        quiet: no progress bar.

    Raises:
        ClipError: not one clip can be read; with `strict`, the first that cannot.
    """
    paths, found = [clip.path for clip in clips], []
    failed: dict[Path, ClipError] = {}
    for encoder, store in zip(_encoders(net, stores), stores, strict=True):
        made = _extract(store, paths, encoder, quiet)
        if strict and made.failed:
            raise made.failed[0]
        failed = {error.path: error for error in made.failed} | failed
        found.append(made.files)
    beside = zip(clips, zip(*found, strict=True), strict=True)
    good = [(clip, tuple(file for file in files if file)) for clip, files in beside if clip.path not in failed]
    stored = [clip for clip, _ in good], [files for _, files in good], classes
    if data.windows:
        return ClipCrops(*stored, data.frames, data.windows, load_maps), tuple(failed.values())
    return ClipFrames(*stored, load_maps, EquallySpaced(data.frames)), tuple(failed.values())


def _encoders(net: VideoModel, stores: Sequence[FeatureStore]) -> tuple[nn.Module, ...]:
    """The encoder of each store."""
    encoder = cast(nn.Module, net.encoder)
    if len(stores) == 1:
        return (encoder,)
    if not isinstance(encoder, Paired):
        raise ValueError("two stores are for a model with two encoders (motion); give the others one --features")
    return encoder.picture, encoder.flow


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


def _weights(net: nn.Module) -> bytes:
    # Bytes, because a file that safetensors writes can be read by its owner only, and stores are shared.
    return save({name: tensor.contiguous() for name, tensor in net.state_dict().items()})


def _shard(shard: str) -> slice:
    number, _, count = shard.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError(f"shard is {shard!r}, expected i/n, such as 1/4, 2/4, 3/4 and 4/4 for four processes")
    return slice(int(number) - 1, None, int(count))
