"""Who competes on a folder of clips: a model each with what it sees, and which of them answer together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast, get_args

from onlooker.config import DataConfig, Modality, ModelConfig, SharedConfig
from onlooker.models.registry import MODELS

FUSED = "fused"
# The two streams of VideoLSTM (Li et al. 2016): the picture where the flow says, and the flow itself.
_USUALLY_FUSED = "motion+convlstm:flow"


@dataclass(frozen=True)
class ModelSpec:
    """A model of a comparison, and what it sees.

    Args:
        model: its settings.
        modality: `rgb`, `flow` or `both`; None: that of the comparison, but `both` for a model that follows the flow.
    """

    model: ModelConfig
    modality: Modality | None = None

    @property
    def name(self) -> str:
        """Of its row and its folder."""
        return self.model.name if self.modality is None else f"{self.model.name}-{self.modality}"

    @property
    def entry(self) -> str:
        """What `read_specs` knows it by."""
        return self.model.name if self.modality is None else f"{self.model.name}:{self.modality}"

    def seen(self, data: DataConfig) -> DataConfig:
        """The comparison's settings of a sample, with the streams of this model."""
        recipe = MODELS.get(self.model.name)
        usual = "both" if recipe and recipe.follows_flow else data.modality
        return replace(data, modality=self.modality or usual)


def read_specs(shared: SharedConfig, data: DataConfig) -> tuple[list[ModelSpec], list[ModelSpec]]:
    """The models of a comparison, and those among them that are fused, from words with commas between them.

    A word is a model's name, behind it `:rgb`, `:flow` or `:both` where it sees other streams than the comparison; or
    `fused=MODEL+MODEL`, of which plain `fused` is the one with `motion` and `convlstm:flow`.

    Args:
        shared: `name`, such as `motion,convlstm:flow,fused`, and settings of all models; `attention_loss` and `glimpse` are
            those of models that attend.
        data: settings of a sample, whose streams are the comparison's.

    Raises:
        ValueError: `fused` twice, or `attention_loss` or a `glimpse` for models of which none attends.
    """
    words = [word.strip() for word in shared.name.split(",")]
    together = [word for word in words if word.partition("=")[0] == FUSED]
    if len(together) > 1:
        raise ValueError(f"models to compare: {' and '.join(together)}; expected one of them")
    members = (together[0].partition("=")[2] or _USUALLY_FUSED).split("+") if together else []
    models = [_read_spec(word, shared, data) for word in words if word not in together]
    for wanted, given in {"attention_loss": shared.attention_loss, "glimpse": shared.glimpse != "auto"}.items():
        if given and not any(_attends(spec.model.name) for spec in models):
            raise ValueError(f"{wanted} is about what is attended, and none of {shared.name} attends; leave it out")
    return models, [_read_spec(member.strip(), shared, data) for member in members]


def _attends(name: str) -> bool:
    return name in MODELS and MODELS[name].attends


def _read_spec(entry: str, shared: SharedConfig, data: DataConfig) -> ModelSpec:
    name, _, suffix = entry.rpartition(":")
    modality = cast(Modality, suffix) if suffix in get_args(Modality) else None
    if modality is None:  # the colon is part of the name, as in torchvision:r3d_18
        name = entry
    of_attention = {} if _attends(name) else {"attention_loss": False, "glimpse": "auto"}
    usual = ModelSpec(ModelConfig.from_dict({**shared.to_dict(), "name": name, **of_attention}))
    other = replace(usual, modality=modality)
    # What changes nothing has no name of its own: a model that is there twice is found out, and one folder has it.
    return usual if other.seen(data) == usual.seen(data) else other


def check_specs(models: Sequence[ModelSpec], fused: Sequence[ModelSpec]) -> None:
    """Raise a ValueError unless every model is known and there once, and the fused ones are two or more of them."""
    names = [spec.name for spec in models]
    if wrong := sorted({each.entry for each in models if each.model.name not in MODELS or names.count(each.name) > 1}):
        raise ValueError(
            f"models to compare: {', '.join(wrong)} is unknown or twice; there are {', '.join(MODELS)}, "
            f"each also with :rgb, :flow or :both behind it, and {FUSED}"
        )
    entries = [spec.entry for spec in fused]
    if missing := [spec.entry for spec in fused if spec not in models]:
        raise ValueError(
            f"fused takes {' and '.join(entries)}: add {' and '.join(missing)} to the models, or name those to fuse: "
            "fused=MODEL+MODEL"
        )
    if fused and len(set(entries)) < max(2, len(entries)):
        raise ValueError(f"fused takes {' and '.join(entries)}; expected two models or more, none of them twice")
