"""`onlooker reproduce hmdb10`: the report's system on ten classes of HMDB-51."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onlooker.base.config import DataConfig, TrainConfig
from onlooker.base.files import write_json
from onlooker_papers.hmdb10 import tables
from onlooker_papers.hmdb10.classes import FIRST_TEN, hmdb51_clips
from onlooker_papers.hmdb10.draws import TRAINING, Draw, compare, write_page
from onlooker_papers.results import WHOLE, About, Row, command_line, write_rows

FILE = "hmdb10"  # of results
SAMPLING = DataConfig(frames=30, size=224, translate=0.0, scale=0.0)
WHAT = "the HMDB-51 report's system on ten classes of HMDB-51: frames classified correctly"
_READING = (
    "The report names two of its ten classes, cartwheel and brush_hair, and 730 + 220 + 78 clips, fewer than any ten "
    "whole classes with these two have. Which clips were left out, and how they were divided, is not known; here each "
    "source video is in one split. It gives no equation for its attention, no hidden channels and no optimizer."
)
_QUICK = (
    " **A quick run**: few clips and frames, and random weights of the encoder, not ImageNet's as published; it only "
    "shows that everything runs."
)


@dataclass(frozen=True)
class Budget:
    """The size of the experiments.

    Args:
        encoder: makes the features; it is frozen.
        pretrained: use ImageNet weights, as published; else random ones.
        data: frames per clip, and their size.
        training: training settings.
        draws: of the split.
        complete: require HMDB-51's number of clips per class; a reduced copy in the same layout
        needs False.
        clips: maximum per class; 0: all.
    """

    encoder: str = "vgg16"
    pretrained: bool = True
    data: DataConfig = SAMPLING
    training: TrainConfig = TRAINING
    draws: int = 5
    complete: bool = True
    clips: int = 0


PUBLISHED = Budget()
QUICK = replace(PUBLISHED, pretrained=False, data=replace(SAMPLING, frames=8), draws=2, clips=10)


def reproduce(
    run: Path,
    root: Path,
    classes: Sequence[str] = (),
    budget: Budget = PUBLISHED,
    results: Path | None = None,
) -> Path:
    """Compute what is missing of Teja & Akunuri 2020, and write `report.html`.

    The arguments are the options of the command; `root` is the folder of HMDB-51.

    Returns:
        The report's path.

    Raises:
        ValueError: an unknown class, or a run with other settings.
        ClipError: clips are missing, or one cannot be read.
        RuntimeError: the ImageNet weights cannot be downloaded.
    """
    chosen = sorted(classes) or list(FIRST_TEN)
    clips = hmdb51_clips(root, chosen, budget.complete, budget.clips)
    every = [
        Draw(
            run,
            clips,
            number,
            budget.data,
            budget.training,
            budget.encoder,
            budget.pretrained,
            {"classes": chosen},
        )
        for number in range(budget.draws)
    ]
    figures, memos = compare(every)
    write_json(run / "figures.json", figures)
    if results is not None:
        options = {
            "--hmdb51": "HMDB51",
            "--classes": ",".join(classes) or None,
            "--quick": bool(budget.clips),
            "--results": "results",
        }
        about = About(WHAT, command_line("hmdb10", options), range(budget.draws))
        write_rows(results, FILE, about, {WHOLE: Row.of(figures, *memos)})
    text = _READING if budget.pretrained else _READING + _QUICK
    return write_page(
        every, figures, "Attention for HMDB-51", text, tables.of_encoders({budget.encoder: figures})
    )
