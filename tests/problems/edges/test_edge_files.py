"""Maps and annotations from files; each kind of bad input is one sentence that names the file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_files import SHAPE, edge_map, outlines, write_annotations, write_map
from PIL import Image
from scipy.io import savemat

from longtail.errors import DataError
from longtail.problems.edges.annotations import read_boundaries
from longtail.problems.edges.edge_maps import read_edge_map
from longtail.problems.edges.evaluation.case import Case, paired
from longtail.problems.edges.evaluation.evaluation import evaluate
from longtail.problems.edges.evaluation.settings import Settings

HEIGHT, WIDTH = SHAPE


def test_annotations_come_back(tmp_path: Path) -> None:
    for annotators in (1, 2, 6):
        write_annotations(tmp_path / "a.mat", drawn := outlines(annotators=annotators))
        assert (read_boundaries(tmp_path / "a.mat") == drawn).all()


@pytest.mark.parametrize("kind", [dict, list])
def test_annotations_that_are_structures_in_the_place_of_cells(tmp_path: Path, kind: type) -> None:
    """As `struct` of MATLAB, or scipy, writes one annotator, or several."""
    drawn = outlines(annotators=1 if kind is dict else 3)
    if kind is dict:
        content: Any = {"Boundaries": drawn[0].astype(np.uint8)}
    else:
        content = np.array([(one.astype(np.uint8),) for one in drawn], dtype=[("Boundaries", object)])
    savemat(tmp_path / "a.mat", {"groundTruth": content})
    assert (read_boundaries(tmp_path / "a.mat") == drawn).all()


@pytest.mark.parametrize(("kind", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.bool_, 1)])
def test_grey_images_of_every_depth(tmp_path: Path, kind: Any, white: int) -> None:
    pixels = np.rint(white * edge_map(outlines())).astype(kind)
    Image.fromarray(pixels).save(tmp_path / "a.PNG")
    assert (read_edge_map(tmp_path / "a.PNG") == pixels / white).all()


def test_contours_of_twice_the_size(tmp_path: Path) -> None:
    contours = np.zeros((2 * HEIGHT + 1, 2 * WIDTH + 1))
    contours[2::2, 2::2] = edge_map(outlines())
    savemat(tmp_path / "a.mat", {"ucm2": contours})
    assert (read_edge_map(tmp_path / "a.mat") == edge_map(outlines())).all()


def mat(**variables: Any) -> Callable[[Path], None]:
    return lambda file: savemat(file, variables)


def png(pixels: Any, mode: str | None = None) -> Callable[[Path], None]:
    return lambda file: Image.fromarray(np.asarray(pixels, np.uint8), mode).save(file, format="png")


def text(content: bytes) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(content) and None


def cell(*annotators: Any) -> Any:
    values = np.empty((1, len(annotators)), object)
    values[0, :] = annotators
    return values


SIZES = ({"Boundaries": np.ones((3, 4))}, {"Boundaries": np.ones((4, 3))})
ANNOTATIONS = {
    "another kind": (mat(image=np.ones((3, 4))), "no variable `groundTruth`, but ['image']"),
    "numbers": (mat(groundTruth=np.ones((3, 4))), "no map `Boundaries`"),
    "words": (mat(groundTruth="none"), "no map `Boundaries`"),
    "a structure without": (mat(groundTruth=cell({"Segmentation": np.ones((3, 4))})), "no map `Boundaries`"),
    "words as boundaries": (mat(groundTruth=cell({"Boundaries": "here"})), "no map `Boundaries`"),
    "structures as boundaries": (mat(groundTruth=cell({"Boundaries": {"a": 1}})), "no map `Boundaries`"),
    "no pixels": (mat(groundTruth=cell({"Boundaries": np.ones((0, 4))})), "no map `Boundaries`"),
    "nobody": (mat(groundTruth=np.empty((1, 0), object)), "has no annotation"),
    "several sizes": (mat(groundTruth=cell(*SIZES)), "several sizes"),
    "not MATLAB's": (text(b"1 2 3\n"), "cannot read"),
    "empty": (text(b""), "cannot read"),
    "HDF5": (text(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(512)), "version 7.3"),
}
MAPS = {
    "another kind": (".mat", mat(segs=np.ones((3, 4))), "no variable `ucm2`, but ['segs']"),
    "even contours": (".mat", mat(ucm2=np.ones((4, 5))), "is no contour map"),
    "a cell": (".mat", mat(ucm2=cell("a")), "is no contour map"),
    "one pixel": (".mat", mat(ucm2=np.ones((3, 3)) / 2), "is no edge map"),
    "NaN": (".mat", mat(ucm2=np.full((5, 7), np.nan)), "NaN"),
    "infinite": (".mat", mat(ucm2=np.full((5, 7), np.inf)), "NaN or infinite"),
    "above 1": (".mat", mat(ucm2=np.full((5, 7), 255.0)), "values from 255 to 255; scale it"),
    "below 0": (".mat", mat(ucm2=np.full((5, 7), -0.5)), "values from -0.5 to -0.5; scale it"),
    "in colour": (".png", png(np.ones((3, 4, 3))), "in colour"),
    "transparent": (".png", png(np.ones((3, 4, 2)), "LA"), "transparency"),
    "not PNG": (".png", text(b"GIF89a"), "cannot read"),
    "empty": (".png", text(b""), "cannot read"),
}


def assert_sentence(error: Exception, file: str, words: str) -> None:
    assert words in str(error)
    assert file in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize("kind", ANNOTATIONS)
def test_bad_annotations_are_one_sentence(tmp_path: Path, kind: str) -> None:
    write, words = ANNOTATIONS[kind]
    write(tmp_path / "a.mat")
    with pytest.raises(DataError) as error:
        read_boundaries(tmp_path / "a.mat")
    assert_sentence(error.value, "a.mat", words)


@pytest.mark.parametrize("kind", MAPS)
def test_bad_maps_are_one_sentence(tmp_path: Path, kind: str) -> None:
    suffix, write, words = MAPS[kind]
    write(tmp_path / f"a{suffix}")
    with pytest.raises(DataError) as error:
        read_edge_map(tmp_path / f"a{suffix}")
    assert_sentence(error.value, f"a{suffix}", words)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_files_that_are_cut_off(tmp_path: Path, kept: float) -> None:
    write_annotations(tmp_path / "a.mat", outlines())
    write_map(tmp_path / "a.png", edge_map(outlines()))
    for name, read in (("a.mat", read_boundaries), ("a.png", read_edge_map)):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: int(kept * len(content))])
        with pytest.raises(DataError) as error:
            read(tmp_path / name)
        assert_sentence(error.value, name, "cannot read")


@pytest.mark.parametrize(
    ("values", "drawn", "words"),
    [
        (np.zeros((HEIGHT, WIDTH + 1)), outlines(), "is 60×81 pixels (height×width) and its annotation 60×80"),
        (np.zeros((WIDTH, HEIGHT)), outlines(), "is 80×60 pixels (height×width) and its annotation 60×80"),
        (np.zeros((*SHAPE, 3)), outlines(), "is no edge map"),
        (np.zeros(0), outlines(), "is no edge map"),
        (np.full(SHAPE, np.nan), outlines(), "NaN"),
        (255 * np.ones(SHAPE), outlines(), "scale it"),
        (np.zeros(SHAPE), outlines(annotators=1)[:0], "no annotation"),
        (np.zeros(SHAPE), [], "no annotation"),
        (np.zeros(SHAPE), outlines()[0], "has the shape (60, 80); give annotators×height×width"),
        (np.zeros(SHAPE), outlines()[None], "has the shape (1, 2, 60, 80); give annotators×height×width"),
        (np.zeros(SHAPE), np.where(outlines(), np.nan, 0), "NaN"),
        (np.zeros(SHAPE), [[[0, 1], [0]]], "its rows differ in length"),
        (np.zeros(SHAPE), outlines().astype(str), "none of numbers"),
        ([[0, 1], [0]], outlines(), "its rows differ in length"),
        (np.zeros(SHAPE).astype(str), outlines(), "none of numbers"),
        (0.5, outlines(), "is no edge map"),
        (np.zeros(SHAPE), True, "has the shape (1,)"),
    ],
)
def test_arrays_that_do_not_fit(values: Any, drawn: Any, words: str) -> None:
    with pytest.raises(DataError) as error:
        Case("this", values, drawn).read()
    assert_sentence(error.value, "this", words)


@pytest.mark.parametrize(
    "drawn",
    [
        255 * outlines().astype(np.uint8),
        outlines().astype(np.float32),
        -0.5 * outlines().astype(np.float64),
        outlines().astype(np.int64).tolist(),
        list(outlines()),
    ],
)
def test_a_pixel_that_is_not_0_is_drawn_whatever_the_type(drawn: Any) -> None:
    values = edge_map(outlines())
    read_map, boundaries = Case("this", values.tolist(), drawn).read()
    assert boundaries.dtype == np.bool_
    assert (boundaries == outlines()).all()
    assert (read_map == values).all()
    found, expected = (
        evaluate([Case("this", values, of)], Settings(thresholds=3), processes=1) for of in (drawn, outlines())
    )
    assert (found.ods, found.human, found.ap) == (expected.ods, expected.human, expected.ap)


@pytest.mark.parametrize(
    ("maps", "truth", "words"),
    [
        (["a.png", "b.png"], ["a.mat"], "no annotation (.mat) of ['b']"),
        (["a.png"], ["a.mat", "b.mat"], "no map (.png or .mat) of ['b']"),
        (["a.png", "a.mat"], ["a.mat"], "maps of the same image"),
        (["a.jpg"], ["a.mat"], "no file that ends in .png or .mat"),
        (["a.png"], [], "no file that ends in .mat"),
        (None, ["a.mat"], "is no folder"),
    ],
)
def test_folders_that_do_not_fit(tmp_path: Path, maps: list[str] | None, truth: list[str], words: str) -> None:
    for folder, names in (("maps", maps), ("truth", truth)):
        for name in names or []:
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).touch()
    (tmp_path / "truth").mkdir(exist_ok=True)
    with pytest.raises(DataError) as error:
        paired(tmp_path / "maps", tmp_path / "truth")
    assert_sentence(error.value, str(tmp_path), words)
