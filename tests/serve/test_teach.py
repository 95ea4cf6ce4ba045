"""The routes that teach and correct: clips by upload, versions, stills, parts of clips, what cannot
be trained on.
"""

import io
import os
import shutil
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import clips
import pytest
from clips import Make, find_clips
from fastapi.testclient import TestClient
from PIL import Image
from projects import put

from onlooker.serve.settings import ServeSettings
from onlooker.video.reader import VideoReader


def describe(page: TestClient) -> dict[str, Any]:
    return dict(page.get("/api/project").json())


def change(page: TestClient, change: str, /, **values: str) -> dict[str, Any]:
    """A change at the newest version."""
    version = {"version": describe(page)["version"]}
    response = page.post(f"/api/project/changes/{change}", params=version, json=values)
    assert response.status_code == 200, response.text
    return dict(response.json())


def upload(
    page: TestClient, label: str, file: Path, name: str | None = None, **params: Any
) -> dict[str, Any]:
    headers = {"X-Filename": name or file.name}
    params = {"class": label, **params}
    return dict(
        page.post(
            "/api/project/clips", params=params, content=file.read_bytes(), headers=headers
        ).json()
    )


def names(project: dict[str, Any]) -> dict[str, list[str]]:
    return {
        each["name"]: [clip["name"] for clip in each["clips"]] for each in project["classes"]
    }


def test_hints_say_what_to_record(page: TestClient, settings: ServeSettings) -> None:
    def hints(**counts: int) -> str:
        put(
            project,
            *(f"{name}/{i}.mp4" for name, count in counts.items() for i in range(count)),
        )
        return " ".join(describe(page)["hints"])

    project = page.app.state.project  # type: ignore[attr-defined]
    put(project, "deep/anna/1.mp4")
    assert hints().startswith("deep: clips in folders inside a class are not shown here")
    shutil.rmtree(settings.clips / "deep")
    assert hints(a=1) == "Record 4 more of a", "nothing else after the first clip"
    few = hints(a=4, b=5)
    assert few.startswith("Record 1 more of a Add a class “nothing” with clips")
    assert hints(no_fight=5).startswith("Record 1 more of a"), "it is offered as nothing"
    assert describe(page)["perhaps_nothing"] == ["no_fight"]
    assert "Add a class" not in hints()
    shutil.rmtree(settings.clips / "no_fight")
    many = hints(**dict.fromkeys("cdefgh", 1))
    assert many.startswith(
        "Record 1 more of a, 4 more of c, 4 more of d, 4 more of e, 4 more of f, …"
    )
    for label in "cdefgh":
        shutil.rmtree(settings.clips / label)
    assert hints(a=5, none=5, b=26).startswith(
        "class b has 26 clips, none 5; a model that always"
    )
    assert describe(page)["nothing"] == "none"
    assert "classes background and none mean the same" in hints(background=5)


def test_the_page_has_the_last_clips_of_a_class_and_all_when_asked(page: TestClient) -> None:
    put(page.app.state.project, *(f"wave/{number:02}.mp4" for number in range(30)))  # type: ignore[attr-defined]
    (shown,) = describe(page)["classes"]
    every = page.get("/api/project/clips", params={"class": "wave"}).json()
    assert (shown["count"], len(shown["clips"]), len(every)) == (30, 24, 30)
    assert every[:24] == shown["clips"]


def test_every_change_of_a_tab_that_is_behind_is_refused(
    page: TestClient, make_clip: Make
) -> None:
    clip = upload(page, "a", make_clip())["clip"]["id"]
    project = describe(page)
    changes = {
        "add_class": {"name": "b"},
        "rename_class": {"name": "a", "to": "b"},
        "delete_class": {"name": "a"},
        "set_label": {"clip_id": clip, "label": "a"},
        "delete_clip": {"clip_id": clip},
        "undo": {},
    }
    for name, values in changes.items():
        path = f"/api/project/changes/{name}"
        response = page.post(path, params={"version": project["version"] - 1}, json=values)
        assert (response.status_code, response.json()["error"]["code"]) == (409, "changed"), (
            name
        )
        assert page.post(path, json=values).status_code == 422, f"{name}: no version"
        response = page.post(path, params={"version": project["version"]}, json={"other": "a"})
        assert (response.status_code, response.json()["error"]["code"]) == (422, "request"), (
            name
        )
    assert (
        page.post(
            "/api/project/changes/close", params={"version": project["version"]}, json={}
        ).status_code
        == 422
    )
    assert (names(describe(page)), describe(page)["version"]) == (
        names(project),
        project["version"],
    )


