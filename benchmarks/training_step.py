"""A step of LMLE against one of softmax and of pytorch-metric-learning, on the same network and number of images."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchEasyHardMiner, TripletMarginMiner
from torch import Tensor

from benchmarks.measure import Spread, alternate, ratio
from benchmarks.table import Aim, Table, main
from longtail.data.dataset import PackedDataset, Task, write_dataset
from longtail.data.transforms import Augmentation
from longtail.methods import lmle as lmle_method
from longtail.methods.base import Method, Sampling, Setup
from longtail.methods.batch import Batch
from longtail.methods.softmax import Softmax
from longtail.network.network import Network, NetworkParams
from longtail.quintuplets.table import QuintupletTable, save_tables
from longtail.training.inputs import Images
from longtail.training.loading import mini_batches

GOAL = 1.15
ANCHORS = 40
SAMPLES = 8_000
STEPS = 4
AUGMENTATION = Augmentation(rotate=10, scale=0.1, shift=0.05, mirror=True)
CPU = torch.device("cpu")
Loss = Callable[[Network, Tensor, Batch], Tensor]


@dataclass(frozen=True)
class Case:
    """A network, and what it is to tell apart."""

    backbone: str
    image_shape: tuple[int, int, int]
    classes: int = 10
    tasks: int = 1
    peers: bool = False

    def text(self) -> str:
        size = "×".join(map(str, self.image_shape))
        return f"{self.backbone} {size}, {self.classes} classes, {self.tasks} task{'s' * (self.tasks > 1)}"


SMALL = [
    Case("small_cnn", (28, 28, 1), peers=True),
    Case("small_cnn", (28, 28, 1), classes=200),
    Case("small_cnn", (28, 28, 1), tasks=3),
]
LARGE = [Case("resnet18", (64, 64, 3), peers=True), Case("resnet18", (64, 64, 3), classes=200)]


def run(full: bool) -> Table:
    """small_cnn on 28×28; with --full also ResNet-18 on 64×64."""
    table = Table(
        "Training step",
        "A whole step: drawing, reading, augmenting, forward, loss, backward, AdamW. Softmax and triplets take as many "
        "images as 40 quintuplets a task have different ones.",
        ["network", "step", "images", "ms a step", "images/s", "LMLE to it"],
        settings={
            "quintuplets": f"{ANCHORS} a task, random partners among {SAMPLES:,} samples",
            "embedding": "64",
            "augmentation": str(AUGMENTATION),
            "torch threads": str(torch.get_num_threads()),
            "timed": f"{STEPS} steps together",
        },
    )
    for case in SMALL + (LARGE if full else []):
        with TemporaryDirectory() as folder:
            _measure(table, case, Path(folder))
    return table


def _measure(table: Table, case: Case, folder: Path) -> None:
    dataset, quintuplets = _dataset(case, folder / "dataset"), folder / "quintuplets"
    labels = {task.name: dataset.labels(task.name) for task in dataset.info.tasks}
    save_tables(quintuplets, _tables(labels))
    lmle = lmle_method.Params().build(Setup(labels, Sampling(batch=ANCHORS), 0, table=quintuplets))
    images = _different_images(lmle)
    # What several tasks draw overlaps.
    softmaxes = (Softmax(Setup(labels, Sampling(batch=batch), 0)) for batch in count(images // case.tasks))
    softmax = next(method for method in softmaxes if _different_images(method) >= images)
    steps = {"LMLE": _steps(case, dataset, lmle), "softmax": _steps(case, dataset, softmax)}
    steps["network alone"] = _network_alone(case, dataset, softmax)
    if case.peers:
        for miner in (BatchEasyHardMiner(pos_strategy="hard", neg_strategy="hard"), TripletMarginMiner(margin=0.2)):
            name = f"triplets, {type(miner).__name__}"
            steps[name] = _steps(case, dataset, softmax, _triplets(miner))
    times = alternate(steps, pairs=5, repeat=STEPS)
    for name, seconds in times.items():
        took = Spread.of([1000 * value for value in seconds])
        times_as_long = "1" if name == "LMLE" else ratio(times["LMLE"], seconds).text()
        table.add(case.text(), name, images, took.text("{:.0f}"), f"{images / took.median * 1000:,.0f}", times_as_long)
    cost = ratio(times["LMLE"], times["softmax"])
    what = f"LMLE step to softmax step: {case.text()}"
    table.aims.append(Aim(what, f"≤ {GOAL} times", cost.text(), cost.median <= GOAL))


def _different_images(method: Method) -> int:
    return round(float(np.mean([method.batch(step).whole for step in range(20)])))


def _steps(case: Case, dataset: PackedDataset, method: Method, loss: Loss | None = None) -> Callable[[], None]:
    """A training of its own; every call does its next step, as `longtail.training.train` does."""
    network = _network(case, dataset)
    optimiser = torch.optim.AdamW(network.parameters(), 0.0005, fused=True)
    images_of, number = Images(dataset, np.arange(len(dataset)), AUGMENTATION), count()
    loss = loss or (lambda network, images, batch: method.loss(network, images, batch)["loss"])

    def step() -> None:
        at = next(number)
        # Nothing is drawn ahead: a thread would work on a step of one side while another side is timed.
        steps = range(at, at + 1)
        ((images, batch),) = mini_batches(images_of, method, seed=0, steps=steps, device=CPU)
        optimiser.zero_grad()
        loss(network, images, batch).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


def _network_alone(case: Case, dataset: PackedDataset, method: Method) -> Callable[[], None]:
    """Forward and backward on images that lie ready: what no step can do without."""
    network = _network(case, dataset)
    images_of = Images(dataset, np.arange(len(dataset)), AUGMENTATION)
    with closing(mini_batches(images_of, method, seed=0, steps=range(1), device=CPU)) as batches:
        images, _ = next(batches)

    def step() -> None:
        network.zero_grad()
        torch.stack([embeddings.sum() for embeddings in network.embed(images).values()]).sum().backward()  # type: ignore[no-untyped-call]

    return step


def _network(case: Case, dataset: PackedDataset) -> Network:
    torch.manual_seed(0)
    params = NetworkParams(backbone=case.backbone, embedding=64)
    return Network(params, dataset.info.tasks, case.image_shape).train()


def _triplets(miner: torch.nn.Module) -> Loss:
    triplet_loss = TripletMarginLoss(margin=0.2)

    def loss(network: Network, images: Tensor, batch: Batch) -> Tensor:
        ((task, embeddings),) = network.embed(images).items()
        points, codes = embeddings[batch.rows[task]], batch.targets[task]["codes"]
        value: Tensor = triplet_loss(points, codes, miner(points, codes))
        return value

    return loss


def _tables(labels: dict[str, np.ndarray]) -> dict[str, QuintupletTable]:
    rng = np.random.default_rng(0)
    members = np.arange(SAMPLES)
    return {
        task: QuintupletTable(
            np.stack([members, *rng.choice(SAMPLES, (4, SAMPLES))], axis=1), np.ones(SAMPLES, np.bool_), codes
        )
        for task, codes in labels.items()
    }


def _dataset(case: Case, folder: Path) -> PackedDataset:
    rng = np.random.default_rng(0)
    names = [str(i) for i in range(SAMPLES)]
    samples = pd.DataFrame({"id": names, "source": names, "group": names, "subset": None})
    tasks = [Task(name=f"t{i}", classes=[str(code) for code in range(case.classes)]) for i in range(case.tasks)]
    for task in tasks:
        samples[task.name] = rng.integers(0, case.classes, SAMPLES).astype(str)
    images = rng.integers(0, 256, (SAMPLES, *case.image_shape), dtype=np.uint8)
    write_dataset(
        folder, samples, [images], tasks=tasks, image_shape=case.image_shape, provenance="random", licence="none"
    )
    return PackedDataset.open(folder)


if __name__ == "__main__":
    main(run)
