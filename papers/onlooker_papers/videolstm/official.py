"""`onlooker reproduce videolstm --ucf101` and `--hmdb51`: the published models on the published
data sets.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from onlooker import TrainedRun
from onlooker.base.config import ModelConfig, Settings, TrainConfig
from onlooker.base.files import write_bytes, write_json
from onlooker.data.clips import ClipFrames, read_clips
from onlooker.data.split import Split
from onlooker.models.registry import configured
from onlooker.models.video_model import VideoModel
from onlooker.report.page import Page
from onlooker.report.plots import loss_and_accuracy
from onlooker.run.features import encoded_clips
from onlooker.training.fitters import complete
from onlooker_papers.results import WHOLE, About, Row, command_line, write_rows
from onlooker_papers.sets import counts_of, digest_of, few_of_each
from onlooker_papers.tables import share
from onlooker_papers.videolstm import Modality
from onlooker_papers.videolstm.crops import ClipCrops, TemporalCrops
from onlooker_papers.videolstm.fine_tune import fine_tune
from onlooker_papers.videolstm.official_budget import (
    BOTH,
    BUDGETS,
    FINE_TUNING_FRAMES,
    FUSED,
    LONGEST,
    MOTION,
    NAMES,
    SETS,
    SINGLE,
    STREAMS,
    VIDEOLSTM,
    OfficialBudget,
    OfficialSet,
)
from onlooker_papers.videolstm.on_features import fuse, trained

_OURS = (
    "Not as in the paper: `convnet` and `lstm` see the average over the map, not fc7; flow is DIS, not TV-L1; "
    "ConvALSTM on RGB gets 30 frames, not 15; `motion` gets the centers of 3×3 kernels; "
    "validation clips, a tenth of the training list, choose the epoch, where the authors' code keeps the best on the "
    "test list. Without `--full`, also: encoders keep their weights, and AdamW with "
    "a one-cycle schedule, states that start from zeros, attention × number of locations, the averaged map before the "
    "classes and forget bias 1 are ours."
)


def reproduce(
    run: Path,
    name: str,
    root: Path,
    *,
    lists: Path | None = None,
    split: int = 1,
    budget: str = "standard",
    results: Path | None = None,
    pretrained: bool = True,
) -> Path:
    """Encode the clips, train what is missing, combine streams, and write `report.html`.

    The arguments are the options of the command; `name` is one of `SETS`, `root` its folder,
    `lists` that of its split files. In `run`, the models are in `split1`, …, with the encoders that
    are trained on the split.

    Raises:
        ClipError: the set is not as published, or a clip cannot be read.
        ValueError: an unknown budget or split, or a run made with other settings.
        DiskFullError: no space for the features.
        RuntimeError: the ImageNet weights cannot be loaded.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    official = SETS[name]
    chosen = BUDGETS[budget]
    chosen = replace(chosen, pretrained=chosen.pretrained and pretrained)
    clips = _limited(
        official.published.split(root, annotations=lists, number=split, complete=chosen.complete),
        chosen,
    )
    folder = run / f"split{split}"
    figures = _Models(folder, clips, chosen, name=name, split=split).figures()
    write_json(folder / "figures.json", figures)
    options = {
        f"--{name}": official.published.title,
        "--split": split,
        "--splits": lists and "SPLITS",
        "--no-pretrained": not pretrained,
        f"--{budget}": budget in ("quick", "full"),
    }
    command = command_line("videolstm", options)
    if results is not None:
        what = f"{official.published.title}, split {split}: accuracy of the models of VideoLSTM on test clips"
        about = About(what, f"{command} --results results", [chosen.training.seed])
        row = Row({"split": split, "budget": asdict(chosen), **figures}, asdict(chosen))
        write_rows(results, f"videolstm-{name}", about=about, rows={WHOLE: row})
    return _write_page(
        folder, official, split=split, budget=chosen, figures=figures, command=command
    )


def _write_page(
    folder: Path,
    official: OfficialSet,
    *,
    split: int,
    budget: OfficialBudget,
    figures: Mapping[str, Any],
    command: str,
) -> Path:
    models = figures["models"]
    fused = figures["fused"]
    counts = ", ".join(f"{count:,} {side}" for side, count in figures["clips"].items())
    page = Page(
        f"VideoLSTM on {official.published.title}",
        f"Split {split} · clips: {counts} · {budget.name}",
    )
    if not budget.pretrained:
        page.text(
            "**The encoder has random weights** (`--no-pretrained`): the page only shows that everything runs."
        )
    page.heading("The table of the paper")
    empty = [None] * len(SINGLE)
    rows = [
        [f"{of}: cited", *map(str, values), None, None]
        for of, values in official.cited.items()
        if split == 1
    ]
    rows.append(["both: cited", *empty, None, str(official.cited_together)])
    rows += [
        [of, *(share(models[f"{name}-{of}"]["accuracy"]) for name in SINGLE), None, None]
        for of in STREAMS
    ]
    rows.append(["both", *empty, share(models[MOTION]["accuracy"]), share(fused[BOTH]["accuracy"])])
    pairs = ", ".join(f"`{words}` {share(of['accuracy'])} %" for words, of in fused.items())
    page.table(
        rows,
        ["input", *NAMES.values(), MOTION, VIDEOLSTM],
        f"Test clips correct, %, the mean of {budget.crops} temporal crops of {budget.frames} frames. Fused, with "
        f"weights that validation clips choose: {pairs}. *Cited*: Li et al. 2016, as commonly cited.",
    )
    page.text(_OURS)
    page.heading("Training curves")
    for of in STREAMS:
        names = [f"{model}-{of}" for model in SINGLE] + ([MOTION] if of == "rgb" else [])
        curves = {name: found for name in names if (found := TrainedRun.read(folder / name).curves)}
        for part in ("training", "validation") if curves else ():
            image = loss_and_accuracy({name: found[part] for name, found in curves.items()})
            page.figure(image, f"{of}: {part} clips, per epoch.", wide=True)
    page.text(f"`{command}`")
    return page.write(folder / "report.html")


