"""The overlays of infra/ as they would be applied, and what a container in them is started with."""

import base64
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

INFRA = Path(__file__).parents[2] / "infra"
OVERLAYS = ["local", "cluster"]


def missing(what: str) -> None:
    """Skip the test, but never in CI, which has everything."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def render(overlay: str) -> list[dict[str, Any]]:
    """Every object of the overlay, with secrets made for the occasion."""
    if not (shutil.which("kustomize") or shutil.which("kubectl")):
        missing("neither kustomize nor kubectl is installed")
    return _rendered(overlay)


@functools.cache
def _rendered(overlay: str) -> list[dict[str, Any]]:
    done = subprocess.run([INFRA / "render", overlay], check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(done.stdout))


def find(objects: list[dict[str, Any]], kind: str, name: str, namespace: str = "longtail") -> dict[str, Any]:
    """The one object of that kind and name; the hash that kustomize appends to a generated name may be left out."""
    (found,) = [
        one
        for one in objects
        if one["kind"] == kind
        and one["metadata"].get("namespace") == namespace
        and re.fullmatch(rf"{name}(-[a-z0-9]{{10}})?", one["metadata"]["name"])
    ]
    return found


def pod_template(one: dict[str, Any]) -> dict[str, Any] | None:
    """The pod template of a workload; None for anything else."""
    match one["kind"]:
        case "Deployment" | "StatefulSet" | "Job":
            return one["spec"]["template"]
        case "CronJob":
            return one["spec"]["jobTemplate"]["spec"]["template"]
    return None


def containers(one: dict[str, Any]) -> Iterator[dict[str, Any]]:
    template = pod_template(one)
    if template is not None:
        yield from template["spec"].get("initContainers", [])
        yield from template["spec"]["containers"]


def environment(
    objects: list[dict[str, Any]], container: dict[str, Any], namespace: str = "longtail"
) -> dict[str, str]:
    """The container's variables, as the kubelet sets them."""
    values: dict[str, str] = {}
    for source in container.get("envFrom", []):
        ((kind, reference),) = source.items()
        values |= _data(objects, kind.removesuffix("Ref"), reference["name"], namespace)
    for variable in container.get("env", []):
        if "value" in variable:
            values[variable["name"]] = expand(variable["value"], values)
        else:
            ((kind, reference),) = variable["valueFrom"].items()
            data = _data(objects, kind.removesuffix("KeyRef"), reference["name"], namespace)
            values[variable["name"]] = data[reference["key"]]
    return values


def expand(text: str, values: dict[str, str]) -> str:
    """`$(NAME)` in arguments and values, as the kubelet replaces it."""
    return re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], text)


def _data(objects: list[dict[str, Any]], kind: str, name: str, namespace: str) -> dict[str, str]:
    if kind == "secret":
        data = find(objects, "Secret", name, namespace)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}
    return find(objects, "ConfigMap", name, namespace)["data"]
