"""A DVC remote, or DVC's cache, in a directory of this machine or of a mounted volume."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from longtail.errors import DataError
from longtail.storage.dvc_objects import file_md5, object_path


class LocalRemote:
    """The objects below `path`, in DVC 3's layout: `files/md5/ab/cdef…`."""

    def __init__(self, path: Path) -> None:
        self.url = str(path)
        self.path = path

    def get(self, md5: str, folder: Path) -> bool:
        """Bring the object that DVC names by `md5` to the file `folder / md5`; True, since it is copied every time.

        Raises DataError if it is missing or damaged, or cannot be copied.
        """
        source = self.path / object_path(md5)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / md5)
        except FileNotFoundError as error:
            raise DataError(f"there is no {source}: run `dvc push` or `dvc repro` where the data was made") from error
        except OSError as error:
            raise DataError(f"cannot copy {source} to {folder}: {error.strerror}") from error
        found = file_md5(folder / md5)
        if found != md5.removesuffix(".dir"):
            raise DataError(f"{source} is damaged (its md5 is {found}): delete it, then make or push the data again")
        return True

    def get_all(self, md5s: Iterable[str], folder: Path) -> int:
        """Bring several objects; return how many."""
        return sum(self.get(md5, folder) for md5 in sorted(set(md5s)))
