"""The ingest stage: whole outputs, the same bytes every time, and what becomes of bad input."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from small_disk import small_disk

from longtail.data import jpeg
from longtail.data.colours import histogram, without_bars
from longtail.data.dataset import PackedDataset
from longtail.errors import DataError
from longtail.stages.ingest import Params, run

DIGITS = {"source": {"kind": "digits", "copies": 1}, "image_shape": [28, 28, 1]}
FOLDER = {"source": {"kind": "folder"}, "image_shape": [8, 8, 3]}
KEPT = pytest.mark.parametrize("storage", ["raw", "jpeg"])


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Forty images in the class folders a and b."""
    random = np.random.default_rng(0)
    for i in range(40):
        path = tmp_path / "photographs" / "ab"[i % 2] / f"{i:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    return tmp_path / "photographs"


def ingest(data: Path, out: Path, settings: dict[str, Any], **changes: Any) -> dict[str, float]:
    return run(data, out, params=Params(**{**settings, **changes}))


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def test_the_default_becomes_a_packed_dataset(tmp_path: Path) -> None:
    scalars = ingest(tmp_path, tmp_path / "out", DIGITS)
    dataset = PackedDataset.open(tmp_path / "out")
    assert scalars == {"images": 1797.0, "classes_digit": 10.0}
    assert dataset.images(np.arange(5)).shape == (5, 28, 28, 1)
    assert "scikit-learn" in dataset.info.provenance
    assert "CC BY" in dataset.info.licence


@pytest.mark.parametrize(
    ("storage", "images"), [("raw", ["images-00000.npy"]), ("jpeg", ["images-00000.mjpeg", "offsets-00000.npy"])]
)
def test_only_the_packed_dataset_is_left_behind(
    tmp_path: Path, photographs: Path, storage: str, images: list[str]
) -> None:
    ingest(photographs, tmp_path / "out", FOLDER, storage=storage)
    packed = ["dataset.json", "digests.json", "lineage.json", "samples.parquet"]
    assert list(content(tmp_path / "out")) == sorted([*packed, *images])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photographs"]


@KEPT
@pytest.mark.parametrize("settings", [DIGITS, FOLDER], ids=["digits", "folder"])
def test_the_same_settings_give_the_same_bytes(
    tmp_path: Path, photographs: Path, settings: dict[str, Any], storage: str
) -> None:
    for out in ("one", "two"):
        ingest(photographs, tmp_path / out, settings, storage=storage)
    assert content(tmp_path / "one") == content(tmp_path / "two")


@KEPT
@pytest.mark.parametrize("settings", [DIGITS, FOLDER], ids=["digits", "folder"])
def test_the_data_do_not_depend_on_the_workers(
    tmp_path: Path, photographs: Path, settings: dict[str, Any], storage: str
) -> None:
    for out, workers in (("one", 1), ("three", 3)):
        ingest(photographs, tmp_path / out, settings, storage=storage, workers=workers)
        (tmp_path / out / "lineage.json").unlink()  # it records the parameters, `workers` among them
    assert content(tmp_path / "one") == content(tmp_path / "three")


def test_the_seed_changes_the_digits(tmp_path: Path) -> None:
    ingest(tmp_path, tmp_path / "zero", DIGITS)
    ingest(tmp_path, tmp_path / "one", DIGITS, seed=1)
    assert PackedDataset.open(tmp_path / "zero").info.md5 != PackedDataset.open(tmp_path / "one").info.md5


def test_fail_lists_the_first_twenty_problems_and_how_many_more(tmp_path: Path, photographs: Path) -> None:
    for path in sorted(photographs.rglob("*.jpg"))[8:32]:
        path.write_bytes(b"torn")
    (photographs / "c").mkdir()
    with pytest.raises(DataError) as caught:
        ingest(photographs, tmp_path / "out", FOLDER)
    message = str(caught.value)
    assert message.startswith("25 problem(s)")
    assert message.count("not an image") == 20
    assert "and 5 more" in message
    assert f"{photographs}/a/16.jpg" in message
    assert "on_error: skip" in message


