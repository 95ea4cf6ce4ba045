"""Checks that an HTML page is self-contained."""

import re
from html.parser import HTMLParser
from pathlib import Path


class Loads(HTMLParser):
    """The addresses that a page loads, and how many videos and images it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.seen: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] = self.seen.get(tag, 0) + 1
        names = (
            ("src", "srcset", "poster", "data")
            if tag == "a"
            else ("src", "srcset", "poster", "data", "href")
        )
        self.fetched += [
            value
            for name, value in attrs
            if name in names and value and not value.startswith("#")
        ]


def self_contained(path: Path) -> dict[str, int]:
    """Check that a page is self-contained, and count its elements."""
    text = path.read_text(encoding="utf-8")
    page = Loads()
    page.feed(text)
    assert page.fetched
    assert all(value.startswith("data:") for value in page.fetched), [
        v[:60] for v in page.fetched if v[:5] != "data:"
    ]
    style = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "@import" not in style
    assert not re.search(r"url\((?!['\"]?data:)", style)
    return page.seen
