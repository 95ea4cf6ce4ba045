"""Clips of one scene, and copies: generated ones are found, others are not, and splits keep them
together.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import scene
from numpy.typing import NDArray

from onlooker.base.records import Clip
from onlooker.data.scenes import (
    copies,
    count_joined,
    join_clips,
    plan_joined,
    scene_images,
    scenes,
    seen,
    thumbnails,
)
from onlooker.data.split import count_groups, fold_clips, group_of, split_clips

Images = NDArray[np.uint8]


def small(*videos: NDArray[np.uint8]) -> Images:
    return np.stack([thumbnails(video) for video in videos])


def groups(images: Images) -> list[int]:
    return scenes(scene_images(images)).tolist()


def listed(labels: str, recordings: str = "") -> list[Clip]:
    names = list(recordings) or [None] * len(labels)
    return [
        Clip(Path(f"{label}/{i}.mp4"), label, name)
        for i, (label, name) in enumerate(zip(labels, names, strict=True))
    ]


def cuts(scene_count: int, takes: int) -> Images:
    return small(*(scene(seed, take=take) for seed in range(scene_count) for take in range(takes)))


def test_other_takes_of_a_scene_are_of_its_group() -> None:
    videos = [scene(seed, take=take) for take in range(3) for seed in range(5)]
    videos[7] = (videos[7] * 0.6).astype(np.uint8)
    assert groups(small(*videos)) == [0, 1, 2, 3, 4] * 3


def test_a_thing_on_black_and_black_bars_are_no_scene() -> None:
    on_black = np.zeros((6, 8, 96, 96, 3), np.uint8)
    for seed, video in enumerate(on_black):
        video[:, 30:55, 40:60] = scene(seed, T=8)[:, 30:55, 40:60]
    assert groups(small(*on_black)) == list(range(6))
    with_bars = [scene(seed) for seed in range(6)]
    for video in with_bars:
        video[:, :20] = video[:, -20:] = 0
    assert groups(small(*with_bars)) == list(range(6))
    assert groups(small(*[np.zeros((8, 96, 96, 3), np.uint8)] * 3)) == [0, 1, 2]


def test_blocks_equal_a_plain_loop() -> None:
    images = cuts(50, 3)
    order = np.random.default_rng(0).permutation(len(images))
    seeds = np.arange(50).repeat(3)[order].tolist()
    assert groups(images[order]) == [seeds.index(seed) for seed in seeds]


def test_copies_have_the_same_motion_and_other_takes_do_not() -> None:
    video = scene(0)
    gray = scene(1)[..., :1]
    changed = [
        video,
        video[:, 2:-2, 2:-2],
        (video * 0.7).astype(np.uint8),
        scene(0, take=1),
        gray,
        gray,
    ]
    assert copies(small(*changed)).tolist() == [0, 0, 0, 3, 4, 4]
    still = np.repeat(video[:1], 8, 0)
    other = np.repeat(scene(2)[:1], 8, 0)
    black = np.zeros_like(still)
    assert copies(small(still, still, other, black, black)).tolist() == [0, 0, 2, 3, 4]


def test_scenes_that_are_known_are_seen() -> None:
    images = scene_images(small(scene(0), scene(1), scene(0, take=1), scene(2)))
    parts = ["training", "training", "test", "test"]
    assert seen(images, parts).tolist() == [True, False, True, False]
    assert not seen(images, ["one"] * 4).any()


def test_splits_and_folds_keep_scenes_together_also_across_classes() -> None:
    clips = listed("abc" * 20)
    joined = join_clips(clips, cuts(12, 5))
    assert count_joined(joined) == (60, 12)
    assert count_groups(joined) == ({"a": 12, "b": 12, "c": 12}, "scene")
    scene_of = {clip.path: i // 5 for i, clip in enumerate(clips)}
    for split in fold_clips(joined, 3):
        tested = {scene_of[clip.path] for clip in split.test}
        assert not tested & {scene_of[clip.path] for clip in (*split.training, *split.validation)}


def test_one_background_for_all_is_no_group_but_copies_are() -> None:
    takes = [scene(0, take=take) for take in range(12)]
    clips = listed("abababababab")
    assert join_clips(clips, small(*takes)) == clips
    joined = join_clips(clips, small(*takes[:11], takes[0]))
    assert count_joined(joined) == (2, 1)
    assert group_of(joined[0]) == group_of(joined[11])
    assert count_groups(joined)[1] == "clip"
    mostly = join_clips(clips, small(*takes[:9], scene(1), scene(1, take=1), scene(2)))
    assert count_joined(mostly) == (2, 1)


def test_a_class_in_one_scene_can_still_be_divided() -> None:
    clips = listed("aaaaabbbbbccccc")
    assert join_clips(clips, cuts(3, 5)) == clips, (
        "the scene tells the class, so nothing can be kept apart"
    )
    clips = listed("aaaaa" + "bc" * 20)
    for by_scene, counts in ((True, (40, 8)), (False, (0, 0))):
        plan = plan_joined(split_clips, clips, cuts(9, 5), by_scene=by_scene)
        assert count_joined(plan.clips) == counts


def test_given_recordings_are_joined_only_by_copies() -> None:
    clips = listed("abababab", "11223344")
    assert join_clips(clips, cuts(2, 4)) == clips
    images = small(*(scene(seed) for seed in range(7)), scene(0))
    recordings = [clip.recording for clip in join_clips(clips, images)]
    assert recordings == ["1", "1", "2", "2", "3", "3", "1", "1"]


@pytest.mark.parametrize("channels", [1, 3])
def test_thumbnails_are_means_of_equally_spaced_frames(channels: int) -> None:
    video = scene(3, T=15, side=112)[..., :channels]
    images = thumbnails(video)
    assert images.shape == (8, 16, 16)
    gray = cv2.cvtColor(video[-1], cv2.COLOR_RGB2GRAY) if channels == 3 else video[-1, ..., 0]
    np.testing.assert_allclose(images[-1], gray.reshape(16, 7, 16, 7).mean((1, 3)), atol=0.51)
