"""The table of fitters, and the settings of a training, completed for its model and its fitter."""

from collections.abc import Collection, Sequence
from dataclasses import field, fields, make_dataclass, replace
from typing import Any, Literal, get_type_hints

from onlooker.base.config import (
    AUGMENTING,
    AUTO_ENCODER,
    DataConfig,
    FitConfig,
    ModelConfig,
    Normalization,
    SetConfig,
    Settings,
    TrainConfig,
)
from onlooker.base.settings import field_of, refuse, register, suggestion
from onlooker.models.encoders import encoder_terms, has_weights, load_packages
from onlooker.models.encoders.lite0 import LITE0, LITE0_SIZE
from onlooker.models.registry import Recipe, find_recipe
from onlooker.training.fitter import Fitter
from onlooker.training.gradient import GradientFitter
from onlooker.training.linear_fitter import LinearFitter

__all__ = ["complete", "register_fitter"]

# settings of a model and its data that only some fitters take into account
_FITTER_SPECIFIC = AUGMENTING | {"frozen", "precision", "eyes"}


FITTERS: dict[str, Fitter] = {"gradient": GradientFitter(), "linear": LinearFitter()}


def register_fitter(name: str, fitter: Fitter) -> None:
    """Add a way to fit models, for recipes that name it (`register_model`), where models are
    registered: in a function that a package declares as an entry point.

    Raises:
        ValueError: another fitter has this name; or it has a setting whose name is taken by the
            model, its data or the clips.
    """
    own = {option.name for option in fields(fitter.settings)}
    taken = {
        option.name for kind in (ModelConfig, DataConfig, SetConfig) for option in fields(kind)
    }
    if clash := sorted(own & taken):
        raise ValueError(
            f"{clash[0]} of the fitter {name!r} is a setting of the model or its clips; choose another name"
        )
    register(FITTERS, name, fitter, kind="a fitter", owner=type)


def joined_settings() -> type[FitConfig]:
    """A class with the settings of all fitters, also of installed packages: what a command or a
    program may give before its model is known. `complete` hands them to the class of the fitter,
    which has their bounds.

    A setting without a group has the group of its fitter; of two with one name, the first one is shown.
    """
    load_packages()
    options: dict[str, tuple[str, Any, Any]] = {}
    for name, fitter in FITTERS.items():
        types = get_type_hints(fitter.settings)
        for option in fields(fitter.settings):
            about = {**option.metadata, "bounds": {}}
            about["group"] = about.get("group") or f"Fitter {name}"
            joined = field(default=option.default, metadata=about if option.metadata else {})
            options.setdefault(option.name, (option.name, types[option.name], joined))
    own = [option for name, option in options.items() if not hasattr(FitConfig, name)]
    return make_dataclass("FitterSettings", own, bases=(FitConfig,), frozen=True)


def complete(requested: Settings, explicit: Collection[str] | None = None) -> Settings:
    """The settings of a training, with all that depends on its model resolved.

    `modality`: from its recipe; `size`: from an encoder of a fixed size; `encoder`: `auto`
    where the fitter chooses one, unless weights, normalization or a smaller size than Lite0 has
    is given, else `small`; `pretrained`: whether the encoder has weights that are installed, or for
    stored features any;
    `normalization`: of pretrained weights, else `half`; `loss`: from the recipe. Stored
    features are of a frozen encoder, without augmentation. Completing twice changes nothing.

    Args:
        explicit: the names of the settings that were given, which stay, and must have an effect;
            None: all were, and whether they have an effect is not asked.

    Raises:
        ValueError: an unknown model; settings that contradict each other, or have no effect.
    """
    requested = _of_its_fitter(requested, explicit or ())
    if explicit is None:
        return _resolved(requested)
    return complete_each([_with_defaults(requested, explicit)], explicit)[0]


def complete_each(
    requested: Sequence[Settings], explicit: Collection[str] | None = None
) -> list[Settings]:
    """`complete` for several models that share settings: what has no effect on a model has its
    defaults there.

    Args:
        explicit: the names of the settings that were given; None: all were, and none is refused.

    Raises:
        ValueError: as `complete`; or a setting that was given has no effect on any of the models.
    """
    requested = [_of_its_fitter(settings, explicit or ()) for settings in requested]
    reasons = [_without_effect(settings) for settings in requested]
    if explicit is not None:
        unused = set.intersection(*map(set, reasons))
        refuse(explicit, {name: why for name, why in reasons[0].items() if name in unused})
        requested = [_sized(settings, explicit) for settings in requested]
    return [
        _resolved(_reset(settings, names))
        for settings, names in zip(requested, reasons, strict=True)
    ]


def fitter_of(recipe: Recipe) -> Fitter:
    """The fitter of a recipe; a ValueError if there is none of its name."""
    if recipe.fitter not in FITTERS:
        raise ValueError(
            f"unknown fitter {recipe.fitter!r}; {suggestion(recipe.fitter, [*FITTERS])}"
        )
    return FITTERS[recipe.fitter]


def aggregation_of(settings: Settings) -> Literal["mean", "product", "last"]:
    """How frame scores become clip scores by complete settings: as in the training; where that does
    not say, the last frame is enough for a model with the loss of the last frame.
    """
    if isinstance(settings.training, TrainConfig):
        return settings.training.resolved_aggregation
    return "last" if find_recipe(settings.model.name).loss == "last" else "mean"


