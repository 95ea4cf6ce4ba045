"""`onlooker check`: findings in clips made to have them, none in good clips, and invalid input."""

import csv
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from clips import find_clips, make_images, scene
from commands import call
from PIL import Image

import onlooker
from onlooker.base.config import SetConfig
from onlooker.base.intervals import file_of
from onlooker.base.records import Clip, ClipError
from onlooker.data.findings import ClipFacts, Finding, fact_findings, label_findings
from onlooker.data.sets import ClipSet, read_set
from onlooker.data.split import Split, hold_out_validation, split_clips
from onlooker.run import preparation
from onlooker.run.check import check, hints, is_clean, overview, plan_split
from onlooker.run.record import RunRecord
from onlooker.run.train import finished_figures
from onlooker.video.write import write


def make_folder(folder: Path, counts: Mapping[str, int], T: int = 30) -> Path:
    """A folder of that many clips of each class, all different."""
    for k, (label, count) in enumerate(counts.items()):
        for i in range(count):
            write(folder / label / f"{label}{i}.mp4", scene(100 * k + i, T), fps=10)
    return folder


def facts(seed: int, **changed: object) -> ClipFacts:
    chance = np.random.default_rng(seed)
    thumbnails = chance.uniform(0, 255, (16, 16)) + chance.uniform(0, 60, (8, 16, 16))
    return replace(ClipFacts(60, 30, (240, 320), thumbnails.astype(np.float32), 2), **changed)  # type: ignore[arg-type]


def labeled(**counts: int) -> list[Clip]:
    return [
        Clip(Path(f"{label}/{label}{i}.mp4"), label)
        for label, count in counts.items()
        for i in range(count)
    ]


CLIPS = labeled(jump=10, wave=10)
FACTS = [facts(seed) for seed in range(20)]


def with_facts(changed: Mapping[int, ClipFacts]) -> list[ClipFacts]:
    return [changed.get(number, known) for number, known in enumerate(FACTS)]


def in_the_scene_of(clip: ClipFacts, seed: int) -> ClipFacts:
    """Other motion before the same background."""
    motion = np.random.default_rng(seed).uniform(0, 60, (8, 16, 16))
    return replace(clip, thumbnails=(clip.thumbnails.mean(0) + motion).astype(np.float32))


def named(
    clips: list[Clip], known: list[ClipFacts], split: Split | None = None
) -> dict[str, Finding]:
    return {
        each.name: each for each in fact_findings(clips, known, split or split_clips(clips))
    }


def test_good_clips_have_no_findings_and_checking_them_is_no_advice_after_that(
    tmp_path: Path,
) -> None:
    folder = make_folder(tmp_path / "clips", {"jump": 6, "wave": 6})

    def advised() -> bool:
        clips = read_set(folder)
        return "run `onlooker check" in " ".join(
            map(str, overview(clips, plan_split(clips.clips)))
        )

    assert advised()
    checked = onlooker.check(folder, quiet=True)
    assert checked.findings == ()
    assert not advised()
    assert is_clean([*checked.clips.clips][::-1])
    os.utime(folder / "jump" / "jump0.mp4", (0, 0))
    assert advised(), "one of the clips has changed"
    assert isinstance(checked.split, Split)
    assert len(checked.split.clips) == 12
    assert "no problems found" in call("check", tmp_path / "clips").stdout


@pytest.mark.usefixtures("no_event_layer")
def test_training_says_what_check_says_and_has_its_split(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "clips", {"jump": 3, "wave": 3}, T=2)
    (folder / "wave" / "broken.mp4").write_text("no video")
    (folder / "notes.txt").write_text("x")
    words = "--size", 16, "--frames", 2, "--encoder", "conv4"
    said = call("train", folder, "--run", tmp_path / "run", *words).stderr
    assert "2/1/0" in said  # few clips: each is tested by a model that was fitted without it
    assert "ignored: 1 (notes.txt)" in said
    assert f"run `onlooker check {folder}` with the same options" in said
    checked = check(folder, quiet=True)
    assert checked.split == RunRecord.read(tmp_path / "run").split
    assert "no split" not in {each.name for each in checked.findings}
    for name in ("jump1.mp4", "jump2.mp4"):
        (folder / "jump" / name).unlink()
    assert check(folder, quiet=True).split == (
        "class jump has 1 clip; training and validation need at least 2; add some, or leave the class out"
    )


