"""The page in a real browser: looking at clips and the camera, playing a result, with the real
server and a real model.
"""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import moving_squares
import pytest
import torch
from browsing import drop, serving, texts_of
from eventful import LENGTHS, eventful, untrained
from made_heads import event_heads
from ports import free_port
from serving import save_model

import onlooker
from onlooker.base.alarm_curve import AlarmCurve

Open = Callable[..., Any]
Trained = tuple[Path, str]


def test_a_dropped_clip_shows_label_box_and_timeline(
    address: str, open_page: Open, trained: Trained, squares: Path
):
    clip = squares / "left" / "00.mp4"
    expected = onlooker.load(trained[0]).predict(clip)
    page = open_page(address)
    page.wait_for_selector(".drop")
    drop(page, ".drop", clip)
    assert page.inner_text(".answer .label") == expected.label
    assert f"{100 * expected.score:.0f}\N{NO-BREAK SPACE}% sure" in page.inner_text(
        ".answer .detail"
    )
    assert set() < {*texts_of(page.locator(".run .name"))} <= {*moving_squares.WAYS, "nothing"}
    page.wait_for_function("""() => {
        const canvas = document.querySelector('.stage canvas');
        return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean);
    }""")  # attention
    assert page.locator(".bars li").count() == 4
    widths = page.evaluate(
        "[...document.querySelectorAll('.run')].map((run) => run.getBoundingClientRect().width)"
    )
    strip = page.locator(".strip").bounding_box()["width"]
    assert sum(widths) == pytest.approx(strip, rel=0.02)  # every moment has a class


def test_the_page_works_in_a_folder_of_a_proxy(
    open_page: Open, trained: Trained, squares: Path, tmp_path: Path
):
    port = free_port()
    public = f"http://127.0.0.1:{port}/my/page"
    token = "0123456789abcdef"
    with serving(
        tmp_path / "clips", tmp_path / "runs", trained[0], port, public=public, token=token
    ):
        page = open_page(f"{public}?token={token}")
        asked = list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url.replace("ws", "http", 1)))
        page.reload()
        page.click("text=Use the camera")
        page.wait_for_selector(".speed:has-text('camera to answer')")
        page.click("text=Stop the camera")
        drop(page, ".drop", squares / "left" / "00.mp4")
        page.wait_for_selector(".answer .label")
        page.wait_for_function("() => document.querySelector('.stage video').readyState >= 2")
        page.click("#tab-teach")
        page.wait_for_selector("#panel-teach button")
        page.close()
    outside = [url for url in asked if not url.startswith((public, "blob:", "data:"))]
    assert outside == []
    places = {url.removeprefix(f"{public}/").split("/")[0] for url in asked}
    assert {"static", "api", "media"} <= places
    assert any("/api/live" in url for url in asked)


