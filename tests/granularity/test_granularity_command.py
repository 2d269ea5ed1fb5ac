"""`longtail granularity` on every kind of artifact: text, JSON, and what is bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import run_stage, write_tiny_dataset
from typer.testing import CliRunner

from longtail.__main__ import app
from longtail.errors import DataError
from longtail.granularity.distance import euclidean
from longtail.granularity.granularity import granularity_of
from longtail.granularity.points import open_images


@pytest.fixture(scope="module")
def root(prepared: Path) -> Path:
    if not (prepared / "features").exists():
        run_stage(prepared, "features")
    return prepared


def said(*words: object) -> str:
    done = CliRunner().invoke(app, ["granularity", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    ("source", "by"), [("dataset", "pixels"), ("features", "features"), ("softmax/model", "embeddings")]
)
def test_each_artifact_is_measured_by_what_it_holds(root: Path, source: str, by: str) -> None:
    words = [root / source, "--split", root / "split", "--subset", "test"]
    found = json.loads(said(*words, "--json"))
    assert set(found) == {"digit", "kids"}
    images = open_images(root / source, root / "split")
    for task in images.tasks:
        at = images.positions("test")
        labels = images.labels(task)[at]
        expected = granularity_of(euclidean(images.points(task, at)), labels, task.classes)
        assert expected is not None
        one = found[task.name]
        assert (one["by"], one["subset"], one["rankm"]) == (by, "test", expected.rankm)
        assert one["missing"] == np.count_nonzero(labels < 0)
        ids = set(images.samples["id"].iloc[at])
        assert all({*pair["medoids"], *pair["between"]} <= ids for pair in one["pairs"])
    assert f"digit: RankM {found['digit']['rankm']:.3f}, by {by}, of the test subset" in said(*words)


def test_the_background_class_is_not_compared(root: Path) -> None:
    found = json.loads(said(root / "dataset", "--task", "kids", "--json"))
    assert {one["name"] for one in found["kids"]["by_class"]} == {"no", "yes"}


def test_what_was_not_worked_out_is_said(root: Path) -> None:
    assert json.loads(said(root / "dataset", "--no-exact", "--json"))["digit"]["rank"] is None
    assert "--exact works them out" in said(root / "dataset", "--no-exact")


def test_without_pairs_it_says_nothing_of_them(root: Path) -> None:
    assert "finest pairs" in said(root / "dataset", "--task", "kids")
    text = said(root / "dataset", "--task", "kids", "--pairs", "0")
    assert "finest pairs" not in text
    assert "none: every image" not in text


def test_infinite_is_null_in_json(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset", per_class=3)
    file = tmp_path / "dataset/images-00000.npy"
    images = np.load(file)
    images[:] = np.arange(9, dtype=np.uint8)[:, None, None, None]
    images[3:5] = images[8:] = images[1]  # the medoid of `zero` and of `one`
    np.save(file, images)
    assert json.loads(said(tmp_path / "dataset", "--json"))["digit"]["rsm"] is None
    assert "RSM infinite" in said(tmp_path / "dataset")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nowhere"], "there is no directory nowhere"),
        (["{root}/features"], "give the split that it was made with"),
        (["{root}/dataset", "--task", "colour"], "no task 'colour'; there are ['digit', 'kids']"),
        (["{root}/dataset", "--subset", "test"], "no image of the test subset has a label of 'digit'"),
        (["{root}/split", "--split", "{root}/split"], "no embeddings of 'digit'"),
    ],
)
def test_bad_input_is_one_sentence(root: Path, words: list[str], why: str) -> None:
    with pytest.raises(DataError) as error:
        said(*(word.format(root=root) for word in words))
    assert why in str(error.value)


def test_classes_of_one_image_have_nothing_to_measure(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset", per_class=1)
    with pytest.raises(DataError, match="none has two"):
        said(tmp_path / "dataset")
