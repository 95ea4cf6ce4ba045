"""`onlooker reproduce videolstm`: the ablation on the moving target, row by row, and one page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from onlooker.base.files import write_json
from onlooker_papers.mnist import DigitSplit, split_mnist
from onlooker_papers.results import (
    About,
    Key,
    Row,
    check_command,
    command_line,
    figures_of,
    means,
    write_rows,
)
from onlooker_papers.videolstm.ablation import (
    BUDGETS,
    ENSEMBLE,
    LOCATED,
    MEMBERS,
    SPECS,
    AblationBudget,
    Trial,
    ensemble,
    ensemble_path,
    summary,
)
from onlooker_papers.videolstm.page import write_page
from onlooker_papers.videolstm.tables import TARGET

WHAT = "which of four digits moves: accuracy, and share of frames where the attention's peak is in its box"


def reproduce(
    run: Path,
    *,
    mnist: Path | None = None,
    budget: str = "standard",
    results: Path | None = None,
) -> Path:
    """Compute the missing figures of the ablation, and write `report.html`.

    The arguments are the options of the command.

    Returns:
        The report's path.

    Raises:
        ValueError: an unknown budget, a run made with another budget, or results of another
            command.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    chosen = BUDGETS[budget]
    size = {f"--{budget}": budget != "standard"}
    recorded = command_line(
        "videolstm", {**size, "--mnist": "MNIST" if mnist else None, "--results": Path("results")}
    )
    check_command(results, TARGET, recorded)
    digits = split_mnist(mnist)
    rows = _rows(run, chosen, digits)
    shared = {"clips": chosen.clips, "epochs": chosen.training.epochs}
    figures = figures_of(TARGET, {key: row.figures for key, row in rows.items()}, shared)
    write_json(run / f"{TARGET}.json", figures)
    if results is not None:
        write_rows(
            results, TARGET, about=About(WHAT, recorded, chosen.seeds, shared=shared), rows=rows
        )
    command = command_line(
        "videolstm", {**size, "--mnist": mnist, "--run": run, "--results": results}
    )
    return write_page(run, {TARGET: figures}, budget=chosen, splits=digits, command=command)


def _rows(run: Path, budget: AblationBudget, digits: DigitSplit) -> Mapping[Key, Row]:
    """The rows of all models: means over seeds."""
    of_spec = {
        spec: [
            Trial(
                run,
                spec,
                budget.clips,
                seed=seed,
                digits=digits,
                counts=budget.counts,
                how=budget.training,
            )
            for seed in budget.seeds
        ]
        for spec in SPECS
    }

    def row(seeds: Sequence[Trial]) -> Row:
        return Row.of(
            summary([trial.train() for trial in seeds]), *(trial.memo_path() for trial in seeds)
        )

    rows: dict[Key, Row] = {("models", spec.name): row(of_spec[spec]) for spec in SPECS}
    pairs = list(zip(*(of_spec[spec] for spec in MEMBERS), strict=True))
    rows["models", ENSEMBLE] = Row.of(
        summary([ensemble(pair) for pair in pairs]), *(ensemble_path(pair[0]) for pair in pairs)
    )
    for spec in LOCATED:
        seeds = of_spec[spec]
        figures = means([trial.localized() for trial in seeds])
        rows["localized", spec.name] = Row.of(
            figures, *(trial.memo_path("-localized") for trial in seeds)
        )
    return rows
