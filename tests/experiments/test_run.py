"""An experiment run for real, on a few digits: resumed, with a cell that is killed, tracked, and written as tables."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml
from few_digits import MATRIX
from mlflow import MlflowClient

from experiments import cell, run
from experiments.matrix import read_matrix
from experiments.place import Place
from longtail.rules.registry import RULES

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def start(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    environment |= {"LONGTAIL_TRACKING": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    command = [sys.executable, "-m", "experiments", str(folder / "few.yaml"), "--data", ".", "--work", "work"]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=-1, stderr=-1)


def child(parent: int, word: str) -> int:
    """The process below `parent` whose command line holds the word, once there is one."""
    for _ in range(4000):
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # a thread or a process may end meanwhile
                for number in children.read_text().split():
                    if word in Path(f"/proc/{number}/cmdline").read_text(encoding="utf-8"):
                        return int(number)
        time.sleep(0.05)
    raise AssertionError("no cell was started")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment whose second cell was killed in the first call, and that was called twice more."""
    folder = tmp_path_factory.mktemp("experiment")
    (folder / "few.yaml").write_text(yaml.safe_dump(MATRIX))
    # Python imports it at the start of every process whose path has it.
    noting = f"import sys\nwith open({str(folder / 'began')!r}, 'a') as file:\n    print(*sys.orig_argv, file=file)\n"
    (folder / "sitecustomize.py").write_text(noting)
    first = start(folder)
    os.kill(child(first.pid, "joint"), signal.SIGKILL)
    (folder / "first.out").write_text("".join(first.communicate(timeout=1200)))
    (folder / "first.status").write_text(str(first.returncode))
    for call in ("second", "third"):
        again = start(folder)
        (folder / f"{call}.out").write_text("".join(again.communicate(timeout=1200)))
        assert again.returncode == 0, (folder / f"{call}.out").read_text()
    return folder


def test_a_killed_cell_leaves_the_others_and_is_tried_again_by_the_next_call(folder: Path) -> None:
    first, second, third = ((folder / f"{call}.out").read_text() for call in ("first", "second", "third"))
    assert (folder / "first.status").read_text() == "1"
    assert first.count("done in") == 5
    assert "(status -9)" in first
    assert "error: 1 of 6 cells failed; run the same command to try them again" in first
    assert "**1 of 6 cells are missing.**" in first
    assert "5 of 6 cells were done before" in second
    assert second.count("done in") == 1
    assert "6 of 6 cells were done before" in third
    assert third.count("done in") == 0