def test_fail_leaves_nothing_and_keeps_an_earlier_output(tmp_path: Path, photographs: Path) -> None:
    ingest(photographs, tmp_path / "out", FOLDER)
    before = content(tmp_path / "out")
    (photographs / "a" / "00.jpg").write_bytes(b"torn")
    with pytest.raises(DataError):
        ingest(photographs, tmp_path / "out", FOLDER)
    assert content(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photographs"]


def test_skip_leaves_bad_images_out_and_counts_them(tmp_path: Path, photographs: Path) -> None:
    (photographs / "a" / "00.jpg").write_bytes(b"torn")
    whole = photographs / "b" / "01.jpg"
    whole.write_bytes(whole.read_bytes()[:-200])
    (photographs / "c").mkdir()
    scalars = ingest(photographs, tmp_path / "out", FOLDER, on_error="skip")
    assert scalars == {
        "images": 38.0,
        "classes_label": 2.0,
        "left_out_empty_class": 1.0,
        "left_out_not_an_image": 1.0,
        "left_out_truncated_image": 1.0,
    }


@KEPT
def test_skip_keeps_images_and_samples_aligned(tmp_path: Path, photographs: Path, storage: str) -> None:
    ingest(photographs, tmp_path / "whole", FOLDER, storage=storage)
    for name in ("a/00.jpg", "a/20.jpg", "b/39.jpg"):
        (photographs / name).write_bytes(b"torn")
    ingest(photographs, tmp_path / "rest", FOLDER, storage=storage, on_error="skip")
    whole, rest = PackedDataset.open(tmp_path / "whole"), PackedDataset.open(tmp_path / "rest")
    rows = np.flatnonzero(whole.samples["id"].isin(rest.samples["id"]))
    assert len(rest) == 37
    assert (whole.images(rows) == rest.images(np.arange(37))).all()


def test_skip_with_no_image_left_is_an_error(tmp_path: Path, photographs: Path) -> None:
    for path in photographs.rglob("*.jpg"):
        path.write_bytes(b"torn")
    with pytest.raises(DataError, match="no image is left"):
        ingest(photographs, tmp_path / "out", FOLDER, on_error="skip")


def test_a_task_of_one_class_is_an_error(tmp_path: Path, photographs: Path) -> None:
    settings = {**FOLDER, "source": {"kind": "folder", "classes": ["a"], "ignore": ["b/*"]}}
    with pytest.raises(DataError, match="fewer than two classes"):
        ingest(photographs, tmp_path / "out", settings)
    settings = {**FOLDER, "source": {"kind": "folder", "classes": ["a", "b"], "background": "b"}}
    with pytest.raises(DataError, match=r"fewer than two classes with images beside the background 'b': \['a'\]"):
        ingest(photographs, tmp_path / "background", settings)


@pytest.mark.parametrize(
    "settings",
    [
        {**DIGITS, "source": {"kind": "digit"}},
        {**DIGITS, "source": {"kind": "digits", "copy": 3}},
        {**DIGITS, "image_shape": [28, 28, 2]},
        {**DIGITS, "on_error": "ignore"},
        {**DIGITS, "storage": "png"},
        {**DIGITS, "storage": "jpeg", "quality": 0},
        {**DIGITS, "storage": "jpeg", "quality": 101},
    ],
)
def test_unknown_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Params(**settings)


@pytest.mark.parametrize("settings", [DIGITS, FOLDER], ids=["digits", "folder"])
def test_a_jpeg_is_stored_of_the_pixels_that_raw_holds(
    tmp_path: Path, photographs: Path, settings: dict[str, Any]
) -> None:
    ingest(photographs, tmp_path / "raw", settings, storage="raw")
    ingest(photographs, tmp_path / "jpeg", settings, storage="jpeg", quality=70)
    raw, packed = PackedDataset.open(tmp_path / "raw"), PackedDataset.open(tmp_path / "jpeg")
    rows = np.arange(len(raw))
    passed = [jpeg.decode(jpeg.encode(pixels, 70), pixels.shape) for pixels in raw.images(rows)]
    assert (packed.images(rows) == np.stack(passed)).all()
    assert packed.samples.equals(raw.samples)


@pytest.mark.parametrize(
    ("shape", "asked", "quality"),
    [
        ([127, 500, 3], {}, None),
        ([128, 128, 1], {}, 95),
        ([300, 128, 3], {}, 95),
        ([300, 128, 3], {"quality": 80}, 80),
        ([300, 128, 3], {"storage": "raw"}, None),
        ([8, 8, 3], {"storage": "jpeg"}, 95),
    ],
)
def test_images_are_kept_as_jpegs_by_their_size(shape: list[int], asked: dict[str, Any], quality: int | None) -> None:
    params = Params(source={"kind": "folder"}, image_shape=shape, **asked)  # type: ignore[arg-type]
    assert params.preprocessing("pad").jpeg_quality == params.jpeg_quality == quality


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({**FOLDER, "quality": 90}, "`quality` is that of JPEGs, and images of 8×8 are kept raw"),
        ({**FOLDER, "image_shape": [224, 224, 3], "storage": "raw", "quality": 90}, "224×224 are kept raw"),
        ({**FOLDER, "image_shape": [128, 65501, 3]}, "128×65501 are too large for a JPEG"),
    ],
)
def test_a_storage_that_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Params(**settings)


