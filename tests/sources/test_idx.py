"""idx files: what is read, drawn, copied and blended, and what is wrong with them."""

import gzip
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from longtail.errors import DataError
from longtail.sources.attributes import Attribute
from longtail.sources.backgrounds import Backgrounds
from longtail.sources.idx import Idx
from longtail.sources.idx_format import IdxPair

SHAPE = (12, 12, 1)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_pair(root: Path, name: str, count: int, first: int = 0) -> IdxPair:
    """`count` images, each of one grey level: its number plus `first`; labels run through 0, 1, 2."""
    images = np.zeros((count, 12, 12)) + np.arange(first, first + count)[:, None, None]
    (root / f"{name}-images").write_bytes(idx_bytes(images))
    (root / f"{name}-labels.gz").write_bytes(gzip.compress(idx_bytes(np.arange(count) % 3)))
    return IdxPair(images=f"{name}-images", labels=f"{name}-labels.gz")


@pytest.fixture
def train(root: Path) -> IdxPair:
    return write_pair(root, "train", 30)


@pytest.fixture
def test(root: Path) -> IdxPair:
    return write_pair(root, "t10k", 15, first=100)


@pytest.fixture
def backgrounds(root: Path) -> Backgrounds:
    with tarfile.open(root / "photographs.tar.gz", "w:gz") as tar:
        for name in ("images/a.png", "images/b.png", "masks/no_image.mat"):
            path = root / Path(name).name
            if path.suffix == ".png":
                Image.fromarray(np.random.default_rng(0).integers(50, 150, (40, 30), np.uint8)).save(path)
            else:
                path.write_bytes(b"mat")
            tar.add(path, name)
    return Backgrounds(path="photographs.tar.gz", pattern="images/*")


def test_plain_and_compressed_files_are_read(load: Callable[..., Any], train: IdxPair) -> None:
    loaded = load(Idx(kind="idx", train=train), SHAPE)
    assert loaded.pixels[:, 0, 0, 0].tolist() == list(range(30))
    assert loaded.samples["label"].tolist() == ["0", "1", "2"] * 10


def test_without_test_files_there_is_no_official_subset(load: Callable[..., Any], train: IdxPair) -> None:
    assert load(Idx(kind="idx", train=train), SHAPE).samples["subset"].isna().all()


def test_test_files_make_the_subsets_official(load: Callable[..., Any], train: IdxPair, test: IdxPair) -> None:
    subsets = load(Idx(kind="idx", train=train, test=test), SHAPE).samples["subset"].tolist()
    assert subsets == ["train"] * 30 + ["test"] * 15


def test_counts_draw_from_each_file(load: Callable[..., Any], train: IdxPair, test: IdxPair) -> None:
    loaded = load(Idx(kind="idx", train=train, test=test, train_count=7, test_count=5), SHAPE)
    levels = loaded.pixels[:, 0, 0, 0]
    assert levels[:7].max() < 30
    assert levels[7:].min() >= 100
    assert len(set(levels)) == 12


def test_a_pool_draws_both_subsets_from_all_files(load: Callable[..., Any], train: IdxPair, test: IdxPair) -> None:
    source = Idx(kind="idx", train=train, test=test, pool=True, train_count=25, test_count=20)
    loaded = load(source, SHAPE)
    subset, levels = loaded.samples["subset"], loaded.pixels[:, 0, 0, 0]
    assert sorted(levels) == [*range(30), *range(100, 115)]
    assert (levels[subset == "train"] >= 100).any()


