"""A run that was pushed to a hub is loaded from there, with its card; all in a process that knows only the stand-in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub import hub

from onlooker.recognizer import load
from onlooker.runs.push import push

CODE = """
import sys
from onlooker.cli import main
sys.argv[0] = "onlooker"
main()
"""


def onlooker(address: str, folder: Path, *words: object, token: str = "hf_good") -> subprocess.CompletedProcess[str]:
    own = {"HF_ENDPOINT": address, "HF_TOKEN": token, "HF_HOME": str(folder / "hub"), "HF_HUB_DISABLE_XET": "1"}
    environment = {**os.environ, **own, "ONLOOKER_CACHE": str(folder / "cache"), "COLUMNS": "200"}
    command = [sys.executable, "-c", CODE, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)


@pytest.mark.slow
def test_a_pushed_run_is_loaded_from_the_hub(trained: tuple[Path, str], squares: Path, tmp_path: Path) -> None:
    run, clip, files = trained[0], squares / "up" / "00.mp4", (tmp_path / "here.jsonl", tmp_path / "there.jsonl")
    with hub() as (address, repositories, requests):
        refused = onlooker(address, tmp_path, "push", run, "jane/squares", token="hf_bad")
        assert refused.returncode == 1
        assert "error: hf://jane/squares: " in refused.stderr
        assert "log in (`hf auth login` or HF_TOKEN)" in refused.stderr
        pushed = onlooker(address, tmp_path, "push", run, "jane/squares")
        assert pushed.stdout.strip() == 'pushed: onlooker.load("hf://jane/squares")', pushed.stderr
        for source, file in zip((run, "hf://jane/squares"), files, strict=True):
            done = onlooker(address, tmp_path, "predict", source, clip, "--json", file)
            assert done.returncode == 0, done.stderr
        missing = onlooker(address, tmp_path, "predict", "hf://jane/nowhere", clip)
        assert "error: hf://jane/nowhere" in missing.stderr
        assert {token for _, token in requests} == {"Bearer hf_bad", "Bearer hf_good"}
    here, there = (json.loads(file.read_text(encoding="utf-8").splitlines()[-1]) for file in files)
    assert there["scores"] == here["scores"]
    (content,) = repositories.values()
    assert set(content) == {"README.md", "config.json", "model.safetensors", "recognizer.json"}
    card = content["README.md"].decode()
    assert "pipeline_tag: video-classification" in card
    assert "Classes: down, left, right, up." in card
    assert "Tested by onlooker: " in card
    assert 'onlooker.load("hf://jane/squares")' in card
    assert content["model.safetensors"] == (run / "model" / "model.safetensors").read_bytes()
    assert load(run).classes == ("down", "left", "right", "up")


@pytest.mark.parametrize("name", ["squares", "jane/squares/2", "https://hub/jane", ""])
def test_a_name_of_another_form_is_refused(name: str, trained: tuple[Path, str]) -> None:
    with pytest.raises(ValueError, match="expected USER/NAME, such as jane/gestures"):
        push(trained[0], name)