def test_what_another_call_has_done_is_left_alone_and_what_fails_takes_nothing_away(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(folder.resolve(), folder / "work", "few")
    cell_ = read_matrix(folder / "few.yaml").cells()[0]
    before = place.done(cell_)
    assert before is not None
    began = (folder / "began").read_text()
    assert run._run(cell_, place, 1, []) == (0, 0.0)
    assert (folder / "began").read_text() == began
    monkeypatch.chdir(folder)
    monkeypatch.setattr(cell, "_answers", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cell.run_cell(cell_, place.data, place.steps.resolve(), place.result(cell_).resolve())
    assert place.done(cell_) == before
    assert {path.name for path in place.result(cell_).parent.iterdir()} == {place.result(cell_).name}


def test_told_to_end_it_ends_its_cells_and_says_so_in_a_sentence(tmp_path: Path) -> None:
    """Twice, as `timeout` does: once as its child and once as one of its process group."""
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(MATRIX))
    running = start(tmp_path)
    cell = child(running.pid, "experiments.cell")
    for _ in range(2):
        running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 128 + signal.SIGTERM
    assert said.splitlines()[-1] == (
        "error: told to end by SIGTERM; nothing half-written is left, and checkpoints are kept"
    )
    assert "Traceback" not in said
    assert not Path(f"/proc/{cell}").exists()


def test_a_cell_finds_the_modules_that_its_caller_finds(folder: Path) -> None:
    assert "-m experiments.cell" in (folder / "began").read_text()


def test_cells_share_the_steps_that_are_the_same(folder: Path) -> None:
    made = [step.name.partition("-")[0] for step in (folder / "work/steps").glob("*/*") if step.is_dir()]
    # Two settings; of `fits` crl and two lengths of softmax in each.
    expected = {"ingest": 1, "split": 2, "start": 2, "fit": 6, "cluster": 2, "quintuplets": 2, "train": 2, "index": 6}
    assert Counter(made) == expected


def test_the_tables_hold_every_cell(folder: Path) -> None:
    rows = pd.read_csv(folder / "work/few/results.csv")
    accuracies = rows[rows.metric == "mean_class_accuracy"]
    assert list(rows) == ["setting", "method", "seed", "task", "rule", "metric", "value"]
    # Three methods, two settings: all rules but that of two classes answer for each, whichever rows are shown.
    assert len(accuracies) == 3 * 2 * (len(RULES) - 1)
    text = (folder / "work/few/results.md").read_text()
    assert "cells are missing" not in text
    for name in (
        "softmax, softmax head",
        "softmax, cluster-wise kNN",
        "softmax, cluster-wise kNN by Eq. 3 at k = 20",
        "joint, softmax head",
        "joint, softmax head and cluster-wise kNN",
    ):
        assert f"| {name} |" in text
    assert "| *joint, the paper's* | – |  | 70.13 |  |" in text
    shown = ["head", "head_adjusted", "cluster_wise", "large_margin"]
    best = accuracies[(accuracies.setting == "40 %") & accuracies.rule.isin(shown)]
    assert f"{100 * best[best.method == 'softmax'].value.max():.2f}" in text
    cells = "".join(line for line in text.splitlines() if line.startswith("|"))
    assert cells.count("**") == 4  # one bold cell a column
    for row in (line.split(" | ") for line in text.splitlines() if line.startswith("| softmax, cluster-wise")):
        assert row[2].startswith("k ") or row[1][0] in "+-", "beside each figure of neighbours stands its k"
    for figure in ("accuracy-digit.svg", "gain-digit.svg"):
        assert (folder / "work/few" / figure).stat().st_size > 1000


def test_every_cell_is_a_run_below_one_parent(folder: Path) -> None:
    assert "MLFLOW_RUN_NAME" not in os.environ  # or what is tracked next would have the experiment's name
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("longtail")
    assert experiment
    runs = list(client.search_runs([experiment.experiment_id]))
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.run_name for run in parents] == ["experiment few"]
    cells = {run.info.run_name: run for run in runs if run not in parents}
    assert set(cells) == {f"{method}, {setting}, seed 0" for method in MATRIX["methods"] for setting in ("0 %", "40 %")}
    assert {run.info.status for run in cells.values()} == {"FINISHED"}
    metrics = cells["joint, 40 %, seed 0"].data.metrics
    # As `evaluate` calls them: a cell compares with a pipeline.
    assert 0 < metrics["test/digit/r1/head/mean_class_accuracy"] == metrics["test/digit/mean_class_accuracy"] <= 1
    assert metrics["training/loss"] > 0
    # The tables are the experiment's: no run lies between its cells.
    (parent,) = parents
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"results.md", "results.csv", "gain-digit.svg"} <= files
    assert parent.info.status == "FINISHED"


def test_the_parameters_of_a_cell_are_called_as_those_of_a_pipeline(folder: Path) -> None:
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("longtail")
    assert experiment
    runs = {run.info.run_name: run.data.params for run in client.search_runs([experiment.experiment_id])}
    softmax, joint = (runs[f"{method}, 40 %, seed 0"] for method in ("softmax", "joint"))
    assert (softmax["method"], softmax["setting"], softmax["model"]) == ("softmax", "40 %", "softmax")
    assert softmax["fits.softmax.method.kind"] == "softmax"
    assert softmax["fits.softmax.optimisation.image_passes"] == "512"
    assert not any(name.startswith(("train.", "rounds.", "fits.crl.")) for name in softmax)
    assert (joint["rounds.r1.after"], joint["train.method.kind"]) == ("softmax", "joint")
    assert joint["seed"] == "0"
