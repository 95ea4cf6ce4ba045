"""What is in a folder of clips, and splits that keep apart what belongs apart."""

import csv
import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from onlooker.data.folder import Split, few_of_each, find_clips, fold_clips, leave_one_out, make_splits, split_clips
from onlooker.structures import Clip, ClipError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def pictures(folder: Path, count: int = 3) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (8, 8)).save(folder / f"{number:03}.png")


def record(folder: Path, rows: Sequence[tuple[str, ...]], header: Sequence[str] = ("clip", "recording")) -> None:
    with (folder / "recordings.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def two_classes(folder: Path) -> Path:
    touch(folder / "clap" / "b.mp4", folder / "clap" / "a.avi", folder / "wave" / "c.MOV")
    return folder


def made(recordings: Sequence[Sequence[int]], classes: int) -> list[Clip]:
    """Clips of `recordings`, each a list of the classes of its clips."""
    clips = [
        Clip(Path(f"{label % classes}/{r}-{i}.mp4"), str(label % classes), str(r))
        for r, labels in enumerate(recordings)
        for i, label in enumerate(labels)
    ]
    return sorted(clips, key=lambda clip: clip.path)


def sides(split: Split) -> tuple[tuple[Clip, ...], ...]:
    return split.training, split.validation, split.test


def keeps_apart(split: Split, clips: Sequence[Clip]) -> None:
    """Every clip on exactly one side, no recording on two."""
    assert Counter(clip for side in sides(split) for clip in side) == Counter(clips)
    groups = [{clip.recording or str(clip.path) for clip in side} for side in sides(split)]
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_clips_are_video_files_and_folders_of_numbered_pictures_in_order(tmp_path: Path) -> None:
    two_classes(tmp_path)
    pictures(tmp_path / "wave" / "d")
    found = [(str(clip.path.relative_to(tmp_path)), clip.label, clip.recording) for clip in find_clips(tmp_path)]
    assert found == [
        ("clap/a.avi", "clap", None),
        ("clap/b.mp4", "clap", None),
        ("wave/c.MOV", "wave", None),
        ("wave/d", "wave", None),
    ]


def test_what_is_hidden_or_no_clip_is_left_alone(tmp_path: Path) -> None:
    two_classes(tmp_path)
    touch(tmp_path / ".git" / "a.mp4", tmp_path / "clap" / ".a.mp4", tmp_path / "clap" / "notes.txt")
    touch(tmp_path / "loose.mp4", tmp_path / "clap" / "deeper" / "e.mp4")
    touch(tmp_path / "wave" / "thumb1.jpg")  # one picture does not make a class a clip
    assert len(find_clips(tmp_path)) == 3


def test_a_class_without_clips_is_not_lost_in_silence(tmp_path: Path) -> None:
    two_classes(tmp_path)
    touch(tmp_path / "jump" / "deeper" / "e.mp4")
    with pytest.raises(ClipError, match=r"jump: no clips; a class holds video files, or a folder of numbered pictures"):
        find_clips(tmp_path)


def test_pictures_loose_in_a_class(tmp_path: Path) -> None:
    two_classes(tmp_path)
    pictures(tmp_path / "jump")
    with pytest.raises(ClipError, match=r"jump: numbered pictures but no clips; .* a folder .* for each clip"):
        find_clips(tmp_path)


def test_names_of_recordings_cannot_lead_out_of_the_run() -> None:
    clips = [
        Clip(Path(f"{label}/{p}.mp4"), label, p) for label in "ab" for p in ("../../x", "..\\..\\x", "/etc", "b c")
    ]
    splits = make_splits(clips, leave_out=True)
    assert len(splits) == 4
    assert all(re.fullmatch(r"[\w-]+", name) for name in splits)


@pytest.mark.parametrize("names", [(), ("clap/a.mp4",), ("a.mp4", "b.mp4")])
def test_fewer_than_two_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(*(tmp_path / name for name in names))
    count = sum("/" in name for name in names)
    with pytest.raises(ClipError, match=rf"{count} sub-folders?; expected at least 2, each with"):
        find_clips(tmp_path)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"nowhere: no such folder; give a folder with one class a sub-folder"):
        find_clips(tmp_path / "nowhere")


def test_recordings_come_from_the_csv(tmp_path: Path) -> None:
    two_classes(tmp_path)
    record(tmp_path, [("clap/a.avi", "anna"), ("wave/c.MOV", "anna"), ("clap/b.mp4", "ben"), ("gone/x.mp4", "eve")])
    assert [clip.recording for clip in find_clips(tmp_path)] == ["anna", "ben", "anna"]


