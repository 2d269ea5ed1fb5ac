"""A file or an array becomes the pixels that ingest made of it, to the byte, or is refused in bounded words."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from picture_files import CLASSES, KINDS, ingest_pictures, picture, save
from PIL import Image

from longtail.data.dataset import PackedDataset
from longtail.data.preprocessing import Preprocessing
from longtail.errors import DataError
from longtail.inference.pixels import from_array, from_file
from longtail.network.snapshot import Blueprint, read_blueprint
from longtail.sources.decoding import BadImageError


def blueprint(**changes: Any) -> Blueprint:
    how = Preprocessing(image_shape=(24, 20, 3), **changes)
    about: dict[str, Any] = {"features": "network", "backbone": "small_cnn", "embedding": 8, "tasks": []}
    return Blueprint(**about, image_shape=how.image_shape, preprocessing=how)


WITHOUT_FILES = blueprint().model_copy(update={"preprocessing": None})


def test_a_hundred_files_have_the_pixels_of_the_packed_data_set(trained: Path) -> None:
    packed, about = PackedDataset.open(trained / "dataset"), read_blueprint(trained / "index/softmax/snapshot")
    expected = packed.images(np.arange(len(packed)))
    assert len(packed) >= 100
    for source, pixels in zip(packed.samples["source"], expected, strict=True):
        found = from_file((trained / "photos" / source).read_bytes(), about)
        assert found.tobytes() == pixels.tobytes(), source


@pytest.mark.parametrize(
    "changes",
    [
        {"fit": "crop"},
        {"fit": "pad"},
        {"image_shape": (18, 30, 1)},
        {"white": 65535.0, "fit": "crop"},
        {"storage": "jpeg"},
        {"storage": "jpeg", "quality": 70, "fit": "crop", "image_shape": (18, 30, 1)},
    ],
)
def test_whatever_ingest_was_told_a_model_does_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setenv("LONGTAIL_TRACKING", "off")
    ingest_pictures(tmp_path, 2 * len(KINDS), **changes)
    packed = PackedDataset.open(tmp_path / "dataset")
    about = blueprint().model_copy(
        update={"image_shape": packed.info.image_shape, "preprocessing": packed.info.preprocessing}
    )
    for source, pixels in zip(packed.samples["source"], packed.images(np.arange(len(packed))), strict=True):
        assert from_file((tmp_path / "photos" / source).read_bytes(), about).tobytes() == pixels.tobytes(), source


@pytest.mark.parametrize("changes", [{}, {"fit": "crop"}, {"fit": "pad"}, {"jpeg_quality": 90}, {"white": 65535.0}])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "16 bit"])
def test_an_array_of_any_size_becomes_what_its_lossless_file_does(
    tmp_path: Path, kind: str, changes: dict[str, Any]
) -> None:
    about = blueprint(**changes)
    with Image.open(save(picture(1, 5), tmp_path / "one", kind, 1)) as image:
        shown = image.convert({"palette": "RGB", "grey alpha": "RGBA", "cmyk": "RGB"}.get(kind, image.mode))
    shown = shown.convert("RGB") if shown.mode == "P" else shown
    data = io.BytesIO()
    shown.save(data, "png")
    found = from_array(np.asarray(shown), about)
    assert found.tobytes() == from_file(data.getvalue(), about).tobytes()
    assert found.shape == (24, 20, 3)


FORMS = {
    "upside down": lambda image: image[::-1],
    "mirrored": lambda image: image[:, ::-1],
    "every other": lambda image: image[::2, ::2],
    "as Fortran has it": np.asfortranarray,
    "turned": np.rot90,
    "read-only": lambda image: np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(24, 20, 3), (61, 40, 3), (61, 40, 4), (61, 40, 1), (61, 40)])
def test_an_array_may_lie_in_memory_in_any_order(form: str, shape: tuple[int, ...]) -> None:
    image = FORMS[form](np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    assert (from_array(image, blueprint()) == from_array(np.array(image, order="C"), blueprint())).all()


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint16, np.bool_, np.complex64]),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=40),
    )
    | arrays.arrays(np.uint8, arrays.array_shapes(min_dims=0, max_dims=1, min_side=0, max_side=400))
    | arrays.arrays(np.uint8, st.sampled_from([(4, 4, 2), (4, 4, 5), (0, 4), (4, 0, 3), (4, 4, 0), (1, 24, 20, 3)]))
)
def test_what_is_no_image_of_bytes_is_refused_without_its_pixels(image: npt.NDArray[np.generic]) -> None:
    with pytest.raises(BadImageError, match="not an image") as refused:
        from_array(image, blueprint())
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "give", [lambda: from_file(b"", WITHOUT_FILES), lambda: from_array(np.zeros((9, 9), np.uint8), WITHOUT_FILES)]
)
def test_a_model_whose_pixels_took_more_than_a_file_refuses_files(give: Any) -> None:
    with pytest.raises(DataError, match=r"the model takes no image files, .*landmarks: give it uint8 arrays N×24×20×3"):
        give()
    assert from_array(np.zeros((24, 20, 3), np.uint8), WITHOUT_FILES).shape == (24, 20, 3)


def test_an_image_of_more_than_a_hundred_megapixels_is_refused_before_it_is_decoded() -> None:
    data = io.BytesIO()
    Image.new("1", (10_100, 10_000)).save(data, "png")
    with pytest.raises(BadImageError) as refused:
        from_file(data.getvalue(), blueprint())
    assert refused.value.args == ("image too large", "more than 100 megapixels; shrink it")


def test_classes_are_apart_in_the_pictures_of_these_tests() -> None:
    """They could not tell a right answer from a wrong one otherwise."""
    assert len({np.asarray(picture(code, 3)).tobytes() for code in range(len(CLASSES))}) == len(CLASSES)
