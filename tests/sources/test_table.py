"""Label tables: tasks, groups, missing and dropped values; and every bad row with the line at which it stands."""

import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from longtail.errors import DataError
from longtail.sources.collection import Request
from longtail.sources.problems import Problems
from longtail.sources.table import LabelColumn, LabelTable

Draw = Callable[..., Path]
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


FORMS = {
    "with a dot": "./{}",
    "of Windows": "sub\\{}",
    "spaces behind": "{} ",
    "spaces before": "  {}",
    "from the root": "/{}",
    "doubled slashes": ".//{}",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_cell_finds_its_file_in_the_form_that_people_write(load: Load, root: Path, draw: Draw, form: str) -> None:
    folder = "sub/" if "sub" in form else ""
    for name in ("x.png", "y.png"):
        draw(f"more/{folder}{name}")
    rows = "".join(f'"{form.format(name)}",{label}\n' for name, label in (("x.png", "Hat"), ("y.png", "Coat")))
    (root / "labels.csv").write_text("image,kind\n" + rows)
    loaded = load(source(images="more", suffix=""))
    assert loaded.problems.found == []
    assert loaded.samples["source"].tolist() == [f"{folder}x.png", f"{folder}y.png"]


@pytest.mark.parametrize("of_table", ["NFC", "NFD"])
@pytest.mark.parametrize("of_files", ["NFC", "NFD"])
def test_a_cell_finds_its_file_in_either_unicode_form(
    load: Load, root: Path, draw: Draw, of_table: str, of_files: str
) -> None:
    for name in ("caf\u00e9", "\u00fcber"):
        draw(f"more/{unicodedata.normalize(of_files, name)}.png")
    text = unicodedata.normalize(of_table, "image,kind\ncaf\u00e9,Hat\n\u00fcber,Coat\n")
    (root / "labels.csv").write_text(text, encoding="utf-8")
    loaded = load(source(images="more"))
    assert loaded.problems.found == []
    assert len(loaded.samples) == 2


def test_a_cell_that_may_mean_two_files_finds_none(load: Load, root: Path, draw: Draw) -> None:
    for form in ("NFC", "NFD"):
        draw("more/" + unicodedata.normalize(form, "caf\u00e9") + ".png")
    (root / "labels.csv").write_text("image,kind\n caf\u00e9,Hat\n", encoding="utf-8")
    assert "row without its file" in load(source(images="more")).report


def test_two_cells_for_one_file_are_two_rows_for_one_id(load: Load, write: Callable[[str], None]) -> None:
    write(CSV + "./a,3,Hat,True,train\n")
    assert "labels.csv, line 7: two rows for one id (./a, first on line 2)" in load(source()).report


@pytest.mark.parametrize(
    ("cell", "changes", "words"),
    [
        ("A", {}, "There is a file 'a.png', which differs from 'A.png' in case."),
        ("a.jpg", {"suffix": ""}, "differs from 'a.jpg' in its ending, see `suffix`"),
        ("a", {"suffix": ""}, "differs from 'a' in its ending, see `suffix`"),
        ("photos/a", {}, "differs from 'photos/a.png' in its folder, see `images`"),
        ("/home/me/a", {}, "differs from 'home/me/a.png' in its folder"),
        (
            "a",
            {"suffix": "", "images": "."},
            "There is a file 'photos/a.png', which differs from 'a' in folder and ending",
        ),
        ("zzz", {}, "The files are named like 'a.png'."),
    ],
)
def test_a_row_without_its_file_says_which_file_may_be_meant(
    load: Load, write: Callable[[str], None], cell: str, changes: dict[str, Any], words: str
) -> None:
    write(f"image,kind\n{cell},Hat\n")
    assert words in load(source(**changes)).problems.remedies["row without its file"]


@pytest.mark.parametrize("cell", ["Shirt ", " Shirt", "Shirt\u00a0", '"Shirt\n"'])
def test_needless_space_in_a_cell_makes_no_class(load: Load, write: Callable[[str], None], cell: str) -> None:
    write(f"image,kind\na,Shirt\nb,{cell}\nc,Hat\n")
    loaded = load(source(ignore=["*"]))
    assert loaded.classes == ["Hat", "Shirt"]
    assert loaded.samples["kind"].tolist() == ["Shirt", "Shirt", "Hat"]


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


@pytest.mark.parametrize("separator", ["", r"\s+", ", ", "\n", '"', "\0", "\r"])
def test_a_separator_is_one_character(separator: str) -> None:
    with pytest.raises(ValidationError, match="must be one character"):
        source(separator=separator)


@pytest.mark.parametrize("name", ["row", "id", "source", "group", "subset"])
def test_no_task_takes_a_column_of_the_samples(load: Load, write: Callable[[str], None], name: str) -> None:
    write(CSV)
    with pytest.raises(DataError, match=f"a task cannot be named '{name}'"):
        load(source(labels=[LabelColumn(column="kind", name=name)]))


@pytest.mark.parametrize("case", [str.upper, str.title])
def test_subsets_are_known_in_any_case(load: Load, write: Callable[[str], None], case: Callable[[str], str]) -> None:
    write(CSV.replace("train", case("training")).replace("val", case("valid")))
    loaded = load(source(subset="part"))
    assert loaded.samples["subset"].tolist()[:3] == ["train", "train", "validation"]


def test_a_cell_of_a_megabyte_is_quoted_in_few_characters(load: Load, write: Callable[[str], None]) -> None:
    write(CSV + f'"{"x" * 100_000}",3,Hat,True,train\na,3,"{"y" * 100_000}",True,{"z" * 1000}\n')
    kind = LabelColumn(column="kind", classes=["Shirt", "Hat", "Not sure"], drop=["Skip"])
    report = load(source(subset="part", labels=[kind])).report
    assert max(map(len, report.splitlines())) < 600
    write(f"{','.join('c' * 1000 + str(i) for i in range(1000))}\n")
    with pytest.raises(DataError) as caught:
        load(source())
    assert len(str(caught.value)) < 3000