def test_recordings_written_by_a_spreadsheet(tmp_path: Path) -> None:
    two_classes(tmp_path)
    record(tmp_path, [("clap/a.avi", "é"), ("wave/c.MOV", "é"), ("clap/b.mp4", "ben")])
    path = tmp_path / "recordings.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # a byte order mark
    assert [clip.recording for clip in find_clips(tmp_path)] == ["é", "ben", "é"]
    path.write_bytes(path.read_bytes()[3:].decode("utf-8").encode("latin-1"))
    with pytest.raises(ClipError, match=r"recordings.csv: not UTF-8 .*; save it as CSV in UTF-8"):
        find_clips(tmp_path)


@pytest.mark.parametrize(
    "rows", [[("clap/a.avi", "anna")], [("clap/a.avi", "anna"), ("clap/b.mp4", ""), ("wave/c.MOV",)]]
)
def test_a_clip_without_recording(tmp_path: Path, rows: list[tuple[str, ...]]) -> None:
    record(two_classes(tmp_path), rows)
    with pytest.raises(ClipError, match=r"2 of 3 clips are not listed, such as clap/b.mp4; add a row for each"):
        find_clips(tmp_path)


def test_other_columns(tmp_path: Path) -> None:
    record(two_classes(tmp_path), [], ("file;recording",))
    with pytest.raises(ClipError, match=r"columns file;recording; expected clip and recording"):
        find_clips(tmp_path)
    (tmp_path / "recordings.csv").write_bytes(b"")
    with pytest.raises(ClipError, match="expected clip and recording"):
        find_clips(tmp_path)


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=8), min_size=5, max_size=20),
    st.integers(2, 4),
    st.integers(2, 5),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_folds_are_disjoint_complete_and_keep_recordings_whole(
    recordings: list[list[int]], classes: int, folds: int, seed: int
) -> None:
    clips = made(recordings, classes)
    try:
        splits = fold_clips(clips, folds, seed)
    except ValueError as error:
        known = ("need at least", "no clips for", "cannot be parted")
        assert any(words in str(error) for words in known)  # noqa: PT017 - or there are no splits
        return
    assert len(splits) == folds
    for split in splits:
        keeps_apart(split, clips)
    assert Counter(clip for split in splits for clip in split.test) == Counter(clips)


@given(st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=8), min_size=10, max_size=25), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_a_class_that_is_tested_is_also_learned(recordings: list[list[int]], seed: int) -> None:
    clips = made(recordings, 2)
    try:
        splits = fold_clips(clips, 3, seed)
    except ValueError:
        return
    for split in splits:
        assert {clip.label for clip in split.training} == {clip.label for clip in clips}


@pytest.mark.parametrize("seed", range(10))
def test_clips_without_recordings_are_shared_out_class_by_class(seed: int) -> None:
    counts = {"a": 60, "b": 30, "c": 10}
    clips = [Clip(Path(f"{label}/{i}.mp4"), label) for label, count in counts.items() for i in range(count)]
    split = split_clips(clips, seed)
    keeps_apart(split, clips)
    for label, count in counts.items():
        tested, chosen, learned = (
            sum(c.label == label for c in side) for side in (split.test, split.validation, split.training)
        )
        assert tested == count / 5
        assert abs(chosen - (count - tested) / 6) < 1
        assert learned > chosen


def test_the_same_seed_the_same_split_and_another_another() -> None:
    clips = [Clip(Path(f"{i % 3}/{i}.mp4"), str(i % 3)) for i in range(60)]
    assert split_clips(clips, 1) == split_clips(clips, 1)
    assert split_clips(clips, 1) != split_clips(clips, 2)


def test_leaving_each_recording_out() -> None:
    people = random.Random(0).sample(range(1, 13), 12)
    clips = [Clip(Path(f"{label}/{p}.mp4"), label, str(p)) for label in "abc" for p in people]
    splits = leave_one_out(clips)
    assert list(splits) == [str(p) for p in range(1, 13)]  # 9 before 10
    for name, split in splits.items():
        keeps_apart(split, clips)
        assert {clip.recording for clip in split.test} == {name}
        assert len(split.test) == 3


def test_names_that_look_like_numbers_but_are_none_can_be_left_out() -> None:
    clips = [Clip(Path(f"{label}/{p}.mp4"), label, p) for label in "ab" for p in ("²", "③", "x", "7")]
    assert next(iter(leave_one_out(clips))) == "7"


