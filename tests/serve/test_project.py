"""The folder that the page teaches: changes, undo and the trash, a restart or a kill; other programs;
recordings.
"""

import os
import random
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from unittest.mock import Mock

import pytest
from clips import find_clips
from projects import add, clips_of, put, restarted, tree

from onlooker.base.files import DiskFullError
from onlooker.serve.problem import Problem
from onlooker.serve.project import Project


def test_clips_keep_their_ids_wherever_they_go(project: Project) -> None:
    project.add_class("a")
    project.add_class("b")
    first = add(project, "a", "1")
    second = add(project, "a", "2")
    assert [clip.path.name for clip in project.clips("a")] == ["clip-2.mp4", "clip.mp4"]
    project.set_label(second, "b")
    project.rename_class("b", "c")
    third = add(project, "a", "3")  # at the path where the second one was
    put(project, "c/clip.mp4")
    assert len(clips_of(project)) == 4
    (project.folder / "c" / "clip.mp4").unlink()
    project = restarted(project)
    assert tree(project) == {"a": {first: "1", third: "3"}, "c": {second: "2"}}
    assert len(find_clips(project.folder)) == 3, "what the page keeps for itself is no class"
    assert project.counts() == {"a": 2, "c": 1}
    project.close()


def test_two_links_to_a_file_are_two_clips(project: Project) -> None:
    put(project, "a/clip.mp4", "b/other.mp4")
    (project.folder / "b" / "clip.mp4").hardlink_to(project.folder / "a" / "clip.mp4")
    assert len(clips_of(project)) == 3
    (linked,) = (clip for clip in project.clips("b") if clip.name == "clip.mp4")
    project.delete_clip(linked.id)
    assert [clip.relative for clip in project.all_clips()] == ["a/clip.mp4", "b/other.mp4"]


def shared(project: Project) -> dict[str, str]:
    """The recordings of clips, by their ids."""
    clips = {clip.relative: clip.id for clip in project.all_clips()}
    listed = project.recordings()
    return {clips[name]: listed[name] for name in {*clips} & {*listed}}


@pytest.mark.parametrize("seed", [1, 3, 18])
def test_every_random_sequence_of_changes_is_undone(project: Project, seed: int) -> None:
    dice = random.Random(seed)
    states = [(tree(project), shared(project))]
    for number in range(60):
        before = project.version
        change_something(project, dice, number)
        check_films(project)
        if project.version > before:
            states.append((tree(project), shared(project)))
    for state in reversed(states[:-1]):
        if dice.random() < 0.2:
            project = restarted(project)
        project.undo()
        assert (tree(project), shared(project)) == state
        assert project.counts() == {label: len(clips) for label, clips in state[0].items()}
    assert project.change_text() is None
    project.close()


def check_films(project: Project) -> None:
    """What was cut from one file is of one recording, whoever is said to be in it."""
    recordings = shared(project)
    films = defaultdict[int, set[str]](set)
    for clip, content in clips_of(project).items():
        films[int(content) % 3].add(recordings.get(clip, ""))
    assert all(len(films[film]) < 2 for film in (1, 2))
    assert "" not in films[1] | films[2]


def change_something(project: Project, dice: random.Random, number: int) -> None:
    classes = [*project.counts()]
    clips = [*clips_of(project)]
    kinds = "class add add add label label delete rename remove merge recording recording"
    kind = dice.choice(kinds.split())
    if kind == "class" or not classes:
        project.add_class(f"class {number}")
    elif kind == "rename":
        project.rename_class(dice.choice(classes), f"renamed {number}")
    elif kind == "merge" and len(classes) > 2:
        project.merge_class(*dice.sample(classes, 2))
    elif kind == "recording" and clips:
        project.set_recording(dice.choice(clips), dice.choice(["anna", "ben", ""]))
    elif kind == "remove" and len(classes) > 2:
        project.delete_class(dice.choice(classes))
    elif kind == "add" or not clips:
        label = dice.choice([*classes, f"new {number}"])
        add(project, label, str(number), cut_from=["", "film 1", "film 2"][number % 3])
    elif kind == "delete":
        project.delete_clip(dice.choice(clips))
    else:
        project.set_label(dice.choice(clips), dice.choice(classes))


