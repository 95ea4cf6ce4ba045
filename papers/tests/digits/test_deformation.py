"""Deformed digits: what they show, what is left of a deformation, and what its table says."""

from types import SimpleNamespace

import pytest
import torch

from onlooker.data.digits import Digits, split_digits
from onlooker.models.classifier import Classifier
from onlooker_papers.digits import deformation
from onlooker_papers.digits.deformation import Warping, deform, measure, residual, squared_error, train, trainings
from onlooker_papers.digits.encoders.warped import warp
from onlooker_papers.digits.figures import undone
from onlooker_papers.digits.tables import deformations


@pytest.fixture(scope="module")
def digits():
    return split_digits().training


def test_an_image_shows_the_digit_at_the_displaced_pixel(digits):
    batch = deform(digits, torch.arange(5), window=61, seed=1)
    assert torch.equal(batch.labels, torch.from_numpy(digits.labels[:5]))
    assert torch.equal(batch.digits[0, 0, 6:34, 6:34] * 255, torch.from_numpy(digits.images[0]).float())
    assert torch.equal(batch.images, warp(batch.digits, batch.fields))
    assert batch.fields.std() > 3  # pixels
    again, other = deform(digits, torch.arange(5), 61, 1), deform(digits, torch.arange(5), 61, 2)
    assert torch.equal(again.images, batch.images)
    assert not torch.equal(other.images, batch.images)
    still = deform(digits, torch.arange(5), window=0, seed=1)
    assert not still.fields.any()
    assert torch.allclose(still.images, still.digits, atol=1e-5)


def test_nothing_is_left_of_a_deformation_that_is_undone():
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    true = torch.stack((3 + 0.25 * (x - 20), -0.2 * (y - 20)))[None]  # q = p + true(p) is linear, and so is its inverse
    inverse = torch.stack(((x - 3 + 5) / 1.25 - x, (y - 4) / 0.8 - y))[None]
    middle = (slice(None), slice(None), slice(14, 26), slice(14, 26))  # whose pixels come from within the frame
    assert residual(inverse, true)[middle].abs().max() < 1e-4
    assert torch.equal(residual(torch.zeros_like(true), true).round(decimals=3), true.round(decimals=3))


def test_what_a_classifier_may_leave_does_not_count():
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    ink = torch.rand(2, 1, 40, 40)
    bases = deformation._bases()
    shift = torch.tensor([3.0, -4.0])[None, :, None, None].expand(2, 2, 40, 40)
    linear = shift + torch.stack((0.1 * x + 0.2 * y, 0.3 * y))
    bent = torch.stack((x**2 / 400, 0 * y)).expand(2, 2, 40, 40)
    error = {name: [squared_error(f, ink, basis) for f in (shift, linear, bent)] for name, basis in bases.items()}
    assert torch.allclose(error["raw"][0], torch.full((2,), 25.0, dtype=torch.double))
    assert error["shift"][0].max() < 1e-6
    assert error["shift"][1].min() > 1
    assert error["affine"][1].max() < 1e-6
    weights, values = ink[0, 0].double().flatten(), (x**2 / 400).double().flatten()
    mean = (weights * values).sum() / weights.sum()
    variance = (weights * (values - mean) ** 2).sum() / weights.sum()
    assert error["shift"][2][0].item() == pytest.approx(variance.item(), rel=1e-6)
    assert 0 < error["grid"][2][0] < error["affine"][2][0] < variance


def test_a_model_that_is_told_the_fields_learns_some_of_them(digits, monkeypatch):
    monkeypatch.setattr(deformation, "_BATCH", 16)
    few = Digits(digits.images[:8], digits.labels[:8])
    torch.manual_seed(0)
    model = Classifier(10, "memoryless", None, encoder="lenet:field", dropout=0.0, in_channels=1, size=40)
    before = measure(model, few, 61, 100, seed=5)
    train(model, Warping("lenet:field", supervision=0.1), few, 61, steps=40, seed=0)
    after = measure(model, few, 61, 100, seed=5)
    assert after["error"]["raw"] < 0.95 * before["error"]["raw"]
    assert before["error"]["grid"] < 0.2 < before["error"]["affine"], "a grid can do what an affine transform cannot"
    assert len(after["accuracy_interval"]) == 2


def test_a_perfect_shift_is_measured_as_such(digits, monkeypatch):
    three = torch.full((1, 2, 40, 40), 3.0)
    monkeypatch.setattr(deformation, "elastic_fields", lambda count, *_, **__: torch.full((count, 2, 64, 64), 3.0))
    shown = SimpleNamespace(logits=torch.zeros(8, 1, 10))
    shown.logits[..., digits.labels[0]] = 1.0

    class Told:
        encoder = SimpleNamespace(field=lambda frames: -three.expand(len(frames), -1, -1, -1))

        def __call__(self, video):
            return shown

    few = Digits(digits.images[:8], digits.labels[:8])
    found = measure(Told(), few, 61, 8, seed=0)
    assert found["accuracy"] == (few.labels == few.labels[0]).mean()
    assert found["error"]["raw"] < 1e-5
    Told.encoder = SimpleNamespace()
    assert measure(Told(), few, 61, 8, seed=0)["error"]["raw"] == pytest.approx(18**0.5, rel=1e-5)


def test_references_are_trained_once():
    counts = [
        trainings("smooth", "field", 3),
        trainings("smooth", "field-supervised", 3),
        trainings("none", "lenet", 3),
    ]
    assert counts == [3, 1, 1]


def test_the_figure_has_a_row_for_each_model_and_no_arrow_where_nothing_is_left(digits):
    batch = deform(digits, torch.arange(3), window=61, seed=1)
    perfect = batch._replace(fields=torch.full_like(batch.fields, 2.0))
    figure = undone(perfect, {"lenet": torch.zeros(3, 2, 40, 40), "field": torch.full((3, 2, 40, 40), -2.0)})
    assert len(figure.axes) == 9
    for axes in figure.axes[3:]:
        (arrows,) = axes.collections
        assert abs(arrows.U).max() < 1e-5, "a shift is no deformation"
    bent = undone(batch, {"lenet": torch.zeros(3, 2, 40, 40)})
    assert abs(bent.axes[3].collections[0].U).max() > 0.5


def test_the_table_has_the_share_that_is_removed():
    def row(shift, affine):
        error = {"raw": 4.0, "shift": shift, "affine": affine, "grid": 2.0}
        same = {"accuracy": 0.9, "accuracy_interval": [0.88, 0.92], "validation": 0.91, "images": 640}
        return {**same, "error": error, "per_seed": [0.9, 0.9]}

    rows = {"smooth": {"lenet": row(2.0, 1.0), "field": row(1.0, 1.1)}, "none": {"lenet": row(0.0, 0.0)}}
    table = deformations({"digits-field": rows})
    assert table.rows[1] == ["smooth", "`field`", "90.0 ± 2.0", "91.0", "4.00", "1.00", "1.10", "0 · 75 · -21"]
    assert table.rows[2][:4] == ["none", "`lenet`", "90.0 ± 2.0", "91.0"]
    assert not any(table.rows[2][4:])
    assert "removes 75 % (smooth)" in table.note
    assert "are means: 2 (`none`" in table.note
