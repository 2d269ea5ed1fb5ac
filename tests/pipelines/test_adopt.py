"""`python -m pipelines adopt`: a run's artifacts come back, and `dvc repro` finds nothing to do.

The run is real, by kfp.local; the cluster's store is moto's S3, laid out as the backend does; its API is a stub.
"""

import copy
import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Finished, git
from kfp_stub import KfpStub
from s3_server import BUCKET, CREDENTIALS, S3Server, use_credentials
from same_results import SAME
from tiny import hashes
from workspace import Workspace

from longtail.artifacts.yaml_file import read_yaml
from longtail.execution import one_sentence
from longtail.training.declared import declared_trainings
from pipelines import __main__
from pipelines.graph import specification
from pipelines.outputs import outputs
from pipelines.pipeline import pipeline
from pipelines.resources import Kubernetes

pytestmark = pytest.mark.slow

ROOT = "v2/artifacts"
OUTPUTS = {of_task: of_dvc for of_dvc, of_task in SAME.items() if of_task != "fetch/dataset"}
TRAININGS = {
    "features": {"frozen": {"after": "start"}},
    "fits": {"softmax": {"after": "start"}, "crl": {"after": "start", "on": "frozen"}},
    "rounds": {"r1": {"after": "softmax"}},
    "evaluate": {"models": ["r1", "softmax", "crl"]},
}
MORE_ROUNDS = {
    **TRAININGS,
    "rounds": {"r1": {"after": "softmax", "on": "dataset"}, "r2": {"after": "r1", "on": "dataset"}},
}


def graph(declared: dict[str, Any], settings: Kubernetes | None) -> dict[str, Any]:
    """The specification of the pipeline with these trainings."""
    return specification(pipeline(declared_trainings(declared, "params.yaml"), settings))


# What the dashboard calls the tasks of trainings and models.
SHOWN = {
    **{
        "features": "features@frozen",
        "fit": "fit@softmax",
        "fit-2": "fit@crl",
        "cluster": "cluster@r1",
        "quintuplets": "quintuplets@r1",
    },
    **{"train": "train@r1", "index": "index@r1", "index-2": "index@softmax", "index-3": "index@crl"},
}


class Run:
    """A run in the stub and in the store, with one folder a task; `copy` is where its files came from."""

    def __init__(self, stub: KfpStub, store: S3Server, tasks: Path) -> None:
        self.stub, self.store, self.tasks, self._client = stub, store, tasks, store.client("s3")
        self.id = self.announce()
        self.folders = {path.name: self.upload(path.name) for path in tasks.iterdir() if path.is_dir()}

    def announce(self, declared: dict[str, Any] = TRAININGS, settings: Kubernetes | None = None, **more: Any) -> str:
        """Let the API know a run that has succeeded."""
        run_id = str(uuid.uuid4())
        document = {"pipeline_spec": graph(declared, settings), "platform_spec": {}}
        about = {"run_id": run_id, "state": "SUCCEEDED", "pipeline_spec": document}
        root = {"runtime_config": {"pipeline_root": f"minio://{BUCKET}/{ROOT}"}}
        self.stub.runs[run_id] = about | root | more
        return run_id

    def upload(self, task: str, leave_out: str = "", place: str = "", run_id: str = "") -> str:
        """Put what a task made into the store, as another attempt, at `place` or as another run's; its folder."""
        folder = f"{ROOT}/longtail/{run_id or self.id}/{place or f'{task}/{uuid.uuid4()}'}"
        for file in sorted((self.tasks / task).rglob("*")):
            name = file.relative_to(self.tasks / task).as_posix()
            if file.is_file() and name not in ("executor_output.json", leave_out):
                self.put(f"{folder}/{name}", file.read_bytes())
        return folder

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def empty(self) -> None:
        """Delete everything that the run has left."""
        listing = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        for page in listing:
            for item in page["Contents"]:
                self._client.delete_object(Bucket=BUCKET, Key=item["Key"])

    def change(self, task: str, file: str, **values: Any) -> None:
        """Write other values into a JSON file that a task left in the store."""
        content = json.loads((self.tasks / task / file).read_text()) | values
        self.put(f"{self.folders[task]}/{file}", json.dumps(content).encode())


