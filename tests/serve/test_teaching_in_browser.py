"""Teaching and correcting in a real browser, and undoing it: what a person sees and does, with the
real server and a real model.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import drop, serving, texts_of
from clips import find_clips

Open = Callable[..., Any]
PROJECT = 'fetch("/api/project").then((response) => response.json())'


def hold(page: Any, seconds: float) -> None:
    box = page.locator(".hold").bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + 15)
    page.mouse.down()
    page.wait_for_timeout(1000 * seconds)
    page.mouse.up()


def new_class(page: Any, name: str) -> None:
    page.fill("#new-class", name)
    page.keyboard.press("Enter")


def clips_of(page: Any, label: str) -> int:
    return page.locator(f"[data-class={label}] .tile").count()


@pytest.mark.slow
def test_teaching_from_the_first_class_to_answers_and_corrections(
    tmp_path: Path, open_page: Open, two_classes: Path
):
    with serving(tmp_path / "clips", tmp_path / "runs") as url:
        page = open_page(url, errors_expected=True, reduced_motion="reduce")
        assert "no model yet" in page.inner_text(".empty")
        page.click(".empty .primary")
        assert page.is_disabled(".train-action .primary")
        page.set_input_files("input[webkitdirectory]", two_classes)
        page.wait_for_selector(".toast:has-text('One other file was ignored')")
        page.wait_for_selector("[data-class=up] .tile >> nth=6")
        page.wait_for_selector(".failures")
        assert texts_of(page.locator(".failures li b")) == ["notes.mp4"]
        new_class(page, "push")
        page.wait_for_selector("[data-class=push].chosen")
        record(page)
        page.click(".train-action .primary")
        page.click(".train-action >> text=Cancel")
        page.wait_for_selector(".toast:has-text('cancelled')")
        page.click(".train-action .primary")
        page.wait_for_selector(".train-action progress")
        assert "busy" in page.get_attribute("#tab-teach", "class")
        page.reload()  # training goes on, and the page finds it again
        page.wait_for_selector(".train-action progress")
        page.wait_for_selector("button.cell", timeout=90_000)
        counts = [int(text) for text in texts_of(page.locator(".cell"))]
        assert sum(counts) == 14
        page.click(".cover >> text=Turn on the camera")
        page.wait_for_selector(".stage.looking")
        page.click(".train-action .primary")
        page.wait_for_selector(".stage.live:not(.looking)")
        # with the new model, as the camera is on
        page.wait_for_selector(".stage.looking", timeout=90_000)
        page.wait_for_selector(".train-action .primary", timeout=90_000)
        page.wait_for_function(
            "() => Number(document.querySelector('.stage.live').dataset.rate) > 0"
        )
        page.locator(".cell").first.click()
        page.wait_for_selector("dialog .tile")
        assert page.locator("dialog .tile").count() == counts[0]
        page.keyboard.press("Escape")
        correct_and_undo(page)


def record(page: Any) -> None:
    """A clip by holding the button, one by holding the space key, one by a short press."""
    page.click("text=Turn on the camera")
    page.wait_for_selector(".hold")
    hold(page, 1.2)
    page.wait_for_selector("[data-class=push] .tile")
    page.locator("[data-class=push] .class-head").click(position={"x": 250, "y": 10})
    page.evaluate("document.activeElement.blur()")
    page.keyboard.down("Space")
    assert "push" in page.inner_text(".count span")
    page.wait_for_timeout(1200)
    page.keyboard.up("Space")
    page.wait_for_selector("[data-class=push] .tile >> nth=1")
    page.click(".hold")
    for number in ("3", "2", "1"):
        page.wait_for_selector(f".count.big span:text-is('{number}')")
    page.wait_for_selector(".count.running")
    page.wait_for_selector("[data-class=push] .tile >> nth=2")
    page.click("[data-class=push] .tile >> nth=0")
    page.click("dialog >> text=Delete")
    page.wait_for_selector("[data-class=push] .tile >> nth=2", state="detached")


def correct_and_undo(page: Any) -> None:
    page.click("#tab-correct")
    page.wait_for_selector(".doubt")
    before = [each["count"] for each in page.evaluate(PROJECT)["classes"]]
    for number in range(2):
        card = page.locator(".doubt").first
        clip = card.get_attribute("data-clip")
        card.locator("select").select_option(index=1)
        card.locator("text=Set class").click()
        page.wait_for_selector(f".doubt[data-clip='{clip}']", state="detached")
        if number == 0:  # the second one may be the other way around
            assert [each["count"] for each in page.evaluate(PROJECT)["classes"]] != before
    for _ in range(2):
        page.keyboard.press("Control+z")
        page.wait_for_timeout(500)
    page.wait_for_function(
        f"async (counts) => JSON.stringify((await {PROJECT}).classes.map((each) => each.count)) === counts",
        arg=json.dumps(before, separators=(",", ":")),
    )


def test_names_and_conflicts_in_the_project(address: str, open_page: Open):
    page = open_page(f"{address}#teach", errors_expected=True)
    new_class(page, "left")
    page.wait_for_selector("[data-class=left]")
    new_class(page, "left")
    page.wait_for_selector('.add .wrong:has-text("left exists")')
    page.fill("#new-class", "right")
    assert page.is_hidden(".wrong")
    other = open_page(f"{address}#teach", errors_expected=True)
    new_class(other, "first")
    other.wait_for_selector("[data-class=first]")
    new_class(page, "later")
    page.wait_for_selector(".toast.bad:has-text('another tab')")
    page.click(".toast.bad button")
    new_class(page, "much  later")
    page.wait_for_selector("[data-class='much later'].chosen")
    page.fill("[data-class='much later'] .class-name", " at  last")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-class='at last'].chosen")
    # the second click does not wait for the first change
    page.locator(".teach .head button").first.dblclick()
    for name in ("at last", "much later"):
        page.wait_for_selector(f"[data-class='{name}']", state="detached")
    assert page.locator(".toast.bad").count() == 0
    for _ in range(2):
        page.click(".teach .head button >> nth=0")
        page.wait_for_timeout(500)
    page.wait_for_selector(".class", state="detached")


@pytest.mark.slow
def test_files_that_were_not_added_wait_for_a_retry_or_dismissal(
    tmp_path: Path, page: Any, squares: Path
):
    full = {"error": {"code": "disk_full", "found": "a full disk", "remedy": "free some space"}}

    def add(*files: str) -> None:
        folder = tmp_path / files[0]
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(squares / "left" / Path(file).name, folder / file)
        page.set_input_files("input[webkitdirectory]", folder)

    def failed(*names: str) -> None:
        page.wait_for_selector(f".failures li >> nth={len(names) - 1}")
        assert sorted(
            text.partition(":")[0] for text in texts_of(page.locator(".failures li"))
        ) == [*names]

    page.route("**/api/project/clips?*", lambda route: route.fulfill(status=507, json=full))
    add("left/00.mp4")
    failed("00.mp4")
    page.click(".uploads >> text=Close")
    assert page.is_hidden(".uploads")
    # hidden ones are skipped
    add("left/02.mp4", "up/03.mp4", ".onlooker/trash/04.mp4", "__MACOSX/left/05.mp4")
    failed("02.mp4", "03.mp4")
    page.unroute("**/api/project/clips?*")
    page.click(".uploads >> text=Try again")
    page.wait_for_selector(".uploads", state="hidden")
    assert [clips_of(page, label) for label in ("left", "up")] == [1, 1]


def test_the_last_clips_of_a_class_are_shown_and_all_of_them_when_asked(clips: Path, page: Any):
    for number in range(27):
        shutil.copy(clips / "left" / "00.mp4", clips / "left" / f"copy {number}.mp4")
    page.reload()
    count(page, "left", 24)
    page.click("[data-class=left] .link")
    count(page, "left", 30)
    assert page.is_hidden("[data-class=left] .link")


@pytest.fixture
def clips(tmp_path: Path, squares: Path) -> Path:
    """Two classes of three clips."""
    for label in ("left", "up"):
        (tmp_path / "clips" / label).mkdir(parents=True)
        for number in range(3):
            shutil.copy(squares / label / f"{number:02}.mp4", tmp_path / "clips" / label)
    return tmp_path / "clips"


@pytest.fixture
def page(tmp_path: Path, open_page: Open) -> Iterator[Any]:
    """The page that teaches the folder `clips`."""
    with serving(tmp_path / "clips", tmp_path / "runs") as url:
        yield open_page(f"{url}#teach", errors_expected=True, reduced_motion="reduce")


def count(page: Any, label: str, clips: int) -> None:
    page.wait_for_function(
        "([label, clips]) => document.querySelectorAll(`[data-class=${label}] .tile`).length === clips",
        arg=[label, clips],
    )


def test_deleting_says_so_and_is_undone_from_the_message_and_the_keyboard(
    clips: Path, page: Any
):
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
    new_class(page, "new")
    page.wait_for_selector("[data-class=new]")
    page.fill("#new-class", "text")
    page.keyboard.press("Control+z")  # of the field, not of the class that was added before
    page.wait_for_timeout(300)
    page.wait_for_selector("[data-class=new]")


def test_a_name_that_is_taken_offers_to_merge_and_colors_stay(clips: Path, page: Any):
    color = "getComputedStyle(document.querySelector('[data-class=%s]')).borderLeftColor"
    count(page, "up", 3)
    colors = [page.evaluate(color % name) for name in ("left", "up")]
    new_class(page, "a first one")
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
        "import('/static/dom.js').then(({ toast }) => [...'1234566'].forEach((n) => toast(n)))"
    )
    toasts = texts_of(page.locator(".toast span"))
    assert toasts == ["4", "5", "6"], "messages do not pile up, and equal ones are one"


def test_recordings_of_a_folder_and_people_are_kept_and_the_same_file_is_named(
    clips: Path, open_page: Open, tmp_path: Path
):
    shutil.copytree(clips, tmp_path / "more")
    rows = "".join(
        f"{label}/0{n}.mp4;{who}\n"
        for label in ("left", "up")
        for n, who in enumerate(("Anna", "Ben", "Ben"))
    )
    listed = rows.replace("/", "\\")  # as programs on Windows write them
    (tmp_path / "more" / "recordings.csv").write_text(f"Clip;Person\n{listed}")
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
    page: Any, tmp_path: Path, squares: Path
):
    for number, place in enumerate(("left/anna", "left/ben", "up/anna", "up/@eaDir")):
        (tmp_path / "mine" / place).mkdir(parents=True)
        shutil.copy(squares / "left" / f"{number:02}.mp4", tmp_path / "mine" / place)
    (tmp_path / "mine" / "up" / "notes.txt").write_text("of Tuesday")
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
