"""`onlooker reproduce hmdb10`: the report's system on features of HMDB-51's ten classes, over draws of
the split, and one page.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onlooker.base.config import DataConfig, TrainConfig
from onlooker.data.lists import check_classes
from onlooker.data.sets import read_set
from onlooker.data.stick_figures import write_set
from onlooker_papers.hmdb10 import tables
from onlooker_papers.hmdb10.classes import FIRST_TEN, hmdb51_clips
from onlooker_papers.hmdb10.draws import RATES, TRAINING, Draw, compare, write_page
from onlooker_papers.results import About, Row, command_line, write_rows
from onlooker_papers.sets import few_of_each

HMDB51 = "HMDB-51"
FILE = "hmdb10"  # of results
WHAT = "the HMDB-51 report's system compared with other models: frames classified correctly, draws of the split"
SAMPLING = DataConfig(frames=30, size=224, translate=0.0, scale=0.0)
_READING = (
    "The report names two of its ten classes, cartwheel and brush_hair, and 730 + 220 + 78 clips, fewer than any ten "
    "whole classes with these two have. Which clips were left out, and how they were divided, is not known; here each "
    "source video is in one split. It gives no equation for its attention, no hidden channels and no optimizer."
)
_RANDOM = " **The encoder has random weights**, not ImageNet's as published: this only shows that all runs."


@dataclass(frozen=True)
class Hmdb10Budget:
    """The size of the experiments.

    Args:
        encoder: makes the features; it is frozen.
        pretrained: use ImageNet weights, as published; else random ones.
        data: frames per clip, and their size.
        training: training settings.
        draws: of the split, at least two.
        rates: learning rates from which each model's is chosen.
        complete: require HMDB-51's number of clips per class; a reduced copy in the same layout
            needs False.
        clips: maximum per class; 0: all.
    """

    encoder: str = "vgg16"
    pretrained: bool = True
    data: DataConfig = SAMPLING
    training: TrainConfig = TRAINING
    draws: int = 5
    rates: Sequence[float] = RATES
    complete: bool = True
    clips: int = 0


PUBLISHED = Hmdb10Budget()
QUICK = Hmdb10Budget(
    pretrained=False, data=replace(SAMPLING, frames=8), draws=2, rates=RATES[:1], clips=10
)
# Seconds, on generated clips: one epoch of two classes.
SMOKE = Hmdb10Budget(
    encoder="conv4",
    pretrained=False,
    data=replace(SAMPLING, frames=4, size=32),
    training=replace(TRAINING, epochs=1),
    draws=2,
    rates=RATES[:1],
    clips=8,
)
BUDGETS = {"smoke": SMOKE, "quick": QUICK, "published": PUBLISHED}


def generated_clips(run: Path) -> Path:
    """Clips of stick figures in the folder of a run: enough for `SMOKE`."""
    folder = run / "clips"
    return folder if folder.exists() else write_set(folder, SMOKE.clips, actions=("kick", "wave"))


def reproduce(
    run: Path,
    *,
    hmdb51: Path | None = None,
    clips: Path | None = None,
    classes: Sequence[str] = (),
    budget: Hmdb10Budget = PUBLISHED,
    results: Path | None = None,
) -> Path:
    """Compute what is missing of Teja & Akunuri 2020, and write `report.html`.

    The arguments are the options of the command. Other `clips` are also divided in the report's
    proportions; with a `recordings.csv` next to the classes, each recording is in one split.

    Returns:
        The report's path.

    Raises:
        ValueError: both `hmdb51` and `clips`, or neither; an unknown class; or a run with other
        settings.
        ClipError: clips are missing, or one cannot be read.
        RuntimeError: the ImageNet weights cannot be downloaded.
    """
    if hmdb51 is not None and clips is None:
        name = HMDB51
        folder = hmdb51
        found = hmdb51_clips(hmdb51, sorted(classes) or FIRST_TEN, budget.complete)
    elif clips is not None and hmdb51 is None:
        name = f"{clips.name}/"
        folder = clips
        found = list(read_set(clips).clips)
        known = sorted({clip.label for clip in found})
        chosen = check_classes(sorted(classes), known, clips.name)
        found = [clip for clip in found if clip.label in chosen]
    else:
        raise ValueError(
            "give either --hmdb51 DIR (HMDB-51 itself) or --clips DIR (other clips, one sub-folder "
            "per class); `onlooker generate figures clips` draws some for --clips clips"
        )
    few = few_of_each(found, budget.clips)
    draws = [
        Draw(
            run,
            few,
            number,
            sampling=budget.data,
            training=budget.training,
            encoder=budget.encoder,
            pretrained=budget.pretrained,
        )
        for number in range(budget.draws)
    ]
    figures, memos = compare(draws, budget.rates)
    if results is not None:
        options = {
            "--hmdb51" if hmdb51 else "--clips": folder.name,
            "--classes": ",".join(classes) or None,
            **{f"--{name}": budget == BUDGETS[name] for name in ("smoke", "quick")},
            "--results": "results",
        }
        command = command_line("hmdb10", options)
        about = About(WHAT, command, range(budget.draws))
        write_rows(
            results, FILE, about=about, rows={(name,): Row.of(figures, *memos)}, made_by=command
        )
    text = _READING if budget.pretrained else _READING + _RANDOM
    return write_page(
        draws,
        figures,
        about=f"Teja & Akunuri 2020, reproduced · {name} · {budget.draws} draws of the split",
        text=text,
        table=tables.of_draws(figures),
    )
