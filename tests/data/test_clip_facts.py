"""Facts of clips, and near-duplicates: generated copies are found, other clips of the same kind are not."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import make_clip
from numpy.typing import NDArray

from onlooker.data.clip_facts import ClipFacts, read_facts, resemblances
from onlooker.video.write import write


def scene(seed: int, T: int = 24, side: int = 96, mover: int = 20) -> NDArray[np.uint8]:
    """A background of random patches with a moving bright square, `T H W 3`."""
    chance = np.random.default_rng(seed)
    rough = chance.integers(30, 200, (8, 8, 3)).astype(np.uint8)
    background = cv2.resize(rough, (side, side), interpolation=cv2.INTER_CUBIC)
    video = np.repeat(background[None], T, 0)
    corner = chance.uniform(0, side - mover, 2)
    for frame in video:
        corner = np.clip(corner + chance.uniform(-12, 12, 2), 0, side - mover)
        x, y = corner.astype(int)
        frame[y : y + mover, x : x + mover] = 255
    return video


def facts(video: NDArray[np.uint8], path: Path) -> ClipFacts:
    write(path, video, fps=12)
    return read_facts(path)


def test_length_rate_and_size(tmp_path: Path) -> None:
    clip = read_facts(make_clip(tmp_path / "a.mp4", frames=20, size=(64, 48), fps=10))
    assert (clip.frames, clip.size) == (20, (48, 64))
    assert (clip.rate, clip.seconds) == pytest.approx((10, 2))
    assert clip.thumbnails.shape == (8, 16, 16)


def test_darkness_and_stillness(tmp_path: Path) -> None:
    video = scene(0)
    plain, dark = facts(video, tmp_path / "a.mp4"), facts(video // 8, tmp_path / "b.mp4")
    still = facts(np.repeat(video[:1], 24, 0), tmp_path / "d.mp4")
    assert dark.brightness < 50 < 150 < plain.brightness
    assert still.change < 3 < 50 < plain.change


def test_copies_are_near_duplicates_and_other_clips_are_not(tmp_path: Path) -> None:
    video = scene(0)
    cut = video[:, 2:-2, 2:-2]
    copies = {
        "again": video,
        "darker": (video * 0.7).astype(np.uint8),
        "smaller": np.stack([cv2.resize(frame, (64, 48), interpolation=cv2.INTER_AREA) for frame in video]),
        "cropped": cut,
    }
    clips = [facts(copy, tmp_path / f"{name}.mp4") for name, copy in copies.items()]
    clips += [facts(scene(seed), tmp_path / f"{seed}.mp4") for seed in range(1, 9)]
    found, similarity, motion = resemblances(clips, 0.92)
    assert {tuple(pair) for pair in found.tolist()} == {(i, j) for i in range(4) for j in range(i + 1, 4)}
    assert motion.min() > 0.9
    assert (np.diff(similarity) <= 0).all()


def test_blocks_equal_a_plain_loop() -> None:
    chance = np.random.default_rng(0)
    clips = [ClipFacts(8, 8, (16, 16), chance.normal(100, 30, (8, 16, 16)).astype(np.float32)) for _ in range(70)]
    found, similarity, _ = resemblances(clips, 0.12)
    pairs = dict(zip(map(tuple, found.tolist()), similarity.tolist(), strict=True))
    expected = {}
    for i in range(70):
        for j in range(i + 1, 70):
            corr = np.corrcoef(clips[i].thumbnails.reshape(8, -1), clips[j].thumbnails.reshape(8, -1))[:8, 8:]
            alike = min(corr.max(1).mean(), corr.max(0).mean())
            if alike >= 0.12:
                expected[i, j] = alike
    assert 0 < len(expected) < 70 * 69 / 2
    assert pairs.keys() == expected.keys()
    assert list(pairs.values()) == pytest.approx([expected[pair] for pair in pairs], abs=1e-5)


def test_uniform_frames_are_no_near_duplicates() -> None:
    black = ClipFacts(8, 8, (16, 16), np.zeros((8, 16, 16), np.float32))
    assert len(resemblances([black, black], 0.5)[0]) == 0
