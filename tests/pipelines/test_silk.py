"""The silk classifiers in the pipeline: by `dvc repro` and by Kubeflow's, nothing but parameters changed."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from workspace import Workspace

ADAM = {"iterations": 20, "optimiser": "adamw", "weight_decay": 0, "schedule": "constant", "early_stopping": 10}
TRAINING: dict[str, Any] = {"after": "start", "batch": 45, "sampling": "natural", "cost": False}
# Grey digits, in RGB, lie in one cell of the colour grid; what is told here is whether all arrives, not its worth.
VARIED = {"crop_side": 0.7, "rotate": 5, "noise": 0.1}
CHANGES: dict[str, Any] = {
    "network": {"embedding": 16, "shared_embedding": True, "relu": "classifier", "task_layers": [8], "dropout": 0.3},
    "ingest": {"colours": 5, "image_shape": [28, 28, 3]},
    "split": {"validation": 0.25, "test": 0.2, "rare_classes": "background", "hidden": {"digit": 0.3}},
    "features": {"frozen": {"after": "start"}, "views": {"after": "start", "views": 2, "augmentation": VARIED}},
    "rounds": {},
}


@pytest.mark.slow
def test_both_ways_give_the_same_report(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write_parameters(**CHANGES)
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    values["fits"] = {
        "clustering": {**TRAINING, "on": "frozen", "method": {"kind": "auxiliary_clustering"}, "optimisation": ADAM},
        "silknet": {**TRAINING, "on": "views", "method": {"kind": "silknet"}, "optimisation": ADAM},
        "tuned": {
            **TRAINING,
            "after": "silknet",
            "on": "dataset",
            "trained_blocks": 1,
            "method": {"kind": "silknet"},
            "optimisation": {**ADAM, "augmentation": VARIED},
        },
    }
    values["evaluate"] |= {"models": ["tuned", "silknet", "clustering"], "baseline": "clustering"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    workspace.dvc("repro")
    tasks = workspace.local("--runner", "subprocess")
    made = tmp_path / "artifacts" / "report" / "metrics.json"
    assert (tasks / "evaluate" / "report" / "metrics.json").read_bytes() == made.read_bytes()
    compiled = workspace.run("pipelines", "compile", "--mutable-images", "--remote", "s3://bucket/data")
    assert compiled.returncode == 0, compiled.stderr
    assert "silknet" in (tmp_path / "longtail.yaml").read_text()
