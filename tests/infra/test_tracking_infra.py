"""The tracking server of infra/, for real: accounts, hosts, artifacts, a crash, a backup and a restore."""

import base64
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from manifests import environment, find, missing, render
from postgres_server import binaries
from tracking_installation import Installation

from longtail import tracking
from longtail.tracking import identity, journal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    if binaries() is None:
        missing("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    installation = Installation(render("local"), tmp_path_factory.mktemp("installation"))
    try:
        installation.run("Job", "make-bucket")
        installation.migrate(replicas=2)
        installation.start()
        yield installation
    finally:
        installation.stop()


@pytest.fixture
def step(installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The working directory and the environment of a pipeline's step."""
    pod: dict[str, Any] = {
        "envFrom": [
            {"secretRef": {"name": "longtail-s3"}},
            {"secretRef": {"name": "longtail-mlflow"}},
            {"configMapRef": {"name": "longtail-settings"}},
        ]
    }
    values = environment(installation.objects, pod, "kubeflow")
    values |= {"MLFLOW_TRACKING_URI": installation.uri, "AWS_ENDPOINT_URL": installation.s3}
    values["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "60"  # a busy machine's server is slow to answer first
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "LONGTAIL_TRACKING", "RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(identity, "code_md5", lambda: "code")
    return values


def train(dataset: str) -> None:
    with tracking.stage_run("train", "train", params={"rate": 0.1}, config={"seed": 1}, dataset=dataset, last=True):
        tracking.log_metrics({"loss": 0.5}, step=1)
        Path("report.html").write_text("<h1>report</h1>", encoding="utf-8")
        tracking.log_artifact(Path("report.html"), "report")


def runs(dataset: str) -> list[Any]:
    """The steps' runs of the pipelines on that data set, as the server has them."""
    from mlflow import MlflowClient

    client = MlflowClient()
    experiment = client.get_experiment_by_name("longtail")
    found = client.search_runs([experiment.experiment_id])
    parents = [one.info.run_id for one in found if dataset in one.data.tags.values()]
    return [one for one in found if one.data.tags.get("mlflow.parentRunId") in parents]


def answer(
    uri: str,
    path: str,
    *,
    user: tuple[str, str] | None = None,
    host: str | None = None,
    body: dict[str, str] | None = None,
) -> tuple[int, str]:
    request = urllib.request.Request(uri + path, json.dumps(body).encode() if body else None)
    request.add_header("Content-Type", "application/json")
    if user:
        request.add_header("Authorization", "Basic " + base64.b64encode(":".join(user).encode()).decode())
    if host:
        request.add_header("Host", host)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


SEARCH = "/api/2.0/mlflow/experiments/search?max_results=10"


def account(step: dict[str, str]) -> tuple[str, str]:
    return step["MLFLOW_TRACKING_USERNAME"], step["MLFLOW_TRACKING_PASSWORD"]


def test_a_run_arrives_with_its_artifacts_in_the_bucket(installation: Installation, step: dict[str, str]) -> None:
    train("arrives")
    assert journal.waiting() == []
    (nested,) = runs("arrives")
    assert nested.info.status == "FINISHED"
    assert nested.data.metrics == {"loss": 0.5}
    bucket = step["LONGTAIL_BUCKET"]
    assert nested.info.artifact_uri.startswith(f"s3://{bucket}/mlflow/")
    key = nested.info.artifact_uri.removeprefix(f"s3://{bucket}/") + "/report/report.html"
    stored = boto3.client("s3").get_object(Bucket=bucket, Key=key)
    assert stored["Body"].read() == b"<h1>report</h1>"
    # The browser gets it from the server, which has the key.
    path = f"/get-artifact?path=report/report.html&run_uuid={nested.info.run_id}"
    assert answer(installation.uri, path, user=account(step)) == (200, "<h1>report</h1>")


@pytest.mark.parametrize("password", ["wrong-password", None])
def test_wrong_or_no_credentials_are_refused_and_nothing_is_lost(
    step: dict[str, str], password: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if password:
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    else:
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    train("refused")
    assert "refuses the credentials (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD)" in capsys.readouterr().err
    assert len(journal.waiting()) == 1
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, step[name])
    assert tracking.sync() == 1


def test_the_default_administrator_is_unknown(installation: Installation) -> None:
    for user in (("admin", "password1234"), ("admin", "password")):
        assert answer(installation.uri, SEARCH, user=user)[0] == 401


def test_the_pipelines_account_is_no_administrator(installation: Installation, step: dict[str, str]) -> None:
    name, password = account(step)
    path, body = "/api/2.0/mlflow/users/create", {"username": "mallory", "password": "mallory-password"}
    assert answer(installation.uri, path, user=(name, password), body=body)[0] == 403
    admin = installation.variables(installation.server)
    user = (admin["MLFLOW_AUTH_ADMIN_USERNAME"], admin["MLFLOW_AUTH_ADMIN_PASSWORD"])
    assert answer(installation.uri, path, user=user, body=body)[0] == 200
    assert answer(installation.uri, SEARCH, user=("mallory", "mallory-password"))[0] == 200


def test_only_known_hosts_are_answered(installation: Installation, step: dict[str, str]) -> None:
    hosts = installation.variables(installation.server)["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    for host in map(str.strip, hosts):
        assert answer(installation.uri, SEARCH, user=account(step), host=host)[0] == 200, host
    for host in ("evil.example", f"evil.example:{installation.port}", "mlflow.longtail.svc:1", "10.1.2.3:5000"):
        status, text = answer(installation.uri, SEARCH, user=account(step), host=host)
        assert (status, "Invalid Host header" in text) == (403, True), host


def test_the_kubelets_probes_are_answered(installation: Installation) -> None:
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = installation.server[kind]["httpGet"]
        assert not probe.get("httpHeaders")
        assert answer(installation.uri, probe["path"], host="10.1.2.3:5000") == (200, "OK")


def test_a_killed_server_loses_nothing(installation: Installation, step: dict[str, str]) -> None:
    train("killed")
    installation.kill()
    train("meanwhile")
    assert len(journal.waiting()) == 1
    installation.migrate()
    installation.start()
    assert tracking.sync() == 1
    assert [len(runs(name)) for name in ("killed", "meanwhile")] == [1, 1]


def test_a_new_password_in_the_secret_is_the_password_after_a_restart(
    installation: Installation, step: dict[str, str]
) -> None:
    name, old = account(step)
    secret = find(installation.objects, "Secret", "longtail-mlflow")["data"]
    before = secret["MLFLOW_TRACKING_PASSWORD"]
    secret["MLFLOW_TRACKING_PASSWORD"] = base64.b64encode(b"another-password").decode()
    installation.migrate()
    assert answer(installation.uri, SEARCH, user=(name, "another-password"))[0] == 200
    assert answer(installation.uri, SEARCH, user=(name, old))[0] == 401
    secret["MLFLOW_TRACKING_PASSWORD"] = before
    installation.migrate()
    assert answer(installation.uri, SEARCH, user=(name, old))[0] == 200


def test_a_backup_brings_back_what_was_lost(installation: Installation, step: dict[str, str]) -> None:
    train("saved")
    installation.run("CronJob", "postgres-backup")
    time.sleep(1.1)  # the names of dumps count seconds
    train("after-the-backup")
    installation.kill()
    for database in ("mlflow", "mlflow_auth"):
        installation.run("CronJob", "postgres-backup", command=["psql", "-c", "drop owned by mlflow", database])
    installation.run("CronJob", "postgres-restore")
    installation.migrate()
    installation.start()
    assert (len(runs("saved")), len(runs("after-the-backup"))) == (1, 0)


def sql(installation: Installation, database: str, *statements: str) -> None:
    """Run statements as the server's role; the first that fails fails the test."""
    words = [word for statement in statements for word in ("-c", statement)]
    installation.run("CronJob", "postgres-backup", command=["psql", "--set=ON_ERROR_STOP=1", *words, database])


def assert_true(installation: Installation, database: str, condition: str) -> None:
    sql(installation, database, f"select 1 / ({condition})::int")


def test_a_restore_undoes_what_an_upgrade_has_added(installation: Installation, step: dict[str, str]) -> None:
    """Tables that refer to those of the dump, and the version that says so: the old server would not start beside."""
    train("before-the-upgrade")
    installation.run("CronJob", "postgres-backup")
    installation.kill()
    upgraded = "update alembic_version set version_num = 'newer'"
    runs_of = "create table newer (run varchar(32) references runs (run_uuid)); create view newest as table newer"
    sql(installation, "mlflow", runs_of, "insert into newer select run_uuid from runs", upgraded)
    sql(installation, "mlflow_auth", "create table newer (id int references users (id))")
    installation.run("CronJob", "postgres-restore")
    for database in ("mlflow", "mlflow_auth"):
        assert_true(installation, database, "to_regclass('public.newer') is null")
        # As initdb leaves it: an owner of its own, and open to readers.
        owned = "select nspowner = 'pg_database_owner'::regrole from pg_namespace where nspname = 'public'"
        assert_true(installation, database, owned)
        assert_true(installation, database, "has_schema_privilege('public', 'public', 'usage')")
    assert_true(installation, "mlflow", "select version_num <> 'newer' from alembic_version")
    installation.migrate()
    installation.start()
    assert len(runs("before-the-upgrade")) == 1


@pytest.mark.parametrize("left", [0.3, 0.9, 0.99])
def test_a_restore_of_a_torn_dump_fails_and_leaves_the_database_as_it_was(
    installation: Installation, step: dict[str, str], left: float
) -> None:
    installation.run("CronJob", "postgres-backup")
    dumps = installation.folder / "backup"
    whole = max(dumps.glob("mlflow-2*.dump")).read_bytes()
    (dumps / "mlflow-torn.dump").write_bytes(whole[: int(len(whole) * left)])
    sql(installation, "mlflow", "create table if not exists kept as select 1 as one")
    with pytest.raises(AssertionError, match="pg_restore: error") as failed:
        installation.run("CronJob", "postgres-restore", STAMP="torn")
    assert "restored" not in str(failed.value)
    sql(installation, "mlflow", "table kept", "drop table kept", "table experiments")


def test_old_backups_are_removed_and_young_ones_kept(installation: Installation) -> None:
    dumps = installation.folder / "backup"
    for name, days in (("old", 20), ("young", 10)):
        path = dumps / f"mlflow-{name}.dump"
        path.write_text("")
        os.utime(path, (time.time() - days * 86400,) * 2)
    installation.run("CronJob", "postgres-backup")
    assert not (dumps / "mlflow-old.dump").exists()
    assert (dumps / "mlflow-young.dump").exists()


def test_a_failed_backup_removes_nothing(installation: Installation) -> None:
    dumps = installation.folder / "backup"
    before = sorted(dumps.glob("*.dump"))
    with pytest.raises(AssertionError, match="authentication failed"):
        installation.run("CronJob", "postgres-backup", PGUSER="nobody-known", KEEP_DAYS="-1")
    assert sorted(dumps.glob("*.dump")) == before
