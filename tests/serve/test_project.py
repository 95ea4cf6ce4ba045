"""The folder that the page teaches: changes, undo also after a restart, an interrupted rename, two tabs, bad names."""

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from onlooker.data.folder import find_clips
from onlooker.files import DiskFullError
from onlooker.serve import journal
from onlooker.serve.journal import Journal
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project

Tree = dict[str, dict[str, str]]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path / "clips")
    yield project
    project.close()


def add(
    project: Project, label: str, content: str, name: str = "clip.mp4", version: int | None = None, batch: str = ""
) -> str:
    file = project.folder.parent / "upload"
    file.write_text(content)
    return project.add_clip(label, file, name, version, batch).id


def tree(project: Project) -> Tree:
    """What is in each class: contents by id."""
    return {name: {clip.id: clip.path.read_text() for clip in clips} for name, clips in project.classes().items()}


def restarted(project: Project) -> Project:
    project.close()
    return Project(project.folder)


def test_nothing_is_written_before_the_first_change(project: Project) -> None:
    assert project.summary() == {"name": "clips", "path": str(project.folder), "clips": 0, "version": 0}
    assert not project.folder.exists()


def test_a_folder_made_by_hand_keeps_ids_and_the_page_makes_an_ordinary_folder(project: Project) -> None:
    for name in ("wave/a.mp4", "wave/b.mp4", "nothing/a.mp4", "wave/notes.txt", ".hidden/a.mp4"):
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text(name)
    before = tree(project)
    assert {name: sorted(clips.values()) for name, clips in before.items()} == {
        "nothing": ["nothing/a.mp4"],
        "wave": ["wave/a.mp4", "wave/b.mp4"],
    }
    add(project, "wave", "new")
    assert tree(restarted(project)) | {"wave": {}} == before | {"wave": {}}
    assert set(before["wave"]) < set(tree(project)["wave"])
    assert len(find_clips(project.folder)) == 4, "what the page keeps for itself is no class"


def test_clips_keep_their_ids_wherever_they_go(project: Project) -> None:
    project.add_class("a")
    project.add_class("b")
    first, second = add(project, "a", "1"), add(project, "a", "2")
    assert [clip.name for clip in project.classes()["a"]] == ["clip-2.mp4", "clip.mp4"]
    project.move_clip(second, "b")
    project.rename_class("b", "c")
    third = add(project, "a", "3")  # at the path where the second one was
    assert tree(restarted(project)) == {"a": {first: "1", third: "3"}, "c": {second: "2"}}


def test_a_clip_that_another_program_puts_in_the_place_of_a_moved_one_has_another_id(project: Project) -> None:
    (project.folder / "a").mkdir(parents=True)
    (project.folder / "a" / "x.mp4").write_text("1")
    first = project.clips()[0].id
    project.add_class("b")
    project.move_clip(first, "b")
    (project.folder / "a" / "x.mp4").write_text("2")
    assert len({clip.id for clip in project.clips()}) == 2
    assert project.clip(first).label == "b"


def test_every_random_sequence_of_changes_is_undone_and_done_again_also_after_restarts(project: Project) -> None:
    dice, states = random.Random(3), [tree(project)]
    for number in range(60):
        change_something(project, dice, number)
        states = [*states[: len(project._journal.done)], tree(project)]  # a step that continues a batch replaces it
        if number % 20 == 19:
            project = restarted(project)
    for state in reversed(states[:-1]):
        project.undo()
        assert tree(project) == state
        if dice.random() < 0.1:
            project = restarted(project)
    assert project.undo_text is None
    for state in states[1:]:
        project.redo()
        assert tree(project) == state
    assert project.redo_text is None
    project.close()


