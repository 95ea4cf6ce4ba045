"""The budgets hold what the paper has."""

from onlooker_papers.digits.budget import FULL, STANDARD
from onlooker_papers.digits.data.augmented_mnist import VARIANTS
from onlooker_papers.digits.published import READINGS, TABLE


def test_budgets_compute_every_cell_that_the_paper_has() -> None:
    for budget in (STANDARD, FULL):
        assert tuple(budget.slow) == TABLE
        assert budget.rounds["lstm-keras"] == 300
        assert set(budget.frozen.values()) == {"published"}
        assert {variant for entry in budget.entries if entry.spec.encoder == "stn:2" for variant in entry.variants} == {
            *VARIANTS
        }
    assert FULL.readings == tuple(READINGS)
    assert all(recipes["published"] == 5 for recipes in FULL.pretraining.values())
    for encoder in ("lenet", "stn", "dcn"):
        for stages in (1, 2):
            trained = [e.variants for e in FULL.entries if (e.spec.encoder, e.spec.stages) == (encoder, stages)]
            assert trained == [VARIANTS]
