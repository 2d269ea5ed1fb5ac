"""`python -m pipelines submit` and `kfp run create` against a stub of the server: what arrives, and what is said."""

import functools
import inspect
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp_stub import KfpStub
from mlflow_server import free_port
from rich.console import Console

import longtail.__main__
from components import images
from experiments.matrix import read_matrix
from longtail.artifacts.yaml_file import read_yaml
from longtail.errors import DataError
from longtail.execution import one_sentence
from pipelines import __main__, arguments, follow, server
from pipelines import submit as submission
from pipelines.arguments import sections

ROOT = Path(__file__).parents[2]
MD5 = "0123456789abcdef0123456789abcdef.dir"
REMOTE = "s3://bucket/longtail"
IMAGES = {
    f"LONGTAIL_{kind}_IMAGE": f"registry.example/longtail-{kind.lower()}@sha256:{'0' * 64}" for kind in ("CPU", "CUDA")
}
TASKS = ["fetch", "split", "start", "fit", "cluster", "quintuplets", "train", "index", "evaluate"]
TASKS_AFTER_FETCH = [
    *("split", "start", "fit@softmax", "cluster@r1", "quintuplets@r1", "train@r1", "index@r1", "evaluate")
]

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def stub() -> Iterator[KfpStub]:
    server = KfpStub()
    yield server
    server.stop()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Parameters with one round, and a lock that knows the data."""
    values = read_yaml(ROOT / "params.yaml")
    values |= {"rounds": {"r1": {"after": "softmax"}}, "evaluate": {"models": ["r1"]}}
    del values["fits"]["crl"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    lock = {"schema": "2.0", "stages": {"ingest": {"outs": [{"path": "artifacts/dataset", "md5": MD5}]}}}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(lock))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run `python -m pipelines` in this process, DVC's settings and the images made up; exit status, stdout, stderr."""
    monkeypatch.setattr(arguments, "dvc", lambda *words: f"core.remote=store\nremote.store.url={REMOTE}\n")
    for name in ("KFP_HOST", "KFP_NAMESPACE", "KFP_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, image in IMAGES.items():
        monkeypatch.setenv(name, image)

    def run(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended, one_sentence():
            __main__.app(list(words))
        printed = capfd.readouterr()
        if isinstance(ended.value.code, str):  # Python itself prints it and exits with 1
            return 1, printed.out, f"{printed.err}{ended.value.code}\n"
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def submit(command: Command, stub: KfpStub) -> Command:
    """Run `python -m pipelines submit` with the stub as the host."""

    def run(*words: str, host: str | None = stub.address) -> tuple[int, str, str]:
        return command("submit", *(("--host", host) if host else ()), *words)

    return run


@pytest.fixture
def built_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: Command) -> None:
    """Nothing was pushed: the images have their names of `make images`."""
    for name in IMAGES:
        monkeypatch.delenv(name)
    monkeypatch.setattr(images, "PUSHED", tmp_path / "images.json")


def error_of(result: tuple[int, str, str]) -> str:
    """The one sentence that a failed command ends with."""
    status, _, errors = result
    assert status == 1, errors
    assert "Traceback" not in errors
    said = [line for line in errors.splitlines() if not line.startswith("warning: ")]
    assert len(said) == 1, errors
    assert said[0].startswith("error: ")
    return said[0]


def created(stub: KfpStub) -> dict[str, Any]:
    (run,) = stub.runs.values()
    return run


def test_the_run_has_the_pipeline_the_parameters_and_the_data(submit: Command, stub: KfpStub, folder: Path) -> None:
    status, out, _ = submit("--run-name", "my run")
    assert status == 0
    run = created(stub)
    assert out.splitlines() == [f"run {run['run_id']}", f"{stub.address}/#/runs/details/{run['run_id']}"]
    fetch = {"remote": REMOTE, "md5": MD5}
    assert run["runtime_config"]["parameters"] == {"fetch": fetch, **sections(folder / "params.yaml")}
    specification = run["pipeline_spec"]["pipeline_spec"]
    assert specification["pipelineInfo"]["name"] == "longtail"
    assert sorted(specification["root"]["dag"]["tasks"]) == sorted(TASKS)
    assert (run["display_name"], run["service_account"]) == ("my run", "longtail-pipeline")
    assert run["experiment_id"] == stub.experiments["longtail"]["experiment_id"]


def test_token_and_namespace_go_with_every_request(submit: Command, stub: KfpStub, folder: Path) -> None:
    stub.token, stub.namespace = "s3cret", "team"
    (folder / "token").write_text("s3cret\n")
    status, out, errors = submit("--namespace", "team", "--token-file", str(folder / "token"))
    assert status == 0
    assert stub.experiments["longtail"]["namespace"] == "team"
    assert "s3cret" not in out + errors


def test_an_experiment_is_used_again(submit: Command, stub: KfpStub) -> None:
    assert submit("--experiment", "one")[0] == submit("--experiment", "one")[0] == 0
    assert len(stub.experiments) == 1
    assert len(stub.runs) == 2


def test_without_the_cache_every_step_runs(submit: Command, stub: KfpStub) -> None:
    submit("--no-cache")
    tasks = created(stub)["pipeline_spec"]["pipeline_spec"]["root"]["dag"]["tasks"]
    assert not any(task.get("cachingOptions", {}).get("enableCache") for task in tasks.values())


def test_a_dry_run_shows_everything_and_sends_nothing(submit: Command, stub: KfpStub) -> None:
    status, out, _ = submit("--dry-run", host=None)
    assert status == 0
    assert stub.requests == []
    lines = [line.split() for line in out.splitlines()]
    assert ["train@r1", "8", "CPU", "32Gi", "GPU", "48", "h", "at", "most", IMAGES["LONGTAIL_CUDA_IMAGE"]] in lines
    assert ["index@r1", "4", "CPU", "16Gi", "2", "h", "at", "most", IMAGES["LONGTAIL_CPU_IMAGE"]] in lines
    assert lines[-1] == ["to:", "no", "host", "given,", "namespace:", "the", "server", "has", "one", "for", "all"]
    assert [line[0] for line in lines if "longtail-" in line[-1]][-1] == "evaluate"
    assert f'fetch: {{"remote": "{REMOTE}", "md5": "{MD5}"}}' in out


@pytest.mark.parametrize(
    ("nodes", "gpus", "machines"),
    [
        (1, 1, None),
        (1, 4, ["its", "machine", "16", "CPU", "64Gi", "4", "GPU"]),
        (3, 1, ["each", "of", "3", "machines", "16", "CPU", "64Gi", "GPU"]),
        (2, 8, ["each", "of", "2", "machines", "16", "CPU", "64Gi", "8", "GPU"]),
    ],
)
def test_a_dry_run_shows_the_machines_that_a_job_trains_on(
    submit: Command, folder: Path, nodes: int, gpus: int, machines: list[str] | None
) -> None:
    train = {"cpu": "16", "memory": "64Gi", "hours": 10}
    write(folder, kubernetes={"num_nodes": nodes, "gpus_per_node": gpus, "requests": {"train": train}})
    lines = [line.split() for line in submit("--dry-run", host=None)[1].splitlines()]
    (at,) = [number for number, line in enumerate(lines) if line[:1] == ["train@r1"]]
    ends = ["h", "at", "most", IMAGES["LONGTAIL_CUDA_IMAGE"]]
    if machines is None:
        assert lines[at] == ["train@r1", "16", "CPU", "64Gi", "GPU", "10", *ends]
        assert lines[at + 1][0] == "index@r1"
    else:
        assert lines[at][:6] == ["train@r1", "1", "CPU", "4Gi", "11", "h"]
        assert lines[at + 1] == [*machines, "10", *ends]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"split": {"tset": 0.3}}, "split.tset is not a parameter; did you mean 'test'?"),
        ({"rounds": {}}, "evaluate.models names 'r1'; the models are start, softmax"),
    ],
    ids=["parameter", "rounds"],
)
def test_a_wrong_parameter_is_named_before_anything_is_sent(
    submit: Command, stub: KfpStub, folder: Path, change: dict[str, Any], says: str
) -> None:
    values = read_yaml(folder / "params.yaml")
    (folder / "params.yaml").write_text(yaml.safe_dump(values | change))
    assert says in error_of(submit())
    assert stub.requests == []


