"""Directories as disks have them: links, pipes, devices, odd names, and what systems leave beside people's files."""

import os
import socket
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longtail.sources.collection import Request
from longtail.sources.files import Files, open_files
from longtail.sources.folder import Folder

Draw = Callable[..., Path]
Load = Callable[..., Any]


@pytest.fixture(autouse=True)
def pets(draw: Draw) -> None:
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png", "dogs/2.png"):
        draw(name)


def listed(path: Path, scratch: Path) -> Files:
    return open_files(path, Request((8, 8, 3), scratch))


def test_a_class_folder_may_be_a_link(load: Load, root: Path, draw: Draw, tmp_path: Path) -> None:
    draw("../elsewhere/1.png")
    (root / "birds").symlink_to(tmp_path / "elsewhere")
    (root / "cats" / "3.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    loaded = load(Folder(kind="folder"))
    assert loaded.problems.found == []
    assert loaded.samples["label"].value_counts().to_dict() == {"birds": 1, "cats": 3, "dogs": 2}


@pytest.mark.parametrize(
    ("link", "target", "words"),
    [
        ("cats/up", "..", "a folder above"),
        ("cats/itself", ".", "'cats', which is read already"),
        ("cats/dogs", "../dogs", "'dogs', which is read already"),
        ("cats/root", "/", "a folder above"),
        ("hounds", "dogs", "'dogs', which is read already"),
    ],
)
def test_a_folder_is_read_once_whatever_leads_there(load: Load, root: Path, link: str, target: str, words: str) -> None:
    (root / link).symlink_to(target)
    (root / f"{link}-again").symlink_to(target)
    loaded = load(Folder(kind="folder"))
    assert loaded.samples["label"].tolist() == ["cats"] * 2 + ["dogs"] * 2
    assert loaded.problems.left_out["unreadable entry"] == 2
    assert f"{link}: unreadable entry (a link to {words})" in loaded.report


def test_of_two_links_to_one_folder_elsewhere_the_first_is_read(root: Path, draw: Draw, tmp_path: Path) -> None:
    draw("../elsewhere/deep/1.png")
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "a").symlink_to(tmp_path / "elsewhere" / "deep")
    files = listed(root, tmp_path)
    assert "a/1.png" in files.names
    assert files.faults == {"b/deep": "a link to 'a', which is read already"}


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.open(path.parent, os.O_RDONLY)  # the name of a socket may not be long
        one.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_pipe, "a pipe"),
        (_socket, "a socket"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.symlink_to("/dev/tty"), "a device"),
        (lambda path: path.symlink_to("nowhere.png"), "a link to nothing"),
        (lambda path: path.symlink_to(path.name), "symbolic links"),
    ],
    ids=["pipe", "socket", "zero", "terminal", "nothing", "circle"],
)
def test_what_is_no_regular_file_is_a_problem(load: Load, root: Path, make: Callable[[Path], None], words: str) -> None:
    make(root / "cats" / "3.png")
    loaded = load(Folder(kind="folder"))
    assert "cats/3.png: unreadable entry" in loaded.report
    assert words in loaded.report
    assert len(loaded.samples) == 4
    assert load(Folder(kind="folder", ignore=["cats/3*"])).problems.found == []


LITTER = [
    *(
        "@eaDir/1.png/SYNO.png",
        ".thumbnails/1.png",
        "__MACOSX/1.png",
        "#recycle/1.png",
        "$RECYCLE.BIN/1.png",
        "@Recycle/x",
    ),
    "Thumbs.db",
    "desktop.ini",
    ".DS_Store",
    "._1.png",
    "Icon\r",
    "lost+found/1.png",
    "System Volume Information/x",
]


@pytest.mark.parametrize("name", LITTER)
def test_litter_of_systems_is_passed_over(load: Load, root: Path, draw: Draw, name: str) -> None:
    for folder in ("", "cats/"):
        (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
        (root / folder / name).write_bytes(b"x")
    loaded = load(Folder(kind="folder"))
    assert loaded.problems.found == []
    assert loaded.classes == ["cats", "dogs"]


@pytest.mark.parametrize("name", ["GT-00000.csv", "labels.JSON", "annotation.xml", "README.md", "info.txt"])
def test_notes_among_images_are_passed_over(load: Load, root: Path, name: str) -> None:
    (root / "cats" / name).write_text("x")
    (root / name).write_text("x")
    assert load(Folder(kind="folder")).problems.found == []


def test_names_that_are_no_utf8_are_read_and_shown_escaped(load: Load, root: Path) -> None:
    for raw in (b"cats/caf\xe9.png", b"b\xe4r/1.png"):
        path = os.fsencode(root) + b"/" + raw
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write((root / "cats" / "1.png").read_bytes())
    with open(os.fsencode(root) + b"/dogs/\xff.png", "wb") as file:
        file.write(b"torn")
    loaded = load(Folder(kind="folder"))
    assert loaded.classes == ["b\\xe4r", "cats", "dogs"]
    assert "cats/caf\\xe9.png" in loaded.samples["id"].tolist()
    assert "dogs/\\xff.png: not an image" in loaded.report
    loaded.report.encode()


def test_class_folders_in_two_unicode_forms_are_one_class(load: Load, draw: Draw) -> None:
    for form in ("NFC", "NFD"):
        draw(unicodedata.normalize(form, "caf\u00e9") + f"/{form}.png")
    loaded = load(Folder(kind="folder"))
    assert loaded.classes == ["caf\u00e9", "cats", "dogs"]
    assert (loaded.samples["label"] == "caf\u00e9").sum() == 2
