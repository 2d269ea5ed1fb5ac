"""The pipeline as users run it: `dvc repro` on dvc.yaml itself with small parameters, tracked in a real local store."""

from pathlib import Path

import pytest
from workspace import Workspace


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
