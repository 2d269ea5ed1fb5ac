"""What a caller of the served model may give, all of it the same batch, and what is refused without its pixels."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from picture_files import CLASSES, picture, save
from PIL import Image

from longtail.data.preprocessing import Preprocessing
from longtail.errors import DataError
from longtail.inference.batches import batch
from longtail.inference.pixels import from_file
from longtail.network.snapshot import Blueprint

Pixels = npt.NDArray[np.uint8]
SHAPE = (24, 20, 3)
MODEL = Blueprint(
    features="network",
    backbone="small_cnn",
    embedding=8,
    tasks=[],
    image_shape=SHAPE,
    preprocessing=Preprocessing(image_shape=SHAPE),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Losslessly kept pictures."""
    folder = tmp_path_factory.mktemp("files")
    return [save(picture(code, 9), folder / name, "png") for code, name in enumerate(CLASSES)]


def arrays(files: list[Path]) -> list[Pixels]:
    return [np.asarray(picture(code, 9)) for code in range(len(files))]


def content(files: list[Path]) -> list[bytes]:
    return [file.read_bytes() for file in files]


def text(files: list[Path]) -> list[str]:
    return [base64.b64encode(data).decode() for data in content(files)]


GUISES: dict[str, Callable[[list[Path]], Any]] = {
    "bytes": content,
    "bytearrays": lambda files: [bytearray(data) for data in content(files)],
    "views": lambda files: tuple(memoryview(data) for data in content(files)),
    "base64": text,
    "base64 in lines": lambda files: [base64.encodebytes(data).decode() for data in content(files)],
    "data addresses": lambda files: [f"data:image/png;base64,{one}" for one in text(files)],
    "paths": lambda files: files,
    "paths as texts": lambda files: [str(file) for file in files],
    "arrays of their own sizes": arrays,
    "nested lists": lambda files: [image.tolist() for image in arrays(files)],
    "all kinds at once": lambda files: [files[0], content(files)[1], arrays(files)[2]],
    "Series of bytes": lambda files: pd.Series(content(files)),
    "column of base64": lambda files: pd.DataFrame({"image": text(files), "id": [1, 2, 3]}),
    "only column, of paths": lambda files: pd.DataFrame({"photo": [str(file) for file in files]}),
    "column of arrays": lambda files: pd.DataFrame({"image": arrays(files)}),
    "dict": lambda files: {"image": text(files)},
    "array of objects": lambda files: np.array(content(files), dtype=object),
    "array of texts": lambda files: np.array(text(files)),
    "column as an array": lambda files: np.array(text(files))[:, None],
    "generator": lambda files: (file for file in files),
    "batch": lambda files: np.stack([from_file(data, MODEL) for data in content(files)]),
    "batch as JSON has it": lambda files: np.stack([from_file(data, MODEL) for data in content(files)]).astype(int),
    "batch backwards": lambda files: np.stack([from_file(data, MODEL) for data in content(files)][::-1])[::-1],
}


@pytest.mark.parametrize("guise", GUISES)
def test_every_guise_is_the_same_batch(files: list[Path], guise: str) -> None:
    found = batch(GUISES[guise](files), MODEL)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert found.flags.writeable
    np.testing.assert_array_equal(found, [from_file(data, MODEL) for data in content(files)])


@pytest.mark.parametrize("one", [lambda file: file, str, lambda file: file.read_bytes()])
def test_one_file_alone_is_a_batch_of_one(files: list[Path], one: Callable[[Path], Any]) -> None:
    np.testing.assert_array_equal(batch(one(files[0]), MODEL), [from_file(files[0].read_bytes(), MODEL)])


