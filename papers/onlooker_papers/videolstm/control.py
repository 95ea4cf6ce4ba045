"""The effect of motion attention beyond having the flow: controls with image and flow, but without motion attention.

`python -m onlooker_papers.videolstm.control --mnist MNIST`, after `onlooker reproduce videolstm`: `convlstm`, `alstm`
and `convalstm` with one encoder for the frames and one for their flow, as in `motion`, on the moving target; three
seeds, two hours on one busy core. The rows of real video are written by `onlooker_papers.videolstm.real_video`.
"""

from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import typer

from onlooker.files import read_json
from onlooker_papers.intervals import over_seeds
from onlooker_papers.results import CELLS, About, Row, write_rows
from onlooker_papers.videolstm.ablation import MOTION, ModelSpec, Trial
from onlooker_papers.videolstm.budget import BUDGETS
from onlooker_papers.videolstm.reproduce import trials
from onlooker_papers.videolstm.tables import TARGET

FILE = "motion-control"
COMMAND = "python -m onlooker_papers.videolstm.control --mnist MNIST"
WHAT = "accuracy of models that see image and flow with and without motion attention, on test clips"
# A ConvLSTM over both, soft attention with a vector state, ConvALSTM: no attention map depends on the flow alone.
CONTROLS = tuple(ModelSpec(name, "both") for name in ("convlstm", "alstm", "convalstm"))


def moving_target(run: Path, mnist: Path | None, results: Path, seeds: int, budget: str = "standard") -> dict[str, Any]:
    """Train the missing controls, and write their row, with the accuracy of `motion` from `moving-target`.

    Raises:
        FileNotFoundError: the results have no row of `motion`.
        ValueError: the run was made with other settings.
    """
    chosen = replace(BUDGETS[budget], seeds=BUDGETS[budget].seeds[:seeds], curve=())
    path = results / CELLS / TARGET / "models" / f"{MOTION.name}.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: not there; first run `onlooker reproduce videolstm --results {results}`")
    known = read_json(path)["figures"]["each"][: len(chosen.seeds)]
    made: dict[str, list[Trial]] = {}
    for trial in trials(run, chosen, mnist, CONTROLS):
        made.setdefault(trial.spec.name, []).append(trial)
    each = {name: [trial.train()["accuracy"] for trial in of] for name, of in made.items()}
    figures = {
        **{name: mean(of) for name, of in each.items()},
        MOTION.name: mean(known),
        "each": {**each, MOTION.name: known},
        "gain": {name: over_seeds(known, of) for name, of in each.items()},
        "interval": "over seeds",
    }
    memos = [trial.memo_path() for of in made.values() for trial in of]
    row = Row.of({**figures, "clips": chosen.clips, "epochs": chosen.training.epochs}, *memos)
    write_rows(results, FILE, About(WHAT, COMMAND, chosen.seeds), {(TARGET,): row}, made_by=COMMAND)
    return figures


def main(
    mnist: Annotated[Path | None, typer.Option(help="Folder of MNIST's idx files.")] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 3,
) -> None:
    """Train the controls on the moving target."""
    for name, of in moving_target(Path("runs/videolstm-control"), mnist, Path("results"), seeds)["gain"].items():
        typer.echo(f"motion over {name}: {100 * of[0]:+.1f} points")


if __name__ == "__main__":
    typer.run(main)
