"""Looking at clips and cameras: every answer of the page equals that of the library."""

import io
import json
import re
import shutil
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import clips
import numpy as np
import pytest
import torch
from browsing import serving
from clips import Make, find_clips
from commands import fails
from eventful import LENGTHS, eventful
from fastapi.testclient import TestClient
from moving_belts import belt
from PIL import Image
from receivers import Collected, Receiver
from serving import ADDRESS, OWN, save_model, wait_for_job
from starlette.testclient import WebSocketTestSession

from onlooker.base.config import DataConfig
from onlooker.base.decision import Decision
from onlooker.data.transforms import to_video
from onlooker.formats import publish
from onlooker.formats.publish import register_sink
from onlooker.models.heads import Head
from onlooker.models.linear import LinearClassifier
from onlooker.recognizer import Recognizer, load
from onlooker.report.overlay import full_strength
from onlooker.serve import look as module
from onlooker.serve.app import create_app
from onlooker.serve.look import Viewer, decode_jpeg
from onlooker.serve.problem import Problem
from onlooker.serve.settings import ServeSettings
from onlooker.video.motion_words import motion_eye
from onlooker.video.reader import VideoReader
from onlooker.video.resize import resize

Look = Callable[..., dict[str, Any]]


def send(page: TestClient, path: Path, name: str = "clip.mp4", **query: str) -> str:
    headers = {"X-Filename": quote(name)}
    answered = page.post("/api/look", params=query, content=path.read_bytes(), headers=headers)
    assert answered.status_code == 202, answered.text
    return str(answered.json()["job"])


@pytest.fixture
def look(page: TestClient, model: str) -> Look:
    """What the page says of a clip."""
    return lambda *clip: dict(wait_for_job(page, send(page, *clip, model=model))["result"])


def kept(page: TestClient) -> list[Path]:
    return list((page.app.state.folder / "looks").iterdir())  # type: ignore[attr-defined]


def test_answers_equal_the_librarys(
    page: TestClient, settings: ServeSettings, look: Look, make_clip: Make, tmp_path: Path
) -> None:
    path = make_clip(frames=5, size=(80, 40))
    got = look(path, "<b>a</b>.mp4")
    assert str(tmp_path) not in json.dumps(got), "no paths of the machine"
    expected = load(settings.runs / "tiny").predict(path)
    assert (got["name"], got["width"], got["height"], got["frames"]) == (
        "_b_a__b_.mp4",
        80,
        40,
        5,
    )
    assert (got["label"], got["score"], got["classes"]) == (
        expected.label,
        expected.score,
        list(expected.classes),
    )
    answer = expected.to_dict()
    same = ("scores", "frame_scores", "times", "indices", "segments")
    assert {name: got[name] for name in same} == {name: answer[name] for name in same}
    assert [tube["label"] for tube in got["tubes"]] == [tube.label for tube in expected.actors]
    halved = expected.heat.reshape(len(expected.heat), 15, 2, 20, 2).mean((2, 4))
    shares = np.clip((halved - 1 / 1200) / (full_strength(expected.heat) - 1 / 1200), 0, 1)
    np.testing.assert_allclose(got["heat"], shares, atol=0.006)
    assert page.get(got["video"]).content == path.read_bytes()  # H.264: played as it is
    part = page.get(got["video"], headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, path.read_bytes()[10:20])


