"""Sets of clips in the user's data folder: which are found, which is taken, what they are called."""

from pathlib import Path

import moving_squares
import pytest

from onlooker_papers.sets import available_sets, nearest_to, set_name, set_path


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of sets: squares, people (its images in `frames`), and what is no set."""
    clips = tmp_path / "data" / "clips"
    moving_squares.make_set(clips / "squares", clips=1, frames=2)
    for label in ("jump", "run", "walk"):
        (clips / "people" / "frames" / label / "one").mkdir(parents=True)
        (clips / "people" / "frames" / label / "one" / "001.png").touch()
    (clips / "people" / "masks").mkdir()
    (clips / "empty").mkdir()
    (clips / ".hidden").mkdir()
    (clips / "readme.txt").touch()
    monkeypatch.setenv("ONLOOKER_DATA", str(tmp_path / "data"))
    return clips


def test_sets_are_found_with_their_images_next_to_masks(data: Path) -> None:
    assert available_sets() == [data / "people" / "frames", data / "squares"]


def test_there_are_none_without_the_variable_or_its_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    assert available_sets() == [], "the variable names a folder that is not there"
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("ONLOOKER_DATA", "")
    assert available_sets() == []
    monkeypatch.delenv("ONLOOKER_DATA")
    assert available_sets() == []


def test_the_set_with_the_nearest_number_of_classes(data: Path) -> None:
    assert nearest_to(2, available_sets()) == data / "people" / "frames"
    assert nearest_to(9, available_sets()) == data / "squares"


def test_names_are_those_of_sets_and_not_of_places(data: Path) -> None:
    assert [set_name(path) for path in available_sets()] == ["people", "squares"]
    assert [set_path(path).as_posix() for path in available_sets()] == ["people/frames", "squares"]
