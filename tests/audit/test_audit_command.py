"""`longtail audit`: nothing false of clean data; what is planted is found; text, JSON, and what is bad input."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import DIGIT, SHAPE, run_stage, write_tiny_dataset
from typer.testing import CliRunner

from longtail.__main__ import app
from longtail.audit import told
from longtail.data.dataset import PackedDataset, write_dataset
from longtail.data.splits import Split
from longtail.errors import DataError


def said(*words: object) -> str:
    done = CliRunner().invoke(app, ["audit", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def values(*words: object) -> Any:
    return json.loads(said(*words, "--json"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clean")
    write_tiny_dataset(root / "dataset")
    run_stage(root, "split")
    return root


@pytest.fixture(scope="module")
def spoilt(clean: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clean set with three test images of other groups copied into training, one of them with another class, and
    two labels of training flipped.
    """
    root = tmp_path_factory.mktemp("spoilt")
    packed, split = PackedDataset.open(clean / "dataset"), Split.open(clean / "split")
    samples, images = packed.samples.copy(), packed.images(np.arange(len(packed)))
    subset = np.full(len(samples), "", dtype=object)
    subset[split.samples["row"]] = split.subset
    samples["subset"] = subset
    samples["digit"] = samples["digit"].astype(str)
    train, test = np.flatnonzero(subset == "train"), np.flatnonzero(subset == "test")
    samples.loc[train[[0, -1]], "digit"] = ["two", "zero"]
    copies = samples.iloc[test[[0, 4, -1]]].assign(id=["copy-0", "copy-1", "copy-2"], group="copies", subset="train")
    copies.loc[copies.index[2], "digit"] = "zero"
    noise = np.random.default_rng(0).integers(-3, 4, (3, *SHAPE))
    near = np.clip(images[test[[0, 4, -1]]].astype(int) + noise, 0, 255).astype(np.uint8)
    write_dataset(
        root / "dataset",
        pd.concat([samples, copies], ignore_index=True),
        [np.concatenate([images, near])],
        tasks=[DIGIT],
        image_shape=SHAPE,
        provenance="made for a test",
        licence="none",
    )
    (root / "planted.json").write_text(
        json.dumps(
            {
                "pairs": samples["id"].iloc[test[[0, 4, -1]]].tolist(),
                "flipped": samples["id"].iloc[train[[0, -1]]].tolist(),
            }
        )
    )
    return root


def test_of_clean_data_nothing_is_told(clean: Path) -> None:
    found = values(clean / "dataset", "--split", clean / "split")
    assert (found["copies"], found["tasks"]["digit"]["labels"]["suspects"]) == ([], [])
    text = said(clean / "dataset", "--split", clean / "split")
    assert "no image of another group is a near-duplicate" in text
    assert "0 of 120 judged labels may be wrong" in text


def test_of_few_images_it_says_that_equal_ones_alone_are_looked_for(clean: Path, tmp_path: Path) -> None:
    packed = PackedDataset.open(clean / "dataset")
    rows = np.arange(0, 120, 10)
    samples = packed.samples.iloc[rows].assign(id=[f"{'long/' * 40}{row}" for row in rows], group=rows.astype(str))
    samples["digit"] = samples["digit"].astype(str)
    images = packed.images(rows)
    images[1] = images[0]
    write_dataset(
        tmp_path / "few", samples, [images], tasks=packed.info.tasks, image_shape=SHAPE, provenance="-", licence="none"
    )
    found = values(tmp_path / "few")
    assert [one["ids"] for one in found["copies"]] == [samples["id"].tolist()[:2]]  # whole, however long
    images[1, 0, 0, 0] ^= 1
    write_dataset(
        tmp_path / "new", samples, [images], tasks=packed.info.tasks, image_shape=SHAPE, provenance="-", licence="none"
    )
    assert "tell of equal images at most" in said(tmp_path / "new")
    assert "tell of equal images" not in said(clean / "dataset", "--split", clean / "split")


def test_planted_copies_and_flipped_labels_are_found(spoilt: Path) -> None:
    planted = json.loads((spoilt / "planted.json").read_text())
    found = values(spoilt / "dataset")
    assert {tuple(sorted(copy["ids"])) for copy in found["copies"]} == {
        (f"copy-{place}", sample) for place, sample in enumerate(planted["pairs"])
    }
    assert all(copy["across_subsets"] and set(copy["subsets"]) == {"train", "test"} for copy in found["copies"])
    assert [copy["ids"] for copy in found["copies"] if copy["other_class_in"]] == [[planted["pairs"][2], "copy-2"]]
    suspects = found["tasks"]["digit"]["labels"]["suspects"]
    assert {one["id"] for one in suspects} == {*planted["flipped"], "copy-2"}
    assert {(one["label"], one["instead"]) for one in suspects} == {("two", "zero"), ("zero", "two")}
    text = said(spoilt / "dataset", "--most", 1)
    assert "3 pairs of near-duplicates in different groups: 3 across subsets, 1 with two classes" in text
    assert text.count("… and 2 more") == 3  # pairs, labels, classes


def test_what_the_test_subset_can_measure(clean: Path) -> None:
    found = values(clean / "dataset", "--split", clean / "split", "--margin", 0.2)["tasks"]["digit"]
    split = Split.open(clean / "split")
    table = split.samples[split.subset == "test"].groupby("digit", observed=True)
    counts = {one["class"]: (one["test_images"], one["test_groups"]) for one in found["tested"]}
    assert counts == {name: (len(some), some["group"].nunique()) for name, some in table}
    assert (found["needed"], sorted(found["too_small"])) == (21, sorted(DIGIT.classes))
    assert values(clean / "dataset", "--split", clean / "split", "--margin", 0.5)["tasks"]["digit"]["too_small"] == []
    assert "there is no test subset" in said(clean / "dataset")


def test_an_index_judges_labels_of_validation_alone(trained: Path) -> None:
    words = [trained / "index/softmax", "--split", trained / "split"]
    with pytest.raises(DataError, match="give the packed data set that they are in, as --dataset"):
        said(*words)
    with pytest.raises(DataError, match="split is no packed data set: give what `ingest` wrote, as --dataset"):
        said(*words, "--dataset", trained / "split")
    found = values(*words, "--dataset", trained / "dataset")
    split = Split.open(trained / "split")
    assert found["by"] == "embeddings"
    for task in split.tasks:
        labels = found["tasks"][task.name]["labels"]
        assert labels["judged"] + labels["not_judged"] == (split.scored_labels(task, "validation") >= 0).sum()
        assert {one["subset"] for one in labels["suspects"]} <= {"validation"}


def test_a_model_without_rules_judges_nothing(prepared: Path) -> None:
    with pytest.raises(DataError, match="is no index"):
        said(prepared / "softmax/model", "--split", prepared / "split", "--dataset", prepared / "dataset")


def test_rows_of_another_data_set_are_refused(clean: Path, spoilt: Path, tmp_path: Path) -> None:
    shutil.copytree(clean / "split", tmp_path / "split")
    with pytest.raises(DataError, match="come from different data sets"):
        said(spoilt / "dataset", "--split", tmp_path / "split")


def test_pixels_that_would_fill_the_memory_are_refused(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "ROOM", 1000)
    with pytest.raises(DataError, match="too many to be compared by their pixels"):
        told.look(clean / "dataset", None, None, None)
