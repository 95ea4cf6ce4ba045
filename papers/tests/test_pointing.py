"""Whether attention and windows point at objects: equal to a loop, and in degenerate cases."""

import numpy as np

from onlooker_papers.pointing import boxes_with_a_window, peak_in_box


def test_peak_in_box_equals_a_loop():
    rng = np.random.default_rng(3)
    attention = rng.random((2, 40, 5, 9))
    corners = np.sort(rng.uniform(0, 1, (2, 40, 2, 2)), axis=2) * [180, 144]
    boxes = corners.reshape(2, 40, 4)
    expected = np.zeros((2, 40))
    for b, t in np.ndindex(2, 40):
        row, column = divmod(int(attention[b, t].argmax()), 9)
        x = (column + 0.5) * 180 / 9
        y = (row + 0.5) * 144 / 5
        x1, y1, x2, y2 = boxes[b, t]
        expected[b, t] = x1 <= x <= x2 and y1 <= y <= y2
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(peak_in_box(attention, boxes, (144, 180)), expected)


def test_a_uniform_map_scores_as_a_random_cell():
    boxes = np.array([[[0, 0, 50, 100.0], [0, 0, 20, 20], [0, 0, 100, 100]]])
    flat = np.full((1, 3, 4, 4), 1 / 16, np.float32)
    np.testing.assert_allclose(peak_in_box(flat, boxes, (100, 100)), [[0.5, 1 / 16, 1]])


def seen_through(x, y, width, height, angle=0.0, size=(100, 200)):
    """The affine window of the given center, width, height and rotation, in pixels."""
    cos = np.cos(angle)
    sin = np.sin(angle)
    to_share = np.diag([2 / size[1], 2 / size[0]])
    turned = to_share @ np.array([[cos, -sin], [sin, cos]]) @ np.diag([width / 2, height / 2])
    return np.column_stack((turned, to_share @ [x, y] - 1))


def test_a_window_hits_a_box_if_each_contains_the_center_of_the_other():
    box = [40, 20, 80, 60]  # middle (60, 40)
    cases = [
        (seen_through(60, 40, 2, 2), 1),  # inside it
        (seen_through(60, 40, 150, 90), 1),  # around it
        (seen_through(45, 25, 40, 40), 1),
        (seen_through(45, 25, 20, 40), 0),  # too narrow to hold the box's middle
        (seen_through(85, 40, 60, 40), 0),  # its own middle is outside
        (seen_through(60, 40, 0, 0), 0),
        # The box's middle is 14 away along the diagonal: in a long window that lies along it, not
        # in one across.
        (seen_through(50, 30, 40, 4, np.pi / 4), 1),
        (seen_through(50, 30, 40, 4, -np.pi / 4), 0),
        (seen_through(60, 40, 20, 20) * [-1, 1, 1], 1),  # mirrored
    ]
    windows = np.stack([window for window, _ in cases])[None, :, None]
    boxes = np.tile(np.array(box, float), (1, len(cases), 1, 1))
    found = boxes_with_a_window(windows, boxes, (100, 200))
    np.testing.assert_array_equal(found[0], [on for _, on in cases])


def test_each_box_needs_a_separate_window():
    left = [0, 0, 40, 40]
    right = [20, 0, 60, 40]
    absent = [np.nan] * 4
    on_both = seen_through(30, 20, 40, 40)
    on_left = seen_through(10, 20, 30, 30)
    nowhere = seen_through(150, 80, 30, 30)
    cases = [
        # the first could take either, the second only the left one
        ([on_both, on_left], [left, right], 1),
        ([on_left, on_both], [left, right], 1),
        ([on_both, nowhere], [left, right], 0.5),
        ([on_left, on_left], [left, right], 0.5),
        ([on_both, on_both], [left, right], 1),
        ([on_both, nowhere], [left, absent], 1),
        ([on_both, on_left], [absent, absent], np.nan),
    ]
    windows, boxes = (np.array([case[i] for case in cases], float)[None] for i in (0, 1))
    expected = [[share for *_, share in cases]]
    np.testing.assert_array_equal(boxes_with_a_window(windows, boxes, (100, 200)), expected)
    # More windows than boxes, and fewer.
    more = np.concatenate((np.tile(nowhere, (1, len(cases), 1, 1, 1)), windows), axis=2)
    np.testing.assert_array_equal(boxes_with_a_window(more, boxes, (100, 200)), expected)
    one = boxes_with_a_window(windows[:, :, :1], boxes, (100, 200))
    np.testing.assert_array_equal(one, [[0.5, 0.5, 0.5, 0.5, 0.5, 1, np.nan]])
