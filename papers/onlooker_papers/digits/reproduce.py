"""`onlooker reproduce digits`: every cell of every table, computed once, then one page."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from onlooker.data.digits import Sides, split_digits
from onlooker.data.folder import find_clips
from onlooker.data.moving_mnist import VARIANTS
from onlooker.files import read_json, write_json
from onlooker.runs.memo import cell
from onlooker_papers.digits.budget import FULL, OBJECTS, QUICK, STANDARD, Budget
from onlooker_papers.digits.contestants import SINGLE, TRACKS, ModelSpec
from onlooker_papers.digits.hands import carry_over
from onlooker_papers.digits.honest import CEILINGS, ceiling, compete, out_of_phase, validate
from onlooker_papers.digits.memory import memory_table
from onlooker_papers.digits.page import write_page
from onlooker_papers.digits.pretraining import pretrain
from onlooker_papers.digits.published import PIXELS, conv3d_cell, table_cell
from onlooker_papers.digits.recorded import Figures, merged, recorded, write_all

BUDGETS = {"quick": QUICK, "standard": STANDARD, "full": FULL}
PROTOCOLS = ("all", "paper", "honest")


def reproduce(
    run: Path,
    mnist: Path | None = None,
    clips: Path | None = None,
    budget: str = "standard",
    protocol: str = "all",
    results: Path | None = None,
    only: Sequence[str] = (),
) -> Path:
    """Compute what is missing of the tables of Shan & Atanasov 2017, and write `report.html`.

    Args:
        run: the folder of everything; a cell that is there is not computed again, one that was cut off goes on.
        mnist: folder of MNIST's idx files; None: the 5,000 digits that come with the library.
        clips: a folder of hand gestures, one class a sub-folder; None leaves that part out.
        budget: one of `BUDGETS`.
        protocol: one of `PROTOCOLS`.
        results: a folder for the JSON files of the figures; None: they are in `run/figures.json` alone.
        only: patterns of cells' names, such as `pretraining/dcn-*` or `honest/gesture/*`: these, and the models that
            they begin from, and no page. In `results` their rows take the place of the old ones.

    Returns:
        The report's path; with `only` that of `run/figures.json`.

    Raises:
        ValueError: an unknown budget, protocol or cell, a run made with another budget, or results of another command.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol is {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    chosen = BUDGETS[budget]
    names = [name for name in _names(chosen, clips is not None) if _belongs(name, protocol)]
    for pattern in only:
        if not any(fnmatch(name, pattern) for name in names):
            raise ValueError(f"no cell is called {pattern!r}; there are {', '.join(names)}")
    sides = split_digits(mnist)
    if clips is not None:
        if protocol == "paper":
            raise ValueError("clips of hands belong to the honest protocol; leave out --clips, or --protocol paper")
        find_clips(clips)  # a folder that does not fit is told now, and not after hours
    command = _command(budget, mnist, clips)
    if only:
        names = [name for name in names if any(fnmatch(name, pattern) for pattern in only)]
        recorded(results, command)  # results of another command are told now, and not after hours
    found = _Tables(run, chosen, sides, clips).compute(names)
    # What is there is read now: others may have computed other cells in the meantime.
    before = _earlier(run, budget, sides)
    if not only:
        whole = {name.split("/")[0] for name in names}
        before = {part: rows for part, rows in before.items() if part not in whole}
    figures = merged(before, found)
    path = run / "figures.json"
    write_json(path, {"budget": budget, "digits": sides.digest, "figures": figures})
    if results is not None:
        # Single rows go among those that other runs may have computed since.
        kept = merged(recorded(results, command), found) if only else figures
        write_all(results, kept, chosen, command, only, names)
    return path if only else write_page(run, figures, chosen, sides, run / "pretraining")


def _earlier(run: Path, budget: str, sides: Sides) -> Figures:
    """The figures of an earlier call with the same budget and digits, such as one for the other protocol."""
    path = run / "figures.json"
    if not path.exists():
        return {}
    stored = read_json(path)
    same = stored.get("budget") == budget and stored.get("digits") == sides.digest
    return dict(stored["figures"]) if same else {}


def _command(budget: str, mnist: Path | None, clips: Path | None) -> str:
    flags = {"--quick": budget == "quick", "--full": budget == "full", "--mnist MNIST": mnist, "--clips HANDS": clips}
    words = ["onlooker reproduce digits", *(flag for flag, given in flags.items() if given), "--results results"]
    return " ".join(words)


def _names(budget: Budget, hands: bool) -> Iterator[str]:
    """Of all cells, in the order in which they are computed."""
    for encoder, recipes in budget.passes.items():
        yield from (f"pretraining/{encoder}-{recipe}" for recipe in recipes)
    for encoder in budget.frozen:
        yield from (f"paper/{variant}-{encoder}" for variant in (budget.slow if encoder == "dcn" else VARIANTS))
    if budget.conv3d:
        yield from (f"paper/{variant}-{PIXELS}" for variant in VARIANTS)
    for variant in VARIANTS:
        yield from (f"honest/{variant}/{name}" for name, videos in budget.ceilings.items() if variant in videos)
        yield from (f"honest/{variant}/{e.who.name}" for e in budget.entries if variant in e.variants)
    yield from (f"glimpses/{name}" for name in OBJECTS)
    yield "memory"
    if hands:
        yield from (f"hands/{who.name}" for who in budget.hands)


def _belongs(name: str, protocol: str) -> bool:
    part = name.split("/")[0]
    return part == "pretraining" or protocol == "all" or (part == "paper") == (protocol == "paper")


class _Tables:
    """The cells of one run. Each is computed when it is asked for, after the models that it begins from."""

    def __init__(self, run: Path, budget: Budget, sides: Sides, clips: Path | None) -> None:
        self.run, self.budget, self.sides, self.clips = run, budget, sides, clips
        self.encoders = run / "pretraining"

    def compute(self, names: Sequence[str]) -> Figures:
        """The figures of cells by their names, as `merged` takes them."""
        figures: Figures = {}
        for name in names:
            part, _, rest = name.partition("/")
            figures = merged(figures, {part: getattr(self, f"_{part}")(rest)})
        return figures

    def _pretraining(self, name: str) -> dict[str, Any]:
        encoder, recipe = name.split("-", 1)
        return {encoder: {recipe: self._pretrained(encoder, recipe)}}

    def _pretrained(self, encoder: str, recipe: str) -> dict[str, Any]:
        return pretrain(self.encoders, encoder, recipe, self.budget.passes[encoder][recipe], self.sides)

    def _paper(self, name: str) -> dict[str, Any]:
        variant, encoder = name.rsplit("-", 1)
        budget = self.budget
        if encoder == PIXELS:
            found = conv3d_cell(self.run / "paper", variant, budget.conv3d, self.sides, budget.frames)
        else:
            recipe = budget.frozen[encoder]
            self._pretrained(encoder, recipe)
            rounds = {**budget.rounds, **(budget.baselines if encoder == "lenet" else {})}
            found = table_cell(
                self.run / "paper", self.encoders, variant, encoder, recipe, rounds, self.sides, budget.frames
            )
        return {variant: {encoder: found}}

    def _honest(self, name: str) -> dict[str, Any]:
        variant, model = name.split("/")
        row = self._ceiling if model in CEILINGS else self._competed
        return {variant: {model: row(variant, model)}}

    def _ceiling(self, variant: str, name: str) -> dict[str, Any]:
        videos = self.budget.ceilings[name][variant]
        before = self._before(variant, CEILINGS[name])
        found = ceiling(self.run / "honest", variant, name, videos, self.budget.tests, self.sides)
        return _in_all(found, before)

    def _competed(self, variant: str, model: str) -> dict[str, Any]:
        (entry,) = (e for e in self.budget.entries if e.who.name == model and variant in e.variants)
        before = self._before(variant, entry.who)
        tests = entry.tests or self.budget.tests
        found = self._trained("honest", variant, entry.who, entry.videos, tests)
        of = self.run / "honest", variant, entry.who, tests, self.sides
        found = {**found, "validation": validate(*of)}
        if entry.who.model == TRACKS:
            found["out_of_phase"] = out_of_phase(*of)
        return _in_all(found, before)

    def _before(self, variant: str, who: ModelSpec) -> dict[str, Any]:
        """What a model learned from before, which is part of its budget."""
        if who.after == SINGLE:
            return self._ceiling(variant, who.begins_from)
        return self._competed(who.after, who.begins_from) if who.after else {"videos": 0, "minutes": 0.0}

    def _trained(self, part: str, variant: str, who: ModelSpec, videos: int, tests: int) -> dict[str, Any]:
        if who.recipe:
            self._pretrained(who.encoder, who.recipe)
        return compete(self.run / part, self.encoders, variant, who, videos, tests, self.sides)

    def _glimpses(self, name: str) -> dict[str, Any]:
        """One window and several, trained on equally many videos."""
        return {name: self._trained("glimpses", "normal", OBJECTS[name], self.budget.objects, self.budget.tests)}

    def _memory(self, _: str) -> dict[str, Any]:
        kept = list(self.budget.memory)
        return cell(self.run / "memory.json", {"encoders": kept}, lambda: memory_table(kept))

    def _hands(self, name: str) -> dict[str, Any]:
        assert self.clips is not None, "without clips there are no such cells"
        (who,) = (who for who in self.budget.hands if who.name == name)
        if who.recipe:
            self._pretrained(who.encoder, who.recipe)
        return {name: carry_over(self.run / "hands", self.encoders, self.clips, who, self.budget.epochs)}


def _in_all(found: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    return {**found, **{figure: found[figure] + before[figure] for figure in ("videos", "minutes")}}