@pytest.mark.parametrize("name", ["submit", "compile"])
def test_data_that_is_not_known_or_not_reachable_is_one_sentence(command: Command, folder: Path, name: str) -> None:
    assert "a cluster cannot fetch the data from /data" in error_of(command(name, "--remote", "/data"))
    assert "'gdrive://x' is not an S3 remote" in error_of(command(name, "--remote", "gdrive://x"))
    assert "is not your store" in error_of(command(name, "--endpoint", "http://localhost:9000"))
    (folder / "dvc.lock").write_text("stages: {}\n")
    assert "dvc.lock has no md5 of artifacts/dataset: run `dvc repro ingest`" in error_of(command(name))
    (folder / "dvc.lock").write_bytes(b"\x8c\xff")
    assert "dvc.lock has no md5 of artifacts/dataset: run `dvc repro ingest`" in error_of(command(name))
    assert not (folder / "longtail.yaml").exists()


def test_a_pipeline_replaces_nothing_but_a_pipeline(command: Command, folder: Path) -> None:
    before = (folder / "params.yaml").read_bytes()
    assert "params.yaml is there, and is no compiled pipeline" in error_of(command("compile", "params.yaml"))
    assert (folder / "params.yaml").read_bytes() == before
    for _ in range(2):
        assert command("compile", "out.yaml")[0] == 0
    assert [path.name for path in folder.glob(".*.partial")] == []


