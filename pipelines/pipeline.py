"""The pipeline as Kubeflow runs it: one graph for whatever trainings params.yaml declares.

fetch → split → start → features → fit and (cluster → quintuplets → train), each after another → index each → evaluate;
and of a pipeline of edges, whose parameters have the sections: index → detect → score, of each model
"""

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager

from kfp import dsl
from kfp.dsl.base_component import BaseComponent
from kfp.dsl.pipeline_channel import PipelineArtifactChannel

import components as step
from longtail.errors import DataError
from longtail.stages import EDGE_STAGES
from longtail.training.declared import DATASET, START, Trainings
from pipelines.resources import Kubernetes, place
from pipelines.training import training_step

NAME = "longtail"


def pipeline(trainings: Trainings, settings: Kubernetes | None, *, edges: bool = False) -> BaseComponent:
    """The pipeline. Every step has one parameter, which holds its section of params.yaml with the shared values; each
    of `fits` and `features` has its own, called fit_<name> and features_<name>. With `edges` maps of photographs are
    made by the models that are reported, and scored.

    Raises DataError if the settings ask for what no step can do.
    """
    if settings and settings.trains_by_job and not trainings.rounds:
        raise DataError("`fit` trains on one GPU; leave num_nodes and gpus_per_node of `kubernetes` at 1")
    names = [*parameter_names(trainings), *(EDGE_STAGES if edges else ())]

    def graph(*sections: dict) -> None:
        _Graph(dict(zip(names, sections, strict=True)), settings).build(trainings)

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=dict) for name in names]
    graph.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    describe = dsl.pipeline(name=NAME, description="Train classifiers of class-imbalanced images, and compare them")
    with _stacks_without_source():
        return describe(graph)


@contextmanager
def _stacks_without_source() -> Iterator[None]:
    """Let kfp have what it asks of `inspect.stack`, dozens of times a task: the name of its caller.

    By default that reads the source of every frame, and for that looks at every module that is loaded: of 120 rounds,
    with torch loaded, for half a minute.
    """
    stack = inspect.stack
    inspect.stack = functools.partial(stack, 0)
    try:
        yield
    finally:
        inspect.stack = stack


def parameter_names(trainings: Trainings) -> list[str]:
    """The parameters of the pipeline, in the order of the steps."""
    in_rounds = ["cluster", "quintuplets", "train"] if trainings.rounds else []
    named = [*(f"features_{name}" for name in trainings.features), *(f"fit_{name}" for name in trainings.fits)]
    return ["fetch", "split", "start", *named, *in_rounds, "index", "evaluate"]


class _Graph:
    """The tasks, as they are made."""

    def __init__(self, sections: dict[str, dict], settings: Kubernetes | None) -> None:
        self.sections, self.settings = sections, settings

    def build(self, trainings: Trainings) -> None:
        self.dataset = self._place(step.fetch(params=self.sections["fetch"]), "fetch").outputs["dataset"]
        split = step.split(params=self.sections["split"], dataset=self.dataset)
        self.split = self._place(split, "split").outputs["split"]
        start = step.start(params=self.sections["start"], dataset=self.dataset, split=self.split)
        self.models = {START: self._place(start, "start").outputs["model"]}
        # What trainings are on: the data set, and features as soon as the model that makes them is there.
        self.on = {DATASET: self.dataset}
        for name, before in trainings.after.items():
            self._store(trainings)
            train = self._round if name in trainings.rounds else self._fit
            self.models[name] = train(name, self.models[before], self.on[trainings.on[name]])
        self._store(trainings)
        indexes = [self._index(name) for name in trainings.models]
        if "detect" in self.sections:
            for name, index in zip(trainings.models, indexes, strict=True):
                self._score(name, index)
        self._place(
            step.evaluate(len(indexes))(
                params=self.sections["evaluate"],
                models=trainings.models,
                dataset=self.dataset,
                split=self.split,
                **{f"index_{number}": index for number, index in enumerate(indexes, 1)},
            ),
            "evaluate",
        )

    def _store(self, trainings: Trainings) -> None:
        """The features that can be made by now."""
        for name, made_by in trainings.features.items():
            if name not in self.on and made_by in self.models:
                self.on[name] = self._features(name, self.models[made_by])

    def _features(self, name: str, model: PipelineArtifactChannel) -> PipelineArtifactChannel:
        params = self.sections[f"features_{name}"]
        task = step.features(params=params, dataset=self.dataset, split=self.split, model=model)
        return self._place(task, f"features@{name}").outputs["features"]

    def _fit(
        self, name: str, previous: PipelineArtifactChannel, on: PipelineArtifactChannel
    ) -> PipelineArtifactChannel:
        params = self.sections[f"fit_{name}"]
        task = step.fit(params=params, dataset=on, split=self.split, previous=previous)
        return self._place(task, f"fit@{name}").outputs["model"]

    def _round(
        self, name: str, previous: PipelineArtifactChannel, on: PipelineArtifactChannel
    ) -> PipelineArtifactChannel:
        cluster = step.cluster(params=self.sections["cluster"], split=self.split, model=previous)
        clusters = self._place(cluster, f"cluster@{name}").outputs["clusters"]
        inputs = {"split": self.split, "model": previous, "clusters": clusters}
        params = self.sections["quintuplets"]
        pods = self.settings.quintuplets_pods if self.settings else 1
        parts = [
            self._place(
                step.quintuplets_part(params=params, number=part, of=pods, **inputs),
                f"quintuplets.part{part + 1}@{name}",
            )
            for part in range(pods if pods > 1 else 0)
        ]
        table = self._place(step.quintuplets(params=params, **inputs).after(*parts), f"quintuplets@{name}")
        task = training_step(self.settings)(
            params=self.sections["train"],
            dataset=on,
            split=self.split,
            previous=previous,
            quintuplets=table.outputs["quintuplets"],
        )
        return self._place(task, f"train@{name}").outputs["model"]

    def _index(self, name: str) -> PipelineArtifactChannel:
        task = step.index(params=self.sections["index"], split=self.split, model=self.models[name])
        return self._place(task, f"index@{name}").outputs["index"]

    def _score(self, name: str, index: PipelineArtifactChannel) -> None:
        params = self.sections["detect"]
        detect = step.detect(params=params, dataset=self.dataset, split=self.split, index=index)
        maps = self._place(detect, f"detect@{name}").outputs["maps"]
        self._place(step.score(params=self.sections["score"], dataset=self.dataset, maps=maps), f"score@{name}")

    def _place(self, task: dsl.PipelineTask, name: str) -> dsl.PipelineTask:
        return place(task, name, self.settings)
