"""SILKNOW's label tables: small ones of their form, and the real ones, if LONGTAIL_SILKNOW says where they are."""

import io
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.sources.collection import Request
from longtail.sources.silknow import SilkNow
from longtail.sources.silknow_tables import IMAGE, read_tables
from longtail.stages import ingest, split

Draw = Callable[..., Path]
Load = Callable[..., Any]
Tables = Callable[..., None]
A, B, C, D = (f"{museum}__0{number}c2-aa" for number, museum in enumerate(("met", "vam", "imatex", "paris-musees")))
HEADER = "#image_file\t#place\t#timespan\t#technique\t#material\t\n"
ROWS = {
    "train": [
        f"{A}__1_0.jpg\tIT\tnan\tvelvet\tanimal_fibre\t",
        f"{A}__1_1.jpg\tIT\tnan\tvelvet\tanimal_fibre\t",
        f"{B}__O 2__x.jpg\tFR\tnineteenth century (dates CE)\tnan\tnan\t",
    ],
    "dev": [f"{C}__3.jpg\tnan\tsixteenth century (dates CE)\tdamask\tnan\t"],
    "test": [f"{D}__4.jpg\tFR\tnan\tdamask\tmetal_thread\t\t"],  # one tab more, as a row of the real table has
}
FILES = [row.partition("\t")[0] for rows in ROWS.values() for row in rows]


@pytest.fixture
def tables(root: Path) -> Tables:
    """Write the six files into a folder below the data root, with other rows on request."""

    def tables(folder: str = ".", header: str = HEADER, **rows: list[str]) -> None:
        (root / folder).mkdir(exist_ok=True)
        for master, name in (("train", "train"), ("val", "dev"), ("test", "test")):
            collection = f"multimodal_image_centered_img_cent_{name}.txt"
            (root / folder / f"masterfile_{master}.txt").write_text(f"{collection}\n")
            lines = [f"../../../data/img/{row}\n" for row in rows.get(name, ROWS[name])]
            (root / folder / collection).write_text(header + "".join(lines), encoding="utf-8")

    return tables


@pytest.fixture
def images(draw: Draw) -> None:
    for number, name in enumerate(FILES):
        draw(f"img/{name}", (50 * number, 0, 0))


def source(**changes: Any) -> SilkNow:
    return SilkNow(**{"kind": "silknow", "images": "img", **changes})


@pytest.mark.usefixtures("images")
def test_variables_are_tasks_records_are_groups_and_master_files_are_subsets(load: Load, tables: Tables) -> None:
    tables()
    loaded = load(source())
    assert loaded.problems.found == []
    assert {task.name: task.classes for task in loaded.collection.tasks} == {
        "place": ["FR", "IT"],
        "timespan": ["nineteenth century (dates CE)", "sixteenth century (dates CE)"],
        "technique": ["damask", "velvet"],
        "material": ["animal_fibre", "metal_thread"],
    }
    samples = loaded.samples
    assert samples["id"].tolist() == samples["source"].tolist() == FILES
    assert samples["group"].tolist() == [A, A, B, C, D]
    assert samples["subset"].tolist() == ["train"] * 3 + ["validation", "test"]
    assert samples["place"].fillna("").tolist() == ["IT", "IT", "FR", "", "FR"]
    assert samples["material"].fillna("").tolist() == ["animal_fibre", "animal_fibre", "", "", "metal_thread"]
    assert loaded.pixels[:, 0, 0, 0].tolist() == pytest.approx([0, 50, 100, 150, 200], abs=3)
    assert loaded.collection.provenance == "SILKNOW, 5 images of 4 records"


@pytest.mark.usefixtures("images")
def test_the_split_draws_the_subsets_on_request(load: Load, tables: Tables) -> None:
    tables()
    assert load(source(official=False)).samples["subset"].isna().all()


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("kind", ["folder", "zip", "gztar"])
def test_tables_and_images_lie_in_folders_or_archives(load: Load, tables: Tables, root: Path, kind: str) -> None:
    tables("silk")
    names = {"path": "silk", "images": "img"}
    if kind != "folder":
        for key, folder in names.items():
            names[key] = Path(shutil.make_archive(str(root / folder), kind, root, folder)).name
            shutil.rmtree(root / folder)
    assert load(source(**names)).samples["group"].tolist() == [A, A, B, C, D]


