"""Changes of a project in a real browser: undo in messages and by keyboard, merging, recordings,
the same file.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import drop, serving
from clips import find_clips

pytest.importorskip("fastapi", reason="the page needs onlooker[serve]")
pytest.importorskip("playwright", reason="no playwright, which drives a browser")

Open = Callable[..., Any]


@pytest.fixture
def clips(tmp_path: Path, squares: Path) -> Path:
    """Two classes of three clips."""
    for label in ("left", "up"):
        (tmp_path / "clips" / label).mkdir(parents=True)
        for number in range(3):
            shutil.copy(squares / label / f"{number:02}.mp4", tmp_path / "clips" / label)
    return tmp_path / "clips"


def count(page: Any, label: str, clips: int) -> None:
    page.wait_for_function(
        "([label, clips]) => document.querySelectorAll(`[data-class=${label}] .tile`).length === clips",
        arg=[label, clips],
    )


def test_deleting_says_so_and_is_undone_from_the_message_and_the_keyboard(
    clips: Path, open_page: Open
):
    with serving(clips, clips.parent / "runs") as url:
        page = open_page(f"{url}#teach", errors_expected=True, reduced_motion="reduce")
        count(page, "left", 3)
        for undo in ("button", "keys"):
            page.click("[data-class=left] .tile >> nth=0")
            page.click("dialog >> text=Delete")
            count(page, "left", 2)
            message = page.locator(".toast:has-text('02.mp4 was deleted')")
            if undo == "button":
                message.locator("text=Undo").click()
            else:
                page.keyboard.press("Control+z")
            count(page, "left", 3)
            message.wait_for(state="detached")
        page.fill("#new-class", "new")
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-class=new]")
        page.fill("#new-class", "text")
        page.keyboard.press("Control+z")  # of the field, not of the class that was added before
        page.wait_for_timeout(300)
        page.wait_for_selector("[data-class=new]")


def test_a_name_that_is_taken_offers_to_merge_and_colors_stay(clips: Path, open_page: Open):
    color = "getComputedStyle(document.querySelector('[data-class=%s]')).borderLeftColor"
    with serving(clips, clips.parent / "runs") as url:
        page = open_page(f"{url}#teach", errors_expected=True, reduced_motion="reduce")
        count(page, "up", 3)
        colors = [page.evaluate(color % name) for name in ("left", "up")]
        page.fill("#new-class", "a first one")
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-class='a first one']")
        page.fill("[data-class=up] .class-name", "above")
        page.keyboard.press("Enter")
        count(page, "above", 3)
        page.reload()
        count(page, "above", 3)
        assert [page.evaluate(color % name) for name in ("left", "above")] == colors
        page.fill("[data-class=above] .class-name", "Left")
        page.keyboard.press("Enter")
        page.click(".toast button:text-is('Merge')")
        count(page, "left", 6)
        assert page.locator("[data-class=above]").count() == 0
        page.click(".toast >> text=Undo")
        count(page, "above", 3)
        page.evaluate(
            "import('/static/dom.js').then(({ toast }) => ['1', '2', '3', '4', '5'].forEach((n) => toast(n)))"
        )
        assert page.locator(".toast").count() == 3, "messages do not pile up"


def test_recordings_of_a_folder_and_people_are_kept_and_the_same_file_is_named(
    clips: Path, open_page: Open, tmp_path: Path
):
    shutil.copytree(clips, tmp_path / "more")
    rows = "".join(
        f"{label}/0{n}.mp4;{who}\n"
        for label in ("left", "up")
        for n, who in enumerate(("Anna", "Ben", "Ben"))
    )
    (tmp_path / "more" / "recordings.csv").write_text(f"Clip;Person\n{rows}")
    with serving(tmp_path / "mine", tmp_path / "runs") as url:
        page = open_page(f"{url}#teach", errors_expected=True, reduced_motion="reduce")
        page.set_input_files("input[webkitdirectory]", tmp_path / "more")
        for label in ("left", "up"):
            count(page, label, 3)
        assert page.locator(".toast:has-text('ignored')").count() == 0
        known = {
            clip.path.relative_to(tmp_path / "mine").as_posix(): clip.recording
            for clip in find_clips(tmp_path / "mine")
        }
        assert known == dict(line.split(";") for line in rows.splitlines())
        drop(page, "[data-class=up]", clips / "left" / "00.mp4", "again.mp4")
        page.wait_for_selector(".toast:has-text('The same file as 00.mp4 of left')")
        count(page, "up", 3)
        page.click("[data-class=up] .tile[aria-label*='02.mp4']")
        # which the server knows
        page.wait_for_function("() => document.querySelector('dialog input').value === 'Ben'")
        page.fill("dialog input", "Carla")
        page.keyboard.press("Tab")
        page.wait_for_selector(".toast:has-text('02.mp4 is of Carla now')")
        assert {clip.recording for clip in find_clips(tmp_path / "mine")} == {
            "Anna",
            "Ben",
            "Carla",
        }


def test_folders_within_a_class_are_people_and_ignored_files_are_named(
    open_page: Open, tmp_path: Path, squares: Path
):
    for number, place in enumerate(("left/anna", "left/ben", "up/anna", "up/@eaDir")):
        (tmp_path / "mine" / place).mkdir(parents=True)
        shutil.copy(squares / "left" / f"{number:02}.mp4", tmp_path / "mine" / place)
    (tmp_path / "mine" / "up" / "notes.txt").write_text("of Tuesday")
    with serving(tmp_path / "clips", tmp_path / "runs") as url:
        page = open_page(f"{url}#teach", reduced_motion="reduce")
        page.set_input_files("input[webkitdirectory]", tmp_path / "mine")
        count(page, "left", 2)
        count(page, "up", 1)
        page.wait_for_selector(".toast:has-text('One other file was ignored: mine/up/notes.txt')")
        assert {clip.recording for clip in find_clips(tmp_path / "clips")} == {"anna", "ben"}
        place = """([paths, known, label]) => import('/static/uploads.js').then(({ placed }) => placed(
            paths.map((path) => ({ file: {}, path, folders: path.split('/').slice(0, -1) })), known, label)
            .map(({ label, recording }) => `${label} ${recording}`))"""
        for paths, known, label, expected in (
            (["wave/1.mp4", "clap/1.mp4"], [], None, ["wave ", "clap "]),
            (["all/wave/1.mp4", "all/clap/1.mp4"], [], None, ["wave ", "clap "]),
            (["wave/anna/1.mp4", "clap/anna/1.mp4"], [], None, ["wave anna", "clap anna"]),
            (["train/wave/1.mp4", "test/wave/1.mp4"], [], None, ["wave ", "wave "]),
            (["wave/anna/1.mp4"], ["wave"], None, ["wave anna"]),
            (["anna/1.mp4", "ben/1.mp4"], [], "wave", ["wave anna", "wave ben"]),
            (["other/1.mp4", "other/2.mp4"], [], "wave", ["wave ", "wave "]),
        ):
            assert page.evaluate(place, [paths, known, label]) == expected
