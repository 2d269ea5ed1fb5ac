"""Public list files of long-tail benchmarks: `path label`, one list of each subset."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.data.dataset import PackedDataset
from longtail.errors import DataError
from longtail.sources.image_lists import ImageLists
from longtail.sources.list_format import read_lines
from longtail.sources.problems import Problems
from longtail.stages.ingest import Params, run

Draw = Callable[..., Path]
Load = Callable[..., Any]
Lists = Callable[..., ImageLists]
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
# What a line's path may be: with spaces inside, and with characters that some take for the end of a line.
PATHS = st.text("ab 0é.\u2028\x0b\x85/-", min_size=1, max_size=12).map(lambda name: f"x{name.rstrip()}.jpg")


@pytest.fixture
def lists(root: Path, draw: Draw) -> Lists:
    """Write the lists and a small image for each line, of the colour of its code; the source that reads them."""

    def lists(*, images: bool = True, folder: str = "images", **parameters: Any) -> ImageLists:
        texts = {subset: parameters.pop(subset) for subset in ("train", "validation", "test") if subset in parameters}
        for subset, text in texts.items():
            (root / f"{subset}.txt").write_text(text, encoding="utf-8", newline="")
            for line in read_lines(text.encode(), subset, Problems()) if images else ():
                draw(f"{folder}/{line.path}", (20 * (line.code or 0), 0, 0))
        return ImageLists(
            **{"kind": "list", "root": folder, **{subset: f"{subset}.txt" for subset in texts}, **parameters}
        )

    return lists


def test_lists_are_official_subsets_and_classes_are_sorted_by_their_codes(load: Load, lists: Lists) -> None:
    """As numbers: sorted as strings, 10 comes before 2, and every prior is that of another class."""
    names = [f"folder {name}" for name in "lkjihgfedcba"]
    train = "".join(f"train/{name}/{i}.png {code}\n" for code, name in enumerate(names) for i in range(2))
    test = "".join(f"val/{name}/a b {code}.png {code}\n" for code, name in enumerate(names))
    loaded = load(lists(train=train, test=test))
    assert loaded.classes == names
    assert loaded.samples["subset"].value_counts().to_dict() == {"train": 24, "test": 12}
    assert loaded.samples["label"].tolist() == [name for name in names for _ in range(2)] + names
    assert loaded.samples["id"].tolist() == loaded.samples["group"].tolist()
    assert loaded.samples["id"].iloc[-1] == "val/folder a/a b 11.png"
    assert loaded.pixels[:, 0, 0, 0].tolist() == [20 * code for code in range(12) for _ in range(2)] + [
        20 * code for code in range(12)
    ]
    assert loaded.problems.found == []


@pytest.mark.parametrize("order", [lambda lines: lines, lambda lines: lines[::-1]])
def test_codes_name_classes_and_are_sorted_as_numbers(load: Load, lists: Lists, order: Callable[..., Any]) -> None:
    lines = order([f"{code}.png {code}" for code in (10, 2, 0, 100)])
    assert load(lists(train="\n".join(lines), names="code")).classes == ["0", "2", "10", "100"]


def test_folders_named_by_their_codes_are_sorted_as_numbers_too(load: Load, lists: Lists) -> None:
    loaded = load(lists(train="".join(f"train_val2018/Plantae/{code}/x.png {code}\n" for code in (7291, 673, 1000))))
    assert loaded.classes == ["673", "1000", "7291"]


def test_a_file_names_the_codes(load: Load, lists: Lists, root: Path) -> None:
    (root / "names.txt").write_bytes("\ufeffzebra\r\nold  car\r\nape\r\n".encode())
    loaded = load(lists(train="a/1.png 2\na/2.png 0\nb/3.png 1\nb/4.png 3\n", names="names.txt"))
    assert loaded.classes == ["zebra", "old car", "ape"]
    assert loaded.samples["label"].tolist() == ["ape", "zebra", "old car"]
    assert loaded.problems.found == [
        "train.txt, line 4: label outside the declared classes (label 3, 3 names in names.txt)"
    ]


def test_a_name_without_an_image_is_an_empty_class(load: Load, lists: Lists, root: Path) -> None:
    (root / "names.txt").write_text("zebra\ncar\nape\n")
    loaded = load(lists(train="1.png 2\n2.png 0\n", names="names.txt"))
    assert loaded.classes == ["zebra", "ape"]
    assert "empty class (class 'car' of task 'label' has no image)" in loaded.report


def test_without_a_list_of_test_or_validation_the_split_draws_them(load: Load, lists: Lists) -> None:
    assert set(load(lists(train="a/1.png 0\nb/2.png 1\n")).samples["subset"]) == {"train"}


@given(st.lists(st.tuples(PATHS, st.integers(0, 10**9), st.sampled_from([" ", "\t", "  ", " \t"])), min_size=1), ENDS)
def test_any_path_with_its_label_is_read_from_lines_with_any_ends(lines: list[tuple[str, int, str]], end: str) -> None:
    """A byte-order mark before them, blank lines among them, spaces after them."""
    text = "\ufeff" + end + (end + " \t" + end).join(f"{path}{gap}{code}  " for path, code, gap in lines) + end
    problems = Problems()
    read = read_lines(text.encode(), "train.txt", problems)
    assert [(line.path, line.code) for line in read] == [(path, code) for path, code, _ in lines]
    assert [line.place for line in read] == [f"train.txt, line {2 * i + 2}" for i in range(len(lines))]
    assert problems.found == []


def test_a_negative_label_and_a_line_without_one_are_problems(load: Load, lists: Lists) -> None:
    loaded = load(lists(train="a/1.png 0\na/2.png -1\nb/3.png\nb/4.png b\nb/5.png 1.0\nb/6.png 1\n"))
    assert loaded.samples["id"].tolist() == ["a/1.png", "b/6.png"]
    assert loaded.problems.found == [
        "train.txt, line 2: broken row (the label -1 is negative: a/2.png)",
        "train.txt, line 3: broken row (no label after the last space: b/3.png)",
        "train.txt, line 4: broken row (no label after the last space: b/4.png b)",
        "train.txt, line 5: broken row (no label after the last space: b/5.png 1.0)",
    ]


def test_in_lists_without_labels_the_folder_is_the_class(load: Load, lists: Lists) -> None:
    """As in the lists of iNaturalist 2017, whose folders have spaces."""
    train = "train_val/Aves/Corvus cornix/1.png\ntrain_val/Plantae/Abies alba/2.png\n"
    loaded = load(lists(train=train, test="train_val/Aves/Corvus cornix/3.png\n"))
    assert loaded.classes == ["Abies alba", "Corvus cornix"]
    assert loaded.samples["label"].tolist() == ["Corvus cornix", "Abies alba", "Corvus cornix"]


def test_a_list_without_labels_takes_its_classes_from_one_with_labels(load: Load, lists: Lists) -> None:
    loaded = load(lists(train="zebra/1.png 0\nape/2.png 1\n", test="ape/3.png\nzebra/4.png\nbear/5.png\n"))
    assert loaded.classes == ["zebra", "ape", "bear"]
    assert loaded.samples["label"].tolist() == ["zebra", "ape", "ape", "zebra", "bear"]


@pytest.mark.parametrize("names", ["code", "names.txt"])
def test_without_labels_there_is_nothing_that_codes_could_name(
    load: Load, lists: Lists, root: Path, names: str
) -> None:
    (root / "names.txt").write_text("zebra\nape\n")
    with pytest.raises(DataError, match=r"^train.txt has no labels: only `names: folder` can tell the classes"):
        load(lists(train="zebra/1.png\nape/2.png\n", names=names))


@pytest.mark.parametrize(
    ("other", "spelled"), [("validation", "a/1.png"), ("test", "a/1.png"), ("test", "./a/1.png"), ("test", "a\\1.png")]
)
def test_an_image_in_two_lists_is_refused(load: Load, lists: Lists, other: str, spelled: str) -> None:
    source = lists(train="b/0.png 1\na/1.png 0\n")
    both = lists(train="b/0.png 1\na/1.png 0\n", images=False, **{other: f"{spelled} 0\n"})
    assert len(load(source).samples) == 2
    with pytest.raises(DataError) as refusal:
        load(both)
    assert str(refusal.value) == (
        f"'a/1.png' is in two lists (train.txt, line 2, and {other}.txt, line 1); an image must be in one subset only: "
        "take it out of the others"
    )


def test_an_image_twice_in_one_list_is_a_problem_of_the_second(load: Load, lists: Lists) -> None:
    loaded = load(lists(train="a/1.png 0\nb/2.png 1\n./a/1.png 0\n"))
    assert loaded.samples["id"].tolist() == ["a/1.png", "b/2.png"]
    assert loaded.problems.found == ["train.txt, line 3: two rows for one id (a/1.png, first on line 1)"]


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ("a/1.png 0\nb/2.png 0\n", "0 (train.txt, line 1) and 0 (train.txt, line 2) in ['a', 'b']"),
        ("a/1.png 0\na/2.png 3\n", "0 (train.txt, line 1) and 3 (train.txt, line 2) in ['a']"),
        ("x/a/1.png 0\ny/a/2.png 3\n", "0 (train.txt, line 1) and 3 (train.txt, line 2) in ['a']"),
    ],
)
def test_a_label_with_two_folders_and_a_folder_with_two_labels_are_refused(
    load: Load, lists: Lists, train: str, words: str
) -> None:
    with pytest.raises(DataError) as refusal:
        load(lists(train=train))
    assert str(refusal.value) == (
        f"labels and folders do not go together: {words}. Name the classes by `names: code`, or by a file with a name "
        "a line."
    )
    if len(set(train.split()[1::2])) > 1:
        assert load(lists(train=train, names="code")).classes == ["0", "3"]


def test_an_image_in_no_folder_is_refused_where_folders_name_the_classes(load: Load, lists: Lists) -> None:
    with pytest.raises(DataError, match=r"^train.txt, line 2: '2.png' lies in no folder of a class. Name the classes"):
        load(lists(train="a/1.png 0\n2.png 1\n"))


def test_images_that_are_not_there_or_broken_are_problems(
    load: Load, lists: Lists, root: Path, truncate: Callable[[Path], None], draw: Draw
) -> None:
    source = lists(train="".join(f"{name}/{i}.png {code}\n" for code, name in enumerate("ab") for i in range(3)))
    (root / "images/a/1.png").unlink()
    truncate(draw("images/b/2.png", size=64, noisy=True))
    loaded = load(source)
    assert loaded.samples["id"].tolist() == ["a/0.png", "a/2.png", "b/0.png", "b/1.png"]
    assert f"train.txt, line 2: row without its file ({root}/images/a/1.png)" in loaded.report
    assert f"train.txt, line 6: {root}/images/b/2.png: truncated image" in loaded.report
    remedy = loaded.problems.remedies["row without its file"]
    assert remedy == "The files there are named like 'a/0.png'; `root` is where the paths of the lists begin."


def test_files_that_no_list_names_are_none_of_its_business(load: Load, lists: Lists, draw: Draw) -> None:
    draw("images/a/other.png")
    draw("images/stray.png")
    assert load(lists(train="a/1.png 0\nb/2.png 1\n")).problems.found == []


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_images_are_read_from_an_archive_and_from_the_one_folder_around_them(
    load: Load, lists: Lists, root: Path, kind: str
) -> None:
    source = lists(train="train/a/1.png 0\ntrain/b/2.png 1\n", folder="places")
    archive = Path(shutil.make_archive(str(root / "packed"), kind, root, "places"))
    shutil.rmtree(root / "places")
    loaded = load(source.model_copy(update={"root": archive.name}))
    assert loaded.samples["id"].tolist() == ["train/a/1.png", "train/b/2.png"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": "nowhere.txt"}, "no list 'nowhere.txt' in .*; `train`, `validation` and `test` name text files"),
        ({"train": "images"}, "no list 'images' in "),
        ({"test": "nowhere.txt"}, "no list 'nowhere.txt' in "),
        ({"root": "nowhere"}, "no such file or directory: .*nowhere"),
        ({"names": "nowhere.txt"}, "no file 'nowhere.txt' of class names in "),
        ({"names": "gap.txt"}, "gap.txt, line 2: no class name; line 1 names the label 0, and so on"),
        ({"names": "twice.txt"}, r"task 'label' declares the class\(es\) \['ape'\] twice"),
        ({"names": "utf16.txt"}, "utf16.txt, line 1: not UTF-8 text"),
        ({"train": "utf16.txt"}, r"utf16.txt, line 1: not UTF-8 text \(.*\); save the list as UTF-8"),
        ({"train": "blank.txt"}, "blank.txt lists no image; each line is a path, a space and a label"),
        ({"test": "train.txt"}, "one list stands for two subsets: .*; a sample must be in one only"),
        ({"task": "group"}, "a task cannot be named 'group'"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    load: Load, lists: Lists, root: Path, change: dict[str, str], message: str
) -> None:
    source = lists(train="a/1.png 0\nb/2.png 1\n")
    (root / "gap.txt").write_text("zebra\n\nape\n")
    (root / "twice.txt").write_text("ape\nzebra\nape\n")
    (root / "utf16.txt").write_bytes("a/1.png 0\n".encode("utf-16"))
    (root / "blank.txt").write_text("\n \n\r\n")
    with pytest.raises(DataError, match=f"^{message}") as refusal:
        load(source.model_copy(update=change))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", [f"{'a' * 5000}/1.png 0\n2.png 1\n", f"{'a' * 5000}/1.png -{'9' * 17}\nb/2.png 1\n"])
def test_what_a_message_quotes_is_bounded(load: Load, lists: Lists, draw: Draw, text: str) -> None:
    draw("images/c/3.png")
    loaded = load(lists(train=text + "c/3.png 2\n", names="code", images=False))
    assert loaded.problems.counts.total() >= 2
    assert all(len(line) < 700 for line in loaded.problems.found)


def test_lists_are_ingested(root: Path, lists: Lists, tmp_path: Path) -> None:
    lists(train="".join(f"{'ba'[code]}/{i}.png {code}\n" for code in (0, 1) for i in range(4)), test="a/9.png 1\n")
    source = {"kind": "list", "root": "images", "train": "train.txt", "test": "test.txt"}
    report = run(root, tmp_path / "out", params=Params(source=source, image_shape=(8, 8, 3)))
    assert report == {"images": 9, "classes_label": 2}
    packed = PackedDataset.open(tmp_path / "out")
    assert packed.info.tasks[0].classes == ["b", "a"]
    assert np.bincount(packed.labels("label")).tolist() == [4, 5]
    assert packed.info.provenance == "lists train.txt, test.txt, 9 images"
