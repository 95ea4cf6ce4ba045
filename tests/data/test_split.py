"""Splits keep recordings, scenes and copies together: stratified splits, folds, stored splits."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import find_clips, make_images, scene, touch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from onlooker.base.records import Clip, ClipError
from onlooker.data import split as splits
from onlooker.data.scenes import (
    copies,
    count_joined,
    is_joined,
    plan_joined,
    scene_images,
    scenes,
    seen,
    thumbnails,
)
from onlooker.data.split import (
    Split,
    copies_of,
    count_groups,
    fingerprint,
    fold_clips,
    group_of,
    hold_out_validation,
    require_clips,
    split_clips,
)


def made(recordings: Sequence[Sequence[int]], classes: int) -> list[Clip]:
    """Clips of `recordings`, each a list of the classes of its clips."""
    clips = [
        Clip(Path(f"{label % classes}/{r}-{i}.mp4"), str(label % classes), str(r))
        for r, labels in enumerate(recordings)
        for i, label in enumerate(labels)
    ]
    return sorted(clips, key=lambda clip: clip.path)


def keeps_apart(split: Split, clips: Sequence[Clip]) -> None:
    """Every clip is in exactly one split, no recording in two."""
    assert Counter(split.clips) == Counter(clips)
    parts = split.training, split.validation, split.test
    groups = [{clip.recording or str(clip.path) for clip in part} for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups))


def clips_of(counts: dict[str, int]) -> list[Clip]:
    """Clips of some classes, without recordings."""
    return [
        Clip(Path(f"{label}/{i}.mp4"), label)
        for label, count in counts.items()
        for i in range(count)
    ]


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=8), min_size=5, max_size=20),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(0, 5),
)
@settings(max_examples=120, deadline=None)
def test_splits_and_folds_are_disjoint_complete_and_keep_recordings_whole(
    recordings: list[list[int]], classes: int, folds: int, seed: int
) -> None:
    clips = made(recordings, classes)
    try:
        splits = [split_clips(clips, seed)] if folds == 1 else fold_clips(clips, folds, seed)
    except ValueError as error:
        known = ("need at least", "no clips for", "cannot be divided")
        assert any(words in str(error) for words in known)  # noqa: PT017 - or there are no splits
        return
    assert len(splits) == folds
    for split in splits:
        keeps_apart(split, clips)
        assert all((split.training, split.validation, split.test))
        assert {clip.label for clip in split.training} == {clip.label for clip in clips}
    if folds > 1:
        assert Counter(clip for split in splits for clip in split.test) == Counter(clips)


@pytest.mark.parametrize("seed", range(10))
def test_splits_without_recordings_are_stratified(seed: int) -> None:
    counts = {"a": 60, "b": 30, "c": 10}
    clips = clips_of(counts)
    split = split_clips(clips, seed)
    keeps_apart(split, clips)
    for label, count in counts.items():
        parts = (split.test, split.validation, split.training)
        tested, chosen, learned = (sum(clip.label == label for clip in part) for part in parts)
        assert tested == count / 5
        assert abs(chosen - (count - tested) / 6) < 1
        assert learned > chosen


PERSONS = [
    Clip(clip.path, clip.label, f"person {i % 3}")
    for i, clip in enumerate(clips_of({"a": 9, "b": 9}))
]
DAYS = [Clip(Path(f"{label}/{day}.mp4"), label, day) for label in "ab" for day in "pqrs"]
ALL_OF_C = [Clip(Path("c/p.mp4"), "c", "p")]


@pytest.mark.parametrize(
    ("divide", "message"),
    [
        (
            lambda: split_clips(clips_of({"a": 9, "b": 2})),
            "class b has 2 clips; training, validation and test need at least 3; add some, or",
        ),
        (
            lambda: fold_clips(PERSONS, 4),
            "has 3 recordings; 4 folds need at least 4; add some, or use fewer folds",
        ),
        (lambda: fold_clips(PERSONS, 1), "folds is 1, expected at least 2"),
        (
            lambda: hold_out_validation(DAYS, ALL_OF_C),
            "cannot be divided so that every class has training clips",
        ),
    ],
    ids=[
        "a class of two",
        "a class of three recordings",
        "one fold",
        "a class in one recording",
    ],
)
def test_what_cannot_be_divided_is_an_error(divide: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        divide()


def test_a_single_recording_is_divided_by_time() -> None:
    paths = [Path(f"day.mp4#t={start},{start + 2}") for start in (100, 2, 30.5, 7)]
    clips = [Clip(path, label, "day.mp4") for label in "ab" for path in paths]
    with pytest.raises(
        ValueError,
        match=r"class a has 1 recording; .*; or divide recordings by time \(--divide\)",
    ):
        split_clips(clips)
    divided = splits.divide_recordings(clips)
    parts = [clip.recording for clip in divided[:4]]
    assert parts == [f"day.mp4#part={part}" for part in (4, 1, 3, 2)]
    assert {splits.source_of(clip) for clip in divided} == {"recording day.mp4#part="}
    assert {clip.label for clip in split_clips(divided).training} == {"a", "b"}
    several = clips[:4] + [Clip(Path(f"{name}.mp4"), "a", name) for name in "xyz"]
    assert splits.divide_recordings(several) == several, "a class of several recordings"


def test_a_split_with_empty_parts_or_shared_clips_is_an_error() -> None:
    a, b, c = clips_of({"x": 3})
    tom = [Clip(clip.path, "x", "tom") for clip in (a, b)]
    for parts, message in (
        (((a,), (), (b,)), "no clips for validation: training 1, validation 0, test 1"),
        (((a,), (b,), (a, c)), r"x.0.mp4 is in training and in test; splits must not share it"),
        (((tom[0],), (tom[1],), (c,)), "recording tom is in training and in validation"),
    ):
        with pytest.raises(ValueError, match=message):
            Split(*parts)


def six_of_each(folder: Path) -> list[Clip]:
    touch(folder, *(f"{label}/{i}.mp4" for label in "ab" for i in range(6)))
    for number, path in enumerate(folder.glob("*/*")):
        path.write_text(str(number))
    return find_clips(folder)


def test_a_stored_split_can_be_read_without_its_clips(tmp_path: Path) -> None:
    values = split_clips(six_of_each(tmp_path / "old")).to_dict(tmp_path / "old")
    split = Split.from_dict(values, tmp_path / "elsewhere")
    assert split.to_dict(tmp_path / "elsewhere") == values
    with pytest.raises(
        ClipError,
        match=r"a.\d.mp4: not found, like 5 more .*; the run was trained with it; give",
    ):
        require_clips(split.training)
    (tmp_path / "old").rename(tmp_path / "elsewhere")
    require_clips(split.clips)
    keeps_apart(split, find_clips(tmp_path / "elsewhere"))


def test_copies_of_a_file_are_equal_and_other_contents_differ(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # of more than one mebibyte
    variants = {
        "a.mp4": content,
        "first": b"x" + content[1:],
        "last": content[:-1] + b"x",
        "middle": content[: 1 << 20] + b"x" + content[1 + (1 << 20) :],
        "longer": content + b"x",
        "empty": b"",
    }
    for name, values in variants.items():
        (tmp_path / name).write_bytes(values)
    (tmp_path / "copy.avi").write_bytes(content)
    assert fingerprint(tmp_path / "copy.avi") == fingerprint(tmp_path / "a.mp4")
    assert len({fingerprint(tmp_path / name) for name in variants}) == len(variants)


def test_the_fingerprint_of_an_image_sequence_uses_all_images_in_order_but_not_their_names(
    tmp_path: Path,
) -> None:
    first, copy, swapped, shorter = (
        fingerprint(make_images(tmp_path / str(number), names))
        for number, names in enumerate(
            (["1.png", "2.png"], ["b1.png", "b2.png"], ["2.png", "1.png"], ["1.png"])
        )
    )
    assert first == copy
    assert first not in (swapped, shorter)


def test_copies_of_training_clips_are_recognized_by_content(tmp_path: Path) -> None:
    split = split_clips(six_of_each(tmp_path / "clips"))
    values = split.to_dict(tmp_path / "clips", fingerprints=True)
    assert Split.from_dict(values, tmp_path / "clips") == split
    new = tmp_path / "new.mp4"
    new.write_text("new")
    copies = []
    for i, clip in enumerate(split.clips):
        copies.append(Clip(tmp_path / f"renamed{i}.avi", clip.label))
        copies[-1].path.write_bytes(clip.path.read_bytes())
    learned = len(split.training) + len(split.validation)
    gone = Clip(tmp_path / "gone.mp4", "a")
    assert copies_of(values, [Clip(new, "a"), gone, *copies]) == copies[:learned]
    assert copies_of(split.to_dict(tmp_path / "clips"), copies) == []


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
    return small(
        *(scene(seed, take=take) for seed in range(scene_count) for take in range(takes))
    )


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
    joined = plan_joined(list, clips, cuts(12, 5))
    assert count_joined(joined) == (60, 12)
    assert count_groups(joined) == ({"a": 12, "b": 12, "c": 12}, "scene")
    scene_of = {clip.path: i // 5 for i, clip in enumerate(clips)}
    for split in fold_clips(joined, 3):
        tested = {scene_of[clip.path] for clip in split.test}
        assert not tested & {
            scene_of[clip.path] for clip in (*split.training, *split.validation)
        }


def test_one_background_for_all_is_no_group_but_copies_are() -> None:
    takes = [scene(0, take=take) for take in range(12)]
    clips = listed("abababababab")
    assert plan_joined(list, clips, small(*takes)) == clips
    joined = plan_joined(list, clips, small(*takes[:11], takes[0]))
    assert count_joined(joined) == (2, 1)
    assert group_of(joined[0]) == group_of(joined[11])
    assert count_groups(joined)[1] == "clip"
    mostly = plan_joined(list, clips, small(*takes[:9], scene(1), scene(1, take=1), scene(2)))
    assert count_joined(mostly) == (2, 1)


def test_a_class_in_one_scene_can_still_be_divided() -> None:
    clips = listed("aaaaabbbbbccccc")
    assert plan_joined(list, clips, cuts(3, 5)) == clips, (
        "the scene tells the class, so nothing can be kept apart"
    )
    clips = listed("aaaaa" + "bc" * 20)
    for by_scene, counts in ((True, (40, 8)), (False, (0, 0))):
        plan = plan_joined(split_clips, clips, cuts(9, 5), by_scene=by_scene)
        assert count_joined(plan.clips) == counts


def test_scenes_are_looked_for_among_clips_without_a_recording() -> None:
    clips = listed("abc" * 20)
    named = [
        replace(clip, recording="anna") if i in (0, 7) else clip for i, clip in enumerate(clips)
    ]
    joined = plan_joined(list, named, cuts(12, 5))
    assert count_joined(joined) == (58, 12)
    assert [clip.recording for clip in joined if not is_joined(clip)] == ["anna"] * 2
    counts, unit = count_groups(joined)
    assert (counts.total(), unit) == (2 + 12 * 3 - 1, "recording")

    one_room = small(*(scene(0, take=take) for take in range(12)))
    most = [replace(clip, recording=f"{i}") for i, clip in enumerate(clips[:8])] + clips[8:12]
    assert plan_joined(list, most, one_room) == most, "the scene of most clips, as of a camera"

    copied = small(scene(0), scene(1), scene(0), scene(2), scene(3), scene(2))
    mixed = listed("ababab")
    mixed[2] = replace(mixed[2], recording="ben")
    mixed[4] = replace(mixed[4], recording="ben")
    assert [clip.recording for clip in plan_joined(list, mixed, copied)][:5:2] == ["ben"] * 3


def test_a_class_is_divided_by_its_recordings_and_scenes_together() -> None:
    """Class a has one scene and two recordings: with the clips of the scene together, three units."""
    clips = listed("aaaaa" + "bc" * 20)
    clips[3] = replace(clips[3], recording="anna")
    clips[4] = replace(clips[4], recording="ben")
    images = np.concatenate([cuts(9, 5)[:3], small(scene(20), scene(21)), cuts(9, 5)[5:]])
    split = plan_joined(split_clips, clips, images)
    units = {group_of(clip) for clip in split.clips if clip.label == "a"}
    assert len(units) == 3


def test_given_recordings_are_joined_only_by_copies() -> None:
    clips = listed("abababab", "11223344")
    assert plan_joined(list, clips, cuts(2, 4)) == clips
    images = small(*(scene(seed) for seed in range(7)), scene(0))
    recordings = [clip.recording for clip in plan_joined(list, clips, images)]
    assert recordings == ["1", "1", "2", "2", "3", "3", "1", "1"]


@pytest.mark.parametrize("channels", [1, 3])
def test_thumbnails_are_means_of_equally_spaced_frames(channels: int) -> None:
    video = scene(3, T=15, side=112)[..., :channels]
    images = thumbnails(video)
    assert images.shape == (8, 16, 16)
    gray = cv2.cvtColor(video[-1], cv2.COLOR_RGB2GRAY) if channels == 3 else video[-1, ..., 0]
    np.testing.assert_allclose(images[-1], gray.reshape(16, 7, 16, 7).mean((1, 3)), atol=0.51)
