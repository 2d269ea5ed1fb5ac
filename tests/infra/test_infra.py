"""The manifests: valid, locked down, complete, and with no secret in git."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from kubernetes_validate.utils import latest_version
from manifests import INFRA, OVERLAYS, containers, environment, find, missing, pod_template, render

from pipelines.resources import LAUNCHER, LAUNCHER_HOURS, REQUESTS, TORCH_STEPS, USER, Kubernetes

PIPELINES = {"local": "kubeflow", "cluster": "longtail-runs"}


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def objects(overlay: str) -> list[dict[str, Any]]:
    return render(overlay)


def test_every_object_is_valid_for_the_newest_kubernetes(objects: list[dict[str, Any]]) -> None:
    for one in objects:
        kubernetes_validate.validate(one, latest_version(), strict=True)


def test_containers_are_locked_down(objects: list[dict[str, Any]]) -> None:
    for one in filter(pod_template, objects):
        pod = pod_template(one)["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(one):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys()


def test_images_have_an_exact_version(objects: list[dict[str, Any]], overlay: str) -> None:
    built_here = r"|^longtail-[a-z]+:local" if overlay == "local" else ""
    for image in {container["image"] for one in objects for container in containers(one)}:
        assert re.search(rf"(:\d+\.\d+(\.\d+)?(-[a-z]+)?|@sha256:[0-9a-f]{{64}}{built_here})$", image), image


def test_no_secret_is_in_git() -> None:
    done = subprocess.run(["git", "ls-files", "."], check=False, cwd=INFRA, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git repository")
    files = [INFRA / name for name in done.stdout.split()]
    assert not [path for path in files if path.suffix == ".env" and path.parent.parent.name == "secrets"]
    for path in files:
        assert not re.search(r"^kind: Secret$", path.read_text(), re.MULTILINE), path
    for path in INFRA.glob("secrets/*/*.env.example"):
        for line in re.findall(r"^\w*(?:PASSWORD|KEY\w*)=.*", path.read_text(), re.MULTILINE):
            assert line.endswith("=…"), f"{path}: {line}"


def test_generated_secrets_are_ones_own_and_stay(tmp_path: Path) -> None:
    shutil.copytree(INFRA / "secrets", tmp_path / "secrets", ignore=shutil.ignore_patterns("*.env"))
    generate = [tmp_path / "secrets" / "generate"]
    refused = subprocess.run(generate, check=False, env={"PATH": os.defpath}, capture_output=True, text=True)
    assert "error: set AWS_ACCESS_KEY_ID to the key of your object store" in refused.stderr
    contents = []
    for key in ("first", "second"):
        keys = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "secret"}
        subprocess.run(generate, check=True, env={"PATH": os.defpath} | keys, capture_output=True)
        contents.append({path.name: path.read_text() for path in tmp_path.glob("secrets/*/*.env")})
    assert contents[0] == contents[1]
    assert contents[0]["longtail-s3.env"] == "AWS_ACCESS_KEY_ID=first\nAWS_SECRET_ACCESS_KEY=secret\n"
    passwords = re.findall(r"=(\S{16,})$", "".join(contents[0].values()), re.MULTILINE)
    assert len(set(passwords)) == 5
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("secrets/*/*.env")} == {0o600}


def test_missing_secrets_are_named(tmp_path: Path, overlay: str) -> None:
    tool = shutil.which("kustomize") or shutil.which("kubectl") or missing("neither kustomize nor kubectl is installed")
    shutil.copytree(INFRA, tmp_path / "infra", ignore=lambda folder, names: _secrets(Path(folder), names))
    command = [tool, "build" if tool.endswith("kustomize") else "kustomize", tmp_path / "infra/overlays" / overlay]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert re.search(r"longtail-(s3|mlflow)\.env: no such file", done.stderr)


def _secrets(folder: Path, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(".env") and folder.parent.name == "secrets"]


def test_everything_that_is_named_exists(objects: list[dict[str, Any]]) -> None:
    there = {(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects}
    there |= {("Secret", namespace, "longtail-registry") for namespace in ("longtail", *PIPELINES.values())}
    for one in objects:
        for kind, name in _references(one):
            assert (kind, one["metadata"]["namespace"], name) in there
    assert "create secret docker-registry longtail-registry" in (INFRA / "README.md").read_text()


def _references(one: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What an object refers to in its own namespace."""
    text = json.dumps(one)
    for key, kind in (("secretRef", "Secret"), ("secretKeyRef", "Secret"), ("configMapRef", "ConfigMap")):
        yield from ((kind, name) for name in re.findall(rf'"{key}": {{[^}}]*"name": "([^"]+)"', text))
    yield from (("ConfigMap", name) for name in re.findall(r'"config[mM]ap(?:KeyRef)?": {[^}]*"name": "([^"]+)"', text))
    yield from (("PersistentVolumeClaim", name) for name in re.findall(r'"claimName": "([^"]+)"', text))
    yield from (("ServiceAccount", name) for name in re.findall(r'"serviceAccountName": "([^"]+)"', text))
    yield from (("Secret", each["name"]) for each in one.get("imagePullSecrets", []))
    for subject in one.get("subjects", []):
        yield subject["kind"], subject["name"]


