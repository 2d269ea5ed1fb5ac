"""Classes without labels are in no training, and what is said of them is that of plain counts."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from few_digits import MATRIX
from tiny import write_tiny_dataset

from experiments import unknown_classes
from experiments.matrix import Matrix
from experiments.place import Place
from experiments.unknown_classes import addition, refusal, trained, without_labels
from longtail.data.dataset import PackedDataset
from longtail.errors import DataError
from longtail.network.snapshot import read_embeddings
from longtail.rules.cluster_wise import ClusterWise

FEW_IMAGES = {"source": {"kind": "digits", "copies": 2}, "image_shape": [28, 28, 1]}


def test_the_labels_of_some_classes_are_taken_away_and_nothing_else(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "data", per_class=4, jpeg_quality=90)
    old, new = PackedDataset.open(tmp_path / "data"), PackedDataset.open(without_labels(tmp_path / "data", ["one"]))
    assert new.info.tasks[0].classes == ["zero", "two"]
    assert new.labels("digit").tolist() == [{0: 0, 1: -1, 2: 1}[code] for code in old.labels("digit")]
    assert new.samples["id"].tolist() == old.samples["id"].tolist()
    assert new.info.preprocessing == old.info.preprocessing
    rows = np.arange(len(old))
    assert (new.images(rows) == old.images(rows)).all()  # not encoded a second time


def test_data_that_were_half_written_are_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_dataset(tmp_path / "data", per_class=4)

    def killed(path: Path, *arguments: object, **more: object) -> None:
        (path / "samples.parquet").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(unknown_classes, "write_dataset", killed)
        with pytest.raises(KeyboardInterrupt):
            without_labels(tmp_path / "data", ["one"])
    assert PackedDataset.open(without_labels(tmp_path / "data", ["one"])).info.tasks[0].classes == ["zero", "two"]


@pytest.mark.parametrize("unknown", [["four"], ["zero", "one", "two"], ["one", "nine"]])
def test_what_is_no_part_of_the_classes_is_refused(tmp_path: Path, unknown: list[str]) -> None:
    write_tiny_dataset(tmp_path / "data", per_class=2)
    with pytest.raises(DataError, match="are not some of the classes"):
        without_labels(tmp_path / "data", unknown)


def test_a_training_on_stored_features_is_on_those_here_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LONGTAIL_TRACKING", "off")
    base = {**MATRIX["base"], "ingest": FEW_IMAGES, "features": {"frozen": {"after": "start"}}}
    base["fits"] = {"softmax": {**base["fits"]["softmax"], "on": "frozen"}}
    methods = {"softmax": MATRIX["methods"]["softmax"]}
    matrix = Matrix.model_validate(MATRIX | {"base": base, "methods": methods, "paper": {}})
    trained(matrix.cells()[0], Place(tmp_path, tmp_path / "work", "unknown"), ["3", "8"])
    assert [path.name for path in (tmp_path / "work").rglob("features-*") if path.is_dir()]


@pytest.mark.slow
def test_the_figures_are_those_of_plain_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LONGTAIL_TRACKING", "off")
    matrix = Matrix.model_validate(MATRIX | {"base": {**MATRIX["base"], "ingest": FEW_IMAGES}})
    cell = next(one for one in matrix.cells() if one.method == "softmax")
    indexed, table, hidden = trained(cell, Place(tmp_path, tmp_path / "work", "unknown"), ["3", "8"])
    assert set(hidden) == {-1, 0, 1}
    labels = table.labels(table.tasks[0])
    assert ((hidden >= 0) == (labels < 0)).all()  # every other image has its label
    distance, softmax = refusal(indexed, table, hidden)
    assert (distance["score"], softmax["score"]) == ("distance", "softmax")
    points = ClusterWise.load(indexed / "rules", "digit").neighbours.points.astype(np.float64)
    embeddings = read_embeddings(indexed / "snapshot", "digit").astype(np.float64)
    test = table.positions("test")
    far = np.linalg.norm(embeddings[test][:, None] - points, axis=2).min(1)
    pairs = [
        (unknown > known) + 0.5 * (unknown == known)
        for unknown, known in itertools.product(far[hidden[test] >= 0], far[hidden[test] < 0])
    ]
    assert distance["AUROC"] == pytest.approx(np.mean(pairs), abs=1e-3)
    assert 0 <= distance["known refused"] < 0.1
    few, many = (addition(indexed, table, hidden, count, seed=0) for count in (1, 20))
    assert (few["images"], many["images"]) == (1, 20)
    assert few["others before"] == many["others before"]
    assert 0 < many["new"] <= 1
