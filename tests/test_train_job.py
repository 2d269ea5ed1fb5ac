"""Training on several machines: the TrainJob fits its schema, and the step that follows it brings what one would train.

A cluster cannot run here. Its API and Kubeflow Trainer are a stub (trainer_stub.py), which runs the job's command for
real: two processes of torchrun that find each other as two machines do.
"""

import copy
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob
from mlflow_server import make_database
from test_distributed import OPTIMISATION, logged_steps, run, torchrun
from test_pipeline import Compiled, kinds, step, types
from tiny import ARTIFACTS, PARAMETERS, hashes, run_pipeline, write_tiny_dataset
from trainer_stub import NAMESPACE, Trainer

import components
from components.images import CUDA
from longtail.errors import DataError
from longtail.stages.contract import artifacts, remove
from longtail.train_job import following, launcher
from longtail.train_job.cluster import Cluster
from longtail.train_job.following import Log
from longtail.train_job.launcher import job_name, launch
from longtail.train_job.manifest import Job, manifest
from pipelines.arguments import kubernetes_settings
from pipelines.resources import GPU, LAUNCHER, REQUESTS, Kubernetes
from pipelines.training import job

ROOT = Path(__file__).parents[1]
POLL = 0.2  # seconds
INPUTS = ("dataset", "split", "previous", "quintuplets")
SETTINGS = Kubernetes(num_nodes=2, image_pull_secrets=["longtail-registry"], cpu_nodes={"pool": "cpu"})
JOB = job(SETTINGS)
# What the job refers to; the tracking server's address is replaced where a test looks at it.
KNOWN = {
    "longtail-settings": dict.fromkeys(JOB.config_maps["longtail-settings"], "http://127.0.0.1:9"),
    "longtail-s3": dict.fromkeys(JOB.secrets["longtail-s3"], "s3-password"),
    "longtail-mlflow": dict.fromkeys(JOB.secrets["longtail-mlflow"], "mlflow-password"),
}
# In place of the stage: a container that dies without a word of the stage's.
DIES = ["--no-python", "sh", "-c", "echo last words; exit 3"]

Tree = dict[str, Any]


def example() -> Tree:
    return manifest("longtail-train-0", JOB, Path("/work"), ["-m", "longtail", "train"], {"LONGTAIL_WORK": "/work"})


def through_schema(job: Tree) -> Tree:
    """The job as the API's own types give it back: they leave out what they do not know."""
    read = TrainerV1alpha1TrainJob.from_dict(job)
    assert read is not None
    return read.to_dict()


def test_the_manifest_fits_the_schema_of_the_api() -> None:
    assert through_schema(example()) == example()


@pytest.mark.parametrize(
    "where",
    [
        ("spec",),
        ("spec", "trainer"),
        ("spec", "trainer", "env", 0),
        ("spec", "runtimePatches", 0),
        ("spec", "runtimePatches", 0, "trainingRuntimeSpec", "template", "spec", "replicatedJobs", 0),
    ],
)
def test_a_field_that_the_api_does_not_know_would_be_found(where: tuple[str | int, ...]) -> None:
    wrong = copy.deepcopy(example())
    part: Any = wrong
    for key in where:
        part = part[key]
    part["nodes"] = 2
    assert through_schema(wrong) == example()
    assert wrong != example()


