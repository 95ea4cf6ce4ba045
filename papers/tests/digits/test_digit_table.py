"""The chart of table I shows the numbers it was given, each in its place, and what is missing stays missing."""

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from matplotlib.text import Text

from onlooker.drawing.plots import to_svg
from onlooker_papers.digits.augmented_mnist import VARIANTS
from onlooker_papers.digits.table import MARKS, accuracies


def table():
    return {
        "LeNet-LSTM": {
            "scale": {"published": 0.9628, "same-videos": 0.97, "new": 0.02},
            "normal": {"published": 0.9796, "same-videos": 1.0, "new": None},
        },
        "STN-LSTM": {"normal": {"same-videos": 0.5}},
    }


def marks(axes):
    return {(round(line.get_xdata()[0]), line.get_label()): line.get_ydata()[0] for line in axes.lines}


def test_every_mark_stands_in_its_panel_and_group_at_its_height():
    first, second = accuracies(table()).axes
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("LeNet-LSTM", "STN-LSTM")
    # Variants stand in the order of the paper, whatever the order in which they were given.
    assert [label.get_text() for label in second.get_xticklabels()] == ["normal", "scale"]
    assert marks(first) == {
        (0, "published"): 0.9796,
        (0, "same-videos"): 1.0,
        (1, "published"): 0.9628,
        (1, "same-videos"): 0.97,
        (1, "new"): 0.02,
    }
    assert marks(second) == {(0, "same-videos"): 0.5}


def test_a_reading_has_its_own_place_and_color_in_all_groups():
    panels = accuracies(table()).axes
    looks = {(round(x - round(x), 6), line.get_color()) for axes in panels for line in axes.lines
             if line.get_label() == "same-videos" for x in line.get_xdata()}  # fmt: skip
    assert len(looks) == 1
    full = accuracies({"m": {v: dict.fromkeys(MARKS, 0.5) for v in VARIANTS}}).axes[0]
    assert len({line.get_color() for line in full.lines}) == len(MARKS)
    steps = [b.get_xdata()[0] - a.get_xdata()[0] for a, b in pairwise(full.lines)]
    within = [step for k, step in enumerate(steps, 1) if k % len(MARKS)]
    assert min(within) > 0
    assert min(steps[len(MARKS) - 1 :: len(MARKS)]) > 1.5 * max(within), "groups stand apart"


def test_numbers_stand_above_their_marks_and_a_group_without_any_has_a_dash():
    first, second = accuracies(table()).axes
    assert [text.get_text() for text in first.texts] == ["98.0", "100", "96.3", "97.0", "2.0"]
    assert [text.get_text() for text in second.texts] == ["50.0", "–"]
    assert second.texts[-1].get_position()[0] == 1


def test_the_published_value_is_a_line_through_its_group():
    first, second = accuracies(table()).axes
    level = [c.get_segments()[0] for c in first.collections if len({y for _, y in c.get_segments()[0]}) == 1]
    assert [segment[0][1] for segment in level] == [0.9796, 0.9628]
    assert all(right[0] - left[0] == pytest.approx(0.72) for left, right in level)
    assert all(c.get_segments()[0][0][1] == 0 for c in second.collections)


def test_the_legend_names_what_is_drawn_once_in_the_papers_order():
    (legend,) = accuracies(table()).legends
    assert [text.get_text() for text in legend.get_texts()] == ["published", "same-videos", "new"]


def test_words_do_not_touch_each_other_in_a_full_table():
    shares = {name: {"published": 0.9796, "same-videos": 0.98} for name in VARIANTS}
    shares["gesture"] = dict.fromkeys(MARKS, 0.9996)
    shares["normal"] = dict.fromkeys(MARKS, 0.88)
    figure = accuracies(dict.fromkeys(("LeNet-LSTM", "STN-LSTM", "DCN-LSTM"), shares))
    figure.draw_without_rendering()
    for axes in figure.axes:
        words = [text.get_window_extent() for text in axes.findobj(Text) if text.get_text() and text.get_visible()]
        overlaps = [(a, b) for i, a in enumerate(words) for b in words[:i] if a.overlaps(b)]
        assert not overlaps


def test_it_is_the_same_svg_every_time():
    drawn = to_svg(accuracies(table()))
    assert ET.fromstring(drawn).tag.endswith("svg")
    assert drawn == to_svg(accuracies(table()))


def test_wrong_tables_are_errors():
    with pytest.raises(ValueError, match=r"LeNet-LSTM, normal, new: 97\.96 is no share, expected 0 to 1"):
        accuracies({"LeNet-LSTM": {"normal": {"new": 97.96}}})
    with pytest.raises(ValueError, match="nan is no share"):
        accuracies({"LeNet-LSTM": {"normal": {"new": float("nan")}}})
    with pytest.raises(ValueError, match="'shear', 'new'; expected a variant of normal, rotation"):
        accuracies({"LeNet-LSTM": {"shear": {"new": 0.5}}})
    with pytest.raises(ValueError, match=r"'normal', 'old'; expected .* a reading of published, same-videos"):
        accuracies({"LeNet-LSTM": {"normal": {"old": 0.5}}})
    with pytest.raises(ValueError, match="no accuracies given"):
        accuracies({"LeNet-LSTM": {"normal": {"new": None}}})
    with pytest.raises(ValueError, match="no accuracies given"):
        accuracies({})
