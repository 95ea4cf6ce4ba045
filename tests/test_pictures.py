"""Every picture of README and docs is made by benchmarks/pictures.py, which shows clips that its
model has not seen; a small form of it runs here.
"""

import re
from pathlib import Path

import numpy as np
import pictures
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "papers/README")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "results").glob("*.md")),
]
IMAGE = re.compile(r"(?:\]\(|src=\")([^)\s\"]+\.(?:png|webp|jpe?g|gif|svg))")


def test_every_image_of_the_docs_is_made_by_the_program() -> None:
    shown = {
        (page.parent / link).resolve().relative_to(ROOT / "docs").as_posix()
        for page in PAGES
        for link in IMAGE.findall(page.read_text("utf-8"))
    }
    images = {
        path.name
        for path in (ROOT / "docs").rglob("*")
        if path.suffix in (".png", ".webp", ".jpg", ".gif", ".svg")
    }
    assert shown == images == {*pictures.PICTURES}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `run` and the pictures that need no browser and no long experiment."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "run").mkdir()
    names = [name for name, make in pictures.PICTURES.items() if make is not pictures.page]
    pictures.make(names, folder, pictures.smallest(folder / "run"))
    return folder


def test_pictures_are_made(made: Path) -> None:
    sizes = {path.name: Image.open(path).size for path in sorted(made.glob("*.*"))}
    always = {"demo.png", "home.webp", "live.png", "delay.png", "encoder-training.png"}
    assert {*sizes} >= always | {"hmdb10-curves.png"}
    assert all(W > 200 and H > 90 for W, H in sizes.values())
    with Image.open(made / "home.webp") as moving:
        assert moving.n_frames == 6


def test_shown_are_other_people_and_places_than_in_training(made: Path) -> None:
    for action in pictures.LIVE_ACTIONS:
        (new,) = (made / "run" / "new" / action).iterdir()
        shown = pictures.frames_of(new, 1)[0].astype(float)
        for clip in (made / "run" / "clips" / action).iterdir():
            trained = pictures.small(pictures.frames_of(clip, 1)[0], len(shown))
            assert np.abs(shown - trained).mean() > 10


def test_what_is_missing_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pictures, "ROOT", tmp_path)
    name = "digits-glimpses.png"
    pictures.make([name], tmp_path, pictures.Demo(tmp_path))
    missing = "missing: runs/digits-standard/glimpses.png, which `onlooker reproduce digits"
    assert f"{name}: left as it is; {missing}" in capsys.readouterr().out
    run = tmp_path / "runs" / "digits-standard"
    run.mkdir(parents=True)
    (run / "glimpses.png").write_bytes(b"a picture")
    pictures.make([name], tmp_path, pictures.Demo(tmp_path))
    assert (tmp_path / name).read_bytes() == b"a picture"
