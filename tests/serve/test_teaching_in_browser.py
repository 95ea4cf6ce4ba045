"""Teaching and correcting in a real browser: what a person sees and does, with the real server and
a real model.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import serving, teach_run, texts_of

from onlooker.base.files import read_json

pytest.importorskip("fastapi", reason="the page needs onlooker[serve]")
pytest.importorskip("playwright", reason="no playwright, which drives a browser")

Open = Callable[..., Any]
Trained = tuple[Path, str]
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
def test_a_cancelled_training_leaves_clips_and_models_as_they_were(
    tmp_path: Path, open_page: Open, trained: Trained, squares: Path
):
    clips = shutil.copytree(squares, tmp_path / "squares")
    runs = tmp_path / "runs"
    teach_run(trained[0], clips, runs)
    before = sorted(clips.glob("*/*.mp4")), [path.name for path in runs.iterdir()]
    with serving(clips, runs) as url:
        page = open_page(f"{url}#teach", reduced_motion="reduce")
        page.wait_for_selector(".accuracy b")
        page.click(".train-action .primary")
        page.wait_for_selector(".train-action progress")
        assert "busy" in page.get_attribute("#tab-teach", "class")
        page.click(".train-action >> text=Cancel")
        page.wait_for_selector(".toast:has-text('cancelled')")
        page.wait_for_selector(".train-action .primary:enabled:has-text('Train again')")
        assert "busy" not in page.get_attribute("#tab-teach", "class")
        assert page.is_visible(".accuracy b")  # of the model before
        page.reload()
        page.wait_for_selector(".train-action .primary:enabled:has-text('Train again')")
        # else images are asked for after the server has ended
        page.wait_for_load_state("networkidle")
    assert (sorted(clips.glob("*/*.mp4")), [path.name for path in runs.iterdir()]) == before


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
        page.wait_for_selector(".train-action progress")
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
    assert [each["count"] for each in page.evaluate(PROJECT)["classes"]] == before


@pytest.mark.slow
def test_a_new_model_is_live_before_its_report_and_stays_if_that_fails(
    tmp_path: Path, open_page: Open, trained: Trained, squares: Path
):
    clips = shutil.copytree(squares, tmp_path / "squares")
    job = dict[str, Any]()
    teach_run(trained[0], clips, tmp_path / "runs")
    with serving(clips, tmp_path / "runs") as url:
        page = open_page(f"{url}#teach", reduced_motion="reduce")
        page.wait_for_selector("button.cell")
        page.route("**/api/project/train", lambda route: route.fulfill(json={"job": "1"}))
        page.route("**/api/jobs/1", lambda route: route.fulfill(json=job))
        job.update(state="running", text="Fitting …", progress=0.5, result=None, error=None)
        page.click(".train-action .primary")
        page.wait_for_selector(".train-action progress")
        job["result"] = {"model": page.evaluate(PROJECT)["model"]}
        page.click(".cover >> text=Turn on the camera")
        page.wait_for_selector(".stage.looking")
        assert page.locator(".train-action progress").count() == 1
        job.update(
            state="failed", error={"found": "no space for the report", "remedy": "free some"}
        )
        page.wait_for_selector(".train-action .error")
        assert "No space for the report" in page.inner_text(".train-action .error")
        assert page.locator(".stage.looking").count() == 1


@pytest.mark.slow
def test_an_inbox_of_many_clips_shows_the_next_ones_when_the_first_are_answered(
    tmp_path: Path,
    open_page: Open,
    trained: Trained,
    squares: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    clips = shutil.copytree(squares, tmp_path / "squares")
    teach_run(trained[0], clips, tmp_path / "runs")
    monkeypatch.setattr("onlooker.serve.training.CHECKED", 2)
    with serving(clips, tmp_path / "runs") as url:
        page = open_page(f"{url}#correct", reduced_motion="reduce")
        page.wait_for_selector(".doubt")
        waiting = int(page.inner_text("#count-correct"))
        assert page.locator(".doubt").count() == 2
        page.focus(".doubt select")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Tab")
        assert page.inner_text("#count-correct") == str(waiting), "the arrow keys only choose"
        for left in range(waiting - 1, -1, -1):
            page.locator(".doubt .answer-button").first.click()
            page.wait_for_function(
                "(n) => document.getElementById('count-correct').textContent === n", arg=str(left)
            )
        page.wait_for_selector(".inbox-note:has-text('Nothing to check')")
        assert page.is_hidden("#count-correct")
    assert len(read_json(clips / ".onlooker" / "page.json")["confirmed"]) == waiting


def test_names_and_conflicts_in_the_project(address: str, open_page: Open):
    page = open_page(f"{address}#teach", errors_expected=True)
    new_class(page, "left")
    page.wait_for_selector("[data-class=left]")
    for name, problem in (
        ("../outside", "contain '/'"),
        ("left", "left exists"),
        ("end.", "a dot"),
    ):
        new_class(page, name)
        page.wait_for_selector(f'.add .wrong:has-text("{problem}")')
    page.fill("#new-class", "right")
    assert page.is_hidden(".wrong")
    page.evaluate(
        "import('/static/dom.js').then(({ toast }) => [1, 2].forEach(() => toast('twice', { error: true })))"
    )
    page.click(".toast.bad button")
    assert page.locator(".toast").count() == 0, "equal messages are one"
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
    assert page.locator(".class").count() == 0


@pytest.mark.slow
def test_clips_that_wait_follow_their_renamed_class_and_are_one_step(
    tmp_path: Path, open_page: Open, squares: Path
):
    with serving(tmp_path / "clips", tmp_path / "runs") as url:
        page = open_page(f"{url}#teach", reduced_motion="reduce")
        held = list[Any]()
        holding = [True]
        page.route(
            "**/api/project/clips?*",
            lambda route: held.append(route) if holding else route.continue_(),
        )
        page.set_input_files("input[webkitdirectory]", squares / "left")
        while len(held) < 3:
            page.wait_for_timeout(20)
        page.wait_for_timeout(200)
        assert len(held) == 3, "a few at a time"
        holding.clear()
        new_class(page, "up")  # waits for those on their way
        for route in held:
            route.continue_()
        page.wait_for_selector("[data-class=up]")
        page.fill("[data-class=left] .class-name", "links")
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-class=links] .tile >> nth=5")
        assert {path.name for path in (tmp_path / "clips").iterdir()} == {
            ".onlooker",
            "links",
            "up",
        }


@pytest.mark.slow
def test_files_that_were_not_added_wait_for_a_retry_or_dismissal(
    tmp_path: Path, open_page: Open, squares: Path
):
    full = {"error": {"code": "disk_full", "found": "a full disk", "remedy": "free some space"}}
    with serving(tmp_path / "clips", tmp_path / "runs") as url:
        page = open_page(f"{url}#teach", errors_expected=True, reduced_motion="reduce")

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


@pytest.mark.slow
def test_hundreds_of_files_at_once_are_shown_in_parts(
    tmp_path: Path, open_page: Open, squares: Path
):
    clip = (squares / "left" / "00.mp4").read_bytes()
    bad = {f"bad-{number}.mp4" for number in range(0, 300, 50)}
    for number in range(300):
        path = tmp_path / "many" / f"class {number % 4}" / f"{number}.mp4"
        path = path.with_name(f"bad-{number}.mp4") if f"bad-{number}.mp4" in bad else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no video" if path.name in bad else clip + number.to_bytes(2))
    with serving(tmp_path / "clips", tmp_path / "runs") as url:
        page = open_page(f"{url}#teach", errors_expected=True, reduced_motion="reduce")
        page.set_input_files("input[webkitdirectory]", tmp_path / "many")
        page.wait_for_selector(".uploads progress")
        page.fill("#new-class", "meanwhile")  # the page can be used
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-class=meanwhile]", timeout=60_000)
        page.wait_for_selector(".failures", timeout=240_000)
        assert {text.partition(":")[0] for text in texts_of(page.locator(".failures li"))} == bad
        added = {
            path.relative_to(tmp_path / "clips")
            for path in (tmp_path / "clips").glob("class */*.mp4")
        }
        sent = {
            path.relative_to(tmp_path / "many")
            for path in (tmp_path / "many").glob("*/*")
            if path.name not in bad
        }
        assert added == sent
        asked: list[str] = []
        page.on(
            "request",
            lambda request: asked.append(request.url) if request.url.endswith(".jpg") else None,
        )
        page.reload()
        page.wait_for_selector("[data-class='class 1'] .tile >> nth=23")
        page.wait_for_timeout(1000)
        assert 0 < len(asked) <= 4 * 24
        page.click("[data-class='class 1'] .link")
        page.wait_for_selector("[data-class='class 1'] .tile >> nth=74")
        assert page.is_hidden("[data-class='class 1'] .link")