def test_a_recording_of_a_browser_is_kept_as_it_is(
    page: TestClient, tmp_path: Path, make_clip: Make
) -> None:
    """Chrome's MediaRecorder: VP8 in a WebM that was not finished, without a length or an index."""
    live = {"live": "1"}
    file = make_clip("recording.webm", frames=24, codec="libvpx", container_options=live)
    clip = upload(page, "wave", file)["clip"]
    (stored,) = (tmp_path / "clips" / "wave").iterdir()
    assert (stored.name, stored.read_bytes()) == ("recording.webm", file.read_bytes())
    assert len(VideoReader(stored)) == 24
    full = page.get(f"/media/clip/{clip['id']}.mp4")
    assert full.headers["content-type"] == "video/mp4"
    assert full.content[4:8] == b"ftyp", "a copy that every browser plays"


@pytest.mark.parametrize(
    ("content", "code"), [(b"a text" * 100, "not_decodable"), (b"", "empty")]
)
def test_uploads_that_are_no_clips_change_nothing(
    page: TestClient, tmp_path: Path, content: bytes, code: str
) -> None:
    response = page.post("/api/project/clips", params={"class": "wave"}, content=content)
    assert (response.status_code, response.json()["error"]["code"]) == (422, code)
    assert describe(page)["classes"] == []
    left = [path.name for path in (tmp_path / "clips").rglob("*") if path.is_file()]
    assert left == ["lock"], "nothing is left"