def test_a_damaged_clip_is_answered_with_what_was_read(
    page: TestClient, look: Look, make_clip: Make
) -> None:
    for suffix, cut in ((".mp4", False), (".mkv", True), (".avi", True)):
        clip = make_clip(f"clip{suffix}", frames=24, size=(160, 120), options={"g": "4"})
        assert not look(clip)["damaged"]
        whole = clip.read_bytes()
        middle = clip.stat().st_size // 2
        clip.write_bytes(
            whole[: len(whole) * 3 // 5]
            if cut
            else whole[:middle] + bytes(1500) + whole[middle + 1500 :]
        )
        result = look(clip)
        assert 2 <= result["frames"] < 24
        assert (result["damaged"], result["claimed"]) == (True, 24)
        # itself, or a copy of what was read
        assert page.get(result["video"]).content[4:8] == b"ftyp"


def test_marked_parts_become_examples_of_one_recording(
    page: TestClient, settings: ServeSettings, look: Look, make_clip: Make
) -> None:
    other_look = look
    look = look(make_clip(frames=40, fps=10), "walk.mp4")["id"]
    for start, end, label in ((0.5, 1.5, "wave"), (2, 3.2, "clap")):
        added = page.post(
            f"/api/look/{look}/examples", json={"class": label, "start": start, "end": end}
        )
        stored = settings.clips / label / added.json()["clip"]["name"]
        assert VideoReader(stored).seconds == pytest.approx(end - start, abs=0.11)
    found = {
        path.relative_to(settings.clips).as_posix()
        for path in settings.clips.glob("[!.]*/*.mp4")
    }
    assert found == {"wave/walk 0.5-1.5.mp4", "clap/walk 2.0-3.2.mp4"}
    (recording,) = {clip.recording for clip in find_clips(settings.clips)}
    assert str(recording).startswith("walk.mp4 ")
    other = other_look(make_clip("other.mp4", frames=30, fps=10), "walk.mp4")["id"]
    page.post(f"/api/look/{other}/examples", json={"class": "wave", "start": 0.5, "end": 1.5})
    assert len({clip.recording for clip in find_clips(settings.clips)}) == 2, (
        "another file of the same name"
    )
    described = page.get("/api/project/clips", params={"class": "wave"}).json()
    part = described[0]["id"]
    for who in ("Anna", ""):  # in one of the parts, whose file is still that of the others
        version = page.get("/api/project").json()["version"]
        values = {"clip_id": part, "recording": who}
        change = "/api/project/changes/set_recording"
        assert page.post(change, params={"version": version}, json=values).status_code == 200
        assert len({clip.recording for clip in find_clips(settings.clips)}) == 2
        assert ("Anna" in {clip.recording for clip in find_clips(settings.clips)}) == bool(who)
    parts = page.get(f"/api/look/{look}/examples").json()
    assert [(part["clip"]["label"], part["times"]) for part in parts] == [
        ("wave", [0.5, 1.5]),
        ("clap", [2.0, 3.2]),
    ]
    kept = settings.clips / ".onlooker" / "recordings"
    assert len([*kept.iterdir()]) == 2
    sources = [str(clip.source).split("#") for clip in find_clips(settings.clips)]
    assert sorted(times for _, times in sources) == ["t=0.5,1.5", "t=0.5,1.5", "t=2,3.2"]
    assert {Path(file).parent for file, _ in sources} == {kept}
    example = {"class": "wave", "start": 0.5, "end": 1.5}
    assert page.post(f"/api/look/{look}/examples", json=example).status_code == 409
    # two states at the same time
    at_once = page.post(f"/api/look/{look}/examples", json={**example, "class": "clap"})
    assert at_once.json()["clip"]["label"] == "clap"
    outside = page.post(
        f"/api/look/{look}/examples", json={"class": "wave", "start": 7, "end": 9}
    )
    assert outside.status_code == 422
    assert "outside the recording" in outside.json()["error"]["found"]


@pytest.fixture
def finder(settings: ServeSettings) -> Recognizer:
    """The model of the page finds events."""
    recognizer = eventful(frame_rate=10.0)
    recognizer.save(settings.runs / "tiny" / "model")
    return recognizer


def test_a_file_above_the_limit_is_watched_like_a_recording(
    finder: Recognizer, page: TestClient, look: Look, settings: ServeSettings, make_clip: Make
) -> None:
    path = make_clip(frames=30 * 10, options={"g": "50"})
    assert settings.max_seconds < 30
    result = look(path)
    assert (result["seconds"], len(result["times"])) == (pytest.approx(30, abs=0.1), 300)
    refused = page.post(
        "/api/project/clips", params={"class": "a"}, content=path.read_bytes()
    ).json()["error"]
    assert (refused["code"], "mark its parts" in refused["remedy"]) == ("too_long", True)


def test_answers_can_be_taken_along(
    finder: Recognizer, page: TestClient, look: Look, make_clip: Make, tmp_path: Path
) -> None:
    result = look(make_clip(frames=40), "a walk.mp4")
    events = sorted((each["start"], each["label"]) for each in result["segments"])
    assert events
    taken = {
        kind: page.get(f"/media/{result['id']}/as/{kind}") for kind in ("vtt", "csv", "mp4")
    }
    for kind, response in taken.items():
        assert f"a%20walk.{kind}" in response.headers["content-disposition"]
        (tmp_path / f"taken.{kind}").write_bytes(response.content)
    cues = re.findall(r"00:(\d\d:\d\d\.\d{3}) --> \S+\n(.+)\n", taken["vtt"].text)
    assert cues == [(f"00:{start:06.3f}", label) for start, label in events]
    assert taken["csv"].text.splitlines()[0] == "path,start,end,label,score"
    assert taken["csv"].text.splitlines()[1].startswith("a walk.mp4,")
    assert len(clips.all_frames(tmp_path / "taken.mp4")[0]) == 40
    assert page.get(f"/media/{result['id']}/as/exe").status_code == 422


@pytest.mark.parametrize("kind", ["text", "one frame", "missing moov"])
def test_a_hostile_clip_is_refused_and_deleted(
    page: TestClient, model: str, make_clip: Make, kind: str
) -> None:
    failed = send(page, clips.damage(make_clip(), kind, 0), model=model)
    good = send(page, make_clip("good.mp4"), model=model)
    job = wait_for_job(page, failed)
    assert (job["state"], bool(job["error"]["found"] and job["error"]["remedy"])) == (
        "failed",
        True,
    )
    assert wait_for_job(page, good)["state"] == "done"
    assert len(kept(page)) == 1


def test_few_clips_are_kept(
    page: TestClient, look: Look, make_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 2)
    ids = [look(make_clip())["id"] for _ in range(4)]
    assert [page.get(f"/media/{each}.mp4").status_code for each in ids] == [404, 404, 200, 200]
    assert len(kept(page)) == 2


def test_a_run_that_is_damaged_or_disappears_is_told(
    page: TestClient, settings: ServeSettings, model: str, make_clip: Make
) -> None:
    save_model(settings.runs, "cut")
    weights = settings.runs / "cut" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    damaged = page.get("/api/state").json()["models"][0]["id"]
    assert (
        wait_for_job(page, send(page, make_clip(), model=damaged))["error"]["code"]
        == "model_damaged"
    )
    shutil.rmtree(settings.runs / "cut")
    clip = make_clip("long.mp4", frames=190)
    before = [send(page, clip, model=model) for _ in range(6)]
    job = send(page, make_clip(), model=model)
    assert page.get(f"/api/jobs/{job}").json()["state"] == "queued"
    shutil.rmtree(settings.runs / "tiny")
    assert wait_for_job(page, job)["error"]["code"] == "model_gone"
    for long in before:
        wait_for_job(page, long)
    assert (
        page.post("/api/look", params={"model": model}).json()["error"]["code"] == "model_gone"
    )
    assert page.get("/api/state").json()["models"] == []


def test_a_cancelled_look_is_deleted(page: TestClient, model: str, make_clip: Make) -> None:
    job = send(page, make_clip(frames=190), model=model)
    page.delete(f"/api/jobs/{job}")
    cancelled = wait_for_job(page, job)
    assert (cancelled["state"], cancelled["result"], kept(page)) == ("cancelled", None, [])


def jpeg(number: int = 0, size: tuple[int, int] = (64, 48), kind: str = "jpeg") -> bytes:
    content = io.BytesIO()
    rng = np.random.default_rng(number)
    Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8)).save(content, kind)
    return content.getvalue()


