"""`onlooker reproduce digits`: every row of every table, computed once, then one page."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from onlooker.base.files import write_json
from onlooker_papers.digits.budget import OBJECTS, QUICK, SMOKE, STANDARD, DigitsBudget
from onlooker_papers.digits.data.augmented_mnist import VARIANTS
from onlooker_papers.digits.held_out import CEILINGS, Ceiling, Trial
from onlooker_papers.digits.layers import DRAWN, layers_of
from onlooker_papers.digits.models import SINGLE, DigitModel
from onlooker_papers.digits.page import write_page
from onlooker_papers.digits.pretraining import pretrain
from onlooker_papers.digits.published import PUBLISHED, READINGS, SLIDES, TABLE, table_cell
from onlooker_papers.mnist import DigitSplit, split_mnist
from onlooker_papers.results import (
    About,
    Key,
    Row,
    check_command,
    command_line,
    figures_of,
    write_rows,
)

BUDGETS = {"smoke": SMOKE, "quick": QUICK, "standard": STANDARD}
PROTOCOLS = ("all", "paper", "held-out")
# The results file of each kind of row, and the path of the rows in it; then the description of each
# file.
FILES: dict[str, tuple[str, Key]] = {
    "layers": ("digits-layers", ()),
    "pretraining": ("pretraining", ()),
    "paper": ("digits-paper", ("cells",)),
    "held-out": ("digits-honest", ("models",)),
    "glimpses": ("glimpses", ("runs",)),
}
WHAT = {
    "digits-layers": "layers of the encoders: shape of the output, and trainable parameters",
    "pretraining": "encoders on Scaled MNIST: loss and accuracy on unseen digits",
    "digits-paper": "Table I of Shan & Atanasov 2017: mean and spread over rounds, distance from the published figures",
    "digits-honest": "pairs of unseen digits on unseen paths, 55 classes: accuracy of the model that validation chose",
    "glimpses": "two moving digits, one window against several, equally many training videos",
}


def reproduce(
    run: Path,
    *,
    mnist: Path | None = None,
    budget: str = "standard",
    protocol: str = "all",
    results: Path | None = None,
    only: Sequence[str] = (),
) -> Path:
    """Compute the missing rows of the tables of Shan & Atanasov 2017, and write `report.html`.

    The arguments are the options of the command. With `only`, patterns of rows, the models from
    which these rows start are computed, too; in `results`, they replace the old rows, and other
    rows stay.

    Returns:
        The report's path; with `only` that of `run/figures.json`.

    Raises:
        ValueError: an unknown budget, protocol or row, a run made with another budget, or results
            of another command.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol is {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    chosen = BUDGETS[budget]
    names = [name for name in _names(chosen) if _belongs(name, protocol)]
    for pattern in only:
        if not any(fnmatch(name, pattern) for name in names):
            raise ValueError(f"unknown row {pattern!r}; there are {', '.join(names)}")
    splits = split_mnist(mnist, chosen.digits)
    flags = {
        f"--{budget}": budget != "standard",
        "--mnist": mnist and "MNIST",
        "--results": "results",
    }
    command = command_line("digits", flags)
    if only:
        names = [name for name in names if any(fnmatch(name, pattern) for pattern in only)]
    for file in {FILES[name.split("/")[0]][0] for name in names}:
        check_command(results, file, command)
    rows = _Tables(run, chosen, splits).compute(names)
    shared = {
        "digits-paper": {
            "frames": chosen.frames,
            "readings": READINGS,
            "published": PUBLISHED,
            "slides": SLIDES,
        }
    }
    figures: dict[str, Any] = {}
    for file, of_file in _by_file(rows).items():
        of_rows = {key: row.figures for key, row in of_file.items()}
        figures[file] = figures_of(file, of_rows, shared.get(file, {}))
        if results is not None:
            about = About(WHAT[file], command, [0], shared=shared.get(file))
            write_rows(
                results,
                file,
                about=about,
                rows=of_file,
                only=" ".join(f"--only '{pattern}'" for pattern in only),
            )
    path = run / "figures.json"
    write_json(path, {"budget": budget, "figures": figures})
    return (
        path
        if only
        else write_page(run, figures, budget=chosen, splits=splits, encoders=run / "pretraining")
    )


def _by_file(rows: Mapping[Key, Row]) -> dict[str, dict[Key, Row]]:
    """Rows by the names of their results files, with their places there."""
    files: dict[str, dict[Key, Row]] = {}
    for (kind, *rest), row in rows.items():
        file, place = FILES[kind]
        files.setdefault(file, {})[*place, *rest] = row
    return files


def _names(budget: DigitsBudget) -> Iterator[str]:
    """The names of all rows, in the order in which they are computed."""
    yield from (f"layers/{encoder}" for encoder in DRAWN)
    for encoder, recipes in budget.pretraining.items():
        yield from (f"pretraining/{encoder}/{recipe}" for recipe in recipes)
    for encoder in budget.pretraining:
        yield from (f"paper/{variant}/{encoder}" for variant in budget.variants.get(encoder, TABLE))
    for variant in VARIANTS:
        yield from (
            f"held-out/{variant}/{name}"
            for name, videos in budget.ceilings.items()
            if variant in videos
        )
        yield from (
            f"held-out/{variant}/{e.spec.name}" for e in budget.entries if variant in e.variants
        )
    yield from (f"glimpses/{name}" for name in OBJECTS)


def _belongs(name: str, protocol: str) -> bool:
    part = name.split("/")[0]
    return (
        part in ("layers", "pretraining")
        or protocol == "all"
        or (part == "paper") == (protocol == "paper")
    )


class _Tables:
    """The rows of one run. Each is computed on request, after the models from which it starts."""

    def __init__(self, run: Path, budget: DigitsBudget, splits: DigitSplit) -> None:
        self.run = run
        self.budget = budget
        self.splits = splits
        self.encoders = run / "pretraining"

    def compute(self, names: Sequence[str]) -> dict[Key, Row]:
        """The rows with these names, by the parts of the names."""
        kinds: dict[str, Callable[..., Row]] = {
            "layers": self._layers,
            "pretraining": self._pretraining,
            "paper": self._paper,
            "held-out": self._held_out,
            "glimpses": self._glimpses,
        }
        keys = [tuple(name.split("/")) for name in names]
        return {key: kinds[key[0]](*key[1:]) for key in keys}

    def _layers(self, encoder: str) -> Row:
        return Row(layers_of(encoder), {})

    def _pretraining(self, encoder: str, recipe: str) -> Row:
        return Row.of(self._pretrained(encoder, recipe), self.encoders / f"{encoder}-{recipe}.json")

    def _pretrained(self, encoder: str, recipe: str) -> dict[str, Any]:
        return pretrain(
            self.encoders,
            encoder,
            recipe,
            passes=self.budget.pretraining[encoder][recipe],
            splits=self.splits,
        )

    def _paper(self, variant: str, encoder: str) -> Row:
        budget = self.budget
        whole = encoder == "lenet" and variant in self.budget.whole
        rounds = {**budget.rounds, **(budget.more_rounds if whole else {})}
        readings = tuple(READINGS) if whole else budget.readings
        recipe = next(iter(budget.pretraining[encoder]))
        trained = self._pretrained(encoder, recipe)
        folder = self.run / "paper"
        figures = table_cell(
            folder,
            self.encoders,
            variant=variant,
            encoder=encoder,
            recipe=recipe,
            rounds=rounds,
            splits=self.splits,
            frames=budget.frames,
            readings=readings,
        )
        of_encoder = {
            "recipe": recipe,
            "passes": trained["passes"],
            "accuracy": trained["accuracy"],
        }
        figures = {**figures, "encoder": of_encoder, "rounds": rounds}
        return Row.of(figures, folder / f"{variant}-{encoder}.json")

    def _held_out(self, variant: str, model: str) -> Row:
        trial = self._ceiling(variant, model) if model in CEILINGS else self._entry(variant, model)
        return Row.of(self._with_start(trial), trial.folder.with_suffix(".json"))

    def _ceiling(self, variant: str, name: str) -> Trial:
        run = self.run / "held-out"
        videos = self.budget.ceilings[name][variant]
        return Ceiling(
            run,
            run,
            variant,
            spec=CEILINGS[name],
            videos=videos,
            tests=self.budget.tests,
            splits=self.splits,
            label=name,
            validation=self.budget.validation,
        )

    def _entry(self, variant: str, model: str) -> Trial:
        (entry,) = (
            e for e in self.budget.entries if e.spec.name == model and variant in e.variants
        )
        return self._trial(
            "held-out",
            variant,
            entry.spec,
            videos=entry.videos,
            tests=entry.tests or self.budget.tests,
        )

    def _trial(
        self, part: str, variant: str, spec: DigitModel, *, videos: int, tests: int
    ) -> Trial:
        if spec.recipe:
            self._pretrained(spec.encoder, spec.recipe)
        return Trial(
            self.run / part,
            self.encoders,
            variant,
            spec=spec,
            videos=videos,
            tests=tests,
            splits=self.splits,
            validation=self.budget.validation,
        )

    def _with_start(self, trial: Trial) -> dict[str, Any]:
        """The figures of a trial; its videos and minutes include those of the model that it starts
        from.
        """
        spec = trial.spec
        before = {"videos": 0, "minutes": 0.0}
        if spec.after == SINGLE:
            before = self._with_start(self._ceiling(trial.variant, spec.begins_from))
        elif spec.after:
            before = self._with_start(self._entry(spec.after, spec.begins_from))
        figures = trial.train()
        if not isinstance(trial, Ceiling):
            figures = {**figures, "validation": trial.validate()}
        return {**figures, **{name: figures[name] + before[name] for name in ("videos", "minutes")}}

    def _glimpses(self, name: str) -> Row:
        """One window and several, trained on equally many videos."""
        trial = self._trial(
            "glimpses", "normal", OBJECTS[name], videos=self.budget.objects, tests=self.budget.tests
        )
        return Row.of(trial.train(), trial.folder.with_suffix(".json"))
