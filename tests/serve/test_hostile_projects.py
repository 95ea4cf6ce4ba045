"""A folder of clips from elsewhere: nothing outside of it is moved or deleted, and a damaged
database is an error.
"""

import os
import sqlite3
from pathlib import Path

import pytest
from projects import add, restarted, tree

from onlooker.serve.problem import Problem
from onlooker.serve.project import Project


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (
            lambda file: file.write_text("no database" * 100),
            "page.db: file is not a database; delete it",
        ),
        (
            lambda file: sqlite3.connect(file).execute("CREATE TABLE clip (id)"),
            "page.db: of another version",
        ),
        (lambda file: os.mkfifo(file), "page.db: not a regular file"),
    ],
)
def test_a_damaged_database_is_an_error_that_says_what_to_do(
    tmp_path: Path, prepare: object, message: str
) -> None:
    (tmp_path / "clips" / ".onlooker").mkdir(parents=True)
    prepare(tmp_path / "clips" / ".onlooker" / "page.db")  # type: ignore[operator]
    with pytest.raises(ValueError, match=message):
        Project(tmp_path / "clips")


def test_a_trigger_of_somebody_else_is_refused(project: Project) -> None:
    project.add_class("a")
    project.close()
    with sqlite3.connect(project.store / "page.db") as database:
        database.execute("CREATE TRIGGER theirs AFTER INSERT ON tested BEGIN DELETE FROM clip; END")
    database.close()
    with pytest.raises(ValueError, match="of another version of the page, or of another program"):
        Project(project.folder)


def test_rows_of_clips_outside_of_the_folder_are_ignored(project: Project) -> None:
    add(project, "a", "1")
    (project.folder.parent / "secret.mp4").write_text("secret")
    project.database.run("INSERT INTO clip (id, folder, name) VALUES ('evil', '..', 'secret.mp4')")
    project.database.run(
        "INSERT INTO clip (id, folder, name) VALUES ('worse', 'a', '../../secret.mp4')"
    )
    project.database.run(
        "INSERT INTO clip (id, folder, name) VALUES ('worst', 'a/../..', 'secret.mp4')"
    )
    project = restarted(project)
    assert project.counts() == {"a": 1}
    for clip in ("evil", "worse", "worst"):
        with pytest.raises(Problem, match="no such clip"):
            project.delete_clip(clip)
    project.close()


@pytest.mark.parametrize("name", ["", "trash", "previews", "page.db", "page.db-wal"])
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