def test_answers_of_one_and_several_clips_are_found_again_and_back_stays_on_the_page(
    address: str, open_page: Open, trained: Trained, squares: Path, tmp_path: Path
):
    markup = tmp_path / "<img src=x onerror=alert(1)>.mp4"
    markup.write_bytes(b"no video")
    clips = [squares / "left" / "00.mp4", squares / "up" / "01.mp4", markup]
    recognizer = onlooker.load(trained[0])
    page = open_page(address, errors_expected=True)
    page.wait_for_selector(".drop")
    drop(page, ".drop", clips[0])
    label = page.inner_text(".answer .label")
    page.reload()
    assert page.inner_text(".answer .label") == label
    assert page.inner_text("h1.clip-name") == "00.mp4"
    page.click("#tab-teach")
    page.go_back()
    page.wait_for_selector(".answer .label")
    page.go_back()
    page.wait_for_selector(".drop")
    page.go_forward()
    page.wait_for_selector(".answer .label")
    page.goto(f"{address}#look/0123456789abcdef")  # of a server that was restarted
    page.wait_for_selector(".error")
    assert "ended when the server was restarted" in page.inner_text(".error")
    page.click(".error .primary")
    page.set_input_files("#clip-file", clips)
    for place, clip in enumerate(clips[:2], 1):
        page.wait_for_selector(f".clip-list li:nth-child({place}) .dot")
        found = recognizer.predict(clip)
        shown = page.inner_text(f".clip-list li:nth-child({place})")
        assert clip.name in shown
        assert f"{found.label} · {100 * found.score:.0f}" in shown
    assert "Choose another file" in page.inner_text(".clip-list li:nth-child(3) .error .remedy")
    with page.expect_download() as download:
        page.click("text=Answers (CSV)")
    rows = Path(download.value.path()).read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ['"clip"', '"00.mp4"', '"01.mp4"']
    events = [{"label": name, "start": k, "end": k + 0.5} for k, name in enumerate("ab")]
    recording = {"name": "day.mp4", "label": "a", "score": 0.9, "segments": events}
    with page.expect_download() as download:
        page.evaluate(
            """(result) => import('/static/look_list.js')
            .then(({ ClipList }) => ClipList.prototype.save.call({ rows: [{ result }] }))""",
            recording,
        )
    assert Path(download.value.path()).read_text().splitlines()[1] == (
        '"day.mp4","","","a 0.00 to 0.50; b 1.00 to 1.50"'
    ), "a recording of several classes has no single one"
    taken = []
    page.on("download", lambda file: taken.append(file.suggested_filename))
    page.click("text=Times (WebVTT)")
    until = time.monotonic() + 60
    while len(taken) < 2 and time.monotonic() < until:
        page.wait_for_timeout(50)
    assert taken == ["00.vtt", "01.vtt"]
    page.click(".clip-list li:nth-child(2) button")
    page.wait_for_selector(".answer .label")
    assert page.inner_text("h1.clip-name") == "01.mp4"
    page.go_back()
    page.wait_for_selector(".clip-list")
    page.go_back()
    page.wait_for_selector(".drop")


def test_a_part_of_the_timeline_becomes_an_example(
    address: str, open_page: Open, squares: Path
):
    page = open_page(address)
    page.wait_for_selector(".drop")
    drop(page, ".drop", squares / "left" / "00.mp4")
    page.get_by_role("button", name="Mark examples").click()
    strip = page.locator(".strip").bounding_box()
    y = strip["y"] + strip["height"] / 2
    page.mouse.move(strip["x"] + strip["width"] * 0.2, y)
    page.mouse.down()
    page.mouse.move(strip["x"] + strip["width"] * 0.8, y, steps=5)
    page.mouse.up()
    page.fill(".mark-form input >> nth=0", "0.3")
    page.fill(".mark-form input >> nth=1", "0.9")
    page.fill(".mark-form input[type=text]", "marked")
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_selector(".mark-part:not(.selected)")
    assert "Added to marked" in page.inner_text(".mark-form .hint")
    assert page.locator(".toast").count() == 0, "no message covers the next field"
    page.mouse.move(strip["x"] + strip["width"] * 0.9 / 1.2, y)  # the right edge
    page.mouse.down()
    page.mouse.move(strip["x"] + strip["width"] * 0.6, y, steps=5)
    page.mouse.up()
    page.get_by_role("button", name="Change").click()
    page.wait_for_selector(".mark-form .hint:has-text('Added to marked')")
    assert float(page.input_value(".mark-form .edge >> nth=1")) < 0.8
    assert page.locator(".mark-part:not(.selected)").count() == 1, "the old one is replaced"
    page.evaluate("document.querySelector('.stage video').pause()")
    page.evaluate("document.activeElement.blur()")
    for key in "+++":
        page.keyboard.press(key)
    assert page.locator(".strip").bounding_box()["width"] == pytest.approx(
        1.2 * strip["width"], rel=0.02
    )
    page.keyboard.press("-")
    page.keyboard.press("Escape")
    page.keyboard.press("End")
    page.keyboard.press("o")
    page.fill(".mark-form input[type=text]", "kept")
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_function(
        "() => document.querySelectorAll('.mark-part:not(.selected)').length === 2"
    )
    page.mouse.click(strip["x"] + strip["width"] * 0.5, y)  # the first one
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Delete")
    page.wait_for_function("() => document.querySelectorAll('.mark-part').length === 1")
    page.click("#tab-teach")
    page.wait_for_selector("[data-class=kept] img")
    assert page.locator("[data-class=marked] img").count() == 0


