"""BSDS500 in folders and archives: where patches lie, their classes, and what is wrong with the files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from annotated_photographs import SIZE, SUBSETS, write_photographs
from edge_files import outlines, write_annotations
from PIL import Image
from scipy.io import savemat

from longtail.data.dataset import PackedDataset
from longtail.errors import DataError
from longtail.problems.edges import structure
from longtail.problems.edges.annotations import read_boundaries
from longtail.sources.bsds500 import Bsds500
from longtail.stages.ingest import Params, run

SIDE = 35


def ingest(root: Path, source: dict[str, object] | None = None, **params: object) -> PackedDataset:
    """The packed data set of the files below `root`."""
    chosen = {"kind": "bsds500", "patches": 40, "classes": 3, **(source or {})}
    out = root.parent / "dataset"
    shutil.rmtree(out, ignore_errors=True)
    run(root, out, params=Params.model_validate({"source": chosen, "image_shape": [SIDE, SIDE, 3], **params}))
    return PackedDataset.open(out)


@pytest.fixture
def files(root: Path) -> Path:
    write_photographs(root)
    return root


def centres(packed: PackedDataset) -> pd.DataFrame:
    assert packed.photographs is not None
    table = pd.DataFrame(packed.photographs.places, columns=["photograph", "annotator", "y", "x"])
    return table.assign(edge=packed.samples["edge"].astype(str), subset=packed.samples["subset"].astype(str))


def test_an_edge_patch_has_a_boundary_of_its_annotator_at_the_centre_and_the_others_lie_apart(files: Path) -> None:
    packed = ingest(files)
    assert packed.photographs is not None
    for number, of_one in centres(packed).groupby("photograph"):
        name = packed.photographs.entries[number].name  # type: ignore[call-overload]
        drawn = read_boundaries(files / f"groundTruth/{name}.mat")
        assert (packed.photographs.annotations(number) == drawn).all()  # type: ignore[arg-type]
        near = np.argwhere(drawn.any(axis=0))
        for _, annotator, y, x, edge, _ in of_one.itertuples(index=False):
            if edge != "none":
                assert drawn[annotator, y, x]
            else:
                assert np.hypot(*(near - (y, x)).T).min() > 2


def test_there_are_as_many_with_an_edge_as_without_in_every_photograph(files: Path) -> None:
    table = centres(ingest(files))
    counts = table.groupby(["photograph", table["edge"] == "none"]).size().unstack()
    assert (counts == 20).all(axis=None)
    assert not table.duplicated(["photograph", "annotator", "y", "x"]).any()


def test_fewer_patches_may_be_held_out(files: Path) -> None:
    counts = ingest(files, {"held_out": 12}).samples.groupby("subset", observed=True).size()
    assert counts.to_dict() == {"train": 80, "validation": 24, "test": 24}


def test_the_official_subsets_share_no_photograph_and_every_class_is_in_each(files: Path) -> None:
    packed = ingest(files)
    assert set(packed.samples["subset"]) == {"train", "validation", "test"}
    assert packed.samples.groupby("group")["subset"].nunique().max() == 1
    present = packed.samples.groupby("subset", observed=True)["edge"].nunique()
    assert set(present) == {len(packed.task("edge").classes)}
    assert packed.task("edge").background == "none"


def test_classes_that_were_given_up_are_said(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = ingest(files, {"classes": 30})
    made = len(packed.task("edge").classes) - 1
    assert made < 30
    assert f"ingest: {made} classes of edges, and not 30: " in capsys.readouterr().err
    packed = ingest(files, {"classes": 2})
    assert len(packed.task("edge").classes) == 3
    assert "classes of edges" not in capsys.readouterr().err


def test_a_patch_is_cut_out_of_its_photograph_and_mirrored_at_the_border(files: Path) -> None:
    packed = ingest(files)
    assert packed.photographs is not None
    rows = np.arange(len(packed))[::-3]
    for row, patch in zip(rows, packed.images(rows), strict=True):
        number, _, y, x = packed.photographs.places[row]
        whole = np.pad(packed.photographs.pixels(number), [(SIDE // 2, SIDE // 2)] * 2 + [(0, 0)], mode="reflect")
        assert (patch == whole[y : y + SIDE, x : x + SIDE]).all()


def test_the_photograph_is_that_of_the_file(files: Path) -> None:
    packed = ingest(files)
    assert packed.photographs is not None
    pixels = np.asarray(Image.open(files / f"images/{packed.photographs.entries[0].name}.jpg"))
    assert (packed.photographs.pixels(0) == pixels).all()


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_is_read_like_the_folders(files: Path, kind: str, tmp_path: Path) -> None:
    expected = ingest(files)
    archive = Path(shutil.make_archive(str(tmp_path / "packed" / "BSR"), kind, files.parent, files.name))
    found = ingest(archive.parent, {"path": archive.name})
    assert found.info.md5 == expected.info.md5


@pytest.mark.parametrize("workers", [1, 3])
def test_the_result_depends_on_the_seed_and_not_on_the_workers(files: Path, workers: int) -> None:
    assert ingest(files, workers=workers).info.md5 == ingest(files).info.md5
    assert ingest(files, workers=workers, seed=1).info.md5 != ingest(files).info.md5


def test_fewer_photographs_are_the_first_of_each_subset(files: Path) -> None:
    packed = ingest(files, {"photographs": 1})
    assert packed.photographs is not None
    assert [one.name for one in packed.photographs.entries] == ["train/0", "val/10", "test/20"]


def nothing_drawn(file: Path) -> None:
    savemat(file, {"groundTruth": np.empty((1, 0), object)})


def another_kind(file: Path) -> None:
    savemat(file, {"ucm2": np.zeros((5, 5))})


def no_numbers(file: Path) -> None:
    boundaries = np.where(outlines((60, 60))[0] > 0, 1.0, np.nan)
    annotator = np.zeros((1, 1), [("Boundaries", object)])
    annotator[0, 0]["Boundaries"] = boundaries
    cell = np.empty((1, 1), object)
    cell[0, 0] = annotator
    savemat(file, {"groundTruth": cell})


def other_size(file: Path) -> None:
    write_annotations(file, outlines((60, 61)))


def no_matlab(file: Path) -> None:
    file.write_bytes(b"\x00MATLAB 5.0 but not really" * 9)


FAULTS: list[tuple[str, Callable[[Path], None], str]] = [
    ("groundTruth/{}.mat", nothing_drawn, "has no annotation"),
    ("groundTruth/{}.mat", another_kind, "another kind of .mat file"),
    ("groundTruth/{}.mat", no_matlab, "cannot read"),
    ("groundTruth/{}.mat", no_numbers, "has NaN or infinity in `Boundaries`"),
    ("groundTruth/{}.mat", other_size, "annotation of another size"),
    ("groundTruth/{}.mat", Path.unlink, "photograph without annotation"),
    ("images/{}.jpg", Path.unlink, "annotation without photograph"),
    ("images/{}.jpg", lambda file: file.write_bytes(file.read_bytes()[:300]), "image"),
]


@pytest.mark.parametrize(("place", "spoil", "sentence"), FAULTS)
@pytest.mark.parametrize("one", ["train/0", "val/11", "test/20"])
def test_what_is_wrong_with_a_file_is_told_or_left_out(
    files: Path, place: str, spoil: Callable[[Path], None], sentence: str, one: str
) -> None:
    spoil(files / place.format(one))
    with pytest.raises(DataError, match="1 problem") as caught:
        ingest(files)
    assert sentence in str(caught.value)
    assert one in str(caught.value)
    assert not (files.parent / "dataset").exists()
    packed = ingest(files, on_error="skip")
    assert packed.photographs is not None
    assert one not in [entry.name for entry in packed.photographs.entries]
    assert len(packed.photographs.entries) == 2 * len(SUBSETS) - 1


def test_a_photograph_smaller_than_a_patch_is_told(root: Path) -> None:
    write_photographs(root, size=(40, SIZE[1]))
    with pytest.raises(DataError, match=r"photograph smaller than a patch \(56×40, where a patch has 45×45\)"):
        run(
            root,
            root.parent / "dataset",
            params=Params.model_validate({"source": {"kind": "bsds500"}, "image_shape": [45, 45, 3]}),
        )


def names(packed: PackedDataset) -> list[str]:
    assert packed.photographs is not None
    return [entry.name for entry in packed.photographs.entries]


@pytest.mark.parametrize(
    ("one", "others"), [("train/0", ["test"]), ("val/11", ["train"]), ("test/20", ["train", "val"])]
)
def test_photographs_of_one_name_in_several_subsets_are_told_or_left_out(
    files: Path, one: str, others: list[str]
) -> None:
    """Edge maps have the photographs' names, and would be measured by what was drawn in another."""
    stem = Path(one).name
    for other in others:
        shutil.copy(files / f"images/{one}.jpg", files / f"images/{other}/{stem}.jpg")
        shutil.copy(files / f"groundTruth/{one}.mat", files / f"groundTruth/{other}/{stem}.mat")
    with pytest.raises(DataError, match=f"{1 + len(others)} problem") as caught:
        ingest(files)
    assert f"name that several photographs have ({1 + len(others)} are called {stem})" in str(caught.value)
    assert all(f"images/{other}/{stem}.jpg" in str(caught.value) for other in others)
    kept = names(ingest(files, on_error="skip"))
    assert stem not in [Path(name).name for name in kept]
    assert len(kept) == 2 * len(SUBSETS) - 1


