"""A folder of clips from elsewhere: nothing outside of it is moved or deleted, damaged notes are an
error, and so are names that no class can have.
"""

import json
import os
from pathlib import Path

import pytest
from projects import add, put, restarted, tree

from onlooker.serve.problem import Problem
from onlooker.serve.project import Project

NOTES = {"run": "", "clips": {}, "confirmed": []}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no JSON", "page.json: not a complete JSON file"),
        (json.dumps(NOTES | {"run": 3}), "page.json: run is 3, expected text; delete it"),
        (json.dumps(NOTES | {"clips": []}), r"page.json: clips is \[\], expected"),
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


def test_changes_that_are_no_file_are_named_and_the_folder_stays_free(project: Project) -> None:
    clip = add(project, "a", "1")
    changes = project.store / "changes.jsonl"
    changes.unlink()
    changes.mkdir()
    project.close()
    with pytest.raises(ValueError, match=r"changes.jsonl: not a regular file") as error:
        Project(project.folder)
    changes.rmdir()
    project = Project(project.folder)
    assert tree(project) == {"a": {clip: "1"}}
    assert "remove it" in str(error.value)  # which keeps the project that has failed
    project.close()


def test_notes_about_clips_outside_of_the_folder_are_ignored(project: Project) -> None:
    add(project, "a", "1")
    secret = project.folder.parent / "secret.mp4"
    secret.write_text("secret")
    names = ("evil", "../secret.mp4", str(secret))
    project.remember(
        run="../../elsewhere", clips={name: name for name in names}, confirmed=[*names]
    )
    project = restarted(project)
    assert project.counts() == {"a": 1}
    for clip in names:
        with pytest.raises(Problem, match="no such clip"):
            project.delete_clip(clip)
    project.close()


FOLDERS = ["", "trash", "incoming", "previews"]


@pytest.mark.parametrize("name", [*FOLDERS, "page.json", "changes.jsonl", "lock"])
def test_a_store_that_is_a_link_is_refused(project: Project, name: str) -> None:
    precious = project.folder.parent / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("important")
    link = project.store / name
    link.parent.mkdir(parents=True)
    link.symlink_to(precious if name in FOLDERS else precious / "thesis.txt")
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


def test_names_that_are_no_text_are_skipped(project: Project) -> None:
    put(project, "a/1.mp4", os.fsdecode(b"a/\xff.mp4"), os.fsdecode(b"\xff/b.mp4"))
    project.refresh()
    assert project.counts() == {"a": 1}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "name_length"),
        (" \t", "name_length"),
        ("x" * 300, "name_length"),
        ("ü" * 61, "name_length"),
        ("../up", "name_character"),
        ("a\\b", "name_character"),
        ("<b>bold</b>", "name_character"),
        ("zero\x00", "name_character"),
        (".hidden", "name_dot"),
        ("end.", "name_dot"),
        ("__MACOSX", "name_dot"),
        ("CON", "name_device"),
        ("nul.left", "name_device"),
        ("Com1", "name_device"),
    ],
)
def test_names_that_no_class_can_have(project: Project, name: str, code: str) -> None:
    with pytest.raises(Problem) as error:
        project.add_class(name)
    assert (error.value.status, error.value.code) == (422, code)
    assert not project.folder.exists()


def test_names_that_are_taken_or_look_alike(project: Project) -> None:
    project.add_class("cafe\u0301")
    assert [*project.counts()] == ["caf\u00e9"]
    with pytest.raises(Problem, match="caf\u00e9 exists"):
        project.add_class("CAFE\u0301")
    project.add_class("Wave  hand")
    add(project, " Wave   hand", "1")
    assert project.counts() == {"Wave hand": 1, "caf\u00e9": 0}
    with pytest.raises(Problem, match="Wave hand exists"):
        project.add_class("wave hand")
    project.rename_class("Wave hand", "wave hand")
    project.add_class("nothing")
    with pytest.raises(ValueError, match="mean the same, that nothing happens"):
        project.add_class("none")
    project.rename_class("nothing", "none")
    put(project, "notes")
    with pytest.raises(Problem, match="notes is there already"):
        project.add_class("notes")


def test_names_of_clips_stay_in_their_class(project: Project) -> None:
    for name in (
        "../../evil.mp4",
        "...mp4",
        "a/b.mp4",
        "x" * 400 + ".mp4",
        "\x00<img>.mp4",
        "/etc/passwd.mp4",
        "ü.mp4",
    ):
        add(project, "a", name, name)
    paths = [*project.folder.rglob("*.mp4")]
    assert [path.parent for path in paths] == 7 * [project.folder / "a"]
    assert max(len(os.fsencode(path.name)) for path in paths) < 130


@pytest.mark.parametrize(
    "call", ["rename_class('x', 'y')", "delete_class('x')", "set_label(clip, 'x')"]
)
def test_classes_and_clips_that_are_not_there(project: Project, call: str) -> None:
    clip = add(project, "a", "1")
    with pytest.raises(Problem, match=r"no class x.*a"):
        eval(f"project.{call}", {"project": project, "clip": clip})
    with pytest.raises(Problem, match="no such clip"):
        project.delete_clip("0" * 16)
