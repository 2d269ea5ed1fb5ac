"""Class folders, in a directory or an archive, and what is wrong with them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtail.errors import DataError
from longtail.sources.folder import Folder

Draw = Callable[..., Path]
Load = Callable[..., Any]


@pytest.fixture
def flat(draw: Draw) -> None:
    for name, colour in (("red/1.png", (255, 0, 0)), ("red/deep/2.png", (255, 0, 0)), ("blue/1.png", (0, 0, 255))):
        draw(name, colour)


def test_class_folders_become_classes(load: Load, flat: None) -> None:
    loaded = load(Folder(kind="folder"))
    assert loaded.classes == ["blue", "red"]
    assert loaded.samples["id"].tolist() == ["blue/1.png", "red/1.png", "red/deep/2.png"]
    assert loaded.samples["label"].tolist() == ["blue", "red", "red"]
    assert loaded.samples["subset"].isna().all()
    assert (loaded.pixels[1:] == np.array([255, 0, 0])).all()


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_an_archive_is_read_like_the_directory(load: Load, root: Path, flat: None, kind: str, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), kind, root))
    shutil.move(archive, root.parent / archive.name)
    loaded = load(Folder(kind="folder", path=f"../{archive.name}"))
    assert loaded.samples["label"].tolist() == ["blue", "red", "red"]


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_subset_folders_are_official(load: Load, draw: Draw, validation: str) -> None:
    for subset in ("train", validation, "test"):
        draw(f"{subset}/a/1.png")
        draw(f"{subset}/b/1.png")
    samples = load(Folder(kind="folder")).samples
    assert samples.groupby("subset").size().to_dict() == {"test": 2, "train": 2, "validation": 2}
    assert set(samples["label"]) == {"a", "b"}


def test_hidden_files_and_texts_beside_the_class_folders_are_passed_over(load: Load, root: Path, flat: None) -> None:
    for name in ("README.md", ".DS_Store", "red/.hidden.png"):
        (root / name).write_text("x")
    assert load(Folder(kind="folder")).problems.found == []


def test_a_file_that_is_no_image_is_reported(load: Load, root: Path, flat: None) -> None:
    (root / "red" / "notes.dat").write_text("x")
    assert "red/notes.dat: not an image" in load(Folder(kind="folder")).report


def test_a_file_can_be_ignored_by_pattern(load: Load, root: Path, flat: None) -> None:
    (root / "red" / "notes.dat").write_text("x")
    assert load(Folder(kind="folder", ignore=["*.dat"])).problems.found == []


def test_all_bad_images_are_reported_and_left_out(
    load: Load, draw: Draw, truncate: Callable[[Path], None], root: Path, flat: None
) -> None:
    truncate(draw("red/half.png", size=64, noisy=True))
    (root / "blue" / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    loaded = load(Folder(kind="folder"))
    assert "red/half.png: truncated image" in loaded.report
    assert "blue/torn.jpg: not an image" in loaded.report
    assert len(loaded.samples) == 3


def test_an_image_outside_the_class_folders_is_reported(load: Load, draw: Draw, flat: None) -> None:
    draw("stray.png")
    assert "stray.png: image outside the class folders" in load(Folder(kind="folder")).report


def test_an_image_outside_the_subset_folders_is_reported(load: Load, draw: Draw) -> None:
    for name in ("train/a/1.png", "train/b/1.png", "extra/a/1.png"):
        draw(name)
    assert "extra/a/1.png: image outside the class folders" in load(Folder(kind="folder")).report


def test_a_folder_outside_the_declared_classes_is_reported(load: Load, flat: None) -> None:
    loaded = load(Folder(kind="folder", classes=["red"]))
    assert "blue/1.png: label outside the declared classes (class folder 'blue')" in loaded.report


def test_an_empty_class_is_reported_and_dropped(load: Load, root: Path, flat: None) -> None:
    (root / "green").mkdir()
    loaded = load(Folder(kind="folder"))
    assert "empty class (class 'green'" in loaded.report
    assert loaded.classes == ["blue", "red"]


def test_a_class_whose_images_are_all_broken_is_empty(load: Load, root: Path, flat: None) -> None:
    (root / "blue" / "1.png").write_bytes(b"torn")
    assert load(Folder(kind="folder")).classes == ["red"]


def test_a_directory_without_class_folders_is_an_error(load: Load, draw: Draw) -> None:
    draw("1.png")
    with pytest.raises(DataError, match="no class folder"):
        load(Folder(kind="folder"))


def test_an_unknown_background_class_is_an_error(load: Load, flat: None) -> None:
    with pytest.raises(DataError, match="background class 'rde'"):
        load(Folder(kind="folder", background="rde"))


def test_an_ignored_folder_is_no_class(load: Load, root: Path, draw: Draw, flat: None) -> None:
    draw("drafts/1.png")
    (root / "empty").mkdir()
    loaded = load(Folder(kind="folder", ignore=["drafts/*", "empty/*"]))
    assert loaded.problems.found == []
    assert loaded.classes == ["blue", "red"]


@pytest.mark.parametrize("around", ["photos", "a/b/c", "Photos of 2024"])
def test_one_folder_around_everything_is_seen_through(load: Load, root: Path, draw: Draw, around: str) -> None:
    for name in ("red/1.png", "blue/1.png"):
        draw(f"{around}/{name}")
    (root / "README.md").write_text("x")
    assert load(Folder(kind="folder")).samples["id"].tolist() == ["blue/1.png", "red/1.png"]


def test_a_folder_with_images_beside_it_is_not_around_everything(load: Load, draw: Draw) -> None:
    for name in ("photos/red/1.png", "1.png"):
        draw(name)
    loaded = load(Folder(kind="folder"))
    assert loaded.classes == ["photos"]
    assert "1.png: image outside the class folders" in loaded.report


def test_classes_that_differ_in_case_are_refused_unless_declared(load: Load, draw: Draw) -> None:
    for name in ("Red/1.png", "red/1.png"):
        draw(name)
    with pytest.raises(DataError, match=r"the classes \['Red', 'red'\] differ only in case"):
        load(Folder(kind="folder"))
    assert load(Folder(kind="folder", classes=["red", "Red"])).classes == ["red", "Red"]
