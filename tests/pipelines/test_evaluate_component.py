"""The component of `evaluate`: which index is which model's, and what the dashboard shows."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kfp.dsl import ClassificationMetrics

import components
from longtail import execution

GRAPH = ["softmax", "r1", "crl"]


class Artifact:
    def __init__(self, path: Path) -> None:
        self.path = str(path)


def run_component(folder: Path, section: dict[str, Any]) -> ClassificationMetrics:
    """The component's body, run here on the indexes index_1 … below the folder; the confusion matrix that it shows."""
    indexes = {f"index_{number}": Artifact(folder / f"index_{number}") for number in range(1, len(GRAPH) + 1)}
    others = {name: Artifact(folder / name) for name in ("dataset", "split", "report", "metrics", "page")}
    confusion = ClassificationMetrics()
    body: Any = components.evaluate(len(GRAPH)).python_func
    body(params=section, models=GRAPH, confusion=confusion, **others, **indexes)
    return confusion


@pytest.mark.parametrize("asked", [GRAPH, ["crl", "softmax", "r1"], ["r1"]], ids=["all", "another order", "fewer"])
def test_every_index_has_the_name_of_the_graph_whatever_the_run_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    """The parameters of a run can be edited in the dashboard; which task made an index cannot."""
    found: dict[str, str] = {}

    def execute_component(_stage: str, paths: dict[str, str], *_: Any) -> dict[str, float]:
        found.update({link.name: link.readlink().name for link in Path(paths["indexes"]).iterdir()})
        return {}

    monkeypatch.setattr("longtail.execution.execute_component", execute_component)
    run_component(tmp_path, {"models": asked})
    assert found == {"softmax": "index_1", "r1": "index_2", "crl": "index_3"}


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"models": ["r9"]}, "'indexes/r9' does not exist: .*or name others in `models`: there are crl, r1, softmax"),
        ({"models": ["r1", "r1"]}, r"evaluate: .*a model is named twice: \['r1', 'r1'\]"),
        ({"models": ["r1"], "baseline": "crl"}, r"the baseline 'crl' is none of the models \['r1'\]"),
        ({"models": 3}, "evaluate.models is 3; give a list"),
        ({}, "evaluate.models is missing"),
    ],
    ids=["a model of no task", "twice", "baseline", "no list", "nothing"],
)
def test_models_that_the_graph_cannot_serve_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: dict[str, Any], says: str
) -> None:
    monkeypatch.setenv("LONGTAIL_TRACKING", "off")
    for name in ("dataset", "split", "index_1", "index_2", "index_3"):
        (tmp_path / name).mkdir()
    with pytest.raises(SystemExit, match=says) as ended:
        run_component(tmp_path, section)
    assert str(ended.value).count("\n") == 0


@pytest.mark.parametrize(
    "classes", [["NA", "None", "nan", "null", "N/A", "#N/A", "NULL", "<NA>", "n/a"], ["01", "1", "1.0"], ["true"]]
)
def test_the_dashboard_shows_classes_whatever_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: list[str]
) -> None:
    (tmp_path / "report/plots").mkdir(parents=True)
    (tmp_path / "report/report.html").write_text("a page")
    answers = pd.DataFrame({"actual": classes, "predicted": [classes[0]] * len(classes)})
    answers.to_csv(tmp_path / "report/plots/confusion.csv", index=False)

    def execute_component(_stage: str, _paths: Any, _section: Any, _record: str, show: Any) -> dict[str, float]:
        show()
        return {}

    monkeypatch.setattr(execution, "execute_component", execute_component)
    shown = run_component(tmp_path, {"models": GRAPH}).metadata["confusionMatrix"]
    assert [one["displayName"] for one in shown["annotationSpecs"]] == sorted(classes)
    column = sorted(classes).index(classes[0])
    assert [row["row"][column] for row in shown["rows"]] == [1] * len(classes)