@pytest.mark.parametrize("name", ["out.txt", "out.json", "out", ".yaml", "out.YAML", "."])
def test_a_pipeline_is_compiled_to_yaml_alone(command: Command, folder: Path, name: str) -> None:
    before = sorted(folder.iterdir())
    assert "must end in .yaml" in error_of(command("compile", name))
    assert sorted(folder.iterdir()) == before
    assert command("compile", "out.yml")[0] == 0


@pytest.mark.usefixtures("built_here")
@pytest.mark.parametrize("words", [("submit", "--dry-run"), ("compile",)])
@pytest.mark.parametrize(
    "content", [b"", b'{"cpu": ', b"\xff", b"[]", b'{"cpu": 3}', b'{"cpu": null}', b"null"], ids=range(7)
)
def test_a_damaged_note_of_the_images_is_one_sentence(
    command: Command, folder: Path, words: tuple[str], content: bytes
) -> None:
    (folder / "images.json").write_bytes(content)
    said = error_of(command(*words))
    assert "images.json" in said
    assert said.endswith("run `make push REGISTRY=…` again, or delete it")
    (folder / "images.json").unlink()
    assert command(*words, "--mutable-images")[0] == 0


@pytest.mark.parametrize("words", [("submit", "--dry-run"), ("compile",)])
@pytest.mark.parametrize("prior", ["file", "model"])
def test_weights_are_where_pods_can_read_them(command: Command, folder: Path, words: tuple[str], prior: str) -> None:
    def started(path: str) -> tuple[int, str, str]:
        weights = {"path": path, "sha256": "0" * 64}
        network = {"backbone": "timm/tf_efficientnet_lite0"}
        write(folder, start={"prior": prior, "network": network, "weights": weights})
        return command(*words)

    for path in ("weights/own.pth", "/home/me/own.pth", "/workspace/own.pth", "/work/../etc/own.pth"):
        said = error_of(started(path))
        assert f"no pod has the file {path} of start.weights.path: copy it to the volume of work_claim" in said
        assert said.endswith("/work/weights/own.pth")
    assert not (folder / "longtail.yaml").exists()
    assert started("/work/weights/own.pth")[0] == 0


@pytest.mark.usefixtures("built_here")
@pytest.mark.parametrize("words", [("submit", "--dry-run"), ("compile",)])
def test_images_that_may_change_are_for_those_who_say_so(command: Command, folder: Path, words: tuple[str]) -> None:
    assert "the image longtail-cpu:local may change under its name: run `make push" in error_of(command(*words))
    assert not (folder / "longtail.yaml").exists()
    assert command(*words, "--mutable-images")[0] == 0


@pytest.mark.usefixtures("built_here")
@pytest.mark.parametrize("words", [("submit", "--dry-run"), ("compile",)])
def test_all_that_is_wrong_is_told_at_once(command: Command, folder: Path, words: tuple[str]) -> None:
    write(folder, split={"tset": 0.3}, index={"rules": ["none"]}, kubernetes={"retries": -1})
    (folder / "dvc.lock").write_text("stages: {}\n")
    status, _, said = command(*words)
    assert status == 1
    assert "Traceback" not in said
    heading, *problems = said.splitlines()
    assert heading == "error: 5 problems:"
    for problem, words_of_it in zip(
        problems, ("dvc.lock has no md5", "split.tset", "index.rules", "kubernetes.retries", "make push"), strict=True
    ):
        assert words_of_it in problem


