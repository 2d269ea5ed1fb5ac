"""Folders of official subsets, by the names that people give them; and classes that only sound like one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longtail.sources.folder import Folder
from longtail.sources.subsets import named_after, subset_of_shard

Draw = Callable[..., Path]
Load = Callable[..., Any]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Train", "Test"),
        ("TRAIN", "TEST"),
        ("Training", "Testing"),
        ("train", "val"),
        ("train", "Validation"),
        ("seg_train", "seg_test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train2017", "val2017"),
        ("train-images", "test-images"),
        ("TrainSet", "TestSet"),
        ("training_set/training_set", "test_set/test_set"),
        ("data/Train", "data/Test"),
    ],
)
@pytest.mark.parametrize("wrapped", ["", "archive/"])
def test_the_folders_of_subsets_are_official(load: Load, draw: Draw, train: str, test: str, wrapped: str) -> None:
    for folder in (train, test):
        for label in ("cats", "dogs"):
            draw(f"{wrapped}{folder}/{label}/1.png")
            draw(f"{wrapped}{folder}/{label}/deep/2.png")
    loaded = load(Folder(kind="folder"))
    assert loaded.problems.found == []
    assert loaded.classes == ["cats", "dogs"]
    assert loaded.samples.groupby("subset").size().tolist() == [4, 4]
    assert loaded.samples["subset"].isin(["train", "validation", "test"]).all()


def test_the_folders_of_subsets_may_be_inside_those_of_classes(load: Load, draw: Draw) -> None:
    for label in ("cats", "dogs"):
        for subset in ("Train", "test", "val"):
            draw(f"{label}/{subset}/1.png")
    loaded = load(Folder(kind="folder"))
    assert loaded.classes == ["cats", "dogs"]
    assert loaded.samples["subset"].tolist() == ["train", "test", "validation"] * 2


def test_folders_inside_those_of_classes_are_no_subsets_by_chance(load: Load, draw: Draw) -> None:
    for name in ("cats/train/1.png", "cats/test/1.png", "dogs/1.png"):
        draw(name)
    assert load(Folder(kind="folder")).samples["subset"].isna().all()


def test_images_without_labels_beside_the_subsets_are_reported_with_the_remedy(load: Load, draw: Draw) -> None:
    for name in ("seg_train/seg_train/a/1.png", "seg_train/seg_train/b/1.png", "seg_test/seg_test/a/1.png"):
        draw(name)
    draw("seg_pred/seg_pred/1.png")
    loaded = load(Folder(kind="folder"))
    assert loaded.samples["subset"].tolist() == ["test", "train", "train"]
    assert "seg_pred/seg_pred/1.png: image outside the class folders" in loaded.report
    assert 'ignore: ["seg_pred/*"]' in loaded.problems.remedies["image outside the class folders"]
    assert load(Folder(kind="folder", ignore=["seg_pred/*"])).problems.found == []


def test_a_subset_without_class_folders_does_not_hide_the_other(load: Load, draw: Draw) -> None:
    for name in ("Train/0/1.png", "Train/1/1.png", "Test/1.png", "Meta/0.png"):
        draw(name)
    loaded = load(Folder(kind="folder"))
    assert loaded.classes == ["0", "1"]
    assert loaded.problems.counts["image outside the class folders"] == 2


@pytest.mark.parametrize(
    ("train", "others"),
    [
        ("seg_train/seg_train", ["seg_pred/seg_pred/1.png"]),
        ("asl_alphabet_train/asl_alphabet_train", ["asl_alphabet_test/asl_alphabet_test/1.png"]),
        ("images_train", ["images_test/1.png"]),
        ("train", ["test/1.png", "extra/more/1.png"]),
    ],
)
def test_images_without_labels_never_make_classes_of_the_subsets(
    load: Load, draw: Draw, train: str, others: list[str]
) -> None:
    for label in "ab":
        draw(f"{train}/{label}/1.png")
    for name in others:
        draw(name)
    loaded = load(Folder(kind="folder"))
    assert loaded.classes == ["a", "b"]
    assert loaded.samples["subset"].tolist() == ["train", "train"]
    assert loaded.problems.counts["image outside the class folders"] == len(others)


@pytest.mark.parametrize(
    "names",
    [
        ["train/1.png", "bus/1.png"],
        ["train/side/1.png", "train/front/1.png", "bus/1.png"],
        ["train_station/platform/1.png", "test_tube/glass/1.png"],
        ["Train/1.png", "Test/1.png"],
        ["train_val/a/1.png", "other/a/1.png"],
    ],
)
def test_a_class_may_sound_like_a_subset(load: Load, draw: Draw, names: list[str]) -> None:
    for name in names:
        draw(name)
    loaded = load(Folder(kind="folder"))
    assert loaded.problems.found == []
    assert set(loaded.classes) == {name.split("/")[0] for name in names}
    assert loaded.samples["subset"].isna().all()


def test_a_declared_class_is_no_subset(load: Load, draw: Draw) -> None:
    for name in ("train/side/1.png", "test/side/1.png"):
        draw(name)
    assert load(Folder(kind="folder", classes=["train", "test"])).classes == ["train", "test"]


def test_of_several_folders_of_a_subset_the_plainest_is_taken_and_the_others_are_reported(
    load: Load, draw: Draw
) -> None:
    for folder in ("train", "train_extra", "test"):
        for label in "ab":
            draw(f"{folder}/{label}/1.png")
    loaded = load(Folder(kind="folder"))
    assert len(loaded.samples) == 4
    assert loaded.problems.counts["image outside the class folders"] == 2


WORDS = {"seg_train": "train", "VALID": "validation", "testImages": "test", "2019-dev": "validation"}
WORDS |= {"\u00e9t\u00e9_train": "train"}
OTHERS = ["train_test", "latest", "trainer", "contest", ""]


@pytest.mark.parametrize(("name", "subset"), [*WORDS.items(), *((name, None) for name in OTHERS)])
def test_one_word_of_a_name_says_the_subset(name: str, subset: str | None) -> None:
    assert (named_after(name) or (None,))[0] == subset


def test_shards_of_a_data_set_say_their_subset() -> None:
    assert subset_of_shard("data/validation-00000-of-00002.parquet") == "validation"
    assert subset_of_shard("data/unsupervised-00000-of-00002.parquet") is None
    assert subset_of_shard("train.parquet") is None
