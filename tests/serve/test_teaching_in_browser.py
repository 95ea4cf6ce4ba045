"""Teaching and correcting in a real browser, and undoing it: what a person sees and does, with the
real server and a real model.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browsing import drop, make_good, serving, texts_of
from clips import find_clips
from serving import save_model

from onlooker.base.files import write_json
from onlooker.measure.figures import Figures
from onlooker.serve.project import Project

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
    tmp_path: Path, open_page: Open, two_classes: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Figures, "beats_majority", True)  # of three wrong labels
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
        page.wait_for_selector("button.cell", timeout=300_000)
        counts = [int(text) for text in texts_of(page.locator(".cell"))]
        assert sum(counts) == 14
        page.click(".cover >> text=Turn on the camera")
        page.wait_for_selector(".stage.looking")
        page.click(".train-action .primary")
        page.wait_for_selector(".stage.live:not(.looking)")
        # with the new model, as the camera is on
        page.wait_for_selector(".stage.looking", timeout=300_000)
        page.wait_for_selector(".train-action .primary", timeout=300_000)
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


def test_colors_of_classes_stay_after_a_training_and_in_another_browser(
    open_page: Open, tmp_path: Path
):
    def colors(page: Any) -> list[str]:
        page.wait_for_selector("[data-class=clap]")
        color = "getComputedStyle(document.querySelector('[data-class=%s]')).borderLeftColor"
        return [page.evaluate(color % name) for name in ("wave", "clap")]

    with serving(tmp_path / "clips", tmp_path / "runs") as url:
        page = open_page(f"{url}#teach")
        for name in ("wave", "clap"):
            new_class(page, name)
            page.wait_for_selector(f"[data-class={name}]")
        before = colors(page)
        assert before[0] != before[1]
    save_model(tmp_path / "runs")  # of classes in the order of their names
    with serving(tmp_path / "clips", tmp_path / "runs") as url:
        page = open_page(url)
        page.wait_for_selector(".chips")
        page.click("#tab-teach")
        assert colors(page) == before


def test_a_deleted_class_is_asked_about_and_comes_back_after_a_restart(
    clips: Path, open_page: Open, tmp_path: Path
):
    (clips / "up" / "notes.txt").write_text("of Tuesday")
    files = sorted(path.name for path in (clips / "up").iterdir())
    asked: list[str] = []

    def answer(yes: bool) -> Callable[[Any], None]:
        def reply(dialog: Any) -> None:
            asked.append(dialog.message)
            dialog.accept() if yes else dialog.dismiss()

        return reply

    with serving(clips, tmp_path / "runs") as url:
        page = open_page(f"{url}#teach", reduced_motion="reduce")
        count(page, "up", 3)
        assert page.is_hidden("text=Empty the trash")
        page.once("dialog", answer(False))
        page.click("[data-class=up] .class-head button[title='Delete up']")
        assert (clips / "up").is_dir(), "nothing happens without a yes"
        page.once("dialog", answer(True))
        page.click("[data-class=up] .class-head button[title='Delete up']")
        page.wait_for_selector("[data-class=up]", state="detached")
        message = page.inner_text(".toast:has-text('class up was deleted')")
        assert "stay in clips/.onlooker/trash for 30 days" in message
        assert "Trash: 4 files, 0." in page.inner_text(".trash")
    assert asked == 2 * [
        "Delete the class up with its 3 clips? Its files stay in clips/.onlooker/trash for 30 days."
    ]
    with serving(clips, tmp_path / "runs") as url:
        page = open_page(f"{url}#teach", reduced_motion="reduce")
        page.click("button[title='Undo: delete class up']")
        count(page, "up", 3)
        page.wait_for_selector(".toast:has-text('Undone: delete class up.')")
        assert sorted(path.name for path in (clips / "up").iterdir()) == files
        page.once("dialog", answer(True))
        page.click("[data-class=up] .class-head button[title='Delete up']")
        page.wait_for_selector(".trash:has-text('4 files')")
        page.once("dialog", answer(True))
        page.click("text=Empty the trash")
        page.wait_for_selector(".trash", state="hidden")
        assert asked[-1].startswith("Delete the 4 files in clips/.onlooker/trash for good?")
        assert page.is_disabled(".teach .head button"), "nothing can be undone"
    assert [*(clips / ".onlooker").glob("trash/*")] == []


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


@pytest.fixture
def own_run(clips: Path, trained: tuple[Path, str], squares: Path, tmp_path: Path) -> Path:
    """A run that was trained by the command on the folder `clips`, with all clips of the set."""
    shutil.copytree(squares, clips, dirs_exist_ok=True)
    run = shutil.copytree(trained[0], tmp_path / "mine")
    config = json.loads((run / "config.json").read_text())
    write_json(run / "config.json", config | {"clips": str(clips)})
    return run


def test_labels_are_corrected_with_a_run_of_the_command(
    clips: Path, own_run: Path, open_page: Open, tmp_path: Path
):
    with serving(clips, tmp_path / "runs", make_good(own_run)) as url:
        page = open_page(f"{url}#correct", reduced_motion="reduce")
        card = page.locator(".doubt:has(.answer-button + .answer-button)").first
        clip = card.get_attribute("data-clip")
        present, other = texts_of(card.locator(".answer-button"))
        label = present.removeprefix("It is ")
        to = other.removeprefix("Move to ")
        assert {label, to} <= {path.name for path in clips.iterdir()}
        colored = page.locator(f".doubt[data-clip='{clip}'] .answer-button.present")
        assert texts_of(colored) == [present], "that of the folder, not the suggested one"
        name = card.locator(".tile").get_attribute("aria-label").split()[1]
        card.locator(".tile").click()
        page.wait_for_selector("dialog canvas")
        assert page.inner_text("dialog h2") == name
        page.wait_for_function("""() => {
            const canvas = document.querySelector('dialog canvas');
            return canvas.width && canvas.getContext('2d')
                .getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean);
        }""")
        page.keyboard.press("Escape")
        assert (clips / label / name).is_file()
        card.locator(".answer-button").last.click()
        page.wait_for_selector(f".toast:has-text('{name} was moved to {to}.')")
        assert not (clips / label / name).exists()
        page.wait_for_selector(f".doubt[data-clip='{clip}']", state="detached")


def test_a_model_that_guesses_asks_about_no_label(
    clips: Path, own_run: Path, open_page: Open, tmp_path: Path
):
    with serving(clips, tmp_path / "runs", own_run) as url:
        page = open_page(f"{url}#correct", reduced_motion="reduce")
        page.wait_for_selector(".inbox-note:has-text('no better than guessing')")
        assert page.locator(".doubt").count() == 0
        assert page.is_hidden("#count-correct")


def test_the_first_run_offers_drawn_figures_and_takes_one_file_to_mark(
    open_page: Open, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("onlooker.serve.teach._DRAWN_CLIPS", 2)
    with serving(tmp_path / "clips", tmp_path / "runs") as url:
        page = open_page(url, reduced_motion="reduce")
        page.wait_for_selector(".empty")
        border = page.evaluate("getComputedStyle(document.querySelector('.empty')).borderStyle")
        assert border == "solid", "a dashed box is one to drop files on"
        drop(page, "#panel-look .empty", squares / "left" / "00.mp4")
        page.wait_for_selector(".side:has-text('There is no model yet')")
        page.get_by_role("button", name="Another clip").click()
        page.click(".empty >> text=Try with drawn figures")
        for label in ("bend", "jumping_jack", "wave"):
            count(page, label, 2)
        assert page.is_enabled(".train-action .primary")
        assert page.inner_text(".train-action .hint") == (
            "15 s to 45 s for these clips, depending on the machine."
        )
        assert page.inner_text(".hints li >> nth=0") == (
            "Record 3 more of bend, 3 more of jumping_jack, 3 more of wave"
        )
        people = {clip.recording for clip in find_clips(tmp_path / "clips")}
        assert people == {"person-00", "person-01"}
        page.click(".teach .head button >> nth=0")
        page.wait_for_selector(".class", state="detached")


def test_a_class_that_may_be_nothing_is_offered_and_the_measured_pace_is_kept(
    clips: Path, open_page: Open, tmp_path: Path
):
    (clips / "up").rename(clips / "no_fight")
    with closing(Project(clips)) as project:
        project.remember(pace=12.5)
    with serving(clips, tmp_path / "runs") as url:
        page = open_page(f"{url}#teach", reduced_motion="reduce")
        count(page, "no_fight", 3)
        for _ in range(2):
            page.wait_for_selector(
                ".train-action .hint:has-text('About 75 s for these clips.')"
            )
            page.reload()
        offered = page.locator(".hints li:has-text('no fight')")
        assert "Does nothing of interest happen" in offered.inner_text()
        offered.locator("button").click()
        count(page, "nothing", 3)
        page.wait_for_selector(".hints >> text='Add a class'", state="detached")
        offered.wait_for(state="detached")
        page.click(".toast >> text=Undo")
        count(page, "no_fight", 3)


@pytest.mark.parametrize("width", [1280, 390])
def test_all_of_a_matrix_of_five_classes_is_shown(
    clips: Path, own_run: Path, open_page: Open, tmp_path: Path, width: int
):
    names = ["jumping_jack", "raise_arm_slowly", "sit_down_again", "stand_up", "walk_backward"]
    results = {
        "confusion": [[4 * (i == j) + 1 for j in range(5)] for i in range(5)],
        "share": "62 %",
        "clips": 24,
        "wrong": 9,
        "classes": names,
        "conclusion": "15 of 24 clips right: not better than guessing",
        "details": "accuracy 62 % (95 % interval 42 to 79 %, over 24 clips)",
        "events": "finds 8 of 10 events",
        "advice": [],
    }
    with serving(clips, tmp_path / "runs", own_run) as url:
        page = open_page(url, errors_expected=True, viewport={"width": width, "height": 800})
        page.route("**/api/project/results", lambda route: route.fulfill(json=results))
        page.click("#tab-teach")
        page.wait_for_selector(".cell >> nth=24")
        shown = page.evaluate(
            """() => {
            const matrix = document.querySelector(".matrix");
            return matrix.scrollWidth <= matrix.clientWidth && document.body.scrollWidth <= innerWidth;
        }"""
        )
        assert shown
        assert page.inner_text(".accuracy b") == "62\N{NO-BREAK SPACE}%", "as in the text below"
        sentences = page.locator(".reached > .conclusion")
        assert sentences.all_inner_texts() == [
            "15 of 24 clips right: not better than guessing.",
            "In recordings: finds 8 of 10 events.",
        ]
        behind = page.locator(".reached details p")
        assert not behind.is_visible()
        page.click(".reached summary")
        assert "95\N{NO-BREAK SPACE}% interval" in behind.inner_text()


@pytest.mark.usefixtures("clips")
def test_the_countdown_is_seen_on_a_white_wall(page: Any):
    page.click("text=Turn on the camera")
    page.wait_for_selector(".hold:not([disabled])")
    page.click(".hold")
    page.wait_for_selector(".count.big span")
    color = "getComputedStyle(document.querySelector('.count.big span')).backgroundColor"
    *levels, opacity = map(float, re.findall(r"[\d.]+", page.evaluate(color)))
    behind = max(255 * (1 - opacity) + level * opacity for level in levels)
    assert behind < 118, "a contrast of white digits above 4.5"


@pytest.mark.usefixtures("clips")
def test_quiet_time_is_recorded_with_a_clock_and_ends_early(page: Any):
    page.click("text=Turn on the camera")
    page.click("text=Record quiet time")
    page.wait_for_selector("text=Quiet time · 9:5")
    page.wait_for_timeout(1200)
    page.click(".quiet-time >> text=Stop")
    page.wait_for_selector("text=minutes of quiet time")
    assert page.evaluate(f"{PROJECT}.then((project) => project.quiet_seconds)") > 0.5