def test_a_path_that_would_do_as_base64_is_a_path_where_there_is_a_file(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats/pic").write_bytes(files[0].read_bytes())
    assert base64.b64decode("cats/pic", validate=True)
    np.testing.assert_array_equal(batch(["cats/pic"], MODEL), [from_file(files[0].read_bytes(), MODEL)])


NONE: dict[str, Any] = {
    "list": [],
    "array": np.zeros((0, *SHAPE), np.uint8),
    "array as JSON has it": np.array([]),
    "array of another size": np.zeros((0, 9, 9, 3), np.uint8),
    "Series": pd.Series([], dtype=object),
    "column": pd.DataFrame({"image": []}),
    "dict": {"image": []},
    "array of texts": np.array([], dtype=str),
}


@pytest.mark.parametrize("form", NONE)
def test_no_image_is_an_empty_batch(form: str) -> None:
    assert batch(NONE[form], MODEL).shape == (0, *SHAPE)


NOISE = np.random.default_rng(0).integers(1, 255, (2, *SHAPE), dtype=np.uint8)
REFUSED: dict[str, tuple[Any, str]] = {
    "floats": (NOISE / 255, "the pixels are float64, not uint8 from 0 to 255"),
    "float32": (NOISE.astype(np.float32), "the pixels are float32"),
    "too bright": (NOISE.astype(np.int64) + 9, "the pixels are int64, not uint8 from 0 to 255"),
    "below black": (NOISE.astype(np.int16) - 9, "the pixels are int16"),
    "bools": (NOISE > 99, "the pixels are bool"),
    "one image alone": (NOISE[0], r"the array has the shape \(24, 20, 3\); a batch is N×H×W×C"),
    "one image alone, as JSON has it": (NOISE[0].tolist(), "the list is one image h×w×c; a batch is a list of images"),
    "grey without channels": (NOISE[..., 0], r"the array has the shape \(2, 24, 20\)"),
    "a video": (NOISE[None], r"the array has the shape \(1, 2, 24, 20, 3\)"),
    "a number": (7, "the images are int; give a uint8 array"),
    "none": (None, "the images are NoneType"),
    "two channels": (NOISE[..., :2], "an array of shape"),
    "a list of floats": (
        [NOISE[0] / 255] * 9,
        "9 of 9 images cannot be read: image 0: not an image: its pixels are float",
    ),
    "a list of rows": ([[[1, 2], [3]]], "1 of 1 images cannot be read: image 0: not an image: its rows are not"),
    "a list of numbers": ([1, 2, None], "3 of 3 images cannot be read"),
    "two columns called image": (pd.DataFrame([["x", "y"]], columns=["image"] * 2), "of 2 columns several are called"),
    "one that is too bright": (
        [NOISE[0], [[[300] * 3] * 20] * 24],
        "1 of 2 images cannot be read: image 1: the pixels are int64, not uint8",
    ),
    "two columns": (pd.DataFrame({"a": ["x"], "b": ["y"]}), "of 2 columns none is called 'image'"),
    "no column": (pd.DataFrame(), "of 0 columns none is called 'image'"),
    "text": (["no such file.jpg"], "image 0: neither base64 nor a file: no such file.jpg: No such file or directory"),
    "a null": (["a\0b"], "neither base64 nor a file"),
    "long text": (["?" * 10**6], "a text of 1000000 characters that is no base64"),
    "base64 of nothing": ([base64.b64encode(bytes(9999)).decode()], "not an image: its format is not recognised"),
    "empty": ([b"", ""], "2 of 2 images cannot be read: image 0: not an image: the file is empty"),
    "a picture cut off": ([b"\x89PNG\r\n\x1a\n" + bytes(99)] * 3, "3 of 3 images cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_told_in_a_sentence_without_its_pixels(case: str) -> None:
    given, says = REFUSED[case]
    with pytest.raises(DataError, match=says) as refused:
        batch(given, MODEL)
    message = str(refused.value)
    assert len(message) < 900
    assert "\n" not in message
    assert "\\x" not in message.replace("\\x00", "")


@pytest.mark.parametrize("side", [1, 5, 12, 40, 300])
def test_base64_of_any_length_is_no_path(side: int) -> None:
    """A file name has at most 255 bytes, a path 4096: the system refuses to look for longer ones."""
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side), np.uint8)).save(data, "png")
    assert batch([base64.b64encode(data.getvalue()).decode()], MODEL).shape == (1, *SHAPE)


def test_a_bad_image_is_named_by_its_place_among_good_ones(files: list[Path]) -> None:
    with pytest.raises(DataError, match=r"^1 of 4 images cannot be read: image 3: not an image"):
        batch([*files, b"text"], MODEL)


def test_a_model_whose_pixels_took_more_than_a_file_takes_batches_of_its_own_shape_alone(files: list[Path]) -> None:
    model = MODEL.model_copy(update={"preprocessing": None})
    assert batch(NOISE, model).tobytes() == NOISE.tobytes()
    for given in (files, content(files), NOISE[:, :9], np.zeros((1, 9, 9, 3), np.uint8)):
        with pytest.raises(DataError, match="the model takes no image files"):
            batch(given, model)