def test_a_graph_is_built_without_reading_the_source_of_its_callers(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes 0.1 s a task with torch loaded: of 120 rounds, more than half a minute."""
    sections(folder / "params.yaml")  # loads torch, which reads sources of its own as it is loaded
    read: list[Any] = []
    found = inspect.findsource
    monkeypatch.setattr(inspect, "findsource", lambda one: read.append(one) or found(one))
    rounds = {f"r{number}": {"after": f"r{number - 1}" if number > 1 else "softmax"} for number in range(1, 31)}
    write(folder, rounds=rounds, evaluate={"models": ["r30"]})
    assert command("compile")[0] == 0
    assert len(read) < 30


def shell_command(guide: str, start: str, *words: str) -> str:
    """The command in a guide's code blocks that starts so and has these words, on one line and without its comment."""
    blocks = "".join((ROOT / guide).read_text().split("```")[1::2]).replace("\\\n", "")
    found = [line for line in blocks.splitlines() if line.startswith(start) and all(word in line for word in words)]
    assert found, f"{guide} has no command {start} … {' '.join(words)}"
    return found[0].partition(" #")[0]


@pytest.mark.usefixtures("built_here")
def test_the_guide_submits_images_of_this_machine(
    command: Command, stub: KfpStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = f"core.remote=store\nremote.store.url={REMOTE}\nremote.store.endpointurl=http://localhost:9000\n"
    monkeypatch.setattr(arguments, "dvc", lambda *words: settings)
    stub.states = [states("SUCCEEDED")]
    printed = shell_command("infra/README.md", "python -m pipelines submit", "--mutable-images")
    words = shlex.split(printed.replace("http://localhost:8888", stub.address).replace("$NS", "kubeflow"))
    assert command(*words[3:])[0] == 0
    endpoint = created(stub)["runtime_config"]["parameters"]["fetch"]["endpoint"]
    assert endpoint == "http://minio-service.kubeflow.svc.cluster.local:9000"


def test_the_endpoint_of_the_default_remote_is_no_other_remotes(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = "http://store.example"
    settings = f"core.remote=store\nremote.store.url={REMOTE}\nremote.store.endpointurl={store}\n"
    monkeypatch.setattr(arguments, "dvc", lambda *words: settings)

    def endpoint(*given: str) -> Any:
        return arguments.fetch_section(folder / "dvc.lock", *given).get("endpoint")

    assert endpoint() == endpoint(REMOTE) == endpoint(f"{REMOTE}/") == store
    assert endpoint("s3://other") is None
    assert endpoint("s3://other", "http://given") == endpoint(REMOTE, "http://given") == "http://given"


@pytest.mark.parametrize(
    ("words", "host", "says"),
    [
        ([], None, "say where Kubeflow Pipelines answers: --host"),
        ([], "localhost:8888", "must start with http:// or https://"),
        (["--token", "to ken"], "http://localhost:1", "the token has a space"),
        (["--token-file", "nowhere"], "http://localhost:1", "cannot read a token from nowhere"),
    ],
)
def test_what_is_wrong_with_the_connection_is_one_sentence(
    submit: Command, words: list[str], host: str | None, says: str
) -> None:
    error = error_of(submit(*words, host=host))
    assert says in error
    assert "to ken" not in error


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (401, "does not know you (401): the token is missing"),
        (403, "does not allow you to open the experiment 'longtail' in its namespace (403)"),
        (404, "there is no Kubeflow Pipelines at"),
        (409, "that name is taken (409): rpc error: something went wrong"),
        (500, "failed to open the experiment 'longtail' (500): rpc error: something went wrong"),
        (503, "(503)"),
        ("login", "sends elsewhere (302), to https://login.example/auth"),
        ("page", "answers, but not as Kubeflow Pipelines does"),
        ("hang", "does not answer in time"),
    ],
)
def test_each_refusal_is_one_sentence(
    submit: Command, stub: KfpStub, monkeypatch: pytest.MonkeyPatch, failure: int | str, says: str
) -> None:
    if failure == "hang":
        monkeypatch.setattr(server, "TIMEOUT", (1.0, 0.5))
    # The first request is for the server's health.
    stub.failures = [None, failure, failure] if failure != "hang" else ["hang"]  # type: ignore[list-item]
    error = error_of(submit())
    assert says in error
    assert stub.address in error
    assert stub.runs == {}


def test_a_refusal_of_the_run_itself_is_one_sentence(submit: Command, stub: KfpStub) -> None:
    stub.failures = [None, None, None, 409]  # type: ignore[list-item]
    assert "was asked to create the run, and that name is taken (409)" in error_of(submit())


def test_a_wrong_namespace_or_token_is_one_sentence(submit: Command, stub: KfpStub) -> None:
    stub.namespace = "team"
    assert "has several users: give your namespace with --namespace" in error_of(submit())
    assert "in the namespace other (403)" in error_of(submit("--namespace", "other"))
    stub.token = "right"
    error = error_of(submit("--namespace", "team", "--token", "wr0ng"))
    assert "the token is expired or wrong" in error
    assert "wr0ng" not in error


def test_what_the_client_itself_refuses_is_one_sentence() -> None:
    with (
        pytest.raises(DataError, match=r"http://h was asked to open it: Multiple experiments"),
        server.explained(server.Access("http://h"), "to open it"),
    ):
        raise ValueError("Multiple experiments is found\nwith name x.")


@pytest.mark.parametrize(
    ("commit", "state", "says"),
    [
        ("abc", {"commit": "abc", "dirty": "false"}, []),
        ("abc-dirty", {"commit": "abc", "dirty": "true"}, ["files differ from the commit"]),
        ("abc", {"commit": "def", "dirty": "false"}, ["the images were built from abc, and this is def"]),
        ("abc", {}, ["the images were built from abc, and this is no git repository"]),
        ("unknown", {"commit": "abc", "dirty": "false"}, ["it is not known which commit"]),
        (None, {"commit": "abc", "dirty": "false"}, ["it is not known which commit the images were built from"]),
    ],
)
def test_doubts_about_the_code_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commit: str | None, state: dict[str, str], says: list[str]
) -> None:
    for name in IMAGES:
        monkeypatch.delenv(name, raising=False)
    pushed = {"cpu": "a@sha256:0", "cuda": "b@sha256:0"} | ({"commit": commit} if commit else {})
    (tmp_path / "images.json").write_text(json.dumps(pushed))
    monkeypatch.setattr(images, "PUSHED", tmp_path / "images.json")
    monkeypatch.setattr(submission, "git_state", lambda: state)
    assert [doubt[: len(start)] for doubt, start in zip(submission.doubts(), says, strict=True)] == says
    monkeypatch.setenv("LONGTAIL_CPU_IMAGE", "another")
    assert "it is not known which commit the images were built from" in submission.doubts()


