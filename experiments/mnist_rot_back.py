"""LMLE on the reproduction of MNIST-rot-back-image: 12,000 training images, 40 % removed, 50,000 test images.

    python -m experiments.mnist_rot_back --data DIR --seeds 0 --seeds 1 --seeds 2

DIR holds MNIST's four idx files (mnist/*.gz) and the photographs of BSDS500 (bsds500/bsds500.tar.gz). Every seed makes
its own data set, split and networks. Steps whose output is there are not run again: a stopped run goes on.
Writes a JSON file of all rows and prints the table of docs/results.md.
"""

import hashlib
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
import yaml

from longtail.data.dataset import Task
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.indexing import Search, cluster_wise, mean_class_accuracy, sample_wise
from longtail.models.snapshot import current, read_embeddings, read_logits
from longtail.stages import cluster, ingest, quintuplets, split, start, train

PARAMETERS = Path(__file__).with_suffix(".yaml")
PAPER = {"LMLE, the paper's (MNIST-rot-back-image itself)": 70.13}


def run_seed(data: Path, work: Path, seed: int, parameters: Path = PARAMETERS) -> list[dict[str, Any]]:
    """All rows of the table for one seed: what is classified, how, and the accuracies on test and validation."""
    values = yaml.safe_load(parameters.read_text())

    def step(stage: Any, section: str, *paths: Path, **changes: Any) -> Path:
        """Run a stage unless its output, the last of `paths`, is there."""
        known = {name: values[name] for name in ("cluster_size", "network") if name in stage.Params.model_fields}
        params = stage.Params.model_validate({"seed": seed, **known, **values[section], **changes})
        *inputs, output = paths
        # The name tells the parameters and the inputs apart, so a changed YAML never meets the results of another.
        made_from = params.model_dump_json() + "".join(path.name for path in inputs[1:])
        output = output.with_name(f"{output.name}-{hashlib.sha256(made_from.encode()).hexdigest()[:8]}")
        if not output.exists():
            print(f"seed {seed}: {output.relative_to(work)}", file=sys.stderr)
            stage.run(*inputs, output, params=params)
        return output

    dataset = step(ingest, "ingest", data, work / "dataset")
    table = step(split, "split", dataset, work / "split")
    rows: list[dict[str, Any]] = []

    def measure(name: str, model: Path, passes: int) -> None:
        found = accuracies(table, model, values["cluster_size"], seed)
        rows.extend({"seed": seed, "features": name, "passes": passes, **row} for row in found)

    measure("HOG, hand-crafted", step(start, "hog", dataset, table, work / "hog"), 0)
    model = step(start, "start", dataset, table, work / "r0")
    spent = image_passes(values["start"])
    measure("softmax, round 0", model, spent)
    for number in range(1, values["rounds"] + 1):
        clusters = step(cluster, "cluster", table, model, work / f"clusters{number}")
        quints = step(quintuplets, "quintuplets", table, model, clusters, work / f"quintuplets{number}")
        model = step(train, "train", dataset, table, model, quints, work / f"r{number}")
        spent += image_passes(values["train"], distinct=distinct_images(quints, values["train"]["batch"]))
        measure(f"LMLE, round {number}", model, spent)
    rows += chosen_on_validation(rows)
    longer = {**values["start"]["optimisation"], "iterations": round(spent / values["start"]["batch"])}
    model = step(start, "start", dataset, table, work / "softmax", optimisation=longer)
    measure("softmax, LMLE's whole budget", model, image_passes({**values["start"], "optimisation": longer}))
    return rows


