"""Plots show the given numbers, can be opened by browsers, and do not change matplotlib's global
state.
"""

import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
from matplotlib.cbook import STEP_LOOKUP_MAP

from onlooker.report.events import EventCurve
from onlooker.report.plots import found_by_alarms, loss_and_accuracy, to_svg


def curves():
    return {
        "training": {"loss": [2.0, 1.0, 0.5], "accuracy": [0.2, 0.6, 0.9]},
        "validation": {"loss": [2.1, np.nan, 0.9], "accuracy": [0.2, 0.5, 0.7]},
    }


def test_learning_curves_are_drawn_over_epochs_from_one():
    loss, accuracy = loss_and_accuracy(curves()).axes
    for panel, measure in ((loss, "loss"), (accuracy, "accuracy")):
        for line, name in zip(panel.lines, ("training", "validation"), strict=True):
            assert line.get_label() == name
            assert line.get_xdata().tolist() == [1, 2, 3]
            np.testing.assert_array_equal(line.get_ydata(), curves()[name][measure])
    assert accuracy.get_ylim()[0] == 0
    assert accuracy.get_ylim()[1] >= 1


def test_events_found_at_a_rate_are_those_of_the_next_lower_rate():
    curve = EventCurve([0.2, 0.5, 0.9], [0.9, 0.7, 0.1], [0.0] * 3, [9.0, 3.0, 0.0], 0.0, 1.0, [])
    (line,) = found_by_alarms(curve, 6.0).axes[0].lines
    rates, found = STEP_LOOKUP_MAP[line.get_drawstyle()](*line.get_data())
    for rate in (8.9, 5.0, 3.1):
        assert np.interp(rate, rates[::-1], found[::-1]) == curve.found[curve.point(rate)] == 0.7
    assert np.interp(2.0, rates[::-1], found[::-1]) == 0.1


def test_files_are_svg():
    def drawn():
        return loss_and_accuracy({"a & b": {"loss": [0.4]}, "<c>": {"loss": [0.6]}})

    assert ET.fromstring(to_svg(drawn())).tag == "{http://www.w3.org/2000/svg}svg"
    assert to_svg(drawn()) == to_svg(drawn())


def test_drawing_needs_no_pyplot_and_importing_no_matplotlib():
    program = (
        "import sys; from onlooker.report import plots as curves; assert 'matplotlib' not in sys.modules;"
        "curves.to_svg(curves.loss_and_accuracy({'a': {'loss': [1]}})); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
