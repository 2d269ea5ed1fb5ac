"""The step that follows a TrainJob brings what two processes would train, and finds its job again.

A cluster cannot run here: its API and Kubeflow Trainer are a stub (trainer_stub.py), which runs the job's command for
real, as two processes of torchrun that find each other as two machines do.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from job_example import INPUTS, JOB, KNOWN, POLL, Tree, pod, section, through_schema
from mlflow_server import make_database
from tiny import ARTIFACTS, hashes
from torchrun import OPTIMISATION, logged_steps, run, torchrun
from trainer_stub import ACCOUNT, NAMESPACE, Trainer

from longtail.artifacts.lineage import ADD, GROW, PROPOSE, Lineage, extended
from longtail.parameters import stage_parameters
from longtail.stages.train import Params
from longtail.train_job import launcher
from longtail.train_job.launcher import job_name, launch


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
    assert pod(created)["spec"]["serviceAccountName"] == ACCOUNT


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
cluster = Cluster(client.ApiClient(client.Configuration(host=url)), namespace, "somebody")
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


LONG = {**OPTIMISATION, "iterations": 400}  # not done before it is stopped


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


def test_a_data_set_that_people_let_grow_is_trained_on_as_any(
    tmp_path: Path, inputs: dict[str, Path], volume: Path
) -> None:
    """Behind it are steps of which params.yaml has no section; whoever reads the job's parameters would refuse them."""
    own = {name: shutil.copytree(path, tmp_path / "inputs" / name) for name, path in inputs.items()}
    for one in own.values():
        here = Lineage.read(one)
        index = extended(ADD, {"task": "digit"}, {}, {"index": here}, Lineage())
        queue = extended(PROPOSE, {"task": "digit", "by": "confidence"}, {}, {"index": index}, Lineage())
        extended(GROW, {"queues": ["q"]}, {}, {"queue": queue}, Lineage(dataset=here.dataset)).write(one)
    launcher._bring_inputs(volume / "job", own, section())
    written = volume / "job/inputs/params.json"
    assert {"split", "train"} <= json.loads(written.read_text()).keys()
    assert stage_parameters(written, "train", Params) == Params.model_validate(section())


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