@KEPT
def test_images_do_not_lie_on_the_disk_twice(tmp_path: Path, storage: str) -> None:
    random = np.random.default_rng(0)
    for i in range(400):
        path = tmp_path / "data" / "ab"[i % 2] / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    settings = {**FOLDER, "image_shape": [64, 64, 3], "storage": storage}
    ingest(tmp_path / "data", tmp_path / "whole", settings)
    packed = sum(file.stat().st_size for file in (tmp_path / "whole").iterdir())
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", f"size={int(1.4 * packed)}"):
        ingest(tmp_path / "data", tmp_path / "disk" / "out", settings)
        assert content(tmp_path / "disk" / "out") == content(tmp_path / "whole")


def test_white_and_limits_are_parameters(tmp_path: Path) -> None:
    for i, side in enumerate((8, 8, 50)):
        (tmp_path / "data" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((side, side), 1000 + i, np.uint16)).save(tmp_path / "data" / "ab"[i % 2] / f"{i}.png")
    settings = {"source": {"kind": "folder"}, "image_shape": [8, 8, 1], "on_error": "skip"}
    with pytest.raises(DataError, match="`white: 1023`"):
        ingest(tmp_path / "data", tmp_path / "out", settings)
    scalars = ingest(tmp_path / "data", tmp_path / "out", settings, white=1023, limits={"image_megapixels": 0.001})
    assert scalars["left_out_image_too_large"] == 1.0
    assert PackedDataset.open(tmp_path / "out").images(np.arange(2))[:, 0, 0, 0].tolist() == [249, 250]


@pytest.mark.parametrize("fit", ["pad", "stretch", "crop"])
@KEPT
def test_bars_of_padded_images_have_no_colour(tmp_path: Path, storage: str, fit: str) -> None:
    """They are no part of the picture: all of this one is red, and half of the square is not it."""
    for name, size in (("wide", (40, 20)), ("high", (20, 40)), ("square", (30, 30))):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.new("RGB", size, (200, 0, 0)).save(tmp_path / "data" / name / "a.png")
    settings = {"source": {"kind": "folder", "fit": fit}, "image_shape": [32, 32, 3], "storage": storage}
    ingest(tmp_path / "data", tmp_path / "out", settings, colours=5)
    found = PackedDataset.open(tmp_path / "out").colours
    assert found is not None
    assert (found.max(1) >= 0.99 * 224**2).all()
    assert (found.argmax(1) == 2 * 5 + 4).all()  # H 0, S 1: the last cell of the middle row


