"""Clustering as a stage: its own parameters."""

import shutil
from pathlib import Path

import numpy as np
from tiny import run_stage

from longtail.artifacts.lineage import Lineage
from longtail.rules.clusters import load_clusters


def test_a_sample_makes_other_clusters_of_the_same_samples(tmp_path: Path, one_task: Path) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    report = run_stage(tmp_path, "cluster", sample_per_cluster=2)
    before, after = (load_clusters(root / "r1/clusters")["digit"] for root in (one_task, tmp_path))
    assert report["digit_clusters"] == len(before.classes)
    assert (after.classes == before.classes).all()
    assert ((after.assignment >= 0) == (before.assignment >= 0)).all()
    assert (after.assignment != before.assignment).any()
    assert Lineage.read(tmp_path / "r1/clusters").parameters()["cluster"]["sample_per_cluster"] == 2
    assert np.bincount(after.assignment[after.assignment >= 0]).min() > 0
