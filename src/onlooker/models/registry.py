"""The table of models, by the names of their papers."""

from dataclasses import dataclass, field
from typing import Any

from onlooker.config import OWN, DataConfig, ModelConfig
from onlooker.models.classifier import OPINIONS, Classifier
from onlooker.models.clip_classifier import FRAME_LOOKS, TORCHVISION, ClipClassifier
from onlooker.models.track_classifier import TrackClassifier
from onlooker.models.video_model import VideoModel

# The classes of models, by the names that files know them by.
KINDS: dict[str, type[Classifier] | type[ClipClassifier] | type[TrackClassifier]] = {
    "Classifier": Classifier,
    "ClipClassifier": ClipClassifier,
    "TrackClassifier": TrackClassifier,
}


@dataclass(frozen=True)
class Recipe:
    """A named setting of one of `KINDS`: what it is for, its arguments, and its class.

    `paired`: where it sees both, picture and flow have an encoder each.
    """

    summary: str
    settings: dict[str, Any] = field(default_factory=dict)
    kind: str = "Classifier"
    paired: bool = False

    @property
    def attends(self) -> bool:
        """Whether its outputs carry attention."""
        return bool(self.settings.get("attention"))

    @property
    def ignores(self) -> frozenset[str]:
        """Settings of `ModelConfig` that change nothing in it."""
        if self.kind == "TrackClassifier":
            return frozenset({"encoder"})
        if self.kind == "ClipClassifier":
            look = self.settings["look"]
            used = "encoder" if look in FRAME_LOOKS else "hidden" if look == "c3d" else None
            return frozenset({"encoder", "hidden"} - {used})
        remembers = self.attends or self.settings["cell"] not in ("memoryless", OPINIONS)
        return frozenset() if remembers else frozenset({"hidden"})

    @property
    def follows_flow(self) -> bool:
        """Whether it looks at the picture where the flow says, and so needs both."""
        return bool(self.settings.get("flow_channels"))


MODELS: dict[str, Recipe] = {
    "convnet": Recipe(
        "each frame for itself, averaged: what can be told without motion",
        {"cell": "memoryless", "attention": None},
    ),
    "opinions": Recipe(
        "each frame for itself, weighed and multiplied (logarithmic opinion pool): use with --loss last",
        {"cell": "opinions", "attention": None},
    ),
    "lstm": Recipe("an LSTM over one vector a frame", {"cell": "lstm", "attention": None}),
    "alstm": Recipe(
        "soft attention, the attended place as a vector, an LSTM (Sharma et al. 2015)",
        {"cell": "lstm", "attention": "soft", "glimpse": "sum"},
    ),
    "tcn": Recipe(
        "convolutions over time, which find short movements whenever they are (Bai et al. 2018): use with --loss last",
        {"cell": "tcn", "attention": None},
        paired=True,
    ),
    "atcn": Recipe(
        "soft attention, then convolutions over time: use with --loss last",
        {"cell": "tcn", "attention": "soft", "glimpse": "scaled"},
        paired=True,
    ),
    "convlstm": Recipe("a ConvLSTM over maps: remembers where", {"cell": "convlstm", "attention": None}),
    "convalstm": Recipe(
        "convolutional attention and a ConvLSTM (Li et al. 2016)",
        {"cell": "convlstm", "attention": "conv", "glimpse": "scaled"},
    ),
    "motion": Recipe(
        "VideoLSTM: a ConvLSTM over the flow says where a second one looks (Li et al. 2016)",
        {"cell": "convlstm", "attention": "motion", "glimpse": "scaled", "flow_channels": 2},
    ),
    "mil": Recipe(
        "attention over all places of all frames, no other memory (after Ilse et al. 2018): says when, too",
        {"cell": "memoryless", "attention": "mil", "glimpse": "sum"},
        paired=True,
    ),
    "report": Recipe(
        "attention from the cube's average and the memory, a ConvLSTM (Teja & Akunuri 2020)",
        {"cell": "convlstm", "attention": "context", "glimpse": "product"},
    ),
    "tracks": Recipe(
        "two things before an even background, followed for five frames and read from all of them: with --loss last",
        {"things": 2},
        "TrackClassifier",
    ),
    "single-frame": Recipe(
        "the middle frame alone: what can be told without time", {"look": "middle-frame"}, "ClipClassifier"
    ),
    "feature-average": Recipe(
        "features of all frames, averaged: frames in any order", {"look": "frame-average"}, "ClipClassifier"
    ),
    "c3d": Recipe("small 3-D convolutions from scratch (after Tran et al. 2015)", {"look": "c3d"}, "ClipClassifier"),
}

