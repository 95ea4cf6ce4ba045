"""The example that runs an exported model in a web page: the same scores as the model, from the
same pixels.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from onlooker.base.config import DataConfig
from onlooker.data.transforms import to_video
from onlooker.export import export
from onlooker.models.registry import create_model
from onlooker.recognizer import Recognizer

pytest.importorskip("playwright", reason="no playwright, which drives a browser")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "channels"), [("convalstm", 3), ("lstm", 1)])
def test_a_page_gives_the_scores_of_the_model(name: str, channels: int, tmp_path: Path) -> None:
    if not (shutil.which("npm") and (shutil.which("chromium") or shutil.which("google-chrome"))):
        pytest.skip("no npm, which installs onnxruntime-web, or no Chromium")
    import bench_browser

    torch.manual_seed(0)
    model = create_model(name, 3, in_channels=channels, size=32, hidden=8).eval()
    data = DataConfig(frames=5, size=32, channels=channels, normalization="half")
    exported = export(Recognizer(model, ("a", "b", "c"), data), tmp_path / "export")
    try:
        folder = bench_browser.example_with(exported, tmp_path / "example")
    except subprocess.CalledProcessError:
        pytest.skip("npm cannot install onnxruntime-web here")
    frames = np.random.default_rng(0).integers(0, 256, (20, 32, 32, channels), np.uint8)
    found = bench_browser.run_in_browser(folder, frames).scores
    state = None
    expected = []
    with torch.inference_mode():
        for frame in torch.from_numpy(frames):
            output, state = model.step(to_video(frame[None], data.normalization, 0), state)
            expected.append(output.logits.softmax(-1)[0].numpy())
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.std(expected, 0).max() > 1e-4  # else anything would be equal to it