def change_something(project: Project, dice: random.Random, number: int) -> None:
    classes, clips = [*project.classes()], project.clips()
    kind = dice.choice(["class", "add", "add", "add", "move", "move", "delete", "rename", "remove", "settle"])
    if kind == "class" or not classes:
        project.add_class(f"class {number}")
    elif kind == "rename":
        project.rename_class(dice.choice(classes), f"renamed {number}")
    elif kind == "remove" and len(classes) > 2:
        project.delete_class(dice.choice(classes))
    elif kind == "add" or not clips:
        add(project, dice.choice(classes), str(number), batch=dice.choice(["", "one", "two"]))
    elif kind == "delete":
        project.delete_clip(dice.choice(clips).id)
    elif kind == "settle":
        project.settle(dice.choice(clips).id, dice.choice(classes))
    else:
        clip = dice.choice(clips)
        project.move_clip(clip.id, dice.choice([name for name in classes if name != clip.label] or [clip.label]))
        if len(classes) == 1:
            project.delete_clip(clip.id)


def test_what_is_done_after_an_undo_replaces_what_could_be_done_again(project: Project) -> None:
    project.add_class("a")
    add(project, "a", "1")
    project.undo()
    assert project.redo_text == "add clip.mp4 to a"
    second = add(project, "a", "2")
    assert project.redo_text is None
    assert tree(project) == {"a": {second: "2"}}
    trash = [*(project.store / "trash").iterdir()]
    assert not trash, "the first clip cannot come back"


def test_clips_that_were_meant_for_a_class_follow_it_when_it_is_renamed(project: Project) -> None:
    project.add_class("a")
    seen = project.version
    project.rename_class("a", "b")
    project.add_class("a")  # another one
    project = restarted(project)
    clips = {add(project, "a", "1", version=seen): "1", add(project, "b", "2", version=project.version): "2"}
    assert tree(project) == {"a": {}, "b": clips}
    new = add(project, "c", "3", version=seen)
    seen_b = project.version
    for _ in range(5):
        project.undo()
    assert tree(project) == {"a": {}}
    last = add(project, "b", "4", version=seen_b)
    assert tree(project) == {"a": {last: "4"}}
    assert new not in tree(project)


def test_a_class_that_was_deleted_does_not_come_back_with_clips_that_were_meant_for_it(project: Project) -> None:
    project.add_class("a")
    seen = project.version
    project.delete_class("a")
    project = restarted(project)
    with pytest.raises(Problem, match="class a was deleted meanwhile: a class of the project: add the file") as error:
        add(project, "a", "1", version=seen)
    assert (error.value.status, error.value.code) == (409, "class_gone")
    assert tree(project) == {}
    project.undo()
    first = add(project, "a", "1", version=seen)
    project.delete_class("a")
    second = add(project, "a", "2", version=project.version)
    assert first != second
    assert tree(project) == {"a": {second: "2"}}, "a folder that is added later may have the name"


def test_clips_of_one_batch_are_one_change_also_after_a_restart(project: Project) -> None:
    project.add_class("a")
    clips = {
        add(project, label, label + name, f"{name}.mp4", batch="x"): label + name
        for label, name in [("a", "1"), ("b", "2")]
    }
    assert project.undo_text == "add 2 clips to 2 classes"
    project = restarted(project)
    clips[add(project, "a", "a3", "3.mp4", batch="x")] = "a3"
    assert project.undo_text == "add 3 clips to 2 classes"
    add(project, "a", "a4", "4.mp4", batch="y")
    add(project, "a", "a5", "5.mp4", batch="y")
    assert project.undo_text == "add 2 clips to a"
    project.undo()
    project.rename_class("b", "c")
    add(project, "a", "a6", "6.mp4", batch="x")
    assert project.undo_text == "add 6.mp4 to a", "what was done in between is undone in between"
    for _ in range(2):
        project.undo()
    assert {clip for of in tree(project).values() for clip in of} == set(clips)
    project.undo()
    assert tree(project) == {"a": {}}
    project.redo()
    assert {clip: text for of in tree(project).values() for clip, text in of.items()} == clips


@pytest.mark.parametrize("label", ["arms  up", "arms up "])
def test_clips_of_a_class_whose_name_has_more_spaces_than_it_needs_are_added_together(
    project: Project, label: str
) -> None:
    seen = project.version
    files = [project.folder.parent / f"{number}" for number in range(2)]
    for file in files:
        file.write_text(file.name)
    project.add_clips([(label, file, f"{file.name}.mp4") for file in files], "add two")
    for number in (2, 3):
        add(project, label, str(number), version=seen, batch="x")
    assert project.undo_text == "add 2 clips to arms up"
    assert {name: sorted(clips.values()) for name, clips in tree(project).items()} == {"arms up": ["0", "1", "2", "3"]}
    project.rename_class("arms up", "stretch")
    add(project, label, "4", version=seen, batch="x")
    assert [*project.classes()] == ["stretch"]


