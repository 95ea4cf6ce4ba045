"""Training on stored features gives a complete run, whose predictions from clips are the same. A clip
is encoded once, even after kills, in memory independent of its length; disk errors name the clip.
"""

import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import moving_squares
import numpy as np
import pytest
import timm
import torch
from clips import Make, find_clips
from pooling import DATA as POOLED
from pooling import Encoded, cached, encode_clips, make_features, make_folders, pooled, pooling
from safetensors.torch import load_file, save_file
from torch import Tensor

from onlooker.base.config import DataConfig, ModelConfig, Settings, TrainConfig
from onlooker.base.records import ClipError
from onlooker.data.array_cache import ArrayCache, load_rows
from onlooker.data.clips import stored_frames
from onlooker.data.samples import read_sample
from onlooker.data.split import Split, make_splits
from onlooker.models.encoders import build_encoder
from onlooker.models.registry import create_model
from onlooker.recognizer import load
from onlooker.run import features, preparation
from onlooker.run.compare import compare, settings_of
from onlooker.run.evaluate import evaluate
from onlooker.run.features import encoded_clips, weights_digest
from onlooker.run.train import train_run
from onlooker.training.fitters import complete
from onlooker.video.reader import VideoReader, read
from onlooker.video.resize import resize
from onlooker.video.sampling import equally_spaced

DATA = DataConfig(frames=4, size=16, channels=1)
MODEL = ModelConfig("convalstm", "conv4", hidden=8)
TINY = TrainConfig(epochs=2, batch=8, precision="32", features=True)
NEVER = Mock(side_effect=AssertionError("encoded again"))


def make(clips: Path, data: DataConfig = DATA, encoder: str = "conv4") -> Encoded:
    return make_features([clip.path for clip in find_clips(clips)], encoder, data)


def train(
    clips: Path, run: Path, model: ModelConfig = MODEL, data: DataConfig = DATA, **options: Any
) -> Any:
    return train_run(clips, run, Settings(model, data, TINY), quiet=True, **options)


