"""The files of images: what is written comes back in any order, and what is damaged is told in a sentence."""

import hashlib
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import write_tiny_dataset

from longtail.artifacts.digests import write_digests
from longtail.artifacts.reading import read_json, write_json
from longtail.data import jpeg, shards
from longtail.data.dataset import PackedDataset
from longtail.data.jpeg import Pixels
from longtail.data.shards import open_shards, write_shards
from longtail.errors import DataError

SHAPE = (12, 9, 3)
QUALITIES = pytest.mark.parametrize("quality", [None, 95], ids=["raw", "jpeg"])


def pictures(count: int, shape: tuple[int, int, int] = SHAPE) -> Pixels:
    """Images of noise: one after another less, so that their JPEGs have different lengths."""
    noise = np.random.default_rng(0).integers(0, 256, (count, *shape))
    return (noise // np.arange(1, count + 1).reshape(-1, 1, 1, 1)).astype(np.uint8)


def write(folder: Path, images: Pixels, quality: int | None, block: int = 5) -> tuple[list[int], str]:
    """Write images in blocks; how many each file has, and the digest."""
    digest = hashlib.md5(usedforsecurity=False)
    blocks = [images[start : start + block] for start in range(0, len(images), block)]
    sizes = write_shards(folder, blocks, digest, count=len(images), shape=images.shape[1:], quality=quality)  # type: ignore[arg-type]
    return sizes, digest.hexdigest()


def expected(images: Pixels, quality: int | None) -> Pixels:
    """What comes back."""
    if quality is None:
        return images
    return np.stack([jpeg.decode(jpeg.encode(one, quality), one.shape) for one in images])


def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 2000)


@QUALITIES
@pytest.mark.parametrize("channels", [1, 3])
def test_images_come_back_from_files_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quality: int | None, channels: int
) -> None:
    small_files(monkeypatch)
    images = pictures(31, (12, 9, channels))
    sizes, _ = write(tmp_path, images, quality)
    files = list(tmp_path.glob("images-*"))
    assert len(files) == len(sizes) > 1
    assert sum(sizes) == 31
    assert max(file.stat().st_size for file in files) <= 2000 + (128 if quality is None else 0)  # the header
    found = open_shards(tmp_path, sizes, images.shape[1:], jpegs=quality is not None).images(np.arange(31))
    assert (found == expected(images, quality)).all()


@QUALITIES
def test_an_image_larger_than_a_file_has_one_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quality: int | None
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)
    sizes, _ = write(tmp_path, pictures(3), quality)
    assert sizes == [1, 1, 1]


@QUALITIES
@settings(deadline=None)
@given(st.lists(st.integers(0, 16), max_size=40))
def test_rows_are_given_in_the_order_asked_and_as_often(quality: int | None, rows: list[int]) -> None:
    images = pictures(17)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        small_files(patch)
        sizes, _ = write(Path(folder), images, quality)
        found = open_shards(Path(folder), sizes, SHAPE, jpegs=quality is not None).images(np.array(rows, np.int64))
    assert found.dtype == np.uint8
    assert found.shape == (len(rows), *SHAPE)
    assert (found == expected(images, quality)[rows]).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_an_image_asked_twice_is_decoded_once_and_by_as_many_threads_as_the_step_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    decoded: list[bytes] = []
    busy, together = set[int](), threading.Barrier(threads)

    def decode(data: bytes, shape: tuple[int, int, int]) -> Pixels:
        if threading.get_ident() not in busy and len(busy) < threads:
            busy.add(threading.get_ident())
            together.wait(timeout=60)
        decoded.append(data)
        return whole(data, shape)

    whole = jpeg.decode
    sizes, _ = write(tmp_path, pictures(40), 95)
    packed = open_shards(tmp_path, sizes, SHAPE, jpegs=True)
    monkeypatch.setattr(jpeg, "decode", decode)
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    packed.images(np.tile(np.arange(40), 3))
    assert len(busy) == threads
    assert len(decoded) == len(set(decoded)) == 40


@QUALITIES
def test_the_same_images_give_the_same_bytes_however_they_come(tmp_path: Path, quality: int | None) -> None:
    found = []
    for block in (1, 7, 31):
        (tmp_path / str(block)).mkdir()
        sizes, digest = write(tmp_path / str(block), pictures(31), quality, block)
        files = sorted((tmp_path / str(block)).iterdir())
        found.append((sizes, digest, [(file.name, file.read_bytes()) for file in files]))
    assert found[0] == found[1] == found[2]


def test_jpegs_that_are_given_are_stored_as_they_are(tmp_path: Path) -> None:
    images = pictures(5)
    jpegs = [jpeg.encode(one, 80) for one in images]
    digest = hashlib.md5(usedforsecurity=False)
    sizes = write_shards(tmp_path, [jpegs[:2], [], jpegs[2:]], digest, count=5, shape=SHAPE, quality=95)
    assert (tmp_path / "images-00000.mjpeg").read_bytes() == b"".join(jpegs)
    assert (open_shards(tmp_path, sizes, SHAPE, jpegs=True).images(np.arange(5)) == expected(images, 80)).all()


@QUALITIES
@pytest.mark.parametrize("count", [4, 6])
def test_another_number_of_images_than_samples_is_an_error(tmp_path: Path, quality: int | None, count: int) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with pytest.raises(ValueError, match=f"{count} samples, and there are 5 images"):
        write_shards(tmp_path, [pictures(5)], digest, count=count, shape=SHAPE, quality=quality)