def test_a_class_folder_made_by_hand_with_two_spaces_gets_the_clips_that_are_meant_for_it(project: Project) -> None:
    (project.folder / "arms  up").mkdir(parents=True)
    for number in range(2):
        add(project, "arms  up", str(number), version=project.version, batch="x")
    assert {name: len(clips) for name, clips in tree(project).items()} == {"arms  up": 2}


def test_a_batch_that_was_undone_is_not_continued(project: Project) -> None:
    project.add_class("a")
    add(project, "a", "1", batch="x")
    project.undo()
    with pytest.raises(Problem, match="were undone") as error:
        add(project, "a", "2", batch="x")
    assert (error.value.status, error.value.code) == (409, "undone")
    assert project.redo_text == "add clip.mp4 to a"


def test_a_journal_of_an_earlier_version_is_read(project: Project) -> None:
    project.add_class("a")
    add(project, "a", "1")
    file = project.store / "journal.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    del values["class_moves"]
    for change in values["done"]:
        del change["batch"]
    file.write_text(json.dumps(values))
    project = restarted(project)
    add(project, "a", "2", batch="x")
    assert project.undo_text == "add clip.mp4 to a"
    for _ in range(3):
        project.undo()
    assert tree(project) == {}


def test_clips_that_are_confirmed_or_corrected_are_settled_until_that_is_undone(project: Project) -> None:
    project.add_class("a")
    project.add_class("b")
    first, second = add(project, "a", "1"), add(project, "a", "2")
    project.settle(first, "a")
    project.settle(second, "b")
    assert restarted(project).settled == {first, second}
    assert project.clip(second).label == "b"
    project.undo()
    assert project.settled == {first}
    assert project.clip(second).label == "a"


