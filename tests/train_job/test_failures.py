"""A job that fails, a cluster that refuses: one sentence, no half-written model, and what is needed to go on.

A cluster cannot run here: its API and Kubeflow Trainer are a stub (trainer_stub.py), which runs the job's command for
real, as two processes of torchrun that find each other as two machines do.
"""

import base64
import json
import shutil
from pathlib import Path

import pytest
import yaml
from job_example import DIES, JOB, POLL, ROOT, Tree, breaking, failing, section
from trainer_stub import Trainer, container_status, pod

from longtail.errors import DataError
from longtail.train_job import cluster, following
from longtail.train_job.cluster import Cluster
from longtail.train_job.following import Log
from longtail.train_job.launcher import job_name, launch


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
        ("list pods", 403, "may not list", "not let this step look at its TrainJob's pods (403"),
        ("get pods/log", 403, "may not get", "not let this step read its TrainJob's log (403"),
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


def test_inputs_that_cannot_be_copied_are_one_sentence_and_none_is_on_the_volume(
    tmp_path: Path, trainer: Trainer, inputs: dict[str, Path], volume: Path
) -> None:
    broken = shutil.copytree(inputs["quintuplets"], tmp_path / "broken")
    (broken / "table").symlink_to("nowhere")
    says = failing({**inputs, "quintuplets": broken}, tmp_path / "out" / "model", trainer)
    assert says.startswith("cannot copy to ")
    (folder,) = volume.iterdir()
    assert not (folder / "inputs").exists()
    assert trainer.created == []


def test_a_report_that_a_full_disk_cut_short_is_none(
    tmp_path: Path, trainer: Trainer, inputs: dict[str, Path], volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, DIES)
    folder = volume / job_name(inputs, section(), JOB)
    folder.mkdir()
    (folder / "metrics.json").write_text('{"rou')
    assert "FailedJobs" in failing(inputs, tmp_path / "out" / "model", trainer)


def test_a_librarys_error_in_the_log_is_not_the_stages(
    tmp_path: Path, trainer: Trainer, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, ["--no-python", "sh", "-c", "echo error: none of ours >&2; sleep 1; exit 3"])
    assert "FailedJobs" in failing(inputs, tmp_path / "out" / "model", trainer)
    assert len(trainer.jobs) == 1


@pytest.mark.parametrize(
    ("states", "heard"),
    [
        ({"state": {"terminated": {"exitCode": 1, "message": "no more luck\n"}}}, "no more luck"),
        ({"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1, "message": "no luck"}}}, "no luck"),
        ({"state": {"waiting": {}}, "lastState": {}}, None),
        ({"state": {"terminated": {"exitCode": 1}}}, None),
    ],
)
def test_last_words_outlive_the_container(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, states: Tree, heard: str | None
) -> None:
    pods = [{"metadata": {}, "status": {}}, pod("x", container_status(**states))]
    monkeypatch.setattr(trainer, "_pods", lambda selector: (200, {"kind": "PodList", "items": pods}))
    assert trainer.cluster().last_words("x") == heard


def test_a_log_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    class Fake:
        lines: list[str]

        def log(self, name: str, lines: int) -> list[str]:
            return self.lines

    fake = Fake()
    log = Log(fake, "job")  # type: ignore[arg-type]
    fake.lines = ["2026-01-01T00:00:01.000000000Z one", "2026-01-01T00:00:01.000000000Z two"]
    log.show()
    fake.lines = [*fake.lines, "2026-01-01T00:00:02.000000000Z three"]
    log.show()
    fake.lines = []  # the container is starting again
    log.show()
    assert capsys.readouterr().out.splitlines() == ["one", "two", "three"]


def test_a_line_of_the_log_goes_on_to_its_end(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rest without a time would be taken for one later than all others, and nothing be shown after it."""
    texts = [f"50%{end}ready" for end in "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"]
    lines = [f"2026-01-01T00:00:{second:02}.000000000Z {text}\n" for second, text in enumerate(texts)]
    log = Log(trainer.cluster(), "job")
    monkeypatch.setattr(
        trainer, "_pods", lambda selector: (200, {"kind": "PodList", "items": [pod("x", container_status())]})
    )
    for shown in range(1, len(lines) + 1):
        monkeypatch.setattr(trainer, "_log", lambda pod, shown=shown: (200, "".join(lines[:shown])))
        log.show()
    assert capsys.readouterr().out.split("\n") == [*texts, ""]


def test_outside_of_a_cluster_the_step_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(DataError, match="needs a pod of a cluster"):
        Cluster.around_this_pod()


def token(subject: str) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"sub": subject}).encode()).decode().rstrip("=")
    return f"e30.{claims}.c2ln"


def test_the_job_runs_as_the_account_of_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "IDENTITY", tmp_path)
    monkeypatch.setattr(cluster.config, "load_incluster_config", lambda: None)
    (tmp_path / "namespace").write_text("runs\n")
    for account in ("longtail-pipeline", "default-editor"):
        (tmp_path / "token").write_text(token(f"system:serviceaccount:runs:{account}"))
        assert Cluster.around_this_pod().account == account
    for wrong in ("nothing", token("somebody"), token("system:bootstrap:runs:x"), "a.b!.c"):
        (tmp_path / "token").write_text(wrong)
        with pytest.raises(DataError, match=r"the token in .* (cannot be read|which is no service account)"):
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
