"""The commands of the papers: what they refuse, in one line, and the clips that they generate."""

import json
from pathlib import Path

import pytest
from commands import call, fails

from onlooker.data.folder import find_clips
from onlooker.video.reader import read


@pytest.mark.parametrize("command", ["digits", "videolstm", "hmdb10", "figures"])
def test_every_command_explains_itself(command: str) -> None:
    assert "Usage" in call("reproduce", command, "--help").output


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("reproduce digits --quick --full", "--quick and --full exclude each other"),
        ("reproduce digits --run {tmp}/r --mnist {tmp}", "train-images-idx3-ubyte"),
        ("reproduce digits --run {tmp}/r --protocol fair", "protocol is 'fair', expected one of all"),
        ("reproduce digits --run {tmp}/r --clips {tmp}/none", "none: no such folder"),
        ("reproduce videolstm --ucf101 {tmp} --hmdb51 {tmp}", "--hmdb51 exclude each other; give one"),
        ("reproduce videolstm --no-pretrained", "--pretrained has no effect here; leave it out"),
        ("reproduce videolstm --split 2", "--split has no effect here; leave it out"),
        ("reproduce videolstm --ucf101 {tmp} --mnist {tmp}", "--mnist has no effect here"),
        ("reproduce videolstm --ucf101 {tmp} --run {tmp}/r", "classInd.txt: no such file; copy"),
        ("reproduce videolstm --hmdb51 {tmp} --run {tmp}/r", "no split files; looked there for"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, command: str, message: str) -> None:
    assert message in fails(*(word.format(tmp=tmp_path) for word in command.split()))


def test_generated_target_clips_are_a_folder_of_clips(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    said = call("generate", "target", folder, "--clips", 1, "--seed", 3).output
    assert f"onlooker train {folder}" in said.replace("\n", "")
    clips = find_clips(folder)
    assert len(clips) == len({clip.label for clip in clips}) == 10
    assert all(clip.recording for clip in clips)
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    assert truth["seed"] == 3
    for clip in clips:
        facts = truth["clips"][clip.path.relative_to(folder).as_posix()]
        first, last = facts["event"]
        assert 0 <= first < last < len(facts["boxes"])
        assert read(clip.path, 100).indices[-1] == len(facts["boxes"]) - 1
    assert "not an empty folder" in fails("generate", "target", folder)
    assert "clips is 0, expected at least 1" in fails("generate", "target", tmp_path / "other", "--clips", 0)