_NETWORKS = {
    "r3d_18": "ResNet of 3-D convolutions (Tran et al. 2018), to fine-tune",
    "mc3_18": "ResNet, 3-D convolutions first, then 2-D ones (Tran et al. 2018), to fine-tune",
    "r2plus1d_18": "ResNet, space and time convolved in turn (Tran et al. 2018), to fine-tune",
    "s3d": "separable 3-D Inception (Xie et al. 2018), to fine-tune",
    "mvit_v2_s": "multiscale transformer over 16 frames (Li et al. 2022), to fine-tune",
    "swin3d_t": "transformer of shifted windows (Liu et al. 2022), to fine-tune",
}
MODELS |= {
    f"{TORCHVISION}{name}": Recipe(summary, {"look": f"{TORCHVISION}{name}"}, "ClipClassifier")
    for name, summary in _NETWORKS.items()
}


def list_models(streaming: bool = False) -> list[str]:
    """The names that `create_model` takes, beside `torchvision:NAME` of any other of its video networks.

    Args:
        streaming: only models that answer frame by frame (`step`), not those that need the whole clip.
    """
    return [name for name, recipe in MODELS.items() if not streaming or recipe.kind != "ClipClassifier"]


def configured(model: ModelConfig, data: DataConfig, num_classes: int) -> VideoModel:
    """The model of a run's settings, for samples of its data.

    Raises:
        ValueError: as `create_model`; a model whose attention follows the flow, for samples without picture or flow;
            another cell or glimpse for a model that has none.
    """
    settings, recipe = model.settings(), find_recipe(model.name)
    _check_parts(model, recipe)
    if recipe.follows_flow and data.modality != "both":
        raise ValueError(
            f"{model.name} looks at the picture where the flow says, and modality is {data.modality!r}; "
            "give --modality both, or the stored features of each"
        )
    if (recipe.follows_flow or recipe.paired) and data.modality == "both":
        settings["flow_channels"] = data.flow_channels
    return create_model(model.name, num_classes, in_channels=data.in_channels, size=data.size, **settings)


def _check_parts(model: ModelConfig, recipe: Recipe) -> None:
    """Raise a ValueError where another cell or glimpse is wanted than a model can have."""
    if recipe.kind != "Classifier":
        if given := [name for name in OWN if getattr(model, name) != "auto"]:
            raise ValueError(f"{' and '.join(given)} say nothing of {model.name}, which has no cell; leave them out")
    elif model.glimpse != "auto" and not recipe.attends:
        raise ValueError(
            f"glimpse is {model.glimpse!r}, and {model.name} does not attend; leave it out, or use a model that does"
        )


def find_recipe(name: str) -> Recipe:
    """What a model's name stands for.

    Raises:
        ValueError: no model of that name.
    """
    if name.startswith(TORCHVISION) and name not in MODELS:
        return Recipe("one of torchvision's video networks", {"look": name}, "ClipClassifier")
    if name not in MODELS:
        raise ValueError(f"no model is called {name!r}; there are {', '.join(MODELS)}")
    return MODELS[name]


def create_model(name: str, num_classes: int, **settings: Any) -> VideoModel:
    """A model by its name.

    Args:
        name: one of `list_models()`, or `torchvision:NAME`.
        num_classes: K.
        settings: arguments of `Classifier` (of `ClipClassifier` for a model that answers once a clip, of
            `TrackClassifier` for `tracks`) that differ from the named setting, such as `encoder="vgg16"`, `size=224`,
            `pretrained=True`, `hidden=512`.

    Raises:
        ValueError: no model of that name, or a setting that does not fit.
    """
    recipe = find_recipe(name)
    return KINDS[recipe.kind](num_classes, **{**recipe.settings, **settings})


def rebuild(kind: str, settings: dict[str, Any]) -> VideoModel:
    """The model of a file's settings, its weights still random.

    Args:
        kind: its class, one of `KINDS`.
        settings: all its arguments, as config.json has them.

    Raises:
        ValueError: no such class, or a setting that does not fit.
        TypeError: settings of another class.
    """
    if kind not in KINDS:
        raise ValueError(f"no class of models is called {kind!r}; there are {', '.join(KINDS)}")
    # The weights are in the file; those that training may have started from are not needed.
    return KINDS[kind](**{**settings, "pretrained": False})