def pod(one: Tree) -> Tree:
    """The part of the runtime's pod that the job sets."""
    (patch,) = one["spec"]["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert node["name"] == "node"
    found: Tree = node["template"]["spec"]["template"]
    return found


def test_every_machine_asks_for_what_one_would_and_is_as_hardened() -> None:
    trainer, spec = example()["spec"]["trainer"], pod(example())["spec"]
    asked = {"cpu": REQUESTS["train"].cpu, "memory": REQUESTS["train"].memory, GPU: "1"}
    assert trainer["resourcesPerNode"] == {"requests": asked, "limits": asked}
    assert (trainer["image"], trainer["numNodes"], trainer["numProcPerNode"]) == (CUDA, 2, 1)
    assert spec["securityContext"]["runAsUser"] == 1000
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["nodeSelector"] == SETTINGS.gpu_nodes
    assert spec["tolerations"][0]["key"] == GPU
    mounts = {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts == {"/work", "/tmp", "/dev/shm"}
    assert example()["spec"]["activeDeadlineSeconds"] == 48 * 3600


def test_secrets_are_referred_to_and_never_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "do-not-tell")
        assert name not in launcher.PASSED
    by_name = {one["name"]: one for one in example()["spec"]["trainer"]["env"]}
    assert by_name["MLFLOW_TRACKING_PASSWORD"]["valueFrom"] == {
        "secretKeyRef": {"name": "longtail-mlflow", "key": "MLFLOW_TRACKING_PASSWORD"}
    }
    assert {name for name, one in by_name.items() if "value" in one} == {"LONGTAIL_WORK"}


def test_the_network_policy_knows_the_jobs_pods() -> None:
    (policy,) = yaml.safe_load_all((ROOT / "infra/base/pipeline/network.yaml").read_text())
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod(example())["metadata"]["labels"].items()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that a round of training reads."""
    root = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_TRACKING", "off")
        write_tiny_dataset(root / "dataset", two_tasks=True)
        run_pipeline(root, stages=("split", "start", "cluster", "quintuplets"))
    return root


@pytest.fixture
def inputs(prepared: Path) -> dict[str, Path]:
    return {name: prepared / ARTIFACTS["train"][name] for name in INPUTS}


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of the step's pod, its volume here."""
    for name, value in {
        "LONGTAIL_WORK": str(tmp_path / "work"),
        "LONGTAIL_TRACKING": "off",
        "LONGTAIL_EXECUTION": "run-1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def trainer(tmp_path: Path, volume: Path) -> Iterator[Trainer]:
    stub = Trainer(tmp_path, KNOWN)
    yield stub
    stub.close()


def section(**changes: Any) -> Tree:
    return {**PARAMETERS["train"], **changes}


def breaking(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr(launcher, "_command", lambda *_: arguments)


@pytest.mark.slow
def test_a_job_of_two_machines_leaves_what_two_processes_leave(
    tmp_path: Path, trainer: Trainer, inputs: dict[str, Path], volume: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = launch(
        inputs, tmp_path / "out" / "model", section(optimisation=OPTIMISATION), JOB, trainer.cluster(), POLL
    )

    direct = tmp_path / "direct"
    for name in INPUTS:
        shutil.copytree(inputs[name], direct / ARTIFACTS["train"][name])
    done = run(torchrun(direct, "train", optimisation=OPTIMISATION), tmp_path)
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "out" / "model") == hashes(direct / "r1" / "model")
    assert report == json.loads((tmp_path / "direct-metrics.json").read_text())
    assert report["processes"] == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model"]
    assert list(volume.iterdir()) == []
    assert trainer.jobs == {}
    assert "training" in capsys.readouterr().out  # the first machine's log
    (created,) = trainer.created
    assert through_schema(created) == created
    assert "password" not in json.dumps(created)


@pytest.mark.slow
def test_the_first_of_the_jobs_processes_is_tracked_as_the_step(
    tmp_path: Path, trainer: Trainer, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_database(tmp_path / "mlflow.db")
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "MLFLOW_EXPERIMENT_NAME": "longtail"}
    trainer.known = {**KNOWN, "longtail-settings": KNOWN["longtail-settings"] | store}
    monkeypatch.delenv("LONGTAIL_TRACKING")
    monkeypatch.setenv("LONGTAIL_STEP", "train@r1")
    launch(inputs, tmp_path / "out" / "model", section(), JOB, trainer.cluster(), POLL)
    first = tmp_path / "pods-1"
    subprocess.run([sys.executable, "-m", "longtail", "sync"], cwd=first, check=True, stdout=subprocess.DEVNULL)
    assert logged_steps(tmp_path) == ["train@r1"]


PROGRAM = """
import json, sys
from pathlib import Path
from kubernetes import client
from longtail.execution import one_sentence
from longtail.train_job.cluster import Cluster
from longtail.train_job.launcher import launch
from longtail.train_job.manifest import Job

url, namespace, inputs, model, section, job = json.loads(sys.argv[1])
cluster = Cluster(client.ApiClient(client.Configuration(host=url)), namespace)
with one_sentence():
    launch({name: Path(path) for name, path in inputs.items()}, Path(model), section, Job(**job), cluster, 0.2)
"""


def begin(trainer: Trainer, inputs: dict[str, Path], model: Path, values: Tree) -> subprocess.Popen[str]:
    """The step in a process of its own, until a checkpoint is there."""
    paths = {name: str(path) for name, path in inputs.items()}
    about = json.dumps([trainer.url, NAMESPACE, paths, str(model), values, JOB.model_dump()])
    step = subprocess.Popen([sys.executable, "-c", PROGRAM, about], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not list(model.parents[1].glob("work/*/checkpoint*")):
        assert step.poll() is None, step.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)
    return step


LONG = {**OPTIMISATION, "iterations": 120}


@pytest.mark.slow
def test_a_step_that_died_is_tried_again_and_follows_the_job_that_it_left(
    tmp_path: Path, trainer: Trainer, inputs: dict[str, Path]
) -> None:
    model, values = tmp_path / "out" / "model", section(optimisation=LONG)
    died = begin(trainer, inputs, model, values)
    died.kill()
    died.communicate()
    assert len(trainer.jobs) == 1
    again = tmp_path / "other-pod" / "model"
    assert launch(inputs, again, values, JOB, trainer.cluster(), POLL)["processes"] == 2
    assert len(trainer.created) == 1
    assert (again / "current" / "network.safetensors").is_file()
    assert not model.exists()


@pytest.mark.slow
def test_a_step_that_is_stopped_deletes_its_job_and_the_next_one_resumes(
    tmp_path: Path, trainer: Trainer, inputs: dict[str, Path], volume: Path
) -> None:
    model, values = tmp_path / "out" / "model", section(optimisation=LONG)
    stopped = begin(trainer, inputs, model, values)
    stopped.send_signal(signal.SIGTERM)
    says = stopped.communicate(timeout=30)[1]
    assert stopped.returncode == 1
    assert says.count("error: the step was stopped") == 1
    assert "Traceback" not in says
    assert trainer.jobs == {}
    left = {path.name for path in volume.iterdir()}
    assert any(name.startswith("longtail-train-") for name in left)
    assert len(left) == 2  # and the checkpoints
    launch(inputs, model, values, JOB, trainer.cluster(), POLL)
    assert len(trainer.created) == 2
    assert list(volume.iterdir()) == []


def failing(inputs: dict[str, Path], model: Path, trainer: Trainer, **changes: Any) -> str:
    """The sentence of a step that fails; it leaves no model, whole or not."""
    with pytest.raises(DataError) as error:
        launch(inputs, model, section(**changes), JOB, trainer.cluster(), POLL)
    assert not model.parent.exists() or list(model.parent.iterdir()) == []
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.slow
def test_what_the_stage_says_ends_the_step_and_the_job(
    tmp_path: Path, trainer: Trainer, inputs: dict[str, Path], volume: Path
) -> None:
    says = failing(inputs, tmp_path / "out" / "model", trainer, optimiser="adam")
    assert "failed: " in says
    assert "train.optimiser is not a parameter" in says
    assert trainer.jobs == {}
    (folder,) = volume.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["inputs"]


@pytest.mark.slow
def test_a_failed_job_is_one_sentence_its_log_is_shown_and_the_next_try_creates_it_anew(
    tmp_path: Path,
    trainer: Trainer,
    inputs: dict[str, Path],
    volume: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = tmp_path / "out" / "model"
    with monkeypatch.context() as patch:
        breaking(patch, DIES)
        says = failing(inputs, model, trainer)
    assert "failed (FailedJobs: jobset failed due to one or more job failures)" in says
    assert "last words" in capsys.readouterr().out.splitlines()
    assert len(trainer.jobs) == 1  # for whoever wants to look
    assert len(list(volume.iterdir())) == 1
    launch(inputs, model, section(), JOB, trainer.cluster(), POLL)
    assert len(trainer.created) == 2
    assert model.is_dir()
    assert trainer.jobs == {}


@pytest.mark.parametrize(
    ("asked", "status", "message", "says"),
    [
        ("create trainjobs", 403, 'trainjobs is forbidden: User "x" cannot create', "not let this step create a Train"),
        ("create trainjobs", 404, "the server could not find it", "Kubeflow Trainer 2.2 or later must be installed"),
        ("create trainjobs", 500, "etcd is away", "does not answer (500 Internal Server Error: etcd is away)"),
        ("get trainjobs", 403, "may not get", "not let this step follow a TrainJob (403 Forbidden: may not get)"),
        ("list pods", 403, "may not list", "not let this step read its TrainJob's log (403"),
    ],
)
def test_a_refusal_is_one_sentence(
    asked: str,
    status: int,
    message: str,
    says: str,
    tmp_path: Path,
    trainer: Trainer,
    inputs: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    breaking(monkeypatch, ["--no-python", "sleep", "30"])
    trainer.refuse[asked] = [(status, message)]
    assert says in failing(inputs, tmp_path / "out" / "model", trainer)


def test_an_api_that_is_away_for_a_while_is_waited_for(
    tmp_path: Path, trainer: Trainer, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, DIES)
    trainer.refuse["get trainjobs"] = [(503, "starting")] * 3
    assert "FailedJobs" in failing(inputs, tmp_path / "out" / "model", trainer)
    monkeypatch.setattr(following, "PATIENCE", 0)
    trainer.refuse["get trainjobs"] = [(503, "starting")]
    trainer.jobs.clear()
    assert "goes on" in failing(inputs, tmp_path / "out" / "model", trainer)


def test_a_job_that_someone_deletes_is_not_waited_for(
    tmp_path: Path, trainer: Trainer, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, ["--no-python", "sleep", "30"])
    trainer.refuse["get trainjobs"] = [(404, "not found")]
    assert "was deleted before it was complete" in failing(inputs, tmp_path / "out" / "model", trainer)


def test_a_finished_training_is_not_repeated_for_a_step_that_died_before_it_took_the_model(
    tmp_path: Path, trainer: Trainer, inputs: dict[str, Path], volume: Path
) -> None:
    folder = volume / job_name(inputs, section(), JOB)
    (folder / "inputs").mkdir(parents=True)
    (folder / "model").mkdir()
    (folder / "model" / "state.json").write_text("{}")
    (folder / "metrics.json").write_text('{"round": 1.0}')
    assert launch(inputs, tmp_path / "model", section(), JOB, trainer.cluster(), POLL) == {"round": 1.0}
    assert (tmp_path / "model" / "state.json").is_file()
    assert trainer.created == []
    assert list(volume.iterdir()) == []


def test_the_jobs_name_follows_from_what_is_trained(
    tmp_path: Path, inputs: dict[str, Path], volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = job_name(inputs, section(), JOB)
    other_pod = {key: shutil.copytree(path, tmp_path / "other" / key) for key, path in inputs.items()}
    assert job_name(other_pod, section(), JOB.model_copy(update={"cpu": "4"})) == name
    (other_pod["quintuplets"] / "more").write_text("")
    others = {
        job_name(other_pod, section(), JOB),
        job_name(inputs, section(seed=1), JOB),
        job_name(inputs, section(), JOB.model_copy(update={"num_nodes": 3})),
    }
    monkeypatch.setenv("LONGTAIL_EXECUTION", "run-2")
    assert len(others | {job_name(inputs, section(), JOB), name}) == 5
    assert len(name) <= 63 - len("-node-0-0")  # a pod's host name


def test_inputs_that_do_not_fit_on_the_volume_are_one_sentence(
    tmp_path: Path, trainer: Trainer, inputs: dict[str, Path], volume: Path
) -> None:
    remove(volume)
    volume.write_text("no directory")
    with pytest.raises((DataError, NotADirectoryError)):
        launch(inputs, tmp_path / "model", section(), JOB, trainer.cluster(), POLL)
    assert trainer.created == []


def test_a_log_is_shown_once_and_its_sentence_heard(capsys: pytest.CaptureFixture[str]) -> None:
    class Fake:
        lines: list[str]

        def log(self, name: str, lines: int) -> list[str]:
            return self.lines

    fake = Fake()
    log = Log(fake, "job")  # type: ignore[arg-type]
    fake.lines = ["2026-01-01T00:00:01.000000000Z one", "2026-01-01T00:00:01.000000000Z two"]
    assert log.show() is None
    fake.lines = [*fake.lines, "2026-01-01T00:00:02.000000000Z error: no more luck", "2026-01-01T00:00:03.000000000Z x"]
    assert log.show() == "no more luck"
    fake.lines = []  # the container is starting again
    assert log.show() is None
    assert capsys.readouterr().out.splitlines() == ["one", "two", "error: no more luck", "x"]


def test_outside_of_a_cluster_the_step_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(DataError, match="needs a pod of a cluster"):
        Cluster.around_this_pod()


def test_the_account_may_do_what_the_step_asks(
    tmp_path: Path, trainer: Trainer, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, DIES)
    for _ in range(2):
        failing(inputs, tmp_path / "out" / "model", trainer)
    objects = yaml.safe_load_all((ROOT / "infra/base/pipeline/access.yaml").read_text())
    (role,) = [one for one in objects if one["kind"] == "Role"]
    allowed = {
        f"{verb} {resource}"
        for rule in role["rules"]
        if "resourceNames" not in rule
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
    assert trainer.asked == {"create trainjobs", "get trainjobs", "delete trainjobs", "list pods", "get pods/log"}
    assert trainer.asked <= allowed


def test_the_component_hands_on_everything_and_leaves_the_scalars(
    tmp_path: Path, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: Tree = {}

    def fake(inputs: Tree, model: Path, section: Tree, job: Job, cluster: Cluster) -> dict[str, float]:
        given.update(inputs=inputs, model=model, section=section, job=job)
        return {"round": 1.0}

    class Artifact:
        def __init__(self, name: str) -> None:
            self.path = str(tmp_path / name)

        def log_metric(self, name: str, value: float) -> None:
            given[name] = value

    monkeypatch.setattr(launcher, "launch", fake)
    monkeypatch.setattr(Cluster, "around_this_pod", trainer.cluster)
    artifacts_ = {name: Artifact(name) for name in (*INPUTS, "model", "metrics")}
    components.train_job.python_func(params=section(), job=JOB.model_dump(), **artifacts_)
    assert given == {
        "inputs": {name: tmp_path / name for name in INPUTS},
        "model": tmp_path / "model",
        "section": section(),
        "job": JOB,
        "round": 1.0,
    }
    assert json.loads((tmp_path / "metrics").read_text())["metrics"] == {"round": 1.0}


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return Compiled(num_nodes=2, gpus_per_node=4)


def test_one_setting_changes_the_training_step_and_nothing_else(compiled: Compiled) -> None:
    default = Compiled()
    assert set(compiled.tasks) == set(default.tasks)
    for task in compiled.tasks:
        if step(task) == "train":
            continue
        assert compiled.tasks[task] == default.tasks[task]
        assert compiled.pods[task] == default.pods[task]
        assert compiled.containers[task]["resources"] == default.containers[task]["resources"]


def test_the_training_step_has_the_artifacts_of_its_stage_and_asks_for_no_gpu(compiled: Compiled) -> None:
    assert compiled.with_gpu() == {"start"}
    component = compiled.component("train-2")
    assert types(component["inputDefinitions"]) == kinds("train", "input")
    assert types(component["outputDefinitions"]) == kinds("train", "output") | {"metrics": "Metrics"}
    for task in ("train", "train-2", "train-3"):
        box, parameters = compiled.containers[task], compiled.tasks[task]["inputs"]["parameters"]
        assert box["resources"]["resourceCpuLimit"] == LAUNCHER.cpu
        assert box["image"] == CUDA
        assert "launch_component" in " ".join(box["command"])
        assert int(compiled.pods[task]["activeDeadlineSeconds"]) == (REQUESTS["train"].hours + 1) * 3600
        assert [claim["mountPath"] for claim in compiled.pods[task]["pvcMount"]] == ["/work"]
        assert parameters["params"] == {"componentInputParameter": "train"}
        asked = Job.model_validate(parameters["job"]["runtimeValue"]["constant"])
        assert (asked.num_nodes, asked.gpus_per_node, asked.processes) == (2, 4, 8)


def test_the_number_of_machines_is_a_parameter(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text((ROOT / "params.yaml").read_text() + "kubernetes: {num_nodes: 2}\n")
    assert kubernetes_settings(file).trains_by_job
    assert not kubernetes_settings(ROOT / "params.yaml").trains_by_job


def test_several_gpus_of_one_machine_are_a_job_too() -> None:
    assert Compiled(gpus_per_node=2).with_gpu() == {"start"}


def test_the_stage_and_the_job_agree_about_the_inputs() -> None:
    from longtail.stages import train

    assert [name for name, kind in artifacts(train.run).items() if kind == "input"] == list(INPUTS)