def message(number: int = 0, sent: float = 1.5) -> bytes:
    return struct.pack("<d", sent) + jpeg(number)


def connect(page: TestClient, model: str) -> WebSocketTestSession:
    return page.websocket_connect(f"ws://127.0.0.1:8765/api/live?model={model}")


def test_a_page_sends_too_few_frames_to_show_motion() -> None:
    torch.manual_seed(0)
    model = LinearClassifier(3, "conv4", window=4, size=16)
    model.set_heads({"motion": Head(torch.randn(3, motion_eye().num_features), torch.randn(3))})
    data = DataConfig(frames=4, size=16, normalization="half", eyes="both")
    recognizer = Recognizer(model, data, Decision(("a", "b", "c")))
    viewer = Viewer(recognizer)
    streams = recognizer.streams()
    differences = list[float]()
    state = None
    for number, image in enumerate(belt("left", 1)[:24:3]):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "jpeg")
        shown = viewer.step(0.0, number / 8, file.getvalue())
        pixels = decode_jpeg(file.getvalue())
        frame = to_video(torch.from_numpy(resize(pixels[None], 16, 3)), "half")
        with torch.inference_mode():
            output, state = model.step(frame, state)
        by_pictures = recognizer.decision.probabilities(output.logits)[0].numpy()
        np.testing.assert_allclose([*shown["scores"].values()], by_pictures, atol=1e-4)
        step = streams.step({"a": (number, number / 8, pixels)})["a"]
        differences.append(np.abs(step.scores - by_pictures).max())
    assert max(differences) > 0.1


