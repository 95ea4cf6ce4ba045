"""The table of the encoder's model card, from the figures of its results file."""

from collections.abc import Mapping
from typing import Any

from onlooker.report.page import Table
from onlooker_papers.tables import Results, share, table


@table("encoder-card", "encoder", "encoder-free")
def card(results: Results) -> Table:
    """Training data, training time, accuracy and size of the encoders."""
    both = [results["encoder"], results["encoder-free"]]
    rows = [
        ["images", "Tiny ImageNet", "Caltech-101"],
        [
            "training images · validation images",
            *(_counts(of, "train_images", "validation_images") for of in both),
        ],
        ["classes", *(str(of["classes"]) for of in both)],
        ["validation images classified correctly", *map(_accuracy, both)],
        ["epochs · hours", *(f"{of['epochs']} · {of['hours']:.1f}" for of in both)],
        [
            "weights · in half precision",
            *(f"{of['parameters']:,} · {of['megabytes']:.2f} MB" for of in both),
        ],
        ["multiply-adds, 64×64 · 112×112 pixels", *map(_multiply_adds, both)],
    ]
    return Table(["", "`small`", "`small-free`"], rows)


def _counts(of: Mapping[str, Any], *names: str) -> str:
    return " · ".join(f"{of[name]:,}" for name in names)


def _accuracy(of: Mapping[str, Any]) -> str:
    low, high = map(share, of["accuracy_interval"])
    return f"{share(of['accuracy'])} % (95 %: {low} to {high})"


def _multiply_adds(of: Mapping[str, Any]) -> str:
    return " · ".join(f"{of[f'multiply_adds_{size}'] / 1e6:.0f} million" for size in (64, 112))
