"""`longtail bootstrap` and `longtail grow` as commands, and their runs in MLflow."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from growing_set import arguments, begin, decide, pool_files, queue_of, write_growing_set
from mlflow_server import make_database

from longtail.bootstrapping.loop import Simulation, bootstrap
from longtail.data.dataset import PackedDataset


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("commands")
    write_growing_set(root)
    return root


def longtail(*words: str, **about: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "longtail", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **about)


def test_grow_makes_a_data_set(seed: Path, tmp_path: Path) -> None:
    items = list(pool_files(seed))[:3]
    queue = queue_of(tmp_path / "queue", pool_files(seed), dict.fromkeys(items, "one")).path
    decide(queue, {items[0]: "yes", items[1]: "no", items[2]: "unsure"})
    words = ["--dataset", f"{seed}/dataset", "--split", f"{seed}/split", "--pool", f"{seed}/pool"]
    done = longtail("grow", str(queue), *words, "--output", f"{tmp_path}/more")
    assert done.stdout == f"{tmp_path}/more: 1 images more, and 1 hard negatives; 0 were there already\n", done.stderr
    packed = PackedDataset.open(tmp_path / "more")
    assert len(packed) == len(PackedDataset.open(seed / "dataset")) + 2
    again = longtail("grow", str(queue), *words[:-1], f"{tmp_path}/absent", "--output", f"{tmp_path}/other")
    assert again.returncode == 1
    assert again.stderr.startswith("error: ")
    assert again.stderr.count("\n") == 1
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_bootstrap_stops_for_people_and_goes_on_with_the_directory_alone(seed: Path, tmp_path: Path) -> None:
    root = shutil.copytree(seed, tmp_path / "root")
    refused = longtail("bootstrap", str(root / "loop"))
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "to begin one give --dataset, --split, --pool, --training, --params" in refused.stderr
    first = longtail(*arguments(root))
    assert f"longtail label {root}/loop/turn-1/queue" in first.stdout
    again = longtail("bootstrap", "root/loop", cwd=tmp_path)
    assert "longtail label root/loop/turn-1/queue" in again.stdout
    assert longtail(*arguments(root, parts=3)).returncode == 1


@pytest.mark.slow
def test_all_turns_are_runs_of_one_parent(seed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    for name in ("MLFLOW_RUN_ID", "MLFLOW_RUN_NAME", "LONGTAIL_TRACKING", "LONGTAIL_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DVC_STAGE", "loop")
    monkeypatch.chdir(tmp_path)
    make_database(tmp_path / "mlflow.db")
    root = shutil.copytree(seed, tmp_path / "root")
    bootstrap(root / "loop", begin(root), None, enough=False)
    bootstrap(root / "loop", begin(root), Simulation(root / "truth.csv", 0.0), enough=False)
    bootstrap(root / "loop", begin(root), None, enough=False)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("longtail").experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.status for run in runs] == ["FINISHED"] * len(runs)
    assert [run.info.run_name for run in parents] == ["bootstrap loop"]
    steps = [run.data.tags["longtail.step"] for run in runs if run not in parents]
    assert len(steps) == len(set(steps))
    for turn in (1, 2, 3):
        assert {f"turn {turn}: {step}" for step in ("start", "fit plain", "index")} <= set(steps)
    assert {"turn 1: propose", "turn 2: grow", "turn 2: split", "turn 3: summary"} <= set(steps)
    asked = client.get_metric_history(parents[0].info.run_id, "bootstrap/asked")
    assert [metric.step for metric in asked] == [1, 2]
    assert "summary.csv" in {file.path for file in client.list_artifacts(parents[0].info.run_id)}
