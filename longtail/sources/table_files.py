"""Where a table is: in a directory or an archive, in the one folder around everything, or in several files."""

from fnmatch import fnmatch
from pathlib import Path

from longtail.errors import DataError
from longtail.sources.collection import Request
from longtail.sources.files import open_files, read_file, through_wrapping
from longtail.sources.parquet import Shard

Content = str | bytes
PATTERN = set("*?[")


def find_tables(path: Path, table: str, request: Request) -> tuple[Path, dict[str, Content]]:
    """The folder that holds the tables, which may be inside an archive, and by name the content of each.

    `table` may be a pattern. A parquet file that lies in a directory is given by its path. Raises DataError if there is
    no such table.
    """
    if PATTERN & set(table):
        names = [name for name in open_files(path, request).names if fnmatch(name, table)]
        found = {name: content for name in names if (content := _content(path / name, request)) is not None}
        if not found:
            raise DataError(f"no file in {path} matches the pattern {table!r}")
        return path, found

    def here(folder: Path) -> dict[str, Content] | None:
        content = _content(folder / table, request)
        return None if content is None else {table: content}

    found_in = through_wrapping(path, request, here)
    if found_in is None:
        raise DataError(f"no table {table!r} in {path}")
    return found_in


def _content(path: Path, request: Request) -> Content | None:
    return str(path) if Shard.is_one(path.name) and path.is_file() else read_file(path, request)