def test_a_model_is_renamed_and_deleted(open_page: Open, tmp_path: Path):
    save_model(tmp_path / "runs")
    (tmp_path / "runs" / "tiny" / "report.html").write_text("<p>of tiny</p>")
    with serving(tmp_path / "clips", tmp_path / "runs") as url:
        page = open_page(url)
        with page.expect_popup() as opened:
            page.click("text=Report")
        assert opened.value.inner_text("p") == "of tiny"
        with page.expect_download() as taken:
            page.click("text=Download")
        assert taken.value.suggested_filename == "tiny.zip"
        page.once("dialog", lambda dialog: dialog.accept("gestures"))
        page.click("text=Rename")
        page.wait_for_selector(".model option:text-is('gestures')", state="attached")
        page.once("dialog", lambda dialog: dialog.accept())
        page.click(".model >> text=Delete")
        page.wait_for_selector("text=There is no model yet")
    assert [*(tmp_path / "runs").iterdir()] == []


def test_a_report_has_a_telling_title_and_controls_only_where_one_points(
    trained: Trained, browser: Any
):
    page = browser.new_page(reduced_motion="reduce")
    page.goto((trained[0] / "report.html").as_uri())
    assert re.fullmatch(r"squares: 4 classes, \d+ test clips", page.title())
    video = page.locator("video").first
    assert page.locator("video[controls]").count() == 0, "they cover the map"
    video.hover()
    assert video.get_attribute("controls") is not None
    page.hover("h1")
    assert video.get_attribute("controls") is None
    video.focus()
    assert video.get_attribute("controls") is not None
    page.close()


def test_a_look_goes_on_while_another_tab_is_shown_and_cancel_ends_it(
    address: str, open_page: Open, squares: Path
):
    page = open_page(address)
    page.wait_for_selector(".drop")
    page.route("**/api/jobs/*", lambda route: None)  # the answers of the job are on their way
    page.set_input_files("#clip-file", squares / "up" / "02.mp4")
    page.wait_for_selector("#panel-look .working")
    page.click("#tab-teach")
    page.click("#tab-look")
    page.click("#tab-look")
    assert page.locator("#panel-look .working").count() == 1
    with page.expect_request(lambda request: request.method == "DELETE") as cancelled:
        page.click("#panel-look .working button")
    assert "/api/jobs/" in cancelled.value.url
    page.wait_for_selector(".drop")


def test_a_file_above_the_limit_is_not_even_sent(address: str, open_page: Open):
    page = open_page(address)
    page.wait_for_selector(".drop")
    page.evaluate("""() => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([new Uint8Array(20_000_001)], "long.mp4"));
        const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
        document.querySelector(".drop").dispatchEvent(event);
    }""")
    assert "long.mp4 has 20.1 MB" in page.inner_text(".error")


def test_the_camera_is_answered_and_a_refused_one_says_what_to_do(
    address: str, open_page: Open
):
    page = open_page(address)
    refuse = "(name) => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', name)); }"
    for name, remedy in [
        ("NotAllowedError", "allow the camera"),
        ("NotFoundError", "Connect one"),
        ("NotReadableError", "other programs"),
    ]:
        page.evaluate(refuse, name)
        page.click("text=Use the camera")
        assert remedy in page.inner_text(".cover .error")
        page.click("text=Stop the camera")
    page.click("text=Use the camera")
    page.evaluate(
        "delete navigator.mediaDevices.getUserMedia"
    )  # its prototype has the real one
    page.click("text=Try the camera again")
    page.wait_for_selector(".stage.looking")
    page.wait_for_function("() => Number(document.querySelector('.stage').dataset.rate) > 0")
    assert page.inner_text(".answer .label") in {*moving_squares.WAYS, "nothing"}
    assert re.match(r"\d+ ms from camera to answer", page.inner_text(".speed"))
    page.click("text=Stop the camera")
    page.wait_for_selector(".drop")


