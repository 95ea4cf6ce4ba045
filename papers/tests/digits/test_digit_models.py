"""Which model specifications are valid, and which model each starts from."""

from typing import Any

import torch

from onlooker.models.registry import create_model
from onlooker_papers.digits import models
from onlooker_papers.digits.models import DigitModel


def test_where_the_last_frame_is_the_aggregation_it_alone_is_learned() -> None:
    assert DigitModel("stn:2", model="tracks", aggregation="last").loss == "last"
    assert {
        DigitModel("stn:2", aggregation=aggregation).loss for aggregation in ("mean", "product")
    } == {"every"}


def test_who_follows_two_things_begins_with_what_reads_one() -> None:
    settings: dict[str, Any] = {"head": "each-glimpse", "in_channels": 1, "size": 64, "hidden": 8}
    one = create_model("tracks", 10, things=1, **settings).eval()
    two = create_model("tracks", 55, things=2, **settings).eval()
    torch.nn.init.normal_(one.get_parameter("pool.weight.weight"))
    models.begin_from(two, one)
    same = torch.rand(3, 8)
    # two things that look alike are trusted as one of them is
    features = torch.cat((same, same), 1)
    torch.testing.assert_close(
        two.get_submodule("pool.weight")(features), one.get_submodule("pool.weight")(same)
    )
    both = two.get_submodule("pool.judge")(features).softmax(1)
    alone = one.get_submodule("pool.judge")(same).softmax(1)
    torch.testing.assert_close(both[:, 0], alone[:, 0] ** 2)


def test_what_has_its_own_windows_is_named_once() -> None:
    spec = DigitModel("tracks:3", model="tracks")
    assert (spec.name, spec.looks) == ("tracks-3-end-to-end", {"things": 3, "head": "each-glimpse"})
    assert DigitModel("stn:2", model="convnet").looks == {"encoder": "stn:2"}
