"""The standard budget has what the paper has."""

from onlooker_papers.digits.budget import STANDARD
from onlooker_papers.digits.data.augmented_mnist import VARIANTS
from onlooker_papers.digits.published import TABLE


def test_the_standard_budget_computes_every_cell_that_the_paper_has() -> None:
    assert set(STANDARD.pretraining) == {"lenet", "stn", "dcn", "stn:literal", "dcn:literal"}
    assert STANDARD.slow == TABLE
    assert STANDARD.rounds["lstm-keras"] == 300
    assert {next(iter(STANDARD.pretraining[encoder])) for encoder in ("lenet", "stn", "dcn")} == {
        "published"
    }
    for encoders in (("stn:2", "tracks:2"), ("lenet",), ("stn",), ("dcn",)):
        entries = [entry for entry in STANDARD.entries if entry.spec.encoder in encoders]
        assert {variant for entry in entries for variant in entry.variants} == {*VARIANTS}
