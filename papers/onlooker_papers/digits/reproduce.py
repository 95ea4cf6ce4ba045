"""`onlooker reproduce digits`: every row of every table, computed once, then one page."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from onlooker.data.digits import DigitSplit
from onlooker.data.folder import find_clips
from onlooker.experiments.memo import memo
from onlooker.files import read_json, write_json
from onlooker_papers.digits.augmented_mnist import VARIANTS
from onlooker_papers.digits.budget import FULL, OBJECTS, QUICK, STANDARD, Budget
from onlooker_papers.digits.deformation import ROWS, deformation_cell, folder_of, trainings
from onlooker_papers.digits.hands import carry_over
from onlooker_papers.digits.held_out import CEILINGS, Ceiling, Trial
from onlooker_papers.digits.literal import LITERAL, literal_cell
from onlooker_papers.digits.memory import memory_table
from onlooker_papers.digits.models import SINGLE, TRACKS, DigitModel
from onlooker_papers.digits.overfitting import overfitting_cell
from onlooker_papers.digits.page import write_page
from onlooker_papers.digits.pretraining import pretrain
from onlooker_papers.digits.published import (
    APART,
    CODE,
    PIXELS,
    PUBLISHED,
    READINGS,
    SLIDES,
    TABLE,
    TEXT,
    conv3d_cell,
    table_cell,
)
from onlooker_papers.mnist import digest, split_mnist
from onlooker_papers.results import About, Key, Row, check_command, command_line, figures_of, means, write_rows

BUDGETS = {"quick": QUICK, "standard": STANDARD, "full": FULL}
PROTOCOLS = ("all", "paper", "held-out")
# The results file of each kind of row, and the path of the rows in it; then the description of each file.
FILES: dict[str, tuple[str, Key]] = {
    "pretraining": ("pretraining", ()),
    "paper": ("digits-paper", ("cells",)),
    "better": ("digits-paper", ("better",)),
    "held-out": ("digits-honest", ("models",)),
    "memory": ("digits-honest", ("memory_gb",)),
    "overfitting": ("digits-honest", ("overfitting",)),
    "hands": ("digits-honest", ("hands",)),
    "glimpses": ("glimpses", ("runs",)),
    "field": ("digits-field", ()),
}
WHAT = {
    "pretraining": "encoders on Scaled MNIST: loss and accuracy on unseen digits",
    "digits-paper": "Table I of Shan & Atanasov 2017: mean and spread over rounds, distance from the published figures",
    "digits-honest": "pairs of unseen digits on unseen paths, 55 classes: accuracy of the model that validation chose",
    "glimpses": "two moving digits, one window against several, equally many training videos",
    "digits-field": "single digits under elastic deformations, which an affine transform or a field is to undo",
}


def reproduce(
    run: Path,
    mnist: Path | None = None,
    clips: Path | None = None,
    budget: str = "standard",
    protocol: str = "all",
    results: Path | None = None,
    only: Sequence[str] = (),
) -> Path:
    """Compute the missing rows of the tables of Shan & Atanasov 2017, and write `report.html`.

    Args:
        run: the folder for everything; existing rows are not computed again, an interrupted one is resumed.
        mnist: folder of MNIST's idx files; None: the 5,000 digits that come with the library.
        clips: a folder of hand gestures with one sub-folder per class; None leaves this part out.
        budget: one of `BUDGETS`.
        protocol: one of `PROTOCOLS`.
        results: a folder for the results files; None: the figures are in `run/figures.json` alone.
        only: patterns of rows, such as `pretraining/dcn-*` or `held-out/gesture/*`: compute only these rows and the
            models from which they start, and no page. In `results`, they replace the old rows; other rows stay.

    Returns:
        The report's path; with `only` that of `run/figures.json`.

    Raises:
        ValueError: an unknown budget, protocol or row, a run made with another budget, or results of another command.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol is {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    chosen = BUDGETS[budget]
    names = [name for name in _names(chosen, clips is not None) if _belongs(name, protocol)]
    for pattern in only:
        if not any(fnmatch(name, pattern) for name in names):
            raise ValueError(f"unknown row {pattern!r}; there are {', '.join(names)}")
    splits = split_mnist(mnist)
    if clips is not None:
        if protocol == "paper":
            raise ValueError("clips of hands belong to the held-out protocol; leave out --clips, or --protocol paper")
        find_clips(clips)  # a wrong folder is an error now, not after hours
    command = _command(budget, mnist, clips)
    if only:
        names = [name for name in names if any(fnmatch(name, pattern) for pattern in only)]
    for file in {FILES[name.split("/")[0]][0] for name in names}:
        check_command(results, file, command)
    rows = _Tables(run, chosen, splits, clips).compute(names)
    files, shared = _by_file(rows), {"digits-paper": _of_paper(chosen)}
    figures = _earlier(run, budget, splits)
    for file, of_file in files.items():
        known = {**figures.get(file, {}), **shared.get(file, {})}
        figures[file] = figures_of(file, {key: row.figures for key, row in of_file.items()}, known)
        if results is not None:
            seeds = range(chosen.warp_seeds if file == FILES["field"][0] else 1)
            about = About(WHAT[file], command, list(seeds), shared.get(file))
            write_rows(results, file, about, of_file, " ".join(f"--only '{pattern}'" for pattern in only))
    path = run / "figures.json"
    write_json(path, {"budget": budget, "digits": digest(splits), "figures": figures})
    return path if only else write_page(run, figures, chosen, splits, run / "pretraining")


def _by_file(rows: Mapping[Key, Row]) -> dict[str, dict[Key, Row]]:
    """Rows by the names of their results files, with their places there."""
    files: dict[str, dict[Key, Row]] = {}
    for (kind, *rest), row in rows.items():
        file, place = FILES[kind]
        files.setdefault(file, {})[*place, *rest] = row
    return files


def _of_paper(budget: Budget) -> dict[str, Any]:
    """The figures that all rows of Table I share."""
    return {"frames": budget.frames, "readings": READINGS, "published": PUBLISHED, "slides": SLIDES}


def _earlier(run: Path, budget: str, splits: DigitSplit) -> dict[str, Any]:
    """The figures of an earlier call with the same budget and digits, such as one for the other protocol."""
    path = run / "figures.json"
    if not path.exists():
        return {}
    stored = read_json(path)
    same = stored.get("budget") == budget and stored.get("digits") == digest(splits)
    return dict(stored["figures"]) if same else {}


def _command(budget: str, mnist: Path | None, clips: Path | None) -> str:
    folders = {"--mnist": mnist and "MNIST", "--clips": clips and "HANDS"}
    return command_line("digits", {f"--{budget}": budget in ("quick", "full"), **folders, "--results": "results"})


def _names(budget: Budget, hands: bool) -> Iterator[str]:
    """The names of all rows, in the order in which they are computed."""
    for encoder, recipes in budget.pretraining.items():
        yield from (f"pretraining/{encoder}/{recipe}" for recipe in recipes)
    for part, encoders in (("paper", budget.frozen), ("better", budget.better)):
        for encoder in encoders:
            yield from (f"{part}/{variant}/{encoder}" for variant in (budget.slow if encoder == "dcn" else TABLE))
    yield from (f"paper/{APART}/{encoder}" for encoder in budget.apart)
    if budget.conv3d:
        yield from (f"paper/{variant}/{PIXELS}" for variant in VARIANTS)
    for variant in VARIANTS:
        yield from (f"held-out/{variant}/{name}" for name, videos in budget.ceilings.items() if variant in videos)
        yield from (f"held-out/{variant}/{e.spec.name}" for e in budget.entries if variant in e.variants)
        yield from (f"held-out/{variant}/{encoder}-{LITERAL}" for encoder in budget.literal)
    yield from (f"glimpses/{name}" for name in OBJECTS)
    yield from (f"overfitting/{spec.name}" for spec in budget.few)
    yield from (f"field/{deformation}/{name}" for deformation, models in ROWS.items() for name in models)
    yield "memory"
    if hands:
        yield from (f"hands/{spec.name}" for spec in budget.hands)


def _belongs(name: str, protocol: str) -> bool:
    part = name.split("/")[0]
    return part == "pretraining" or protocol == "all" or (part in ("paper", "better")) == (protocol == "paper")


class _Tables:
    """The rows of one run. Each is computed on request, after the models from which it starts."""

    def __init__(self, run: Path, budget: Budget, splits: DigitSplit, clips: Path | None) -> None:
        self.run, self.budget, self.splits, self.clips = run, budget, splits, clips
        self.encoders = run / "pretraining"

    def compute(self, names: Sequence[str]) -> dict[Key, Row]:
        """The rows with these names, by the parts of the names."""
        kinds: dict[str, Callable[..., Row]] = {
            "pretraining": self._pretraining, "paper": self._paper, "better": self._better, "held-out": self._held_out,
            "glimpses": self._glimpses, "overfitting": self._overfitting, "memory": self._memory, "hands": self._hands,
            "field": self._field,
        }  # fmt: skip
        keys = [tuple(name.split("/")) for name in names]
        return {key: kinds[key[0]](*key[1:]) for key in keys}

    def _pretraining(self, encoder: str, recipe: str) -> Row:
        return Row.of(self._pretrained(encoder, recipe), self.encoders / f"{encoder}-{recipe}.json")

    def _pretrained(self, encoder: str, recipe: str) -> dict[str, Any]:
        return pretrain(self.encoders, encoder, recipe, self.budget.pretraining[encoder][recipe], self.splits)

    def _paper(self, variant: str, encoder: str) -> Row:
        budget, folder = self.budget, self.run / "paper"
        if encoder == PIXELS:
            figures = conv3d_cell(folder, variant, budget.conv3d, self.splits, budget.frames)
            rounds = {"conv3d": budget.conv3d}
            return Row.of({**figures, "rounds": rounds}, folder / f"{variant}-conv3d.json")
        whole = encoder == "lenet" and variant in budget.whole
        rounds = {**budget.rounds, **(budget.baselines if whole else {})}
        readings = tuple(READINGS) if whole else budget.readings
        return self._cell("paper", variant, encoder, budget.frozen[encoder], rounds, readings)

    def _better(self, variant: str, encoder: str) -> Row:
        # Both LSTMs and all readings: here, the encoder is the only difference from the other table.
        rounds = {**self.budget.rounds, TEXT: self.budget.rounds[CODE]}
        return self._cell("better", variant, encoder, self.budget.better[encoder], rounds, tuple(READINGS))

    def _cell(
        self, part: str, variant: str, encoder: str, recipe: str, rounds: Mapping[str, int], readings: Sequence[str]
    ) -> Row:
        trained = self._pretrained(encoder, recipe)
        folder, frames = self.run / part, self.budget.frames
        figures = table_cell(folder, self.encoders, variant, encoder, recipe, rounds, self.splits, frames, readings)
        of_encoder = {"recipe": recipe, "passes": trained["passes"], "accuracy": trained["accuracy"]}
        figures = {**figures, "encoder": of_encoder, "rounds": dict(rounds)}
        return Row.of(figures, folder / f"{variant}-{encoder}.json")

    def _held_out(self, variant: str, model: str) -> Row:
        if model.endswith(LITERAL):
            return self._literal(variant, model.removesuffix(f"-{LITERAL}"))
        trial = self._ceiling(variant, model) if model in CEILINGS else self._entry(variant, model)
        return Row.of(self._with_start(trial), trial.folder.with_suffix(".json"))

    def _literal(self, variant: str, encoder: str) -> Row:
        budget, recipe = self.budget, self.budget.frozen[encoder]
        self._pretrained(encoder, recipe)
        of_run = self.run / "held-out", self.encoders, variant, encoder, recipe
        figures = literal_cell(*of_run, budget.literal[encoder], budget.tests, self.splits)
        return Row.of(figures, self.run / "held-out" / variant / f"{encoder}-{LITERAL}.json")

    def _ceiling(self, variant: str, name: str) -> Trial:
        run, videos = self.run / "held-out", self.budget.ceilings[name][variant]
        return Ceiling(run, run, variant, CEILINGS[name], videos, self.budget.tests, self.splits, label=name)

    def _entry(self, variant: str, model: str) -> Trial:
        (entry,) = (e for e in self.budget.entries if e.spec.name == model and variant in e.variants)
        return self._trial("held-out", variant, entry.spec, entry.videos, entry.tests or self.budget.tests)

    def _trial(self, part: str, variant: str, spec: DigitModel, videos: int, tests: int) -> Trial:
        if spec.recipe:
            self._pretrained(spec.encoder, spec.recipe)
        return Trial(self.run / part, self.encoders, variant, spec, videos, tests, self.splits)

    def _with_start(self, trial: Trial) -> dict[str, Any]:
        """The figures of a trial; its videos and minutes include those of the model that it starts from."""
        spec, before = trial.spec, {"videos": 0, "minutes": 0.0}
        if spec.after == SINGLE:
            before = self._with_start(self._ceiling(trial.variant, spec.begins_from))
        elif spec.after:
            before = self._with_start(self._entry(spec.after, spec.begins_from))
        figures = trial.train()
        if not isinstance(trial, Ceiling):
            figures = {**figures, "validation": trial.validate()}
            if spec.model == TRACKS:
                figures["out_of_phase"] = trial.out_of_phase()
        return {**figures, **{name: figures[name] + before[name] for name in ("videos", "minutes")}}

    def _glimpses(self, name: str) -> Row:
        """One window and several, trained on equally many videos."""
        spec = OBJECTS[name]
        trial = self._trial("glimpses", "normal", spec, self.budget.objects, self.budget.tests)
        return Row.of(trial.train(), trial.folder.with_suffix(".json"))

    def _overfitting(self, name: str) -> Row:
        (spec,) = (spec for spec in self.budget.few if spec.name == name)
        assert spec.recipe is not None
        self._pretrained(spec.encoder, spec.recipe)
        folder = self.run / "overfitting"
        figures = overfitting_cell(folder, self.encoders, spec, self.budget.repeated, self.splits)
        return Row.of(figures, folder / f"{name}.json")

    def _field(self, deformation: str, name: str) -> Row:
        budget, folder = self.budget, self.run / "field"
        seeds = range(trainings(deformation, name, budget.warp_seeds))
        how = budget.warps, budget.tests
        figures = [deformation_cell(folder, deformation, name, *how, seed, self.splits) for seed in seeds]
        paths = [folder_of(folder, deformation, name, seed).with_suffix(".json") for seed in seeds]
        return Row.of({**means(figures), "per_seed": [each["accuracy"] for each in figures]}, *paths)

    def _memory(self) -> Row:
        encoders, path = list(self.budget.memory), self.run / "memory.json"
        return Row.of(memo(path, {"encoders": encoders}, lambda: memory_table(encoders)), path)

    def _hands(self, name: str) -> Row:
        assert self.clips is not None, "without clips there are no such rows"
        (spec,) = (spec for spec in self.budget.hands if spec.name == name)
        if spec.recipe:
            self._pretrained(spec.encoder, spec.recipe)
        budget, folder = self.budget, self.run / "hands"
        seeds = [
            carry_over(folder, self.encoders, self.clips, spec, budget.epochs, budget.hand_frames, seed)
            for seed in range(budget.hand_seeds)
        ]
        paths = [folder / (f"{name}-{seed}.json" if seed else f"{name}.json") for seed in range(len(seeds))]
        if len(seeds) == 1:
            return Row.of(seeds[0], *paths)
        return Row.of({**means(seeds), "per_seed": [figures["accuracy"] for figures in seeds]}, *paths)
