"""The report page is complete, self-contained and safe for any class names; plots show the given
numbers.
"""

import base64
import hashlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.cbook import STEP_LOOKUP_MAP
from pages import self_contained

from onlooker.base.alarm_curve import AlarmCurve
from onlooker.report.page import Page, Table
from onlooker.report.plots import found_by_alarms, loss_and_accuracy, to_svg

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(40))
MP4 = b"\x00\x00\x00\x18ftypisom" + bytes(range(256))
EVIL = '<script>alert("1")</script>\'"&'


class Outline(HTMLParser):
    """Collects tags, their attributes, and their text; fails where tags do not close in order."""

    VOID = ("meta", "img", "br")

    def __init__(self, page):
        super().__init__()
        self.open = []
        self.tags = []
        self.words = {}
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.words.setdefault(self.open[-1], []).append(data)

    def every(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def written(page, tmp_path):
    return page.write(tmp_path / "report.html").read_text(encoding="utf-8")


def drawn():
    return loss_and_accuracy({"a & b": {"loss": [0.4]}, "<c>": {"loss": [0.6]}})


def full_page():
    page = Page("Gestures", "one model")
    page.figures([("92.0 %", "of the clips right", "95 % interval 88 – 95 %")])
    page.heading("Clips").clips(
        [(MP4, "first\nsecond line", "right"), (MP4, "other", "wrong"), (MP4, "plain", None)]
    )
    page.heading("Figures").figure(PNG, "a picture").figure(drawn(), "a drawing", wide=True)
    page.heading("Numbers").table(
        [["walk", 3, 0.5], ["run", 4, None]], ["class", "clips", "accuracy"], "a note"
    )
    page.text(
        "One **bold** `code` and *soft* [link](https://example.org/?a=1&b=2).\n\n- first\n- second"
    )
    with page.details("More"):
        page.text("folded away")
    return page


def test_the_page_is_complete_and_self_contained(tmp_path):
    page = written(full_page(), tmp_path)
    assert self_contained(tmp_path / "report.html")["video"] == 3
    outline = Outline(page)
    policy = next(a["content"] for a in outline.every("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    # The only script that may run is the page's own, named by its hash.
    script = re.search(r"<script>(.*?)</script>", page, re.S).group(1)
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_embedded_clips_and_images_are_unchanged(tmp_path):
    outline = Outline(written(full_page(), tmp_path))
    videos = outline.every("video")
    assert len(videos) == 3
    for video in videos:
        assert {"autoplay", "loop", "muted", "playsinline", "controls"} <= video.keys()
        assert base64.b64decode(video["src"].removeprefix("data:video/mp4;base64,")) == MP4
    png, svg = (image["src"] for image in outline.every("img"))
    assert base64.b64decode(png.removeprefix("data:image/png;base64,")) == PNG
    content = base64.b64decode(svg.removeprefix("data:image/svg+xml;base64,")).decode()
    assert content == to_svg(drawn())
    assert [a["class"].split() for a in outline.every("figure")][:3] == [
        ["clip", "right"],
        ["clip", "wrong"],
        ["clip"],
    ]
    assert outline.words["span"][0] == "✓ correct"
    assert "✗ mistake" in outline.words["span"]


def test_text_of_users_is_escaped(tmp_path):
    page = Page(EVIL, EVIL).heading(EVIL).text(EVIL).figures([(EVIL, EVIL, EVIL)])
    page.table([[EVIL]], [EVIL], EVIL).figure(PNG, EVIL).clips([(MP4, EVIL, "wrong")])
    page.text(f"[{EVIL}](https://a.org/{EVIL}) `{EVIL}` **{EVIL}** [x](javascript:alert(1))")
    with page.details(EVIL):
        page.text(EVIL)
    outline = Outline(written(page, tmp_path))
    assert len(outline.every("script")) == 1
    assert not any(
        name.startswith("on") for _, attributes in outline.tags for name in attributes
    )
    assert all(a["href"].startswith("https://") for a in outline.every("a"))
    assert outline.words["h1"] == [EVIL]
    assert outline.words["td"] == [EVIL]
    assert outline.every("img")[0]["alt"] == EVIL


def test_a_cell_of_the_confusion_matrix_links_to_its_clips(tmp_path):
    clips = {(0, 0): ["a/1.mp4"], (0, 1): [EVIL] * 102}
    page = Page("t").confusion([[1, 102], [0, 3]], [EVIL, "walk"], clips)
    outline = Outline(written(page, tmp_path))
    links = [a["href"] for a in outline.every("a")]
    lists = [a["id"] for a in outline.every("div") if "cell" in a.get("class", "")]
    assert lists == ["cell-0-0", "cell-0-1"]
    assert [link for link in links if "cell" in link] == [f"#{name}" for name in lists]
    assert [word for word in outline.words["a"] if word.isdigit()] == ["1", "102"]
    assert "3" in outline.words["td"]  # without a list
    assert outline.words["li"] == ["a/1.mp4", *[EVIL] * 100, "and 2 more"]
    assert [a.get("class") for a in outline.every("td")] == ["right", "wrong", None, "right"]
    assert "upright" not in outline.every("div")[0]["class"]
    many = Outline(written(Page("t").confusion([[1] * 14] * 14, ["a"] * 14, {}), tmp_path))
    assert "upright" in many.every("div")[0]["class"]


def test_numbers_are_right_aligned_and_missing_values_are_dashes(tmp_path):
    rows = [["walk", 12345, 0.123456, "93.5 % ± 2"], ["2 people", 4, None, "< 1.5 ms"]]
    outline = Outline(
        written(Page("t").table(rows, ["class", "clips", "share", "interval"]), tmp_path)
    )
    assert [a.get("class") for a in outline.every("th")] == [None, "n", "n", "n"]
    assert outline.words["td"][:3] == ["walk", "12\u202f345", "0.1235"]
    assert outline.words["td"][6] == "–"


def test_rows_of_another_length_are_an_error():
    with pytest.raises(ValueError, match="a row has 1 cells for 2 columns"):
        Page("t").table([["a"]], ["b", "c"])


def test_a_table_in_markdown():
    table = Table(["class", "clips"], [["a|b", 12345], ["[red]c[/red]", None]], "a note")
    lines = "| class | clips |\n| --- | ---: |\n| a\\|b | 12\u202f345 |\n| [red]c[/red] | – |\n\na note\n"
    assert table.markdown() == lines


CURVES = {
    "training": {"loss": [2.0, 1.0, 0.5], "accuracy": [0.2, 0.6, 0.9]},
    "validation": {"loss": [2.1, np.nan, 0.9], "accuracy": [0.2, 0.5, 0.7]},
}


def test_learning_curves_are_drawn_over_epochs_from_one():
    loss, accuracy = loss_and_accuracy(CURVES).axes
    for panel, measure in ((loss, "loss"), (accuracy, "accuracy")):
        for line, name in zip(panel.lines, ("training", "validation"), strict=True):
            assert line.get_label() == name
            assert line.get_xdata().tolist() == [1, 2, 3]
            np.testing.assert_array_equal(line.get_ydata(), CURVES[name][measure])
    assert accuracy.get_ylim()[0] == 0
    assert accuracy.get_ylim()[1] >= 1


def test_files_are_svg():
    assert ET.fromstring(to_svg(drawn())).tag == "{http://www.w3.org/2000/svg}svg"
    assert to_svg(drawn()) == to_svg(drawn())


def test_drawing_needs_no_pyplot_and_importing_no_matplotlib():
    program = (
        "import sys; from onlooker.report import plots as curves; assert 'matplotlib' not in sys.modules;"
        "curves.to_svg(curves.loss_and_accuracy({'a': {'loss': [1]}})); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_events_found_at_a_rate_are_those_of_the_next_lower_rate():
    curve = AlarmCurve(
        [0.2, 0.5, 0.9], [0.9, 0.7, 0.1], [0.0] * 3, [9.0, 3.0, 0.0], 0.0, 1.0, []
    )
    (line,) = found_by_alarms(curve, 6.0).axes[0].lines
    rates, found = STEP_LOOKUP_MAP[line.get_drawstyle()](*line.get_data())
    for rate in (8.9, 5.0, 3.1):
        assert (
            np.interp(rate, rates[::-1], found[::-1])
            == curve.recall[curve.operating_point(rate)]
            == 0.7
        )
    assert np.interp(2.0, rates[::-1], found[::-1]) == 0.1
    assert np.interp(15.0, rates[::-1], found[::-1]) == 0.9, "to the end of the axis"


def test_the_description_of_an_image_is_its_caption_without_markdown(tmp_path):
    page = Page("images").figure(PNG, r"**a\_b.mp4**: *wave*").write(tmp_path / "page.html")
    assert 'alt="a_b.mp4: wave"' in page.read_text(encoding="utf-8")