def write(folder: Path, **changes: Any) -> None:
    """Change some of the parameters."""
    values = read_yaml(folder / "params.yaml")
    (folder / "params.yaml").write_text(yaml.safe_dump(values | changes))


CRL: dict[str, Any] = {"after": "start", "method": {"kind": "class_rectification"}}
WITHOUT_ROUNDS: dict[str, Any] = {"rounds": {}, "fits": {"crl": CRL}, "evaluate": {"models": ["crl"]}}


def test_parameters_without_rounds_are_a_pipeline_without_them(folder: Path, command: Command) -> None:
    write(folder, **WITHOUT_ROUNDS)
    status, _, error = command("compile")
    assert status == 0, error
    specification = next(yaml.safe_load_all((folder / "longtail.yaml").read_text()))
    defaults = specification["root"]["inputDefinitions"]["parameters"]
    assert set(defaults) == {"fetch", "split", "start", "fit_crl", "index", "evaluate"}
    assert defaults["fit_crl"]["defaultValue"]["method"]["kind"] == "class_rectification"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"rounds": {"r1": {"after": "r7"}}},
            "r1 follows 'r7', and there is no such training; there are start, softmax",
        ),
        ({"rounds": {"r1": {"after": "r2"}, "r2": {"after": "r1"}}}, "r1, r2 follow each other in a circle"),
        ({"rounds": {1: {"after": "softmax"}}}, "a training is called 1, which is no text; write it in quotes: '1'"),
        ({"evaluate": {"models": []}}, "evaluate.models names no model"),
        ({**WITHOUT_ROUNDS, "kubernetes": {"num_nodes": 2}}, "`fit` trains on one GPU"),
        ({"fits": {"softmax": {**CRL, "method": {"kind": "lmle"}}}}, "lmle is trained on a table, so in `rounds`"),
        ({"fits": {"softmax": {**CRL, "bacth": 3}}}, "fits.softmax.bacth is not a parameter; did you mean 'batch'?"),
    ],
)
def test_trainings_that_cannot_be_are_refused(
    folder: Path, command: Command, changes: dict[str, Any], sentence: str
) -> None:
    write(folder, **changes)
    assert sentence in error_of(command("compile"))