def test_pipelines_find_what_they_name(objects: list[dict[str, Any]], overlay: str) -> None:
    namespace = PIPELINES[overlay]
    values = environment(
        objects,
        {
            "envFrom": [
                {"secretRef": {"name": "longtail-s3"}},
                {"secretRef": {"name": "longtail-mlflow"}},
                {"configMapRef": {"name": "longtail-settings"}},
            ]
        },
        namespace,
    )
    assert values.keys() == {
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "LONGTAIL_BUCKET"),
        *("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"),
    }
    assert find(objects, "PersistentVolumeClaim", "longtail-work", namespace)
    assert find(objects, "ServiceAccount", "longtail-pipeline", namespace)
    # Neither the database's password nor the administrator's is where pipelines run.
    secrets = [one["metadata"] for one in objects if one["kind"] == "Secret"]
    assert {one["name"] for one in secrets if one["namespace"] == namespace} == {"longtail-s3", "longtail-mlflow"}


def test_the_pipelines_account_can_do_little(objects: list[dict[str, Any]], overlay: str) -> None:
    rules = find(objects, "Role", "longtail-pipeline", PIPELINES[overlay])["rules"]
    assert not [one["metadata"]["name"] for one in objects if one["kind"].startswith("ClusterRole")]
    for rule in rules:
        assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
        if set(rule["verbs"]) - {"get", "list", "watch"}:
            assert rule["resources"] in (["trainjobs"], ["workflowtaskresults"])
        if set(rule["resources"]) & {"secrets", "configmaps"}:
            assert rule["resourceNames"]


def test_the_server_answers_to_the_address_that_pipelines_use(objects: list[dict[str, Any]], overlay: str) -> None:
    (server,) = pod_template(find(objects, "Deployment", "mlflow"))["spec"]["containers"]
    hosts = [host.strip() for host in environment(objects, server)["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")]
    settings = find(objects, "ConfigMap", "longtail-settings", PIPELINES[overlay])["data"]
    assert settings["MLFLOW_TRACKING_URI"].removeprefix("http://") in hosts
    assert {host for host in hosts if ":" not in host} == {host.removesuffix(":5000") for host in hosts}
    assert not [host for host in hosts if "*" in host]


def test_services_select_pods(objects: list[dict[str, Any]]) -> None:
    pods = [pod_template(one)["metadata"]["labels"] for one in filter(pod_template, objects)]
    for service in (one for one in objects if one["kind"] == "Service"):
        assert [labels for labels in pods if service["spec"]["selector"].items() <= labels.items()]


def test_all_pods_and_one_more_server_fit_into_the_quota(objects: list[dict[str, Any]]) -> None:
    hard = find(objects, "ResourceQuota", "longtail")["spec"]["hard"]
    for resource in ("cpu", "memory"):
        for bound in ("requests", "limits"):
            total = sum(
                _replicas(one) * max(_amount(each["resources"][bound][resource]) for each in containers(one))
                for one in filter(pod_template, objects)
                if one["metadata"]["namespace"] == "longtail"
            )
            assert total <= _amount(hard[f"{bound}.{resource}"])


