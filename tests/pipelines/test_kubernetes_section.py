"""The section `kubernetes` of params.yaml: what a cluster would not take is one sentence before anything runs."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from compiled import Compiled

from longtail.errors import DataError
from pipelines.arguments import kubernetes_settings
from pipelines.resources import REQUESTS, TORCH_IMAGE, TORCH_STEPS, Kubernetes

ROOT = Path(__file__).parents[2]


def settings(folder: Path, section: Any) -> Kubernetes:
    (folder / "params.yaml").write_text(yaml.safe_dump({"kubernetes": section}))
    return kubernetes_settings(folder / "params.yaml")


def of_train(**request: Any) -> dict[str, Any]:
    return {"requests": {"train": request}}


@pytest.mark.parametrize(
    ("section", "says"),
    [
        *((of_train(memory=memory), f"{memory!r} is no amount of memory; write a whole number and its unit")
          for memory in ("32GB", "32 Gi", "1.5Gi", "lots", "32", "0Gi", "-1Gi", "32K", "32k", "٣Gi", "32Gi\n", "")),
        *(({"shared_memory": size}, f"kubernetes.shared_memory: .*{size!r} is no amount")
          for size in ("lots", "8GB", "0Gi", "")),
        *((of_train(cpu=cpu), f"{cpu!r} is no number of CPUs")
          for cpu in ("٣", "eight", "8 ", "-1", "1e3", "0.0001", ".5", "0.5m", "8\n", "")),
        *((of_train(cpu=cpu), f"{cpu!r} is nothing; ask for more than 0") for cpu in ("0", "0.0", "0m", "00.000")),
        *((of_train(hours=hours), "requests.train.hours is .*; it should be a finite number")
          for hours in (float("inf"), float("nan"), -float("inf"))),
        *((of_train(hours=hours), "requests.train.hours is .*; it should be greater") for hours in (0, -1, 0.0001)),
        *((of_train(hours=hours), "requests.train.hours is .*; it should be less") for hours in (8761, 1e9, 1e300)),
        *(({name: 99_999_999_999}, f"kubernetes.{name} is 99999999999; it should be less than or equal to 1000")
          for name in ("retries", "num_nodes", "gpus_per_node", "quintuplets_pods")),
        ({"requests": {"trian": {"cpu": "1"}}}, "kubernetes.requests: .*'trian' is no step; did you mean 'train'\\?"),
        ({"requests": {"fit@softmax": {"cpu": "1"}}}, "'fit@softmax' is no step"),
        ({"requests": {"ingest": {"cpu": "1"}}}, "'ingest' is no step"),
        ({"gpu_nodes": {"po ol": "a"}}, "'po ol' is no key of a label"),
        ({"cpu_nodes": {"pool": "a b"}}, "'a b' is no value of a label"),
        ({"tolerate": "a/b/c"}, "'a/b/c' is no key of a label or taint"),
        *(({name: "Longtail_Work"}, f"kubernetes.{name}: .*'Longtail_Work' is no name of an object")
          for name in ("work_claim", "addresses", "s3_secret", "mlflow_secret")),
        ({"image_pull_secrets": [""]}, "kubernetes.image_pull_secrets.0: .*'' is no name"),
        *((section, "kubernetes must hold parameters by name, and is ") for section in ([1], "none", 3, "", [], False)),
    ],
)  # fmt: skip
def test_what_a_cluster_would_not_take_is_one_sentence(tmp_path: Path, section: Any, says: str) -> None:
    with pytest.raises(DataError, match=says.replace(r"\n", r"\\n")) as told:
        settings(tmp_path, section)
    assert "params.yaml: kubernetes" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("section", [None, {}])
def test_nothing_asks_for_the_defaults(tmp_path: Path, section: Any) -> None:
    assert settings(tmp_path, section) == Kubernetes()


@pytest.mark.parametrize("memory", ["1Gi", "1536Mi", "2Ti", "64G", "999999999Ki"])
@pytest.mark.parametrize("cpu", ["1", "0.5", "1.125", "500m", "128"])
def test_what_both_take_reaches_kfp_as_it_is(tmp_path: Path, memory: str, cpu: str) -> None:
    section = of_train(cpu=cpu, memory=memory, hours=0.5) | {"shared_memory": memory}
    compiled = Compiled(**settings(tmp_path, section).model_dump())
    asked = compiled.containers["train@r1"]["resources"]
    assert (asked["resourceCpuLimit"], asked["resourceMemoryLimit"]) == (cpu, memory)
    assert int(compiled.pods["train@r1"]["activeDeadlineSeconds"]) == 1800
    assert memory in [mount.get("sizeLimit") for mount in compiled.pods["train@r1"]["emptyDirMounts"]]


def test_every_step_may_ask_for_something_else(tmp_path: Path) -> None:
    asked = {step: {"cpu": "3"} for step in REQUESTS}
    labels = {"gpu_nodes": {"example.com/pool.kind": "a_b", "empty": ""}, "tolerate": "a.b/c"}
    found = settings(tmp_path, {"requests": asked, **labels, "work_claim": "a.b-c"})
    assert {step for step, request in found.requests.items() if request.cpu == "3"} == set(REQUESTS)


def test_the_guide_has_what_every_step_asks_for() -> None:
    rows = [line.split("|")[1:-1] for line in (ROOT / "docs/cluster.md").read_text().splitlines()]
    found = {
        step: [cell.strip() for cell in row[1:]]
        for row in rows
        if len(row) == 5
        for step in re.findall(r"`(\w+)`", row[0])
        if step in REQUESTS
    }
    gpu = {step: "1" if step in TORCH_STEPS else "" for step in REQUESTS} | {"quintuplets": "if `quintuplets_on_gpu`"}
    assert found == {
        step: [request.cpu, request.memory, f"{request.hours:g}", gpu[step]] for step, request in REQUESTS.items()
    }


def test_the_guides_say_which_image_is_every_steps() -> None:
    for guide in ("docs/cluster.md", "docker/README.md"):
        lines = [
            line
            for line in (ROOT / guide).read_text().splitlines()
            if line.startswith("|") and "`longtail-cuda`" in line
        ]
        assert {*TORCH_IMAGE} <= {step for line in lines for step in re.findall(r"`(\w+)`", line)}, guide
