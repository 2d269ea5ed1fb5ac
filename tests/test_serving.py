"""The logged model answers as the pipeline's own embedder and rule do, wherever it is loaded."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from mlflow_server import make_database

from longtail.artifacts.reading import write_json
from longtail.data.dataset import Task

TASKS = [Task(name="label", classes=["zero", "one", "two"]), Task(name="kids", classes=["no", "yes"])]
SHAPE = (28, 28, 1)
TEMPERATURE, UNIFORM, FARTHEST = 0.7, 0.1, 0.9

LOG = """
import sys
from pathlib import Path
import numpy as np
from longtail import tracking
from longtail.data.dataset import Task
tasks = [Task(**task) for task in {tasks}]
with tracking.stage_run("evaluate", "evaluate", params={{}}, config={{"seed": 1}}, dataset="d41d8c", last=True):
    tracking.log_model(Path("index"), tasks=tasks, example=np.load("images.npy")[:2], parent=True)
assert "torch" not in sys.modules, "logging the model must not load it"
"""

PREDICT = """
import sys
import mlflow.pyfunc
import numpy as np
answers = mlflow.pyfunc.load_model(sys.argv[1]).predict(np.load(sys.argv[2]))
np.savez("answers.npz", **answers)
import longtail
print(longtail.__file__)
"""


@pytest.fixture(autouse=True)
def own_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model puts its sources first on the path; not for the tests that follow."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture(scope="module")
def images() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (7, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(folder: Path, images: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
    from longtail.network.embedder import load_embedder
    from longtail.rules.cluster_wise import ClusterWise

    embeddings = load_embedder(folder / "index/snapshot")(images)
    answers: dict[str, npt.NDArray[Any]] = {}
    for task in TASKS:
        rule = ClusterWise.load(folder / "index/rules", task.name)
        codes, scores = rule.predict(embeddings[task.name], None)
        exponentials = np.exp(scores.astype(np.float64) / TEMPERATURE)
        shares = (1 - UNIFORM) * exponentials / exponentials.sum(1, keepdims=True) + UNIFORM / len(task.classes)
        squares = ((embeddings[task.name][:, None] - rule.neighbours.points[None]) ** 2).sum(-1)
        names, nearest = np.array(task.classes), squares.argmin(1)
        answers |= {
            task.name: names[codes],
            f"{task.name}.probability": shares.max(1),
            f"{task.name}.probabilities": shares,
            f"{task.name}.nearest_class": names[rule.neighbours.classes[nearest]],
            f"{task.name}.nearest_cluster": nearest,
            f"{task.name}.distance": np.sqrt(squares.min(1)),
            f"{task.name}.unlike": np.sqrt(squares.min(1)) > FARTHEST,
        }
    return answers


def assert_as_expected(answers: Mapping[str, Any], expected: Mapping[str, npt.NDArray[Any]]) -> None:
    assert list(answers) == list(expected)
    for name, values in expected.items():
        found = np.asarray(answers[name])
        if values.dtype.kind == "f":
            np.testing.assert_allclose(found, values, atol=1e-5)
        else:
            np.testing.assert_array_equal(found, values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, images: npt.NDArray[np.uint8]) -> Path:
    """A workspace with an index, of random weights and random centroids, and a store."""
    folder = tmp_path_factory.mktemp("serving")
    np.save(folder / "images.npy", images)
    make_database(folder / "mlflow.db")
    write_snapshot(folder / "index/snapshot")
    write_rules(folder / "index", "cluster_wise")
    return folder


def write_snapshot(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from longtail.network.embedder import build_network
    from longtail.network.snapshot import Blueprint

    torch.manual_seed(0)
    blueprint = Blueprint(features="network", backbone="small_cnn", embedding=8, tasks=TASKS, image_shape=SHAPE)
    path.mkdir(parents=True)
    (path / "network.json").write_text(blueprint.model_dump_json())
    save_file(build_network(blueprint).state_dict(), path / "network.safetensors")
    np.save(path / "embeddings-label.npy", np.zeros((1000, 8), np.float32))


def write_rules(index: Path, own: str) -> None:
    """The rules that `index` writes of a model with a classifier, and its state, which names its own."""
    from longtail.network.snapshot import Round, State
    from longtail.rules.cluster_wise import ClusterWise
    from longtail.rules.clusters import Clusters
    from longtail.rules.familiarity import Familiarity
    from longtail.rules.head import Head
    from longtail.rules.head_and_knn import Blend, HeadAndKNN
    from longtail.rules.knn import NearestNeighbours
    from longtail.rules.probabilities import PROBABILITIES

    random = np.random.default_rng(1)
    (index / "rules").mkdir()
    for task in TASKS:
        points, classes = random.normal(size=(12, 8)).astype(np.float32), np.arange(12) % len(task.classes)
        neighbours = NearestNeighbours(points, classes, len(task.classes), 5, "large_margin")
        knn = ClusterWise(neighbours, Clusters(np.arange(12), classes), 0.5, [])
        for rule in (knn, Head(0.5), HeadAndKNN(knn, Blend(0.5, 0.2), 0.5)):
            rule.save(index / "rules", task.name)
        Familiarity(distance=FARTHEST, false_alarms=0.01, samples=100).save(index / "rules", task.name)
    of_rules = {
        key: {PROBABILITIES: {"temperature": TEMPERATURE, "uniform": UNIFORM}}
        for key in ("cluster_wise", "head", "head_and_knn")
    }
    write_json(index / "rules.json", {task.name: of_rules for task in TASKS})
    State(rule=own, history=[Round(round=0, scores={}, curve=[])]).write(index)


@pytest.fixture(scope="module")
def client(folder: Path) -> Any:
    """The store after a process without torch logged the model."""
    from mlflow import MlflowClient

    code = LOG.format(tasks=[task.model_dump() for task in TASKS])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.delenv("LONGTAIL_TRACKING", raising=False)
        logged = subprocess.run([sys.executable, "-c", code], cwd=folder, check=False, capture_output=True, text=True)
        assert logged.returncode == 0, logged.stderr
        assert "tracking:" not in logged.stderr, logged.stderr
        yield MlflowClient()


@pytest.fixture(scope="module")
def uri(client: Any) -> str:
    experiment = client.get_experiment_by_name("longtail").experiment_id
    (model,) = client.search_logged_models([experiment])
    return str(model.model_uri)


@pytest.mark.slow
def test_the_loaded_model_predicts_as_the_pipeline(
    uri: str, images: npt.NDArray[np.uint8], expected: dict[str, npt.NDArray[Any]]
) -> None:
    import mlflow

    answers = mlflow.pyfunc.load_model(uri).predict(images)
    assert_as_expected(answers, expected)


@pytest.mark.parametrize("own", ["cluster_wise", "head", "head_and_knn"])
def test_the_model_answers_by_the_rule_that_it_is_reported_by(
    own: str, tmp_path: Path, images: npt.NDArray[np.uint8]
) -> None:
    from longtail.network.embedder import load_embedder
    from longtail.rules.base import rule_class
    from longtail.rules.probabilities import Probabilities
    from longtail.serving import Classifier

    write_snapshot(tmp_path / "snapshot")
    write_rules(tmp_path, own)
    served = Classifier()
    served.load_context(SimpleNamespace(artifacts={"index": str(tmp_path)}))
    answers = served.predict(None, images)
    embedder = load_embedder(tmp_path / "snapshot")
    embeddings, logits = embedder(images), embedder.logits(images)
    for task in TASKS:
        rule = rule_class(own).load(tmp_path / "rules", task.name)
        codes, scores = rule.predict(embeddings[task.name], logits[task.name])
        np.testing.assert_array_equal(answers[task.name], np.array(task.classes)[codes])
        shares = answers[f"{task.name}.probabilities"]
        np.testing.assert_array_equal(shares, Probabilities(temperature=TEMPERATURE, uniform=UNIFORM).of(codes, scores))
        np.testing.assert_array_equal(shares.argmax(1), codes)


FORMS = {
    "none": lambda images: images[:0],
    "backwards": lambda images: images[::-1],
    "mirrored": lambda images: images[:, :, ::-1],
    "every other": lambda images: images[::2],
    "as Fortran has them": np.asfortranarray,
    "turned": lambda images: np.rot90(images, axes=(1, 2)),
    "read-only": lambda images: np.frombuffer(images.tobytes(), np.uint8).reshape(images.shape),
}


@pytest.mark.parametrize("own", ["cluster_wise", "head", "head_and_knn"])
@pytest.mark.parametrize("form", FORMS)
def test_images_may_be_none_and_lie_in_any_order(
    own: str, form: str, tmp_path: Path, images: npt.NDArray[np.uint8]
) -> None:
    from longtail.serving import Classifier

    write_snapshot(tmp_path / "snapshot")
    write_rules(tmp_path, own)
    served = Classifier()
    served.load_context(SimpleNamespace(artifacts={"index": str(tmp_path)}))
    asked = FORMS[form](images)
    answers, expected = served.predict(None, asked), served.predict(None, np.ascontiguousarray(asked))
    for task in TASKS:
        assert answers[task.name].shape == (len(asked),)
        assert answers[f"{task.name}.probabilities"].shape == (len(asked), len(task.classes))
    for name, values in answers.items():
        np.testing.assert_array_equal(values, expected[name])


@pytest.mark.slow
def test_another_process_elsewhere_loads_the_model_with_its_own_sources(
    uri: str, folder: Path, tmp_path: Path, expected: dict[str, npt.NDArray[Any]]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, uri, str(folder / "images.npy")],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "mlruns" in done.stdout
    with np.load(tmp_path / "answers.npz") as answers:
        assert_as_expected(answers, expected)


@pytest.mark.slow
def test_the_model_says_what_it_takes_and_gives(uri: str, images: npt.NDArray[np.uint8]) -> None:
    import mlflow

    info = mlflow.models.get_model_info(uri)
    outputs = {output.name: (output.type, output.shape) for output in info.signature.outputs.inputs}
    model = mlflow.pyfunc.load_model(uri)
    np.testing.assert_array_equal(np.asarray(model.input_example, np.uint8), images[:2])
    answers = model.predict(model.input_example)
    assert list(answers) == list(outputs)
    for name, (kind, shape) in outputs.items():
        assert answers[name].dtype.kind == kind.kind
        assert answers[name].shape == (2, *shape[1:])
    assert outputs["label.probabilities"] == (np.dtype(np.float32), (-1, 3))


@pytest.mark.slow
def test_the_model_holds_no_pickle_and_no_data_set(uri: str) -> None:
    import mlflow

    path = Path(mlflow.artifacts.download_artifacts(uri))
    names = [file.name for file in path.rglob("*")]
    assert "network.safetensors" in names
    assert not [name for name in names if name.endswith((".pkl", ".pickle")) or name.startswith("embeddings-")]
