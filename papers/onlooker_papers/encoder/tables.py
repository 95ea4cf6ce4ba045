"""The table of the encoder's model card, from the figures of its results file."""

from onlooker.evaluation.report import Table
from onlooker_papers.tables import Results, share, table


@table("encoder-card", "encoder")
def card(results: Results) -> Table:
    """Training data, training time, accuracy and size of the encoder."""
    of = results["encoder"]
    low, high = map(share, of["accuracy_interval"])
    rows = [
        ["validation images classified correctly", f"{share(of['accuracy'])} % (95 %: {low} to {high})"],
        ["validation images · training images", f"{of['validation_images']:,} · {of['train_images']:,}"],
        ["classes", str(of["classes"])],
        ["epochs · hours", f"{of['epochs']} · {of['hours']:.1f}"],
        ["weights · in half precision", f"{of['parameters']:,} · {of['megabytes']:.2f} MB"],
        [
            "multiply-adds, 64×64 · 112×112 pixels",
            " · ".join(f"{of[f'multiply_adds_{size}'] / 1e6:.0f} million" for size in (64, 112)),
        ],
    ]
    return Table(["", "`small`"], rows)
