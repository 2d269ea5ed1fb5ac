"""Label tables with bad rows: each is reported with the line at which it stands, and with what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from label_tables import CSV, source
from pydantic import ValidationError

from longtail.errors import DataError
from longtail.sources.collection import Request
from longtail.sources.problems import Problems
from longtail.sources.table import LabelColumn

pytestmark = pytest.mark.usefixtures("five_images")
Draw = Callable[..., Path]
Load = Callable[..., Any]


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


def test_two_cells_for_one_file_are_two_rows_for_one_id(load: Load, write: Callable[[str], None]) -> None:
    write(CSV + "./a,3,Hat,True,train\n")
    assert "labels.csv, line 7: two rows for one id (./a, first on line 2)" in load(source()).report


@pytest.mark.parametrize(
    ("cell", "changes", "words"),
    [
        ("A", {}, "There is a file 'a.png', which differs from 'A.png' in case."),
        ("a", {"suffix": ""}, "differs from 'a' in its ending, see `suffix`"),
        ("photos/a", {}, "differs from 'photos/a.png' in its folder, see `images`"),
        ("a", {"suffix": "", "images": "."}, "differs from 'a' in folder and ending"),
    ],
)
def test_a_row_without_its_file_says_which_file_may_be_meant(
    load: Load, write: Callable[[str], None], cell: str, changes: dict[str, Any], words: str
) -> None:
    write(f"image,kind\n{cell},Hat\n")
    assert words in load(source(**changes)).problems.remedies["row without its file"]


def test_classes_that_differ_in_case_are_refused_unless_declared(load: Load, write: Callable[[str], None]) -> None:
    write("image,kind\na,Shirt\nb,shirt\n")
    with pytest.raises(DataError, match=r"labels.csv, column 'kind': the classes \['Shirt', 'shirt'\] differ only in"):
        load(source(ignore=["*"]))
    declared = LabelColumn(column="kind", classes=["shirt", "Shirt"])
    assert load(source(ignore=["*"], labels=[declared])).classes == ["shirt", "Shirt"]


def test_a_table_of_some_of_the_images_is_refused_before_decoding_with_the_remedy(
    root: Path, write: Callable[[str], None], draw: Draw, tmp_path: Path
) -> None:
    write(CSV)
    for i in range(40):
        draw(f"photos/other-{i}.png")
    (root / "photos" / "a.png").write_bytes(b"torn")
    with pytest.raises(DataError) as caught:
        source().load(root, Request((8, 8, 3), tmp_path, problems=Problems("fail")))
    message = str(caught.value)
    assert message.startswith("40 problem(s)")
    assert 'To use only the images of the table, and none without a row: `ignore: ["*"]`.' in message
    assert "No image has been decoded yet." in message
    assert "not an image" not in message
    (root / "photos" / "a.png").unlink()
    draw("photos/a.png")
    source(ignore=["*"]).load(root, Request((8, 8, 3), tmp_path, problems=Problems("fail")))


@pytest.mark.parametrize("separator", ["", r"\s+", ", ", "\n", '"', "\0", "\r"])
def test_a_separator_is_one_character(separator: str) -> None:
    with pytest.raises(ValidationError, match="must be one character"):
        source(separator=separator)


@pytest.mark.parametrize("name", ["row", "id", "source", "group", "subset"])
def test_no_task_takes_a_column_of_the_samples(load: Load, write: Callable[[str], None], name: str) -> None:
    write(CSV)
    with pytest.raises(DataError, match=f"a task cannot be named '{name}'"):
        load(source(labels=[LabelColumn(column="kind", name=name)]))


def test_a_cell_of_a_megabyte_is_quoted_in_few_characters(load: Load, write: Callable[[str], None]) -> None:
    write(CSV + f'"{"x" * 100_000}",3,Hat,True,train\na,3,"{"y" * 100_000}",True,{"z" * 1000}\n')
    kind = LabelColumn(column="kind", classes=["Shirt", "Hat", "Not sure"], drop=["Skip"])
    report = load(source(subset="part", labels=[kind])).report
    assert max(map(len, report.splitlines())) < 600
    write(f"{','.join('c' * 1000 + str(i) for i in range(1000))}\n")
    with pytest.raises(DataError) as caught:
        load(source())
    assert len(str(caught.value)) < 3000
