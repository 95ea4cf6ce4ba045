"""Joined scenes against known recordings: pairs, F1, and what two frames of one scene are."""

import cv2
import numpy as np
import pytest

from onlooker_papers.real_clips.scenes import (
    chosen_threshold,
    f1,
    features_of,
    show_one_scene,
    together,
)


def test_pairs_and_their_f1() -> None:
    joined = together([0, 0, 1, 1])
    same = together("aaab")
    assert joined.tolist() == [True, False, False, False, False, True]
    assert same.tolist() == [True, True, False, True, False, False]
    assert f1(joined, same) == pytest.approx(2 * 1 / (2 + 3))


def test_a_moved_camera_shows_the_same_scene_and_another_place_does_not() -> None:
    images = [
        cv2.resize(
            np.random.default_rng(seed).integers(0, 255, (24, 24, 3)).astype(np.uint8), (160, 160)
        )
        for seed in range(2)
    ]
    frames = np.stack([images[0][:112, :112], images[0][20:132, 10:122], images[1][:112, :112]])
    first, moved, other = ([features] for features in features_of(frames))
    assert show_one_scene(first, moved)
    assert not show_one_scene(first, other)


def test_the_threshold_has_the_best_mean_f1() -> None:
    rows = {
        "0.5": 0.1,
        "0.55": 0.2,
        "0.6": 0.5,
        "0.65": 0.4,
        "0.7": 0.1,
        "0.75": 0,
        "0.8": 0,
        "0.85": 0,
        "0.9": 0,
    }
    other = {**rows, "0.65": 0.7}
    assert (
        chosen_threshold({"surveillance": {"f1": rows}, "ucf101_18_training": {"f1": other}})
        == 0.65
    )
