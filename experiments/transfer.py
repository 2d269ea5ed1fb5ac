"""Does a more similar source transfer better, and do selected classes? Thesis, section 4.4.3 (Figure 4.6), in small.

    python -m experiments.transfer --data DIR

A network is pretrained from scratch on the classes of one source, and fine-tuned on a few images of a target. Sources
are a half of each of five domains (Figure 4.6); and, for each target, the classes selected by similarity from all
halves, as many at random, and all of them. What is done is not done again.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from scipy.stats import spearmanr

from experiments.cell import Steps
from experiments.matrix import Cell
from experiments.transfer_data import HALVES, SIDE, named, packed
from longtail.data.splits import Split
from longtail.execution import one_sentence
from longtail.network.snapshot import best, read_logits
from longtail.rules.search import mean_class_accuracy
from longtail.stages import features, split, start
from longtail.transfer.domain import Domain, read_domain
from longtail.transfer.selection import select_classes
from longtail.transfer.similarity import domain_distance, similarity

POOL = [name for domain in HALVES for name in named(domain, 0)]
SELECTED = 5  # classes
NOTHING = "nothing"  # fine-tuned from fresh weights
SEEN = SIDE // 2  # the side of images in training: the features for the similarity are of all pixels
RESAMPLES = 10_000
Row = dict[str, Any]


def training(iterations: int, rate: float) -> Row:
    """An entry of `fits`."""
    varied = {"side": SEEN, "shift": 0.1}
    how = {"iterations": iterations, "learning_rate": rate, "optimiser": "adamw", "augmentation": varied}
    return {"after": "start", "batch": 48, "optimisation": how, "inference": {"side": SEEN}}


PRETRAINED, TUNED = training(500, 0.002), training(150, 0.001)


@dataclass(frozen=True)
class Bench:
    """Where the trainings of a seed are run: on the packed data set, below `work`."""

    dataset: Path
    work: Path
    seed: int

    def steps(self, **sections: Any) -> Steps:
        """The stages with those sections of parameters."""
        sections = {"network": {"backbone": "small_cnn", "embedding": None}, **sections, "seed": self.seed}
        model = next(iter(sections.get("fits", {})), "start")
        return Steps(Cell(setting="", method="", seed=self.seed, model=model, sections=sections), self.work)

    def table(self, classes: list[str], *, few: bool) -> tuple[Row, Path]:
        """The split of some classes; of a target a tenth is for training, and most for the test."""
        shares = {"test": 0.8, "validation": 0.5} if few else {"test": 0.1, "validation": 0.1}
        section = {**shares, "classes": {"label": classes}}
        return section, self.steps(split=section).run(split, self.dataset)

    def domain(self, classes: list[str], *, few: bool) -> Domain:
        """The domain of training images, by EfficientNet-Lite0 with ImageNet weights."""
        network = {"backbone": "timm/tf_efficientnet_lite0", "embedding": None}
        steps = self.steps(network=network, start={"prior": "imagenet", "embeddings": False}, features={"frozen": {}})
        table = self.table(classes, few=few)[1]
        model = steps.run(start, self.dataset, table)
        return read_domain(steps.run(features, self.dataset, table, model, training="frozen"), table)

    def pretrained(self, classes: list[str]) -> Path:
        """The model that is pretrained on some classes."""
        section, table = self.table(classes, few=False)
        return self.steps(split=section, fits={"pretrained": PRETRAINED}).model(self.dataset, table)

    def transferred(self, model: Path | None, target: str) -> float:
        """The mean per-class accuracy on a target's test images of a network that was fine-tuned after a model."""
        prior: Row = {"prior": "random", "embeddings": False}
        if model is not None:
            sha256 = hashlib.sha256((best(model) / "network.safetensors").read_bytes()).hexdigest()
            prior |= {"prior": "model", "weights": {"path": str(model), "sha256": sha256}}
        section, table = self.table(named(target, 1), few=True)
        tuned = self.steps(split=section, start=prior, fits={"tuned": TUNED}).model(self.dataset, table)
        of_table = Split.open(table)
        truth, logits = of_table.scored_labels(of_table.tasks[0], "test"), read_logits(best(tuned), "label")
        assert logits is not None
        return mean_class_accuracy(truth[truth >= 0], logits[truth >= 0].argmax(1))

    def rows(self) -> list[Row]:
        """Every source to every target."""
        pool, rng = self.domain(POOL, few=False), np.random.default_rng(self.seed)
        return [row for target in HALVES for row in self._to(target, pool, rng)]

    def _to(self, target: str, pool: Domain, rng: np.random.Generator) -> list[Row]:
        goal = self.domain(named(target, 1), few=True)
        sources = {f"half of {domain}": named(domain, 0) for domain in HALVES}
        sources["selected"] = select_classes(pool, [goal], [SELECTED])
        sources["random"] = sorted(rng.permutation(POOL)[:SELECTED].tolist())
        sources["all"] = POOL
        rows: list[Row] = [{"source": NOTHING, "accuracy": self.transferred(None, target)}]
        for source, classes in sources.items():
            distance = domain_distance(pool.of(classes), goal)
            accuracy = self.transferred(self.pretrained(classes), target)
            about = {"source": source, "distance": distance, "similarity": float(similarity(distance))}
            rows.append({**about, "accuracy": accuracy, "classes": ", ".join(classes)})
        return [{"seed": self.seed, "target": target, **row} for row in rows]