def test_rows_of_deleted_clips_leave_the_list_of_recordings_and_come_back(
    project: Project,
) -> None:
    """Training refuses a list whose rows are all of clips that are not there."""
    project.add_class("a")
    only = add(project, "a", "1")
    listed = project.folder / "recordings.csv"
    rows = f"clip,recording,note\n{project.clip(only).relative},anna,dark\n"
    listed.write_text(rows)
    project.delete_clip(only)
    assert not listed.exists()
    project = restarted(project)
    project.undo()
    assert (listed.read_text(), tree(project)) == (rows, {"a": {only: "1"}})
    project.close()


def test_what_is_deleted_stays_for_thirty_days(project: Project) -> None:
    put(project, "a/1.mp4", "a/notes.txt", "b/1.mp4", "b/2.mp4", "c/1.mp4")
    project.refresh()
    assert project.trashed() == (0, 0)
    project.delete_class("a")
    project.delete_class("b")
    today = project.folder / ".onlooker" / "trash" / str(date.today())
    assert sorted(path.name for path in today.iterdir()) == ["a", "b"]
    assert project.trashed() == (4, len("a/1.mp4a/notes.txtb/1.mp4b/2.mp4"))
    for days, count in ((29, 4), (31, 0)):
        old = today.with_name(str(date.today() - timedelta(days)))
        today = today.rename(old)
        project = restarted(project)
        assert (old.exists(), project.trashed()[0]) == (days < 30, count)
    assert project.change_text() is None, "what was deleted for good cannot come back"
    assert [*project.counts()] == ["c"]
    project.close()


def test_emptying_the_trash_forgets_only_changes_up_to_the_last_one_that_needs_it(
    project: Project,
) -> None:
    add(project, "a", "1")
    project.delete_clip(add(project, "a", "2"))
    kept = add(project, "a", "3")
    project.add_class("b")
    project.set_label(kept, "b")
    version = project.version
    project.empty_trash()
    assert project.trashed() == (0, 0)
    assert project.version > version
    project = restarted(project)
    for text in ("move clip-2.mp4 from a to b", "add class b", "add clip-2.mp4 to a"):
        assert project.change_text() == text
        project.undo()
    assert project.change_text() is None
    assert [*clips_of(project).values()] == ["1"]
    assert project.trashed()[0] == 1, "the one that is not there any more by undoing"
    project.close()


@pytest.mark.parametrize(
    "line",
    [
        "cut of",
        "3",
        "[]",
        '{"text": "no batch"}',
        '{"text": "x", "batch": "x", "moves": {"../elsewhere": "a"}}',
        '{"text": "x", "batch": "x", "moves": {"a": "b/../../elsewhere"}}',
        '{"text": "x", "batch": "x", "moves": {"/etc": "a"}}',
        '{"text": "x", "batch": "x", "moves": {"a": 3}}',
        '{"text": "x", "batch": "x", "new_class": "../elsewhere"}',
        '{"text": "x", "batch": "x", "rows": {"0": {"clip": 3}}}',
        '{"text": "x", "batch": "x", "other": "y"}',
    ],
)
def test_changes_before_a_line_that_is_none_are_forgotten(project: Project, line: str) -> None:
    clip = add(project, "a", "1")
    (project.folder.parent / "elsewhere").mkdir()
    with (project.store / "changes.jsonl").open("a") as file:
        file.write(f"{line}\n")
    project = restarted(project)
    assert project.change_text() is None
    project.delete_clip(clip)
    project = restarted(project)
    assert project.change_text() == "delete clip.mp4 of a"
    assert (project.folder.parent / "elsewhere").is_dir()
    project.close()


def test_classes_keep_their_places_among_the_colors(project: Project) -> None:
    for name in ("wave", "nothing", "clap"):
        project.add_class(name)
        project.colors()
    assert project.colors() == ["wave", "clap"]
    project.rename_class("wave", "a wave")
    assert project.colors() == ["a wave", "clap"]
    project.delete_class("a wave")
    project.add_class("another")
    project = restarted(project)
    assert project.colors()[1:] == ["clap", "another"]
    for _ in range(3):
        project.undo()
    assert project.colors() == ["wave", "clap", "another"]
    project.close()


