"""The logged model behind MLflow's scoring server: files in JSON and CSV, answered as the pipeline's own."""

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow_server import make_database

from longtail import tracking
from longtail.data.dataset import PackedDataset
from longtail.errors import DataError
from longtail.inference.answerer import Answerer, Answers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Logged as `evaluate` logs it, and loaded from the store."""
    import mlflow

    folder, packed = tmp_path_factory.mktemp("served"), PackedDataset.open(trained / "dataset")
    make_database(folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])  # loading a model puts its sources first
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.delenv("LONGTAIL_TRACKING", raising=False)
        with tracking.stage_run("evaluate", "evaluate", params={}, config={"seed": 1}, dataset="d41d8c", last=True):
            about = {"tasks": packed.info.tasks, "example": packed.images(np.arange(2))}
            card = trained / "report" / tracking.CARD
            tracking.log_model(trained / "index/softmax", **about, card=card, parent=True)
        client = mlflow.MlflowClient()
        (logged,) = client.search_logged_models([client.get_experiment_by_name("longtail").experiment_id])
        yield mlflow.pyfunc.load_model(logged.model_uri)


@pytest.fixture(scope="module")
def files(trained: Path) -> list[Path]:
    """Those of the packed data set, in its order."""
    return [trained / "photos" / source for source in PackedDataset.open(trained / "dataset").samples["source"]]


@pytest.fixture(scope="module")
def own(trained: Path) -> Answers:
    """What the pipeline's own embedder and rules answer of the packed images."""
    packed = PackedDataset.open(trained / "dataset")
    return Answerer.load(trained / "index/softmax").answer(packed.images(np.arange(len(packed))))["label"]


def score(model: Any, content: str, kind: str = "application/json") -> Any:
    """The answer of the scoring server to a request."""
    from mlflow.pyfunc.scoring_server import invocations

    response = invocations(content, kind, model, model.metadata.get_input_schema())
    assert response.status == 200
    return json.loads(response.response)["predictions"]


def requests(files: list[Path]) -> dict[str, tuple[str, str]]:
    texts = [base64.b64encode(file.read_bytes()).decode() for file in files]
    table = pd.DataFrame({"image": texts})
    json_of = {
        "inputs": {"inputs": texts},
        "instances": {"instances": texts},
        "named inputs": {"inputs": {"image": texts}},
        "named instances": {"instances": [{"image": text} for text in texts]},
        "split": {"dataframe_split": table.to_dict(orient="split")},
        "records": {"dataframe_records": table.to_dict(orient="records")},
        "paths": {"inputs": [str(file) for file in files]},
    }
    found = {name: (json.dumps(content), "application/json") for name, content in json_of.items()}
    return found | {"csv": (table.to_csv(index=False), "text/csv")}


@pytest.mark.parametrize(
    "request_of", ["inputs", "instances", "named inputs", "named instances", "split", "records", "paths", "csv"]
)
def test_a_hundred_files_in_a_request_are_answered_as_the_pipeline_answers_them(
    model: Any, files: list[Path], own: Answers, request_of: str
) -> None:
    assert len(files) >= 100
    answers = score(model, *requests(files)[request_of])
    packed = ("circle", "cross", "stripes")
    assert answers["label"] == [packed[code] for code in own.codes]
    np.testing.assert_allclose(answers["label.probabilities"], own.probabilities, atol=1e-5)
    assert answers["label.nearest_cluster"] == own.nearest.cluster.tolist()
    assert answers["label.unlike"] == own.unlike.tolist()


def test_pixels_in_a_request_are_answered_as_the_pipeline_answers_them(model: Any, trained: Path, own: Answers) -> None:
    images = PackedDataset.open(trained / "dataset").images(np.arange(3))
    for name in ("inputs", "instances"):
        answers = score(model, json.dumps({name: images.tolist()}))
        np.testing.assert_allclose(answers["label.probabilities"], own.probabilities[:3], atol=1e-5)


def test_a_request_can_ask_that_what_is_unlike_the_training_gets_no_class(
    model: Any, trained: Path, own: Answers
) -> None:
    packed = PackedDataset.open(trained / "dataset").images(np.arange(3))
    images = [*packed.tolist(), *np.full((2, *packed.shape[1:]), 20).tolist()]
    plain, refused = (
        score(model, json.dumps({"inputs": images, "params": {"refuse": refuse}})) for refuse in (False, True)
    )
    assert plain == score(model, json.dumps({"inputs": images}))
    assert plain["label.unlike"] == [*own.unlike[:3].tolist(), True, True]
    assert "" not in plain["label"]
    assert refused == {**plain, "label": [*plain["label"][:3], "", ""]}


@pytest.mark.parametrize("refuse", ["maybe", 2, [True], {"a": 1}])
def test_mlflow_refuses_a_parameter_that_is_no_truth_value(model: Any, files: list[Path], refuse: object) -> None:
    from mlflow import MlflowException

    with pytest.raises(MlflowException, match="refuse") as refused:
        score(model, json.dumps({"inputs": [str(files[0])], "params": {"refuse": refuse}}))
    assert refused.value.get_http_status_code() == 400


@pytest.mark.parametrize(
    "content", [{"inputs": []}, {"instances": []}, {"dataframe_split": {"columns": ["image"], "data": []}}]
)
def test_an_empty_request_has_an_empty_answer(model: Any, content: dict[str, Any]) -> None:
    answers = score(model, json.dumps(content))
    assert answers["label"] == []
    assert set(map(len, answers.values())) == {0}


def test_a_bad_request_is_refused_with_its_reason_and_without_its_pixels(model: Any, files: list[Path]) -> None:
    from mlflow import MlflowException

    texts = [base64.b64encode(file.read_bytes()[:-200]).decode() for file in files[:4]]
    for content, says in (
        ({"inputs": texts}, "4 of 4 images cannot be read"),
        ({"dataframe_split": {"columns": ["image"], "data": [[text] for text in texts]}}, "image 0: truncated image"),
        ({"inputs": (np.random.default_rng(0).random((2, 24, 20, 3))).tolist()}, "the pixels are float64"),
    ):
        with pytest.raises(MlflowException) as refused:
            score(model, json.dumps(content))
        body = refused.value.serialize_as_json()
        assert refused.value.get_http_status_code() == 400
        assert says in body
        assert len(body) < 6000
        assert texts[0][100:140] not in body


def test_the_card_lies_with_the_model(model: Any, trained: Path) -> None:
    import mlflow

    path = mlflow.artifacts.download_artifacts(f"models:/{model.metadata.model_id}")
    assert (Path(path) / tracking.CARD).read_bytes() == (trained / "report" / tracking.CARD).read_bytes()


def test_the_loaded_model_refuses_in_a_sentence(model: Any) -> None:
    with pytest.raises(Exception, match="the pixels are float64, not uint8") as refused:
        model.predict(np.zeros((2, 24, 20, 3)))
    assert type(refused.value).__name__ == DataError.__name__  # of the model's own sources
    assert len(str(refused.value)) < 300
