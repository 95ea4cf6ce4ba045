"""Correcting in a real browser: every clip of the inbox gets its turn, and the next training uses the answers."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import serving, teach_run

pytest.importorskip("fastapi", reason="the page needs onlooker[serve]")
pytest.importorskip("playwright", reason="no playwright, which drives a browser")


def ask(page: Any, path: str) -> Any:
    return page.evaluate("(path) => fetch(path).then((response) => response.json())", path)


def test_an_inbox_of_many_clips_shows_twelve_at_a_time_until_all_are_answered(
    tmp_path: Path, open_page: Callable[..., Any], trained: tuple[Path, str], squares: Path
):
    clips = shutil.copytree(squares, tmp_path / "squares")
    teach_run(trained[0], clips, tmp_path / "runs")
    with serving(clips, tmp_path / "runs") as url:
        page = open_page(url, reduced_motion="reduce")
        asked = [
            {"clip": clip["id"], "label": each["name"], "suggested": each["name"], "score": 0.4, "why": "uncertain"}
            for each in classes(page)
            for clip in each["clips"]
        ][:14]
        page.route("**/api/project/inbox", lambda route: route.fulfill(body=json.dumps({"items": asked})))
        page.click("#tab-correct")
        for left in range(14, 0, -1):
            count = "One clip to check" if left == 1 else f"{left} clips to check"
            page.wait_for_selector(f".inbox-note:has-text('{count}')")
            assert page.inner_text("#count-correct") == str(left)
            assert page.locator(".doubt").count() == min(left, 12)
            asked = asked[1:]  # what the server says from now on
            if left > 13:  # the arrow keys only choose
                page.focus(".doubt select")
                page.keyboard.press("ArrowDown")
                page.keyboard.press("Tab")
                assert page.inner_text("#count-correct") == str(left)
                page.keyboard.press("Enter")
                continue
            page.locator(".doubt .answer-button").first.click()
        page.wait_for_selector(".inbox-note:has-text('Nothing to check')")
        assert page.is_hidden("#count-correct")
        settled = json.loads((clips / ".onlooker" / "journal.json").read_text())["done"]
        assert len({clip for change in settled for clip in change["settled"]}) == 14


@pytest.mark.slow
def test_the_next_training_uses_three_answers(tmp_path: Path, open_page: Callable[..., Any], two_classes: Path):
    clips = shutil.copytree(two_classes, tmp_path / "mine")
    (clips / "up" / "notes.mp4").unlink()
    for clip in clips.glob("*/0*.mp4"):
        clip.rename(clip.with_name(f"{clip.parent.name}-{clip.name}"))
    with serving(clips, tmp_path / "runs") as url:
        page = open_page(f"{url}#teach", reduced_motion="reduce", errors_expected=True)
        page.click(".train-action .primary")
        page.wait_for_selector(".train-action .primary:has-text('Train again')", timeout=300_000)
        page.click("#tab-correct")
        page.wait_for_selector(".inbox-note .spinner", state="detached")
        known = {clip["id"]: (clip["name"], each["name"]) for each in classes(page) for clip in each["clips"]}
        answers = {}
        for _ in range(3):
            card = page.locator(".doubt").first
            clip = card.get_attribute("data-clip")
            name, label = known[clip]
            answers[name] = "up" if label == "left" else "left"
            if card.locator("select").count():
                card.locator("select").select_option(answers[name])
                card.locator("text=Set class").click()
            else:
                card.locator(f".answer-button:has-text('{answers[name]}')").click()
            page.wait_for_selector(f".doubt[data-clip='{clip}']", state="detached")
        page.click("#panel-correct >> text=Train again")
        page.wait_for_selector(".train-action progress")
        page.wait_for_selector(".train-action progress", state="detached", timeout=300_000)
        first, second = (labels(tmp_path / "runs" / f"mine-page-{number}") for number in (1, 2))
    assert {name: second[name] for name in second if second[name] != first[name]} == answers


def classes(page: Any) -> list[dict[str, Any]]:
    return list(ask(page, "/api/project")["classes"])


def labels(run: Path) -> dict[str, str]:
    """The labels that a run was trained and tested with, by the names of the clips."""
    with (run / "scores.csv").open(newline="") as file:
        return {Path(row["name"]).name: row["truth"] for row in csv.DictReader(file)}
