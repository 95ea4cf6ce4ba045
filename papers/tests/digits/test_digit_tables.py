"""Captions of the tables state what the rows say."""

from typing import Any

from onlooker_papers.digits import tables
from onlooker_papers.digits.published import PUBLISHED, with_distances


def _cell(kind: str, loss: float, accuracy: float, rounds: int) -> dict[str, Any]:
    found = {"loss": loss, "accuracy": accuracy, "loss_spread": 0.1, "accuracy_spread": 0.01}
    return {kind: {"same-videos": found}, "rounds": {kind: rounds}}


def test_the_caption_of_table_one_counts_near_cells() -> None:
    loss, accuracy = PUBLISHED["normal"]["lenet"]
    near = _cell("lstm-keras", loss + 0.05, accuracy, 300)
    far = _cell("lstm-keras", *PUBLISHED["normal"]["dcn"], 200)
    far["lstm-keras"]["same-videos"]["accuracy"] -= 0.02
    cells = with_distances({"normal": {"lenet": near, "dcn": far}, "gesture-61": {"dcn": far}})
    note = tables.paper({"digits-paper": {"cells": cells, "published": PUBLISHED}}).note
    assert "Of the 2 published cells, 2 are within .1 of the paper's loss, 1 within 1 point" in note
    assert "1 within both" in note