def test_a_viewer_gives_the_answers_of_the_stream(tmp_path: Path) -> None:
    recognizer = save_model(tmp_path)
    viewer = Viewer(recognizer)
    streams = recognizer.streams()
    for number in range(6):
        got = viewer.step(0.0, number / 10, jpeg(number))
        step = streams.step({"a": (number, number / 10, decode_jpeg(jpeg(number)))})["a"]
        assert (got["label"], got["score"]) == (step.label, pytest.approx(step.score, abs=1e-4))
        np.testing.assert_allclose(list(got["scores"].values()), step.scores, atol=1e-4)
        assert got["boxes"] == step.to_dict()["boxes"]
        assert got["threshold"] == (streams.segmenter or streams).decision.threshold
        assert 0 <= np.max(got["heat"]) <= 1
    assert np.shape(viewer.step(0, 0.6, jpeg(size=(48, 64)))["heat"]) == (15, 20)


def test_two_cameras_are_answered_apart(page: TestClient, model: str) -> None:
    with connect(page, model) as first, connect(page, model) as second:
        for number in range(3):
            time.sleep(0.1 * (number > 0))  # as often as in training
            first.send_bytes(message(number, sent=number))
            second.send_bytes(message(0, sent=10 + number))
        answers = [[camera.receive_json() for _ in range(3)] for camera in (first, second)]
    assert [[each["sent"] for each in of] for of in answers] == [[0, 1, 2], [10, 11, 12]]
    assert {"milliseconds", "label", "score", "boxes", "heat"} <= set(answers[0][0])
    assert answers[0][0]["scores"] == answers[1][0]["scores"]
    assert answers[0][2]["scores"] != answers[1][2]["scores"]