def test_clips_of_one_batch_are_undone_together(project: Project) -> None:
    project.add_class("a")
    for label in "abc":
        add(project, label, label, f"{label}.mp4", batch="x")
    add(project, "a", "d", "d.mp4", batch="y")
    assert project.change_text() == "add d.mp4 to a"
    project.undo()
    assert project.change_text() == "add c.mp4 to c"
    project.undo()
    assert tree(project) == {"a": {}}


def test_clips_that_are_confirmed_or_corrected_are_settled_until_that_is_undone(
    project: Project,
) -> None:
    first = add(project, "a", "1")
    second = add(project, "b", "2")
    project.set_label(first, "a")
    project.set_label(second, "a")
    assert ({*project.notes.confirmed}, project.clip(second).label) == ({first, second}, "a")
    project.undo()
    assert ({*project.notes.confirmed}, project.clip(second).label) == ({first}, "b")
    project.set_label(first, "a")
    project.undo()
    assert project.notes.confirmed == [first], "it was confirmed before"
    project.set_recording(first, "anna")
    project.undo()
    assert not (project.folder / "recordings.csv").exists(), "as before"
    project = restarted(project)
    assert project.notes.confirmed == [first]
    project.close()


CHANGES: dict[str, Callable[[Project, str], object]] = {
    "add": lambda project, clip: add(project, "b", "2"),
    "delete": lambda project, clip: project.delete_clip(clip),
    "label": lambda project, clip: project.set_label(clip, "b"),
    "undo": lambda project, clip: project.undo(),
}


