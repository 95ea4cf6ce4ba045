"""Models of moving digits on hand gestures."""

import shutil
from pathlib import Path

from moving_squares import make_set

from onlooker.data.folder import find_clips
from onlooker_papers.digits.hands import digest


def test_results_belong_to_the_contents_of_a_folder_not_to_its_name(tmp_path: Path) -> None:
    hands = make_set(tmp_path / "hands", clips=2, frames=2)
    moved = Path(shutil.copytree(hands, tmp_path / "elsewhere" / "gestures"))
    assert digest(find_clips(hands)) == digest(find_clips(moved))
    others = make_set(tmp_path / "others" / "hands", clips=2, frames=3)
    assert digest(find_clips(others)) != digest(find_clips(hands))
    one, other = (path.name for path in sorted(moved.iterdir())[:2])
    (moved / one).rename(moved / "swapped")
    (moved / other).rename(moved / one)
    (moved / "swapped").rename(moved / other)
    assert digest(find_clips(moved)) != digest(find_clips(hands)), "other labels"
