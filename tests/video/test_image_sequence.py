"""Folders of numbered images as clips."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from clips import make_images, paint, painted_numbers, touch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image

from onlooker.base.records import ClipError
from onlooker.video.image_sequence import ImageSequence, find_images, left_out_images
from onlooker.video.reader import VideoReader, is_video, read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_images(tmp_path, ["cover.png", *(f"frame_{number}.png" for number in range(1, 13))])
    (tmp_path / "recordings.csv").write_text("not a picture")
    return tmp_path


def test_natural_order_and_exact_pixels(folder: Path) -> None:
    frames = read(folder, 12)
    np.testing.assert_array_equal(frames.pixels, [paint(n) for n in range(1, 13)])
    assert frames.indices.tolist() == list(range(12))
    assert frames.times == pytest.approx(np.arange(12) / 25)
    numbers, _, pixels = zip(*VideoReader(folder), strict=True)
    assert numbers == tuple(range(12))
    assert painted_numbers(pixels) == list(range(1, 13))
    assert read(folder, 15).indices.tolist() == [*range(12), 11, 11, 11]


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("12", 12),
        ("29.97\n", 29.97),
        ("frame_rate 5\n", 5),
        ("frame_rate: 5", 5),
        ("frame_rate = 5", 5),
    ],
)
@pytest.mark.parametrize("above", [0, 2])
def test_a_file_says_the_frame_rate(tmp_path: Path, text: str, rate: float, above: int) -> None:
    clip = make_images(tmp_path.joinpath(*"ab"[:above]), ["1.png", "2.png"])
    (tmp_path / "frame_rate.txt").write_text(text)
    reader = VideoReader(clip)
    assert reader.times == pytest.approx([0, 1 / rate])
    assert [seconds for _, seconds, _ in reader] == pytest.approx([0, 1 / rate])
    assert not reader.timing.assumes_rate


def test_an_unknown_frame_rate_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for safe in ("0", "1"):
        monkeypatch.setenv("ONLOOKER_SAFE", safe)
        reader = VideoReader(folder)
        assert (reader.times[1], reader.timing.assumes_rate) == (1 / 25, True)
    (folder / "frame_rate.txt").write_text("12")
    assert VideoReader(f"{folder}#t=0,0.5").get([2]).times == pytest.approx([2 / 12])
    (folder / "frame_rate.txt").write_text("fast")
    with pytest.raises(
        ClipError,
        match=r"frame_rate\.txt says 'fast'; write frames per second into it, such as 12.5",
    ):
        read(folder, 1)


NO_IMAGE = (
    r"frame_5\.png cannot be read as an image \(JPEG, PNG, BMP, TIFF\); save it again, or"
)
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.write_bytes(b""), NO_IMAGE),
        (lambda file: file.write_bytes(file.read_bytes()[:60]), NO_IMAGE),
        (lambda file: file.write_bytes(POSTSCRIPT), NO_IMAGE),
        (
            lambda file: Image.fromarray(paint(5, (128, 96))).save(file),
            r"frame_5\.png has 128x96 pixels, and frame_1\.png 64x48; all images of a clip",
        ),
        (
            lambda file: Image.new("L", (17_000, 10)).save(file),
            r"frames of 17000x10 pixels claimed; at most 16384 per side",
        ),
    ],
    ids=["empty", "cut off", "a program for Ghostscript", "of another size", "too large"],
)
def test_an_image_that_cannot_be_used_is_an_error_of_the_clip_unless_it_is_not_looked_at(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], object],
    message: str,
) -> None:
    ghostscript = Mock()
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", ghostscript)
    spoil(folder / "frame_5.png")
    for reading in (lambda: read(folder, 12), lambda: list(VideoReader(folder))):
        with pytest.raises(ClipError, match=message) as error:
            reading()
        assert error.value.path == folder  # by which clips that are left out are known
    assert not ghostscript.called, "a file is never passed to another program"
    assert len(read(folder, 3)) == 3


@pytest.mark.parametrize("suffix", ["png", "tif", "TIFF"])
def test_sixteen_bits_that_are_used_are_scaled_to_eight(tmp_path: Path, suffix: str) -> None:
    # the brightest pixel is not white, and does not become it
    gray = np.minimum(paint(9)[..., 0], 200).astype(np.uint16)
    Image.fromarray(gray * 257).save(tmp_path / f"1.{suffix}")
    assert (read(tmp_path, 1).pixels == gray[None, :, :, None]).all()


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_rotated_gray_tiffs_become_upright(tmp_path: Path, kind: str) -> None:
    gray = paint(9)[..., 0].astype(kind)
    turned = np.rot90(gray * (np.iinfo(kind).max // 255))
    Image.fromarray(turned).save(tmp_path / "1.tif", tiffinfo={0x0112: 6})
    assert (read(tmp_path, 1).pixels == gray[None, :, :, None]).all()


def test_color_of_sixteen_bits_and_transparency(tmp_path: Path) -> None:
    color = paint(3)
    cv2.imwrite(str(tmp_path / "1.png"), color[..., ::-1].astype(np.uint16) * 257)
    clear = np.full((*color.shape[:2], 1), 7, np.uint8)
    Image.fromarray(np.concatenate([color, clear], -1)).save(tmp_path / "2.png")
    assert (read(tmp_path, 2).pixels == color).all()


def test_a_folder_that_cannot_be_read_is_a_clip_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # root, who may run the tests, may read every folder
    monkeypatch.setattr(
        Path, "iterdir", Mock(side_effect=PermissionError(13, "Permission denied"))
    )
    with pytest.raises(
        ClipError,
        match=r"cannot be read \(permission denied\); check the path, its permissions",
    ):
        ImageSequence(tmp_path).images  # noqa: B018


@pytest.mark.parametrize(
    "names",
    [
        [
            "1305031102.175304.png",
            "1305031102.211214.png",
            "1305031102.9.png",
            "1305031103.009999.png",
        ],
        [
            "2019-07-01_06-59-58.jpg",
            "2019-07-01_06-59-59.jpg",
            "2019-07-01_07-00-00.jpg",
            "2019-07-01_07-00-58.jpg",
        ],
        ["20230101_120000_900.png", "20230101_120000_950.png", "20230101_120001_900.png"],
        ["vlcsnap-2020-01-01-12h30m15s123.png", "vlcsnap-2020-01-01-12h31m15s123.png"],
        ["00-09-58.500.png", "00-10-01.500.png", "00-10-58.500.png"],
        ["0107_100759-09-m.png", "0107_100800-00-m.png", "0107_100800-01-m.png"],
        ["0009_rgb.png", "0010_rgb.png", "0100_rgb.png"],
        ["frame0009-left.jpg", "frame0010-left.jpg"],
        ["shot (9).png", "shot (10).png", "shot (11).png"],
        ["IMG_9.PNG", "IMG_10.PNG", "img_11.png"],
        ["frame_0001_t0.033.png", "frame_0002_t0.067.png"],
        ["scene1_0001.png", "scene1_0002.png", "scene2_0003.png"],
    ],
)
def test_images_are_in_the_natural_order_of_their_whole_names(
    tmp_path: Path, names: list[str]
) -> None:
    assert [path.name for path in find_images(make_images(tmp_path, names))] == names
    assert not left_out_images(tmp_path)


@settings(max_examples=60, deadline=None)
@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)),
    st.sampled_from(["%m%d_%H%M%S", "%Y%m%d%H%M%S", "01-%Y%m%d%H%M%S", "%y%m%d-%H%M%S"]),
    st.sampled_from(["{}-{:02}{}", "{}_{:03}{}"]),
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
    st.sampled_from(["", "-m"]),
)
def test_names_that_count_seconds_and_frames_are_one_clip(
    begin: datetime, second: str, pattern: str, counts: list[int], end: str
) -> None:
    """As Motion names its pictures, whatever the number of frames in each second."""
    begin = begin.replace(month=7, day=1, hour=23)  # text and time have one order
    names = [
        pattern.format((begin + timedelta(seconds=after)).strftime(second), frame, f"{end}.png")
        for after, count in enumerate(counts)
        for frame in range(count)
    ]
    with TemporaryDirectory() as folder:
        touch(Path(folder), *names, *(f"{name[:-4]}m.png" for name in names if not end))
        assert [path.name for path in find_images(Path(folder))] == names


@pytest.mark.parametrize(
    ("patterns", "series"),
    [
        (["cam0_{:03}.png", "cam1_{:03}.png"], r"cam0_\* \(3\), cam1_\* \(3\)"),
        (["{:03}_left.png", "{:03}_right.png"], r"\*_left \(3\), \*_right \(3\)"),
        (["{:03}_1.png", "{:03}_2.png"], r"\*_1 \(3\), \*_2 \(3\)"),
        (["{:03}.jpg", "{:03}.png"], r"\*\.jpg \(3\), \*\.png \(3\)"),
        (
            ["20230101_12000{}_cam0.png", "20230101_12000{}_cam1.png"],
            r"\*_cam0 \(3\), \*_cam1 \(3\)",
        ),
        (["flow_x_{:05}.png", "flow_y_{:05}.png"], r"flow_x_\* \(3\), flow_y_\* \(3\)"),
    ],
)
def test_several_series_in_a_folder_are_refused_by_name(
    tmp_path: Path, patterns: list[str], series: str
) -> None:
    make_images(
        tmp_path, [pattern.format(number) for number in range(3) for pattern in patterns]
    )
    assert is_video(tmp_path)  # which says why it cannot be read
    with pytest.raises(
        ClipError, match=rf"images of 2 series: {series}; give each series a folder of its own"
    ):
        read(tmp_path, 1)


def test_flow_depth_copies_and_single_images_are_left_out_of_the_scene(tmp_path: Path) -> None:
    images = [f"img_{number:05}.png" for number in range(4)]
    others = [
        name.replace("img", kind) for name in images for kind in ("flow_x", "flow_y", "depth")
    ]
    others += ["img_00002 (1).png", "cover.png", "title2.png"]
    make_images(tmp_path, [*images, *others])
    assert painted_numbers(pixels for _, _, pixels in VideoReader(tmp_path)) == [0, 1, 2, 3]
    assert {path.name for path in left_out_images(tmp_path)} == {*others}


@pytest.mark.parametrize(
    ("orientation", "first_row", "first_column"),
    [  # of the stored image, by the side at which it is shown: table of the EXIF standard
        (1, "top", "left"),
        (2, "top", "right"),
        (3, "bottom", "right"),
        (4, "bottom", "left"),
        (5, "left", "top"),
        (6, "right", "top"),
        (7, "right", "bottom"),
        (8, "left", "bottom"),
    ],
)
def test_all_eight_orientations_of_exif(
    tmp_path: Path, orientation: int, first_row: str, first_column: str
) -> None:
    upright = paint(9)
    rows, columns = (
        -1 if side in ("bottom", "right") else 1 for side in (first_row, first_column)
    )
    stored = upright.swapaxes(0, 1) if first_row in ("left", "right") else upright
    image = Image.fromarray(np.ascontiguousarray(stored[::rows, ::columns]))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "1.png", exif=exif)
    assert (read(tmp_path, 1).pixels == upright).all()
