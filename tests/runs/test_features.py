"""Training on stored features gives a complete run, whose predictions from clips are the same."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import moving_squares
import numpy as np
import pytest
import torch
from packaged_weights import put_weights
from safetensors.torch import load_file

from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.data import feature_store as extraction
from onlooker.data.feature_store import FeatureStore
from onlooker.data.folder import find_clips
from onlooker.data.samples import read_sample
from onlooker.data.split import Split
from onlooker.data.transforms import to_video
from onlooker.models.encoders import TERMS, build_encoder
from onlooker.models.registry import configured
from onlooker.recognizer import load
from onlooker.runs import evaluate as evaluate_module
from onlooker.runs import preparation
from onlooker.runs import train as clips_module
from onlooker.runs.evaluate import evaluate
from onlooker.runs.features import (
    StoreSettings,
    make_features,
    open_stores,
    stored_clips,
    stored_settings,
    use_encoders,
    weights_digest,
)
from onlooker.runs.train import train_run
from onlooker.structures import ClipError

DATA = DataConfig(frames=4, size=16, channels=1)
MODEL, TINY = ModelConfig("convalstm", "conv4", hidden=8), TrainConfig(epochs=2, batch=8, precision="32")


def make(clips: Path, store: Path, **changes: Any) -> Any:
    settings = replace(StoreSettings("conv4", DATA, pretrained=False, precision="32"), **changes)
    return make_features(clips, store, settings, quiet=True)


def read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return moving_squares.make_set(tmp_path_factory.mktemp("data") / "squares", clips=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> Path:
    folder = tmp_path_factory.mktemp("stores") / "store"
    assert make(squares, folder).new == 12
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, squares: Path, store: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    train_run(squares, folder, MODEL, DataConfig(), TINY, quiet=True, features=[store])
    return folder


def test_packaged_weights_are_used_and_their_terms_are_kept(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_weights(tmp_path, monkeypatch)
    stored, end_to_end = tmp_path / "stored", tmp_path / "clips"
    make(squares, tmp_path / "store", encoder="small", data=replace(DATA, channels=3, size=32), pretrained=None)
    assert read(tmp_path / "store" / "store.json").items() >= {"pretrained": True, "normalization": "imagenet"}.items()
    once = replace(TINY, epochs=1)
    train_run(
        squares, stored, ModelConfig("convnet", "conv4"), DataConfig(), once, quiet=True, features=[tmp_path / "store"]
    )
    small = ModelConfig("convnet", "small")
    train_run(squares, end_to_end, small, DataConfig(frames=4, size=32), once, quiet=True)
    for run in (stored, end_to_end):
        config = read(run / "config.json")
        assert (config["model"]["pretrained"], config["data"]["normalization"]) == (True, "imagenet")
        assert TERMS["small"] in (run / "model" / "README.md").read_text(encoding="utf-8")
        load(run).save(tmp_path / "copy" / run.name)
        assert TERMS["small"] in (tmp_path / "copy" / run.name / "README.md").read_text(encoding="utf-8")


def test_an_encoder_without_pretrained_weights_is_random_unless_they_are_requested(
    squares: Path, tmp_path: Path
) -> None:
    make(squares, tmp_path / "store", pretrained=None)
    assert read(tmp_path / "store" / "store.json")["pretrained"] is False
    with pytest.raises(ValueError, match="conv4 has no pretrained weights; use small"):
        make(squares, tmp_path / "other", pretrained=True)


def test_stored_features_are_those_of_the_encoder(squares: Path, store: Path) -> None:
    torch.manual_seed(0)
    encoder: Any = build_encoder("conv4", 1, 16)
    encoder.eval()
    opened, path = FeatureStore.open(store), find_clips(squares)[5].path
    with torch.inference_mode():
        expected = encoder(to_video(torch.from_numpy(read_sample(path, DATA).pixels), "half"))
    found = torch.from_numpy(np.load(opened.file(path))).movedim(-1, 1).float()
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-4)
    assert opened.settings.weights == weights_digest(encoder)
    assert weights_digest(encoder) == weights_digest(encoder.to(memory_format=torch.channels_last))


def test_half_precision_is_close_to_single_precision(squares: Path, store: Path, tmp_path: Path) -> None:
    path = find_clips(squares)[0].path
    assert make(path, tmp_path / "store", precision="bf16").new == 1
    ours, theirs = (np.load(FeatureStore.open(s).file(path)).astype(np.float32) for s in (tmp_path / "store", store))
    assert 0 < np.abs(ours - theirs).max() < 0.05 * np.abs(theirs).max()
    assert make(path, tmp_path / "store", precision="auto").existing == 1  # that of the store


def test_clips_that_cannot_be_read(squares: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(squares, tmp_path / "squares"))
    (folder / "up" / "00.mp4").write_bytes(b"")
    with pytest.raises(ClipError, match=r"00\.mp4: zero bytes"):
        make(folder / "up" / "00.mp4", tmp_path / "store")
    (folder / "left" / "00.mp4").write_bytes(b"")
    for name in ("right", "down"):
        shutil.rmtree(folder / name)
    for path in folder.glob("*/0[12].mp4"):
        path.unlink()
    with pytest.raises(ClipError, match=r"none of 2 clips can be read; .*00.mp4: zero bytes"):
        make(folder, tmp_path / "store")


def test_a_run_on_features_is_complete_and_predicts_from_clips(
    squares: Path, store: Path, run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(run, tmp_path / "run"))  # evaluating writes into it
    opened, recognizer = FeatureStore.open(store), load(run)
    assert weights_digest(recognizer.model.encoder) == opened.settings.weights  # type: ignore[arg-type]
    d = recognizer.data
    assert (d.frames, d.size, d.channels, d.translate, d.scale, d.normalization) == (4, 16, 1, 0, 0, "half")
    # Stored features and the clip give the same scores, within half precision.
    samples, _ = stored_clips(find_clips(squares), recognizer.classes, [opened], recognizer.model, d, quiet=True)
    stored = recognizer.evaluate(samples)
    seen = np.stack([recognizer.predict(clip.path).scores for clip in samples.clips])
    np.testing.assert_allclose(stored.scores, seen, atol=2e-3)
    assert stored.scores.std() > 1e-3
    measured = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    again = evaluate(run)
    assert (again["videos"], again["accuracy"]) == (measured["videos"], measured["accuracy"])
    assert again["log_loss"] == pytest.approx(measured["log_loss"], abs=1e-2)
    assert (run / "report.html").exists()


def test_frozen_weights_stay_and_are_in_no_checkpoint(store: Path, run: Path) -> None:
    before, after = load_file(store / "encoder.safetensors"), load_file(run / "model" / "model.safetensors")
    assert all(torch.equal(tensor, after[f"encoder.{name}"]) for name, tensor in before.items())
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert any(name.startswith("model.cell") for name in state)
    assert not any(name.startswith("model.encoder") and name.endswith("weight") for name in state)


def test_no_clip_is_decoded_for_training(
    squares: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("decoded")

    monkeypatch.setattr(extraction, "samples", never)
    monkeypatch.setattr(preparation, "read_clips", never)
    monkeypatch.setattr(
        evaluate_module, "_drawn_clips", lambda *_: [(0, (np.zeros((2, 8, 8, 3), np.uint8), "", "right", 5.0))]
    )
    train_run(squares, tmp_path / "run", MODEL, DATA, TINY, quiet=True, features=[store])


def test_a_run_on_features_that_was_killed_resumes_with_equal_results(
    squares: Path, store: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(clips_module, "write_report", killed)
        with pytest.raises(SystemExit):
            train_run(squares, tmp_path / "run", MODEL, DATA, TINY, quiet=True, features=[store])
    resumed = train_run(squares, tmp_path / "run", ModelConfig(), DataConfig(), TINY, resume=True, quiet=True)
    assert resumed == json.loads((run / "evaluation.json").read_text(encoding="utf-8"))


def test_clips_that_the_store_lacks_are_encoded_when_training(squares: Path, store: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(store, tmp_path / "store"))
    for file in sorted((mine / "maps").iterdir())[:5]:
        file.unlink()
    folder = Path(shutil.copytree(squares, tmp_path / "squares"))
    shutil.copy(folder / "up" / "00.mp4", folder / "up" / "copy.mp4")
    split = Split(*(tuple(c for c in find_clips(squares) if c.path.stem == stem) for stem in ("00", "01", "02")))
    split = Split.from_dict(split.to_dict(squares), folder)
    figures = train_run(folder, tmp_path / "run", MODEL, DATA, TINY, split, quiet=True, features=[mine])
    assert figures["skipped"] == []
    assert {f.name: f.read_bytes() for f in (mine / "maps").iterdir()} == {
        f.name: f.read_bytes() for f in (store / "maps").iterdir()
    }
    (folder / "up" / "00.mp4").write_bytes(b"")
    with pytest.raises(ClipError, match=r"00\.mp4: zero bytes"):
        train_run(folder, tmp_path / "strict", MODEL, DATA, TINY, strict=True, quiet=True, features=[mine])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda maps: maps[:, :1], r"features float16 4 1 \d+ 64, expected float16 T 2 2 64"),
        (lambda maps: maps.astype(np.float32), r"features float32 4 2 2 64, expected float16 T 2 2 64"),
        (lambda maps: maps * np.float16(np.nan), "features that are not finite numbers"),
        (lambda maps: maps / np.float16(0), "features that are not finite numbers"),
    ],
)
def test_maps_that_the_encoder_cannot_have_made_are_named(
    squares: Path, store: Path, tmp_path: Path, damage: Callable[[Any], Any], message: str
) -> None:
    mine = Path(shutil.copytree(store, tmp_path / "store"))
    file = sorted((mine / "maps").iterdir())[3]
    with np.errstate(all="ignore"):
        np.save(file, damage(np.load(file)))
    with pytest.raises(ValueError, match=f"{file.name}: {message}; remove the file"):
        train_run(squares, tmp_path / "run", MODEL, DATA, TINY, quiet=True, features=[mine])


def test_temporal_crops_from_a_store_of_every_frame(squares: Path, store: Path, tmp_path: Path) -> None:
    crops = replace(DATA, frames=3, temporal_crops=4)
    make(squares, tmp_path / "store", every=True)
    measured = train_run(squares, tmp_path / "run", MODEL, crops, TINY, quiet=True, features=[tmp_path / "store"])
    recognizer = load(tmp_path / "run")
    assert (recognizer.data.temporal_crops, recognizer.data.frames) == (4, 3)
    test = [clip for clip in find_clips(squares) if clip.path.name in (tmp_path / "run" / "scores.csv").read_text()]
    assert measured["videos"] <= len(test)
    opened = FeatureStore.open(tmp_path / "store")
    samples, _ = stored_clips(test[:2], recognizer.classes, [opened], recognizer.model, recognizer.data, quiet=True)
    stored = recognizer.evaluate(samples)
    seen = np.stack([recognizer.predict(clip.path).scores for clip in test[:2]])
    np.testing.assert_allclose(stored.scores, seen, atol=2e-3)
    with pytest.raises(ValueError, match=r"a store of 4 frames per clip, and temporal crops have consecutive frames"):
        stored_settings([FeatureStore.open(store)], MODEL, crops)


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> dict[str, Path]:
    """Stores of every frame: of RGB, and of its flow."""
    folder = tmp_path_factory.mktemp("streams")
    flow = replace(DATA, modality="flow", flow_length=2)
    make(squares, folder / "flow", every=True, data=flow)
    make(squares, folder / "rgb", every=True)
    return {name: folder / name for name in ("flow", "rgb")}


def test_motion_is_trained_on_a_store_of_rgb_and_one_of_flow(
    squares: Path, streams: dict[str, Path], tmp_path: Path
) -> None:
    motion, crops = ModelConfig("motion", "conv4", hidden=8), replace(DATA, frames=3, temporal_crops=4)
    measured = train_run(squares, tmp_path / "run", motion, crops, TINY, quiet=True, features=[*streams.values()])
    recognizer = load(tmp_path / "run")
    d = recognizer.data
    assert (d.modality, d.flow_length, d.in_channels, d.frames, d.temporal_crops) == ("both", 2, 1 + 4, 3, 4)
    stores, encoder = open_stores([*streams.values()]), recognizer.model.encoder
    digests = [weights_digest(part) for part in (encoder.rgb, encoder.flow)]  # type: ignore[union-attr]
    assert digests == [store.settings.weights for store in stores]
    # From stored features and from the clip itself come the same answers, within half precision.
    test = [clip for clip in find_clips(squares) if clip.path.stem == "00"]
    samples, _ = stored_clips(test, recognizer.classes, stores, recognizer.model, d, quiet=True)  # type: ignore[arg-type]
    stored, seen = recognizer.evaluate(samples), [recognizer.predict(clip.path) for clip in test]
    np.testing.assert_allclose(stored.scores, np.stack([each.scores for each in seen]), atol=2e-3)
    assert stored.scores.std() > 1e-3
    assert seen[0].attention is not None
    resumed = partial(train_run, squares, tmp_path / "run", ModelConfig(), DataConfig(), TINY, resume=True, quiet=True)
    assert resumed() == measured
    moved = [shutil.copytree(folder, tmp_path / "moved" / name) for name, folder in streams.items()]
    assert resumed(features=moved) == measured
    make(squares, tmp_path / "other", every=True)
    with pytest.raises(ValueError, match=r"other: other settings than those of .*run; give the store of its training"):
        resumed(features=[tmp_path / "other"])


def test_stores_that_do_not_fit_each_other(
    squares: Path, streams: dict[str, Path], store: Path, tmp_path: Path
) -> None:
    flow, rgb = streams.values()
    with pytest.raises(ValueError, match="stores of rgb, rgb; expected one store, or one of rgb and one of fl"):
        open_stores([rgb, store])
    with pytest.raises(
        ValueError, match=r"flow: a store made with frames every \(that of rgb: 4\); make both with the same"
    ):
        open_stores([flow, store])
    with pytest.raises(ValueError, match=r"made with modality both \(asked for: rgb\)"):
        stored_settings(open_stores([rgb, flow]), MODEL, DATA, {"modality"})
    with pytest.raises(ValueError, match="modality is 'rgb'; give --modality both, or the stored features of each"):
        train_run(squares, tmp_path / "one", ModelConfig("motion", "conv4"), DATA, TINY, quiet=True, features=[rgb])
    with pytest.raises(ValueError, match=r"two stores are for a model with two encoders \(motion\); give the others"):
        train_run(squares, tmp_path / "two", MODEL, DATA, TINY, quiet=True, features=[rgb, flow])


def test_settings_that_contradict_the_store(store: Path) -> None:
    opened = FeatureStore.open(store)
    model, data = stored_settings([opened], ModelConfig("lstm", encoder="vgg16"), DataConfig(frames=9), {"hidden"})
    assert (model.name, model.encoder, data.frames, data.translate) == ("lstm", "conv4", 4, 0)
    with pytest.raises(ValueError, match=r"made with frames 4 \(asked for: 9\); leave it out, or make another store"):
        stored_settings([opened], ModelConfig(), DataConfig(frames=9), {"frames"})
    with pytest.raises(ValueError, match=r"made with frames 4 .*, hflip False \(asked for: True\); leave it out"):
        stored_settings([opened], ModelConfig(), DataConfig(hflip=True), {"hflip", "frames"})


def test_weights_that_did_not_make_the_features(store: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(store, tmp_path / "store"))
    opened, other = FeatureStore.open(mine), configured(MODEL, DATA, 2)
    content = bytearray((mine / "encoder.safetensors").read_bytes())
    content[-1] ^= 1
    (mine / "encoder.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="other weights than those that made the features; make a new store"):
        use_encoders(other, [opened])
    (mine / "encoder.safetensors").write_bytes(content[:100])
    with pytest.raises(ValueError, match=r"encoder.safetensors: not the weights of this model's encoder"):
        use_encoders(other, [opened])
