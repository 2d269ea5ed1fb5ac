"""A compiled pipeline, by step, and what its components take and give."""

import functools
import importlib
import json
import tempfile
from pathlib import Path
from typing import Any

import yaml
from kfp.compiler import Compiler

from longtail.stages.contract import artifacts
from longtail.training.declared import Trainings, declared_trainings
from pipelines.pipeline import pipeline
from pipelines.resources import Kubernetes

Tree = dict[str, Any]

# Trainings of either kind after `start` and after each other, on images and stored features, three models side by side.
DECLARED: Tree = {
    "features": {"frozen": {"after": "start"}, "tuned": {"after": "softmax"}},
    "fits": {
        "softmax": {"after": "start", "on": "dataset"},
        "crl": {"after": "start", "on": "frozen"},
        "crt": {"after": "r2", "on": "dataset"},
    },
    "rounds": {"r1": {"after": "softmax", "on": "dataset"}, "r2": {"after": "r1", "on": "tuned"}},
    "evaluate": {"models": ["r2", "softmax", "crt"]},
}
# What an artifact is to Kubeflow; the others are plain ones.
TYPES = {
    **dict.fromkeys(("dataset", "split", "features"), "Dataset"),
    **dict.fromkeys(("model", "previous", "index"), "Model"),
}


def trainings(**changes: Any) -> Trainings:
    """The trainings declared above, so changed."""
    return declared_trainings({**DECLARED, **changes}, "params.yaml")


class Compiled:
    """A compiled pipeline, by the names of its steps, such as "train@r2"."""

    def __init__(self, declared: Tree | None = None, *, edges: bool = False, **settings: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pipeline.yaml"
            made = pipeline(trainings(**declared or {}), Kubernetes(**settings), edges=edges)
            Compiler().compile(made, str(file))
            self.spec, platform = yaml.safe_load_all(file.read_text())
        executors = self.spec["deploymentSpec"]["executors"]
        on_kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        by_name: Tree = self.spec["root"]["dag"]["tasks"]
        self.names: dict[str, str] = {task["taskInfo"]["name"]: name for name, task in by_name.items()}
        self.tasks: Tree = {step: by_name[name] for step, name in self.names.items()}
        self.containers: Tree = {step: executors[f"exec-{name}"]["container"] for step, name in self.names.items()}
        self.pods: Tree = {step: on_kubernetes[f"exec-{name}"] for step, name in self.names.items()}

    def component(self, step: str) -> Tree:
        found: Tree = self.spec["components"][self.tasks[step]["componentRef"]["name"]]
        return found

    def with_gpu(self) -> set[str]:
        """The stages that ask for GPUs."""
        return {stage_of(step) for step, box in self.containers.items() if "accelerator" in box["resources"]}

    def sources(self, step: str) -> dict[str, str]:
        """For every input of a step the step that makes it."""
        steps = {name: step for step, name in self.names.items()}
        found = self.tasks[step]["inputs"].get("artifacts", {})
        return {name: steps[entry["taskOutputArtifact"]["producerTask"]] for name, entry in found.items()}


@functools.cache
def _cached(declared: str) -> Compiled:
    return Compiled(json.loads(declared))


def compiled(**declared: Any) -> Compiled:
    """With the default settings, compiled once."""
    return _cached(json.dumps(declared))


def stage_of(step: str) -> str:
    """ "train@r2" is a `train`, and "quintuplets.part1@r2" a part of `quintuplets`."""
    return step.partition("@")[0].partition(".")[0]


def kinds(stage: str, *kinds_of: str) -> dict[str, str]:
    """The artifacts of a stage's `run` that are of these kinds, and their types."""
    found = artifacts(importlib.import_module(f"longtail.stages.{stage}").run)
    return {name: TYPES.get(name, "Artifact") for name, its in found.items() if its in kinds_of}


def types(definitions: Tree) -> dict[str, str]:
    found = definitions.get("artifacts", {})
    return {name: entry["artifactType"]["schemaTitle"].removeprefix("system.") for name, entry in found.items()}
