"""A `.npy` file that is written while its rows come: in the memory of a few of them, however many there will be."""

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray


def is_whole(file: Path) -> bool:
    """Whether there is a `.npy` file, as long as it says; its numbers are not looked at."""
    try:
        np.load(file, mmap_mode="r")
    except (FileNotFoundError, ValueError, EOFError):
        return False
    return True


class ArrayFile:
    """Rows into an open file, one behind the other; how many there are is known, and written, last.

    Args:
        file: empty, and able to seek.
        descr: the type of the numbers, in NumPy's words for its files, such as `<f2`.
    """

    def __init__(self, file: BinaryIO, descr: str) -> None:
        self._file, self._descr = file, descr
        self._shape: tuple[int, ...] = ()
        self.written = 0  # rows

    @property
    def row_bytes(self) -> int:
        """Of one row; 0 before the first was written."""
        return np.dtype(self._descr).itemsize * int(np.prod(self._shape)) if self._shape else 0

    def append(self, rows: NDArray[np.generic]) -> None:
        """Write the next rows, `N …`, each as long as the first was.

        Raises:
            OSError: the disk is full.
        """
        if not self._shape:
            self._shape = rows.shape[1:]
            self._file.write(self._header())
        self._file.write(np.ascontiguousarray(rows, self._descr).data)
        self.written += len(rows)

    def finish(self) -> None:
        """Write how many rows there are.

        Raises:
            OSError: the disk is full.
        """
        self._file.seek(0)
        self._file.write(self._header())
        self._file.flush()

    def _header(self) -> bytes:
        # NumPy leaves room for any number of rows, so that the number can be written in the end.
        header, shape = io.BytesIO(), (self.written, *self._shape)
        np.lib.format.write_array_header_1_0(header, {"descr": self._descr, "fortran_order": False, "shape": shape})
        return header.getvalue()
