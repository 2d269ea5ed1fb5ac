"""The experiment on a small set of its own kind: every row is there, and nothing done is done again."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

from experiments.mnist_rot_back import PARAMETERS, markdown, run_seed


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Digits in place of MNIST's and noise in place of the photographs, under the same names."""
    root = tmp_path / "data"
    (root / "mnist").mkdir(parents=True)
    digits: Bunch = load_digits()
    images = np.kron(digits.images, np.ones((3, 3)))[:, :28, :28] * 15
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    for name, part in (("train", slice(0, 500)), ("t10k", slice(500, 800))):
        write_idx(root / f"mnist/{name}-images-idx3-ubyte.gz", images[part])
        write_idx(root / f"mnist/{name}-labels-idx1-ubyte.gz", digits.target[part])
    (root / "photographs").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 150, (60, 60), np.uint8)).save(root / "photographs/a.png")
    return root


@pytest.fixture
def small(tmp_path: Path) -> Path:
    values = yaml.safe_load(PARAMETERS.read_text())
    values["ingest"]["source"] |= {"train_count": 500, "test_count": 300}
    values["ingest"]["source"]["backgrounds"] = {"path": "photographs", "pattern": "*.png"}
    for section in ("start", "train"):
        values[section]["optimisation"] |= {"iterations": 3}
    values |= {"cluster_size": 20, "rounds": 2}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "small.yaml"


def test_every_embedding_is_measured_and_nothing_is_done_twice(data: Path, small: Path, tmp_path: Path) -> None:
    rows = run_seed(data, tmp_path / "work", 0, small)
    found = [(row["features"], row["classifier"]) for row in rows]
    knn = ["cluster-wise kNN", "sample-wise kNN"]
    expected = {
        "HOG, hand-crafted": knn,
        "softmax, round 0": [*knn, "softmax head"],
        "LMLE, round 1": knn,
        "LMLE, round 2": knn,
        "LMLE, its round chosen on validation": knn,
        "softmax, LMLE's whole budget": [*knn, "softmax head"],
    }
    assert found == [(features, classifier) for features, classifiers in expected.items() for classifier in classifiers]
    assert all(0 <= row[subset] <= 1 for row in rows for subset in ("test", "validation"))
    tested = {row["features"]: row for row in rows if row["classifier"] == "cluster-wise kNN"}
    chosen = max((tested[f"LMLE, round {number}"] for number in (1, 2)), key=lambda row: row["validation"])
    assert tested["LMLE, its round chosen on validation"]["test"] == chosen["test"]
    passes = {row["features"]: row["passes"] for row in rows}
    # The softmax network of the same budget sees as many images as softmax and LMLE together, to within a batch.
    assert abs(passes["softmax, LMLE's whole budget"] - passes["LMLE, round 2"]) <= 64

    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("work/*/*")}
    assert run_seed(data, tmp_path / "work", 0, small) == rows
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("work/*/*")} == before


def test_the_table_gives_mean_and_spread_over_the_seeds() -> None:
    row = {"features": "HOG", "classifier": "kNN", "passes": 1000}
    rows = pd.DataFrame([{**row, "test": 0.5, "validation": 0.6}, {**row, "test": 0.6, "validation": 0.6}])
    assert "| HOG | kNN | 55.00 ± 7.07 | 60.00 ± 0.00 | 1,000 |" in markdown(rows)
    assert "| HOG | kNN | 50.00 | 60.00 | 1,000 |" in markdown(rows[:1])