def test_events_of_a_camera_are_sent_also_the_one_that_its_end_makes_final(
    settings: ServeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "_SINKS", {**publish._SINKS})
    sink = Collected()
    register_sink("shelf", lambda _: sink)
    eventful().save(settings.runs / "eventful" / "model")
    app = create_app(replace(settings, events=["shelf://page"]))
    shown = list[str]()
    with TestClient(app, base_url=ADDRESS, headers=OWN) as page:
        models = page.get("/api/state").json()["models"]
        model = next(each["id"] for each in models if each["name"] == "eventful")
        with connect(page, model) as camera:
            for number in range(min(LENGTHS)):  # the shortest event, which may still change
                camera.send_bytes(message(number))
                assert camera.receive_json()["events"] == []
        with connect(page, model) as camera:
            for number in range(200):
                camera.send_bytes(message(number))
                shown += [event["id"] for event in camera.receive_json()["events"]]
                if shown:
                    break
    opened, first, *others, closed = sink.calls
    assert (opened, closed) == (["page"], "closed")
    assert (first.source, first.start) == ("page", pytest.approx(0, abs=60))
    assert [event.phase for event in (first, others[0])] == ["begin", "end"]
    assert others[0].id == first.id
    sent = [event.id for event in others[1:] if event.phase == "end"]
    assert sent[: len(shown)] == shown != []


def test_events_are_sent_before_the_server_ends(settings: ServeSettings) -> None:
    client = pytest.importorskip("websockets.sync.client", reason="needs websockets")
    eventful().save(settings.runs / "eventful" / "model")
    # each answer is repeated after half a second
    with Receiver(answers=(503, 503)) as receiver, ExitStack() as connected:
        with serving(settings.clips, settings.runs, events=[receiver.address]) as url:
            models = json.loads(urlopen(f"{url}api/state", timeout=180).read())["models"]
            model = next(each["id"] for each in models if each["name"] == "eventful")
            address = f"{url.replace('http', 'ws')}api/live?model={model}"
            camera = connected.enter_context(client.connect(address, origin=url.rstrip("/")))
            for number in range(min(LENGTHS)):
                camera.send(message(number))
                assert json.loads(camera.recv(60))["events"] == []
        assert [event["source"] for event in receiver.got] == ["page"] * 4
        assert [event["state"] for event in receiver.got] == ["begin"] * 3 + ["end"]
        assert len({event["id"] for event in receiver.got}) == 1


def test_events_of_the_page_are_not_written_to_subtitles(settings: ServeSettings) -> None:
    with pytest.raises(ValueError, match=r"do not fit into a \.vtt; give https:// or mqtt://"):
        replace(settings, events=["events.VTT"])
    with pytest.raises(
        ValueError, match=r"events is 'ftp://\*\*\*@host/\*\*\*', expected https"
    ):
        create_app(replace(settings, events=["ftp://anna:secret@host/path"]))
    assert "events is 'ftp://host/***', expected" in fails(
        "serve", "--events", "ftp://host/x", "--port", 0
    )


def test_what_is_no_frame_ends_the_connection_with_its_reason(
    page: TestClient, model: str
) -> None:
    clock = struct.pack("<d", 0)
    wrong = {b"": "bytes", b"short": "bytes", clock + bytes(1_000_000): "bytes"}
    wrong |= {
        clock + each: "format" for each in (b"no JPEG at all", jpeg()[:200], jpeg(kind="png"))
    }
    for sent, about in {**wrong, clock + jpeg(size=(1281, 8)): "size"}.items():
        with connect(page, model) as camera:
            camera.send_bytes(sent)
            assert camera.receive_json()["error"]["code"] == f"frame_{about}"
            assert camera.receive()["type"] == "websocket.close"


def test_models_that_cannot_stream_say_so(page: TestClient, settings: ServeSettings) -> None:
    save_model(settings.runs, "whole", "tracks")
    whole = next(
        each["id"]
        for each in page.get("/api/state").json()["models"]
        if each["name"] == "whole"
    )
    for model, code in ((whole, "no_stream"), ("nobody", "model_gone"), ("", "model_gone")):
        with connect(page, model) as camera:
            error = camera.receive_json()["error"]
            assert (error["code"], bool(error["remedy"])) == (code, True)


def test_a_bomb_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(jpeg())
    start = content.index(b"\xff\xc0")  # the frame header: height and width
    content[start + 5 : start + 9] = struct.pack(">HH", 8000, 8000)
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(Problem, match="8000 by 8000"):
        decode_jpeg(bytes(content))