def chosen_on_validation(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the LMLE round whose cluster-wise kNN is best on validation (the first of equals), under a name of
    their own: what the pipeline would have evaluated.
    """
    rounds = [row for row in rows if row["features"].startswith("LMLE, round")]
    best = max((r for r in rounds if r["classifier"] == "cluster-wise kNN"), key=lambda row: row["validation"])
    of_best = [row for row in rounds if row["features"] == best["features"]]
    return [{**row, "features": "LMLE, its round chosen on validation"} for row in of_best]


def accuracies(table: Path, model: Path, cluster_size: int, seed: int) -> list[dict[str, Any]]:
    """Mean per-class accuracy, on test and on validation, of each classifier on the embedding of a model's last round.

    The index stage would take the best round so far; here every round is measured, so its search is called directly.
    """
    of_split, how = Split.open(table), Search()
    task: Task = of_split.tasks[0]
    embeddings, logits = read_embeddings(current(model), task.name), read_logits(current(model), task.name)
    train, K = of_split.train_labels(task), len(task.classes)
    labels = {name: of_split.scored_labels(task, name) for name in ("test", "validation")}
    clusters, _ = cluster_wise(
        embeddings, train, labels["validation"], K, cluster_size=cluster_size, how=how, seed=seed
    )
    samples = sample_wise(embeddings, train, labels["validation"], K, how=how)
    predicted = {
        f"{name} kNN": choice.classifier.predict(embeddings)[0]
        for name, choice in (("cluster-wise", clusters), ("sample-wise", samples))
    }
    if logits is not None:
        predicted["softmax head"] = np.argmax(logits, axis=1)
    return [
        {"classifier": name}
        | {subset: mean_class_accuracy(truth[truth >= 0], found[truth >= 0]) for subset, truth in labels.items()}
        for name, found in predicted.items()
    ]


def image_passes(section: dict[str, Any], distinct: float | None = None) -> int:
    """How many images go through the network in a training; of a step's quintuplets, each distinct image once."""
    return int(section["optimisation"]["iterations"] * (distinct or section["batch"]))


def distinct_images(quints: Path, batch: int) -> float:
    """The mean number of distinct images in mini-batches of that many quintuplets, from 200 random ones."""
    members = np.load(next(quints.glob("members-*.npy")), allow_pickle=False)
    rng = np.random.default_rng(0)
    drawn = (members[rng.integers(len(members), size=batch)] for _ in range(200))
    return float(np.mean([len(np.unique(rows)) for rows in drawn]))


def markdown(rows: pd.DataFrame) -> str:
    """Mean ± standard deviation over the seeds, in %, one line for each embedding and classifier."""
    lines = ["| features | classifier | test | validation | image passes |", "|---|---|---|---|---|"]
    for (features, classifier), group in rows.groupby(["features", "classifier"], sort=False):
        test, validation = (_spread(100 * group[name]) for name in ("test", "validation"))
        lines.append(f"| {features} | {classifier} | {test} | {validation} | {group['passes'].mean():,.0f} |")
    lines += [f"| {name} | cluster-wise kNN | {value:.2f} | | |" for name, value in PAPER.items()]
    return "\n".join(lines)


def _spread(values: "pd.Series[float]") -> str:
    return f"{values.mean():.2f} ± {values.std(ddof=1):.2f}" if len(values) > 1 else f"{values.mean():.2f}"


def main(
    data: Annotated[Path, typer.Option(help="folder with mnist/ and bsds500/")],
    work: Annotated[Path, typer.Option(help="where the results go")] = Path("artifacts/mnist_rot_back"),
    seeds: Annotated[list[int], typer.Option(help="one run a seed")] = [0, 1, 2],  # noqa: B006 (never changed)
    parameters: Annotated[Path, typer.Option(help="YAML of parameters")] = PARAMETERS,
) -> None:
    """Run what is missing and print the table."""
    rows = pd.DataFrame([row for seed in seeds for row in run_seed(data, work / f"seed{seed}", seed, parameters)])
    rows.to_json(work / f"{parameters.stem}.json", orient="records", indent=1)
    print(markdown(rows))


if __name__ == "__main__":
    try:
        typer.run(main)
    except DataError as error:
        sys.exit(f"error: {error}")