@pytest.fixture(scope="module")
def store() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.kill()


@pytest.fixture
def workspace(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """At the commit of the run, with its data alone."""
    own = finished.copy(tmp_path / "workspace", ingested=True)
    own.environment["LONGTAIL_TRACKING"] = "off"
    monkeypatch.chdir(own.path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", own.environment["DVC_SITE_CACHE_DIR"])
    return own


@pytest.fixture
def run(finished: Finished, store: S3Server) -> Iterator[Run]:
    store.reset()
    stub = KfpStub()
    yield Run(stub, store, finished.tasks)
    stub.stop()


@pytest.fixture
def adopt(
    workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process; exit status, stdout and stderr."""
    use_credentials(monkeypatch, CREDENTIALS)
    for name in ("KFP_NAMESPACE", "KFP_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def command(run_id: str = run.id, *words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        own = ["adopt", run_id, "--host", run.stub.address, "--endpoint", run.store.address, *words]
        with pytest.raises(SystemExit) as ended, one_sentence():
            __main__.app(own)
        printed = capfd.readouterr()
        if isinstance(ended.value.code, str):  # Python itself prints it and exits with 1
            return 1, printed.out, f"{printed.err}{ended.value.code}\n"
        return int(ended.value.code or 0), printed.out, printed.err

    return command


Adopt = Callable[..., tuple[int, str, str]]


def refusal(adopt: Adopt, *words: str) -> str:
    """The one sentence of a command that fails and leaves the workspace as it was."""
    before = hashes(Path("artifacts")), Path("dvc.lock").read_text(encoding="utf-8")
    status, _, errors = adopt(*words)
    assert status == 1
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert (hashes(Path("artifacts")), Path("dvc.lock").read_text(encoding="utf-8")) == before
    return errors


def assert_adopted(workspace: Workspace, run: Run) -> None:
    for made, place in OUTPUTS.items():
        assert hashes(workspace.path / place) == hashes(run.tasks / made)
    recorded = json.loads((run.tasks / "train" / "metrics").read_text())["metrics"]
    assert (workspace.path / "metrics/r1-train.json").read_text() == json.dumps(recorded, indent=1) + "\n"
    assert "up to date" in workspace.dvc("status")
    repro = workspace.dvc("repro")
    assert "Running stage" not in repro
    assert "up to date" in repro
    assert not list((workspace.path / "artifacts").glob(".*"))


def test_after_adopt_there_is_nothing_to_reproduce(adopt: Adopt, workspace: Workspace, run: Run) -> None:
    # What an earlier run left is in the way.
    (workspace.path / "artifacts/report").mkdir()
    (workspace.path / "artifacts/report/old").touch()
    status, out, errors = adopt()
    assert (status, errors) == (0, "")
    assert out == f"adopted the run {run.id}; the report is artifacts/report/report.html\n"
    assert_adopted(workspace, run)
    assert "validation_score" in (workspace.path / "metrics/r1-train.json").read_text()
    # What is adopted is in DVC's cache, too.
    shutil.rmtree(workspace.path / "artifacts/report")
    workspace.dvc("checkout")
    assert (workspace.path / "artifacts/report/report.html").is_file()


def test_a_run_that_built_its_tables_in_parts_is_adopted_as_any(adopt: Adopt, workspace: Workspace, run: Run) -> None:
    document = {"pipeline_spec": graph(TRAININGS, Kubernetes(quintuplets_pods=3)), "platform_spec": {}}
    run.stub.runs[run.id]["pipeline_spec"] = document
    assert adopt(run.id)[0] == 0
    assert_adopted(workspace, run)


def test_every_training_has_its_task_and_its_place(workspace: Workspace) -> None:
    workspace.write_parameters(rounds=MORE_ROUNDS["rounds"])
    two_rounds = pipeline(declared_trainings(MORE_ROUNDS, "params.yaml"), None)
    found = {made.stage: made for made in outputs(Path("params.yaml"), two_rounds)}
    of_rounds = [stage for stage in found if stage.startswith(("cluster", "quintuplets", "train"))]
    assert of_rounds == [f"{step}@r{number}" for number in (1, 2) for step in ("cluster", "quintuplets", "train")]
    second = found["train@r2"]
    assert (second.task, second.metrics) == ("train-2", Path("metrics/r2-train.json"))
    assert second.artifacts == {"model": Path("artifacts/r2/model")}


def test_the_newest_whole_attempt_counts(adopt: Adopt, workspace: Workspace, run: Run) -> None:
    old = run.folders["train"]
    run.put(f"{old}/model/state.json", b"of an attempt before")
    time.sleep(1.1)  # the store tells times in seconds
    run.upload("train")
    run.upload("train", leave_out="metrics")  # killed before its end
    assert adopt()[0] == 0
    assert_adopted(workspace, run)


def test_the_folders_of_other_versions_of_the_backend_are_known(adopt: Adopt, workspace: Workspace, run: Run) -> None:
    run.empty()
    for task in run.folders:
        shown = SHOWN.get(task, task)
        run.upload(task, place=shown if task == "index" else f"{shown}/{uuid.uuid4()}")
    assert adopt()[0] == 0
    assert_adopted(workspace, run)


def test_steps_from_the_cache_come_from_the_run_that_made_them(adopt: Adopt, workspace: Workspace, run: Run) -> None:
    later = run.announce()
    status, out, _ = adopt(later)
    assert status == 0
    assert f"train@r1 came from the cache: it is what the run {run.id} made" in out
    assert_adopted(workspace, run)


def test_a_run_of_other_rounds_is_no_source_of_the_cache(adopt: Adopt, run: Run) -> None:
    later = run.announce()
    document = run.announce(MORE_ROUNDS)
    run.stub.runs[run.id]["pipeline_spec"] = run.stub.runs[document]["pipeline_spec"]
    assert "what the run made in split is missing; if it came from the cache, it is gone" in refusal(adopt, later)


def test_training_with_several_processes_is_not_what_repro_makes(adopt: Adopt, run: Run) -> None:
    several = run.announce(settings=Kubernetes(num_nodes=2, gpus_per_node=4))
    assert f"the run {several} trains with 8 processes, and `dvc repro` with one" in refusal(adopt, several)
    run.change("train", "metrics", metrics={"processes": 2.0})
    assert "the run trained with 2 processes, and `dvc repro`" in refusal(adopt)


def test_the_cache_gives_nothing_that_several_processes_trained(adopt: Adopt, workspace: Workspace, run: Run) -> None:
    several = run.announce(settings=Kubernetes(gpus_per_node=2))
    artifacts = dict(name.split("/") for name in OUTPUTS)
    time.sleep(1.1)  # the store tells times in seconds, and of two copies the newer counts
    for task in run.folders:
        folder = run.upload(task, run_id=several)
        if task in ("train", "index", "evaluate"):
            run.put(f"{folder}/{artifacts[task]}/of two processes", b"")
    status, out, errors = adopt(run.announce())
    assert status == 0, errors
    for stage, source in {
        "split": several,
        "fit@crl": several,
        "quintuplets@r1": several,
        "train@r1": run.id,
        "index@r1": run.id,
    }.items():
        assert f"{stage} came from the cache: it is what the run {source} made" in out
    assert_adopted(workspace, run)


def test_the_place_of_artifacts_may_be_given(adopt: Adopt, workspace: Workspace, run: Run) -> None:
    run.stub.runs[run.id]["runtime_config"] = {}
    run.store.client("s3").create_bucket(Bucket="mlpipeline")
    error = refusal(adopt)
    assert "nothing of the run is at s3://mlpipeline/v2/artifacts: say where with --pipeline-root" in error
    assert "only s3:// and minio://" in refusal(adopt, run.id, "--pipeline-root", "gs://data/v2")
    assert adopt(run.id, "--pipeline-root", f"s3://{BUCKET}/{ROOT}/?region=eu")[0] == 0


def test_another_parameter_is_named(adopt: Adopt, workspace: Workspace) -> None:
    values = read_yaml(workspace.path / "params.yaml")
    values["train"]["method"]["margins"]["g1"] = 0.03
    (workspace.path / "params.yaml").write_text(yaml.safe_dump(values))
    error = refusal(adopt)
    assert "the run was made with train.method.margins.g1 = 0.02, and here it is 0.03" in error


def test_more_trainings_here_are_named(adopt: Adopt, workspace: Workspace, run: Run) -> None:
    workspace.write_parameters(rounds={"r2": {"after": "r1", "on": "dataset"}})
    error = refusal(adopt)
    assert f"the run {run.id} has other trainings than params.yaml: it alone has the tasks none" in error
    assert "params.yaml alone cluster-2, quintuplets-2, train-2; declare the run's in `fits`" in error


def test_another_commit_is_named(adopt: Adopt, workspace: Workspace, run: Run) -> None:
    first = git(workspace.path, "rev-parse", "HEAD")
    git(workspace.path, "commit", "-qm", "second", "--allow-empty")
    error = refusal(adopt)
    assert f"the run was made at the commit {first}, and this is" in error
    assert f"`git checkout {first}`" in error
    # The code is the same, byte for byte.
    assert adopt(run.id, "--any-commit")[0] == 0
    assert_adopted(workspace, run)


def test_other_code_at_the_same_commit_is_refused(adopt: Adopt, run: Run) -> None:
    run.change("index", "metrics", code="0" * 32)
    assert "the run was made by other code than what is in longtail/" in refusal(adopt)
    assert "by other code" in refusal(adopt, run.id, "--any-commit")


def test_other_data_is_refused(adopt: Adopt, workspace: Workspace, run: Run) -> None:
    run.change("split", "split/lineage.json", dataset="0" * 32)
    assert f"the run's data is {'0' * 32}, and that of artifacts/dataset is" in refusal(adopt)
    workspace.write_parameters(ingest={"on_error": "skip"})
    assert "run `dvc repro ingest` first" in refusal(adopt)


@pytest.mark.parametrize("state", ["FAILED", "RUNNING"])
def test_a_run_that_has_not_succeeded_is_refused(adopt: Adopt, run: Run, state: str) -> None:
    run.stub.runs[run.id]["state"] = state
    assert f"the run {run.id} has not succeeded, it is {state.lower()}" in refusal(adopt)


def test_a_run_that_is_not_there_or_not_ours_is_refused(adopt: Adopt, run: Run) -> None:
    assert "(404): Run nowhere not found" in refusal(adopt, "nowhere")
    document = copy.deepcopy(run.stub.runs[run.id]["pipeline_spec"])
    document["pipeline_spec"]["pipelineInfo"]["name"] = "iris"
    run.stub.runs[run.id]["pipeline_spec"] = document
    assert "is of the pipeline iris, and not of longtail" in refusal(adopt)


def test_what_is_missing_or_torn_is_refused(adopt: Adopt, run: Run) -> None:
    run.put(f"{run.folders['train']}/metrics", b"{")
    assert "/metrics is no JSON" in refusal(adopt)
    run.store.delete(f"{run.folders['train']}/model/lineage.json")
    assert "what the run made in train@r1 is not whole: was some of it deleted?" in refusal(adopt)


def test_the_token_and_the_namespace_matter_here_too(adopt: Adopt, run: Run) -> None:
    run.stub.token = "s3cret"
    assert "does not know you (401)" in refusal(adopt)
    assert adopt(run.id, "--token", "s3cret")[0] == 0