def test_an_image_that_is_all_black_is_counted_whole() -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    assert np.array_equal(without_bars(black), black)
    assert histogram(black, 5, padded=True).tolist() == histogram(black, 5).tolist()


def test_grey_images_have_no_colours_to_count() -> None:
    with pytest.raises(ValidationError, match="the images are grey: leave it out"):
        Params(source={"kind": "folder"}, image_shape=(28, 28, 1), colours=5)  # type: ignore[arg-type]


@KEPT
def test_colours_are_those_of_the_packed_images_and_change_nothing_else(
    tmp_path: Path, photographs: Path, storage: str
) -> None:
    settings = {**FOLDER, "image_shape": [8, 8, 3], "storage": storage}
    ingest(photographs, tmp_path / "without", settings)
    ingest(photographs, tmp_path / "with", settings, colours=5)
    without, coloured = content(tmp_path / "without"), content(tmp_path / "with")
    assert set(coloured) - set(without) == {"colours.npy"}
    changed = {name for name, data in without.items() if coloured[name] != data}
    assert changed == {"dataset.json", "lineage.json", "digests.json"}
    packed = PackedDataset.open(tmp_path / "with")
    assert packed.info.colours == 5
    assert packed.info.md5 == PackedDataset.open(tmp_path / "without").info.md5
    assert packed.colours is not None
    expected = [histogram(image, 5) for image in packed.images(np.arange(len(packed)))]
    assert packed.colours.dtype == np.uint16
    assert np.array_equal(packed.colours, expected)
    assert len(np.unique(packed.colours, axis=0)) > 1


def test_without_colours_nothing_speaks_of_them(tmp_path: Path, photographs: Path) -> None:
    ingest(photographs, tmp_path / "default", FOLDER)
    ingest(photographs, tmp_path / "null", FOLDER, colours=None)
    assert content(tmp_path / "default") == content(tmp_path / "null")
    assert not [name for name, data in content(tmp_path / "default").items() if b"colours" in data]
    assert PackedDataset.open(tmp_path / "default").colours is None


@pytest.mark.parametrize("threads", ["1", "3"])
def test_colours_do_not_depend_on_threads_and_blocks(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    ingest(photographs, tmp_path / "one", FOLDER, colours=5)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setattr("longtail.data.dataset.BLOCK", 3 * 8 * 8 * 3 + 1)
    ingest(photographs, tmp_path / "two", FOLDER, colours=5)
    assert content(tmp_path / "one") == content(tmp_path / "two")


@pytest.mark.parametrize("grid", [1, 0, -5, 65, 2.5, "five"])
def test_a_grid_that_cannot_be_is_refused(grid: Any) -> None:
    with pytest.raises(ValidationError, match="colours"):
        Params(**FOLDER, colours=grid)  # type: ignore[arg-type]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "one byte less": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "nothing": lambda file: file.write_bytes(b""),
    "another format": lambda file: file.write_bytes(b"PK\x03\x04" + file.read_bytes()),
    "missing": lambda file: file.unlink(),
    "dtype": lambda file: np.save(file, np.zeros((40, 25), np.int32)),
    "other images": lambda file: np.save(file, np.zeros((39, 25), np.uint16)),
    "another grid": lambda file: np.save(file, np.zeros((40, 36), np.uint16)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_colours_are_told_in_one_sentence(tmp_path: Path, photographs: Path, damage: str) -> None:
    ingest(photographs, tmp_path / "out", FOLDER, colours=5)
    DAMAGES[damage](tmp_path / "out" / "colours.npy")
    with pytest.raises(DataError, match=r"is not a packed dataset: .*; make it with `longtail ingest`") as error:
        PackedDataset.open(tmp_path / "out")
    assert "\n" not in str(error.value)


def test_torch_is_not_imported() -> None:
    code = "import sys, longtail.stages.ingest; sys.exit('torch' in sys.modules or 'torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
