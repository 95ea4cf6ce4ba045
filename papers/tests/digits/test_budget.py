"""The standard budget has what the paper has."""

from onlooker_papers.digits.budget import STANDARD
from onlooker_papers.digits.data.augmented_mnist import VARIANTS


def test_the_standard_budget_computes_every_cell_that_the_paper_has() -> None:
    further = {"stn:literal", "dcn:literal", "dcn:tap"}
    assert set(STANDARD.pretraining) == {"lenet", "stn", "dcn", *further}
    assert not STANDARD.variants, "every encoder has all of the table's"
    assert {**STANDARD.rounds, **STANDARD.more_rounds} == {"lstm-keras": 300, "lstm": 300}
    assert STANDARD.frames == 50
    for encoder in ("lenet", "stn", "dcn"):
        recipe, epochs = next(iter(STANDARD.pretraining[encoder].items()))
        assert (recipe, epochs) == ("published", 5)
    for encoders in (("stn:2", "tracks:2"), ("lenet",), ("stn",), ("dcn",)):
        entries = [entry for entry in STANDARD.entries if entry.spec.encoder in encoders]
        assert {variant for entry in entries for variant in entry.variants} == {*VARIANTS}
