"""Forty binary attributes in one network, from files in CelebA's format to the report (LMLE, section 4.1)."""

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import ARTIFACTS, CRL, run_stage

from longtail.data.imbalance import imbalance_level
from longtail.network.snapshot import State, best, read_embeddings

ATTRIBUTES = [f"Attribute_{number:02d}" for number in range(40)]
TRAIN, VALIDATION, TEST = 120, 60, 60
SMALL: dict[str, dict[str, Any]] = {
    "start": {},
    "fit": {"batch": 8},
    "train": {"batch": 4},
}


@pytest.fixture(scope="module")
def celeba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in CelebA's format: attribute j is a bright square at place j of an 8×5 grid, rarer as j rises."""
    root, rng = tmp_path_factory.mktemp("celeba"), np.random.default_rng(0)
    count = TRAIN + VALIDATION + TEST
    labels = rng.random((count, 40)) < np.linspace(0.5, 0.1, 40)
    for subset in (slice(0, TRAIN), slice(TRAIN, TRAIN + VALIDATION), slice(TRAIN + VALIDATION, count)):
        labels[subset][:2] = [[True] * 40, [False] * 40]  # every class is in every subset
    (root / "img_align_celeba").mkdir()
    names = [f"{number:06d}.jpg" for number in range(1, count + 1)]
    for name, row in zip(names, labels, strict=True):
        grid = np.kron(row.reshape(8, 5), np.ones((5, 5))) * 180 + 30
        Image.fromarray(grid.astype(np.uint8)).convert("RGB").save(root / "img_align_celeba" / name, quality=95)
    lines = [
        f"{name} " + " ".join("1" if one else "-1" for one in row) for name, row in zip(names, labels, strict=True)
    ]
    (root / "list_attr_celeba.txt").write_text("\n".join([str(count), " ".join(ATTRIBUTES), *lines]) + "\n")
    subsets = np.repeat([0, 1, 2], [TRAIN, VALIDATION, TEST])
    parts = "\n".join(f"{name} {subset}" for name, subset in zip(names, subsets, strict=True))
    (root / "list_eval_partition.txt").write_text(parts + "\n")
    people = "\n".join(f"{name} {number}" for number, name in enumerate(names))
    (root / "identity_CelebA.txt").write_text(people + "\n")
    return root


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, celeba: Path) -> Path:
    """The folder packed and split."""
    root = tmp_path_factory.mktemp("packed")
    ingest = importlib.import_module("longtail.stages.ingest")
    ingest.run(celeba, root / "dataset", params=ingest.Params(source={"kind": "celeba"}, image_shape=[40, 25, 3]))
    run_stage(root, "split", imbalance={"kind": "none"})
    return root


def run_stages(root: Path, dataset: Path, *stages: str, shared: bool) -> None:
    """Stages of the tiny pipeline on a copy of what is packed, with one embedding for all attributes or one each."""
    shutil.copytree(dataset, root, dirs_exist_ok=True)
    network = {"network": {"embedding": 8, "shared_embedding": shared}}
    for stage in stages:
        run_stage(root, stage, **(SMALL[stage] | network if stage in SMALL else {}))


def in_order_of_imbalance(root: Path) -> list[str]:
    """The attributes by their imbalance level in training."""
    counts = json.loads((root / "split/split.json").read_text())["subsets"]["train"]["counts"]
    return sorted(ATTRIBUTES, key=lambda name: imbalance_level(counts[name]) or 0.0)


def test_forty_embeddings_on_one_trunk_are_trained_from_forty_tables(tmp_path: Path, dataset: Path) -> None:
    run_stages(tmp_path, dataset, "start", "fit", "cluster", "quintuplets", "train", shared=False)
    embeddings = [read_embeddings(best(tmp_path / "r1/model"), name) for name in ATTRIBUTES]
    assert len({one.tobytes() for one in embeddings}) == 40
    assert set(State.read(tmp_path / "r1/model").history[1].scores) == set(ATTRIBUTES)


def test_forty_attributes_on_one_embedding_go_through_every_step(tmp_path: Path, dataset: Path) -> None:
    run_stages(tmp_path, dataset, *list(ARTIFACTS)[1:], shared=True)
    first, *others = (read_embeddings(best(tmp_path / "r1/model"), name) for name in ATTRIBUTES)
    assert all(np.array_equal(first, other) for other in others)
    metrics = json.loads((tmp_path / "report/metrics.json").read_text())
    assert list(metrics) == ATTRIBUTES
    # Table 2's metric, 0.5·(tp/Np + tn/Nn), is the mean per-class accuracy of a binary task.
    for found in (metrics[name]["r1"]["rules"]["cluster_wise"] for name in ATTRIBUTES):
        recalls = [row["recall"] for row in found["per_class"]]
        assert found["mean_class_accuracy"] == pytest.approx(sum(recalls) / 2)
    page = (tmp_path / "report/report.html").read_text()
    section = page[page.index("<h2>All tasks</h2>") :]
    places = [section.index(name) for name in in_order_of_imbalance(tmp_path)]
    assert places == sorted(places), "attributes stand in the order of their imbalance level"


def test_class_rectification_trains_forty_attributes_without_tables(tmp_path: Path, dataset: Path) -> None:
    run_stages(tmp_path, dataset, "start", shared=False)
    report = run_stage(tmp_path, "fit", **CRL | {"batch": 60, "optimisation": {"iterations": 4}})
    assert report["final_anchors"] > 40
    assert set(State.read(tmp_path / "softmax/model").history[0].scores) == set(ATTRIBUTES)