@pytest.mark.parametrize(
    ("full", "change"),
    [
        *product(("_make_moves", "write_csv"), CHANGES),
        ("write_json", "label"),
        *product(["_line"], ("add", "delete", "label")),
    ],
)
def test_a_disk_that_is_full_changes_nothing(
    project: Project, full: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add_class("b")
    clip = add(project, "a", "1")
    rows = "clip,recording\na/clip.mp4,anna\nb/other.mp4,ben\n"
    (project.folder / "recordings.csv").write_text(rows)
    version = project.version
    with monkeypatch.context() as patch:
        no_space = Mock(side_effect=DiskFullError(28, "no space left"))
        patch.setattr(f"onlooker.serve.project.{full}", no_space)
        with pytest.raises(DiskFullError):
            CHANGES[change](project, clip)
    assert (project.version, project.change_text()) == (version, "add clip.mp4 to a")
    project = restarted(project)
    assert tree(project) == {"a": {clip: "1"}, "b": {}}
    assert (project.folder / "recordings.csv").read_text() == rows
    assert project.notes.confirmed == []
    project.close()


_KILLED = """
import os, sys
from pathlib import Path
from onlooker.serve.project import Project
project = Project(Path(sys.argv[1]))
project.add_class("a"), project.add_class("b")
def add(label, name):
    file = project.incoming() / os.urandom(8).hex()
    file.write_text(name)
    return project.add_clip(label, file, name).id
for number in range(100000):
    added = add("a", f"{number}.mp4")
    print(number, flush=True)
    project.set_label(added, "b")
    deleted = add("a", "deleted.mp4")
    project.set_recording(added, "anna")
    project.delete_clip(deleted)
    for _ in range(3):
        project.undo()
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_no_clip_is_lost_however_the_server_is_killed(tmp_path: Path, seed: int) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "clips")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "0\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2 + random.Random(seed).random())
        process.kill()
        acknowledged = [0, *map(int, process.stdout.read().split())]
    project = Project(tmp_path / "clips")
    kept = {text for text in clips_of(project).values() if text != "deleted.mp4"}
    assert {f"{number}.mp4" for number in acknowledged} <= kept
    assert len(kept) <= len(acknowledged) + 1
    project.close()


def test_what_another_program_changes_gives_a_new_version(project: Project) -> None:
    add(project, "a", "1")
    version = project.version
    project.refresh()
    assert project.version == version
    for change in (
        lambda: put(project, "a/by hand.mp4"),
        lambda: (project.folder / "a" / "by hand.mp4").unlink(),
        lambda: put(project, "b/new.mp4"),
        lambda: (project.folder / "b").rename(project.folder / "c"),
        lambda: shutil.rmtree(project.folder / "c"),
    ):
        change()
        project.refresh()
        version, before = project.version, version
        assert version == before + 1
    put(project, "a/notes.txt")
    project.refresh()
    assert project.version == version, "no clip"
    assert project.counts() == {"a": 1}


def test_undo_without_its_files_says_so_once_and_continues_with_the_change_before(
    project: Project,
) -> None:
    project.add_class("a")
    project.clip(add(project, "a", "1")).path.unlink()
    with pytest.raises(Problem, match="not there any more") as error:
        project.undo()
    assert (error.value.status, error.value.code) == (409, "cannot_undo")
    project.undo()
    assert tree(project) == {}


def test_an_undo_that_is_blocked_can_be_made_once_the_obstacle_is_gone(
    project: Project,
) -> None:
    clip = add(project, "wave", "1")
    project.delete_class("wave")
    (project.folder / "wave").mkdir()
    with pytest.raises(Problem, match="wave is there already"):
        project.undo()
    (project.folder / "wave").rename(project.folder / "wave by hand")
    project.undo()
    assert tree(project) == {"wave": {clip: "1"}, "wave by hand": {}}


def test_undo_of_a_new_class_leaves_the_files_that_another_program_has_put_there(
    project: Project,
) -> None:
    add(project, "wave", "1")
    put(project, "wave/a.mp4", "wave/notes.txt", "wave/.DS_Store")
    project.undo()
    assert {path.name for path in (project.folder / "wave").iterdir()} == {
        "a.mp4",
        "notes.txt",
        ".DS_Store",
    }


def test_two_servers_do_not_teach_one_folder(project: Project) -> None:
    project.add_class("a")
    with pytest.raises(
        ValueError, match="another `onlooker serve` uses this folder; use that one"
    ):
        Project(project.folder)
    project.close()
    other = Project(project.folder)
    assert [*other.counts()] == ["a"]
    other.close()


def test_recordings_follow_their_clips(project: Project) -> None:
    put(project, "a/1.mp4", "a/2.mp4", "b/1.mp4")
    rows = "clip,recording,note\na/1.mp4,anna,x\na/2.mp4,ben,y\nb/1.mp4,anna,z\n"
    (project.folder / "recordings.csv").write_text(rows)
    ids = {text: clip for clip, text in clips_of(project).items()}
    project.set_label(ids["a/1.mp4"], "b")
    project.rename_class("a", "c")
    add(project, "c", "new", "new.mp4")

    def recordings() -> dict[str, str | None]:
        return {clip.path.read_text(): clip.recording for clip in find_clips(project.folder)}

    assert recordings() == {
        "a/1.mp4": "anna",
        "b/1.mp4": "anna",
        "a/2.mp4": "ben",
        "new": None,
    }
    (new,) = (clip for clip, text in clips_of(project).items() if text == "new")
    project.set_label(new, "b")
    add(project, "c", "newer", "new.mp4")
    assert (recordings()["new"], recordings()["newer"]) == (None, None)
    for _ in range(5):
        project.undo()
    assert (project.folder / "recordings.csv").read_text() == rows
    project.delete_clip(ids["a/2.mp4"])
    add(project, "a", "later", "2.mp4")
    assert recordings()["later"] is None, "not that of the clip that was deleted"
    add(project, "c", "other")
    project.delete_class("a")
    project.rename_class("b", "a")
    assert recordings() == {"b/1.mp4": "anna", "other": None}
    put(project, "a/by hand.mp4")
    assert recordings()["a/by hand.mp4"] is None


def test_two_rows_of_one_clip_change_together(project: Project) -> None:
    put(project, "a/1.mp4", "b/2.mp4")
    listed = project.folder / "recordings.csv"
    listed.write_text("clip,recording,note\na/1.mp4,anna,x\nb/2.mp4,ben,\na/1.mp4,anna,y\n")
    ids = {text: clip for clip, text in clips_of(project).items()}
    project.set_recording(ids["a/1.mp4"], "tom")
    changed = "clip,recording,note\na/1.mp4,tom,x\nb/2.mp4,ben,\na/1.mp4,tom,y\n"
    assert listed.read_text() == changed
    assert [clip.recording for clip in find_clips(project.folder)] == ["tom", "ben"]


def test_a_class_is_renamed_by_case_where_names_have_none(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows and macOS, where each spelling of a name leads to the same folder."""
    put(project, "wave/1.mp4", "jump/1.mp4", "jump/2.mp4")
    stat = Path.stat

    def without_case(path: Path, **options: bool) -> os.stat_result:
        names = os.listdir(path.parent) if stat(path.parent).st_mode else []
        same = [name for name in names if name.casefold() == path.name.casefold()]
        return stat(path.with_name(same[0]) if same else path, **options)

    monkeypatch.setattr(Path, "stat", without_case)
    monkeypatch.setattr(Path, "exists", lambda path: exists(path))

    def exists(path: Path) -> bool:
        try:
            return bool(path.stat())
        except OSError:
            return False

    project.refresh()
    project.rename_class("wave", "Wave")
    assert sorted(os.listdir(project.folder)) == [".onlooker", "Wave", "jump"]
    assert project.counts() == {"Wave": 1, "jump": 2}
    with pytest.raises(Problem) as error:
        project.rename_class("Wave", "JUMP")
    assert error.value.status == 409
    project.undo()
    assert project.counts() == {"wave": 1, "jump": 2}


def test_clips_are_not_named_as_devices_of_windows(project: Project) -> None:
    project.add_class("a")
    for name in ("con.mp4", "LPT9.webm", "aux.1.mp4", "nul..mp4", "console.mp4"):
        add(project, "a", name, name)
    names = {clip.path.name for clip in project.clips("a")}
    assert names == {"con_.mp4", "LPT9_.webm", "aux_.1.mp4", "nul_.mp4", "console.mp4"}


def test_only_rows_that_say_something_are_written(project: Project) -> None:
    put(project, "a/1.mp4", "a/2.mp4", "b/3.mp4")
    listed = project.folder / "recordings.csv"
    ids = {text: clip for clip, text in clips_of(project).items()}
    project.set_recording(ids["a/1.mp4"], "anna")
    add(project, "b", "4", "4.mp4")
    assert listed.read_text() == "clip,recording\na/1.mp4,anna\n"
    project.set_recording(ids["a/1.mp4"], "")
    assert not listed.exists()
    project.undo()
    assert listed.read_text() == "clip,recording\na/1.mp4,anna\n"

    # as earlier versions wrote it, with a column of the user's
    listed.write_text("clip,recording,note\na/1.mp4,a/1.mp4,dark\na/2.mp4,a/2.mp4,\n")
    assert project.recordings() == {}
    project.set_label(ids["a/1.mp4"], "b")
    project.set_recording(ids["a/2.mp4"], "ben")
    project.set_recording(ids["a/2.mp4"], "")
    assert listed.read_text() == "clip,recording,note\nb/1.mp4,b/1.mp4,dark\n"


def test_recordings_of_which_nothing_was_cut_are_deleted_after_a_month(
    project: Project,
) -> None:
    add(project, "wave", "1", cut_from="used")
    kept = project.folder / ".onlooker" / "recordings"
    for name, days in {"used": 40, "old": 40, "new": 20}.items():
        source = project.incoming() / name
        source.write_text("film")
        project.keep_recording(source, name)
        then = time.time() - 86400 * days
        os.utime(kept / name, (then, then))
    again = restarted(project)
    assert sorted(path.name for path in kept.iterdir()) == ["new", "used"]
    again.close()


def test_times_of_parts_that_are_none_are_left_out(project: Project) -> None:
    for number in "123":
        add(project, "wave", number, f"{number}.mp4", cut_from="day")
    rows = ["wave/1.mp4,a,day,nan,inf", "wave/2.mp4,a,day,1,2.5", "wave/4.mp4,a,day,1,2"]
    listed = "\n".join(["clip,recording,cut_from,start,end", *rows])
    (project.folder / "recordings.csv").write_text(listed)
    (example,) = project.examples_of("day")
    assert (example["clip"]["name"], example["times"]) == ("2.mp4", [1.0, 2.5])
