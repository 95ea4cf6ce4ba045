"""Training of the encoder: the images, the crops, and a training that is interrupted."""

import hashlib
import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from onlooker_papers.encoder.__main__ import app
from onlooker_papers.encoder.images import Images, list_images, random_crops, read_images
from onlooker_papers.encoder.tables import card
from onlooker_papers.encoder.train import (
    EncoderRecipe,
    EncoderTraining,
    contrastive_loss,
    learning_rate,
)

RECIPE = EncoderRecipe(epochs=3, batch=8, lr=0.05, warmup=1, small_size=32)
CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of three images, and one validation image of each."""
    lines = []
    for index, name in enumerate(("n01", "n02")):
        for number in range(3):
            path = tmp_path / "train" / name / "images" / f"{name}_{number}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((64, 64, 3), (10, 20, 200 * index), np.uint8))
        (tmp_path / "val" / "images").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(
            str(tmp_path / "val" / "images" / f"val_{index}.JPEG"),
            np.full((64, 64, 3), index, np.uint8),
        )
        lines.append(f"val_{index}.JPEG\t{name}\t0\t0\t63\t63\n")
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(lines))
    return tmp_path


def made(count: int = 24) -> Images:
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, 3, 64, 64), dtype=torch.uint8, generator=random)
    return Images(pixels, torch.arange(count) % 2)


def test_images_are_rgb_with_their_classes(folder: Path) -> None:
    *files, classes = list_images(folder)
    train, validation = (read_images(of, classes) for of in files)
    assert classes == ["n01", "n02"]
    assert train.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert validation.targets.tolist() == [0, 1]
    assert train.pixels.shape == (6, 3, 64, 64)
    assert train.pixels[5, 0].float().mean() > 190  # red comes first


def test_a_file_that_is_no_image_is_named(folder: Path) -> None:
    (folder / "train" / "n01" / "images" / "n01_0.JPEG").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"n01_0\.JPEG: no image"):
        read_images(*list_images(folder)[::2])


def test_one_of_ten_images_of_a_class_of_caltech_101_is_held_back(tmp_path: Path) -> None:
    for name in ("ant", "Faces"):
        (tmp_path / "101_ObjectCategories" / name).mkdir(parents=True)
        for number in range(1, 13):
            image = np.full((30, 50, 3), number, np.uint8)
            image[:, 10:40] = 200  # the middle square
            cv2.imwrite(
                str(tmp_path / "101_ObjectCategories" / name / f"image_{number:04}.jpg"), image
            )
    train, validation, classes = list_images(tmp_path)
    assert classes == ["Faces", "ant"]
    assert [path.name for path, _ in validation] == ["image_0010.jpg"] * 2
    assert len(train) == 22
    images = read_images(train, classes, 20)
    assert images.pixels.shape == (22, 3, 20, 20)
    assert images.targets.tolist() == [0] * 11 + [1] * 11
    assert images.pixels.float().mean() > 195  # nothing beside the middle square


def test_crops_without_colors_are_gray() -> None:
    crops = random_crops(
        made(16).pixels, 32, torch.Generator().manual_seed(0), min_area=0.5, jitter=0.0, gray=0.5
    )
    gray = (crops.diff(dim=1).abs().amax((1, 2, 3)) < 1e-6).sum()
    assert 0 < gray < 16


def test_the_contrastive_loss_is_that_of_its_equation() -> None:
    projected = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = projected / projected.norm(dim=1, keepdim=True)
    losses = []
    for i in range(6):
        others = [torch.exp(z[i] @ z[k] / 0.5) for k in range(6) if k != i]
        losses.append(-torch.log(torch.exp(z[i] @ z[(i + 3) % 6] / 0.5) / sum(others)))
    torch.testing.assert_close(contrastive_loss(projected, 0.5), torch.stack(losses).mean())


def test_crops_of_a_ramp_are_ramps_of_both_directions() -> None:
    ramp = torch.arange(0, 256, 4, dtype=torch.uint8).expand(32, 3, 64, 64)
    crops = random_crops(ramp, 48, torch.Generator().manual_seed(0), min_area=0.5, jitter=0.0)
    assert crops.shape == (32, 3, 48, 48)
    step = crops.diff(dim=-1)
    mirrored = (step <= 1e-6).all((1, 2, 3))
    assert ((step >= -1e-6).all((1, 2, 3)) ^ mirrored).all()
    assert 0 < mirrored.sum() < 32
    torch.testing.assert_close(
        crops, crops[:, :1, :1].expand_as(crops), msg="rows and colors are equal"
    )
    # part of the image's width
    width = (crops[..., -1] - crops[..., 0]).abs().amax((1, 2)) * 255 / 252
    assert width.min() > (0.5 * 3 / 4) ** 0.5 - 0.05
    assert width.max() <= 1.001


def test_the_learning_rate_rises_and_falls() -> None:
    recipe = EncoderRecipe(epochs=10, warmup=2, lr=0.4)
    assert [learning_rate(recipe, epoch) for epoch in (0, 1, 2, 10)] == pytest.approx(
        [0, 0.2, 0.4, 0]
    )


@pytest.mark.parametrize("contrast", [0.0, 0.5])
def test_an_interrupted_training_ends_with_the_same_weights(
    tmp_path: Path, contrast: float
) -> None:
    images = made()
    recipe = replace(RECIPE, contrast=contrast)
    whole = EncoderTraining(tmp_path / "whole", recipe, num_classes=2, device=CPU)
    lines = list(whole.fit(images, images))
    assert [line["size"] for line in lines] == [32, 32, 64]
    first = EncoderTraining(tmp_path / "parts", recipe, num_classes=2, device=CPU)
    assert len(list(islice(first.fit(images, images), 1))) == 1
    rest = EncoderTraining(tmp_path / "parts", recipe, num_classes=2, device=CPU)
    assert rest.epoch == 1
    assert len(list(rest.fit(images, images))) == 2
    for name, weight in whole.average.state_dict().items():
        torch.testing.assert_close(rest.average.state_dict()[name], weight, msg=name)


def test_a_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    list(
        islice(
            EncoderTraining(tmp_path, RECIPE, num_classes=2, device=CPU).fit(made(8), made(8)), 1
        )
    )
    with pytest.raises(ValueError, match="holds a training with"):
        EncoderTraining(tmp_path, replace(RECIPE, lr=0.1), num_classes=2, device=CPU)


def test_exported_weights_are_measured_as_they_are(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    file = tmp_path / "weights" / "small.safetensors"
    trained = EncoderTraining(run, RECIPE, num_classes=2, device=CPU)
    lines = list(trained.fit(made(8), made(8)))
    results = tmp_path / "results"
    figure = tmp_path / "docs" / "curve.png"
    words = [folder, "--run", run, "--export", file, "--results", results, "--figure", figure]
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.output
    figures = json.loads((results / "encoder.json").read_text(encoding="utf-8"))["figures"]
    assert figures["accuracy"] == 0.5  # the two validation images are one color, of two classes
    assert figures["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert figures["megabytes"] == file.stat().st_size / 1e6 <= 4
    assert (figures["epochs"], figures["train_images"], figures["validation_images"]) == (3, 6, 2)
    assert figures["curve"]["accuracy"] == [line["accuracy"] for line in lines]
    assert 198e6 < figures["multiply_adds_112"] <= 200e6
    assert figure.read_bytes().startswith(b"\x89PNG")
    weights = load_file(file)
    average = trained.average.module.encoder.state_dict()
    assert set(weights) == set(average)
    for name, value in weights.items():
        assert value.dtype == (torch.float16 if average[name].is_floating_point() else torch.int64)
        torch.testing.assert_close(
            value.float(), average[name].float(), rtol=1e-3, atol=1e-6, msg=name
        )
    assert "| classes | 2 | 2 |" in card({"encoder": figures, "encoder-free": figures}).markdown()
