"""The pipeline as users run it: `dvc repro` on dvc.yaml itself with small parameters, tracked in a real local store."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import Finished
from workspace import ROOT, Workspace

from longtail.methods.catalogue import CATALOGUE

TRAININGS = {"softmax": {"fit@softmax"}, "class_rectification": {"fit@crl"}, "lmle": {"train@r1"}}
# What runs no training of its own, and what reads which models are evaluated.
ALL_TRAININGS = {"fit@softmax", "fit@crl", "train@r1"}
ALL_INDEXES = {"index@r1", "index@softmax", "index@crl"}


@pytest.mark.slow
def test_dvc_runs_what_changed_and_each_execution_is_one_run(finished: Finished, tmp_path: Path) -> None:
    workspace = finished.copy(tmp_path / "workspace")
    before = len(workspace.parents())
    assert workspace.repro() == []
    assert len(workspace.parents()) == before

    assert workspace.repro(evaluate={"resamples": 300}) == ["evaluate"]
    of_dvc = [run for run in workspace.parents() if "longtail.execution" not in run.data.tags]
    assert sorted(run.data.params["evaluate.resamples"] for run in of_dvc) == ["200", "300"]
    assert len({run.data.metrics["test/digit/mean_class_accuracy"] for run in of_dvc}) == 1  # only intervals are new
    assert {run.info.status for run in of_dvc} == {"FINISHED"}

    shown = json.loads(workspace.dvc("metrics", "show", "--json"))[""]["data"]
    compared = {Path(file).stem: set(found["data"]["digit"]) for file, found in shown.items()}
    assert set(compared) == {"r1", "softmax", "crl"}
    assert len(set(map(frozenset, compared.values()))) == 1  # no dash: every model has every number
    assert "mean_class_accuracy" in next(iter(compared.values()))
    workspace.dvc("plots", "show")
    page = (workspace.path / "dvc_plots/index.html").read_text()
    for title in ("Loss over the rounds", "Validation over the rounds", "k on validation", "Confusion"):
        assert title in page


def changed(workspace: Workspace) -> set[str]:
    """The stages that `dvc status` tells of."""
    return set(json.loads(workspace.dvc("status", "--json")))


@pytest.fixture(scope="module")
def own_code(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A finished workspace with a copy of the package, to be edited."""
    workspace = finished.copy(tmp_path_factory.mktemp("own_code") / "workspace")
    (workspace.path / "longtail").unlink()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "longtail", workspace.path / "longtail", ignore=ignored)
    assert changed(workspace) == set()
    return workspace


def after_edit(workspace: Workspace, name: str, old: str = "", new: str = "") -> set[str]:
    """The stages that an edit of a file of the package changes; the file is as before afterwards."""
    file = workspace.path / "longtail" / name
    before = file.read_bytes()
    assert old.encode() in before
    file.write_bytes(before.replace(old.encode(), new.encode(), 1) if old else before + b"# edited\n")
    try:
        return changed(workspace)
    finally:
        file.write_bytes(before)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CATALOGUE)
def test_an_edit_of_a_method_changes_its_own_trainings_alone(own_code: Workspace, kind: str) -> None:
    for file in (ROOT / "longtail/methods" / kind).glob("*.py"):
        assert after_edit(own_code, f"methods/{kind}/{file.name}") == TRAININGS.get(kind, set()), file


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "stages"),
    [
        (("methods/catalogue.yaml", "rule: cluster_wise", "rule: sample_wise"), {"train@r1", "evaluate"}),
        (("rules/sample_wise.py",), {*ALL_INDEXES, "evaluate"}),
        (("rules/registry.py",), {*ALL_INDEXES, "evaluate"}),
        (("quintuplets/hinge.py",), {"train@r1"}),
        (("quintuplets/search.py",), {"quintuplets@r1"}),
        (("training/loop.py",), ALL_TRAININGS),
        (("stages/features.py",), {"features@frozen"}),
        (("network/imported.py",), {"start", "features@frozen", *ALL_TRAININGS}),
        (("report/templates/style.css",), {"evaluate"}),
        (("sources/table.py",), {"ingest"}),
        (("tracking/runs.py",), set()),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_an_edit_changes_what_runs_the_file_and_no_more(
    own_code: Workspace, edit: tuple[str, ...], stages: set[str]
) -> None:
    assert after_edit(own_code, *edit) == stages


@pytest.mark.slow
def test_a_parameter_of_a_training_changes_it_alone(own_code: Workspace) -> None:
    file = own_code.path / "params.yaml"
    before = file.read_text()
    own_code.write_parameters(fits={"crl": {"method": {"weight": 0.2}}})
    try:
        assert changed(own_code) == {"fit@crl"}
        own_code.write_parameters(train={"patience": 2})
        assert changed(own_code) == {"train@r1"}
    finally:
        file.write_text(before)
