"""Linear models as earlier versions saved them answer as before."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from earlier_models import earlier_settings, earlier_weights
from made_heads import event_heads, head, set_motion_distance
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from onlooker.models.heads import Head
from onlooker.models.linear import LinearClassifier
from onlooker.models.video_model import WEIGHTS, Output

F = 24
K = 3


def save_as_before(model: LinearClassifier, folder: Path) -> None:
    """Write a model as version 0.2 and the development versions after it did."""
    folder.mkdir()
    save_file(earlier_weights(model), folder / WEIGHTS)
    (folder / "config.json").write_text(json.dumps(earlier_settings(model)), encoding="utf-8")


def change(folder: Path, *without: str, **settings: object) -> None:
    """Change some settings of a saved model, and remove others."""
    config = folder / "config.json"
    values = json.loads(config.read_text(encoding="utf-8")) | settings
    for name in without:
        del values[name]
    config.write_text(json.dumps(values), encoding="utf-8")


def plain() -> LinearClassifier:
    torch.manual_seed(0)
    model = LinearClassifier(K, window=5, size=32).eval()
    model.head.center.normal_()
    model.head.scale.uniform_(0.5, 2)
    return model


def with_events() -> LinearClassifier:
    """A model with all heads but those of states."""
    model = plain()
    M = model.num_features
    parts = [
        [torch.randn(M) / 3, torch.rand(M) + 0.5, torch.randn(n, M) / M**0.5, torch.randn(bias)]
        for n, bias in ((1, 2), (K, K)) * 2
    ]
    model.set_heads({"motion": Head(torch.randn(K, F), torch.randn(K))})
    model.set_heads(event_heads(*parts, motion=0.5, limit=1100.0), (3, 7))
    set_motion_distance(model, torch.randn(F) / 8, clips=2000.0, windows=1500.0)
    scene = Head(torch.rand(1, 16), center=torch.randn(64, 16))
    model.set_heads({"static_scene": scene})
    return model


def with_states() -> LinearClassifier:
    model = plain()
    M = model.num_features
    parts = (torch.randn(2, M) / 3, torch.rand(2, M) + 0.5, torch.randn(4, 2, M) / M**0.5)
    heads = {
        "state": head((*parts, torch.randn(4))),
        "state_motion": Head(torch.randn(4, F), torch.randn(4)),
    }
    model.set_heads(heads, (3, 7))
    return model


@torch.no_grad()
def answers(model: LinearClassifier) -> list[Output]:
    """The outputs for a video, and for its frames one by one."""
    random = torch.Generator().manual_seed(1)
    video = torch.rand(2, 9, 3, 32, 32, generator=random)
    others = dict[str, torch.Tensor]()
    if model.eyes.get("motion", 0):
        counts = torch.randint(0, 3, (2, 9, 1), generator=random).float()
        words = torch.randn(2, 9, model.eyes.get("motion", 0), generator=random)
        others["motion"] = torch.cat((counts, counts * words), 2)
    outputs = [model(video, others)]
    state = None
    for t in range(9):
        output, state = model.step(
            video[:, t], state, {name: rows[:, t] for name, rows in others.items()}
        )
        outputs.append(output)
    return outputs


@pytest.mark.parametrize("make", [plain, with_events, with_states])
def test_a_model_answers_as_before(make: Any, tmp_path: Path) -> None:
    model = make()
    expected = answers(model)
    if model.lengths:
        assert expected[-1].logits.std() > 0.1
    save_as_before(model, tmp_path / "before")
    loaded = LinearClassifier.from_pretrained(tmp_path / "before")
    assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert_close(answers(loaded), expected, rtol=0, atol=0)
    assert loaded.window_novelty_limit == model.window_novelty_limit
    loaded.save_pretrained(tmp_path / "again")
    again = LinearClassifier.from_pretrained(tmp_path / "again")
    assert_close(answers(again), expected, rtol=0, atol=0)


def test_settings_that_a_version_did_not_have_are_off(tmp_path: Path) -> None:
    """The first ones wrote lengths alone, and the ones after them those of states elsewhere."""
    model = with_events()
    for name in ("motion", "low_rate_event", "low_rate_window", "static_scene"):
        del model.heads[name]
    model.heads["window"].limit = None
    save_as_before(model, tmp_path / "first")
    added = ("farthest", "motion_features", "sparse", "state_motion", "state_outputs", "still")
    change(tmp_path / "first", *added)
    loaded = LinearClassifier.from_pretrained(tmp_path / "first")
    assert loaded.window_novelty_limit is None
    assert_close(answers(loaded), answers(model), rtol=0, atol=0)
    model = with_states()
    save_as_before(model, tmp_path / "states")
    change(tmp_path / "states", lengths=[], state_lengths=[3, 7])
    loaded = LinearClassifier.from_pretrained(tmp_path / "states")
    assert_close(answers(loaded), answers(model), rtol=0, atol=0)


def test_at_first_motion_counted_for_the_classes_of_clips_alone(tmp_path: Path) -> None:
    model = with_events()
    save_as_before(model, tmp_path / "before")
    weights = load_file(tmp_path / "before" / WEIGHTS)
    for name in ("window_motion", "motion_center", "motion_factors"):
        del weights[name]
    save_file(weights, tmp_path / "before" / WEIGHTS)
    model.heads["window"].motion_factors.zero_()
    set_motion_distance(model, torch.zeros(F), clips=0.0, windows=0.0)
    loaded = LinearClassifier.from_pretrained(tmp_path / "before")
    assert_close(answers(loaded), answers(model), rtol=0, atol=0)


def test_at_first_one_bias_was_used_for_all_lengths(tmp_path: Path) -> None:
    model = with_events()
    model.heads["event"].bias.data.fill_(-1.5)
    save_as_before(model, tmp_path / "before")
    weights = load_file(tmp_path / "before" / WEIGHTS)
    save_file({**weights, "event_bias": torch.tensor([-1.5])}, tmp_path / "before" / WEIGHTS)
    loaded = LinearClassifier.from_pretrained(tmp_path / "before")
    assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)
    for wrong in (torch.zeros(3), torch.tensor(1.0)):
        save_file({**weights, "event_bias": wrong}, tmp_path / "before" / WEIGHTS)
        with pytest.raises(ValueError, match="not the weights of this model"):
            LinearClassifier.from_pretrained(tmp_path / "before")


@pytest.mark.parametrize(
    "settings",
    [
        {"heads": {"event": 1}},
        {"heads": {"event": 1, "window": 4}},
        {"heads": {"event": 1, "window": K, "state": 2}},
        {"heads": {"event": 1, "window": K, "low_rate_event": 1}},
        {"heads": {"event": 1, "window": K, "low_rate_event": 1, "low_rate_window": 4}},
        {"heads": {"event": 1, "window": K, "of_another_version": 1}},
        {"heads": {"motion": K}},
        {"heads": {"state": 2}, "lengths": []},
        {"heads": {"state": 0}},
        {"heads": {"clip": K}},
        {"heads": {}},
        {"lengths": []},
        {"motion_features": 0},
    ],
)
def test_heads_that_do_not_fit_each_other_are_refused(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    with_events().save_pretrained(tmp_path)
    change(tmp_path, **settings)
    with pytest.raises(
        ValueError, match=r"config.json: heads are .*, expected some of .*restore"
    ):
        LinearClassifier.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("heads", "problem"),
    [
        (None, "not the weights of this model"),
        ({"state": 1 << 30}, "expected a size below a million"),
        ({"state": -1}, "expected a size below a million"),
        ({"state": "1"}, r"heads is .*expected"),
        ([3], r"heads is .*expected"),
        ({"state": 900_000}, r"not the weights of this model \(.* by these settings\)"),
    ],
)
def test_heads_of_any_other_size_are_refused(
    heads: object, problem: str, tmp_path: Path
) -> None:
    with_events().save_pretrained(tmp_path)
    change(tmp_path, heads=heads, motion_features=0)
    if heads is None:
        change(tmp_path, lengths=[])
    with pytest.raises(ValueError, match=problem):
        LinearClassifier.from_pretrained(tmp_path)