def test_few_clips_are_all_fitted_by_the_model_that_is_trained_in_seconds() -> None:
    few = labeled(jump=150, wave=149)
    many = labeled(jump=150, wave=150)
    assert not plan_split(few).test
    assert [len(plan_split(*asked).test) for asked in ((few, "lstm"), (many,))] == [60, 60]


def test_states_of_clips_without_times_are_a_finding(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "clips", {"jump": 5, "wave": 5})
    said = " ".join(call("check", folder, "--when", "states").stdout.split())
    assert "states of 0 recordings, expected at least 2" in said
    assert "What to do: give a list with start and end of what goes on in each" in said


def test_unreadable_clips_are_named_and_the_others_checked(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "clips", {"jump": 5, "wave": 5})
    (folder / "broken").mkdir()
    for i in range(3):
        (folder / "broken" / f"{i}.mp4").write_text("no video")
    (folder / "broken" / "2.mp4").write_bytes(b"")
    checked = check(folder, quiet=True)
    finding = checked.findings[0]
    assert re.fullmatch(r"they are left out: .+ \(2\); zero bytes \(1\)", finding.why)
    assert "3 of 13 clips cannot be read, among them all of class broken" in finding.found
    assert [paths[0].name for paths in finding.clips] == ["0.mp4", "1.mp4", "2.mp4"]
    assert len(checked.left_out) == 3
    assert "broken/0.mp4" in call("check", folder).stdout
    for label in ("jump", "wave"):
        shutil.rmtree(folder / label)
    names = [each.name for each in check(folder, quiet=True).findings]
    assert names == ["unreadable", "no split", "few clips"]


def test_listed_clips_that_do_not_exist_are_a_finding(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "clips", {"jump": 5, "wave": 5})
    with (tmp_path / "list.csv").open("w", newline="") as file:
        rows = [[str(clip.path), clip.label] for clip in find_clips(folder)]
        csv.writer(file).writerows([["path", "label"], *rows, ["gone.mp4", "jump"]])
    assert (
        "1 of 11 clips do not exist"
        in check(tmp_path / "list.csv", quiet=True).findings[0].found
    )
    assert "   gone.mp4" in call("check", tmp_path / "list.csv").stdout.splitlines()


@pytest.mark.parametrize(
    ("counts", "name", "words"),
    [
        ({"jump": 6, "wave": 2}, "few clips", "1 of 2 classes have fewer than 5 clips: wave 2"),
        ({"jump": 31, "wave": 6}, "imbalance", "class jump has 31 clips, wave 6"),
        (
            {"Jump_high": 5, "jump high": 5},
            "similar names",
            "only in case or spaces: 'Jump_high' and 'jump high'",
        ),
    ],
)
def test_findings_from_labels(counts: dict[str, int], name: str, words: str) -> None:
    (finding,) = [each for each in label_findings(labeled(**counts)) if each.name == name]
    assert words in finding.found


def test_a_class_of_one_recording() -> None:
    clips = [
        replace(clip, recording="anna" if clip.label == "jump" else clip.path.stem)
        for clip in labeled(jump=6, wave=6)
    ]
    findings = {each.name: each.found for each in label_findings(clips)}
    assert findings["one recording"] == "all clips of a class are of one recording: jump 6"
    assert findings["few clips"] == "1 of 2 classes have fewer than 5 recordings: jump 1"


