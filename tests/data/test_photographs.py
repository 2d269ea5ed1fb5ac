"""Photographs that patches are cut out of: what is written comes back, and what is damaged is told in a sentence."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.artifacts.digests import write_digests
from longtail.data.dataset import PackedDataset, Task, write_dataset
from longtail.data.photographs import Cuts, Photograph, Photographs, window
from longtail.errors import DataError

SIDE = 5
SIZES = ((9, 7), (6, 11), (8, 8))
TASK = Task(name="edge", classes=["none", "line"], background="none")


def photographs(channels: int = 3) -> list[Photograph]:
    random = np.random.default_rng(0)
    return [
        Photograph(
            f"{number}",
            "train",
            random.integers(0, 256, (*size, channels), dtype=np.uint8),
            random.random((number + 1, *size)) < 0.3,
        )
        for number, size in enumerate(SIZES)
    ]


def places(count: int = 40) -> np.ndarray:  # type: ignore[type-arg]
    random = np.random.default_rng(1)
    numbers = random.integers(len(SIZES), size=count)
    return np.array([(n, random.integers(n + 1), *random.integers(SIZES[n])) for n in numbers], np.int32)


def write(path: Path, channels: int = 3) -> PackedDataset:
    ids = [str(row) for row in range(len(places()))]
    samples = pd.DataFrame({"id": ids, "source": ids, "group": "g", "subset": "train", "edge": "none"})
    cuts = Cuts(photographs(channels), places())
    shape = (SIDE, SIDE, channels)
    write_dataset(path, samples, cuts, tasks=[TASK], image_shape=shape, provenance="", licence="")
    return PackedDataset.open(path)


@given(st.integers(1, 9), st.integers(0, 8), st.integers(0, 6))
def test_a_window_is_mirrored_at_the_border(side: int, y: int, x: int) -> None:
    image = np.arange(63).reshape(9, 7)
    padded = np.pad(image, 8, mode="reflect")
    expected = padded[y + 8 - side // 2 :, x + 8 - side // 2 :][:side, :side]
    assert (window(image, y, x, side) == expected).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_come_in_the_order_asked_and_as_they_are_stored(tmp_path: Path, channels: int) -> None:
    packed, made = write(tmp_path, channels), photographs(channels)
    rows = np.array([7, 3, 3, 39, 0])
    expected = [window(made[n].pixels, y, x, SIDE) for n, _, y, x in places()[rows].tolist()]
    assert (packed.images(rows) == np.array(expected)).all()
    assert (packed.stored(rows) == np.array(expected)).all()


def test_photographs_and_annotations_come_back(tmp_path: Path) -> None:
    found = write(tmp_path).photographs
    assert found is not None
    for number, one in enumerate(photographs()):
        assert (found.pixels(number) == one.pixels).all()
        assert (found.annotations(number) == one.annotations).all()


@pytest.mark.parametrize("side", [1, 4, 5])
def test_a_window_of_annotations_is_that_of_the_patchs_annotator(tmp_path: Path, side: int) -> None:
    found, made = write(tmp_path).photographs, photographs()
    assert found is not None
    rows = np.array([9, 0, 9, 21])
    expected = [window(made[n].annotations[a], y, x, side) for n, a, y, x in places()[rows].tolist()]
    assert (found.annotation_windows(rows, side) == np.array(expected)).all()
    assert found.annotation_windows(rows[:0], side).shape == (0, side, side)


def test_the_md5_is_of_pixels_annotations_and_places(tmp_path: Path) -> None:
    seen = {write(tmp_path / "a").info.md5, write(tmp_path / "b").info.md5}
    assert len(seen) == 1
    assert seen != {hashlib.md5(b"", usedforsecurity=False).hexdigest()}


def shorter(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def outside(file: Path) -> None:
    moved = places()
    moved[3, 2] = 99
    np.save(file, moved)


def unknown(file: Path) -> None:
    moved = places()
    moved[3, 0] = len(SIZES)
    np.save(file, moved)


def no_table(file: Path) -> None:
    file.write_text(json.dumps([{"name": 3}]), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("images-photographs.bin", shorter),
        ("images-annotations.bin", shorter),
        ("images-photographs.bin", Path.unlink),
        ("places.npy", outside),
        ("places.npy", unknown),
        ("places.npy", lambda file: np.save(file, places()[:5])),
        ("places.npy", lambda file: np.save(file, places().astype(float))),
        ("photographs.json", no_table),
        ("photographs.json", lambda file: file.write_text("[")),
    ],
)
def test_files_that_do_not_fit_are_told(tmp_path: Path, name: str, spoil: Callable[[Path], None]) -> None:
    write(tmp_path)
    spoil(tmp_path / name)
    with pytest.raises(DataError, match="is not a packed dataset"):
        PackedDataset.open(tmp_path)


@pytest.mark.parametrize("name", ["images-photographs.bin", "images-annotations.bin"])
def test_a_byte_that_has_changed_is_told_when_it_is_first_read(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    write_digests(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[10] ^= 1
    (tmp_path / name).write_bytes(content)
    found = Photographs(tmp_path, 3)
    read = found.pixels if name == "images-photographs.bin" else found.annotations
    with pytest.raises(DataError, match="has changed"):
        read(0)
