"""MATLAB's files, as BSDS500 has them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat

from longtail.errors import DataError
from longtail.sources.quoting import listed, shown


def read_matlab(file: Path, name: str, content: bytes | None = None) -> npt.NDArray[Any]:
    """The variable of that name; `content`: of a file in an archive.

    Raises DataError if the file cannot be read or has none.
    """
    try:
        variables = loadmat(file if content is None else io.BytesIO(content))
    except NotImplementedError as error:  # HDF5 inside
        raise DataError(f"{shown(file)} is a .mat file of version 7.3; save it in MATLAB with '-v7'") from error
    except Exception as error:  # of a damaged file the reader raises whatever comes
        raise DataError(f"cannot read {shown(file)} as a .mat file: {shown(error)}") from error
    if name not in variables:
        found = listed(key for key in variables if not key.startswith("__"))
        raise DataError(f"{shown(file)} has no variable `{name}`, but {found}; it is another kind of .mat file")
    return np.asarray(variables[name])
