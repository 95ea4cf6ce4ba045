"""Model specifications: which model, on which input, with which settings, as text and as a record."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast, get_args

from onlooker.config import DataConfig, Modality, ModelConfig
from onlooker.models.registry import MODELS, find_recipe, is_model

__all__ = ["ENSEMBLE", "ModelSpec", "check_specs", "folder_name", "parse_specs", "with_baseline"]

ENSEMBLE, BASELINE = "ensemble", "linear"


@dataclass(frozen=True)
class ModelSpec:
    """A model by name, what it sees, and how it differs from the settings of all models.

    Args:
        modality: `rgb`, `flow` or `both`; None: that of the model's recipe, else the shared one.
        settings: fields of `ModelConfig` that differ from the shared settings.
        label: name of its row and its folder; empty: made of the other fields.
    """

    model: str
    modality: Modality | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    label: str = ""

    @classmethod
    def parse(cls, text: str) -> "ModelSpec":
        """Read `NAME` or `NAME:MODALITY`, such as `convlstm:flow`; a name may hold colons (torchvision:r3d_18)."""
        name, _, modality = text.strip().rpartition(":")
        return cls(name, cast(Modality, modality)) if modality in get_args(Modality) else cls(text.strip())

    def __str__(self) -> str:
        return ":".join(self._parts)

    @property
    def name(self) -> str:
        """The name of its row."""
        return self.label or "-".join(self._parts)

    @property
    def _parts(self) -> list[str]:
        settings = [f"{name}={value}" for name, value in self.settings.items()]
        return [self.model, *([self.modality] if self.modality else []), *settings]

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return folder_name(self.name)

    @property
    def attends(self) -> bool:
        """Whether the model has attention."""
        return is_model(self.model) and find_recipe(self.model).attends

    @property
    def learns_attention(self) -> bool:
        """Whether its attention is trained and so has settings."""
        return self.attends and find_recipe(self.model).solver == "gradient"

    def model_config(self, shared: ModelConfig) -> ModelConfig:
        """The shared settings, updated by those of this model; without options of attention if it does not train any.

        Raises:
            ValueError: an unknown setting, or a value out of range.
        """
        values = {f.name: getattr(shared, f.name) for f in dataclasses.fields(ModelConfig)}
        without = {} if self.learns_attention else {"attention_loss": False, "glimpse": "auto"}
        return ModelConfig.from_dict({**values, **without, "name": self.model, **self.settings})

    def data_config(self, shared: DataConfig) -> DataConfig:
        """The sample settings of all models, with the modality of this one."""
        recipe = find_recipe(self.model) if is_model(self.model) else None
        default = (recipe and recipe.modality) or shared.modality
        return replace(shared, modality=self.modality or default)


# The two-stream model of Li et al. (2016): attention on RGB that follows the flow, and the flow itself.
_MEMBERS = (ModelSpec("motion"), ModelSpec("convlstm", "flow"))


def folder_name(name: str) -> str:
    """A model's name as part of a path, also on systems whose file names have no colon."""
    return re.sub(r"[^\w.=+-]", "-", name)


def parse_specs(text: str, data: DataConfig) -> tuple[list[ModelSpec], list[ModelSpec]]:
    """Read a comma-separated list of models, and which of them form an ensemble.

    Args:
        text: such as `motion,convlstm:flow,ensemble`; `ensemble` is that of `motion` and `convlstm:flow`.
        data: sample settings of all models. A modality equal to the one in `data` is dropped, so that a model that is
            listed twice is noticed.

    Returns:
        The models, and the members of the ensemble.
    """

    def plain(spec: ModelSpec) -> ModelSpec:
        short = replace(spec, modality=None)
        return short if short.data_config(data) == spec.data_config(data) else spec

    words = [word.strip() for word in text.split(",")]
    members = _MEMBERS if ENSEMBLE in words else ()
    return [plain(ModelSpec.parse(word)) for word in words if word != ENSEMBLE], [plain(spec) for spec in members]


def with_baseline(models: Sequence[ModelSpec]) -> list[ModelSpec]:
    """The models, and the linear baseline with the encoder of all models unless it is among them."""
    if any(spec.model == BASELINE for spec in models):
        return list(models)
    others = [f for f in dataclasses.fields(ModelConfig) if f.name not in {"name", *find_recipe(BASELINE).arguments}]
    return [*models, ModelSpec(BASELINE, settings={f.name: f.default for f in others}, label=BASELINE)]


def check_specs(models: Sequence[ModelSpec], members: Sequence[ModelSpec], shared: ModelConfig | None = None) -> None:
    """Check what is to be compared, and which of it forms an ensemble (if any does), before anything is computed.

    Raises:
        ValueError: a model that is unknown or listed twice, members that are not among the models, or a setting of
            attention for models without attention.
    """
    names = [spec.name for spec in models]
    if wrong := sorted({str(each) for each in models if not is_model(each.model) or names.count(each.name) > 1}):
        raise ValueError(
            f"models to compare: {', '.join(wrong)} is unknown or listed twice; there are {', '.join(MODELS)}, "
            f"each also followed by :rgb, :flow or :both, and {ENSEMBLE}"
        )
    if missing := [str(spec) for spec in members if spec not in models]:
        raise ValueError(
            f"{ENSEMBLE} takes {' and '.join(map(str, members))}: add {' and '.join(missing)} to the models"
        )
    given = {} if shared is None else {"attention_loss": shared.attention_loss, "glimpse": shared.glimpse != "auto"}
    if idle := [name for name, value in given.items() if value and not any(spec.learns_attention for spec in models)]:
        raise ValueError(f"{idle[0]} needs attention, which none of {', '.join(names)} has; leave it out")