def test_the_journal_forgets_what_is_too_old_but_not_what_is_settled(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlooker.serve.journal._KEPT", 3)
    project.add_class("a")
    clip, other = add(project, "a", "1"), add(project, "a", "2")
    project.settle(clip, "a")
    project.delete_clip(other)
    for number in range(4):
        project.add_class(f"b{number}")
    project = restarted(project)
    assert clip in project.settled
    for _ in range(3):
        project.undo()
    with pytest.raises(Problem, match="nothing to undo"):
        project.undo()
    assert not any((project.store / "trash").glob("*.mp4")), "a clip that cannot come back takes no space"
    project.close()


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_a_change_that_was_interrupted_is_completed_at_the_next_start(
    project: Project, renamed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The server ends after the journal was written and some of the renames were made."""
    for number in range(2):
        (tmp_path / f"{number}").write_text(str(number))
    rename, made = Path.rename, itertools.count()

    def interrupted(path: Path, target: Path) -> Path:
        if next(made) == renamed:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        project.add_clips([("a", tmp_path / f"{number}", f"{number}.mp4") for number in range(2)], "add two")
    monkeypatch.undo()
    again = restarted(project)
    assert sorted(tree(again)["a"].values()) == ["0", "1"]
    assert again.undo_text == "add two"
    again.undo()
    assert tree(again) == {}
    again.close()


@pytest.mark.parametrize("renamed", [0, 1])
def test_a_batch_that_was_interrupted_is_one_change_with_all_its_clips(
    project: Project, renamed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(project, "a", "0", "0.mp4", batch="x")
    rename, made = Path.rename, itertools.count()

    def interrupted(path: Path, target: Path) -> Path:
        if next(made) == renamed:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        add(project, "b", "1", "1.mp4", batch="x")
    monkeypatch.undo()
    project = restarted(project)
    add(project, "b", "2", "2.mp4", batch="x")
    assert {label: sorted(clips.values()) for label, clips in tree(project).items()} == {"a": ["0"], "b": ["1", "2"]}
    assert project.undo_text == "add 3 clips to 2 classes"
    project.undo()
    assert tree(project) == {}
    project.close()


def test_a_journal_that_cannot_be_written_changes_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.add_class("a")
    clip = add(project, "a", "1")
    before, version = tree(project), project.version

    def full(path: Path, values: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("onlooker.serve.journal.write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            project.delete_clip(clip)
    assert (tree(project), project.version) == (before, version)
    assert project.undo_text == "add clip.mp4 to a"
    project.delete_clip(clip)
    assert tree(project) == {"a": {}}


def test_a_disk_that_is_full_after_the_renames_undoes_them_or_reports_no_error(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(project, "a", "1")
    rows = "clip,recording\na/clip.mp4,anna\n"
    (project.folder / "recordings.csv").write_text(rows)
    before, version = tree(project), project.version

    def full(path: Path, content: bytes) -> None:
        raise DiskFullError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("onlooker.serve.recordings.write_bytes", full)
        with pytest.raises(DiskFullError):
            add(project, "b", "2")
    assert (tree(project), project.version) == (before, version)
    project = restarted(project)
    assert tree(project) == before, "the journal does not add it later"
    written, write = itertools.count(), journal.write_bytes
    with monkeypatch.context() as patch:
        patch.setattr(journal, "write_bytes", lambda *given: (full if next(written) else write)(*given))
        clip = add(project, "b", "2")
    assert next(written) == 2
    project = restarted(project)
    assert tree(project) == before | {"b": {clip: "2"}}
    assert (project.folder / "recordings.csv").read_text() == rows + "b/clip.mp4,b/clip.mp4\n"
    project.undo()
    assert tree(project) == before
    project.close()


def test_a_rename_that_is_refused_changes_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.add_class("a")
    (project.folder.parent / "upload").write_text("1")
    before, rename, made = tree(project), Path.rename, itertools.count()

    def refused(path: Path, target: Path) -> Path:
        if next(made) == 1:
            raise PermissionError(13, "in use")
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refused)
        with pytest.raises(PermissionError):
            project.add_clip("b", project.folder.parent / "upload", "1.mp4")
    assert tree(restarted(project)) == before
    assert project.undo_text == "add class a"


def test_a_folder_that_was_deleted_while_the_page_is_open_is_made_again(project: Project) -> None:
    project.add_class("a")
    shutil.rmtree(project.folder)
    assert tree(project) == {}
    clip = add(project, "b", "1")
    assert tree(project) == {"b": {clip: "1"}}


def test_a_full_disk_says_so(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("onlooker.serve.project.shutil.move", full)
    with pytest.raises(DiskFullError, match="no space left for this clip"):
        add(project, "a", "1")
    assert tree(project) == {}


_KILLED = """
import sys
from pathlib import Path
from onlooker.serve.project import Project
project, file = Project(Path(sys.argv[1])), Path(sys.argv[2])
project.add_class("a"), project.add_class("b")
print("begun", flush=True)
while True:
    file.write_text("x")
    clip = project.add_clip("a", file, "clip.mp4")
    project.move_clip(clip.id, "b")
    project.delete_clip(clip.id)
    project.undo()
    for _ in range(3):
        file.write_text("y")
        project.add_clip("b", file, "y.mp4", batch="one")
    project.undo()
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_server_that_is_killed_at_any_moment_leaves_a_project_that_can_be_undone(tmp_path: Path, seed: int) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "clips"), str(tmp_path / "upload")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"begun\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2 + 0.1 * random.Random(seed).random())
    process.kill()
    process.wait()
    project = Project(tmp_path / "clips")
    count = sum(not clip.name.startswith("y") for clip in project.clips())
    added = sum(change.text.startswith("add clip") for change in project._journal.done)
    assert count in (added, added - 1), "at most one is deleted, and none is lost"
    while project.undo_text:
        project.undo()
    assert tree(project) == {}
    project.close()


def test_a_second_tab_that_has_not_seen_the_newest_version_changes_nothing(project: Project) -> None:
    seen = project.version
    with project.at(seen):
        project.add_class("a")
    with pytest.raises(Problem, match="version 1") as error, project.at(seen):
        project.add_class("b")
    assert (error.value.status, error.value.code) == (409, "changed")
    assert [*project.classes()] == ["a"]


def test_what_another_program_changes_gives_a_new_version(project: Project) -> None:
    project.add_class("a")
    version = project.version
    assert project.version == version
    (project.folder / "a" / "clip.mp4").write_text("1")
    assert project.version == version + 1
    (project.folder / "a" / "clip.mp4").write_text("22")
    assert project.version == version + 2
    (project.folder / "a" / "clip.mp4").unlink()
    assert project.version == version + 3
    (project.folder / "a" / "before.mp4").symlink_to("nowhere")
    version = project.version
    (project.folder / "a" / "clip.mp4").write_text("333")
    assert project.version == version + 1, "a link to nothing does not hide what comes after it"


def test_a_class_that_is_removed_while_it_is_listed_is_no_error(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add_class("a")
    shown = Path.iterdir

    def removed(folder: Path) -> Iterator[Path]:
        if folder.name == "a":
            raise FileNotFoundError(folder)
        return shown(folder)

    version = project.version
    monkeypatch.setattr(Path, "iterdir", removed)
    assert project.version >= version


def test_undo_without_its_files_says_so_once_and_continues_with_the_change_before(project: Project) -> None:
    project.add_class("a")
    clip = add(project, "a", "1")
    project.clip(clip).path.unlink()
    with pytest.raises(Problem, match="not there any more") as error:
        project.undo()
    assert (error.value.status, error.value.code) == (409, "cannot_undo")
    project.undo()
    assert tree(project) == {}


def test_an_undo_that_is_blocked_can_be_made_once_the_obstacle_is_gone(project: Project) -> None:
    clip = add(project, "wave", "1")
    project.delete_class("wave")
    (project.folder / "wave").mkdir()
    for _ in range(2):
        with pytest.raises(Problem, match="wave is there already: a name that is free: rename it") as error:
            project.undo()
        assert (error.value.status, error.value.code) == (409, "in_the_way")
    (project.folder / "wave").rename(project.folder / "wave by hand")
    project = restarted(project)
    project.undo()
    assert tree(project) == {"wave": {clip: "1"}, "wave by hand": {}}
    project.close()


def test_undo_of_a_new_class_leaves_the_files_that_another_program_has_put_there(project: Project) -> None:
    project.add_class("wave")
    clip = add(project, "wave", "1")
    for name in ("a.mp4", "notes.txt", ".DS_Store"):
        (project.folder / "wave" / name).write_text(name)
    project.undo()
    with pytest.raises(Problem, match=r"the class wave holds 2 files .*, such as a\.mp4: an empty class") as error:
        project.undo()
    assert (error.value.status, error.value.code) == (409, "not_empty")
    assert project.undo_text == "add class wave"
    for name in ("a.mp4", "notes.txt"):
        (project.folder / "wave" / name).unlink()
    project.undo()
    assert tree(project) == {}
    for _ in range(2):
        project.redo()
    assert tree(project) == {"wave": {clip: "1"}}


def test_undo_of_a_batch_that_made_a_class_removes_it_unless_there_is_more_in_it(project: Project) -> None:
    for number in range(2):
        add(project, "wave", str(number), batch="x")
    (project.folder / "wave" / "by hand.mp4").write_text("2")
    with pytest.raises(Problem, match="wave holds 1 file that this change did not add: by hand"):
        project.undo()
    (project.folder / "wave" / "by hand.mp4").unlink()
    project.undo()
    assert tree(project) == {}


def test_two_servers_do_not_teach_one_folder(project: Project) -> None:
    project.add_class("a")
    other = Project(project.folder)
    assert [*other.classes()] == ["a"], "looking is allowed"
    with pytest.raises(Problem, match="another `onlooker serve`") as error:
        other.add_class("b")
    assert error.value.status == 409
    project.close()
    other.add_class("b")
    assert other.undo_text == "add class b"
    other.close()


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("", "name_length", "a name of 0 characters"),
        (" \t", "name_length", "a name of 0 characters"),
        ("x" * 300, "name_length", "a name of 300 characters"),
        ("ü" * 61, "name_length", "a name of 61 characters"),
        ("../up", "name_character", "the character '/'"),
        ("a\\b", "name_character", "the character"),
        ("<b>bold</b>", "name_character", "the character '<'"),
        ("right\u202eleft", "name_character", "the character"),
        ("zero\x00", "name_character", "the character"),
        (".hidden", "name_dot", "a dot"),
        ("end.", "name_dot", "a dot"),
        ("__MACOSX", "name_dot", "a dot"),
    ],
)
def test_names_that_no_class_can_have(project: Project, name: str, code: str, message: str) -> None:
    with pytest.raises(Problem, match=message) as error:
        project.add_class(name)
    assert (error.value.status, error.value.code) == (422, code)
    assert not project.folder.exists()


