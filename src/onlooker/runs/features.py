"""Features of clips, encoded once and used by many trainings: the encoder and the store of its feature maps."""

import hashlib
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data.array_cache import Parts
from onlooker.data.clips import ClipFrames, readable_samples, require_readable
from onlooker.data.feature_store import (
    Encode,
    Extracted,
    FeatureStore,
    StoreSettings,
    Write,
    check_maps,
    differences,
    encode_here,
    maps_of,
)
from onlooker.data.sets import every_clip
from onlooker.data.transforms import to_video
from onlooker.files import check_regular
from onlooker.models.encoders import build_encoder, has_weights
from onlooker.models.encoders.paired import Paired
from onlooker.models.registry import resolve
from onlooker.models.video_model import VideoModel
from onlooker.processes import cores
from onlooker.runs.cluster import map_clips
from onlooker.structures import Clip, ClipError
from onlooker.training.precision import choose_precision
from onlooker.training.stages import tracked

__all__ = [
    "StoreSettings",
    "make_features",
    "open_stores",
    "stored_clips",
    "stored_settings",
    "weights_digest",
]

# Frames encoded at once. More are no faster on a CPU, and take memory: a frame in VGG-16 takes 13 MB.
_BATCH, _BATCH_ON_GPU = 8, 64
# Threads that decode, while one of them encodes. A CPU that encodes needs its cores for that; a GPU waits for frames.
_DECODERS, _DECODERS_ON_GPU = 2, 8

# Augmentation of frames, which is off in training on stored features.
NO_AUGMENTATION: dict[str, Any] = {"translate": 0.0, "scale": 0.0, "degrees": 0.0, "speed": 0.0, "hflip": False}


def make_features(
    clips: Path | Sequence[Path],
    folder: Path,
    settings: StoreSettings,
    quiet: bool = False,
    encoder: nn.Module | None = None,
    ray: str | None = None,
) -> Extracted:
    """Encode the clips of a folder into a feature store; clips that it holds already are skipped.

    Args:
        clips: a folder with one sub-folder per class, a single clip, or several; of none, the store is only made.
        folder, settings: the folder of the store, which is made if there is none, and its settings.
        quiet: no progress bar.
        encoder: an encoder with its own weights, such as one trained on the clips; None: the one that `settings` names.
        ray: the address of a Ray cluster that decodes and encodes (`cluster.map_clips`); None: this process does.

    Raises:
        ValueError: the store was made with another encoder or other settings.
        ClipError: no clips, or none of them can be read.
        DiskFullError, NotWritableError: the store cannot be written to; what was done stays.
        RuntimeError: the ImageNet weights cannot be downloaded.
    """
    paths = list(every_clip(clips)[0]) if isinstance(clips, Path) else list(clips)
    pretrained = has_weights(settings.encoder) if settings.pretrained is None else settings.pretrained
    _, data, _ = resolve(ModelConfig(encoder=settings.encoder, pretrained=pretrained), settings.data, TrainConfig())
    torch.manual_seed(settings.seed)
    net = encoder or cast(nn.Module, build_encoder(settings.encoder, data.in_channels, data.size, pretrained))
    precision = settings.precision
    if precision == "auto" and (folder / "store.json").exists():
        precision = FeatureStore.open(folder).settings.precision
    elif precision == "auto":
        precision = "bf16" if choose_precision("auto") == "bf16-mixed" else "32"
    made = replace(settings, data=data, pretrained=pretrained, precision=precision, weights=weights_digest(net))
    weights = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    # Bytes, because a file that safetensors writes can be read by its owner only, and stores are shared.
    return _extract(FeatureStore.make(folder, made, partial(save, weights)), paths, net, quiet, ray)


def open_stores(folders: Sequence[Path]) -> tuple[FeatureStore, ...]:
    """The stores for a training: one; or, for `motion`, one of RGB and one of flow, in this order.

    Raises:
        FileNotFoundError, ValueError: no store in a folder, or stores that were made by different settings.
    """
    stores = tuple(sorted(map(FeatureStore.open, folders), key=lambda store: store.settings.data.modality == "flow"))
    if len(stores) < 2:
        return stores
    modalities = [store.settings.data.modality for store in stores]
    if modalities != ["rgb", "flow"]:
        raise ValueError(f"stores of {', '.join(modalities)}; expected one store, or one of rgb and one of flow")
    rgb, flow = (store.settings.to_dict() for store in stores)
    if changed := differences(flow, rgb, ("encoder", "pretrained", "frames", "size"), "that of rgb"):
        raise ValueError(f"{stores[1].folder}: a store made with {changed}; make both with the same settings")
    return stores


