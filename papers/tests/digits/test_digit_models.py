"""Which model specifications are valid, and which model each starts from."""

from typing import Any

import pytest
import torch

from onlooker.models.classifier import clip_scores
from onlooker.models.registry import create_model
from onlooker_papers.digits import models
from onlooker_papers.digits.models import DigitModel


def test_where_the_last_frame_is_the_aggregation_it_alone_is_learned() -> None:
    assert DigitModel("stn:2", model="opinions", aggregation="last").loss == "last"
    assert {DigitModel("stn:2", aggregation=aggregation).loss for aggregation in ("mean", "product")} == {"every"}


def test_a_pool_of_opinions_begins_with_the_frames_of_the_model_before() -> None:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"encoder": "stn:1", "head": "each-glimpse", "in_channels": 1, "size": 64}
    single, pool = (create_model(name, 10, **settings).eval() for name in ("frames", "opinions"))
    models.begin_from(pool, single)
    video = torch.rand(1, 3, 1, 64, 64)
    with torch.no_grad():
        product = clip_scores(single(video).logits.softmax(2) ** 0.3, "product")
        torch.testing.assert_close(pool(video).logits[:, -1].softmax(1), product)
    pairs = create_model("opinions", 55, **{**settings, "encoder": "stn:2"})
    models.begin_from(pairs, single)  # the same weights read one thing and several
    learned = {name.removeprefix("head."): weight for name, weight in single.named_parameters()}
    taken = {name.removeprefix("cell.judge."): weight for name, weight in pairs.named_parameters()}
    assert set(taken) - set(learned) == {"cell.weight.weight", "cell.weight.bias"}
    assert all(torch.equal(taken[name], weight) for name, weight in learned.items())
    with pytest.raises(RuntimeError, match="Missing key"):
        models.begin_from(create_model("opinions", 5, encoder="conv4", in_channels=1, size=64), pool)


def test_who_follows_two_things_begins_with_what_reads_one() -> None:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"head": "each-glimpse", "in_channels": 1, "size": 64, "hidden": 8}
    one = create_model("tracks", 10, things=1, **settings).eval()
    two = create_model("tracks", 55, things=2, **settings).eval()
    torch.nn.init.normal_(one.get_parameter("pool.weight.weight"))
    models.begin_from(two, one)
    same = torch.rand(3, 8)
    features = torch.cat((same, same), 1)  # two things that look alike are trusted as one of them is
    torch.testing.assert_close(two.get_submodule("pool.weight")(features), one.get_submodule("pool.weight")(same))
    both = two.get_submodule("pool.judge")(features).softmax(1)
    alone = one.get_submodule("pool.judge")(same).softmax(1)
    torch.testing.assert_close(both[:, 0], alone[:, 0] ** 2)


def test_what_has_its_own_windows_is_named_once() -> None:
    spec = DigitModel("tracks:3", model="tracks")
    assert (spec.name, spec.looks) == ("tracks-3-end-to-end", {"things": 3})
    assert DigitModel("stn:2", model="convnet").looks == {"encoder": "stn:2"}
