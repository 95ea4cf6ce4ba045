"""Networks for video of Hugging Face transformers as encoders."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from onlooker.models.encoders.video import VideoEncoder

# The layouts of the tokens of the known families (`model_type`), see `VideoEncoder`.
_LAYOUTS: dict[str, Any] = {"timesformer": "patches", "videomae": "frames", "vivit": "frames", "vjepa2": "frames"}


def transformers_video(
    name: str, size: int, pretrained: bool | str = False, settings: dict[str, Any] | None = None
) -> VideoEncoder:
    """A vision transformer for video.

    Args:
        name: of a model on the Hugging Face hub, which is read from the local cache or the network; or a folder with
            config.json, with preprocessor_config.json (normalization), and for `pretrained` with model.safetensors.
        size: height and width of the frames, those that the network is built for.
        pretrained: load its weights.
        settings: those of a saved network (`VideoEncoder.settings`), which is built without reading anything.

    Raises:
        ValueError: a network of another family, or for frames of another size; a file of weights alone.
        RuntimeError: transformers is not installed, or the network cannot be loaded.
    """
    if isinstance(pretrained, str):
        remedy = "give the folder of the network as the encoder, transformers:FOLDER"
        raise ValueError(f"{pretrained} is not enough to build transformers:{name}; {remedy}")
    try:
        library = import_module("transformers")  # here, because it takes seconds to import
        if settings is None:
            config, colors = library.AutoConfig.from_pretrained(name, trust_remote_code=False), _colors(library, name)
        else:  # the normalization is stored with the weights
            config, colors = library.AutoConfig.for_model(**_plain(settings)), ([0.0] * 3, [1.0] * 3)
        if (family := config.model_type) not in _LAYOUTS:
            raise ValueError(f"transformers:{name} is of type {family}, expected one of {', '.join(_LAYOUTS)}")
        names = ("crop_size", "frames_per_clip") if family == "vjepa2" else ("image_size", "num_frames")
        side, span = (getattr(config, each) for each in names)
        if size != side:
            raise ValueError(f"size is {size}, and transformers:{name} takes {side} pixels; give --size {side}")
        net = _network(library, name, config, pretrained)
    except ImportError as error:
        raise RuntimeError(f'transformers is not installed; pip install "onlooker[video]" for {name}') from error
    except OSError as error:
        raise RuntimeError(
            f"transformers:{name} cannot be loaded ({' '.join(str(error).split())}); connect to the network once, "
            "point HF_HOME to a cache that has it, or download its config.json, preprocessor_config.json and "
            "model.safetensors into a folder and give that as the encoder, transformers:FOLDER"
        ) from error
    tubelet = getattr(config, "tubelet_size", 1)  # in frames, or in frames, rows and columns
    frames, patch, *_ = tubelet if isinstance(tubelet, list | tuple) else (tubelet, config.patch_size)
    shape, values = (span // frames, size // patch, size // patch), json.loads(config.to_json_string(use_diff=False))
    return VideoEncoder(net, span, config.hidden_size, shape, _LAYOUTS[family], colors, _plain(values))


def _network(library: Any, name: str, config: Any, pretrained: bool) -> Any:
    options = {"config": config, "dtype": torch.float32, "trust_remote_code": False}
    if not pretrained:
        net = library.AutoModel.from_config(**options)
    else:
        net, found = library.AutoModel.from_pretrained(name, output_loading_info=True, **options)
        if missing := [key for key in found["missing_keys"] if not key.startswith(("predictor.", "pooler."))]:
            raise RuntimeError(f"transformers:{name} has no weights {', '.join(missing[:3])}; give a complete network")
    return net.encoder if config.model_type == "vjepa2" else net  # without the predictor


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a network without labels, and without those that can name code to download."""
    code = {"auto_map", "attn_implementation", *(name for name in settings if name.startswith("_"))}
    return {name: value for name, value in settings.items() if name not in code and not isinstance(value, dict)}


def _colors(library: Any, name: str) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of colors from 0 to 1, by the image processor; without one, those of ImageNet."""
    values: dict[str, Any] = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    for file in ("preprocessor_config.json", "video_preprocessor_config.json"):
        if path := library.utils.cached_file(name, file, _raise_exceptions_for_missing_entries=False):
            values |= json.loads(Path(path).read_text(encoding="utf-8"))
    # It computes (rescale_factor * bytes - offset - mean) / std.
    scale, offset = 255 * values.get("rescale_factor", 1 / 255), float(values.get("offset", False))
    return [(mean + offset) / scale for mean in values["image_mean"]], [std / scale for std in values["image_std"]]
