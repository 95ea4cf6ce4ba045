"""Recording in a real browser: the countdown of a short press, and pauses that become clips of nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import serving

from onlooker.video.reader import VideoReader

pytest.importorskip("fastapi", reason="the page needs onlooker[serve]")
pytest.importorskip("playwright", reason="no playwright, which drives a browser")


def test_a_short_press_counts_down_and_the_pause_after_it_is_a_clip_of_the_quiet_class(
    tmp_path: Path, open_page: Callable[..., Any], squares: Path
):
    clips = tmp_path / "clips"
    shutil.copytree(squares / "left", clips / "left")
    (clips / "None").mkdir()
    with serving(clips, tmp_path / "runs") as url:
        page = open_page(f"{url}#teach", reduced_motion="reduce")
        page.wait_for_selector("[data-class=None]")
        assert page.eval_on_selector("[data-class=None]", "(card) => card.style.getPropertyValue('--color')") == (
            "var(--nothing)"
        )
        page.click("text=Turn on the camera")
        page.click(".hold")
        assert page.input_value(".into select") == "left"
        assert page.inner_text(".switch >> nth=0") == "Pauses teach “None”"
        counted = []
        for number in ("3", "2", "1"):
            page.wait_for_selector(f".count.big span:text-is('{number}')")
            counted.append(len([*clips.glob("left/*.webm")]))
        page.wait_for_selector(".count.running")
        page.wait_for_selector(".count.small span:text('None')", timeout=20_000)
        assert counted == [0, 0, 0]  # nothing is recorded before the countdown ends
        page.wait_for_selector("[data-class=None] .tile")
    (recorded,) = clips.glob("left/*.webm")
    (pause,) = clips.glob("*/None.webm")
    assert (recorded.parent.name, pause.parent.name) == ("left", "None")
    assert 2 < length(recorded) < 3.5


def length(clip: Path) -> float:
    times = VideoReader(clip).times
    return float(times[-1] - times[0])