def test_two_runs_fit_into_the_quota_of_their_namespace() -> None:
    objects = render("cluster")
    hard = find(objects, "ResourceQuota", "longtail", "longtail-runs")["spec"]["hard"]
    gpus = int(hard["requests.nvidia.com/gpu"])
    other = [request for step, request in REQUESTS.items() if step not in TORCH_STEPS]
    for resource in ("cpu", "memory"):
        # Each trains on half of the GPUs, with as many machines, beside its launcher and a step without a GPU.
        asked = [REQUESTS["train"]] * gpus + [LAUNCHER] * 2
        total = sum(_amount(getattr(one, resource)) for one in asked)
        total += 2 * max(_amount(getattr(one, resource)) for one in other)
        assert total <= _amount(hard[f"requests.{resource}"])
    # A quota refuses containers that ask for nothing, unless this gives them something.
    (limit,) = find(objects, "LimitRange", "longtail", "longtail-runs")["spec"]["limits"]
    for bound in ("defaultRequest", "default"):
        assert limit[bound].keys() == {name.removeprefix("requests.") for name in hard} & {"cpu", "memory"}


def test_jobs_beside_pipelines_get_no_proxy(objects: list[dict[str, Any]], overlay: str) -> None:
    jobs = [one for one in objects if one["kind"] in ("Job", "CronJob")]
    ours = [pod_template(one) for one in jobs if one["metadata"]["namespace"] == PIPELINES[overlay]]
    assert len(ours) == 3
    for labels in (each["metadata"]["labels"] for each in ours):
        assert labels["sidecar.istio.io/inject"] == "false"
        assert labels["app.kubernetes.io/part-of"] == "longtail"


def test_the_volume_is_tried_as_steps_use_it(objects: list[dict[str, Any]], overlay: str, tmp_path: Path) -> None:
    job = find(objects, "Job", "longtail-work", PIPELINES[overlay])
    assert job["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == USER
    assert job["spec"]["ttlSecondsAfterFinished"] >= 600  # the README waits for it
    (container,) = containers(job)
    for place, succeeds in ((tmp_path, True), (tmp_path / "absent", False)):
        command = [each.replace("/work", str(place)) for each in container["command"]]
        done = subprocess.run([sys.executable, *command[1:]], check=False, capture_output=True, text=True)
        assert (done.returncode == 0) is succeeds, done.stderr
    assert not list(tmp_path.iterdir())


def test_what_abandoned_runs_left_is_cleared_away(objects: list[dict[str, Any]], overlay: str, tmp_path: Path) -> None:
    def written(path: str, days: int) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("text")
        for one in (file, *file.relative_to(tmp_path).parents):
            os.utime(tmp_path / one, (0, time.time() - days * 86400))

    written("abandoned/deep/checkpoint.safetensors", 20)
    written("longtail-train-0123456789abcdef/inputs/of one/file", 20)
    written("longtail-train-0123456789abcdef/inputs/params.json", 20)
    written("resumed/lock", 13)
    written("resumed/deep/checkpoint.safetensors", 20)
    os.utime(tmp_path / "resumed" / "lock", (0, time.time() - 13 * 86400))
    written("tracking/20260101T000000-train-abcdef/journal.jsonl", 20)
    written("weights/own.safetensors", 20)
    (container,) = containers(find(objects, "CronJob", "longtail-work-clean", PIPELINES[overlay]))
    command = [each.replace("/work", str(tmp_path)) for each in container["command"]]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert {path.name for path in tmp_path.iterdir()} == {"resumed", "tracking", "weights"}
    assert "abandoned" in done.stdout
    longest = max(request.hours for request in REQUESTS.values()) + LAUNCHER_HOURS
    assert longest * (Kubernetes().retries + 1) < 14 * 24


def _replicas(one: dict[str, Any]) -> int:
    return one["spec"].get("replicas", 1) + (one["kind"] == "Deployment")


def _amount(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\D*)", text).groups()
    return float(number) * {"": 1, "m": 1e-3, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}[unit]


@pytest.mark.slow
def test_the_gpu_smoke_test_fails_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = containers(find(render("local"), "CronJob", "gpu-smoke", "kubeflow"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = subprocess.run([sys.executable, *container["command"][1:]], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "torch sees no GPU" in done.stderr


@pytest.mark.gpu
def test_the_gpu_smoke_test_passes_on_a_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    (container,) = containers(find(render("local"), "CronJob", "gpu-smoke", "kubeflow"))
    done = subprocess.run([sys.executable, *container["command"][1:]], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert torch.cuda.get_device_name() in done.stdout
