"""A model that was uploaded to a hub is loaded from there; all in a process that knows only the
stand-in.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub import hub

from onlooker.recognizer import load

UPLOAD = "import sys; from huggingface_hub import HfApi; HfApi().create_repo(sys.argv[1], exist_ok=True); "
UPLOAD += "HfApi().upload_folder(repo_id=sys.argv[1], folder_path=sys.argv[2])"  # as `hf upload`
ONLOOKER = "from onlooker.cli import main; main()"


def run_code(
    code: str, address: str, folder: Path, *words: object
) -> subprocess.CompletedProcess[str]:
    own = {
        "HF_ENDPOINT": address,
        "HF_TOKEN": "hf_good",
        "HF_HOME": str(folder / "hub"),
        "HF_HUB_DISABLE_XET": "1",
    }
    environment = {**os.environ, **own, "ONLOOKER_CACHE": str(folder / "cache"), "COLUMNS": "200"}
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)


@pytest.mark.slow
def test_an_uploaded_model_is_loaded_from_the_hub(
    trained: tuple[Path, str], squares: Path, tmp_path: Path
) -> None:
    run = trained[0]
    clip = squares / "up" / "00.mp4"
    files = (tmp_path / "here.jsonl", tmp_path / "there.jsonl")
    with hub() as (address, repositories, requests):
        uploaded = run_code(UPLOAD, address, tmp_path, "jane/squares", run / "model")
        assert uploaded.returncode == 0, uploaded.stderr
        for source, file in zip((run, "hf://jane/squares"), files, strict=True):
            done = run_code(ONLOOKER, address, tmp_path, "predict", source, clip, "--json", file)
            assert done.returncode == 0, done.stderr
        missing = run_code(ONLOOKER, address, tmp_path, "predict", "hf://jane/nowhere", clip)
        assert "error: hf://jane/nowhere" in missing.stderr
        assert {token for _, token in requests} == {"Bearer hf_good"}
    here, there = (json.loads(file.read_text(encoding="utf-8").splitlines()[-1]) for file in files)
    assert there["scores"] == here["scores"]
    (content,) = repositories.values()
    assert set(content) == {"README.md", "config.json", "model.safetensors", "recognizer.json"}
    assert "pipeline_tag: video-classification" in content["README.md"].decode()
    assert content["model.safetensors"] == (run / "model" / "model.safetensors").read_bytes()
    assert load(run).classes == ("down", "left", "right", "up")
