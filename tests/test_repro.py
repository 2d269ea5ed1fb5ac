"""The pipeline as users run it: `dvc repro` on dvc.yaml itself with small parameters, tracked in a real local store."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]


class Workspace:
    """A folder with the repository's dvc.yaml and code, and parameters of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # A path with a space, as users have them.
        (path / "my data").mkdir()
        for name in ("dvc.yaml", ".dvcignore"):
            shutil.copy(ROOT / name, path / name)
        (path / "longtail").symlink_to(ROOT / "longtail")
        binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "LONGTAIL_"))}
        self.environment = kept | {"PATH": binaries, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(path / ".site")}
        self.dvc("init", "--no-scm", "-q")

    def dvc(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        done = subprocess.run(command, cwd=self.path, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    def repro(self, **changes: dict[str, Any]) -> list[str]:
        """Run with the small parameters so changed; the stages that ran."""
        values = yaml.safe_load((ROOT / "params.yaml").read_text())
        values |= {"data": "my data", "cluster_size": 20, "rounds": {"r1": {"after": "r0"}}, "last_round": "r1"}
        values["ingest"]["source"]["copies"] = 1
        for section in ("start", "train"):
            values[section]["optimisation"]["iterations"] = 20
        values["evaluate"] = {"resamples": 20, "mistakes": 4, "map_points": 60}
        for section, change in changes.items():
            values[section] |= change
        (self.path / "params.yaml").write_text(yaml.safe_dump(values))
        return re.findall(r"Running stage '([^']+)'", self.dvc("repro"))

    def parents(self) -> list[Any]:
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{self.path}/mlflow.db")
        experiment = client.get_experiment_by_name("longtail")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        return [run for run in runs if "mlflow.parentRunId" not in run.data.tags]


@pytest.mark.slow
def test_dvc_runs_what_changed_and_each_execution_is_one_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    everything = ["ingest", "split", "start", "cluster@r1", "quintuplets@r1", "train@r1", "index", "evaluate"]
    assert workspace.repro() == everything
    assert len(workspace.parents()) == 1

    assert workspace.repro() == []
    assert len(workspace.parents()) == 1

    assert workspace.repro(evaluate={"resamples": 30}) == ["evaluate"]
    parents = workspace.parents()
    assert sorted(run.data.params["evaluate.resamples"] for run in parents) == ["20", "30"]
    accuracies = {run.data.metrics["test/digit/cluster_wise/mean_class_accuracy"] for run in parents}
    assert len(accuracies) == 1  # only the intervals were computed anew
    assert {run.info.status for run in parents} == {"FINISHED"}

    assert "mean_class_accuracy" in workspace.dvc("metrics", "show")
    workspace.dvc("plots", "show")
    page = (tmp_path / "dvc_plots/index.html").read_text()
    for title in ("Loss over the rounds", "Validation over the rounds", "k on validation", "Confusion"):
        assert title in page
