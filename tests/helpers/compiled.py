"""A compiled pipeline, by task, and what its components take and give."""

import functools
import importlib
import tempfile
from pathlib import Path
from typing import Any

import yaml
from kfp.compiler import Compiler

from longtail.stages.contract import artifacts
from pipelines.classifier import classifier
from pipelines.lmle import lmle
from pipelines.resources import Kubernetes

ROUNDS = 3


# What an artifact is to Kubeflow; the others are plain ones.
TYPES = {
    **dict.fromkeys(("dataset", "split"), "Dataset"),
    **dict.fromkeys(("model", "previous", "start", "index"), "Model"),
}


Tree = dict[str, Any]


class Compiled:
    """A compiled pipeline, by task."""

    def __init__(self, name: str = "lmle", **settings: Any) -> None:
        chosen = Kubernetes(**settings)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pipeline.yaml"
            Compiler().compile(lmle(ROUNDS, chosen) if name == "lmle" else classifier(chosen), str(file))
            self.spec, platform = yaml.safe_load_all(file.read_text())
        executors = self.spec["deploymentSpec"]["executors"]
        on_kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        self.tasks: Tree = self.spec["root"]["dag"]["tasks"]
        self.containers: Tree = {task: executors[f"exec-{task}"]["container"] for task in self.tasks}
        self.pods: Tree = {task: on_kubernetes[f"exec-{task}"] for task in self.tasks}

    def component(self, task: str) -> Tree:
        found: Tree = self.spec["components"][f"comp-{task}"]
        return found

    def with_gpu(self) -> set[str]:
        """The steps that ask for GPUs."""
        return {step(task) for task, box in self.containers.items() if "accelerator" in box["resources"]}


@functools.cache
def compiled(name: str) -> Compiled:
    """With the default settings."""
    return Compiled(name)


def step(task: str) -> str:
    """`train-2` is the `train` of the second round."""
    return task.partition("-")[0]


def kinds(stage: str, kind: str) -> dict[str, str]:
    """The inputs or outputs of a stage's `run`, and their types."""
    found = artifacts(importlib.import_module(f"longtail.stages.{stage}").run)
    return {name: TYPES.get(name, "Artifact") for name, its in found.items() if its == kind}


def types(definitions: Tree) -> dict[str, str]:
    found = definitions.get("artifacts", {})
    return {name: entry["artifactType"]["schemaTitle"].removeprefix("system.") for name, entry in found.items()}
