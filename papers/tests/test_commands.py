"""The commands of the papers: what they refuse, in one line."""

from pathlib import Path

import pytest
from commands import call, fails


@pytest.mark.parametrize("command", ["digits", "videolstm", "hmdb10"])
def test_every_command_explains_itself(command: str) -> None:
    assert "Usage" in call("reproduce", command, "--help").output


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("reproduce videolstm --quick --full", "--quick and --full exclude each other"),
        ("reproduce digits --run {tmp}/r --mnist {tmp}", "train-images-idx3-ubyte"),
        (
            "reproduce digits --run {tmp}/r --protocol fair",
            "protocol is 'fair', expected one of all",
        ),
        (
            "reproduce videolstm --ucf101 {tmp} --hmdb51 {tmp}",
            "--hmdb51 exclude each other; give one",
        ),
        ("reproduce videolstm --no-pretrained", "--pretrained has no effect here; leave it out"),
        ("reproduce videolstm --split 2", "--split has no effect here; leave it out"),
        ("reproduce videolstm --full", "--full has no effect here; leave it out"),
        ("reproduce videolstm --ucf101 {tmp} --mnist {tmp}", "--mnist has no effect here"),
        (
            "reproduce hmdb10 --run {tmp}/r",
            "give either --hmdb51 DIR (HMDB-51 itself) or --clips DIR",
        ),
        ("reproduce videolstm --ucf101 {tmp} --run {tmp}/r", "classInd.txt: no such file; copy"),
        (
            "reproduce videolstm --hmdb51 {tmp} --run {tmp}/r",
            "no split files <class>_test_split1.txt",
        ),
    ],
)
def test_errors_are_one_line(tmp_path: Path, command: str, message: str) -> None:
    assert message in fails(*(word.format(tmp=tmp_path) for word in command.split()))
