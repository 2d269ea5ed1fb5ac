"""The LMLE pipeline: fetch → split → start → (cluster → quintuplets → train) × rounds → index → evaluate."""

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

import components as step
from pipelines.resources import Kubernetes, place
from pipelines.training import training_step


def lmle(rounds: int, settings: Kubernetes | None) -> BaseComponent:
    """The pipeline with that many rounds, unrolled: a stopped round passes its model through.

    Every step has one parameter of the pipeline, which holds its section of params.yaml with the shared values.
    """
    training = training_step(settings)
    pods = settings.quintuplets_pods if settings else 1

    @dsl.pipeline(name="longtail-lmle", description="Large Margin Local Embedding on class-imbalanced images")
    def pipeline(
        fetch: dict,
        split: dict,
        start: dict,
        cluster: dict,
        quintuplets: dict,
        train: dict,
        index: dict,
        evaluate: dict,
    ) -> None:
        def run(task: dsl.PipelineTask, name: str) -> dsl.PipelineTask:
            return place(task, name, settings)

        dataset = run(step.fetch(params=fetch), "fetch").outputs["dataset"]
        table = run(step.split(params=split, dataset=dataset), "split").outputs["split"]
        first = run(step.start(params=start, dataset=dataset, split=table), "start").outputs["model"]
        model = first
        for number in range(1, rounds + 1):
            groups = run(step.cluster(params=cluster, split=table, model=model), f"cluster@r{number}")
            members = groups.outputs["clusters"]
            parts = [
                run(
                    step.quintuplets_part(
                        params=quintuplets, split=table, model=model, clusters=members, number=part, of=pods
                    ),
                    f"quintuplets.part{part + 1}@r{number}",
                )
                for part in range(pods if pods > 1 else 0)
            ]
            mined = run(
                step.quintuplets(params=quintuplets, split=table, model=model, clusters=members).after(*parts),
                f"quintuplets@r{number}",
            )
            trained = run(
                training(
                    params=train,
                    dataset=dataset,
                    split=table,
                    previous=model,
                    quintuplets=mined.outputs["quintuplets"],
                ),
                f"train@r{number}",
            )
            model = trained.outputs["model"]
        centroids = run(step.index(params=index, split=table, model=model), "index").outputs["index"]
        run(
            step.evaluate(params=evaluate, dataset=dataset, split=table, start=first, model=model, index=centroids),
            "evaluate",
        )

    return pipeline
