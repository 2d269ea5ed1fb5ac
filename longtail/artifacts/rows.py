"""Arrays that are written row by row: of all rows together, no more than a block is in memory."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt


class RowsFile:
    """A .npy file of a known shape, to which blocks of rows are added in their order.

    A memory-mapped file would do, but where a disk is full it ends the process by a signal; a write raises OSError.
    """

    def __init__(self, file: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.shape, self.dtype, self.written = shape, np.dtype(dtype), 0
        self._file = file.open("wb")
        described = np.lib.format.dtype_to_descr(self.dtype)
        np.lib.format.write_array_header_1_0(
            self._file, {"descr": described, "fortran_order": False, "shape": self.shape}
        )

    def add(self, rows: npt.NDArray[Any]) -> None:
        """Write rows (n, *shape[1:]), in the file's type. Raises OSError where the disk is full."""
        assert rows.shape[1:] == self.shape[1:], f"rows {rows.shape} for {self.shape}"
        self._file.write(np.ascontiguousarray(rows, self.dtype).data)
        self.written += len(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._file.close()
        assert kind or self.written == self.shape[0], f"{self.written} of {self.shape[0]} rows are written"
