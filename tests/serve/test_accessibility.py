"""The page has no serious accessibility problem that axe-core finds: light on a desktop, dark on a
phone.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browsing import drop, make_good, serving, teach_run

from onlooker.serve.project import Project

axe_playwright = pytest.importorskip(
    "axe_playwright_python.sync_playwright",
    reason="no axe-playwright-python, which finds accessibility problems",
)

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
# A change of colors that is not finished has other contrasts; moving previews take time from
# everything else.
STILL = "*, *::before, *::after { transition: none !important; animation: none !important }"


@pytest.fixture(scope="module")
def taught(
    trained: tuple[Path, str], squares: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A server with clips and a model that was trained on them."""
    folder = tmp_path_factory.mktemp("taught")
    clips = shutil.copytree(squares, folder / "squares")
    with closing(Project(clips)) as project:
        make_good(teach_run(trained[0], project, folder / "runs"))
    with serving(clips, folder / "runs", trained[0]) as url:
        yield url


def serious(page: Any, where: str) -> list[str]:
    """What axe-core finds in what is shown: on a desktop in light colors, and on a phone in dark
    ones.
    """
    found = []
    for scheme, viewport in (("dark", PHONE), ("light", DESKTOP)):
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        violations = page.evaluate(
            "axe.run({ resultTypes: ['violations'] }).then((results) => results.violations)"
        )
        found += [
            f"{where}, {scheme}: {each['id']} ({each['help']}): {node['html'][:200]} {node['any'][:1]}"
            for each in violations
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]
    return found


def open_still(open_page: Callable[..., Any], url: str) -> Any:
    page = open_page(url, errors_expected=True, bypass_csp=True, reduced_motion="reduce")
    page.add_style_tag(content=STILL)
    page.evaluate(axe_playwright.Axe().axe_script)
    return page


def test_axe_sees_a_serious_problem(address: str, open_page: Callable[..., Any]):
    page = open_still(open_page, address)
    page.wait_for_selector(".drop")
    page.evaluate("document.querySelector('.drop .hint').style.color = '#e8e8e8'")
    page.evaluate("document.querySelector('.drop button').replaceChildren()")
    found = {line.split(": ")[1].split()[0] for line in serious(page, "look")}
    assert found >= {"color-contrast", "button-name"}


def test_look_is_accessible(
    taught: str, open_page: Callable[..., Any], squares: Path, tmp_path: Path
):
    page = open_still(open_page, taught)
    page.wait_for_selector(".drop")
    found = serious(page, "look")
    drop(page, ".drop", squares / "left" / "00.mp4")
    page.wait_for_selector(".answer .label")
    video = "document.querySelector('.stage video')"
    page.wait_for_function(f"() => {video}.readyState >= 2")
    page.evaluate(f"{video}.pause(), {video}.currentTime = 0.5")
    page.wait_for_function(f"() => !{video}.seeking")
    page.click(".save summary")
    found += serious(page, "a result")
    page.click("text=Another clip")
    (tmp_path / "text.mp4").write_text("no video")
    drop(page, ".drop", tmp_path / "text.mp4")
    page.wait_for_selector(".error")
    found += serious(page, "an error")
    assert found == []


def test_teach_and_correct_are_accessible(
    taught: str, address: str, open_page: Callable[..., Any]
):
    page = open_still(open_page, f"{address}#teach")
    page.wait_for_selector(".add")
    found = serious(page, "an empty project")
    page = open_still(open_page, f"{taught}#teach")
    page.wait_for_selector(".cell")
    page.wait_for_selector(".tile >> nth=20")
    page.click("text=Turn on the camera")
    page.wait_for_selector(".stage.looking")
    found += serious(page, "teach")
    # it takes more time than the rest
    page.evaluate("document.querySelector('.stage video').srcObject.getTracks()[0].stop()")
    page.locator(".cell").first.click()
    page.wait_for_selector("dialog .tile")
    found += serious(page, "clips of a cell")
    page.locator("dialog .tile").first.click()
    page.wait_for_selector("dialog canvas")
    found += serious(page, "a clip")
    page = open_still(open_page, f"{taught}#correct")
    page.wait_for_selector(".doubt")
    assert found + serious(page, "correct") == []


def test_reports_are_accessible(trained: tuple[Path, str], browser: Any):
    page = browser.new_page()
    page.goto(f"{(trained[0] / 'report.html').as_uri()}#cell-0-0")
    page.evaluate(
        "for (const cell of document.querySelectorAll('.cell')) cell.style.display = 'block'"
    )
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.evaluate(axe_playwright.Axe().axe_script)
    found = serious(page, "report")
    page.set_viewport_size(PHONE)
    assert (
        page.evaluate("""() => [...document.querySelectorAll("*")].filter((each) => each.scrollWidth
        > each.clientWidth + 2 && getComputedStyle(each).overflowX === "auto" && each.tabIndex < 0).length""")
        == 0
    )
    page.close()
    assert found == []