def test_stills_follow_their_clip_and_its_content(
    page: TestClient, make_clip: Make, settings: ServeSettings
) -> None:
    clip = upload(page, "wave", make_clip(size=(640, 480), frames=30))["clip"]["id"]
    still = page.get(f"/media/clip/{clip}.jpg").content
    with Image.open(io.BytesIO(still)) as image:
        assert (image.format, image.size) == ("JPEG", (160, 120))
    change(page, "add_class", name="b")
    change(page, "set_label", clip_id=clip, label="b")
    assert page.get(f"/media/clip/{clip}.jpg").content == still
    part = page.get(f"/media/clip/{clip}.mp4", headers={"Range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)
    (stored,) = (settings.clips / "b").iterdir()
    make_clip(stored, frames=8, size=(32, 32))
    os.utime(stored, (later := time.time() + 60, later))
    assert page.get(f"/media/clip/{clip}.jpg").content != still
    for path in (f"/media/clip/{'0' * 16}.mp4", "/media/clip/..%2f..%2fpage.json.mp4"):
        assert page.get(path).status_code == 404


def test_a_folder_of_numbered_images_is_a_clip_like_others(
    page: TestClient, tmp_path: Path
) -> None:
    folder = tmp_path / "clips" / "wave" / "one"
    clips.make_images(folder, (f"{number}.png" for number in range(30)))
    (clip,) = describe(page)["classes"][0]["clips"]
    (tmp_path / "copy.mp4").write_bytes(page.get(f"/media/clip/{clip['id']}.mp4").content)
    assert VideoReader(tmp_path / "copy.mp4").size == (48, 64)
    change(page, "add_class", name="b")
    assert names(change(page, "set_label", clip_id=clip["id"], label="b")) == {
        "b": ["one"],
        "wave": [],
    }
    assert names(change(page, "delete_clip", clip_id=clip["id"])) == {"b": [], "wave": []}
    assert names(change(page, "undo")) == {"b": ["one"], "wave": []}


def test_the_same_file_again_is_named_and_not_added(
    page: TestClient, make_clip: Make, settings: ServeSettings
) -> None:
    first = make_clip("first.mp4")
    by_hand = make_clip(settings.clips / "wave" / "by hand.mp4", frames=9)
    assert (
        upload(page, "wave", by_hand)["error"]["found"]
        == "the same file as by hand.mp4 of wave"
    )
    by_hand.unlink()
    upload(page, "wave", first)
    again = upload(page, "clap", first, "copy.mp4")["error"]
    assert (again["code"], again["found"]) == (
        "duplicate",
        "the same file as first.mp4 of wave",
    )
    assert names(describe(page)) == {"wave": ["first.mp4"]}
    change(page, "delete_clip", clip_id=describe(page)["classes"][0]["clips"][0]["id"])
    assert "clip" in upload(page, "clap", first), "it was deleted there"


def test_clips_of_one_sitting_or_person_are_one_recording(
    page: TestClient, make_clip: Make, settings: ServeSettings
) -> None:
    own = upload(page, "wave", make_clip("own.mp4"))["clip"]["id"]
    for number in range(2):
        upload(
            page, "clap", make_clip(f"{number}.mp4", frames=10 + number), recording="sitting 1"
        )
    assert [clip.recording for clip in find_clips(settings.clips)] == [
        "sitting 1",
        "sitting 1",
        None,
    ]
    assert page.get(f"/api/project/clips/{own}/recording").json() == {
        "recording": "",
        "known": ["sitting 1"],
    }
    listed = (settings.clips / "recordings.csv").read_text()
    project = change(page, "set_recording", clip_id=own, recording=" Anna ")
    assert project["undo"] == "name who is in own.mp4: Anna"
    assert page.get(f"/api/project/clips/{own}/recording").json()["recording"] == "Anna"
    assert find_clips(settings.clips)[-1].recording == "Anna"
    by_hand = "wave/other.mp4,Ben\n"
    with (settings.clips / "recordings.csv").open("a") as file:
        file.write(by_hand)
    change(page, "undo")
    assert (settings.clips / "recordings.csv").read_text() == listed + by_hand
    project = change(page, "set_recording", clip_id=own, recording="sitting 1")
    assert project["hints"][0] == "Record 3 more of clap, 4 more of wave"
    assert len(project["hints"]) == 2, "other recordings are asked for later"
    for number in range(2, 9):
        label = "clap" if number < 5 else "wave"
        sitting = 1 if label == "clap" else min(number, 7)
        clip = make_clip(f"{number}.mp4", frames=40 + number)
        upload(page, label, clip, recording=f"sitting {sitting}")
    assert describe(page)["hints"][:-1] == [
        "Only a few people or sittings show wave: with clips of others, the accuracy is that for others",
        "All clips of clap are of one person or sitting: how well others are recognized is not known "
        "without clips of them",
    ]
    change(page, "set_recording", clip_id=own, recording="")
    assert find_clips(settings.clips)[-1].recording is None
    (settings.clips / "recordings.csv").write_text("clip,place\n")
    project = describe(page)
    assert "recordings.csv: no column recording" in " ".join(project["hints"])
    values = {"clip_id": own, "recording": "Ben"}
    refused = page.post(
        "/api/project/changes/set_recording",
        json=values,
        params={"version": project["version"]},
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "recordings_damaged")
    assert (
        "recordings.csv: no column recording"
        in upload(page, "wave", make_clip("new.mp4", frames=13))["error"]["found"]
    )
    assert (settings.clips / "recordings.csv").read_text() == "clip,place\n"
    itself = b"clip,recording\na.mp4,a.mp4\nb.mp4,Ben\n"
    assert page.post("/api/project/recordings", content=itself).json() == {"b.mp4": "Ben"}
    twice = page.post(
        "/api/project/recordings", content=b"clip,recording\na.mp4,Ada\na.mp4,Ben\n"
    )
    assert "line 3: a.mp4 is in recording Ada above" in twice.json()["error"]["found"]


def test_two_classes_are_merged_and_divided_again(
    page: TestClient, make_clip: Make, settings: ServeSettings
) -> None:
    for number, label in enumerate(("wave", "waving", "waving")):
        upload(page, label, make_clip("1.mp4", frames=10 + number), recording=label)
    before = names(describe(page))
    project = change(page, "merge_class", name="waving", to="wave")
    assert {label: sorted(of) for label, of in names(project).items()} == {
        "wave": ["1-2.mp4", "1-3.mp4", "1.mp4"]
    }
    assert sorted(str(clip.recording) for clip in find_clips(settings.clips, 1)) == [
        "wave",
        "waving",
        "waving",
    ]
    assert project["undo"] == "merge waving into wave"
    assert names(change(page, "undo")) == before
    version = {"version": describe(page)["version"]}
    itself = {"name": "wave", "to": "wave"}
    refused = page.post("/api/project/changes/merge_class", params=version, json=itself)
    assert (refused.status_code, names(describe(page))) == (409, before)


def test_a_request_of_a_project_with_thousands_of_clips_costs_what_it_costs_with_twenty(
    page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = page.app.state.project  # type: ignore[attr-defined]
    calls = []
    for count in (10, 2000):
        put(project, *(f"{label}/{number}.mp4" for label in "ab" for number in range(count)))
        clip = describe(page)["classes"][0]["clips"][-1]["id"]  # which lists what is new
        with monkeypatch.context() as patch:
            stat = Mock(wraps=os.stat)
            patch.setattr(os, "stat", stat)
            change(page, "set_label", clip_id=clip, label="b")
        calls.append(stat.call_count)
    assert 0 < calls[1] <= calls[0] + 4


def test_quiet_time_is_kept_beside_the_classes(
    page: TestClient, make_clip: Make, settings: ServeSettings
) -> None:
    assert describe(page)["quiet_seconds"] == 0
    for frames in (20, 30):
        body = make_clip(f"{frames}.mp4", frames=frames).read_bytes()
        assert page.post("/api/project/quiet", content=body).status_code == 200
    assert page.post("/api/project/quiet", content=b"no video").status_code == 422
    project = describe(page)
    assert project["quiet_seconds"] == pytest.approx(5)
    assert project["classes"] == []
    kept = [*(Path(settings.clips) / ".onlooker" / "quiet").iterdir()]
    assert len(kept) == 2
