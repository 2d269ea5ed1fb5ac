"""Forty binary attributes in one network, from files in CelebA's format to the report (LMLE, section 4.1)."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import ARTIFACTS, run_stage

from longtail.imbalance import imbalance_level
from longtail.models.snapshot import best, read_embeddings

ATTRIBUTES = [f"Attribute_{number:02d}" for number in range(40)]
TRAIN, VALIDATION, TEST = 120, 60, 60
SMALL: dict[str, dict[str, Any]] = {
    "split": {"imbalance": {"kind": "none"}},
    "start": {"batch": 8},
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


@pytest.mark.parametrize("shared", [False, True])
def test_forty_attributes_go_through_every_step(tmp_path: Path, celeba: Path, shared: bool) -> None:
    ingest = importlib.import_module("longtail.stages.ingest")
    params = ingest.Params(source={"kind": "celeba"}, image_shape=[40, 25, 3])
    ingest.run(celeba, tmp_path / "dataset", params=params)
    for stage in ARTIFACTS:
        network = {"network": {"embedding": 8, "shared_embedding": shared}} if stage in ("start", "train") else {}
        run_stage(tmp_path, stage, **SMALL.get(stage, {}), **network)

    metrics = json.loads((tmp_path / "report/metrics.json").read_text())
    assert list(metrics) == ATTRIBUTES
    of_kNN = [metrics[name]["cluster-wise kNN"] for name in ATTRIBUTES]
    # Table 2's metric, 0.5·(tp/Np + tn/Nn), is the mean per-class accuracy of a binary task.
    for found in of_kNN:
        recalls = [row["recall"] for row in found["per_class"]]
        assert found["mean_class_accuracy"] == pytest.approx(sum(recalls) / 2)
    first, *others = (read_embeddings(best(tmp_path / "r1/model"), name) for name in ATTRIBUTES)
    assert all(np.array_equal(first, other) == shared for other in others)

    if shared:  # and a classifier without rounds, of the same data
        fit = importlib.import_module("longtail.stages.fit")
        params = fit.Params(network={"embedding": 8}, batch=60, optimisation={"iterations": 4})
        report = fit.run(tmp_path / "dataset", tmp_path / "split", tmp_path / "crl", params=params)
        assert report["final_anchors"] > 40
        paths = {"model": "crl", "index": "crl-index", "report": "crl-report"}
        run_stage(tmp_path, "index", paths={name: paths[name] for name in ("model", "index")})
        run_stage(tmp_path, "evaluate", paths=paths)
        assert "What softmax head gains over" in (tmp_path / "crl-report/report.html").read_text()

    page = (tmp_path / "report/report.html").read_text()
    counts = json.loads((tmp_path / "split/split.json").read_text())["subsets"]["train"]["counts"]
    levels = {name: imbalance_level(counts[name]) for name in ATTRIBUTES}
    order = sorted(ATTRIBUTES, key=lambda name: levels[name] or 0.0)
    section = page[page.index("<h2>All tasks</h2>") :]
    places = [section.index(name) for name in order]
    assert places == sorted(places), "attributes stand in the order of their imbalance level"