def test_without_images_it_is_said_what_the_tables_hold(load: Load, tables: Tables) -> None:
    tables()
    with pytest.raises(DataError) as raised:
        load(source(images=None))
    assert str(raised.value) == (
        "SILKNOW's tables have 5 rows of 4 records (3 of train, 1 of validation, 1 of test; without a label: "
        "place 20.0%, timespan 60.0%, technique 20.0%, material 40.0%) and no images; name with `images` the folder, "
        f"zip or tar of files such as '{A}__1_0.jpg'"
    )


@pytest.mark.usefixtures("images")
def test_a_row_without_its_image_and_a_class_without_any_are_problems(load: Load, tables: Tables, root: Path) -> None:
    tables()
    (root / "img" / FILES[-1]).unlink()
    loaded = load(source())
    assert loaded.samples["id"].tolist() == FILES[:-1]
    name = "multimodal_image_centered_img_cent_test.txt, line 2"
    assert f"{name}: row without its file ({root}/img/{FILES[-1]})" in loaded.report
    assert "empty class (class 'metal_thread' of task 'material' has no image)" in loaded.report


@pytest.mark.usefixtures("images")
def test_images_that_no_row_names_are_passed_over(load: Load, tables: Tables, draw: Draw) -> None:
    tables()
    draw("img/met__ff-00__9.jpg")
    loaded = load(source())
    assert (len(loaded.samples), loaded.problems.found) == (5, [])


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (f"{D}__4.jpg\tFR\tnan\tdamask\n", r"broken row \(4 cells, the header has 5\)"),
        (f"{D}__4.jpg\tFR\tnan\tdamask\tnan\tx\n", r"broken row \(6 cells, the header has 5\)"),
        ("0c2-aa.jpg\tFR\tnan\tdamask\tnan\n", r"broken row \('0c2-aa.jpg' is no <museum>__<record>__<image>\)"),
        (f"{D}.jpg\tFR\tnan\tdamask\tnan\n", r"broken row \('paris-musees__03c2-aa.jpg' is no"),
        (
            f"{D}__4.jpg\tFR\tnan\tnan\tmetal_thread___animal_fibre\t\n",
            r"several labels in one cell \(material: metal_thread___animal_fibre\)",
        ),
        (f"{D}__4.jpg\tFR\tnan\tnan\tnan\t\n", "two rows for one id"),
    ],
)
def test_a_bad_row_is_reported_with_its_line(load: Load, tables: Tables, row: str, problem: str) -> None:
    tables(test=[*ROWS["test"], row.rstrip("\n")])
    loaded = load(source())
    assert re.search(rf"_test\.txt, line 3: {problem}", loaded.report), loaded.report
    assert loaded.samples["id"].tolist() == FILES


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "masterfile_train.txt").unlink(), r"no masterfile_train.txt in "),
        (lambda root: (root / "masterfile_val.txt").unlink(), r"no file 'masterfile_val.txt' in .*the master files"),
        (
            lambda root: (root / "masterfile_val.txt").write_text("gone.txt"),
            r"no file 'gone.txt' in .*, which is one of those that masterfile_val.txt names",
        ),
        (
            lambda root: (root / "multimodal_image_centered_img_cent_dev.txt").write_text("#image\t#place\t\na\tb\t\n"),
            r"_dev.txt has no column '#image_file'; did you mean '#image'\?",
        ),
        (
            lambda root: (root / "multimodal_image_centered_img_cent_dev.txt").write_text("#image_file\t\na\t\n"),
            r"_dev.txt has no column but #image_file",
        ),
        (
            lambda root: (root / "multimodal_image_centered_img_cent_dev.txt").write_text("#image_file\t#id\t\na\tb\n"),
            r"a task cannot be named 'id'",
        ),
        (
            lambda root: (root / "multimodal_image_centered_img_cent_dev.txt").write_text(
                "#image_file\t#age\t\na\tb\n"
            ),
            r"the collection files have different variables: .*_train.txt \['place', .*_dev.txt \['age'\]",
        ),
        (
            lambda root: (root / "masterfile_test.txt").write_bytes(b"\xff\xfe"),
            r"masterfile_test.txt, line 1: not UTF-8",
        ),
    ],
)
def test_what_is_no_table_of_this_form_is_said(
    load: Load, tables: Tables, root: Path, change: Callable[[Path], object], message: str
) -> None:
    tables()
    change(root)
    with pytest.raises(DataError, match=message):
        load(source())


@pytest.mark.usefixtures("images")
def test_an_image_in_two_subsets_is_refused(load: Load, tables: Tables) -> None:
    tables(dev=ROWS["train"][:1])
    with pytest.raises(DataError, match=r"is in two tables \(.*_train.txt, line 2, and .*_dev.txt, line 2\)"):
        load(source())