def test_a_camera_that_is_too_slow_for_the_model_is_named(tmp_path: Path, open_page: Open):
    untrained(frame_rate=300.0).save(tmp_path / "runs" / "fast" / "model")
    with serving(tmp_path / "clips", tmp_path / "runs") as url:
        page = open_page(url)
        page.click("text=Use the camera")
        page.wait_for_selector(".speed.warning")
        said = page.inner_text(".speed")
        assert re.search(r"Too slow for this model: [\d.]+ of 300 frames a second\.$", said)
        page.click("text=Stop the camera")
        page.wait_for_selector(".drop")
        page.goto("about:blank")  # nothing more is asked of a server that has ended


def test_what_is_unlike_training_is_said_of_a_clip_and_of_the_camera(
    tmp_path: Path, open_page: Open, squares: Path
):
    recognizer = eventful(frame_rate=10.0, novelty_limit=1e-6)
    M = recognizer.model.num_features
    unscaled = torch.zeros(M), torch.ones(M)
    heads = event_heads(
        (*unscaled, torch.zeros(1, M), torch.zeros(1)),
        (*unscaled, torch.ones(3, M), torch.zeros(3)),
        limit=1e-6,
    )
    recognizer.model.set_heads(heads, LENGTHS)
    recognizer.save(tmp_path / "runs" / "far" / "model")
    with serving(tmp_path / "clips", tmp_path / "runs") as url:
        page = open_page(url)
        page.wait_for_selector(".drop")
        drop(page, ".drop", squares / "left" / "00.mp4")
        page.wait_for_selector(".answer .warning")
        assert page.inner_text(".answer .warning").startswith("Unlike all clips of training")
        page.goto(url)
        page.click("text=Use the camera")
        page.wait_for_selector(".speed.warning")
        assert "Unlike all clips of training" in page.inner_text(".speed")
        page.click("text=Stop the camera")
        page.wait_for_selector(".drop")
        page.goto("about:blank")  # nothing more is asked of a server that has ended


def test_how_exact_the_times_of_a_recording_are_is_said(
    tmp_path: Path, open_page: Open, squares: Path
):
    curve = AlarmCurve([0.0], [1.0], [0.0], [0.0], 0.0, 1.0, [], border_error=0.21)
    eventful(frame_rate=10.0, curve=curve).save(tmp_path / "runs" / "exact" / "model")
    with serving(tmp_path / "clips", tmp_path / "runs") as url:
        page = open_page(url)
        page.wait_for_selector(".drop")
        drop(page, ".drop", squares / "left" / "00.mp4")
        page.wait_for_selector(".answer .event")
        said = texts_of(page.locator(".answer .hint"))
        assert [text.replace("\N{NO-BREAK SPACE}", " ") for text in said] == [
            "Times are about right: half are off by 0.3 s at most."
        ]
        page.goto("about:blank")  # nothing more is asked of a server that has ended


def test_a_lost_server_is_announced_and_found_again(
    trained: Trained, tmp_path: Path, open_page: Open
):
    with serving(tmp_path / "clips", tmp_path / "runs", trained[0]) as url:
        page = open_page(url, errors_expected=True)
        page.click("text=Use the camera")
        page.wait_for_selector(".stage.looking")
        port = int(url.rsplit(":", 1)[1].strip("/"))
    page.wait_for_selector(".cover .error")
    assert "connection" in page.inner_text(".cover .error").lower()
    with serving(tmp_path / "clips", tmp_path / "runs", trained[0], port):
        page.wait_for_selector(".stage.looking .cover", state="hidden")
        page.wait_for_selector(".stage.looking")
        page.click("text=Stop the camera")


def test_tabs_by_keyboard_and_narrow_screens(address: str, open_page: Open):
    page = open_page(
        address,
        viewport={"width": 360, "height": 740},
        color_scheme="dark",
        reduced_motion="reduce",
    )
    page.wait_for_selector(".drop")
    page.focus("#tab-look")
    for name in ("teach", "correct", "look"):
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == f"tab-{name}"
        assert page.get_attribute(f"#tab-{name}", "aria-selected") == "true"
        page.wait_for_selector(f"#panel-{name} h1")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", background))) < 60  # dark