def stored_settings(
    stores: Sequence[FeatureStore], model: ModelConfig, data: DataConfig, typed: Collection[str] = ()
) -> tuple[ModelConfig, DataConfig]:
    """The settings of a training on stored features: encoder and sampling are those of the stores.

    `typed` are the names of settings that the user gave; a ValueError if one of them differs from the stores.
    """
    folder, source = stores[0].folder, stores[0].settings
    if data.temporal_crops and not source.every:
        raise ValueError(
            f"{folder}: a store of {source.data.frames} frames per clip, and temporal crops have consecutive frames; "
            "make a store of every frame (`onlooker features --every`), or leave out --temporal-crops"
        )
    sampling: dict[str, Any] = {"frames": data.frames, "temporal_crops": data.temporal_crops} if source.every else {}
    for flow in (store.settings.data for store in stores[1:]):
        sampling |= {"modality": "both", "flow": flow.flow, "flow_length": flow.flow_length}
    stored_model = replace(model, encoder=source.encoder, pretrained=source.pretrained)
    stored_data = replace(source.data, **sampling, **NO_AUGMENTATION)
    asked, stored = ({**m.to_dict(), **d.to_dict()} for m, d in ((model, data), (stored_model, stored_data)))
    if changed := differences(stored, asked, [name for name in stored if name in typed]):
        raise ValueError(f"{folder}: a store made with {changed}; leave it out, or make another store")
    return stored_model, stored_data


def use_encoders(net: VideoModel, stores: Sequence[FeatureStore]) -> None:
    """Load the frozen encoder of each store into a model."""
    for encoder, store in zip(_encoders(net, stores), stores, strict=True):
        check_regular(store.encoder_file)
        try:
            encoder.load_state_dict(load_file(store.encoder_file))
        except (SafetensorError, RuntimeError) as error:
            found = f"not the weights of this model's encoder ({error})"
            raise ValueError(f"{store.encoder_file}: {found}; motion needs a store of rgb and one of flow") from error
        if weights_digest(encoder) != store.settings.weights:
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
    """Clips as samples `(features T h w D float16, target, index)`; clips that a store lacks are encoded now.

    `net` has the encoders of the `stores` (`use_encoders`); with `strict`, a clip that cannot be read is an error.

    Raises:
        ClipError: none of the clips can be read; with `strict`, one cannot.
        ValueError: stored maps that the encoder cannot have made.
    """
    of_stores = []
    for encoder, store in zip(_encoders(net, stores), stores, strict=True):
        extracted = _extract(store, [clip.path for clip in clips], encoder, quiet)
        if strict and extracted.failed:
            raise extracted.failed[0]
        for file in extracted.results:
            if isinstance(file, Path):
                check_maps(file, (*encoder.grid(data.size, data.size), encoder.num_features))
        of_stores.append(extracted.results)
    # Of each clip the files in all stores, or why one of them has none.
    of_clips = zip(*of_stores, strict=True)
    results = [next((each for each in files if isinstance(each, ClipError)), files) for files in of_clips]
    return readable_samples(clips, results, classes, data)


def _encoders(net: VideoModel, stores: Sequence[FeatureStore]) -> tuple[Any, ...]:
    encoder = net.encoder
    if len(stores) == 1:
        return (encoder,)
    if not isinstance(encoder, Paired):
        raise ValueError("two stores are for a model with two encoders (motion); give the others one --features")
    return encoder.rgb, encoder.flow


def encoding(encoder: nn.Module, data: DataConfig, precision: str) -> Encode:
    """A function from frames `N H W C` uint8 to maps `N D h w`, by a frozen encoder on its device, for many threads."""
    encoder.eval()
    device, one_at_a_time = next(encoder.parameters()).device, Lock()

    @torch.inference_mode()
    def encode(frames: Tensor) -> Tensor:
        with one_at_a_time, torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            video = to_video(frames.to(device), data.normalization, data.flow_channels)
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


def _extract(
    store: FeatureStore, clips: Sequence[Path], net: nn.Module, quiet: bool, ray: str | None = None
) -> Extracted:
    """Encode the clips that a store lacks, in this process or on a Ray cluster, with a progress bar."""
    title, gpu, before = "encoding clips", torch.cuda.is_available(), next(net.parameters()).device
    encode_clips: Callable[..., Generator[None]]
    if ray is None:
        threads = min(_DECODERS_ON_GPU, cores()) if gpu else _DECODERS
        encode_clips = partial(encode_here, encode=_clip_encoder(net, store.settings), threads=threads)
    else:
        encode_clips = partial(_encode_on_cluster, net=net.cpu(), settings=store.settings, address=ray)
    extracted = store.add(clips, encode_clips, lambda each, n: tracked(each, title, n, None if quiet else title))
    net.to(before)
    require_readable(clips, extracted.failed)
    return extracted


def _clip_encoder(net: nn.Module, settings: StoreSettings) -> Callable[[Path], Parts]:
    """A function from a clip to its maps, by an encoder that is moved to the GPU if there is one."""
    gpu = torch.cuda.is_available()
    net.to("cuda" if gpu else "cpu").to(memory_format=torch.channels_last)  # faster for convolutions
    encode = encoding(net, settings.data, settings.precision)
    return partial(maps_of, settings=settings, encode=encode, batch=_BATCH_ON_GPU if gpu else _BATCH)


def _encode_on_cluster(
    clips: Iterable[Path], write: Write, net: nn.Module, settings: StoreSettings, address: str
) -> Generator[None]:
    def start() -> Callable[[Path], list[Any]]:
        encode = _clip_encoder(net, settings)
        return lambda clip: list(encode(clip))

    def parts(maps: Any) -> Parts:
        if isinstance(maps, Exception):
            raise maps
        yield from maps

    with closing(map_clips(start, clips, address)) as encoded:
        for clip, maps in encoded:
            write(clip, parts(maps))
            yield