def test_raw_files_are_those_that_numpy_writes(tmp_path: Path) -> None:
    images = pictures(5)
    write(tmp_path, images, None)
    plain = io.BytesIO()
    np.save(plain, images)
    assert (tmp_path / "images-00000.npy").read_bytes() == plain.getvalue()


def test_colours_are_kept_as_fine_as_brightness() -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2, 0] = 200  # red columns of one pixel on black
    found = jpeg.decode(jpeg.encode(stripes, 95), stripes.shape)
    assert np.abs(found.astype(int) - stripes).mean() < 4


def changed(name: str, change: Callable[[bytearray], bytes | bytearray]) -> Callable[[Path], object]:
    """A damage that changes the bytes of a file."""
    return lambda folder: (folder / name).write_bytes(change(bytearray((folder / name).read_bytes())))


def rewritten(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    """A damage that writes other offsets."""
    return lambda folder: np.save(folder / OFFSETS, change(np.load(folder / OFFSETS)))


def moved(offsets: np.ndarray) -> np.ndarray:
    offsets[1:-1] += 1
    return offsets


JPEGS, OFFSETS = "images-00000.mjpeg", "offsets-00000.npy"
DAMAGES: dict[str, Callable[[Path], object]] = {
    "JPEGs truncated": changed(JPEGS, lambda content: content[:-1]),
    "JPEGs lengthened": changed(JPEGS, lambda content: content + b"\0"),
    "JPEGs empty": changed(JPEGS, lambda content: b""),
    "JPEGs missing": lambda folder: (folder / JPEGS).unlink(),
    "JPEGs a directory": lambda folder: ((folder / JPEGS).unlink(), (folder / JPEGS).mkdir()),
    "JPEGs zeroed": changed(JPEGS, lambda content: bytes(len(content))),
    "JPEGs of another shape": changed(JPEGS, lambda content: content.replace(b"\x00\x1c\x00\x1c", b"\x00\x1c\x00\x1d")),
    "offsets truncated": changed(OFFSETS, lambda content: content[:-1]),
    "offsets missing": lambda folder: (folder / OFFSETS).unlink(),
    "offsets too few": rewritten(lambda offsets: offsets[:-1]),
    "offsets too many": rewritten(lambda offsets: np.append(offsets, offsets[-1] + 1)),
    "offsets of another type": rewritten(lambda offsets: offsets.astype(np.float64)),
    "offsets of fewer bytes": rewritten(lambda offsets: offsets.astype(np.int32)),
    "offsets in two dimensions": rewritten(lambda offsets: offsets[None]),
    "offsets out of order": rewritten(lambda offsets: offsets[::-1]),
    "offsets twice": rewritten(lambda offsets: np.repeat(offsets[::2], 2)[: len(offsets)]),
    "offsets from elsewhere": rewritten(lambda offsets: offsets + 1),
    "offsets moved": rewritten(moved),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
@pytest.mark.parametrize("digests", [False, True])
def test_damage_is_told_in_a_sentence(tmp_path: Path, damage: str, digests: bool) -> None:
    folder = tmp_path / "dataset"
    write_tiny_dataset(folder, jpeg_quality=95)
    if digests:
        write_digests(folder)
    DAMAGES[damage](folder)
    with pytest.raises(DataError) as refusal:
        PackedDataset.open(folder).images(np.arange(120))
    message = str(refusal.value)
    assert str(folder) in message
    assert "ingest" in message or "run that step again" in message
    assert "\n" not in message
    assert len(message) < 500


@pytest.mark.parametrize("jpeg_quality", [None, 95])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shard_sizes", [119]),
        ("shard_sizes", [60, 60]),
        ("shard_sizes", [-1, 121]),
        ("shard_sizes", [10**99, 120 - 10**99]),
        ("count", 119),
        ("image_shape", [28, 29, 1]),
        ("image_shape", [28, 28, 3]),
        ("image_shape", [10**99, 28, 1]),
        ("image_shape", [-28, 28, 1]),
        ("preprocessing", {"image_shape": [28, 28, 1], "jpeg_quality": 101}),
    ],
)
def test_a_dataset_that_says_something_else_of_its_images_is_refused(
    tmp_path: Path, jpeg_quality: int | None, key: str, value: object
) -> None:
    write_tiny_dataset(tmp_path / "dataset", jpeg_quality=jpeg_quality)
    said = read_json(tmp_path / "dataset" / "dataset.json")
    write_json(tmp_path / "dataset" / "dataset.json", {**said, key: value})
    with pytest.raises(DataError) as refusal:
        PackedDataset.open(tmp_path / "dataset")
    assert str(tmp_path / "dataset") in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_flipped_byte_is_told_before_it_is_decoded(tmp_path: Path, place: float) -> None:
    folder = tmp_path / "dataset"
    write_tiny_dataset(folder, jpeg_quality=95)
    write_digests(folder)
    content = bytearray((folder / JPEGS).read_bytes())
    content[int(place * len(content))] ^= 1
    (folder / JPEGS).write_bytes(content)
    packed = PackedDataset.open(folder)
    with pytest.raises(DataError, match=f"{JPEGS} has changed"):
        packed.images(np.array([0]))


def test_a_dataset_says_how_its_images_are_kept(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "raw")
    write_tiny_dataset(tmp_path / "jpeg", jpeg_quality=80)
    raw, packed = PackedDataset.open(tmp_path / "raw"), PackedDataset.open(tmp_path / "jpeg")
    assert raw.info.jpeg_quality is None
    assert packed.info.jpeg_quality == 80
    assert raw.info.md5 != packed.info.md5
    assert sorted(os.listdir(tmp_path / "jpeg")) == sorted(
        ["dataset.json", JPEGS, "lineage.json", OFFSETS, "samples.parquet"]
    )
