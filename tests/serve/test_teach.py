"""The routes that teach and correct: clips by upload, versions, previews, parts of clips, what cannot be trained on."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import clips
import pytest
from browsing import teach_run
from fastapi.testclient import TestClient
from PIL import Image

from onlooker.data.folder import find_clips
from onlooker.recognizer import Recognizer
from onlooker.serve.correct import Guess
from onlooker.serve.project import ProjectClip
from onlooker.serve.settings import ServeSettings
from onlooker.video.reader import VideoReader

Make = Callable[..., Path]


def describe(page: TestClient) -> dict[str, Any]:
    return dict(page.get("/api/project").json())


def change(page: TestClient, method: str, path: str, **options: Any) -> dict[str, Any]:
    """A change at the newest version."""
    options["params"] = {"version": describe(page)["version"]} | options.get("params", {})
    response = page.request(method, f"/api/project/{path}", **options)
    assert response.status_code == 200, response.text
    return dict(response.json())


def upload(page: TestClient, label: str, file: Path, name: str | None = None, **params: Any) -> dict[str, Any]:
    headers, params = {"X-Filename": name or file.name}, {"class": label, **params}
    return dict(page.post("/api/project/clips", params=params, content=file.read_bytes(), headers=headers).json())


def measured(page: TestClient) -> dict[str, Any]:
    """The project when all clips are measured."""
    for _ in range(200):
        if not (project := describe(page))["measuring"]:
            return project
        time.sleep(0.05)
    raise AssertionError("not measured within 10 s")


def names(project: dict[str, Any]) -> dict[str, list[str]]:
    return {each["name"]: [clip["name"] for clip in each["clips"]] for each in project["classes"]}


def teach(page: TestClient, make_clip: Make, settings: ServeSettings) -> None:
    """Upload a clip of each of two classes, and train with them."""
    for label in ("clap", "wave"):
        upload(page, label, make_clip(f"{label}.mp4", frames=5 + len(label)))
    teach_run(settings.runs / "tiny", settings.clips, settings.runs)


def test_classes_and_clips_are_made_moved_deleted_and_brought_back(page: TestClient, make_clip: Make) -> None:
    change(page, "POST", "classes", json={"name": "wave"})
    change(page, "PATCH", "classes", json={"name": "wave", "to": "clap"})
    answer = upload(page, "clap", make_clip(), "my%20clip.mp4")
    clip = answer["clip"]["id"]
    assert names(describe(page)) == {"clap": ["my clip.mp4"]}
    change(page, "POST", "classes", json={"name": "nothing"})
    change(page, "POST", f"clips/{clip}/move", json={"class": "nothing"})
    change(page, "DELETE", f"clips/{clip}")
    project = change(page, "DELETE", "classes", params={"name": "clap"})
    assert names(project) == {"nothing": []}
    assert (project["undo"], project["redo"]) == ("delete class clap", None)
    for _ in range(2):
        project = change(page, "POST", "undo")
    assert names(project) == {"clap": [], "nothing": ["my clip.mp4"]}
    assert names(change(page, "POST", "redo")) == {"clap": [], "nothing": []}


def test_the_project_names_its_class_in_which_nothing_happens(
    page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlooker.serve.examples._CLIPS", 1)
    assert describe(page)["nothing"] == "nothing"
    assert change(page, "POST", "classes", json={"name": "None"})["nothing"] == "None"
    examples = names(page.post("/api/project/examples").json())
    assert {label: len(clips) for label, clips in examples.items()} == {
        "None": 1, "bend": 1, "jumping_jack": 1, "wave": 1,
    }  # fmt: skip


def test_a_folder_with_two_classes_in_which_nothing_happens_gets_a_hint(
    page: TestClient, settings: ServeSettings
) -> None:
    for name in ("background", "none", "wave"):
        (settings.clips / name).mkdir(parents=True)
    project = describe(page)
    assert project["nothing"] == "background"
    assert "several_nothing" in [hint["code"] for hint in project["hints"]]


def test_uploads_to_a_class_that_is_renamed_follow_it_and_are_one_step(page: TestClient, make_clip: Make) -> None:
    sent = {"version": describe(page)["version"], "batch": "one"}
    upload(page, "wave", make_clip(), "1.mp4", **sent)
    upload(page, "wave", make_clip(), "2.mp4", **sent)
    assert describe(page)["undo"] == "add 2 clips to wave"
    change(page, "PATCH", "classes", json={"name": "wave", "to": "clap"})
    upload(page, "wave", make_clip(), "3.mp4", **sent)
    assert names(describe(page)) == {"clap": ["1.mp4", "2.mp4", "3.mp4"]}
    change(page, "DELETE", "classes", params={"name": "clap"})
    assert upload(page, "wave", make_clip(), "4.mp4", **sent)["error"]["code"] == "class_gone"
    assert names(describe(page)) == {}


def test_a_slow_clip_does_not_hold_up_the_previews_of_others(
    page: TestClient, make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onlooker.serve import previews

    slow, convert, made = threading.Event(), previews.convert, []

    def slowly(path: Path, *arguments: Any) -> Any:
        made.append(path.read_bytes())
        if path.read_bytes() == first.read_bytes():
            slow.wait(30)
        return convert(path, *arguments)

    first, second = make_clip("1.mp4", frames=20), make_clip("2.mp4", frames=21)
    monkeypatch.setattr(previews, "convert", slowly)
    waiting = [threading.Thread(target=upload, args=(page, "wave", first, name)) for name in ("1.mp4", "1-too.mp4")]
    for each in waiting:
        each.start()
    upload(page, "wave", second)
    assert names(describe(page)) == {"wave": ["2.mp4"]}
    slow.set()
    for each in waiting:
        each.join(30)
    assert names(describe(page)) == {"wave": ["1-too.mp4", "1.mp4", "2.mp4"]}
    assert made.count(first.read_bytes()) == 1, "the same content is decoded once"


def test_new_clips_that_look_like_another_class_are_counted_until_the_model_has_seen_them(
    page: TestClient, make_clip: Make, settings: ServeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach(page, make_clip, settings)
    ready = threading.Event()

    def like_clap(recognizer: Recognizer, clip: ProjectClip, renamed: Callable[[str], str]) -> Guess:
        ready.wait(30)
        return Guess("clap", 0.9, 0.8)

    monkeypatch.setattr("onlooker.serve.teach.guess", like_clap)
    assert measured(page)["guessing"] == 0
    upload(page, "wave", make_clip("new.mp4", frames=20))
    project = measured(page)
    assert project["guessing"] == 1
    assert "looks_like" not in {hint["code"] for hint in project["hints"]}
    ready.set()
    deadline = time.monotonic() + 10
    while (project := describe(page))["guessing"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    new = next(clip["id"] for clip in project["classes"][1]["clips"] if clip["name"] == "new.mp4")
    assert [hint["clips"] for hint in project["hints"] if hint["code"] == "looks_like"] == [[new]]


def test_clips_of_a_class_that_was_renamed_after_the_training_are_not_reported_as_wrong(
    page: TestClient, make_clip: Make, settings: ServeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach(page, make_clip, settings)

    def like_wave(recognizer: Recognizer, clip: ProjectClip, renamed: Callable[[str], str]) -> Guess:
        return Guess("wave", 0.9, 0.8)

    monkeypatch.setattr("onlooker.serve.teach.guess", like_wave)
    before = upload(page, "wave", make_clip("before.mp4", frames=20))["clip"]["id"]
    wrong = upload(page, "clap", make_clip("wrong.mp4", frames=21))["clip"]["id"]

    def doubted() -> tuple[list[str], list[tuple[str, str]]]:
        deadline = time.monotonic() + 10
        while (project := describe(page))["measuring"] + project["guessing"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        hints = [clip for hint in project["hints"] if hint["code"] == "looks_like" for clip in hint["clips"]]
        return hints, [(each["clip"], each["suggested"]) for each in page.get("/api/project/inbox").json()["items"]]

    assert doubted() == ([wrong], [(wrong, "wave")])
    change(page, "PATCH", "classes", json={"name": "wave", "to": "hello"})
    assert doubted() == ([wrong], [(wrong, "hello")])
    after = upload(page, "hello", make_clip("after.mp4", frames=22))["clip"]["id"]
    assert doubted() == ([wrong], [(wrong, "hello")])
    assert {before, after} < {clip["id"] for each in describe(page)["classes"] for clip in each["clips"]}


def test_every_change_of_a_tab_that_is_behind_is_refused(page: TestClient, make_clip: Make) -> None:
    clip = upload(page, "a", make_clip())["clip"]["id"]
    project = describe(page)
    changes: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "classes", {"json": {"name": "b"}}),
        ("PATCH", "classes", {"json": {"name": "a", "to": "b"}}),
        ("DELETE", "classes", {"params": {"name": "a"}}),
        ("POST", f"clips/{clip}/move", {"json": {"class": "a"}}),
        ("DELETE", f"clips/{clip}", {}),
        ("POST", f"inbox/{clip}", {"json": {"label": "a"}}),
        ("POST", "undo", {}),
        ("POST", "redo", {}),
    ]
    for method, path, options in changes:
        options["params"] = {"version": project["version"] - 1} | options.get("params", {})
        response = page.request(method, f"/api/project/{path}", **options)
        assert (response.status_code, response.json()["error"]["code"]) == (409, "changed"), path
        del options["params"]["version"]
        assert page.request(method, f"/api/project/{path}", **options).status_code == 422, f"{path}: no version"
    assert (names(describe(page)), describe(page)["version"]) == (names(project), project["version"])


def test_a_recording_of_a_browser_is_kept_as_it_is(page: TestClient, tmp_path: Path) -> None:
    """Chrome's MediaRecorder: VP8 in a WebM that was not finished, without a length or an index."""
    file = tmp_path / "recording.webm"
    with av.open(str(file), "w", format="webm", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", 24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(24):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([40 + 5 * number]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    answer = upload(page, "wave", file)
    stored = page.app.state.project.clips()[0].path  # type: ignore[attr-defined]
    assert (stored.name, stored.read_bytes()) == ("recording.webm", file.read_bytes())
    assert len(VideoReader(stored)) == 24
    clip = measured(page)["classes"][0]["clips"][0]
    assert clip["frames"] == 24
    assert clip["seconds"] == pytest.approx(1, abs=0.05)
    full = page.get(f"/media/clip/{answer['clip']['id']}/full.mp4")
    assert full.headers["content-type"] == "video/mp4"
    assert full.content[4:8] == b"ftyp", "a copy that every browser plays"


@pytest.mark.parametrize(
    ("damage", "code"),
    [("text", "not_decodable"), ("audio only", "not_decodable"), ("one frame", "one_frame"), ("empty", "empty")],
)
def test_uploads_that_are_no_clips_change_nothing(page: TestClient, tmp_path: Path, damage: str, code: str) -> None:
    file = tmp_path / "clip.mp4"
    if damage == "empty":
        file.write_bytes(b"")
    elif damage == "one frame":
        clips.make_clip(file, frames=1)
    elif damage == "text":
        file.write_text("a text" * 100)
    else:
        clips.damage(clips.make_clip(file), damage, 0)
    response = page.post("/api/project/clips", params={"class": "wave"}, content=file.read_bytes())
    assert response.status_code == 422
    assert response.json()["error"]["code"] == code
    assert describe(page)["classes"] == []
    assert not [*page.app.state.service.folder.glob("*.part")], "nothing is left"  # type: ignore[attr-defined]


def test_a_clip_that_is_too_long_names_the_limit(page: TestClient, make_clip: Make, settings: ServeSettings) -> None:
    error = upload(page, "wave", make_clip(frames=40, fps=1))["error"]
    assert (error["code"], error["expected"]) == ("too_long", f"at most {settings.max_seconds:g} s")


def test_previews_are_small_and_follow_their_clip(page: TestClient, make_clip: Make, tmp_path: Path) -> None:
    clip = upload(page, "wave", make_clip(size=(640, 480), frames=30))["clip"]["id"]
    (tmp_path / "preview.mp4").write_bytes(page.get(f"/media/clip/{clip}.mp4").content)
    height, width = VideoReader(tmp_path / "preview.mp4").size
    assert (height, width) == (120, 160)
    assert page.get(f"/media/clip/{clip}.jpg").content[:2] == b"\xff\xd8"
    change(page, "POST", "classes", json={"name": "b"})
    change(page, "POST", f"clips/{clip}/move", json={"class": "b"})
    assert page.get(f"/media/clip/{clip}.mp4").content == (tmp_path / "preview.mp4").read_bytes()
    part = page.get(f"/media/clip/{clip}/full.mp4", headers={"Range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)
    for path in (f"/media/clip/{'0' * 16}.mp4", "/media/clip/..%2f..%2fjournal.json.mp4"):
        assert page.get(path).status_code == 404


def test_a_folder_of_numbered_images_is_a_clip_like_others(page: TestClient, tmp_path: Path) -> None:
    for number in range(30):
        file = tmp_path / "clips" / "wave" / "one" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(clips.paint(number, (640, 480))).save(file)
    project = measured(page)
    assert "unreadable" not in {hint["code"] for hint in project["hints"]}
    (clip,) = project["classes"][0]["clips"]
    assert (clip["name"], clip["frames"], clip["seconds"]) == ("one", 30, 1.2)
    for kind, size in (("", (120, 160)), ("/full", (480, 640))):
        (tmp_path / "copy.mp4").write_bytes(page.get(f"/media/clip/{clip['id']}{kind}.mp4").content)
        assert VideoReader(tmp_path / "copy.mp4").size == size
    change(page, "POST", "classes", json={"name": "b"})
    moved = change(page, "POST", f"clips/{clip['id']}/move", json={"class": "b"})
    assert names(moved) == {"b": ["one"], "wave": []}
    assert names(change(page, "DELETE", f"clips/{clip['id']}")) == {"b": [], "wave": []}
    assert names(change(page, "POST", "undo")) == {"b": ["one"], "wave": []}


def test_a_part_of_a_clip_that_was_looked_at_becomes_a_clip(
    page: TestClient, make_clip: Make, model: str, finish: Callable[[str], dict[str, Any]]
) -> None:
    started = page.post("/api/look", params={"model": model}, content=make_clip(frames=40).read_bytes()).json()
    look = finish(started["job"])["result"]["id"]
    answer = page.post("/api/project/segment", params={"class": "wave", "look": look}, json={"start": 1.0, "end": 2.0})
    assert answer.status_code == 200, answer.text
    clip = measured(page)["classes"][0]["clips"][0]
    assert clip["id"] == answer.json()["clip"]["id"]
    assert clip["seconds"] == pytest.approx(1.0, abs=0.11)
    for part in ({"start": 2, "end": 1}, {"start": -1, "end": 1}):
        response = page.post("/api/project/segment", params={"class": "wave", "look": look}, json=part)
        assert response.json()["error"]["code"] == "bad_part"
    gone = page.post("/api/project/segment", params={"class": "wave", "look": "0" * 16}, json={"start": 0, "end": 1})
    assert gone.status_code == 404


def test_a_look_that_left_the_model_unsure_waits_until_its_class_is_named(
    page: TestClient, make_clip: Make, settings: ServeSettings, finish: Callable[[str], dict[str, Any]]
) -> None:
    for label, level in (("clap", 50), ("wave", 90)):
        upload(page, label, make_clip(f"{label}.mp4", frames=5 + level // 10))
    (first,) = [each["id"] for each in page.get("/api/state").json()["models"]]
    teach_run(settings.runs / "tiny", settings.clips, settings.runs)
    model, path = describe(page)["model"], make_clip("new.mp4", frames=6)

    def looked_at() -> list[dict[str, Any]]:
        return [item for item in page.get("/api/project/inbox").json()["items"] if item["why"] == "look"]

    def look(**headers: str) -> dict[str, Any]:
        started = page.post("/api/look", params={"model": model}, content=path.read_bytes(), headers=headers)
        return dict(finish(started.json()["job"])["result"])

    assert looked_at() == []
    other = page.post("/api/look", params={"model": first}, content=path.read_bytes()).json()["job"]
    assert not finish(other)["result"]["answers"][0]["unsure"], (
        "another model, which the next training does not replace"
    )
    shown = look(**{"X-Filename": "new.mp4"})
    assert shown["answers"][0]["unsure"]  # the model is not trained
    (item,) = looked_at()
    assert (item["look"], item["clip"], item["name"]) == (shown["id"], None, "new.mp4")
    assert item["suggested"] in {"clap", "nothing", "wave"}
    project = change(page, "POST", f"inbox/look/{item['look']}", json={"label": "wave"})
    assert names(project) == {"clap": ["clap.mp4"], "wave": ["new.mp4", "wave.mp4"]}
    assert (settings.clips / "wave" / "new.mp4").read_bytes() == path.read_bytes()
    assert looked_at() == []
    kept = project["classes"][1]["clips"][0]["id"]
    measured(page)
    assert kept not in [item["clip"] for item in page.get("/api/project/inbox").json()["items"]]  # no second question
    assert page.get(shown["video"]).status_code == 200
    assert names(change(page, "POST", "undo"))["wave"] == ["wave.mp4"]
    page.delete(f"/api/look/{look()['id']}")
    assert looked_at() == []  # deleted after use
    gone = page.post(f"/api/project/inbox/look/{'0' * 16}", params={"version": 0}, json={"label": "wave"})
    assert gone.json()["error"]["code"] == "look_gone"


def test_examples_are_an_ordinary_folder_that_one_undo_removes(
    page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlooker.serve.examples._CLIPS", 2)
    project = page.post("/api/project/examples").json()
    assert {name: len(clips) for name, clips in names(project).items()} == {
        "bend": 2,
        "jumping_jack": 2,
        "nothing": 2,
        "wave": 2,
    }
    folder = page.app.state.project.folder  # type: ignore[attr-defined]
    assert {len(VideoReader(clip.path)) >= 24 for clip in find_clips(folder)} == {True}
    assert names(change(page, "POST", "undo")) == {}


@pytest.mark.parametrize(
    ("counts", "code"), [({}, "too_few_classes"), ({"a": 3}, "too_few_classes"), ({"a": 3, "b": 1}, "too_few_clips")]
)
def test_too_few_clips_are_not_trained_on(page: TestClient, make_clip: Make, counts: dict[str, int], code: str) -> None:
    for label, count in counts.items():
        for _ in range(count):
            upload(page, label, make_clip())
    response = page.post("/api/project/train")
    assert (response.status_code, response.json()["error"]["code"]) == (422, code)


def test_without_a_run_there_are_no_results_and_an_empty_inbox(page: TestClient) -> None:
    for path in ("results", "map"):
        response = page.get(f"/api/project/{path}")
        assert (response.status_code, response.json()["error"]["code"]) == (404, "no_results")
    assert page.get("/api/project/inbox").json() == {"items": []}
