"""Clips of published sets are found by name, because copies are often encoded again."""

from pathlib import Path

from onlooker_papers.published_sets.official import clip_files


def test_files_of_another_suffix_or_with_other_capitals(tmp_path: Path) -> None:
    for name in ("Wave/a.mp4", "Wave/A.avi", "walk/a.mp4", "walk/b.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    find = clip_files(tmp_path)
    for asked, found in (
        ("Wave/A.avi", "Wave/A.avi"),
        ("Wave/a.mp4", "Wave/a.mp4"),
        ("walk/a.avi", "walk/a.mp4"),
        ("WALK/A.avi", "walk/a.mp4"),
        ("walk/b.avi", "walk/b.avi"),  # which does not exist
    ):
        assert find(tmp_path / asked) == tmp_path / found
