"""Label tables: tasks, groups, missing and dropped values, and the forms in which tables and images come."""

import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from label_tables import CSV, source

from longtail.sources.table import LabelColumn, LabelTable

pytestmark = pytest.mark.usefixtures("five_images")
Draw = Callable[..., Path]
Load = Callable[..., Any]


def test_each_label_column_is_a_task(load: Load, write: Callable[[str], None]) -> None:
    write(CSV)
    loaded = load(source(labels=[LabelColumn(column="kind"), LabelColumn(column="kids", name="for_children")]))
    tasks = {task.name: task.classes for task in loaded.collection.tasks}
    assert tasks == {"kind": ["Hat", "Not sure", "Shirt", "Skip"], "for_children": ["False", "True"]}


def test_a_column_alone_is_a_task_of_its_name() -> None:
    shortly = LabelTable.model_validate({"kind": "table", "table": "images.csv", "image": "image", "labels": ["kind"]})
    assert shortly.labels == [LabelColumn(column="kind")]


def test_missing_values_become_null_and_dropped_values_drop_the_row(load: Load, write: Callable[[str], None]) -> None:
    write(CSV)
    loaded = load(source())
    assert loaded.samples["id"].tolist() == ["a", "b", "c", "e"]
    assert loaded.samples["kind"].tolist() == ["Shirt", "Hat", None, "Shirt"]
    assert loaded.problems.scalars() == {"left_out_dropped_by_value": 1.0}


def test_an_empty_cell_is_a_missing_label(load: Load, write: Callable[[str], None]) -> None:
    write(CSV.replace("Hat", ""))
    assert load(source()).samples["kind"].tolist() == ["Shirt", None, None, "Shirt"]


def test_a_row_without_a_group_is_alone(load: Load, write: Callable[[str], None]) -> None:
    write(CSV)
    assert load(source(group="sender")).samples["group"].tolist() == ["1", "1", "2", "ungrouped e"]


def test_groups_that_look_alike_are_one_and_white_space_is_none(load: Load, write: Callable[[str], None]) -> None:
    composed = unicodedata.normalize("NFC", "é")
    rows = [("a", "p 1"), ("b", " p  1 "), ("c", composed), ("d", unicodedata.normalize("NFD", "é")), ("e", "  ")]
    write("image,kind,person\n" + "".join(f"{image},{'xy'[i % 2]},{who}\n" for i, (image, who) in enumerate(rows)))
    found = load(source(group="person")).samples["group"].tolist()
    assert found == ["p 1", "p 1", composed, composed, "ungrouped e"]


def test_a_table_of_which_no_row_is_left_has_no_image(load: Load, write: Callable[[str], None]) -> None:
    write("image,kind\n" + "".join(f"{image},Skip\n" for image in "abcde"))
    assert load(source()).samples.empty