def read_settings(stored: dict[str, Any]) -> Settings:
    """The settings in the config.json of a run. Earlier versions stored the settings of all
    fitters. If the recipe of the model is not known here, the settings that all fitters share are
    enough to evaluate it.

    Raises:
        KeyError, ValueError: a setting is missing, unknown or invalid.
    """
    model = ModelConfig.from_field(stored, "model")
    training = field_of(stored, "training", dict)
    try:
        kind = fitter_of(find_recipe(model.name)).settings
        other_settings = {f.name for f in fields(TrainConfig)} - {f.name for f in fields(kind)}
    except ValueError:
        kind = FitConfig
        other_settings = {*training} - {f.name for f in fields(FitConfig)}
    training = {name: value for name, value in training.items() if name not in other_settings}
    return Settings(
        model,
        DataConfig.from_field(stored, "data"),
        kind.from_field({"training": training}, "training"),
    )


def _without_effect(settings: Settings) -> dict[str, str]:
    """The names of settings that have no effect beside the others, and beside which."""
    model, data, training = settings
    recipe = find_recipe(model.name)
    fitter = fitter_of(recipe)
    names = {f.name for f in fields(ModelConfig)} - recipe.options - {"name"}
    names |= _FITTER_SPECIFIC - fitter.uses
    names |= {f.name for f in fields(joined_settings())} - {f.name for f in fields(training)}
    reasons = dict.fromkeys(names, f"in {model.name}")
    if training.features:
        reasons.pop("precision", None)  # of the encoder
        reasons |= dict.fromkeys((*AUGMENTING, "eyes"), "with features")
    if data.modality != "rgb":
        reasons["eyes"] = f"with modality {data.modality}"
    if data.modality == "flow":
        reasons |= dict.fromkeys(("channels", "normalization"), "with modality flow")
    if isinstance(training, TrainConfig) and training.optimizer == "rmsprop":
        reasons["weight_decay"] = "with optimizer rmsprop"
    return reasons


def _with_defaults(requested: Settings, explicit: Collection[str]) -> Settings:
    """The settings with the modality, the eyes and the encoder that the model has by default."""
    model, data, training = requested
    recipe = find_recipe(model.name)
    if "modality" not in explicit:
        data = replace(data, modality=recipe.modality or data.modality)
    if "eyes" not in explicit:  # reset where they have no effect
        data = replace(data, eyes="auto")
    is_given = {"encoder", "pretrained", "weights", "normalization"} & {*explicit}
    is_small = "size" in explicit and data.size < LITE0_SIZE
    if fitter_of(recipe).cross_validates and not (is_given or is_small):
        model = replace(model, encoder=AUTO_ENCODER)
    return Settings(model, data, training)


def _sized(requested: Settings, explicit: Collection[str]) -> Settings:
    """The settings with the size of an encoder of a fixed size, unless one was given."""
    if requested.model.encoder != LITE0 or "size" in explicit:
        return requested
    return requested._replace(data=replace(requested.data, size=LITE0_SIZE))


def _reset(settings: Settings, names: Collection[str]) -> Settings:
    """The settings with the defaults of these of the model and of the training, and of `eyes`."""
    model, data, training = settings
    if "eyes" in names:
        data = replace(data, eyes=DataConfig.eyes)
    own: dict[str, Any] = {f.name: f.default for f in fields(model) if f.name in names}
    of_fit: dict[str, Any] = {f.name: f.default for f in fields(training) if f.name in names}
    return Settings(replace(model, **own), data, replace(training, **of_fit))


def _of_its_fitter(requested: Settings, explicit: Collection[str]) -> Settings:
    """The settings with the class of the model's fitter for the training: it keeps what all fitters
    share, and what was given; the others have its defaults.
    """
    training = requested.training
    kind = fitter_of(find_recipe(requested.model.name)).settings
    if type(training) is kind:
        return requested
    names = {f.name for f in fields(FitConfig)} | {*explicit}
    own: dict[str, Any] = {
        f.name: getattr(training, f.name)
        for f in fields(kind)
        if f.name in names and hasattr(training, f.name)
    }
    return requested._replace(training=kind(**own))


def _resolved(settings: Settings) -> Settings:
    model, data, training = settings
    recipe = find_recipe(model.name)
    encoder = settings.with_defaults.model.encoder
    if not fitter_of(recipe).cross_validates:
        model = replace(model, encoder=encoder)
    if training.features:
        if model.frozen is False:
            raise ValueError(
                "frozen is false, and the encoder of stored features is; leave out --no-frozen"
            )
        model = replace(model, frozen=True)
        # frames as they are
        data = replace(
            data, translate=0.0, scale=0.0, degrees=0.0, hflip=False, eyes=DataConfig.eyes
        )
    if model.weights:
        if model.pretrained is False:
            raise ValueError(
                "weights is a file, and pretrained is false; leave out --no-pretrained"
            )
        model = replace(model, pretrained=True)
    if model.pretrained is None:
        has_terms = encoder_terms(encoder) is not None
        is_trained = has_weights(encoder) if training.features else has_terms
        model = replace(model, pretrained=is_trained and "encoder" in recipe.options)
    if data.normalization == "auto":
        pretrained_normalization: Normalization = "lite0" if encoder == LITE0 else "imagenet"
        data = replace(data, normalization=pretrained_normalization if model.pretrained else "half")
    if isinstance(training, TrainConfig) and training.loss == "auto":
        training = replace(training, loss=recipe.loss)
    return Settings(model, data, training)