def test_clips_of_one_scene_in_two_splits() -> None:
    assert named(CLIPS, FACTS) == {}
    split = split_clips(CLIPS)
    test, train = (CLIPS.index(part[0]) for part in (split.test, split.training))
    known = with_facts({test: in_the_scene_of(FACTS[train], 99)})
    finding = named(CLIPS, known)["same scene"]
    found = "2 clips show nearly the same image as another clip"
    assert finding.found.startswith(found)
    assert "; 1 of them are test clips" in finding.found
    assert set(finding.clips[0]) == {CLIPS[test].path, CLIPS[train].path}
    assert named(CLIPS, known, hold_out_validation(CLIPS))["same scene"].found == found
    together = [
        replace(clip, recording="one" if i in (test, train) else str(i))
        for i, clip in enumerate(CLIPS)
    ]
    assert named(together, known) == named(together, known, hold_out_validation(together)) == {}


def test_parts_of_one_recording_are_not_alike_but_recordings_are() -> None:
    """Of the parts of each recording that show one scene, one is named."""
    names = {0: "one", 1: "one", 2: "one", 8: "two", 9: "two"}
    clips = [
        replace(clip, recording=names.get(i, str(i)))
        for i, clip in enumerate(labeled(jump=20, wave=20))
    ]
    random = [in_the_scene_of(FACTS[i % len(FACTS)], i) for i in range(len(clips))]
    facts = [FACTS[i % 8] if i < 8 else random[i] for i in range(len(clips))]
    alike = {i: in_the_scene_of(FACTS[0], 50 + i) for i in names}
    known = [alike.get(i, fact) for i, fact in enumerate(facts)]
    finding = named(clips, known)["same scene"]
    assert "recordings show nearly the same image as another recording" in finding.found
    assert "give recordings that belong together one name" in finding.remedy
    sources = {clip.path: clip.recording for clip in clips}
    (group,) = [paths for paths in finding.clips if clips[0].path in paths]
    assert clips[8].path in group
    named_recordings = [sources[path] for path in group]
    assert len(named_recordings) == len({*named_recordings})


def test_a_copy_in_another_class() -> None:
    copy = replace(FACTS[3], thumbnails=FACTS[3].thumbnails * 0.9)
    finding = named(CLIPS, with_facts({15: copy}))["two labels"]
    assert finding.clips == ((Path("jump/jump3.mp4"), Path("wave/wave5.mp4")),)


def test_all_copies_are_named_where_most_clips_show_one_scene(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = [*(in_the_scene_of(FACTS[0], seed) for seed in range(16)), *FACTS[1:5]]
    clips = [
        replace(clip, recording=str(i)) for i, clip in enumerate(labeled(jump=20, wave=20))
    ]
    findings = named(clips, known + known)
    assert findings["copies"].found == "40 clips are copies of another clip"
    pairs = {frozenset((clips[i].path, clips[i + 20].path)) for i in range(20)}
    assert {*map(frozenset, findings["copies"].clips)} == pairs
    assert findings["same scene"].found.startswith("8 clips show nearly the same image")
    monkeypatch.setattr("onlooker.data.findings.MAX_COMPARED", 39)
    assert not named(clips, known + known).keys() & {"copies", "same scene"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"size": (720, 1280)}, "height in pixels alone tells the class of 100 %"),
        ({"frames": 90}, "number of frames alone tells the class of 100 %"),
        ({"rate": 25.0}, "frame rate alone tells the class of 100 %"),
    ],
)
def test_a_file_property_that_predicts_the_class_is_a_finding(
    changed: dict[str, Any], words: str
) -> None:
    known = with_facts({seed: replace(FACTS[seed], **changed) for seed in range(10, 20)})
    assert words in named(CLIPS, known)["telling files"].found


SIZES = [
    (int(height), int(width))
    for height, width in np.random.default_rng(0).integers(100, 800, (120, 2))
]
OF_RECORDINGS = [
    replace(clip, recording=f"{clip.label}{i // 5}")
    for i, clip in enumerate(labeled(jump=20, wave=20))
]


