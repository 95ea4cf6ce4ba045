"""Training on stored features gives a complete run, whose predictions from clips are the same."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import moving_squares
import numpy as np
import pytest
import timm
import torch
from clips import find_clips
from kills import killed_in
from packaged_weights import put_weights
from pooling import Encoded, encode_clips, make_features
from safetensors.torch import load_file, save_file

from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.base.files import read_json
from onlooker.base.records import ClipError
from onlooker.data.split import Split, make_splits
from onlooker.models.encoders import TERMS, build_encoder
from onlooker.models.registry import create_model, resolve
from onlooker.recognizer import load
from onlooker.run import features, preparation
from onlooker.run import train as train_module
from onlooker.run.compare import compare, settings_of
from onlooker.run.evaluate import evaluate
from onlooker.run.features import encoded_clips, weights_digest
from onlooker.run.train import train_run

DATA = DataConfig(frames=4, size=16, channels=1)
MODEL = ModelConfig("convalstm", "conv4", hidden=8)
TINY = TrainConfig(epochs=2, batch=8, precision="32", features=True)
NEVER = Mock(side_effect=AssertionError("encoded again"))


def make(clips: Path, data: DataConfig = DATA, encoder: str = "conv4") -> Encoded:
    return make_features([clip.path for clip in find_clips(clips)], encoder, data)


def train(
    clips: Path, run: Path, model: ModelConfig = MODEL, data: DataConfig = DATA, **options: Any
) -> Any:
    return train_run(clips, run, model, data, TINY, quiet=True, **options)


def test_an_encoder_with_weights_from_a_file(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights.safetensors"
    data = replace(DATA, channels=3, size=32)
    save_file(timm.create_model("test_resnet").state_dict(), file)
    paths = [clip.path for clip in find_clips(squares)]
    assert make_features(paths, "test_resnet", data, weights=str(file)).new == len(paths)
    monkeypatch.setattr(features, "stored_frames", NEVER)
    model = ModelConfig("linear", "test_resnet", weights=str(file))
    assert train(squares, tmp_path / "run", model, data)["accuracy"] > 0


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moving_squares.make_set(tmp_path_factory.mktemp("data") / "squares", clips=3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(squares, folder)
    return folder


@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("linear", DATA),
        ("tcn", DATA),
        ("convalstm", replace(DATA, frames=3)),
        ("motion", replace(DATA, modality="both")),
        ("tcn", replace(DATA, modality="both")),
    ],
)
def test_training_finds_what_was_encoded_before(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, data: DataConfig
) -> None:
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))
    assert make(squares, data).new == 12
    assert make(squares, data).new == 0
    monkeypatch.setattr(features, "stored_frames", NEVER)
    monkeypatch.setattr(preparation, "read_clips", NEVER)
    train(squares, tmp_path / "run", ModelConfig(model, "conv4"), data)


def test_compared_models_share_their_features(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode_one(*given: Any, **options: Any) -> Any:
        encoded.append(given)
        return stored_frames(*given, **options)

    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))
    encoded = list[Any]()
    stored_frames = features.stored_frames
    monkeypatch.setattr(features, "stored_frames", encode_one)
    training = replace(TINY, epochs=1, precision="auto")
    models = settings_of("convnet,lstm,linear", Settings(MODEL, DATA, training))
    figures = compare(
        squares, tmp_path / "run", models, make_splits(find_clips(squares)), [0], jobs=1
    )
    assert set(figures["accuracy"]) == {"convnet", "lstm", "linear"}
    assert len(encoded) == 12


def test_packaged_weights_are_used_and_their_terms_are_kept(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_weights(tmp_path, monkeypatch)
    for name, training in (("stored", TINY), ("clips", replace(TINY, features=False))):
        run = tmp_path / name
        data = DataConfig(frames=4, size=32)
        once = replace(training, epochs=1)
        train_run(squares, run, ModelConfig("convnet", "small"), data, once, quiet=True)
        config = read_json(run / "config.json")
        assert (config["model"]["pretrained"], config["data"]["normalization"]) == (
            True,
            "imagenet",
        )
        assert TERMS["small"] in (run / "model" / "README.md").read_text(encoding="utf-8")
        load(run).save(tmp_path / "copy" / name)
        assert TERMS["small"] in (tmp_path / "copy" / name / "README.md").read_text(
            encoding="utf-8"
        )


def test_settings_of_a_training_on_features() -> None:
    asked = DataConfig(hflip=True, degrees=5.0)
    model, data, training = resolve(ModelConfig("lstm", "vgg16"), asked, TrainConfig(features=True))
    assert (model.frozen, model.pretrained, data.normalization) == (True, True, "imagenet")
    assert data == replace(DataConfig(translate=0.0, scale=0.0), normalization="imagenet")
    assert resolve(model, data, training) == (model, data, training)
    assert resolve(ModelConfig("lstm", "vgg16"), asked, TrainConfig()).model.pretrained is False
    assert (
        resolve(ModelConfig("lstm", "conv4"), asked, TrainConfig(features=True)).model.pretrained
        is False
    )
    with pytest.raises(
        ValueError,
        match="frozen is false, and the encoder of stored features is; leave out --no-fr",
    ):
        resolve(ModelConfig("lstm", frozen=False), DATA, TrainConfig(features=True))
    with pytest.raises(ValueError, match="conv4 has no pretrained weights; use small"):
        make_features([], "conv4", DATA, pretrained=True)


def maps(path: Path, precision: Any = "32") -> Any:
    (files,) = make_features([path], "conv4", DATA, precision=precision).results
    assert isinstance(files, tuple)
    return np.load(files[0]).astype(np.float32)


def test_half_precision_is_close_to_single_precision(squares: Path) -> None:
    path = find_clips(squares)[0].path
    ours = maps(path, "bf16")
    theirs = maps(path)
    assert 0 < np.abs(ours - theirs).max() < 0.05 * np.abs(theirs).max()


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (MODEL, DATA),
        (MODEL, replace(DATA, frames=3)),
        (
            ModelConfig("motion", "conv4", hidden=8),
            replace(DATA, modality="both", frames=3),
        ),
    ],
)
def test_runs_on_features_predict_clips(
    squares: Path, tmp_path: Path, model: ModelConfig, data: DataConfig
) -> None:
    measured = train(squares, tmp_path / "run", model, data)
    recognizer = load(tmp_path / "run")
    assert recognizer.data == replace(data, translate=0.0, scale=0.0, normalization="half")
    # Stored features and the clip give the same scores, within half precision.
    some = [clip for clip in find_clips(squares) if clip.path.stem == "00"]
    samples, _ = encoded_clips(
        some, recognizer.classes, recognizer.model, recognizer.data, "32", quiet=True
    )
    stored = recognizer.evaluate(samples)
    seen = [recognizer.predict(clip.path) for clip in some]
    np.testing.assert_allclose(stored.scores, np.stack([each.scores for each in seen]), atol=2e-3)
    assert stored.scores.std() > 1e-3
    assert seen[0].attention is not None
    again = evaluate(tmp_path / "run")
    assert (again["videos"], again["accuracy"]) == (measured["videos"], measured["accuracy"])
    assert again["log_loss"] == pytest.approx(measured["log_loss"], abs=1e-2)
    assert (tmp_path / "run" / "report.html").exists()


def test_frozen_weights_stay_and_are_in_no_checkpoint(run: Path) -> None:
    before: Any = build_encoder("conv4", 1, 16)
    assert weights_digest(before) == weights_digest(before.to(memory_format=torch.channels_last))
    after = load_file(run / "model" / "model.safetensors")
    assert all(
        torch.equal(tensor, after[f"encoder.{name}"])
        for name, tensor in before.state_dict().items()
    )
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert any(name.startswith("model.cell") for name in state)
    assert not any(name.startswith("model.encoder") and name.endswith("weight") for name in state)


def test_a_run_on_features_that_was_killed_resumes_with_equal_results(
    squares: Path, run: Path, tmp_path: Path
) -> None:
    with killed_in(train_module, "write_report"):
        train(squares, tmp_path / "run")
    resumed = train_run(
        squares,
        tmp_path / "run",
        ModelConfig(),
        DataConfig(),
        TrainConfig(),
        resume=True,
        quiet=True,
    )
    assert resumed == read_json(run / "evaluation.json")


def test_clips_that_the_cache_lacks_are_encoded_when_training(
    squares: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))
    files = [
        file for each in make(squares).results if not isinstance(each, ClipError) for file in each
    ]
    before = {file: file.read_bytes() for file in files}
    for file in files[:5]:
        file.unlink()
    files[5].write_bytes(before[files[5]][:-20])
    folder = Path(shutil.copytree(squares, tmp_path / "squares"))
    shutil.copy(folder / "up" / "00.mp4", folder / "up" / "copy.mp4")
    split = Split(
        *(
            tuple(c for c in find_clips(squares) if c.path.stem == stem)
            for stem in ("00", "01", "02")
        )
    )
    split = Split.from_dict(split.to_dict(squares), folder)
    assert train(folder, tmp_path / "run", split=split)["skipped"] == []
    assert {file: file.read_bytes() for file in files} == before
    (folder / "up" / "00.mp4").write_bytes(b"")
    with pytest.raises(ClipError, match=r"00\.mp4: zero bytes"):
        train(folder, tmp_path / "strict", strict=True)


def test_an_entry_that_is_removed_while_a_model_is_trained_is_an_error(squares: Path) -> None:
    net = create_model("convnet", 4, encoder="conv4", in_channels=1, size=16)
    clips = find_clips(squares)
    samples, _ = encoded_clips(
        clips, ("down", "left", "right", "up"), net, replace(DATA, normalization="half"), quiet=True
    )
    samples.files[3][0].unlink()
    with pytest.raises(
        ClipError, match=r"what is stored of it is damaged or gone .*; run the same command again"
    ):
        _ = samples[3]


def test_maps_of_other_programs_are_not_used(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))
    make(squares)
    file = sorted((tmp_path / "cache").iterdir())[3]
    maps = np.load(file)
    np.save(file, maps * np.float16(np.nan))
    assert make(squares).new == 1
    np.testing.assert_array_equal(np.load(file), maps)


def test_a_model_without_an_encoder_of_frames_is_refused(squares: Path) -> None:
    net = create_model("convnet", 4, encoder="conv4")
    net.encoder = None
    with pytest.raises(
        ValueError, match="Classifier needs frames, not stored features; leave out --features"
    ):
        encode_clips([find_clips(squares)[0].path], net, DATA)
