"""Fingerprints: equal for copies, different for anything else."""

from pathlib import Path

from PIL import Image

from onlooker.data.split import fingerprint


def test_copies_of_a_file_are_equal_and_other_contents_differ(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # of more than one mebibyte
    variants = {
        "a.mp4": content,
        "first": b"x" + content[1:],
        "last": content[:-1] + b"x",
        "middle": content[: 1 << 20] + b"x" + content[1 + (1 << 20) :],
        "longer": content + b"x",
        "empty": b"",
    }
    for name, values in variants.items():
        (tmp_path / name).write_bytes(values)
    (tmp_path / "copy.avi").write_bytes(content)
    assert fingerprint(tmp_path / "copy.avi") == fingerprint(tmp_path / "a.mp4")
    assert len({fingerprint(tmp_path / name) for name in variants}) == len(variants)


def test_the_fingerprint_of_an_image_sequence_uses_all_images_in_order_but_not_their_names(
    tmp_path: Path,
) -> None:
    for folder, shades in (
        ("a", (1, 2, 3)),
        ("copy", (1, 2, 3)),
        ("swapped", (2, 1, 3)),
        ("shorter", (1, 2)),
    ):
        (tmp_path / folder).mkdir()
        for number, shade in enumerate(shades):
            name = f"{folder}{number}.png"
            Image.new("L", (8, 8), shade).save(tmp_path / folder / name)
    first, copy, *others = (
        fingerprint(tmp_path / folder) for folder in ("a", "copy", "swapped", "shorter")
    )
    assert first == copy
    assert first not in others