def interval(values: "pd.Series[float]") -> str:
    """The mean of values by target and seed, and its 95 % interval: targets are drawn anew, and of each its seeds."""
    table, rng = values.unstack("seed").to_numpy(), np.random.default_rng(0)
    targets, seeds = table.shape
    drawn = rng.integers(0, targets, (RESAMPLES, targets, 1)), rng.integers(0, seeds, (RESAMPLES, targets, seeds))
    low, high = np.quantile(table[drawn].mean((1, 2)), [0.025, 0.975])
    return f"{table.mean():.2f} ({low:.2f} to {high:.2f})"


def summary(found: pd.DataFrame) -> str:
    """Means over the seeds by target and source; rank correlations; what selection gains."""
    keys, halves = ["target", "seed"], found[found["source"].str.startswith("half of")]
    ranks = halves.groupby(keys)[["similarity", "accuracy"]].apply(lambda one: spearmanr(one).statistic)
    wide = 100 * found.pivot_table(index=keys, columns="source", values="accuracy")
    lines = []
    for column in ("similarity", "accuracy"):
        table = found.pivot_table(index="target", columns="source", values=column, sort=False)
        lines += [f"{column}, mean over the seeds:", table.round(3).to_string(), ""]
    lines += ["rank correlation of similarity and accuracy over the five halves, by target:"]
    lines += [ranks.groupby("target", sort=False).mean().round(2).to_string(), f"mean: {interval(ranks)}", ""]
    for one, other in (("selected", "all"), ("selected", "random"), ("all", NOTHING), ("selected", NOTHING)):
        lines.append(f"{one} less {other}, points: {interval(wide[one] - wide[other])}")
    return "\n".join(lines)


def main(
    data: Annotated[Path, typer.Option(help="directory of cifar10_jpeg.tar.gz, mnist, clothing112.zip, bsds500")],
    work: Annotated[Path, typer.Option(help="directory of all results")] = Path("artifacts/experiments"),
    seeds: Annotated[list[int] | None, typer.Option(help="default: 0, 1, 2")] = None,
) -> None:
    """Pretrain, fine-tune and print: similarity, accuracy, rank correlation, and what selection gains."""
    with one_sentence():
        place = work.resolve() / "transfer"
        place.mkdir(parents=True, exist_ok=True)
        dataset, rows = packed(data, place), []
        for seed in seeds or [0, 1, 2]:
            rows += Bench(dataset, place / "steps", seed).rows()
        found = pd.DataFrame(rows)
        found.to_csv(place / "results.csv", index=False)
        print(summary(found))


if __name__ == "__main__":
    typer.run(main)