@pytest.mark.parametrize("recordings", [(None,) * 4, ("a", "b"), ("a", "b", "c", None)])
def test_recordings_that_cannot_be_left_out(recordings: tuple[str | None, ...]) -> None:
    clips = [Clip(Path(f"{label}/{i}.mp4"), label, r) for label in "xy" for i, r in enumerate(recordings)]
    known = len({r for r in recordings if r})
    with pytest.raises(ValueError, match=rf"{known} recordings are known; .*recordings.csv .*at least 3"):
        leave_one_out(clips)


def test_too_few_for_so_many_parts() -> None:
    clips = [Clip(Path(f"{label}/{i}.mp4"), label) for label in "ab" for i in range(2 if label == "b" else 9)]
    with pytest.raises(ValueError, match="class b has 2 clips, 3 parts need at least 3; add some, or ask for fewer"):
        split_clips(clips)
    clips += [Clip(Path(f"b/{i}.mp4"), "b") for i in range(2, 9)]
    clips = [Clip(c.path, c.label, f"person {i % 3}") for i, c in enumerate(clips)]
    with pytest.raises(ValueError, match=r"class [ab] has 3 recordings, 4 parts need at least 4"):
        fold_clips(clips, 4)
    with pytest.raises(ValueError, match="folds is 1, expected at least 2"):
        fold_clips(clips, 1)


def test_a_class_of_three_clips_is_on_all_sides() -> None:
    clips = [Clip(Path(f"{label}/{i}.mp4"), label) for label in "ab" for i in range(3)]
    assert [len(side) for side in sides(split_clips(clips))] == [2, 2, 2]


def test_recordings_that_hold_all_of_a_class_cannot_be_parted() -> None:
    clips = [Clip(Path(f"{label}/{r}.mp4"), label, r) for label in "ab" for r in "pqrs"]
    clips += [Clip(Path("c/p.mp4"), "c", "p")]
    with pytest.raises(ValueError, match="cannot be parted so that every class has clips"):
        leave_one_out(clips)


def test_a_split_refuses_empty_sides_and_what_is_on_two() -> None:
    a, b, c = (Clip(Path(f"x/{name}.mp4"), "x") for name in "abc")
    with pytest.raises(ValueError, match="no clips for validation: training 1, validation 0, test 1"):
        Split((a,), (), (b,))
    with pytest.raises(ValueError, match=r"x.a.mp4 is in training and in test; a split must keep them apart"):
        Split((a,), (b,), (a, c))
    tom = [Clip(clip.path, "x", "tom") for clip in (a, b)]
    with pytest.raises(ValueError, match="recording tom is in training and in validation"):
        Split((tom[0],), (tom[1],), (c,))


def test_a_split_is_found_again_where_the_folder_has_moved(tmp_path: Path) -> None:
    for label in "ab":
        touch(*(tmp_path / "old" / label / f"{i}.mp4" for i in range(6)))
    values = split_clips(find_clips(tmp_path / "old")).to_dict(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    split = Split.from_dict(values, tmp_path / "new")
    assert split.to_dict(tmp_path / "new") == values
    keeps_apart(split, find_clips(tmp_path / "new"))
    gone = str(values["test"][0]["path"])
    (tmp_path / "new" / gone).unlink()
    with pytest.raises(ClipError, match=rf"{gone}: not found; the split of the run names it; restore it"):
        Split.from_dict(values, tmp_path / "new")


def test_weizmann_keeps_its_people_apart(real_data: Path) -> None:
    folder = real_data / "clips" / "weizmann" / "frames"
    if not folder.is_dir():
        pytest.skip("no Weizmann clips here")
    clips = find_clips(folder)
    assert len(clips) == 93
    assert len({clip.label for clip in clips}) == 10
    assert len({clip.recording for clip in clips}) == 9
    splits = fold_clips(clips, 3)
    for split in splits:
        keeps_apart(split, clips)
        assert len({clip.recording for clip in split.test}) == 3
        assert {clip.label for clip in split.training} == {clip.label for clip in clips}
    assert np.ptp([len(split.test) for split in splits]) <= 3
    assert len(leave_one_out(clips)) == 9


def test_a_few_clips_of_each_class_are_spread_over_it() -> None:
    clips = [Clip(Path(f"{label}/{k}.mp4"), label) for label, count in (("a", 6), ("b", 2)) for k in range(count)]
    assert [clip.path.as_posix() for clip in few_of_each(clips, 3)] == [
        "a/0.mp4", "a/2.mp4", "a/4.mp4", "b/0.mp4", "b/1.mp4"
    ]  # fmt: skip
    assert few_of_each(clips, 0) == clips
