"""Record the figures of `onlooker demo` as a results file: `python -m onlooker_papers.demo`, after the demo."""

from pathlib import Path

from onlooker.files import read_json
from onlooker_papers.measurement import write_results
from onlooker_papers.results import keep_whole

_WHAT = "pairs of moving digits, unseen digits and paths: with attention, without, and single frames"
_FIGURES = ("accuracy", "accuracy_interval", "frame_accuracy", "peak_on_digit", "uniform_on_digit", "parameters")


def record(run: Path, results: Path) -> Path:
    """Write the figures of a finished demo to `results/demo.json`, and to its row in `results/cells/demo`."""
    measured, budget = read_json(run / "demo.json"), read_json(run / "budget.json")
    figures = {model: {name: of[name] for name in _FIGURES if name in of} for model, of in measured.items()}
    command = "onlooker demo && python -m onlooker_papers.demo"
    path = write_results(results / "demo.json", _WHAT, command, {"budget": budget, **figures}, [budget["seed"]])
    return keep_whole(path)


if __name__ == "__main__":
    print(record(Path("runs/demo"), Path("results")))
