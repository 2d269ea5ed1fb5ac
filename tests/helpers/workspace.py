"""A folder with the repository's pipeline and code, and small parameters of its own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from longtail.artifacts.yaml_file import read_yaml

ROOT = Path(__file__).parents[2]


class Workspace:
    """Where `dvc repro` and `python -m pipelines` run as users do; softmax, CRL, one round of LMLE, few iterations."""

    def __init__(self, path: Path, *, new: bool = True) -> None:
        """Made in the folder `path` or, if it is not new, found there."""
        self.path = path
        binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "LONGTAIL_"))}
        self.environment = kept | {"PATH": binaries, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(path / ".site")}
        if new:
            self._make()

    def _make(self) -> None:
        # A path with a space, as users have them.
        (self.path / "my data").mkdir()
        for name in ("dvc.yaml", ".dvcignore"):
            shutil.copy(ROOT / name, self.path / name)
        for name in ("longtail", "components", "pipelines"):
            (self.path / name).symlink_to(ROOT / name)
        self.dvc("init", "--no-scm", "-q")

    def run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m module …` in the workspace."""
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.run(command, cwd=self.path, env=self.environment, capture_output=True, text=True, check=False)

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """The same, without waiting for its end."""
        command = [sys.executable, "-m", module, *arguments]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, cwd=self.path, env=self.environment, **silent)

    def dvc(self, *arguments: str) -> str:
        """What `dvc …` prints; it must succeed."""
        done = self.run("dvc", *arguments)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    def local(self, *arguments: str) -> Path:
        """Run `python -m pipelines local …`, which must succeed; the folder of its tasks."""
        done = self.run("pipelines", "local", *arguments)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return Path(done.stdout.splitlines()[-1].removeprefix("the report is ")).parents[1]

    def repro(self, **changes: Any) -> list[str]:
        """Run with the small parameters so changed; the stages that ran."""
        self.write_parameters(**changes)
        return re.findall(r"Running stage '([^']+)'", self.dvc("repro"))

    def write_parameters(self, **changes: Any) -> None:
        """Write the small parameters, so changed; an empty mapping takes the place of what is there."""
        values = read_yaml(ROOT / "params.yaml")
        values |= {"data": "my data", "cluster_size": 20, "rounds": {"r1": {"after": "softmax", "on": "dataset"}}}
        # One training is on stored features: what holds for a pipeline holds with them too.
        values["features"] = {"frozen": {"after": "start"}}
        values["fits"]["crl"]["on"] = "frozen"
        values["ingest"]["source"]["copies"] = 1
        values["quintuplets"]["pool_fraction"] = None  # nulls travel wherever the others do
        for section in (values["train"], *values["fits"].values()):
            section["optimisation"]["iterations"] = 20
        shown = {"resamples": 200, "mistakes": 4, "map_points": 60}
        values["evaluate"] = {"models": ["r1", "softmax", "crl"], "baseline": "softmax", **shown}
        for section, change in changes.items():
            values[section] = merged(values[section], change) if change and isinstance(change, dict) else change
        (self.path / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))

    def parents(self) -> list[Any]:
        """The runs of pipeline executions in the local MLflow store."""
        return [run for run in self._runs() if "mlflow.parentRunId" not in run.data.tags]

    def steps(self, parent: Any) -> list[Any]:
        """The runs of the steps of an execution."""
        return [run for run in self._runs() if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]

    def _runs(self) -> list[Any]:
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{self.path}/mlflow.db")
        experiment = client.get_experiment_by_name("longtail")
        assert experiment is not None
        return list(client.search_runs([experiment.experiment_id]))


def merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The values with the changes, at any depth."""
    deep = {name: merged(values.get(name, {}), change) for name, change in changes.items() if isinstance(change, dict)}
    return {**values, **changes, **deep}
