"""A minimal writer of uncompressed rar archives, version 5."""

import zlib
from collections.abc import Mapping
from pathlib import Path

_MAIN, _FILE, _END = 1, 2, 5
_HAS_DATA, _HAS_CHECKSUM, _UNIX, _MODE = 2, 4, 1, 0o100644


def make_rar(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write an archive with `files`, contents by name, all of them stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = [_block(_file(name, content), content) for name, content in files.items()]
    ends = _block(_numbers(_MAIN, 0, 0)), _block(_numbers(_END, 0, 0))
    path.write_bytes(b"".join((b"Rar!\x1a\x07\x01\x00", ends[0], *blocks, ends[1])))
    return path


def _file(name: str, content: bytes) -> bytes:
    spelled, size = name.encode(), len(content)
    head = _numbers(_FILE, _HAS_DATA, size, _HAS_CHECKSUM, size, _MODE)
    # The 0 is version, method and dictionary: method 0 stores.
    return head + zlib.crc32(content).to_bytes(4, "little") + _numbers(0, _UNIX, len(spelled)) + spelled


def _block(head: bytes, content: bytes = b"") -> bytes:
    sized = _numbers(len(head)) + head
    return zlib.crc32(sized).to_bytes(4, "little") + sized + content


def _numbers(*values: int) -> bytes:
    """Variable-length integers: little-endian groups of seven bits; the eighth bit marks that another group follows."""
    out = bytearray()
    for value in values:
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out)
