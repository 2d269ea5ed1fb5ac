"""Directories and archives look the same."""

import tarfile
import zipfile
from pathlib import Path

import pytest

from longtail.errors import DataError
from longtail.sources.collection import Request
from longtail.sources.files import Files, open_files

CONTENT = {"a/x.txt": b"x", "a/b/y.txt": b"why", ".hidden/z": b"z", "a/.DS_Store": b"", "__MACOSX/a/._x.txt": b""}


def asked(scratch: Path) -> Request:
    return Request((8, 8, 3), scratch)


@pytest.fixture(params=["directory", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    folder = tmp_path / "folder"
    for name, data in CONTENT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    if request.param == "directory":
        return open_files(folder, asked(tmp_path))
    path = tmp_path / f"archive.{request.param}"
    if request.param == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in CONTENT:
                archive.write(folder / name, name)
    else:
        with tarfile.open(path, f"w:{request.param.removeprefix('tar').removeprefix('.')}") as tar:
            tar.add(folder, ".")
    return open_files(path, asked(tmp_path))


def test_visible_files_and_folders_are_listed_in_order(files: Files) -> None:
    assert files.names == ["a/b/y.txt", "a/x.txt"]
    assert files.folders == ["a", "a/b"]


def test_a_file_reads_as_its_bytes(files: Files) -> None:
    assert files.read("a/b/y.txt") == b"why"


def test_a_folder_can_be_taken_alone(files: Files) -> None:
    below = files.below("a")
    assert below.names == ["b/y.txt", "x.txt"]
    assert below.read("x.txt") == b"x"


def test_a_path_may_point_inside_an_archive(files: Files, tmp_path: Path) -> None:
    below = open_files(files.path / "a", asked(tmp_path))
    assert (below.names, below.folders) == (["b/y.txt", "x.txt"], ["b"])
    assert below.read("b/y.txt") == b"why"


def test_a_folder_that_is_not_there_is_an_error(files: Files, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder 'c'|no such file or directory: .*c;"):
        open_files(files.path / "c", asked(tmp_path))


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file or directory: .*nothing\.zip"):
        open_files(tmp_path / "nothing.zip", asked(tmp_path))


def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("text")
    with pytest.raises(DataError, match="neither a directory nor a zip or tar archive"):
        open_files(tmp_path / "plain.txt", asked(tmp_path))


def test_a_truncated_archive_is_an_error(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "whole.tar.gz", "w:gz") as tar:
        tar.add(__file__, "file")
    (tmp_path / "half.tar.gz").write_bytes((tmp_path / "whole.tar.gz").read_bytes()[:200])
    with pytest.raises(DataError, match=r"half\.tar\.gz"):
        open_files(tmp_path / "half.tar.gz", asked(tmp_path))
