"""The nearest-neighbour classifiers of the best round; k and the decision are chosen on validation."""

import json
from dataclasses import asdict

from pydantic import BaseModel, Field

from longtail.data.splits import Split
from longtail.network.snapshot import State, best, read_embeddings, read_logits
from longtail.rules.clusters import save_clusters
from longtail.rules.evaluation import choose_blend
from longtail.rules.knn import save_index
from longtail.rules.search import Search, cluster_wise, head_accuracy, sample_wise
from longtail.stages.contract import Input, Output, stage


class Params(BaseModel, extra="forbid"):
    """The shared seed, cluster_size and search; an `index` section of params.yaml may set them for this stage alone."""

    seed: int = Field(0, ge=0)
    cluster_size: int = Field(200, ge=1)
    search: Search = Search()


@stage
def run(split: Input, model: Input, index: Output, *, params: Params) -> dict[str, float]:
    """Write the cluster-wise classifier of every task, its clusters, and what was tried (`search.json`).

    The sample-wise kNN is tuned beside it; its points are the training embeddings themselves, so only its k is kept.
    """
    table = Split.open(split)
    classifiers, clusters, tried = {}, {}, {}
    report: dict[str, float] = {}
    for task in table.tasks:
        embeddings, train = read_embeddings(best(model), task.name), table.train_labels(task)
        validation = table.scored_labels(task, "validation")
        cluster, clusters[task.name] = cluster_wise(
            embeddings,
            train,
            validation,
            len(task.classes),
            cluster_size=params.cluster_size,
            how=params.search,
            seed=params.seed,
        )
        sample = sample_wise(embeddings, train, validation, len(task.classes), how=params.search)
        classifiers[task.name] = cluster.classifier
        tried[task.name] = {"cluster_wise": cluster.summary(), "sample_wise": sample.summary()}
        logits = read_logits(best(model), task.name)
        if logits is not None:
            known = validation >= 0
            _, scores = cluster.classifier.predict(embeddings[known])
            blend, score = choose_blend(logits[known], scores, validation[known])
            tried[task.name]["head_and_knn"] = {**asdict(blend), "score": score}
            head = head_accuracy(logits, validation)
            tried[task.name]["head"] = {"score": head}
            report |= {f"{task.name}_validation_head": head, f"{task.name}_validation_head_and_knn": score}
        report |= {
            f"{task.name}_clusters": float(len(cluster.classifier.points)),
            f"{task.name}_k": float(cluster.classifier.k),
            f"{task.name}_validation_cluster_wise": cluster.score,
            f"{task.name}_validation_sample_wise": sample.score,
        }
    save_index(index, classifiers)
    save_clusters(index / "clusters", clusters)
    (index / "search.json").write_text(json.dumps(tried, indent=1) + "\n")
    # By what the model that is served answers: the classifier by which its rounds were compared.
    (index / "judge.json").write_text(json.dumps(State.read(model).judge) + "\n")
    return report
