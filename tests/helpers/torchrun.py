"""A stage as two processes that torchrun starts, and which steps MLflow has of it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from tiny import arguments, write_parameters

# Batch normalisation takes its statistics in each process where there is no GPU, so equality needs it frozen.
OPTIMISATION = {
    "iterations": 40,
    "learning_rate": 0.05,
    "log_every": 4,
    "checkpoint_every": 4,
    "freeze_batch_norm": True,
    "augmentation": {"rotate": 10, "scale": 0.1, "shift": 0.05, "mirror": True},
}


def torchrun(root: Path, stage: str, program: list[str] | None = None, **changes: Any) -> list[str]:
    """The command of a stage as two processes, its parameters and metrics beside `root`."""
    parameters = write_parameters(root.with_name(f"{root.name}.json"), **{stage: changes})
    words = [*arguments(root, stage, parameters), "--metrics", str(root.with_name(f"{root.name}-metrics.json"))]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return [*launcher, *(program or ["-m", "longtail"]), *words]


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def logged_steps(tmp_path: Path) -> list[str]:
    """The step of each nested run in the store."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("longtail")
    assert experiment is not None
    tags = [one.data.tags for one in client.search_runs([experiment.experiment_id])]
    return [tag["longtail.step"] for tag in tags if "mlflow.parentRunId" in tag]