def _limited(split: Split, budget: OfficialBudget) -> Split:
    """The classes and clips of a budget."""
    labels = _classes(split)[: budget.classes or None]
    parts = (
        tuple(clip for clip in few_of_each(clips, budget.clips) if clip.label in labels)
        for clips in (split.training, split.validation, split.test)
    )
    return Split(*parts)


def _classes(split: Split) -> list[str]:
    return sorted({clip.label for clip in split.training})


def _untrained(
    folder: Path, clips: Split, *, settings: Settings, budget: OfficialBudget
) -> VideoModel:
    """A model with the frozen encoder of a stream, or one that gets those of both by
    `initialize_motion`.
    """
    torch.manual_seed(settings.training.seed)
    net = configured(settings, len(_classes(clips)))
    if budget.fine_tuning and settings.data.modality != "both":
        cast(nn.Module, net.encoder).load_state_dict(
            _fine_tuned(folder, clips, of=settings.data.modality, budget=budget)
        )
    return net


def _fine_tuned(
    folder: Path, clips: Split, *, of: Modality, budget: OfficialBudget
) -> dict[str, Tensor]:
    """The weights of a stream's encoder, trained on the training clips of the split, and stored in
    the folder.
    """
    config = ModelConfig("convnet", budget.encoder, pretrained=budget.pretrained)
    how = cast(TrainConfig, budget.fine_tuning)
    _, data, training = complete(Settings(config, budget.features(of), how))
    file = folder / f"{of}-encoder.safetensors"
    if not file.exists():
        data = replace(data, frames=min(FINE_TUNING_FRAMES, data.frames))
        used = (*clips.training, *clips.validation)
        samples, _ = read_clips(used, _classes(clips), data, strict=True)
        run = folder / f"{of}-encoder"
        net = fine_tune(
            budget.encoder,
            samples,
            clips,
            data=data,
            folder=run,
            how=cast(TrainConfig, training),
            pretrained=budget.pretrained,
        )
        write_bytes(
            file, save({key: tensor.contiguous() for key, tensor in net.state_dict().items()})
        )
    return load_file(file)


@dataclass(frozen=True)
class _Models:
    """The trainings of one split, each in a folder with its memo next to it."""

    folder: Path
    clips: Split
    budget: OfficialBudget
    name: str
    split: int

    def figures(self) -> dict[str, Any]:
        """All figures; the missing ones are computed."""
        models = {f"{model}-{of}": self._learn(model, (of,)) for of in STREAMS for model in SINGLE}
        models[MOTION] = self._learn(MOTION, STREAMS)
        return {
            "classes": len(_classes(self.clips)),
            "clips": counts_of(self.clips),
            "models": models,
            "fused": self._fused(),
        }

    def _fused(self) -> Mapping[str, Any]:
        return {
            words: fuse(
                [self.folder / name for name in names],
                self.clips,
                file=self.folder / f"{words}.json",
                settings=self._settings(),
            )
            for words, names in FUSED.items()
        }

    def _learn(self, model: str, streams: tuple[Modality, ...]) -> dict[str, Any]:
        run = self.folder / (model if len(streams) > 1 else f"{model}-{streams[0]}")
        asked = self.budget.settings(model, *streams)
        config, data, _ = asked
        training = cast(TrainConfig, asked.training)

        def prepare() -> tuple[VideoModel, ClipFrames]:
            net = _untrained(self.folder, self.clips, settings=asked, budget=self.budget)
            whole = replace(data, frames=LONGEST)
            classes = _classes(self.clips)
            every, _ = encoded_clips(self.clips.clips, classes, net, data=whole, strict=True)
            crops = TemporalCrops(data.frames, self.budget.crops)
            return net, ClipCrops(every.clips, every.files, classes, sampling=crops)

        settings = {
            **self._settings(),
            "data": data.to_dict(),
            "model": config.to_dict(),
            "training": training.to_dict(),
            "crops": self.budget.crops,
        }
        return trained(run, settings, prepare, split=self.clips, data=data, training=training)

    def _settings(self) -> dict[str, Any]:
        """The settings on which all models depend."""
        files = {of: self.folder / f"{of}-encoder.safetensors" for of in STREAMS}
        return {
            "set": self.name,
            "split": self.split,
            "clips": digest_of(self.clips),
            "features": {of: self.budget.features(of).to_dict() for of in STREAMS},
            "encoders": {
                of: hashlib.sha256(file.read_bytes()).hexdigest()
                for of, file in files.items()
                if file.exists()
            },
        }
