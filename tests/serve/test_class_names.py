"""Names of classes and clips: those that are refused, those that are taken, and files of other
programs.
"""

import os

import pytest
from projects import add, put

from onlooker.serve.problem import Problem
from onlooker.serve.project import Project


def test_names_that_are_no_text_are_skipped(project: Project) -> None:
    add(project, "a", "1")
    for name in (b"a/\xff.mp4", b"\xff/b.mp4"):
        path = os.path.join(os.fsencode(project.folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass
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
    ],
)
def test_names_that_no_class_can_have(project: Project, name: str, code: str) -> None:
    with pytest.raises(Problem) as error:
        project.add_class(name)
    assert (error.value.status, error.value.code) == (422, code)
    assert not project.folder.exists()


def test_names_that_look_alike_are_one(project: Project) -> None:
    project.add_class("cafe\u0301")
    assert [*project.counts()] == ["caf\u00e9"]
    for same in ("caf\u00e9", "CAFE\u0301"):
        with pytest.raises(Problem, match="caf\u00e9 exists"):
            project.add_class(same)


def test_names_that_are_taken(project: Project) -> None:
    project.add_class("Wave  hand")
    add(project, " Wave   hand", "1")
    assert project.counts() == {"Wave hand": 1}
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
    project.add_class("a")
    for name in (
        "../../evil.mp4",
        "..",
        "a/b.mp4",
        "x" * 400 + ".mp4",
        "\x00<img>.mp4",
        "/etc/passwd.mp4",
        "ü.mp4",
    ):
        add(project, "a", name, name if name.endswith(".mp4") else f"{name}.mp4")
    paths = [*project.folder.rglob("*.mp4")]
    assert len(paths) == 7
    assert {path.parent for path in paths} == {project.folder / "a"}
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
