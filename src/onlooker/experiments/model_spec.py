"""Model specifications: which model, on which input, with which settings, as text and as a record."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast, get_args

from onlooker.config import DataConfig, Modality, ModelConfig
from onlooker.models.registry import find_recipe

__all__ = ["ModelSpec", "folder_name", "parse_specs", "with_baseline"]

BASELINE = "linear"


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

    @property
    def name(self) -> str:
        """The name of its row."""
        settings = [f"{name}={value}" for name, value in self.settings.items()]
        return self.label or "-".join([self.model, *([self.modality] if self.modality else []), *settings])

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return folder_name(self.name)

    @property
    def attends(self) -> bool:
        """Whether the model has attention."""
        return find_recipe(self.model).attends

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
        return replace(shared, modality=self.modality or find_recipe(self.model).modality or shared.modality)


def folder_name(name: str) -> str:
    """A model's name as part of a path, also on systems whose file names have no colon."""
    return re.sub(r"[^\w.=+-]", "-", name)


def parse_specs(text: str, data: DataConfig) -> list[ModelSpec]:
    """Read a comma-separated list of models, each `NAME` or `NAME:MODALITY`, such as `motion,convlstm:flow`.

    A modality that the model has anyway with `data`, the sample settings of all models, is dropped, so that a model
    that is listed twice is noticed. A name may hold colons (torchvision:r3d_18).

    Raises:
        ValueError: an unknown model.
    """

    def parse(word: str) -> ModelSpec:
        name, _, modality = word.rpartition(":")
        if modality not in get_args(Modality):
            return ModelSpec(word)
        with_modality, short = ModelSpec(name, cast(Modality, modality)), ModelSpec(name)
        return short if short.data_config(data) == with_modality.data_config(data) else with_modality

    return [parse(word.strip()) for word in text.split(",")]


def with_baseline(models: Sequence[ModelSpec]) -> list[ModelSpec]:
    """The models, and the linear baseline with the encoder of all models unless it is among them."""
    if any(spec.model == BASELINE for spec in models):
        return list(models)
    others = [f for f in dataclasses.fields(ModelConfig) if f.name not in {"name", *find_recipe(BASELINE).arguments}]
    return [*models, ModelSpec(BASELINE, settings={f.name: f.default for f in others}, label=BASELINE)]