def test_an_encoder_with_weights_from_a_file(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights.safetensors"
    data = replace(DATA, channels=3, size=32)
    save_file(timm.create_model("test_resnet").state_dict(), file)
    paths = [clip.path for clip in find_clips(squares)]
    assert make_features(paths, "test_resnet", data, weights=str(file)).new == len(paths)
    monkeypatch.setattr(features, "stored_frames", NEVER)
    model = ModelConfig("linear", "test_resnet", weights=str(file))
    assert train(squares, tmp_path / "run", model, data).accuracy > 0


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
    assert make(squares, data).new == 12
    assert make(squares, data).new == 0
    monkeypatch.setattr(features, "stored_frames", NEVER)
    monkeypatch.setattr(preparation, "read_clips", NEVER)
    train(squares, tmp_path / "run", ModelConfig(model, "conv4"), data)


def test_compared_models_share_their_features(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = Mock(wraps=features.stored_frames)
    monkeypatch.setattr(features, "stored_frames", encoded)
    training = replace(TINY, epochs=1, precision="auto")
    models = settings_of("convnet,lstm,linear", Settings(MODEL, DATA, training))
    figures = compare(
        squares,
        tmp_path / "run",
        models,
        splits=make_splits(find_clips(squares)),
        seeds=[0],
        jobs=1,
    )
    assert set(figures["accuracy"]) == {"convnet", "lstm", "linear"}
    paths = [call.args[0].path for call in encoded.call_args_list]
    assert set(paths) == {clip.path for clip in find_clips(squares)}
    assert len(paths) < 2 * 12, "not once a model"


def test_settings_of_a_training_on_features() -> None:
    asked = DataConfig(hflip=True, degrees=5.0)
    on_features = TrainConfig(features=True)
    settings = complete(Settings(ModelConfig("lstm", "vgg16"), asked, on_features))
    model, data, _ = settings
    assert (model.frozen, model.pretrained, data.normalization) == (True, True, "imagenet")
    assert data == replace(DataConfig(translate=0.0, scale=0.0), normalization="imagenet")
    assert complete(settings) == settings
    for asked_for in (
        Settings(ModelConfig("lstm", "vgg16"), asked),
        Settings(ModelConfig("lstm", "conv4"), asked, on_features),
    ):
        assert complete(asked_for).model.pretrained is False
    with pytest.raises(
        ValueError,
        match="frozen is false, and the encoder of stored features is; leave out --no-fr",
    ):
        complete(Settings(ModelConfig("lstm", frozen=False), DATA, on_features))


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
        some, recognizer.classes, recognizer.model, data=recognizer.data, precision="32"
    )
    stored = recognizer.evaluate(samples)
    seen = [recognizer.predict(clip.path) for clip in some]
    np.testing.assert_allclose(
        stored.scores, np.stack([each.scores for each in seen]), atol=2e-3
    )
    assert stored.scores.std() > 1e-3
    assert seen[0].attention is not None
    again = evaluate(tmp_path / "run")
    assert (again["videos"], again["accuracy"]) == (measured["videos"], measured["accuracy"])
    assert again["log_loss"] == pytest.approx(measured["log_loss"], abs=1e-2)
    assert (tmp_path / "run" / "report.html").exists()


def test_frozen_weights_stay_and_are_in_no_checkpoint(run: Path) -> None:
    before: Any = build_encoder("conv4", 1, 16)
    assert weights_digest(before) == weights_digest(
        before.to(memory_format=torch.channels_last)
    )
    after = load_file(run / "model" / "model.safetensors")
    assert all(
        torch.equal(tensor, after[f"encoder.{name}"])
        for name, tensor in before.state_dict().items()
    )
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert any(name.startswith("model.cell") for name in state)
    assert not any(
        name.startswith("model.encoder") and name.endswith("weight") for name in state
    )


def test_clips_that_the_cache_lacks_are_encoded_when_training(
    squares: Path, tmp_path: Path
) -> None:
    files = [
        file
        for each in make(squares).results
        if not isinstance(each, ClipError)
        for file in each
    ]
    before = {file: file.read_bytes() for file in files}
    for file in files[:5]:
        file.unlink()
    files[5].write_bytes(before[files[5]][:-20])
    np.save(files[6], np.load(files[6]) * np.float16(np.nan))  # of another program
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


def test_features_that_cannot_be_used_are_errors(squares: Path) -> None:
    net = create_model("convnet", 4, encoder="conv4", in_channels=1, size=16)
    labels = ("down", "left", "right", "up")
    data = replace(DATA, normalization="half")
    samples, _ = encoded_clips(find_clips(squares), labels, net, data=data)
    samples.files[3][0].unlink()
    with pytest.raises(
        ClipError,
        match=r"what is stored of it is damaged or gone .*; run the same command again",
    ):
        _ = samples[3]
    net.encoder = None
    with pytest.raises(
        ValueError, match="Classifier needs frames, not stored features; leave out --features"
    ):
        encoded_clips(find_clips(squares), labels, net, data=data)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an empty cache."""
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "cache"))


def encode(clips: list[Path], data: DataConfig = POOLED, **options: Any) -> Encoded:
    return encode_clips(clips, pooling(data, **options), data)


def file_of(clip: Path, data: DataConfig = POOLED) -> Path:
    (files,) = encode([clip], data).results
    assert isinstance(files, tuple)
    return files[0]


@pytest.mark.parametrize(
    ("frames", "data", "stored", "count"),
    [
        (9, POOLED, 4, 4),
        # a short clip repeats its last frame, which is stored once
        (3, replace(POOLED, frames=10), 3, 10),
    ],
)
def test_stored_features_equal_the_output_of_the_encoder(
    make_clip: Make,
    monkeypatch: pytest.MonkeyPatch,
    frames: int,
    data: DataConfig,
    stored: int,
    count: int,
) -> None:
    monkeypatch.setattr(features, "_BATCH_ON_CPU", 3)
    paths = [make_clip("a.mp4", frames=frames), make_clip("b.avi")]
    made = encode(paths, data)
    assert (made.new, made.failed) == (2, ())
    maps = np.load(file_of(paths[0], data))
    assert (maps.dtype, maps.shape) == (np.float16, (stored, 4, 4, 3))
    expected = pooled(resize(read(paths[0], count).pixels, 16, 3)).astype(np.float32)
    rows = load_rows((file_of(paths[0], data),), partial(equally_spaced, count=count))
    np.testing.assert_allclose(rows.astype(np.float32), expected, atol=1e-3)
    assert encode(paths, data, meanwhile=NEVER) == Encoded(made.results, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"channels": 1},
        {"modality": "flow"},
        {"modality": "both"},
        {"frames": 40},
        {"frames": 1},
    ],
    ids=str,
)
def test_a_clip_is_sampled_as_for_training(
    make_clip: Make, tmp_path: Path, changes: dict[str, Any]
) -> None:
    path = make_clip(frames=37)
    data = replace(POOLED, **changes)
    np.testing.assert_array_equal(
        stored_frames(VideoReader(path), data, ArrayCache(tmp_path)),
        read_sample(path, data).pixels[:37],
    )


def test_a_renamed_or_copied_clip_is_found_and_a_changed_one_is_not(
    make_clip: Make, tmp_path: Path
) -> None:
    encode([path := make_clip()])
    copy = Path(shutil.copy(path, tmp_path / "copy.mp4"))
    moved = path.rename(tmp_path / "moved.mp4")
    assert encode([copy, moved], meanwhile=NEVER).new == 0
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    assert encode([copy]).new == 1


def test_a_key_has_all_that_features_depend_on(make_clip: Make) -> None:
    path = make_clip(frames=20)
    names = [
        {},
        {"frames": 5},
        {"size": 32},
        {"channels": 1},
        {"normalization": "imagenet"},
        {"modality": "both"},
        {"modality": "flow"},
    ]
    sampled = [replace(POOLED, **changes) for changes in names]
    results: list[Any] = [encode([path], data).results[0] for data in sampled]
    others: list[Any] = [(pooling(scale=2.0), "32"), (pooling(), "bf16")]
    results += [
        encode_clips([path], net, POOLED, precision).results[0] for net, precision in others
    ]
    assert len(set(results)) == len(names) + len(others)
    assert (file_of(path, replace(POOLED, translate=0.5, hflip=True)),) == results[0]


def test_clips_that_cannot_be_read_are_named_and_the_others_are_encoded(
    make_clip: Make, tmp_path: Path
) -> None:
    good = make_clip("a.mp4")
    empty = tmp_path / "b.mp4"
    text = tmp_path / "c.mp4"
    empty.touch()
    text.write_text("no video", encoding="utf-8")
    still = make_clip("still.mp4", frames=1)
    made = encode(
        [empty, good, text, tmp_path / "d.mp4", still], replace(POOLED, modality="both")
    )
    assert [(error.path.name, error.found[:10]) for error in made.failed] == [
        ("b.mp4", "zero bytes"),
        ("c.mp4", "not a vide"),
        ("d.mp4", "cannot be "),
        ("still.mp4", "1 frame de"),
    ]
    assert not isinstance(made.results[1], ClipError)
    assert made.new == len(cached()) == 1
    with pytest.raises(ClipError, match=r"b\.mp4: zero bytes"):
        encode([empty])
    with pytest.raises(ClipError, match=r"none of 2 clips can be read; .*b.mp4: zero bytes"):
        encode([empty, text])


def test_features_that_overflow_half_precision_are_an_error(make_clip: Make) -> None:
    with pytest.raises(
        ValueError, match=r"clip.mp4: features up to [\d.e+]+ are beyond half precision"
    ):
        encode([make_clip()], scale=1e6)
    assert cached() == {}


def test_features_beyond_the_limit_of_the_cache_are_an_error(
    make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [make_clip(f"{n:02}.mp4", frames=3 + n) for n in range(20)]
    batches = list[Tensor]()
    monkeypatch.setenv("ONLOOKER_CACHE_LIMIT", "2KB")  # a clip has at least 400 bytes
    with pytest.raises(
        ValueError, match=r"the features do not fit into .* 2.0 kB; raise ONLOOKER_CACHE_LIMIT"
    ):
        encode(paths, meanwhile=batches.append)
    assert len(batches) < 12


# A slow encoder, that says when it is at a batch.
WORKER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from pooling import DATA, encode_clips, pooling
from onlooker.run import features

def meanwhile(frames):
    print("batch", flush=True)
    time.sleep(0.05)

features._BATCH_ON_CPU, features._DECODERS = 1, 1
made = encode_clips(sorted(Path(sys.argv[2]).iterdir()), pooling(meanwhile=meanwhile), DATA)
print(made.new, len(made.failed), flush=True)
"""


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_encoding_that_was_killed_can_be_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    clips = tmp_path / "clips"
    chance = random.Random(0)
    paths = make_folders(clips, 2 * kills)
    encode(paths)
    expected = cached()
    monkeypatch.setenv("ONLOOKER_CACHE", str(tmp_path / "killed"))
    (tmp_path / "killed").mkdir()
    words = [
        sys.executable,
        "-c",
        WORKER,
        str(Path(__file__).parents[1] / "support"),
        str(clips),
    ]
    for _ in range(kills):
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        # Counted in batches, so that a slow machine is killed at work as well; a clip has two.
        for _ in range(chance.randint(1, 4)):
            process.stdout.readline()
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.communicate()
        left = cached()
        # Whatever has its name is whole.
        assert all(left[name] == expected[name] for name in left if not name.startswith("."))
    assert encode(paths).failed == ()
    assert expected.items() <= cached().items()
