"""The effect of motion attention beyond having the flow: controls with image and flow, but without motion attention.

`python -m onlooker_papers.videolstm.control --mnist MNIST`: `convlstm`, `alstm` and `convalstm` with one encoder for
the frames and one for their flow, as in `motion`, on the moving target; three seeds, two hours on one busy core. The
rows of real video are written by `onlooker_papers.videolstm.real_video`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any

import typer

from onlooker.experiments.model_spec import ModelSpec
from onlooker.files import read_json
from onlooker_papers.results import CELLS, About, Row, write_rows
from onlooker_papers.videolstm.ablation import MOTION, Trial
from onlooker_papers.videolstm.budget import BUDGETS
from onlooker_papers.videolstm.reproduce import TARGET, trials

FILE = "motion-control"
COMMAND = "python -m onlooker_papers.videolstm.control --mnist MNIST"
WHAT = "accuracy of models that see image and flow with and without motion attention, on test clips"
# A ConvLSTM over both, soft attention with a vector state, ConvALSTM: no attention map depends on the flow alone.
CONTROLS = tuple(ModelSpec(name, "both") for name in ("convlstm", "alstm", "convalstm"))
_T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # number of seeds -> quantile of Student's t


def gain(motion: Sequence[float], control: Sequence[float]) -> list[float | None]:
    """The mean difference of accuracy, paired by seed, and its 95 % interval (Student's t; None for one seed)."""
    each = [a - b for a, b in zip(motion, control, strict=True)]
    if len(each) < 2:
        return [each[0], None, None]
    half = _T95[len(each)] * stdev(each) / len(each) ** 0.5
    return [mean(each), mean(each) - half, mean(each) + half]


def moving_target(
    run: Path, mnist: Path | None, results: Path, seeds: int, names: Sequence[str] = (), budget: str = "standard"
) -> dict[str, Any]:
    """Train the missing controls, and write their row, with the accuracy of `motion` from `moving-target`.

    Args:
        run: the folder of the trainings.
        mnist: folder of MNIST's idx files; None: the digits that come with the library.
        results: the folder of the results files.
        seeds: number of seeds, at most that of the budget.
        names: names of the controls; empty: all.
        budget: one of `BUDGETS`.

    Raises:
        FileNotFoundError: the results have no row of `motion` with its seeds.
        ValueError: the run was made with other settings.
    """
    chosen = replace(BUDGETS[budget], seeds=BUDGETS[budget].seeds[:seeds], curve=())
    specs = [spec for spec in CONTROLS if spec.name in (names or [each.name for each in CONTROLS])]
    path = results / CELLS / TARGET / "models" / f"{MOTION.name}.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: not there; first run `onlooker reproduce videolstm --only {MOTION.name}`")
    known = read_json(path)["figures"]["each"][: len(chosen.seeds)]
    made: dict[str, list[Trial]] = {spec.name: [] for spec in specs}
    for trial in trials(run, chosen, mnist, specs):
        made[trial.spec.name].append(trial)
    each = {name: [trial.train()["accuracy"] for trial in of] for name, of in made.items()}
    figures = {
        **{name: mean(of) for name, of in each.items()},
        MOTION.name: mean(known),
        "each": {**each, MOTION.name: known},
        "gain": {name: gain(known, of) for name, of in each.items()},
        "interval": "over seeds",
    }
    memos = [trial.memo_path() for of in made.values() for trial in of]
    row = Row.of({**figures, "clips": chosen.clips, "epochs": chosen.training.epochs}, *memos)
    write_rows(results, FILE, About(WHAT, COMMAND, chosen.seeds), {(TARGET,): row}, made_by=COMMAND)
    return figures


def main(
    mnist: Annotated[Path | None, typer.Option(help="Folder of MNIST's idx files.")] = None,
    run: Annotated[Path, typer.Option(help="Folder of the trainings.")] = Path("runs/videolstm-control"),
    results: Annotated[Path, typer.Option(help="Folder of the results files.")] = Path("results"),
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 3,
    only: Annotated[list[str] | None, typer.Option(help="A control. Repeatable. Default: all.")] = None,
) -> None:
    """Train the controls on the moving target."""
    for name, of in moving_target(run, mnist, results, seeds, only or ())["gain"].items():
        typer.echo(f"motion over {name}: {100 * of[0]:+.1f} points")


if __name__ == "__main__":
    typer.run(main)
