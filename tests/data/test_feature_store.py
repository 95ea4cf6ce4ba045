"""Feature maps are keyed by the content of a clip and the encoder; errors name other weights and versions."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pooling_store import DATA, SETTINGS, fill, made_store

from onlooker.data.feature_store import FeatureStore

Make = Callable[..., Path]


def test_a_renamed_or_copied_clip_is_found_and_a_changed_one_is_not(make_clip: Make, tmp_path: Path) -> None:
    store, path = made_store(tmp_path / "store"), make_clip()
    fill(store, [path])
    copy = Path(shutil.copy(path, tmp_path / "copy.mp4"))
    moved = path.rename(tmp_path / "moved.mp4")
    assert fill(store, [copy, moved]).existing == 2
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    assert fill(store, [copy]).new == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": "1" * 32}, f"made with weights {'0' * 32} .asked for: {'1' * 32}."),
        ({"encoder": "vgg16"}, "encoder pool .asked for: vgg16."),
        ({"precision": "bf16"}, "precision 32 .asked for: bf16."),
        ({"data": replace(DATA, size=32)}, "size 16 .asked for: 32."),
        ({"data": replace(DATA, normalization="imagenet")}, "normalization half .asked for: imagenet."),
        ({"every": True}, "frames 4 .asked for: every."),
        ({"data": replace(DATA, modality="flow")}, "modality rgb .asked for: flow., flow None .asked for: dis."),
    ],
)
def test_a_store_with_other_settings_or_weights_is_an_error(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    made_store(tmp_path)
    with pytest.raises(ValueError, match=said):
        made_store(tmp_path, **changes)
    assert FeatureStore.open(tmp_path).settings.to_dict() == SETTINGS.to_dict()
    made_store(tmp_path, data=replace(DATA, translate=0.5, hflip=True))  # augmentation plays no part


def test_a_folder_that_is_not_a_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no feature store there .*make one by `onlooker features CLIPS --store"
    ):
        FeatureStore.open(tmp_path)
    (tmp_path / "mine.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"files that are not a store's \(mine.txt\); choose a new folder"):
        made_store(tmp_path)
    (tmp_path / "store.json").write_text('{"version": 2, "encoder": "pool"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"store\.json: no pretrained; restore it"):
        FeatureStore.open(tmp_path)
