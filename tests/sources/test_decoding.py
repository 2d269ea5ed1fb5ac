"""Decoding: shape, channels, orientation, transparency, and damage of every kind."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from longtail.sources.decoding import BadImageError, decode
from longtail.sources.pixels import conform


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def noise(side: int = 24) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))


def test_an_image_of_the_asked_shape_keeps_its_pixels() -> None:
    assert (decode(encoded(noise()), (24, 24, 3)) == np.asarray(noise())).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_comes_to_the_asked_channels(mode: str, channels: int) -> None:
    image = Image.new(mode, (10, 6), 0) if mode == "I;16" else noise().convert(mode)
    assert decode(encoded(image, "TIFF" if mode == "CMYK" else "PNG"), (5, 7, channels)).shape == (5, 7, channels)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    image = Image.fromarray(np.full((4, 4), 0x80FF, np.uint16))
    assert (decode(encoded(image), (4, 4, 1)) == 0x80).all()


def test_the_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (8, 4))
    image.paste((255, 255, 255), (0, 0, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise: the white left half comes to the top
    upright = decode(encoded(image, exif=exif), (8, 4, 1))
    assert upright[:4].min() == 255
    assert upright[4:].max() == 0


# Tags of numbers that hold a text.
ODD_TAGS = {"XResolution": 282, "YResolution": 283, "ResolutionUnit": 296, "PixelXDimension": 40962, "MakerNote": 37500}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("tag", [None, *ODD_TAGS])
def test_an_intact_image_with_an_odd_tag_is_turned_upright(orientation: int, tag: str | None) -> None:
    pixels = np.arange(24 * 16, dtype=np.uint16).reshape(24, 16).astype(np.uint8)
    # Big-endian, two entries, then the text: what Pillow reads from a file, and does not always write again.
    entries = [(0x0112, 3, 1, orientation.to_bytes(2, "big") + b"\0\0")]
    if tag:
        entries.append((ODD_TAGS[tag], 2, 7, (8 + 2 + 2 * 12 + 4).to_bytes(4, "big")))
    body = len(entries).to_bytes(2, "big")
    for number, kind, count, value in entries:
        body += number.to_bytes(2, "big") + kind.to_bytes(2, "big") + count.to_bytes(4, "big") + value
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + body + bytes(4) + b"72 dpi\0"
    upright = decode(encoded(Image.fromarray(pixels), exif=exif), (24, 16, 1) if orientation < 5 else (16, 24, 1))
    turned = [0, pixels, pixels[:, ::-1], pixels[::-1, ::-1], pixels[::-1], pixels.T, np.rot90(pixels, 3)]
    turned += [pixels[::-1, ::-1].T, np.rot90(pixels)]
    assert (upright[..., 0] == turned[orientation]).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("exif", [b"Exif\0\0torn", b"Exif\0\0MM\0*\0\0\xff\xff\xff\xff", b"Exif\0\0" + bytes(30)])
def test_broken_exif_beside_an_intact_picture_is_passed_over(exif: bytes) -> None:
    assert (decode(encoded(noise(), exif=exif), (24, 24, 3)) == np.asarray(noise())).all()


def test_transparency_is_laid_over_white() -> None:
    assert (decode(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0))), (4, 4, 3)) == 255).all()


def test_stretch_crop_and_pad_bring_another_aspect_ratio_to_the_shape() -> None:
    image = Image.new("RGB", (12, 4))
    image.paste((255, 255, 255), (4, 0, 8, 4))
    data = encoded(image)
    assert (decode(data, (4, 4, 1), "crop") == 255).all()
    assert decode(data, (12, 12, 1), "pad")[:4].max() == 0
    assert 0 < decode(data, (4, 4, 1), "stretch").mean() < 255


@pytest.mark.parametrize("data", [b"", b"no image at all"])
def test_what_is_no_image_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(BadImageError) as caught:
        decode(data, (4, 4, 1))
    assert caught.value.reason == "not an image"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "GIF"])
def test_half_an_image_is_bad(kind: str) -> None:
    data = encoded(noise(64), kind)
    with pytest.raises(BadImageError):
        decode(data[: len(data) // 2], (4, 4, 1))


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]),
    st.integers(0, 10**6),
    st.binary(min_size=1, max_size=8),
)
def test_damaged_bytes_give_pixels_or_a_bad_image_and_nothing_else(kind: str, place: int, wrong: bytes) -> None:
    data = encoded(noise(), kind)
    place %= len(data)
    damaged = data[:place] + wrong + data[place + len(wrong) :]
    with contextlib.suppress(BadImageError):
        assert decode(damaged, (4, 4, 3)).shape == (4, 4, 3)


def test_grey_blocks_conform_to_a_colour_shape_of_another_size() -> None:
    assert conform(np.full((2, 8, 8), 7, np.uint8), (4, 4, 3)).tolist() == np.full((2, 4, 4, 3), 7).tolist()


def container(brand: bytes) -> bytes:
    """The beginning of an ISO base media file, as a phone's HEIC is one."""
    return b"\x00\x00\x00\x18ftyp" + brand + b"\x00\x00\x00\x00" + brand + b"mif1" + bytes(200)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        *((container(brand), "HEIC") for brand in (b"heic", b"heix", b"mif1", b"msf1", b"hevc")),
        (container(b"crx "), "raw format"),
        (container(b"isom"), "a video"),
        (b"\xff\x0a" + bytes(50), "JPEG XL"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(50), "JPEG XL"),
        (b"%PDF-1.7\n" + bytes(50), "a PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "EPS"),
        (b"\xc5\xd0\xd3\xc6" + bytes(50), "EPS"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    ],
)
def test_a_picture_in_a_format_that_is_not_read_is_told_what_to_do(data: bytes, name: str) -> None:
    with pytest.raises(BadImageError) as refused:
        decode(data, (4, 4, 3))
    assert refused.value.reason == "format not read"
    assert name in refused.value.detail
    assert refused.value.detail.endswith("convert it to JPEG or PNG")


def test_no_program_is_run_to_read_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would give an EPS to Ghostscript, which runs it."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    drawn = io.BytesIO()
    Image.new("L", (9, 9)).save(drawn, "EPS")
    with pytest.raises(BadImageError, match="EPS, a program that draws, is not read"):
        decode(drawn.getvalue(), (4, 4, 3))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("data", [b"hello", b"PK\x03\x04" + bytes(50), container(b"????"), bytes(100)])
def test_what_is_no_picture_at_all_is_not_an_image(data: bytes) -> None:
    with pytest.raises(BadImageError) as refused:
        decode(data, (4, 4, 3))
    assert (refused.value.reason, refused.value.detail) == ("not an image", "its format is not recognised")