@pytest.mark.parametrize("after", ["r7", "r1", 1])
def test_what_a_training_follows_is_refused_in_one_sentence_by_whoever_reads_it(
    folder: Path, command: Command, after: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, rounds={"r1": {"after": after}})
    sentence = error_of(command("compile"))
    monkeypatch.setattr(sys, "argv", ["longtail", "check"])
    with pytest.raises(SystemExit) as ended:
        longtail.__main__.main()
    assert ended.value.code == sentence
    matrix = {
        "title": "one",
        "baseline": "lmle",
        "base": {"fits": {"softmax": {"after": "start"}}, "rounds": {"r1": {"after": after}}},
        "settings": {"all": {}},
        "methods": {"lmle": {"model": "r1"}},
    }
    (folder / "one.yaml").write_text(yaml.safe_dump(matrix))
    with pytest.raises(DataError) as refused:
        read_matrix(folder / "one.yaml")
    assert sentence.partition("params.yaml: ")[2] in str(refused.value)


def test_a_dead_host_is_one_sentence(submit: Command) -> None:
    host = f"http://127.0.0.1:{free_port()}"
    assert f"cannot reach {host}: Connection refused" in error_of(submit(host=host))


def states(run: str, **tasks: str) -> dict[str, str]:
    return {"run": run, **tasks}


def test_waiting_ends_well_with_a_run_that_succeeds(submit: Command, stub: KfpStub) -> None:
    stub.states = [
        states("PENDING"),
        states("RUNNING", fetch="RUNNING"),
        states("RUNNING", fetch="SUCCEEDED", train="RUNNING"),
        states("SUCCEEDED", fetch="SUCCEEDED", train="SUCCEEDED"),
    ]
    status, _, errors = submit("--wait", "--poll", "0.01")
    assert status == 0
    shown = [line for line in errors.splitlines() if not line.startswith("warning: ")]
    assert shown == ["fetch: running", "fetch: succeeded", "train@r1: running", "train@r1: succeeded"]


@pytest.mark.parametrize("end", ["FAILED", "CANCELED"])
def test_waiting_says_which_step_failed_and_why(submit: Command, stub: KfpStub, end: str) -> None:
    stub.states = [states("RUNNING", fetch="SUCCEEDED"), states(end, fetch="SUCCEEDED", train="FAILED")]
    status, _, errors = submit("--wait", "--poll", "0.01")
    assert status == 1
    sentence = errors.splitlines()[-1]
    assert sentence.startswith(
        f"error: the run {end.lower()}: train@r1 (ValueError: loss is not finite); see {stub.address}/#/runs/"
    )