@pytest.mark.parametrize(
    ("clips", "known"),
    [
        (CLIPS, [in_the_scene_of(FACTS[0], seed) for seed in range(20)]),
        (
            labeled(jump=40, wave=40, walk=40),
            [facts(i, size=size, frames=30 + size[0]) for i, size in enumerate(SIZES)],
        ),
        (
            OF_RECORDINGS,
            [facts(i, size=(100 + 10 * (5 * (i // 5) % 8), 100)) for i in range(40)],
        ),
    ],
    ids=[
        "one scene in all clips is no leak",
        "properties differ between clips, not between classes",
        "properties are those of recordings",
    ],
)
def test_what_does_not_tell_the_class_is_no_finding(
    clips: list[Clip], known: list[ClipFacts]
) -> None:
    assert named(clips, known) == {}


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("short", lambda clip: replace(clip, frames=7)),
        ("long", lambda clip: replace(clip, seconds=4.1 * clip.seconds)),
        ("still", lambda clip: replace(clip, thumbnails=np.repeat(clip.thumbnails[:1], 8, 0))),
        ("dark", lambda clip: replace(clip, thumbnails=clip.thumbnails / 8)),
    ],
)
def test_spoiled_clips_are_findings(name: str, spoil: Callable[[ClipFacts], ClipFacts]) -> None:
    findings = named(CLIPS, with_facts({4: spoil(FACTS[4])}))
    assert (list(findings), findings[name].clips) == ([name], ((CLIPS[4].path,),))


def test_what_fill_has_made_is_not_to_be_removed() -> None:
    clips = labeled(jump=10, nothing=10)
    still = {
        i: replace(FACTS[i], thumbnails=np.repeat(FACTS[i].thumbnails[:1], 8, 0))
        for i in (3, 15)
    }
    (finding,) = fact_findings(clips, with_facts(still), split_clips(clips), filled="nothing")
    assert (finding.name, finding.clips) == ("still", ((clips[3].path,),))


def test_bouts_of_states_may_be_short_long_and_still(tmp_path: Path) -> None:
    rows = ["path,start,end,label"]
    for i in range(3):
        write(tmp_path / f"{i}.mp4", np.repeat(scene(i, 1), 60, 0), fps=5)
        bouts = (("sleep", 9.0), ("groom", 0.6), ("rear", 1.4), ("groom", 1.0))
        start = 0.0
        for label, seconds in bouts:
            rows.append(f"{i}.mp4,{start:.1f},{start + seconds:.1f},{label}")
            start += seconds
    times = tmp_path / "times.csv"
    times.write_text("\n".join(rows))
    checked = check(times, quiet=True)
    found = {finding.name for finding in checked.findings}
    assert not found & {"short", "long", "still", "telling files", "two labels", "copies"}
    notes = "\n".join(checked.clips.notes)
    assert "times: states, because intervals cover 100 % of 3 recordings" in notes
    with_events = check(read_set(times, requested=SetConfig(when="events")), quiet=True)
    assert {"short", "long", "still", "two labels"} <= {
        finding.name for finding in with_events.findings
    }
    assert "times:" not in "\n".join(with_events.clips.notes)


def test_the_table_shows_classes_and_recordings_in_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    folder = make_folder(tmp_path / "clips", {"Schläge üben": 3, "wave": 3}, T=3)
    recorded = [
        [clip.path.relative_to(folder).as_posix(), clip.path.stem]
        for clip in find_clips(folder)
    ]
    with (folder / "recordings.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["clip", "recording"], *recorded])
    (folder / "wave" / "day 1").mkdir()
    (folder / "wave" / "day 1" / "deep.mp4").touch()
    lines = call("check", folder).stdout.splitlines()
    row = next(line for line in lines if "Schläge üben" in line)
    assert row.split() == ["Schläge", "üben", "3", "2/1/0", "3"]
    assert "ignored: 1 (wave/day 1/deep.mp4)" in lines
    assert "no test split: every clip is tested by cross-validation" in lines


@pytest.mark.usefixtures("no_event_layer")
def test_the_frame_rate_of_image_sequences_is_said_wherever_it_matters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "clips"
    run = tmp_path / "run"
    for label in ("jump", "wave"):
        for clip in range(3):
            (folder / label / str(clip)).mkdir(parents=True)
            for number, image in enumerate(scene(clip, T=8)):
                Image.fromarray(image).save(folder / label / str(clip) / f"{number}.png")
    assert "the frame rate of 6 of 6 clips is unknown" in call("check", folder).stdout
    words = "--size", 16, "--frames", 4, "--encoder", "conv4"
    assert (
        "frame rate: unknown: write the frames per second"
        in call("train", folder, "--run", run, *words).stderr
    )
    assert onlooker.load(run).decision.frame_rate is None
    assert "samples.frame_rate</td><td>unknown" in (run / "report.html").read_text()
    clip = folder / "jump" / "0"
    assert onlooker.load(run).predict(clip).assumes_rate
    said = call("predict", run, clip).stderr
    assert "the frame rate is unknown, and seconds are those of 25 frames per second" in said
    (folder / "frame_rate.txt").write_text("12")
    said = call("check", folder).stdout
    assert "frames per second: 12" in said
    assert "unknown" not in said
    assert "ignored" not in said
    assert call("predict", run, clip).stderr == ""
    said = call("train", folder, "--run", tmp_path / "known", *words).stderr
    assert "frame rate: 6 frames per second in the samples of training" in said
    # frames 1, 3, 5 and 7 of 8
    assert onlooker.load(tmp_path / "known").decision.frame_rate == pytest.approx(6)


@pytest.mark.usefixtures("no_event_layer")
def test_ignored_columns_are_named_once(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, {"jump": 3, "wave": 3}, T=8)
    rows = [
        f"{label}/{label}{i}.mp4,{label},{i}" for label in ("jump", "wave") for i in range(3)
    ]
    (folder / "list.csv").write_text("\n".join(["path,label,fold", *rows]))
    words = "--size", 16, "--frames", 4, "--encoder", "conv4"
    for said in (
        call("check", folder / "list.csv"),
        call("train", folder / "list.csv", "--run", tmp_path / "run", *words),
    ):
        assert (said.stdout + said.stderr).count(
            "ignored columns: fold; cross-validation makes its own"
        ) == 1


def test_roles_are_no_recordings_and_check_and_the_report_say_so(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, {"day": 4}, T=20)
    rows = [
        f"day/day{i}.mp4,{start},{start + 1},{label},{who}"
        for i in range(4)
        for start, (label, who) in enumerate((("attack", "resident"), ("flee", "intruder")))
    ]
    listed = folder / "list.csv"
    listed.write_text("\n".join(["path,start,end,label,subject", *rows]), encoding="utf-8")
    said = "subjects that share a file with another one are no recordings (intruder, resident)"
    checked = check(listed, quiet=True)
    assert any(said in line for line in checked.clips.notes)
    assert {clip.recording for clip in checked.clips.clips} == {
        f"day/day{i}.mp4" for i in range(4)
    }
    assert said in call("check", listed).stdout
    words = "--size", 16, "--frames", 4, "--encoder", "conv4", "--epochs", 1
    call("train", listed, "--run", tmp_path / "run", *words, "--model", "convnet")
    run = tmp_path / "run"
    assert said in (run / "report.html").read_text(encoding="utf-8")
    split = RunRecord.read(run).split
    sides = [{file_of(clip.path) for clip in part} for part in vars(split).values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 4


def test_the_rate_of_raw_video_is_unknown_and_asked_for_before_clips_are_read(
    tmp_path: Path, make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "clips"
    for label in ("jump", "wave"):
        (folder / label).mkdir(parents=True)
        for number in range(3):
            make_clip(frames=8, first=9 * number).rename(folder / label / f"{number}.mp4")
    for name in ("jump/1.mp4", "wave/2.mp4"):
        clip = make_clip("raw.mjpeg", codec="mjpeg", pix_fmt="yuvj420p")
        clip.rename((folder / name).with_suffix(".mjpeg"))
    said = " ".join(call("check", folder).stdout.split())
    assert (
        "the frame rate of 2 of 8 clips is unknown: image sequences and raw video do not"
        in said
    )
    assert "write the frames per second into a file frame_rate.txt beside the images or" in said
    monkeypatch.setattr(preparation, "_read", Mock(side_effect=ValueError("nothing is read")))
    said = call("train", folder, "--run", tmp_path / "run", ok=False).stderr
    asked = (
        f"{folder / 'jump' / '1.mjpeg'} and 1 more: the frame rate is unknown, and seconds are"
    )
    assert asked in said
    (folder / "frame_rate.txt").write_text("12")
    said = call("train", folder, "--run", tmp_path / "run", ok=False).stderr
    assert "nothing is read" in said
    assert "unknown" not in said


def test_images_that_are_left_out_of_sequences_are_counted_and_named(tmp_path: Path) -> None:
    for clip in ("jump/clip 0", "jump/clip 1", "wave/clip 0", "wave/clip 1"):
        names = (
            f"{kind}_{number:05}.png" for kind in ("img", "flow_x") for number in (1, 2, 3)
        )
        make_images(tmp_path / clip, names)
    said = call("check", tmp_path).stdout
    assert (
        "left out of image sequences: 12 (jump/clip 0/flow_x_00001.png, jump/clip 0/flow_x_00002.png, "
        in said
    )


def test_training_on_a_class_of_unreadable_clips_is_an_error(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "clips", {"jump": 3, "wave": 3}, T=2)
    for clip in (folder / "jump").iterdir():
        clip.write_text("no video")
    with pytest.raises(
        ClipError, match=r"none of the 3 clips of class jump can be read .*leave the class out"
    ):
        onlooker.train(folder, tmp_path / "run", size=16, frames=2, encoder="conv4", quiet=True)


@pytest.mark.parametrize(
    ("label", "nothing", "words"),
    [
        (
            "No gesture",
            None,
            "No gesture is the class in which nothing happens, so it is never reported as an event",
        ),
        (
            "Normal",
            None,
            "if nothing happens in class Normal, train with --nothing Normal: else it is an event",
        ),
        ("Normal", "Normal", "Normal is the class in which nothing happens"),
        ("idle", "", None),
        ("sit", None, None),
    ],
)
def test_the_class_in_which_nothing_happens_is_named(
    label: str, nothing: str | None, words: str | None
) -> None:
    clips = ClipSet(
        Path("clips"), {"": tuple(Clip(Path(f"{name}.mp4"), name) for name in (label, "fall"))}
    )
    said = " ".join(hints(clips, None, nothing))
    assert words in said if words else "happens" not in said


@pytest.mark.usefixtures("no_event_layer")
def test_a_run_is_not_continued_with_other_clips_of_the_same_names(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "clips", {"jump": 3, "wave": 3}, T=2)
    settings: dict[str, Any] = {"size": 16, "frames": 2, "encoder": "conv4", "quiet": True}
    onlooker.train(folder, tmp_path / "run", **settings)
    onlooker.train(folder, tmp_path / "run", resume=True, **settings)
    write(folder / "jump" / "jump1.mp4", scene(9, 2), fps=10, replace=True)
    message = r"run: 1 of its clips were replaced by others, such as .*jump1.mp4; restore them, or train in another"
    with pytest.raises(ValueError, match=message):
        onlooker.train(folder, tmp_path / "run", resume=True, **settings)
    record = RunRecord.read(tmp_path / "run")
    with pytest.raises(ValueError, match=message):  # as the runs of a comparison
        finished_figures(record, tmp_path / "run")
