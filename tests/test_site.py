"""The documentation as a site: its reference has every public name, its pages every file of docs/."""

import importlib.util
import re
from pathlib import Path

import pytest

import onlooker

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site():
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_public_name_once(site):
    named = re.findall(r"^::: (\S+)$", site.reference(), re.MULTILINE)
    assert len(named) == len(set(named)) > 100
    assert {name.rpartition(".")[2] for name in named} >= {*onlooker.__all__} - {"__version__"}
    for path in named:
        assert importlib.util.find_spec(path.rpartition(".")[0]) is not None, path


def test_every_page_is_in_the_navigation(site):
    pages = re.findall(r"- ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    made = {*site.PAGES, "reference.md"}
    assert {*pages} == {path.name for path in (ROOT / "docs").glob("*.md")} | made


def test_links_between_files_become_links_between_pages(site):
    class Page:
        class file:  # noqa: N801 - an attribute
            src_uri = "contributing.md"

    text = "[a](docs/live.md#sources) [b](results/README.md) [c](https://a.example) ![d](docs/demo.png)\n[e]: LICENSE"
    expected = (
        "[a](live.md#sources) [b](results.md) [c](https://a.example) ![d](demo.png)\n[e]: LICENSE"
    )
    assert site.on_page_markdown(text, Page, None, None) == expected