def test_names_that_are_taken(project: Project) -> None:
    project.add_class("Wave  hand")
    assert [*project.classes()] == ["Wave hand"]
    with pytest.raises(Problem, match="class Wave hand exists"):
        project.add_class("wave hand")
    project.rename_class("Wave hand", "wave hand")
    project.add_class("nothing")
    with pytest.raises(Problem, match="mean the same, that nothing happens"):
        project.add_class("none")
    project.rename_class("nothing", "none")
    with pytest.raises(Problem, match="class none exists"):
        project.rename_class("wave hand", "none")
    (project.folder / "notes").write_text("of the user")
    with pytest.raises(Problem, match="a file notes"):
        project.add_class("notes")


def test_names_of_clips_stay_in_their_class(project: Project) -> None:
    project.add_class("a")
    for name in ("../../evil.mp4", "..", "a/b.mp4", "x" * 400 + ".mp4", "\x00<img>.mp4", "/etc/passwd.mp4", "ü.mp4"):
        add(project, "a", name, name if name.endswith(".mp4") else f"{name}.mp4")
    paths = [*project.folder.rglob("*.mp4")]
    assert len(paths) == 7
    assert {path.parent for path in paths} == {project.folder / "a"}
    assert max(len(os.fsencode(path.name)) for path in paths) < 130