def test_waiting_outlives_a_server_that_is_away_for_a_while(
    submit: Command, stub: KfpStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.states = [states("SUCCEEDED")]
    stub.failures = [None, None, None, None, 503, 500, "page", 502]  # type: ignore[list-item]
    assert submit("--wait", "--poll", "0.01")[0] == 0
    monkeypatch.setattr(follow, "MISSES", 3)
    stub.failures = [None, None, None, 503, 503, 503]  # type: ignore[list-item]
    error = error_of(submit("--wait", "--poll", "0.01"))
    assert "failed to show the run (503)" in error
    assert f"; the run goes on at {stub.address}/#/runs/details/" in error
    stub.failures = [None, None, None, 401]  # type: ignore[list-item]
    assert "does not know you (401)" in error_of(submit("--wait", "--poll", "0.01"))


def test_a_token_that_is_renewed_in_its_file_is_used(
    submit: Command, stub: KfpStub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renew(seconds: float) -> None:
        stub.token = "second"
        (folder / "token").write_text("second\n")

    stub.token, stub.states = "first", [states("RUNNING"), states("SUCCEEDED")]
    (folder / "token").write_text("first\n")
    monkeypatch.setattr(follow.time, "sleep", renew)
    assert submit("--wait", "--token-file", "token")[0] == 0


def test_in_a_terminal_every_step_has_its_line(submit: Command, stub: KfpStub, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = functools.partial(Console, force_terminal=True, width=80, height=40, color_system=None)
    monkeypatch.setattr(follow, "Console", terminal)
    stub.states = [states("RUNNING", fetch="RUNNING"), states("SUCCEEDED", fetch="SUCCEEDED")]
    status, _, errors = submit("--wait", "--poll", "0.01")
    assert status == 0
    last = errors[errors.rindex("fetch") :].splitlines()
    assert last[0].split() == ["fetch", "succeeded"]
    assert [line.split()[0] for line in last[1 : 1 + len(TASKS_AFTER_FETCH)]] == TASKS_AFTER_FETCH


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KFP_", "KF_", "LONGTAIL_"))}
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return kept | {"PYTHONPATH": path, "HOME": str(folder), "DVC_NO_ANALYTICS": "1"}


@pytest.mark.slow
def test_the_command_itself_with_dvc_and_images_by_digest(folder: Path, stub: KfpStub) -> None:
    def run(*words: str, **more: str) -> subprocess.Popen[str]:
        own = environment(folder) | {"DVC_SITE_CACHE_DIR": str(folder / ".site"), **more}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # A shell that starts the tests in the background has its children ignore SIGINT.
        listens: dict[str, Any] = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
        return subprocess.Popen([sys.executable, "-m", *words], cwd=folder, env=own, **pipes, **listens)

    assert run("dvc", "init", "--no-scm", "-q").wait() == 0
    assert run("dvc", "remote", "add", "-d", "store", REMOTE).wait() == 0
    settings = {"KFP_HOST": stub.address, "KFP_TOKEN": "s3cret"}
    out, error = run("pipelines", "submit", **settings).communicate()
    assert "the image longtail-cpu:local may change under its name: run `make push REGISTRY=…`" in error
    assert stub.requests == []

    dead = f"http://127.0.0.1:{free_port()}"
    out, error = run("pipelines", "submit", "--host", dead, **IMAGES).communicate()
    assert [line for line in error.splitlines() if not line.startswith("warning: ")] == [
        f"error: cannot reach {dead}: Connection refused; check the address, the network and `kubectl port-forward`"
    ]

    stub.token, stub.states = "s3cret", [states("RUNNING", fetch="RUNNING")]
    waiting = run("pipelines", "submit", "--wait", "--poll", "0.1", **settings, **IMAGES)
    while not any(what.startswith("GET /apis/v2beta1/runs/") for what, _ in stub.requests):
        assert waiting.poll() is None, waiting.communicate()
        time.sleep(0.1)
    waiting.send_signal(signal.SIGINT)
    out, error = waiting.communicate()
    assert waiting.returncode == 130, error
    assert f"no longer waiting; the run goes on at {stub.address}/#/runs/details/" in error
    assert "Traceback" not in error
    assert "s3cret" not in out + error
    executors = created(stub)["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    assert {executor["container"]["image"] for executor in executors.values()} == set(IMAGES.values())


@pytest.mark.slow
def test_the_compiled_file_serves_kfp_as_the_docs_say(folder: Path, stub: KfpStub, command: Command) -> None:
    assert command("compile", "longtail.yaml")[0] == 0
    stub.token, stub.namespace = "s3cret", "team"
    settings = {"KFP_HOST": stub.address, "KFP_NAMESPACE": "team", "KFP_TOKEN": "s3cret"}
    own = environment(folder) | settings
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", shell_command("docs/cluster.md", "kfp ")],
        cwd=folder,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    inputs = created(stub)["pipeline_spec"]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    defaults = {name: parameter["defaultValue"] for name, parameter in inputs.items()}
    assert defaults == {"fetch": {"remote": REMOTE, "md5": MD5}, **sections(folder / "params.yaml")}