# Of the real tables, counted by awk: rows, and those without a label.
ROW_COUNTS = {"train": 21465, "validation": 7476, "test": 7102}
UNLABELLED = {
    "place": (8466, 2906, 2860),
    "timespan": (10365, 3670, 3538),
    "technique": (14001, 5036, 4539),
    "material": (4114, 1298, 1307),
}
# And those of each class, the classes in their order.
CLASS_COUNTS = {
    "place": {
        "train": [441, 2827, 3357, 1956, 636, 648, 2496, 359, 279],  # CN, ES, FR, GB, IN, IR, IT, JP, TR
        "validation": [105, 891, 981, 800, 172, 219, 1007, 332, 63],
        "test": [151, 860, 1026, 698, 153, 193, 874, 163, 124],
    },
    "timespan": {
        "train": [3775, 3070, 1119, 739, 2397],  # eighteenth, nineteenth, seventeenth, sixteenth, twentieth century
        "validation": [1157, 1226, 343, 231, 849],
        "test": [1136, 1040, 422, 232, 734],
    },
    "technique": {
        "train": [1587, 2833, 1467, 1577],  # damask, embroidery, other, velvet
        "validation": [507, 979, 362, 592],
        "test": [563, 1023, 405, 572],
    },
    "material": {
        "train": [13657, 1796, 1898],  # animal fibre, metal thread, vegetal fibre
        "validation": [4985, 572, 621],
        "test": [4596, 599, 600],
    },
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real tables, packed as `official` and `drawn`, the same pixel as the image of every row."""
    named = os.environ.get("LONGTAIL_SILKNOW")
    if named is None:
        pytest.skip("set LONGTAIL_SILKNOW to the folder or archive of SILKNOW's label tables")
    root, tables = tmp_path_factory.mktemp("silknow"), Path(named).resolve()

    def params(**changes: Any) -> ingest.Params:
        options = {"kind": "silknow", "path": tables.name, **changes}
        return ingest.Params(source=options, image_shape=(1, 1, 1), on_error="skip")

    with pytest.raises(DataError, match=r"36,043 rows of 22,093 records .* place 39\.5%, timespan 48\.8%"):
        ingest.run(tables.parent, root / "none", params=params())
    scratch = Request((1, 1, 1), root)
    pixel = io.BytesIO()
    Image.new("L", (1, 1)).save(pixel, "png")
    with zipfile.ZipFile(root / "img.zip", "w") as archive:
        for table in read_tables(tables, scratch):
            for name in table.rows.left[IMAGE]:
                archive.writestr(name, pixel.getvalue())
    assert scratch.problems.found == []
    for official in (True, False):
        source = {"images": str(root / "img.zip"), "official": official}
        found = ingest.run(tables.parent, root / ("official" if official else "drawn"), params=params(**source))
        assert [name for name in found if name.startswith("left_out")] == []
    return root


@pytest.mark.slow
def test_the_real_tables_have_the_rows_classes_and_missing_labels_counted(real: Path) -> None:
    split.run(real / "official", real / "split", params=split.Params())
    made = Split.open(real / "split")
    assert [len(task.classes) for task in made.tasks] == [9, 5, 4, 3]
    assert made.samples["group"].nunique() == 22093
    for subset, of_subset in zip(ROW_COUNTS, zip(*UNLABELLED.values(), strict=True), strict=True):
        info = made.info.subsets[subset]
        assert info.samples == ROW_COUNTS[subset]
        assert info.counts == {name: counts[subset] for name, counts in CLASS_COUNTS.items()}
        missing = made.samples[made.subset == subset].isna().sum()
        assert tuple(missing[name] for name in UNLABELLED) == of_subset


@pytest.mark.slow
def test_the_real_tables_are_split_by_record(real: Path) -> None:
    split.run(real / "drawn", real / "split-drawn", params=split.Params(validation=0.25, test=0.2))
    made = Split.open(real / "split-drawn")
    shares = made.samples["subset"].value_counts(normalize=True)
    # Stratified by 21 classes of four tasks and by whole records, the shares are 59.5, 20.2 and 20.3 %.
    assert shares.to_dict() == pytest.approx({"train": 0.6, "validation": 0.2, "test": 0.2}, abs=0.01)
    assert made.samples.groupby("group")["subset"].nunique().max() == 1
    assert PackedDataset.open(real / "drawn").samples["subset"].isna().all()
