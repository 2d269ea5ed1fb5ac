"""The column of hard negatives: what it may hold, and that data without it stay as they are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rejected import COUNT, write_with_negatives
from tiny import DIGIT, SHAPE, run_stage

from longtail.data.dataset import PackedDataset, Task, rejected_column, write_dataset
from longtail.data.rare_classes import to_background
from longtail.data.splits import Split
from longtail.errors import DataError

COLUMN = rejected_column("digit")


def write(path: Path, **columns: list[str | None]) -> None:
    samples = pd.DataFrame({"id": ["a", "b"], "source": "x", "group": ["a", "b"], "subset": None, **columns})
    images = [np.zeros((2, *SHAPE), np.uint8)]
    write_dataset(path, samples, images, tasks=[DIGIT], image_shape=SHAPE, provenance="", licence="")


def test_a_data_set_gives_them_back(tmp_path: Path) -> None:
    write(tmp_path, digit=["one", None], **{COLUMN: [None, "two"]})
    packed = PackedDataset.open(tmp_path)
    assert packed.labels("digit").tolist() == [1, -1]
    assert packed.negatives("digit").tolist() == [-1, 2]


def test_a_data_set_without_any_has_no_such_column(tmp_path: Path) -> None:
    write(tmp_path / "empty", digit=["one", None], **{COLUMN: [None, None]})
    write(tmp_path / "plain", digit=["one", None])
    for file in ("samples.parquet", "dataset.json"):
        assert (tmp_path / "empty" / file).read_bytes() == (tmp_path / "plain" / file).read_bytes()
    assert PackedDataset.open(tmp_path / "plain").negatives("digit").tolist() == [-1, -1]


@pytest.mark.parametrize("subset", ["validation", "test"])
def test_one_outside_of_training_is_refused(tmp_path: Path, subset: str) -> None:
    with pytest.raises(ValueError, match="is no training sample"):
        write(tmp_path, digit=["one", None], subset=[subset] * 2, **{COLUMN: [None, "two"]})


def test_one_with_a_label_is_refused_also_when_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has a label of 'digit' and was rejected there"):
        write(tmp_path / "new", digit=["one", None], **{COLUMN: ["one", None]})
    write(tmp_path / "old", digit=["one", None], **{COLUMN: [None, "two"]})
    table = pd.read_parquet(tmp_path / "old/samples.parquet")
    table.assign(digit="one").to_parquet(tmp_path / "old/samples.parquet")
    with pytest.raises(DataError, match="was rejected there"):
        PackedDataset.open(tmp_path / "old")


def test_rare_classes_take_no_hard_negative_out_of_training(tmp_path: Path) -> None:
    """Not even those with a label of another task, whose class lacks in a subset."""
    write_with_negatives(tmp_path / "one")
    packed = PackedDataset.open(tmp_path / "one")
    samples = packed.samples.astype(object)
    negative = samples[COLUMN].notna().to_numpy()
    rng = np.random.default_rng(0)
    rare = np.array([f"c{i}" for i in range(12)])
    samples["other"] = None
    samples.loc[negative, "other"] = rng.choice(rare, negative.sum())
    samples.loc[~negative, "other"] = np.where(rng.random((~negative).sum()) < 0.2, "c0", "more")
    other = Task(name="other", classes=[*rare.tolist(), "more"])
    images = [packed.images(np.arange(len(packed)))]
    write_dataset(
        tmp_path / "dataset", samples, images, tasks=[DIGIT, other], image_shape=SHAPE, provenance="", licence=""
    )
    for seed in range(8):
        report = run_stage(tmp_path, "split", seed=seed, rare_classes="background")
        split = Split.open(tmp_path / "split")
        assert report["digit_negatives"] == COUNT
        assert set(split.subset[split.samples[COLUMN].notna().to_numpy()]) == {"train"}


def test_negatives_of_a_class_that_became_background_are_counted(tmp_path: Path) -> None:
    subset = np.array(["train", "validation", "test", "train", "train"])
    labels = ["one", "one", "one", "two", None]  # of "two" and "zero" there are too few
    samples = pd.DataFrame({"digit": pd.Categorical(labels, categories=DIGIT.classes)})
    samples[COLUMN] = [None, None, None, None, "two"]
    made = to_background(samples, subset, [DIGIT], np.arange(5))
    assert made.rare is not None
    assert made.rare.negatives == 1
    assert "hard negatives of such classes are none any more: 1" in made.rare.sentence()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shares", [{"validation": 0.5, "test": 0.5}, {"rare_classes": "background"}])
def test_none_is_ever_drawn_for_validation_or_test(tmp_path: Path, shares: dict[str, object], seed: int) -> None:
    write_with_negatives(tmp_path / "dataset")
    report = run_stage(tmp_path, "split", seed=seed, **shares)
    split = Split.open(tmp_path / "split")
    rejected = split.samples[COLUMN].notna().to_numpy()
    assert rejected.sum() == report["digit_negatives"] == COUNT
    assert set(split.subset[rejected]) == {"train"}
    assert (split.negatives(DIGIT) >= 0).tolist() == rejected.tolist()
