"""Rar archives: complete folders or none, and errors that say what to install."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("rarfile", reason="the extra rar is not installed")

import rarfile
from rar5 import make_rar

from onlooker.structures import ClipError
from onlooker_papers.published_sets import rar


def test_files_of_one_suffix_are_extracted_without_their_folders(tmp_path: Path) -> None:
    content = {"wave/a.avi": b"first" * 1000, "wave/b.AVI": b"", "wave/#ä!.avi": b"third", "wave/Thumbs.db": b"x"}
    rar.unpack(make_rar(tmp_path / "wave.rar", content), tmp_path / "deep" / "wave", "*.avi")
    found = {path.name: path.read_bytes() for path in (tmp_path / "deep" / "wave").iterdir()}
    assert found == {"a.avi": b"first" * 1000, "b.AVI": b"", "#ä!.avi": b"third"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["wave"]


def test_an_existing_folder_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "wave").mkdir()
    rar.unpack(tmp_path / "missing.rar", tmp_path / "wave", "*.avi")
    assert not list((tmp_path / "wave").iterdir())


def test_names_cannot_escape_the_folder(tmp_path: Path) -> None:
    rar.unpack(make_rar(tmp_path / "a.rar", {"../../out.avi": b"x", "/etc/in.avi": b"y"}), tmp_path / "in", "*.avi")
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"out.avi", "in.avi"}


def test_two_files_of_one_name(tmp_path: Path) -> None:
    archive = make_rar(tmp_path / "a.rar", {"x/a.avi": b"x", "y/a.avi": b"y"})
    with pytest.raises(ClipError, match=r"a.rar: two files are called a.avi: x/a.avi and y/a.avi; unpack it by hand"):
        rar.unpack(archive, tmp_path / "in", "*.avi")


def test_nothing_to_unpack(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"a.rar: no \*.avi inside; download it again"):
        rar.unpack(make_rar(tmp_path / "a.rar", {"a.txt": b"x"}), tmp_path / "in", "*.avi")


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"<html>not found</html>", lambda data: data.replace(b"AAAA", b"AAAB"), lambda data: data[:-60]],
)
def test_a_damaged_archive_leaves_no_folder(tmp_path: Path, damage: object) -> None:
    archive = make_rar(tmp_path / "a.rar", {"a.avi": b"A" * 4, "b.avi": b"B" * 80})
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(ClipError, match=r"a.rar: cannot be unpacked \(.+\); download it again; where it is whole"):
        rar.unpack(archive, tmp_path / "in", "*.avi")
    assert [path.name for path in tmp_path.iterdir()] == ["a.rar"]


def test_the_package_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rarfile", None)
    expected = r"a.rar: .* package rarfile is not installed; pip install rarfile, or unpack it by hand"
    with pytest.raises(ClipError, match=expected):
        rar.unpack(make_rar(tmp_path / "a.rar", {"a.avi": b"x"}), tmp_path / "in", "*.avi")


def test_no_program_for_compressed_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise rarfile.RarCannotExec("Cannot find working tool")

    monkeypatch.setattr(rarfile.RarFile, "open", refuse)
    with pytest.raises(ClipError, match=r"a.rar: compressed, and no program .* is installed; install unar \(free\)"):
        rar.unpack(make_rar(tmp_path / "a.rar", {"a.avi": b"x"}), tmp_path / "in", "*.avi")


def test_another_process_extracts_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extract = rar.extract

    def meanwhile(content: object, member: object, target: Path) -> None:
        extract(content, member, target)
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.avi").write_bytes(b"theirs")

    monkeypatch.setattr(rar, "extract", meanwhile)
    rar.unpack(make_rar(tmp_path / "a.rar", {"a.avi": b"ours"}), tmp_path / "in", "*.avi")
    assert (tmp_path / "in" / "a.avi").read_bytes() == b"theirs"
