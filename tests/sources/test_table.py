"""Label tables: tasks, groups, missing and dropped values; and every bad row with the line at which it stands."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from longtail.errors import DataError
from longtail.sources.table import LabelColumn, LabelTable

Load = Callable[..., Any]
CSV = """image,sender,kind,kids,part
a,1,Shirt,False,train
b,1,Hat,True,train
c,2,Not sure,False,val
d,2,Skip,False,test
e,,Shirt,False,
"""


@pytest.fixture(autouse=True)
def images(draw: Callable[..., Path]) -> None:
    for name in "abcde":
        draw(f"photos/{name}.png")


@pytest.fixture
def write(root: Path) -> Callable[[str], None]:
    return lambda text: (root / "labels.csv").write_text(text) and None


def source(**changes: Any) -> LabelTable:
    kind = LabelColumn(column="kind", missing=["Not sure"], drop=["Skip"])
    options = {"table": "labels.csv", "images": "photos", "suffix": ".png", "labels": [kind], **changes}
    return LabelTable(kind="table", **options)


def test_each_label_column_is_a_task(load: Load, write: Callable[[str], None]) -> None:
    write(CSV)
    loaded = load(source(labels=[LabelColumn(column="kind"), LabelColumn(column="kids", name="for_children")]))
    tasks = {task.name: task.classes for task in loaded.collection.tasks}
    assert tasks == {"kind": ["Hat", "Not sure", "Shirt", "Skip"], "for_children": ["False", "True"]}


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


def test_a_row_without_its_file_is_reported_with_its_line(load: Load, write: Callable[[str], None]) -> None:
    write(CSV + "f,3,Hat,True,train\n")
    assert "labels.csv, line 7: row without its file" in load(source()).report


def test_a_path_out_of_the_image_directory_is_no_file(load: Load, write: Callable[[str], None], root: Path) -> None:
    write(CSV + "../photos/a,3,Hat,True,train\n")
    assert "labels.csv, line 7: row without its file" in load(source()).report


def test_a_file_without_a_row_is_reported(load: Load, write: Callable[[str], None], draw: Callable[..., Path]) -> None:
    write(CSV)
    draw("photos/z.png")
    assert "photos/z.png: file without a row (no row of labels.csv" in load(source()).report


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


def test_a_label_outside_the_declared_classes_is_reported_with_its_line(
    load: Load, write: Callable[[str], None]
) -> None:
    write(CSV)
    loaded = load(source(labels=[LabelColumn(column="kind", classes=["Shirt", "Hat"], drop=["Skip"])]))
    assert "labels.csv, line 4: label outside the declared classes (kind: Not sure)" in loaded.report
    assert loaded.samples["id"].tolist() == ["a", "b", "e"]


def test_an_empty_class_is_reported_and_dropped(load: Load, write: Callable[[str], None]) -> None:
    write(CSV)
    kind = LabelColumn(column="kind", classes=["Hat", "Shirt", "Sock"], missing=["Not sure"], drop=["Skip"])
    loaded = load(source(labels=[kind]))
    assert "labels.csv, column 'kind': empty class (class 'Sock'" in loaded.report
    assert loaded.classes == ["Hat", "Shirt"]


def test_the_second_of_two_rows_for_one_id_is_reported_and_left_out(load: Load, write: Callable[[str], None]) -> None:
    write(CSV + "a,3,Hat,True,train\n")
    loaded = load(source())
    assert "labels.csv, line 7: two rows for one id (a, first on line 2)" in loaded.report
    assert loaded.samples["kind"].tolist()[0] == "Shirt"


def test_an_unknown_subset_is_reported_with_its_line(load: Load, write: Callable[[str], None]) -> None:
    write(CSV.replace("True,train", "True,tain"))
    assert "labels.csv, line 3: unknown subset (tain)" in load(source(subset="part")).report


def test_broken_images_are_reported_with_file_and_line(
    load: Load, write: Callable[[str], None], draw: Callable[..., Path], truncate: Callable[[Path], None], root: Path
) -> None:
    write(CSV)
    truncate(draw("photos/b.png", size=64, noisy=True))
    (root / "photos" / "e.png").write_text("no image")
    report = load(source()).report
    assert f"labels.csv, line 3: {root}/photos/b.png: truncated image" in report
    assert f"labels.csv, line 6: {root}/photos/e.png: not an image" in report


def test_lines_are_counted_as_an_editor_does(load: Load, write: Callable[[str], None]) -> None:
    write('image,kind,note\na,Shirt,"two\nlines"\n\nb,Hat,\nc,Hat,\nd,Hat,\ne,Hat,\nnone,Hat,\n')
    assert "labels.csv, line 9: row without its file" in load(source()).report


def test_a_row_with_too_few_cells_is_reported_with_its_line(load: Load, write: Callable[[str], None]) -> None:
    write(CSV + "f,3\n")
    assert "labels.csv, line 7: broken row (2 cells, the header has 5)" in load(source()).report


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"labels\.csv is empty"),
        (b"image,kind\n", r"labels\.csv has no row"),
        (b"image,knd\na,Hat\n", r"labels\.csv has no column 'kind'; did you mean 'knd'\?"),
        (b"image,kind,kind\na,Hat,Hat\n", r"labels\.csv, line 1: the column\(s\) \['kind'\]"),
        (b"image,kind\na,Hat\nb,H\xe9\n", r"labels\.csv, line 3: not UTF-8"),
        (b'image,kind\na,"Hat\n', r"labels\.csv, line 2: not a readable CSV"),
    ],
)
def test_an_unreadable_table_is_an_error(load: Load, root: Path, content: bytes, message: str) -> None:
    (root / "labels.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(source())


def test_an_unreadable_parquet_file_is_an_error(load: Load, root: Path) -> None:
    (root / "labels.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"labels\.parquet is not a readable parquet"):
        load(source(table="labels.parquet"))


def test_a_table_that_is_not_there_is_an_error(load: Load) -> None:
    with pytest.raises(DataError, match=r"no table 'labels\.csv'"):
        load(source())


def test_a_task_cannot_take_a_reserved_name(load: Load, write: Callable[[str], None]) -> None:
    write(CSV.replace("kind", "source"))
    with pytest.raises(DataError, match="a task cannot be named 'source'"):
        load(source(labels=[LabelColumn(column="source")]))


def test_a_task_name_with_a_space_is_an_error(load: Load, write: Callable[[str], None]) -> None:
    write(CSV)
    with pytest.raises(DataError, match="a task cannot be named 'two words'"):
        load(source(labels=[LabelColumn(column="kind", name="two words")]))


def test_two_tasks_cannot_share_a_name(load: Load, write: Callable[[str], None]) -> None:
    write(CSV)
    with pytest.raises(DataError, match="another `name`"):
        load(source(labels=[LabelColumn(column="kind"), LabelColumn(column="kids", name="kind")]))