@pytest.mark.parametrize(
    "call", ["rename_class('x', 'y')", "delete_class('x')", "move_clip(clip, 'x')", "settle(clip, 'x')"]
)
def test_classes_and_clips_that_are_not_there(project: Project, call: str) -> None:
    project.add_class("a")
    clip = add(project, "a", "1")
    with pytest.raises(Problem, match=r"no class x.*a") as error:
        eval(f"project.{call}", {"project": project, "clip": clip})
    assert error.value.status == 404
    with pytest.raises(Problem, match="no such clip"):
        project.delete_clip("0" * 16)


def test_folders_that_cannot_be_taught(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file: a file, expected the folder of clips"):
        Project(tmp_path / "file")
    (tmp_path / "set" / "train" / "wave").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"holds splits, expected one sub-folder per class"):
        Project(tmp_path / "set")
    (tmp_path / "clips" / ".onlooker").mkdir(parents=True)
    (tmp_path / "clips" / ".onlooker" / "journal.json").write_text('{"version": 1}')
    with pytest.raises(ValueError, match=r"journal.json: no ids; restore it"):
        Project(tmp_path / "clips")


def test_a_journal_that_names_other_folders_is_refused(project: Project) -> None:
    project.add_class("a")
    file = project.store / "journal.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    values["pending"] = [["a", "../../b"]]
    file.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"expected paths within the folder"):
        Journal(project.folder)


@pytest.mark.parametrize(
    "pending", [[["b/photos", ".onlooker/trash/x"]], [["b", "c"], ["c/photos", ".onlooker/trash/x"]]]
)
def test_a_journal_of_a_folder_from_elsewhere_moves_nothing_through_a_link(
    tmp_path: Path, pending: list[list[str]]
) -> None:
    (tmp_path / "home" / "photos").mkdir(parents=True)
    (tmp_path / "clips" / ".onlooker").mkdir(parents=True)
    (tmp_path / "clips" / "b").symlink_to("../home")
    empty: dict[str, object] = {"version": 1, "ids": {}, "settled": [], "done": [], "undone": []}
    (tmp_path / "clips" / ".onlooker" / "journal.json").write_text(json.dumps(empty | {"pending": pending}))
    with pytest.raises(ValueError, match=r"photos: behind a link; expected a path within .*; replace the link"):
        Project(tmp_path / "clips")
    assert (tmp_path / "home" / "photos").is_dir()


