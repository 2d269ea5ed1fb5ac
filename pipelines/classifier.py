"""The pipeline of a classifier without rounds: fetch → split → start and fit → index → evaluate."""

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

import components as step
from pipelines.resources import Kubernetes, place


def classifier(settings: Kubernetes | None) -> BaseComponent:
    """The pipeline; `start` trains what the classifier is compared with.

    Every step has one parameter of the pipeline, which holds its section of params.yaml with the shared values.
    """

    @dsl.pipeline(name="longtail-classifier", description="A classifier of class-imbalanced images, in one training")
    def pipeline(fetch: dict, split: dict, start: dict, fit: dict, index: dict, evaluate: dict) -> None:
        def run(task: dsl.PipelineTask, name: str) -> dsl.PipelineTask:
            return place(task, name, settings)

        dataset = run(step.fetch(params=fetch), "fetch").outputs["dataset"]
        table = run(step.split(params=split, dataset=dataset), "split").outputs["split"]
        compared = run(step.start(params=start, dataset=dataset, split=table), "start").outputs["model"]
        model = run(step.fit(params=fit, dataset=dataset, split=table), "fit").outputs["model"]
        neighbours = run(step.index(params=index, split=table, model=model), "index").outputs["index"]
        run(
            step.evaluate(params=evaluate, dataset=dataset, split=table, start=compared, model=model, index=neighbours),
            "evaluate",
        )

    return pipeline
