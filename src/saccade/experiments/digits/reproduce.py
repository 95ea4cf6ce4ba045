"""`saccade reproduce digits`: every cell of every table, computed once, then one page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saccade.config import read_json, write_json
from saccade.data.digits import Sides, split_digits
from saccade.data.folder import find_clips
from saccade.data.moving_mnist import VARIANTS
from saccade.evaluation.results import write_results
from saccade.experiments.cells import cell
from saccade.experiments.digits.budget import FULL, OBJECTS, QUICK, STANDARD, Budget
from saccade.experiments.digits.contestants import CEILING, SINGLE
from saccade.experiments.digits.hands import carry_over
from saccade.experiments.digits.honest import best, ceiling, compete
from saccade.experiments.digits.memory import memory_table
from saccade.experiments.digits.page import write_page
from saccade.experiments.digits.pretraining import pretrain
from saccade.experiments.digits.published import PIXELS, PUBLISHED, READINGS, conv3d_cell, table_cell

BUDGETS = {"quick": QUICK, "standard": STANDARD, "full": FULL}
PROTOCOLS = ("all", "paper", "honest")


def reproduce(
    run: Path,
    mnist: Path | None = None,
    clips: Path | None = None,
    budget: str = "standard",
    protocol: str = "all",
    results: Path | None = None,
) -> Path:
    """Compute what is missing of the tables of Shan & Atanasov 2017, and write `report.html`.

    Args:
        run: the folder of everything; a cell that is there is not computed again, one that was cut off goes on.
        mnist: folder of MNIST's idx files; None: the 5,000 digits that come with the library.
        clips: a folder of hand gestures, one class a sub-folder; None leaves that part out.
        budget: one of `BUDGETS`.
        protocol: one of `PROTOCOLS`.
        results: a folder for the JSON files of the figures; None: they are in `run/figures.json` alone.

    Returns:
        The report's path.

    Raises:
        ValueError: an unknown budget or protocol, or a run made with another budget.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is {budget!r}, expected one of {', '.join(BUDGETS)}")
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol is {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    chosen, sides = BUDGETS[budget], split_digits(mnist)
    if clips is not None:
        if protocol == "paper":
            raise ValueError("clips of hands belong to the honest protocol; leave out --clips, or --protocol paper")
        find_clips(clips)  # a folder that does not fit is told now, and not after hours
    encoders = run / "pretraining"
    figures = _earlier(run, budget, sides) | {"pretraining": _pretraining(encoders, chosen, sides)}
    if protocol in ("all", "paper"):
        figures["paper"] = _table(run / "paper", encoders, chosen, sides)
    if protocol in ("all", "honest"):
        figures["honest"] = _honest(run / "honest", encoders, chosen, sides)
        figures["glimpses"] = _glimpses(run / "glimpses", encoders, chosen, sides)
        kept = list(chosen.memory)
        figures["memory"] = cell(run / "memory.json", {"encoders": kept}, lambda: memory_table(kept))
        if clips is not None and chosen.hands:
            hands = [(who, carry_over(run / "hands", encoders, clips, who, chosen.epochs)) for who in chosen.hands]
            figures["hands"] = {who.name: found for who, found in hands}
    write_json(run / "figures.json", {"budget": budget, "digits": sides.digest, "figures": figures})
    if results is not None:
        _write_results(results, figures, chosen, budget, mnist, clips)
    return write_page(run, figures, chosen, sides, encoders)


def _earlier(run: Path, budget: str, sides: Sides) -> dict[str, Any]:
    """The figures of an earlier call with the same budget and digits, such as one for the other protocol."""
    path = run / "figures.json"
    if not path.exists():
        return {}
    stored = read_json(path)
    same = stored.get("budget") == budget and stored.get("digits") == sides.digest
    return dict(stored["figures"]) if same else {}


def _pretraining(encoders: Path, budget: Budget, sides: Sides) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for encoder, recipes in budget.passes.items():
        for recipe, passes in recipes.items():
            trained = pretrain(encoders, encoder, recipe, passes, sides)
            found.setdefault(encoder, {})[recipe] = trained
    return found


def _table(run: Path, encoders: Path, budget: Budget, sides: Sides) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for encoder in budget.frozen:
        rounds = {**budget.rounds, **(budget.baselines if encoder == "lenet" else {})}
        for variant in budget.slow if encoder == "dcn" else VARIANTS:
            recipe = budget.frozen[encoder]
            found.setdefault(variant, {})[encoder] = table_cell(
                run, encoders, variant, encoder, recipe, rounds, sides, budget.frames
            )
    if budget.conv3d:
        for variant in VARIANTS:
            found[variant][PIXELS] = conv3d_cell(run, variant, budget.conv3d, sides, budget.frames)
    return found


def _honest(run: Path, encoders: Path, budget: Budget, sides: Sides) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for variant in VARIANTS:
        if variant in budget.ceilings:
            videos = budget.ceilings[variant]
            found.setdefault(variant, {})[CEILING] = ceiling(run, variant, videos, budget.tests, sides)
        for entry in budget.entries:
            if variant in entry.variants:
                name, after = entry.who.name, entry.who.after
                trained = dict(
                    compete(run, encoders, variant, entry.who, entry.videos, entry.tests or budget.tests, sides)
                )
                # What it learned from before is part of its budget.
                if after == SINGLE:
                    before = {**found[variant][CEILING], "videos": budget.ceilings[variant]}
                else:
                    before = found[after][name] if after else {"videos": 0, "minutes": 0}
                for figure in ("videos", "minutes"):
                    trained[figure] += before[figure]
                found.setdefault(variant, {})[name] = trained
    return found


def _glimpses(run: Path, encoders: Path, budget: Budget, sides: Sides) -> dict[str, Any]:
    """One window and several, trained on equally many videos."""
    return {
        name: compete(run, encoders, "normal", who, budget.objects, budget.tests, sides)
        for name, who in OBJECTS.items()
    }


def _write_results(
    folder: Path, figures: Mapping[str, Any], budget: Budget, name: str, mnist: Path | None, clips: Path | None
) -> None:
    flags = {"--quick": name == "quick", "--full": name == "full", "--mnist MNIST": mnist, "--clips HANDS": clips}
    command = " ".join(
        ["saccade reproduce digits", *(flag for flag, given in flags.items() if given), "--results results"]
    )

    def put(file: str, what: str, values: dict[str, Any]) -> None:
        write_results(folder / f"{file}.json", what, command, values, seeds=[0])

    put("pretraining", "encoders on Scaled MNIST: loss and accuracy on unseen digits", dict(figures["pretraining"]))
    if paper := figures.get("paper"):
        put(
            "digits-paper",
            "Table I of Shan & Atanasov 2017: mean and spread over rounds, for four readings of the test videos",
            {
                "rounds": dict(budget.rounds),
                "baselines": {**budget.baselines, "conv3d": budget.conv3d},
                "frames": budget.frames,
                "frozen": {
                    e: {"recipe": recipe, "passes": budget.passes[e][recipe]} for e, recipe in budget.frozen.items()
                },
                "readings": READINGS,
                "published": PUBLISHED,
                "cells": paper,
            },
        )
    if honest := figures.get("honest"):
        chosen = {variant: best(models) for variant, models in honest.items() if set(models) != {"ceiling"}}
        put(
            "digits-honest",
            "pairs of unseen digits on unseen paths, 55 classes: accuracy of the model that validation chose",
            {
                **{variant: honest[variant][model]["accuracy"] for variant, model in chosen.items()},
                "chosen": chosen,
                "ceilings": {v: models["ceiling"] for v, models in honest.items() if "ceiling" in models},
                "models": honest,
                "memory_gib": figures["memory"],
                "hands": figures.get("hands", {}),
            },
        )
        both = figures["glimpses"]
        put(
            "glimpses",
            "two moving digits, one window against several, equally many training videos",
            {name: found["accuracy"] for name, found in both.items()} | {"runs": both},
        )