@pytest.mark.parametrize("name", ["", "trash", "previews", "trained", "lock"])
def test_a_store_that_is_a_link_is_refused_also_if_it_comes_after_the_start(project: Project, name: str) -> None:
    precious = project.folder.parent / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("important")
    link = project.store / name
    link.parent.mkdir(parents=True)
    link.symlink_to(precious / "thesis.txt" if name == "lock" else precious)
    for attempt in (lambda: Project(project.folder), lambda: project.add_class("a")):
        with pytest.raises(ValueError, match=r"a link, expected a folder or file of the page; remove the link"):
            attempt()
    assert [path.read_text() for path in precious.iterdir()] == ["important"]


def test_clips_behind_a_link_that_leads_out_of_the_folder_are_shown_but_stay(project: Project) -> None:
    elsewhere = project.folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.mp4").write_text("1")
    project.add_class("a")
    (project.folder / "b").symlink_to(elsewhere)
    (clip,) = project.classes()["b"]
    with pytest.raises(ValueError, match=r"1\.mp4: behind a link"):
        project.delete_clip(clip.id)
    with pytest.raises(ValueError, match=r"clip\.mp4: behind a link"):
        add(project, "b", "2")
    assert [path.name for path in elsewhere.iterdir()] == ["1.mp4"]
    assert project.undo_text == "add class a"
    project.delete_class("b")
    project.undo()
    assert tree(project) == {"a": {}, "b": {clip.id: "1"}}


def test_recordings_follow_their_clips(project: Project) -> None:
    for name in ("a/1.mp4", "a/2.mp4", "b/1.mp4"):
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text(name)
    rows = "clip,recording,note\na/1.mp4,anna,x\na/2.mp4,ben,y\nb/1.mp4,anna,z\n"
    (project.folder / "recordings.csv").write_text(rows)
    ids = {clip.path.read_text(): clip.id for clip in project.clips()}
    project.move_clip(ids["a/1.mp4"], "b")
    project.rename_class("a", "c")
    add(project, "c", "new", "new.mp4")
    recordings = {
        clip.path.relative_to(project.folder).as_posix(): clip.recording for clip in find_clips(project.folder)
    }
    assert recordings == {"b/1-2.mp4": "anna", "b/1.mp4": "anna", "c/2.mp4": "ben", "c/new.mp4": "c/new.mp4"}
    for _ in range(3):
        project.undo()
    assert (project.folder / "recordings.csv").read_text().startswith(rows)
    project.delete_clip(ids["a/2.mp4"])
    project.undo()
    assert {clip.path.read_text(): clip.recording for clip in find_clips(project.folder)}["a/2.mp4"] == "ben"
    project.delete_clip(ids["a/2.mp4"])
    add(project, "a", "later", "2.mp4")
    found = {clip.path.read_text(): clip for clip in find_clips(project.folder)}
    assert found["later"].recording == f"a/{found['later'].path.name}", "not that of the clip that was deleted"


def test_a_class_that_gets_the_name_of_a_deleted_one_does_not_take_its_recordings(project: Project) -> None:
    names = [f"{label}/{number}.mp4" for label in "ab" for number in range(2)]
    for name in names:
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text(name)
    rows = "clip,recording\n" + "".join(f"{name},of {name}\n" for name in names)
    (project.folder / "recordings.csv").write_text(rows)
    project.delete_class("a")
    project.rename_class("b", "a")
    project.add_class("c")
    for number in range(2):
        add(project, "c", f"c{number}", f"{number}.mp4")
    project = restarted(project)
    recordings = {clip.path.read_text(): clip.recording for clip in find_clips(project.folder)}
    assert recordings == {"b/0.mp4": "of b/0.mp4", "b/1.mp4": "of b/1.mp4", "c0": "c/0.mp4", "c1": "c/1.mp4"}
    for _ in range(5):
        project.undo()
    assert (project.folder / "recordings.csv").read_text().startswith(rows)
    assert {clip.recording for clip in find_clips(project.folder)} == {f"of {name}" for name in names}
    project.close()
