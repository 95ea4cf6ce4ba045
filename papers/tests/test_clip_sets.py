"""Names of sets of clips."""

from pathlib import Path

from onlooker_papers.sets import set_name, set_path


def test_names_are_those_of_sets_and_not_of_places() -> None:
    folders = [Path("clips/people/frames"), Path("clips/squares")]
    assert [set_name(path) for path in folders] == ["people", "squares"]
    assert [set_path(path).as_posix() for path in folders] == ["people/frames", "squares"]
