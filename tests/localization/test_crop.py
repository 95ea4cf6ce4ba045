"""The crop: a calm, causal square around what acts."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from onlooker.base.records import Pixels
from onlooker.localization.crop import Crop, Follower, jittered, next_crop, to_frame

H, W = 240, 320
WHOLE = Crop(0, 0, right=W, bottom=H)
RATE = 8.0
Figure = tuple[float, float, int, int]  # left, top, width and height
_RANDOM = np.random.default_rng(0)
_BACKGROUND = np.kron(
    _RANDOM.integers(60, 190, (H // 8 + 20, W // 8 + 20, 3)), np.ones((8, 8, 1))
)
_TEXTURE = np.kron(_RANDOM.integers(0, 256, (40, 40, 3)), np.ones((4, 4, 1)))


def scene(
    *figures: Figure, noise: float = 2.0, pan: float = 0.0, seed: int = 0, brighter: int = 0
) -> Pixels:
    shift = round(pan)
    frame = _BACKGROUND[:H, shift : shift + W].copy()
    for x, y, w, h in figures:
        left, top = round(x), round(y)
        frame[top : top + h, left : left + w] = _TEXTURE[:h, :w]
    frame += np.random.default_rng(seed).normal(0, noise, frame.shape) + brighter
    return frame.clip(0, 255).astype(np.uint8)


def waving(t: int, at: tuple[int, int] = (200, 120), side: int = 30) -> Figure:
    return (at[0] + 6 * np.sin(t), at[1] + 6 * np.cos(1.7 * t), side, side)


def video(make: Callable[[int], Pixels], count: int = 48) -> list[tuple[float, Pixels]]:
    return [(t / RATE, make(t)) for t in range(count)]


def crops(frames: Sequence[tuple[float, Pixels]], *, ahead: bool = False) -> list[Crop]:
    follower = Follower(ahead=ahead)
    known = [follower.add(t, time, frame) for t, (time, frame) in enumerate(frames)]
    known.append(follower.finish())
    assert [t for rows in known for t, *_ in rows] == [*range(len(frames))]
    return [crop for rows in known for *_, crop in rows]


def holds(crop: Crop, figure: Figure) -> bool:
    x, y, w, h = figure
    return crop.left <= x and crop.top <= y and x + w <= crop.right and y + h <= crop.bottom


def test_it_is_around_what_acts_and_calm() -> None:
    out = crops(video(lambda t: scene(waving(t), seed=t)))
    assert out[0] == WHOLE, "nothing has moved"
    assert all(holds(crop, waving(0)) for crop in out)
    settled = out[8:]
    assert all(0.02 < (c.right - c.left) * (c.bottom - c.top) / (W * H) < 0.2 for c in settled)
    assert len({*settled}) <= 2, "it moves only when it is off"


def test_it_is_causal() -> None:
    frames = video(lambda t: scene(waving(t), seed=t), 30)
    other = [*frames[:20], *video(lambda t: scene(waving(t, (30, 30)), seed=t), 10)]
    assert crops(frames)[:20] == crops(other)[:20]


def test_a_clip_begins_with_the_square_of_its_first_moments() -> None:
    frames = video(lambda t: scene(waving(t), seed=t))
    out = crops(frames, ahead=True)
    assert len(out) == len(frames)
    assert len({*out[:12]}) == 1
    assert out[0] != WHOLE
    assert out[12:] == crops(frames)[12:], "afterwards, as in a stream"


def test_noise_and_still_footage_keep_the_last_square() -> None:
    assert {*crops(video(lambda t: scene(seed=t, noise=6)))} == {WHOLE}
    stops = video(lambda t: scene(waving(min(t, 24)), seed=t), 120)
    out = crops(stops)
    assert len({*out[30:]}) == 1
    assert holds(out[-1], waving(24))
    assert out[-1] != WHOLE


def test_it_follows_an_actor_who_goes_elsewhere() -> None:
    def at(t: int) -> Figure:
        return waving(t, (200, 120) if t < 32 else (40, 60))

    out = crops(video(lambda t: scene(at(t), seed=t), 96))
    assert holds(out[30], at(30))
    assert holds(out[-1], at(95))
    assert not holds(out[-1], at(0))
    assert all(holds(crop, at(t)) for t, crop in enumerate(out) if t > 32 + 3 * RATE)


@pytest.mark.parametrize("pan", [0.0, 1.5])
def test_the_motion_of_the_camera_does_not_count(pan: float) -> None:
    frames = video(lambda t: scene(waving(t), seed=t, pan=pan * t), 48)
    out = crops(frames)
    assert all(holds(crop, waving(0)) for crop in out)
    assert (out[-1].right - out[-1].left) < 0.5 * W


def test_a_flash_does_not_count() -> None:
    def make(t: int) -> Pixels:
        return scene(waving(t), seed=t, brighter=80 if t == 30 else 0)

    calm = crops(video(lambda t: scene(waving(t), seed=t)))
    assert crops(video(make))[30:] == calm[30:]


def test_two_actors_are_both_in_it_or_the_frame_is_whole() -> None:
    def near(t: int) -> tuple[Figure, Figure]:
        return waving(t, (60, 100)), waving(t + 1, (160, 110))

    def far(t: int) -> tuple[Figure, Figure]:
        return waving(t, (10, 20)), waving(t + 1, (270, 190))

    out = crops(video(lambda t: scene(*near(t), seed=t)))[16:]
    assert all(holds(crop, figure) for crop in out for figure in near(0))
    assert all(
        (crop.right - crop.left) * (crop.bottom - crop.top) < 0.7 * W * H for crop in out
    )
    assert {*crops(video(lambda t: scene(*far(t), seed=t)))[16:]} == {WHOLE}


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 301, 3), (64, 64, 1), (31, 17, 3)])
def test_small_and_odd_frames_are_whole(shape: tuple[int, ...]) -> None:
    frames = [
        (t / RATE, np.random.default_rng(t).integers(0, 256, shape, np.uint8)) for t in range(6)
    ]
    out = crops(frames)
    assert {*out} == {Crop(0, 0, right=shape[1], bottom=shape[0])}
    assert out[0].of(frames[0][1]).shape == shape


def test_a_clip_of_one_frame_is_whole_and_another_size_begins_again() -> None:
    assert crops([(0.0, scene(waving(0)))], ahead=True) == [WHOLE]
    memory, _ = next_crop(None, scene(waving(0)), 0.0)
    for t in range(1, 20):
        memory, crop = next_crop(memory, scene(waving(t), seed=t), t / RATE)
    assert crop != WHOLE
    _, crop = next_crop(memory, scene(waving(20))[:200], 20 / RATE)
    assert crop == Crop(0, 0, right=W, bottom=200)


def test_its_memory_stays_small() -> None:
    memory = None
    for t in range(200):
        memory, _ = next_crop(memory, scene(waving(t), seed=t), t / RATE)
    assert memory is not None
    assert memory.recent.nbytes < 4000
    assert memory.boxes.motion.last.nbytes == 160 * 120


def test_copies_have_other_crops_of_the_same_place() -> None:
    crop = Crop(100, 60, right=180, bottom=140)
    copies = [jittered(crop, (H, W), name="a.mp4", number=number) for number in (1, 2)]
    assert copies == [jittered(crop, (H, W), name="a.mp4", number=number) for number in (1, 2)]
    sides = [copy.right - copy.left for copy in copies]
    assert 0.85 * 80 - 1 <= sides[0] <= 1.1 * 80 + 1 <= 1.4 * 80
    assert sides[0] <= sides[1] <= 1.4 * 80 + 1
    for copy in copies:
        assert abs((copy.left + copy.right) / 2 - 140) <= 0.08 * 80 + 1
    assert jittered(crop, (H, W), name="b.mp4", number=1) != copies[0]
    assert jittered(WHOLE, (H, W), name="a.mp4", number=2) == WHOLE


def test_places_of_a_crop_are_in_the_frame() -> None:
    values = np.random.default_rng(0).random((7, 7))
    heat = to_frame(values, (160, 0, 320, 120), (H, W))
    assert heat.shape == (30, 40)
    assert heat.sum() == pytest.approx(values.sum(), rel=1e-5)
    assert heat[15:].sum() == heat[:, :20].sum() == 0
    peak = np.zeros((7, 7))
    peak[0, 6] = 1
    row, column = np.unravel_index(
        to_frame(peak, (160, 0, 320, 120), (H, W)).argmax(), (30, 40)
    )
    assert row < 3
    assert column > 36
    whole = to_frame(values, WHOLE, (H, W))
    assert whole.sum() == pytest.approx(values.sum(), rel=1e-5)
