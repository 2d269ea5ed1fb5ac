"""Where `dvc repro` and the pipeline leave the same, for the small parameters of workspace.py."""

import json
from pathlib import Path

from tiny import hashes
from workspace import Workspace

# kfp numbers the tasks of a component in the order of the graph.
SAME = {
    "artifacts/dataset": "fetch/dataset",
    "artifacts/split": "split/split",
    "artifacts/start/model": "start/model",
    "artifacts/frozen": "features/features",
    "artifacts/softmax/model": "fit/model",
    "artifacts/crl/model": "fit-2/model",
    "artifacts/r1/clusters": "cluster/clusters",
    "artifacts/r1/quintuplets": "quintuplets/quintuplets",
    "artifacts/r1/model": "train/model",
    "artifacts/index/r1": "index/index",
    "artifacts/index/softmax": "index-2/index",
    "artifacts/index/crl": "index-3/index",
    "artifacts/report": "evaluate/report",
}
METRICS = {
    "split": "split",
    "start": "start",
    "frozen-features": "features",
    "softmax-fit": "fit",
    "crl-fit": "fit-2",
    "r1-train": "train",
    "r1-index": "index",
    "evaluate": "evaluate",
}
EVERY_STEP = {
    *("split", "start", "features@frozen", "fit@softmax", "fit@crl", "cluster@r1", "quintuplets@r1", "train@r1"),
    *("index@r1", "index@softmax", "index@crl", "evaluate"),
}


def assert_same_results(workspace: Workspace, tasks: Path) -> None:
    """Every artifact and metric of the pipeline is that of `dvc repro`."""
    for of_dvc, of_task in SAME.items():
        assert hashes(workspace.path / of_dvc) == hashes(tasks / of_task), of_dvc
    for of_dvc, of_task in METRICS.items():
        expected = json.loads((workspace.path / f"metrics/{of_dvc}.json").read_text())
        assert json.loads((tasks / of_task / "metrics").read_text())["metrics"] == expected, of_dvc