def test_a_value_that_is_in_no_cell_is_said(
    load: Load, write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write(CSV)
    for missing, drop, said in (
        (["Not sure"], ["Skip"], ""),
        (["not sure"], ["Skip"], "no cell of the column 'kind' is 'not sure'; did you mean 'Not sure'?"),
        (["Not sure"], ["rubbish"], "no cell of the column 'kind' is 'rubbish'\n"),
    ):
        load(source(labels=[LabelColumn(column="kind", missing=missing, drop=drop)]))
        assert said in capsys.readouterr().err


def test_the_subset_column_is_official(load: Load, write: Callable[[str], None]) -> None:
    write(CSV)
    assert load(source(subset="part")).samples["subset"].tolist()[:3] == ["train", "train", "validation"]


def test_declared_classes_keep_their_order(load: Load, write: Callable[[str], None]) -> None:
    write(CSV)
    kind = LabelColumn(column="kind", classes=["Shirt", "Hat"], missing=["Not sure"], drop=["Skip"], background="Hat")
    task = load(source(labels=[kind])).collection.tasks[0]
    assert (task.classes, task.background) == (["Shirt", "Hat"], "Hat")


def test_numbers_sort_as_numbers(load: Load, write: Callable[[str], None]) -> None:
    write("image,kind\na,10\nb,2\nc,10\nd,2\ne,2\n")
    assert load(source()).classes == ["2", "10"]


def test_parameter_files_may_name_classes_by_other_yaml_types() -> None:
    label = LabelColumn.model_validate({"column": "kids", "classes": [False, True], "missing": [-1]})
    assert (label.classes, label.missing) == (["False", "True"], ["-1"])


def test_parquet_is_read_like_csv(load: Load, root: Path) -> None:
    table = pd.DataFrame(
        {"image": list("abcde"), "kind": pd.array([3, 10, None, 3, 3], "Int64"), "new": [True] * 4 + [False]}
    )
    table.to_parquet(root / "labels.parquet")
    labels = [LabelColumn(column="kind"), LabelColumn(column="new")]
    loaded = load(source(table="labels.parquet", labels=labels))
    assert loaded.classes == ["3", "10"]
    assert loaded.samples["new"].tolist() == ["True"] * 4 + ["False"]


def test_a_zip_holds_table_and_images(load: Load, write: Callable[[str], None], root: Path) -> None:
    write(CSV)
    with zipfile.ZipFile(root / "all.zip", "w") as archive:
        for path in [root / "labels.csv", *(root / "photos").iterdir()]:
            archive.write(path, path.relative_to(root))
    assert load(source(path="all.zip")).samples["id"].tolist() == ["a", "b", "c", "e"]


def test_images_may_be_in_an_archive_beside_the_table(load: Load, write: Callable[[str], None], root: Path) -> None:
    write(CSV)
    with zipfile.ZipFile(root / "photos.zip", "w") as archive:
        for path in (root / "photos").iterdir():
            archive.write(path, path.name)
    assert load(source(images="photos.zip")).problems.found == []


def test_hidden_files_texts_and_ignored_files_need_no_row(
    load: Load, write: Callable[[str], None], draw: Callable[..., Path], root: Path
) -> None:
    write(CSV)
    draw("photos/.hidden.png")
    draw("photos/thumb_a.png")
    (root / "photos" / "README").write_text("x")
    assert load(source(ignore=["thumb_*"])).problems.found == []


def test_the_file_of_a_dropped_row_has_its_row(load: Load, write: Callable[[str], None]) -> None:
    write(CSV)
    assert load(source()).problems.found == []


def test_unicode_forms_of_table_and_disk_do_not_matter(load: Load, write: Callable[[str], None], draw: Draw) -> None:
    draw(unicodedata.normalize("NFD", "photos/caf\u00e9.png"))
    write("image,kind\ncaf\u00e9,Hat\na,Coat\n")
    assert load(source(ignore=["*"])).samples["id"].tolist() == ["caf\u00e9", "a"]


@pytest.mark.parametrize("cell", ["Shirt ", " Shirt", "Shirt\u00a0", '"Shirt\n"'])
def test_needless_space_in_a_cell_makes_no_class(load: Load, write: Callable[[str], None], cell: str) -> None:
    write(f"image,kind\na,Shirt\nb,{cell}\nc,Hat\n")
    loaded = load(source(ignore=["*"]))
    assert loaded.classes == ["Hat", "Shirt"]
    assert loaded.samples["kind"].tolist() == ["Shirt", "Shirt", "Hat"]


def test_a_zip_may_wrap_table_and_images_in_a_folder(load: Load, write: Callable[[str], None], root: Path) -> None:
    write(CSV)
    with zipfile.ZipFile(root / "all.zip", "w") as archive:
        for path in [root / "labels.csv", *(root / "photos").iterdir()]:
            archive.write(path, Path("some/folder") / path.relative_to(root))
    assert load(source(path="all.zip")).samples["id"].tolist() == ["a", "b", "c", "e"]
    assert load(source(path="all.zip/some", table="folder/labels.csv", images="folder/photos")).problems.found == []


@pytest.mark.parametrize("separator", ["\t", r"\t", ";", "|"])
def test_separators(load: Load, root: Path, separator: str) -> None:
    real = "\t" if separator == r"\t" else separator
    (root / "labels.csv").write_text(CSV.replace(",", real))
    assert load(source(separator=separator)).samples["id"].tolist() == ["a", "b", "c", "e"]


@pytest.mark.parametrize("case", [str.upper, str.title])
def test_subsets_are_known_in_any_case(load: Load, write: Callable[[str], None], case: Callable[[str], str]) -> None:
    write(CSV.replace("train", case("training")).replace("val", case("valid")))
    loaded = load(source(subset="part"))
    assert loaded.samples["subset"].tolist()[:3] == ["train", "train", "validation"]


@pytest.mark.parametrize("header", ["image,kind", "image,kind,", "image,kind,,"])
@pytest.mark.parametrize("row", ["a,Shirt", "a,Shirt,", "a,Shirt,,,"])
def test_separators_at_the_end_of_a_line_are_no_columns(
    load: Load, write: Callable[[str], None], header: str, row: str
) -> None:
    write(f"{header}\n{row}\nb,Hat\nc,\nd,Hat,\ne,,,\n")
    loaded = load(source())
    assert loaded.problems.found == []
    assert loaded.samples["kind"].fillna("").tolist() == ["Shirt", "Hat", "", "Hat", ""]
