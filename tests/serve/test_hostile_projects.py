"""A folder of clips from elsewhere: nothing outside of it is moved or deleted, and damaged
notes are an error.
"""

import json
import os
from pathlib import Path

import pytest
from projects import add, restarted, tree

from onlooker.serve.problem import Problem
from onlooker.serve.project import Notes, Outcome, Project

NOTES = {"run": "", "tested": [], "confirmed": []}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no JSON", "page.json: not a complete JSON file"),
        (json.dumps(NOTES | {"run": 3}), "page.json: run is 3, expected text; delete it"),
        (json.dumps(NOTES | {"tested": [["a"]]}), "page.json: .* missing 5 required"),
        (
            json.dumps(NOTES | {"tested": [["a", "b", "c", "d", 1, 0]]}),
            "page.json: score is 'd', expected a number",
        ),
        (None, "page.json: not a regular file"),
    ],
)
def test_damaged_notes_are_an_error_that_says_what_to_do(
    tmp_path: Path, content: str | None, message: str
) -> None:
    file = tmp_path / "clips" / ".onlooker" / "page.json"
    file.parent.mkdir(parents=True)
    if content is None:
        os.mkfifo(file)
    else:
        file.write_text(content)
    with pytest.raises(ValueError, match=message):
        Project(tmp_path / "clips")


def test_notes_about_clips_outside_of_the_folder_are_ignored(project: Project) -> None:
    add(project, "a", "1")
    secret = project.folder.parent / "secret.mp4"
    secret.write_text("secret")
    names = ("evil", "../secret.mp4", str(secret))
    tested = [Outcome(name, "a", "b", 0.5, 0.1, 1) for name in names]
    project.remember(Notes("../../elsewhere", tested, [*names]))
    project = restarted(project)
    assert project.counts() == {"a": 1}
    assert project.tested("a", "b") == []
    for clip in names:
        with pytest.raises(Problem, match="no such clip"):
            project.delete_clip(clip)
    project.close()


@pytest.mark.parametrize("name", ["", "trash", "previews", "page.json", "lock"])
def test_a_store_that_is_a_link_is_refused(project: Project, name: str) -> None:
    precious = project.folder.parent / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("important")
    link = project.store / name
    link.parent.mkdir(parents=True)
    link.symlink_to(precious if name in ("", "trash", "previews") else precious / "thesis.txt")
    for attempt in (lambda: Project(project.folder), lambda: project.add_class("a")):
        with pytest.raises(
            ValueError, match=r"a link, expected a folder or file of the page; remove the link"
        ):
            attempt()
    assert [path.read_text() for path in precious.iterdir()] == ["important"]


def test_clips_behind_a_link_that_leads_out_of_the_folder_are_shown_but_stay(
    project: Project,
) -> None:
    elsewhere = project.folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.mp4").write_text("1")
    project.add_class("a")
    (project.folder / "b").symlink_to(elsewhere)
    (clip,) = tree(project)["b"]
    for change in (lambda: project.delete_clip(clip), lambda: add(project, "b", "2")):
        with pytest.raises(ValueError, match=r"behind a link"):
            change()
    assert [path.name for path in elsewhere.iterdir()] == ["1.mp4"]
    assert project.change_text() == "add class a"
    project.delete_class("b")
    project.undo()
    assert tree(project) == {"a": {}, "b": {clip: "1"}}