def test_the_seed_decides_what_is_drawn(load: Callable[..., Any], train: IdxPair) -> None:
    source = Idx(kind="idx", train=train, train_count=10)
    drawn = [load(source, SHAPE, seed=seed).samples["id"].tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_only_training_images_are_copied_and_copies_are_one_group(
    load: Callable[..., Any], train: IdxPair, test: IdxPair
) -> None:
    samples = load(Idx(kind="idx", train=train, test=test, copies=3), SHAPE).samples
    sizes = samples.groupby(["subset", "group"]).size()
    assert (sizes["train"] == 3).all()
    assert (sizes["test"] == 1).all()
    assert samples["id"].is_unique


def test_copy_zero_is_the_image_itself(load: Callable[..., Any], train: IdxPair) -> None:
    loaded = load(Idx(kind="idx", train=train, copies=4, scale=(0.5, 0.6)), SHAPE)
    assert loaded.pixels[::4].min(axis=(1, 2, 3)).tolist() == list(range(30))
    assert loaded.pixels[1::4].min() == 0


def test_digits_are_blended_over_the_images_that_match_the_pattern(
    load: Callable[..., Any], train: IdxPair, backgrounds: Backgrounds
) -> None:
    loaded = load(Idx(kind="idx", train=train, rotate=True, backgrounds=backgrounds), SHAPE)
    assert loaded.problems.found == []
    assert loaded.pixels.min() >= 50
    assert loaded.pixels.std(axis=(1, 2, 3)).min() > 15


def test_the_pixels_do_not_depend_on_the_workers(
    load: Callable[..., Any], train: IdxPair, backgrounds: Backgrounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longtail.sources.rotback.BLOCK", 7)
    source = Idx(kind="idx", train=train, rotate=True, copies=3, backgrounds=backgrounds)
    assert (load(source, SHAPE, workers=1).pixels == load(source, SHAPE, workers=4).pixels).all()


def test_a_broken_background_is_reported(load: Callable[..., Any], root: Path, train: IdxPair) -> None:
    (root / "scenes").mkdir()
    (root / "scenes" / "torn.jpg").write_bytes(b"torn")
    (root / "scenes" / "good.png").write_bytes(b"")
    Image.fromarray(np.random.default_rng(0).integers(0, 150, (40, 30), np.uint8)).save(root / "scenes" / "good.png")
    loaded = load(Idx(kind="idx", train=train, backgrounds=Backgrounds(path="scenes")), SHAPE)
    assert "scenes/torn.jpg: not an image" in loaded.report


def test_a_pattern_that_matches_nothing_is_an_error(load: Callable[..., Any], root: Path, train: IdxPair) -> None:
    with pytest.raises(DataError, match=r"matches the pattern '\*\.tiff'"):
        load(Idx(kind="idx", train=train, backgrounds=Backgrounds(path=".", pattern="*.tiff")), SHAPE)


def test_a_label_without_a_declared_class_is_reported_with_its_item(load: Callable[..., Any], train: IdxPair) -> None:
    loaded = load(Idx(kind="idx", train=train, classes=["zero", "one"]), SHAPE)
    assert "train-labels.gz, item 2 (from 0): label outside the declared classes (label 2" in loaded.report
    assert set(loaded.samples["label"]) == {"zero", "one"}


def test_a_declared_class_without_an_image_is_reported(load: Callable[..., Any], train: IdxPair) -> None:
    loaded = load(Idx(kind="idx", train=train, classes=["a", "b", "c", "d"]), SHAPE)
    assert "train-labels.gz: empty class (class 'd'" in loaded.report
    assert loaded.classes == ["a", "b", "c"]


def test_more_images_than_there_are_cannot_be_drawn(load: Callable[..., Any], train: IdxPair) -> None:
    with pytest.raises(DataError, match=r"31 images are asked of train-labels\.gz, which has 30"):
        load(Idx(kind="idx", train=train, train_count=31), SHAPE)


def _gz_cut(data: bytes) -> bytes:
    return gzip.compress(data)[:-20]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "train-images is truncated"),
        (lambda data: data + b"\0", "train-images is too long"),
        (lambda data: data[:7], "train-images is truncated: 7 bytes"),
        (lambda data: b"\x89PNG" + data[4:], "train-images is no idx file of bytes: it starts with 0x89504e47"),
        (lambda data: idx_bytes(np.arange(3)) + data, "train-images has 1 dimension"),
        (lambda data: idx_bytes(np.zeros((29, 12, 12))), "train-images has 29 images, .*train-labels.gz has 30 labels"),
        (lambda data: idx_bytes(np.zeros((0, 12, 12))), "train-images has 0 images"),
        (_gz_cut, "train-images is truncated or broken"),
    ],
)
def test_a_bad_file_is_an_error_that_names_it(
    load: Callable[..., Any], root: Path, train: IdxPair, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = root / train.images
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        load(Idx(kind="idx", train=train), SHAPE)


def test_a_file_that_is_not_there_is_an_error(load: Callable[..., Any], root: Path, train: IdxPair) -> None:
    (root / train.labels).unlink()
    with pytest.raises(DataError, match=r"train-labels\.gz cannot be read"):
        load(Idx(kind="idx", train=train), SHAPE)


def test_attributes_are_further_tasks_made_of_label_angle_and_background(
    load: Callable[..., Any], train: IdxPair, backgrounds: Backgrounds
) -> None:
    attributes = {
        "even": Attribute(labels=["0", "2"]),
        "dark": Attribute(background=(0, 100)),
        "dark_one_upright": Attribute(labels=["1"], angle=(0, 180), background=(0, 100)),
    }
    source = Idx(kind="idx", train=train, rotate=True, backgrounds=backgrounds, attributes=attributes)
    loaded = load(source, SHAPE)
    assert [task.name for task in loaded.collection.tasks] == ["label", *attributes]
    assert all(task.classes == ["no", "yes"] for task in loaded.collection.tasks[1:])
    samples = loaded.samples
    assert (samples["even"] == samples["label"].map({"0": "yes", "1": "no", "2": "yes"})).all()
    frame = np.ones(SHAPE[:2], dtype=bool)
    frame[2:-2, 2:-2] = False
    means = loaded.pixels[:, frame, 0].mean(axis=1)
    assert (samples["dark"] == np.where(means < 100, "yes", "no")).all()
    all_three = samples["dark_one_upright"] == "yes"
    assert set(samples.loc[all_three, "dark"]) == {"yes"}
    assert set(samples.loc[all_three, "label"]) == {"1"}
    assert 0 < all_three.sum() < ((samples["label"] == "1") & (samples["dark"] == "yes")).sum()
    # The images are the same without them.
    assert (
        load(Idx(kind="idx", train=train, rotate=True, backgrounds=backgrounds), SHAPE).pixels == loaded.pixels
    ).all()


def test_an_attribute_that_no_image_has_is_refused(load: Callable[..., Any], train: IdxPair) -> None:
    with pytest.raises(DataError, match="no images have the attribute 'dark'"):
        load(Idx(kind="idx", train=train, attributes={"dark": Attribute(background=(250, 256))}), SHAPE)


def test_a_label_or_a_name_that_does_not_fit_is_named(load: Callable[..., Any], train: IdxPair) -> None:
    assert Attribute.model_validate({"labels": [1, 2]}).labels == ["1", "2"]
    with pytest.raises(DataError, match=r"'nine' names the labels \['9'\]; there are \['0', '1', '2'\]"):
        load(Idx(kind="idx", train=train, attributes={"nine": Attribute(labels=["9", "1"])}), SHAPE)
    with pytest.raises(DataError, match="cannot be named 'label'"):
        load(Idx(kind="idx", train=train, attributes={"label": Attribute(labels=["1"])}), SHAPE)


@pytest.mark.parametrize("task", ["index", "plain", "origin", "item", "code", "file", "label"])
def test_a_task_may_have_any_name_that_is_no_column(load: Callable[..., Any], train: IdxPair, task: str) -> None:
    loaded = load(Idx(kind="idx", train=train, task=task, copies=2), SHAPE)
    assert loaded.samples[task].tolist()[::2] == ["0", "1", "2"] * 10
    assert loaded.pixels[::2, 0, 0, 0].tolist() == list(range(30))


@pytest.mark.parametrize("task", ["row", "subset", "group"])
def test_a_task_may_not_have_the_name_of_a_column(load: Callable[..., Any], train: IdxPair, task: str) -> None:
    with pytest.raises(DataError, match=f"a task cannot be named '{task}'"):
        load(Idx(kind="idx", train=train, task=task), SHAPE)
