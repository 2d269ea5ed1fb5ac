"""More than 8 bits: one white for all images, said by the file or by the user, and never guessed in silence."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from longtail.errors import DataError
from longtail.sources.backgrounds import Backgrounds
from longtail.sources.celeba import CelebA
from longtail.sources.collection import Request
from longtail.sources.decoding import BadImageError, decode
from longtail.sources.deep_grey import DeepGrey
from longtail.sources.folder import Folder
from longtail.sources.idx import Idx, IdxPair

Load = Callable[..., Any]


def encoded(values: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(values).save(data, kind, **options)
    return data.getvalue()


def ramp(white: float, kind: Any = np.uint16) -> np.ndarray:
    """16 values from black to white."""
    return (np.arange(16).reshape(4, 4) * (white / 15)).astype(kind)


def twelve_bits(values: np.ndarray) -> bytes:
    """A TIFF of 12 bits a pixel, two pixels in three bytes."""
    flat = values.ravel().astype(int)
    packed = b"".join(
        bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in zip(flat[::2], flat[1::2], strict=True)
    )
    height, width = values.shape
    tags = [(256, 4, width), (257, 4, height), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 4, height), (279, 4, len(packed))]
    packed += b"\0" * (len(packed) % 2)
    head = b"II*\0" + (8 + len(packed)).to_bytes(4, "little")
    entries = b"".join(
        tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + b"\1\0\0\0" + value.to_bytes(4, "little")
        for tag, kind, value in tags
    )
    return head + packed + len(tags).to_bytes(2, "little") + entries + bytes(4)


EVEN = np.arange(16).reshape(4, 4) * 17  # 0, 17 … 255


@pytest.mark.parametrize("white", [255, 1023, 4095, 16383, 65535])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_the_range_of_a_camera_comes_to_that_of_bytes(white: int, kind: str) -> None:
    pixels = decode(encoded(ramp(white), kind), (4, 4, 1), deep_grey=DeepGrey(white))[..., 0]
    assert np.abs(pixels.astype(int) - EVEN).max() <= 1


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_pixels_without_a_range_of_their_own_are_read_with_one(kind: Any) -> None:
    data = encoded(ramp(2000, kind), "TIFF")
    assert np.abs(decode(data, (4, 4, 1), deep_grey=DeepGrey(2000))[..., 0].astype(int) - EVEN).max() <= 1
    with pytest.raises(BadImageError, match="say with `white`"):
        decode(data, (4, 4, 1))


def test_a_file_that_says_its_bits_needs_no_parameter() -> None:
    assert np.abs(decode(twelve_bits(ramp(4095)), (4, 4, 1))[..., 0].astype(int) - EVEN).max() <= 1


def white_is_zero(data: bytes) -> bytes:
    """A little-endian TIFF that says that 0 is white."""
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    changed = bytearray(data)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry) == (262,):
            struct.pack_into("<H", changed, entry + 8, 0)
    return bytes(changed)


@pytest.mark.parametrize(
    ("kind", "white", "said"),
    [(np.uint8, 255, None), (np.uint16, 65535, None), (np.uint16, 4095, 4095), (np.float32, 1, 1), (np.float32, 9, 9)],
)
@pytest.mark.parametrize("compression", ["raw", "tiff_deflate"])
def test_a_tiff_in_which_0_is_white_is_inverted(kind: Any, white: int, said: float | None, compression: str) -> None:
    data = white_is_zero(encoded(ramp(white, kind), "TIFF", compression=compression))
    pixels = decode(data, (4, 4, 1), deep_grey=DeepGrey(said))[..., 0]
    assert np.abs(255 - pixels.astype(int) - EVEN).max() <= 1


def test_a_tiff_in_which_0_is_white_is_as_bright_as_it_looks() -> None:
    deep_grey = DeepGrey()
    decode(white_is_zero(encoded(np.full((4, 4), 65000, np.uint16), "TIFF")), (4, 4, 1), deep_grey=deep_grey)
    assert deep_grey.brightest == 535
    with pytest.raises(BadImageError, match="reach from 0 to 4095, outside of 0 to `white`, 1023"):
        decode(white_is_zero(encoded(np.full((4, 4), 4095, np.uint16), "TIFF")), (4, 4, 1), deep_grey=DeepGrey(1023))


@pytest.mark.parametrize(("transparent", "said"), [(0, None), (50000, None), (65535, 4095)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_grey_is_white_and_measures_nothing(transparent: int, said: float | None, channels: int) -> None:
    values = np.full((4, 4), 2000, np.uint16)
    values[0] = transparent
    deep_grey = DeepGrey(said)
    pixels = decode(encoded(values, transparency=transparent), (4, 4, channels), deep_grey=deep_grey)
    assert (pixels[0] == 255).all()
    assert (pixels[1:] == round(2000 * 255 / (said or 65535))).all()
    assert deep_grey.brightest == 2000


@pytest.mark.parametrize("most", [255, 4095, 65535])
def test_a_portable_map_says_its_white(most: int) -> None:
    values = ramp(most, ">u2" if most > 255 else np.uint8)
    data = f"P5 4 4 {most}\n".encode() + values.tobytes()
    assert np.abs(decode(data, (4, 4, 1))[..., 0].astype(int) - EVEN).max() <= 1


def test_a_value_beyond_white_is_a_bad_image() -> None:
    with pytest.raises(BadImageError, match="reach from 0 to 4095, outside of 0 to `white`, 1023"):
        decode(encoded(ramp(4095)), (4, 4, 1), deep_grey=DeepGrey(1023))


def write(root: Path, whites: dict[str, int]) -> None:
    for name, white in whites.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(encoded(ramp(white)))


@pytest.mark.parametrize(("most", "likely"), [(255, 255), (1000, 1023), (4095, 4095), (3000, 4095)])
def test_a_collection_that_is_dark_throughout_is_refused(load: Load, root: Path, most: int, likely: int) -> None:
    write(root, {"a/1.png": most, "b/1.png": most // 2})
    with pytest.raises(DataError, match=rf"is {most} of 65535.*nearly black.*`white: {likely}`"):
        load(Folder(kind="folder"))


LANDMARKS = "1 1  3 1  2 2  1 3  3 3"


@pytest.fixture
def faces(root: Path) -> CelebA:
    """Two white images of 12 bits, and landmarks."""
    (root / "img_align_celeba").mkdir()
    for name in ("1.jpg", "2.jpg"):
        (root / "img_align_celeba" / name).write_bytes(encoded(np.full((16, 16), 4095, np.uint16)))
    (root / "list_attr_celeba.txt").write_text("2\nBald\n1.jpg 1\n2.jpg -1\n")
    (root / "points.txt").write_text(f"2\na b c d e f g h i j\n1.jpg {LANDMARKS}\n2.jpg {LANDMARKS}\n")
    return CelebA(kind="celeba", landmarks="points.txt", identities=None, partition=None)


@pytest.fixture
def scenes(root: Path) -> Idx:
    """Backgrounds of 12 bits: noise, half as bright as white."""
    (root / "scenes").mkdir()
    noise = np.random.default_rng(0).integers(0, 2048, (40, 30)).astype(np.uint16)
    (root / "scenes/a.png").write_bytes(encoded(noise))
    (root / "images").write_bytes(struct.pack(">HBB3I", 0, 8, 3, 6, 12, 12) + bytes(6 * 12 * 12))
    (root / "labels").write_bytes(struct.pack(">HBBI", 0, 8, 1, 6) + bytes([0, 1, 2] * 2))
    backgrounds = Backgrounds(path="scenes", min_deviation=0)
    return Idx(kind="idx", train=IdxPair(images="images", labels="labels"), backgrounds=backgrounds)


@pytest.mark.parametrize("source", ["faces", "scenes"])
def test_white_acts_on_every_image_that_a_source_decodes(
    root: Path, tmp_path: Path, request: pytest.FixtureRequest, source: str
) -> None:
    def read(white: float | None) -> np.ndarray:
        scratch = tmp_path / str(white)
        scratch.mkdir(exist_ok=True)
        asked = Request((28, 28, 1), scratch, deep_grey=DeepGrey(white))
        return np.concatenate(list(made.load(root, asked).images))

    made = request.getfixturevalue(source)
    with pytest.raises(DataError, match=r"of 65535.*nearly black.*`white: (4095|2047)`"):
        read(None)
    assert read(4095).mean() > 50
    assert read(65535).mean() < read(4095).mean()


def test_a_dark_image_beside_a_bright_one_stays_dark(load: Load, root: Path) -> None:
    write(root, {"a/1.png": 4095, "b/1.png": 65535})
    assert load(Folder(kind="folder"), (4, 4, 1)).pixels.max(axis=(1, 2, 3)).tolist() == [16, 255]