VIDEO = "document.querySelector('.stage video')"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("player")


@pytest.fixture(scope="module")
def two_models(folder: Path, trained: tuple[Path, str], squares: Path) -> Iterator[str]:
    """A server with the trained model, and another one."""
    save_model(folder / "runs", "other")
    with serving(folder / "clips", folder / "runs", trained[0]) as url:
        yield url


@pytest.fixture
def page(two_models: str, open_page: Callable[..., Any], squares: Path) -> Any:
    """A result, paused at 0.55 s of 1.2."""
    page = open_page(two_models, reduced_motion="reduce")
    page.wait_for_selector(".drop")
    drop(page, ".drop", squares / "up" / "01.mp4")
    page.wait_for_selector(".answer .label")
    page.wait_for_function(f"() => {VIDEO}.readyState >= 2")
    seek(page, 0.55)
    return page


def seek(page: Any, time: float) -> None:
    page.evaluate(f"({VIDEO}.pause(), {VIDEO}.currentTime = {time})")
    page.wait_for_function(
        f"() => !{VIDEO}.seeking && Math.abs({VIDEO}.currentTime - {time}) < 0.01"
    )
    page.wait_for_timeout(50)  # it is drawn


def drawn(page: Any) -> int:
    """The sum of the opacity of all pixels over the video."""
    return int(
        page.evaluate("""() => {
            const canvas = document.querySelector('.stage canvas');
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return data.reduce((sum, value, i) => (i % 4 === 3 ? sum + value : sum), 0);
        }""")
    )


def test_the_heat_map_is_paler_inside_of_a_box(page: Any):
    with_box, without = page.evaluate("""async () => {
        const { drawMoment } = await import("/static/overlay.js");
        const canvas = Object.assign(document.createElement("canvas"), { style: "width: 100px; height: 100px" });
        document.body.append(canvas);
        const box = { corners: [20, 20, 80, 80], label: "up" };
        const moment = { heat: [[1, 1], [1, 1]], boxes: [box], width: 100, height: 100 };
        return [true, false].map((box) => {
            drawMoment(canvas, moment, { heat: 0.75, box });
            const at = (place) => place * devicePixelRatio;
            return [5, 60].map((place) => canvas.getContext("2d").getImageData(at(place), at(place), 1, 1).data[3]);
        });
    }""")
    assert without[0] == without[1] == with_box[0] > 150
    assert with_box[1] == pytest.approx(0.6 * without[1], abs=3)


def test_the_opacity_slider_changes_the_heat_map_alone(page: Any):
    page.uncheck(".drawn .switch:has-text('Box') input")
    heat = {}
    for value in ("0", "0.3", "1"):
        page.fill(".drawn input[type=range]", value)
        heat[value] = drawn(page)
    assert heat["0"] == 0
    assert heat["0.3"] == pytest.approx(0.3 * heat["1"], rel=0.1)


def test_keys_and_speeds_play_the_clip_and_another_model_looks_at_it(
    page: Any, trained: tuple[Path, str], folder: Path, squares: Path
):
    for value in ("0.25", "0.5", "1", "2", "4"):
        page.locator(".controls select").select_option(value)
        assert page.evaluate(f"{VIDEO}.playbackRate") == float(value)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    now = f"{VIDEO}.currentTime"
    # the middle of the second of 10 frames per second
    assert page.evaluate(now) == pytest.approx(0.15, abs=0.02)
    box = page.locator(".timeline").bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 20)
    assert page.evaluate(now) == pytest.approx(0.6, abs=0.05)
    if page.locator(".event").count():
        page.click(".event >> nth=0")
        assert page.evaluate(now) == pytest.approx(
            float(page.inner_text(".event .when").split(" – ")[0]), abs=0.06
        )
    page.select_option("select[aria-label='Model']", label="other")
    page.wait_for_selector(".result")
    expected = onlooker.load(folder / "runs" / "other").predict(squares / "up" / "01.mp4").label
    page.wait_for_function(
        "(label) => document.querySelector('.answer .label')?.textContent === label",
        arg=expected,
    )