def test_two_files_of_one_name_in_a_folder_are_told_or_left_out(files: Path) -> None:
    """The annotation is of one of them, and which is not known."""
    shutil.copy(files / "images/val/11.jpg", files / "images/val/10.jpeg")
    with pytest.raises(DataError, match="name that several photographs have") as caught:
        ingest(files)
    assert all(f"images/val/{name}" in str(caught.value) for name in ("10.jpg", "10.jpeg"))
    assert "val/10" not in names(ingest(files, on_error="skip"))


def test_fewer_photographs_are_the_first_of_those_whose_name_is_their_own(files: Path) -> None:
    for folder, suffix in (("images", "jpg"), ("groundTruth", "mat")):
        shutil.copy(files / folder / f"train/0.{suffix}", files / folder / f"test/0.{suffix}")
    assert names(ingest(files, {"photographs": 1}, on_error="skip")) == ["train/1", "val/10", "test/20"]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [({"image_shape": [35, 45, 3]}, "patches are squares"), ({"storage": "jpeg"}, "not kept as JPEGs")],
)
def test_parameters_that_no_patch_has_are_told(files: Path, params: dict[str, object], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        ingest(files, **params)


def test_folders_that_are_not_bsds500_are_told(root: Path) -> None:
    (root / "images").mkdir()
    with pytest.raises(DataError, match="is not BSDS500"):
        ingest(root)


def test_the_default_is_lmles() -> None:
    source = Bsds500(kind="bsds500")
    assert source.classes == 150


def test_edges_are_described_alike_in_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    boundaries = random.random((2, 50, 60)) < 0.1
    places = np.column_stack([random.integers(2, size=9), random.integers(50, size=9), random.integers(60, size=9)])
    drawn = [(boundaries, places), (boundaries[:, ::-1], places[:4]), (boundaries, places[:0])]
    alone = structure.describe_places(drawn, workers=1)
    monkeypatch.setattr(structure, "WORTH", 1)
    assert (structure.describe_places(drawn, workers=2) == alone).all()
    padded = np.pad(boundaries[places[0, 0]], SIDE // 2, mode="reflect")
    y, x = places[0, 1:].tolist()
    assert (alone[0] == structure.describe(padded[None, y : y + SIDE, x : x + SIDE])[0]).all()
    assert len(alone) == 13
