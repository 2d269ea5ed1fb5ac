"""The files of an artifact: arrays and JSON; what cannot be read is told in a sentence."""

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from longtail.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

# What numpy, pandas, pydantic and json raise of a file that is not what they expect; numpy takes some for archives.
UNREADABLE = (OSError, EOFError, ValueError, zipfile.BadZipFile)


def read_array(file: Path, *, mapped: bool = False) -> "npt.NDArray[Any]":
    """The array of a .npy file, of any type but objects; `mapped`: in memory are the rows that are asked for, and none
    can be written. Raises DataError if it cannot be read.
    """
    import numpy as np  # late: the contract of every stage reads JSON, and `longtail --help` is quick

    try:
        return np.asarray(np.load(file, mmap_mode="r" if mapped else None, allow_pickle=False))
    except UNREADABLE as error:
        raise DataError(_sentence(file, error)) from error


def read_json(file: Path) -> Any:
    """What a JSON file holds. Raises DataError if it cannot be read."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except UNREADABLE as error:
        raise DataError(_sentence(file, error)) from error


def write_json(file: Path, values: Any) -> None:
    """Write values as JSON."""
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def reason(error: Exception, json_file: str) -> str:
    """What is wrong, in one line. What pydantic finds, whose own message has several, is in `json_file`."""
    if not isinstance(error, ValidationError):
        return _one_line(error)
    first = error.errors()[0]
    return ": ".join(filter(None, (json_file, ".".join(map(str, first["loc"])), first["msg"])))


def _sentence(file: Path, error: Exception) -> str:
    return f"cannot read {file}: {_one_line(error)}; run the step that makes it again"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
